/*
 * A case of `grpo objective`: the log-probs, rewards and masks of a batch, and an
 * engine's options, as one line of JSON (fixtures' engines.jsonl form).
 *
 *   {"id": ..., "engine": "trl" | "verl", "options": {...}, "input": {
 *      "group": [N], "rewards": [N][F] (null: not scored), "logp": [N][L_i],
 *      "logp_old", "logp_ref", "logp_rollout" (null: unknown), "entropy", "mask",
 *      "truncated": [N], "width": padded width}}
 * Only group, rewards and logp are always needed. Non-finite numbers are the strings
 * "nan", "inf", "-inf".
 */
#ifndef GRPO_OBJECTIVE_CASE_H
#define GRPO_OBJECTIVE_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/status.h"

struct objective_case {
    json_t *root;     /* owned */
    const json_t *id; /* borrowed; NULL: none */
    json_t *options;  /* borrowed object; NULL: none */
    const char *engine;
    int64_t n_seqs, n_groups, n_rewards, n_tokens, longest;
    int64_t width;
    int64_t *group;  /* (n_seqs) 0 .. n_groups - 1, in order of appearance */
    int64_t *off;    /* (n_seqs + 1) */
    double *reward;  /* (n_seqs, n_rewards); NaN: null */
    uint8_t *mask;   /* (n_tokens) */
    bool *truncated; /* (n_seqs) */
    /* (n_tokens) each; NULL where the line has none */
    double *logp, *logp_old, *logp_ref, *logp_rollout, *entropy;
};

/* Takes a parsed line; `where` opens messages. On error nothing is left to release. */
int objective_case_read(struct objective_case *c, const char *text, size_t len,
                        const char *where) WARN_UNUSED;
void objective_case_release(struct objective_case *c); /* accepts a zeroed object */

#endif
