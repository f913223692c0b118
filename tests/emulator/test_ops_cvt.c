/*
 * emulator/ops_cvt.c: every pair of types in every mode that the ISA gives it, against
 * 128-bit integers and rounding by bisection (float_ref.h).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/status.h"
#include "tests/emulator/float_ref.h"
#include "tests/emulator/ops_fixture.h"

typedef __int128 wide;

static const struct type {
    const char *name;
    char sig;
    int32_t bits;
    bool is_float, is_signed;
    enum float_ref format;
} TYPES[] = {
    {"u8", '2', 8, false, false, 0},       {"s8", '2', 8, false, true, 0},
    {"u16", '2', 16, false, false, 0},     {"s16", '2', 16, false, true, 0},
    {"u32", '4', 32, false, false, 0},     {"s32", '4', 32, false, true, 0},
    {"u64", '8', 64, false, false, 0},     {"s64", '8', 64, false, true, 0},
    {"f16", 'h', 16, true, true, REF_F16}, {"bf16", 'h', 16, true, true, REF_BF16},
    {"f32", 'f', 32, true, true, REF_F32}, {"f64", 'd', 64, true, true, REF_F32},
};

/* what the reference functions are to do */
static const struct type *dst, *src;
static enum ref_mode mode;
static bool is_integral, is_sat, is_ftz;
static int32_t out_bits; /* the register's */

static bool is_f64(const struct type *t) { return t->is_float && t->bits == 64; }
static bool is_f32(const struct type *t) { return t->is_float && t->bits == 32; }
static uint64_t cut(wide v, int32_t bits)
{
    return bits == 64 ? (uint64_t)v : (uint64_t)v & ((1ull << bits) - 1);
}
static wide int_value(const struct type *t, uint64_t u)
{
    u = cut((wide)u, t->bits);
    return t->is_signed && u >> (t->bits - 1) ? (wide)u - ((wide)1 << t->bits)
                                              : (wide)u;
}
static wide bounded(wide v)
{
    const wide most = ((wide)1 << (dst->bits - dst->is_signed)) - 1;
    const wide least = dst->is_signed ? -most - 1 : 0;
    return v < least ? least : v > most ? most : v;
}
/* an integer that fits the type, as it lies in a register that may be wider */
static uint64_t int_result(wide v)
{
    return cut(int_value(dst, (uint64_t)v), out_bits);
}

static double float_value(uint64_t u)
{
    const double d = is_f64(src) ? as_f64(u) : ref_value(src->format, (uint32_t)u);
    return is_ftz && is_f32(src) && fabs(d) < 0x1p-126 ? copysign(0, d) : d;
}
/* |d| < 2^100 to an integer, by what lies beyond its integral part */
static wide integral(double d)
{
    const wide whole = (wide)d;
    const double rest = d - (double)whole; /* exact */
    const bool odd = whole & 1;
    switch (mode) {
    case REF_RM:
        return rest < 0 ? whole - 1 : whole;
    case REF_RP:
        return rest > 0 ? whole + 1 : whole;
    case REF_RN:
        if (rest > 0.5 || (rest == 0.5 && odd))
            return whole + 1;
        return rest < -0.5 || (rest == -0.5 && odd) ? whole - 1 : whole;
    default:
        return whole;
    }
}
static uint64_t to_f64(struct exact v)
{
    if (isnan(v.s))
        return 0xfff8000000000000;
    const double over = -v.e; /* s was rounded to nearest: one step at most */
    if (over > 0 && (mode == REF_RM || (mode == REF_RZ && v.s > 0)))
        return of_f64(nextafter(v.s, (double)-INFINITY));
    if (over < 0 && (mode == REF_RP || (mode == REF_RZ && v.s < 0)))
        return of_f64(nextafter(v.s, (double)INFINITY));
    return of_f64(v.s);
}
static uint64_t float_result(struct exact v)
{
    if (is_sat)
        v = v.s > 0 ? (v.s < 1 ? v : (struct exact){1, 0}) : (struct exact){0, 0};
    if (is_f64(dst))
        return to_f64(v);
    const uint32_t code = ref_round(dst->format, v, mode);
    const double d = ref_value(dst->format, code);
    return is_ftz && is_f32(dst) && fabs(d) < 0x1p-126 ? code & 0x80000000 : code;
}

static uint64_t convert(uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
    (void)b, (void)c, (void)e;
    if (!src->is_float) {
        const wide v = int_value(src, a);
        if (!dst->is_float)
            return int_result(is_sat ? bounded(v) : v);
        return float_result((struct exact){(double)v, (double)(v - (wide)(double)v)});
    }
    const double d = float_value(a);
    if (!dst->is_float) {
        if (isnan(d))
            return is_f64(src) || dst->bits == 64
                       ? int_result((wide)1 << (dst->bits - 1))
                       : 0;
        return int_result(bounded(fabs(d) < 0x1p100 ? integral(d)
                                  : d > 0           ? (wide)1 << 100
                                                    : -((wide)1 << 100)));
    }
    if (is_integral && fabs(d) < 0x1p100)
        return float_result((struct exact){copysign((double)integral(d), d), 0});
    return float_result((struct exact){d, 0});
}

