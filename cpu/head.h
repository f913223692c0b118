/*
 * Private to head.c and sample.c: the softmax of one row of logits, so that the
 * log-probability recorded when a token is drawn is the learner's, bit for bit.
 */
#ifndef CPU_HEAD_H
#define CPU_HEAD_H

#include "cpu/backend.h"
#include "cpu/vmath.h"

struct head_stats {
    float max, sum;     /* of z = logits * inv_temp; of exp(z - max), by the row rule */
    float lse, entropy; /* max + log(sum); log(sum) - mean of z - max */
};

struct head_stats CPU_NAME(head_row)(const float *logits, float inv_temp, int64_t v);

/* n <= 16 values z, then -inf */
V16_FN v16 head_z(const float *logits, v16 inv_temp, int n)
{
    if (n == V16)
        return v16_mul(v16_load(logits), inv_temp);
    return v16_keep(v16_mul(v16_load_n(logits, n), inv_temp), n, -INFINITY);
}

/* Where a logit is multiplied by its probability: below -105 that is 0, and the product
 * must be too, also from -inf. NaN stays. */
static const float head_lowest = -200.0f;
V16_FN v16 head_finite(v16 t) { return v16_max(v16_set1(head_lowest), t); }

#endif
