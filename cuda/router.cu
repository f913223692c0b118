/*
 * The router: top-k of a row's logits, softmax over the chosen - by itself or, in
 * routing replay, by the caller -, its backward, the load statistics and the gradient
 * of the auxiliary losses. A warp is a row, or a half warp where that is enough.
 */
#include "cuda/router.cuh"

enum { ROUTER_ROWS = ROW_THREADS / WARP, COLUMN_THREADS = 32 };

static __global__ void k_router_fwd(int32_t *experts, float *weights,
                                    const float *logits, int32_t n_experts,
                                    int64_t top_k, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROUTER_ROWS + threadIdx.x / WARP;
    const int lane = threadIdx.x % WARP;
    if (r >= m)
        return;
    route_row(experts + r * top_k, weights + r * top_k, logits + r * n_experts,
              n_experts, top_k, lane);
}

void cuda_router_fwd(struct backend *b, int32_t *experts, float *weights,
                     const float *logits, int64_t n_experts, int64_t top_k, int64_t m)
{
    CHECK(top_k >= 1 && top_k <= n_experts && n_experts <= INT32_MAX,
          "top_k %lld of %lld experts", (long long)top_k, (long long)n_experts);
    if (m == 0)
        return;
    k_router_fwd<<<cuda_blocks(m, ROUTER_ROWS), ROW_THREADS, 0, cuda_stream(b)>>>(
        experts, weights, logits, (int32_t)n_experts, top_k, m);
    cuda_launched(b, "router_fwd");
}

static __global__ void k_router_given(float *weights, const float *logits,
                                      const int32_t *experts, int64_t n_experts,
                                      int64_t top_k, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROUTER_ROWS + threadIdx.x / WARP;
    const int lane = threadIdx.x % WARP;
    if (r >= m)
        return;
    for (int64_t i = lane; i < top_k; i += WARP) {
        const int32_t e = experts[r * top_k + i];
        device_check(e >= 0 && e < n_experts);
        weights[r * top_k + i] = logits[r * n_experts + e];
    }
    __syncwarp();
    softmax_chosen(weights + r * top_k, top_k, lane);
}

void cuda_router_given(struct backend *b, float *weights, const float *logits,
                       const int32_t *experts, int64_t n_experts, int64_t top_k,
                       int64_t m)
{
    if (m == 0)
        return;
    k_router_given<<<cuda_blocks(m, ROUTER_ROWS), ROW_THREADS, 0, cuda_stream(b)>>>(
        weights, logits, experts, n_experts, top_k, m);
    cuda_launched(b, "router_given");
}

static __global__ void k_router_bwd(float *dlogits, const float *dweights,
                                    const int32_t *experts, const float *weights,
                                    int64_t n_experts, int64_t top_k, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROUTER_ROWS + threadIdx.x / WARP;
    const int lane = threadIdx.x % WARP;
    if (r >= m)
        return;
    const float *const w = weights + r * top_k, *const dw = dweights + r * top_k;
    float acc = 0;
    for (int64_t i = lane; i < top_k && lane < LANES; i += LANES)
        acc = fmaf(w[i], dw[i], acc);
    const float mean = __shfl_sync(FULL_WARP, fold_sum(acc), 0);
    for (int64_t e = lane; e < n_experts; e += WARP)
        dlogits[r * n_experts + e] = 0;
    __syncwarp();
    for (int64_t i = lane; i < top_k; i += WARP)
        dlogits[r * n_experts + experts[r * top_k + i]] = w[i] * (dw[i] - mean);
}

void cuda_router_bwd(struct backend *b, float *dlogits, const float *dweights,
                     const int32_t *experts, const float *weights, int64_t n_experts,
                     int64_t top_k, int64_t m)
{
    if (m == 0)
        return;
    k_router_bwd<<<cuda_blocks(m, ROUTER_ROWS), ROW_THREADS, 0, cuda_stream(b)>>>(
        dlogits, dweights, experts, weights, n_experts, top_k, m);
    cuda_launched(b, "router_bwd");
}

struct softmax_row {
    float max, sum, lse;
};

