/*
 * Private to cuda/: rows from one place to another, and between fp32 and bf16.
 */
#ifndef CUDA_ROWS_CUH
#define CUDA_ROWS_CUH

#include "cuda/backend.cuh"

/* y[to[r]] = x[from[r] / div] for r < m; from, to NULL: r. Rows of d values, those of y
 * ld apart; what lies between is not written. */
struct rows_move {
    void *y;
    enum dtype y_dtype;
    struct rows x;
    const int32_t *from, *to;
    int64_t div, d, ld, m;
};

void rows_move(struct backend *b, const struct rows_move *a);

static __device__ __forceinline__ float bf16_low(uint32_t pair)
{
    return float_of((int32_t)(pair << 16));
}

static __device__ __forceinline__ float bf16_high(uint32_t pair)
{
    return float_of((int32_t)(pair & 0xffff0000u));
}

static __device__ __forceinline__ uint32_t bf16_pair(float low, float high)
{
    return bf16_from_bits(bits_of(low)) | (uint32_t)bf16_from_bits(bits_of(high)) << 16;
}

/* 4 adjacent values; of fp32 16-byte aligned, of bf16 8 */
static __device__ __forceinline__ float4 load_four(const float *p)
{
    return *(const float4 *)p;
}

static __device__ __forceinline__ float4 load_four(const uint16_t *p)
{
    const uint2 h = *(const uint2 *)p;
    return make_float4(bf16_low(h.x), bf16_high(h.x), bf16_low(h.y), bf16_high(h.y));
}

static __device__ __forceinline__ void store_four(float *p, float4 v)
{
    *(float4 *)p = v;
}

static __device__ __forceinline__ void store_four(uint16_t *p, float4 v)
{
    *(uint2 *)p = make_uint2(bf16_pair(v.x, v.y), bf16_pair(v.z, v.w));
}

static __device__ __forceinline__ void store_one(float *p, float v) { *p = v; }

static __device__ __forceinline__ void store_one(uint16_t *p, float v)
{
    *p = bf16_from_bits(bits_of(v));
}

/* Whether rows of n values from p on may be taken four values at a time */
static inline bool is_by_four(const void *p, int64_t n)
{
    return (uintptr_t)p % 16 == 0 && n % 4 == 0;
}

#endif
