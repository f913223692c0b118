/*
 * Log-probability, log-sum-exp and entropy of tokens under rows of logits, and the
 * gradient of the first and the last; formulas in cpu/head.c. Blocks of threads are
 * slices of rows both ways; each logit is read once.
 */
#include "cuda/head.cuh"

#include <limits.h>

#include "cuda/rows.cuh"

enum { HEAD_WARPS = HEAD_THREADS / WARP };

struct slice_shared {
    float e[HEAD_SLICE], t[HEAD_SLICE];
    float max[HEAD_WARPS];
    int32_t first[HEAD_WARPS];
};

/* Column j * 4 HEAD_THREADS + 4 threadIdx.x of a slice begins a thread's vector j */
static __device__ __forceinline__ int vector_at(int j)
{
    return (j * HEAD_THREADS + (int)threadIdx.x) * 4;
}

/* Four columns, `fill` from n_left on */
static __device__ __forceinline__ float4 load_four(const float *p, int n_left,
                                                   bool is_aligned, float fill)
{
    if (is_aligned && n_left >= 4)
        return *(const float4 *)p;
    return make_float4(n_left > 0 ? p[0] : fill, n_left > 1 ? p[1] : fill,
                       n_left > 2 ? p[2] : fill, n_left > 3 ? p[3] : fill);
}

/* z of the thread's columns of a slice of n; -inf past the end */
static __device__ __forceinline__ void load_z(float (&z)[4 * HEAD_VECTORS],
                                              const float *logits, float inv_temp,
                                              int n, bool is_aligned)
{
#pragma unroll
    for (int j = 0; j < HEAD_VECTORS; j++)
        *(float4 *)&z[4 * j] = load_four(logits + vector_at(j), n - vector_at(j),
                                         is_aligned, 0.0f);
#pragma unroll
    for (int i = 0; i < 4 * HEAD_VECTORS; i++)
        z[i] = vector_at(i / 4) + i % 4 < n ? z[i] * inv_temp : -INFINITY;
}

/* The block's maximum, the same in every thread */
static __device__ __forceinline__ float block_max(struct slice_shared *s,
                                                  const float (&z)[4 * HEAD_VECTORS])
{
    float max = -INFINITY;
#pragma unroll
    for (int i = 0; i < 4 * HEAD_VECTORS; i++)
        max = larger(max, z[i]);
    for (int step = WARP / 2; step >= 1; step /= 2)
        max = larger(max, __shfl_xor_sync(FULL_WARP, max, step));
    if (threadIdx.x % WARP == 0)
        s->max[threadIdx.x / WARP] = max;
    __syncthreads();
    max = s->max[0];
    for (int w = 1; w < HEAD_WARPS; w++)
        max = larger(max, s->max[w]);
    return max;
}

/* e and z - max of the slice into shared memory, and where its maximum is first */
static __device__ __forceinline__ void
fill_slice(struct slice_shared *s, const float (&z)[4 * HEAD_VECTORS], float max)
{
    const float from = max > -INFINITY ? max : 0.0f; /* -inf - -inf is no number */
    int first = INT_MAX;
#pragma unroll
    for (int j = 0; j < HEAD_VECTORS; j++) {
        float e[4], t[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            e[i] = f_exp(z[4 * j + i] - from);
            t[i] = head_finite(z[4 * j + i] - from);
            if (z[4 * j + i] == max)
                first = min(first, vector_at(j) + i);
        }
        *(float4 *)&s->e[vector_at(j)] = make_float4(e[0], e[1], e[2], e[3]);
        *(float4 *)&s->t[vector_at(j)] = make_float4(t[0], t[1], t[2], t[3]);
    }
    first = __reduce_min_sync(FULL_WARP, first);
    if (threadIdx.x % WARP == 0)
        s->first[threadIdx.x / WARP] = first;
}

/* blockIdx: row, slice. The first warp adds by the row rule: one half e, the other
 * e (z - max). */
