/*
 * Sixteen fp32 lanes for the three builds of each kernel file: AVX-512 (one register),
 * AVX2 with FMA (two), portable C (an array). Every operation is IEEE and rounds once,
 * so the three builds give the same bits. FMA is explicit (v16_fma); the compiler
 * contracts nothing (-ffp-contract=off).
 *
 * The Makefile compiles each kernel file once per instruction set with CPU_ISA_SUFFIX
 * set; CPU_NAME(x) is x's symbol in this build. Masks: the first n lanes, 0 <= n <= 16.
 */
#ifndef CPU_SIMD_H
#define CPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/tensor.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef CPU_ISA_SUFFIX
#define CPU_ISA_SUFFIX portable
#endif
#define CPU_PASTE_(a, b) a##_##b
#define CPU_PASTE(a, b) CPU_PASTE_(a, b)
#define CPU_NAME(x) CPU_PASTE(x, CPU_ISA_SUFFIX)

#define V16_FN static inline __attribute__((always_inline, unused))
enum { V16 = 16 };

#if defined(__AVX512F__)

typedef __m512 v16;
typedef __m512i v16i;

V16_FN v16 v16_set1(float a) { return _mm512_set1_ps(a); }
V16_FN v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
V16_FN void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
V16_FN v16 v16_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
V16_FN void v16_store_n(float *p, v16 a, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}
V16_FN v16 v16_load_bf16(const uint16_t *p)
{
    const __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}
