/*
 * AdamW with decoupled decay, and the norms of a gradient. AdamW is elementwise; the
 * norms' blocks are summed by the row rule in double and then added in order, so
 * neither depends on the threads.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

enum { ADAMW_CHUNK = 4096, NORM_BLOCK = 4096, NORM_BATCH = 256 };

static void adamw_chunk(float *w, float *m, float *v, const float *g,
                        const struct adamw_args *a, int64_t n)
{
    const v16 keep = v16_set1(1.0f - a->lr * a->decay), minus_lr = v16_set1(-a->lr);
    const v16 beta1 = v16_set1(a->beta1), rest1 = v16_set1(1.0f - a->beta1);
    const v16 beta2 = v16_set1(a->beta2), rest2 = v16_set1(1.0f - a->beta2);
    const v16 bias1 = v16_set1(a->bias1), bias2 = v16_set1(a->bias2);
    const v16 eps = v16_set1(a->eps), scale = v16_set1(a->grad_scale);
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        const v16 x = v16_mul(v16_load_n(g + i, left), scale);
        const v16 m1 = v16_fma(beta1, v16_load_n(m + i, left), v16_mul(rest1, x));
        const v16 v1 = v16_fma(beta2, v16_load_n(v + i, left),
                               v16_mul(rest2, v16_mul(x, x)));
        const v16 size = v16_add(v16_sqrt(v16_div(v1, bias2)), eps);
        const v16 step = v16_div(v16_div(m1, bias1), size);
        const v16 decayed = v16_mul(v16_load_n(w + i, left), keep);
        v16_store_n(m + i, m1, left);
        v16_store_n(v + i, v1, left);
        v16_store_n(w + i, v16_fma(minus_lr, step, decayed), left);
    }
}

void CPU_NAME(adamw)(struct backend *b, float *master, void *copy,
                     enum dtype copy_dtype, float *m, float *v, const float *g,
                     const struct adamw_args *args, int64_t n)
{
#pragma omp parallel for num_threads(cpu_team(b, 16 * n)) schedule(static)
    for (int64_t i = 0; i < n; i += ADAMW_CHUNK) {
        const int64_t len = n - i < ADAMW_CHUNK ? n - i : ADAMW_CHUNK;
        adamw_chunk(master + i, m + i, v + i, g + i, args, len);
        if (copy != NULL)
            dtype_narrow((char *)copy + (size_t)i * dtype_bytes(copy_dtype), copy_dtype,
                         master + i, len);
    }
}

/* The compiler's vectors, since simd.h has no doubles: lanes 0 .. 7 and 8 .. 15 */
typedef float f8 __attribute__((vector_size(32)));
typedef double d8 __attribute__((vector_size(64)));
typedef int64_t l8 __attribute__((vector_size(64)));

static double fold(d8 low, d8 high)
{
    double lanes[V16 / 2];
    const d8 sum = low + high;
    memcpy(lanes, &sum, sizeof(lanes));
    for (int half = V16 / 4; half >= 1; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}

/* A float's square is exact in double, so product and sum round once, fused or not. */
static void norm_block(double *sum_sq, double *sum_abs, const float *x, int64_t n)
{
    d8 sq[2] = {{0}}, magnitude[2] = {{0}};
    const l8 no_sign = (l8){0} + INT64_MAX;
    for (int64_t i = 0; i < n; i += V16) {
        float last[V16] = {0};
        const float *from = x + i;
        if (n - i < V16)
            from = memcpy(last, from, (size_t)(n - i) * sizeof(float));
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            f8 f;
            memcpy(&f, from + 8 * h, sizeof(f));
            const d8 a = __builtin_convertvector(f, d8);
            sq[h] += a * a;
            magnitude[h] += (d8)((l8)a & no_sign);
        }
    }
    *sum_sq = fold(sq[0], sq[1]);
    *sum_abs = fold(magnitude[0], magnitude[1]);
}

void CPU_NAME(norms)(struct backend *b, double *sum_sq, double *sum_abs, const float *x,
                     int64_t n)
{
    double sq[NORM_BATCH], magnitude[NORM_BATCH];
    const int64_t n_blocks = (n + NORM_BLOCK - 1) / NORM_BLOCK;
    *sum_sq = 0;
    *sum_abs = 0;
    for (int64_t first = 0; first < n_blocks; first += NORM_BATCH) {
        const int64_t batch = n_blocks - first < NORM_BATCH ? n_blocks - first
                                                            : NORM_BATCH;
#pragma omp parallel for num_threads(cpu_team(b, 4 * batch * NORM_BLOCK))              \
    schedule(static)
        for (int64_t i = 0; i < batch; i++) {
            const int64_t at = (first + i) * NORM_BLOCK;
            norm_block(&sq[i], &magnitude[i], x + at,
                       n - at < NORM_BLOCK ? n - at : NORM_BLOCK);
        }
        for (int64_t i = 0; i < batch; i++) {
            *sum_sq += sq[i];
            *sum_abs += magnitude[i];
        }
    }
}
