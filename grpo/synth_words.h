/*
 * The closed vocabulary of grpo/synth.h's problems.
 */
#ifndef GRPO_SYNTH_WORDS_H
#define GRPO_SYNTH_WORDS_H

#include <stdint.h>

struct synth_name {
    const char *name, *pronoun; /* "Tom", "He" */
};
enum { SYNTH_N_NAMES = 12, SYNTH_N_THINGS = 16, SYNTH_N_FACTS = 10 };
extern const struct synth_name synth_names[SYNTH_N_NAMES];

struct synth_thing {
    const char *one, *many; /* "apple", "apples" */
};
extern const struct synth_thing synth_things[SYNTH_N_THINGS];

/* A fact that a question uses and does not state. */
struct synth_fact {
    const char *one, *many; /* the unit: "week", "weeks" */
    const char *each;       /* "day": one thing each day for 2 weeks; NULL: 2 zibs of */
    const char *statement;  /* "A week has 7 days." */
    int64_t size;
};
extern const struct synth_fact synth_facts[SYNTH_N_FACTS];

#endif
