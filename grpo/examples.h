/*
 * Texts for next-token training: each example is a prompt (rendered as for GRPO)
 * followed by its answer and the end-of-text token, tokenised apart, so that the border
 * between them is the one that rollout sees.
 */
#ifndef GRPO_EXAMPLES_H
#define GRPO_EXAMPLES_H

#include <stdint.h>

#include "core/status.h"
#include "grpo/session.h"

struct examples {
    int64_t n;
    int64_t n_cut;   /* longer than max_tokens */
    int64_t longest; /* tokens */
    int64_t *off;    /* (n + 1) into ids */
    int32_t *ids;
    int32_t *n_prompt; /* (n) tokens before the answer */
};
/* At most `limit` (0: all) pairs of the JSONL file. eos_id -1: none appended. */
int examples_load(struct examples *x, const char *path, int64_t limit, int32_t eos_id,
                  const struct session *s) WARN_UNUSED;
void examples_release(struct examples *x);

#endif
