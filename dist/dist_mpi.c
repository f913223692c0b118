/*
 * MPI 3.1 behind the communicator. Every wait is a nonblocking operation tested with
 * growing sleeps: Open MPI's own waits spin, and ranks often share cores with other
 * ranks' threads. Messages are cut into chunks, since counts are int.
 *
 * Errors are returned (MPI_ERRORS_RETURN); a dead peer makes the launcher end the job,
 * a stuck one is the watchdog's. Only the main thread calls MPI (FUNNELED).
 */
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dist/dist_private.h"

enum {
    CHUNK_BYTES = 1 << 30,
    SPIN_TESTS = 32, /* a few microseconds: an answer that is under way */
    MAX_SLEEP_NS =
        200000, /* late by at most this, against operations of milliseconds */
};

struct requests {
    MPI_Request *items;
    int64_t n, cap;
};

struct mpi_comm {
    struct comm base;
    MPI_Comm comm;
    bool is_world;
    struct requests sends[COMM_MAX_SENDS], exchange;
    int64_t *out_bytes, *in_bytes; /* (size): exchange's counts */
};

static int check(int code, const char *what)
{
    if (code == MPI_SUCCESS)
        return STATUS_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    (void)MPI_Error_string(code, text, &len);
    return ERR(ERR_COMM, "%s: %s", what, text);
}

static void pause_between_tests(int64_t i)
{
    if (i < SPIN_TESTS) {
        sched_yield();
        return;
    }
    const int64_t doublings = (i - SPIN_TESTS) / 4;
    const long ns = doublings > 10 ? MAX_SLEEP_NS : 1000L << doublings;
    const struct timespec t = {.tv_nsec = ns < MAX_SLEEP_NS ? ns : MAX_SLEEP_NS};
    nanosleep(&t, NULL);
}

static int wait_all(MPI_Request *items, int64_t n, const char *what)
{
    for (int64_t i = 0;; i++) {
        int is_done = 0;
        TRY(check(MPI_Testall((int)n, items, &is_done, MPI_STATUSES_IGNORE), what));
        if (is_done)
            return STATUS_OK;
        pause_between_tests(i);
    }
}

static MPI_Request *requests_add(struct requests *r)
{
    if (r->n == r->cap) {
        const int64_t cap = r->cap == 0 ? 4 : 2 * r->cap;
        r->items = mem_realloc(r->items, (size_t)r->cap * sizeof(MPI_Request),
                               (size_t)cap * sizeof(MPI_Request));
        r->cap = cap;
    }
    MPI_Request *const item = &r->items[r->n++];
    *item = MPI_REQUEST_NULL;
    return item;
}

static int requests_finish(struct requests *r, const char *what)
{
    const int status = wait_all(r->items, r->n, what);
    r->n = 0;
    return status;
}

static struct mpi_comm *mpi_of(struct comm *c)
{
    return (struct mpi_comm *)c; /* base is its first member */
}

static int chunk_at(const struct comm *c, size_t bytes, size_t off)
{
    const size_t left = bytes - off;
    return (int)(left < c->chunk_bytes ? left : c->chunk_bytes);
}

static int mpi_barrier(struct comm *c)
{
    MPI_Request r;
    TRY(check(MPI_Ibarrier(mpi_of(c)->comm, &r), "barrier"));
    return wait_all(&r, 1, "barrier");
}

static int mpi_bcast(struct comm *c, void *data, size_t bytes, int root)
{
    for (size_t off = 0; off < bytes; off += c->chunk_bytes) {
        MPI_Request r;
        TRY(check(MPI_Ibcast((char *)data + off, chunk_at(c, bytes, off), MPI_BYTE,
                             root, mpi_of(c)->comm, &r),
                  "broadcast"));
        TRY(wait_all(&r, 1, "broadcast"));
    }
    return STATUS_OK;
}

/* An empty message is one chunk too: the receiver waits for it. */
static int post_send(struct comm *c, struct requests *list, const char *data,
                     size_t bytes, int to, int tag)
{
    size_t off = 0;
    do {
        TRY(check(MPI_Isend(data + off, chunk_at(c, bytes, off), MPI_BYTE, to, tag,
                            mpi_of(c)->comm, requests_add(list)),
                  "send"));
        off += c->chunk_bytes;
    } while (off < bytes);
    return STATUS_OK;
}

