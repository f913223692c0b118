/*
 * Everything that comes from a run goes through html_put; the page allows no script but
 * its own anyway, since it has no place where text becomes markup.
 */
#include "grpo/report_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "grpo/report_data.h"
#include "grpo/report_style.h"
#include "grpo/report_svg.h"

enum { MAX_PAIRS = 6, MAX_TEXT_BYTES = 4000 };

void page_begin(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    buf_puts(out,
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,"
             "initial-scale=1\">\n<title>");
    html_puts(out, n_runs == 1 ? runs[0].name : "Comparison of runs");
    buf_puts(out, " - report</title>\n<style>\n");
    buf_puts(out, report_css);
    buf_puts(out, "</style>\n</head>\n<body>\n<header><h1>");
    if (n_runs == 1)
        html_puts(out, runs[0].name);
    else
        buf_printf(out, "Comparison of %" PRId64 " runs", n_runs);
    buf_puts(out, "</h1>\n");
    for (int64_t r = 0; r < n_runs; r++) {
        buf_puts(out, "<p>");
        if (n_runs > 1) {
            html_puts(out, runs[r].name);
            buf_puts(out, ": ");
        }
        buf_printf(out, "%" PRId64 " lines of metrics", runs[r].n_rows);
        if (runs[r].n_bad_rows > 0)
            buf_printf(out, ", %" PRId64 " unreadable and left out",
                       runs[r].n_bad_rows);
        buf_puts(out, "</p>\n");
    }
    buf_puts(out, "</header>\n<main>\n");
}

void page_end(struct buf *out)
{
    buf_puts(out, "</main>\n<script>\n");
    buf_puts(out, report_js);
    buf_puts(out, "</script>\n</body>\n</html>\n");
}

/* The first of the two keys that holds a string; NULL if neither. */
static const json_t *text_of(const json_t *row, const char *key, const char *other)
{
    const json_t *const v = json_object_get(row, key);
    const json_t *const w = json_object_get(row, other);
    return json_is_string(v) ? v : json_is_string(w) ? w : NULL;
}

/* At most MAX_TEXT_BYTES, cut between characters. */
static void put_text(struct buf *out, const json_t *text)
{
    const char *const s = json_string_value(text);
    size_t len = json_string_length(text);
    const bool is_cut = len > MAX_TEXT_BYTES;
    if (is_cut)
        for (len = MAX_TEXT_BYTES; len > 0 && ((unsigned char)s[len] & 0xC0) == 0x80;)
            len--;
    html_put(out, s, len);
    if (is_cut)
        buf_puts(out, "&hellip;");
}

static void put_sample(struct buf *out, const json_t *row, const char *when)
{
    const json_t *const completion = text_of(row, "completion", "response");
    const json_t *const reason = text_of(row, "reason", "reason");
    const json_t *const gold = json_object_get(row, "gold");
    const json_t *const reward = json_object_get(row, "reward");
    const bool is_right = reason != NULL &&
                          strcmp(json_string_value(reason), "correct") == 0;
    buf_printf(out, "<div class=\"sample\"><h3>%s, step %lld</h3><p>", when,
               (long long)json_integer_value(json_object_get(row, "step")));
    if (reason != NULL) {
        buf_printf(out, "<span class=\"%s\">", is_right ? "good" : "bad");
        put_text(out, reason);
        buf_puts(out, "</span>");
    }
    if (json_is_number(reward))
        buf_printf(out, ", reward %.4g", json_number_value(reward));
    if (json_is_string(gold)) {
        buf_puts(out, ", gold ");
        put_text(out, gold);
    }
    buf_puts(out, "</p><pre>");
    if (completion != NULL)
        put_text(out, completion);
    buf_puts(out, "</pre></div>\n");
}

static void put_problem(struct buf *out, const json_t *row)
{
    const json_t *const problem = text_of(row, "problem", "prompt");
    if (problem == NULL)
        return;
    buf_puts(out, "<p class=\"problem\">");
    put_text(out, problem);
    buf_puts(out, "</p>\n");
}

