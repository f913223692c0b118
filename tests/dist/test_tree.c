/*
 * The gradient tree against a serial oracle, for every rank count 1..9 and leaf count
 * 1..17. Ranks are threads with a rendezvous transport: a send ends only when its
 * receiver has taken the data, so an order that could deadlock does.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/rng.h"
#include "dist/dist_private.h"
#include "tests/far_backend.h"

enum { MAX_RANKS = 9, MAX_LEAVES = 17, N = 37 };

struct parcel {
    const void *data;
    size_t bytes;
    int from, to;
    bool is_taken;
};

/* Shared by the threads of one world. */
struct hub {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct parcel parcels[MAX_RANKS * COMM_MAX_SENDS];
    int n_parcels, size;
    int n_met, meeting; /* the collective under way */
    int64_t min, result;
    const void *root_data;
};

struct thread_comm {
    struct comm base;
    struct hub *hub;
    struct parcel *slots[COMM_MAX_SENDS];
};

static struct hub *hub_of(struct comm *c) { return ((struct thread_comm *)c)->hub; }

static int thread_send_start(struct comm *c, int slot, const void *data, size_t bytes,
                             int to, int tag)
{
    assert_int_equal(tag, COMM_TAG_TREE);
    struct hub *const h = hub_of(c);
    pthread_mutex_lock(&h->lock);
    struct parcel *const p = &h->parcels[h->n_parcels++];
    *p = (struct parcel){.data = data, .bytes = bytes, .from = c->rank, .to = to};
    ((struct thread_comm *)c)->slots[slot] = p;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return STATUS_OK;
}

static int thread_send_finish(struct comm *c, int slot)
{
    struct hub *const h = hub_of(c);
    const struct parcel *const p = ((struct thread_comm *)c)->slots[slot];
    pthread_mutex_lock(&h->lock);
    while (!p->is_taken)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return STATUS_OK;
}

static struct parcel *find_parcel(struct hub *h, int from, int to)
{
    for (int i = 0; i < h->n_parcels; i++) {
        struct parcel *const p = &h->parcels[i];
        if (p->from == from && p->to == to && !p->is_taken)
            return p;
    }
    return NULL;
}

static int thread_recv(struct comm *c, void *data, size_t bytes, int from, int tag)
{
    assert_int_equal(tag, COMM_TAG_TREE);
    struct hub *const h = hub_of(c);
    struct parcel *p;
    pthread_mutex_lock(&h->lock);
    while ((p = find_parcel(h, from, c->rank)) == NULL)
        pthread_cond_wait(&h->changed, &h->lock);
    assert_int_equal(p->bytes, bytes);
    memcpy(data, p->data, bytes);
    p->is_taken = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return STATUS_OK;
}

/* Last one in opens the door. Called with the lock held. */
static void meet(struct hub *h)
{
    const int meeting = h->meeting;
    if (++h->n_met == h->size) {
        h->n_met = 0;
        h->meeting++;
        pthread_cond_broadcast(&h->changed);
    }
    while (h->meeting == meeting)
        pthread_cond_wait(&h->changed, &h->lock);
}

static int thread_bcast(struct comm *c, void *data, size_t bytes, int root)
{
    struct hub *const h = hub_of(c);
    pthread_mutex_lock(&h->lock);
    if (c->rank == root)
        h->root_data = data;
    meet(h);
    if (c->rank != root)
        memcpy(data, h->root_data, bytes);
    meet(h);
    pthread_mutex_unlock(&h->lock);
    return STATUS_OK;
}

static int thread_min(struct comm *c, int64_t *value)
{
    struct hub *const h = hub_of(c);
    pthread_mutex_lock(&h->lock);
    if (h->n_met == 0 || *value < h->min)
        h->min = *value;
    meet(h);
    *value = h->min;
    meet(h);
    pthread_mutex_unlock(&h->lock);
    return STATUS_OK;
}

static const struct comm_ops thread_ops = {.send_start = thread_send_start,
                                           .send_finish = thread_send_finish,
                                           .recv = thread_recv,
                                           .bcast = thread_bcast,
                                           .min = thread_min};

/* Values whose sum depends on the order: exponents over 2^40. */
static void leaf_values(int64_t l, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t r[4];
        rng_block(r, 11, RNG_TEST, (uint32_t)i, (uint32_t)l, 0, 0);
        const float mantissa = (float)(int32_t)r[0] * 0x1p-31F;
        dst[i] = mantissa * (float)(INT64_C(1) << (r[1] % 40));
    }
}

