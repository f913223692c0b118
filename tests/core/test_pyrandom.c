/*
 * Every call of pyrandom_cases.jsonl against what Python's random module gave: small
 * and very large seeds, both ways of sampling and the border between them, long
 * sequences.
 */
#include "core/pyrandom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"
#include "core/mem.h"

static const char path[] = "tests/core/pyrandom_cases.jsonl";

/* A list in full, or [length, xor, weighted sum, last] with the last three as text. */
static void check_list(const json_t *expected, const uint64_t *x, int64_t n,
                       bool is_digest)
{
    if (!is_digest) {
        assert_int_equal(json_array_size(expected), n);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(json_integer_value(json_array_get(expected, (size_t)i)),
                             x[i]);
        return;
    }
    uint64_t sums[3] = {0, 0, x[n - 1]};
    for (int64_t i = 0; i < n; i++) {
        sums[0] ^= x[i];
        sums[1] += x[i] * (uint64_t)(i + 1);
    }
    assert_int_equal(json_integer_value(json_array_get(expected, 0)), n);
    for (size_t i = 0; i < 3; i++) {
        const char *const text = json_string_value(json_array_get(expected, i + 1));
        assert_true(strtoull(text, NULL, 10) == sums[i]);
    }
}

static uint64_t number(const json_t *v)
{
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10)
                             : (uint64_t)json_integer_value(v);
}

static void check_many(struct pyrandom *r, const json_t *call, bool is_bits)
{
    const json_t *const expected = json_array_get(call, 2);
    const int64_t n = json_integer_value(json_array_get(expected, 0));
    const int64_t arg = json_integer_value(json_array_get(call, 1));
    uint64_t *const x = mem_alloc((size_t)n * sizeof(*x));
    for (int64_t i = 0; i < n; i++)
        x[i] = is_bits ? pyrandom_bits(r, (int)arg) : (uint64_t)pyrandom_below(r, arg);
    check_list(expected, x, n, true);
    mem_free(x);
}

static void check_drawn(struct pyrandom *r, const json_t *call, bool is_sample)
{
    const int64_t n = json_integer_value(json_array_get(call, 1));
    const int64_t k = is_sample ? json_integer_value(json_array_get(call, 2)) : n;
    const json_t *const expected = json_array_get(call, is_sample ? 3 : 2);
    int64_t *const x = mem_alloc((size_t)k * sizeof(*x));
    for (int64_t i = 0; i < k; i++)
        x[i] = i;
    if (is_sample)
        pyrandom_sample(r, n, k, x);
    else
        pyrandom_shuffle(r, n, x);
    check_list(expected, (const uint64_t *)x, k, k > 20);
    mem_free(x);
}

static void check_call(struct pyrandom *r, const json_t *call)
{
    const char *const method = json_string_value(json_array_get(call, 0));
    const json_t *const arg = json_array_get(call, 1);
    if (strcmp(method, "bits") == 0)
        assert_true(pyrandom_bits(r, (int)json_integer_value(arg)) ==
                    number(json_array_get(call, 2)));
    else if (strcmp(method, "below") == 0)
        assert_true((uint64_t)pyrandom_below(r, json_integer_value(arg)) ==
                    number(json_array_get(call, 2)));
    else if (strstr(method, "_many") != NULL)
        check_many(r, call, strncmp(method, "bits", 4) == 0);
    else
        check_drawn(r, call, strcmp(method, "sample") == 0);
}

static void test_python(void **state)
{
    struct io_lines lines;
    const char *line = NULL;
    size_t len = 0;
    int64_t n_seeds = 0, n_calls = 0;
    (void)state;
    assert_int_equal(io_lines_open(&lines, path), 0);
    while (io_lines_next(&lines, &line, &len)) {
        uint32_t words[1024];
        struct pyrandom r, small;
        json_t *root = NULL;
        assert_int_equal(json_parse(&root, line, len, path), 0);
        const json_t *const seed = json_object_get(root, "seed");
        const json_t *const calls = json_object_get(root, "calls");
        const size_t n_words = json_array_size(seed);
        assert_in_range(n_words, 1, ARRAY_LEN(words));
        for (size_t i = 0; i < n_words; i++)
            words[i] = (uint32_t)json_integer_value(json_array_get(seed, i));
        pyrandom_init_words(&r, words, (int64_t)n_words);
        if (n_words <= 2) {
            pyrandom_init(&small, words[0] | (n_words == 2 ? (uint64_t)words[1] : 0)
                                                 << 32);
            assert_memory_equal(&small, &r, sizeof(r));
        }
        for (size_t i = 0; i < json_array_size(calls); i++, n_calls++)
            check_call(&r, json_array_get(calls, i));
        json_decref(root);
        n_seeds++;
    }
    io_lines_close(&lines);
    assert_int_equal(n_seeds, 13);
    assert_int_equal(n_calls, 13 * 48);
}

/* The published first outputs for the key {0x123, 0x234, 0x345, 0x456} (mt19937ar.out)
 */
static void test_published(void **state)
{
    static const uint32_t key[] = {0x123, 0x234, 0x345, 0x456};
    static const uint32_t first[] = {1067595299, 955945823, 477289528, 4107218783,
                                     4228976476};
    struct pyrandom r;
    (void)state;
    pyrandom_init_words(&r, key, ARRAY_LEN(key));
    for (int64_t i = 0; i < ARRAY_LEN(first); i++)
        assert_int_equal(pyrandom_bits(&r, 32), first[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
