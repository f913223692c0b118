/*
 * The verifier: completions per second on GSM8K outputs, on one thread and on all, and
 * milliseconds per megabyte of hostile text, each against its bar.
 *
 *   bench_reward [--write FILE]     also writes the completions as JSONL, for peers
 *
 * The completions are the labelled outputs of the shared fixtures (MOE_GRPO_SHARED,
 * else
 * ../shared); without them, made ones of the same length.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "core/io.h"
#include "core/json.h"
#include "core/mem.h"
#include "reward/reward.h"

enum { MAX_ROWS = 4096, ATTACK_BYTES = 1 << 20 };
static const double bar_per_s = 200e3, bar_ms = 50, budget_s = 1.5;

struct rows {
    int64_t n;
    char *text[MAX_ROWS];
    size_t len[MAX_ROWS];
    char *gold_text[MAX_ROWS];
    int is_correct[MAX_ROWS]; /* -1: not known */
    int64_t bytes;
};

static void add_row(struct rows *r, const char *text, size_t len, const char *gold,
                    int is_correct)
{
    r->text[r->n] = mem_alloc(len + 1);
    memcpy(r->text[r->n], text, len);
    r->len[r->n] = len;
    r->gold_text[r->n] = mem_strdup(gold);
    r->is_correct[r->n++] = is_correct;
    r->bytes += (int64_t)len;
}

static int read_rows(struct rows *r, const char *path)
{
    struct io_lines lines;
    const char *line;
    size_t len;
    TRY(io_lines_open(&lines, path));
    while (r->n < MAX_ROWS && io_lines_next(&lines, &line, &len)) {
        json_t *row;
        const char *text = "", *gold = "";
        size_t n = 0, n_gold = 0;
        TRY(json_parse(&row, line, len, path));
        TRY(json_get_string(row, "response", &text, &n, path));
        TRY(json_get_string(row, "gold", &gold, &n_gold, path));
        const json_t *const label = json_object_get(row, "correct");
        add_row(r, text, n, gold, json_is_boolean(label) ? json_is_true(label) : -1);
        json_decref(row);
    }
    io_lines_close(&lines);
    return STATUS_OK;
}

static void make_rows(struct rows *r)
{
    for (int i = 0; i < 1000; i++) {
        struct buf b = {0};
        char gold[16];
        for (int k = 0; k < 4; k++)
            buf_printf(&b, "She buys %d boxes of %d, so %d * %d = <<%d*%d=%d>>%d.\n", i,
                       k, i, k, i, k, i * k, i * k);
        buf_printf(&b, "#### %d,%03d", 1 + i / 7, i);
        snprintf(gold, sizeof(gold), "%d%03d", 1 + i / 7, i % 2 == 0 ? i : 0);
        add_row(r, b.data, b.len, gold, i % 2 == 0 || i == 0);
        buf_release(&b);
    }
}

struct run {
    const struct rows *rows;
    struct reward_rules *rules;
    struct reward_scratch **scratch; /* of each thread */
    struct reward_gold **golds;      /* of each row; NULL: refused */
    int n_threads;
    int64_t n_differing; /* from the labels */
};

static void score_all(void *arg)
{
    struct run *const run = arg;
    const struct rows *const rows = run->rows;
    int64_t n_differing = 0;
#pragma omp parallel for num_threads(run->n_threads) schedule(dynamic, 64)             \
    reduction(+ : n_differing)
    for (int64_t i = 0; i < rows->n; i++) {
        struct reward_result r;
        const struct reward_input in = {.text = rows->text[i], .len = rows->len[i]};
        if (run->golds[i] == NULL)
            continue;
        reward_score(&r, run->scratch[omp_get_thread_num()], &in, run->golds[i]);
        n_differing += rows->is_correct[i] >= 0 && rows->is_correct[i] != r.is_correct;
    }
    run->n_differing = n_differing;
}

