/*
 * Other projects' verifier cases and real model outputs, where the shared folder is: a
 * table by level, no false positive anywhere, and every gold of GSM8K and MATH against
 * itself.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"

static void fixture_init(struct verifier *f, enum reward_style style)
{
    const struct reward_options o = {.style = (int)style};
    verifier_init(f, &o);
}

static char *shared_path(const char *name)
{
    const char *const root = getenv("MOE_GRPO_SHARED");
    return io_join(root == NULL ? "../shared" : root, name);
}

/* Opens a file of the shared folder, or skips the test. */
static void open_shared(struct io_lines *lines, const char *name)
{
    char *const path = shared_path(name);
    const bool is_here = io_exists(path);
    if (is_here)
        assert_int_equal(io_lines_open(lines, path), 0);
    mem_free(path);
    if (!is_here)
        skip();
}

static json_t *next_row(struct io_lines *lines)
{
    const char *line;
    size_t len;
    json_t *row = NULL;
    if (io_lines_next(lines, &line, &len))
        assert_int_equal(json_parse(&row, line, len, "row"), 0);
    return row;
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *const text = json_string_value(json_object_get(row, key));
    return text == NULL ? "" : text;
}

/* NULL: none of the golds is usable */
static struct reward_gold *gold_of(const struct verifier *f, const json_t *v)
{
    struct reward_gold *g = NULL;
    if (json_is_string(v)) {
        if (reward_gold_create(&g, f->scratch, json_string_value(v),
                               json_string_length(v)) != 0)
            return NULL;
        return g;
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *const one = json_array_get(v, i);
        const char *const text = json_string_value(one);
        const size_t len = json_string_length(one);
        const int status = g == NULL ? reward_gold_create(&g, f->scratch, text, len)
                                     : reward_gold_add(g, f->scratch, text, len);
        assert_int_equal(status, 0);
    }
    return g;
}

static const char *const levels[] = {"L0", "L1", "L2", "L3", "L4",
                                     "L5", "X",  "N",  "N!", "convention"};
enum { N_LEVELS = 10, LEVEL_X = 6, LEVEL_CONVENTION = 9 };

struct tally {
    int n, n_agree, n_paid_wrongly;
};

static int level_of(const json_t *row)
{
    for (int i = 0; i < N_LEVELS; i++)
        if (strcmp(levels[i], text_of(row, "level")) == 0)
            return i;
    fail_msg("level %s", text_of(row, "level"));
    return -1;
}

static void tally_row(struct tally *t, const struct verifier *f, const json_t *row)
{
    const bool is_expected = json_integer_value(json_object_get(row, "expected")) == 1;
    const char *const text = text_of(row, "response");
    struct reward_gold *const g = gold_of(f, json_object_get(row, "gold"));
    struct reward_result r = {.rule = "no gold"};
    const struct reward_input in = {
        .text = text,
        .len = json_string_length(json_object_get(row, "response")),
        .kind = strcmp(text_of(row, "kind"), "answer") == 0 ? REWARD_ANSWER
                                                            : REWARD_RESPONSE};
    if (g != NULL)
        reward_score(&r, f->scratch, &in, g);
    struct tally *const to = &t[level_of(row)];
    const bool is_correct = g != NULL && r.is_correct;
    to->n++;
    to->n_agree += is_correct == is_expected;
    to->n_paid_wrongly += is_correct && !is_expected;
    if (is_correct != is_expected && (getenv("VERBOSE") != NULL || is_correct))
        print_message(
            "%s %s %s/%s: gold <%.120s> answer <%.*s> of <%.160s>\n",
            text_of(row, "level"), is_correct ? "PAID" : "missed", r.rule,
            g == NULL ? "unusable" : reward_reason_name(r.reason), text_of(row, "gold"),
            r.answer_len < 120 ? (int)r.answer_len : 120, text + r.answer_off, text);
    reward_gold_free(g);
}

static void test_verifier_cases(void **state)
{
    (void)state;
    struct io_lines lines;
    struct tally t[N_LEVELS] = {0};
    struct verifier f;
    open_shared(&lines, "fixtures/verifier/cases.jsonl");
    fixture_init(&f, REWARD_STYLE_AUTO);
    for (json_t *row = next_row(&lines); row != NULL; row = next_row(&lines)) {
        tally_row(t, &f, row);
        json_decref(row);
    }
    io_lines_close(&lines);
    verifier_release(&f);
    print_message("level        cases  agree      %%  wrongly paid\n");
    for (int i = 0; i < N_LEVELS; i++)
        print_message("%-10s %7d %6d %6.1f %13d\n", levels[i], t[i].n, t[i].n_agree,
                      100.0 * t[i].n_agree / t[i].n, t[i].n_paid_wrongly);
    for (int i = 0; i < N_LEVELS; i++) {
        if (i != LEVEL_CONVENTION)
            assert_int_equal(t[i].n_paid_wrongly, 0);
        if (i < 4)
            assert_int_equal(t[i].n_agree, t[i].n);
    }
    for (int i = 4; i < LEVEL_X; i++)
        assert_true(10 * t[i].n_agree >= 8 * t[i].n);
}

/* OpenAI's labelled outputs end in "A: N"; rewritten to "#### N" they must agree too.
 */
