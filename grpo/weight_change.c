/*
 * The weights as rows of ROW elements and one shorter row.
 */
#include "grpo/weight_change.h"

#include <math.h>

#include "core/mem.h"

enum { ROW = 4096 };

void weight_change_lay_out(struct weight_change *c, struct carver *dev, int64_t n)
{
    c->n = n;
    c->place = carve_i32(dev, n / ROW + 1);
    c->sign = carve_f32(dev, n / ROW + 1, 1);
}

void weight_change_fill(struct weight_change *c, struct backend *b)
{
    const int64_t n_rows = c->n / ROW + 1;
    int32_t *const place = mem_alloc((size_t)n_rows * sizeof(*place));
    float *const sign = mem_alloc((size_t)n_rows * sizeof(*sign));
    for (int64_t i = 0; i < n_rows; i++) {
        place[i] = (int32_t)i;
        sign[i] = -1.0f;
    }
    b->upload(b, c->place, place, (size_t)n_rows * sizeof(*place));
    b->upload(b, c->sign, sign, (size_t)n_rows * sizeof(*sign));
    mem_free(place);
    mem_free(sign);
}

double weight_change_norm(const struct weight_change *c, struct backend *b, float *diff,
                          const float *after, const float *before)
{
    const int64_t n_rows = c->n / ROW, done = n_rows * ROW;
    double sum_sq = 0.0, sum_abs = 0.0;
    if (n_rows > 0)
        b->moe_combine(b, diff, after, before, c->place, c->sign, 1, ROW, n_rows);
    if (c->n > done)
        b->moe_combine(b, diff + done, after + done, before + done, c->place, c->sign,
                       1, c->n - done, 1);
    b->norms(b, &sum_sq, &sum_abs, diff, c->n);
    return sqrt(sum_sq);
}