/* --- the modes of a pair --- */
static void check(const char *modes)
{
    char name[64];
    const char sig[] = {dst->sig, src->sig, '\0'};
    out_bits = dst->sig == '8' || dst->sig == 'd' ? 64 : dst->sig == '2' ? 16 : 32;
    (void)snprintf(name, sizeof(name), "cvt%s.%s.%s", modes, dst->name, src->name);
    ops_check(name, sig, convert);
}
static void check_rounded(const char *suffix)
{
    static const char *const MODES[] = {".rn", ".rz", ".rm", ".rp"};
    for (int32_t k = 0; k < 4; k++) {
        char modes[32];
        mode = (enum ref_mode)k;
        (void)snprintf(modes, sizeof(modes), "%s%s%s", MODES[k], is_integral ? "i" : "",
                       suffix);
        check(modes);
    }
    mode = REF_RN;
}
static void check_pair(void)
{
    const bool is_widening = dst->is_float && src->is_float &&
                             (is_f64(dst) || (is_f32(dst) && !is_f64(src)) ||
                              dst == src);
    const bool has_f32 = is_f32(dst) || is_f32(src);
    is_integral = src->is_float && (!dst->is_float || dst == src);
    const bool is_rounded = dst->is_float != src->is_float ||
                            (dst->is_float && !is_widening) || is_integral;
    for (int32_t k = 0; k < 4; k++) {
        static const char *const SUFFIX[] = {"", ".ftz", ".sat", ".ftz.sat"};
        is_ftz = k & 1;
        is_sat = k & 2;
        if (is_ftz && !has_f32)
            continue;
        if (is_rounded)
            check_rounded(SUFFIX[k]);
        if (!is_rounded || (is_integral && dst == src)) {
            const bool was = is_integral;
            is_integral = false;
            check(SUFFIX[k]);
            is_integral = was;
        }
    }
    is_ftz = is_sat = is_integral = false;
}

static void test_all_pairs(void **state)
{
    (void)state;
    for (int64_t d = 0; d < ARRAY_LEN(TYPES); d++) {
        for (int64_t s = 0; s < ARRAY_LEN(TYPES); s++) {
            dst = &TYPES[d];
            src = &TYPES[s];
            check_pair();
        }
    }
}

/* Registers wider than their types: the source's upper bits do not count, a signed
 * result fills the whole register. */
static void test_wide_registers(void **state)
{
    (void)state;
    assert_true(ops_one("cvt.u8.u32", "44", 0x1ff, 0, 0) == 0xff);
    assert_true(ops_one("cvt.s8.s32", "44", 0x1ff, 0, 0) == 0xffffffff);
    assert_true(ops_one("cvt.s8.s32", "24", 0x1ff, 0, 0) == 0xffff);
    assert_true(ops_one("cvt.s16.s32", "44", 0x8000, 0, 0) == 0xffff8000);
    assert_true(ops_one("cvt.s16.s32", "24", 0x8000, 0, 0) == 0x8000);
    assert_true(ops_one("cvt.s32.s64", "88", 0x80000000, 0, 0) == 0xffffffff80000000);
    assert_true(ops_one("cvt.s64.s8", "88", 0x1280, 0, 0) == (uint64_t)-128);
    assert_true(ops_one("cvt.u64.u16", "84", 0x12345678, 0, 0) == 0x5678);
    assert_true(ops_one("cvt.s32.s8", "44", 0x12fe, 0, 0) == (uint32_t)-2);
    assert_true(ops_one("cvt.u16.u64", "28", 0x123456789, 0, 0) == 0x6789);
    assert_true(ops_one("cvt.rn.f32.s8", "44", 0x12fe, 0, 0) == of_f32(-2));
    assert_true(ops_one("cvt.rzi.s8.f32", "44", of_f32(-2.5f), 0, 0) == (uint32_t)-2);
}

