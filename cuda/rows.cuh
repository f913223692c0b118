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

/* Adjacent values, 16-byte aligned: float4 in fp32, uint4 of bf16 */
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

#endif
