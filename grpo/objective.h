/*
 * Advantages, objectives and aggregations: one table each, so that the learner knows
 * none of their names. All in double; every function is a pure function of its
 * arguments.
 *
 * Conventions (specs "objectives"): r = exp(logp - logp_old); the loss of a mini-batch
 * is sum over its tokens of weight * x(token), x = policy term + kl_coef k3 -
 * entropy_coef H.
 */
#ifndef GRPO_OBJECTIVE_H
#define GRPO_OBJECTIVE_H

#include <stdbool.h>
#include <stdint.h>

/* A_i of one group's rewards (n).
 * group: (r - mean) / (std + eps), std with n - 1 (DeepSeekMath 2402.03300; verl). n =
 * 1 or equal rewards: 0. mean_only: r - mean (Dr. GRPO, 2503.20783). */
typedef void (*advantage_fn)(double *adv, const double *reward, int64_t n, double eps);
struct advantage_kind {
    const char *name;
    advantage_fn fn;
};
const struct advantage_kind *
advantage_kinds(int64_t *n_out);                         /* order: grpo.advantage */
bool advantage_is_flat(const double *reward, int64_t n); /* all rewards equal */

struct objective_options {
    double clip_low, clip_high, kl_coef, entropy_coef;
};

/* One sample's tokens. */
struct objective_input {
    int64_t n;
    const float *logp;     /* (n) of the current policy */
    const float *logp_old; /* (n) of the policy that sampled */
    const float *logp_ref; /* (n) of the reference; NULL when kl_coef is 0 */
    const float *entropy;  /* (n) */
    double advantage;
    double weight; /* of each token in the loss */
};

/* Sums over tokens, added to. Means are taken over tokens at the end. */
struct objective_sums {
    double loss; /* weighted: the loss itself */
    double n_tokens, kl_ref, kl_old, entropy, ratio, clip_low, clip_high;
    double logp_diff_max; /* max |logp - logp_old| */
};
void objective_sums_add(struct objective_sums *a, const struct objective_sums *b);

/* dlogp (n) = dL/dlogp, dent (n) = dL/dentropy. */
typedef void (*objective_fn)(float *dlogp, float *dent, struct objective_sums *sums,
                             const struct objective_input *in,
                             const struct objective_options *opt);
struct objective_kind {
    const char *name;
    objective_fn fn;
};
const struct objective_kind *
objective_kinds(int64_t *n_out); /* order: grpo.objective */

/* Weight of a token of a sample with n_tokens tokens in a mini-batch of n_seqs samples
 * with n_all tokens in total. token_mean: 1 / n_all; sequence_mean: 1 / (n_seqs
 * n_tokens). */
typedef double (*aggregation_fn)(int64_t n_tokens, int64_t n_seqs, int64_t n_all);
struct aggregation_kind {
    const char *name;
    aggregation_fn fn;
};
const struct aggregation_kind *aggregation_kinds(int64_t *n_out);

#endif
