/*
 * The corners of the grammar and of the comparison: broken LaTeX, limits, undefined
 * values, branches of powers and logarithms, spans, named lists, markers at odd places.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    const char *gold, *text;
    bool is_paid;
};

static const struct pair answers[] = {
    {"5000!", "4999!", false},
    {"5000!", "5000!", true},
    {"6000!", "6000!+1", false},
    {"30000!", "1", false},
    {"\\sqrt[3]{2}", "\\sqrt[4]{2}", false},
    {"1", "\\sqrt[x]{2}", false},
    {"1", "\\sqrt[1]{2}", false},
    {"1", "\\sqrt[100]{2}", false},
    {"1", "\\sqrt[0]{2}", false},
    {"e", "\\exp(1)", true},
    {"0", "\\tanh 0", true},
    {"\\tanh 1", "\\frac{e^2-1}{e^2+1}", true},
    {"\\cosh 1", "\\frac{e+e^{-1}}{2}", true},
    {"5", "|3+4i|", true},
    {"5", "|3-3i|", false},
    {"i\\pi", "\\ln(-1)", true},
    {"i", "(-1)^{1/2}", true},
    {"-2", "(-8)^{1/3}", false},
    {"\\frac{1+i}{\\sqrt2}", "\\sqrt{i}", true},
    {"\\frac{\\sqrt3+i}{2}", "\\sqrt[3]{i}", true},
    {"-\\frac{i}{2}", "(1+i)^{-2}", true},
    {"2^{i}", "e^{i\\ln 2}", true},
    {"\\ln\\sqrt2-\\frac{3\\pi i}{4}", "\\ln(-1-i)", true},
    {"\\frac{\\sqrt2}{2}", "2^{-1/2}", true},
    {"8", "4^{1.5}", true},
    {"2^{1/100}", "2^{0.01}", true},
    {"2^{1/100}", "2^{0.02}", false},
    {"2^{5000/3}", "2^{5000/3}+1", false},
    {"0", "\\binom{5}{6}", true},
    {"1", "\\binom{1/2}{2}", false},
    {"20000", "\\binom{20000}{1}", false},
    {"0", "0^{-1}", false},
    {"1", "\\arcsin 2", false},
    {"1", "\\sin i", false},
    {"1", "\\lfloor i \\rfloor", false},
    {"-3", "\\lceil -\\pi \\rceil", true},
    {"3", "\\lceil 2.5 \\rceil", true},
    {"-3", "\\lfloor -2.5\\rfloor", true},
    {"2", "\\lfloor \\sqrt{4} \\rfloor", true},
    {"\\frac{\\pi}{2}", "\\sin^{-1} 1", true},
    {"1", "\\sin^{-2} 1", false},
    {"1", "\\ln^{-1} 2", false},
    {"\\pi/2", "\\arctan(1)+\\arctan(1)", true},
    {"\\frac{3\\pi}{4}", "\\arccos(-\\frac{\\sqrt2}{2})", true},
    {"-\\frac{\\pi}{2}", "\\arcsin(-1)", true},
    {"12", "12_{37}", false},
    {"12", "12_{x}", false},
    {"12", "19_5", false},
    {"12", "1.2_5", false},
    {"-37_8", "-37_{8}", true},
    {"-37_8", "37_8", false},
    {"512", "2^3^2", true},
    {"512", "2^{3^2}", true},
    {"64", "(2^3)^2", true},
    {"0.5", "2^-1", true},
    {"45", "45^{\\circ}", true},
    {"45", "45^{\\circ", false},
    {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
     "\\begin{array}{cc}1&2\\\\3&4\\end{array}", true},
    {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&4", false},
    {"1", "\\begin{pmatrix}\\end{pmatrix}", false},
    {"1", "\\begin{cases}1\\end{cases}", false},
    {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "[1,2]", false},
    {"(1,2)", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", true},
    {"(1,2)", "\\begin{pmatrix}1\\\\3\\end{pmatrix}", false},
    {"(1,2)", "\\begin{pmatrix}1&2\\end{pmatrix}", false},
    {"(1,2)", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", false},
    {"(1,2,3)", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", false},
    {"\\sqrt2:1", "2:\\sqrt2", false},
    {"0:1", "0:1", true},
    {"1:2:3", "1:2", false},
    {"3:4", "x:4", false},
    {"12:00 \\text{ noon}", "12:00", false},
    {"x>2 \\text{ or } x<1", "(-\\infty,1)\\cup(2,\\infty)", true},
    {"(2,3)\\cup(\\infty,4)", "(2,3)\\cup(4,5)", false},
    {"x<3", "-\\infty<x<3", true},
    {"x<3", "3>x>-\\infty", true},
    {"x<3", "x<y", false},
    {"1<x<2", "2<x>1", false},
    {"x<3", "1<3", false},
    {"(-2,2)", "x^2<4", false},
    {"(-2,2)", "-2<x<2", true},
    {"(-2,2)", "-2<x<y", false},
    {"(-2,2)", "-2<x<2<y", false},
    {"x \\ge 2", "2 \\le x", true},
    {"x\\ne2", "x=2", false},
    {"y", "x=y", true},
    {"3", "y=x=3", true},
    {"3", "x=y=z", false},
    {"3", "1=2=3", false},
    {"1,2", "x\\in\\{1,2\\}", true},
    {"x\\in\\{1,2\\}", "x\\in\\{2,1\\}", true},
    {"x\\in[1,2]", "x\\in[1,3]", false},
    {"x=2", "x<2", false},
    {"2x=4", "x\\approx 2", false},
    {"xy=6", "yx=6", true},
    {"xy=6", "2xy=12", true},
    {"xy=6", "xy=12", false},
    {"x+y=6", "x+y<6", false},
    {"x+y<6", "2x+2y<12", true},
    {"x+y<6", "-x-y>-6", true},
    {"x+y<6", "x+y>6", false},
    {"x+y<6", "x+y\\le6", false},
    {"x+y=(1,2)", "x+y=3", false},
    {"\\ln x+y=1", "y+\\ln x=1", true},
    {"5", "5 (about 6 cm)", true},
    {"5", "5 (about 6 cm", false},
    {"5", "5 \\text{ for all } x \\in \\mathbb{R}", true},
    {"2x", "2x \\text{ for some integer } x", true},
    {"100", "10^2 cm^2", true},
    {"10", "10 cm^{2}", true},
    {"10", "10 cm^{2", false},
    {"60", "60 km/h", true},
    {"2000000000000", "2 trillion", true},
    {"40", "forty", true},
    {"41", "forty", false},
    {"-0.05", "-5%", true},
    {"-5%", "-0.05", true},
    {"0.5", "\\f50", false},
    {"\xCE\xB1+\xCE\xB2", "\xCE\xB2+\xCE\xB1", true},
    {"\xCE\xB1+\xCE\xB2", "\xCE\xB1-\xCE\xB2", false},
    {"5", "5 m\xC2\xB2", true},
    {"5", "5 m\xC2\xB3", true},
    {"5", "5 x\xC2\xB2", false},
    {"x_{max}", "x_{min}", false},
    {"f'", "f''", false},
    {"f'", "f'", true},
    {"\\frac{1}{2}", "\xC2\xBD", true},
    {"5", "\\mathbb{Q}", false},
    {"\\mathbb{R}", "\xE2\x84\x9D", true},
    {"2\\sqrt2", "\\sqrt{2}\\cdot 2", true},
    {"6", "\\frac{12}{2}", true},
    {"6.5", "6\\frac{1}{2}", true},
    {"6.5", "6\\frac{x}{2}", false},
    {"6x", "6\\frac{2x}{2}", true},
    {"1.2345678901234567890123456789", "1.2345678901234567890123456788", false},
    {"\\pi", "3.14159265358979323846", true},
    {"\\pi", "3.141592653589793238462643383279", false},
    {"1/7", "0.142857142857142857", true},
    {"5", "5 6", false},
    {"5", "5 apples 6", false},
    {"5", "-", false},
    {"5", "(5", false},
    {"5", "5)", false},
    {"5", "(5]", false},
    {"\\{5\\}", "\\{5]", false},
    {"[5,6)", "[5,6)", true},
    {"5", "[5", false},
    {"5", "{5", false},
    {"5", "\\{5", false},
    {"5", "\\frac{5}", false},
    {"5", "\\frac", false},
    {"5", "\\sqrt[2", false},
    {"5", "\\sqrt", false},
    {"5", "\\sin", false},
    {"5", "\\log_2", false},
    {"5", "\\log_", false},
    {"5", "\\sin^", false},
    {"5", "|5", false},
    {"5", "|-5|", true},
    {"5", "\\lfloor 5.5", false},
    {"5", "5^", false},
    {"5", "5_", false},
    {"5", "5:", false},
    {"5", ":5", false},
    {"5", "5,", true},
    {"5", ",5", false},
    {"5", "5 \\cup", false},
    {"5", "5 and", false},
    {"5", "= 5", true},
    {"5", "= = 5", true},
    {"5", "x =", false},
    {"5", "\\begin{pmatrix}5", false},
    {"5", "\\overline{5}", false},
    {"5.\\overline{5}", "\\frac{50}{9}", true},
    {"0.1\\overline{6}", "1/6", true},
    {"0.1\\overline{6}", "0.16", false},
    {"\\sum_{k=1}^{n} k", "\\sum_{k=1}^{n} k", true},
    {"the cat", "the cat", true},
    {"the cat", "the dog", false},
    {"cat, dog", "dog, cat", true},
    {"cat, dog", "cat and dog", true},
    {"25.0\\%", "25\\%", true},
    {"2 - 1/x", "\\frac{2x-1}{x}", true},
    {"x^{1/3}x^{2/3}", "x", true},
    {"\\frac{1}{0.5}", "2", true},
    {"(2,3)", "(2,3)\\cup(4,5)", false},
    {"(1,2),(3,4)", "(3,4),(1,2)", true},
    {"(1,2),(3,4)", "(1,2),(3,5)", false},
    {"(1,2,3)", "[1,2,3]", true},
    {"(1,2,3)", "1,3,2", false},
    {"1,3,2", "(1,2,3)", false},
    {"\\{1,2,3\\}", "(1,2,3)", false},
    {"x=1,x=2", "x=2,x=1", true},
    {"x=1,y=2", "y=2,x=1", true},
    {"x=1,y=2", "y=1,x=2", false},
    {"a=\\pm1", "1,-1", true},
    {"\\pm1,2", "2,1,-1", true},
    {"\\pm1,2", "2,1", false},
    {"(\\pm1,2)", "(1,2)", false},
    {"\\mp 1", "1,-1", true},
    {"2\\mp\\sqrt3", "2+\\sqrt3,2-\\sqrt3", true},
    {"\\infty", "+\\infty", true},
    {"(3,\\infty)", "(3,+\\infty)", true},
    {"\\infty", "5", false},
    {"-\\infty", "\\infty", false},
    {"\\emptyset", "\\{\\}", false},
    {"3\\%", "3/100", true},
    {"\\$3", "3", true},
    {"1.5 \\text{ million}", "1,500,000", true},
    {"10 \\text{ cents}", "10 \\text{ dollars}", false},
    {"10 \\text{ dollars}", "\\$10", true},
    {"\\cos 60^\\circ", "1/2", true},
    {"60^\\circ", "60 \\text{ degrees}", true},
    {"\\frac{\\pi}{3}", "60^\\circ", true},
    {"\\frac{\\pi}{3}", "-60^\\circ", false},
    {"-\\frac{\\pi}{3}", "-60^\\circ", true},
    {"y=2x+1", "x=\\frac{y-1}{2}", true},
    {"y=2x+1", "x=\\frac{y-2}{2}", false},
    {"x=\\pm1,y=2", "1,-1,2", true},
    {"\\{1,2\\}", "1,2^{2^{2^{49}}}", false},
    {"12", "12_{5", false},
    {"12", "12_{5 6}", false},
    {"x\\ne y", "y\\ne x", true},
    {"x^2\\ne4", "(-\\infty,4)\\cup(4,\\infty)", false},
    {"(-\\infty,2)", "2x<4", false},
    {"(1,2)", "1<x<2<3", false},
    {"(1,3)", "1<2<3", false},
    {"(1,2)", "1<x=2", false},
    {"(1,2]", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", false},
    {"0:1", "1:0", false},
    {"1:x", "1:y", false},
    {"3:04", "3:04", true},
    {"3:04 pm", "3:04 pm", true},
    {"3:04", "3:04 pm", false},
    {"\\emptyset", "\\pi", false},
    {"\\pi", "e", false},
    {"\\pi", "\\pi", true},
    {"\\mathbb{R}", "\\emptyset", false},
    {"5 cm", "5 apples", true},
    {"5 apples", "5 cm", true},
    {"30^\\circ", "x", false},
    {"-\\pi/4", "\\arctan(-1)", true},
    {"\\ln 2+i\\pi", "\\ln(-2)", true},
    {"2^{\\frac{\\sqrt2}{2}}", "\\sqrt{2}^{\\sqrt2}", true},
    {"i\\sqrt2", "(-2)^{1/2}", true},
    {"-8", "(-2)^{3}", true},
    {"2", "(\\sqrt2)^{2}", true},
    {"2^{3/4}", "\\sqrt{2}^{3/2}", true},
    {"2^{1/130}", "\\sqrt2^{1/65}", true},
    {"1", "\\sqrt[2.5]{1}", false},
    {"x", "\\lfloor x \\rfloor", false},
    {"\\lfloor x\\rfloor+1", "\\lfloor x+1 \\rfloor", true},
    {"n", "\\binom{n}{1}", true},
    {"n(n-1)", "n!/(n-2)!", true},
    {"0", "10^{-400}", false},
    {"x=1", "x=1 \\text{ or } x=1", false},
    {"a=b", "b=a", true},
    {"f(x)=2", "g(x)=2", false},
    {"f(x)=2", "f(y)=2", true},
    {"AB=5", "5", true},
    {"AB=5", "CD=5", false},
    {"2ab=6", "ab=3", true},
    {"the area = 5", "5", true},
    {"5", "\\angle ABC = 5", true},
    {"5", "\\angle ABC < 5", false},
    {"5", "x = \\angle ABC", false},
    {"(x,y)=(1,2)", "(1,2)", true},
    {"(x,2)=(1,2)", "(1,2)", false},
    {"x+1=y", "y=x+1", true},
    {"y\\approx 5", "5", true},
    {"5", "5 \\approx 6", true},
    {"5", "4 \\approx 5", false},
    {"1/2", "\\frac{50}{100}", true},
    {"1.0", "1", true},
    {"x > 5", "5 > x", false},
    {"5>x", "x<5", true},
    {"-1<x<1", "-1 < -x < 1", false},
    {"(-1,1)", "-1<2x<1", false},
    {"(-1,1)", "-1<f(x)<1", true},
    {"(-1,1)", "-1<x^2<1", false},
    {"\\sqrt{x^2+2x+1}", "x+1", false},
    {"\\frac{x}{x}", "1", true},
    {"\\frac{1}{x-x}", "1", false},
    {"x", "x+10^{-30}", false},
    {"10^{30}x", "10^{30}x+1", false},
    {"\\sin x", "\\sin(x+2\\pi)", true},
    {"\\sin x", "\\cos(\\frac{\\pi}{2}-x)", true},
    {"\\sin x", "\\cos x", false},
    {"e^{x}", "e^{-x}", false},
    {"\\ln x^2", "2\\ln x", false},
    {"2 \\text{ m/s}", "2", true},
    {"2 \\text{ m/s}^2", "2", true},
    {"$2$ dollars", "2", true},
    {"two", "2", true},
    {"20", "twenty", true},
    {"21", "twenty", false},
    {"\\text{12}", "12", true},
    {"\\text{1 and 2}", "1,2", true},
    {"1,2", "1;2", true},
    {"1,2", "1 2", false},
    {"\\Delta", "\\Delta", true},
    {"\\Delta", "\\delta", false},
    {"\\varphi+1", "1+\\varphi", true},
    {"\xE2\x84\x9D", "\\mathbb{R}", true},
    {"\xCE\xB1", "\xCE\xB2", false},
    {"5", "5 \\foo", false},
    {"5", "\\foo 5", false},
    {"5", "5 \\begin", false},
    {"5", "5 \\begin{", false},
    {"5", "5 \\text{a", true},
    {"5", "5 \\text{a{b}c}", true},
    {"5", "5@", false},
    {"5", "@5", false},
    {"5", "5 #", false},
    {"5", "5&", false},
    {"5", "5?", true},
    {"5", "5 ?", true},
    {"5", "5 \"", true},
    {"abc", "abc", true},
    {"abc+1", "1+abc", true},
    {"ab c", "c ab", false},
    {"x\\mid y", "x\\mid y", true},
};

static const struct pair responses[] = {
    {"5", "The answer is $5$, $6$.", false},
    {"5", "The answer is $5$ and $6$.", false},
    {"5,6", "The answer is $5$ and $6$.", true},
    {"5", "The answer is $5$ apples.", true},
    {"5", "The answer is $$5$$.", true},
    {"5", "The answer is $5 per day.", true},
    {"5", "#### $5$ or 6", false},
    {"5", "#### $5$ of 6", false},
    {"5", "The answer is \\[5", true},
    {"5", "The answer is \"5\"", true},
    {"5", "The answer is '5'.", true},
    {"5", "The answer is 5 since 6-1=5", true},
    {"5", "The answer is 5, as 6-1 is 5", true},
    {"5", "The answer is 5; 6 is too big", false},
    {"5", "The answer is 5; six is too big", true},
    {"5", "The answer is (5)", true},
    {"5", "The answer is 5 (not 6)", false},
    {"5", "The answer is x because y", false},
    {"5", "She found that the answer is Bob has 5 apples.", true},
    {"5", "The answer is Bob has 5 or 6.", false},
    {"5", "The answer is Bob does not have 5.", false},
    {"5", "The answer is Bob has x5.", false},
    {"5", "The answer is Bob has 5x.", false},
    {"5", "The answer is: the answer is 5", true},
    {"5", "#### final answer 5", true},
    {"5", "#### Answer", false},
    {"5", "We get [5].", true},
    {"5", "We get [[5]].", false},
    {"5", "It is not 5.", false},
    {"5", "I have 5 apples, which is great.", true},
    {"5", "I have 5 apples, 6 pears", false},
    {"5", "so x^5", false},
    {"5", "so \\alpha_5", false},
    {"5", "value: 5.0.", true},
    {"0.5", "value is .5 of it", true},
    {"5", "costs $5.", true},
    {"5", "costs $5 and $6 more", false},
    {"-5", "it fell to -5.", true},
    {"1/2", "it fell to 1/2.", true},
    {"5", "5\n\n", true},
    {"5", "\n\n5", true},
    {"5", "line one\n5", true},
    {"5", "$a$\n$5$\n", true},
    {"5", "**x**\n**5**\n", true},
    {"5", "$$ 5 $$", true},
    {"5", "\\( 5 \\)", true},
    {"5", "\\[ 5 \\] done", true},
    {"x", "so $x$ it is", true},
    {"y", "so $x$ it is", false},
    {"5", "\\boxed{ 5 }", true},
    {"5", "\\boxed{5}, \\boxed{5}", true},
    {"5,6", "\\boxed{5} and \\boxed{6}", true},
    {"5,6,7", "\\boxed{5}, \\boxed{6} and \\boxed{7}", true},
    {"5", "\\boxed{5}}", true},
    {"5", "\\boxed{\\}5}", false},
    {"5", "\\boxed{5\\}", false},
    {"5", "\\boxed{", false},
    {"5", "\\boxed 5.", true},
    {"5", "\\boxed 5, then", true},
    {"1/2", "\\boxed 1/2", true},
    {"5", "\\boxed{6} then <answer>5</answer>", false},
    {"5", "<answer>5", false},
    {"5", "<answer>5<answer>", false},
    {"5", "<answer></answer>", false},
    {"5", "<answer>\n5\n</answer>", true},
    {"5", "text <answer>6</answer> <answer>5</answer>", true},
    {"5", "[INST]#### 5", true},
    {"5", "#### 5[/INST]#### 6", true},
    {"5", "<think>a<think>b</think>#### 5", true},
    {"5", "a</think>b</think>#### 5", true},
    {"5", "\xE2\x97\x81think\xE2\x96\xB7x\xE2\x97\x81/think\xE2\x96\xB7#### 5", true},
    {"5", "#### 5\n>> Question: x\n#### 6", true},
};

static enum reward_reason verdict(const struct verifier *v, const char *gold,
                                  const char *text, enum reward_kind kind)
{
    struct reward_gold *const g = verifier_gold(v, gold);
    const struct reward_input in = {.text = text, .len = strlen(text), .kind = kind};
    struct reward_result r;
    reward_score(&r, v->scratch, &in, g);
    reward_gold_free(g);
    return r.reason;
}

static void check_pairs(const struct pair *pairs, int64_t n, enum reward_kind kind)
{
    struct verifier v;
    int n_bad = 0;
    verifier_init(&v, NULL);
    for (int64_t i = 0; i < n; i++) {
        const enum reward_reason r = verdict(&v, pairs[i].gold, pairs[i].text, kind);
        if ((r == REWARD_CORRECT) != pairs[i].is_paid) {
            print_error("gold <%s> text <%s>: %s\n", pairs[i].gold, pairs[i].text,
                        reward_reason_name(r));
            n_bad++;
        }
    }
    verifier_release(&v);
    assert_int_equal(n_bad, 0);
}

static void test_answers(void **state)
{
    (void)state;
    check_pairs(answers, ARRAY_LEN(answers), REWARD_ANSWER);
}

static void test_responses(void **state)
{
    (void)state;
    check_pairs(responses, ARRAY_LEN(responses), REWARD_RESPONSE);
}

/* lead, then `n` times the unit, then the end */
static char *repeated(const char *lead, const char *unit, int n, const char *end)
{
    struct buf b = {0};
    buf_puts(&b, lead);
    for (int i = 0; i < n; i++)
        buf_puts(&b, unit);
    buf_puts(&b, end);
    return b.data;
}

