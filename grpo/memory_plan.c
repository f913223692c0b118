/*
 * The sums of the parts' own plans; see learner_plan and rollout_bytes.
 */
#include "grpo/memory_plan.h"

#include <stdio.h>

#include "core/log.h"

static const char *knobs(const struct learner_plan *p, size_t rollout)
{
    if (rollout > p->acts && rollout > p->grads)
        return "lower rollout.slots, rollout.max_new or data.max_prompt";
    if (p->acts > p->grads)
        return p->mode == ACTS_KEEP
                   ? "lower learner.micro_tokens, or set learner.recompute=layer"
                   : "lower learner.micro_tokens";
    if (p->optim.device > 0)
        return "set optim.offload=auto, lower grpo.leaves (each doubling adds a "
               "gradient), or use more ranks";
    return "lower grpo.leaves (each doubling adds a gradient), or use more ranks";
}

static const char *place_name(enum optim_place p)
{
    switch (p) {
    case OPTIM_ON_DEVICE:
        return "on the device";
    case OPTIM_MOMENTS_ON_HOST:
        return "moments on the host";
    case OPTIM_ON_HOST:
        return "on the host";
    }
    return "?";
}

/* What a plan is about, in MB. */
static void describe(char *text, size_t size, const struct learner_plan *p,
                     const struct memory_plan_args *a, size_t rollout)
{
    const struct model *const m = a->m;
    const double wide = 1e-6 * (double)m->table.n_elems * sizeof(float);
    snprintf(
        text, size,
        "weights %.1f (there already), master %.1f and moments %.1f (%s), "
        "gradients %.1f, copies of weights %.1f, learner activations %.1f (%s, "
        "%lld rows; %.1f of them logits), scratch %.1f, rollout with KV pages %.1f",
        1e-6 * (double)m->table.n_elems * (double)dtype_bytes(m->dtype),
        m->dtype == DTYPE_F32 || !a->is_learner ? 0.0 : wide,
        a->is_learner ? 2.0 * wide : 0.0, place_name(p->place), 1e-6 * (double)p->grads,
        1e-6 * (double)p->copies, 1e-6 * (double)p->acts,
        p->mode == ACTS_KEEP ? "all kept" : "recomputed per layer",
        (long long)p->n_rows, 1e-6 * (double)p->logits, 1e-6 * (double)p->scratch,
        1e-6 * (double)rollout);
}

int memory_plan_make(struct learner_plan *plan_out, const struct memory_plan_args *a)
{
    struct backend *const b = a->m->b;
    struct learner_plan p = {.mode = ACTS_KEEP};
    char text[500];
    const size_t rollout = a->rollout == NULL ? 0 : rollout_bytes(a->m, a->rollout);
    if (a->is_learner)
        learner_plan(&p, a->m, a->config, rollout);
    *plan_out = p;
    if (b->is_host)
        return STATUS_OK;
    const size_t sum = learner_plan_device(&p) + rollout;
    const size_t wanted = sum + learner_plan_margin(sum);
    const int64_t available = b->available(b);
    describe(text, sizeof(text), &p, a, rollout);
    log_info("device memory plan, MB: %s; with a margin %.1f to reserve, %.1f free%s",
             text, 1e-6 * (double)wanted, 1e-6 * (double)available,
             p.optim.host > 0 ? "; the host's part is page-locked" : "");
    if (available > 0 && wanted > (size_t)available)
        return ERR(ERR_MEMORY,
                   "the run does not fit the device, MB: %s; with a margin %.1f to "
                   "reserve, %.1f free; %s",
                   text, 1e-6 * (double)wanted, 1e-6 * (double)available,
                   knobs(&p, rollout));
    return STATUS_OK;
}
