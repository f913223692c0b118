/*
 * Trajectories as a safetensors file: what a checkpoint keeps of samples that were
 * generated but not learned from yet. The same samples give the same bytes, whoever
 * generated them.
 *
 * Tensors, with P groups of G samples, M prompt tokens and N sampled tokens in all,
 * group after group, and W = route_width (none when 0): problem I64 (P), n_prompt I32
 * (P), prompt I32 (M), prompt_routes U16 (M, W); n_tokens I32, reward F32, finish,
 * reason, is_correct, has_form U8 (P, G); tokens I32 (N), logp F32 (N), routes U16 (N,
 * W).
 */
#ifndef ROLLOUT_GROUPS_FILE_H
#define ROLLOUT_GROUPS_FILE_H

#include "rollout/groups.h"

/* All groups must be held. */
int groups_save(const struct groups *g, const char *path) WARN_UNUSED;
/* Into a g of the same P, G and W; longer prompts or samples than it can hold, or
 * anything else that groups_save does not write, are ERR_INPUT. */
int groups_load(struct groups *g, const char *path) WARN_UNUSED;
/* What groups_save would write, about, for a plan of the space */
int64_t groups_file_bytes(const struct groups *g);

#endif
