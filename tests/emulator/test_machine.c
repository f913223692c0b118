/*
 * The scheduler: threads and their numbers, divergence and where lanes meet again,
 * turns of warps, ends and faults.
 */
#include "tests/emulator/run_ptx.h"

#include "emulator/settings.h"

static const uint64_t seeds[] = {0, 1, 2, 77};

static void set_seed(uint64_t seed)
{
    struct emulator_settings s = *emulator_settings();
    s.seed = seed;
    emulator_settings_override(&s);
}

static void test_numbers(void **state)
{
    (void)state;
    struct ptx_module *const m = build_ptx(
        "mov.u32 %r4, %tid.x;\nmov.u32 %r5, %tid.y;\nmov.u32 %r6, %tid.z;\n"
        "mov.u32 %r7, %ctaid.x;\nmov.u32 %r8, %ctaid.y;\nmov.u32 %r9, %ctaid.z;\n"
        "mov.u32 %r10, %ntid.x;\nmov.u32 %r11, %ntid.y;\nmov.u32 %r12, %ntid.z;\n"
        "mov.u32 %r13, %nctaid.x;\nmov.u32 %r14, %nctaid.y;\n"
        "mad.lo.u32 %r20, %r6, %r11, %r5;\nmad.lo.u32 %r20, %r20, %r10, %r4;\n"
        "mad.lo.u32 %r21, %r9, %r14, %r8;\nmad.lo.u32 %r21, %r21, %r13, %r7;\n"
        "mul.lo.u32 %r22, %r10, %r11;\nmul.lo.u32 %r22, %r22, %r12;\n"
        "mad.lo.u32 %r23, %r21, %r22, %r20;\n"
        "mul.wide.u32 %rd5, %r23, 4;\nadd.s64 %rd5, %rd5, %rd0;\n"
        "mov.u32 %r24, %laneid;\nmov.u32 %r25, %warpid;\n"
        "mad.lo.u32 %r26, %r25, 32, %r24;\nshl.b32 %r27, %r21, 16;\n"
        "or.b32 %r26, %r26, %r27;\nst.global.u32 [%rd5], %r26;\n");
    enum { BLOCKS = 4 * 3 * 2, THREADS = 5 * 7 * 2 };
    uint32_t *const out = device_words(BLOCKS * THREADS);
    const uint64_t arg[4] = {(uint64_t)(uintptr_t)out};
    const struct machine_launch launch = {.kernel = ptx_module_kernel(m, "k"),
                                          .grid = {4, 3, 2},
                                          .block = {5, 7, 2},
                                          .params = (const uint8_t *)arg};
    assert_int_equal(machine_run(&launch), STATUS_OK);
    for (uint32_t n = 0; n < BLOCKS * THREADS; n++)
        assert_int_equal(out[n], n / THREADS << 16 | n % THREADS);
    assert_int_equal(machine_free(out), STATUS_OK);
    ptx_module_free(m);
}

