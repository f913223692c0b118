/*
 * Extraction: what of a completion is its answer, style by style; golds; truncation;
 * own patterns; hostile text in linear work and without allocation; random text;
 * threads.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

struct response {
    const char *gold, *text;
    bool is_paid;
};

static const struct response responses[] = {
    {"42", "The answer is 42.", true},
    {"42", "#### 42", true},
    {"42", "#### $42", true},
    {"42", "####\n42", true},
    {"42", "#### **42**", true},
    {"42", "#### 42 apples.", true},
    {"42", "#### 42 or 43", false},
    {"42", "#### 43\n#### 42", true},
    {"42", "#### 42\n#### 43", false},
    {"42", "\\boxed{42} and \\boxed{43}", false},
    {"43", "\\boxed{42} and \\boxed{43}", false},
    {"43", "\\boxed{42}, \\boxed{43}", false},
    {"12", "\\boxed{12}\\boxed{1}", false},
    {"43", "\\boxed{42}\n\\boxed{43}", false},
    {"42", "\\boxed{42}\n\\boxed{42}", true},
    {"43", "First \\boxed{42}. Then we correct: \\boxed{43}", true},
    {"42", "<think>\\boxed{42}</think>", false},
    {"42", "<think>\\boxed{42}", false},
    {"42", "reason</think>\\boxed{42}", true},
    {"42", "<think>a</think>\\boxed{42}", true},
    {"42", "<think>a</think>\\boxed{42} <think> \\boxed{43}", false},
    {"42", "\\boxed{42", false},
    {"42", "<answer>42", false},
    {"42", "<answer>42</answer>", true},
    {"42", "<answer> $42$ </answer>", true},
    {"42", "\\boxed{42}\n\nQuestion: next\n\\boxed{43}", true},
    {"43", "\\boxed{42}\n\nQuestion: next\n\\boxed{43}", false},
    {"42", "\\boxed{42}</s>\\boxed{43}", true},
    {"42", "\\boxed{42}<|im_end|>\n<|im_start|>user 43", true},
    {"42", "Answer: 42", true},
    {"42", "**Answer:** 42", true},
    {"42", "**Answer**: $42$", true},
    {"42", "The final answer is $\\boxed{42}$.", true},
    {"42", "{\"reasoning\":\"x\",\"answer\":\"42\"}", true},
    {"42", "{\"answer\": 42}", true},
    {"42", "The answer is: 42", true},
    {"42", "So she has 42 apples left.", true},
    {"42", "A: 42", true},
    {"42", "I am sure the answer is either 42 or 43", false},
    {"42", "The answer is 41, not 42", false},
    {"41", "The answer is 41, not 42", false},
    {"42", "The answer is between 41 and 42", false},
    {"42", "the answer is 42 because 6*7=42", true},
    {"42", "The answer is \\(42\\).", true},
    {"42", "The answer is\n\n\\[ 42 \\]", true},
    {"42", "La r\xC3\xA9ponse est 42.", true},
    {"42",
     "\xE7\xAD\x94\xE6\xA1\x88\xE6\x98\xAF"
     "42\xE3\x80\x82",
     true},
    {"42",
     "\xE7\xAD\x94\xE6\xA1\x88\xEF\xBC\x9A"
     "42",
     true},
    {"42", "Die Antwort ist 42.", true},
    {"42", "La respuesta es 42.", true},
    {"1/2", "The answer is \\frac{1}{2}.", true},
    {"18", "Janet makes $18 per day.", true},
    {"18", "#### 18 eggs (2 dozen minus 6)", false},
    {"5", "#### 5.", true},
    {"5", "#### 5.00", true},
    {"2", "If x=2 then y=3. So x is 2.", true},
    {"3", "If x=2 then y=3. So x is 2.", false},
    {"B", "The answer is (B).", true},
    {"B", "The answer is B", true},
    {"x+1", "The answer is $x+1$.", true},
    {"14", "#### 14\n\nThe answer is: 14", true},
    {"14", "The answer is: 14\n#### 14", true},
    {"7", "Let me think. 7\n\n8\n", false},
    {"42", "Answer: 42\nQuestion: what\nAnswer: 43", true},
    {"43", "Q: a\nA: 42\nQ: b\nA: 43", false},
    {"72",
     "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = "
     "<<48+24=72>>72 clips altogether.\n#### 72",
     true},
    {"3/4", "\\[\n\\boxed{\\dfrac{3}{4}}\n\\]", true},
    {"3/4", "$$\\boxed{\\frac34}$$", true},
    {"5", "Therefore, the answer is \\(\\boxed{5}\\).", true},
    {"10", "**Final Answer**\n\n10", true},
    {"10", "### Final Answer: 10", true},
    {"10", "Final Answer: $\\boxed{10}$ dollars", true},
    {"\\frac{5}{2}", "The answer is 2.5", true},
    {"2.5", "Thus $x = \\frac{5}{2}$.", true},
    {"(3,4)", "The answer is (3, 4).", true},
    {"\\text{Sunday}", "The answer is Sunday.", true},
    {"Sunday", "So it is \\boxed{\\text{Sunday}}.", true},
    {"1000", "The answer is 1,000.", true},
    {"1000", "The answer is $1,000.00.", true},
    {"1000", "The answer is 1000 dollars, which is a lot.", true},
    {"5", "The answer is 5 (five).", true},
    {"5", "the answer is 5 or 6", false},
    {"5", "The answer is 5 and the other is 6", false},
    {"5", "The answer is 5!", true},
    {"5", "Answer: 5 apples and 3 pears", false},
    {"8", "Answer: 5+3=8", true},
    {"8", "Answer: 5 + 3 = 8 apples", true},
    {"8", "#### The answer is 8", true},
    {"8", "#### Answer: 8", true},
    {"8", "#### x = 8", true},
    {"-8", "#### -8", true},
    {"-8", "#### - 8", true},
    {"8", "#### +8", true},
    {"8", "#### (8)", true},
    {"8", "#### [8]", true},
    {"8", "#### 8%", true},
    {"8", "#### 8 %", true},
    {"8", "#### 8:00 am", false},
    {"8.5", "#### 8.5 hours", true},
    {"8", "#### 8.5", false},
    {"8", "#### 8,5", false},
    {"8", "#### 8/1", true},
    {"8", "#### 16/2", true},
    {"8", "#### 8 1/2", false},
    {"8", "#### _8_", true},
    {"8", "#### \\(8\\)", true},
    {"8", "#### \\$8", true},
    {"8", "#### 8\xE2\x82\xAC", true},
    {"8",
     "#### \xC2\xA3"
     "8",
     true},
    {"8", "#### 8\xC2\xA0kg", true},
    {"8", "#### 08", true},
    {"8", "#### 8.", true},
    {"8", "#### 8,", true},
    {"8", "#### \"8\"", true},
    {"8", "#### 8-9", false},
    {"8", "#### 8 - 9", false},
    {"8", "#### 8 to 9", false},
    {"8", "#### 8 \\times 1", true},
    {"8", "#### 8 hundred", false},
    {"800", "#### 8 hundred", true},
    {"8", "#### 8k", false},
    {"8", "#### 8 million", false},
    {"8", "#### 8\n#### 8", true},
    {"8", "#### 8 #### 9", false},
    {"8", "<think>hmm</think>8", true},
    {"8", "</think>\n\n8", true},
    {"8", "<think></think><think>8</think>", false},
    {"8", "<THINK>8</THINK>", false},
    {"8", "#### 8<|endoftext|>#### 9", true},
    {"8", "#### 8</s></s></s>", true},
    {"8", "#### 8\n\nProblem: x\n#### 9", true},
    {"8", "#### 8\nQ: x\n#### 9", true},
    {"8", "\\boxed{8}. Alternatively \\boxed{9}", false},
    {"9", "Either \\boxed{8} or \\boxed{9}", false},
    {"9", "\\boxed{8 \\text{ or } 9}", false},
    {"9", "\\boxed{8, 9}", false},
    {"9", "\\boxed{8-9}", false},
    {"9", "\\boxed{9 \\pm 1}", false},
    {"9", "\\boxed{[8,9]}", false},
    {"9", "\\boxed{(9)}", true},
    {"9", "\\boxed{x=9}", true},
    {"9", "\\boxed{9.0}", true},
    {"9", "\\boxed{>9}", false},
    {"9", "\\boxed{x>9}", false},
    {"9", "\\boxed{\\text{The answer is }9}", true},
    {"9", "\\boxed{\\text{nine}}", true},
    {"9", "\\boxed{9 \\text{ apples}}", true},
    {"9", "\\boxed{9 \\text{ apples and 3 pears}}", false},
    {"9", "\\boxed{9\\,\\text{cm}^2}", true},
    {"9", "\\boxed{9\\ \\mathrm{m/s}}", true},
    {"9", "\\boxed{9^{\\circ}}", true},
    {"9", "\\boxed{ \\boxed{9} }", true},
    {"9", "\\boxed{\n9\n}", true},
    {"9", "\\boxed 9", true},
    {"9", "\\boxed9", true},
    {"9", "$\\boxed{9}$ or $\\boxed{10}$", false},
    {"A", "\\boxed{A}", true},
    {"A", "\\boxed{\\text{A}}", true},
    {"A", "\\boxed{(A)}", true},
    {"A", "\\boxed{a}", false},
    {"42", "The answer is not 42", false},
    {"42", "The answer isn't 42", false},
    {"42", "42 is not the answer", false},
    {"42", "Is the answer 42? No, the answer is 43.", false},
    {"42", "{\"answer\": \"42\", \"confidence\": 0.9}", true},
    {"42", "{\"reasoning\": \"so 41\", \"answer\": \"42\"}", true},
    {"1", "I have 1 2 3", false},
};

static void test_responses(void **state)
{
    int n_bad = 0;
    for (int64_t i = 0; i < ARRAY_LEN(responses); i++) {
        const struct response *const c = &responses[i];
        const struct reward_result r = verifier_score(*state, c->text, strlen(c->text),
                                                      false, c->gold);
        if (r.is_correct != c->is_paid) {
            print_error("gold <%s> of <%s>: %s by %s\n", c->gold, c->text,
                        reward_reason_name(r.reason), r.rule);
            n_bad++;
        }
    }
    assert_int_equal(n_bad, 0);
}

struct text_case {
    int style; /* enum reward_style */
    const char *gold, *text;
    enum reward_reason reason;
    const char *rule, *answer; /* answer NULL: none */
};

