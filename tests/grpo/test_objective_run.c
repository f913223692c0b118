/*
 * Engines' options through our objectives: random mixes against an independent
 * reference (objective_cases.jsonl), every row of its published table
 * (objective_golden.txt), the engines' own outputs where the fixtures are at hand; and
 * the command on wrong input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "core/io.h"
#include "grpo/objective_command.h"
#include "grpo/objective_recipe.h"
#include "grpo/objective_run.h"
#include "tests/grpo/objective_golden.h"

static void test_random_mixes(void **state)
{
    (void)state;
    struct golden_count n;
    golden_check_file("tests/grpo/objective_cases.jsonl", &n);
    print_message("  %lld cases, worst %.1e\n", (long long)n.n, n.worst);
    assert_true(n.n >= 150 && n.n_refused == 0);
}

static void test_engines(void **state)
{
    (void)state;
    const char *const root = getenv("MOE_GRPO_SHARED");
    char *const path = io_join(root == NULL ? "../shared" : root,
                               "fixtures/objectives/engines.jsonl");
    struct golden_count n;
    if (!io_exists(path)) {
        mem_free(path);
        skip();
    }
    golden_check_file(path, &n);
    print_message("  %lld cases, %lld core, %lld refused, worst %.1e\n", (long long)n.n,
                  (long long)n.n_core, (long long)n.n_refused, n.worst);
    assert_true(n.n_core > 0);
    mem_free(path);
}

/* The published inputs ("base") */
enum { N = 8, G = 4 };
static const int lengths[N] = {3, 5, 2, 4, 4, 4, 1, 5};

static double base_value(const char *name, int i, int t)
{
    const double logp = -0.05 * (1 + (7 * i + 3 * t) % 11);
    const double old = logp + 0.1 * ((5 * i + 2 * t) % 7 - 3);
    if (strcmp(name, "logp") == 0)
        return logp;
    if (strcmp(name, "logp_old") == 0)
        return old;
    if (strcmp(name, "logp_ref") == 0)
        return logp + 0.05 * ((3 * i + 5 * t) % 5 - 2);
    if (strcmp(name, "logp_rollout") == 0)
        return old + 0.7 * ((2 * i + 3 * t) % 5 - 2);
    return 0.25 + (5 * i + 3 * t) % 13 / 16.0;
}

static void put_case(struct buf *b, const char *engine, const char *options)
{
    static const char *const names[] = {"logp", "logp_old", "logp_ref", "logp_rollout",
                                        "entropy"};
    buf_reset(b);
    buf_printf(
        b,
        "{\"id\":\"base\",\"engine\":\"%s\",\"options\":%s,\"input\":{\"width\":5,"
        "\"group\":[0,0,0,0,1,1,1,1],"
        "\"rewards\":[[1],[0],[0],[1],[0],[0],[1],[0]]",
        engine, options);
    for (int64_t k = 0; k < ARRAY_LEN(names); k++) {
        buf_printf(b, ",\"%s\":[", names[k]);
        for (int i = 0; i < N; i++)
            for (int t = 0; t < lengths[i]; t++)
                buf_printf(b, "%s%.17g%s",
                           t > 0   ? ","
                           : i > 0 ? ",["
                                   : "[",
                           base_value(names[k], i, t), t + 1 == lengths[i] ? "]" : "");
        buf_puts(b, "]");
    }
    buf_puts(b, "}}");
}

static void run_base(struct objective_case *c, struct mapping *m,
                     struct objective_result *r, const char *engine,
                     const char *options)
{
    struct buf b = {0};
    put_case(&b, engine, options);
    if (objective_case_read(c, b.data, b.len, "base") != 0 || mapping_make(m, c) != 0 ||
        objective_run(r, c, m) != 0)
        fail_msg("%s %s: %s", engine, options, status_message());
    buf_release(&b);
}

static void stop_base(struct objective_case *c, struct mapping *m,
                      struct objective_result *r)
{
    objective_result_release(r);
    mapping_release(m);
    objective_case_release(c);
}

static double after(const char *line, const char *mark)
{
    const char *const at = strstr(line, mark);
    if (at == NULL)
        fail_msg("no %s in: %s", mark, line);
    return strtod(at + strlen(mark), NULL);
}

static double near(double got, double want, const char *line)
{
    /* printed to 10 digits after the point (advantages: 9) */
    if (!(fabs(got - want) <= (strstr(line, "L=") == NULL ? 6e-10 : 6e-11)))
        fail_msg("%.12g instead of %.12g: %s", got, want, line);
    return fabs(got - want);
}

