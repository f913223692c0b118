/*
 * A problem set made ready: prompts rendered and tokenised, golds parsed, once at the
 * start.
 */
#ifndef GRPO_DATASET_H
#define GRPO_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "grpo/session.h"
#include "reward/reward.h"

struct dataset;

/* Loads `path`; at most `limit` problems (0: all), rendered by prompt.* with the
 * session's tokenizer. Prompts longer than data.max_prompt are an error or left out and
 * counted (data.overlong). An empty set is an error. */
int dataset_load(struct dataset **out, const char *path, int64_t limit,
                 const struct session *s) WARN_UNUSED;
void dataset_free(struct dataset *d);
int64_t dataset_n(const struct dataset *d);
int64_t dataset_n_filtered(const struct dataset *d);
int64_t dataset_longest_prompt(const struct dataset *d);
const int32_t *dataset_prompt(const struct dataset *d, int64_t i, int64_t *n_out);
const struct reward_gold *dataset_gold(const struct dataset *d, int64_t i);
const char *dataset_question(const struct dataset *d, int64_t i);
const char *dataset_answer(const struct dataset *d,
                           int64_t i); /* full solution; may be NULL */

/* Which of n items stands at place `i` of an endless sequence: epochs after each other,
 * each a permutation by (seed, epoch) when is_shuffled. */
int64_t dataset_order(int64_t n, int64_t i, uint64_t seed, bool is_shuffled);

#endif
