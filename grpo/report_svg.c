/*
 * A plot is drawn in a fixed box and scaled by the page. Lines longer than
 * PLOT_MAX_POINTS are thinned to the least and greatest value of each bucket; each path
 * carries what it shows in data-p ("x,step,text;..."), which the page's read-out uses.
 */
#include "grpo/report_svg.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "core/status.h"
#include "grpo/report_axis.h"

enum {
    WIDTH = 440,
    HEIGHT = 236,
    LEFT = 52,
    RIGHT = 14,
    TOP = 12,
    BOTTOM = 40,
    DOTS_BELOW = 40,   /* lines of fewer points show them */
    SMOOTH_FROM = 60,  /* points from which a moving mean is drawn */
    SMOOTH_SHARE = 30, /* its window is n / SMOOTH_SHARE to either side, halved */
};

static const double GIB = 1073741824.0;

struct drawing {
    struct buf *out;
    const struct plot *plot;
    struct axis x, y;
};

void html_put(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                    (utf8proc_ssize_t)(len - i), &c);
        const bool is_control = n == 1 && (c < 0x20 || c == 0x7F) && c != '\n' &&
                                c != '\t';
        if (n < 1 || is_control)
            buf_puts(out, "\xEF\xBF\xBD");
        else if (c == '<')
            buf_puts(out, "&lt;");
        else if (c == '>')
            buf_puts(out, "&gt;");
        else if (c == '&')
            buf_puts(out, "&amp;");
        else if (c == '"')
            buf_puts(out, "&quot;");
        else if (c == '\'')
            buf_puts(out, "&#39;");
        else
            buf_append(out, s + i, (size_t)n);
        i += n < 1 ? 1 : (size_t)n;
    }
}

void html_puts(struct buf *out, const char *s) { html_put(out, s, strlen(s)); }

void plot_value(char *to, size_t size, double v, enum plot_format format)
{
    const double a = fabs(v);
    if (!isfinite(v))
        snprintf(to, size, "%s", isnan(v) ? "not a number" : v > 0 ? "inf" : "-inf");
    else if (format == PLOT_PERCENT)
        snprintf(to, size, a > 0 && a < 0.001 ? "%.2g %%" : "%.1f %%", 100 * v);
    else if (format == PLOT_GIB)
        snprintf(to, size, "%.3g GiB", v / GIB);
    else if (a >= 1e12 || (a > 0 && a < 1e-3))
        snprintf(to, size, "%.2e", v);
    else if (a >= 1e9)
        snprintf(to, size, "%.3gG", v / 1e9);
    else if (a >= 1e6)
        snprintf(to, size, "%.3gM", v / 1e6);
    else if (a >= 1e4)
        snprintf(to, size, "%.3gk", v / 1e3);
    else
        snprintf(to, size, "%.4g", v);
}

/* As short as tells neighbouring ticks apart. */
static void tick_text(char *to, size_t size, double v, const struct axis *a,
                      enum plot_format format)
{
    const double unit = format == PLOT_PERCENT ? 100 : format == PLOT_GIB ? 1 / GIB : 1;
    const double edge = fmax(fabs(a->tick[0]), fabs(a->tick[a->n_ticks - 1])) * unit;
    double scale = unit;
    const char *suffix = format == PLOT_PERCENT ? "%" : "";
    if (v == 0) {
        snprintf(to, size, "0");
        return;
    }
    if (a->is_log) {
        snprintf(to, size, v >= 1e-3 && v < 1e4 ? "%.4g" : "%.0e", v * unit);
        return;
    }
    const bool is_plain = format == PLOT_PLAIN;
    const bool is_mega = is_plain && edge >= 1e6, is_kilo = is_plain && edge >= 1e4;
    if (edge >= 1e10 || (is_plain && edge < 1e-3 && edge > 0)) {
        snprintf(to, size, "%.2g", v * unit);
        return;
    }
    if (is_mega || is_kilo) {
        scale /= is_mega ? 1e6 : 1e3;
        suffix = is_mega ? "M" : "k";
    }
    const double step = a->step * scale;
    const int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    snprintf(to, size, "%.*f%s", digits, v * scale, suffix);
}

