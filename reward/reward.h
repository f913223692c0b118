/*
 * The verifier: text in; score, extracted answer and reason out. No model, no globals,
 * re-entrant, linear time, PCRE2 with limits.
 *
 * GSM8K form: the answer is the number after the last "####" of the completion: sign,
 * thousands commas, decimals, money ("$"), percent ("%"), trailing period accepted;
 * compared with the gold as exact rationals. Several different numbers after several
 * "####" markers, or text such as "12 or 13" after one, are not an answer.
 */
#ifndef REWARD_REWARD_H
#define REWARD_REWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/mem.h"
#include "core/status.h"

/* X(enum, name) */
#define REWARD_REASON_LIST(X)                                                          \
    X(REWARD_CORRECT, "correct")                                                       \
    X(REWARD_WRONG, "wrong")                                                           \
    X(REWARD_NO_MARKER, "no_marker") /* no "####" */                                   \
    X(REWARD_NO_NUMBER, "no_number") /* marker, but no number after it */              \
    X(REWARD_AMBIGUOUS, "ambiguous") /* more than one answer */                        \
    X(REWARD_TRUNCATED, "truncated") /* hit the length limit before an answer */       \
    X(REWARD_LIMIT, "limit")         /* a match or size limit stopped the search */

enum reward_reason {
#define X(id, name) id,
    REWARD_REASON_LIST(X)
#undef X
        REWARD_N_REASONS
};
const char *reward_reason_name(enum reward_reason r);

struct reward_rules;   /* compiled patterns; immutable, shared by threads */
struct reward_scratch; /* match data of one thread */

int reward_rules_create(struct reward_rules **out) WARN_UNUSED;
void reward_rules_free(struct reward_rules *r);
int reward_scratch_create(struct reward_scratch **out,
                          const struct reward_rules *r) WARN_UNUSED;
void reward_scratch_free(struct reward_scratch *s);

/* An exact gold: parsed once at load. */
struct reward_gold;
/* `text`: a bare number ("1,080", "-3", "$5.50", "25%", "1/2") or a solution whose last
 * "####" is followed by one. ERR_INPUT with the text when it cannot be parsed. */
int reward_gold_create(struct reward_gold **out, const char *text,
                       size_t len) WARN_UNUSED;
void reward_gold_free(struct reward_gold *g);
const char *
reward_gold_text(const struct reward_gold *g); /* normalised: "1080", "-3", "11/2" */

struct reward_result {
    enum reward_reason reason;
    bool is_correct;
    bool has_form;                 /* answered in the required form */
    size_t answer_off, answer_len; /* the extracted answer in the text; len 0: none */
};
/* Never fails: every text has a result. is_truncated: the completion hit its length
 * limit. No allocation. */
void reward_score(struct reward_result *out, const struct reward_rules *r,
                  struct reward_scratch *s, const char *text, size_t len,
                  bool is_truncated, const struct reward_gold *gold);

#endif
