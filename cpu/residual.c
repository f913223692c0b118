/*
 * What is added to the residual stream, and the norm of the result: by the ops that do
 * each of it. Rows that shall be rounded are normed into scratch first.
 */
#include "cpu/backend.h"
#include "cpu/simd.h"

static void add_to_stream(struct backend *b, float *sum, const struct residual *r,
                          int64_t d, int64_t m)
{
    if (r->place != NULL)
        CPU_NAME(moe_combine)(b, sum, r->x, r->o, r->place, r->weights, r->top_k, d, m);
    else
        CPU_NAME(add)(b, sum, r->x, r->o, m * d);
}

void CPU_NAME(residual_norm)(struct backend *b, void *y, enum dtype y_dtype, float *sum,
                             const struct residual *r, const struct weight *w,
                             float eps, int64_t m)
{
    const int64_t d = w->k;
    const float *const from = r->o != NULL ? sum : r->x;
    if (r->o != NULL)
        add_to_stream(b, sum, r, d, m);
    if (y_dtype == DTYPE_F32) {
        CPU_NAME(rmsnorm_fwd)(b, y, from, w, eps, m);
        return;
    }
    float *const row = cpu_scratch(b, 0, (size_t)d * sizeof(float));
    for (int64_t i = 0; i < m; i++) {
        CPU_NAME(rmsnorm_fwd)(b, row, from + i * d, w, eps, 1);
        dtype_narrow((char *)y + (size_t)(i * d) * dtype_bytes(y_dtype), y_dtype, row,
                     d);
    }
}
