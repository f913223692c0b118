/*
 * Allocations with their guard bands, and the checks of accesses: bounds, alignment,
 * spaces, freed memory.
 */
#include "tests/emulator/run_ptx.h"

#include <stdlib.h>

static uint64_t address_of(const void *p) { return (uint64_t)(uintptr_t)p; }

static void test_allocations(void **state)
{
    (void)state;
    enum { N = 100 };
    void *p[N];
    const size_t before = machine_bytes_in_use();
    size_t sum = 0;
    for (size_t k = 0; k < N; k++) {
        assert_int_equal(machine_alloc(k * 37, false, &p[k]), STATUS_OK);
        assert_int_equal(address_of(p[k]) % 256, 0);
        for (size_t b = 0; b < k * 37; b++)
            assert_int_equal(((uint8_t *)p[k])[b], 0xff);
        sum += k * 37;
    }
    assert_int_equal(machine_bytes_in_use(), before + sum);
    for (size_t k = 1; k < N; k++) {
        assert_true(machine_holds(p[k], k * 37));
        assert_false(machine_holds(p[k], k * 37 + 1));
        assert_false(machine_holds((uint8_t *)p[k] - 1, 1));
        assert_true(machine_holds((uint8_t *)p[k] + k * 37 - 1, 1));
        assert_false(machine_holds((uint8_t *)p[k] + k * 37, 1));
    }
    for (size_t k = 0; k < N; k++) /* in an order of its own */
        assert_int_equal(machine_free(p[k * 37 % N]), STATUS_OK);
    assert_int_equal(machine_bytes_in_use(), before);
    assert_false(machine_holds(p[5], 1));
}

static void test_host_memory(void **state)
{
    (void)state;
    const size_t before = machine_bytes_in_use();
    void *p = NULL;
    assert_int_equal(machine_alloc(128, true, &p), STATUS_OK);
    assert_int_equal(machine_bytes_in_use(), before);
    must_run(&(struct ptx_case){.body = "st.global.u32 [%rd4], 7;\n",
                                .blocks = 1,
                                .threads = 32,
                                .arg = {address_of(p)}});
    assert_int_equal(((uint32_t *)p)[31], 7);
    assert_int_equal(machine_free(p), STATUS_OK);
}

static void test_wrong_frees(void **state)
{
    (void)state;
    uint8_t *const p = (uint8_t *)device_words(4);
    assert_int_equal(machine_free(p + 4), ERR_USAGE);
    assert_int_equal(machine_free(&state), ERR_USAGE);
    assert_int_equal(machine_free(p), STATUS_OK);
    assert_int_equal(machine_free(p), ERR_USAGE);
    uint8_t *const past = (uint8_t *)device_words(4);
    past[16 + 200] = 0;
    assert_int_equal(machine_free(past), ERR_DEVICE);
    assert_non_null(strstr(status_message(), "200 bytes past its end"));
    uint8_t *const ahead = (uint8_t *)device_words(4);
    ahead[-3] = 0;
    assert_int_equal(machine_free(ahead), ERR_DEVICE);
    assert_non_null(strstr(status_message(), "3 bytes before its begin"));
}

/* A thread past the end; the text names it, the address and the allocation. */
static void test_bounds(void **state)
{
    (void)state;
    uint32_t *const p = device_words(40);
    const uint64_t at = address_of(p);
    must_fault("st.global.u32 [%rd4], 1;\n", 1, 64, at, "thread (40, 0, 0)",
               "st.global.u32", "writes 4 bytes", "outside of every allocation",
               "0 bytes past the end of the 160 bytes", NULL);
    must_fault("ld.global.u32 %r5, [%rd0+-12];\n", 1, 32, at, "thread (0, 0, 0)",
               "reads 4 bytes", "12 bytes before the 160 bytes", NULL);
    must_fault("ld.u32 %r5, [%rd0+160];\n", 1, 32, at, "reads 4 bytes at global", NULL);
    /* the last bytes are in, the rest of the access is out */
    must_fault("ld.global.u64 %rd5, [%rd0+156];\n", 1, 32, at, "not aligned to 8",
               NULL);
    must_fault("ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd0+160];\n", 1, 32, at,
               "reads 16 bytes", NULL);
    must_fault("atom.global.add.u32 %r5, [%rd0+160], 1;\n", 1, 32, at,
               "updates 4 bytes", NULL);
    must_fault("ld.global.u32 %r5, [0];\n", 1, 32, at, "0x0", NULL);
    /* memory of the program that kernels cannot reach */
    void *const host = malloc(64);
    must_fault("st.global.u32 [%rd0], 1;\n", 1, 1, address_of(host), "outside", NULL);
    free(host);
    assert_int_equal(machine_free(p), STATUS_OK);
    must_fault("ld.global.u32 %r5, [%rd0];\n", 1, 32, at, "outside", NULL);
}

/* Lanes in several allocations: slower, but right. */
static void test_scattered(void **state)
{
    (void)state;
    enum { N = 8 };
    uint64_t *const table = (uint64_t *)(void *)device_words(2 * N);
    uint32_t *const out = device_words(64);
    uint32_t *p[N];
    for (uint32_t k = 0; k < N; k++) {
        p[k] = device_words(1 + k);
        p[k][k] = 100 + k;
        table[k] = address_of(p[k] + k);
    }
    must_run(&(struct ptx_case){
        .body = "and.b32 %r5, %r1, 7;\nmul.wide.u32 %rd5, %r5, 8;\n"
                "add.s64 %rd5, %rd5, %rd1;\nld.global.u64 %rd6, [%rd5];\n"
                "ld.global.u32 %r6, [%rd6];\nst.global.u32 [%rd4], %r6;\n"
                "add.u32 %r6, %r6, 1;\nbar.sync 0;\n"
                "setp.ge.u32 %p0, %r1, 32;\n@%p0 st.global.u32 [%rd6], %r6;\n",
        .blocks = 1,
        .threads = 64,
        .arg = {address_of(out), address_of(table)}});
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], 100 + n % N);
    for (uint32_t k = 0; k < N; k++) {
        assert_int_equal(p[k][k], 101 + k);
        assert_int_equal(machine_free(p[k]), STATUS_OK);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
    assert_int_equal(machine_free(table), STATUS_OK);
}

