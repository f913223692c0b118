/*
 * The writer builds one line in a buffer and hands it to the file whole. Opening for a
 * resumed run finds the longest prefix of good lines and cuts the file there: a crash
 * between the two leaves either length, and the next resume does the same again.
 */
#include "grpo/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

/* Whether a line is whole and of a step up to `last_step`. */
static bool is_kept(const char *line, size_t len, int64_t last_step, const char *path)
{
    json_t *row = NULL;
    int64_t step = 0;
    bool is_found = false;
    if (json_parse(&row, line, len, path) != STATUS_OK)
        return false;
    const int status = json_get_int(row, "step", 0, INT64_MAX, &step, &is_found, path);
    json_decref(row);
    return status == STATUS_OK && is_found && step <= last_step;
}

static int find_keep(int64_t *keep, const char *path, int64_t last_step)
{
    struct io_lines lines;
    TRY(io_lines_open(&lines, path));
    const char *line;
    size_t len;
    int64_t n = 0;
    while (io_lines_next(&lines, &line, &len)) {
        /* a line without its newline was cut, even if what is left is JSON */
        const bool is_ended = lines.map.data[lines.off - 1] == '\n';
        if (!is_ended || !is_kept(line, len, last_step, path))
            break;
        n = (int64_t)lines.off;
    }
    io_lines_close(&lines);
    *keep = n;
    return STATUS_OK;
}

int metrics_open(struct metrics *m, const char *path, int64_t last_step)
{
    struct io_file file;
    if (last_step < 0) {
        TRY(io_create(&file, path));
    } else {
        if (io_exists(path)) {
            int64_t keep;
            TRY(find_keep(&keep, path, last_step));
            TRY(io_truncate(path, keep));
        }
        TRY(io_append(&file, path));
    }
    *m = (struct metrics){.file = file};
    return STATUS_OK;
}

int metrics_close(struct metrics *m)
{
    buf_release(&m->line);
    if (m->file.path == NULL)
        return STATUS_OK;
    return io_close(&m->file, true);
}

void metrics_abandon(struct metrics *m)
{
    if (m == NULL)
        return;
    buf_release(&m->line);
    io_abandon(&m->file);
}

void metrics_begin(struct metrics *m, int64_t step)
{
    buf_reset(&m->line);
    buf_printf(&m->line, "{\"schema\":%d,\"step\":%" PRId64, (int)METRICS_SCHEMA, step);
}

static void put_key(struct metrics *m, const char *key)
{
    CHECK(m->line.len > 0, "key %s before metrics_begin", key);
    buf_printf(&m->line, ",\"%s\":", key);
}

void metrics_put_real(struct metrics *m, const char *key, double value)
{
    put_key(m, key);
    if (!isfinite(value)) {
        buf_puts(&m->line, "null");
        return;
    }
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_puts(&m->line, text);
}

void metrics_put_int(struct metrics *m, const char *key, int64_t value)
{
    put_key(m, key);
    buf_printf(&m->line, "%" PRId64, value);
}

void metrics_put_bool(struct metrics *m, const char *key, bool value)
{
    put_key(m, key);
    buf_puts(&m->line, value ? "true" : "false");
}

void metrics_put_string(struct metrics *m, const char *key, const char *s, size_t len)
{
    put_key(m, key);
    buf_put_json_string(&m->line, s, len);
}

void metrics_put_table(struct metrics *m, const char *key, const int64_t *v,
                       int64_t n_rows, int64_t n_cols)
{
    put_key(m, key);
    buf_puts(&m->line, "[");
    for (int64_t i = 0; i < n_rows; i++) {
        buf_puts(&m->line, i == 0 ? "[" : ",[");
        for (int64_t j = 0; j < n_cols; j++)
            buf_printf(&m->line, j == 0 ? "%" PRId64 : ",%" PRId64, v[i * n_cols + j]);
        buf_puts(&m->line, "]");
    }
    buf_puts(&m->line, "]");
}

int metrics_end(struct metrics *m)
{
    CHECK(m->line.len > 0, "metrics_end without metrics_begin");
    buf_puts(&m->line, "}\n");
    const int status = io_write(&m->file, m->line.data, m->line.len);
    buf_reset(&m->line);
    TRY(status);
    return io_flush(&m->file);
}