static double check_loss_row(const char *line, const struct objective_case *c,
                             const struct objective_result *r)
{
    double sum = 0.0;
    for (int64_t t = 0; t < c->n_tokens; t++)
        sum += fabs(r->grad[t]);
    double e = near(r->loss, after(line, " L="), line);
    e = fmax(e, near(sum, after(line, "sum|g|="), line));
    e = fmax(e, near(r->grad[c->off[0]], after(line, "g[0,0]="), line));
    e = fmax(e, near(r->grad[c->off[1] + 2], after(line, "g[1,2]="), line));
    return fmax(e, near(r->grad[c->off[6]], after(line, "g[6,0]="), line));
}

static double check_advantage_row(const char *line, const char *name,
                                  const struct objective_case *c,
                                  const struct objective_result *r)
{
    char *p = (char *)(uintptr_t)(strstr(line, name) + strlen(name));
    double worst = 0.0;
    for (int i = 0; i < N; i++) {
        const double want = strtod(p, &p);
        const double got = r->is_per_token ? r->advantages[c->off[i]] : r->advantage[i];
        worst = fmax(worst, near(got, want, line));
    }
    return worst;
}

/* The line of the table that starts with the name, after blanks */
static void find_row(char *out, size_t room, const char *table, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = table; p != NULL && *p != '\0';
         p = strchr(p, '\n') == NULL ? NULL : strchr(p, '\n') + 1) {
        const char *const start = p + strspn(p, " ");
        if (strncmp(start, name, len) == 0 && start[len] == ' ' &&
            strspn(start + len, " ") == strcspn(start + len, "L+-")) {
            snprintf(out, room, "%.*s", (int)strcspn(p, "\n"), p);
            return;
        }
    }
    fail_msg("no row \"%s\" in the table", name);
}

static void test_published_table(void **state)
{
    (void)state;
    struct buf table = {0};
    struct io_lines lines;
    const char *text;
    size_t len;
    int64_t n = 0;
    assert_int_equal(io_read_file(&table, "tests/grpo/objective_golden.txt", 1 << 20),
                     0);
    assert_int_equal(io_lines_open(&lines, "tests/grpo/objective_rows.jsonl"), 0);
    while (io_lines_next(&lines, &text, &len)) {
        struct objective_case c;
        struct mapping m;
        struct objective_result r = {0};
        char row[512];
        json_t *const o = json_loads(text, 0, NULL);
        char *const options = json_dumps(json_object_get(o, "options"), 0);
        const char *const name = json_string_value(json_object_get(o, "row"));
        run_base(&c, &m, &r, json_string_value(json_object_get(o, "engine")), options);
        find_row(row, sizeof(row), table.data, name);
        const double e = strstr(row, "sum|g|=") != NULL
                             ? check_loss_row(row, &c, &r)
                             : check_advantage_row(row, name, &c, &r);
        print_message("  %-40s off by %.1e\n", name, e);
        stop_base(&c, &m, &r);
        free(options);
        json_decref(o);
        n++;
    }
    /* all rows of the table but those of engines that were read, not run */
    int64_t n_rows = 0;
    for (const char *p = table.data; (p = strchr(p, '\n')) != NULL; p++)
        n_rows++;
    assert_int_equal(n + 4 + 4, n_rows); /* 4 others, 3 headings, the check's line */
    io_lines_close(&lines);
    buf_release(&table);
}

/* Our INI lines for a case, read back, are the recipe it ran with. */
static void test_as_ours(void **state)
{
    (void)state;
    struct objective_case c;
    struct mapping m;
    struct objective_result r = {0};
    struct config direct = {0}, again = {0};
    struct buf ini = {0}, a = {0}, b = {0};
    const char *const path = "objective_ours.ini";
    run_base(
        &c, &m, &r, "verl",
        "{\"loss_mode\":\"sapo\",\"rollout_is\":\"token\","
        "\"rollout_is_threshold\":\"0.5_2.0\",\"rollout_rs\":\"seq_mean_k3,token_k1\","
        "\"rollout_rs_threshold\":\"0.6,0.4_1.5\",\"use_kl_loss\":true}");
    mapping_ini(&m, &ini);
    assert_int_equal(io_write_atomic(path, ini.data, ini.len), 0);
    assert_int_equal(options_set_defaults(config_options(), &direct), 0);
    assert_int_equal(options_set_defaults(config_options(), &again), 0);
    struct recipe recipe;
    assert_int_equal(mapping_apply(&m, &direct, &recipe), 0);
    assert_int_equal(options_read_file(config_options(), &again, path), 0);
    options_write(config_options(), &direct, &a);
    options_write(config_options(), &again, &b);
    assert_string_equal(a.data, b.data);
    assert_non_null(strstr(a.data, "is_correction = token_mask"));
    remove(path);
    config_release(&direct);
    config_release(&again);
    buf_release(&ini);
    buf_release(&a);
    buf_release(&b);
    stop_base(&c, &m, &r);
}