static void test_alignment(void **state)
{
    (void)state;
    uint32_t *const p = device_words(64);
    const uint64_t at = address_of(p);
    must_fault("ld.global.u16 %rs0, [%rd0+1];\n", 1, 32, at, "not aligned to 2", NULL);
    must_fault("ld.global.u32 %r5, [%rd0+2];\n", 1, 32, at, "not aligned to 4", NULL);
    must_fault("ld.global.v2.u32 {%r5, %r6}, [%rd0+4];\n", 1, 32, at, "aligned to 8",
               NULL);
    must_fault("st.global.v4.u32 [%rd0+8], {%r5, %r6, %r7, %r8};\n", 1, 32, at,
               "aligned to 16", NULL);
    must_fault(".shared .align 8 .b32 s[4];\nld.shared.u64 %rd5, [s+4];\n", 1, 32, at,
               "shared address 0x4", "aligned to 8", NULL);
    assert_int_equal(machine_free(p), STATUS_OK);
}

static void test_spaces(void **state)
{
    (void)state;
    must_fault(".shared .align 4 .b32 s[4];\nst.shared.u32 [s+16], 1;\n", 1, 32, 0,
               "shared address 0x10 of 16 bytes", NULL);
    must_fault(".local .align 4 .b8 depot[16];\nld.local.u32 %r5, [depot+16];\n", 1, 32,
               0, "local address 0x10 of 16 bytes", NULL);
    must_fault("ld.param.u64 %rd5, [a3+8];\n", 1, 32, 0, "parameter address 0x20",
               NULL);
    must_fault("mov.b64 %rd5, a0;\ncvta.param.u64 %rd6, %rd5;\nst.u32 [%rd6], 1;\n", 1,
               32, 0, "read-only", NULL);
}

/* Shared, local and parameter memory by generic addresses, in one load by window. */
static void test_generic(void **state)
{
    (void)state;
    uint32_t *const out = device_words(64);
    must_run(&(struct ptx_case){
        .body = ".shared .align 4 .b32 s[64];\n.local .align 8 .b8 depot[16];\n"
                "mov.u32 %r10, s;\ncvt.u64.u32 %rd10, %r10;\n"
                "cvta.shared.u64 %rd11, %rd10;\nmul.wide.u32 %rd12, %r1, 4;\n"
                "add.s64 %rd11, %rd11, %rd12;\nst.u32 [%rd11], %r1;\nbar.sync 0;\n"
                "mov.u64 %rd13, depot;\ncvta.local.u64 %rd14, %rd13;\n"
                "add.u32 %r11, %r1, 500;\nst.u32 [%rd14+8], %r11;\n"
                "mov.b64 %rd15, a1;\ncvta.param.u64 %rd16, %rd15;\n"
                "and.b32 %r12, %r1, 3;\n"
                "setp.eq.u32 %p0, %r12, 0;\nsetp.eq.u32 %p1, %r12, 1;\n"
                "setp.eq.u32 %p2, %r12, 2;\nadd.s64 %rd14, %rd14, 8;\n"
                "mov.u64 %rd20, %rd0;\n@%p0 mov.u64 %rd20, %rd11;\n"
                "@%p1 mov.u64 %rd20, %rd14;\n@%p2 mov.u64 %rd20, %rd16;\n"
                "ld.u32 %r13, [%rd20];\nbar.sync 0;\nst.u32 [%rd4], %r13;\n",
        .blocks = 1,
        .threads = 64,
        .arg = {address_of(out), 4242}});
    for (uint32_t n = 0; n < 64; n++)
        assert_int_equal(out[n], n % 4 == 0   ? n
                                 : n % 4 == 1 ? n + 500
                                 : n % 4 == 2 ? 4242
                                              : 0);
    assert_int_equal(machine_free(out), STATUS_OK);
}

/* Dynamic shared memory lies behind what is declared; new blocks see no old values. */
static void test_dynamic(void **state)
{
    (void)state;
    uint32_t *const out = device_words(2 * 64);
    must_run(&(struct ptx_case){
        .body = ".shared .align 4 .b32 s[3];\nmov.u32 %r10, dynamic;\n"
                "shl.b32 %r11, %r1, 2;\nadd.u32 %r10, %r10, %r11;\n"
                "ld.shared.u32 %r12, [%r10];\nst.shared.u32 [%r10], %r0;\n"
                "bar.sync 0;\nst.global.u32 [%rd4], %r12;\n",
        .blocks = 2,
        .threads = 64,
        .dynamic_bytes = 256,
        .arg = {address_of(out)}});
    for (uint32_t n = 0; n < 128; n++)
        assert_int_equal(out[n], 0xffffffff);
    must_fault("ld.shared.u32 %r5, [dynamic];\n", 1, 32, address_of(out), "shared",
               NULL);
    assert_int_equal(machine_free(out), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations), cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_wrong_frees), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_scattered),   cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_spaces),      cmocka_unit_test(test_generic),
        cmocka_unit_test(test_dynamic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
