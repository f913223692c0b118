/*
 * Conversions between fp32 and the 16-bit storage types, and the packed weight's
 * addressing. The conversions are straight-line selects on signed 32-bit lanes, so that
 * the compiler vectorises the loops for any instruction set; none of them touches a
 * subnormal fp32 number, so the CPU's flush-to-zero modes cannot change a bit.
 */
#include "core/tensor.h"

#include <stdbool.h>
#include <string.h>

#include "core/mem.h"
#include "core/status.h"

static inline int32_t bits_of(float v)
{
    int32_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}

static inline float float_of(int32_t u)
{
    float v;
    memcpy(&v, &u, sizeof(v));
    return v;
}

/* cond ? a : b by masks: a branch around a float operation, which may trap, would keep
 * the loops from being vectorised. */
static inline int32_t choose(bool cond, int32_t a, int32_t b)
{
    const int32_t mask = -(int32_t)cond;
    return (a & mask) | (b & ~mask);
}

static inline int32_t bf16_to_bits(uint16_t h) { return (int32_t)((uint32_t)h << 16); }

static inline uint16_t bf16_from_bits(int32_t s)
{
    const uint32_t u = (uint32_t)s;
    const uint32_t rounded = (u + 0x7FFF + ((u >> 16) & 1)) >> 16;
    const uint32_t quiet = (u >> 16) | 0x40; /* rounding could turn a NaN into inf */
    return (uint16_t)((s & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

/* F16: 5 exponent bits biased by 15, 10 mantissa bits; fp32's bias is 112 more. */
static inline int32_t f16_to_bits(uint16_t h)
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

static inline uint16_t f16_from_bits(int32_t s)
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

size_t dtype_bytes(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return 4;
    case DTYPE_BF16:
    case DTYPE_F16:
        return 2;
    }
    CHECK(false, "dtype %d", (int)dtype);
}

const char *dtype_name(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return "F32";
    case DTYPE_BF16:
        return "BF16";
    case DTYPE_F16:
        return "F16";
    }
    CHECK(false, "dtype %d", (int)dtype);
}

float dtype_get(const void *p, enum dtype dtype, int64_t i)
{
    switch (dtype) {
    case DTYPE_F32:
        return ((const float *)p)[i];
    case DTYPE_BF16:
        return float_of(bf16_to_bits(((const uint16_t *)p)[i]));
    case DTYPE_F16:
        return float_of(f16_to_bits(((const uint16_t *)p)[i]));
    }
    CHECK(false, "dtype %d", (int)dtype);
}

void dtype_put(void *p, enum dtype dtype, int64_t i, float v)
{
    switch (dtype) {
    case DTYPE_F32:
        ((float *)p)[i] = v;
        return;
    case DTYPE_BF16:
        ((uint16_t *)p)[i] = bf16_from_bits(bits_of(v));
        return;
    case DTYPE_F16:
        ((uint16_t *)p)[i] = f16_from_bits(bits_of(v));
        return;
    }
    CHECK(false, "dtype %d", (int)dtype);
}

static void widen_bf16(float *restrict dst, const uint16_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = float_of(bf16_to_bits(src[i]));
}

static void widen_f16(float *restrict dst, const uint16_t *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = float_of(f16_to_bits(src[i]));
}

static void narrow_bf16(uint16_t *restrict dst, const float *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = bf16_from_bits(bits_of(src[i]));
}

static void narrow_f16(uint16_t *restrict dst, const float *restrict src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = f16_from_bits(bits_of(src[i]));
}

void dtype_widen(float *dst, const void *src, enum dtype dtype, int64_t n)
{
    switch (dtype) {
    case DTYPE_F32:
        if (n > 0)
            memcpy(dst, src, (size_t)n * sizeof(float));
        return;
    case DTYPE_BF16:
        widen_bf16(dst, src, n);
        return;
    case DTYPE_F16:
        widen_f16(dst, src, n);
        return;
    }
    CHECK(false, "dtype %d", (int)dtype);
}

void dtype_narrow(void *dst, enum dtype dtype, const float *src, int64_t n)
{
    switch (dtype) {
    case DTYPE_F32:
        if (n > 0)
            memcpy(dst, src, (size_t)n * sizeof(float));
        return;
    case DTYPE_BF16:
        narrow_bf16(dst, src, n);
        return;
    case DTYPE_F16:
        narrow_f16(dst, src, n);
        return;
    }
    CHECK(false, "dtype %d", (int)dtype);
}

static int64_t n_panels(int64_t n)
{
    return n / WEIGHT_PANEL + (n % WEIGHT_PANEL != 0);
}

int64_t weight_n_elems(enum weight_layout layout, int64_t n_mats, int64_t n, int64_t k)
{
    int64_t rows = n, total = 0;
    bool is_ok = n_mats >= 0 && n >= 0 && k >= 0;
    if (layout == WEIGHT_PACKED)
        is_ok = is_ok && checked_mul(n_panels(n), WEIGHT_PANEL, &rows);
    is_ok = is_ok && checked_mul(n_mats, rows, &total) && checked_mul(total, k, &total);
    CHECK(is_ok, "weight of %lld x (%lld, %lld)", (long long)n_mats, (long long)n,
          (long long)k);
    return total;
}

int64_t weight_index(enum weight_layout layout, int64_t n, int64_t k, int64_t e,
                     int64_t j, int64_t i)
{
    switch (layout) {
    case WEIGHT_PLAIN:
        return (e * n + j) * k + i;
    case WEIGHT_PACKED: {
        const int64_t panel = e * n_panels(n) + j / WEIGHT_PANEL;
        return (panel * k + i) * WEIGHT_PANEL + j % WEIGHT_PANEL;
    }
    }
    CHECK(false, "layout %d", (int)layout);
}
