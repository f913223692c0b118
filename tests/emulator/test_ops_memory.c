/*
 * ld and st in every width, class of register and shape; atom and red against a plain
 * computation, also from many blocks at once.
 */
#include "tests/emulator/run_ptx.h"

#include <math.h>

static uint64_t address_of(const void *p) { return (uint64_t)(uintptr_t)p; }

static void run_with(const char *body, int32_t blocks, int32_t threads, const void *a,
                     const void *b)
{
    must_run(&(struct ptx_case){.body = body,
                                .blocks = blocks,
                                .threads = threads,
                                .arg = {address_of(a), address_of(b)}});
}

/* Each lane takes byte n of a table in several ways; the words behind say how. */
static void test_narrow_loads(void **state)
{
    (void)state;
    enum { N = 32, WAYS = 9 };
    uint32_t *const out = device_words(N * WAYS);
    uint8_t *const in = (uint8_t *)device_words(64);
    for (int32_t k = 0; k < 256; k++)
        in[k] = (uint8_t)(k * 7 + 100);
    run_with("mul.wide.u32 %rd5, %r1, 36;\nadd.s64 %rd5, %rd5, %rd0;\n"
             "mul.wide.u32 %rd6, %r1, 8;\nadd.s64 %rd6, %rd6, %rd1;\n"
             "ld.global.u8 %r5, [%rd6+3];\nst.global.u32 [%rd5], %r5;\n"
             "ld.global.s8 %r5, [%rd6+3];\nst.global.u32 [%rd5+4], %r5;\n"
             "ld.global.nc.u16 %rs5, [%rd6+2];\ncvt.u32.u16 %r5, %rs5;\n"
             "st.global.u32 [%rd5+8], %r5;\n"
             "ld.global.s16 %r5, [%rd6+2];\nst.global.u32 [%rd5+12], %r5;\n"
             "ld.global.s8 %rs5, [%rd6+5];\nmov.b32 %r5, {%rs5, %rs5};\n"
             "st.global.u32 [%rd5+16], %r5;\n"
             "ld.global.s32 %rd7, [%rd6+4];\nshr.u64 %rd7, %rd7, 32;\n"
             "st.global.u32 [%rd5+20], %rd7;\n"
             "ld.global.u32 %rd7, [%rd6+4];\nshr.u64 %rd7, %rd7, 32;\n"
             "st.global.u32 [%rd5+24], %rd7;\n"
             "ld.global.v4.u8 {%r5, %r6, _, %r7}, [%rd6+4];\n"
             "shl.b32 %r6, %r6, 8;\nshl.b32 %r7, %r7, 24;\nor.b32 %r5, %r5, %r6;\n"
             "or.b32 %r5, %r5, %r7;\nst.global.u32 [%rd5+28], %r5;\n"
             "ld.global.b64 %rd7, [%rd6];\nshr.u64 %rd7, %rd7, 16;\n"
             "st.global.u32 [%rd5+32], %rd7;\n",
             1, N, out, in);
    for (uint32_t n = 0; n < N; n++) {
        const uint8_t *const b = &in[8 * n];
        const uint32_t *const o = &out[WAYS * n];
        const uint32_t half = b[2] | (uint32_t)b[3] << 8;
        assert_int_equal(o[0], b[3]);
        assert_int_equal((int32_t)o[1], (int8_t)b[3]);
        assert_int_equal(o[2], half);
        assert_int_equal((int32_t)o[3], (int16_t)half);
        assert_int_equal(o[4], (uint16_t)(int8_t)b[5] * 0x10001u);
        assert_int_equal(o[5], (b[7] & 0x80) != 0 ? 0xffffffffu : 0);
        assert_int_equal(o[6], 0);
        assert_int_equal(o[7], b[4] | (uint32_t)b[5] << 8 | (uint32_t)b[7] << 24);
        assert_int_equal(o[8], half | (uint32_t)b[4] << 16 | (uint32_t)b[5] << 24);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
    assert_int_equal(machine_free(in), STATUS_OK);
}

/* Vectors of words and longs, narrow stores, immediates; a guard leaves lanes out. */
static void test_vectors_and_stores(void **state)
{
    (void)state;
    enum { N = 40, WORDS = 16 };
    uint32_t *const out = device_words(N * WORDS);
    uint32_t *const in = device_words(N * WORDS);
    for (uint32_t k = 0; k < N * WORDS; k++)
        in[k] = k * 0x9e3779b9u;
    run_with(
        "mul.wide.u32 %rd5, %r1, 64;\nadd.s64 %rd6, %rd5, %rd1;\n"
        "add.s64 %rd5, %rd5, %rd0;\nsetp.ne.u32 %p0, %r1, 5;\n"
        "mov.f32 %f1, 0f00000000;\n"
        "@%p0 ld.global.ca.v4.f32 {%f1, %f2, %f3, %f4}, [%rd6];\n"
        "@%p0 st.global.wb.v4.f32 [%rd5], {%f4, %f3, %f2, %f1};\n"
        "ld.volatile.global.v2.u64 {%rd7, %rd8}, [%rd6+16];\n"
        "st.relaxed.gpu.global.u64 [%rd5+16], %rd8;\n"
        "st.global.v2.u32 [%rd5+24], {%r1, 77};\n"
        "ld.global.L1::no_allocate.L2::128B.v2.f32 {%f5, _}, [%rd6+32];\n"
        "st.global.f32 [%rd5+32], %f5;\n"
        "ld.acquire.sys.global.u32 %r6, [%rd6+36];\n"
        "st.global.u8 [%rd5+36], %r6;\nshr.u32 %r7, %r6, 8;\n"
        "cvt.u16.u32 %rs1, %r7;\nst.global.u8 [%rd5+37], %rs1;\n"
        "st.global.v2.u16 [%rd5+40], {%rs1, %rs1};\n"
        "st.global.f64 [%rd5+48], 0d3FF0000000000000;\n"
        "ldu.global.u32 %r8, [%rd6+56];\nst.global.release.cta.u32 [%rd5+56], %r8;\n",
        1, N, out, in);
    for (uint32_t n = 0; n < N; n++) {
        const uint32_t *const i = &in[n * WORDS], *const o = &out[n * WORDS];
        for (uint32_t k = 0; k < 4; k++)
            assert_int_equal(o[k], n == 5 ? 0 : i[3 - k]);
        assert_int_equal(o[4], i[6]);
        assert_int_equal(o[5], i[7]);
        assert_int_equal(o[6], n);
        assert_int_equal(o[7], 77);
        assert_int_equal(o[8], i[8]);
        assert_int_equal(o[9], i[9] & 0xffff);
        assert_int_equal(o[10], (i[9] >> 8 & 0xffff) * 0x10001u);
        assert_int_equal(o[13], 0x3ff00000);
        assert_int_equal(o[14], i[14]);
    }
    assert_int_equal(machine_free(out), STATUS_OK);
    assert_int_equal(machine_free(in), STATUS_OK);
}

/* Rows, broadcasts, strides and reversed lanes: the fast ways agree with the slow. */
static void test_patterns(void **state)
{
    (void)state;
    static const char *const offsets[] = {
        "mov.u32 %r5, %r1;\n", "mov.u32 %r5, 3;\n", "sub.u32 %r5, 63, %r1;\n",
        "mul.lo.u32 %r5, %r1, 3;\n", "xor.b32 %r5, %r1, 1;\n"};
    for (int64_t k = 0; k < ARRAY_LEN(offsets); k++) {
        for (int32_t is_guarded = 0; is_guarded < 2; is_guarded++) {
            char body[512];
            uint32_t *const out = device_words(64), *const in = device_words(256);
            for (uint32_t n = 0; n < 256; n++)
                in[n] = 1000 + n;
            snprintf(
                body, sizeof(body),
                "%ssetp.%s.u32 %%p0, %%r1, 17;\nmul.wide.u32 %%rd5, %%r5, 4;\n"
                "add.s64 %%rd5, %%rd5, %%rd1;\n@%%p0 ld.global.u32 %%r6, [%%rd5];\n"
                "@%%p0 st.global.u32 [%%rd4], %%r6;\n",
                offsets[k], is_guarded != 0 ? "gt" : "ge");
            snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s",
                     is_guarded != 0 ? "" : "@!%p0 st.global.u32 [%rd4], 1;\n");
            run_with(body, 1, 64, out, in);
            const uint32_t at[] = {40, 3, 63 - 40, 120, 41};
            assert_int_equal(out[40], 1000 + at[k]);
            assert_int_equal(out[17], is_guarded != 0 ? 0
                                      : k == 0        ? 1017
                                      : k == 1        ? 1003
                                      : k == 2        ? 1046
                                      : k == 3        ? 1051
                                                      : 1016);
            assert_int_equal(out[3], is_guarded != 0 ? 0 : 1);
            assert_int_equal(machine_free(out), STATUS_OK);
            assert_int_equal(machine_free(in), STATUS_OK);
        }
    }
}

