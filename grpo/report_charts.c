/*
 * A chart with one run gives each series a colour; with several runs each run has one
 * colour throughout the page, and a chart's series differ by dashes.
 */
#include "grpo/report_charts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "grpo/report_data.h"
#include "grpo/report_svg.h"

enum { MAX_KEYS = 5 };

struct chart {
    const char *title, *unit;
    enum plot_format format;
    bool is_from_zero, may_be_log, is_smoothed;
    const char *total;   /* stacked; with several runs this one is drawn instead */
    const char *lo, *hi; /* band of the first key */
    struct {
        const char *key, *label;
    } line[MAX_KEYS];
};

static const struct chart charts[] = {
    {.title = "Reward",
     .unit = "mean of a step's completions",
     .is_smoothed = true,
     .line = {{"reward_mean", "reward"}}},
    {.title = "Evaluation accuracy",
     .unit = "share right, band: 95 % interval",
     .format = PLOT_PERCENT,
     .lo = "eval_lo",
     .hi = "eval_hi",
     .line = {{"eval_accuracy", "accuracy"}}},
    {.title = "Evaluation, form and more",
     .unit = "share of problems",
     .format = PLOT_PERCENT,
     .line = {{"eval_form", "in the required form"},
              {"eval_accuracy_given_form", "right, of those in form"},
              {"eval_pass_at_k", "pass@k"},
              {"eval_majority_at_k", "majority@k"}}},
    {.title = "Training completions",
     .unit = "share of a step's completions",
     .format = PLOT_PERCENT,
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"share_correct", "right"},
              {"share_form", "in the required form"},
              {"truncated_share", "cut by the length limit"}}},
    {.title = "Response length",
     .unit = "tokens",
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"response_len_mean", "mean"}, {"response_len_max", "longest"}}},
    {.title = "Loss",
     .unit = "policy objective, or nats per token",
     .is_smoothed = true,
     .line = {{"loss", "training"}, {"val_loss", "validation"}}},
    {.title = "Router losses",
     .unit = "before their coefficients",
     .is_smoothed = true,
     .line = {{"aux_loss", "load balance"}, {"z_loss", "z"}}},
    {.title = "KL divergence",
     .unit = "nats per token",
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"kl_ref", "to the reference"}, {"kl_old", "to the sampling policy"}}},
    {.title = "Entropy",
     .unit = "nats per token",
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"entropy", "entropy"}}},
    {.title = "Gradient norm",
     .unit = "L2, before clipping",
     .is_from_zero = true,
     .may_be_log = true,
     .line = {{"grad_norm", "norm"}}},
    {.title = "Update norm",
     .unit = "L2 length of the weights' way per update",
     .is_from_zero = true,
     .may_be_log = true,
     .line = {{"update_norm", "norm"}}},
    {.title = "Clip fraction",
     .unit = "share of tokens",
     .format = PLOT_PERCENT,
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"clip_low", "low side"}, {"clip_high", "high side"}}},
    {.title = "Effective sample size",
     .unit = "share of tokens; 1: on-policy",
     .format = PLOT_PERCENT,
     .is_smoothed = true,
     .line = {{"off_policy_ess", "against the sampling policy"}}},
    {.title = "Groups without variance",
     .unit = "groups per step",
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"zero_var_groups", "groups"}}},
    {.title = "Expert load imbalance",
     .unit = "coefficient of variation, layer mean",
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"expert_load_cv", "variation"}}},
    {.title = "Learning rate",
     .unit = "per update",
     .is_from_zero = true,
     .line = {{"lr", "learning rate"}}},
    {.title = "Step time",
     .unit = "seconds",
     .is_from_zero = true,
     .total = "time_step_s",
     .line = {{"time_rollout_s", "rollout"},
              {"time_reward_s", "reward"},
              {"time_exchange_s", "exchange"},
              {"time_learn_s", "learn"},
              {"time_sync_s", "sync"}}},
    {.title = "Throughput",
     .unit = "tokens per second",
     .is_from_zero = true,
     .is_smoothed = true,
     .line = {{"tokens_per_s_rollout", "rollout"},
              {"tokens_per_s_learn", "learn"},
              {"tokens_per_s", "training"}}},
    {.title = "Rollout against learner",
     .unit = "largest difference of log-probabilities, nats; tokens routed otherwise",
     .is_from_zero = true,
     .line = {{"logp_diff_max", "log-probability"}, {"route_diff", "routes"}}},
    {.title = "Memory",
     .unit = "peak resident set, GiB",
     .format = PLOT_GIB,
     .is_from_zero = true,
     .line = {{"rss_bytes", "memory"}}},
};