static void add(void *user, float *y, const float *x, int64_t n)
{
    (void)user;
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void add_far(void *user, float *y, const float *x, int64_t n)
{
    add(user, near_of(y), near_of(x), n);
}

struct rank {
    struct thread_comm c;
    int64_t n_leaves, next_leaf, bad_leaf; /* bad_leaf -1: none */
    int64_t n_computed;
    float out[N], scratch[5 * N + 1], host[6 * N];
    bool is_far; /* out and scratch are a device's memory */
    char message[200];
    int status;
    pthread_t thread;
};

static int leaf(void *user, int64_t l, float *dst)
{
    struct rank *const r = user;
    assert_int_equal(comm_leaf_owner(l, r->n_leaves, r->c.base.size), r->c.base.rank);
    assert_true(l >= r->next_leaf); /* ascending */
    r->next_leaf = l + 1;
    r->n_computed++;
    if (l == r->bad_leaf)
        return ERR(ERR_NUMERIC, "leaf %lld is bad", (long long)l);
    if ((l * 7 + r->c.base.rank) % 5 == 0)
        usleep(20); /* other interleavings */
    leaf_values(l, r->is_far ? near_of(dst) : dst, N);
    return STATUS_OK;
}

static void *run_rank(void *user)
{
    struct rank *const r = user;
    struct backend b = far_backend();
    struct comm_tree t = {
        .n_leaves = r->n_leaves, .n = N, .leaf = leaf, .add = add, .user = r};
    const int64_t depth = comm_tree_depth(r->n_leaves);
    r->scratch[depth * N] = 77.0F; /* guard */
    if (r->is_far) {
        t.add = add_far;
        t.b = &b;
        t.host = r->host;
    }
    r->status = comm_tree_sum(&r->c.base, &t, r->is_far ? far_of(r->out) : r->out,
                              r->is_far ? far_of(r->scratch) : r->scratch);
    snprintf(r->message, sizeof(r->message), "%s",
             r->status == STATUS_OK ? "" : status_message());
    assert_true(r->scratch[depth * N] == 77.0F);
    return NULL;
}

/* The definition, without cleverness: leaves padded to a power of two, pairs added. */
static void oracle(float *out, int64_t n_leaves)
{
    static float nodes[32][N];
    int64_t n = n_leaves;
    for (int64_t l = 0; l < n_leaves; l++)
        leaf_values(l, nodes[l], N);
    while (n > 1) {
        for (int64_t i = 0; i < (n + 1) / 2; i++) {
            memmove(nodes[i], nodes[2 * i], sizeof(nodes[0]));
            if (2 * i + 1 < n)
                add(NULL, nodes[i], nodes[2 * i + 1], N);
        }
        n = (n + 1) / 2;
    }
    memcpy(out, nodes[0], sizeof(nodes[0]));
}

static struct rank ranks[MAX_RANKS];

static void run_world(int size, int64_t n_leaves, int64_t bad_leaf, bool is_far)
{
    static struct hub hub;
    hub = (struct hub){.lock = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER,
                       .size = size};
    for (int i = 0; i < size; i++) {
        ranks[i] = (struct rank){
            .n_leaves = n_leaves, .bad_leaf = bad_leaf, .is_far = is_far};
        ranks[i].c = (struct thread_comm){
            .base = {.ops = &thread_ops, .rank = i, .size = size}, .hub = &hub};
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, run_rank, &ranks[i]),
                         0);
    }
    for (int i = 0; i < size; i++)
        pthread_join(ranks[i].thread, NULL);
}

static void test_same_bits_for_every_size(void **state)
{
    (void)state;
    for (int64_t n_leaves = 1; n_leaves <= MAX_LEAVES; n_leaves++) {
        float want[N];
        oracle(want, n_leaves);
        for (int i = 0; i < 2 * MAX_RANKS; i++) {
            const int size = i / 2 + 1;
            run_world(size, n_leaves, -1, i % 2);
            int64_t n_computed = 0;
            for (int r = 0; r < size; r++) {
                assert_int_equal(ranks[r].status, STATUS_OK);
                assert_memory_equal(ranks[r].out, want, sizeof(want));
                n_computed += ranks[r].n_computed;
            }
            assert_int_equal(n_computed, n_leaves);
        }
    }
}

/* The test above could not see a wrong order if order did not matter here. */
static void test_order_matters(void **state)
{
    (void)state;
    float tree[N], chain[N], value[N];
    oracle(tree, 8);
    leaf_values(0, chain, N);
    for (int64_t l = 1; l < 8; l++) {
        leaf_values(l, value, N);
        add(NULL, chain, value, N);
    }
    int n_different = 0;
    for (int i = 0; i < N; i++)
        n_different += tree[i] != chain[i];
    assert_true(n_different > N / 4);
}

static void test_failed_leaf_reaches_all(void **state)
{
    (void)state;
    for (int size = 1; size <= 4; size++)
        for (int64_t bad = 0; bad < 8; bad++) {
            run_world(size, 8, bad, bad % 2);
            const int owner = comm_leaf_owner(bad, 8, size);
            char want[64], text[32];
            snprintf(text, sizeof(text), "leaf %d is bad", (int)bad);
            snprintf(want, sizeof(want), "rank %d: %s", owner, text);
            for (int i = 0; i < size; i++) {
                assert_int_equal(ranks[i].status, ERR_NUMERIC);
                assert_string_equal(ranks[i].message, i == owner ? text : want);
            }
        }
}

static void test_owners_and_depth(void **state)
{
    (void)state;
    const int64_t depths[] = {0, 0, 1, 2, 2, 3, 3, 3, 3, 4};
    for (int64_t n = 1; n < ARRAY_LEN(depths); n++)
        assert_int_equal(comm_tree_depth(n), depths[n]);
    assert_int_equal(comm_tree_depth(1024), 10);
    assert_int_equal(comm_tree_depth(1025), 11);
    for (int size = 1; size <= 12; size++)
        for (int64_t n = 1; n <= 20; n++)
            for (int64_t l = 0; l < n; l++) {
                const int owner = comm_leaf_owner(l, n, size);
                assert_in_range(owner, 0, size - 1);
                assert_true(l == 0 ? owner == 0
                                   : owner >= comm_leaf_owner(l - 1, n, size));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owners_and_depth),
        cmocka_unit_test(test_order_matters),
        cmocka_unit_test(test_same_bits_for_every_size),
        cmocka_unit_test(test_failed_leaf_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
