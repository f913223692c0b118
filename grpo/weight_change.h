/*
 * The length of the way that the weights went in an update, by the backend's own ops
 * and so with its fixed order of sums: a combine with weight -1 is a difference.
 */
#ifndef GRPO_WEIGHT_CHANGE_H
#define GRPO_WEIGHT_CHANGE_H

#include <stdint.h>

#include "core/carve.h"
#include "core/ops.h"

struct weight_change {
    int64_t n;
    int32_t *place; /* rows 0, 1, ... */
    float *sign;    /* all -1 */
};
/* Device arrays for n weights; call with the measuring and with the real carver. */
void weight_change_lay_out(struct weight_change *c, struct carver *dev, int64_t n);
void weight_change_fill(struct weight_change *c, struct backend *b);

/* L2 norm of after - before; diff (n) = the difference, rounded once. */
double weight_change_norm(const struct weight_change *c, struct backend *b, float *diff,
                          const float *after, const float *before);

#endif