/* The run's series with as many points as `like`, so that they can be combined. */
static const struct report_series *find_like(const struct report_run *run,
                                             const char *key,
                                             const struct report_series *like)
{
    const struct report_series *const s = report_run_find(run, key);
    return s != NULL && s->n == like->n ? s : NULL;
}

static void add_line(struct plot *p, const struct chart *c,
                     const struct report_run *run, int64_t key, const char *label)
{
    const struct report_series *const s = report_run_find(run, c->line[key].key);
    if (s == NULL || p->n_lines == PLOT_MAX_LINES)
        return;
    struct plot_line *const l = &p->line[p->n_lines++];
    *l = (struct plot_line){.x = s->x, .y = s->y, .n = s->n, .label = label};
    if (key > 0 || c->lo == NULL)
        return;
    const struct report_series *const lo = find_like(run, c->lo, s), *const hi =
                                                                         find_like(
                                                                             run, c->hi,
                                                                             s);
    if (lo != NULL && hi != NULL) {
        l->lo = lo->y;
        l->hi = hi->y;
    }
}

static void put_plot(struct buf *out, const struct plot *p)
{
    if (p->n_lines > 0)
        svg_plot(out, p);
}

static struct plot plot_of(const struct chart *c)
{
    return (struct plot){.title = c->title,
                         .unit = c->unit,
                         .format = c->format,
                         .is_from_zero = c->is_from_zero,
                         .may_be_log = c->may_be_log,
                         .is_smoothed = c->is_smoothed};
}

/* Phases on top of each other. They need points at the same steps; a phase that was
 * not measured as often as the first is left out. */
static void stacked_chart(struct buf *out, const struct chart *c,
                          const struct report_run *run)
{
    struct plot p = plot_of(c);
    p.is_stacked = true;
    const struct report_series *base = NULL;
    double *edges = NULL; /* (MAX_KEYS + 1, n) running sums */
    for (int64_t k = 0; k < MAX_KEYS && c->line[k].key != NULL; k++) {
        const struct report_series *const s = base == NULL
                                                  ? report_run_find(run, c->line[k].key)
                                                  : find_like(run, c->line[k].key,
                                                              base);
        if (s == NULL)
            continue;
        if (base == NULL) {
            base = s;
            edges = mem_alloc((size_t)((MAX_KEYS + 1) * s->n) * sizeof(*edges));
        }
        double *const lo = edges + p.n_lines * s->n, *const hi = lo + s->n;
        for (int64_t i = 0; i < s->n; i++)
            hi[i] = lo[i] + s->y[i];
        p.line[p.n_lines++] = (struct plot_line){.x = s->x,
                                                 .y = s->y,
                                                 .lo = lo,
                                                 .hi = hi,
                                                 .n = s->n,
                                                 .label = c->line[k].label,
                                                 .colour = (int)k};
    }
    put_plot(out, &p);
    mem_free(edges);
}

static void single_chart(struct buf *out, const struct chart *c,
                         const struct report_run *run)
{
    struct plot p = plot_of(c);
    for (int64_t k = 0; k < MAX_KEYS && c->line[k].key != NULL; k++) {
        const int64_t before = p.n_lines;
        add_line(&p, c, run, k, c->line[k].label);
        if (p.n_lines > before)
            p.line[before].colour = (int)k;
    }
    put_plot(out, &p);
}

