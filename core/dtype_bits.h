/*
 * One value between fp32 and the 16-bit storage types, as bit patterns: widening is
 * exact, narrowing rounds to nearest even and keeps NaN a quiet NaN. Straight-line
 * selects on 32-bit integers, so that loops over them vectorise for any instruction
 * set; none touches a subnormal fp32 number, so flush-to-zero modes change no bit.
 */
#ifndef CORE_DTYPE_BITS_H
#define CORE_DTYPE_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/device.h"

CORE_FN int32_t bits_of(float v)
{
    int32_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}

CORE_FN float float_of(int32_t u)
{
    float v;
    memcpy(&v, &u, sizeof(v));
    return v;
}

/* cond ? a : b by masks: a branch around a float operation, which may trap, would keep
 * the loops from being vectorised. */
CORE_FN int32_t choose(bool cond, int32_t a, int32_t b)
{
    const int32_t mask = -(int32_t)cond;
    return (a & mask) | (b & ~mask);
}

CORE_FN int32_t bf16_to_bits(uint16_t h) { return (int32_t)((uint32_t)h << 16); }

CORE_FN uint16_t bf16_from_bits(int32_t s)
{
    const uint32_t u = (uint32_t)s;
    const uint32_t rounded = (u + 0x7FFF + ((u >> 16) & 1)) >> 16;
    const uint32_t quiet = (u >> 16) | 0x40; /* rounding could turn a NaN into inf */
    return (uint16_t)((s & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

/* F16: 5 exponent bits biased by 15, 10 mantissa bits; fp32's bias is 112 more. */
CORE_FN int32_t f16_to_bits(uint16_t h)
{
    const int32_t magnitude = h & 0x7FFF;
    const int32_t shifted = magnitude << 13;
    const int32_t normal = shifted + (112 << 23);
    /* mantissa * 2^-24, exact in fp32 */
    const int32_t subnormal = bits_of((float)magnitude * 0x1p-24f);
    const int32_t special = shifted | 0x7F800000;
    const int32_t quiet = special | 0x400000;
    int32_t r = choose(magnitude < 0x0400, subnormal, normal);
    r = choose(magnitude >= 0x7C00, special, r);
    r = choose(magnitude > 0x7C00, quiet, r);
    return (int32_t)((uint32_t)r | (uint32_t)(h & 0x8000) << 16);
}

CORE_FN uint16_t f16_from_bits(int32_t s)
{
    const int32_t a = s & 0x7FFFFFFF;
    const uint32_t even = (uint32_t)a + 0xFFF + ((uint32_t)a >> 13 & 1);
    const int32_t normal = (int32_t)(even >> 13) - (112 << 10);
    /* 0.5 has the ulp of F16's subnormals, 2^-24: the addition rounds to it. Larger
     * magnitudes are cut off first, only to keep the unused lanes free of overflow. */
    const float small = float_of(choose(a < 0x38800000, a, 0));
    const int32_t subnormal = bits_of(small + 0.5f) - 0x3F000000;
    const int32_t quiet = 0x7E00 | ((a >> 13) & 0x3FF);
    int32_t r = choose(a < 0x38800000, subnormal, normal);
    r = choose(a >= 0x477FF000, 0x7C00, r); /* 65520, halfway to 65536, and above */
    r = choose(a > 0x7F800000, quiet, r);
    return (uint16_t)(r | (int32_t)((uint32_t)s >> 16 & 0x8000));
}

#endif
