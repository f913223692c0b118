/*
 * The `score` command: the verifier on a JSONL file.
 *
 * Each input line is an object with a completion and a gold; each gives one line on
 * `out`, in order: {"score":1,"answer":"18","rule":"gsm8k","reason":"correct"}. score
 * is 1 or 0, "answer" null when none was extracted. A malformed line gives
 * {"error":"..."} there and a message with its number on `err`; the others are still
 * scored. At the end a table by reason goes to `err`. Lines are scored by all threads.
 */
#ifndef GRPO_SCORE_H
#define GRPO_SCORE_H

#include <stdbool.h>
#include <stdio.h>

#include "core/status.h"

struct score_options {
    const char *path;         /* JSONL file */
    const char *response_key; /* NULL: "response" */
    const char *gold_key;     /* NULL: "gold"; a string, or a JSON integer */
    bool is_explained;        /* add "line", "gold" (normalised), "offset" (bytes) and
                                 "has_form" to each line */
    FILE *out, *err;          /* NULL: stdout, stderr */
};

/* 0, or ERR_INPUT (exit status 3) when a line was malformed or the file is missing; an
 * optional "truncated": true in a line marks a completion that hit its length limit. */
int score_command(const struct score_options *o) WARN_UNUSED;

#endif
