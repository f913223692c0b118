/*
 * JSON Lines files that a run appends to: metrics.jsonl (one object per step) and
 * samples.jsonl (one per sample).
 *
 * An object is {"schema":1,"step":N,...} with the keys in the order in which they were
 * put; callers put them in one fixed order. Each line is flushed as it ends, so that a
 * killed run loses at most the line it was in. Nothing is allocated per line once the
 * buffer has grown to the longest one.
 */
#ifndef GRPO_METRICS_H
#define GRPO_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/io.h"
#include "core/mem.h"
#include "core/status.h"

enum { METRICS_SCHEMA = 1 };

struct metrics {
    struct io_file file;
    struct buf line;
};

/* last_step < 0: an empty file. Otherwise the run resumes after `last_step`: the lines
 * up to it are kept, and everything from the first line of a later step (or from one
 * that a crash cut short) is removed by one truncation. A missing file is created. */
int metrics_open(struct metrics *m, const char *path, int64_t last_step) WARN_UNUSED;
int metrics_close(struct metrics *m) WARN_UNUSED; /* fsyncs */
void metrics_abandon(struct metrics *m); /* after an error; accepts a zeroed object */

/* One line: begin, put in order, end. Keys are plain ASCII identifiers. */
void metrics_begin(struct metrics *m, int64_t step);
/* The shortest decimal that reads back to the same double; NaN and Inf are null. */
void metrics_put_real(struct metrics *m, const char *key, double value);
void metrics_put_int(struct metrics *m, const char *key, int64_t value);
void metrics_put_bool(struct metrics *m, const char *key, bool value);
/* Escaped; bytes that are not UTF-8 become U+FFFD. */
void metrics_put_string(struct metrics *m, const char *key, const char *s, size_t len);
/* [[...], ...]: rows of integers, such as expert_load (L, E) */
void metrics_put_table(struct metrics *m, const char *key, const int64_t *v,
                       int64_t n_rows, int64_t n_cols);
int metrics_end(struct metrics *m) WARN_UNUSED;

#endif