static void count_outputs(const struct verifier *f, bool is_rewritten)
{
    struct io_lines lines;
    int n_right = 0, n_missed = 0, n_paid = 0;
    struct buf text = {0};
    open_shared(&lines, "fixtures/verifier/gsm8k_model_outputs.jsonl");
    for (json_t *row = next_row(&lines); row != NULL; row = next_row(&lines)) {
        const char *const body = text_of(row, "response");
        const char *last = NULL;
        for (const char *at = strstr(body, "A: "); is_rewritten && at != NULL;
             at = strstr(at + 1, "A: "))
            last = at;
        buf_reset(&text);
        buf_append(&text, body, last == NULL ? strlen(body) : (size_t)(last - body));
        if (last != NULL)
            buf_printf(&text, "#### %s", last + 3);
        struct reward_gold *const g = gold_of(f, json_object_get(row, "gold"));
        assert_non_null(g);
        struct reward_result r;
        const struct reward_input in = {.text = text.data, .len = text.len};
        reward_score(&r, f->scratch, &in, g);
        const bool is_right = json_is_true(json_object_get(row, "correct"));
        n_right += is_right;
        n_missed += is_right && !r.is_correct;
        n_paid += !is_right && r.is_correct;
        if (is_right != r.is_correct)
            print_message("%s: gold %s, %s\n", is_right ? "missed" : "PAID",
                          reward_gold_text(g), body);
        reward_gold_free(g);
        json_decref(row);
    }
    buf_release(&text);
    io_lines_close(&lines);
    print_message("model outputs%s: %d right, %d missed, %d wrongly paid\n",
                  is_rewritten ? " as ####" : "", n_right, n_missed, n_paid);
    assert_int_equal(n_right, 148 + 260 + 232 + 369);
    assert_int_equal(n_paid, 0);
    assert_true(500 * n_missed < n_right);
}

static void test_model_outputs(void **state)
{
    (void)state;
    for (int style = REWARD_STYLE_AUTO; style <= REWARD_STYLE_GSM8K; style++) {
        struct verifier f;
        fixture_init(&f, (enum reward_style)style);
        count_outputs(&f, false);
        count_outputs(&f, true);
        verifier_release(&f);
    }
}

/* Every gold is usable, and correct against itself, as a solution and alone. */
static void count_golds(const struct verifier *f, const char *name,
                        const char *solution, const char *answer, int64_t n_expected,
                        int max_unusable, int max_refused)
{
    struct io_lines lines;
    int64_t n = 0;
    int n_unusable = 0, n_refused = 0;
    open_shared(&lines, name);
    for (json_t *row = next_row(&lines); row != NULL; row = next_row(&lines), n++) {
        struct reward_gold *const g = gold_of(f, json_object_get(row, solution));
        if (g == NULL) {
            n_unusable++;
            print_message("%s:%lld: %s\n", name, (long long)lines.number,
                          status_message());
            json_decref(row);
            continue;
        }
        struct reward_result r;
        const json_t *const whole = json_object_get(row, solution), *const alone =
                                                                        json_object_get(
                                                                            row,
                                                                            answer);
        reward_score(&r, f->scratch,
                     &(struct reward_input){.text = json_string_value(whole),
                                            .len = json_string_length(whole)},
                     g);
        if (!r.is_correct)
            print_message("%s:%lld: gold %s, %s\n", name, (long long)lines.number,
                          reward_gold_text(g), reward_reason_name(r.reason));
        n_refused += !r.is_correct;
        if (alone != NULL && alone != whole && json_string_length(alone) > 0) {
            reward_score(&r, f->scratch,
                         &(struct reward_input){.text = json_string_value(alone),
                                                .len = json_string_length(alone),
                                                .kind = REWARD_ANSWER},
                         g);
            if (!r.is_correct)
                print_message("%s:%lld: gold %s, alone %s\n", name,
                              (long long)lines.number, reward_gold_text(g),
                              json_string_value(alone));
        }
        reward_gold_free(g);
        json_decref(row);
    }
    io_lines_close(&lines);
    print_message("%s: %lld golds, %d unusable, %d refused\n", name, (long long)n,
                  n_unusable, n_refused);
    assert_int_equal(n, n_expected);
    assert_true(n_unusable <= max_unusable);
    assert_true(n_refused <= max_refused);
}

static void test_gsm8k_golds(void **state)
{
    (void)state;
    struct verifier f;
    fixture_init(&f, REWARD_STYLE_GSM8K);
    count_golds(&f, "data/gsm8k/train.jsonl", "answer", "answer", 7473, 0, 0);
    count_golds(&f, "data/gsm8k/test.jsonl", "answer", "answer", 1319, 0, 0);
    verifier_release(&f);
}

static void test_math_golds(void **state)
{
    (void)state;
    struct verifier f;
    fixture_init(&f, REWARD_STYLE_MATH);
    count_golds(&f, "data/math/train.jsonl", "solution", "answer", 7500, 2, 0);
    count_golds(&f, "data/math/test.jsonl", "solution", "answer", 5000, 0, 1);
    verifier_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verifier_cases),
        cmocka_unit_test(test_model_outputs),
        cmocka_unit_test(test_gsm8k_golds),
        cmocka_unit_test(test_math_golds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
