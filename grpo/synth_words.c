/*
 * Names, things and facts. The last six facts are invented, so that only pretraining on
 * these problems can teach them.
 */
#include "grpo/synth_words.h"

#include <stddef.h>

const struct synth_name synth_names[SYNTH_N_NAMES] = {
    {"Tom", "He"},  {"Ben", "He"},  {"Sam", "He"},  {"Max", "He"},
    {"Leo", "He"},  {"Dan", "He"},  {"Mia", "She"}, {"Ann", "She"},
    {"Eva", "She"}, {"Zoe", "She"}, {"Amy", "She"}, {"Kim", "She"},
};

const struct synth_thing synth_things[SYNTH_N_THINGS] = {
    {"apple", "apples"}, {"pear", "pears"}, {"egg", "eggs"},     {"pen", "pens"},
    {"book", "books"},   {"card", "cards"}, {"coin", "coins"},   {"toy", "toys"},
    {"cup", "cups"},     {"ball", "balls"}, {"nut", "nuts"},     {"stamp", "stamps"},
    {"shell", "shells"}, {"bead", "beads"}, {"stone", "stones"}, {"cake", "cakes"},
};

const struct synth_fact synth_facts[SYNTH_N_FACTS] = {
    {"week", "weeks", "day", "A week has 7 days.", 7},
    {"year", "years", "month", "A year has 12 months.", 12},
    {"pair", "pairs", NULL, "A pair is 2.", 2},
    {"dozen", "dozens", NULL, "A dozen is 12.", 12},
    {"zib", "zibs", NULL, "A zib is 3.", 3},
    {"tonk", "tonks", NULL, "A tonk is 4.", 4},
    {"lum", "lums", NULL, "A lum is 5.", 5},
    {"mip", "mips", NULL, "A mip is 6.", 6},
    {"dax", "daxes", NULL, "A dax is 8.", 8},
    {"wug", "wugs", NULL, "A wug is 9.", 9},
};