#define AUTO REWARD_STYLE_AUTO
#define GSM8K REWARD_STYLE_GSM8K
#define MATH REWARD_STYLE_MATH
#define BOXED REWARD_STYLE_BOXED
#define ANSWER REWARD_STYLE_ANSWER

static const struct text_case cases[] = {
    {GSM8K, "18", "9 eggs\n#### 18", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "#### 19", REWARD_WRONG, "hashes", "19"},
    {GSM8K, "18", "so it is #### 18.", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "####18", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "#####18", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "####\n\n18\n", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "#### *18* dollars", REWARD_CORRECT, "hashes", "18* dollars"},
    {GSM8K, "18", "#### `18`</s>", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "#### \\$18 per day", REWARD_CORRECT, "hashes", "\\$18 per day"},
    {GSM8K, "18", "#### $18$", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "#### \xE2\x82\xAC 18", REWARD_CORRECT, "hashes", "\xE2\x82\xAC 18"},
    {GSM8K, "10000", "a profit of #### $10,000/day from these visits.", REWARD_CORRECT,
     "hashes", "$10,000/day from these visits"},
    {GSM8K, "18", "#### 18 = 18.00", REWARD_CORRECT, "hashes", "18 = 18.00"},
    {GSM8K, "18", "#### 18 = 19", REWARD_WRONG, "hashes", "18 = 19"},
    {GSM8K, "18", "#### 18\nFirst we add 20 and 22.", REWARD_CORRECT, "hashes", "18"},
    {GSM8K, "18", "#### 18. First we add 20", REWARD_AMBIGUOUS, "hashes", NULL},
    {GSM8K, "18", "#### 18 or 19", REWARD_AMBIGUOUS, "hashes", NULL},
    {GSM8K, "18", "#### 18 19", REWARD_AMBIGUOUS, "hashes", NULL},
    {GSM8K, "18", "#### x", REWARD_WRONG, "hashes", "x"},
    {GSM8K, "18", "####", REWARD_UNPARSED, "hashes", NULL},
    {GSM8K, "18", "#### ]]", REWARD_UNPARSED, "hashes", "]]"},
    {GSM8K, "18", "\\boxed{18}", REWARD_NO_MARKER, "none", NULL},
    {GSM8K, "18", "the answer is 18", REWARD_NO_MARKER, "none", NULL},
    {GSM8K, "18", "so\nA: 18", REWARD_CORRECT, "a_line", "18"},
    {GSM8K, "18", "NASA: 18", REWARD_NO_MARKER, "none", NULL},
    {MATH, "18", "\\boxed{18}", REWARD_CORRECT, "boxed", "18"},
    {MATH, "18", "\\boxed 18", REWARD_CORRECT, "boxed", "18"},
    {MATH, "18", "in \\boxed{} form: \\boxed{18}", REWARD_CORRECT, "boxed", "18"},
    {MATH, "18", "\\boxed{}", REWARD_UNPARSED, "boxed", NULL},
    {MATH, "18", "\\fbox{18}", REWARD_CORRECT, "boxed", "18"},
    {MATH, "\\frac{1}{2}", "\\boxed{\\frac{1}{2}}", REWARD_CORRECT, "boxed",
     "\\frac{1}{2}"},
    {MATH, "\\{1\\}", "\\boxed{\\{1\\}}", REWARD_CORRECT, "boxed", "\\{1\\}"},
    {MATH, "18", "\\boxed{18", REWARD_UNCLOSED, "boxed", NULL},
    {MATH, "18", "\\boxed{18} \\boxed{1", REWARD_UNCLOSED, "boxed", NULL},
    {MATH, "18", "\\boxed{\\boxed{18}", REWARD_UNCLOSED, "boxed", NULL},
    {MATH, "5,-3", "$k = \\boxed{5}$ or $k = \\boxed{-3}$.", REWARD_CORRECT, "boxed",
     "\\boxed{5}$ or $k = \\boxed{-3}"},
    {MATH, "18", "\\boxed{17} (or \\boxed{18})", REWARD_AMBIGUOUS, "boxed", NULL},
    {MATH, "18", "\\boxed{17} is wrong, so \\boxed{18}", REWARD_CORRECT, "boxed", "18"},
    {MATH, "18", "write \\boxed{ first: \\boxed{18}", REWARD_CORRECT, "boxed", "18"},
    {MATH, "18", "\\boxed{1}\\boxed{8}", REWARD_AMBIGUOUS, "boxed", NULL},
    {MATH, "1,8", "\\boxed{1}, \\boxed{8}", REWARD_CORRECT, "boxed",
     "\\boxed{1}, \\boxed{8}"},
    {MATH, "5", "\\boxed{1} a \\boxed{2} b \\boxed{3} c \\boxed{4} d \\boxed{5}",
     REWARD_AMBIGUOUS, "boxed", NULL},
    {MATH, "4", "\\boxed{1} a \\boxed{2} b \\boxed{3} c \\boxed{4}", REWARD_CORRECT,
     "boxed", "4"},
    {MATH, "18", "the final answer is 18.", REWARD_CORRECT, "answer", "18"},
    {MATH, "18", "so 18", REWARD_NO_MARKER, "none", NULL},
    {BOXED, "18", "The answer is 18", REWARD_NO_MARKER, "none", NULL},
    {BOXED, "18", "x \\boxed{18} y", REWARD_CORRECT, "boxed", "18"},
    {ANSWER, "18", "<answer> 18 </answer>", REWARD_CORRECT, "tag", "18"},
    {ANSWER, "18", "<ANSWER>18</Answer> bye", REWARD_CORRECT, "tag", "18"},
    {ANSWER, "18", "<answer>17</answer><answer>18</answer>", REWARD_CORRECT, "tag",
     "18"},
    {ANSWER, "18", "<answer>18", REWARD_UNCLOSED, "tag", NULL},
    {ANSWER, "18", "<answer>18 <b>", REWARD_UNCLOSED, "tag", NULL},
    {ANSWER, "B", "<|begin_of_box|>B<|end_of_box|>", REWARD_CORRECT, "tag", "B"},
    {ANSWER, "18", "Answer: 18", REWARD_CORRECT, "answer", "18"},
    {ANSWER, "18", "\\boxed{18}", REWARD_NO_MARKER, "none", NULL},
    {AUTO, "18", "I got 18.", REWARD_CORRECT, "number", "18"},
    {AUTO, "18", "I got 18x.", REWARD_WRONG, "number", "18x"},
    {AUTO, "18", "I got $18$ then", REWARD_CORRECT, "math", "18"},
    {AUTO, "18", "I got **18** then", REWARD_CORRECT, "bold", "18"},
    {AUTO, "18", "18", REWARD_CORRECT, "whole", "18"},
    {AUTO, "18", "", REWARD_NO_MARKER, "none", NULL},
    {AUTO, "18", "words only", REWARD_NO_MARKER, "none", NULL},
    {AUTO, "A", "The answer is A", REWARD_AMBIGUOUS, "answer", NULL},
    {AUTO, "A", "The answer is A.", REWARD_CORRECT, "answer", "A"},
    {AUTO, "18", "<think>18", REWARD_UNCLOSED, "none", NULL},
    {AUTO, "18", "<think>18</think>", REWARD_NO_MARKER, "none", NULL},
    {AUTO, "18", "<think>Question: 1</think>#### 18", REWARD_CORRECT, "hashes", "18"},
    {AUTO, "18", "<|im_start|>#### 18", REWARD_CORRECT, "hashes", "18"},
    {AUTO, "18", " \n<|im_start|> #### 18", REWARD_CORRECT, "hashes", "18"},
    {AUTO, "18", "Question: a\n#### 18", REWARD_NO_MARKER, "none", NULL},
    {AUTO, "18", "#### 18\n**Question:** b\n#### 19", REWARD_CORRECT, "hashes", "18"},
    {AUTO, "18", "#### 18\nunquestion: b\n#### 19", REWARD_WRONG, "hashes", "19"},
};

