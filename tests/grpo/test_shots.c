/*
 * Draws against prompts that Python drew (shots_cases.jsonl, made by
 * make_shots_cases.py), rows that are passed over, and files that have too few.
 */
#include "grpo/shots.h"

#include "tests/grpo/prompt_fixture.h"

static const char train[] = "tests/grpo/shots_train.jsonl";
static const char asked[] = "tests/grpo/shots_asked.jsonl";

/* The prompt that Python has, without its last question. */
static void put_shots(struct buf *out, const struct prompt_shot *x, int64_t n)
{
    buf_reset(out);
    for (int64_t i = 0; i < n; i++) {
        buf_puts(out, "Question: ");
        buf_append(out, x[i].question.data, x[i].question.len);
        buf_puts(out, "\nAnswer: ");
        buf_append(out, x[i].answer.data, x[i].answer.len);
        buf_puts(out, "\n\n");
    }
}

static void check_case(const json_t *line, int64_t step)
{
    const json_t *const prompts = json_object_get(line, "prompts");
    const bool is_self = json_is_true(json_object_get(line, "self"));
    const int64_t n_rows = (int64_t)json_array_size(prompts);
    struct shots *s = NULL;
    struct buf out = {0};
    assert_int_equal(
        shots_load(&s, is_self ? asked : train,
                   json_integer_value(json_object_get(line, "shots")),
                   (uint64_t)json_integer_value(json_object_get(line, "seed")),
                   is_self),
        0);
    assert_int_equal(n_rows, 18);
    for (int64_t row = 0; row < n_rows; row += step) {
        int64_t n = 0;
        const struct prompt_shot *const x = shots_draw(s, row, &n);
        const char *const expected = json_string_value(
            json_array_get(prompts, (size_t)row));
        put_shots(&out, x, n);
        assert_true(out.len < strlen(expected));
        assert_memory_equal(out.data, expected, out.len);
        /* all of them: one question more, the one asked */
        assert_ptr_equal(strstr(expected + out.len, "Question: "), expected + out.len);
        assert_null(strstr(expected + out.len + 1, "Question: "));
    }
    buf_release(&out);
    shots_free(s);
}

static void test_python(void **state)
{
    struct io_lines lines;
    int64_t n = 0;
    (void)state;
    assert_int_equal(io_lines_open(&lines, "tests/grpo/shots_cases.jsonl"), 0);
    for (json_t *line; (line = next_json(&lines)) != NULL; n++) {
        check_case(line, 1);
        check_case(line, 5);
        json_decref(line);
    }
    io_lines_close(&lines);
    assert_int_equal(n, 7);
}

static void test_too_few(void **state)
{
    struct shots *s = NULL;
    int64_t n = 0;
    (void)state;
    assert_int_equal(shots_load(&s, asked, 19, 42, false), ERR_INPUT);
    assert_non_null(strstr(status_message(), "shots_asked.jsonl has 18 pairs"));
    assert_int_equal(shots_load(&s, asked, 18, 42, true), ERR_INPUT);
    assert_non_null(strstr(status_message(), "18 shots need 19"));
    assert_int_equal(shots_load(&s, "tests/grpo/nothing.jsonl", 1, 42, true),
                     ERR_INPUT);
    assert_null(s);
    assert_int_equal(shots_load(&s, asked, 18, 42, false), 0);
    shots_draw(s, 3, &n);
    assert_int_equal(n, 18);
    shots_free(s);
    shots_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
