/*
 * Accuracy of the current weights on a problem set.
 */
#ifndef GRPO_EVALUATE_H
#define GRPO_EVALUATE_H

#include <stdint.h>

#include "core/status.h"
#include "grpo/collect.h"

struct eval_result {
    int64_t n, n_samples; /* problems; completions of each */
    int64_t n_correct, n_form,
        n_correct_form; /* of first samples: right; in the form; both */
    int64_t n_truncated, n_tokens;
    int64_t n_majority;      /* problems whose most common answer is right */
    double accuracy, lo, hi; /* of first samples, Wilson 95 % */
    double form, accuracy_given_form;
    double pass_at_k; /* at k = n_samples, unbiased */
    double mean_tokens;
};

struct eval_setup {
    struct collector *collector;
    const struct world *world;
    const struct dataset *data;
    const struct config *config;
    const struct tokenizer *tokenizer;
};

struct evaluator {
    struct eval_setup s;
    struct groups g; /* one slot per problem; on rank 0 whole, with every text */
    int64_t *problem;
    int32_t *owner;
};
int evaluator_init(struct evaluator *e, const struct eval_setup *s) WARN_UNUSED;
void evaluator_release(struct evaluator *e);
/* Collective; the result is the same on every rank, but n_majority counts on rank 0
 * only. */
int evaluator_run(struct evaluator *e, struct eval_result *out) WARN_UNUSED;
/* Ratios and interval from the counts. */
void eval_result_finish(struct eval_result *r);

/* {"accuracy":..,"lo":..,"hi":..,"n":..,"form":..,"accuracy_given_form":..} */
void eval_result_json(const struct eval_result *r, struct buf *out);

#endif
