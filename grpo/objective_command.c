/*
 * Reading lines, writing results. Numbers are written in the shortest form that reads
 * back to the same double.
 */
#include "grpo/objective_command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "grpo/commands.h"
#include "grpo/objective_run.h"

static void put_number(struct buf *b, double v)
{
    char text[40];
    if (isnan(v) || isinf(v)) {
        buf_puts(b, isnan(v) ? "\"nan\"" : v > 0.0 ? "\"inf\"" : "\"-inf\"");
        return;
    }
    engine_number_text(text, sizeof(text), v);
    buf_puts(b, text);
}

static void put_flat(struct buf *b, const char *key, const double *v, int64_t n)
{
    buf_printf(b, ",\"%s\":[", key);
    for (int64_t i = 0; i < n; i++) {
        buf_puts(b, i == 0 ? "" : ",");
        put_number(b, v[i]);
    }
    buf_puts(b, "]");
}

/* v (n_tokens) or, where it is NULL, the mask */
static void put_ragged(struct buf *b, const char *key, const struct objective_case *c,
                       const double *v, const uint8_t *mask)
{
    buf_printf(b, ",\"%s\":[", key);
    for (int64_t i = 0; i < c->n_seqs; i++) {
        buf_puts(b, i == 0 ? "[" : ",[");
        for (int64_t t = c->off[i]; t < c->off[i + 1]; t++) {
            buf_puts(b, t == c->off[i] ? "" : ",");
            put_number(b, v == NULL ? (double)mask[t] : v[t]);
        }
        buf_puts(b, "]");
    }
    buf_puts(b, "]");
}

static void put_id(struct buf *b, const struct objective_case *c, int64_t line)
{
    char *const id = c->id == NULL ? NULL : json_dumps(c->id, JSON_ENCODE_ANY);
    if (id != NULL)
        buf_printf(b, "{\"id\":%s", id);
    else
        buf_printf(b, "{\"id\":%lld", (long long)line);
    free(id);
}

struct metric_sink {
    struct buf *b;
    bool is_first;
};

static void put_metric(void *user, const char *name, double value)
{
    struct metric_sink *const s = user;
    buf_printf(s->b, "%s\"%s\":", s->is_first ? "" : ",", name);
    put_number(s->b, value);
    s->is_first = false;
}

static void put_result(struct buf *b, const struct objective_case *c,
                       const struct objective_result *r)
{
    buf_puts(b, ",\"loss\":");
    put_number(b, r->loss);
    put_flat(b, "micro_losses", r->micro_loss, r->n_micro);
    if (r->is_per_token)
        put_ragged(b, "advantages", c, r->advantages, NULL);
    else
        put_flat(b, "advantages", r->advantage, c->n_seqs);
    put_ragged(b, "mask", c, NULL, r->mask);
    if (r->weights != NULL)
        put_ragged(b, "weights", c, r->weights, NULL);
    put_ragged(b, "grad", c, r->grad, NULL);
    if (r->has_entropy_grad)
        put_ragged(b, "grad_entropy", c, r->grad_entropy, NULL);
    buf_puts(b, ",\"metrics\":{");
    struct metric_sink sink = {.b = b, .is_first = true};
    objective_metrics(&r->sums, put_metric, &sink);
    buf_puts(b, "}}\n");
}

struct job {
    enum objective_print what;
    struct buf out;
    int64_t n_lines, n_malformed, n_unsupported;
};

static void put_error(struct buf *b)
{
    const char *const message = status_message();
    buf_puts(b, ",\"error\":");
    buf_put_json_string(b, message, strlen(message));
    buf_puts(b, "}\n");
}

static void explain(struct job *j, const struct objective_case *c,
                    const struct mapping *m, int64_t line)
{
    char *const id = c->id == NULL ? NULL : json_dumps(c->id, JSON_ENCODE_ANY);
    buf_printf(&j->out, "# line %lld: %s (%s %s)\n", (long long)line,
               id == NULL ? "no id" : id, m->engine->name, m->engine->version);
    free(id);
    if (j->what == OBJECTIVE_EXPLAIN)
        mapping_explain(m, &j->out);
    else
        mapping_ini(m, &j->out);
}

/* One well-formed case */
static void run_case(struct job *j, const struct objective_case *c, int64_t line)
{
    struct mapping m;
    struct objective_result r = {0};
    int status = mapping_make(&m, c);
    if (status == STATUS_OK)
        status = objective_run(&r, c, &m);
    if (status == STATUS_OK && j->what != OBJECTIVE_VALUES) {
        explain(j, c, &m, line);
    } else {
        put_id(&j->out, c, line);
        if (status == STATUS_OK)
            put_result(&j->out, c, &r);
        else
            put_error(&j->out);
    }
    j->n_unsupported += status != STATUS_OK;
    objective_result_release(&r);
    mapping_release(&m);
}

static void run_line(struct job *j, const char *text, size_t len, const char *path,
                     int64_t line, FILE *err)
{
    struct objective_case c;
    char where[512];
    snprintf(where, sizeof(where), "%s:%lld", path, (long long)line);
    buf_reset(&j->out);
    j->n_lines++;
    if (objective_case_read(&c, text, len, where) != STATUS_OK) {
        j->n_malformed++;
        buf_printf(&j->out, "{\"id\":null,\"line\":%lld", (long long)line);
        put_error(&j->out);
        fprintf(err, "%s\n", status_message());
        return;
    }
    run_case(j, &c, line);
    objective_case_release(&c);
}

int objective_command(const char *path, enum objective_print what, FILE *out, FILE *err)
{
    struct job j = {.what = what};
    struct io_lines lines;
    const char *text;
    size_t len;
    TRY(io_lines_open(&lines, path));
    while (io_lines_next(&lines, &text, &len)) {
        if (strspn(text, " \t\r") == len)
            continue;
        run_line(&j, text, len, path, lines.number, err);
        fwrite(j.out.data, 1, j.out.len, out);
    }
    io_lines_close(&lines);
    buf_release(&j.out);
    if (fflush(out) != 0 || ferror(out))
        return ERR(ERR_IO, "writing the results failed; is the disk full?");
    if (j.n_lines == 0)
        fprintf(err, "%s: no cases\n", path);
    if (j.n_unsupported > 0)
        fprintf(err, "%lld of %lld cases are not supported: see their \"error\"\n",
                (long long)j.n_unsupported, (long long)j.n_lines);
    if (j.n_malformed > 0)
        return ERR(ERR_INPUT, "%s: %lld of %lld lines are malformed", path,
                   (long long)j.n_malformed, (long long)j.n_lines);
    return STATUS_OK;
}

int command_objective(const struct program *p, int argc, char *const *argv)
{
    enum objective_print what = OBJECTIVE_VALUES;
    const char *path = NULL;
    (void)p;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--explain") == 0)
            what = OBJECTIVE_EXPLAIN;
        else if (strcmp(argv[i], "--as") == 0 && i + 1 < argc &&
                 strcmp(argv[i + 1], "ours") == 0)
            what = OBJECTIVE_INI, i++;
        else if (argv[i][0] == '-' && argv[i][1] != '\0')
            return ERR(ERR_USAGE,
                       "unknown flag \"%s\"; expected --explain or --as ours", argv[i]);
        else if (path != NULL)
            return ERR(ERR_USAGE, "two files: \"%s\" and \"%s\"", path, argv[i]);
        else
            path = argv[i];
    }
    if (path == NULL)
        return ERR(ERR_USAGE,
                   "no file given: grpo objective FILE.jsonl [--explain | --as ours]");
    return objective_command(path, what, stdout, stderr);
}
