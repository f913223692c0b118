/*
 * exp, log, sigmoid and 1/sqrt on 16 lanes, from IEEE operations only: the three builds
 * and the scalar forms give the same bits, whatever libm. Constants: core/fmath.h.
 *
 * exp: x = n ln2 + r, |r| <= ln2 / 2; exp(r) = 1 + r + r^2 p(r) with p of degree 4
 * (minimax, relative error 3.1e-9); then 2^n as two factors, so that a subnormal result
 * is rounded once. log: x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2));
 * log(1 + f) = f - f^2 / 2 + f^3 q(f), q of degree 8 (7.6e-10). Both are within 1 ulp
 * (tests/cpu/test_vmath.c). NaN stays NaN in all of them.
 */
#ifndef CPU_VMATH_H
#define CPU_VMATH_H

#include <float.h>

#include "core/fmath.h"
#include "cpu/simd.h"

/* Inlined where lanes are registers; 16 lanes of scalars are a call. */
#if defined(__AVX2__)
#define VMATH_FN V16_FN
#else
#define VMATH_FN static __attribute__((noinline, unused))
#endif

/* 0 below -103.98, +inf above 88.73 */
VMATH_FN v16 v16_exp(v16 x)
{
    /* Masked scores are -inf: their 0 is chosen, not computed, since on x86 a product
     * that underflows costs a hundred others. A NaN is never the greater. */
    const v16 lowest = v16_set1(FMATH_EXP_LOWEST), given = x;
    x = v16_select_gt(lowest, x, v16_zero(), v16_min(v16_set1(FMATH_EXP_HIGHEST), x));
    const v16 magic = v16_set1(FMATH_ROUND);
    const v16 shifted = v16_fma(x, v16_set1(FMATH_LOG2E), magic);
    const v16 n = v16_sub(shifted, magic);
    v16 r = v16_fma(n, v16_set1(-FMATH_LN2_HIGH), x);
    r = v16_fma(n, v16_set1(-FMATH_LN2_LOW), r);
    v16 p = v16_set1(FMATH_EXP_4);
    p = v16_fma(p, r, v16_set1(FMATH_EXP_3));
    p = v16_fma(p, r, v16_set1(FMATH_EXP_2));
    p = v16_fma(p, r, v16_set1(FMATH_EXP_1));
    p = v16_fma(p, r, v16_set1(FMATH_EXP_0));
    p = v16_add(v16_fma(p, v16_mul(r, r), r), v16_set1(1.0f));
    const v16i k = v16i_sub(v16_bits(shifted), v16_bits(magic));
    const v16i half = v16i_sar(k, 1);
    const v16i bias = v16i_set1(127);
    const v16 a = v16_from_bits(v16i_shl(v16i_add(half, bias), 23));
    const v16 b = v16_from_bits(v16i_shl(v16i_add(v16i_sub(k, half), bias), 23));
    return v16_select_gt(lowest, given, v16_zero(), v16_mul(v16_mul(p, a), b));
}

/* -inf for +-0, NaN below 0 */
VMATH_FN v16 v16_log(v16 x)
{
    /* subnormals are scaled into the normal range first */
    const v16 tiny = v16_set1(FLT_MIN), one = v16_set1(1.0f), zero = v16_set1(0.0f);
    const v16 scale = v16_select_gt(tiny, x, v16_set1(0x1p24f), one);
    const v16 e_scale = v16_select_gt(tiny, x, v16_set1(-24.0f), zero);
    const v16i bits = v16_bits(v16_mul(x, scale));
    const v16i e = v16i_sar(v16i_sub(bits, v16i_set1(FMATH_SQRT_HALF_BITS)), 23);
    const v16 f = v16_sub(v16_from_bits(v16i_sub(bits, v16i_shl(e, 23))), one);
    const v16 n = v16_add(v16_from_int(e), e_scale);
    v16 q = v16_set1(FMATH_LOG_8);
    q = v16_fma(q, f, v16_set1(FMATH_LOG_7));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_6));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_5));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_4));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_3));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_2));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_1));
    q = v16_fma(q, f, v16_set1(FMATH_LOG_0));
    const v16 f2 = v16_mul(f, f);
    v16 rest = v16_fma(v16_mul(q, f), f2, v16_mul(f2, v16_set1(-0.5f)));
    rest = v16_fma(n, v16_set1(FMATH_LN2_LOW), rest);
    v16 y = v16_fma(n, v16_set1(FMATH_LN2_HIGH), v16_add(f, rest));
    y = v16_select_gt(v16_set1(INFINITY), x, y, x);   /* inf and NaN */
    const v16 at_0 = v16_add(x, v16_set1(-INFINITY)); /* -inf, and NaN stays */
    return v16_select_gt(x, zero, y, v16_select_gt(zero, x, v16_set1(NAN), at_0));
}

VMATH_FN v16 v16_sigmoid(v16 x)
{
    const v16 one = v16_set1(1.0f);
    return v16_div(one, v16_add(one, v16_exp(v16_sub(v16_zero(), x))));
}

V16_FN float vm_lane0_(v16 a)
{
    float f[V16];
    v16_store(f, a);
    return f[0];
}
VMATH_FN float vm_exp(float x) { return vm_lane0_(v16_exp(v16_set1(x))); }
VMATH_FN float vm_log(float x) { return vm_lane0_(v16_log(v16_set1(x))); }
V16_FN float vm_rsqrt(float x) { return 1.0f / sqrtf(x); }

/* The first n - i lanes, at most 16: what is left of a row of n at i. */
V16_FN int v16_left(int64_t n, int64_t i) { return n - i < V16 ? (int)(n - i) : V16; }

/* The largest lane, by halves: four steps instead of fifteen (the order is free). */
VMATH_FN float v16_top(v16 a)
{
    float f[V16];
    v16_store(f, a);
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++)
            f[l] = f[l] > f[l + half] ? f[l] : f[l + half];
    return f[0];
}

/* The first n lanes of a, then `other`. */
VMATH_FN v16 v16_keep(v16 a, int n, float other)
{
    if (n == V16)
        return a;
    float f[V16];
    v16_store(f, v16_set1(other));
    v16_store_n(f, a, n);
    return v16_load(f);
}

#endif
