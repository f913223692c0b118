/*
 * One axis of a plot: range, scale and ticks at round numbers.
 */
#ifndef GRPO_REPORT_AXIS_H
#define GRPO_REPORT_AXIS_H

#include <stdbool.h>
#include <stdint.h>

enum { AXIS_MAX_TICKS = 12 };

struct axis {
    double lo, hi; /* in the axis's own scale: log10 of the value when is_log */
    bool is_log;
    double px_lo, px_hi; /* where lo and hi lie */
    double step;         /* between ticks (in the scale) */
    int64_t n_ticks;
    double tick[AXIS_MAX_TICKS]; /* values */
};

/* Range lo .. hi of values (lo <= hi, finite), about n_wanted ticks; is_integer: ticks
 * at whole numbers. A point becomes a range round it. */
void axis_init(struct axis *a, double lo, double hi, int n_wanted, bool is_integer);
void axis_init_log(struct axis *a, double lo, double hi); /* lo > 0 */
/* Every value times `factor`: an axis made in one unit, used in another. */
void axis_scale(struct axis *a, double factor);
double axis_px(const struct axis *a, double value);

#endif
