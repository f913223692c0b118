/*
 * The rollout engine: continuous batching over all samples of a call. Each prompt is
 * prefilled once; its samples share the full KV pages and copy the last, partly filled
 * one. A finished sample's slot is refilled at the next decode step. What is sampled
 * depends on (seed, stream, step, first_prompt + prompt slot, sample, position) and the
 * weights only, never on batching, threads or ranks.
 */
#ifndef ROLLOUT_ROLLOUT_H
#define ROLLOUT_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rng.h"
#include "core/status.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include "rollout/groups.h"

enum { ROLLOUT_MAX_STOPS = 8 };

struct rollout_limits {
    int64_t n_slots;             /* sequences decoded at once */
    int64_t max_prompt, max_new; /* tokens */
    int64_t n_prefill;           /* rows of one prefill pass; at least max_prompt */
};

struct rollout_args {
    float temperature, top_p; /* 0: greedy; 1: off */
    int32_t top_k;            /* 0: off */
    uint64_t seed;
    int32_t step;         /* counter word; evaluation uses its own seed */
    int64_t first_prompt; /* counter word of group p: first_prompt + p */
    int64_t max_new;      /* <= the limit */
    bool is_eos_ignored;  /* for timings: every sample runs to max_new */
    const char *stops[ROLLOUT_MAX_STOPS]; /* stop strings; n_stops of them */
    int n_stops;
};

struct rollout_stats {
    int64_t n_prefill_tokens, n_decode_tokens, n_decode_steps;
};

struct rollout;
/* m and t are borrowed; t may be NULL when there are no stop strings. */
int rollout_create(struct rollout **out, const struct model *m,
                   const struct tokenizer *t,
                   const struct rollout_limits *max) WARN_UNUSED;
void rollout_free(struct rollout *r);
size_t rollout_bytes(const struct model *m, const struct rollout_limits *max);

/* Called after every decode step with the samples finished so far. May be NULL. */
typedef void (*rollout_tick_fn)(void *user, int64_t n_finished, int64_t n_tokens);

/* Generates all G samples of groups slots[0 .. n-1] of g, whose prompts are set:
 * tokens, logp, routes (when g->route_width > 0), n_tokens and finish. */
int rollout_run(struct rollout *r, struct groups *g, const int64_t *slots, int64_t n,
                const struct rollout_args *args, rollout_tick_fn tick, void *user,
                struct rollout_stats *stats_out) WARN_UNUSED;

#endif
