/*
 * Tick steps are 1, 2 or 5 times a power of ten (P. Heckbert, "Nice numbers for graph
 * labels", Graphics Gems, 1990). The range is not widened to whole ticks: a plot's data
 * fill it.
 */
#include "grpo/report_axis.h"

#include <math.h>

static double nice_step(double range, int n_wanted)
{
    const double raw = range / (double)n_wanted;
    const double ten = pow(10, floor(log10(raw)));
    const double f = raw / ten;
    return (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10) * ten;
}

void axis_init(struct axis *a, double lo, double hi, int n_wanted, bool is_integer)
{
    *a = (struct axis){.lo = is_integer ? floor(lo) : lo,
                       .hi = is_integer ? ceil(hi) : hi};
    /* closer than doubles can tell apart: widen, so that ticks differ */
    const double least = fmax(fabs(lo), fabs(hi)) * 1e-9;
    if (a->hi - a->lo <= least) {
        const double half = lo == 0 && hi == 0 ? 0.5 : fabs(hi) * 0.5;
        a->lo = is_integer ? lo - 1 : lo - half;
        a->hi = is_integer ? hi + 1 : hi + half;
    }
    a->step = nice_step(a->hi - a->lo, n_wanted);
    if (is_integer && a->step < 1)
        a->step = 1;
    const double slack = 1e-9 * (a->hi - a->lo); /* a tick on the edge belongs */
    for (double i = ceil((a->lo - slack) / a->step);
         i * a->step <= a->hi + slack && a->n_ticks < AXIS_MAX_TICKS; i++)
        a->tick[a->n_ticks++] = i * a->step + 0.0; /* + 0.0: no negative zero */
}

void axis_init_log(struct axis *a, double lo, double hi)
{
    *a = (struct axis){.lo = log10(lo), .hi = log10(hi), .is_log = true};
    const double pad = 0.04 * (a->hi - a->lo);
    a->lo -= pad;
    a->hi += pad;
    a->step = fmax(1, nice_step(a->hi - a->lo, 4));
    for (double i = ceil(a->lo); i <= a->hi && a->n_ticks < AXIS_MAX_TICKS;
         i += a->step)
        a->tick[a->n_ticks++] = pow(10, i);
}

void axis_scale(struct axis *a, double factor)
{
    a->lo *= factor;
    a->hi *= factor;
    a->step *= factor;
    for (int64_t i = 0; i < a->n_ticks; i++)
        a->tick[i] *= factor;
}

double axis_px(const struct axis *a, double value)
{
    const double v = a->is_log ? log10(value) : value;
    return a->px_lo + (v - a->lo) / (a->hi - a->lo) * (a->px_hi - a->px_lo);
}
