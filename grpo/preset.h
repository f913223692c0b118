/*
 * Presets: named sets of option values that make a run an engine's or a paper's recipe.
 * Only data; grpo.preset names one, keys given explicitly win.
 */
#ifndef GRPO_PRESET_H
#define GRPO_PRESET_H

#include <stdint.h>
#include <stdio.h>

#include "core/options.h"

#define PRESET_CHOICES "none|verl|trl|paper|dapo|dr_grpo|gspo|cispo"
enum { PRESET_NONE };

/* Sets the options of preset `index` of PRESET_CHOICES in `values`. */
int preset_apply(int index, const struct options *o, void *values) WARN_UNUSED;
/* Every preset with its values, for --help. */
void preset_help(FILE *out);

#endif