/* Beyond a limit nothing is paid, whatever its value, and the reason says so. */
static void test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *lead, *unit, *end;
        int n;
        enum reward_reason reason;
    } cases[] = {
        {"", "(", "1", 70, REWARD_LIMIT},
        {"", "-", "1", 70, REWARD_LIMIT},
        {"", "\\sqrt{", "1", 70, REWARD_LIMIT},
        {"", "\\sin", "1", 70, REWARD_LIMIT},
        {"2", "^2", "", 70, REWARD_LIMIT},
        {"", "\\frac", "1", 70, REWARD_LIMIT},
        {"1", "+1", "", 600, REWARD_LIMIT},
        {"1", "+3\\frac12", "", 300, REWARD_LIMIT},
        {"1", "+2-2", "", 120, REWARD_CORRECT},
        {"", "1 ", "", 5000, REWARD_LIMIT},
        {"2", "/2", "", 110, REWARD_LIMIT},
        {"\\pi", "/2", "", 110, REWARD_LIMIT},
        {"1/", "7", "", 5000, REWARD_LIMIT},
        {"1", "\\cdot 2^{60000}", "", 3, REWARD_WRONG},
        {"", "x^", "2", 40, REWARD_LIMIT},
        {"1", "+\\sqrt{2}-\\sqrt{2}", "", 30, REWARD_CORRECT},
        {"1,", "2,", "3", 70, REWARD_LIMIT},
        {"", "f(", "1", 70, REWARD_LIMIT},
        {"x", "\\cup x", "", 400, REWARD_AMBIGUOUS},
    };
    struct verifier v;
    int n_bad = 0;
    verifier_init(&v, NULL);
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *const text = repeated(cases[i].lead, cases[i].unit, cases[i].n,
                                    cases[i].end);
        const enum reward_reason r = verdict(&v, "1", text, REWARD_ANSWER);
        if (r != cases[i].reason)
            print_error("<%.60s>: %s\n", text, reward_reason_name(r));
        mem_free(text);
        n_bad += r != cases[i].reason;
    }
    verifier_release(&v);
    assert_int_equal(n_bad, 0);
}

/* More elements, or more intervals, than are compared. */
static void test_many(void **state)
{
    (void)state;
    struct verifier v;
    verifier_init(&v, NULL);
    char *const list = repeated("1", ",2", 70, ",3"), *const other = repeated("3", ",2",
                                                                              70, ",1");
    assert_int_equal(verdict(&v, list, list, REWARD_ANSWER), REWARD_CORRECT);
    assert_int_equal(verdict(&v, list, other, REWARD_ANSWER), REWARD_LIMIT);
    char *const spans = repeated("(0,1)", "\\cup(1,2)", 20, ""),
                *const turned = repeated("(1,2)", "\\cup(1,2)", 19, "\\cup(0,1)");
    assert_int_equal(verdict(&v, spans, spans, REWARD_ANSWER), REWARD_CORRECT);
    assert_int_not_equal(verdict(&v, spans, turned, REWARD_ANSWER), REWARD_CORRECT);
    mem_free(list);
    mem_free(other);
    mem_free(spans);
    mem_free(turned);
    verifier_release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
