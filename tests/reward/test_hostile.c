/*
 * The verifier on hostile text: linear work, no allocation, the right reason; random
 * bits of grammar; threads.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "reward/big.h"
#include "reward/code.h"

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

static const char *const floods[] = {
    "#",
    "####",
    "#### ",
    "####1\n",
    "9",
    ",",
    "1,",
    "111,",
    "####$",
    "\n",
    " ",
    "*",
    "1/",
    "0",
    "\xFF",
    "\xF0\x9F",
    "\xD9\xA3",
    "\xF0\x9D\x9F\x92",
    "\xC2\xA0",
    "a",
    "1 ",
    "0.",
    ".",
    "\\",
    "{",
    "}",
    "\\[",
    "\\(",
    "$",
    "$$",
    "\\boxed{",
    "\\boxed{1}",
    "\\boxed{1} ",
    "\\frac{",
    "\\sqrt{",
    "2^{",
    "2^",
    "(",
    "[",
    "<think>",
    "</think>",
    "<answer>",
    "<answer>1</answer>",
    "answer is 1 ",
    "Answer: ",
    "\nQuestion:",
    "\nA: 1",
    "**1**",
    "or ",
    "1 or ",
    "|",
    "\\text{",
    "\\begin{pmatrix}",
    "&",
    "\\\\",
    "=",
    "1=",
    "1e9",
    "\\overline{",
    "x_",
    "%",
    "\xC2\xBD",
    "\xE3\x80\x82",
    "\xE7\x9A\x84",
    "</s>",
    "def f():\n",
    "<llm-code>",
    "\"",
    "\\(1\\)",
    "$1$",
    "\\pm",
};

/* Work grows with the text, not with its square: four times the bytes, at most five
 * times the work. Nothing is allocated, and no flood is paid. */
static void test_hostile(void **state)
{
    enum { BYTES = 1 << 20 };
    static const char *const leads[] = {"", "#### ", "\\boxed{", "The answer is ", "$"};
    const struct verifier *const f = *state;
    char *const text = malloc(BYTES);
    struct reward_gold *const gold = verifier_gold(f, "77777");
    for (int64_t i = 0; i < ARRAY_LEN(floods) * ARRAY_LEN(leads); i++) {
        const char *const flood = floods[i / ARRAY_LEN(leads)],
                          *const lead = leads[i % ARRAY_LEN(leads)];
        int64_t work[2];
        for (int k = 0; k < 2; k++) {
            const size_t len = k == 0 ? BYTES / 4 : BYTES;
            for (size_t b = 0; b < len; b++)
                text[b] = flood[b % strlen(flood)];
            memcpy(text, lead, strlen(lead));
            const int64_t before = mem_count(), start = reward_work(f->scratch);
            struct reward_result r;
            reward_score(&r, f->scratch,
                         &(struct reward_input){.text = text, .len = len}, gold);
            work[k] = reward_work(f->scratch) - start;
            assert_true(mem_count() == before || code_is_in(text, len));
            assert_false(r.is_correct);
        }
        /* what does not depend on the length may be up to a few million operations */
        if (work[1] > 5 * work[0] + 4000000 || work[1] > 30 * (int64_t)BYTES)
            fail_msg("<%s><%s>: %lld, then %lld", lead, flood, (long long)work[0],
                     (long long)work[1]);
    }
    reward_gold_free(gold);
    free(text);
}

static void test_hostile_reasons(void **state)
{
    static const struct {
        const char *lead, *flood;
        enum reward_reason reason;
    } known[] = {
        {"#### ", "9", REWARD_WRONG},        {"\\boxed{", "{", REWARD_UNCLOSED},
        {"", "\\boxed{", REWARD_UNCLOSED},   {"", "\\[", REWARD_NO_MARKER},
        {"", "<think>", REWARD_UNCLOSED},    {"The answer is ", "2^", REWARD_LIMIT},
        {"#### ", "\xD9\xA3", REWARD_LIMIT}, {"", "\xD9\xA3", REWARD_NO_MARKER},
        {"", "####", REWARD_UNPARSED},       {"#### ", "1,", REWARD_LIMIT},
    };
    enum { BYTES = 1 << 20 };
    char *const text = malloc(BYTES);
    for (int64_t i = 0; i < ARRAY_LEN(known); i++) {
        for (size_t b = 0; b < BYTES; b++)
            text[b] = known[i].flood[b % strlen(known[i].flood)];
        memcpy(text, known[i].lead, strlen(known[i].lead));
        const struct reward_result r = verifier_score(*state, text, BYTES, false,
                                                      "77777");
        if (r.reason != known[i].reason)
            fail_msg("<%s><%s>: %s", known[i].lead, known[i].flood,
                     reward_reason_name(r.reason));
    }
    free(text);
}

static const char *const bits[] = {"####",     " ",           "\n",
                                   "1",        "2",           "0",
                                   ",",        ".",           "/",
                                   "-",        "$",           "%",
                                   "or",       "x",           "\xFF",
                                   "**",       "\xE2",        "\x88",
                                   "\x92",     "\\boxed{",    "}",
                                   "{",        "\\frac",      "\\sqrt",
                                   "^",        "(",           ")",
                                   "[",        "]",           "\\{",
                                   "\\}",      "=",           "<",
                                   "\\text{",  "|",           "!",
                                   "sin",      "\\pi",        "e",
                                   "\\cup",    "\\infty",     "answer is ",
                                   ":",        "_",           "\\begin{pmatrix}",
                                   "&",        "\\\\",        "\\end{pmatrix}",
                                   "\\pm",     "million",     "\\le",
                                   "\\in",     "\\overline{", "'",
                                   "\\circ",   "\\binom",     "\\lfloor",
                                   "\\rfloor", "+",           "*",
                                   "\\log",    "<think>",     "</think>",
                                   "Q:"};

