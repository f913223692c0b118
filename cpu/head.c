/*
 * Log-probability, log-sum-exp and entropy of tokens under rows of logits, and the
 * gradient of the first and the last. The maximum of a row, then slice by slice its own
 * (found again: the slice is in the nearest cache for what follows) and the sums of e =
 * exp(z - max) and of e (z - max) (core/ops.h). Entropy is taken from the latter,
 * log(sum) - sum(e (z - max)) / sum, which equals lse - sum p z without its
 * cancellation.
 *
 * Backward: d logp / d z_j = [j = target] - p_j, d H / d z_j = -p_j (z_j - lse + H).
 */
#include "cpu/head.h"

#include <omp.h>

static float slice_max(const float *logits, v16 scale, int64_t n)
{
    v16 max = v16_set1(-INFINITY);
    for (int64_t i = 0; i < n; i += V16)
        max = v16_max(max, head_z(logits + i, scale, v16_left(n, i)));
    return v16_hmax(max);
}

/* s->sum and *weighted += a slice's, brought to the row's maximum */
static void add_slice(struct head_stats *s, float *weighted, const float *logits,
                      v16 scale, int64_t n)
{
    const float max = slice_max(logits, scale, n);
    const v16 m = v16_set1(max > -INFINITY ? max : 0.0f); /* -inf - -inf is no number */
    v16 sum = v16_zero(), products = v16_zero();
    for (int64_t i = 0; i < n; i += V16) {
        const v16 t = v16_sub(head_z(logits + i, scale, v16_left(n, i)), m);
        const v16 e = v16_exp(t);
        sum = v16_add(sum, e);
        products = v16_fma(e, head_finite(t), products);
    }
    const float own = v16_sum(sum), t = max - s->max, by = vm_exp(t);
    const float shift = t < head_lowest ? head_lowest : t;
    s->sum = fmaf(own, by, s->sum);
    *weighted = fmaf(fmaf(shift, own, v16_sum(products)), by, *weighted);
}

struct head_stats CPU_NAME(head_row)(const float *logits, float inv_temp, int64_t v)
{
    const v16 scale = v16_set1(inv_temp);
    struct head_stats s = {.max = -INFINITY};
    float weighted = 0;
    for (int64_t i = 0; i < v; i += HEAD_SLICE) {
        const float max = slice_max(logits + i, scale,
                                    v - i < HEAD_SLICE ? v - i : HEAD_SLICE);
        s.max = s.max > max ? s.max : max;
    }
    for (int64_t i = 0; i < v; i += HEAD_SLICE)
        add_slice(&s, &weighted, logits + i, scale,
                  v - i < HEAD_SLICE ? v - i : HEAD_SLICE);
    const float log_sum = vm_log(s.sum);
    s.lse = s.max + log_sum;
    s.entropy = log_sum - weighted / s.sum;
    return s;
}

void CPU_NAME(logprob_fwd)(struct backend *b, float *logp, float *lse, float *entropy,
                           const float *logits, const int32_t *target, float inv_temp,
                           int64_t v, int64_t ld, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, 30 * m * v)) schedule(static)
    for (int64_t r = 0; r < m; r++) {
        const float *const row = logits + r * ld;
        const struct head_stats s = CPU_NAME(head_row)(row, inv_temp, v);
        if (logp != NULL) {
            CHECK(target[r] >= 0 && target[r] < v, "target %d of %lld", target[r],
                  (long long)v);
            logp[r] = row[target[r]] * inv_temp - s.lse;
        }
        if (lse != NULL)
            lse[r] = s.lse;
        if (entropy != NULL)
            entropy[r] = s.entropy;
    }
}

struct head_grad {
    float lse, entropy, dlogp, dent, inv_temp;
    int64_t target;
};

/* out may be row */
static void head_row_bwd(float *out, const float *row, const struct head_grad *g,
                         int64_t v, int64_t ld)
{
    const v16 scale = v16_set1(g->inv_temp), minus = v16_set1(-g->inv_temp);
    const v16 lse = v16_set1(g->lse), entropy = v16_set1(g->entropy);
    const v16 dlogp = v16_set1(g->dlogp), dent = v16_set1(g->dent);
    const float z_target = row[g->target] * g->inv_temp;
    for (int64_t i = 0; i < v; i += V16) {
        const int n = v16_left(v, i);
        const v16 t = v16_sub(head_z(row + i, scale, n), lse);
        const v16 c = v16_fma(dent, v16_add(head_finite(t), entropy), dlogp);
        v16_store_n(out + i, v16_mul(minus, v16_mul(v16_exp(t), c)), n);
    }
    const float t = z_target - g->lse;
    const float c = fmaf(g->dent, (t < head_lowest ? head_lowest : t) + g->entropy,
                         g->dlogp);
    out[g->target] = g->inv_temp * (g->dlogp - vm_exp(t) * c);
    memset(out + v, 0, (size_t)(ld - v) * sizeof(float));
}

void CPU_NAME(logprob_bwd)(struct backend *b, void *dlogits, enum dtype dtype,
                           const float *logits, const float *lse, const float *entropy,
                           const int32_t *target, const float *dlogp, const float *dent,
                           float inv_temp, int64_t v, int64_t ld, int64_t m)
{
    const size_t row_bytes = (size_t)ld * sizeof(float);
#pragma omp parallel for num_threads(cpu_team(b, 20 * m * v)) schedule(static)
    for (int64_t r = 0; r < m; r++) {
        CHECK(target[r] >= 0 && target[r] < v, "target %d of %lld", target[r],
              (long long)v);
        const struct head_grad g = {.lse = lse[r],
                                    .entropy = dent != NULL ? entropy[r] : 0.0f,
                                    .dlogp = dlogp[r],
                                    .dent = dent != NULL ? dent[r] : 0.0f,
                                    .inv_temp = inv_temp,
                                    .target = target[r]};
        const bool is_wide = dtype == DTYPE_F32;
        float *const out = is_wide ? (float *)dlogits + r * ld
                                   : cpu_scratch(b, omp_get_thread_num(), row_bytes);
        head_row_bwd(out, logits + r * ld, &g, v, ld);
        if (!is_wide)
            dtype_narrow((uint16_t *)dlogits + r * ld, dtype, out, ld);
    }
}
