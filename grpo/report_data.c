/*
 * Reading is lenient where a crash may have cut a file, and strict about nothing else:
 * a report on half a run is worth more than none.
 */
#include "grpo/report_data.h"

#include <math.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"

enum { MAX_SERIES = 512, MAX_SAMPLES = 64, MAX_CONFIG_BYTES = 1 << 20 };

static struct report_series *series_named(struct report_run *r, const char *name)
{
    for (int64_t i = 0; i < r->n_series; i++)
        if (strcmp(r->series[i].name, name) == 0)
            return &r->series[i];
    if (r->n_series == MAX_SERIES) /* not a metrics file of ours */
        return NULL;
    if (r->n_series == r->cap_series) {
        const int64_t cap = r->cap_series == 0 ? 64 : 2 * r->cap_series;
        r->series = mem_realloc(r->series, (size_t)r->cap_series * sizeof(*r->series),
                                (size_t)cap * sizeof(*r->series));
        r->cap_series = cap;
    }
    struct report_series *const s = &r->series[r->n_series++];
    *s = (struct report_series){.name = mem_strdup(name)};
    return s;
}

static void series_add(struct report_series *s, double x, double y)
{
    if (s->n == s->cap) {
        const int64_t cap = s->cap == 0 ? 64 : 2 * s->cap;
        const size_t was = (size_t)s->cap * sizeof(double),
                     now = (size_t)cap * sizeof(double);
        s->x = mem_realloc(s->x, was, now);
        s->y = mem_realloc(s->y, was, now);
        s->cap = cap;
    }
    s->x[s->n] = x;
    s->y[s->n++] = y;
}

/* L and E of an array of equally long arrays of numbers; false if it is none. */
static bool load_shape(const json_t *table, int64_t *n_layers, int64_t *n_experts)
{
    const int64_t L = (int64_t)json_array_size(table);
    const int64_t E = (int64_t)json_array_size(json_array_get(table, 0));
    if (L < 1 || E < 1 || L > 1024 || E > 4096)
        return false;
    for (int64_t l = 0; l < L; l++) {
        const json_t *const row = json_array_get(table, (size_t)l);
        if ((int64_t)json_array_size(row) != E)
            return false;
        for (int64_t e = 0; e < E; e++)
            if (!json_is_number(json_array_get(row, (size_t)e)))
                return false;
    }
    *n_layers = L;
    *n_experts = E;
    return true;
}

/* Columns 2c and 2c + 1 become column c. */
static void load_halve(struct report_load *load)
{
    const int64_t size = load->n_layers * load->n_experts;
    for (int64_t c = 0; c < REPORT_LOAD_COLS / 2; c++)
        for (int64_t i = 0; i < size; i++)
            load->sum[c * size + i] = load->sum[2 * c * size + i] +
                                      load->sum[(2 * c + 1) * size + i];
    memset(load->sum + REPORT_LOAD_COLS / 2 * size, 0,
           (size_t)(REPORT_LOAD_COLS / 2 * size) * sizeof(float));
    load->n_cols = REPORT_LOAD_COLS / 2;
    load->stride *= 2;
    load->n_in_last = load->stride;
}

static void load_add(struct report_load *load, double step, const json_t *table)
{
    int64_t L, E;
    if (!load_shape(table, &L, &E))
        return;
    if (load->sum == NULL) {
        *load = (struct report_load){
            .n_layers = L, .n_experts = E, .stride = 1, .first_step = step};
        load->sum = mem_alloc((size_t)(REPORT_LOAD_COLS * L * E) * sizeof(float));
    }
    if (L != load->n_layers || E != load->n_experts)
        return;
    if (load->n_cols == REPORT_LOAD_COLS && load->n_in_last == load->stride)
        load_halve(load);
    if (load->n_cols == 0 || load->n_in_last == load->stride) {
        load->n_cols++;
        load->n_in_last = 0;
    }
    float *const column = load->sum + (load->n_cols - 1) * L * E; /* (L, E) */
    for (int64_t l = 0; l < L; l++) {
        const json_t *const row = json_array_get(table, (size_t)l);
        double sum = 0;
        for (int64_t e = 0; e < E; e++)
            sum += json_number_value(json_array_get(row, (size_t)e));
        for (int64_t e = 0; e < E && sum > 0; e++)
            column[l * E + e] +=
                (float)(json_number_value(json_array_get(row, (size_t)e)) * (double)E /
                        sum);
    }
    load->n_in_last++;
    load->last_step = step;
}

int64_t report_load_weight(const struct report_load *load, int64_t c)
{
    return c == load->n_cols - 1 ? load->n_in_last : load->stride;
}

