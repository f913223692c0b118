/*
 * Off-policy corrections: where the tokens come from another policy than the one whose
 * log-probs stand in the ratio ("behaviour": an inference engine of its own, a file of
 * trajectories, an older policy). d = log of (numerator / behaviour) per token; an
 * unknown behaviour (NaN log-prob) counts as d = 0.
 *
 * Weights multiply the policy term, detached:
 *   token_truncate     min(max(exp d, lo), hi)               TIS (Yao et al. 2025)
 *   token_mask         exp d where within [lo, hi], else 0   IcePop (Ling 2510.18855)
 *   sequence_truncate, sequence_mask    the same of exp(sum of d over the mask)
 * Rejection sets the mask of tokens or whole sequences to 0 by limits on k1 = -d,
 * k2 = d^2 / 2, k3 = e^d - 1 - d (verl rollout_correction): criteria such as
 * "seq_mean_k3,token_k1" with limits "0.6,0.4_1.5": k1 limits are ratios "lo_hi" (or u:
 * 1/u to u), the others upper bounds; one limit serves all criteria.
 */
#ifndef GRPO_CORRECTION_H
#define GRPO_CORRECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

enum is_kind {
    IS_NONE,
    IS_TOKEN_TRUNCATE,
    IS_TOKEN_MASK,
    IS_SEQUENCE_TRUNCATE,
    IS_SEQUENCE_MASK
};
enum { REJECT_MAX = 12 };
enum reject_over { REJECT_TOKEN, REJECT_SEQ_SUM, REJECT_SEQ_MEAN, REJECT_SEQ_MAX };

struct reject_rule {
    enum reject_over over;
    int k; /* 1, 2, 3 */
    double lo, hi;
};

struct correction_options {
    enum is_kind is;
    double is_low, is_high;
    double clamp;       /* |d| at most, as verl (20); INFINITY: off */
    bool is_normalised; /* divide by the mean weight of the mini-batch */
    double count_eps;   /* in token means */
    int64_t n_rules;
    struct reject_rule rules[REJECT_MAX];
};

/* ERR_CONFIG names the part that is not understood. */
int correction_parse_rules(struct correction_options *o, const char *criteria,
                           const char *limits) WARN_UNUSED;

/* w (n) = weights of one sequence, before normalisation */
void correction_weights(double *w, const double *d, const uint8_t *mask, int64_t n,
                        const struct correction_options *o);
/* kept (n): mask, 0 where a rule rejects */
void correction_reject(uint8_t *kept, const double *d, const uint8_t *mask, int64_t n,
                       const struct correction_options *o);

/* What the mean weight is taken of: sequences are added in order. */
struct correction_mean {
    double sum, n; /* of tokens, or of sequences with any token */
};
void correction_mean_add(struct correction_mean *m, const double *w,
                         const uint8_t *mask, int64_t n,
                         const struct correction_options *o);
/* 1, or what every weight is multiplied with */
double correction_scale(const struct correction_mean *m,
                        const struct correction_options *o);

/* Diagnostics of (numerator / behaviour), over masked tokens; sums, so that ranks and
 * micro-batches add. */
struct mismatch_sums {
    double n_tokens, n_seqs;
    double k1, k3;          /* sums over tokens of -d, e^d - 1 - d */
    double ratio, ratio_sq; /* sums over tokens of e^d, e^2d */
    double seq_ratio_sq;    /* sum over sequences of exp(2 sum d) */
    double abs_max;         /* largest |d| */
};
void mismatch_add(struct mismatch_sums *s, const double *d, const uint8_t *mask,
                  int64_t n);
void mismatch_merge(struct mismatch_sums *a, const struct mismatch_sums *b);

#endif
