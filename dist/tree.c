/*
 * The gradient tree. A node is a range of leaves whose length is a power of two; its
 * value lives on the owner of its first leaf. Ranks own runs of consecutive leaves, so
 * each walks the tree left to right and sees only nodes that hold a leaf of its own: it
 * computes leaves, adds children, receives a right child that another rank owns, and
 * sends a right child whose parent another rank owns.
 *
 * Buffers: a walk down the left edge holds at most one value per level and the one it
 * works on, which is depth + 1 arrays (out and scratch). Sends do not wait: a rank goes
 * on with its next leaf, and waits for a send only when it needs that array again. A
 * rank receives only when its leaves are done. Every message goes from a node to a
 * later one in the walk's order, so waiting in that order cannot deadlock.
 */
#include <stdbool.h>

#include "core/ops.h"
#include "dist/dist_private.h"

struct walk {
    struct comm *c;
    const struct comm_tree *t;
    float *slots[COMM_MAX_SENDS]; /* depth + 1 of them */
    bool is_used[COMM_MAX_SENDS];
    int in_flight[COMM_MAX_SENDS]; /* slots being sent, oldest first */
    int n_slots, n_in_flight;
    int64_t first, last; /* own leaves: first .. last - 1 */
    int status;          /* of the leaves; after a failure only the messages go on */
};

int64_t comm_tree_depth(int64_t n_leaves)
{
    int64_t depth = 0;
    while (depth < 62 && (INT64_C(1) << depth) < n_leaves)
        depth++;
    return depth;
}

int comm_leaf_owner(int64_t l, int64_t n_leaves, int size)
{
    return (int)(l * size / n_leaves);
}

/* The first leaf of `rank`: the smallest l with l * size / n_leaves >= rank. */
static int64_t first_leaf(int rank, int64_t n_leaves, int size)
{
    return (rank * n_leaves + size - 1) / size;
}

static int finish_oldest(struct walk *w)
{
    const int slot = w->in_flight[0];
    TRY(w->c->ops->send_finish(w->c, slot));
    w->n_in_flight--;
    for (int i = 0; i < w->n_in_flight; i++)
        w->in_flight[i] = w->in_flight[i + 1];
    w->is_used[slot] = false;
    return STATUS_OK;
}

static int take_slot(struct walk *w, int *slot_out)
{
    for (;;) {
        for (int i = 0; i < w->n_slots; i++)
            if (!w->is_used[i]) {
                w->is_used[i] = true;
                *slot_out = i;
                return STATUS_OK;
            }
        CHECK(w->n_in_flight > 0, "gradient tree: %d arrays are too few", w->n_slots);
        TRY(finish_oldest(w));
    }
}

static int compute_leaf(struct walk *w, int64_t l, int *slot_out)
{
    TRY(take_slot(w, slot_out));
    if (w->status == STATUS_OK)
        w->status = w->t->leaf(w->t->user, l, w->slots[*slot_out]);
    return STATUS_OK;
}

static size_t n_bytes(const struct walk *w) { return (size_t)w->t->n * sizeof(float); }

/* Where the transport reads and writes the value of a slot */
static float *host_of(const struct walk *w, int slot)
{
    return w->t->b == NULL ? w->slots[slot] : w->t->host + slot * w->t->n;
}

static void bring_to_host(const struct walk *w, int slot)
{
    if (w->t->b != NULL)
        w->t->b->download(w->t->b, host_of(w, slot), w->slots[slot], n_bytes(w));
}

static void take_from_host(const struct walk *w, int slot)
{
    if (w->t->b != NULL)
        w->t->b->upload(w->t->b, w->slots[slot], host_of(w, slot), n_bytes(w));
}

static int send_right(struct walk *w, int slot, int to)
{
    bring_to_host(w, slot);
    TRY(w->c->ops->send_start(w->c, slot, host_of(w, slot), n_bytes(w), to,
                              COMM_TAG_TREE));
    w->in_flight[w->n_in_flight++] = slot;
    return STATUS_OK;
}

/* left += right, wherever right is */
static int add_right(struct walk *w, int left, int right, int right_owner)
{
    if (right_owner != w->c->rank) {
        TRY(take_slot(w, &right));
        TRY(w->c->ops->recv(w->c, host_of(w, right), n_bytes(w), right_owner,
                            COMM_TAG_TREE));
        take_from_host(w, right);
    }
    if (w->status == STATUS_OK)
        w->t->add(w->t->user, w->slots[left], w->slots[right], w->t->n);
    w->is_used[right] = false;
    return STATUS_OK;
}

/* Leaves lo .. lo + 2^level - 1. *slot_out: where this rank holds the value; -1 when
 * another rank does. */
static int visit(struct walk *w, int64_t lo, int64_t level, int *slot_out)
{
    const int64_t n_leaves = w->t->n_leaves;
    const int64_t mid = lo + (level == 0 ? 1 : INT64_C(1) << (level - 1));
    *slot_out = -1;
    if (lo >= w->last || lo + (INT64_C(1) << level) <= w->first)
        return STATUS_OK;
    if (level == 0)
        return compute_leaf(w, lo, slot_out);
    int left, right;
    TRY(visit(w, lo, level - 1, &left));
    if (mid < n_leaves) {
        const int left_owner = comm_leaf_owner(lo, n_leaves, w->c->size);
        const int right_owner = comm_leaf_owner(mid, n_leaves, w->c->size);
        TRY(visit(w, mid, level - 1, &right));
        if (left_owner == w->c->rank)
            TRY(add_right(w, left, right, right_owner));
        else if (right_owner == w->c->rank)
            TRY(send_right(w, right, left_owner));
    }
    *slot_out = left;
    return STATUS_OK;
}

int comm_tree_sum(struct comm *c, const struct comm_tree *t, float *out, float *scratch)
{
    const int64_t depth = comm_tree_depth(t->n_leaves);
    CHECK(t->n_leaves >= 1 && depth < COMM_MAX_SENDS && t->n >= 0,
          "gradient tree of %lld leaves of %lld", (long long)t->n_leaves,
          (long long)t->n);
    CHECK(t->b == NULL || t->host != NULL || c->size == 1,
          "a device's gradient tree over %d ranks without host memory", c->size);
    struct walk w = {.c = c, .t = t, .n_slots = (int)depth + 1};
    w.first = first_leaf(c->rank, t->n_leaves, c->size);
    w.last = first_leaf(c->rank + 1, t->n_leaves, c->size);
    w.slots[0] = out;
    for (int i = 1; i < w.n_slots; i++)
        w.slots[i] = scratch + (i - 1) * t->n;
    int root;
    TRY(visit(&w, 0, depth, &root));
    while (w.n_in_flight > 0)
        TRY(finish_oldest(&w));
    /* Rank 0's leaf 0 took the first slot, which is out, and became the root. */
    CHECK(root == (c->rank == 0 ? 0 : -1), "root in array %d", root);
    TRY(comm_agree(c, w.status));
    if (c->size == 1)
        return STATUS_OK;
    if (c->rank == 0)
        bring_to_host(&w, 0);
    TRY(comm_bcast(c, host_of(&w, 0), n_bytes(&w), 0));
    if (c->rank > 0)
        take_from_host(&w, 0);
    return STATUS_OK;
}
