/*
 * bar and barrier: phases, counts, arrivals without a wait, reductions, exited warps,
 * and what must end in a fault, in several orders of the warps.
 */
#include "tests/emulator/run_ptx.h"

#include "emulator/settings.h"

static const uint64_t seeds[] = {0, 1, 2, 3, 1234567};

static void set_seed(uint64_t seed)
{
    struct emulator_settings s = *emulator_settings();
    s.seed = seed;
    emulator_settings_override(&s);
}

/* Runs a body under every seed; `check` sees the words of argument 0. */
static void under_seeds(const char *body, int32_t blocks, int32_t threads,
                        void (*check)(const uint32_t *out))
{
    for (int64_t k = 0; k < ARRAY_LEN(seeds); k++) {
        set_seed(seeds[k]);
        uint32_t *const out = words_of(body, blocks, threads);
        check(out);
        assert_int_equal(machine_free(out), STATUS_OK);
    }
    set_seed(0);
}

/* 50 rounds: each thread reads what its neighbour wrote in the round before. */
static void check_rounds(const uint32_t *out)
{
    for (uint32_t n = 0; n < 2 * 160; n++)
        assert_int_equal(out[n], (n % 160 + 50) % 160);
}

static void test_rounds(void **state)
{
    (void)state;
    under_seeds(".shared .align 4 .b32 ring[160];\nmov.u32 %r10, ring;\n"
                "shl.b32 %r11, %r1, 2;\nadd.u32 %r11, %r11, %r10;\n"
                "add.u32 %r12, %r1, 1;\nrem.u32 %r12, %r12, 160;\n"
                "shl.b32 %r12, %r12, 2;\nadd.u32 %r12, %r12, %r10;\n"
                "st.shared.u32 [%r11], %r1;\nmov.u32 %r5, 0;\n"
                "TOP:\nbar.sync 0;\nld.shared.u32 %r6, [%r12];\nbar.sync 0;\n"
                "st.shared.u32 [%r11], %r6;\nadd.u32 %r5, %r5, 1;\n"
                "setp.lt.u32 %p0, %r5, 50;\n@%p0 bra TOP;\n"
                "st.global.u32 [%rd4], %r6;\n",
                2, 160, check_rounds);
}

/* Two groups of warps, each with a barrier of its own and its own number of rounds. */
static void check_groups(const uint32_t *out)
{
    for (uint32_t n = 0; n < 192; n++)
        assert_int_equal(out[n], n < 64 ? 40 * 64 : 7 * 128);
}

static void test_groups(void **state)
{
    (void)state;
    under_seeds(
        ".shared .align 4 .b32 sums[2];\n"
        "setp.lt.u32 %p0, %r1, 64;\nselp.u32 %r5, 0, 1, %p0;\n"
        "selp.u32 %r6, 64, 128, %p0;\nselp.u32 %r7, 40, 7, %p0;\n"
        "mov.u32 %r10, sums;\nshl.b32 %r11, %r5, 2;\nadd.u32 %r10, %r10, %r11;\n"
        "add.u32 %r5, %r5, 3;\nand.b32 %r8, %r1, 191;\nand.b32 %r9, %r8, 63;\n"
        "setp.eq.u32 %p2, %r9, 0;\nsetp.lt.u32 %p3, %r8, 128;\nand.pred %p2, %p2, "
        "%p3;\n"
        "@%p2 st.shared.u32 [%r10], 0;\nbar.sync %r5, %r6;\n"
        "TOP:\natom.shared.add.u32 %r12, [%r10], 1;\nbar.sync %r5, %r6;\n"
        "sub.u32 %r7, %r7, 1;\nsetp.ne.u32 %p1, %r7, 0;\n@%p1 bra TOP;\n"
        "ld.shared.u32 %r13, [%r10];\nst.global.u32 [%rd4], %r13;\n",
        1, 192, check_groups);
}

/* A producer arrives at "full" and waits for "empty", a consumer the other way round.
 */
