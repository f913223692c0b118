/*
 * What the learner's files share: learner.c (memory, one update), learner_micro.c
 * (groups into micro-batches, forward passes), learner_scan.c (passes before the first
 * update), learner_router.c (routing replay, load-balancing losses).
 */
#ifndef GRPO_LEARNER_PRIVATE_H
#define GRPO_LEARNER_PRIVATE_H

#include <math.h>

#include "core/carve.h"
#include "core/mem.h"
#include "grpo/learner.h"
#include "grpo/learner_step.h"
#include "grpo/weight_change.h"

/* What a leaf adds to the report; summed over leaves in order on every rank. */
struct leaf_sums {
    struct objective_sums sums;
    int64_t n_tokens, n_prompt_tokens, n_route_diffs;
    double behaviour_diff_max;
};

/* The routes of the learner's own forward over a step's samples before the first
 * update, for R2; of this rank's leaves. Arrays as those of struct groups. NULL: not
 * asked for. */
struct scan {
    uint16_t *routes;        /* (P G, max_new, route_width) */
    uint16_t *prompt_routes; /* (P, max_prompt, route_width) */
    void *block;
    size_t block_bytes;
};

struct learner {
    struct learner_setup s;
    const struct config *c;
    struct acts acts;
    struct batch batch;
    struct optim optim;
    struct model_grads grads; /* tied part; data points at the leaf in work */
    float *tree;              /* (1 + depth, at least 2, n_elems): sum, then scratch */
    float *host_tree; /* the same on the host, for ranks with devices; or NULL */
    struct weight_change change;
    struct learner_step step; /* the recipe and the running step */
    /* rows of the head in one micro-batch, host, (max_tokens) each */
    int32_t *rows, *target, *route_host;
    float *logp, *logp_behaviour, *logp_ref, *entropy, *dlogp, *dent;
    int32_t *replay;                        /* (L, n_rows max, K); NULL: no replay */
    bool *is_kept;                          /* (prompts of a mini-batch) */
    struct leaf_sums *leaf_sums, *all_sums; /* (leaves); (ranks, leaves) */
    /* load-balancing losses; NULL, 0 when both coefficients are 0 */
    double *leaf_load, *all_load; /* (leaves, L, 2E + 1); (ranks, same) */
    float *aux_f;                 /* (E) of the running update */
    float z_coef;
    struct scan scan;
    void *dev_block, *host_block;
    size_t dev_bytes, host_bytes;
    int64_t max_tokens, mini_batch;
    /* of the running update */
    const struct minibatch *mb;
};

/* A NaN stays: it must not be forgotten for the next number. */
static inline void learner_keep_max(double *max, double x)
{
    if (!isnan(*max) && !(x <= *max))
        *max = x;
}

/* --- learner_plan.c. Prompts of a mini-batch; limits of a micro-batch; arrays of the
 * gradient tree; routes of a micro-batch to replay. */
int64_t learner_mini_batch(const struct config *c);
struct batch_limits learner_batch_limits(const struct config *c);
struct acts_limits learner_acts_limits(const struct model *m, const struct config *c,
                                       enum acts_mode mode);
int64_t learner_tree_arrays(const struct config *c);
int64_t learner_replay_len(const struct model *m, int64_t n_rows);

/* --- learner_micro.c. A micro-batch: the kept groups among first .. end - 1 of the
 * mini-batch, in l->batch (uploaded) with n head rows; l->rows, l->target,
 * l->logp_behaviour are filled. */
struct micro {
    int64_t first, end, n;
};
typedef int (*micro_fn)(struct learner *l, const struct micro *mi, void *user);
/* fn for each micro-batch of a leaf, in order. */
int learner_walk(struct learner *l, int64_t leaf, micro_fn fn, void *user) WARN_UNUSED;
/* Forward by model m, and log-probs (entropy may be NULL) of the head rows. */
void learner_forward(struct learner *l, const struct model *m, int64_t n, float *logp,
                     float *entropy);
/* (token, layer, slot) whose expert, of all that `experts` chose in the last forward,
 * differs from sampling; 0 where no routes were recorded. */
int64_t learner_route_diffs(struct learner *l, const struct micro *mi);
bool learner_owns(const struct learner *l, int64_t leaf);
/* max |logp - recorded at sampling|; a NaN stays, a record that is NaN is left out. */
double learner_behaviour_diff(const struct learner *l, int64_t n);

/* --- learner_scan.c */
size_t scan_bytes(const struct hparams *hp, const struct config *c);
int scan_init(struct learner *l) WARN_UNUSED;
void scan_release(struct scan *s);
/* The running mini-batch's log-probs and entropies under the current policy, where the
 * recipe divides by what they are. */
int scan_survey(struct learner *l) WARN_UNUSED;

/* --- learner_router.c. Sets up the replay of a micro-batch, or none. */
void router_replay(struct learner *l, const struct micro *mi);
void router_replay_stop(struct learner *l);
/* The global load of the mini-batch, by a pass of its own: l->aux_f, l->z_coef, and the
 * losses into the report. Nothing to do when both coefficients are 0. */
int router_prepare(struct learner *l, struct learner_report *r) WARN_UNUSED;
bool router_has_losses(const struct learner *l);

#endif
