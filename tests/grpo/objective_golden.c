/* Values of an output are compared in the order in which they lie in the line. */
#include "tests/grpo/objective_golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "core/io.h"
#include "grpo/objective_run.h"

static double number(const json_t *v)
{
    if (json_is_number(v))
        return json_number_value(v);
    const char *const s = json_string_value(v);
    assert_non_null(s);
    return strcmp(s, "nan") == 0 ? (double)NAN
                                 : (s[0] == '-' ? -1.0 : 1.0) * (double)INFINITY;
}

static double error_of(double got, double want)
{
    if (got == want || (isnan(got) && isnan(want)))
        return 0.0;
    const double e = fabs(got - want) / fmax(1.0, fmax(fabs(got), fabs(want)));
    return isnan(e) ? (double)INFINITY : e;
}

static double flat_error(const json_t *want, const double *got, int64_t n)
{
    double worst = 0.0;
    assert_int_equal(json_array_size(want), n);
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, error_of(got[i], number(json_array_get(want, (size_t)i))));
    return worst;
}

static bool is_tie(const json_t *ties, int64_t i, int64_t t)
{
    for (size_t k = 0; k < json_array_size(ties); k++) {
        const json_t *const tie = json_array_get(ties, k);
        if (json_integer_value(json_array_get(tie, 0)) == i &&
            json_integer_value(json_array_get(tie, 1)) == t)
            return true;
    }
    return false;
}

/* got (tokens), or the mask */
static double ragged_error(const json_t *want, const struct objective_case *c,
                           const double *got, const uint8_t *mask, const json_t *ties)
{
    double worst = 0.0;
    assert_int_equal(json_array_size(want), c->n_seqs);
    for (int64_t i = 0; i < c->n_seqs; i++) {
        const json_t *const row = json_array_get(want, (size_t)i);
        assert_int_equal(json_array_size(row), c->off[i + 1] - c->off[i]);
        for (int64_t t = c->off[i]; t < c->off[i + 1]; t++) {
            const double x = number(json_array_get(row, (size_t)(t - c->off[i])));
            if (!is_tie(ties, i, t - c->off[i]))
                worst = fmax(worst, error_of(got == NULL ? mask[t] : got[t], x));
        }
    }
    return worst;
}

static double compare(const struct objective_case *c, const struct objective_result *r)
{
    const json_t *const out = json_object_get(c->root, "output");
    const json_t *const advantages = json_object_get(out, "advantages");
    const json_t *const weights = json_object_get(out, "weights");
    const json_t *const entropy = json_object_get(out, "grad_entropy");
    double worst = error_of(r->loss, number(json_object_get(out, "loss")));
    worst = fmax(worst, flat_error(json_object_get(out, "micro_losses"), r->micro_loss,
                                   r->n_micro));
    worst = fmax(worst, ragged_error(json_object_get(out, "grad"), c, r->grad, NULL,
                                     json_object_get(c->root, "ties")));
    worst = fmax(worst, r->is_per_token
                            ? ragged_error(advantages, c, r->advantages, NULL, NULL)
                            : flat_error(advantages, r->advantage, c->n_seqs));
    worst = fmax(worst,
                 ragged_error(json_object_get(out, "mask"), c, NULL, r->mask, NULL));
    if (json_is_array(entropy))
        worst = fmax(worst, ragged_error(entropy, c, r->grad_entropy, NULL, NULL));
    else
        assert_false(r->has_entropy_grad);
    if (json_is_array(weights)) {
        assert_non_null(r->weights);
        worst = fmax(worst, ragged_error(weights, c, r->weights, NULL, NULL));
    }
    return worst;
}

static void check_line(const char *line, size_t len, const char *where,
                       struct golden_count *out)
{
    struct objective_case c;
    struct mapping m;
    struct objective_result r = {0};
    assert_int_equal(objective_case_read(&c, line, len, where), 0);
    const char *const set = json_string_value(json_object_get(c.root, "set"));
    const json_t *const limit = json_object_get(c.root, "tolerance");
    const bool is_core = set == NULL || strcmp(set, "core") == 0;
    int status = mapping_make(&m, &c);
    if (status == 0)
        status = objective_run(&r, &c, &m);
    out->n++;
    out->n_core += is_core;
    if (status != 0) {
        out->n_refused++;
        if (is_core || strstr(status_message(), "not supported: ") == NULL)
            fail_msg("%s: %s", where, status_message());
    } else {
        const double e = compare(&c, &r);
        if (!(e <= (limit == NULL ? 1e-9 : json_number_value(limit))))
            fail_msg("%s: off by %.2e", where, e);
        out->worst = fmax(out->worst, limit == NULL ? e : 0.0);
    }
    objective_result_release(&r);
    mapping_release(&m);
    objective_case_release(&c);
}

void golden_check_file(const char *path, struct golden_count *out)
{
    struct io_lines lines;
    const char *line;
    size_t len;
    *out = (struct golden_count){0};
    assert_int_equal(io_lines_open(&lines, path), 0);
    while (io_lines_next(&lines, &line, &len)) {
        char where[256];
        snprintf(where, sizeof(where), "%s:%lld", path, (long long)lines.number);
        check_line(line, len, where, out);
    }
    io_lines_close(&lines);
}
