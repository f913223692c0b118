/*
 * Private to cuda/: a row's way through the router, by a warp.
 */
#ifndef CUDA_ROUTER_CUH
#define CUDA_ROUTER_CUH

#include "cuda/backend.cuh"

/* As cpu/router.c: rows with NaN, whose order no comparison defines */
static __device__ void insert_top_k(int32_t *experts, float *values,
                                    const float *logits, int64_t n_experts,
                                    int64_t top_k)
{
    int64_t n = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        const float x = logits[e];
        if (n == top_k && !(x > values[n - 1]))
            continue;
        int64_t i = n < top_k ? n++ : n - 1;
        for (; i > 0 && x > values[i - 1]; i--) {
            values[i] = values[i - 1];
            experts[i] = experts[i - 1];
        }
        values[i] = x;
        experts[i] = (int32_t)e;
    }
}

/* Larger first, the lower index among equals */
static __device__ __forceinline__ bool comes_first(float a, int32_t i, float c,
                                                   int32_t j)
{
    return a > c || (a == c && i < j);
}

/* Each turn: the best of those after the last one chosen. */
static __device__ void select_top_k(int32_t *experts, float *values,
                                    const float *logits, int32_t n_experts,
                                    int64_t top_k, int lane)
{
    float last = INFINITY;
    int32_t last_id = -1;
    for (int64_t t = 0; t < top_k; t++) {
        float best = -INFINITY;
        int32_t best_id = INT32_MAX;
        for (int32_t e = lane; e < n_experts; e += WARP) {
            const float x = logits[e];
            const bool is_left = comes_first(last, last_id, x, e);
            if (is_left && comes_first(x, e, best, best_id)) {
                best = x;
                best_id = e;
            }
        }
        for (int step = WARP / 2; step >= 1; step /= 2) {
            const float x = __shfl_xor_sync(FULL_WARP, best, step);
            const int32_t e = __shfl_xor_sync(FULL_WARP, best_id, step);
            if (comes_first(x, e, best, best_id)) {
                best = x;
                best_id = e;
            }
        }
        if (lane == 0) {
            values[t] = best;
            experts[t] = best_id;
        }
        last = best;
        last_id = best_id;
    }
}

/* In place, by the first half warp; x[0] .. x[n - 1] are visible to all its lanes */
static __device__ void softmax_chosen(float *x, int64_t n, int lane)
{
    float largest = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        largest = larger(x[i], largest);
    for (int64_t i = lane; i < n && lane < LANES; i += LANES)
        sum = sum + f_exp(x[i] - largest);
    sum = fold_sum(sum);
    for (int64_t i = lane; i < n && lane < LANES; i += LANES)
        x[i] = f_exp(x[i] - largest) / sum;
}

/* experts (K) and weights (K) of a row of logits (E) */
static __device__ __forceinline__ void route_row(int32_t *experts, float *weights,
                                                 const float *logits, int32_t n_experts,
                                                 int64_t top_k, int lane)
{
    bool has_nan = false;
    for (int32_t e = lane; e < n_experts; e += WARP)
        has_nan = has_nan || logits[e] != logits[e];
    if (!__any_sync(FULL_WARP, has_nan))
        select_top_k(experts, weights, logits, n_experts, top_k, lane);
    else if (lane == 0)
        insert_top_k(experts, weights, logits, n_experts, top_k);
    __syncwarp();
    softmax_chosen(weights, top_k, lane);
}

#endif
