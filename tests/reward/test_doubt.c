/*
 * Numbers that are no answers: bounds, ranges, alternatives, estimates, operands,
 * labels, negations; and sentences whose last number is one.
 */
#include "reward/doubt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/reward/verifier.h"

static const char *const refused[] = {
    "between 10 and 12",
    "from 10 to 12",
    "10 to 12",
    "It takes 10 to 12 days",
    "at least 12",
    "less than 12",
    "more than 12",
    "up to 12",
    "at most 12",
    "fewer than 12",
    "about 12",
    "approximately 12",
    "around 12",
    "roughly 12",
    "nearly 12",
    "almost 12",
    "over 12",
    "under 12",
    "10-12",
    "10 - 12",
    "10\xE2\x80\x93"
    "12",
    "10\xE2\x80\x94"
    "12",
    "10~12",
    "10 or 12",
    "either 10 or 12",
    "12 or 13",
    "maybe 12",
    "perhaps 12",
    "possibly 12",
    "it could be 12",
    "could be 10, or 12",
    "10 and 12",
    "10, 12",
    "10, 11, 12",
    "It is not 12",
    "It isn't 12",
    "it can't be 12",
    "never 12",
    "12 is wrong",
    "12 is not correct",
    "12 is incorrect",
    "no, 12 is wrong",
    "not equal to 12",
    "x > 12",
    "x < 12",
    "x >= 12",
    "x \xE2\x89\xA5 12",
    "x \xE2\x89\xA4 12",
    "x != 12",
    "x \xE2\x89\xA0 12",
    "> 12",
    "<12",
    "\xC2\xB1"
    "12",
    "\xC2\xB1 12",
    "+/- 12",
    "10 +/- 12",
    "10 \xC2\xB1 12",
    "greater than 12",
    "above 12",
    "below 12",
    "10/12 or 12",
    "12?",
    "Is it 12?",
    "12 plus or minus 1",
    "12 \xC2\xB1 1",
    "minimum of 12",
    "maximum 12",
    "12 or more",
    "12 or less",
    "12+",
    "no more than 12",
    "no less than 12",
    "12ish",
    "12 apples or 13 apples",
    "10 apples to 12 apples",
    "10 apples and 12 pears",
    "neither 10 nor 12",
    "10 vs 12",
    "10 versus 12",
    "10 through 12",
    "between 10 & 12",
    "somewhere between 10 and 12.",
    "step 12",
    "Step 12:",
    "without 12",
    "except 12",
    "unless 12",
    "12 was wrong",
    "Not sure, 12",
    "10 < x < 12",
    "10..12",
    "10...12",
    "[10, 12]",
    "(10, 12)",
    "{10, 12}",
    "10 / 12",
    "I have two answers: 10 and 12",
    "the two answers are 10 and 12",
    "12 is not the answer",
    "we cannot have 12",
    "rather than 12",
    "instead of 12",
    "excluding 12",
    "10, not 12",
    "other than 12",
    "The probability is less than 12 then",
    "x \\leq 12",
    "10 + 12",
    "10 * 12",
    "10 \\times 12",
    "10 -12",
    "x - 12",
    "the sum of 10 & 12",
    "#12 was it",
};
static const char *const paid[] = {
    "So she has 12 apples left.",
    "Total: 12",
    "x = 12",
    "She makes $12.",
    "= 12",
    "The total is 12 dollars",
    "10 + 2 = 12",
    "He notices 12 birds",
    "another 12",
    "12",
    "It is 12.",
    "He has 12 left to give",
    "Therefore there are 12 left.",
    "Notice that there are 12",
    "So it is $12.00",
    "the knot count is 12",
    "There are 10 cats. Then there are 12.",
    "from 10 boxes he takes 2, so 12",
    "She walked 12 miles to school.",
    "She needs 12 dollars to buy it",
    "He was between jobs for 12 weeks",
    "Together they have 12",
    "Or equivalently 12",
    "Total -> 12",
    "=> 12",
    "<b>12</b>",
    "Total - 12",
    "<<10+2=12>>12",
    "The difference between the two is 12",
    "They add up to 12",
    "It comes to 12",
    "He may pay. So 12 dollars",
};

/* Each alone, and as the last sentence of a solution. */
static void check(const char *const *texts, int64_t n, bool is_paid)
{
    struct verifier v;
    int n_bad = 0;
    verifier_init(&v, NULL);
    for (int64_t i = 0; i < 2 * n; i++) {
        char text[200];
        snprintf(text, sizeof(text), "%s%s", i < n ? "" : "We count and add.\n",
                 texts[i % n]);
        const enum reward_reason r = verifier_verdict(&v, "12", text, REWARD_RESPONSE);
        if ((r == REWARD_CORRECT) != is_paid) {
            print_error("<%s>: %s\n", text, reward_reason_name(r));
            n_bad++;
        }
    }
    verifier_release(&v);
    assert_int_equal(n_bad, 0);
}

static void test_refused(void **state)
{
    (void)state;
    check(refused, ARRAY_LEN(refused), false);
}

static void test_paid(void **state)
{
    (void)state;
    check(paid, ARRAY_LEN(paid), true);
}

/* The same beside a marker. */
static void test_marked(void **state)
{
    (void)state;
    static const struct verifier_pair pairs[] = {
        {"12", "#### > 12", false},
        {"12", "#### < 12", false},
        {"12", "Answer: \xE2\x89\xA5 12", false},
        {"12", "#### ~12", false},
        {"12", "\\boxed{~12}", false},
        {"12", "\\boxed{~12~}", true},
        {"12", "#### 12?", false},
        {"12", "<answer>12?</answer>", false},
        {"12", "The answer is probably 12", false},
        {"12", "The answer is never 12", false},
        {"12", "The answer could be 12", false},
        {"12", "The answer may be 12.", false},
        {"12", "The answer is 12, maybe", false},
        {"12", "The answer should be 12.", true},
        {"12", "The answer is exactly 12.", true},
        {"12", "The answer is 12, which is nice", true},
        {"12", "Answer:\n> 12", true},
    };
    verifier_check(pairs, ARRAY_LEN(pairs), REWARD_RESPONSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_paid),
        cmocka_unit_test(test_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
