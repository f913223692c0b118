/*
 * Heat maps of expert load: one picture per layer, experts down, steps across, as PNG
 * data inside the page (a rectangle per cell would take megabytes).
 */
#ifndef GRPO_REPORT_HEAT_H
#define GRPO_REPORT_HEAT_H

#include "core/mem.h"

struct report_load;

/* Colours: load relative to an even one, on a logarithmic scale from 1/4 (blue) over 1
 * (nothing) to 4 (orange). Transparent where even, hence right on light and on dark. */
void report_heat(struct buf *out, const struct report_load *load);

#endif
