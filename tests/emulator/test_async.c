/*
 * cp.async: what it moves, when early and late execution show it, and which uses are
 * faults.
 */
#include "tests/emulator/async_case.h"

/* Copies 16 bytes a lane in pieces of `size`, the last of which reads n_src bytes. */
static void check_sizes(const char *cache, int32_t size, int32_t n_src)
{
    enum { LANES = 32 };
    uint32_t in[4 * LANES];
    struct buf body = {0};
    for (uint32_t n = 0; n < 4 * LANES; n++)
        in[n] = 0x01010101u * (n % 255 + 1);
    buf_puts(&body, "mov.u32 %r40, dynamic;\nmad.lo.u32 %r41, %r1, 16, %r40;\n"
                    "mul.wide.u32 %rd5, %r1, 16;\nadd.s64 %rd5, %rd5, %rd1;\n");
    for (int32_t at = 0; at < 16; at += size) {
        buf_printf(&body, "cp.async.%s.shared.global [%%r41+%d], [%%rd5+%d], %d", cache,
                   (int)at, (int)at, (int)size);
        if (at + size == 16 && n_src < 0)
            buf_puts(&body, ", %p63");
        else if (at + size == 16)
            buf_printf(&body, ", %d", (int)n_src);
        buf_puts(&body, ";\n");
    }
    /* a checksum that weighs the four words */
    buf_puts(&body, "cp.async.wait_all;\n"
                    "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r41];\n"
                    "mad.lo.u32 %r10, %r11, 3, %r10;\nmad.lo.u32 %r10, %r12, 5, %r10;\n"
                    "mad.lo.u32 %r10, %r13, 7, %r10;\nst.global.u32 [%rd4], %r10;\n");
    struct buf whole = {0};
    buf_puts(&whole, "setp.eq.u32 %p63, %r40, %r40;\n");
    buf_puts(&whole, body.data);
    uint32_t *const out = words_from(whole.data, LANES, in, 4 * LANES);
    for (int32_t lane = 0; lane < LANES; lane++) {
        uint32_t want[4];
        memcpy(want, in + 4 * lane, sizeof(want));
        const int32_t kept = 16 - size + (n_src < 0 ? 0 : n_src);
        memset((uint8_t *)want + kept, 0, (size_t)(16 - kept));
        assert_int_equal(out[lane], want[0] + 3 * want[1] + 5 * want[2] + 7 * want[3]);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
    buf_release(&body);
    buf_release(&whole);
}

static void test_copy_sizes(void **state)
{
    (void)state;
    for (int32_t early = 0; early < 2; early++) {
        set_early(early != 0);
        for (int32_t size = 4; size <= 16; size *= 2)
            for (int32_t n = -1; n <= size; n++)
                check_sizes("ca", size, n);
        for (int32_t n = -1; n <= 16; n++)
            check_sizes("cg", 16, n);
    }
    set_early(false);
}

/* Two groups of one word each, on words that hold OLD; `wait` comes before both are
 * read. Returns first + 100 second. */
static uint32_t two_groups(bool is_early, const char *wait)
{
    static const uint32_t in[2] = {1, 2};
    char body[1024];
    snprintf(body, sizeof(body),
             "mov.u32 %%r40, dynamic;\nmov.u32 %%r41, %d;\n"
             "mad.lo.u32 %%r40, %%r1, 8, %%r40;\n"
             "st.shared.v2.u32 [%%r40], {%%r41, %%r41};\n"
             "cp.async.ca.shared.global [%%r40], [%%rd1], 4;\n"
             "cp.async.commit_group;\n"
             "cp.async.ca.shared.global [%%r40+4], [%%rd1+4], 4;\n"
             "%s"
             "ld.shared.v2.u32 {%%r42, %%r43}, [%%r40];\n"
             "mad.lo.u32 %%r42, %%r43, 100, %%r42;\nst.global.u32 [%%rd4], %%r42;\n"
             "cp.async.wait_all;\n",
             OLD, wait);
    set_early(is_early);
    uint32_t *const out = words_from(body, 32, in, 2);
    set_early(false);
    const uint32_t v = out[31];
    assert_int_equal(out[0], v);
    assert_int_equal(machine_free(out), STATUS_OK);
    return v;
}

/* A kernel that waits for too little is right early and wrong late. */
static void test_copy_groups(void **state)
{
    (void)state;
    static const char *const waits[] = {
        "",
        "cp.async.commit_group;\ncp.async.wait_group 2;\n",
        "cp.async.commit_group;\ncp.async.wait_group 1;\n",
        "cp.async.wait_group 0;\n", /* the second copy is in no group yet */
        "cp.async.commit_group;\ncp.async.wait_group 0;\n",
        "cp.async.wait_all;\n"};
    static const uint32_t late[] = {
        OLD + 100 * OLD, OLD + 100 * OLD, 1 + 100 * OLD, 1 + 100 * OLD, 201, 201};
    for (int64_t n = 0; n < ARRAY_LEN(waits); n++) {
        assert_int_equal(two_groups(true, waits[n]), 201);
        assert_int_equal(two_groups(false, waits[n]), late[n]);
    }
}

static void test_copy_faults(void **state)
{
    (void)state;
    static const char start[] =
        "mov.u32 %r40, dynamic;\n.shared .align 16 .b8 s[4096];\n"
        "mov.u32 %r40, s;\nmad.lo.u32 %r40, %r1, 16, %r40;\n";
    uint32_t *const in = device_words(4);
    const uint64_t p = (uint64_t)(uintptr_t)in;
    static const char *const cases[] = {
        "cp.async.cg.shared.global [%r40], [%rd0], 16;\n",
        "nobody waited for this copy",
        "cp.async.cg.shared.global [%r40+8], [%rd0], 16;\ncp.async.wait_all;\n",
        "not aligned to 16",
        "cp.async.cg.shared.global [%r40], [%rd0+8], 16;\ncp.async.wait_all;\n",
        "not aligned to 16",
        "cp.async.cg.shared.global [%r40], [%rd0+16], 16;\ncp.async.wait_all;\n",
        "outside of every allocation",
        "cp.async.cg.shared.global [%r40+4096], [%rd0], 16;\ncp.async.wait_all;\n",
        "shared address",
        "cp.async.ca.shared.global [%r40], [%rd0], 4, 5;\ncp.async.wait_all;\n",
        "src-size 5",
    };
    for (int64_t n = 0; n < ARRAY_LEN(cases); n += 2) {
        char body[512];
        snprintf(body, sizeof(body), "%s%s", start, cases[n]);
        must_fault(body, 1, 32, p, cases[n + 1], (char *)NULL);
    }
    assert_int_equal(machine_free(in), STATUS_OK);
}

/* cp.async that arrive on an mbarrier when they have landed. */
static void test_copy_arrive(void **state)
{
    (void)state;
    for (int32_t noinc = 0; noinc < 2; noinc++)
        for (int32_t early = 0; early < 2; early++) {
            uint32_t in[32];
            char body[1024];
            for (uint32_t n = 0; n < 32; n++)
                in[n] = 11 * n;
            snprintf(body, sizeof(body),
                     ".shared .align 8 .b8 sync[8];\nmov.u32 %%r40, sync;\n"
                     "mov.u32 %%r41, dynamic;\nmad.lo.u32 %%r41, %%r1, 4, %%r41;\n"
                     "mul.wide.u32 %%rd5, %%r1, 4;\nadd.s64 %%rd5, %%rd5, %%rd1;\n"
                     "setp.ne.u32 %%p0, %%r1, 0;\n@%%p0 bra READY;\n"
                     "mbarrier.init.shared.b64 [%%r40], 32;\nREADY:\nbar.sync 0;\n"
                     "cp.async.ca.shared.global [%%r41], [%%rd5], 4;\n"
                     "cp.async.mbarrier.arrive%s.shared.b64 [%%r40];\n%s"
                     "W:\nmbarrier.try_wait.parity.shared.b64 %%p1, [%%r40], 0;\n"
                     "@!%%p1 bra W;\nxor.b32 %%r42, %%r1, 31;\n"
                     "mov.u32 %%r41, dynamic;\nmad.lo.u32 %%r41, %%r42, 4, %%r41;\n"
                     "ld.shared.u32 %%r43, [%%r41];\nst.global.u32 [%%rd4], %%r43;\n",
                     noinc ? ".noinc" : "",
                     noinc ? "" : "mbarrier.arrive.shared.b64 _, [%r40];\n");
            set_early(early != 0);
            uint32_t *const out = words_from(body, 32, in, 32);
            for (uint32_t n = 0; n < 32; n++)
                assert_int_equal(out[n], 11 * (31 - n));
            assert_int_equal(machine_free(out), STATUS_OK);
        }
    set_early(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_sizes),
        cmocka_unit_test(test_copy_groups),
        cmocka_unit_test(test_copy_faults),
        cmocka_unit_test(test_copy_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
