/*
 * A recipe: everything that decides what a step's rewards and log-probs become, as one
 * value made from the [grpo] options. The learner and `grpo objective` both work from
 * it.
 */
#ifndef GRPO_OBJECTIVE_RECIPE_H
#define GRPO_OBJECTIVE_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"
#include "grpo/advantage.h"
#include "grpo/aggregate.h"
#include "grpo/config.h"
#include "grpo/correction.h"
#include "grpo/objective.h"

struct recipe {
    struct advantage_options advantage;
    struct correction_options correction;
    struct objective_options objective;
    const struct aggregate_kind *aggregation, *kl_aggregation, *entropy_aggregation;
    const struct kl_kind *reward_kl;
    double reward_kl_coef;
    double norm_tokens;      /* divisor of aggregation `constant` */
    double entropy_quantile; /* share of the tokens kept, by entropy; 1: all */
    double cov_share;        /* of kl_cov */
    int64_t micro_seqs;      /* of micro_token_mean; 0: by micro_loss_tokens */
    int64_t micro_loss_tokens;
    bool is_truncated_masked; /* a completion cut at max_new counts for nothing */
    bool is_old_recomputed;   /* logp_old by the learner at the start of the step */
    bool is_corrected_now;    /* corrections from the current policy, not logp_old */
    bool is_rejected_counted; /* rejected tokens stay in the counts of the loss */
};

/* ERR_CONFIG names the options that contradict each other. */
int recipe_init(struct recipe *out, const struct config *c) WARN_UNUSED;
/* What a recipe that can be computed is not in training: ERR_CONFIG. */
int recipe_check(const struct recipe *r, const struct config *c) WARN_UNUSED;
/* Whether any term needs the reference's log-probs. */
bool recipe_needs_reference(const struct config_grpo *g);
/* Statistics of the mini-batch under the current policy come before its loss. */
bool recipe_needs_survey(const struct recipe *r);

/* --- grpo/objective_describe.c. What is in force, one "name: value" line each: std,
 * eps, denominators, clips ..., every line behind `prefix` ("# "). */
void recipe_describe(const struct recipe *r, const struct config *c, const char *prefix,
                     struct buf *out);
/* Lines about options that are set and have no effect in training; "" if there are none
 */
void recipe_warnings(const struct recipe *r, struct buf *out);

#endif
