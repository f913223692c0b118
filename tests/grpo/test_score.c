/*
 * The `score` command: order and content of its lines, malformed lines among good ones,
 * keys by name, the summary, and the same output whatever the number of threads.
 */
#include "grpo/score.h"

#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"

struct result {
    int status;
    char *out, *err;
    size_t out_len, err_len;
};

static struct result run(const char *text, const struct score_options *options)
{
    char path[] = "/tmp/test_score_XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct result r = {0};
    struct score_options o = *options;
    o.path = path;
    o.out = open_memstream(&r.out, &r.out_len);
    o.err = open_memstream(&r.err, &r.err_len);
    r.status = score_command(&o);
    fclose(o.out);
    fclose(o.err);
    unlink(path);
    return r;
}

static void result_release(struct result *r)
{
    free(r->out);
    free(r->err);
}

static void test_lines(void **state)
{
    (void)state;
    struct result r = run(
        "{\"response\":\"#### 18\",\"gold\":\"18\"}\n"
        "{\"gold\":18,\"response\":\"#### 17 \\\"eggs\\\"\"}\n"
        "{\"gold\":\"1,080\",\"response\":\"none\"}\n"
        "{\"gold\":\"x #### 5\",\"response\":\"#### 5 or 6\"}\n"
        "{\"gold\":\"5\",\"response\":\"we\",\"truncated\":true}\n"
        "{\"gold\":[\"3\",\"1/2\"],\"response\":\"so \\\\boxed{0.5}\"}\n"
        "{\"gold\":1.5,\"response\":\"3/2\",\"kind\":\"answer\"}",
        &(struct score_options){0});
    assert_int_equal(r.status, STATUS_OK);
    assert_string_equal(
        r.out,
        "{\"score\":1,\"answer\":\"18\",\"rule\":\"hashes\",\"reason\":\"correct\"}\n"
        "{\"score\":0,\"answer\":\"17 \\\"eggs\",\"rule\":\"hashes\","
        "\"reason\":\"wrong\"}\n"
        "{\"score\":0,\"answer\":null,\"rule\":\"none\",\"reason\":\"no_marker\"}\n"
        "{\"score\":0,\"answer\":null,\"rule\":\"hashes\",\"reason\":\"ambiguous\"}\n"
        "{\"score\":0,\"answer\":null,\"rule\":\"none\",\"reason\":\"truncated\"}\n"
        "{\"score\":1,\"answer\":\"0.5\",\"rule\":\"boxed\",\"reason\":\"correct\"}\n"
        "{\"score\":1,\"answer\":\"3/2\",\"rule\":\"alone\",\"reason\":\"correct\"}\n");
    assert_non_null(strstr(r.err, "correct                   3   42.86 %"));
    assert_non_null(strstr(r.err, "malformed                 0    0.00 %"));
    assert_non_null(strstr(r.err, "all                       7  100.00 %"));
    result_release(&r);
}

/* The schemas of GSM8K and MATH without naming a key. */
static void test_schemas(void **state)
{
    (void)state;
    struct result r = run(
        "{\"question\":\"q\",\"answer\":\"2+3=5\\n#### 5\",\"response\":\"#### 5\"}\n"
        "{\"problem\":\"p\",\"solution\":\"so $\\\\boxed{\\\\frac12}$.\","
        "\"response\":\"\\\\boxed{0.5}\"}\n"
        "{\"question\":\"q\",\"answer\":\"x+1\",\"response\":\"\\\\boxed{1+x}\"}\n",
        &(struct score_options){0});
    assert_int_equal(r.status, STATUS_OK);
    assert_non_null(strstr(r.err, "correct                   3  100.00 %"));
    result_release(&r);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *line, *reason;
    } bad[] = {
        {"{\"response\":\"#### 1\"", "malformed"},
        {"{\"response\":\"#### 1\",\"gold\":\"none\"}", "bad_gold"},
        {"{\"response\":\"#### nan\",\"gold\":\"nan\"}", "bad_gold"},
        {"{\"response\":\"#### 1e400\",\"gold\":\"1e400\"}", "bad_gold"},
        {"{\"response\":\"\\\\boxed{}\",\"gold\":\"\"}", "bad_gold"},
        {"{\"response\":\"#### 1\",\"gold\":[]}", "bad_gold"},
        {"{\"response\":\"#### 1\",\"gold\":null}", "bad_gold"},
        {"{\"response\":\"#### 1\",\"gold\":null,\"answer\":\"1\"}", "bad_gold"},
        {"{\"response\":\"#### 1\",\"gold\":[\"1\",null]}", "bad_gold"},
        {"{\"response\":\"#### 1\"}", "bad_gold"},
        {"{\"gold\":\"1\"}", "malformed"},
        {"{\"response\":1,\"gold\":\"1\"}", "malformed"},
        {"{\"response\":null,\"gold\":\"1\"}", "malformed"},
        {"{\"response\":\"#### 1\",\"gold\":true}", "bad_gold"},
        {"{\"response\":\"#### 1\",\"gold\":1e400}", "malformed"},
        {"{\"response\":\"#### 1\",\"gold\":\"1\",\"truncated\":1}", "malformed"},
        {"{\"response\":\"#### 1\",\"gold\":\"1\",\"kind\":\"whole\"}", "malformed"},
        {"[1]", "malformed"},
        {"null", "malformed"},
        {"", "malformed"},
        {"{\"response\":\"#### 1\",\"gold\":\"1\"} x", "malformed"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "{\"response\":\"#### 1\",\"gold\":\"1\"}\n%s\n"
                 "{\"response\":\"#### 2\",\"gold\":\"2\"}\n",
                 bad[i].line);
        struct result r = run(text, &(struct score_options){0});
        assert_int_equal(r.status, ERR_INPUT);
        assert_int_equal(status_exit(r.status), 3);
        assert_non_null(strstr(status_message(), "1 of 3 lines"));
        const char *const second = strchr(r.out, '\n') + 1;
        char head[100];
        snprintf(head, sizeof(head),
                 "{\"score\":0,\"answer\":null,\"rule\":null,\"reason\":\"%s\","
                 "\"error\":\"",
                 bad[i].reason);
        assert_memory_equal(second, head, strlen(head));
        assert_non_null(strstr(second, ":2: ")); /* the line's number */
        assert_non_null(strstr(r.err, ":2: "));
        const char *const third = strchr(second, '\n') + 1;
        assert_memory_equal(third, "{\"score\":1,\"answer\":\"2\"", 23);
        json_t *row = NULL;
        assert_int_equal(json_parse(&row, second, (size_t)(third - second) - 1, ""), 0);
        json_decref(row);
        snprintf(head, sizeof(head), "%-16s %10d", bad[i].reason, 1);
        assert_non_null(strstr(r.err, head));
        result_release(&r);
    }
}

