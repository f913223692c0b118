/*
 * emulator/ops_float.c and ops_half.c: arithmetic of f32, f16 and bf16 against rounding
 * by bisection (float_ref.h), f64 against 113-bit floats, approximations against long
 * double.
 */
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/status.h"
#include "tests/emulator/float_ref.h"
#include "tests/emulator/ops_fixture.h"

/* what the reference functions, which have no other arguments, are to compute */
static enum float_ref format;
static enum ref_mode mode;
static bool is_ftz, is_sat, is_relu;
static double (*fold)(double, double);

static double value(uint64_t code)
{
    const double d = ref_value(format, (uint32_t)code);
    const double least = format == REF_F16 ? 0x1p-14 : 0x1p-126;
    return is_ftz && fabs(d) < least ? copysign(0, d) : d;
}
/* the code after rounding, flushing and bounding */
static uint64_t finish(struct exact v)
{
    const uint32_t one = format == REF_F32   ? 0x3f800000
                         : format == REF_F16 ? 0x3c00
                                             : 0x3f80;
    uint32_t code = ref_round(format, v, mode);
    double d = value(code);
    if (d == 0)
        code = ref_round(format, (struct exact){d, 0}, REF_RN);
    if (is_relu && d <= 0)
        return 0;
    if (is_sat && !(d > 0))
        return 0;
    return is_sat && d > 1 ? one : code;
}
/* a sum that is zero: +0, or -0 rounding down, unless both parts have one sign */
static struct exact sum(double a, double b)
{
    struct exact v = exact_sum(a, b);
    if (v.s == 0 && v.e == 0 && !(a == 0 && b == 0 && signbit(a) == signbit(b)))
        v.s = mode == REF_RM ? -0.0 : 0.0;
    return v;
}

#define REF(name, expr)                                                                \
    static uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t e)               \
    {                                                                                  \
        (void)a, (void)b, (void)c, (void)e;                                            \
        return expr;                                                                   \
    }
REF(add, finish(sum(value(a), value(b))))
REF(sub, finish(sum(value(a), -value(b))))
REF(mul, finish((struct exact){value(a) * value(b), 0}))
REF(fused, finish(sum(value(a) * value(b), value(c))))
REF(quotient, finish(exact_quotient((float)value(a), (float)value(b))))
REF(reciprocal, finish(exact_quotient(1, (float)value(a))))
REF(root, finish(exact_root((float)value(a))))

static void check_all(const char *op, const char *sig, ops_ref_fn ref, bool has_sat)
{
    static const char *const MODES[] = {".rn", ".rz", ".rm", ".rp"};
    format = REF_F32;
    for (int32_t k = 0; k < 16; k++) {
        char name[64];
        mode = (enum ref_mode)(k & 3);
        is_ftz = k & 4;
        is_sat = k & 8;
        if (is_sat && !has_sat)
            continue;
        (void)snprintf(name, sizeof(name), "%s%s%s%s.f32", op, MODES[mode],
                       is_ftz ? ".ftz" : "", is_sat ? ".sat" : "");
        ops_check(name, sig, ref);
    }
    mode = REF_RN;
    is_ftz = is_sat = false;
}

static void test_f32(void **state)
{
    (void)state;
    check_all("add", "fff", add, true);
    check_all("sub", "fff", sub, true);
    check_all("mul", "fff", mul, true);
    check_all("fma", "ffff", fused, true);
    check_all("mad", "ffff", fused, true);
    check_all("div", "fff", quotient, false);
    check_all("rcp", "ff", reciprocal, false);
    check_all("sqrt", "ff", root, false);
    ops_check("add.f32", "fff", add);
    ops_check("mul.f32", "fff", mul);
    ops_check("div.approx.f32", "fff", quotient);
    ops_check("div.full.f32", "fff", quotient);
    ops_check("rcp.approx.f32", "ff", reciprocal);
    ops_check("sqrt.approx.f32", "ff", root);
    is_ftz = true;
    ops_check("div.full.ftz.f32", "fff", quotient);
    is_ftz = false;
}

/* --- f64 --- */
/* with 113 bits a second rounding to 53 does no harm, but after fma */
static uint64_t canonical(double d) { return d != d ? 0xfff8000000000000 : of_f64(d); }
REF(add_f64, canonical((double)((__float128)as_f64(a) + (__float128)as_f64(b))))
REF(sub_f64, canonical((double)((__float128)as_f64(a) - (__float128)as_f64(b))))
REF(mul_f64, canonical((double)((__float128)as_f64(a) * (__float128)as_f64(b))))
REF(div_f64, canonical((double)((__float128)as_f64(a) / (__float128)as_f64(b))))
/* so its sum is rounded to odd first */
static __float128 odd_sum(__float128 a, __float128 b)
{
    const volatile __float128 s = a + b, t = s - a;
    const volatile __float128 left = (a - (s - t)) + (b - t);
    unsigned __int128 u;
    __float128 r = s;
    memcpy(&u, &r, sizeof(u));
    if ((left > 0 || left < 0) && !(u & 1))
        u += (left > 0) == (r > 0) ? 1 : -1;
    memcpy(&r, &u, sizeof(r));
    return r;
}
REF(fma_f64, canonical((double)odd_sum((__float128)as_f64(a) * (__float128)as_f64(b),
                                       (__float128)as_f64(c))))