/* The presets of the engines' names are what the engines' defaults become. */
static void test_presets_are_defaults(void **state)
{
    (void)state;
    static const char *const engines[] = {"verl", "trl"};
    for (int64_t i = 0; i < ARRAY_LEN(engines); i++) {
        struct objective_case c;
        struct mapping m;
        struct objective_result result = {0};
        struct config theirs = {0}, ours = {0};
        struct recipe a, b;
        char word[32], *argv[] = {word};
        snprintf(word, sizeof(word), "grpo.preset=%s", engines[i]);
        run_base(&c, &m, &result, engines[i], "{}");
        assert_int_equal(options_set_defaults(config_options(), &theirs), 0);
        assert_int_equal(mapping_apply(&m, &theirs, &a), 0);
        assert_int_equal(config_parse(&ours, 1, argv), 0);
        assert_int_equal(recipe_init(&b, &ours), 0);
        assert_ptr_equal(a.advantage.kind, b.advantage.kind);
        assert_true(a.advantage.std == b.advantage.std &&
                    a.advantage.whiten == b.advantage.whiten &&
                    a.advantage.single == b.advantage.single &&
                    a.advantage.eps == b.advantage.eps &&
                    a.advantage.count_eps == b.advantage.count_eps &&
                    a.advantage.n_weights == b.advantage.n_weights);
        assert_ptr_equal(a.objective.kind, b.objective.kind);
        assert_ptr_equal(a.objective.ratio, b.objective.ratio);
        assert_ptr_equal(a.aggregation, b.aggregation);
        assert_true(a.objective.ratio_clamp == b.objective.ratio_clamp &&
                    a.objective.clip_low == b.objective.clip_low &&
                    a.objective.clip_high == b.objective.clip_high &&
                    a.objective.clip_dual == b.objective.clip_dual &&
                    a.objective.clip_delta == b.objective.clip_delta &&
                    a.objective.kl_coef == b.objective.kl_coef &&
                    a.objective.entropy_coef == b.objective.entropy_coef &&
                    a.objective.count_eps == b.objective.count_eps &&
                    a.entropy_quantile == b.entropy_quantile &&
                    a.is_truncated_masked == b.is_truncated_masked);
        config_release(&theirs);
        config_release(&ours);
        stop_base(&c, &m, &result);
    }
}

/* Lines in, lines out */
static int run_lines(const struct buf *in, enum objective_print what, char **out,
                     char **err)
{
    static const char path[] = "objective_lines.jsonl";
    size_t n_out = 0, n_err = 0;
    assert_int_equal(io_write_atomic(path, in->data, in->len), 0);
    FILE *const f = open_memstream(out, &n_out), *const g = open_memstream(err, &n_err);
    const int status = objective_command(path, what, f, g);
    fclose(f);
    fclose(g);
    remove(path);
    return status;
}

static void add_line(struct buf *b, const char *engine, const char *options)
{
    struct buf one = {0};
    put_case(&one, engine, options);
    buf_append(b, one.data, one.len);
    buf_puts(b, "\n");
    buf_release(&one);
}

static int64_t count_lines(const char *s)
{
    int64_t n = 0;
    for (; *s != '\0'; s++)
        n += *s == '\n';
    return n;
}

static void test_command(void **state)
{
    (void)state;
    struct buf in = {0};
    char *out = NULL, *err = NULL;
    add_line(&in, "trl", "{}");
    buf_puts(&in, "{\"engine\":\"trl\",\"input\":\n");
    add_line(&in, "trl", "{\"loss_type\":\"nosuch\"}");
    add_line(&in, "verl", "{\"nosuch_key\":1}");
    add_line(&in, "slime", "{}");
    buf_puts(&in, "{\"engine\":\"trl\",\"input\":{\"group\":[0],\"rewards\":[[1]],"
                  "\"logp\":[[0.0,1]],\"mask\":[[1]]}}\n");
    add_line(&in, "verl", "{}");
    assert_int_equal(run_lines(&in, OBJECTIVE_VALUES, &out, &err), ERR_INPUT);
    assert_int_equal(count_lines(out), 7);
    assert_non_null(strstr(out, "not supported: loss_type=\\\"nosuch\\\""));
    assert_non_null(strstr(out, "not supported: nosuch_key"));
    assert_non_null(strstr(out, "\"slime\\\""));
    assert_non_null(strstr(out, "\"line\":2"));
    assert_non_null(strstr(out, "input.mask[0]: expected 2 tokens"));
    assert_non_null(strstr(err, "objective_lines.jsonl:2"));
    assert_non_null(strstr(status_message(), "2 of 7 lines"));
    free(out);
    free(err);
    buf_reset(&in);
    add_line(&in, "verl", "{\"clip_ratio_high\":0.28,\"tau_pos\":2.0}");
    assert_int_equal(run_lines(&in, OBJECTIVE_EXPLAIN, &out, &err), 0);
    assert_non_null(
        strstr(out, "verl clip_ratio_high = 0.28  ->  grpo.clip_high = 0.28"));
    assert_non_null(
        strstr(out, "clip_ratio_c = 3.0 (default)  ->  grpo.clip_dual = 3"));
    assert_non_null(strstr(out, "verl tau_pos: without effect here"));
    free(out);
    free(err);
    assert_int_equal(run_lines(&in, OBJECTIVE_INI, &out, &err), 0);
    assert_non_null(strstr(out, "[grpo]\n"));
    assert_non_null(strstr(out, "clip_high = 0.28\n"));
    free(out);
    free(err);
    buf_release(&in);
}

