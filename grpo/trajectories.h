/*
 * Trajectories as JSON Lines, one group a line: what `grpo train --trajectories` learns
 * from and what log.trajectories writes. docs/trajectories.md is the format's
 * reference.
 *
 *   {"prompt_tokens": [..] | "prompt": text | "question" (or "problem"): text,
 *    "gold" (or "answer"): text or number,               needed where a reward is not
 * given "completions": [                                     rollout.group_size of them
 *      {"tokens": [..] | "text": text,
 *       "logp" (or "logprobs"): [.. number or null],      of the policy that sampled
 *       "reward": number, "finish": "eos" | "stop" | "length",
 *       "routes": [[L K expert ids] per token]}],
 *    "prompt_routes": [[L K expert ids] per prompt token]}
 *
 * Token ids win over texts. "prompt" is tokenised as it is, a question is rendered by
 * prompt.* first. A text is tokenised without special tokens and ends with the model's
 * end-of-text token unless its finish is "length" or "stop". Log-probs are at
 * rollout.temperature of the full distribution. Other keys are passed over.
 */
#ifndef GRPO_TRAJECTORIES_H
#define GRPO_TRAJECTORIES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "grpo/collect.h"
#include "grpo/config.h"
#include "grpo/metrics.h"
#include "grpo/prompter.h"
#include "model/hparams.h"
#include "model/tokenizer.h"
#include "rollout/groups.h"

struct trajectories;

struct trajectories_setup { /* borrowed */
    const struct config *config;
    const struct tokenizer *tokenizer;
    struct prompter *prompter; /* renders questions; without worked examples */
    const struct hparams *hp;
    int64_t n_softmax;           /* ids below this may be learned from */
    struct collector *collector; /* its verifier scores what has a gold */
};
/* Reads and checks the whole file (ERR_INPUT: file, line, completion, key). Prompts
 * longer than data.max_prompt are an error, or left out and counted (data.overlong). */
int trajectories_open(struct trajectories **out, const char *path,
                      const struct trajectories_setup *s) WARN_UNUSED;
void trajectories_free(struct trajectories *t);
int64_t trajectories_n(const struct trajectories *t); /* groups */
int64_t trajectories_n_filtered(const struct trajectories *t);
int64_t trajectories_n_unknown(const struct trajectories *t); /* tokens without logp */
bool trajectories_has_routes(const struct trajectories *t);   /* on every line */

/* Group i of the file into slot p of g, scored, NaN for log-probs that are not given;
 * g->problem[p] = i. */
int trajectories_read(struct trajectories *t, int64_t i, struct groups *g,
                      int64_t p) WARN_UNUSED;
/* The question (or prompt) and the gold of group i, "" where there is none; until the
 * next call. */
int trajectories_texts(struct trajectories *t, int64_t i, const char **question_out,
                       const char **gold_out) WARN_UNUSED;

/* One line: group p, which must be held. */
struct trajectory_line {
    const struct groups *g;
    int64_t p;
    const char *question, *gold; /* "": left out */
    const struct tokenizer *tokenizer;
    bool has_routes;
};
int trajectories_write(struct metrics *m, int64_t step, const struct trajectory_line *l,
                       struct buf *text) WARN_UNUSED;

#endif