REF(rcp_f64, canonical((double)(1 / (__float128)as_f64(a))))
REF(sqrt_f64, canonical(sqrt(as_f64(a))))

static void test_f64(void **state)
{
    (void)state;
    ops_check("add.rn.f64", "ddd", add_f64);
    ops_check("add.f64", "ddd", add_f64);
    ops_check("sub.rn.f64", "ddd", sub_f64);
    ops_check("mul.rn.f64", "ddd", mul_f64);
    ops_check("div.rn.f64", "ddd", div_f64);
    ops_check("fma.rn.f64", "dddd", fma_f64);
    ops_check("rcp.rn.f64", "dd", rcp_f64);
    ops_check("sqrt.rn.f64", "dd", sqrt_f64);
    const uint64_t one = of_f64(1), tiny = of_f64(0x1p-80), three = of_f64(3);
    assert_true(ops_one("add.rp.f64", "ddd", one, tiny, 0) == one + 1);
    assert_true(ops_one("add.rm.f64", "ddd", one, tiny, 0) == one);
    assert_true(ops_one("sub.rz.f64", "ddd", one, tiny, 0) == one - 1);
    assert_true(ops_one("sub.rp.f64", "ddd", one, tiny, 0) == one);
    assert_true(ops_one("div.rm.f64", "ddd", one, three, 0) == 0x3fd5555555555555);
    assert_true(ops_one("div.rp.f64", "ddd", one, three, 0) == 0x3fd5555555555556);
    assert_true(ops_one("fma.rm.f64", "dddd", one, one, of_f64(-1)) == 1ull << 63);
    assert_true(ops_one("sqrt.rp.f64", "dd", of_f64(2), 0, 0) == 0x3ff6a09e667f3bcd);
    assert_true(ops_one("sqrt.rm.f64", "dd", of_f64(2), 0, 0) == 0x3ff6a09e667f3bcc);
    assert_int_equal(fegetround(), FE_TONEAREST); /* left as it was */
}

/* --- halves --- */
/* a scalar operation of `pair_of` on both halves */
static ops_ref_fn pair_of;
static uint64_t pair(uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
    (void)e;
    return pair_of(a & 0xffff, b & 0xffff, c & 0xffff, 0) |
           pair_of(a >> 16, b >> 16, c >> 16, 0) << 16;
}
static void check_half(const char *op, const char *type, int32_t n, ops_ref_fn ref)
{
    static const char *const ALONE[] = {"hh", "hhh", "hhhh"};
    static const char *const PAIR[] = {"HH", "HHH", "HHHH"};
    char name[64];
    format = *type == 'f' ? REF_F16 : REF_BF16;
    (void)snprintf(name, sizeof(name), "%.40s.%s", op, type);
    ops_check(name, ALONE[n - 1], ref);
    (void)snprintf(name, sizeof(name), "%.40s.%sx2", op, type);
    pair_of = ref;
    ops_check(name, PAIR[n - 1], pair);
}

static void test_halves(void **state)
{
    (void)state;
    mode = REF_RN;
    for (int32_t k = 0; k < 2; k++) {
        const char *const type = k ? "bf16" : "f16";
        check_half("add", type, 2, add);
        check_half("sub.rn", type, 2, sub);
        check_half("mul.rn", type, 2, mul);
        check_half("fma.rn", type, 3, fused);
        is_relu = true;
        check_half("fma.rn.relu", type, 3, fused);
        is_relu = false;
    }
    is_sat = true;
    check_half("add.sat", "f16", 2, add);
    check_half("fma.rn.sat", "f16", 3, fused);
    is_sat = false;
    is_ftz = true;
    check_half("add.ftz", "f16", 2, add);
    check_half("mul.rn.ftz", "f16", 2, mul);
    check_half("fma.rn.ftz", "f16", 3, fused);
    is_ftz = false;
    /* a product halfway between two numbers, and far below it what breaks the tie */
    const uint64_t x = 0x3f81, y = 0x3fc0; /* (1 + 2^-7) * 1.5 = 1.5 + 1.5 * 2^-7 */
    assert_int_equal(ops_one("fma.rn.bf16", "hhhh", x, y, 0x0000), 0x3fc2);
    assert_int_equal(ops_one("fma.rn.bf16", "hhhh", x, y, 0x0080), 0x3fc2);
    assert_int_equal(ops_one("fma.rn.bf16", "hhhh", x, y, 0x8080), 0x3fc1);
    assert_int_equal(ops_one("fma.rn.f16", "hhhh", 0x3c01, 0x3e00, 0x0001), 0x3e02);
    assert_int_equal(ops_one("fma.rn.f16", "hhhh", 0x3c01, 0x3e00, 0x8001), 0x3e01);
}

