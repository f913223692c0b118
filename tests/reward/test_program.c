/*
 * Programs as answers: their value against a gold, markers around them, and numbers in
 * their text, which never count.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    static struct verifier f;
    verifier_init(&f, NULL);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    verifier_release(*state);
    return 0;
}

#define DEF(body) "def simple_math_problem():\n" body

static const struct program_case {
    const char *gold, *text;
    enum reward_reason reason;
} programs[] = {
    {"18", DEF("    return 9 * 2\n"), REWARD_CORRECT},
    {"18", DEF("    return 9 * 3\n"), REWARD_WRONG},
    {"3.3", DEF("    return 1.1 + 2.2\n"), REWARD_CORRECT},
    {"0", DEF("    return 0.3 - 0.1 - 0.2\n"), REWARD_WRONG},
    {"100000000000", DEF("    return 99999999999.0\n"), REWARD_WRONG},
    {"x", DEF("    return 1.5\n"), REWARD_WRONG},
    {"5", DEF("    return 1e308 * 10\n"), REWARD_WRONG},
    {"1,2", DEF("    return [1, 3]\n"), REWARD_WRONG},
    {"18", DEF("    return open('x')\n"), REWARD_UNSUPPORTED_CODE},
    {"18", DEF("    return 1 / 0\n"), REWARD_CODE_FAULT},
    {"18", DEF("    while True:\n        pass\n"), REWARD_LIMIT},
    {"10", "<llm-code>\na = 3\nb = 7\na + b\n</llm-code>", REWARD_CORRECT},
    {"18", "This is definitely 18.", REWARD_CORRECT},
    {"18", "By def 18", REWARD_CORRECT},
    /* the text of a program is no answer */
    {"18", DEF("    import os\n    return 18\n"), REWARD_UNSUPPORTED_CODE},
    {"18", DEF("    import os\n    # the answer is 18\n    return 1\n"),
     REWARD_UNSUPPORTED_CODE},
    {"18", DEF("    #### 18\n    return 9\n"), REWARD_WRONG},
    {"18", DEF("    '''\nA: 18\n\\boxed{18}'''\n    return 9\n"), REWARD_WRONG},
    {"18", "Sure: def f(x): return 18", REWARD_UNSUPPORTED_CODE},
    {"18", "```python\nimport os\nprint(18)\n```", REWARD_UNSUPPORTED_CODE},
    {"18", "<llm-code>\nx = 18", REWARD_UNSUPPORTED_CODE},
    {"18", "<llm-code>\nimport os\n18\n</llm-code>", REWARD_UNSUPPORTED_CODE},
    {"18", "<llm-code>\n18\n</llm-code>\n" DEF("    return 17\n"), REWARD_CORRECT},
    /* a declared answer behind it, or a strong one before it */
    {"18", DEF("    return 9\n\n") "The answer is 18.", REWARD_CORRECT},
    {"9", DEF("    return 9\n\n") "The answer is 18.", REWARD_WRONG},
    {"18", DEF("    return 9\n") "A: 18", REWARD_CORRECT},
    {"18", DEF("    return 9\n") "#### 18", REWARD_CORRECT},
    {"18", DEF("    import os\n") "\nSo \\boxed{18}.", REWARD_CORRECT},
    {"18", "```python\n" DEF("    return 9\n```\n```output\n18\n```\n") "#### 18",
     REWARD_CORRECT},
    {"18", "<llm-code>\nx = 9\n</llm-code>\nA: 18", REWARD_CORRECT},
    {"18", "\\boxed{18}. To check:\n" DEF("    return 9\n"), REWARD_CORRECT},
    {"9", "The answer is:\n" DEF("    return 9\n"), REWARD_CORRECT},
    {"9", DEF("    return 9\n") "So it is 18.", REWARD_CORRECT},
};

static void test_programs(void **state)
{
    for (int64_t i = 0; i < ARRAY_LEN(programs); i++) {
        const struct program_case *const c = &programs[i];
        const struct reward_result r = verifier_score(*state, c->text, strlen(c->text),
                                                      false, c->gold);
        if (r.reason != c->reason)
            fail_msg("<%s>: %s by %s", c->text, reward_reason_name(r.reason), r.rule);
    }
    const struct reward_result r = verifier_score(
        *state, programs[0].text, strlen(programs[0].text), false, "18");
    assert_string_equal(r.rule, "code");
    assert_int_equal(r.value_len, 2);
    assert_memory_equal(r.value, "18", 2);
}

static enum reward_reason reason_of(const struct verifier *f, const char *text,
                                    bool is_truncated)
{
    return verifier_score(f, text, strlen(text), is_truncated, "18").reason;
}

/* Styles that have the rule, the policy, and a program cut off in its last line. */
static void test_programs_apart(void **state)
{
    static const char text[] = DEF("    return 18\n"), cut[] = DEF("    return 18"),
                      block[] = "<llm-code>\n18\n</llm-code>";
    const struct reward_options options[] = {{.style = REWARD_STYLE_GSM8K},
                                             {.style = REWARD_STYLE_ANSWER},
                                             {.style = REWARD_STYLE_BOXED},
                                             {.code = REWARD_CODE_OFF}};
    static const enum reward_reason reasons[] = {
        REWARD_CORRECT, REWARD_CORRECT, REWARD_NO_MARKER, REWARD_UNSUPPORTED_CODE};
    for (int64_t i = 0; i < ARRAY_LEN(options); i++) {
        struct verifier f;
        verifier_init(&f, &options[i]);
        assert_int_equal(reason_of(&f, text, false), reasons[i]);
        verifier_release(&f);
    }
    assert_int_equal(reason_of(*state, cut, true), REWARD_TRUNCATED);
    assert_int_equal(reason_of(*state, text, true), REWARD_CORRECT);
    assert_int_equal(reason_of(*state, block, true), REWARD_CORRECT);
    assert_int_equal(reason_of(*state, cut, false), REWARD_CORRECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_programs_apart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
