/*
 * The router: top-k of a row's logits, softmax over the chosen - by itself or, in
 * routing replay, by the caller -, its backward, the load statistics and the gradient
 * of the auxiliary losses.
 *
 * Top-k keeps a sorted list and inserts: a logit enters only where it is strictly
 * larger, hence ties stay in index order; once the list holds the best, one compare per
 * expert is left. A row with NaN still gives top_k distinct experts (and NaN weights).
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

static void top_k_row(int32_t *experts, float *values, const float *logits,
                      int64_t n_experts, int64_t top_k)
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

/* In place, n >= 1, in any order. A NaN makes every weight NaN. */
static void softmax_chosen(float *x, int64_t n)
{
    float largest = x[0];
    for (int64_t i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    const v16 max = v16_set1(largest);
    v16 sum = v16_zero();
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        const v16 e = v16_exp(v16_sub(v16_load_n(x + i, left), max));
        v16_store_n(x + i, e, left);
        sum = v16_add(sum, v16_keep(e, left, 0.0f));
    }
    const v16 total = v16_set1(v16_sum(sum));
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        v16_store_n(x + i, v16_div(v16_load_n(x + i, left), total), left);
    }
}

void CPU_NAME(router_fwd)(struct backend *b, int32_t *experts, float *weights,
                          const float *logits, int64_t n_experts, int64_t top_k,
                          int64_t m)
{
    CHECK(top_k >= 1 && top_k <= n_experts, "top_k %lld of %lld experts",
          (long long)top_k, (long long)n_experts);
#pragma omp parallel for num_threads(cpu_team(b, 4 * m * n_experts)) schedule(static)
    for (int64_t r = 0; r < m; r++) {
        float *const w = weights + r * top_k;
        top_k_row(experts + r * top_k, w, logits + r * n_experts, n_experts, top_k);
        softmax_chosen(w, top_k);
    }
}

void CPU_NAME(router_given)(struct backend *b, float *weights, const float *logits,
                            const int32_t *experts, int64_t n_experts, int64_t top_k,
                            int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, 8 * m * top_k)) schedule(static)
    for (int64_t r = 0; r < m; r++) {
        float *const w = weights + r * top_k;
        for (int64_t i = 0; i < top_k; i++)
            w[i] = logits[r * n_experts + experts[r * top_k + i]];
        softmax_chosen(w, top_k);
    }
}

static void router_row_bwd(float *dlogits, const float *dw, const int32_t *experts,
                           const float *w, int64_t top_k)
{
    v16 acc = v16_zero();
    for (int64_t i = 0; i < top_k; i += V16) {
        const int n = v16_left(top_k, i);
        acc = v16_fma(v16_load_n(w + i, n), v16_load_n(dw + i, n), acc);
    }
    const float mean = v16_sum(acc);
    for (int64_t i = 0; i < top_k; i++)
        dlogits[experts[i]] = w[i] * (dw[i] - mean);
}

void CPU_NAME(router_bwd)(struct backend *b, float *dlogits, const float *dweights,
                          const int32_t *experts, const float *weights,
                          int64_t n_experts, int64_t top_k, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, m *(n_experts + 4 * top_k)))          \
    schedule(static)
    for (int64_t r = 0; r < m; r++) {
        float *const row = dlogits + r * n_experts;
        memset(row, 0, (size_t)n_experts * sizeof(float));
        router_row_bwd(row, dweights + r * top_k, experts + r * top_k,
                       weights + r * top_k, top_k);
    }
}

struct softmax_row {
    float max, sum, lse;
};

static struct softmax_row softmax_stats(const float *x, int64_t n)
{
    v16 max = v16_set1(-INFINITY), sum = v16_zero();
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        max = v16_max(max, v16_keep(v16_load_n(x + i, left), left, -INFINITY));
    }
    const v16 m = v16_set1(v16_hmax(max));
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        const v16 e = v16_exp(v16_sub(v16_load_n(x + i, left), m));
        sum = v16_add(sum, v16_keep(e, left, 0.0f));
    }
    struct softmax_row s = {.max = v16_hmax(max), .sum = v16_sum(sum)};
    s.lse = s.max + vm_log(s.sum);
    return s;
}

/* n <= 16 probabilities, then 0 */
static v16 softmax_at(const float *x, const struct softmax_row *s, int n)
{
    const v16 e = v16_exp(v16_sub(v16_load_n(x, n), v16_set1(s->max)));
    return v16_keep(v16_div(e, v16_set1(s->sum)), n, 0.0f);
}

/* Serial: E sums in double over rows in order, a few microseconds per hundred rows. */
void CPU_NAME(router_stats)(struct backend *b, double *prob, double *count, double *z,
                            const float *logits, const int32_t *experts,
                            int64_t n_experts, int64_t top_k, int64_t m)
{
    (void)b;
    for (int64_t r = 0; r < m; r++) {
        const float *const row = logits + r * n_experts;
        const struct softmax_row s = softmax_stats(row, n_experts);
        for (int64_t e = 0; e < n_experts; e += V16) {
            const int n = v16_left(n_experts, e);
            float p[V16];
            v16_store(p, softmax_at(row + e, &s, n));
            for (int l = 0; l < n; l++)
                prob[e + l] += (double)p[l];
        }
        for (int64_t i = 0; i < top_k; i++)
            count[experts[r * top_k + i]] += 1;
        *z += (double)s.lse * (double)s.lse;
    }
}

static void aux_row_bwd(float *dlogits, const float *logits, const float *f, float cz,
                        int64_t n_experts)
{
    const struct softmax_row s = softmax_stats(logits, n_experts);
    v16 acc = v16_zero();
    for (int64_t e = 0; e < n_experts; e += V16) {
        const int n = v16_left(n_experts, e);
        acc = v16_fma(v16_load_n(f + e, n), softmax_at(logits + e, &s, n), acc);
    }
    const v16 mean = v16_set1(v16_sum(acc)), z = v16_set1(2 * cz * s.lse);
    for (int64_t e = 0; e < n_experts; e += V16) {
        const int n = v16_left(n_experts, e);
        const v16 d = v16_add(v16_sub(v16_load_n(f + e, n), mean), z);
        const v16 p = softmax_at(logits + e, &s, n);
        v16_store_n(dlogits + e, v16_fma(p, d, v16_load_n(dlogits + e, n)), n);
    }
}

void CPU_NAME(router_aux_bwd)(struct backend *b, float *dlogits, const float *logits,
                              const float *f, float cz, int64_t n_experts, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, 60 * m * n_experts)) schedule(static)
    for (int64_t r = 0; r < m; r++)
        aux_row_bwd(dlogits + r * n_experts, logits + r * n_experts, f, cz, n_experts);
}

void CPU_NAME(route_fwd)(struct backend *b, int32_t *experts, float *weights,
                         float *logits, struct rows x, const struct weight *w,
                         int64_t top_k, int64_t m)
{
    CPU_NAME(gemm_fwd)(b, logits, x, w, NULL, m);
    CPU_NAME(router_fwd)(b, experts, weights, logits, w->n, top_k, m);
}
