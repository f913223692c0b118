/*
 * The learner: policy gradients of a mini-batch of groups, summed in the fixed gradient
 * tree over the learner ranks, then one AdamW update on each of them (equal bits
 * everywhere).
 *
 * A group is computed as one unit: its prompt once, its completions attending to it.
 * Micro-batches are as many whole groups as fit the row budget, or one group alone;
 * where they end does not change a bit of the result (core/ops.h on +=), but for
 * weight gradients of a backend that rounds products (cuda/cuda.h, tensor mode).
 */
#ifndef GRPO_LEARNER_H
#define GRPO_LEARNER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "dist/comm.h"
#include "grpo/config.h"
#include "grpo/objective.h"
#include "model/model.h"
#include "model/optim.h"
#include "rollout/groups.h"

struct learner;

/* The memory plan, in bytes. */
struct learner_plan {
    enum acts_mode mode;
    enum optim_place place;
    int64_t n_rows; /* of a micro-batch at most */
    size_t acts, grads;
    size_t logits; /* of acts: learner.head_rows rows of them and of their gradients */
    struct optim_bytes optim;
    /* beside the learner's own: an fp32 copy of a reference that moves, the older
     * weights of grpo.check_stale; routes to replay, always on the host */
    size_t copies, replay;
    /* of a device's ops: the most that one of them takes, the attention's backward,
     * which keeps q and dy as bf16 by tiles of 64 rows and two floats a row; 0 for a
     * host */
    size_t scratch;
};
/* What learner.recompute and optim.offload leave open is chosen so that the plan fits
 * what the backend has left when others have reserved `beside` bytes more: all on the
 * device; then activations recomputed; then the moments, then the master weights too,
 * in host memory. If nothing fits, the smallest. */
void learner_plan(struct learner_plan *out, const struct model *m,
                  const struct config *c, size_t beside);
/* The places of the optimiser's state that optim.offload allows, in order of trial.
 * Shared with pretraining. */
void learner_optim_places(const struct config *c, enum optim_place *first_out,
                          enum optim_place *last_out);
/* What the learner takes of the device, and with margin for what no plan counts:
 * batches' indices, scratch of other ops, the driver. */
size_t learner_plan_device(const struct learner_plan *p);
size_t learner_plan_margin(size_t bytes);

struct learner_setup {
    const struct model *m;   /* borrowed; its weights are updated in place */
    const struct model *ref; /* frozen reference, or NULL */
    struct comm *comm;       /* of the learner ranks */
    const struct config *config;
    void *data;                      /* the weights of m, writable */
    const struct learner_plan *plan; /* read by learner_create; NULL: its own */
};
int learner_create(struct learner **out, const struct learner_setup *s) WARN_UNUSED;
void learner_free(struct learner *l);
struct optim *learner_optim(struct learner *l);

/* learner.head_rows, chosen where it is 0: a cache's worth, or what fills a device.
 * Shared with pretraining. */
int64_t learner_head_rows(const struct config *c, const struct backend *b);

/* Prompts first .. first + n - 1 of the started step, one optimiser update. */
struct minibatch {
    const struct groups *g; /* holds the groups of this rank's leaves; info of all */
    int64_t first, n;
    double lr;
    bool
        is_on_policy; /* no update since sampling: log-probs and routes must be equal */
};
struct learner_report {
    struct objective_sums sums; /* over the mini-batch, all ranks */
    struct optim_report optim;
    double update_norm;                /* L2 norm of the change of the master weights */
    int64_t n_tokens, n_prompt_tokens; /* response and prompt tokens learned from */
    int64_t n_flat_groups;
    int64_t n_route_diffs; /* (token, layer, slot) whose expert differs from sampling */
    double behaviour_diff_max; /* max |logp - logp recorded at sampling|, where known */
    double aux_loss,
        z_loss; /* of the routers, before their coefficients; 0: not asked */
};
/* Collective. Once per step, before its first update, on every learner rank: advantages
 * and masks of all of the step's prompts, and what the updates need of the weights as
 * they are (old log-probs that were not recorded or shall be recomputed, grpo.old_logp;
 * those of the reference for a KL in the reward; the routes that R2 replays). g holds
 * the groups of this rank's leaves and the infos (rewards, lengths, how samples ended)
 * of all; both stay unchanged until the step's last update. */
int learner_begin(struct learner *l, const struct groups *g) WARN_UNUSED;
/* Collective. Whether model m, of the policy's shape, gives the log-probs and routes
 * that g records, bit for bit; else ERR_NUMERIC. */
int learner_verify(struct learner *l, const struct groups *g,
                   const struct model *m) WARN_UNUSED;
/* Collective over the learner ranks. On-policy mismatch is ERR_NUMERIC. */
int learner_update(struct learner *l, const struct minibatch *mb,
                   struct learner_report *out) WARN_UNUSED;

/* Which leaf of the mini-batch prompt i (0 .. n-1) belongs to. */
int64_t learner_leaf_of(int64_t i, int64_t n, int64_t n_leaves);

#endif