static void range_add(double *lo, double *hi, const double *v, int64_t n)
{
    for (int64_t i = 0; v != NULL && i < n; i++) {
        if (!isfinite(v[i]))
            continue;
        *lo = fmin(*lo, v[i]);
        *hi = fmax(*hi, v[i]);
    }
}

static void y_axis(struct drawing *d)
{
    const struct plot *const p = d->plot;
    /* round numbers of what is printed, not of bytes */
    const double unit = p->format == PLOT_GIB ? GIB : 1;
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < p->n_lines; i++) {
        range_add(&lo, &hi, p->line[i].y, p->line[i].n);
        range_add(&lo, &hi, p->line[i].lo, p->line[i].n);
        range_add(&lo, &hi, p->line[i].hi, p->line[i].n);
    }
    const bool is_log = p->may_be_log && lo > 0 && hi / lo > 1000;
    if (is_log) {
        axis_init_log(&d->y, lo, hi);
    } else {
        lo = p->is_from_zero ? fmin(lo, 0) : lo;
        hi = p->is_from_zero && hi == 0 ? (p->format == PLOT_PERCENT ? 0.1 : 1) : hi;
        const bool is_capped = p->format == PLOT_PERCENT && lo >= 0 && hi <= 1;
        const double pad = 0.06 * (hi - lo);
        hi = is_capped ? fmin(1, hi + pad) : hi + pad;
        lo = p->is_from_zero && lo == 0 ? 0 : lo - pad;
        axis_init(&d->y, lo / unit, hi / unit, 4, false);
        axis_scale(&d->y, unit);
    }
    d->y.px_lo = HEIGHT - BOTTOM;
    d->y.px_hi = TOP;
}

static void x_axis(struct drawing *d)
{
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < d->plot->n_lines; i++)
        range_add(&lo, &hi, d->plot->line[i].x, d->plot->line[i].n);
    axis_init(&d->x, lo, hi, 5, true);
    d->x.px_lo = LEFT;
    d->x.px_hi = WIDTH - RIGHT;
}

static void put_axes(const struct drawing *d)
{
    struct buf *const out = d->out;
    char text[48];
    for (int64_t i = 0; i < d->y.n_ticks; i++) {
        const double y = axis_px(&d->y, d->y.tick[i]);
        tick_text(text, sizeof(text), d->y.tick[i], &d->y, d->plot->format);
        buf_printf(out,
                   "<path class=\"grid\" d=\"M%d %.1fH%d\"/>"
                   "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
                   LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, text);
    }
    for (int64_t i = 0; i < d->x.n_ticks; i++) {
        if (d->x.tick[i] < 0)
            continue; /* a lone step 0 widens the axis, but there is no step -1 */
        const double x = axis_px(&d->x, d->x.tick[i]);
        tick_text(text, sizeof(text), d->x.tick[i], &d->x, PLOT_PLAIN);
        buf_printf(out,
                   "<path class=\"axis\" d=\"M%.1f %dv4\"/>"
                   "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                   x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 17, text);
    }
    buf_printf(out,
               "<path class=\"axis\" d=\"M%d %dH%d\"/>"
               "<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">step"
               "</text>",
               LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2,
               HEIGHT - 6);
}

/* Indices of the points to draw, ascending; returns how many (<= PLOT_MAX_POINTS). */
static int64_t thin(int64_t *index, const double *y, int64_t n, bool is_even)
{
    if (n <= PLOT_MAX_POINTS) {
        for (int64_t i = 0; i < n; i++)
            index[i] = i;
        return n;
    }
    const int64_t n_buckets = PLOT_MAX_POINTS / 2;
    int64_t n_out = 0;
    for (int64_t b = 0; b < n_buckets; b++) {
        const int64_t from = b * n / n_buckets, to = (b + 1) * n / n_buckets;
        int64_t least = from, most = from;
        for (int64_t i = from; i < to; i++) {
            least = isnan(y[least]) || y[i] < y[least] ? i : least;
            most = isnan(y[most]) || y[i] > y[most] ? i : most;
        }
        if (is_even)
            least = most = b == n_buckets - 1 ? n - 1 : from;
        index[n_out++] = least < most ? least : most;
        if (least != most)
            index[n_out++] = least < most ? most : least;
    }
    return n_out;
}

/* M/L commands; a NaN lifts the pen. */
static void put_points(const struct drawing *d, const struct plot_line *l,
                       const double *y, const int64_t *index, int64_t n)
{
    bool is_down = false;
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = index[k];
        if (!isfinite(y[i])) {
            is_down = false;
            continue;
        }
        const bool is_alone = !is_down && (k + 1 == n || !isfinite(y[index[k + 1]]));
        buf_printf(d->out, "%s%.1f %.1f%s", is_down ? "L" : "M",
                   axis_px(&d->x, l->x[i]), axis_px(&d->y, y[i]), is_alone ? "h0" : "");
        is_down = true;
    }
}

