/*
 * The sums of the parts' own plans; see learner_plan and rollout_bytes.
 */
#include "grpo/memory_plan.h"

#include <stdio.h>

#include "core/log.h"
#include "grpo/learner.h"

/* For batches' indices, kernels' scratch and the driver: 2 % and 256 MB. */
static double rest_of(double bytes) { return 0.02 * bytes + 256e6; }

static const char *knobs(const struct learner_plan *p, double rollout)
{
    const double learner = (double)p->acts;
    if (rollout > learner && rollout > (double)p->grads)
        return "lower rollout.slots, rollout.max_new or data.max_prompt";
    if (learner > (double)p->grads)
        return "lower learner.micro_tokens, or set learner.recompute=layer";
    return "lower grpo.leaves (each doubling adds a gradient), or use more ranks";
}

int memory_plan_check(const struct memory_plan_args *a)
{
    struct backend *const b = a->m->b;
    struct learner_plan p = {.mode = ACTS_KEEP};
    char text[400];
    if (b->is_host)
        return STATUS_OK;
    if (a->is_learner)
        TRY(learner_plan(&p, a->m, a->config));
    const double rollout = a->rollout == NULL ? 0.0
                                              : (double)rollout_bytes(a->m, a->rollout);
    const double sum = (double)p.optim + (double)p.grads + (double)p.copies +
                       (double)p.acts + rollout;
    const double wanted = sum + rest_of(sum), available = (double)b->available(b);
    snprintf(text, sizeof(text),
             "optimiser %.1f MB, gradients %.1f, copies of weights %.1f, learner "
             "activations %.1f (%s, %lld rows), rollout with KV pages %.1f, rest %.1f: "
             "%.1f MB of %.1f free",
             1e-6 * (double)p.optim, 1e-6 * (double)p.grads, 1e-6 * (double)p.copies,
             1e-6 * (double)p.acts,
             p.mode == ACTS_KEEP ? "all kept" : "recomputed per layer",
             (long long)p.n_rows, 1e-6 * rollout, 1e-6 * rest_of(sum), 1e-6 * wanted,
             1e-6 * available);
    log_info("device memory beside the weights: %s", text);
    if (available > 0.0 && wanted > available)
        return ERR(ERR_MEMORY, "the run does not fit the device: %s; %s", text,
                   knobs(&p, rollout));
    return STATUS_OK;
}
