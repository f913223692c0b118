/*
 * Worked examples for few-shot prompts, drawn as lm-evaluation-harness draws them: one
 * Python random.Random(seed) goes through the problems in the order of their file, and
 * each gets random.sample(examples, n). Where the examples are the problems asked
 * themselves, n + 1 are drawn, those that equal the problem are dropped, and the first
 * n of the others remain.
 */
#ifndef GRPO_SHOTS_H
#define GRPO_SHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "grpo/prompt.h"

struct shots;

/* path: question and answer pairs, JSONL (grpo/problems.h), all of them. n >= 1 of each
 * draw. is_self: the problems asked are those of the same file. Fewer than a draw needs
 * is ERR_INPUT. */
int shots_load(struct shots **out, const char *path, int64_t n, uint64_t seed,
               bool is_self) WARN_UNUSED;
void shots_free(struct shots *s);
/* The examples of problem `row` (from 0, blank lines not counted), in the order drawn.
 * Rows come in rising order; for one that is passed over, a draw is made too, so that
 * a row's examples never depend on which others are asked. Borrowed until the next
 * call. */
const struct prompt_shot *shots_draw(struct shots *s, int64_t row, int64_t *n_out);

#endif
