/*
 * Problem sets as JSON Lines, one object a line; blank lines are passed over.
 *
 * question: "question", "problem" or "prompt" (the first of these that is there), or
 *   SVAMP's "Body" and "Question" with a blank between them;
 * answer (full text): "solution", else "answer" where it is a string, else none;
 * gold: "gold", else "answer", "Answer" or "solution"; a string, a number, or a list of
 *   them of which any counts. Of a text with "####" what follows the last one counts
 *   (GSM8K), of one with \boxed{} the last box (MATH);
 * id: "id", "ID" or "unique_id", a string or an integer; else the line number.
 * So GSM8K, MATH, GSM-Plus, SVAMP, plain pairs and grpo/synth.h's files load as they
 * are. Errors are ERR_INPUT and name file:line and key.
 */
#ifndef GRPO_PROBLEMS_H
#define GRPO_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/status.h"
#include "reward/reward.h"

enum problems_need {
    PROBLEMS_GOLD,  /* reinforcement learning, evaluation: a gold; answer optional */
    PROBLEMS_ANSWER /* pretraining pairs: an answer text; golds are not looked at */
};

struct problems_args {
    enum problems_need need;
    int64_t limit;   /* at most so many problems; 0: all */
    bool is_lenient; /* leave out lines whose gold has no value, counted */
    const struct reward_options
        *verifier; /* says which golds have one; NULL: defaults */
};

struct problem { /* borrowed from the set; texts are NUL-terminated */
    int64_t row; /* place among the file's problems, those left out counted too */
    const char *id, *question;
    const char *answer; /* full solution text; NULL: none */
    size_t question_len, answer_len;
    const char *gold_text;          /* as in the file; NULL with PROBLEMS_ANSWER */
    const struct reward_gold *gold; /* parsed; NULL with PROBLEMS_ANSWER */
};

struct problem_offsets;
struct problems {
    int64_t n;
    int64_t n_skipped; /* lines left out because of is_lenient */
    struct problem_offsets *items;
    int64_t cap;
    struct buf text;
};

/* *out is written on success only. An empty set is not an error. */
int problems_load(struct problems *out, const char *path,
                  const struct problems_args *args) WARN_UNUSED;
void problems_release(struct problems *p);
/* A gold as it stands in JSON: a string, a number, or a list of them of which any
 * counts. PROBLEMS_NO_VALUE (else as ERR_INPUT, with its message): read, but nothing
 * that an answer can be compared with. */
enum { PROBLEMS_NO_VALUE = -1000 };
int problems_gold(struct reward_gold **out, struct reward_scratch *s, const json_t *v,
                  const char *key, const char *where) WARN_UNUSED;
/* The gold of a line by the keys above; NULL: none */
const json_t *problems_gold_of(const json_t *line, const char **key);
struct problem problems_at(const struct problems *p, int64_t i);

#endif
