/*
 * cp.async, mbarriers and bulk copies: what they move, when early and late execution
 * show it, and which uses are faults.
 */
#include "tests/emulator/run_ptx.h"

#include "emulator/settings.h"

enum { OLD = 7 }; /* what shared memory holds before a copy */

static void set_early(bool is_early)
{
    struct emulator_settings s = *emulator_settings();
    s.is_async_early = is_early;
    emulator_settings_override(&s);
}

/* Runs with `in` as argument 1; one word of output per thread. */
static uint32_t *words_from(const char *body, int32_t threads, const uint32_t *in,
                            size_t n_in)
{
    uint32_t *const d_in = device_words(n_in);
    uint32_t *const out = device_words((size_t)threads);
    memcpy(d_in, in, n_in * sizeof(*in));
    must_run(&(struct ptx_case){
        .body = body,
        .blocks = 1,
        .threads = threads,
        .dynamic_bytes = 8192,
        .arg = {(uint64_t)(uintptr_t)out, (uint64_t)(uintptr_t)d_in}});
    assert_int_equal(machine_free(d_in), STATUS_OK);
    return out;
}

/* --- cp.async --- */

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

/* --- mbarriers --- */

#define BAR                                                                            \
    "mov.u32 %r40, dynamic;\n.shared .align 8 .b8 bars[64];\nmov.u32 %r40, bars;\n"

/* One thread's sequence; writes %r10 .. %r10 + n - 1. */
static void check_sequence(const char *text, int32_t n, const uint32_t *want)
{
    struct buf body = {0};
    buf_puts(&body, BAR);
    buf_puts(&body, text);
    for (int32_t k = 0; k < n; k++)
        buf_printf(&body, "st.global.u32 [%%rd0+%d], %%r%d;\n", (int)(4 * k),
                   (int)(10 + k));
    uint32_t *const out = device_words((size_t)n);
    must_run(&(struct ptx_case){.body = body.data,
                                .blocks = 1,
                                .threads = 1,
                                .arg = {(uint64_t)(uintptr_t)out}});
    for (int32_t k = 0; k < n; k++)
        if (out[k] != want[k])
            fail_msg("value %d is %u, not %u", (int)k, out[k], want[k]);
    assert_int_equal(machine_free(out), STATUS_OK);
    buf_release(&body);
}

#define TEST(reg, form, operand)                                                       \
    "mbarrier.test_wait" form ".b64 %p1, [%r40], " operand ";\n"                       \
    "selp.u32 " reg ", 1, 0, %p1;\n"

/* Counts, states and parities of two phases. */
static void test_barrier_phases(void **state)
{
    (void)state;
    static const char text[] = "mbarrier.init.shared.b64 [%r40], 3;\n" TEST(
        "%r10", ".parity.shared", "0")           /* in phase 0: not passed */
        TEST("%r11", ".parity.shared::cta", "1") /* the one before: passed */
        "mbarrier.arrive.shared.b64 %rd10, [%r40];\n"
        "mbarrier.pending_count.b64 %r12, %rd10;\n" /* 3 before it */
        "mbarrier.arrive.noComplete.release.cta.shared::cta.b64 %rd11, [%r40], 1;\n"
        "mbarrier.pending_count.b64 %r13, %rd11;\n" TEST(
            "%r14", ".shared",
            "%rd10") "mbarrier.arrive.release.cta.shared.b64 %rd12, [%r40], "
                     "1;\n" TEST("%r15", ".shared", "%rd10")
                         TEST("%r16", ".parity.acquire.cta.shared", "0")
                             TEST("%r17", ".parity.shared",
                                  "1") "mbarrier.arrive_drop.shared.b64 %rd13, "
                                       "[%r40], 2;\n" /* from now on 1 */
        TEST("%r18", ".shared", "%rd13") "mbarrier.arrive.shared.b64 _, [%r40];\n" TEST(
            "%r19", ".shared", "%rd13") "mbarrier.arrive.shared.b64 %rd14, "
                                        "[%r40];\n" TEST("%r20", ".shared",
                                                         "%rd14") "mbarrier.inval."
                                                                  "shared.b64 [%r40];\n"
                                                                  "mbarrier.init."
                                                                  "shared.b64 [%r40], "
                                                                  "1;\n";
    static const uint32_t want[] = {0, 1, 3, 2, 0, 1, 1, 0, 0, 1, 1};
    check_sequence(text, 11, want);
}

