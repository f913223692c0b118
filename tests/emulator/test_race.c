/*
 * emulator/race.c: kernels with a race, and the same with what orders it.
 */
#include "tests/emulator/run_ptx.h"

#include "emulator/settings.h"

static const uint64_t SEEDS[] = {0, 1, 77};

static void set(uint64_t seed, bool is_async_early)
{
    struct emulator_settings s = *emulator_settings();
    s.has_races = true;
    s.seed = seed;
    s.is_async_early = is_async_early;
    emulator_settings_override(&s);
}

/* %r10: the address of a block of shared memory, %r11: of this thread's word, %r12: of
 * the next thread's; %r13, %r14: of words behind them; %r15: the lane, %r16: the warp;
 * %p60, %p61: is this thread 0, the first of its warp? %rd5: argument 1's address */
#define PROLOGUE                                                                       \
    ".shared .align 128 .b8 block[4096];\nmov.u32 %r10, block;\n"                      \
    "mad.lo.u32 %r11, %r1, 4, %r10;\nadd.u32 %r12, %r1, 1;\n"                          \
    "rem.u32 %r12, %r12, %r2;\nmad.lo.u32 %r12, %r12, 4, %r10;\n"                      \
    "add.u32 %r13, %r10, 2048;\nadd.u32 %r14, %r10, 2052;\n"                           \
    "and.b32 %r15, %r1, 31;\nshr.u32 %r16, %r1, 5;\n"                                  \
    "setp.eq.u32 %p60, %r1, 0;\nsetp.eq.u32 %p61, %r15, 0;\n"
#define BARRIER "bar.sync 0;\n"
#define WARP_SYNC "bar.warp.sync 0xffffffff;\n"
#define STORE_OWN "st.shared.u32 [%r11], %r1;\n"
#define LOAD_NEXT "ld.shared.u32 %r20, [%r12];\n"

static const struct race_case {
    const char *what;
    int32_t threads;
    const char *before, *order, *after; /* a race without `order` */
} CASES[] = {
    {"a barrier between write and read", 64, STORE_OWN, BARRIER, LOAD_NEXT},
    {"a barrier between read and write", 64, STORE_OWN BARRIER LOAD_NEXT, BARRIER,
     STORE_OWN},
    {"lanes in step", 32, STORE_OWN, WARP_SYNC, LOAD_NEXT},
    {"a shuffle", 32, STORE_OWN, "shfl.sync.bfly.b32 %r21, %r1, 1, 31, -1;\n",
     LOAD_NEXT},
    {"lanes in step, read before write", 32, STORE_OWN WARP_SYNC LOAD_NEXT, WARP_SYNC,
     STORE_OWN},
    {"all lanes to one word", 32, "mov.u32 %r21, %r1;\n", "mov.u32 %r21, 5;\n",
     "st.shared.u32 [%r13], %r21;\n"},
    {"all lanes to one pair of words", 32, "mov.b64 %rd20, {%r10, %r1};\n",
     "mov.b64 %rd20, {%r10, %r10};\n",
     "mov.b64 {%r21, %r22}, %rd20;\nst.shared.v2.u32 [%r13], {%r21, %r22};\n"},
    {"two warps to one word", 64, "mov.pred %p5, %p61;\n", "mov.pred %p5, %p60;\n",
     "@%p5 st.shared.u32 [%r13], 1;\n"},
    {"an atomic and a read", 64, "atom.shared.add.u32 %r21, [%r13], 1;\n", BARRIER,
     "ld.shared.u32 %r20, [%r13];\n"},
    {"a volatile read of a plain write", 64, "@%p60 st.shared.u32 [%r13], 1;\n",
     BARRIER, "ld.volatile.shared.u32 %r20, [%r13];\n"},
    {"half of a warp", 32, STORE_OWN,
     "setp.lt.u32 %p5, %r15, 16;\n@%p5 bra LOW;\nbar.warp.sync 0xffff0000;\n"
     "bra BOTH;\nLOW:\nbar.warp.sync 0x0000ffff;\nBOTH:\n"
     "xor.b32 %r12, %r15, 1;\nmad.lo.u32 %r12, %r12, 4, %r10;\n",
     LOAD_NEXT},
    {"bytes of one word", 64, "add.u32 %r22, %r1, %r13;\nst.shared.u8 [%r22], 1;\n",
     BARRIER, "ld.shared.u8 %r20, [%r22+1];\n"},
    {"a barrier of some warps", 96,
     STORE_OWN "setp.eq.u32 %p5, %r16, 2;\n@%p5 bra READ;\nbar.sync 1, 64;\nREAD:\n",
     BARRIER, LOAD_NEXT},
    {"two warps of three at a barrier", 96,
     STORE_OWN "xor.b32 %r12, %r1, 32;\nmad.lo.u32 %r12, %r12, 4, %r10;\n"
               "setp.eq.u32 %p5, %r16, 2;\n@%p5 bra END;\n",
     "bar.sync 1, 64;\n", LOAD_NEXT "END:\n"},
};