static void test_edges(void **state)
{
    (void)state;
    const uint64_t nan32 = 0x7fc00000, nan64 = 0x7ff8000000000000;
    assert_true(ops_one("cvt.rzi.s32.f32", "4f", nan32, 0, 0) == 0);
    assert_true(ops_one("cvt.rzi.s64.f32", "8f", nan32, 0, 0) == 1ull << 63);
    assert_true(ops_one("cvt.rzi.s32.f64", "4d", nan64, 0, 0) == 0x80000000);
    assert_true(ops_one("cvt.rni.s32.f32", "4f", of_f32(2.5f), 0, 0) == 2);
    assert_true(ops_one("cvt.rni.s32.f32", "4f", of_f32(3.5f), 0, 0) == 4);
    assert_true(ops_one("cvt.rmi.s32.f32", "4f", of_f32(-2.5f), 0, 0) == (uint32_t)-3);
    assert_true(ops_one("cvt.rzi.u32.f32", "4f", of_f32(-1), 0, 0) == 0);
    assert_true(ops_one("cvt.rzi.u32.f32", "4f", of_f32(5e9f), 0, 0) == 0xffffffff);
    assert_true(ops_one("cvt.rzi.s64.f64", "8d", of_f64(-1e300), 0, 0) == 1ull << 63);
    assert_true(ops_one("cvt.rpi.ftz.s32.f32", "4f", 1, 0, 0) == 0);
    assert_true(ops_one("cvt.rpi.s32.f32", "4f", 1, 0, 0) == 1);
    assert_true(ops_one("cvt.rpi.f64.f64", "dd", of_f64(1.25), 0, 0) == of_f64(2));
    assert_true(ops_one("cvt.sat.f32.f32", "ff", nan32, 0, 0) == 0);
    assert_true(ops_one("cvt.rn.f32.u64", "f8", UINT64_MAX, 0, 0) == of_f32(0x1p64f));
    assert_true(ops_one("cvt.rz.f32.u64", "f8", UINT64_MAX, 0, 0) == 0x5f7fffff);
    assert_true(ops_one("cvt.f32.f16", "fh", 0x7e01, 0, 0) == 0x7fffffff);
}

/* --- tf32, pairs, bounds --- */
static uint64_t to_tf32(uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
    (void)b, (void)c, (void)e;
    return ref_round(REF_TF32, (struct exact){(double)as_f32(a), 0}, mode);
}
static enum float_ref format;
static bool is_relu;
static uint64_t to_half(uint64_t a)
{
    const double d = (double)as_f32(a);
    return ref_round(format, (struct exact){is_relu && d <= 0 ? 0 : d, 0}, mode);
}
static uint64_t to_pair(uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
    (void)c, (void)e;
    return to_half(a) << 16 | to_half(b);
}

static void test_tf32_and_pairs(void **state)
{
    (void)state;
    mode = REF_RNA;
    ops_check("cvt.rna.tf32.f32", "4f", to_tf32);
    mode = REF_RN;
    ops_check("cvt.rn.tf32.f32", "4f", to_tf32);
    mode = REF_RZ;
    ops_check("cvt.rz.tf32.f32", "4f", to_tf32);
    for (int32_t k = 0; k < 8; k++) {
        char name[64];
        format = k & 1 ? REF_BF16 : REF_F16;
        mode = k & 2 ? REF_RZ : REF_RN;
        is_relu = k & 4;
        (void)snprintf(name, sizeof(name), "cvt.%s%s.%s.f32", k & 2 ? "rz" : "rn",
                       is_relu ? ".relu" : "", k & 1 ? "bf16x2" : "f16x2");
        ops_check(name, "4ff", to_pair);
    }
    is_relu = false;
    mode = REF_RN;
    assert_int_equal(ops_one("cvt.rn.bf16x2.f32", "4ff", of_f32(1), of_f32(-2), 0),
                     0x3f80c000);
    const uint64_t big = of_f32(-1e38f), inf = 0x7f800000;
    assert_int_equal(ops_one("cvt.rn.satfinite.f16x2.f32", "4ff", big, inf, 0),
                     0xfbff7bff);
    assert_int_equal(ops_one("cvt.rn.satfinite.bf16.f32", "hf", inf, 0, 0), 0x7f7f);
    assert_int_equal(ops_one("cvt.rna.satfinite.tf32.f32", "4f", inf, 0, 0),
                     0x7f7fe000);
    assert_int_equal(ops_one("cvt.rn.relu.f16.f32", "hf", big, 0, 0), 0);
}

static void test_refused(void **state)
{
    (void)state;
    ops_check_refused("cvt.f32.s32", "f4");
    ops_check_refused("cvt.s32.f32", "4f");
    ops_check_refused("cvt.rn.s32.f32", "4f");
    ops_check_refused("cvt.f32.f64", "fd");
    ops_check_refused("cvt.rn.f64.f32", "df");
    ops_check_refused("cvt.rn.s32.u32", "44");
    ops_check_refused("cvt.rni.rn.s32.f32", "4f");
    ops_check_refused("cvt.ftz.s32.u32", "44");
    ops_check_refused("cvt.rn.relu.f32.f64", "fd");
    ops_check_refused("cvt.rna.f16.f32", "hf");
    ops_check_refused("cvt.rn.bf16x2.f32", "4f");
    ops_check_refused("cvt.rn.bf16x2.f64", "4dd");
    ops_check_refused("cvt.u64.u32", "44");
    ops_check_refused("cvt.u32.u64", "44");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pairs), cmocka_unit_test(test_wide_registers),
        cmocka_unit_test(test_edges),     cmocka_unit_test(test_tf32_and_pairs),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
