/*
 * AdamW, element by element, and the norms of a gradient: a half warp sums a block of
 * 4096 elements by the row rule in double, the host adds the blocks in order.
 */
#include "cuda/backend.cuh"

enum { ADAMW_THREADS = 256, NORM_BLOCK = 4096, NORM_BATCH = 1 << 16 };

static __device__ __forceinline__ uint16_t narrow_bits(enum dtype dtype, float v)
{
    return dtype == DTYPE_BF16 ? bf16_from_bits(bits_of(v)) : f16_from_bits(bits_of(v));
}

static __device__ __forceinline__ void store_as(void *p, enum dtype dtype, int64_t i,
                                                float v)
{
    if (dtype == DTYPE_F32)
        ((float *)p)[i] = v;
    else
        ((uint16_t *)p)[i] = narrow_bits(dtype, v);
}

/* Elements i .. i + 3, i a multiple of 4 */
static __device__ __forceinline__ void store4_as(void *p, enum dtype dtype, int64_t i,
                                                 float4 v)
{
    if (dtype == DTYPE_F32) {
        *(float4 *)((float *)p + i) = v;
        return;
    }
    ushort4 h;
    h.x = narrow_bits(dtype, v.x);
    h.y = narrow_bits(dtype, v.y);
    h.z = narrow_bits(dtype, v.z);
    h.w = narrow_bits(dtype, v.w);
    *(ushort4 *)((uint16_t *)p + i) = h;
}

/* One element: the CPU's operations in its order. */
static __device__ __forceinline__ void adamw_one(float *master, float *m, float *v,
                                                 float g, const struct adamw_args &a)
{
    const float x = g * a.grad_scale;
    const float m1 = fmaf(a.beta1, *m, (1.0f - a.beta1) * x);
    const float v1 = fmaf(a.beta2, *v, (1.0f - a.beta2) * (x * x));
    const float size = sqrtf(v1 / a.bias2) + a.eps;
    const float step = m1 / a.bias1 / size;
    *master = fmaf(-a.lr, step, *master * (1.0f - a.lr * a.decay));
    *m = m1;
    *v = v1;
}

/* A thread has 4 adjacent elements: wide accesses, also for state in host memory, where
 * the bus wants whole lines. Arrays begin at multiples of 16 bytes (core/carve.h). */
static __global__ void k_adamw(float *master, void *copy, enum dtype copy_dtype,
                               float *m, float *v, const float *g, struct adamw_args a,
                               int64_t n)
{
    const int64_t i = 4 * ((int64_t)blockIdx.x * ADAMW_THREADS + threadIdx.x);
    if (i + 4 <= n) {
        float4 w4 = *(float4 *)(master + i), m4 = *(float4 *)(m + i);
        float4 v4 = *(float4 *)(v + i);
        const float4 g4 = *(const float4 *)(g + i);
        adamw_one(&w4.x, &m4.x, &v4.x, g4.x, a);
        adamw_one(&w4.y, &m4.y, &v4.y, g4.y, a);
        adamw_one(&w4.z, &m4.z, &v4.z, g4.z, a);
        adamw_one(&w4.w, &m4.w, &v4.w, g4.w, a);
        *(float4 *)(master + i) = w4;
        *(float4 *)(m + i) = m4;
        *(float4 *)(v + i) = v4;
        if (copy != NULL)
            store4_as(copy, copy_dtype, i, w4);
        return;
    }
    for (int64_t j = i; j < n; j++) {
        adamw_one(master + j, m + j, v + j, g[j], a);
        if (copy != NULL)
            store_as(copy, copy_dtype, j, master[j]);
    }
}

void cuda_adamw(struct backend *b, float *master, void *copy, enum dtype copy_dtype,
                float *m, float *v, const float *g, const struct adamw_args *args,
                int64_t n)
{
    if (n == 0)
        return;
    k_adamw<<<cuda_blocks((n + 3) / 4, ADAMW_THREADS), ADAMW_THREADS, 0,
              cuda_stream(b)>>>(master, copy, copy_dtype, m, v, g, *args, n);
    cuda_launched(b, "adamw");
}

static __global__ void k_norms(double *sums, const float *x, int64_t n,
                               int64_t n_blocks)
{
    const int64_t i = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const int64_t first = i * NORM_BLOCK;
    const int64_t end = first + NORM_BLOCK < n ? first + NORM_BLOCK : n;
    double sq = 0, magnitude = 0;
    for (int64_t j = first + lane; j < end; j += LANES) {
        const double a = (double)x[j];
        sq = sq + a * a;
        magnitude = magnitude + fabs(a);
    }
    sq = fold_sum(sq);
    magnitude = fold_sum(magnitude);
    if (lane == 0 && i < n_blocks) {
        sums[2 * i] = sq;
        sums[2 * i + 1] = magnitude;
    }
}

void cuda_norms(struct backend *b, double *sum_sq, double *sum_abs, const float *x,
                int64_t n)
{
    const size_t bytes = 2 * NORM_BATCH * sizeof(double);
    double *const device = (double *)cuda_scratch(b, bytes);
    double *const host = (double *)cuda_state(b)->down;
    double sq = 0, magnitude = 0;
    CHECK(bytes <= CUDA_STAGE_BYTES, "%zu bytes of sums", bytes);
    for (int64_t at = 0; at < n; at += (int64_t)NORM_BLOCK * NORM_BATCH) {
        const int64_t left = n - at;
        const int64_t all = (left + NORM_BLOCK - 1) / NORM_BLOCK;
        const int64_t blocks = all < NORM_BATCH ? all : (int64_t)NORM_BATCH;
        k_norms<<<cuda_blocks(blocks, ROWS_PER_BLOCK), ROW_THREADS, 0,
                  cuda_stream(b)>>>(device, x + at, left, blocks);
        cuda_launched(b, "norms");
        cuda_must(cudaMemcpyAsync(host, device, 2 * (size_t)blocks * sizeof(double),
                                  cudaMemcpyDeviceToHost, cuda_stream(b)),
                  "norms");
        cuda_must(cudaStreamSynchronize(cuda_stream(b)), "norms");
        for (int64_t i = 0; i < blocks; i++) {
            sq += host[2 * i];
            magnitude += host[2 * i + 1];
        }
    }
    *sum_sq = sq;
    *sum_abs = magnitude;
}