static void shared_chart(struct buf *out, const struct chart *c,
                         const struct report_run *runs, int64_t n_runs)
{
    struct plot p = plot_of(c);
    struct chart own = *c;
    if (c->total != NULL) {
        memset(own.line, 0, sizeof(own.line));
        own.line[0].key = c->total;
        own.line[0].label = "whole step";
    }
    const bool is_alone = own.line[1].key == NULL;
    struct buf labels[PLOT_MAX_LINES] = {0};
    for (int64_t r = 0; r < n_runs; r++)
        for (int64_t k = 0; k < MAX_KEYS && own.line[k].key != NULL; k++) {
            const int64_t i = p.n_lines;
            if (i == PLOT_MAX_LINES)
                break;
            buf_puts(&labels[i], runs[r].name);
            if (!is_alone)
                buf_printf(&labels[i], ", %s", own.line[k].label);
            add_line(&p, &own, &runs[r], k, labels[i].data);
            if (p.n_lines == i) {
                buf_reset(&labels[i]);
                continue;
            }
            p.line[i].colour = (int)(r % PLOT_N_COLOURS);
            p.line[i].dash = (int)((k + r / PLOT_N_COLOURS) % MAX_KEYS);
        }
    put_plot(out, &p);
    for (int64_t i = 0; i < PLOT_MAX_LINES; i++)
        buf_release(&labels[i]);
}

void report_charts(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    for (int64_t i = 0; i < ARRAY_LEN(charts); i++) {
        if (n_runs > 1)
            shared_chart(out, &charts[i], runs, n_runs);
        else if (charts[i].total != NULL)
            stacked_chart(out, &charts[i], runs);
        else
            single_chart(out, &charts[i], runs);
    }
}

/* What heads the page. is_point: the first and last value as they are (evaluations);
 * else means over the first and the last tenth of the steps, at most ten of each. */
struct headline {
    const char *key, *label;
    enum plot_format format;
    bool is_point;
    const char *lo, *hi;
    const char *unless; /* left out where the run has this series */
};

static const struct headline headlines[] = {
    {"eval_accuracy", "Evaluation accuracy", PLOT_PERCENT, true, "eval_lo", "eval_hi"},
    {"eval_form", "In the required form", PLOT_PERCENT, true, NULL, NULL},
    {"eval_accuracy_given_form", "Right, of those in form", PLOT_PERCENT, true, NULL,
     NULL},
    {"loss", "Training loss", PLOT_PLAIN, false, NULL, NULL, "reward_mean"},
    {"val_loss", "Validation loss", PLOT_PLAIN, true, NULL, NULL},
    {"reward_mean", "Training reward", PLOT_PLAIN, false, NULL, NULL},
    {"response_len_mean", "Response length, tokens", PLOT_PLAIN, false, NULL, NULL},
    {"entropy", "Entropy, nats per token", PLOT_PLAIN, false, NULL, NULL},
    {"expert_load_cv", "Expert load variation", PLOT_PLAIN, false, NULL, NULL},
};

/* Mean of up to n_mean finite values from one end. */
static double end_mean(const struct report_series *s, int64_t n_mean, bool is_last)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < s->n && n < n_mean; i++) {
        const double y = s->y[is_last ? s->n - 1 - i : i];
        if (isfinite(y)) {
            sum += y;
            n++;
        }
    }
    return sum / (double)n;
}

/* The run's series for a headline; NULL: none to show. */
static const struct report_series *headline_series(const struct headline *h,
                                                   const struct report_run *run)
{
    if (h->unless != NULL && report_run_find(run, h->unless) != NULL)
        return NULL;
    return report_run_find(run, h->key);
}

static int64_t n_averaged(const struct headline *h, const struct report_series *s)
{
    const int64_t tenth = s->n / 10;
    return h->is_point || tenth < 1 ? 1 : tenth > 10 ? 10 : tenth;
}

