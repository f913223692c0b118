/*
 * The experts' activation h = silu(g) u and its backward, which computes h again: only
 * gu is kept. With s = sigmoid(g), w the router's weight and d = dh w:
 *   dg = d u s (1 + g (1 - s)),  du = d g s,  dw = <dh, h>.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

/* n <= 16 values to elements `at` of rows of a dtype */
static void store_rows(void *rows, enum dtype dtype, int64_t at, v16 v, int n)
{
    if (dtype == DTYPE_F32) {
        v16_store_n((float *)rows + at, v, n);
        return;
    }
    float f[V16];
    v16_store(f, v);
    dtype_narrow((char *)rows + (size_t)at * dtype_bytes(dtype), dtype, f, n);
}

void CPU_NAME(swiglu_fwd)(struct backend *b, void *h, enum dtype h_dtype,
                          const float *gu, int64_t f, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, 30 * m * f)) schedule(static)
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < f; i += V16) {
            const int n = v16_left(f, i);
            const float *const g = gu + r * 2 * f + i;
            const v16 x = v16_load_n(g, n);
            const v16 silu = v16_mul(x, v16_sigmoid(x));
            store_rows(h, h_dtype, r * f + i, v16_mul(silu, v16_load_n(g + f, n)), n);
        }
}

/* The pair at sorted place p; returns <dh, h> */
static float act_bwd(void *hw, void *dgu, enum dtype dtype, const struct moe_act *a,
                     int64_t p, float weight)
{
    const int64_t f = a->f;
    const v16 one = v16_set1(1.0f), w = v16_set1(weight);
    v16 acc = v16_zero();
    for (int64_t i = 0; i < f; i += V16) {
        const int n = v16_left(f, i);
        const v16 g = v16_load_n(a->gu + p * 2 * f + i, n);
        const v16 u = v16_load_n(a->gu + p * 2 * f + f + i, n);
        const v16 dh = v16_load_n(a->dh + p * f + i, n), d = v16_mul(dh, w);
        const v16 s = v16_sigmoid(g), silu = v16_mul(g, s), h = v16_mul(silu, u);
        const v16 slope = v16_mul(s, v16_fma(g, v16_sub(one, s), one));
        acc = v16_fma(dh, h, acc);
        store_rows(hw, dtype, p * f + i, v16_mul(h, w), n);
        store_rows(dgu, dtype, p * 2 * f + i, v16_mul(v16_mul(d, u), slope), n);
        store_rows(dgu, dtype, p * 2 * f + f + i, v16_mul(d, silu), n);
    }
    return v16_sum(acc);
}

void CPU_NAME(moe_act_bwd)(struct backend *b, float *dweights, void *hw, void *dgu,
                           enum dtype dtype, const struct moe_act *a, int64_t m)
{
    const int64_t n = m * a->top_k;
#pragma omp parallel for num_threads(cpu_team(b, 44 * n * a->f)) schedule(static)
    for (int64_t i = 0; i < n; i++)
        dweights[i] = act_bwd(hw, dgu, dtype, a, a->place[i], a->weights[i]);
}