static void put_readout(const struct drawing *d, const struct plot_line *l,
                        const int64_t *index, int64_t n)
{
    char text[48];
    buf_puts(d->out, " data-l=\"");
    html_puts(d->out, l->label);
    buf_puts(d->out, "\" data-p=\"");
    for (int64_t k = 0; k < n; k++) {
        if (!isfinite(l->y[index[k]]))
            continue;
        plot_value(text, sizeof(text), l->y[index[k]], d->plot->format);
        buf_printf(d->out, "%.0f,%.10g,%s;", axis_px(&d->x, l->x[index[k]]),
                   l->x[index[k]], text);
    }
    buf_puts(d->out, "\"");
}

/* A closed shape between lo and hi over each run of finite points. */
static void put_area(const struct drawing *d, const struct plot_line *l,
                     const int64_t *index, int64_t n)
{
    buf_printf(d->out, "<path class=\"band b%d\" d=\"", l->colour);
    for (int64_t k = 0; k < n;) {
        int64_t end = k;
        while (end < n && isfinite(l->lo[index[end]]) && isfinite(l->hi[index[end]]))
            end++;
        for (int64_t j = k; j < end; j++)
            buf_printf(d->out, "%s%.1f %.1f", j == k ? "M" : "L",
                       axis_px(&d->x, l->x[index[j]]), axis_px(&d->y, l->hi[index[j]]));
        for (int64_t j = end - 1; j >= k; j--)
            buf_printf(d->out, "L%.1f %.1f", axis_px(&d->x, l->x[index[j]]),
                       axis_px(&d->y, l->lo[index[j]]));
        if (end > k)
            buf_puts(d->out, "Z");
        k = end > k ? end : k + 1;
    }
    buf_puts(d->out, "\"/>");
}

static void put_path(const struct drawing *d, const struct plot_line *l,
                     const double *y, const int64_t *index, int64_t n)
{
    buf_printf(d->out, "<path class=\"line c%d d%d\" d=\"", l->colour, l->dash);
    put_points(d, l, y, index, n);
    buf_puts(d->out, "\"/>");
}

static void put_dots(const struct drawing *d, const struct plot_line *l)
{
    for (int64_t i = 0; i < l->n; i++)
        if (isfinite(l->y[i]))
            buf_printf(d->out,
                       "<circle class=\"dot f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>",
                       l->colour, axis_px(&d->x, l->x[i]), axis_px(&d->y, l->y[i]));
}

/* Mean over the finite values of a window centred on each point; a gap stays one. */
static double *moving_mean(const struct plot_line *l)
{
    const int64_t half = l->n / SMOOTH_SHARE / 2 + 1;
    double *const mean = mem_alloc((size_t)l->n * sizeof(*mean));
    for (int64_t i = 0; i < l->n; i++) {
        const int64_t from = i < half ? 0 : i - half;
        const int64_t to = i + half >= l->n ? l->n - 1 : i + half;
        double sum = 0;
        int64_t count = 0;
        for (int64_t j = from; j <= to; j++) {
            sum += isfinite(l->y[j]) ? l->y[j] : 0;
            count += isfinite(l->y[j]);
        }
        mean[i] = isfinite(l->y[i]) ? sum / (double)count : (double)NAN;
    }
    return mean;
}