static void test_missing_inputs(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"engine\":\"trl\",\"options\":{\"beta\":0.1},\"input\":{\"group\":[0,0],"
         "\"rewards\":[[1],[0]],\"logp\":[[-1],[-2]]}}",
         "logp_ref"},
        {"{\"engine\":\"trl\",\"options\":{\"num_iterations\":2},\"input\":{\"group\":["
         "0,0],"
         "\"rewards\":[[1],[0]],\"logp\":[[-1],[-2]]}}",
         "logp_old"},
        {"{\"engine\":\"trl\",\"options\":{\"entropy_coef\":0.1},\"input\":{\"group\":["
         "0,0],"
         "\"rewards\":[[1],[0]],\"logp\":[[-1],[-2]]}}",
         "entropy"},
        {"{\"engine\":\"verl\",\"input\":{\"group\":[0,0],\"rewards\":[[1],[null]],"
         "\"logp\":[[-1],[-2]],\"logp_old\":[[-1],[-2]]}}",
         "rewards[1] is null"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct objective_case c;
        struct mapping m;
        struct objective_result r = {0};
        assert_int_equal(objective_case_read(&c, cases[i][0], strlen(cases[i][0]), "x"),
                         0);
        assert_int_equal(mapping_make(&m, &c), 0);
        assert_int_equal(objective_run(&r, &c, &m), ERR_INPUT);
        assert_non_null(strstr(status_message(), cases[i][1]));
        stop_base(&c, &m, &r);
    }
}

/* Messages name the engine's option and what it takes, not ours alone. */
static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *engine, *options, *message;
    } cases[] = {
        {"verl", "{\"loss_mod\":\"gspo\"}",
         "loss_mod of verl; did you mean loss_mode?"},
        {"verl", "{\"loss_mode\":\"gsp\"}",
         "loss_mode=\\\"gsp\\\" of verl; expected vanilla, gspo, cispo"},
        {"trl", "{\"trainer\":\"ppo\"}", "of trl; expected grpo, gmpo, rloo"},
        {"trl", "{\"epsilon\":\"0.2\"}", "of trl; expected a number"},
        {"trl", "{\"delta\":true}", "of trl; expected a number or null"},
        {"trl", "{\"epsilon\":-1}",
         "option not supported: epsilon of trl: grpo.clip_low"},
        {"verl", "{\"rollout_rs\":\"token_k9\",\"rollout_rs_threshold\":1}",
         "option not supported: rollout_rs of verl: grpo.reject"},
        {"verl", "{\"rollout_rs\":\"token_k1\",\"rollout_rs_threshold\":\"-1\"}",
         "option not supported: rollout_rs of verl: grpo.reject"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf in = {0};
        char *out = NULL, *err = NULL;
        add_line(&in, cases[i].engine, cases[i].options);
        buf_puts(&in, " \t\r\n\n"); /* blank lines are no cases */
        assert_int_equal(run_lines(&in, OBJECTIVE_VALUES, &out, &err), 0);
        assert_int_equal(count_lines(out), 1);
        if (strstr(out, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].message, out);
        free(out);
        free(err);
        buf_release(&in);
    }
}

static void test_slips(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"engine\":\"verl\",\"optons\":{},\"input\":{}}",
         "did you mean \"options\"?"},
        {"{\"engine\":\"verl\",\"input\":{\"logp_reff\":[]}}",
         "did you mean \"logp_ref\"?"},
    };
    struct objective_case c;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *const text = cases[i][0];
        assert_int_equal(objective_case_read(&c, text, strlen(text), "x"), ERR_INPUT);
        assert_non_null(strstr(status_message(), cases[i][1]));
    }
    /* other keys may stand beside the known ones */
    static const char other[] =
        "{\"engine\":\"trl\",\"set\":\"core\",\"output\":{},\"input\":{\"note\":1,"
        "\"logp_new\":0,\"group\":[0],\"rewards\":[[1]],\"logp\":[[-1]]}}";
    assert_int_equal(objective_case_read(&c, other, strlen(other), "x"), 0);
    objective_case_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_mixes),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_published_table),
        cmocka_unit_test(test_as_ours),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_missing_inputs),
        cmocka_unit_test(test_presets_are_defaults),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_slips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
