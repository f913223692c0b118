/*
 * Who does what: ranks 0 .. n_learners - 1 learn, the others generate; colocated ranks
 * do both. Rank 0 writes the run directory. Results do not depend on the split
 * (design.md, ideas 1 to 3).
 */
#ifndef GRPO_WORLD_H
#define GRPO_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "dist/comm.h"
#include "grpo/config.h"
#include "rollout/groups.h"

struct world {
    struct comm *all;      /* borrowed */
    struct comm *learners; /* NULL on ranks that do not learn */
    struct comm *sync; /* learner 0 and the ranks that only generate; NULL elsewhere */
    int rank, size, n_learners, n_rollouts;
    bool is_colocated;
};
int world_init(struct world *w, struct comm *all,
               const struct config_run *run) WARN_UNUSED;
void world_release(struct world *w);
bool world_learns(const struct world *w);
/* This rank's place among those that generate; -1 if it does not. */
int world_rollout_index(const struct world *w);

/* The slots p < n that this rank generates, into slots (n); returns how many. */
int64_t world_slots(const struct world *w, int64_t n, int64_t *slots);

/* After generation: every rank learns every sample's info, and group p travels whole to
 * rank owner[p] (-1: nowhere). scratch: reused between calls, zero-initialise. */
struct world_scratch {
    struct buf *out; /* (size) */
    struct buf *in;  /* (size) */
    int64_t *slots;  /* (n max) */
    int64_t n_max;
};
int world_scratch_init(struct world_scratch *s, const struct world *w,
                       int64_t n_max) WARN_UNUSED;
void world_scratch_release(struct world_scratch *s, const struct world *w);
int world_exchange(const struct world *w, struct world_scratch *s, struct groups *g,
                   int64_t n, const int32_t *owner) WARN_UNUSED;

#endif
