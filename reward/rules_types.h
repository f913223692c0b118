/* The rules and the scratch from the inside: reward/rules.c, commit.c, gold.c, reward.c
 */
#ifndef REWARD_RULES_TYPES_H
#define REWARD_RULES_TYPES_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "reward/compare.h"
#include "reward/plain.h"
#include "reward/rules.h"

struct reward_rules {
    struct reward_options options; /* pattern and cut are the strings below */
    struct policy policy;
    char *pattern, *cut_text;
    struct rule rule[RULES_MAX];
    pcre2_code *code[RULES_MAX]; /* NULL where a rule has no pattern */
    pcre2_code *control, *gap, *clause, *box;
    int n;
    pcre2_general_context *general;
    pcre2_match_context *limits;
};

/* One accepted answer of a gold. */
struct answer {
    char *text; /* the answer alone */
    size_t len;
    struct plain plain;
    bool is_plain;
};
struct reward_gold {
    int64_t n;
    struct answer *at;
    char *shown;
};

struct reward_scratch {
    const struct reward_rules *rules;
    pcre2_match_context *limits; /* the rules' own, with this thread's JIT stack */
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
    struct pool pool;
    struct tokens answer_tokens, gold_tokens;
    struct expr answer, gold;
    char program[REWARD_MAX_VALUE]; /* the value of a program */
    size_t program_len;
    int64_t n_scanned; /* bytes that patterns were given, for reward_work */
};

/* How a piece of text reads as an answer. */
enum reading { READ_PLAIN, READ_TREE, READ_TEXT, READ_HEDGED, READ_LIMIT };
/* The answer lies in s->answer_tokens and s->answer (READ_TREE), or *plain. READ_TEXT:
 * tokens only, no value. */
enum reading answer_read(struct reward_scratch *s, const char *text, size_t len,
                         struct plain *plain);

/* Where a match commits to: reward/commit.c */
struct commitment {
    enum reward_reason reason; /* REWARD_CORRECT: there is an answer */
    enum reading reading;
    struct plain plain;
    size_t off, len;
    bool is_final; /* false: a later rule may still apply */
};
void commit_read(struct reward_scratch *s, const struct rule *rule, int i,
                 const char *text, size_t from, size_t to, const struct rules_match *m,
                 struct commitment *out);
/* The box of a gold's solution, several side by side included; false: there is none */
bool commit_box(struct reward_scratch *s, int i, const char *text, size_t from,
                size_t to, struct commitment *out);

/* The verdict on what a commitment has read from `text`: reward/reward.c */
enum reward_reason answer_decide(struct reward_scratch *s, const char *text,
                                 const struct commitment *c,
                                 const struct reward_gold *gold);
/* A program in a completion, and the verdict on its value: reward/program.c */
struct program {
    size_t from, to; /* offsets in the text */
    enum reward_reason verdict;
};
/* false: text[from, to) holds none */
bool program_score(struct reward_scratch *s, const char *text, size_t from, size_t to,
                   const struct reward_gold *gold, struct program *out);

#endif
