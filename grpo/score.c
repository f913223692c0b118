/*
 * A chunk of lines is read, scored by all threads, and written in order; a thread owns
 * its verifier scratch, a line its buffers, which later chunks reuse.
 */
#include "grpo/score.h"

#include <inttypes.h>
#include <omp.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"
#include "core/options.h"
#include "grpo/problems.h"

enum { CHUNK_LINES = 512 };

struct job {
    struct buf in, out,
        message;     /* message: why the line has no score; empty: it has one */
    int64_t number;  /* of the line, from 1 */
    bool has_object; /* it is malformed no further than in its gold */
    enum reward_reason reason;
};

struct scorer {
    struct score_options options; /* defaults filled in */
    struct reward_rules *rules;
    struct reward_scratch **scratch; /* (n_threads) */
    int n_threads;
    struct job *jobs; /* (CHUNK_LINES) */
    int64_t n_jobs, n_lines, n_malformed, n_bad_golds;
    int64_t count[REWARD_N_REASONS];
};

struct row {
    const char *response;
    size_t response_len;
    struct reward_gold *gold;
    enum reward_kind kind;
    bool is_truncated;
};

/* "answer" or "response" of the line, else the command's */
static int read_kind(struct row *row, const json_t *obj, const struct score_options *o,
                     const char *where)
{
    const char *kind = NULL;
    size_t len = 0;
    TRY(json_get_string(obj, "kind", &kind, &len, where));
    if (kind == NULL)
        kind = o->kind;
    const int i = options_choice(SCORE_KINDS, kind);
    if (i < 0)
        return ERR(ERR_INPUT, "%s: \"kind\" is \"%s\", expected one of " SCORE_KINDS,
                   where, kind);
    row->kind = (enum reward_kind)i;
    return STATUS_OK;
}

/* All but the gold. */
static int read_row(struct row *row, const json_t *obj, const struct score_options *o,
                    const char *where)
{
    TRY(json_get_string(obj, o->response_key, &row->response, &row->response_len,
                        where));
    if (row->response == NULL)
        return ERR(ERR_INPUT,
                   "%s: no \"%s\"; expected the completion there, or name another key "
                   "with --response",
                   where, o->response_key);
    TRY(json_get_bool(obj, "truncated", &row->is_truncated, NULL, where));
    return read_kind(row, obj, o, where);
}

static int read_gold(struct row *row, const json_t *obj, const struct score_options *o,
                     struct reward_scratch *scratch, const char *where)
{
    const char *key = o->gold_key;
    const json_t *const gold = key == NULL ? problems_gold_of(obj, &key)
                                           : json_object_get(obj, key);
    if (gold == NULL)
        return ERR(ERR_INPUT,
                   "%s: no gold; expected the key \"%s\", or name another with --gold",
                   where, key == NULL ? "gold" : key);
    return problems_gold(&row->gold, scratch, gold, key, where);
}

static void put_result(struct job *job, const struct row *row,
                       const struct reward_result *r, bool is_explained)
{
    struct buf *const b = &job->out;
    buf_printf(b, "{\"score\":%d,\"answer\":", r->is_correct ? 1 : 0);
    if (r->value_len > 0)
        buf_put_json_string(b, r->value, r->value_len);
    else
        buf_puts(b, "null");
    buf_printf(b, ",\"rule\":\"%s\",\"reason\":\"%s\"", r->rule,
               reward_reason_name(r->reason));
    if (is_explained) {
        buf_printf(b, ",\"line\":%" PRId64 ",\"gold\":", job->number);
        const char *const gold = reward_gold_text(row->gold);
        buf_put_json_string(b, gold, strlen(gold));
        buf_puts(b, ",\"offset\":");
        if (r->answer_len > 0)
            buf_printf(b, "%zu", r->answer_off);
        else
            buf_puts(b, "null");
        buf_printf(b, ",\"has_form\":%s", r->has_form ? "true" : "false");
    }
    buf_puts(b, "}\n");
}

/* A line that cannot be scored has the score 0 and the reason why. */
static void put_error(struct job *job, bool is_explained)
{
    struct buf *const b = &job->out;
    buf_puts(&job->message, status_message()); /* this thread's */
    buf_printf(b, "{\"score\":0,\"answer\":null,\"rule\":null,\"reason\":\"%s\"",
               job->has_object ? "bad_gold" : "malformed");
    if (is_explained)
        buf_printf(b,
                   ",\"line\":%" PRId64 ",\"gold\":null,\"offset\":null,"
                   "\"has_form\":false",
                   job->number);
    buf_puts(b, ",\"error\":");
    buf_put_json_string(b, job->message.data, job->message.len);
    buf_puts(b, "}\n");
}

