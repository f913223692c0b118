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
#include "model/model.h"
#include "rollout/rollout.h"

struct memory_plan_args {
    const struct model *m; /* its weights are there already */
    const struct config *config;
    const struct rollout_limits *rollout; /* NULL: this rank does not generate */
    bool is_learner;
};

/* Shows the plan of a device, and fails with ERR_MEMORY, the plan and what to change
 * when it does not fit into what is free. Nothing to do for host memory. */
int memory_plan_check(const struct memory_plan_args *a) WARN_UNUSED;

#endif
