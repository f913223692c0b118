/*
 * Around the expert products: sorting the (row, slot) pairs by expert, SwiGLU, the
 * weighted sum back into the rows, and their backward. rows.cu moves the rows.
 */
#include "cuda/sort.cuh"

enum { MOE_THREADS = 256 };

void cuda_moe_sort(struct backend *b, int32_t *off, int32_t *src, int32_t *place,
                   const int32_t *experts, int64_t n_experts, int64_t top_k, int64_t m)
{
    CHECK(n_experts <= SORT_MAX_BINS, "%lld experts, at most %d", (long long)n_experts,
          SORT_MAX_BINS);
    struct sort_args a = {};
    a.keys = experts;
    a.n = m * top_k;
    a.n_bins = (int)n_experts;
    a.mask = ~UINT32_C(0);
    a.off = off;
    a.src = src;
    a.place = place;
    sort_by_bin(b, &a, cuda_scratch(b, sort_scratch_bytes(a.n, a.n_bins)));
}

/* A block is a row */
static __global__ void k_swiglu_fwd(float *h, const float *gu, int64_t f)
{
    const float *const g = gu + (int64_t)blockIdx.x * 2 * f, *const u = g + f;
    float *const to = h + (int64_t)blockIdx.x * f;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < f; i += MOE_THREADS)
        to[i] = g[i] * f_sigmoid(g[i]) * u[i];
}

void cuda_swiglu_fwd(struct backend *b, float *h, const float *gu, int64_t f, int64_t m)
{
    if (m == 0)
        return;
    k_swiglu_fwd<<<cuda_blocks(m, 1), MOE_THREADS, 0, cuda_stream(b)>>>(h, gu, f);
    cuda_launched(b, "swiglu_fwd");
}

/* dgu may be gu */
static __global__ void k_swiglu_bwd(float *dgu, const float *dh, const float *gu,
                                    int64_t f)
{
    const int64_t row = (int64_t)blockIdx.x * 2 * f;
    for (int64_t i = threadIdx.x; i < f; i += MOE_THREADS) {
        const float g = gu[row + i], u = gu[row + f + i];
        const float d = dh[(int64_t)blockIdx.x * f + i], s = f_sigmoid(g);
        const float slope = s * fmaf(g, 1.0f - s, 1.0f);
        dgu[row + i] = d * u * slope;
        dgu[row + f + i] = d * (g * s);
    }
}

void cuda_swiglu_bwd(struct backend *b, float *dgu, const float *dh, const float *gu,
                     int64_t f, int64_t m)
{
    if (m == 0)
        return;
    k_swiglu_bwd<<<cuda_blocks(m, 1), MOE_THREADS, 0, cuda_stream(b)>>>(dgu, dh, gu, f);
    cuda_launched(b, "swiglu_bwd");
}

/* y may be x */
static __global__ void k_combine(float *y, const float *x, const float *o,
                                 const int32_t *place, const float *weights,
                                 int64_t top_k, int64_t d)
{
    const int64_t r = blockIdx.x;
    for (int64_t i = threadIdx.x; i < d; i += MOE_THREADS) {
        float acc = x[r * d + i];
        for (int64_t s = r * top_k; s < (r + 1) * top_k; s++) {
            const float from = o[place[s] * d + i];
            acc = weights != NULL ? fmaf(weights[s], from, acc) : acc + from;
        }
        y[r * d + i] = acc;
    }
}

void cuda_moe_combine(struct backend *b, float *y, const float *x, const float *o,
                      const int32_t *place, const float *weights, int64_t top_k,
                      int64_t d, int64_t m)
{
    if (m == 0)
        return;
    k_combine<<<cuda_blocks(m, 1), MOE_THREADS, 0, cuda_stream(b)>>>(y, x, o, place,
                                                                     weights, top_k, d);
    cuda_launched(b, "moe_combine");
}

/* A half warp is a pair */
static __global__ void k_weight_bwd(float *dweights, float *dh, float *h,
                                    const int32_t *place, const float *weights,
                                    int64_t f, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const bool is_in = i < n;
    const int64_t at = is_in ? place[i] * f : 0;
    const float w = is_in ? weights[i] : 0.0f;
    float acc = 0;
    for (int64_t j = lane; j < f && is_in; j += LANES) {
        const float a = dh[at + j], c = h[at + j];
        acc = fmaf(a, c, acc);
        dh[at + j] = a * w;
        h[at + j] = c * w;
    }
    acc = fold_sum(acc);
    if (is_in && lane == 0)
        dweights[i] = acc;
}

void cuda_moe_weight_bwd(struct backend *b, float *dweights, float *dh, float *h,
                         const int32_t *place, const float *weights, int64_t top_k,
                         int64_t f, int64_t m)
{
    const int64_t n = m * top_k;
    if (n == 0)
        return;
    k_weight_bwd<<<cuda_blocks(n, ROWS_PER_BLOCK), ROW_THREADS, 0, cuda_stream(b)>>>(
        dweights, dh, h, place, weights, f, n);
    cuda_launched(b, "moe_weight_bwd");
}