/* Random bits of grammar, in a buffer of their exact length, so that the sanitizer sees
 * overruns. */
static char *random_text(uint32_t i, size_t *len_out)
{
    char text[200];
    size_t len = 0;
    for (uint32_t k = 0; k < 3 + i % 14; k++) {
        const char *const bit =
            bits[rng_below(9, RNG_TEST, (uint32_t)ARRAY_LEN(bits), i, k, 0, 0)];
        if (len + strlen(bit) > sizeof(text))
            break;
        memcpy(text + len, bit, strlen(bit));
        len += strlen(bit);
    }
    char *const tight = malloc(len);
    memcpy(tight, text, len);
    *len_out = len;
    return tight;
}

/* Any result, but never outside the text, and an answer that is paid is the gold by
 * itself, too. */
static void test_random(void **state)
{
    const struct verifier *const f = *state;
    struct reward_gold *const gold = verifier_gold(f, "1");
    int n_paid = 0;
    for (uint32_t i = 0; i < 60000; i++) {
        size_t len;
        char *const text = random_text(i, &len);
        struct reward_input in = {.text = text,
                                  .len = len,
                                  .kind = i % 3 == 0 ? REWARD_ANSWER : REWARD_RESPONSE,
                                  .is_truncated = i % 2 == 0};
        struct reward_result r;
        reward_score(&r, f->scratch, &in, gold);
        assert_true(r.answer_off + r.answer_len <= len);
        n_paid += r.is_correct;
        if (r.is_correct) {
            in = (struct reward_input){.text = text + r.answer_off,
                                       .len = r.answer_len,
                                       .kind = REWARD_ANSWER};
            reward_score(&r, f->scratch, &in, gold);
            assert_true(r.is_correct);
        }
        free(text);
    }
    reward_gold_free(gold);
    assert_true(n_paid > 100);
}

static void test_threads(void **state)
{
    const struct verifier *const f = *state;
    struct reward_gold *const gold = verifier_gold(f, "18");
    int n_bad = 0;
#pragma omp parallel num_threads(4) reduction(+ : n_bad)
    {
        struct reward_scratch *s = NULL;
        if (reward_scratch_create(&s, f->rules) != 0)
            n_bad++;
        for (int i = 0; s != NULL && i < 2000; i++) {
            char text[64];
            const int n = snprintf(text, sizeof(text), "\\boxed{\\frac{%d}{2}}",
                                   i % 80);
            struct reward_result r;
            reward_score(&r, s, &(struct reward_input){.text = text, .len = (size_t)n},
                         gold);
            n_bad += r.is_correct != (i % 80 == 36);
        }
        reward_scratch_free(s);
    }
    assert_int_equal(n_bad, 0);
    reward_gold_free(gold);
    reward_scratch_free(NULL);
    reward_rules_free(NULL);
}

/* Short texts that are hard to decide cost a bounded number of steps, whatever the
 * number of golds and rules. */
static void test_undecided(void **state)
{
    static const char *const pairs[][2] = {
        {"x^\\,1", "seven\xC5\xC5 1+x^{\xCEz because}"},
        {"2^{2^{0.5}}", "\\boxed{e^{2^{0.5}\\ln 2}}"},
        {"x", "\\boxed{\\ln(e^{\\sin(x)^2+\\cos(x)^2-1+x})}"},
        {"\\sqrt{2}+\\sqrt{3}+\\sqrt{5}+\\sqrt{7}+\\sqrt{11}",
         "\\boxed{\\sqrt{2}+\\sqrt{3}+\\sqrt{5}+\\sqrt{7}+\\sqrt{13}}"},
        {"3000!", "\\boxed{3000 \\cdot 2999!}"},
        {"0", "\\boxed{\\sin(\\sin(\\sin(\\sin(\\sin(10^{40})))))}"},
        {"1", "\\boxed{x^{x^{x^{x^{x}}}}}"},
        {"1", "\\boxed{\\arctan(\\arctan(\\arctan(\\log_{x} y)))}"},
        {"1", "x^{y^{z}}+x^{y}-\\sin(x^{y^{z}})"},
    };
    const struct verifier *const f = *state;
    struct reward_result r;
    for (int64_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct reward_gold *const g = verifier_gold(f, pairs[i][0]);
        for (int k = 0; k < 20; k++)
            assert_int_equal(reward_gold_add(g, f->scratch, "y^{x^{z}}", 9), 0);
        const int64_t before = reward_work(f->scratch);
        reward_score(
            &r, f->scratch,
            &(struct reward_input){.text = pairs[i][1], .len = strlen(pairs[i][1])}, g);
        const int64_t work = reward_work(f->scratch) - before;
        if (work > 2 * BIG_MAX_STEPS)
            fail_msg("<%s>: %lld steps, %s", pairs[i][1], (long long)work,
                     reward_reason_name(r.reason));
        reward_gold_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),   cmocka_unit_test(test_hostile_reasons),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_undecided),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
