/*
 * mbarriers: counts, states, parities and bytes of their phases, and which uses are
 * faults.
 */
#include "tests/emulator/run_ptx.h"

#define BAR                                                                            \
    "mov.u32 %r40, dynamic;\n.shared .align 8 .b8 bars[64];\nmov.u32 %r40, bars;\n"

/* A test_wait whose answer goes to the next result. */
struct test {
    const char *before; /* instructions that come first */
    const char *form, *operand;
    uint32_t want;
};

/* One thread's sequence. */
static void check_sequence(const struct test *tests, int64_t n)
{
    struct buf body = {0};
    buf_puts(&body, BAR);
    for (int64_t k = 0; k < n; k++)
        buf_printf(&body,
                   "%smbarrier.%s.b64 %%p1, [%%r40], %s;\nselp.u32 %%r41, 1, 0, %%p1;\n"
                   "st.global.u32 [%%rd0+%d], %%r41;\n",
                   tests[k].before, tests[k].form, tests[k].operand, (int)(4 * k));
    uint32_t *const out = device_words((size_t)n);
    must_run(&(struct ptx_case){.body = body.data,
                                .blocks = 1,
                                .threads = 1,
                                .arg = {(uint64_t)(uintptr_t)out}});
    for (int64_t k = 0; k < n; k++)
        if (out[k] != tests[k].want)
            fail_msg("test %d answers %u", (int)k, out[k]);
    assert_int_equal(machine_free(out), STATUS_OK);
    buf_release(&body);
}

/* Counts, states and parities: the first phase needs 3 arrivals, of which 2 are given
 * up in the second, so that the third needs 1. */
static void test_barrier_phases(void **state)
{
    (void)state;
    static const struct test tests[] = {
        {"mbarrier.init.shared.b64 [%r40], 3;\n", "test_wait.parity.shared", "0", 0},
        {"", "test_wait.parity.shared::cta", "1", 1}, /* the phase before the first */
        {"mbarrier.arrive.shared.b64 %rd10, [%r40];\n"
         "mbarrier.arrive.noComplete.release.cta.shared::cta.b64 %rd11, [%r40], 1;\n",
         "test_wait.shared", "%rd10", 0},
        {"mbarrier.arrive.release.cta.shared.b64 %rd12, [%r40], 1;\n",
         "test_wait.shared", "%rd10", 1},
        {"", "test_wait.parity.acquire.cta.shared", "0", 1},
        {"", "test_wait.parity.shared", "1", 0},
        {"mbarrier.arrive_drop.shared.b64 %rd13, [%r40], 2;\n", "test_wait.shared",
         "%rd13", 0},
        {"mbarrier.arrive.shared.b64 _, [%r40];\n", "test_wait.shared", "%rd13", 1},
        {"mbarrier.arrive.shared.b64 %rd14, [%r40];\n", "test_wait.shared", "%rd14", 1},
        {"mbarrier.inval.shared.b64 [%r40];\nmbarrier.init.shared.b64 [%r40], 1;\n",
         "test_wait.parity.shared", "0", 0},
    };
    check_sequence(tests, ARRAY_LEN(tests));
}

/* A phase ends when arrivals and bytes are complete, in either order; generic
 * addresses. */
static void test_barrier_bytes(void **state)
{
    (void)state;
    static const struct test tests[] = {
        {"mbarrier.init.shared.b64 [%r40], 1;\n"
         "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r40], 48;\n",
         "test_wait.parity.shared", "0", 0},
        {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r40], 32;\n",
         "test_wait.parity.shared", "0", 0},
        {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r40], 16;\n",
         "test_wait.parity.shared", "0", 1},
        /* bytes that come before they are expected */
        {"mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r40], 64;\n"
         "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r40], 64;\n",
         "test_wait.parity.shared", "1", 0},
        {"cvt.u64.u32 %rd20, %r40;\ncvta.shared.u64 %rd20, %rd20;\n"
         "mbarrier.arrive.b64 _, [%rd20];\n",
         "try_wait.parity.shared", "1, 1000", 1},
    };
    check_sequence(tests, ARRAY_LEN(tests));
}