/* By a half warp */
static __device__ __forceinline__ struct softmax_row softmax_stats(const float *x,
                                                                   int64_t n, int lane)
{
    struct softmax_row s;
    float max = -INFINITY, sum = 0;
    for (int64_t i = lane; i < n; i += LANES)
        max = larger(max, x[i]);
    s.max = fold_max(max);
    for (int64_t i = lane; i < n; i += LANES)
        sum = sum + f_exp(x[i] - s.max);
    s.sum = fold_sum(sum);
    s.lse = s.max + f_log(s.sum);
    return s;
}

static __device__ __forceinline__ float softmax_at(float x, const struct softmax_row *s)
{
    return f_exp(x - s->max) / s->sum;
}

/* Probabilities (m, E) and lse (m) of every row */
static __global__ void k_router_softmax(float *p, float *lse, const float *logits,
                                        int64_t n_experts, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const float *const row = logits + (r < m ? r : m - 1) * n_experts;
    const struct softmax_row s = softmax_stats(row, n_experts, lane);
    for (int64_t e = lane; e < n_experts && r < m; e += LANES)
        p[r * n_experts + e] = softmax_at(row[e], &s);
    if (lane == 0 && r < m)
        lse[r] = s.lse;
}

/* A thread adds one column over the rows in order; the last column is lse^2. */
static __global__ void k_router_sums(double *prob, double *z, const float *p,
                                     const float *lse, int64_t n_experts, int64_t m)
{
    const int64_t e = (int64_t)blockIdx.x * COLUMN_THREADS + threadIdx.x;
    if (e > n_experts)
        return;
    double *const to = e < n_experts ? prob + e : z;
    double sum = *to;
#pragma unroll 8
    for (int64_t r = 0; r < m; r++)
        sum = sum + (e < n_experts ? (double)p[r * n_experts + e]
                                   : (double)lse[r] * (double)lse[r]);
    *to = sum;
}

/* Counts are whole numbers below 2^53, exact in any order. */
static __global__ void k_router_count(double *count, const int32_t *experts, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * ROW_THREADS + threadIdx.x;
    if (i < n)
        atomicAdd(&count[experts[i]], 1.0);
}

void cuda_router_stats(struct backend *b, double *prob, double *count, double *z,
                       const float *logits, const int32_t *experts, int64_t n_experts,
                       int64_t top_k, int64_t m)
{
    const cudaStream_t stream = cuda_stream(b);
    if (m == 0)
        return;
    float *const p = (float *)cuda_scratch(b, (size_t)(m * (n_experts + 1)) *
                                                  sizeof(float));
    float *const lse = p + m * n_experts;
    k_router_softmax<<<cuda_blocks(m, ROWS_PER_BLOCK), ROW_THREADS, 0, stream>>>(
        p, lse, logits, n_experts, m);
    cuda_launched(b, "router_stats: softmax");
    k_router_sums<<<cuda_blocks(n_experts + 1, COLUMN_THREADS), COLUMN_THREADS, 0,
                    stream>>>(prob, z, p, lse, n_experts, m);
    cuda_launched(b, "router_stats: sums");
    k_router_count<<<cuda_blocks(m * top_k, ROW_THREADS), ROW_THREADS, 0, stream>>>(
        count, experts, m * top_k);
    cuda_launched(b, "router_stats: count");
}

static __global__ void k_router_aux(float *dlogits, const float *logits, const float *f,
                                    float cz, int64_t n_experts, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const float *const row = logits + (r < m ? r : m - 1) * n_experts;
    const struct softmax_row s = softmax_stats(row, n_experts, lane);
    float acc = 0;
    for (int64_t e = lane; e < n_experts; e += LANES)
        acc = fmaf(f[e], softmax_at(row[e], &s), acc);
    const float mean = fold_sum(acc), z = 2 * cz * s.lse;
    for (int64_t e = lane; e < n_experts && r < m; e += LANES) {
        float *const to = dlogits + r * n_experts + e;
        *to = fmaf(softmax_at(row[e], &s), f[e] - mean + z, *to);
    }
}

void cuda_router_aux_bwd(struct backend *b, float *dlogits, const float *logits,
                         const float *f, float cz, int64_t n_experts, int64_t m)
{
    if (m == 0)
        return;
    k_router_aux<<<cuda_blocks(m, ROWS_PER_BLOCK), ROW_THREADS, 0, cuda_stream(b)>>>(
        dlogits, logits, f, cz, n_experts, m);
    cuda_launched(b, "router_aux_bwd");
}
