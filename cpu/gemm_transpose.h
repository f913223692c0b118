/*
 * Transpose of 16 x 16 floats in registers, for the three builds of gemm.c.
 */
#ifndef CPU_GEMM_TRANSPOSE_H
#define CPU_GEMM_TRANSPOSE_H

#include "cpu/simd.h"

#if defined(__AVX512F__)

/* Four rows' 4 x 4 blocks, each block transposed within its 128-bit lane */
V16_FN void transpose_4x4_lanes_(v16 *r)
{
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    r[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    r[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    r[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    r[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}

V16_FN void v16_transpose(v16 *r)
{
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
        transpose_4x4_lanes_(r + i);
    v16 t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const v16 a = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        const v16 b = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        const v16 c = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        const v16 d = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
        t[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        t[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        t[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        r[i] = t[i];
}

#elif defined(__AVX2__)

V16_FN void transpose_8x8_(__m256 *r)
{
    __m256 t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r[i], r[i + 1]));
        const __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(r[i], r[i + 1]));
        const __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(r[i + 2], r[i + 3]));
        const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(r[i + 2], r[i + 3]));
        t[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
        t[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
        t[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
        t[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

V16_FN void v16_transpose(v16 *r)
{
    __m256 q[4][8]; /* quadrants: rows 0-7 and 8-15, lanes lo and hi */
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        q[0][i] = r[i].lo;
        q[1][i] = r[i].hi;
        q[2][i] = r[i + 8].lo;
        q[3][i] = r[i + 8].hi;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        transpose_8x8_(q[i]);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        r[i] = (v16){q[0][i], q[2][i]};
        r[i + 8] = (v16){q[1][i], q[3][i]};
    }
}

#else

V16_FN void v16_transpose(v16 *r)
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < i; j++) {
            const float a = r[i].f[j];
            r[i].f[j] = r[j].f[i];
            r[j].f[i] = a;
        }
}

#endif
#endif
