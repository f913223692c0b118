/*
 * JSON Lines of a run: what is written reads back equal, a step allocates nothing, and
 * a resumed run keeps exactly the lines up to its step, whatever a crash left behind.
 */
#include "grpo/metrics.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/rng.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_metrics_XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return io_remove_tree(dir);
}

static void assert_file(const char *path, const char *want)
{
    struct buf b = {0};
    assert_int_equal(io_read_file(&b, path, 1 << 20), 0);
    assert_string_equal(b.data, want);
    buf_release(&b);
}

static void test_format(void **state)
{
    (void)state;
    char *const path = io_join(dir, "metrics.jsonl");
    struct metrics m;
    assert_int_equal(metrics_open(&m, path, -1), 0);
    const int64_t load[6] = {1, 2, 3, 4, 5, INT64_MAX};
    metrics_begin(&m, 7);
    metrics_put_real(&m, "a", 0.1);
    metrics_put_real(&m, "b", NAN);
    metrics_put_real(&m, "c", -INFINITY);
    metrics_put_int(&m, "d", INT64_MIN);
    metrics_put_bool(&m, "e", true);
    metrics_put_string(&m, "f", "q\"\n\xFF\0z", 6);
    metrics_put_table(&m, "g", load, 2, 3);
    metrics_put_table(&m, "h", load, 0, 3);
    metrics_put_real(&m, "i", 3);
    assert_int_equal(metrics_end(&m), 0);
    /* flushed before any close */
    assert_file(path, "{\"schema\":1,\"step\":7,\"a\":0.1,\"b\":null,\"c\":null,"
                      "\"d\":-9223372036854775808,\"e\":true,"
                      "\"f\":\"q\\\"\\n\xEF\xBF\xBD\\u0000z\","
                      "\"g\":[[1,2,3],[4,5,9223372036854775807]],\"h\":[],\"i\":3}\n");
    assert_int_equal(metrics_close(&m), 0);
    assert_int_equal(metrics_close(&m), 0); /* twice is fine */
    mem_free(path);
}

static void test_round_trip(void **state)
{
    (void)state;
    char *const path = io_join(dir, "reals.jsonl");
    struct metrics m;
    assert_int_equal(metrics_open(&m, path, -1), 0);
    enum { N = 500 };
    double x[N] = {DBL_MAX, DBL_MIN, DBL_TRUE_MIN, -0.0, 1e22, 1.0 / 3, 123456789.125};
    for (uint32_t i = 7; i < N; i++) {
        uint32_t w[4];
        rng_block(w, 3, RNG_TEST, i, 0, 0, 0);
        const uint64_t bits = (uint64_t)w[0] << 32 | w[1];
        memcpy(&x[i], &bits, sizeof(bits));
        x[i] = isfinite(x[i]) ? x[i] : 0.5;
    }
    for (int64_t i = 0; i < N; i++) {
        metrics_begin(&m, i);
        metrics_put_real(&m, "x", x[i]);
        assert_int_equal(metrics_end(&m), 0);
    }
    assert_int_equal(metrics_close(&m), 0);
    struct io_lines lines;
    assert_int_equal(io_lines_open(&lines, path), 0);
    const char *line;
    size_t len;
    for (int64_t i = 0; i < N; i++) {
        assert_true(io_lines_next(&lines, &line, &len));
        json_t *row = NULL;
        assert_int_equal(json_parse(&row, line, len, path), 0);
        double y = 0;
        assert_int_equal(json_get_real(row, "x", &y, NULL, path), 0);
        assert_true(y == x[i]);
        json_decref(row);
    }
    assert_false(io_lines_next(&lines, &line, &len));
    io_lines_close(&lines);
    mem_free(path);
}

static void test_allocations(void **state)
{
    (void)state;
    char *const path = io_join(dir, "count.jsonl");
    struct metrics m;
    assert_int_equal(metrics_open(&m, path, -1), 0);
    int64_t before = 0;
    for (int64_t step = 0; step < 50; step++) {
        if (step == 1)
            before = mem_count();
        metrics_begin(&m, 100 + step);
        metrics_put_real(&m, "x", 1.0 / 3);
        metrics_put_string(&m, "text", "0123456789abcdef", 16);
        assert_int_equal(metrics_end(&m), 0);
    }
    assert_int_equal(mem_count(), before);
    assert_int_equal(metrics_close(&m), 0);
    mem_free(path);
}

/* What is in the file, what resuming after step 3 must keep. */
static void test_resume(void **state)
{
    (void)state;
    static const struct {
        const char *text, *kept;
    } cases[] = {
        {"", ""},
        {"{\"step\":0}\n{\"step\":3}\n{\"step\":4}\n", "{\"step\":0}\n{\"step\":3}\n"},
        {"{\"step\":3}\n{\"step\":3}\n", "{\"step\":3}\n{\"step\":3}\n"},
        {"{\"step\":1}\n{\"step\":2,\"x\":0.", "{\"step\":1}\n"},
        {"{\"step\":1}\n{\"step\":2}", "{\"step\":1}\n"}, /* its newline is missing */
        {"{\"step\":1}\n\n{\"step\":2}\n", "{\"step\":1}\n"},
        {"{\"step\":1}\n{\"x\":1}\n{\"step\":2}\n", "{\"step\":1}\n"},
        {"{\"step\":4}\n", ""},
        {"\0\0\0\0", ""},
    };
    char *const path = io_join(dir, "resume.jsonl");
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(
            io_write_atomic(path, cases[i].text, i == 8 ? 4 : strlen(cases[i].text)),
            0);
        struct metrics m;
        assert_int_equal(metrics_open(&m, path, 3), 0);
        metrics_begin(&m, 4);
        assert_int_equal(metrics_end(&m), 0);
        assert_int_equal(metrics_close(&m), 0);
        char want[128];
        snprintf(want, sizeof(want), "%s{\"schema\":1,\"step\":4}\n", cases[i].kept);
        assert_file(path, want);
    }
    /* missing: made; a fresh run empties what is there */
    assert_int_equal(io_remove_tree(path), 0);
    struct metrics m;
    assert_int_equal(metrics_open(&m, path, 3), 0);
    metrics_abandon(&m);
    assert_file(path, "");
    assert_int_equal(io_write_atomic(path, "old\n", 4), 0);
    assert_int_equal(metrics_open(&m, path, -1), 0);
    metrics_abandon(&m);
    metrics_abandon(&m);
    assert_file(path, "");
    struct metrics bad = {0};
    assert_int_equal(metrics_open(&bad, "/nonexistent/dir/x", -1), ERR_IO);
    metrics_abandon(&bad);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_resume),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
