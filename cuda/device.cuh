/*
 * Private to cuda/: what kernels share. The row rule of core/ops.h is 16 lanes of a
 * half warp: lane l takes elements l, l + 16, ... in order, then halves are folded.
 */
#ifndef CUDA_DEVICE_CUH
#define CUDA_DEVICE_CUH

#define CORE_FN static inline __host__ __device__

#include <math.h>
#include <stdint.h>

#include "core/dtype_bits.h"
#include "core/fmath.h"
#include "core/tensor.h"

enum { LANES = 16, WARP = 32, ROW_THREADS = 256, ROWS_PER_BLOCK = ROW_THREADS / LANES };

#define FULL_WARP 0xffffffffu

/* A fault in the data of a device array (an id out of range): the host sees it as a
 * failed launch. */
static __device__ __forceinline__ void device_check(bool is_ok)
{
    if (!is_ok)
        __trap();
}

/* 16 -> 8 -> 4 -> 2 -> 1; every lane has the result */
template <typename T> static __device__ __forceinline__ T fold_sum(T v)
{
#pragma unroll
    for (int half = LANES / 2; half >= 1; half /= 2)
        v = v + __shfl_xor_sync(FULL_WARP, v, half, LANES);
    return v;
}

static __device__ __forceinline__ float larger(float a, float b)
{
    return a > b ? a : b;
}

/* The largest of a half warp's lanes */
static __device__ __forceinline__ float fold_max(float v)
{
#pragma unroll
    for (int half = LANES / 2; half >= 1; half /= 2)
        v = larger(v, __shfl_xor_sync(FULL_WARP, v, half, LANES));
    return v;
}

/* Element i of memory of a storage type */
static __device__ __forceinline__ float load_as(const void *p, enum dtype dtype,
                                                int64_t i)
{
    if (dtype == DTYPE_F32)
        return ((const float *)p)[i];
    const uint16_t h = ((const uint16_t *)p)[i];
    return float_of(dtype == DTYPE_BF16 ? bf16_to_bits(h) : f16_to_bits(h));
}

/* Segments of `off` (n + 1) cut into tiles of `tile` units, `per` units to an element
 * of off; tiles are numbered through all segments. */
struct tile_at {
    int segment;           /* -1: past the last tile */
    int64_t first;         /* units from the segment's start */
    int64_t begin, length; /* off[segment]; units of the segment */
};

/* Tile number `index`, found by the first warp for the whole block. The caller's shared
 * memory holds the answer; ends with a barrier. */
static __device__ __forceinline__ struct tile_at find_tile(struct tile_at *shared,
                                                           const int32_t *off,
                                                           int64_t n, int64_t per,
                                                           int tile, int64_t index)
{
    if (threadIdx.x < WARP) {
        const int lane = (int)threadIdx.x;
        int64_t before = 0;
        if (lane == 0)
            shared->segment = -1;
        __syncwarp();
        for (int64_t base = 0; base < n; base += WARP) {
            const int64_t e = base + lane;
            const int64_t begin = e < n ? off[e] : 0;
            const int64_t length = e < n ? (off[e + 1] - begin) * per : 0;
            const int64_t count = (length + tile - 1) / tile;
            int64_t sum = count;
            for (int step = 1; step < WARP; step *= 2) {
                const int64_t other = __shfl_up_sync(FULL_WARP, sum, step);
                sum += lane >= step ? other : 0;
            }
            const int64_t start = before + sum - count;
            const bool is_here = index >= start && index < start + count;
            if (is_here) {
                shared->segment = (int)e;
                shared->first = (index - start) * tile;
                shared->begin = begin;
                shared->length = length;
            }
            before += __shfl_sync(FULL_WARP, sum, WARP - 1);
            if (__any_sync(FULL_WARP, is_here))
                break;
        }
    }
    __syncthreads();
    return *shared;
}

#endif