static bool is_same_problem(const json_t *a, const json_t *b)
{
    const json_t *const x = text_of(a, "problem", "prompt");
    const json_t *const y = text_of(b, "problem", "prompt");
    return x != NULL && y != NULL && json_equal(x, y);
}

/* The first row of `rows` about the same problem; NULL if there is none. */
static const json_t *find_problem(const json_t *rows, const json_t *like)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (is_same_problem(json_array_get(rows, i), like))
            return json_array_get(rows, i);
    return NULL;
}

/* Distinct problems of `rows`, one row each, at most MAX_PAIRS. */
static int64_t distinct(const json_t *picked[MAX_PAIRS], const json_t *rows)
{
    int64_t n = 0;
    for (size_t i = 0; i < json_array_size(rows) && n < MAX_PAIRS; i++) {
        const json_t *const row = json_array_get(rows, i);
        bool is_known = false;
        for (int64_t k = 0; k < n; k++)
            is_known |= is_same_problem(picked[k], row);
        if (!is_known)
            picked[n++] = row;
    }
    return n;
}

void page_samples(struct buf *out, const struct report_run *run)
{
    const json_t *before[MAX_PAIRS], *after[MAX_PAIRS];
    const int64_t n_before = distinct(before, run->samples_first);
    const int64_t n_after = distinct(after, run->samples_last);
    const int64_t n = n_before > n_after ? n_before : n_after;
    if (n == 0)
        return;
    buf_puts(out, n_after > 0 ? "<h2>Samples before and after" : "<h2>Samples");
    buf_puts(out, "</h2>\n");
    for (int64_t i = 0; i < n; i++) {
        const json_t *const a = i < n_before ? before[i] : NULL;
        const json_t *b = a == NULL ? NULL : find_problem(run->samples_last, a);
        const bool is_pair = b != NULL;
        /* steps draw other problems, so most pairs are of different ones */
        if (b == NULL && i < n_after)
            b = after[i];
        if (is_pair)
            put_problem(out, a);
        buf_puts(out, "<div class=\"two\">");
        const json_t *const shown[2] = {a, b};
        for (int k = 0; k < 2; k++) {
            if (shown[k] == NULL)
                continue;
            buf_puts(out, "<div>");
            if (!is_pair)
                put_problem(out, shown[k]);
            put_sample(out, shown[k], k == 0 ? "Before" : "After");
            buf_puts(out, "</div>");
        }
        buf_puts(out, "</div>\n");
    }
}

