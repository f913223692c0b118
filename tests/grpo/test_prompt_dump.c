/*
 * Dumped prompts: both forms byte for byte, and the 1,319 four-shot prompts of GSM8K
 * that the authors of arXiv 2508.18672 evaluate with, whose file this must equal.
 */
#include "grpo/prompt_dump.h"

#include "core/hash.h"
#include "tests/grpo/prompt_fixture.h"

static void check_dump(const struct session *s, const struct prompt_dir *d,
                       const char *data, const char *name, const char *expected)
{
    struct buf text = {0};
    char *const out = io_join(d->path, name);
    if (prompt_dump(s, data, out) != 0)
        fail_msg("%s", status_message());
    assert_int_equal(io_read_file(&text, out, 1 << 20), 0);
    assert_string_equal(text.data, expected);
    buf_release(&text);
    mem_free(out);
}

static void test_forms(void **state)
{
    struct prompt_dir d;
    struct session s;
    (void)state;
    prompt_dir_make(&d);
    prompt_dir_put(
        &d, "in.jsonl",
        "{\"question\": \"2 \\\"+\\\" 3?\\u0001\\n\", \"answer\": \"#### 5\"}\n"
        "\n{\"question\": \"\\u00e9\\ud83d\\ude00\\u007f/\", \"answer\": 7.5}");
    char *const data = io_join(d.path, "in.jsonl");
    prompt_session(&s, NULL, "prompt.preset=raw", NULL);
    check_dump(
        &s, &d, data, "out.jsonl",
        "{\"prompt\": \"2 \\\"+\\\" 3?\\u0001\\n\", \"answer\": \"#### 5\"}\n"
        "{\"prompt\": \"\xC3\xA9\xF0\x9F\x98\x80\x7F/\", \"answer\": \"7.5\"}\n");
    check_dump(&s, &d, data, "out.json",
               "[\n  {\n    \"prompt\": \"2 \\\"+\\\" 3?\\u0001\\n\",\n"
               "    \"answer\": \"#### 5\"\n  },\n"
               "  {\n    \"prompt\": \"\xC3\xA9\xF0\x9F\x98\x80\x7F/\",\n"
               "    \"answer\": \"7.5\"\n  }\n]");
    s.config.data.eval_limit = 1;
    check_dump(&s, &d, data, "one.jsonl",
               "{\"prompt\": \"2 \\\"+\\\" 3?\\u0001\\n\", \"answer\": \"#### 5\"}\n");
    session_close(&s);
    prompt_dir_put(&d, "in.jsonl", "\n");
    prompt_session(&s, NULL, NULL);
    assert_int_equal(prompt_dump(&s, data, data), ERR_INPUT);
    assert_non_null(strstr(status_message(), "in.jsonl: no problem"));
    session_close(&s);
    mem_free(data);
    assert_int_equal(io_remove_tree(d.path), 0);
}

/* A row that is left out has its draw all the same. */
static void test_left_out(void **state)
{
    struct prompt_dir d;
    struct session s;
    struct buf all = {0}, some = {0};
    struct io_lines rows;
    (void)state;
    prompt_dir_make(&d);
    struct buf text = {0};
    assert_int_equal(io_lines_open(&rows, "tests/grpo/shots_asked.jsonl"), 0);
    for (json_t *row; (row = next_json(&rows)) != NULL; json_decref(row)) {
        if (rows.number == 2 || rows.number == 5)
            json_object_set_new(row, "gold", json_string("none"));
        char *const line = json_dumps(row, 0);
        buf_printf(&text, "%s\n", line);
        free(line);
    }
    io_lines_close(&rows);
    prompt_dir_put(&d, "in.jsonl", text.data);
    char *const data = io_join(d.path, "in.jsonl");
    char *const out = io_join(d.path, "out.jsonl");
    prompt_session(&s, NULL, "data.lenient=true", "prompt.shots=2",
                   "prompt.shots_from=tests/grpo/shots_train.jsonl", NULL);
    assert_int_equal(prompt_dump(&s, "tests/grpo/shots_asked.jsonl", out), 0);
    assert_int_equal(io_read_file(&all, out, 1 << 20), 0);
    assert_int_equal(prompt_dump(&s, data, out), 0);
    assert_int_equal(io_read_file(&some, out, 1 << 20), 0);
    /* the lines that are there, without the second and the fifth */
    const char *a = all.data, *b = some.data;
    for (int i = 1; i <= 18; i++, a += strcspn(a, "\n") + 1) {
        const size_t n = strcspn(a, "\n") + 1;
        if (i == 2 || i == 5)
            continue;
        assert_true(strncmp(a, b, n) == 0);
        b += n;
    }
    assert_int_equal(b[0], 0);
    buf_release(&text);
    buf_release(&all);
    buf_release(&some);
    mem_free(data);
    mem_free(out);
    session_close(&s);
    assert_int_equal(io_remove_tree(d.path), 0);
}

/* rioyokotalab/optimal-sparsity, taskloss-eval/datasets/lm-evaluation-harness/
 * gsm8k_4shot.json: 3,703,445 bytes, sha256
 * 680614d9dd9d32d9a4b8a0f8848e4e498675a2f95c32aeebf6d8d457d225a4bf; below its XXH3-128.
 */
static void test_authors(void **state)
{
    static const char expected[] = "663c78dbba0d0fa653a6deb0bc0d7940";
    char hex[HASH_HEX_LEN + 1], from[1024];
    struct prompt_dir d;
    struct session s;
    char *const train = shared_file("data/gsm8k/train.jsonl");
    char *const test = shared_file("data/gsm8k/test.jsonl");
    (void)state;
    if (train == NULL || test == NULL)
        skip();
    prompt_dir_make(&d);
    char *const out = io_join(d.path, "gsm8k_4shot.json");
    snprintf(from, sizeof(from), "prompt.shots_from=%s", train);
    prompt_session(&s, NULL, "prompt.preset=gsm8k-4shot", from, NULL);
    assert_int_equal(prompt_dump(&s, test, out), 0);
    assert_int_equal(hash_file(hex, out), 0);
    assert_string_equal(hex, expected);
    session_close(&s);
    mem_free(train);
    mem_free(test);
    mem_free(out);
    assert_int_equal(io_remove_tree(d.path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_authors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