/* Integers: every operation once per thread on words of its own, with the old value. */
static void test_atomic_results(void **state)
{
    (void)state;
    enum { N = 32, OPS = 12 };
    uint32_t *const out = device_words(N * OPS), *const at = device_words(N * OPS);
    for (uint32_t k = 0; k < N * OPS; k++)
        at[k] = k % OPS == 11 ? k % 3 : k * 0x85ebca6bu;
    uint32_t was[N * OPS];
    memcpy(was, at, sizeof(was));
    run_with(
        "mul.wide.u32 %rd5, %r1, 48;\nadd.s64 %rd6, %rd5, %rd1;\n"
        "add.s64 %rd5, %rd5, %rd0;\nmov.u32 %r5, 0x12345678;\n"
        "atom.global.add.s32 %r6, [%rd6], %r5;\nst.global.u32 [%rd5], %r6;\n"
        "atom.global.min.u32 %r6, [%rd6+4], %r5;\nst.global.u32 [%rd5+4], %r6;\n"
        "atom.global.max.u32 %r6, [%rd6+8], %r5;\nst.global.u32 [%rd5+8], %r6;\n"
        "atom.global.min.s32 %r6, [%rd6+12], %r5;\nst.global.u32 [%rd5+12], %r6;\n"
        "atom.global.max.s32 %r6, [%rd6+16], %r5;\nst.global.u32 [%rd5+16], %r6;\n"
        "atom.global.and.b32 %r6, [%rd6+20], %r5;\nst.global.u32 [%rd5+20], %r6;\n"
        "atom.global.or.b32 %r6, [%rd6+24], %r5;\nst.global.u32 [%rd5+24], %r6;\n"
        "atom.global.xor.b32 %r6, [%rd6+28], %r5;\nst.global.u32 [%rd5+28], %r6;\n"
        "atom.global.exch.b32 %r6, [%rd6+32], %r5;\nst.global.u32 [%rd5+32], %r6;\n"
        "ld.global.u32 %r7, [%rd6+36];\nand.b32 %r7, %r7, 0xfffffff7;\n"
        "atom.global.cas.b32 %r6, [%rd6+36], %r7, %r5;\nst.global.u32 [%rd5+36], %r6;\n"
        "atom.global.inc.u32 %r6, [%rd6+40], 0x80000000;\n"
        "st.global.u32 [%rd5+40], %r6;\n"
        "atom.global.dec.u32 %r6, [%rd6+44], 1;\nst.global.u32 [%rd5+44], %r6;\n",
        1, N, out, at);
    const uint32_t b = 0x12345678;
    for (uint32_t n = 0; n < N; n++) {
        const uint32_t *const old = &was[n * OPS], *const now = &at[n * OPS];
        assert_memory_equal(&out[n * OPS], old, OPS * sizeof(*old));
        const uint32_t want[OPS] = {
            old[0] + b,
            old[1] < b ? old[1] : b,
            old[2] > b ? old[2] : b,
            (int32_t)old[3] < (int32_t)b ? old[3] : b,
            (int32_t)old[4] > (int32_t)b ? old[4] : b,
            old[5] & b,
            old[6] | b,
            old[7] ^ b,
            b,
            (old[9] & 8) == 0 ? b : old[9],
            old[10] >= 0x80000000u ? 0 : old[10] + 1,
            old[11] == 0 || old[11] > 1 ? 1 : old[11] - 1,
        };
        assert_memory_equal(now, want, sizeof(want));
    }
    assert_int_equal(machine_free(out), STATUS_OK);
    assert_int_equal(machine_free(at), STATUS_OK);
}

