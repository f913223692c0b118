/*
 * Who does what: ranks 0 .. n_learners - 1 learn, the others generate; colocated ranks
 * do both. Rank 0 writes the run directory. Results do not depend on the split.
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
    struct comm *rollouts; /* ranks that generate; NULL elsewhere */
    struct comm *sync; /* learner 0 and the ranks that only generate; NULL elsewhere */
    int rank, size, n_learners, n_rollouts;
    bool is_colocated;
};
/* Given trajectories leave nothing to generate: then every rank learns. */
int world_init(struct world *w, struct comm *all, const struct config *c) WARN_UNUSED;
void world_release(struct world *w);
bool world_learns(const struct world *w);
/* This rank's place among those that generate; -1 if it does not. */
int world_rollout_index(const struct world *w);

/* Whether item i of a list of groups to generate is this rank's. */
bool world_generates(const struct world *w, int64_t i);

/* Buffers of the exchanges, reused between calls; zero-initialise. */
struct world_scratch {
    struct buf *out; /* (size) */
    struct buf *in;  /* (size) */
};
void world_scratch_init(struct world_scratch *s, const struct world *w);
void world_scratch_release(struct world_scratch *s, const struct world *w);
/* Collective over `comm`: everyone gets the sample infos of everyone's groups slots[0
 * .. n-1]. */
int world_share_infos(struct comm *comm, struct world_scratch *s, struct groups *g,
                      const int64_t *slots, int64_t n) WARN_UNUSED;
/* Collective over all: this rank's groups slots[0 .. n-1] travel whole to owner[slot]
 * (-1: nowhere). */
int world_send_groups(const struct world *w, struct world_scratch *s, struct groups *g,
                      const int64_t *slots, int64_t n,
                      const int32_t *owner) WARN_UNUSED;

#endif