static void check_pipe(const uint32_t *out)
{
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], n < 32 ? 0 : 30 * 29 / 2 * 100 + 30 * (n % 32));
}

static void test_pipe(void **state)
{
    (void)state;
    under_seeds(".shared .align 4 .b32 slot[32];\nmov.u32 %r10, slot;\n"
                "and.b32 %r11, %r1, 31;\nshl.b32 %r12, %r11, 2;\n"
                "add.u32 %r10, %r10, %r12;\nmov.u32 %r5, 0;\nmov.u32 %r6, 0;\n"
                "setp.ge.u32 %p0, %r1, 32;\n@%p0 bra CONSUME;\n"
                "PRODUCE:\nbar.sync 2, 64;\nmad.lo.u32 %r7, %r5, 100, %r11;\n"
                "st.shared.u32 [%r10], %r7;\nbar.arrive 1, 64;\n"
                "add.u32 %r5, %r5, 1;\nsetp.lt.u32 %p1, %r5, 30;\n@%p1 bra PRODUCE;\n"
                "ret;\n"
                "CONSUME:\nbar.arrive 2, 64;\nbar.sync 1, 64;\n"
                "ld.shared.u32 %r7, [%r10];\nadd.u32 %r6, %r6, %r7;\n"
                "add.u32 %r5, %r5, 1;\nsetp.lt.u32 %p1, %r5, 30;\n@%p1 bra CONSUME;\n"
                "st.global.u32 [%rd4], %r6;\n",
                1, 64, check_pipe);
}

static void check_reductions(const uint32_t *out)
{
    /* three barriers: a count of the even, whether all are even, whether any is 70 */
    for (uint32_t n = 0; n < 96; n++)
        assert_int_equal(out[n], 48 + (0 << 8) + (1 << 9));
}

static void test_reductions(void **state)
{
    (void)state;
    under_seeds("and.b32 %r5, %r1, 1;\nsetp.eq.u32 %p0, %r5, 0;\n"
                "setp.eq.u32 %p1, %r1, 70;\n"
                "bar.red.popc.u32 %r6, 1, 96, %p0;\nbar.red.and.pred %p2, 1, %p0;\n"
                "barrier.cta.red.or.aligned.pred %p3, 0, %p1;\n"
                "selp.u32 %r7, 256, 0, %p2;\nselp.u32 %r8, 512, 0, %p3;\n"
                "add.u32 %r6, %r6, %r7;\nadd.u32 %r6, %r6, %r8;\n"
                "st.global.u32 [%rd4], %r6;\n",
                1, 96, check_reductions);
}

/* Warps and lanes that have exited are not waited for. */
static void check_exited(const uint32_t *out)
{
    for (uint32_t n = 0; n < 128; n++)
        assert_int_equal(out[n], n >= 32 && n < 100 ? 68 : 0);
}

static void test_exited(void **state)
{
    (void)state;
    under_seeds(".shared .align 4 .b32 sum;\nsetp.lt.u32 %p0, %r1, 32;\n@%p0 ret;\n"
                "setp.eq.u32 %p1, %r1, 40;\n@%p1 st.shared.u32 [sum], 0;\nbar.sync 0;\n"
                "setp.ge.u32 %p2, %r1, 100;\n@%p2 exit;\n"
                "atom.shared.add.u32 %r5, [sum], 1;\nbar.sync 0;\n"
                "ld.shared.u32 %r6, [sum];\nst.global.u32 [%rd4], %r6;\n",
                1, 128, check_exited);
}

/* The lanes of a diverged warp arrive apart, at a barrier that need not be aligned. */
static void check_apart(const uint32_t *out)
{
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], 64);
}

