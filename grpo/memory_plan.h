/*
 * What a GRPO rank will reserve, before it does. On a device the plan must fit: memory
 * there is taken when reserved. (Host memory costs nothing until it is touched, so
 * there the plan is an upper bound that is only shown.)
 */
#ifndef GRPO_MEMORY_PLAN_H
#define GRPO_MEMORY_PLAN_H

#include <stdbool.h>

#include "core/status.h"
#include "grpo/config.h"
#include "grpo/learner.h"
#include "model/model.h"
#include "rollout/rollout.h"

struct memory_plan_args {
    const struct model *m; /* its weights are there already */
    const struct config *config;
    const struct rollout_limits *rollout; /* NULL: this rank does not generate */
    bool is_learner;
};

/* The learner's plan beside the rollout's, for learner_create; zeroes if this rank does
 * not learn. Shows the plan of a device, and fails with ERR_MEMORY, the plan and what
 * to change when it does not fit into what is free. */
int memory_plan_make(struct learner_plan *plan_out,
                     const struct memory_plan_args *a) WARN_UNUSED;

#endif