/* row is only read, but jansson's iterators take it mutable */
static void add_row(struct report_run *r, json_t *row)
{
    const json_t *const step = json_object_get(row, "step");
    if (!json_is_number(step)) {
        r->n_bad_rows++;
        return;
    }
    const double x = json_number_value(step);
    load_add(&r->load, x, json_object_get(row, "expert_load"));
    const char *key;
    json_t *value;
    json_object_foreach(row, key, value)
    {
        const bool is_number = json_is_number(value);
        if (!is_number && !json_is_null(value))
            continue;
        struct report_series *const s = series_named(r, key);
        if (s != NULL)
            series_add(s, x, is_number ? json_number_value(value) : (double)NAN);
    }
    r->n_rows++;
}

static int read_metrics(struct report_run *r, const char *path)
{
    struct io_lines lines;
    TRY(io_lines_open(&lines, path));
    const char *line;
    size_t len;
    while (io_lines_next(&lines, &line, &len)) {
        json_t *row = NULL;
        if (json_parse(&row, line, len, path) == STATUS_OK && json_is_object(row))
            add_row(r, row);
        else
            r->n_bad_rows++;
        json_decref(row);
    }
    io_lines_close(&lines);
    if (r->n_rows == 0)
        return ERR(ERR_INPUT,
                   "%s: no line that is an object with a \"step\"; expected a run's "
                   "metrics",
                   path);
    return STATUS_OK;
}

/* The rows of the first and of the last step; one that cannot be read is left out. */
static int read_samples(struct report_run *r, const char *path)
{
    struct io_lines lines;
    TRY(io_lines_open(&lines, path));
    const char *line;
    size_t len;
    json_int_t first = 0, last = 0;
    bool has_first = false;
    while (io_lines_next(&lines, &line, &len)) {
        json_t *row = NULL;
        if (json_parse(&row, line, len, path) == STATUS_OK &&
            json_is_integer(json_object_get(row, "step"))) {
            const json_int_t step = json_integer_value(json_object_get(row, "step"));
            first = has_first ? first : step;
            if (step != last)
                json_array_clear(r->samples_last);
            last = step;
            json_t *const to = step == first ? r->samples_first : r->samples_last;
            if (json_array_size(to) < MAX_SAMPLES)
                json_array_append(to, row);
            has_first = true;
        }
        json_decref(row);
    }
    io_lines_close(&lines);
    return STATUS_OK;
}

static char *base_name(const char *dir)
{
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && dir[start - 1] != '/')
        start--;
    return start == end ? mem_strdup(dir) : mem_strndup(dir + start, end - start);
}

static int read_optional(struct report_run *r, const char *dir)
{
    char *const samples = io_join(dir, "samples.jsonl"),
                *const summary = io_join(dir, "summary.json"),
                *const config = io_join(dir, "config.ini");
    int status = STATUS_OK;
    if (io_exists(samples))
        TRY_OUT(read_samples(r, samples));
    if (io_exists(config))
        TRY_OUT(io_read_file(&r->config, config, MAX_CONFIG_BYTES));
    /* a summary that a crash cut short is left out like a missing one */
    if (io_exists(summary) && json_parse_file(&r->summary, summary) != STATUS_OK)
        r->summary = NULL;
out:
    mem_free(samples);
    mem_free(summary);
    mem_free(config);
    return status;
}

int report_run_load(struct report_run *r, const char *dir)
{
    *r = (struct report_run){.name = base_name(dir),
                             .samples_first = json_array(),
                             .samples_last = json_array()};
    char *const metrics = io_join(dir, "metrics.jsonl");
    int status = read_metrics(r, metrics);
    mem_free(metrics);
    if (status == STATUS_OK)
        status = read_optional(r, dir);
    if (status != STATUS_OK)
        report_run_release(r);
    return status;
}

void report_run_release(struct report_run *r)
{
    if (r == NULL)
        return;
    for (int64_t i = 0; i < r->n_series; i++) {
        mem_free(r->series[i].name);
        mem_free(r->series[i].x);
        mem_free(r->series[i].y);
    }
    mem_free(r->series);
    mem_free(r->load.sum);
    json_decref(r->samples_first);
    json_decref(r->samples_last);
    json_decref(r->summary);
    buf_release(&r->config);
    mem_free(r->name);
    *r = (struct report_run){0};
}

const struct report_series *report_run_find(const struct report_run *r,
                                            const char *name)
{
    for (int64_t i = 0; i < r->n_series; i++) {
        const struct report_series *const s = &r->series[i];
        if (strcmp(s->name, name) != 0)
            continue;
        for (int64_t k = 0; k < s->n; k++)
            if (isfinite(s->y[k]))
                return s;
    }
    return NULL;
}