static __global__ void __launch_bounds__(HEAD_THREADS)
    k_head_slices(struct head_slice *out, const float *logits, float inv_temp,
                  const struct sample_row *rows, int64_t v, int64_t ld, bool is_aligned)
{
    __shared__ __align__(16) struct slice_shared s;
    const int64_t r = blockIdx.x, first = (int64_t)blockIdx.y * HEAD_SLICE;
    const int n = (int)min(v - first, (int64_t)HEAD_SLICE);
    const float by = rows != NULL ? head_inv_temp(rows[r].temperature) : inv_temp;
    float z[4 * HEAD_VECTORS];
    load_z(z, logits + r * ld + first, by, n, is_aligned);
    const float max = block_max(&s, z);
    fill_slice(&s, z, max);
    __syncthreads();
    if (threadIdx.x >= WARP)
        return;
    const int lane = threadIdx.x % LANES, end = (n + LANES - 1) / LANES * LANES;
    float acc = 0; /* e * 1 is exact: the fused sum is the plain one */
#pragma unroll 16
    for (int i = lane; i < end; i += LANES) {
        const float t = s.t[i];
        acc = fmaf(s.e[i], threadIdx.x < LANES ? 1.0f : t, acc);
    }
    acc = fold_sum(acc);
    const float weighted = __shfl_sync(FULL_WARP, acc, LANES);
    if (threadIdx.x > 0)
        return;
    int at = s.first[0];
    for (int w = 1; w < HEAD_WARPS; w++)
        at = min(at, s.first[w]);
    struct head_slice *const to = &out[r * gridDim.y + blockIdx.y];
    to->max = max;
    to->sum = acc;
    to->weighted = weighted;
    to->first = at < n ? (int32_t)first + at : INT32_MAX;
}

static bool is_vector(const float *logits, int64_t ld)
{
    return (uintptr_t)logits % 16 == 0 && ld % 4 == 0;
}

/* A grid of rows by slices */
static dim3 slice_grid(int64_t m, int64_t width)
{
    const int64_t n = head_n_slices(width);
    CHECK(n <= UINT16_MAX, "%lld columns", (long long)width);
    return dim3(cuda_blocks(m, 1), (unsigned)n);
}

void head_slices(struct backend *b, struct head_slice *out, const float *logits,
                 float inv_temp, const struct sample_row *rows, int64_t v, int64_t ld,
                 int64_t m)
{
    k_head_slices<<<slice_grid(m, v), HEAD_THREADS, 0, cuda_stream(b)>>>(
        out, logits, inv_temp, rows, v, ld, is_vector(logits, ld));
    cuda_launched(b, "softmax of logits");
}

struct head_out {
    float *logp, *lse, *entropy; /* each may be NULL */
};

/* A thread is a row */
static __global__ void k_logprob_fwd(struct head_out out,
                                     const struct head_slice *slices, int64_t n_slices,
                                     const float *logits, const int32_t *target,
                                     float inv_temp, int64_t v, int64_t ld, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= m)
        return;
    const struct head_stats s = head_combine(slices + r * n_slices, n_slices);
    if (out.logp != NULL) {
        device_check(target[r] >= 0 && target[r] < v);
        out.logp[r] = logits[r * ld + target[r]] * inv_temp - s.lse;
    }
    if (out.lse != NULL)
        out.lse[r] = s.lse;
    if (out.entropy != NULL)
        out.entropy[r] = s.entropy;
}

void cuda_logprob_fwd(struct backend *b, float *logp, float *lse, float *entropy,
                      const float *logits, const int32_t *target, float inv_temp,
                      int64_t v, int64_t ld, int64_t m)
{
    enum { ROWS = 32 }; /* few to a block: a row is one thread's chain */
    const struct head_out out = {logp, lse, entropy};
    const int64_t n = head_n_slices(v);
    if (m == 0)
        return;
    struct head_slice *const slices = (struct head_slice *)cuda_scratch(
        b, (size_t)(m * n) * sizeof(struct head_slice));
    head_slices(b, slices, logits, inv_temp, NULL, v, ld, m);
    k_logprob_fwd<<<cuda_blocks(m, ROWS), ROWS, 0, cuda_stream(b)>>>(
        out, slices, n, logits, target, inv_temp, v, ld, m);
    cuda_launched(b, "logprob_fwd");
}

