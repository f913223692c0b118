/*
 * The verifier of math answers: text in; score, extracted answer, rule and reason out.
 * No model, no globals, no signals, nothing is executed; re-entrant; linear time;
 * scoring neither fails nor allocates.
 *
 *     struct reward_rules *rules;        immutable, shared by threads
 *     struct reward_scratch *scratch;    of one thread, some 1.2 MB
 *     struct reward_gold *gold;          checked and parsed once
 *     reward_rules_create(&rules, NULL);
 *     reward_scratch_create(&scratch, rules);
 *     reward_gold_create(&gold, scratch, "1/2", 3);
 *     reward_score(&result, scratch, &(struct reward_input){.text = t, .len = n},
 * gold);
 *
 * Extraction. Text inside <think> blocks does not count, nor does anything after an end
 * token (</s>, <|im_end|> ...) or a new line "Question:", "Q:", "Problem:", "User:",
 * "Human:", "Instruction:". Of what is left a style's rules are tried in their order
 * (reward_rule_at lists them); the last marker of the first rule that has one commits
 * the completion to what follows it; a number with words or signs beside it that take
 * it back ("not 12", "at least 12", "~12", "12?") is none. A
 * list ("12 or 13") is a list and never one number; a box, tag or think block that is
 * left open is no answer; boxes side by side are one list. A program (reward/code.h)
 * declares its value, unless a marker stands behind it, or a box, tag or "####" before
 * it; numbers and markers inside its text never count.
 *
 * Values are compared exactly (reward/compare.h, reward/eval.h): what cannot be decided
 * within the limits is not paid.
 */
#ifndef REWARD_REWARD_H
#define REWARD_REWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

/* X(enum, name) */
#define REWARD_REASON_LIST(X)                                                          \
    X(REWARD_CORRECT, "correct")                                                       \
    X(REWARD_WRONG, "wrong")                                                           \
    X(REWARD_NO_MARKER, "no_marker") /* no rule of the style applies */                \
    X(REWARD_UNPARSED, "unparsed")   /* an answer that has no value */                 \
    X(REWARD_AMBIGUOUS, "ambiguous") /* more than one answer, or one taken back */     \
    X(REWARD_UNCLOSED, "unclosed")   /* a box, tag or think block left open */         \
    X(REWARD_TRUNCATED, "truncated") /* hit the length limit before an answer ended */ \
    X(REWARD_LIMIT, "limit")         /* too long, too deep, or undecided */            \
    X(REWARD_UNSUPPORTED_CODE, "unsupported_code") /* beyond the arithmetic subset */  \
    X(REWARD_CODE_FAULT, "code_fault")             /* Python would have raised */

enum reward_reason {
#define X(id, name) id,
    REWARD_REASON_LIST(X)
#undef X
        REWARD_N_REASONS
};
const char *reward_reason_name(enum reward_reason r);

/* The texts are option choices; enums in their order. */
#define REWARD_STYLES "auto|gsm8k|math|boxed|answer"
#define REWARD_PERCENTS "either|hundredth|ignored"
#define REWARD_ORDERS "free|strict"
#define REWARD_ROUNDINGS "exact|gold"
#define REWARD_FRACTIONS "any|reduced"
#define REWARD_CODES "arithmetic|off"
enum reward_style {
    REWARD_STYLE_AUTO,
    REWARD_STYLE_GSM8K,
    REWARD_STYLE_MATH,
    REWARD_STYLE_BOXED,
    REWARD_STYLE_ANSWER,
    REWARD_N_STYLES
};
enum { REWARD_CODE_ARITHMETIC, REWARD_CODE_OFF };
enum { REWARD_MAX_PATTERN = 256, REWARD_MAX_VALUE = 256 };

/* Zero is the default of everything. */
struct reward_options {
    int style;           /* enum reward_style */
    int percent;         /* either: 50% is 50 and 0.5; hundredth: 0.5; ignored: 50 */
    int order;           /* free: lists are multisets; strict: in order */
    int rounding;        /* gold: a value that rounds to a decimal gold is right */
    int fractions;       /* reduced: 2/4 is not 1/2 */
    int code;            /* arithmetic: evaluate answers written as Python (code.h);
                            off: a program is no answer */
    const char *pattern; /* PCRE2 pattern that replaces the style's rules: its group 1,
                            or without one the text after the match up to the end of
                            the line, is the answer. NULL or "": none */
    const char *cut;     /* PCRE2 pattern; the completion ends where it first matches,
                            instead of at a new question. NULL or "": none */
};

struct reward_rules;
struct reward_scratch;
struct reward_gold;

/* ERR_CONFIG when a pattern does not compile, is longer than REWARD_MAX_PATTERN or can
 * match nothing. options NULL: all defaults. The texts are copied. */
int reward_rules_create(struct reward_rules **out,
                        const struct reward_options *options) WARN_UNUSED;
void reward_rules_free(struct reward_rules *r);
/* Name and pattern of the i-th rule of the style in use; false past the last. */
bool reward_rule_at(const struct reward_rules *r, int i, const char **name,
                    const char **pattern);
int reward_scratch_create(struct reward_scratch **out,
                          const struct reward_rules *r) WARN_UNUSED;
void reward_scratch_free(struct reward_scratch *s);

/* A gold: a bare answer, a solution with "####" (what follows the last one) or with
 * \boxed{} (the last one, or several side by side). ERR_INPUT where it has no value
 * ("", "None", "nan", "1/0", "12 or"), and in the gsm8k style where it is no number. */
int reward_gold_create(struct reward_gold **out, struct reward_scratch *s,
                       const char *text, size_t len) WARN_UNUSED;
/* One more answer that counts as well. */
int reward_gold_add(struct reward_gold *g, struct reward_scratch *s, const char *text,
                    size_t len) WARN_UNUSED;
void reward_gold_free(struct reward_gold *g);
/* The first answer; a rational in lowest terms where it is one: "1080", "-3", "11/2" */
const char *reward_gold_text(const struct reward_gold *g);

enum reward_kind {
    REWARD_RESPONSE, /* a completion: the answer is extracted */
    REWARD_ANSWER    /* the answer alone */
};
struct reward_input {
    const char *text; /* any bytes */
    size_t len;
    enum reward_kind kind;
    bool is_truncated; /* the completion hit its length limit */
};
struct reward_result {
    enum reward_reason reason;
    bool is_correct;
    bool has_form;    /* answered by a marker, not found by a rule of last resort */
    const char *rule; /* name of the rule; "none" when no rule applied */
    size_t answer_off, answer_len; /* in the text; len 0: no answer there */
    const char *value; /* the answer, in the text or, of a program, in the scratch until
                          its next use; value_len 0: none */
    size_t value_len;
};
/* code answers apart (reward/code.h), no allocation */
void reward_score(struct reward_result *out, struct reward_scratch *s,
                  const struct reward_input *in, const struct reward_gold *gold);
/* What the scratch has done so far: bytes given to patterns and limb operations. Grows
 * linearly with the texts scored; a measure that does not depend on the machine. */
int64_t reward_work(const struct reward_scratch *s);

#endif