/* A phase ends when arrivals and bytes are complete, in either order; generic
 * addresses. */
static void test_barrier_bytes(void **state)
{
    (void)state;
    static const char text[] =
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r40], 48;\n" TEST(
            "%r10", ".parity.shared",
            "0") "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r40], "
                 "32;\n" TEST("%r11", ".parity.shared",
                              "0") "mbarrier.complete_tx.relaxed."
                                   "cta.shared::cta.b64 [%r40], "
                                   "16;\n" TEST("%r12", ".parity.shared",
                                                "0") "mbarrier."
                                                     "complete_"
                                                     "tx.relaxed."
                                                     "cta.shared:"
                                                     ":cta.b64 "
                                                     "[%r40], "
                                                     "64;\n" /* early
                                                              */
                                                     "mbarrier."
                                                     "expect_tx."
                                                     "relaxed."
                                                     "cta.shared:"
                                                     ":cta.b64 "
                                                     "[%r40], "
                                                     "64;\n" TEST("%r13",
                                                                  ".parity"
                                                                  ".share"
                                                                  "d",
                                                                  "1") "cv"
                                                                       "t."
                                                                       "u6"
                                                                       "4."
                                                                       "u3"
                                                                       "2 "
                                                                       "%r"
                                                                       "d2"
                                                                       "0,"
                                                                       " %"
                                                                       "r4"
                                                                       "0;"
                                                                       "\n"
                                                                       "cv"
                                                                       "ta"
                                                                       ".s"
                                                                       "ha"
                                                                       "re"
                                                                       "d."
                                                                       "u6"
                                                                       "4 "
                                                                       "%r"
                                                                       "d2"
                                                                       "0,"
                                                                       " %"
                                                                       "rd"
                                                                       "20"
                                                                       ";"
                                                                       "\n"
                                                                       "mb"
                                                                       "ar"
                                                                       "ri"
                                                                       "er"
                                                                       ".a"
                                                                       "rr"
                                                                       "iv"
                                                                       "e."
                                                                       "b6"
                                                                       "4 "
                                                                       "_,"
                                                                       " ["
                                                                       "%r"
                                                                       "d2"
                                                                       "0]"
                                                                       ";"
                                                                       "\n"
                                                                       "mb"
                                                                       "ar"
                                                                       "ri"
                                                                       "er"
                                                                       ".t"
                                                                       "ry"
                                                                       "_w"
                                                                       "ai"
                                                                       "t."
                                                                       "pa"
                                                                       "ri"
                                                                       "ty"
                                                                       ".b"
                                                                       "64"
                                                                       " %"
                                                                       "p2"
                                                                       ", "
                                                                       "[%"
                                                                       "rd"
                                                                       "20"
                                                                       "],"
                                                                       " 1"
                                                                       ", "
                                                                       "10"
                                                                       "00"
                                                                       ";"
                                                                       "\n"
                                                                       "se"
                                                                       "lp"
                                                                       ".u"
                                                                       "32"
                                                                       " %"
                                                                       "r1"
                                                                       "4,"
                                                                       " 1"
                                                                       ", "
                                                                       "0,"
                                                                       " %"
                                                                       "p2"
                                                                       ";"
                                                                       "\n";
    static const uint32_t want[] = {0, 0, 1, 0, 1};
    check_sequence(text, 5, want);
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

/* --- bulk copies of bytes --- */

#define BULK_START                                                                     \
    ".shared .align 8 .b8 sync[8];\nmov.u32 %r40, sync;\nmov.u32 %r41, dynamic;\n"     \
    "mad.lo.u32 %r42, %r1, 4, %r41;\nsetp.ne.u32 %p0, %r1, 0;\n"
#define BULK_LOAD                                                                      \
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r41], "       \
    "[%rd1], 128, [%r40];\n"
#define BULK_WAIT                                                                      \
    "W:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r40], 0;\n@!%p1 bra W;\n"

