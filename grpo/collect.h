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
    const int64_t *problem; /* (n) */
    const int64_t *slots;   /* (n) group of each problem; NULL: 0 .. n - 1 */
    int64_t n;
    const int32_t *owner; /* (groups) rank that gets group p whole; -1: none */
    struct rollout_args rollout;
    rollout_tick_fn tick;
    void *user;
};
struct collect_stats {
    struct rollout_stats rollout; /* of this rank */
    double rollout_s, reward_s, exchange_s;
};
/* In parts, for steps whose generation goes on beside an update or takes several
 * rounds. begin: all groups of g are forgotten. generate: this rank's share of the n
 * groups, scored; on ranks that only learn nothing. share: collective over the ranks
 * that generate: each of them gets the infos of the groups generated last. finish:
 * collective over all: infos of all groups generated since begin go to everyone, the
 * groups to their owners; g's info is then complete on every rank. Times are added to
 * *stats. */
void collector_begin(struct collector *c, struct groups *g);
int collector_generate(struct collector *c, struct groups *g,
                       const struct collect_args *a,
                       struct collect_stats *stats) WARN_UNUSED;
int collector_share(struct collector *c, struct groups *g) WARN_UNUSED;
int collector_finish(struct collector *c, struct groups *g, const int32_t *owner,
                     struct collect_stats *stats) WARN_UNUSED;
/* Collective: all of that in one round. g: at least n groups. */
int collector_run(struct collector *c, struct groups *g, const struct collect_args *a,
                  struct collect_stats *stats_out) WARN_UNUSED;

/* The verifier's word on the samples of group p, and their rewards. */
void collector_score(struct collector *c, struct groups *g, int64_t p,
                     const struct reward_gold *gold);
/* A gold, checked as those of a problem set are. */
int collector_gold(struct reward_gold **out, struct collector *c, const char *text,
                   size_t len) WARN_UNUSED;
/* The text of a sample, into `out` (reset first). End-of-text tokens are left out. */
void collector_text(const struct tokenizer *t, const struct groups *g, int64_t p,
                    int64_t s, struct buf *out);

#endif
