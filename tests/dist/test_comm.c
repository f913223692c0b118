/*
 * The world communicator, as one rank alone (plain start) or under mpirun
 * (tests/run_mpi.sh, 1..5 ranks): every rank runs the same tests. An argument names a
 * way to end badly, whose exit status the script checks.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/rng.h"
#include "dist/dist_private.h"

static struct comm *world;

static unsigned char byte_at(int64_t a, int64_t b, size_t i)
{
    return (unsigned char)(i * 31 + (size_t)a * 7 + (size_t)b * 13 + i / 251);
}

static void fill(char *data, size_t n, int64_t a, int64_t b)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (char)byte_at(a, b, i);
}

static void expect(const char *data, size_t n, int64_t a, int64_t b)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)data[i] != byte_at(a, b, i))
            fail_msg("byte %zu of %zu is %d, expected %d", i, n, data[i],
                     byte_at(a, b, i));
}

static void test_identity(void **state)
{
    (void)state;
    assert_in_range(comm_rank(world), 0, comm_size(world) - 1);
    if (launch_size() == 0)
        assert_string_equal(comm_transport(world), "self");
    else
        assert_memory_equal(comm_transport(world), "mpi (", 5);
    if (launch_size() > 0)
        assert_int_equal(comm_size(world), launch_size());
}

static void test_bcast(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 999, 1000, 1001, 2500000};
    for (int64_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int root = 0; root < comm_size(world); root++) {
            char *const data = mem_alloc(sizes[i]);
            if (comm_rank(world) == root)
                fill(data, sizes[i], root, i);
            assert_int_equal(comm_bcast(world, data, sizes[i], root), STATUS_OK);
            expect(data, sizes[i], root, i);
            mem_free(data);
        }
}

/* Round the ring, one edge at a time (blocking calls), rank 0 starting. */
static void test_send_recv(void **state)
{
    (void)state;
    const int rank = comm_rank(world), size = comm_size(world);
    const size_t sizes[] = {0, 1, 1000, 3001, 700000};
    if (size == 1)
        return;
    char *const data = mem_alloc(700000);
    for (int64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        if (rank > 0) {
            assert_int_equal(comm_recv(world, data, sizes[i], rank - 1, 5), STATUS_OK);
            expect(data, sizes[i], rank - 1, i);
        }
        fill(data, sizes[i], rank, i);
        assert_int_equal(comm_send(world, data, sizes[i], (rank + 1) % size, 5),
                         STATUS_OK);
        if (rank == 0) {
            assert_int_equal(comm_recv(world, data, sizes[i], size - 1, 5), STATUS_OK);
            expect(data, sizes[i], size - 1, i);
        }
    }
    mem_free(data);
}

static void test_wrong_length(void **state)
{
    (void)state;
    char data[64] = {0};
    if (comm_size(world) > 1 && comm_rank(world) == 0)
        assert_int_equal(comm_send(world, data, 10, 1, 9), STATUS_OK);
    if (comm_rank(world) == 1) {
        assert_int_equal(comm_recv(world, data, 20, 0, 9), ERR_COMM);
        assert_non_null(strstr(status_message(), "10 bytes"));
    }
}

static size_t exchange_bytes(int from, int to, int round)
{
    const size_t sizes[] = {0, 17, 1000, 250001, 2000, 1};
    return sizes[(from * 5 + to * 3 + round) % ARRAY_LEN(sizes)];
}