static void put_summary_row(struct buf *out, const char *prefix, const char *key,
                            const json_t *v)
{
    buf_puts(out, "<tr><td class=\"key\">");
    html_puts(out, prefix);
    html_puts(out, key);
    buf_puts(out, "</td><td>");
    if (json_is_string(v))
        put_text(out, v);
    else if (json_is_integer(v))
        buf_printf(out, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_printf(out, "%.6g", json_real_value(v));
    else if (json_is_boolean(v))
        buf_puts(out, json_is_true(v) ? "true" : "false");
    else
        buf_printf(out, "(%s)", json_type_name(v));
    buf_puts(out, "</td></tr>\n");
}

void page_summary(struct buf *out, const struct report_run *run)
{
    if (!json_is_object(run->summary))
        return;
    buf_puts(out, "<details><summary>Summary of ");
    html_puts(out, run->name);
    buf_puts(out, "</summary><div class=\"scroll\"><table><thead><tr><th>key</th>"
                  "<th>value</th></tr></thead><tbody>\n");
    const char *key, *inner_key;
    json_t *v, *inner;
    json_object_foreach(run->summary, key, v)
    {
        if (!json_is_object(v)) {
            put_summary_row(out, "", key, v);
            continue;
        }
        struct buf prefix = {0};
        buf_printf(&prefix, "%s.", key);
        json_object_foreach(v, inner_key, inner)
        {
            put_summary_row(out, prefix.data, inner_key, inner);
        }
        buf_release(&prefix);
    }
    buf_puts(out, "</tbody></table></div></details>\n");
}

/* "section.key" -> value of an INI text, in order. */
static json_t *parse_config(const struct buf *text)
{
    json_t *const out = json_object();
    struct buf section = {0}, key = {0};
    for (size_t off = 0; off < text->len;) {
        const char *const line = text->data + off;
        const char *const newline = memchr(line, '\n', text->len - off);
        const size_t len = newline == NULL ? text->len - off : (size_t)(newline - line);
        const char *const equals = memchr(line, '=', len);
        off += len + 1;
        if (len > 2 && line[0] == '[' && line[len - 1] == ']') {
            buf_reset(&section);
            buf_append(&section, line + 1, len - 2);
            buf_puts(&section, ".");
        } else if (equals != NULL && line[0] != '#' && line[0] != ';') {
            size_t key_len = (size_t)(equals - line), from = key_len + 1;
            while (key_len > 0 && line[key_len - 1] == ' ')
                key_len--;
            while (from < len && line[from] == ' ')
                from++;
            buf_reset(&key);
            buf_append(&key, section.data, section.len);
            buf_append(&key, line, key_len);
            /* unchecked: bytes that are not UTF-8 are html_put's business */
            json_object_set_new_nocheck(out, key.data,
                                        json_stringn_nocheck(line + from, len - from));
        }
    }
    buf_release(&section);
    buf_release(&key);
    return out;
}

static bool has_difference(const json_t *const *config, int64_t n, const char *key)
{
    const json_t *const first = json_object_get(config[0], key);
    for (int64_t r = 1; r < n; r++) {
        const json_t *const v = json_object_get(config[r], key);
        if ((v == NULL) != (first == NULL) || (v != NULL && !json_equal(v, first)))
            return true;
    }
    return false;
}

static void put_config_rows(struct buf *out, json_t *keys, const json_t *const *config,
                            int64_t n, bool is_differing)
{
    const char *key;
    json_t *unused;
    json_object_foreach(keys, key, unused)
    {
        if (has_difference(config, n, key) != is_differing)
            continue;
        buf_printf(out, "<tr%s><td class=\"key\">",
                   is_differing ? " class=\"differs\"" : "");
        html_puts(out, key);
        buf_puts(out, "</td>");
        for (int64_t r = 0; r < n; r++) {
            const json_t *const v = json_object_get(config[r], key);
            buf_puts(out, "<td>");
            if (v != NULL)
                put_text(out, v);
            buf_puts(out, "</td>");
        }
        buf_puts(out, "</tr>\n");
    }
}

void page_config(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    bool has_any = false;
    for (int64_t r = 0; r < n_runs; r++)
        has_any |= runs[r].config.len > 0;
    if (!has_any)
        return;
    json_t **const config = mem_alloc((size_t)n_runs * sizeof(*config));
    json_t *const keys = json_object(); /* of all runs, in the order first seen */
    for (int64_t r = 0; r < n_runs; r++) {
        config[r] = parse_config(&runs[r].config);
        json_object_update_missing(keys, config[r]);
    }
    const json_t *const *const shown = (const json_t *const *)config;
    buf_puts(out, "<details open><summary>Effective configuration</summary>"
                  "<div class=\"scroll\"><table><thead><tr><th>key</th>");
    for (int64_t r = 0; r < n_runs; r++) {
        buf_puts(out, "<th>");
        html_puts(out, n_runs == 1 ? "value" : runs[r].name);
        buf_puts(out, "</th>");
    }
    buf_puts(out, "</tr></thead><tbody>\n");
    put_config_rows(out, keys, shown, n_runs, true);
    put_config_rows(out, keys, shown, n_runs, false);
    buf_puts(out, "</tbody></table></div></details>\n");
    for (int64_t r = 0; r < n_runs; r++)
        json_decref(config[r]);
    json_decref(keys);
    mem_free(config);
}