static void test_apart(void **state)
{
    (void)state;
    under_seeds(".shared .align 4 .b32 sum;\nsetp.eq.u32 %p0, %r1, 0;\n"
                "@%p0 st.shared.u32 [sum], 0;\nbar.sync 0;\n"
                "and.b32 %r5, %r1, 3;\nsetp.eq.u32 %p1, %r5, 3;\n@%p1 bra OTHER;\n"
                "atom.shared.add.u32 %r6, [sum], 1;\nbarrier.sync 5;\nbra MEET;\n"
                "OTHER:\natom.shared.add.u32 %r6, [sum], 1;\nbarrier.sync 5;\n"
                "MEET:\nld.shared.u32 %r7, [sum];\nst.global.u32 [%rd4], %r7;\n",
                1, 64, check_apart);
}

/* The barrier of a cluster, which is one block here, in two steps. */
static void check_cluster(const uint32_t *out)
{
    for (uint32_t n = 0; n < 96; n++)
        assert_int_equal(out[n], 96 * 3);
}

static void test_cluster(void **state)
{
    (void)state;
    under_seeds(".shared .align 4 .b32 sum;\nsetp.eq.u32 %p0, %r1, 0;\n"
                "@%p0 st.shared.u32 [sum], 0;\nmov.u32 %r5, 0;\n"
                "barrier.cluster.arrive.release.aligned;\n"
                "barrier.cluster.wait.acquire.aligned;\n"
                "TOP:\natom.shared.add.u32 %r6, [sum], 1;\n"
                "barrier.cluster.arrive;\nbarrier.cluster.wait;\n"
                "add.u32 %r5, %r5, 1;\nsetp.lt.u32 %p1, %r5, 3;\n@%p1 bra TOP;\n"
                "ld.shared.u32 %r7, [sum];\nst.global.u32 [%rd4], %r7;\n",
                1, 96, check_cluster);
}

static void test_faults(void **state)
{
    (void)state;
    /* the second warp has gone and cannot bring the count */
    must_fault("setp.ge.u32 %p0, %r1, 32;\n@%p0 ret;\nbar.sync 1, 64;\n", 1, 64, 0,
               "deadlock", "warp 0", "bar.sync", NULL);
    /* each warp at a barrier of its own, of both */
    must_fault("shr.u32 %r5, %r1, 5;\nbar.sync %r5, 64;\n", 1, 64, 0, "deadlock",
               "warp 0", "warp 1", NULL);
    /* half a warp at an aligned barrier, the other half at another */
    must_fault("setp.lt.u32 %p0, %r1, 16;\n@%p0 bra A;\nbar.sync 0;\nbra B;\n"
               "A:\nbar.sync 0;\nB:\n",
               1, 32, 0, "deadlock", "lanes 0x0000ffff", "lanes 0xffff0000", NULL);
    must_fault("shr.u32 %r5, %r1, 5;\nsetp.eq.u32 %p0, %r5, 0;\n"
               "selp.u32 %r6, 64, 96, %p0;\nbar.sync 1, %r6;\n",
               1, 96, 0, "barrier 1 is waited for by 64 threads, and here by 96", NULL);
    must_fault("bar.sync 1, 40;\n", 1, 64, 0, "barrier 1 of 40 threads", NULL);
    must_fault("mov.u32 %r5, 16;\nbar.sync %r5;\n", 1, 64, 0, "barrier 16", NULL);
    must_fault("bar.arrive 1, 64;\nbar.arrive 1, 64;\nbar.sync 0;\n", 1, 32, 0,
               "barrier 1", NULL);
    must_fault("setp.lt.u32 %p0, %r1, 32;\n@%p0 bra A;\nbar.sync 0;\nret;\n"
               "A:\nbar.arrive 1, 64;\nbar.arrive 1, 64;\nbar.sync 0;\n",
               1, 64, 0, "arrives at barrier 1 again", NULL);
    must_fault("barrier.cluster.wait;\n", 1, 32, 0, "has not arrived", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),  cmocka_unit_test(test_groups),
        cmocka_unit_test(test_pipe),    cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_exited),  cmocka_unit_test(test_apart),
        cmocka_unit_test(test_cluster), cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