V16_FN v16 v16_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
V16_FN v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
V16_FN v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
V16_FN v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
V16_FN v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
V16_FN v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
/* a > b ? a : b in every lane (b when unordered), as x86's max and min define them */
V16_FN v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
V16_FN v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
/* a > b ? x : y per lane */
V16_FN v16 v16_select_gt(v16 a, v16 b, v16 x, v16 y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
V16_FN v16i v16_round(v16 a) { return _mm512_cvtps_epi32(a); } /* nearest even */
V16_FN v16 v16_from_int(v16i a) { return _mm512_cvtepi32_ps(a); }
V16_FN v16i v16_bits(v16 a) { return _mm512_castps_si512(a); }
V16_FN v16 v16_from_bits(v16i a) { return _mm512_castsi512_ps(a); }
V16_FN v16i v16i_set1(int32_t a) { return _mm512_set1_epi32(a); }
V16_FN v16i v16i_add(v16i a, v16i b) { return _mm512_add_epi32(a, b); }
V16_FN v16i v16i_sub(v16i a, v16i b) { return _mm512_sub_epi32(a, b); }
V16_FN v16i v16i_and(v16i a, v16i b) { return _mm512_and_si512(a, b); }
V16_FN v16i v16i_or(v16i a, v16i b) { return _mm512_or_si512(a, b); }
#define v16i_shl(a, n) _mm512_slli_epi32((a), (n))
#define v16i_sar(a, n) _mm512_srai_epi32((a), (n))

#elif defined(__AVX2__)

typedef struct {
    __m256 lo, hi;
} v16;
typedef struct {
    __m256i lo, hi;
} v16i;

V16_FN v16 v16_set1(float a) { return (v16){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
V16_FN v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
V16_FN void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
V16_FN __m256i v16_mask8_(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V16_FN v16 v16_load_n(const float *p, int n)
{
    return (v16){_mm256_maskload_ps(p, v16_mask8_(n)),
                 n > 8 ? _mm256_maskload_ps(p + 8, v16_mask8_(n - 8))
                       : _mm256_setzero_ps()};
}
V16_FN void v16_store_n(float *p, v16 a, int n)
{
    _mm256_maskstore_ps(p, v16_mask8_(n), a.lo);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, v16_mask8_(n - 8), a.hi);
}
V16_FN v16 v16_load_bf16(const uint16_t *p)
{
    const __m256i a = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    const __m256i b = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p + 8)));
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
}
V16_FN v16 v16_load_f16(const uint16_t *p)
{
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
#define V16_EACH2_(name, f)                                                            \
    V16_FN v16 name(v16 a, v16 b) { return (v16){f(a.lo, b.lo), f(a.hi, b.hi)}; }
V16_EACH2_(v16_add, _mm256_add_ps)
V16_EACH2_(v16_sub, _mm256_sub_ps)
V16_EACH2_(v16_mul, _mm256_mul_ps)
V16_EACH2_(v16_div, _mm256_div_ps)
V16_EACH2_(v16_max, _mm256_max_ps)
V16_EACH2_(v16_min, _mm256_min_ps)
V16_FN v16 v16_sqrt(v16 a) { return (v16){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
V16_FN v16 v16_select_gt(v16 a, v16 b, v16 x, v16 y)
{
    return (v16){_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)),
                 _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ))};
}
V16_FN v16i v16_round(v16 a)
{
    return (v16i){_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}
V16_FN v16 v16_from_int(v16i a)
{
    return (v16){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
V16_FN v16i v16_bits(v16 a)
{
    return (v16i){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)};
}
V16_FN v16 v16_from_bits(v16i a)
{
    return (v16){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
}
V16_FN v16i v16i_set1(int32_t a)
{
    return (v16i){_mm256_set1_epi32(a), _mm256_set1_epi32(a)};
}
#define V16I_EACH2_(name, f)                                                           \
    V16_FN v16i name(v16i a, v16i b) { return (v16i){f(a.lo, b.lo), f(a.hi, b.hi)}; }
V16I_EACH2_(v16i_add, _mm256_add_epi32)
V16I_EACH2_(v16i_sub, _mm256_sub_epi32)
V16I_EACH2_(v16i_and, _mm256_and_si256)
V16I_EACH2_(v16i_or, _mm256_or_si256)
#define v16i_shl(a, n)                                                                 \
    ((v16i){_mm256_slli_epi32((a).lo, (n)), _mm256_slli_epi32((a).hi, (n))})
#define v16i_sar(a, n)                                                                 \
    ((v16i){_mm256_srai_epi32((a).lo, (n)), _mm256_srai_epi32((a).hi, (n))})

#else

typedef struct {
    float f[16];
} v16;
typedef struct {
    int32_t i[16];
} v16i;

#define V16_LANES_(expr)                                                               \
    v16 r;                                                                             \
    for (int l = 0; l < 16; l++)                                                       \
        r.f[l] = (expr);                                                               \
    return r
#define V16I_LANES_(expr)                                                              \
    v16i r;                                                                            \
    for (int l = 0; l < 16; l++)                                                       \
        r.i[l] = (expr);                                                               \
    return r
V16_FN v16 v16_set1(float a) { V16_LANES_(a); }
V16_FN v16 v16_load(const float *p) { V16_LANES_(p[l]); }
V16_FN void v16_store(float *p, v16 a) { memcpy(p, a.f, sizeof(a.f)); }
V16_FN v16 v16_load_n(const float *p, int n) { V16_LANES_(l < n ? p[l] : 0.0f); }
V16_FN void v16_store_n(float *p, v16 a, int n)
{
    memcpy(p, a.f, (size_t)n * sizeof(float));
}
V16_FN v16 v16_load_bf16(const uint16_t *p) { V16_LANES_(dtype_get(p, DTYPE_BF16, l)); }
V16_FN v16 v16_load_f16(const uint16_t *p) { V16_LANES_(dtype_get(p, DTYPE_F16, l)); }
V16_FN v16 v16_add(v16 a, v16 b) { V16_LANES_(a.f[l] + b.f[l]); }
V16_FN v16 v16_sub(v16 a, v16 b) { V16_LANES_(a.f[l] - b.f[l]); }
V16_FN v16 v16_mul(v16 a, v16 b) { V16_LANES_(a.f[l] * b.f[l]); }
V16_FN v16 v16_div(v16 a, v16 b) { V16_LANES_(a.f[l] / b.f[l]); }
V16_FN v16 v16_sqrt(v16 a) { V16_LANES_(sqrtf(a.f[l])); }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { V16_LANES_(fmaf(a.f[l], b.f[l], c.f[l])); }
V16_FN v16 v16_max(v16 a, v16 b) { V16_LANES_(a.f[l] > b.f[l] ? a.f[l] : b.f[l]); }
V16_FN v16 v16_min(v16 a, v16 b) { V16_LANES_(a.f[l] < b.f[l] ? a.f[l] : b.f[l]); }
V16_FN v16 v16_select_gt(v16 a, v16 b, v16 x, v16 y)
{
    V16_LANES_(a.f[l] > b.f[l] ? x.f[l] : y.f[l]);
}
V16_FN v16i v16_round(v16 a) { V16I_LANES_((int32_t)rintf(a.f[l])); }
V16_FN v16 v16_from_int(v16i a) { V16_LANES_((float)a.i[l]); }
V16_FN v16i v16_bits(v16 a)
{
    v16i r;
    memcpy(r.i, a.f, sizeof(r.i));
    return r;
}
V16_FN v16 v16_from_bits(v16i a)
{
    v16 r;
    memcpy(r.f, a.i, sizeof(r.f));
    return r;
}
V16_FN v16i v16i_set1(int32_t a) { V16I_LANES_(a); }
V16_FN v16i v16i_add(v16i a, v16i b)
{
    V16I_LANES_((int32_t)((uint32_t)a.i[l] + (uint32_t)b.i[l]));
}
V16_FN v16i v16i_sub(v16i a, v16i b)
{
    V16I_LANES_((int32_t)((uint32_t)a.i[l] - (uint32_t)b.i[l]));
}
V16_FN v16i v16i_and(v16i a, v16i b) { V16I_LANES_(a.i[l] & b.i[l]); }
V16_FN v16i v16i_or(v16i a, v16i b) { V16I_LANES_(a.i[l] | b.i[l]); }
V16_FN v16i v16i_shl(v16i a, int n) { V16I_LANES_((int32_t)((uint32_t)a.i[l] << n)); }
V16_FN v16i v16i_sar(v16i a, int n) { V16I_LANES_(a.i[l] >> n); }

#endif

V16_FN v16 v16_zero(void) { return v16_set1(0.0f); }

/* The row rule of core/ops.h: fold halves 16 -> 8 -> 4 -> 2 -> 1. */
V16_FN float v16_sum(v16 a)
{
    float f[16];
    v16_store(f, a);
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++)
            f[l] = f[l] + f[l + half];
    return f[0];
}
V16_FN float v16_hmax(v16 a)
{
    float f[16];
    v16_store(f, a);
    float m = f[0];
    for (int l = 1; l < 16; l++)
        m = f[l] > m ? f[l] : m;
    return m;
}

/* 16 weights of any memory dtype, widened exactly; `p` + i in elements. */
V16_FN v16 v16_load_as(const void *p, enum dtype dtype, int64_t i)
{
    switch (dtype) {
    case DTYPE_BF16:
        return v16_load_bf16((const uint16_t *)p + i);
    case DTYPE_F16:
        return v16_load_f16((const uint16_t *)p + i);
    case DTYPE_F32:
        break;
    }
    return v16_load((const float *)p + i);
}

#endif
