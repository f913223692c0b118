/*
 * Weights, rejection rules, diagnostics of one sequence at a time. Sums run in token
 * order.
 */
#include "grpo/correction.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static double clamped(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* d of a token, 0 where the behaviour is unknown or the token does not count */
static double log_ratio(const double *d, const uint8_t *mask, int64_t t)
{
    return mask[t] && !isnan(d[t]) ? d[t] : 0.0;
}

static bool is_sequence(enum is_kind is)
{
    return is == IS_SEQUENCE_TRUNCATE || is == IS_SEQUENCE_MASK;
}

static double limited(double w, const struct correction_options *o)
{
    if (o->is == IS_TOKEN_TRUNCATE || o->is == IS_SEQUENCE_TRUNCATE)
        return clamped(w, o->is_low, o->is_high);
    return w >= o->is_low && w <= o->is_high ? w : 0.0;
}

void correction_weights(double *w, const double *d, const uint8_t *mask, int64_t n,
                        const struct correction_options *o)
{
    double sum = 0.0;
    for (int64_t t = 0; t < n; t++)
        sum += log_ratio(d, mask, t);
    for (int64_t t = 0; t < n; t++) {
        const double x = is_sequence(o->is) ? sum : log_ratio(d, mask, t);
        w[t] = limited(exp(clamped(x, -o->clamp, o->clamp)), o);
    }
}

static double statistic(double d, int k)
{
    return k == 1 ? -d : k == 2 ? 0.5 * d * d : exp(d) - 1.0 - d;
}

/* The statistic of a whole sequence */
static double over_sequence(const struct reject_rule *r, const double *d,
                            const uint8_t *mask, int64_t n,
                            const struct correction_options *o)
{
    double sum = 0.0, count = 0.0, max = -INFINITY;
    for (int64_t t = 0; t < n; t++) {
        if (!mask[t])
            continue;
        const double x = clamped(log_ratio(d, mask, t), -o->clamp, o->clamp);
        const double s = statistic(x, r->k);
        sum += s;
        count += 1.0;
        max = s > max ? s : max;
    }
    switch (r->over) {
    case REJECT_SEQ_MEAN:
        return count > 0.0 ? sum / (count + o->count_eps) : 0.0;
    case REJECT_SEQ_MAX:
        return count > 0.0 ? max : 0.0;
    case REJECT_TOKEN:
    case REJECT_SEQ_SUM:
        break;
    }
    return sum;
}

void correction_reject(uint8_t *kept, const double *d, const uint8_t *mask, int64_t n,
                       const struct correction_options *o)
{
    for (int64_t t = 0; t < n; t++)
        kept[t] = mask[t];
    for (int64_t i = 0; i < o->n_rules; i++) {
        const struct reject_rule *const r = &o->rules[i];
        const double all = over_sequence(r, d, mask, n, o);
        for (int64_t t = 0; t < n; t++) {
            const double x = clamped(log_ratio(d, mask, t), -o->clamp, o->clamp);
            const double s = r->over == REJECT_TOKEN ? statistic(x, r->k) : all;
            kept[t] = kept[t] && s >= r->lo && s <= r->hi;
        }
    }
}

void correction_mean_add(struct correction_mean *m, const double *w,
                         const uint8_t *mask, int64_t n,
                         const struct correction_options *o)
{
    double sum = 0.0, count = 0.0;
    for (int64_t t = 0; t < n; t++) {
        sum += mask[t] ? w[t] : 0.0;
        count += mask[t];
    }
    if (!is_sequence(o->is)) {
        m->sum += sum;
        m->n += count;
    } else if (count > 0.0) {
        m->sum += sum / (count + o->count_eps);
        m->n += 1.0;
    }
}

double correction_scale(const struct correction_mean *m,
                        const struct correction_options *o)
{
    const double n = is_sequence(o->is) ? m->n : m->n + o->count_eps;
    const double mean = m->n > 0.0 ? m->sum / n : 0.0;
    /* nothing to scale where all weights are 0 */
    return o->is_normalised && mean > 1e-8 ? 1.0 / mean : 1.0;
}

/* A NaN stays: it must not be forgotten for the next number. */
static double max_of(double a, double b) { return isnan(a) || a >= b ? a : b; }