static int mpi_send_start(struct comm *c, int slot, const void *data, size_t bytes,
                          int to, int tag)
{
    struct requests *const list = &mpi_of(c)->sends[slot];
    CHECK(list->n == 0, "send slot %d is in use", slot);
    return post_send(c, list, data, bytes, to, tag);
}

static int mpi_send_finish(struct comm *c, int slot)
{
    return requests_finish(&mpi_of(c)->sends[slot], "send");
}

static int recv_chunk(struct comm *c, char *data, int bytes, int from, int tag)
{
    MPI_Request r;
    TRY(check(MPI_Irecv(data, bytes, MPI_BYTE, from, tag, mpi_of(c)->comm, &r),
              "receive"));
    MPI_Status s;
    for (int64_t i = 0;; i++) {
        int is_done = 0;
        TRY(check(MPI_Test(&r, &is_done, &s), "receive"));
        if (is_done)
            break;
        pause_between_tests(i);
    }
    int got = 0;
    TRY(check(MPI_Get_count(&s, MPI_BYTE, &got), "receive"));
    if (got != bytes)
        return ERR(ERR_COMM, "rank %d sent %d bytes with tag %d, expected %d", from,
                   got, tag, bytes);
    return STATUS_OK;
}

static int mpi_recv(struct comm *c, void *data, size_t bytes, int from, int tag)
{
    size_t off = 0;
    do {
        TRY(recv_chunk(c, (char *)data + off, chunk_at(c, bytes, off), from, tag));
        off += c->chunk_bytes;
    } while (off < bytes);
    return STATUS_OK;
}

static int post_exchange(struct comm *c, const struct buf *out, struct buf *in)
{
    struct mpi_comm *const m = mpi_of(c);
    for (int peer = 0; peer < c->size; peer++) {
        const size_t bytes = (size_t)m->in_bytes[peer];
        comm_buf_resize(&in[peer], bytes);
        for (size_t off = 0; peer != c->rank && off < bytes; off += c->chunk_bytes)
            TRY(check(MPI_Irecv(in[peer].data + off, chunk_at(c, bytes, off), MPI_BYTE,
                                peer, COMM_TAG_EXCHANGE, m->comm,
                                requests_add(&m->exchange)),
                      "exchange"));
    }
    /* each rank starts with its right neighbour, so that not all write to rank 0 */
    for (int i = 1; i < c->size; i++) {
        const int peer = (c->rank + i) % c->size;
        if (out[peer].len > 0)
            TRY(post_send(c, &m->exchange, out[peer].data, out[peer].len, peer,
                          COMM_TAG_EXCHANGE));
    }
    return STATUS_OK;
}

static int mpi_exchange(struct comm *c, const struct buf *out, struct buf *in)
{
    struct mpi_comm *const m = mpi_of(c);
    for (int peer = 0; peer < c->size; peer++)
        m->out_bytes[peer] = (int64_t)out[peer].len;
    MPI_Request r;
    TRY(check(MPI_Ialltoall(m->out_bytes, 1, MPI_INT64_T, m->in_bytes, 1, MPI_INT64_T,
                            m->comm, &r),
              "exchange"));
    TRY(wait_all(&r, 1, "exchange"));
    TRY(post_exchange(c, out, in));
    if (out[c->rank].len > 0)
        memcpy(in[c->rank].data, out[c->rank].data, out[c->rank].len);
    return requests_finish(&m->exchange, "exchange");
}

static int mpi_allgather(struct comm *c, const void *mine, size_t bytes, void *all)
{
    char *const place = (char *)all + (size_t)c->rank * bytes;
    if (place != mine) /* mine may be in its place already */
        memcpy(place, mine, bytes);
    if (bytes <= c->chunk_bytes) {
        MPI_Request r;
        TRY(check(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, all, (int)bytes, MPI_BYTE,
                                 mpi_of(c)->comm, &r),
                  "allgather"));
        return wait_all(&r, 1, "allgather");
    }
    for (int rank = 0; rank < c->size; rank++)
        TRY(mpi_bcast(c, (char *)all + (size_t)rank * bytes, bytes, rank));
    return STATUS_OK;
}

