/*
 * Log-probability, log-sum-exp and entropy of tokens under rows of logits, and the
 * gradient of the first and the last; formulas in cpu/head.c. A block is a row.
 */
#include "cuda/head.cuh"

struct head_out {
    float *logp, *lse, *entropy; /* each may be NULL */
};

static __global__ void k_logprob_fwd(struct head_out out, const float *logits,
                                     const int32_t *target, float inv_temp, int64_t v,
                                     int64_t ld)
{
    __shared__ struct head_shared shared;
    const int64_t r = blockIdx.x;
    const float *const row = logits + r * ld;
    const struct head_stats s = head_row(&shared, row, inv_temp, v);
    if (threadIdx.x > 0)
        return;
    if (out.logp != NULL) {
        device_check(target[r] >= 0 && target[r] < v);
        out.logp[r] = row[target[r]] * inv_temp - s.lse;
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
    const struct head_out out = {logp, lse, entropy};
    if (m == 0)
        return;
    k_logprob_fwd<<<cuda_blocks(m, 1), HEAD_THREADS, 0, cuda_stream(b)>>>(
        out, logits, target, inv_temp, v, ld);
    cuda_launched(b, "logprob_fwd");
}

struct head_in {
    const float *lse, *entropy, *dlogp, *dent; /* dent NULL: no entropy term */
    const int32_t *target;
};

static __global__ void k_logprob_bwd(float *logits, struct head_in in, float inv_temp,
                                     int64_t v, int64_t ld)
{
    const int64_t r = blockIdx.x;
    float *const row = logits + r * ld;
    const int32_t target = in.target[r];
    device_check(target >= 0 && target < v);
    const float lse = in.lse[r], dlogp = in.dlogp[r];
    const float dent = in.dent != NULL ? in.dent[r] : 0.0f;
    const float entropy = in.dent != NULL ? in.entropy[r] : 0.0f;
    for (int64_t i = threadIdx.x; i < ld; i += HEAD_THREADS) {
        const float t = row[i] * inv_temp - lse;
        const float p = f_exp(t);
        const float c = fmaf(dent, head_finite(t) + entropy, dlogp);
        const float d = i == target ? inv_temp * (dlogp - p * c) : -inv_temp * (p * c);
        row[i] = i < v ? d : 0.0f;
    }
}

void cuda_logprob_bwd(struct backend *b, float *logits, const float *lse,
                      const float *entropy, const int32_t *target, const float *dlogp,
                      const float *dent, float inv_temp, int64_t v, int64_t ld,
                      int64_t m)
{
    const struct head_in in = {lse, entropy, dlogp, dent, target};
    if (m == 0)
        return;
    k_logprob_bwd<<<cuda_blocks(m, 1), HEAD_THREADS, 0, cuda_stream(b)>>>(
        logits, in, inv_temp, v, ld);
    cuda_launched(b, "logprob_bwd");
}
