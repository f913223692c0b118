/*
 * Problem sets: JSON Lines in the schemas of GSM8K ({"question", "answer": "... ####
 * n"}), MATH
 * ({"problem", "solution", "answer"}), and generated or plain ones ({"question" |
 * "problem" | "prompt", "answer", and optionally "gold"}). Each line is read as:
 * question = the first of question, problem, prompt; answer = solution, else answer
 * (the full text); gold = gold, else answer.
 */
#ifndef GRPO_PROBLEMS_H
#define GRPO_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "reward/reward.h"

struct problem {
    const char *question, *answer; /* NUL-terminated, owned by the set */
    size_t question_len, answer_len;
    struct reward_gold *gold; /* NULL when the set was loaded without golds */
};

struct problem_set {
    struct problem *items;
    int64_t n, cap;
    int64_t n_skipped; /* lines left out because their gold is not a number */
    void *text;        /* storage of all strings */
};

struct problems_args {
    int64_t limit;   /* first so many lines; 0: all */
    bool has_gold;   /* parse golds */
    bool is_lenient; /* skip a line whose gold cannot be parsed, counted, instead of
                        failing */
};
/* A malformed line, a missing key, a gold that cannot be parsed: ERR_INPUT naming file,
 * line, key and value. */
int problems_load(struct problem_set *s, const char *path,
                  const struct problems_args *args) WARN_UNUSED;
void problems_release(struct problem_set *s);

#endif