static void check_case(const struct race_case *c)
{
    struct buf racy = {0}, ordered = {0};
    buf_printf(&racy, "%s%s%s", PROLOGUE, c->before, c->after);
    buf_printf(&ordered, "%s%s%s%s", PROLOGUE, c->before, c->order, c->after);
    for (int64_t k = 0; k < ARRAY_LEN(SEEDS); k++) {
        set(SEEDS[k], false);
        must_run(&(struct ptx_case){
            .body = ordered.data, .blocks = 2, .threads = c->threads});
        must_fault(racy.data, 2, c->threads, 0, "a race", "shared offset", "PTX line",
                   NULL);
    }
    buf_release(&racy);
    buf_release(&ordered);
}

static void test_barriers_and_lanes(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(CASES); k++) {
        print_message("%s\n", CASES[k].what);
        check_case(&CASES[k]);
    }
}

/* --- mbarriers --- */
/* the mbarrier is at %r13; thread 0 has made it, and all know */
#define INIT(count) "@%p60 mbarrier.init.shared.b64 [%r13], " count ";\n" BARRIER
#define WAIT(label)                                                                    \
    label ":\nmbarrier.try_wait.parity.shared.b64 %p6, [%r13], 0;\n@!%p6 bra " label   \
          ";\n"

static const struct race_case MBARRIER_CASES[] = {
    {"a wait", 64,
     INIT("32") "setp.eq.u32 %p5, %r16, 1;\n@%p5 bra CONSUME;\n" STORE_OWN
                "mbarrier.arrive.shared.b64 _, [%r13];\nbra END;\nCONSUME:\n",
     WAIT("SPIN"), "ld.shared.u32 %r20, [%r11+-128];\nEND:\n"},
    {"one lane arrives for its warp", 64,
     INIT("1") "setp.eq.u32 %p5, %r16, 1;\n@%p5 bra CONSUME;\n" STORE_OWN, WARP_SYNC,
     "@%p60 mbarrier.arrive.shared.b64 _, [%r13];\nbra END;\nCONSUME:\n" WAIT(
         "SPIN") "ld.shared.u32 %r20, [%r11+-128];\nEND:\n"},
    {"one lane waits for its warp", 64,
     INIT("32") "setp.eq.u32 %p5, %r16, 1;\n@%p5 bra CONSUME;\n" STORE_OWN
                "mbarrier.arrive.shared.b64 _, [%r13];\nbra END;\nCONSUME:\n"
                "@!%p61 bra AFTER;\n" WAIT("SPIN") "AFTER:\n",
     WARP_SYNC, "ld.shared.u32 %r20, [%r11+-128];\nEND:\n"},
    {"write after a later arrival", 64,
     INIT("32") "setp.eq.u32 %p5, %r16, 1;\n@%p5 bra CONSUME;\n"
                "ld.shared.u32 %r20, [%r11];\n",
     "mbarrier.arrive.shared.b64 _, [%r13];\nbra END;\n",
     "mbarrier.arrive.shared.b64 _, [%r13];\nld.shared.u32 %r20, [%r11];\nbra "
     "END;\nCONSUME:\n" WAIT("SPIN") "st.shared.u32 [%r11+-128], 1;\nEND:\n"},
};

static void test_mbarriers(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(MBARRIER_CASES); k++) {
        print_message("%s\n", MBARRIER_CASES[k].what);
        check_case(&MBARRIER_CASES[k]);
    }
}

/* A word that is released and acquired; without, the same accesses order nothing. */
static void test_flags(void **state)
{
    (void)state;
    const char *const body[] = {
        PROLOGUE "@%p60 st.shared.u32 [%r13], 0;\n" BARRIER
                 "setp.eq.u32 %p5, %r16, 1;\n@%p5 bra SPIN;\n"
                 "@%p60 st.shared.u32 [%r14], 42;\n"
                 "@%p60 st.release.cta.shared.u32 [%r13], 1;\nbra END;\n"
                 "SPIN:\nld.acquire.cta.shared.u32 %r20, [%r13];\n"
                 "setp.eq.u32 %p6, %r20, 0;\n@%p6 bra SPIN;\n"
                 "ld.shared.u32 %r20, [%r14];\nEND:\n",
        PROLOGUE "@%p60 st.shared.u32 [%r13], 0;\n" BARRIER
                 "setp.eq.u32 %p5, %r16, 1;\n@%p5 bra SPIN;\n"
                 "@%p60 st.shared.u32 [%r14], 42;\n"
                 "@%p60 st.relaxed.cta.shared.u32 [%r13], 1;\nbra END;\n"
                 "SPIN:\nld.relaxed.cta.shared.u32 %r20, [%r13];\n"
                 "setp.eq.u32 %p6, %r20, 0;\n@%p6 bra SPIN;\n"
                 "ld.shared.u32 %r20, [%r14];\nEND:\n"};
    set(0, false);
    must_run(&(struct ptx_case){.body = body[0], .blocks = 1, .threads = 64});
    must_fault(body[1], 1, 64, 0, "a race", "2052", NULL);
}