static void put_line(const struct drawing *d, const struct plot_line *l)
{
    int64_t index[PLOT_MAX_POINTS];
    const bool has_band = l->lo != NULL;
    const int64_t n = thin(index, l->y, l->n, has_band || d->plot->is_stacked);
    const bool is_smooth = d->plot->is_smoothed && l->n >= SMOOTH_FROM && !has_band;
    buf_puts(d->out, "<g");
    put_readout(d, l, index, n);
    buf_puts(d->out, is_smooth ? " class=\"raw\">" : ">");
    if (has_band)
        put_area(d, l, index, n);
    if (!d->plot->is_stacked)
        put_path(d, l, l->y, index, n);
    if (!d->plot->is_stacked && l->n < DOTS_BELOW)
        put_dots(d, l);
    buf_puts(d->out, "</g>\n");
    if (!is_smooth)
        return;
    double *const mean = moving_mean(l);
    const int64_t n_mean = thin(index, mean, l->n, true);
    put_path(d, l, mean, index, n_mean);
    mem_free(mean);
}

/* "Reward: 0.12 at step 1, 0.55 at step 80; ..." for readers who do not see it. */
static void put_description(const struct drawing *d)
{
    buf_puts(d->out, "<desc>");
    for (int64_t i = 0; i < d->plot->n_lines; i++) {
        const struct plot_line *const l = &d->plot->line[i];
        int64_t first = 0, last = l->n - 1;
        while (first < last && !isfinite(l->y[first]))
            first++;
        while (last > first && !isfinite(l->y[last]))
            last--;
        char a[48], b[48];
        plot_value(a, sizeof(a), l->y[first], d->plot->format);
        plot_value(b, sizeof(b), l->y[last], d->plot->format);
        html_puts(d->out, l->label);
        buf_printf(d->out, ": %s at step %.10g, %s at step %.10g. ", a, l->x[first], b,
                   l->x[last]);
    }
    buf_puts(d->out, "</desc>");
}

static void put_legend(struct buf *out, const struct plot *p)
{
    buf_puts(out, "<ul class=\"legend\">");
    for (int64_t i = 0; i < p->n_lines; i++) {
        const struct plot_line *const l = &p->line[i];
        buf_printf(out, "<li><svg width=\"22\" height=\"10\" aria-hidden=\"true\">");
        if (p->is_stacked)
            buf_printf(out, "<rect class=\"band b%d\" width=\"22\" height=\"10\"/>",
                       l->colour);
        else
            buf_printf(out, "<path class=\"line c%d d%d\" d=\"M0 5h22\"/>", l->colour,
                       l->dash);
        buf_puts(out, "</svg> ");
        html_puts(out, l->label);
        buf_puts(out, "</li>");
    }
    buf_puts(out, "</ul>\n");
}

void svg_plot(struct buf *out, const struct plot *p)
{
    struct drawing d = {.out = out, .plot = p};
    CHECK(p->n_lines >= 1 && p->n_lines <= PLOT_MAX_LINES, "plot of %lld lines",
          (long long)p->n_lines);
    x_axis(&d);
    y_axis(&d);
    buf_puts(out, "<figure><figcaption><b>");
    html_puts(out, p->title);
    buf_puts(out, "</b> <span>");
    html_puts(out, p->unit);
    if (d.y.is_log)
        buf_puts(out, ", logarithmic");
    buf_puts(out, "</span></figcaption>\n");
    if (p->n_lines > 1)
        put_legend(out, p);
    buf_printf(out, "<svg class=\"plot%s\" viewBox=\"0 0 %d %d\" role=\"img\"><title>",
               p->is_stacked ? " stack" : "", WIDTH, HEIGHT);
    html_puts(out, p->title);
    buf_puts(out, "</title>");
    put_description(&d);
    put_axes(&d);
    for (int64_t i = 0; i < p->n_lines; i++)
        put_line(&d, &p->line[i]);
    buf_printf(out,
               "<path class=\"cursor\" d=\"\" data-top=\"%d\" data-bottom=\"%d\"/>",
               TOP, HEIGHT - BOTTOM);
    buf_puts(out, "</svg><p class=\"read\" aria-hidden=\"true\"></p></figure>\n");
}