static int run_create(struct run *run, const struct rows *rows,
                      const struct reward_options *options)
{
    const int n_threads = omp_get_max_threads();
    *run = (struct run){.rows = rows, .n_threads = n_threads};
    TRY(reward_rules_create(&run->rules, options));
    run->scratch = mem_alloc((size_t)n_threads * sizeof(*run->scratch));
    run->golds = mem_alloc((size_t)rows->n * sizeof(*run->golds));
    for (int t = 0; t < n_threads; t++)
        TRY(reward_scratch_create(&run->scratch[t], run->rules));
    for (int64_t i = 0; i < rows->n; i++)
        TRY(reward_gold_create(&run->golds[i], run->scratch[0], rows->gold_text[i],
                               strlen(rows->gold_text[i])));
    return STATUS_OK;
}

static void run_release(struct run *run)
{
    for (int64_t i = 0; i < run->rows->n; i++)
        reward_gold_free(run->golds[i]);
    for (int t = 0; t < omp_get_max_threads(); t++)
        reward_scratch_free(run->scratch[t]);
    reward_rules_free(run->rules);
    mem_free(run->golds);
    mem_free(run->scratch);
}

static int bench_throughput(const struct rows *rows)
{
    static const struct {
        const char *name;
        struct reward_options options;
    } kinds[] = {
        {"style gsm8k", {.style = REWARD_STYLE_GSM8K}},
        {"style auto", {.style = REWARD_STYLE_AUTO}},
        {"style auto, code off", {.style = REWARD_STYLE_AUTO, .code = REWARD_CODE_OFF}},
    };
    printf("%-28s %8s %14s %8s  %s\n", "completions/s", "threads", "measured", "of bar",
           "differing labels");
    for (int64_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct run run;
        TRY(run_create(&run, rows, &kinds[k].options));
        const int all = run.n_threads;
        for (int n = 1; n <= all; n = n < all ? all : all + 1) {
            run.n_threads = n;
            const double s = bench_best(score_all, &run, budget_s);
            const double per_s = (double)rows->n / s;
            printf("%-28s %8d %14.0f %8.2f  %lld of %lld\n", kinds[k].name, n, per_s,
                   per_s / bar_per_s, (long long)run.n_differing, (long long)rows->n);
        }
        run_release(&run);
    }
    return STATUS_OK;
}

/* head, then the unit again and again */
struct attack {
    const char *name, *head, *unit;
};
static const struct attack attacks[] = {
    {"digits", "", "9"},
    {"digits after a marker", "#### ", "9"},
    {"commas", "#### 1", ","},
    {"markers", "", "#### 1\n"},
    {"nested boxes", "", "\\boxed{"},
    {"nested braces in a box", "\\boxed{", "{"},
    {"boxes", "", "\\boxed{1} "},
    {"\\[ flood", "", "\\["},
    {"$ flood", "", "$"},
    {"dollars and numbers", "", "$1$ "},
    {"power tower", "\\boxed{2", "^{2"},
    {"plain power tower", "#### 9", "^9"},
    {"factorials", "\\boxed{9", "!"},
    {"sums", "\\boxed{1", "+1"},
    {"fractions", "\\boxed{1", "\\frac{1}{2"},
    {"Arabic digits", "#### ", "\xD9\xA3"},
    {"mathematical digits", "", "\xF0\x9D\x9F\x92"},
    {"NULs", "", ""},
    {"invalid UTF-8", "#### ", "\xFF"},
    {"answers", "", "The answer is 1. "},
    {"answer lines", "", "Answer: 1\n"},
    {"or", "#### 1", " or 1"},
    {"think blocks", "", "<think>"},
    {"JSON answers", "", "{\"answer\": "},
    {"bold", "", "**1**"},
    {"blanks", "#### ", " "},
    {"lines", "", "\n"},
    {"defs", "", "def f():\n x\n"},
    {"brackets in a program", "def f(): return ", "["},
    {"endless program", "def f():\n  while 1: 1\n", "# "},
};

