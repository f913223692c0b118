/*
 * RMSNorm: y = (x r) w with r = 1 / sqrt(mean(x^2) + eps).
 *
 * Backward, with xh = x r and g = dy w:  dx = r (g - xh mean(g xh)),  dw = sum dy xh.
 * dw adds rows ascending in every column, so the rows are taken in blocks: threads
 * share a block's rows for r and dx, then its columns for dw. r of a block's rows is
 * kept on the stack; nothing else is stored.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

enum { ROW_BLOCK = 256, COL_CHUNK = 64 };

static float row_rsqrt(const float *x, float eps, int64_t k)
{
    v16 acc = v16_zero();
    int64_t i = 0;
    for (; i + V16 <= k; i += V16)
        acc = v16_fma(v16_load(x + i), v16_load(x + i), acc);
    if (i < k) {
        const v16 last = v16_load_n(x + i, v16_left(k, i));
        acc = v16_fma(last, last, acc);
    }
    return vm_rsqrt(v16_sum(acc) / (float)k + eps);
}

/* n <= 16 values of a norm weight, widened */
static v16 load_w(const struct weight *w, int64_t i, int n)
{
    if (n == V16)
        return v16_load_as(w->data, w->dtype, i);
    float f[V16] = {0};
    dtype_widen(f, (const char *)w->data + (size_t)i * dtype_bytes(w->dtype), w->dtype,
                n);
    return v16_load(f);
}

static void norm_row(float *y, const float *x, const struct weight *w, float eps)
{
    const v16 r = v16_set1(row_rsqrt(x, eps, w->k));
    for (int64_t i = 0; i < w->k; i += V16) {
        const int n = v16_left(w->k, i);
        const v16 xh = v16_mul(v16_load_n(x + i, n), r);
        v16_store_n(y + i, v16_mul(xh, load_w(w, i, n)), n);
    }
}

void CPU_NAME(rmsnorm_fwd)(struct backend *b, float *y, const float *x,
                           const struct weight *w, float eps, int64_t m)
{
    const int64_t k = w->k;
#pragma omp parallel for num_threads(cpu_team(b, 6 * m * k)) schedule(static)
    for (int64_t r = 0; r < m; r++)
        norm_row(y + r * k, x + r * k, w, eps);
}

static float norm_row_bwd(float *dx, const float *dy, const float *x,
                          const struct weight *w, float eps)
{
    const int64_t k = w->k;
    const float r = row_rsqrt(x, eps, k);
    const v16 vr = v16_set1(r);
    v16 acc = v16_zero();
    for (int64_t i = 0; i < k; i += V16) {
        const int n = v16_left(k, i);
        const v16 g = v16_mul(v16_load_n(dy + i, n), load_w(w, i, n));
        acc = v16_fma(g, v16_mul(v16_load_n(x + i, n), vr), acc);
    }
    const v16 mean = v16_set1(-(v16_sum(acc) / (float)k));
    for (int64_t i = 0; i < k; i += V16) {
        const int n = v16_left(k, i);
        const v16 g = v16_mul(v16_load_n(dy + i, n), load_w(w, i, n));
        const v16 xh = v16_mul(v16_load_n(x + i, n), vr);
        v16_store_n(dx + i, v16_mul(vr, v16_fma(xh, mean, g)), n);
    }
    return r;
}

/* dw over n columns from dy, x on, for the rows whose r is given */
static void norm_dw(float *dw, const float *dy, const float *x, const float *r,
                    int64_t n_rows, int64_t k, int64_t n)
{
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        v16 acc = v16_load_n(dw + i, left);
        for (int64_t row = 0; row < n_rows; row++) {
            const int64_t at = row * k + i;
            const v16 xh = v16_mul(v16_load_n(x + at, left), v16_set1(r[row]));
            acc = v16_fma(v16_load_n(dy + at, left), xh, acc);
        }
        v16_store_n(dw + i, acc, left);
    }
}

void CPU_NAME(rmsnorm_bwd)(struct backend *b, float *dx, float *dw, const float *dy,
                           const float *x, const struct weight *w, float eps, int64_t m)
{
    const int64_t k = w->k;
    float r[ROW_BLOCK];
#pragma omp parallel num_threads(cpu_team(b, 12 * m * k))
    for (int64_t r0 = 0; r0 < m; r0 += ROW_BLOCK) {
        const int64_t n_rows = m - r0 < ROW_BLOCK ? m - r0 : ROW_BLOCK;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n_rows; i++) {
            const int64_t at = (r0 + i) * k;
            r[i] = norm_row_bwd(dx + at, dy + at, x + at, w, eps);
        }
#pragma omp for schedule(static)
        for (int64_t c = 0; c < k; c += COL_CHUNK)
            norm_dw(dw + c, dy + r0 * k + c, x + r0 * k + c, r, n_rows, k,
                    k - c < COL_CHUNK ? k - c : COL_CHUNK);
    }
}
