/* Shaping: the base values, DAPO's overlong penalty at its corners, truncation. */
#include "reward/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct shape_options plain = {.correct = 1.0, .wrong = -0.25, .form = 0.5};

static void test_base(void **state)
{
    (void)state;
    const struct reward_result right = {.reason = REWARD_CORRECT,
                                        .is_correct = true,
                                        .has_form = true},
                               wrong = {.reason = REWARD_WRONG, .has_form = true},
                               none = {.reason = REWARD_NO_MARKER};
    assert_true(shape_reward(&plain, &right, 10, false) == 1.0);
    assert_true(shape_reward(&plain, &wrong, 10, false) == 0.25);
    assert_true(shape_reward(&plain, &none, 10, false) == -0.25);
    assert_true(shape_reward(&plain, &right, 10, true) == 1.0);
    struct shape_options strict = plain;
    strict.truncation = SHAPE_TRUNCATED_WRONG;
    assert_true(shape_reward(&strict, &right, 10, true) == -0.25);
    assert_true(shape_reward(&strict, &right, 10, false) == 1.0);
}

static void test_overlong(void **state)
{
    (void)state;
    struct shape_options o = plain;
    o.overlong_buffer = 4;
    o.overlong_limit = 20;
    o.overlong_penalty = 2.0;
    static const double expected[] = {0.0, 0.0, -0.5, -1.0, -1.5, -2.0, -2.0};
    for (int64_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_true(shape_overlong(&o, 15 + i) == expected[i]);
    assert_true(shape_overlong(&o, 0) == 0.0);
    const struct reward_result right = {.reason = REWARD_CORRECT, .is_correct = true};
    assert_true(shape_reward(&o, &right, 18, false) == 0.0);
    o.overlong_buffer = 0;
    assert_true(shape_overlong(&o, 1000) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_overlong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