/* Global to shared; without the wait the old words show when execution is late. */
static void test_bulk_load(void **state)
{
    (void)state;
    static const char load[] =
        "st.shared.u32 [%r42], %r43;\n@%p0 bra READY;\n"
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.arrive.expect_tx.shared.b64 _, [%r40], 128;\n"
        "READY:\nfence.proxy.async;\nbar.sync 0;\n@!%p0 " BULK_LOAD;
    static const char show[] =
        "ld.shared.u32 %r44, [%r42];\nst.global.u32 [%rd4], %r44;\n";
    uint32_t in[32];
    for (uint32_t n = 0; n < 32; n++)
        in[n] = 100 + n;
    for (int32_t waits = 0; waits < 2; waits++)
        for (int32_t early = 0; early < 2; early++) {
            char body[1536];
            snprintf(body, sizeof(body), "%smov.u32 %%r43, %d;\n%s%s%s%s", BULK_START,
                     OLD, load, waits ? BULK_WAIT : "", show, waits ? "" : BULK_WAIT);
            set_early(early != 0);
            uint32_t *const out = words_from(body, 32, in, 32);
            for (uint32_t n = 0; n < 32; n++)
                assert_int_equal(out[n], waits || early ? 100 + n : OLD);
            assert_int_equal(machine_free(out), STATUS_OK);
        }
    set_early(false);
}

/* Words 0 .. 31 of shared memory go out; `after` comes behind the commit. */
static uint32_t *bulk_store(bool is_early, const char *copy, const char *after)
{
    static const uint32_t in[1] = {0};
    char body[1536];
    snprintf(body, sizeof(body),
             "%scvt.rn.f32.u32 %%f0, %%r1;\nst.shared.f32 [%%r42], %%f0;\n"
             "fence.proxy.async.shared::cta;\nbar.sync 0;\n@%%p0 bra END;\n%s"
             "cp.async.bulk.commit_group;\n%sEND:\n",
             BULK_START, copy, after);
    set_early(is_early);
    uint32_t *const out = words_from(body, 32, in, 1);
    set_early(false);
    return out;
}

static const char store_out[] = "cp.async.bulk.global.shared::cta.bulk_group [%rd0], "
                                "[%r41], 128;\n";

/* The value of word 0, as float, after a store with `after` behind it; from word 1 to
 * 31 must be as shared memory was. */
static float first_stored(bool is_early, const char *after)
{
    uint32_t *const out = bulk_store(is_early, store_out, after);
    float v[32];
    memcpy(v, out, sizeof(v));
    for (int32_t n = 1; n < 32; n++)
        assert_true(v[n] == (float)n);
    assert_int_equal(machine_free(out), STATUS_OK);
    return v[0];
}

/* Shared memory is read at wait_group.read, global memory written at wait_group. */
static void test_bulk_store(void **state)
{
    (void)state;
    static const char wait[] = "cp.async.bulk.wait_group 0;\n";
    static const char read_wait[] = "cp.async.bulk.wait_group.read 0;\n";
    static const char overwrite_first[] = "mov.f32 %f1, 0f40a00000;\n" /* 5 */
                                          "st.shared.f32 [%r41], %f1;\n"
                                          "cp.async.bulk.wait_group.read 0;\n";
    static const char overwrite_after[] = "cp.async.bulk.wait_group.read 0;\n"
                                          "mov.f32 %f1, 0f40a00000;\n"
                                          "st.shared.f32 [%r41], %f1;\n";
    /* 9 stored to global memory before the copy has been waited for: which is last? */
    static const char write_before[] = "mov.f32 %f1, 0f41100000;\n"
                                       "cp.async.bulk.wait_group.read 0;\n"
                                       "st.global.f32 [%rd0], %f1;\n";
    static const char write_after[] = "mov.f32 %f1, 0f41100000;\n"
                                      "cp.async.bulk.wait_group 0;\n"
                                      "st.global.f32 [%rd0], %f1;\n";
    for (int32_t early = 0; early < 2; early++) {
        const bool is_early = early != 0;
        assert_true(first_stored(is_early, wait) == 0.0f);
        assert_true(first_stored(is_early, read_wait) == 0.0f);
        assert_true(first_stored(is_early, overwrite_first) == (early ? 0.0f : 5.0f));
        assert_true(first_stored(is_early, overwrite_after) == 0.0f);
        assert_true(first_stored(is_early, write_before) == (early ? 9.0f : 0.0f));
        assert_true(first_stored(is_early, write_after) == 9.0f);
    }
}

