/*
 * Rows moved and rounded. A line of the block takes a row, a thread 4 or 8 adjacent
 * values at a time where rows allow it, so that every access has 16 bytes or more.
 */
#include "cuda/rows.cuh"

enum { ROWS_THREADS = 256 };

static __device__ __forceinline__ void move_one(float *y, const float *x) { *y = *x; }
static __device__ __forceinline__ void move_one(uint16_t *y, const uint16_t *x)
{
    *y = *x;
}
static __device__ __forceinline__ void move_one(uint16_t *y, const float *x)
{
    store_one(y, *x);
}
static __device__ __forceinline__ void move_one(float *y, const uint16_t *x)
{
    *y = float_of(bf16_to_bits(*x));
}

/* 4 values to fp32, 8 to bf16 */
static __device__ __forceinline__ void move_some(float *y, const float *x)
{
    store_four(y, load_four(x));
}
static __device__ __forceinline__ void move_some(uint16_t *y, const uint16_t *x)
{
    *(uint4 *)y = *(const uint4 *)x;
}
static __device__ __forceinline__ void move_some(uint16_t *y, const float *x)
{
    const float4 a = *(const float4 *)x, c = *(const float4 *)(x + 4);
    *(uint4 *)y = make_uint4(bf16_pair(a.x, a.y), bf16_pair(a.z, a.w),
                             bf16_pair(c.x, c.y), bf16_pair(c.z, c.w));
}
static __device__ __forceinline__ void move_some(float *y, const uint16_t *x)
{
    store_four(y, load_four(x));
}

template <typename Y, typename X, bool BY_PIECES>
static __global__ void k_rows_move(struct rows_move a)
{
    enum { EACH = BY_PIECES ? 16 / sizeof(Y) : 1 };
    const int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    if (r >= a.m)
        return;
    const int64_t source = a.from != NULL ? a.from[r] / (int32_t)a.div : r;
    Y *const y = (Y *)a.y + (a.to != NULL ? a.to[r] : r) * a.ld;
    const X *const x = (const X *)a.x.data + source * a.d;
#pragma unroll 4
    for (int64_t i = threadIdx.x * EACH; i < a.d; i += blockDim.x * EACH)
        if (BY_PIECES)
            move_some(y + i, x + i);
        else
            move_one(y + i, x + i);
}

static bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

template <typename Y, typename X>
static void move_as(struct backend *b, const struct rows_move *a)
{
    const bool by_pieces = a->d % 8 == 0 && a->ld % 8 == 0 && is_aligned(a->y) &&
                           is_aligned(a->x.data);
    const int64_t n_pieces = by_pieces ? a->d * (int64_t)sizeof(Y) / 16 : a->d;
    unsigned width = WARP;
    while (width < ROWS_THREADS && width < n_pieces)
        width *= 2;
    const dim3 block(width, ROWS_THREADS / width);
    const unsigned grid = cuda_blocks(a->m, block.y);
    const cudaStream_t stream = cuda_stream(b);
    if (by_pieces)
        k_rows_move<Y, X, true><<<grid, block, 0, stream>>>(*a);
    else
        k_rows_move<Y, X, false><<<grid, block, 0, stream>>>(*a);
    cuda_launched(b, "rows");
}

void rows_move(struct backend *b, const struct rows_move *a)
{
    const bool to_f32 = a->y_dtype == DTYPE_F32, from_f32 = a->x.dtype == DTYPE_F32;
    CHECK(a->y_dtype != DTYPE_F16 && a->x.dtype != DTYPE_F16, "rows of F16");
    CHECK(a->div >= 1 && a->div <= INT32_MAX, "div %lld", (long long)a->div);
    if (a->m == 0)
        return;
    if (to_f32)
        (from_f32 ? move_as<float, float> : move_as<float, uint16_t>)(b, a);
    else
        (from_f32 ? move_as<uint16_t, float> : move_as<uint16_t, uint16_t>)(b, a);
}

void cuda_rows_gather(struct backend *b, void *y, enum dtype y_dtype, struct rows x,
                      const int32_t *idx, int64_t div, int64_t d, int64_t m)
{
    const struct rows_move a = {y, y_dtype, x, idx, NULL, div, d, d, m};
    rows_move(b, &a);
}

void cuda_rows_scatter(struct backend *b, float *y, const float *x, const int32_t *idx,
                       int64_t d, int64_t m)
{
    const struct rows_move a = {y, DTYPE_F32, rows_f32(x), NULL, idx, 1, d, d, m};
    rows_move(b, &a);
}
