/*
 * Bulk copies of bytes, in each direction: what they move, when early and late
 * execution show it, and which uses are faults.
 */
#include "tests/emulator/async_case.h"

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
        cmocka_unit_test(test_bulk_load),   cmocka_unit_test(test_bulk_store),
        cmocka_unit_test(test_bulk_add),    cmocka_unit_test(test_bulk_within),
        cmocka_unit_test(test_bulk_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