static void test_bulk_add(void **state)
{
    (void)state;
    static const char copy[] = "cp.reduce.async.bulk.global.shared::cta.bulk_group.add."
                               "f32 [%rd0], [%r41], 64;\n"
                               "cp.reduce.async.bulk.global.shared::cta.bulk_group.add."
                               "f32 [%rd0], [%r41], 64;\n"
                               "cp.async.bulk.prefetch.L2.global [%rd0], 128;\n";
    uint32_t *const out = bulk_store(false, copy, "cp.async.bulk.wait_group 0;\n");
    for (int32_t n = 0; n < 32; n++) {
        float v;
        memcpy(&v, &out[n], sizeof(v));
        assert_true(v == (n < 16 ? 2.0f * (float)n : 0.0f));
    }
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* Within shared memory, on an mbarrier. */
static void test_bulk_within(void **state)
{
    (void)state;
    static const uint32_t in[1] = {0};
    static const char body[] = BULK_START
        "mul.lo.u32 %r43, %r1, 9;\nst.shared.u32 [%r42], %r43;\n"
        "fence.proxy.async.shared::cta;\nbar.sync 0;\n@%p0 bra GO;\n"
        "mbarrier.init.shared.b64 [%r40], 1;\n"
        "mbarrier.arrive.expect_tx.shared.b64 _, [%r40], 128;\n"
        "add.u32 %r45, %r41, 256;\n"
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::"
        "bytes [%r45], [%r41], 128, [%r40];\nGO:\nbar.sync 0;\n" BULK_WAIT
        "ld.shared.u32 %r44, [%r42+256];\nst.global.u32 [%rd4], %r44;\n";
    uint32_t *const out = words_from(body, 32, in, 1);
    for (uint32_t n = 0; n < 32; n++)
        assert_int_equal(out[n], 9 * n);
    assert_int_equal(machine_free(out), STATUS_OK);
}

static void test_bulk_faults(void **state)
{
    (void)state;
    uint32_t *const in = device_words(64);
    static const char start[] = ".shared .align 16 .b8 s[256];\n"
                                ".shared .align 8 .b8 sync[8];\nmov.u32 %r41, s;\n"
                                "mov.u32 %r40, sync;\nmov.u32 %r42, 20;\n"
                                "mbarrier.init.shared.b64 [%r40], 1;\n";
    static const char *const cases[] = {
        "[%r41], [%rd0], %r42, [%r40];",
        "size",
        "[%r41+8], [%rd0], 16, [%r40];",
        "shared address",
        "[%r41], [%rd0+8], 16, [%r40];",
        "address",
        "[%r41+256], [%rd0], 64, [%r40];",
        "go beyond",
        "[%r41], [%rd0+16], 256, [%r40];\n" BULK_WAIT,
        "outside of every allocation",
        "[%r41], [%rd0], 16, [%r41];",
        "no mbarrier",
        "[%r41], [%rd0], 16, [%r40];\nmbarrier.inval.shared.b64 [%r40];",
        "a copy is on its way",
    };
    for (int64_t n = 0; n < ARRAY_LEN(cases); n += 2) {
        char body[1024];
        snprintf(
            body, sizeof(body),
            "%scp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes %s",
            start, cases[n]);
        must_fault(body, 1, 1, (uint64_t)(uintptr_t)in, cases[n + 1], (char *)NULL);
    }
    assert_int_equal(machine_free(in), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_sizes),     cmocka_unit_test(test_copy_groups),
        cmocka_unit_test(test_copy_faults),    cmocka_unit_test(test_copy_arrive),
        cmocka_unit_test(test_barrier_phases), cmocka_unit_test(test_barrier_bytes),
        cmocka_unit_test(test_barrier_faults), cmocka_unit_test(test_producer_consumer),
        cmocka_unit_test(test_bulk_load),      cmocka_unit_test(test_bulk_store),
        cmocka_unit_test(test_bulk_add),       cmocka_unit_test(test_bulk_within),
        cmocka_unit_test(test_bulk_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