/* --- order and sign --- */
static double lesser(double a, double b)
{
    return a < b || (a == b && signbit(a)) ? a : b;
}
static double greater(double a, double b)
{
    return a > b || (a == b && signbit(b)) ? a : b;
}
static uint64_t code_of(double d)
{
    return ref_round(format, (struct exact){d, 0}, REF_RN);
}
static double number_or(double a, double b)
{
    return isnan(a) ? b : isnan(b) ? a : fold(a, b);
}
static double number_and(double a, double b)
{
    return isnan(a) || isnan(b) ? (double)NAN : fold(a, b);
}
static double absolutely(double a, double b)
{
    const double r = number_or(fabs(a), fabs(b));
    return isnan(r) ? r : copysign(r, !signbit(a) != !signbit(b) ? -1.0 : 1.0);
}
REF(order, code_of(number_or(value(a), value(b))))
REF(order_nan, code_of(number_and(value(a), value(b))))
/* of a NaN only the sign counts, which its value need not keep */
static double signed_value(uint64_t code, int32_t bits)
{
    return isnan(value(code)) ? copysign((double)NAN, code >> (bits - 1) ? -1.0 : 1.0)
                              : value(code);
}
REF(order_abs, code_of(absolutely(signed_value(a, format == REF_F32 ? 32 : 16),
                                  signed_value(b, format == REF_F32 ? 32 : 16))))
REF(order_f64, canonical(number_or(as_f64(a), as_f64(b))))
REF(neg_f32, a ^ 0x80000000)
REF(abs_f32, a & 0x7fffffff)
REF(neg_f64, a ^ 1ull << 63)
REF(abs_f64, a & ~(1ull << 63))
REF(neg_half, a ^ 0x8000)
REF(abs_half, a & 0x7fff)
REF(copysign_f32, (a & 0x80000000) | (b & 0x7fffffff))
REF(copysign_f64, (a & 1ull << 63) | (b & ~(1ull << 63)))

static void check_order(const char *name, double (*f)(double, double))
{
    char text[64];
    fold = f;
    format = REF_F32;
    (void)snprintf(text, sizeof(text), "%s.f32", name);
    ops_check(text, "fff", order);
    (void)snprintf(text, sizeof(text), "%s.NaN.f32", name);
    ops_check(text, "fff", order_nan);
    (void)snprintf(text, sizeof(text), "%s.xorsign.abs.f32", name);
    ops_check(text, "fff", order_abs);
    is_ftz = true;
    (void)snprintf(text, sizeof(text), "%s.ftz.f32", name);
    ops_check(text, "fff", order);
    is_ftz = false;
    (void)snprintf(text, sizeof(text), "%s.f64", name);
    ops_check(text, "ddd", order_f64);
    for (int32_t k = 0; k < 2; k++) {
        check_half(name, k ? "bf16" : "f16", 2, order);
        (void)snprintf(text, sizeof(text), "%s.NaN", name);
        check_half(text, k ? "bf16" : "f16", 2, order_nan);
        (void)snprintf(text, sizeof(text), "%s.xorsign.abs", name);
        check_half(text, k ? "bf16" : "f16", 2, order_abs);
    }
}

static void test_order_and_sign(void **state)
{
    (void)state;
    check_order("min", lesser);
    check_order("max", greater);
    ops_check("neg.f32", "ff", neg_f32);
    ops_check("abs.f32", "ff", abs_f32);
    ops_check("neg.f64", "dd", neg_f64);
    ops_check("abs.f64", "dd", abs_f64);
    ops_check("copysign.f32", "fff", copysign_f32);
    ops_check("copysign.f64", "ddd", copysign_f64);
    for (int32_t k = 0; k < 2; k++) {
        check_half("neg", k ? "bf16" : "f16", 1, neg_half);
        check_half("abs", k ? "bf16" : "f16", 1, abs_half);
    }
    assert_int_equal(ops_one("neg.ftz.f32", "ff", 0x007fffff, 0, 0), 0x80000000);
    assert_int_equal(ops_one("abs.ftz.f16", "hh", 0x83ff, 0, 0), 0);
}

