/*
 * Wide integers at the ends of their range: what outgrows it is over, and stays so.
 * Values inside are covered by Python's results (test_code.c).
 */
#include "reward/code_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"

/* 2^bits */
static void set_power(struct wide *out, int64_t bits)
{
    wide_set(out, 1);
    wide_shift_left(out, out, bits);
}

static void test_over(void **state)
{
    (void)state;
    enum { TOP = 32 * WIDE_WORDS - 1 };
    struct wide a, b, q, r, one;
    double x;
    wide_set(&one, 1);
    set_power(&a, TOP);
    assert_false(a.is_over);
    assert_int_equal(wide_bits(&a), TOP + 1);
    wide_add(&b, &a, &a);
    assert_true(b.is_over);
    wide_shift_left(&b, &a, 1);
    assert_true(b.is_over);
    wide_mul(&b, &a, &a);
    assert_true(b.is_over);
    wide_sub(&b, &a, &one);
    assert_false(b.is_over);
    wide_add(&b, &b, &one);
    assert_int_equal(wide_cmp(&a, &b), 0);
    /* division needs a word more than it is given */
    wide_divmod(&q, &r, &a, &one);
    assert_true(q.is_over && r.is_over);
    wide_pow10(&b, WIDE_DIGITS);
    assert_true(b.is_over);
    /* it is handed on */
    wide_add(&q, &one, &b);
    assert_true(q.is_over);
    wide_mul(&q, &b, &one);
    assert_true(q.is_over);
    wide_divmod(&q, &r, &b, &one);
    assert_true(q.is_over && r.is_over);
    wide_divmod(&q, &r, &one, &b);
    assert_true(q.is_over && r.is_over);
    wide_shift_left(&q, &b, 5);
    assert_true(q.is_over);
    assert_false(wide_ratio(&x, &b, &one));
    assert_false(wide_ratio(&x, &a, &one));
    wide_set(&b, 0);
    assert_false(b.is_over);
    assert_true(wide_ratio(&x, &b, &one));
    assert_true(x == 0);
    char digits[3 * WIDE_DIGITS];
    memset(digits, '9', sizeof(digits));
    wide_parse(&b, digits, sizeof(digits));
    assert_true(b.is_over);
}

/* a = q * b + r with r between 0 and b, for random sizes and for words of ones, where
 * the quotient digit is guessed too large */
static void test_division(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        struct wide a, b, q, r, back;
        wide_set(&a, 0);
        wide_set(&b, 0);
        a.n = 1 + (int32_t)rng_below(3, RNG_TEST, 12, i, 0, 0, 0);
        b.n = 1 + (int32_t)rng_below(3, RNG_TEST, 6, i, 1, 0, 0);
        for (uint32_t k = 0; k < 12; k++) {
            const uint32_t ones = rng_below(3, RNG_TEST, 4, i, k, 1, 0);
            const uint32_t any = rng_below(3, RNG_TEST, 1u << 31, i, k, 2, 0);
            a.w[k] = ones == 0 ? UINT32_MAX : ones == 1 ? 0 : 2 * any + 1;
            const uint32_t other = rng_below(3, RNG_TEST, 1u << 31, i, k, 3, 0);
            b.w[k] = ones == 2 ? UINT32_MAX : ones == 3 ? 1u << 31 : 2 * other + 1;
        }
        a.w[a.n - 1] |= 1; /* the first word is not zero */
        b.w[b.n - 1] |= 1;
        a.is_negative = rng_below(3, RNG_TEST, 2, i, 2, 4, 0) == 0;
        b.is_negative = rng_below(3, RNG_TEST, 2, i, 3, 4, 0) == 0;
        wide_divmod(&q, &r, &a, &b);
        wide_mul(&back, &q, &b);
        wide_add(&back, &back, &r);
        assert_int_equal(wide_cmp(&back, &a), 0);
        assert_true(r.n == 0 || r.is_negative == b.is_negative);
        r.is_negative = b.is_negative = false;
        assert_true(wide_cmp(&r, &b) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_over),
        cmocka_unit_test(test_division),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
