/*
 * Importance ratios: what stands in the exponent of r, from d = logp - logp_old of a
 * sequence's tokens and its mask m.
 *   token           d_t, within +-clamp (PPO 1707.06347; verl's clamp is 20)
 *   sequence        mean of d over the mask, for every token; the gradient flows
 *                   through all of them (GSPO 2507.18071; TRL)
 *   sequence_token  the value of `sequence`, the gradient of the own token alone; at
 *                   most 10 (GSPO-token; verl)
 *   product         sum of d over the mask (RLOO's whole-sequence ratio)
 */
#ifndef GRPO_RATIO_H
#define GRPO_RATIO_H

#include <stdint.h>

/* y (n) = exponents */
typedef void (*ratio_fn)(double *y, const double *d, const uint8_t *mask, int64_t n,
                         double clamp);
/* dd (n) += the gradient dy of the exponents, carried back to d */
typedef void (*ratio_bwd_fn)(double *dd, const double *dy, const double *d,
                             const uint8_t *mask, int64_t n, double clamp);

struct ratio_kind {
    const char *name;
    ratio_fn fwd;
    ratio_bwd_fn bwd;
};
const struct ratio_kind *ratio_kind_at(int64_t i); /* order of grpo.ratio */

#endif
