/*
 * The page round the plots: head with style and script, samples, summary,
 * configuration.
 */
#ifndef GRPO_REPORT_PAGE_H
#define GRPO_REPORT_PAGE_H

#include <stdint.h>

#include "core/mem.h"

struct report_run;

void page_begin(struct buf *out, const struct report_run *runs, int64_t n_runs);
void page_samples(struct buf *out, const struct report_run *run);
void page_summary(struct buf *out, const struct report_run *run);
/* One column per run; rows in which runs differ come first and are marked. */
void page_config(struct buf *out, const struct report_run *runs, int64_t n_runs);
void page_end(struct buf *out);

#endif
