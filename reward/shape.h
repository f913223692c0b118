/*
 * From a verdict to the number that training sees.
 *
 *   base     correct; wrong; wrong + form where a wrong answer had the required form
 *   overlong DAPO's soft penalty (arXiv 2503.14476, eq. 13), added to the base: with a
 *            buffer of c tokens below the limit M, 0 up to M - c, then falling
 *            linearly to -penalty at M, and -penalty beyond
 *
 * Pure functions of their arguments.
 */
#ifndef REWARD_SHAPE_H
#define REWARD_SHAPE_H

#include <stdint.h>

#include "reward/reward.h"

#define SHAPE_TRUNCATIONS "score|wrong"
enum shape_truncation {
    SHAPE_TRUNCATED_SCORE, /* an answer that was complete before the limit counts */
    SHAPE_TRUNCATED_WRONG  /* a completion at its limit is wrong */
};
struct shape_options {
    double correct, wrong, form;
    enum shape_truncation truncation;
    int64_t overlong_buffer; /* c, tokens; 0: no penalty */
    int64_t overlong_limit;  /* M, tokens; > 0 where there is a buffer */
    double overlong_penalty;
};

/* In [-penalty, 0]; n_tokens: of the completion */
double shape_overlong(const struct shape_options *o, int64_t n_tokens);
double shape_reward(const struct shape_options *o, const struct reward_result *r,
                    int64_t n_tokens, bool is_truncated);

#endif
