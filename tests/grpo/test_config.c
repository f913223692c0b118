/* The reward.* options as the verifier and the shaping get them. */
#include "grpo/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void parse(struct config *c, int n, const char *const *words)
{
    char *argv[8] = {NULL};
    for (int i = 0; i < n; i++)
        argv[i] = mem_strdup(words[i]);
    assert_int_equal(config_parse(c, n, argv), 0);
    for (int i = 0; i < n; i++)
        mem_free(argv[i]);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config c = {0};
    parse(&c, 0, NULL);
    const struct reward_options o = config_verifier(&c);
    const struct shape_options s = config_shaping(&c);
    const struct reward_options none = {.pattern = o.pattern, .cut = o.cut};
    assert_memory_equal(&o, &none, sizeof(o));
    assert_true(o.pattern == NULL || *o.pattern == 0);
    assert_true(s.correct == 1.0 && s.wrong == 0.0 && s.form == 0.0);
    assert_int_equal(s.overlong_buffer, 0);
    assert_int_equal(s.truncation, SHAPE_TRUNCATED_SCORE);
    config_release(&c);
}

static void test_values(void **state)
{
    (void)state;
    struct config c = {0};
    static const char *const verifier[] = {
        "reward.style=boxed",   "reward.percent=ignored",   "reward.order=strict",
        "reward.rounding=gold", "reward.fractions=reduced", "reward.code=off",
        "reward.pattern=X(.)",  "reward.cut=STOP"};
    parse(&c, 8, verifier);
    const struct reward_options o = config_verifier(&c);
    assert_int_equal(o.style, REWARD_STYLE_BOXED);
    assert_int_equal(o.percent, 2);
    assert_int_equal(o.order, 1);
    assert_int_equal(o.rounding, 1);
    assert_int_equal(o.fractions, 1);
    assert_int_equal(o.code, REWARD_CODE_OFF);
    assert_string_equal(o.pattern, "X(.)");
    assert_string_equal(o.cut, "STOP");
    config_release(&c);
    static const char *const shaping[] = {
        "reward.correct=2",          "reward.wrong=-1",     "reward.form=0.5",
        "reward.overlong_buffer=64", "rollout.max_new=300", "reward.overlong_penalty=3",
        "reward.truncated=wrong"};
    parse(&c, 7, shaping);
    const struct shape_options s = config_shaping(&c);
    assert_true(s.correct == 2.0 && s.wrong == -1.0 && s.form == 0.5);
    assert_int_equal(s.overlong_buffer, 64);
    assert_int_equal(s.overlong_limit, 300);
    assert_true(s.overlong_penalty == 3.0);
    assert_int_equal(s.truncation, SHAPE_TRUNCATED_WRONG);
    config_release(&c);
    static const struct {
        const char *buffer;
        int64_t tokens;
    } shares[] = {{"reward.overlong_buffer=0.2", 60},
                  {"reward.overlong_buffer=0.001", 1},
                  {"reward.overlong_buffer=1", 1},
                  {"reward.overlong_buffer=0", 0}};
    for (int64_t i = 0; i < ARRAY_LEN(shares); i++) {
        const char *const words[] = {"rollout.max_new=300", shares[i].buffer};
        parse(&c, 2, words);
        assert_int_equal(config_shaping(&c).overlong_buffer, shares[i].tokens);
        config_release(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