static void score_line(struct job *job, const struct scorer *s,
                       struct reward_scratch *scratch)
{
    const struct score_options *const o = &s->options;
    char where[256];
    snprintf(where, sizeof(where), "%s:%" PRId64, o->path, job->number);
    struct row row = {0};
    json_t *obj = NULL;
    int status = json_parse(&obj, job->in.data, job->in.len, where);
    if (status == STATUS_OK)
        status = read_row(&row, obj, o, where);
    job->has_object = status == STATUS_OK;
    if (status == STATUS_OK)
        status = read_gold(&row, obj, o, scratch, where);
    buf_reset(&job->out);
    buf_reset(&job->message);
    if (status == STATUS_OK) {
        struct reward_result r;
        const struct reward_input in = {.text = row.response,
                                        .len = row.response_len,
                                        .kind = row.kind,
                                        .is_truncated = row.is_truncated};
        reward_score(&r, scratch, &in, row.gold);
        job->reason = r.reason;
        put_result(job, &row, &r, o->is_explained);
    } else {
        put_error(job, o->is_explained);
    }
    reward_gold_free(row.gold);
    json_decref(obj);
}

static void read_chunk(struct scorer *s, struct io_lines *lines)
{
    const char *line;
    size_t len;
    s->n_jobs = 0;
    while (s->n_jobs < CHUNK_LINES && io_lines_next(lines, &line, &len)) {
        struct job *const job = &s->jobs[s->n_jobs++];
        buf_reset(&job->in);
        buf_append(&job->in, line, len);
        job->number = lines->number;
    }
}

static void write_chunk(struct scorer *s)
{
    for (int64_t i = 0; i < s->n_jobs; i++) {
        const struct job *const job = &s->jobs[i];
        fwrite(job->out.data, 1, job->out.len, s->options.out);
        if (job->message.len > 0) {
            fprintf(s->options.err, "%s\n", job->message.data);
            s->n_malformed += !job->has_object;
            s->n_bad_golds += job->has_object;
        } else {
            s->count[job->reason]++;
        }
    }
    s->n_lines += s->n_jobs;
}

static int score_lines(struct scorer *s)
{
    struct io_lines lines;
    TRY(io_lines_open(&lines, s->options.path));
    do {
        read_chunk(s, &lines);
#pragma omp parallel for schedule(dynamic, 16) num_threads(s->n_threads)
        for (int64_t i = 0; i < s->n_jobs; i++)
            score_line(&s->jobs[i], s, s->scratch[omp_get_thread_num()]);
        write_chunk(s);
    } while (s->n_jobs > 0);
    io_lines_close(&lines);
    if (fflush(s->options.out) != 0 || ferror(s->options.out))
        return ERR(ERR_IO, "writing the scores failed; is the disk full?");
    return STATUS_OK;
}

static void put_count(FILE *f, const char *name, int64_t n, int64_t n_lines)
{
    fprintf(f, "%-16s %10" PRId64 "  %6.2f %%\n", name, n,
            n_lines == 0 ? 0.0 : 100.0 * (double)n / (double)n_lines);
}

static void put_summary(const struct scorer *s)
{
    FILE *const f = s->options.err;
    fprintf(f, "reason                lines     share\n");
    for (int i = 0; i < REWARD_N_REASONS; i++)
        put_count(f, reward_reason_name(i), s->count[i], s->n_lines);
    put_count(f, "bad_gold", s->n_bad_golds, s->n_lines);
    put_count(f, "malformed", s->n_malformed, s->n_lines);
    put_count(f, "all", s->n_lines, s->n_lines);
}

static int scorer_init(struct scorer *s, const struct score_options *o)
{
    s->options = *o;
    if (o->response_key == NULL)
        s->options.response_key = "response";
    if (o->kind == NULL)
        s->options.kind = "response";
    if (o->out == NULL)
        s->options.out = stdout;
    if (o->err == NULL)
        s->options.err = stderr;
    s->n_threads = omp_get_max_threads();
    s->jobs = mem_alloc(CHUNK_LINES * sizeof(*s->jobs));
    s->scratch = mem_alloc((size_t)s->n_threads * sizeof(*s->scratch));
    TRY(reward_rules_create(&s->rules, &o->verifier));
    for (int i = 0; i < s->n_threads; i++)
        TRY(reward_scratch_create(&s->scratch[i], s->rules));
    return STATUS_OK;
}

static void scorer_release(struct scorer *s)
{
    for (int64_t i = 0; i < CHUNK_LINES; i++) {
        buf_release(&s->jobs[i].in);
        buf_release(&s->jobs[i].out);
        buf_release(&s->jobs[i].message);
    }
    for (int i = 0; i < s->n_threads; i++)
        reward_scratch_free(s->scratch[i]);
    reward_rules_free(s->rules);
    mem_free(s->scratch);
    mem_free(s->jobs);
}

int score_command(const struct score_options *o)
{
    struct scorer s = {0};
    int status = scorer_init(&s, o);
    if (status == STATUS_OK)
        status = score_lines(&s);
    if (status == STATUS_OK) {
        put_summary(&s);
        const int64_t n_bad = s.n_malformed + s.n_bad_golds;
        if (n_bad > 0)
            status = ERR(ERR_INPUT,
                         "%s: %" PRId64 " of %" PRId64
                         " lines are malformed or have no usable gold; they score 0",
                         o->path, n_bad, s.n_lines);
    }
    scorer_release(&s);
    return status;
}