/* --- approximations --- */
#define BY_LONG_DOUBLE(name, f) REF(name, finish((struct exact){(double)(f), 0}))
BY_LONG_DOUBLE(ex2, exp2l((long double)value(a)))
BY_LONG_DOUBLE(lg2, log2l((long double)value(a)))
BY_LONG_DOUBLE(sine, sinl((long double)value(a)))
BY_LONG_DOUBLE(cosine, cosl((long double)value(a)))
BY_LONG_DOUBLE(tangent, tanhl((long double)value(a)))
BY_LONG_DOUBLE(rsqrt, 1 / sqrtl((long double)value(a)))

static void test_approximations(void **state)
{
    (void)state;
    format = REF_F32;
    ops_check("ex2.approx.f32", "ff", ex2);
    ops_check("lg2.approx.f32", "ff", lg2);
    ops_check("sin.approx.f32", "ff", sine);
    ops_check("cos.approx.f32", "ff", cosine);
    ops_check("tanh.approx.f32", "ff", tangent);
    ops_check("rsqrt.approx.f32", "ff", rsqrt);
    check_half("ex2.approx", "f16", 1, ex2);
    check_half("tanh.approx", "f16", 1, tangent);
    is_ftz = true;
    check_half("ex2.approx.ftz", "bf16", 1, ex2);
    is_ftz = false;
    check_half("tanh.approx", "bf16", 1, tangent);
    const uint64_t inf = 0x7f800000;
    assert_int_equal(ops_one("ex2.approx.f32", "ff", inf, 0, 0), inf);
    assert_int_equal(ops_one("ex2.approx.f32", "ff", 0xff800000, 0, 0), 0);
    assert_int_equal(ops_one("ex2.approx.f32", "ff", 0xc3150000, 0, 0), 1); /* 2^-149 */
    assert_int_equal(ops_one("ex2.approx.ftz.f32", "ff", 0xc3150000, 0, 0), 0);
    assert_int_equal(ops_one("lg2.approx.f32", "ff", 0x80000000, 0, 0), 0xff800000);
    assert_int_equal(ops_one("lg2.approx.f32", "ff", 0xbf800000, 0, 0), 0x7fffffff);
    assert_int_equal(ops_one("rsqrt.approx.f32", "ff", 0x80000000, 0, 0), 0xff800000);
    assert_true(ops_one("rcp.approx.ftz.f64", "dd", of_f64(3), 0, 0) ==
                0x3fd5555500000000);
    assert_true(ops_one("rsqrt.approx.f64", "dd", of_f64(4), 0, 0) == of_f64(0.5));
}

static void test_testp(void **state)
{
    (void)state;
    const struct {
        const char *test;
        bool is[6]; /* of 0, a subnormal, 1, infinity, -infinity, NaN */
    } CASES[] = {
        {"finite", {1, 1, 1, 0, 0, 0}}, {"infinite", {0, 0, 0, 1, 1, 0}},
        {"number", {1, 1, 1, 1, 1, 0}}, {"notanumber", {0, 0, 0, 0, 0, 1}},
        {"normal", {0, 0, 1, 0, 0, 0}}, {"subnormal", {0, 1, 0, 0, 0, 0}},
    };
    const float X[] = {0, 0x1p-140f, 1, INFINITY, -INFINITY, NAN};
    for (int64_t k = 0; k < ARRAY_LEN(CASES); k++) {
        for (int64_t x = 0; x < ARRAY_LEN(X); x++) {
            char name[64];
            (void)snprintf(name, sizeof(name), "testp.%s.f32", CASES[k].test);
            assert_int_equal(ops_one(name, "pf", of_f32(X[x]), 0, 0), CASES[k].is[x]);
            if (x == 1) /* no subnormal as a double */
                continue;
            (void)snprintf(name, sizeof(name), "testp.%s.f64", CASES[k].test);
            assert_int_equal(ops_one(name, "pd", of_f64((double)X[x]), 0, 0),
                             CASES[k].is[x]);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    ops_check_refused("fma.f32", "ffff"); /* a rounding mode must be named */
    ops_check_refused("div.f32", "fff");
    ops_check_refused("add.rna.f32", "fff");
    ops_check_refused("add.rn.sat.f64", "ddd");
    ops_check_refused("add.rz.f16", "hhh");
    ops_check_refused("add.sat.bf16", "hhh");
    ops_check_refused("ex2.f32", "ff");
    ops_check_refused("min.rn.f32", "fff");
    ops_check_refused("min.abs.f32", "fff");
    ops_check_refused("rcp.approx.f64", "dd");
    ops_check_refused("add.f32", "ffd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_f64),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_order_and_sign),
        cmocka_unit_test(test_approximations),
        cmocka_unit_test(test_testp),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