static void test_cases(void **state)
{
    (void)state;
    for (int style = 0; style < REWARD_N_STYLES; style++) {
        struct verifier f;
        const struct reward_options o = {.style = style};
        verifier_init(&f, &o);
        for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
            const struct text_case *const c = &cases[i];
            if (c->style != style)
                continue;
            const struct reward_result r = verifier_score(&f, c->text, strlen(c->text),
                                                          false, c->gold);
            const size_t len = c->answer == NULL ? 0 : strlen(c->answer);
            if (r.reason != c->reason || strcmp(r.rule, c->rule) != 0 ||
                r.answer_len != len ||
                (len > 0 && memcmp(c->text + r.answer_off, c->answer, len) != 0))
                fail_msg("<%s>: %s by %s, answer <%.*s>", c->text,
                         reward_reason_name(r.reason), r.rule, (int)r.answer_len,
                         c->text + r.answer_off);
        }
        verifier_release(&f);
    }
}

static void test_truncated(void **state)
{
    static const struct {
        const char *gold, *text;
        enum reward_reason reason;
    } cut[] = {
        {"18", "We begin", REWARD_TRUNCATED},
        {"18", "so 18", REWARD_TRUNCATED},
        {"18", "####", REWARD_TRUNCATED},
        {"18", "#### 18", REWARD_TRUNCATED},
        {"18", "#### 18\nand", REWARD_CORRECT},
        {"18", "\\boxed{18}", REWARD_CORRECT},
        {"18", "\\boxed{18", REWARD_TRUNCATED},
        {"18", "\\boxed{18}.", REWARD_CORRECT},
        {"18", "<think>18", REWARD_TRUNCATED},
        {"18", "#### 19.", REWARD_WRONG},
        {"18", "#### 18 or 19\n", REWARD_AMBIGUOUS},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cut); i++)
        if (verifier_score(*state, cut[i].text, strlen(cut[i].text), true, cut[i].gold)
                .reason != cut[i].reason)
            fail_msg("<%s>", cut[i].text);
}

