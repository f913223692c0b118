/*
 * Which series are drawn together, how they are named, and which numbers head the page:
 * the one table of what the report knows about metrics.
 */
#ifndef GRPO_REPORT_CHARTS_H
#define GRPO_REPORT_CHARTS_H

#include <stdint.h>

#include "core/mem.h"

struct report_run;

/* Every chart for which some run has data, as <figure>s. */
void report_charts(struct buf *out, const struct report_run *runs, int64_t n_runs);
/* One run: tiles "before -> after". Several: a table of them. */
void report_headline(struct buf *out, const struct report_run *runs, int64_t n_runs);

#endif
