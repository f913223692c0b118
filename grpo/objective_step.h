/*
 * What is common to the sequences of a step or of a mini-batch: corrections and
 * advantages, counts, the entropy threshold, the covariance share. All arrays are
 * flat: sequence i has tokens off[i] .. off[i+1]-1. Everything is a pure function of
 * the arrays, in sequence order, so that every rank that holds them gets equal bits.
 */
#ifndef GRPO_OBJECTIVE_STEP_H
#define GRPO_OBJECTIVE_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "grpo/objective_recipe.h"

struct objective_step {
    int64_t n_seqs, n_groups, n_rewards;
    const int64_t *group; /* (n_seqs) 0 .. n_groups - 1 */
    const int64_t *off;   /* (n_seqs + 1) */
    const double *reward; /* (n_seqs, n_rewards); NaN: not scored */
    const uint8_t *mask;  /* (tokens) truncated sequences are 0 already */
    const double *old;    /* (tokens), or NULL where neither corrections nor a KL in the
                             reward need it */
    const double *behaviour, *ref; /* (tokens) the same; behaviour NaN: unknown */
    /* results in the caller's storage */
    double *advantage;  /* (n_seqs) */
    double *advantages; /* (tokens) times kept; NULL unless advantage_is_per_token */
    double *weights;    /* (tokens); NULL: no importance weights */
    uint8_t *kept;      /* (tokens) mask after rejection; NULL: no rejection */
    double *penalty;    /* (tokens) scratch; NULL: no KL in the reward */
    double *work;       /* objective_step_work() doubles */
};
int64_t objective_step_work(int64_t n_seqs, int64_t longest);
/* Corrections (unless they come from the current policy), then advantages. */
int objective_step_run(struct objective_step *s, const struct recipe *r) WARN_UNUSED;

/* Weights and kept mask of sequences first .. end-1 from d = log (numerator /
 * behaviour); normalised over them. Either output may be NULL. work: longest doubles.
 */
void objective_correct(double *weights, uint8_t *kept, const double *numerator,
                       const double *behaviour, const uint8_t *mask, const int64_t *off,
                       int64_t first, int64_t end, const struct correction_options *o,
                       double *work);

/* The least entropy of the share of n values that are largest (linear interpolation
 * between ranks; threshold and share in fp32, as TRL). Sorts x. No values: INFINITY. */
double objective_entropy_threshold(double *x, int64_t n, double share);

struct objective_cov {
    double cov;
    int64_t at;
};
/* top (n) = 1 on the max(1, share n) tokens of the mask with the largest
 * (A - mean A) (logp - mean logp), earlier ones first among equals. work (n). */
void objective_cov_mask(uint8_t *top, const double *adv, const double *logp,
                        const uint8_t *mask, int64_t n, double share,
                        struct objective_cov *work);

#endif