struct one {
    struct reward_scratch *scratch;
    struct reward_gold *gold;
    struct reward_input in;
    struct reward_result result;
};

static void score_one(void *arg)
{
    struct one *const o = arg;
    reward_score(&o->result, o->scratch, &o->in, o->gold);
}

static int bench_attacks(void)
{
    const struct reward_options options = {.style = REWARD_STYLE_AUTO};
    struct reward_rules *rules;
    struct one o = {0};
    char *const text = mem_alloc(ATTACK_BYTES);
    TRY(reward_rules_create(&rules, &options));
    TRY(reward_scratch_create(&o.scratch, rules));
    TRY(reward_gold_create(&o.gold, o.scratch, "77777", 5));
    printf("\n%-28s %8s %14s %8s  %s\n", "1 MB of", "", "ms/MB", "of bar", "reason");
    double slowest = 0;
    for (int64_t i = 0; i < ARRAY_LEN(attacks); i++) {
        const struct attack *const a = &attacks[i];
        const size_t head = strlen(a->head), unit = strlen(a->unit);
        memset(text, 0, ATTACK_BYTES);
        memcpy(text, a->head, head);
        for (size_t k = head; k < ATTACK_BYTES && unit > 0; k++)
            text[k] = a->unit[(k - head) % unit];
        o.in = (struct reward_input){.text = text, .len = ATTACK_BYTES};
        const double ms = 1e3 * bench_best(score_one, &o, 0.1) * 1e6 / ATTACK_BYTES;
        slowest = ms > slowest ? ms : slowest;
        printf("%-28s %8s %14.2f %8.2f  %s%s\n", a->name, "", ms, ms / bar_ms,
               reward_reason_name(o.result.reason),
               o.result.is_correct ? "  PAID" : "");
    }
    printf("%-28s %8s %14.2f %8.2f\n", "slowest", "", slowest, slowest / bar_ms);
    reward_gold_free(o.gold);
    reward_scratch_free(o.scratch);
    reward_rules_free(rules);
    mem_free(text);
    return STATUS_OK;
}

static int write_rows(const struct rows *r, const char *path)
{
    struct buf b = {0};
    for (int64_t i = 0; i < r->n; i++) {
        buf_puts(&b, "{\"gold\": ");
        buf_put_json_string(&b, r->gold_text[i], strlen(r->gold_text[i]));
        buf_puts(&b, ", \"response\": ");
        buf_put_json_string(&b, r->text[i], r->len[i]);
        buf_puts(&b, "}\n");
    }
    const int status = io_write_atomic(path, b.data, b.len);
    buf_release(&b);
    return status;
}

static int run_all(const char *out_path)
{
    static struct rows rows;
    const char *const shared = getenv("MOE_GRPO_SHARED");
    char *const path = io_join(shared == NULL ? "../shared" : shared,
                               "fixtures/verifier/gsm8k_model_outputs.jsonl");
    const bool is_real = io_exists(path);
    if (is_real)
        TRY(read_rows(&rows, path));
    else
        make_rows(&rows);
    printf("%lld %s completions, %.0f bytes each; bars: %.0f completions/s on all "
           "threads, %.0f ms/MB\n",
           (long long)rows.n, is_real ? "GSM8K" : "made",
           (double)rows.bytes / (double)rows.n, bar_per_s, bar_ms);
    mem_free(path);
    if (out_path != NULL)
        TRY(write_rows(&rows, out_path));
    TRY(bench_throughput(&rows));
    return bench_attacks();
}

int main(int argc, char **argv)
{
    const bool has_path = argc == 3 && strcmp(argv[1], "--write") == 0;
    if (argc != 1 && !has_path) {
        fprintf(stderr, "usage: bench_reward [--write FILE]\n");
        return 2;
    }
    if (run_all(has_path ? argv[2] : NULL) == STATUS_OK)
        return 0;
    fprintf(stderr, "%s\n", status_message());
    return 1;
}