static int mpi_min(struct comm *c, int64_t *value)
{
    const int64_t mine = *value;
    MPI_Request r;
    TRY(check(
        MPI_Iallreduce(&mine, value, 1, MPI_INT64_T, MPI_MIN, mpi_of(c)->comm, &r),
        "agreement"));
    return wait_all(&r, 1, "agreement");
}

static void mpi_abort(struct comm *c, int exit_status)
{
    fflush(NULL);
    (void)MPI_Abort(mpi_of(c)->comm, exit_status);
    _exit(exit_status);
}

static void mpi_free(struct comm *c)
{
    struct mpi_comm *const m = mpi_of(c);
    for (int i = 0; i < COMM_MAX_SENDS; i++)
        mem_free(m->sends[i].items);
    mem_free(m->exchange.items);
    mem_free(m->out_bytes);
    mem_free(m->in_bytes);
    if (m->is_world) {
        /* MPI_Finalize spins until all have come; wait for them asleep */
        if (mpi_barrier(c) == STATUS_OK)
            (void)MPI_Finalize();
    } else {
        (void)MPI_Comm_free(&m->comm);
    }
    mem_free(m);
}

static int create(struct comm **out, MPI_Comm comm, bool is_world);

static int mpi_split(struct comm **out, struct comm *c, int color, int key)
{
    MPI_Comm comm;
    TRY(mpi_barrier(c)); /* MPI_Comm_split has no nonblocking form: meet first */
    TRY(check(
        MPI_Comm_split(mpi_of(c)->comm, color < 0 ? MPI_UNDEFINED : color, key, &comm),
        "split"));
    if (comm != MPI_COMM_NULL)
        return create(out, comm, false);
    *out = NULL;
    return STATUS_OK;
}

static const struct comm_ops mpi_ops = {
    .split = mpi_split,
    .free = mpi_free,
    .abort = mpi_abort,
    .barrier = mpi_barrier,
    .bcast = mpi_bcast,
    .send_start = mpi_send_start,
    .send_finish = mpi_send_finish,
    .recv = mpi_recv,
    .exchange = mpi_exchange,
    .allgather = mpi_allgather,
    .min = mpi_min,
};

/* "mpi (Open MPI v4.1.4)": the library's version text up to its first comma */
static int name_transport(char *text, size_t size)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int len = 0;
    TRY(check(MPI_Get_library_version(version, &len), "version"));
    snprintf(text, size, "mpi (%.*s)", (int)strcspn(version, ",\n"), version);
    return STATUS_OK;
}

static int create(struct comm **out, MPI_Comm comm, bool is_world)
{
    struct mpi_comm *const m = mem_alloc(sizeof(*m));
    struct comm *const c = &m->base;
    int status;
    m->comm = comm;
    m->is_world = is_world;
    c->ops = &mpi_ops;
    c->chunk_bytes = CHUNK_BYTES;
    TRY_OUT(check(MPI_Comm_rank(comm, &c->rank), "rank"));
    TRY_OUT(check(MPI_Comm_size(comm, &c->size), "size"));
    TRY_OUT(name_transport(c->transport, sizeof(c->transport)));
    m->out_bytes = mem_alloc((size_t)c->size * sizeof(int64_t));
    m->in_bytes = mem_alloc((size_t)c->size * sizeof(int64_t));
    *out = c;
    return STATUS_OK;
out:
    mem_free(m);
    return status;
}

int comm_world_create(struct comm **out, int *argc, char ***argv)
{
    if (launch_size() == 0)
        return self_create(out);
    int provided = MPI_THREAD_SINGLE;
    TRY(check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "start"));
    if (provided < MPI_THREAD_FUNNELED)
        return ERR(ERR_COMM,
                   "this MPI library cannot run beside threads: it offers "
                   "level %d, MPI_THREAD_FUNNELED is %d",
                   provided, MPI_THREAD_FUNNELED);
    TRY(check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "start"));
    return create(out, MPI_COMM_WORLD, true);
}