struct head_in {
    const float *lse, *entropy, *dlogp, *dent; /* dent NULL: no entropy term */
    const int32_t *target;
};

/* What belongs to a row */
struct head_grad {
    float lse, entropy, dlogp, dent, inv_temp;
    int64_t target, v;
};

static __device__ __forceinline__ float grad_of(const struct head_grad *g, float logit,
                                                int64_t i)
{
    const float t = logit * g->inv_temp - g->lse;
    const float p = f_exp(t);
    const float c = fmaf(g->dent, head_finite(t) + g->entropy, g->dlogp);
    const float d = i == g->target ? g->inv_temp * (g->dlogp - p * c)
                                   : -g->inv_temp * (p * c);
    return i < g->v ? d : 0.0f;
}

/* blockIdx: row, slice of its ld columns. Y: float or bf16's uint16_t */
template <typename Y>
static __global__ void __launch_bounds__(HEAD_THREADS)
    k_logprob_bwd(Y *dlogits, const float *logits, struct head_in in, float inv_temp,
                  int64_t v, int64_t ld, bool is_aligned)
{
    const int64_t r = blockIdx.x, first = (int64_t)blockIdx.y * HEAD_SLICE;
    const int n = (int)min(ld - first, (int64_t)HEAD_SLICE);
    const float *const row = logits + r * ld + first;
    Y *const out = dlogits + r * ld + first;
    struct head_grad g = {in.lse[r], 0, in.dlogp[r], 0, inv_temp, in.target[r], v};
    device_check(g.target >= 0 && g.target < v);
    if (in.dent != NULL) {
        g.dent = in.dent[r];
        g.entropy = in.entropy[r];
    }
    float x[4 * HEAD_VECTORS];
#pragma unroll
    for (int j = 0; j < HEAD_VECTORS; j++)
        *(float4 *)&x[4 * j] = load_four(row + vector_at(j), n - vector_at(j),
                                         is_aligned, 0.0f);
#pragma unroll
    for (int j = 0; j < HEAD_VECTORS; j++) {
        const int at = vector_at(j);
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[4 * j + i] = grad_of(&g, x[4 * j + i], first + at + i);
        if (is_aligned && at + 4 <= n) {
            store_four(&out[at], *(const float4 *)&x[4 * j]);
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (at + i < n)
                store_one(&out[at + i], x[4 * j + i]);
    }
}

void cuda_logprob_bwd(struct backend *b, void *dlogits, enum dtype dtype,
                      const float *logits, const float *lse, const float *entropy,
                      const int32_t *target, const float *dlogp, const float *dent,
                      float inv_temp, int64_t v, int64_t ld, int64_t m)
{
    const struct head_in in = {lse, entropy, dlogp, dent, target};
    const bool is_aligned = is_vector(logits, ld) && (uintptr_t)dlogits % 16 == 0;
    CHECK(dtype != DTYPE_F16, "gradients of logits in F16");
    if (m == 0)
        return;
    const dim3 grid = slice_grid(m, ld);
    const cudaStream_t stream = cuda_stream(b);
    if (dtype == DTYPE_F32)
        k_logprob_bwd<<<grid, HEAD_THREADS, 0, stream>>>((float *)dlogits, logits, in,
                                                         inv_temp, v, ld, is_aligned);
    else
        k_logprob_bwd<<<grid, HEAD_THREADS, 0, stream>>>(
            (uint16_t *)dlogits, logits, in, inv_temp, v, ld, is_aligned);
    cuda_launched(b, "logprob_bwd");
}
