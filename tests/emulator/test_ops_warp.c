/*
 * shfl, vote, match, redux, elect and bar.warp.sync against plain computations, with
 * member masks that leave lanes out and lanes that arrive apart.
 */
#include "tests/emulator/run_ptx.h"

/* What a lane holds before the exchange. */
static uint32_t held(uint32_t lane) { return lane * 2654435761u; }

static const char *const hold = "mul.lo.u32 %r10, %r1, 2654435761;\n";

enum { UP, DOWN, BFLY, IDX };
static const char *const modes[] = {"up", "down", "bfly", "idx"};

/* The ISA's own words: segments of width `width`, clamped for up at their begin. */
static uint32_t source_of(int32_t mode, uint32_t lane, uint32_t by, uint32_t width,
                          uint32_t *inside)
{
    const uint32_t begin = lane / width * width, end = begin + width - 1;
    int64_t from = lane;
    if (mode == UP)
        from = (int64_t)lane - by;
    else if (mode == DOWN)
        from = (int64_t)lane + by;
    else if (mode == BFLY)
        from = lane ^ by;
    else
        from = begin + by % width;
    *inside = mode == UP ? from >= begin : from <= end;
    return *inside != 0 ? (uint32_t)from : lane;
}

static void check_shuffle(int32_t mode, uint32_t by, uint32_t width)
{
    char body[512];
    const uint32_t c = (32 - width) << 8 | (mode == UP ? 0 : 31);
    snprintf(body, sizeof(body),
             "%sshfl.sync.%s.b32 %%r10|%%p0, %%r10, %u, %u, 0xffffffff;\n"
             "selp.u32 %%r11, 1, 0, %%p0;\nand.b32 %%r10, %%r10, 0xfffffffe;\n"
             "or.b32 %%r10, %%r10, %%r11;\nst.global.u32 [%%rd4], %%r10;\n",
             hold, modes[mode], by, c);
    uint32_t *const out = words_of(body, 1, 64);
    for (uint32_t n = 0; n < 64; n++) {
        uint32_t inside = 0;
        const uint32_t from = source_of(mode, n % 32, by, width, &inside);
        assert_int_equal(out[n], (held(n / 32 * 32 + from) & ~1u) | inside);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_shuffles(void **state)
{
    (void)state;
    for (int32_t mode = UP; mode <= IDX; mode++) {
        for (uint32_t width = 1; width <= 32; width *= 2) {
            for (uint32_t by = 0; by < 32; by += 1 + by / 3)
                check_shuffle(mode, by, width);
        }
    }
}

/* Half of the warp exchanges in each branch, with the other half's lanes elsewhere;
 * what comes from a lane that is not a member is all ones. */
static void test_shuffle_in_branches(void **state)
{
    (void)state;
    char body[512];
    snprintf(body, sizeof(body),
             "%sand.b32 %%r5, %%r1, 1;\nsetp.eq.u32 %%p0, %%r5, 0;\n@%%p0 bra EVEN;\n"
             "shfl.sync.bfly.b32 %%r11, %%r10, 2, 31, 0xaaaaaaaa;\nbra MEET;\n"
             "EVEN:\nshfl.sync.down.b32 %%r11, %%r10, 1, 31, 0x55555555;\n"
             "MEET:\nst.global.u32 [%%rd4], %%r11;\n",
             hold);
    uint32_t *const out = words_of(body, 1, 32);
    for (uint32_t n = 0; n < 32; n++)
        assert_int_equal(out[n], n % 2 == 0 ? 0xffffffff : held(n ^ 2));
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* Lanes that reach the same instruction at different times wait for all its members; a
 * mask of each lane's own group lets the groups go one by one. */
static void test_lanes_wait(void **state)
{
    (void)state;
    uint32_t *const out = words_of(
        "mov.u32 %r10, %r1;\nmov.u32 %r5, 0;\n"
        "TOP:\nsetp.ge.u32 %p0, %r5, %r1;\n@%p0 bra SYNC;\nadd.u32 %r5, %r5, 1;\n"
        "bra TOP;\n"
        "SYNC:\nsetp.lt.u32 %p1, %r1, 16;\nselp.b32 %r6, 0xffff, 0xffff0000, %p1;\n"
        "shfl.sync.idx.b32 %r11, %r5, 15, 31, %r6;\n"
        "bar.warp.sync -1;\nst.global.u32 [%rd4], %r11;\n",
        1, 32);
    for (uint32_t n = 0; n < 32; n++)
        assert_int_equal(out[n], n < 16 ? 15 : 0xffffffff);
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* Members of one mask write, and read each other's after the barrier. */
static void test_warp_barrier(void **state)
{
    (void)state;
    uint32_t *const out = words_of(
        ".shared .align 4 .b32 s[64];\nmov.u32 %r10, s;\nshl.b32 %r11, %r1, 2;\n"
        "add.u32 %r11, %r11, %r10;\nand.b32 %r5, %r1, 1;\nsetp.eq.u32 %p0, %r5, 0;\n"
        "@%p0 bra EVEN;\nst.shared.u32 [%r11], %r1;\nbra MEET;\n"
        "EVEN:\nadd.u32 %r12, %r1, 100;\nst.shared.u32 [%r11], %r12;\n"
        "MEET:\nbar.warp.sync 0xffffffff;\nxor.b32 %r13, %r11, 4;\n"
        "ld.shared.u32 %r14, [%r13];\nst.global.u32 [%rd4], %r14;\n",
        1, 64);
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], (n ^ 1) % 2 == 0 ? (n ^ 1) + 100 : n ^ 1);
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* A warp of 20 threads: the mask may name lanes that the block does not have. */
static void test_votes(void **state)
{
    (void)state;
    uint32_t *const out = words_of(
        "setp.lt.u32 %p0, %r1, 7;\nsetp.lt.u32 %p1, %r1, 99;\n"
        "vote.sync.ballot.b32 %r5, %p0, -1;\nvote.sync.all.pred %p2, %p0, -1;\n"
        "vote.sync.any.pred %p3, %p0, -1;\nvote.sync.uni.pred %p4, %p0, -1;\n"
        "vote.sync.all.pred %p5, %p1, -1;\nvote.sync.uni.pred %p6, !%p1, -1;\n"
        "vote.sync.any.pred %p7, !%p1, -1;\nselp.u32 %r6, 1, 0, %p2;\n"
        "@%p3 or.b32 %r6, %r6, 2;\n@%p4 or.b32 %r6, %r6, 4;\n@%p5 or.b32 %r6, %r6, 8;\n"
        "@%p6 or.b32 %r6, %r6, 16;\n@%p7 or.b32 %r6, %r6, 32;\nshl.b32 %r6, %r6, 20;\n"
        "or.b32 %r5, %r5, %r6;\nst.global.u32 [%rd4], %r5;\n",
        1, 20);
    for (uint32_t n = 0; n < 20; n++)
        assert_int_equal(out[n], 0x7f + (2 + 8 + 16) * (1u << 20));
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_matches(void **state)
{
    (void)state;
    uint32_t *const out = words_of(
        "rem.u32 %r5, %r1, 5;\nmatch.any.sync.b32 %r6, %r5, -1;\n"
        "mul.wide.u32 %rd5, %r5, 1000000;\nshl.b64 %rd5, %rd5, 20;\n"
        "match.any.sync.b64 %r7, %rd5, -1;\nxor.b32 %r6, %r6, %r7;\n"
        "setp.ne.u32 %p0, %r6, 0;\n@%p0 trap;\n"
        "match.all.sync.b32 %r8|%p1, %r5, -1;\n@%p1 trap;\nsetp.ne.u32 %p2, %r8, 0;\n"
        "@%p2 trap;\nmatch.all.sync.b32 %r9|%p3, 4, -1;\n@!%p3 trap;\n"
        "setp.ne.u32 %p2, %r9, 0xffffffff;\n@%p2 trap;\n"
        "match.all.sync.b32 %r8, %r5, %r7;\nsetp.ne.u32 %p2, %r8, %r7;\n@%p2 trap;\n"
        "st.global.u32 [%rd4], %r7;\n",
        1, 32);
    for (uint32_t n = 0; n < 32; n++) {
        uint32_t want = 0;
        for (uint32_t k = n % 5; k < 32; k += 5)
            want |= 1u << k;
        assert_int_equal(out[n], want);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_reductions(void **state)
{
    (void)state;
    static const char *const ops[] = {"add.u32", "add.s32", "min.u32",
                                      "max.u32", "min.s32", "max.s32",
                                      "and.b32", "or.b32",  "xor.b32"};
    for (int64_t k = 0; k < ARRAY_LEN(ops); k++) {
        char body[512];
        snprintf(
            body, sizeof(body),
            "%ssetp.lt.u32 %%p0, %%r1, 9;\nselp.b32 %%r5, 0x1ff, 0xfffffe00, %%p0;\n"
            "redux.sync.%s %%r10, %%r10, %%r5;\nst.global.u32 [%%rd4], %%r10;\n",
            hold, ops[k]);
        uint32_t *const out = words_of(body, 1, 32);
        for (uint32_t n = 0; n < 32; n++) {
            const uint32_t first = n < 9 ? 0 : 9, end = n < 9 ? 9 : 32;
            uint32_t v = held(first);
            for (uint32_t m = first + 1; m < end; m++) {
                const uint32_t x = held(m);
                const int32_t sv = (int32_t)v, sx = (int32_t)x;
                const uint32_t all[] = {v + x,         v + x,           v < x ? v : x,
                                        v > x ? v : x, sv < sx ? v : x, sv > sx ? v : x,
                                        v & x,         v | x,           v ^ x};
                v = all[k];
            }
            assert_int_equal(out[n], v);
        }
        assert_int_equal(machine_free(out), STATUS_OK);
    }
}

static void test_elections(void **state)
{
    (void)state;
    uint32_t *const out = words_of(
        "mov.u32 %r6, 0;\nsetp.lt.u32 %p0, %r1, 9;\n@%p0 bra LOW;\n"
        "elect.sync %r5|%p1, 0xfffffe00;\nelect.sync _|%p2, 0xfffffe00;\n"
        "@!%p2 bra MEET;\nadd.u32 %r6, %r6, 100;\nbra MEET;\n"
        "LOW:\nelect.sync %r5|%p1, 0x1ff;\n"
        "MEET:\n@%p1 add.u32 %r6, %r6, 1000;\nadd.u32 %r6, %r6, %r5;\n"
        "st.global.u32 [%rd4], %r6;\n",
        1, 32);
    for (uint32_t n = 0; n < 32; n++)
        assert_int_equal(out[n], n == 0 ? 1000 : n < 9 ? 0 : n == 9 ? 1109 : 9);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_faults(void **state)
{
    (void)state;
    must_fault("shfl.sync.idx.b32 %r5, %r1, 0, 31, 0xffff;\n", 1, 32, 0, "thread (16",
               "not in its own member mask 0x0000ffff", NULL);
    must_fault("setp.eq.u32 %p0, %r1, 3;\n@%p0 ret;\nbar.warp.sync -1;\n", 1, 32, 0,
               "names lanes 0x00000008, which have exited", NULL);
    must_fault("setp.eq.u32 %p0, %r1, 3;\nselp.b32 %r5, 0x8, 0xffffffff, %p0;\n"
               "vote.sync.any.pred %p1, %p0, %r5;\n",
               1, 32, 0, "here with another mask", NULL);
    /* the other half never comes */
    must_fault("setp.lt.u32 %p0, %r1, 16;\n@%p0 bra A;\nbar.sync 0;\nret;\n"
               "A:\nbar.warp.sync -1;\n",
               1, 32, 0, "deadlock", "bar.warp.sync", "bar.sync", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffles),   cmocka_unit_test(test_shuffle_in_branches),
        cmocka_unit_test(test_lanes_wait), cmocka_unit_test(test_warp_barrier),
        cmocka_unit_test(test_votes),      cmocka_unit_test(test_matches),
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_elections),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
