/*
 * Estimators of KL(policy || reference) from one token's log-probs, d = logp - logp_ref
 * (Schulman, "Approximating KL divergence", 2020):
 *   k1 d;  abs |d|;  k2 d^2 / 2;  k3 exp(-d) + d - 1
 *   k3_clamped  k3 with d within +-20 and the result within +-10 (verl "low_var_kl")
 * A name ending in "+" has the value of that estimator and the gradient of k2, which is
 * unbiased (straight-through; verl "k3+").
 */
#ifndef GRPO_KL_H
#define GRPO_KL_H

#include <stdint.h>

struct kl_value {
    double kl, dlogp; /* dkl/dlogp */
};
typedef struct kl_value (*kl_fn)(double d);

struct kl_kind {
    const char *name;
    kl_fn fn;
};
const struct kl_kind *kl_kind_at(int64_t i); /* order of grpo.kl; NULL at the end */

#endif
