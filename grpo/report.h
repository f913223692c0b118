/*
 * One self-contained HTML page about one or several runs, from what their directories
 * hold: metrics.jsonl (required), and samples.jsonl, summary.json, config.ini where
 * present.
 *
 * Inline SVG plots of every known series that occurs, headline numbers before and
 * after, samples side by side, the effective configuration. Nothing is loaded from
 * elsewhere; light and dark follow the reader's setting; without JavaScript only the
 * read-out under the pointer is missing. A series that no run has is left out, null
 * values are gaps, and long series are thinned to what a screen can show (least and
 * greatest value of each bucket kept).
 *
 * samples.jsonl: objects with "step", "problem" (or "prompt"), "completion" (or
 * "response"), "gold", "answer", "reward", "reason"; the first and the last step's
 * samples of the same problem are shown side by side. summary.json: a flat object whose
 * scalars are listed as they are.
 */
#ifndef GRPO_REPORT_H
#define GRPO_REPORT_H

#include <stdint.h>

#include "core/status.h"

/* Writes atomically. A malformed line of metrics.jsonl is skipped and counted on the
 * page, since a crash may leave one; a run without a readable line is ERR_INPUT. */
int report_write(const char *out_path, const char *const *run_dirs,
                 int64_t n_runs) WARN_UNUSED;

#endif
