/*
 * Word problems of controlled difficulty with worked solutions: a start ("Tom has 3
 * apples."), changes ("He buys 4 more."), a question. Every intermediate result is an
 * integer in 0..max_number. A problem is a pure function of (options, split, index);
 * files depend on the options only.
 *
 * Splits cannot overlap: the split of a problem is a hash of its question's text,
 * whatever the seed and the options, so equal questions always lie in the same split.
 */
#ifndef GRPO_SYNTH_H
#define GRPO_SYNTH_H

#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

/* X(enum, name): "marker" ends in a line "#### 7"; "prose" in "So the answer is 7.";
 * "terse" is "7" alone; "careless" is marker or prose with a slip in the last step. */
#define SYNTH_STYLE_LIST(X)                                                            \
    X(SYNTH_MARKER, "marker")                                                          \
    X(SYNTH_PROSE, "prose")                                                            \
    X(SYNTH_TERSE, "terse")                                                            \
    X(SYNTH_CARELESS, "careless")
enum synth_style {
#define X(id, name) id,
    SYNTH_STYLE_LIST(X)
#undef X
        SYNTH_N_STYLES
};
const char *synth_style_name(enum synth_style style);

#define SYNTH_SPLIT_LIST(X)                                                            \
    X(SYNTH_PRETRAIN, "pretrain")                                                      \
    X(SYNTH_TRAIN, "train")                                                            \
    X(SYNTH_HELDOUT, "heldout")
enum synth_split {
#define X(id, name) id,
    SYNTH_SPLIT_LIST(X)
#undef X
        SYNTH_N_SPLITS
};
const char *synth_split_name(enum synth_split split);
/* The split a question belongs to, by the hash of its text. */
enum synth_split synth_split_of(const char *question, size_t len);

struct synth_options {
    uint64_t seed;
    int64_t n[SYNTH_N_SPLITS];    /* lines of each file */
    int64_t min_steps, max_steps; /* 1..4, arithmetic steps of a solution */
    int64_t max_number;           /* 10..1000000 */
    double distractor_share;      /* problems with a sentence that does not matter */
    double fact_share;            /* problems that need a fact the question does not
                                     state ("a week has 7 days", "a zib is 6") */
    double style[SYNTH_N_STYLES]; /* weights of the styles in pretrain.jsonl */
};
/* seed 1; 20000, 4000 and 500 lines; 1..2 steps; numbers to 20; distractors 0.1, facts
 * 0.1; marker 0.35, prose 0.35, terse 0.1, careless 0.2 */
struct synth_options synth_defaults(void);
/* ERR_CONFIG naming the field, its value and what is accepted. */
int synth_check(const struct synth_options *o) WARN_UNUSED;

struct synth_problem { /* zero-initialise; reused from problem to problem */
    struct buf question;
    struct buf answer; /* the worked solution in its style */
    int64_t gold;
    int64_t n_steps;
    enum synth_style style; /* always marker outside pretrain */
};
/* Problem `index` (0 .. 2^32 - 1) of a split. The options must pass synth_check. */
void synth_problem_fill(struct synth_problem *p, const struct synth_options *o,
                        enum synth_split split, int64_t index);
void synth_problem_release(struct synth_problem *p);

/* Writes dir/pretrain.jsonl, dir/train.jsonl and dir/heldout.jsonl (dir is created):
 * lines {"id","question","answer","gold","steps","style","split"}. No question stands
 * twice in train or heldout (repeats are passed over; ERR_CONFIG when the options allow
 * too few different ones); pretraining text may repeat. */
int synth_write(const struct synth_options *o, const char *dir) WARN_UNUSED;

#endif
