/*
 * The `score` command: the verifier on a JSONL file.
 *
 * Each input line is an object with a completion ("response") and a gold ("gold", else
 * "answer", "Answer" or "solution": GSM8K, MATH and plain pairs as they are; a string,
 * a number, or a list of which any counts). Optional: "kind": "answer" where the answer
 * is extracted already, "truncated": true where the completion hit its length limit.
 *
 * Each line gives one on `out`, in order: {"score":1,"answer":"18","rule":"hashes",
 * "reason":"correct"}. score is 1 or 0, answer the text as extracted or null. A
 * line without a usable gold, or that is no such object, gives
 * {"score":0,"answer":null, "rule":null,"reason":"bad_gold" or
 * "malformed","error":"..."} there and a message with its number on `err`; the others
 * are still scored, and the status is ERR_INPUT. At the end a table by reason goes to
 * `err`. Lines are scored by all threads.
 */
#ifndef GRPO_SCORE_H
#define GRPO_SCORE_H

#include <stdbool.h>
#include <stdio.h>

#include "core/status.h"
#include "reward/reward.h"

#define SCORE_KINDS "response|answer" /* in the order of enum reward_kind */
struct score_options {
    const char *path;         /* JSONL file */
    const char *response_key; /* NULL: "response" */
    const char *gold_key;     /* NULL: the keys above */
    const char *kind;         /* of SCORE_KINDS; NULL: "response" */
    struct reward_options verifier;
    bool is_explained; /* add "line", "gold" (normalised), "offset" (bytes) and
                          "has_form" to each line */
    FILE *out, *err;   /* NULL: stdout, stderr */
};

/* 0, or ERR_INPUT (exit status 3) when a line was malformed or the file is missing. */
int score_command(const struct score_options *o) WARN_UNUSED;

#endif
