/*
 * Private to head.cu and sample.cu: the softmax of one row of logits by one block, so
 * that the log-probability recorded when a token is drawn is the learner's, bit for
 * bit.
 */
#ifndef CUDA_HEAD_CUH
#define CUDA_HEAD_CUH

#include "cuda/backend.cuh"

enum { HEAD_THREADS = 256, HEAD_FILLERS = HEAD_THREADS - WARP };
enum { HEAD_EACH = 4, HEAD_CHUNK = HEAD_EACH * HEAD_FILLERS };

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

/* A filler's part of a chunk of e and z - max; z = -inf past the end */
static __device__ __forceinline__ void fill_chunk(float *e, float *t,
                                                  const float *logits, float inv_temp,
                                                  float max, int64_t left)
{
    const int first = (int)threadIdx.x - WARP;
    float z[HEAD_EACH];
#pragma unroll
    for (int j = 0; j < HEAD_EACH; j++) {
        const int i = first + j * HEAD_FILLERS;
        z[j] = i < left ? logits[i] * inv_temp : -INFINITY;
    }
#pragma unroll
    for (int j = 0; j < HEAD_EACH; j++) {
        const int i = first + j * HEAD_FILLERS;
        e[i] = f_exp(z[j] - max);
        t[i] = head_finite(z[j] - max);
    }
}

/* The first warp adds - one half e, the other e (z - max) - while the others fill the
 * next chunk. */
static __device__ __forceinline__ struct head_stats
head_row(struct head_shared *s, const float *logits, float inv_temp, int64_t v)
{
    const int lane = threadIdx.x % LANES;
    float max = -INFINITY;
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < v; i += HEAD_THREADS)
        max = larger(max, logits[i] * inv_temp);
    max = block_max(s, max);
    float acc = 0;
    int turn = 0;
    for (int64_t first = 0; first < v; first += HEAD_CHUNK, turn ^= 1) {
        if (threadIdx.x >= WARP)
            fill_chunk(s->e[turn], s->t[turn], logits + first, inv_temp, max,
                       v - first);
        __syncthreads();
        if (threadIdx.x < WARP) /* e * 1 is exact: the fused sum is the plain one */
#pragma unroll 8
            for (int j = lane; j < HEAD_CHUNK; j += LANES) {
                const float t = s->t[turn][j];
                acc = fmaf(s->e[turn][j], threadIdx.x < LANES ? 1.0f : t, acc);
            }
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
