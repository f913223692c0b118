/*
 * Private to head.cu and sample.cu: the softmax of rows of logits, so that the
 * log-probability recorded when a token is drawn is the learner's, bit for bit. A block
 * of threads reduces a slice (HEAD_SLICE columns, core/ops.h); a row's slices are then
 * put together by one thread.
 */
#ifndef CUDA_HEAD_CUH
#define CUDA_HEAD_CUH

#include "cuda/backend.cuh"

enum { HEAD_THREADS = 256, HEAD_VECTORS = HEAD_SLICE / 4 / HEAD_THREADS };

struct head_slice {
    float max, sum, weighted; /* of z; of exp(z - max), of that times z - max */
    int32_t first;            /* lowest id at the maximum; INT32_MAX: none (NaN) */
};

struct head_stats {
    float max, sum;     /* of z = logits * inv_temp; of exp(z - max) */
    float lse, entropy; /* max + log(sum); log(sum) - mean of z - max */
    int32_t first;      /* lowest id at the maximum, or 0 */
};

CORE_FN int64_t head_n_slices(int64_t v) { return (v + HEAD_SLICE - 1) / HEAD_SLICE; }

/* Where a logit is multiplied by its probability: below -105 that is 0, and the product
 * must be too, also from -inf. NaN stays. */
static __device__ __forceinline__ float head_finite(float t)
{
    return -200.0f > t ? -200.0f : t;
}

/* 0: greedy, whose log-probability is at 1 */
static __device__ __forceinline__ float head_inv_temp(float temperature)
{
    return temperature == 0 ? 1.0f : 1.0f / temperature;
}

/* Of a row's n slices, by one thread */
static __device__ __forceinline__ struct head_stats
head_combine(const struct head_slice *slices, int64_t n)
{
    struct head_stats s = {-INFINITY, 0, 0, 0, INT32_MAX};
    float weighted = 0;
#pragma unroll 8
    for (int64_t i = 0; i < n; i++)
        s.max = larger(s.max, slices[i].max);
#pragma unroll 8
    for (int64_t i = 0; i < n; i++) {
        const struct head_slice x = slices[i];
        const float t = x.max - s.max, by = f_exp(t);
        s.sum = fmaf(x.sum, by, s.sum);
        weighted = fmaf(fmaf(head_finite(t), x.sum, x.weighted), by, weighted);
        if (x.max == s.max && s.first == INT32_MAX)
            s.first = x.first;
    }
    const float log_sum = f_log(s.sum);
    s.lse = s.max + log_sum;
    s.entropy = log_sum - weighted / s.sum;
    s.first = s.first == INT32_MAX ? 0 : s.first;
    return s;
}

/* out (m, head_n_slices(v)) = the slices of rows of logits (m, ld), z = logits *
 * inv_temp, or at the temperatures of `rows` if that is not NULL; enqueued */
void head_slices(struct backend *b, struct head_slice *out, const float *logits,
                 float inv_temp, const struct sample_row *rows, int64_t v, int64_t ld,
                 int64_t m);

#endif