static void test_exchange(void **state)
{
    (void)state;
    const int rank = comm_rank(world), size = comm_size(world);
    struct buf *const out = mem_alloc((size_t)size * sizeof(*out));
    struct buf *const in = mem_alloc((size_t)size * sizeof(*in));
    for (int round = 0; round < 6; round++) {
        for (int to = 0; to < size; to++) {
            buf_reset(&out[to]);
            comm_buf_resize(&out[to], exchange_bytes(rank, to, round));
            fill(out[to].data, out[to].len, rank * 10 + to, round);
        }
        assert_int_equal(comm_exchange(world, out, in), STATUS_OK);
        for (int from = 0; from < size; from++) {
            assert_int_equal(in[from].len, exchange_bytes(from, rank, round));
            expect(in[from].data, in[from].len, from * 10 + rank, round);
            assert_int_equal(in[from].data[in[from].len], 0);
        }
    }
    for (int i = 0; i < size; i++) {
        buf_release(&out[i]);
        buf_release(&in[i]);
    }
    mem_free(out);
    mem_free(in);
}

static void test_allgather(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 4, 1000, 1001, 123457};
    const int rank = comm_rank(world), size = comm_size(world);
    for (int64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *const mine = mem_alloc(sizes[i]);
        char *const all = mem_alloc(sizes[i] * (size_t)size);
        fill(mine, sizes[i], rank, i);
        assert_int_equal(comm_allgather(world, mine, sizes[i], all), STATUS_OK);
        for (int r = 0; r < size; r++)
            expect(all + (size_t)r * sizes[i], sizes[i], r, i);
        mem_free(mine);
        mem_free(all);
    }
}

static void test_agree(void **state)
{
    (void)state;
    const int rank = comm_rank(world), size = comm_size(world);
    assert_int_equal(comm_agree(world, STATUS_OK), STATUS_OK);
    for (int bad = 0; bad < size; bad++) {
        const int mine = rank == bad ? ERR(ERR_INPUT, "file %d is bad", bad)
                                     : STATUS_OK;
        assert_int_equal(comm_agree(world, mine), ERR_INPUT);
        char want[64], text[32];
        snprintf(text, sizeof(text), "file %d is bad", bad);
        snprintf(want, sizeof(want), "rank %d: %s", bad, text);
        assert_string_equal(status_message(), rank == bad ? text : want);
    }
    /* all fail, the last with the smallest code; equal codes: the first rank's text */
    const bool is_last = rank == size - 1;
    const int worst = is_last ? ERR(ERR_MEMORY, "last") : ERR(ERR_USAGE, "not last");
    assert_int_equal(comm_agree(world, worst), ERR_MEMORY);
    assert_non_null(strstr(status_message(), "last"));
    assert_null(strstr(status_message(), "not last"));
    assert_int_equal(comm_agree(world, ERR(ERR_IO, "from %d", rank)), ERR_IO);
    assert_non_null(strstr(status_message(), "from 0"));
}

