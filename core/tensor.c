/*
 * Arrays of the storage types (one value: core/dtype_bits.h) and the addressing of
 * weights.
 */
#include "core/tensor.h"

#include <stdbool.h>
#include <string.h>

#include "core/dtype_bits.h"
#include "core/mem.h"
#include "core/status.h"

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
