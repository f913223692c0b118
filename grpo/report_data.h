/*
 * What the report reads from one run directory: numeric series by name, expert load
 * over steps, the first and the last step's samples, configuration and summary.
 */
#ifndef GRPO_REPORT_DATA_H
#define GRPO_REPORT_DATA_H

#include <jansson.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

/* Points in file order. A step without the key has no point; a null is y = NaN. */
struct report_series {
    char *name;
    double *x, *y;
    int64_t n, cap;
};

enum { REPORT_LOAD_COLS = 256 };

/* Load of expert e of layer l relative to an even one (1 is even), averaged over
 * `stride` steps a column, so that thousands of steps fit in a picture. */
struct report_load {
    int64_t n_layers, n_experts, n_cols, stride, n_in_last;
    double first_step, last_step;
    float *sum; /* (REPORT_LOAD_COLS, L, E), sums over a column's steps */
};

struct report_run {
    char *name; /* last component of the directory */
    struct report_series *series;
    int64_t n_series, cap_series;
    struct report_load load;
    json_t *samples_first, *samples_last; /* arrays of objects; may be empty */
    json_t *summary;                      /* NULL: none */
    struct buf config;                    /* text of config.ini; len 0: none */
    int64_t n_rows, n_bad_rows;
};

int report_run_load(struct report_run *r, const char *dir) WARN_UNUSED;
void report_run_release(struct report_run *r);

/* NULL if the run has no such series, or not one finite value of it. */
const struct report_series *report_run_find(const struct report_run *r,
                                            const char *name);
/* Steps averaged in column c, at least 1. */
int64_t report_load_weight(const struct report_load *load, int64_t c);

#endif
