/*
 * Around the expert products: sorting the (row, slot) pairs by expert, and the weighted
 * sum back into the rows. rows.cu moves the rows, swiglu.cu is between the products.
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