/* " (95 %: 10.1 % to 12.3 %)" */
static void put_interval(struct buf *out, const struct headline *h,
                         const struct report_run *run, const struct report_series *s)
{
    const struct report_series *const lo = h->lo == NULL ? NULL
                                                         : find_like(run, h->lo, s),
                                      *const hi = h->hi == NULL
                                                      ? NULL
                                                      : find_like(run, h->hi, s);
    if (lo == NULL || hi == NULL)
        return;
    char text[4][48];
    plot_value(text[0], sizeof(text[0]), end_mean(lo, 1, false), h->format);
    plot_value(text[1], sizeof(text[1]), end_mean(hi, 1, false), h->format);
    plot_value(text[2], sizeof(text[2]), end_mean(lo, 1, true), h->format);
    plot_value(text[3], sizeof(text[3]), end_mean(hi, 1, true), h->format);
    buf_printf(out, "95 %%: %s&ndash;%s", text[0], text[1]);
    if (s->n > 1)
        buf_printf(out, " &rarr; %s&ndash;%s", text[2], text[3]);
}

static void put_pair(struct buf *out, const struct headline *h,
                     const struct report_series *s)
{
    const int64_t n = n_averaged(h, s);
    char before[48], after[48];
    plot_value(before, sizeof(before), end_mean(s, n, false), h->format);
    plot_value(after, sizeof(after), end_mean(s, n, true), h->format);
    if (s->n > 1)
        buf_printf(out, "<span>%s</span> <i>&rarr;</i> <b>%s</b>", before, after);
    else
        buf_printf(out, "<b>%s</b>", after);
}

static void put_tile(struct buf *out, const struct headline *h,
                     const struct report_run *run, const struct report_series *s)
{
    buf_printf(out, "<div class=\"tile\"><h3>%s</h3><p>", h->label);
    put_pair(out, h, s);
    buf_puts(out, "</p><small>");
    const size_t len = out->len;
    put_interval(out, h, run, s);
    const int64_t n = n_averaged(h, s);
    if (out->len == len && n > 1)
        buf_printf(out, "means of the first and last %" PRId64 " steps", n);
    else if (out->len == len)
        buf_printf(out, s->n > 1 ? "step %.10g &rarr; %.10g" : "step %.10g", s->x[0],
                   s->x[s->n - 1]);
    buf_puts(out, "</small></div>\n");
}

static void put_table(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    bool is_used[ARRAY_LEN(headlines)] = {false};
    for (int64_t r = 0; r < n_runs; r++)
        for (int64_t i = 0; i < ARRAY_LEN(headlines); i++)
            is_used[i] |= headline_series(&headlines[i], &runs[r]) != NULL;
    buf_puts(out, "<div class=\"scroll\"><table><thead><tr><th>run</th>");
    for (int64_t i = 0; i < ARRAY_LEN(headlines); i++)
        if (is_used[i])
            buf_printf(out, "<th>%s</th>", headlines[i].label);
    buf_puts(out, "</tr></thead><tbody>\n");
    for (int64_t r = 0; r < n_runs; r++) {
        buf_puts(out, "<tr><th>");
        html_puts(out, runs[r].name);
        buf_puts(out, "</th>");
        for (int64_t i = 0; i < ARRAY_LEN(headlines); i++) {
            const struct report_series *const s = report_run_find(&runs[r],
                                                                  headlines[i].key);
            if (!is_used[i])
                continue;
            buf_puts(out, "<td class=\"pair\">");
            if (s != NULL)
                put_pair(out, &headlines[i], s);
            buf_puts(out, "</td>");
        }
        buf_puts(out, "</tr>\n");
    }
    buf_puts(out, "</tbody></table></div>\n");
}

void report_headline(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    if (n_runs > 1) {
        put_table(out, runs, n_runs);
        return;
    }
    buf_puts(out, "<div class=\"tiles\">\n");
    for (int64_t i = 0; i < ARRAY_LEN(headlines); i++) {
        const struct report_series *const s = headline_series(&headlines[i], runs);
        if (s != NULL)
            put_tile(out, &headlines[i], runs, s);
    }
    buf_puts(out, "</div>\n");
}
