/*
 * Golds and responses with what is expected of each, written for this project
 * (tests/reward/pairs.jsonl: "kind" and "style" as `grpo score` takes them): spellings
 * of values that count, and as many near them that must not.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"
#include "core/options.h"

static struct reward_gold *gold_of(const struct verifier *f, const json_t *v)
{
    const json_t *const first = json_is_array(v) ? json_array_get(v, 0) : v;
    struct reward_gold *const g = verifier_gold(f, json_string_value(first));
    for (size_t i = 1; i < json_array_size(v); i++) {
        const json_t *const one = json_array_get(v, i);
        assert_int_equal(reward_gold_add(g, f->scratch, json_string_value(one),
                                         json_string_length(one)),
                         0);
    }
    return g;
}

/* 1: another verdict than expected */
static int check_row(const struct verifier *f, const json_t *row)
{
    const char *const kind = json_string_value(json_object_get(row, "kind"));
    const json_t *const text = json_object_get(row, "response");
    const bool is_paid = json_integer_value(json_object_get(row, "expected")) == 1;
    struct reward_gold *const g = gold_of(f, json_object_get(row, "gold"));
    const struct reward_input in = {.text = json_string_value(text),
                                    .len = json_string_length(text),
                                    .kind = kind == NULL ? REWARD_RESPONSE
                                                         : REWARD_ANSWER};
    struct reward_result r;
    reward_score(&r, f->scratch, &in, g);
    if (r.is_correct != is_paid)
        print_error("%s: gold <%s> of <%s>: %s by %s\n", is_paid ? "missed" : "PAID",
                    reward_gold_text(g), in.text, reward_reason_name(r.reason), r.rule);
    reward_gold_free(g);
    return r.is_correct != is_paid;
}

static void test_pairs(void **state)
{
    struct verifier f[REWARD_N_STYLES];
    struct io_lines lines;
    const char *line;
    size_t len;
    int n = 0, n_bad = 0;
    (void)state;
    for (int i = 0; i < REWARD_N_STYLES; i++)
        verifier_init(&f[i], &(struct reward_options){.style = i});
    assert_int_equal(io_lines_open(&lines, "tests/reward/pairs.jsonl"), 0);
    for (; io_lines_next(&lines, &line, &len); n++) {
        json_t *row = NULL;
        assert_int_equal(json_parse(&row, line, len, "pairs.jsonl"), 0);
        const char *const style = json_string_value(json_object_get(row, "style"));
        const int i = style == NULL ? 0 : options_choice(REWARD_STYLES, style);
        assert_in_range(i, 0, REWARD_N_STYLES - 1);
        n_bad += check_row(&f[i], row);
        json_decref(row);
    }
    io_lines_close(&lines);
    for (int i = 0; i < REWARD_N_STYLES; i++)
        verifier_release(&f[i]);
    print_message("%d pairs\n", n);
    assert_true(n > 1000);
    assert_int_equal(n_bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