/* Line ends, blanks inside, NULs, escapes; the last line without an end. */
static void test_bytes(void **state)
{
    (void)state;
    struct result r = run(
        "{\"response\":\"#### 1\",\"gold\":\"1\"}\r\n"
        "  {\"gold\" : 2.50 , \"response\":\"a\\u0000b\\n#### 5/2\"}  \n"
        "{\"response\":\"#### 3\\u0000 4\",\"gold\":\"3\"}\n"
        "{\"response\":\"\\u0023### \\u221240\",\"gold\":\"-40\"}",
        &(struct score_options){0});
    assert_int_equal(r.status, STATUS_OK);
    const char *line = r.out;
    static const int scores[] = {1, 1, 0, 1};
    for (int64_t i = 0; i < ARRAY_LEN(scores); i++, line = strchr(line, '\n') + 1)
        assert_int_equal(line[9] - '0', scores[i]);
    assert_int_equal(*line, 0);
    result_release(&r);
    const struct score_options explained = {.is_explained = true};
    r = run("{}\n", &explained);
    assert_non_null(strstr(r.out, ",\"line\":1,\"gold\":null,\"offset\":null,"
                                  "\"has_form\":false,\"error\":\""));
    result_release(&r);
}

static void test_options(void **state)
{
    (void)state;
    const struct score_options o = {
        .response_key = "completion", .gold_key = "answer", .is_explained = true};
    struct result r = run("{\"completion\":\"so #### $5.50\",\"answer\":\"11/2\"}\n",
                          &o);
    assert_int_equal(r.status, STATUS_OK);
    assert_string_equal(r.out, "{\"score\":1,\"answer\":\"$5.50\",\"rule\":\"hashes\","
                               "\"reason\":\"correct\",\"line\":1,\"gold\":\"11/2\","
                               "\"offset\":8,\"has_form\":true}\n");
    result_release(&r);
    r = run("", &o);
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.out_len, 0);
    assert_non_null(strstr(r.err, "all                       0    0.00 %"));
    result_release(&r);
    const struct score_options boxed = {.kind = "answer",
                                        .verifier.style = REWARD_STYLE_BOXED};
    r = run("{\"response\":\"5\",\"gold\":\"5\"}\n"
            "{\"response\":\"#### 5\",\"gold\":\"5\",\"kind\":\"response\"}\n",
            &boxed);
    assert_string_equal(
        r.out,
        "{\"score\":1,\"answer\":\"5\",\"rule\":\"alone\",\"reason\":\"correct\"}\n"
        "{\"score\":0,\"answer\":null,\"rule\":\"none\",\"reason\":\"no_marker\"}\n");
    result_release(&r);
    const struct score_options broken = {.verifier.pattern = "("};
    r = run("{\"response\":\"5\",\"gold\":\"5\"}\n", &broken);
    assert_int_equal(r.status, ERR_CONFIG);
    result_release(&r);
    const struct score_options missing = {
        .path = "/nonexistent/x.jsonl", .out = stdout, .err = stderr};
    assert_int_equal(score_command(&missing), ERR_INPUT);
}

static void test_threads(void **state)
{
    (void)state;
    struct buf text = {0};
    enum { N_LINES = 3000 };
    for (int i = 0; i < N_LINES; i++)
        buf_printf(&text,
                   i % 97 == 5 ? "bad %d %d\n"
                               : "{\"response\":\"#### %d\","
                                 "\"gold\":\"%d\"}\n",
                   i, i - i % 2);
    const int n_threads = omp_get_max_threads();
    omp_set_num_threads(1);
    struct result one = run(text.data, &(struct score_options){0});
    omp_set_num_threads(4);
    struct result four = run(text.data, &(struct score_options){0});
    omp_set_num_threads(n_threads);
    assert_int_equal(one.status, ERR_INPUT);
    int n_lines = 0;
    const char *a = one.out, *b = four.out;
    for (; *a != 0; n_lines++) {
        char want[64];
        snprintf(want, sizeof(want), "{\"score\":%d,\"answer\":\"%d\"",
                 n_lines % 2 == 0, n_lines);
        if (n_lines % 97 == 5)
            strcpy(want, "{\"score\":0,\"answer\":null,\"rule\":null");
        assert_memory_equal(a, want, strlen(want));
        assert_memory_equal(b, want, strlen(want));
        a = strchr(a, '\n') + 1;
        b = strchr(b, '\n') + 1;
    }
    assert_int_equal(n_lines, N_LINES);
    assert_int_equal(*b, 0);
    result_release(&one);
    result_release(&four);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),     cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_options),
        cmocka_unit_test(test_threads),   cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
