/*
 * Exact rationals against 128-bit integers on small and on large random values, and at
 * the length limit.
 */
#include "reward/rational.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"

static struct rational make(int64_t num, int32_t scale, int64_t den)
{
    char n[32], d[32]; /* 12 digits: more than any scale */
    struct rational r;
    snprintf(n, sizeof(n), "%012lld", (long long)llabs(num));
    snprintf(d, sizeof(d), "%lld", (long long)den);
    const size_t len = strlen(n), int_len = len - (size_t)scale;
    assert_int_equal(rational_set(&r, num < 0, (struct rational_digits){n, int_len},
                                  (struct rational_digits){n + int_len, (size_t)scale},
                                  (struct rational_digits){d, strlen(d)}),
                     RATIONAL_OK);
    return r;
}

/* Equality and lowest terms against 128-bit arithmetic on small and on large values. */
static void test_rational(void **state)
{
    (void)state;
    static const int64_t ten[] = {1, 10, 100, 1000, 10000};
    int n_equal = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        int64_t num[2], den[2];
        int32_t scale[2];
        const uint32_t range = i % 2 == 0 ? 13 : 2000000000;
        for (uint32_t j = 0; j < 2; j++) {
            num[j] = (int64_t)rng_below(7, RNG_TEST, range, i, j, 0, 0) - range / 2;
            den[j] = 1 + rng_below(7, RNG_TEST, range, i, j, 1, 0);
            scale[j] = (int32_t)rng_below(7, RNG_TEST, 4, i, j, 2, 0);
        }
        if (i % 3 == 0) { /* equal, written with another scale */
            num[1] = num[0] * 10;
            den[1] = den[0];
            scale[1] = scale[0] + 1;
        }
        const struct rational a = make(num[0], scale[0], den[0]);
        const struct rational b = make(num[1], scale[1], den[1]);
        const bool want = (__int128)num[0] * den[1] * ten[scale[1]] ==
                          (__int128)num[1] * den[0] * ten[scale[0]];
        assert_int_equal(rational_equal(&a, &b), want);
        assert_int_equal(rational_equal(&b, &a), want);
        n_equal += want;
        int64_t x = llabs(num[0]), y = den[0] * ten[scale[0]];
        while (y != 0) {
            const int64_t t = x % y;
            x = y;
            y = t;
        }
        char text[64];
        const int64_t bottom = den[0] * ten[scale[0]] / x;
        int n = snprintf(text, sizeof(text), "%lld", (long long)(num[0] / x));
        if (bottom != 1)
            snprintf(text + n, sizeof(text) - (size_t)n, "/%lld", (long long)bottom);
        struct buf out = {0};
        rational_print(&a, &out);
        assert_string_equal(out.data, text);
        buf_release(&out);
    }
    assert_in_range(n_equal, 6000, 19000); /* both outcomes occur */
}

static struct rational_digits digits(const char *s)
{
    return (struct rational_digits){s, strlen(s)};
}

static void test_limits(void **state)
{
    (void)state;
    char nines[RATIONAL_MAX_DIGITS + 2];
    memset(nines, '9', sizeof(nines));
    nines[RATIONAL_MAX_DIGITS + 1] = 0;
    const struct rational_digits longest = {nines, RATIONAL_MAX_DIGITS};
    const struct rational_digits longer = {nines, RATIONAL_MAX_DIGITS + 1};
    const struct rational_digits none = {"", 0};
    struct rational a, b;
    assert_int_equal(rational_set(&a, false, longest, none, longest), RATIONAL_OK);
    assert_int_equal(rational_set(&b, false, digits("1"), none, none), RATIONAL_OK);
    assert_true(rational_equal(&a, &b));
    struct buf out = {0};
    rational_print(&a, &out);
    assert_string_equal(out.data, "1");
    /* the widest products: both with 200 digits below and 200 decimals */
    assert_int_equal(rational_set(&a, true, none, longest, longest), RATIONAL_OK);
    assert_true(rational_equal(&a, &a));
    assert_false(rational_equal(&a, &b));
    buf_reset(&out);
    rational_print(&a, &out); /* -1 / 10^200 */
    assert_int_equal(out.len, 2 + 1 + 201);
    assert_memory_equal(out.data, "-1/1000", 7);
    buf_release(&out);
    assert_int_equal(rational_set(&a, false, longer, none, none), RATIONAL_TOO_LONG);
    assert_int_equal(rational_set(&a, false, digits("1"), longer, none),
                     RATIONAL_TOO_LONG);
    assert_int_equal(rational_set(&a, false, digits("1"), none, longer),
                     RATIONAL_TOO_LONG);
    assert_int_equal(rational_set(&a, false, digits("1"), none, digits("00")),
                     RATIONAL_ZERO_DEN);
    assert_int_equal(rational_set(&a, true, digits("0,000"), digits("00"), none),
                     RATIONAL_OK);
    assert_false(a.is_negative);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rational),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
