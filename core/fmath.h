/*
 * exp, log, sigmoid and 1/sqrt of one float from IEEE operations only: the scalar form
 * and the one home of the constants. cpu/vmath.h is the same on 16 lanes, and says how
 * they work; tests/cpu/test_vmath.c shows the two equal in bits.
 */
#ifndef CORE_FMATH_H
#define CORE_FMATH_H

#include <float.h>
#include <math.h>

#include "core/dtype_bits.h"

/* Adding and subtracting 1.5 * 2^23 leaves the nearest integer, also as low bits. */
#define FMATH_ROUND 0x1.8p23f
#define FMATH_LOG2E 0x1.715476p0f
/* ln 2 in two parts: n * high is exact in 15 + 8 bits */
#define FMATH_LN2_HIGH 0x1.62e4p-1f
#define FMATH_LN2_LOW 0x1.7f7d1cp-20f
#define FMATH_EXP_LOWEST -104.0f
#define FMATH_EXP_HIGHEST 89.0f
/* exp(r) = 1 + r + r^2 p(r), highest coefficient first */
#define FMATH_EXP_4 0x1.6a2558p-10f
#define FMATH_EXP_3 0x1.123a10p-7f
#define FMATH_EXP_2 0x1.5558f0p-5f
#define FMATH_EXP_1 0x1.555492p-3f
#define FMATH_EXP_0 0x1.fffffcp-2f
/* log(1 + f) = f - f^2 / 2 + f^3 q(f) */
#define FMATH_LOG_8 0x1.145862p-4f
#define FMATH_LOG_7 -0x1.de3fcap-4f
#define FMATH_LOG_6 0x1.e6f206p-4f
#define FMATH_LOG_5 -0x1.fc2198p-4f
#define FMATH_LOG_4 0x1.23374ap-3f
#define FMATH_LOG_3 -0x1.555c4ep-3f
#define FMATH_LOG_2 0x1.99a4b6p-3f
#define FMATH_LOG_1 -0x1.000006p-2f
#define FMATH_LOG_0 0x1.555548p-2f
#define FMATH_SQRT_HALF_BITS 0x3f3504f3

/* 0 below -103.98, +inf above 88.73 */
CORE_FN float f_exp(float given)
{
    if (FMATH_EXP_LOWEST > given)
        return 0.0f;
    const float x = FMATH_EXP_HIGHEST < given ? FMATH_EXP_HIGHEST : given;
    const float shifted = fmaf(x, FMATH_LOG2E, FMATH_ROUND);
    const float n = shifted - FMATH_ROUND;
    float r = fmaf(n, -FMATH_LN2_HIGH, x);
    r = fmaf(n, -FMATH_LN2_LOW, r);
    float p = FMATH_EXP_4;
    p = fmaf(p, r, FMATH_EXP_3);
    p = fmaf(p, r, FMATH_EXP_2);
    p = fmaf(p, r, FMATH_EXP_1);
    p = fmaf(p, r, FMATH_EXP_0);
    p = fmaf(p, r * r, r) + 1.0f;
    const int32_t k = (int32_t)((uint32_t)bits_of(shifted) -
                                (uint32_t)bits_of(FMATH_ROUND));
    const int32_t half = k >> 1;
    const float a = float_of((int32_t)((uint32_t)(half + 127) << 23));
    const float b = float_of((int32_t)(((uint32_t)k - (uint32_t)half + 127) << 23));
    return p * a * b;
}

/* -inf for +-0, NaN below 0 */
CORE_FN float f_log(float x)
{
    const bool is_tiny = FLT_MIN > x; /* subnormals are scaled up first */
    const int32_t bits = bits_of(x * (is_tiny ? 0x1p24f : 1.0f));
    const int32_t e = (int32_t)((uint32_t)bits - FMATH_SQRT_HALF_BITS) >> 23;
    const float f = float_of((int32_t)((uint32_t)bits - ((uint32_t)e << 23))) - 1.0f;
    const float n = (float)e + (is_tiny ? -24.0f : 0.0f);
    float q = FMATH_LOG_8;
    q = fmaf(q, f, FMATH_LOG_7);
    q = fmaf(q, f, FMATH_LOG_6);
    q = fmaf(q, f, FMATH_LOG_5);
    q = fmaf(q, f, FMATH_LOG_4);
    q = fmaf(q, f, FMATH_LOG_3);
    q = fmaf(q, f, FMATH_LOG_2);
    q = fmaf(q, f, FMATH_LOG_1);
    q = fmaf(q, f, FMATH_LOG_0);
    const float f2 = f * f;
    float rest = fmaf(q * f, f2, f2 * -0.5f);
    rest = fmaf(n, FMATH_LN2_LOW, rest);
    const float y = fmaf(n, FMATH_LN2_HIGH, f + rest);
    if (x > 0.0f)
        return INFINITY > x ? y : x;
    return 0.0f > x ? NAN : x + -INFINITY; /* -inf at 0, and NaN stays */
}

CORE_FN float f_sigmoid(float x) { return 1.0f / (1.0f + f_exp(0.0f - x)); }
CORE_FN float f_rsqrt(float x) { return 1.0f / sqrtf(x); }

#endif