static void test_lengths(void **state)
{
    enum { DIGITS = 200000 };
    char *const text = malloc(DIGITS + 16), *const gold = malloc(DIGITS + 1);
    memset(gold, '7', DIGITS);
    gold[DIGITS] = 0;
    snprintf(text, DIGITS + 16, "#### %s", gold);
    assert_int_equal(verifier_score(*state, text, strlen(text), false, gold).reason,
                     REWARD_CORRECT);
    text[DIGITS / 2] = '8';
    assert_int_equal(verifier_score(*state, text, strlen(text), false, gold).reason,
                     REWARD_WRONG);
    assert_int_equal(verifier_score(*state, text, strlen(text), false, "1/3").reason,
                     REWARD_LIMIT);
    free(text);
    free(gold);
    /* bytes with a NUL and invalid UTF-8 around the answer */
    static const char odd[] = "a\0b\xFF\xC3 ####\t7\n\0 8";
    assert_int_equal(verifier_score(*state, odd, sizeof(odd) - 1, false, "7").reason,
                     REWARD_CORRECT);
    /* the byte after the text is not read into the number */
    assert_int_equal(verifier_score(*state, "#### 123", 7, false, "12").reason,
                     REWARD_CORRECT);
}

static void test_gold(void **state)
{
    const struct verifier *const f = *state;
    static const char *const good[][2] = {
        {"1,080", "1080"},
        {"-3", "-3"},
        {"$5.50", "11/2"},
        {"1/2", "1/2"},
        {"0", "0"},
        {"-0.0", "0"},
        {" 18.\n", "18"},
        {"145.0", "145"},
        {"6/4", "3/2"},
        {"4.33", "433/100"},
        {"-.125", "-1/8"},
        {"2 + 3 = 5\n#### 5", "5"},
        {"#### 1\n#### 2\nbye", "2"},
        {"so \\boxed{1} and then \\boxed{\\frac{6}{4}}.", "3/2"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"1000000001000000000", "1000000001000000000"},
        {"\\sqrt{2}", "\\sqrt{2}"},
        {"Tuesday", "Tuesday"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(good); i++) {
        struct reward_gold *const g = verifier_gold(f, good[i][0]);
        assert_string_equal(reward_gold_text(g), good[i][1]);
        reward_gold_free(g);
    }
    struct reward_gold *g = verifier_gold(f, "1");
    assert_int_equal(reward_gold_add(g, f->scratch, "x", 1), 0);
    assert_int_equal(reward_gold_add(g, f->scratch, "None", 4), ERR_INPUT);
    static const struct {
        const char *text;
        bool is_right;
    } any[] = {
        {"#### 1", true}, {"#### x", true}, {"#### 2", false}, {"#### y", false}};
    for (int64_t i = 0; i < ARRAY_LEN(any); i++) {
        struct reward_result r;
        reward_score(
            &r, f->scratch,
            &(struct reward_input){.text = any[i].text, .len = strlen(any[i].text)}, g);
        assert_int_equal(r.is_correct, any[i].is_right);
    }
    reward_gold_free(g);
    reward_gold_free(NULL);
}

/* In the gsm8k style a gold is a number. */
static void test_gold_style(void **state)
{
    (void)state;
    struct verifier f;
    const struct reward_options o = {.style = REWARD_STYLE_GSM8K};
    struct reward_gold *g = NULL;
    verifier_init(&f, &o);
    static const char *const bad[] = {"x", "Tuesday", "1,2345", "\\sqrt{2}", "(1,2)"};
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(reward_gold_create(&g, f.scratch, bad[i], strlen(bad[i])),
                         ERR_INPUT);
        assert_non_null(strstr(status_message(), "a number such as"));
    }
    verifier_release(&f);
}

