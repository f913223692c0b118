/*
 * A learner's view of the running step: every sequence's tokens in flat arrays, with
 * their masks, advantages and corrections, and what the mini-batch in work divides by.
 * It holds the recipe; the learner brings log-probs and takes gradients.
 *
 * Sequence i = p G + s of the step has tokens off[i] .. off[i+1]-1. Rewards, lengths
 * and masks are known on every rank; log-probs in `old`, `ref`, ... only where the
 * recipe wants them of the whole step: then the learner computes its own groups' and
 * gathers the others'.
 */
#ifndef GRPO_LEARNER_STEP_H
#define GRPO_LEARNER_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "grpo/config.h"
#include "grpo/objective_recipe.h"
#include "grpo/objective_step.h"
#include "rollout/groups.h"

/* Log-probs and the like of every token, gathered from the ranks on demand */
enum step_value { STEP_BEHAVIOUR, STEP_OLD, STEP_REF, STEP_NOW, STEP_ENTROPY, STEP_N };

struct learner_step {
    struct recipe recipe;
    int64_t max_seqs, max_new, n_samples; /* capacity; G */
    bool has_value[STEP_N];               /* the recipe wants it of the whole step */
    /* of the step */
    const struct groups *g;
    int64_t n_prompts, n_seqs;
    int64_t *off, *group;  /* (n_seqs + 1), (n_seqs) */
    double *reward;        /* (n_seqs) */
    bool *is_flat;         /* (n_prompts) */
    uint8_t *mask, *kept;  /* (tokens); kept == mask without rejection */
    double *value[STEP_N]; /* (tokens) or NULL */
    double *advantage;     /* (n_seqs) */
    double *advantages;    /* (tokens) or NULL */
    double *weights;       /* (tokens) or NULL */
    double *penalty, *work;
    /* of the mini-batch */
    int64_t first_seq, end_seq;
    bool *is_used;  /* (n_seqs) in the loss: its group was not dropped */
    int64_t *chunk; /* (n_seqs) micro-batch of micro_token_mean */
    /* (n_seqs) by chunk: tokens, those left by the entropy mask, sequences */
    double *chunk_tokens, *chunk_entropy, *chunk_seqs;
    double n_tokens, n_used, n_entropy_tokens, width;
    uint8_t *entropy_mask, *cov_mask; /* (tokens) or NULL */
    uint8_t *cov_from;                /* (tokens) scratch of the covariance share */
    double now_scale;                 /* of weights by the current policy */
    struct objective_cov *cov_work;
    double *token_work; /* (tokens) */
    /* one sequence in double: (max_new) each, and objective_evaluate's scratch */
    double *logp, *logp_old, *logp_ref, *behaviour, *entropy, *dlogp, *dent, *scratch,
        *now_weights;
    uint8_t *now_kept;
    void *block;
    size_t block_bytes;
};

int learner_step_init(struct learner_step *s, const struct config *c) WARN_UNUSED;
void learner_step_release(struct learner_step *s); /* accepts a zeroed object */

/* Lengths, rewards and masks of the first n prompts of g, from their infos. */
void learner_step_open(struct learner_step *s, const struct groups *g, int64_t n);
/* Corrections and advantages, once the wanted values are in place. */
int learner_step_close(struct learner_step *s) WARN_UNUSED;

/* Counts of the mini-batch of prompts first .. first + n - 1; those of dropped groups
 * are left out. Returns how many groups are flat. */
int64_t learner_step_minibatch(struct learner_step *s, int64_t first, int64_t n,
                               bool drops_flat);
bool learner_step_is_used(const struct learner_step *s, int64_t prompt);
/* After STEP_NOW and STEP_ENTROPY of the mini-batch are in place. */
void learner_step_survey(struct learner_step *s);

/* What the forward passes gave for one sequence's tokens */
struct step_forward {
    const float *logp, *recorded, *logp_ref, *entropy; /* logp_ref: or NULL */
};
/* Gradients of sequence i of the mini-batch; adds to sums. */
void learner_step_apply(struct learner_step *s, int64_t i, const struct step_forward *f,
                        float *dlogp, float *dent, struct objective_sums *sums);

#endif