/* All threads of many blocks on the same few places. */
static void test_contention(void **state)
{
    (void)state;
    enum { BLOCKS = 200, THREADS = 96 };
    const uint32_t n = BLOCKS * THREADS;
    uint32_t *const at = device_words(32);
    ((int64_t *)(void *)at)[2] = INT64_MAX;
    run_with(".shared .align 8 .b64 s[2];\nsetp.eq.u32 %p0, %r1, 0;\n"
             "@%p0 st.shared.u64 [s], 0;\n@%p0 st.shared.f32 [s+8], 0f00000000;\n"
             "bar.sync 0;\n"
             "red.global.add.u32 [%rd0], 1;\nred.global.add.f32 [%rd0+4], 0f3F800000;\n"
             "cvt.u64.u32 %rd5, %r0;\nred.global.add.u64 [%rd0+8], %rd5;\n"
             "cvt.s64.s32 %rd6, %r0;\nneg.s64 %rd6, %rd6;\n"
             "red.global.min.s64 [%rd0+16], %rd6;\n"
             "red.global.add.f64 [%rd0+24], 0d3FE0000000000000;\n"
             "red.shared.add.u64 [s], 1;\nred.relaxed.cta.shared.add.f32 [s+8], "
             "0f3F800000;\nbar.sync 0;\n"
             "@%p0 ld.shared.u32 %r7, [s];\n@%p0 ld.shared.f32 %f1, [s+8];\n"
             "@%p0 red.add.u32 [%rd0+40], %r7;\n@%p0 red.add.f32 [%rd0+44], %f1;\n",
             BLOCKS, THREADS, at, NULL);
    float f[32];
    memcpy(f, at, sizeof(f));
    const uint64_t *const wide = (const uint64_t *)(const void *)at;
    double d;
    memcpy(&d, &wide[3], sizeof(d));
    assert_int_equal(at[0], n);
    assert_true(f[1] == (float)n);
    assert_int_equal(wide[1], (uint64_t)n * (n - 1) / 2);
    assert_int_equal((int64_t)wide[2], -(int64_t)(n - 1));
    assert_true(d == 0.5 * n);
    assert_int_equal(at[10], n);
    assert_true(f[11] == (float)n);
    assert_int_equal(machine_free(at), STATUS_OK);
}

