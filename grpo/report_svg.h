/*
 * Line plots and heat maps as inline SVG. Colours are CSS classes (c0 .. c5), so that
 * light and dark are one picture.
 */
#ifndef GRPO_REPORT_SVG_H
#define GRPO_REPORT_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"

enum { PLOT_MAX_LINES = 24, PLOT_N_COLOURS = 6, PLOT_MAX_POINTS = 400 };

enum plot_format { PLOT_PLAIN, PLOT_PERCENT, PLOT_GIB };

struct plot_line {
    const double *x, *y;   /* (n); y NaN: a gap */
    const double *lo, *hi; /* (n) a band round the line; NULL: none */
    int64_t n;
    const char *label;
    int colour, dash; /* 0 is a full line */
};

struct plot {
    const char *title, *unit;
    enum plot_format format;
    bool is_from_zero; /* the axis shows zero */
    bool may_be_log;   /* a wide positive range gets a logarithmic axis */
    bool is_smoothed;  /* long lines: the data faint, a moving mean over them */
    bool is_stacked;   /* areas; lines of equal n and x */
    int64_t n_lines;
    struct plot_line line[PLOT_MAX_LINES];
};

/* A value as the report prints it: "12.3 %", "4.1k", "2.0e-06" */
void plot_value(char *to, size_t size, double v, enum plot_format format);
void svg_plot(struct buf *out, const struct plot *p);

/* Text with what HTML reserves escaped; controls and broken UTF-8 become U+FFFD. */
void html_put(struct buf *out, const char *s, size_t len);
void html_puts(struct buf *out, const char *s);

#endif