static void test_split(void **state)
{
    (void)state;
    const int rank = comm_rank(world), size = comm_size(world);
    struct comm *half, *none;
    /* odd and even ranks, in descending order */
    assert_int_equal(comm_split(&half, world, rank % 2, size - rank), STATUS_OK);
    const int n = rank % 2 == 0 ? (size + 1) / 2 : size / 2;
    assert_int_equal(comm_size(half), n);
    assert_int_equal(comm_rank(half), n - 1 - rank / 2);
    int *const all = mem_alloc((size_t)size * sizeof(int));
    assert_int_equal(comm_allgather(half, &rank, sizeof(rank), all), STATUS_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(all[i], rank % 2 + 2 * (n - 1 - i));
    mem_free(all);
    comm_free(half);
    /* only rank 0 goes in; no rank at all */
    assert_int_equal(comm_split(&none, world, rank == 0 ? 3 : -1, 0), STATUS_OK);
    assert_true((none != NULL) == (rank == 0));
    comm_free(none);
    assert_int_equal(comm_split(&none, world, -1, 0), STATUS_OK);
    assert_null(none);
}

enum { LEAF_N = 5003 };

static int leaf(void *user, int64_t l, float *dst)
{
    (void)user;
    for (int64_t i = 0; i < LEAF_N; i++) {
        uint32_t r[4];
        rng_block(r, 5, RNG_TEST, (uint32_t)i, (uint32_t)l, 0, 0);
        dst[i] = (float)(int32_t)r[0] * (float)(INT64_C(1) << (r[1] % 30));
    }
    return STATUS_OK;
}

static void add(void *user, float *y, const float *x, int64_t n)
{
    (void)user;
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void sum_leaves(struct comm *c, int64_t n_leaves, float *out)
{
    float *const scratch = mem_alloc((size_t)comm_tree_depth(n_leaves) * LEAF_N *
                                     sizeof(float));
    const struct comm_tree t = {n_leaves, LEAF_N, leaf, add, NULL};
    assert_int_equal(comm_tree_sum(c, &t, out, scratch), STATUS_OK);
    mem_free(scratch);
}

/* Each communicator of the first 1..size ranks gives the bits of one rank alone. */
static void test_tree(void **state)
{
    (void)state;
    const int rank = comm_rank(world);
    static float want[LEAF_N], got[LEAF_N];
    struct comm *alone;
    assert_int_equal(self_create(&alone), STATUS_OK);
    for (int size = 1; size <= comm_size(world); size++) {
        struct comm *part;
        assert_int_equal(comm_split(&part, world, rank < size ? 0 : -1, rank),
                         STATUS_OK);
        if (part == NULL)
            continue;
        part->chunk_bytes = 3000; /* several chunks a message */
        for (int64_t n_leaves = 1; n_leaves <= 11; n_leaves += n_leaves < 4 ? 1 : 4) {
            sum_leaves(alone, n_leaves, want);
            sum_leaves(part, n_leaves, got);
            assert_memory_equal(got, want, sizeof(want));
        }
        comm_free(part);
    }
    comm_free(alone);
}

static double cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

/* Ranks that wait leave their core to others. */
static void test_waiting_sleeps(void **state)
{
    (void)state;
    assert_int_equal(comm_barrier(world), STATUS_OK);
    const double before = cpu_s();
    if (comm_rank(world) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    assert_int_equal(comm_barrier(world), STATUS_OK);
    const double used = cpu_s() - before;
    if (used > 0.15)
        fail_msg("waiting 0.4 s used %.3f s of processor time", used);
}

/* After the first call a step's collectives allocate nothing. */
static void test_no_allocation(void **state)
{
    (void)state;
    static float out[LEAF_N], scratch[3 * LEAF_N];
    const struct comm_tree t = {8, LEAF_N, leaf, add, NULL};
    int64_t before = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(comm_tree_sum(world, &t, out, scratch), STATUS_OK);
        assert_int_equal(comm_agree(world, STATUS_OK), STATUS_OK);
        if (i == 0)
            before = mem_count();
    }
    assert_int_equal(mem_count(), before);
}

/* One rank misbehaves, the rest wait for it. */
static void end_badly(const char *how)
{
    const bool is_bad = comm_rank(world) == comm_size(world) - 1;
    if (watchdog_start(world, 1.0) != STATUS_OK)
        exit(99);
    watchdog_beat("exchange");
    if (is_bad && strcmp(how, "stop") == 0)
        raise(SIGSTOP);
    if (is_bad && strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (is_bad && strcmp(how, "abort") == 0)
        comm_abort(world, 85);
    exit(comm_barrier(world) == STATUS_OK ? 98 : 97);
}

int main(int argc, char **argv)
{
    if (comm_world_create(&world, &argc, &argv) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    if (argc > 1)
        end_badly(argv[1]);
    world->chunk_bytes = 1000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),      cmocka_unit_test(test_bcast),
        cmocka_unit_test(test_send_recv),     cmocka_unit_test(test_wrong_length),
        cmocka_unit_test(test_exchange),      cmocka_unit_test(test_allgather),
        cmocka_unit_test(test_agree),         cmocka_unit_test(test_split),
        cmocka_unit_test(test_tree),          cmocka_unit_test(test_waiting_sleeps),
        cmocka_unit_test(test_no_allocation),
    };
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_free(world);
    return n_failed;
}
