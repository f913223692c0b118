/*
 * Private to head.cu and sample.cu: the softmax of one row of logits by one block, so
 * that the log-probability recorded when a token is drawn is the learner's, bit for
 * bit.
 */
#ifndef CUDA_HEAD_CUH
#define CUDA_HEAD_CUH

#include "cuda/backend.cuh"

enum { HEAD_THREADS = 256, HEAD_CHUNK = 4 * HEAD_THREADS };

struct head_stats {
    float max, sum;     /* of z = logits * inv_temp; of exp(z - max), by the row rule */
    float lse, entropy; /* max + log(sum); log(sum) - mean of z - max */
};

struct head_shared {
    float e[2][HEAD_CHUNK], t[2][HEAD_CHUNK];
    float warp_max[HEAD_THREADS / WARP];
    struct head_stats stats;
};

/* Where a logit is multiplied by its probability: below -105 that is 0, and the product
 * must be too, also from -inf. NaN stays. */
static __device__ __forceinline__ float head_finite(float t)
{
    return -200.0f > t ? -200.0f : t;
}

static __device__ __forceinline__ float block_max(struct head_shared *s, float max)
{
    for (int step = WARP / 2; step >= 1; step /= 2)
        max = larger(max, __shfl_xor_sync(FULL_WARP, max, step));
    if (threadIdx.x % WARP == 0)
        s->warp_max[threadIdx.x / WARP] = max;
    __syncthreads();
    for (int w = 0; w < HEAD_THREADS / WARP; w++)
        max = larger(s->warp_max[w], max);
    return max;
}

/* All threads fill a chunk of e and z - max; the first half warp adds e, the second
 * e (z - max), while the next chunk is filled. */
static __device__ __forceinline__ struct head_stats
head_row(struct head_shared *s, const float *logits, float inv_temp, int64_t v)
{
    const int lane = threadIdx.x % LANES;
    float max = -INFINITY;
    for (int64_t i = threadIdx.x; i < v; i += HEAD_THREADS)
        max = larger(max, logits[i] * inv_temp);
    max = block_max(s, max);
    float acc = 0;
    int turn = 0;
    for (int64_t first = 0; first < v; first += HEAD_CHUNK, turn ^= 1) {
        for (int j = threadIdx.x; j < HEAD_CHUNK; j += HEAD_THREADS) {
            const bool is_in = first + j < v;
            const float t = is_in ? logits[first + j] * inv_temp - max : -INFINITY;
            s->e[turn][j] = f_exp(t);
            s->t[turn][j] = head_finite(t);
        }
        __syncthreads();
        if (threadIdx.x < LANES)
#pragma unroll 8
            for (int j = lane; j < HEAD_CHUNK; j += LANES)
                acc = acc + s->e[turn][j];
        else if (threadIdx.x < WARP)
#pragma unroll 8
            for (int j = lane; j < HEAD_CHUNK; j += LANES)
                acc = fmaf(s->e[turn][j], s->t[turn][j], acc);
    }
    if (threadIdx.x < WARP) {
        acc = fold_sum(acc);
        const float weighted = __shfl_sync(FULL_WARP, acc, LANES);
        if (threadIdx.x == 0) {
            const float log_sum = f_log(acc);
            s->stats.max = max;
            s->stats.sum = acc;
            s->stats.lse = max + log_sum;
            s->stats.entropy = log_sum - weighted / acc;
        }
    }
    __syncthreads();
    return s->stats;
}

#endif
