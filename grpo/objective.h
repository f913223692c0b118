/*
 * The policy objectives: from one sequence's log-probs, advantages, masks and weights
 * to its loss and the gradients by log-prob and entropy. One table of kinds; the
 * learner knows none of their names. Double throughout; pure functions of their
 * arguments, sums in token order.
 *
 * With r = exp of the importance ratio's exponent (grpo/ratio.h), A the advantage, sg a
 * stop-gradient, the kinds are, per token (sources: docs/objectives.md)
 *   ppo_clip   -min(min(r, delta) A, clip(r, 1 - low, 1 + high) A), and for A < 0 at
 *              most -dual A (PPO 1707.06347, dual clip 1912.09729, delta 2505.07291)
 *   cispo      -sg(clip(r)) A logp: 1 - low to 1 + high, or high alone as an absolute
 *              cap (MiniMax-M1 2506.13585)
 *   sapo       -A sigma(tau (r - 1)) 4 / tau, tau by the sign of A (2511.20347)
 *   vespo      -phi A logp, phi = sg exp(l + k log w - l w), w the sequence's ratio
 *              (TRL 1.16)
 *   gpg        -A logp (2504.02546)
 *   dppo_tv, dppo_kl   -min(r, dual) A logp where the change of the token's own
 *              probability, or its binary KL, stays in bounds (verl 0.9)
 *   dro        -(A logp - beta / 2 (logp - logp_old)^2) (2405.19107)
 *   kl_cov     -A r + coef |logp - logp_old| on the tokens of largest covariance of A
 *              and logp (2505.22617)
 * and per sequence
 *   gmpo       -A exp(mean of the log-ratios, clipped to +-range on the side where A
 *              would leave it) (2507.20673; TRL)
 *   geo_mean   the same as verl has it: A averaged over tokens, weights as geometric
 *              mean
 *   rloo       ppo_clip of the sequence's ratio, once per sequence (TRL)
 *
 * At a tie of two branches each gives half of its gradient, and a clip at its bound
 * gives none: PyTorch 2.15's choice.
 */
#ifndef GRPO_OBJECTIVE_H
#define GRPO_OBJECTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "grpo/correction.h"
#include "grpo/kl.h"
#include "grpo/ratio.h"

struct objective_kind;

struct objective_options {
    const struct objective_kind *kind;
    const struct ratio_kind *ratio;
    const struct kl_kind *kl;
    double ratio_clamp; /* of ratio `token`; INFINITY: off */
    double clip_low, clip_high;
    double clip_dual, clip_delta; /* 0: off */
    bool is_cap_absolute;         /* cispo */
    double tau_pos, tau_neg;      /* sapo */
    double vespo_k_pos, vespo_lambda_pos, vespo_k_neg, vespo_lambda_neg;
    double dro_beta, cov_coef;
    double kl_coef;
    bool is_kl_weighted; /* KL x ratio: unbiased off-policy (DeepSeek-V3.2) */
    double entropy_coef;
    bool has_off_policy_mask; /* drop A < 0 where mean(behaviour - logp) > max */
    double off_policy_max;
    double count_eps; /* added to token counts in means; verl: 1e-8 */
};

/* One sequence of n tokens. Arrays are borrowed; what is not used may be NULL. */
struct objective_sample {
    int64_t n;
    const double *logp;          /* (n) of the policy in training */
    const double *logp_old;      /* (n) of the policy the ratio is against */
    const double *logp_ref;      /* (n) of the reference; NULL: no KL term */
    const double *behaviour;     /* (n) of the policy that sampled; NaN: unknown; NULL:
                                    logp_old */
    const double *entropy;       /* (n) */
    double advantage;            /* of the sequence */
    const double *advantages;    /* (n) of its tokens; NULL: `advantage` for each */
    const uint8_t *mask;         /* (n) 1: the token counts */
    const uint8_t *offered;      /* (n) the mask before rejection; NULL: mask */
    const uint8_t *policy_mask;  /* (n) the same for the policy term; NULL: mask */
    const uint8_t *entropy_mask; /* (n) subset of mask, high-entropy tokens; or NULL */
    const uint8_t *cov_mask;     /* (n) kl_cov's tokens; NULL: none */
    const double *weights; /* (n) importance weights of grpo/correction.h; or NULL */
    /* weight of each token's (of the sequence's, for kinds per sequence) policy term,
     * and of each token's KL and entropy terms, in the loss */
    double scale, kl_scale, entropy_scale;
};

/* Sums over masked tokens, added to; means are taken when they are reported. */
struct objective_sums {
    double loss; /* weighted: the loss itself */
    double n_tokens, kl_ref, kl_old, entropy, ratio, clip_low, clip_high;
    double logp_diff_max;  /* max |logp - logp_old| */
    double n_seqs, n_kept; /* sequences; tokens left by the entropy mask */
    double n_dropped_seqs; /* by the off-policy mask */
    /* tokens before rejection, and those that it took out of mask or policy_mask */
    double n_offered, n_rejected;
    double weight, weight_sq, weight_zero; /* importance weights */
    struct mismatch_sums off_policy;       /* of logp against behaviour */
    struct mismatch_sums mismatch;         /* of logp_old against behaviour */
};
void objective_sums_add(struct objective_sums *a, const struct objective_sums *b);
/* Means and derived figures for a metrics line, in a fixed order. */
typedef void (*objective_metric_fn)(void *user, const char *name, double value);
void objective_metrics(const struct objective_sums *s, objective_metric_fn put,
                       void *user);

/* scratch of objective_evaluate, in doubles per token of the longest sequence */
enum { OBJECTIVE_WORK = 5 };

/* Returns the sequence's share of the loss. dlogp, dent (n) = its gradients, 0 outside
 * the mask. work: OBJECTIVE_WORK n doubles. */
double objective_evaluate(double *dlogp, double *dent, struct objective_sums *sums,
                          const struct objective_sample *in,
                          const struct objective_options *o, double *work);

/* Order of grpo.objective; NULL at the end. */
const struct objective_kind *objective_kind_at(int64_t i);
const char *objective_kind_name(const struct objective_kind *k);
bool objective_is_per_sequence(const struct objective_kind *k);
bool objective_needs_covariance(const struct objective_kind *k);
bool objective_ignores_weights(const struct objective_kind *k);

#endif
