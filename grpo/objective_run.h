/*
 * A case through our own objective: the engine's options become a recipe, the batch is
 * cut as the engine cuts it, and every micro-batch goes through the functions that the
 * learner trains with. All in double.
 */
#ifndef GRPO_OBJECTIVE_RUN_H
#define GRPO_OBJECTIVE_RUN_H

#include <stdint.h>

#include "core/status.h"
#include "grpo/objective.h"
#include "grpo/objective_case.h"
#include "grpo/objective_engine.h"

struct objective_result {
    double loss;
    int64_t n_micro;
    double *micro_loss; /* (n_micro) */
    bool is_per_token;  /* how the engine reports advantages */
    bool has_entropy_grad;
    double *advantage;           /* (n_seqs) */
    double *advantages;          /* (n_tokens) after the mask */
    double *weights;             /* (n_tokens) or NULL */
    double *grad, *grad_entropy; /* (n_tokens) */
    uint8_t *mask;               /* (n_tokens) after truncation masking and rejection */
    struct objective_sums sums;
};

/* ERR_INPUT: the case lacks an input that its options need. */
int objective_run(struct objective_result *out, const struct objective_case *c,
                  const struct mapping *m) WARN_UNUSED;
void objective_result_release(struct objective_result *r); /* accepts a zeroed object */

#endif
