/*
 * From problem numbers to scored trajectories: prompts into slots, generation on the
 * rollout ranks, the verifier on the same rank, and the exchange. Training steps and
 * evaluations both use it.
 */
#ifndef GRPO_COLLECT_H
#define GRPO_COLLECT_H

#include <stdint.h>

#include "core/status.h"
#include "grpo/config.h"
#include "grpo/dataset.h"
#include "grpo/world.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include "rollout/rollout.h"

struct collector;

struct collector_setup {
    const struct model *m;
    const struct tokenizer *t;
    const struct world *world;
    const struct config *config;
    struct rollout_limits limits;
};
int collector_create(struct collector **out,
                     const struct collector_setup *s) WARN_UNUSED;
void collector_free(struct collector *c);

struct collect_args {
    const struct dataset *data;
    const int64_t *problem; /* (n) problem of each slot */
    int64_t n;
    const int32_t *owner; /* (n) rank that gets group p whole; -1: none */
    struct rollout_args rollout;
    rollout_tick_fn tick;
    void *user;
};
struct collect_stats {
    struct rollout_stats rollout; /* of this rank */
    double rollout_s, reward_s, exchange_s;
};
/* Collective. g: at least n groups; its info is complete on every rank afterwards. */
int collector_run(struct collector *c, struct groups *g, const struct collect_args *a,
                  struct collect_stats *stats_out) WARN_UNUSED;

/* The text of a sample, into `out` (reset first). End-of-text tokens are left out. */
void collector_text(const struct tokenizer *t, const struct groups *g, int64_t p,
                    int64_t s, struct buf *out);

#endif