/* Both sides of a branch run for their lanes, and all lanes meet behind it. */
static void test_branch(void **state)
{
    (void)state;
    uint32_t *const out = words_of("and.b32 %r5, %r1, 1;\nsetp.eq.u32 %p0, %r5, 0;\n"
                                   "@%p0 bra EVEN;\n"
                                   "add.u32 %r6, %r1, 1000;\nbra MEET;\n"
                                   "EVEN:\nadd.u32 %r6, %r1, 2000;\n"
                                   "MEET:\nactivemask.b32 %r7;\n"
                                   "setp.ne.u32 %p1, %r7, 0xffffffff;\n"
                                   "@%p1 mov.u32 %r6, 0;\n"
                                   "st.global.u32 [%rd4], %r6;\n",
                                   2, 64);
    for (uint32_t n = 0; n < 128; n++)
        assert_int_equal(out[n], n % 64 + (n % 2 == 0 ? 2000 : 1000));
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* Each lane goes round as often as its number says; a branch lies within. */
static void test_loop(void **state)
{
    (void)state;
    uint32_t *const out = words_of("mov.u32 %r5, 0;\nmov.u32 %r6, 0;\n"
                                   "TOP:\nsetp.ge.u32 %p0, %r5, %r1;\n@%p0 bra DONE;\n"
                                   "and.b32 %r7, %r5, 1;\nsetp.ne.u32 %p1, %r7, 0;\n"
                                   "@%p1 bra ODD;\nadd.u32 %r6, %r6, 10;\nbra NEXT;\n"
                                   "ODD:\nadd.u32 %r6, %r6, 1;\n"
                                   "NEXT:\nadd.u32 %r5, %r5, 1;\nbra TOP;\n"
                                   "DONE:\nactivemask.b32 %r8;\npopc.b32 %r8, %r8;\n"
                                   "shl.b32 %r8, %r8, 16;\nor.b32 %r6, %r6, %r8;\n"
                                   "st.global.u32 [%rd4], %r6;\n",
                                   1, 96);
    for (uint32_t n = 0; n < 96; n++)
        assert_int_equal(out[n], (n + 1) / 2 * 10 + n / 2 + (32 << 16));
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* Lanes end early, by a guard and in a branch; the others go on without them. */
static void test_early_exit(void **state)
{
    (void)state;
    uint32_t *const out = words_of("setp.lt.u32 %p0, %r1, 10;\n@%p0 ret;\n"
                                   "setp.lt.u32 %p1, %r1, 20;\n@!%p1 bra ON;\n"
                                   "st.global.u32 [%rd4], 5;\nexit;\n"
                                   "ON:\nactivemask.b32 %r5;\n"
                                   "st.global.u32 [%rd4], %r5;\n",
                                   1, 40);
    for (uint32_t n = 0; n < 40; n++)
        assert_int_equal(out[n], n < 10 ? 0 : n < 20 ? 5 : n < 32 ? 0xfff00000 : 0xff);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_computed_branch(void **state)
{
    (void)state;
    const char *const body = "rem.u32 %r5, %r1, 3;\n"
                             "ts: .branchtargets L0, L1, L2;\n"
                             "brx.idx %r5, ts;\n"
                             "L1:\nmov.u32 %r6, 11;\nbra DONE;\n"
                             "L0:\nmov.u32 %r6, 10;\nbra DONE;\n"
                             "L2:\nmov.u32 %r6, 12;\n"
                             "DONE:\nst.global.u32 [%rd4], %r6;\n";
    uint32_t *const out = words_of(body, 1, 64);
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], 10 + n % 3);
    assert_int_equal(machine_free(out), STATUS_OK);
    must_fault("ts: .branchtargets L0, L1;\n"
               "brx.idx %r1, ts;\nL0:\nL1:\n",
               1, 8, 0, "brx.idx", "thread (2, 0, 0)", "target 2 of 2", NULL);
}

/* The launch's blocks all run, each once, whatever core takes them. */
static void test_all_blocks(void **state)
{
    (void)state;
    uint32_t *const out = words_of("atom.global.add.u32 %r5, [%rd0], 1;\n"
                                   "setp.ne.u32 %p0, %r0, 0;\n@!%p0 bra END;\n"
                                   "st.global.u32 [%rd4], %r3;\nEND:\n",
                                   3000, 33);
    assert_int_equal(out[0], 3000 * 33);
    for (uint32_t n = 1; n < 3000 * 33; n++)
        assert_int_equal(out[n], n / 33);
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* A warp spins on a word that a later warp of its block writes. */
static void test_warps_take_turns(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(seeds); k++) {
        set_seed(seeds[k]);
        uint32_t *const out = words_of(".shared .align 4 .b32 flag;\n"
                                       "setp.eq.u32 %p0, %r1, 0;\n"
                                       "@%p0 st.shared.u32 [flag], 0;\nbar.sync 0;\n"
                                       "setp.ge.u32 %p1, %r1, 32;\n@%p1 bra WRITER;\n"
                                       "SPIN:\nld.volatile.shared.u32 %r5, [flag];\n"
                                       "setp.eq.u32 %p2, %r5, 0;\n@%p2 bra SPIN;\n"
                                       "st.global.u32 [%rd4], %r5;\nret;\n"
                                       "WRITER:\nst.volatile.shared.u32 [flag], 9;\n",
                                       2, 64);
        for (uint32_t n = 0; n < 128; n++)
            assert_int_equal(out[n], n % 64 < 32 ? 9 : 0);
        assert_int_equal(machine_free(out), STATUS_OK);
    }
    set_seed(0);
}

/* A lane at a low pc spins on what one at a higher pc writes: it must get its turn. */
static void test_lanes_take_turns(void **state)
{
    (void)state;
    uint32_t *const out = words_of("setp.eq.u32 %p0, %r1, 7;\n@%p0 bra WRITER;\n"
                                   "SPIN:\nld.volatile.global.u32 %r5, [%rd0+28];\n"
                                   "setp.eq.u32 %p2, %r5, 0;\n@%p2 bra SPIN;\n"
                                   "st.global.u32 [%rd4], %r5;\nret;\n"
                                   "WRITER:\nst.global.u32 [%rd4], 3;\n",
                                   1, 32);
    for (uint32_t n = 0; n < 32; n++)
        assert_int_equal(out[n], 3);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_traps(void **state)
{
    (void)state;
    must_fault("setp.eq.u32 %p0, %r0, 70;\n@%p0 trap;\n", 2, 64, 0, "k, PTX line",
               "trap", "block (1, 0, 0)", "thread (6, 0, 0)", NULL);
}

/* After a fault the launch's other blocks end, too, and the next launch is sound. */
static void test_after_fault(void **state)
{
    (void)state;
    must_fault("setp.eq.u32 %p0, %r3, 0;\n@%p0 trap;\nFOREVER:\nbra FOREVER;\n", 8, 32,
               0, "trap", NULL);
    uint32_t *const out = words_of("st.global.u32 [%rd4], 1;\n", 2, 32);
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], 1);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static int run_sizes(const char *body, int32_t blocks, int32_t threads, size_t dynamic)
{
    return run_ptx(&(struct ptx_case){
        .body = body, .blocks = blocks, .threads = threads, .dynamic_bytes = dynamic});
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(run_sizes("", 0, 32, 0), ERR_USAGE);
    assert_int_equal(run_sizes("", 1, 0, 0), ERR_USAGE);
    assert_int_equal(run_sizes("", 1, 1025, 0), ERR_USAGE);
    assert_int_equal(run_sizes("", 1, 1024, 0), STATUS_OK);
    assert_int_equal(run_sizes("", 1, 32, MACHINE_SHARED_LIMIT), STATUS_OK);
    assert_int_equal(run_sizes("", 1, 32, MACHINE_SHARED_LIMIT + 1), ERR_USAGE);
}

/* The launch's own registers, and instructions that only take part. */
static void test_small_instructions(void **state)
{
    (void)state;
    uint32_t *const out = device_words(64);
    must_run(&(struct ptx_case){
        .body = "setmaxnreg.dec.sync.aligned.u32 40;\nnanosleep.u32 100;\n"
                "griddepcontrol.wait;\ngriddepcontrol.launch_dependents;\n"
                "mov.u64 %rd5, %clock64;\nmov.u64 %rd6, %clock64;\n"
                "setp.gt.u64 %p0, %rd5, %rd6;\n@%p0 trap;\n"
                "mov.u32 %r5, %dynamic_smem_size;\nst.global.u32 [%rd4], %r5;\n",
        .blocks = 1,
        .threads = 64,
        .dynamic_bytes = 4096,
        .arg = {(uint64_t)(uintptr_t)out}});
    assert_int_equal(out[63], 4096);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void must_not_parse(const char *line)
{
    char text[512];
    struct ptx_module *m = NULL;
    snprintf(text, sizeof(text),
             ".version 8.8\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{\n"
             ".reg .b32 %%r<4>;\n.reg .b64 %%rd<4>;\n%s\nret;\n}\n",
             line);
    assert_int_equal(ptx_module_parse(text, strlen(text), "test", &m), ERR_INPUT);
}

static void test_refused(void **state)
{
    (void)state;
    must_not_parse("setmaxnreg.inc.sync.aligned.u32 20;");
    must_not_parse("setmaxnreg.inc.sync.aligned.u32 41;");
    must_not_parse("setmaxnreg.inc.sync.aligned.u32 264;");
    must_not_parse("ld.global.sideways.u32 %r0, [%rd0];");
    must_not_parse("ld.global.u64 %r0, [%rd0];");
    must_not_parse("st.const.u32 [%rd0], %r0;");
    must_not_parse("atom.global.sub.u32 %r0, [%rd0], %r1;");
    must_not_parse("bar.sync;");
    must_not_parse("shfl.sync.left.b32 %r0, %r1, 1, 31, -1;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_branch),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_early_exit),
        cmocka_unit_test(test_computed_branch),
        cmocka_unit_test(test_all_blocks),
        cmocka_unit_test(test_warps_take_turns),
        cmocka_unit_test(test_lanes_take_turns),
        cmocka_unit_test(test_traps),
        cmocka_unit_test(test_after_fault),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_small_instructions),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
