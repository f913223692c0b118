/*
 * What every transport shares: argument checks, and agreement on a failure.
 */
#include "dist/comm.h"

#include <string.h>

#include "dist/dist_private.h"

enum { MESSAGE_BYTES = 1024 };

int comm_split(struct comm **out, struct comm *parent, int color, int key)
{
    return parent->ops->split(out, parent, color, key);
}

void comm_free(struct comm *c)
{
    if (c != NULL)
        c->ops->free(c);
}

int comm_rank(const struct comm *c) { return c->rank; }

int comm_size(const struct comm *c) { return c->size; }

const char *comm_transport(const struct comm *c) { return c->transport; }

int comm_barrier(struct comm *c) { return c->ops->barrier(c); }

static void check_rank(const struct comm *c, int rank)
{
    CHECK(rank >= 0 && rank < c->size, "rank %d of a communicator of %d", rank,
          c->size);
}

static void check_peer(const struct comm *c, int peer, int tag)
{
    check_rank(c, peer);
    CHECK(peer != c->rank, "rank %d sends to itself", peer);
    CHECK(tag >= 0 && tag < COMM_USER_TAGS, "tag %d, expected 0 to %d", tag,
          COMM_USER_TAGS - 1);
}

int comm_bcast(struct comm *c, void *data, size_t bytes, int root)
{
    check_rank(c, root);
    return bytes == 0 ? STATUS_OK : c->ops->bcast(c, data, bytes, root);
}

int comm_send(struct comm *c, const void *data, size_t bytes, int to, int tag)
{
    check_peer(c, to, tag);
    TRY(c->ops->send_start(c, 0, data, bytes, to, tag));
    return c->ops->send_finish(c, 0);
}

int comm_recv(struct comm *c, void *data, size_t bytes, int from, int tag)
{
    check_peer(c, from, tag);
    return c->ops->recv(c, data, bytes, from, tag);
}

int comm_exchange(struct comm *c, const struct buf *out, struct buf *in)
{
    return c->ops->exchange(c, out, in);
}

int comm_allgather(struct comm *c, const void *mine, size_t bytes, void *all)
{
    return bytes == 0 ? STATUS_OK : c->ops->allgather(c, mine, bytes, all);
}

int comm_agree(struct comm *c, int status)
{
    /* Smallest code first, then the lowest rank: whose message is it? */
    const int64_t ranks = INT64_C(1) << 32;
    int64_t worst = status * ranks + c->rank;
    TRY(c->ops->min(c, &worst));
    const int rank = (int)(worst & (ranks - 1));
    const int code = (int)((worst - rank) / ranks);
    if (code == STATUS_OK)
        return STATUS_OK;
    char message[MESSAGE_BYTES] = {0};
    if (rank == c->rank)
        strncpy(message, status_message(), sizeof(message) - 1);
    TRY(comm_bcast(c, message, sizeof(message), rank));
    if (rank == c->rank)
        return code;
    message[sizeof(message) - 1] = 0;
    return ERR(code, "rank %d: %s", rank, message);
}

void comm_abort(struct comm *c, int exit_status)
{
    c->ops->abort(c, exit_status);
    CHECK(false, "abort with status %d returned", exit_status);
}

void comm_buf_resize(struct buf *in, size_t len)
{
    if (in->data == NULL || in->cap < len) {
        buf_release(in);
        *in = (struct buf){.data = mem_alloc(len + 1), .cap = len};
    }
    in->len = len;
    in->data[len] = 0;
}