void mismatch_add(struct mismatch_sums *s, const double *d, const uint8_t *mask,
                  int64_t n)
{
    double sum = 0.0, count = 0.0;
    for (int64_t t = 0; t < n; t++) {
        if (!mask[t])
            continue;
        const double x = log_ratio(d, mask, t);
        sum += x;
        count += 1.0;
        s->k1 -= x;
        s->k3 += exp(x) - 1.0 - x;
        s->ratio += exp(x);
        s->ratio_sq += exp(2.0 * x);
        s->abs_max = max_of(s->abs_max, fabs(x));
    }
    s->n_tokens += count;
    if (count > 0.0) {
        s->n_seqs += 1.0;
        s->seq_ratio_sq += exp(2.0 * sum);
    }
}

void mismatch_merge(struct mismatch_sums *a, const struct mismatch_sums *b)
{
    a->n_tokens += b->n_tokens;
    a->n_seqs += b->n_seqs;
    a->k1 += b->k1;
    a->k3 += b->k3;
    a->ratio += b->ratio;
    a->ratio_sq += b->ratio_sq;
    a->seq_ratio_sq += b->seq_ratio_sq;
    a->abs_max = max_of(a->abs_max, b->abs_max);
}

/* "seq_mean_k3" */
static int parse_criterion(struct reject_rule *r, const char *text)
{
    static const struct {
        const char *prefix;
        enum reject_over over;
    } names[] = {{"token_k", REJECT_TOKEN},
                 {"seq_sum_k", REJECT_SEQ_SUM},
                 {"seq_mean_k", REJECT_SEQ_MEAN},
                 {"seq_max_k", REJECT_SEQ_MAX}};
    for (int64_t i = 0; i < ARRAY_LEN(names); i++) {
        const size_t len = strlen(names[i].prefix);
        if (strncmp(text, names[i].prefix, len) != 0 || strlen(text) != len + 1 ||
            text[len] < '1' || text[len] > '3')
            continue;
        *r = (struct reject_rule){.over = names[i].over, .k = text[len] - '0'};
        return STATUS_OK;
    }
    return ERR(ERR_CONFIG,
               "rejection criterion \"%s\": expected token_, seq_sum_, seq_mean_ or "
               "seq_max_ followed by k1, k2 or k3",
               text);
}

/* "u" or "lo_hi": for k1 ratios, compared in log; for the others the last is the bound
 */
static int parse_limit(struct reject_rule *r, const char *text)
{
    char *end;
    const double first = strtod(text, &end);
    double last = first;
    bool is_ok = end != text;
    const bool is_pair = is_ok && *end == '_';
    if (is_pair) {
        const char *const second = end + 1;
        last = strtod(second, &end);
        is_ok = end != second;
    }
    if (!is_ok || *end != '\0' || (r->k == 1 && !(first > 0.0 && last > 0.0)))
        return ERR(ERR_CONFIG, "rejection limit \"%s\": expected %s", text,
                   r->k == 1 ? "a ratio above 0, or two as lo_hi" : "a number");
    r->lo = r->k != 1 ? (double)-INFINITY : log(is_pair ? first : 1.0 / last);
    r->hi = r->k != 1 ? last : log(last);
    return STATUS_OK;
}

static int parse_lists(struct correction_options *o, char *criteria, char *limits)
{
    const bool is_one = strchr(limits, ',') == NULL;
    char *limit = limits;
    o->n_rules = 0;
    for (char *name = strsep(&criteria, ","); name != NULL;
         name = strsep(&criteria, ",")) {
        if (o->n_rules == REJECT_MAX)
            return ERR(ERR_CONFIG, "more than %d rejection criteria", (int)REJECT_MAX);
        struct reject_rule *const r = &o->rules[o->n_rules];
        char *const text = is_one ? limits : strsep(&limit, ",");
        if (text == NULL)
            return ERR(ERR_CONFIG, "rejection criterion \"%s\" has no limit", name);
        TRY(parse_criterion(r, name));
        TRY(parse_limit(r, text));
        o->n_rules++;
    }
    if (!is_one && limit != NULL)
        return ERR(ERR_CONFIG, "rejection limit \"%s\" has no criterion", limit);
    return STATUS_OK;
}

int correction_parse_rules(struct correction_options *o, const char *criteria,
                           const char *limits)
{
    o->n_rules = 0;
    if (criteria[0] == '\0')
        return STATUS_OK;
    char *const c = mem_strdup(criteria), *const l = mem_strdup(limits);
    const int status = parse_lists(o, c, l);
    mem_free(c);
    mem_free(l);
    return status;
}