static void test_patterns(void **state)
{
    char long_pattern[400];
    memset(long_pattern, 'a', sizeof(long_pattern) - 1);
    long_pattern[sizeof(long_pattern) - 1] = 0;
    const struct {
        struct reward_options options;
        const char *word;
    } bad[] = {
        {{.pattern = "("}, "reward.pattern: the pattern does not compile"},
        {{.pattern = "x*"}, "can match nothing"},
        {{.pattern = long_pattern}, "at most 256"},
        {{.cut = "["}, "reward.cut"},
        {{.cut = "a?"}, "can match nothing"},
        {{.pattern = "a\\C"}, "reward.pattern"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reward_rules *r = NULL;
        assert_int_equal(reward_rules_create(&r, &bad[i].options), ERR_CONFIG);
        assert_null(r);
        if (strstr(status_message(), bad[i].word) == NULL)
            fail_msg("%s", status_message());
    }
    struct verifier f;
    const struct reward_options group = {.pattern = "RESULT<([^>]+)>", .cut = "STOP"},
                                line = {.pattern = "RESULT"};
    const char *name, *pattern;
    verifier_init(&f, &group);
    assert_true(reward_rule_at(f.rules, 0, &name, &pattern));
    assert_string_equal(name, "custom");
    assert_string_equal(pattern, group.pattern);
    assert_false(reward_rule_at(f.rules, 1, &name, &pattern));
    assert_false(reward_rule_at(f.rules, -1, &name, &pattern));
    const struct verifier *const defaults = *state;
    for (int i = 0; reward_rule_at(defaults->rules, i, &name, &pattern); i++)
        assert_true(*name != 0 && (*pattern != 0) == (strcmp(name, "whole") != 0 &&
                                                      strcmp(name, "code") != 0));
    static const char one[] = "#### 4 RESULT<5> STOP RESULT<6>";
    assert_int_equal(verifier_score(&f, one, sizeof(one) - 1, false, "5").reason,
                     REWARD_CORRECT);
    assert_int_equal(verifier_score(&f, "#### 5", 6, false, "5").reason,
                     REWARD_NO_MARKER);
    verifier_release(&f);
    verifier_init(&f, &line);
    assert_string_equal(verifier_score(&f, "RESULT: 5 apples\n6", 18, false, "5").rule,
                        "custom");
    assert_true(verifier_score(&f, "RESULT: 5 apples\n6", 18, false, "5").is_correct);
    verifier_release(&f);
}

static void test_names(void **state)
{
    (void)state;
    for (int r = 0; r < REWARD_N_REASONS; r++)
        for (int k = 0; k < r; k++)
            assert_string_not_equal(reward_reason_name((enum reward_reason)r),
                                    reward_reason_name((enum reward_reason)k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses), cmocka_unit_test(test_cases),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_gold),      cmocka_unit_test(test_gold_style),
        cmocka_unit_test(test_patterns),  cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