/* A lock that every lane of two blocks takes once, from within its warp. */
static void test_lock(void **state)
{
    (void)state;
    uint32_t *const at = device_words(2);
    run_with("LOCK:\natom.acquire.gpu.global.cas.b32 %r5, [%rd0], 0, 1;\n"
             "setp.ne.u32 %p1, %r5, 0;\n@%p1 bra LOCK;\n"
             "ld.global.u32 %r6, [%rd0+4];\nadd.u32 %r6, %r6, 1;\n"
             "st.global.u32 [%rd0+4], %r6;\n"
             "atom.release.gpu.global.exch.b32 %r5, [%rd0], 0;\n",
             2, 32, at, NULL);
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 64);
    assert_int_equal(machine_free(at), STATUS_OK);
}

/* Pairs of bf16 and f16; f32 flushes in global memory and not in shared. */
static void test_atomic_floats(void **state)
{
    (void)state;
    uint32_t *const at = device_words(32);
    at[0] = 0x3f804000; /* bf16 1, 2 */
    at[1] = 0x3c004000; /* f16 1, 2 */
    at[2] = 0x00000001; /* a subnormal f32 */
    at[8] = 0x00003f80;
    run_with(
        ".shared .align 4 .b32 s;\nst.shared.u32 [s], 1;\n"
        "mov.b32 %r5, 0x3b804080;\n" /* 2^-8 and 4: 1 + 2^-8 is a tie, to even */
        "red.global.add.noftz.bf16x2 [%rd0], %r5;\n"
        "mov.b32 %r5, 0x10004200;\n" /* 2^-11 and 3 */
        "atom.global.add.noftz.f16x2 %r6, [%rd0+4], %r5;\n"
        "st.global.u32 [%rd0+12], %r6;\n"
        "mov.b32 %f1, 0x00000001;\nred.global.add.f32 [%rd0+8], %f1;\n"
        "red.shared.add.f32 [s], %f1;\nld.shared.u32 %r7, [s];\n"
        "st.global.u32 [%rd0+20], %r7;\n"
        "mov.f32 %f2, 0f3F800000;\n"
        "red.global.v2.f32.add [%rd0+24], {%f2, %f2};\n"
        "mov.b16 %rs1, 0x3f80;\natom.global.add.noftz.bf16 %rs2, [%rd0+32], %rs1;\n"
        "mov.b16 %rs3, 0x4000;\natom.global.cas.b16 %rs4, [%rd0+32], %rs3, %rs1;\n",
        1, 1, at, NULL);
    assert_int_equal(at[0], 0x3f8040c0);
    assert_int_equal(at[1], 0x3c004500);
    assert_int_equal(at[3], 0x3c004000);
    assert_int_equal(at[2], 0);
    assert_int_equal(at[5], 2);
    assert_int_equal(at[6], 0x3f800000);
    assert_int_equal(at[7], 0x3f800000);
    assert_int_equal(at[8], 0x00003f80);
    assert_int_equal(machine_free(at), STATUS_OK);
}

/* Hints and fences are understood and change nothing. */
static void test_hints(void **state)
{
    (void)state;
    uint32_t *const at = device_words(32);
    run_with("prefetch.global.L2 [%rd0];\nprefetchu.L1 [%rd0];\nmembar.gl;\n"
             "fence.acq_rel.gpu;\nfence.sc.cta;\nmembar.sys;\n"
             "createpolicy.fractional.L2::evict_first.b64 %rd7, 1.0;\n"
             "ld.global.L2::cache_hint.u32 %r5, [%rd4], %rd7;\n"
             "st.global.L2::cache_hint.u32 [%rd4], 3, %rd7;\n",
             1, 32, at, NULL);
    assert_int_equal(at[31], 3);
    assert_int_equal(machine_free(at), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrow_loads),  cmocka_unit_test(test_vectors_and_stores),
        cmocka_unit_test(test_patterns),      cmocka_unit_test(test_atomic_results),
        cmocka_unit_test(test_contention),    cmocka_unit_test(test_lock),
        cmocka_unit_test(test_atomic_floats), cmocka_unit_test(test_hints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