/* The arrivals that were missing before the one that returned the state. */
static void test_pending_count(void **state)
{
    (void)state;
    static const char body[] = BAR
        "mbarrier.init.shared.b64 [%r40], 5;\n"
        "mbarrier.arrive.shared.b64 %rd10, [%r40], 2;\n"
        "mbarrier.arrive.shared.b64 %rd11, [%r40];\n"
        "mbarrier.pending_count.b64 %r10, %rd10;\n"
        "mbarrier.pending_count.b64 %r11, %rd11;\n"
        "mad.lo.u32 %r10, %r10, 100, %r11;\nst.global.u32 [%rd4], %r10;\n";
    uint32_t *const out = words_of(body, 1, 1);
    assert_int_equal(out[0], 503);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_barrier_faults(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "mbarrier.arrive.shared.b64 _, [%r40];",
        "no mbarrier has been initialised",
        "mbarrier.init.shared.b64 [%r40], 0;",
        "count 0",
        "mbarrier.init.shared.b64 [%r40], 1048576;",
        "count 1048576",
        "mbarrier.init.shared.b64 [%r40+4], 1;",
        "not aligned to 8",
        "mbarrier.init.shared.b64 [%r40], 1;\nmbarrier.init.shared.b64 [%r40], 1;",
        "mbarrier.inval comes first",
        "mbarrier.init.shared.b64 [%r40], 2;\nmbarrier.arrive.shared.b64 _, [%r40], 3;",
        "3 arrivals",
        "mbarrier.init.shared.b64 [%r40], 1;\nmov.u32 %r41, 0;\n"
        "st.shared.u32 [%r40], %r41;\nmbarrier.arrive.shared.b64 _, [%r40];",
        "was overwritten",
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.expect_tx.relaxed.cta.shared.b64 [%r40], 1048575;\n"
        "mbarrier.expect_tx.relaxed.cta.shared.b64 [%r40], 1;",
        "tx-count 1048576",
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.arrive.expect_tx.shared.b64 _, [%r40], 16;",
        "still expects 16 bytes",
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.arrive.noComplete.release.cta.shared.b64 %rd5, [%r40], 1;",
        "would end the phase",
        "mbarrier.init.shared.b64 [%r40], 1;\nmbarrier.arrive.shared.b64 %rd5, "
        "[%r40];\n"
        "mbarrier.arrive.shared.b64 _, [%r40];\n"
        "mbarrier.test_wait.shared.b64 %p1, [%r40], %rd5;",
        "a state of phase 0",
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.try_wait.parity.shared.b64 %p1, [%r40], 2;",
        "parity 2",
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "W:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r40], 0;\n@!%p1 bra W;",
        "deadlock",
    };
    for (int64_t n = 0; n < ARRAY_LEN(cases); n += 2) {
        char body[1024];
        snprintf(body, sizeof(body), "%s%s", BAR, cases[n]);
        must_fault(body, 1, 1, 0, cases[n + 1], (char *)NULL);
    }
}

/* Warp 0 fills a slot, warp 1 reads it, ten times, through a full and an empty
 * mbarrier; the threads of warp 1 arrive one by one, those of warp 0 by one of them. */
static void test_producer_consumer(void **state)
{
    (void)state;
    static const char body[] =
        ".shared .align 8 .b8 sync[16];\n.shared .align 4 .b8 slot[128];\n"
        "mov.u32 %r40, sync;\nmov.u32 %r41, slot;\nand.b32 %r42, %r1, 31;\n"
        "mad.lo.u32 %r41, %r42, 4, %r41;\nmov.u32 %r43, 0;\nmov.u32 %r44, 0;\n"
        "setp.ne.u32 %p0, %r1, 0;\n@%p0 bra READY;\n"
        "mbarrier.init.shared.b64 [%r40], 32;\nmbarrier.init.shared.b64 [%r40+8], 32;\n"
        "READY:\nbar.sync 0;\nsetp.gt.u32 %p1, %r1, 31;\n@%p1 bra CONSUME;\n"
        "PRODUCE:\nand.b32 %r45, %r43, 1;\nxor.b32 %r46, %r45, 1;\n"
        "E:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r40+8], %r46;\n@!%p2 bra E;\n"
        "mad.lo.u32 %r47, %r43, 1000, %r42;\nst.shared.u32 [%r41], %r47;\n"
        "mbarrier.arrive.shared.b64 _, [%r40];\n"
        "add.u32 %r43, %r43, 1;\nsetp.lt.u32 %p3, %r43, 10;\n@%p3 bra PRODUCE;\n"
        "bra END;\n"
        "CONSUME:\nand.b32 %r45, %r43, 1;\n"
        "F:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r40], %r45;\n@!%p2 bra F;\n"
        "ld.shared.u32 %r47, [%r41];\nmad.lo.u32 %r44, %r44, 3, %r47;\n"
        "mbarrier.arrive.shared.b64 _, [%r40+8];\n"
        "add.u32 %r43, %r43, 1;\nsetp.lt.u32 %p3, %r43, 10;\n@%p3 bra CONSUME;\n"
        "END:\nst.global.u32 [%rd4], %r44;\n";
    uint32_t *const out = words_of(body, 3, 64);
    for (uint32_t n = 0; n < 3 * 64; n++) {
        uint32_t want = 0;
        for (uint32_t k = 0; k < 10 && n % 64 >= 32; k++)
            want = want * 3 + k * 1000 + n % 32;
        assert_int_equal(out[n], want);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_barrier_phases),    cmocka_unit_test(test_barrier_bytes),
        cmocka_unit_test(test_pending_count),     cmocka_unit_test(test_barrier_faults),
        cmocka_unit_test(test_producer_consumer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