/* --- copies --- */
#define COPY                                                                           \
    "mul.wide.u32 %rd5, %r1, 4;\nadd.s64 %rd5, %rd5, %rd0;\n"                          \
    "cp.async.ca.shared.global [%r11], [%rd5], 4;\n"
/* thread 0 fetches 256 bytes to block[], which end on the mbarrier */
#define BULK                                                                           \
    "@!%p60 bra ISSUED;\n"                                                             \
    "mbarrier.arrive.expect_tx.shared.b64 _, [%r13], 256;\n"                           \
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], "       \
    "[%rd0], 256, [%r13];\nISSUED:\n"

static const struct race_case COPY_CASES[] = {
    {"cp.async, read by others", 64, COPY "cp.async.wait_all;\n", BARRIER, LOAD_NEXT},
    {"cp.async over what others read", 64, STORE_OWN BARRIER LOAD_NEXT, BARRIER,
     COPY "cp.async.wait_all;\n"},
    {"a bulk copy, read", 64, INIT("1") BULK, WAIT("SPIN"), LOAD_NEXT WAIT("LAST")},
    {"a bulk copy over what others read", 64, INIT("1") STORE_OWN BARRIER LOAD_NEXT,
     BARRIER, BULK WAIT("SPIN")},
    {"a bulk copy, overwritten", 64, INIT("1") BULK, WAIT("SPIN") BARRIER,
     STORE_OWN WAIT("LAST")},
};

static void test_copies(void **state)
{
    (void)state;
    uint32_t *const in = device_words(64);
    for (int64_t k = 0; k < 2 * ARRAY_LEN(COPY_CASES); k++) {
        const struct race_case *const c = &COPY_CASES[k / 2];
        struct buf racy = {0}, ordered = {0};
        print_message("%s\n", c->what);
        buf_printf(&racy, "%s%s%s", PROLOGUE, c->before, c->after);
        buf_printf(&ordered, "%s%s%s%s", PROLOGUE, c->before, c->order, c->after);
        set(0, k % 2);
        must_run(&(struct ptx_case){.body = ordered.data,
                                    .blocks = 1,
                                    .threads = c->threads,
                                    .arg = {(uint64_t)(uintptr_t)in}});
        must_fault(racy.data, 1, c->threads, (uint64_t)(uintptr_t)in, "a race", NULL);
        buf_release(&racy);
        buf_release(&ordered);
    }
    assert_int_equal(machine_free(in), STATUS_OK);
}

/* Both sides are named. */
static void test_message(void **state)
{
    (void)state;
    set(0, false);
    must_fault(PROLOGUE STORE_OWN "setp.eq.u32 %p5, %r16, 1;\n"
                                  "@%p5 ld.shared.u32 %r20, [%r10+20];\n",
               1, 64, 0, "thread (32, 0, 0)", "ld.shared.u32",
               "reads shared offset 20, which thread 5 of the block writes at PTX line",
               NULL);
}

/* Many rounds, and more mbarriers than there are copies to tell apart. */
static void test_rounds(void **state)
{
    (void)state;
    set(5, false);
    must_run(&(struct ptx_case){
        .body = PROLOGUE STORE_OWN
        "mov.u32 %r30, 0;\nTOP:\n" BARRIER LOAD_NEXT BARRIER STORE_OWN
        "shfl.sync.idx.b32 %r21, %r20, 0, 31, -1;\n" WARP_SYNC
        "add.u32 %r30, %r30, 1;\nsetp.lt.u32 %p7, %r30, 200;\n@%p7 bra TOP;\n",
        .blocks = 2,
        .threads = 256});
    must_run(&(struct ptx_case){
        .body = PROLOGUE
        "mov.u32 %r30, 0;\nmov.u32 %r31, %r13;\nTOP:\n"
        "@%p60 mbarrier.init.shared.b64 [%r31], 32;\n" BARRIER
        "mbarrier.arrive.shared.b64 _, [%r31];\nSPIN:\n"
        "mbarrier.try_wait.parity.shared.b64 %p6, [%r31], 0;\n@!%p6 bra SPIN;\n"
        "add.u32 %r31, %r31, 8;\nadd.u32 %r30, %r30, 1;\n"
        "setp.lt.u32 %p7, %r30, 100;\n@%p7 bra TOP;\n",
        .blocks = 1,
        .threads = 32});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_barriers_and_lanes),
        cmocka_unit_test(test_mbarriers),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
