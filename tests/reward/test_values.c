/*
 * Answers against golds, in both directions: what is equal in value, form by form, and
 * what only looks so. Written for this project; the verdicts follow from mathematics
 * and from the rules of reward/compare.h.
 */
#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    const char *gold, *answer;
    bool is_equal;
};

static const struct pair pairs[] = {
    {"1234567", "1 234 567", true},
    {"1234567",
     "1\xE2\x80\xAF"
     "234\xE2\x80\xAF"
     "567",
     true},
    {"1234567", "1'234'567", true},
    {"1234567", "1.234.567", true},
    {"1234.5", "1.234,5", false},
    {"1234567.5", "1.234.567,5", true},
    {"1000", "1e3", true},
    {"0.001", "1e-3", true},
    {"5000000", "5 million", true},
    {"1800000", "1.8 million dollars", true},
    {"24", "2 dozen", true},
    {"-5",
     "\xE2\x88\x92"
     "5",
     true},
    {"-5",
     "\xE2\x80\x93"
     "5",
     true},
    {"0.5", "\xC2\xBD", true},
    {"2.5", "2\xC2\xBD", true},
    {"7/4", "1 3/4", true},
    {"-7/4", "-1 3/4", true},
    {"7", "4\xC2\xB2", false},
    {"16", "4\xC2\xB2", true},
    {"100", "$100.00", true},
    {"100", "100 USD", true},
    {"12", "12 men", true},
    {"0.5", "50\\%", true},
    {"50", "50%", true},
    {"5", "0.05", false},
    {"50%", "0.5", true},
    {"50%", "50", true},
    {"1", "100", false},
    {"100", "1", false},
    {"100", "1%", false},
    {"0.01", "1%", true},
    {"3", "3x", false},
    {"3x", "3", false},
    {"3", "3 xy", false},
    {"5", "5 m", false},
    {"12", "12 or 13", false},
    {"12", "10-12", false},
    {"12", "12-13", false},
    {"12",
     "12\xE2\x80\x93"
     "13",
     false},
    {"12", "12, 13", false},
    {"12", "12 and 13", false},
    {"12", "\\pm 12", false},
    {"12", "[12,13]", false},
    {"12", "12 to 13", false},
    {"12", "between 11 and 12", false},
    {"12", "12 13", false},
    {"12", "12/13", false},
    {"1", "1 or 1", false},
    {"99999999999", "100000000000", false},
    {"100000", "100001", false},
    {"123456789012345678901234567890", "123456789012345678901234567891", false},
    {"123456789012345678901234567890", "123,456,789,012,345,678,901,234,567,890", true},
    {"1/3", "0.333333", false},
    {"1/3", "0.3333333333333333", true},
    {"1/3", "0.33333333333333331", true},
    {"1", "0.9999999999999999", false},
    {"1", "1.0000000000000000001", false},
    {"\\sqrt{8}", "2\\sqrt{2}", true},
    {"\\sqrt{8}", "2\\sqrt{3}", false},
    {"\\sqrt{2}+\\sqrt{3}", "\\sqrt{5+2\\sqrt{6}}", true},
    {"\\sqrt{2}+\\sqrt{3}", "\\sqrt{5+2\\sqrt{6}+10^{-40}}", false},
    {"1-1/e", "1+1/e", false},
    {"1-1/e", "1-\\frac{1}{e}", true},
    {"1-1/e", "\\frac{e-1}{e}", true},
    {"2^{-99}", "2^{-98}", false},
    {"1/2004!", "1/2006!", false},
    {"1/2006!", "1/(2006\\cdot 2005\\cdot 2004!)", true},
    {"2^{2025}", "3^{2025}", false},
    {"4^{1000}", "2^{2000}", true},
    {"10^{100000}+1", "10^{100000}", false},
    {"e^{1000000}+1", "e^{1000000}", false},
    {"2^{100000}+1", "2^{100000}", false},
    {"\\pi", "3.14159265358979", true},
    {"\\pi", "3.14159", false},
    {"\\pi", "22/7", false},
    {"\\frac{\\pi}{4}", "\\arctan(1)", true},
    {"\\frac{\\pi}{4}", "45^\\circ", true},
    {"\\ln 4", "2\\ln 2", true},
    {"\\log 100", "2", false},
    {"\\log_{10} 100", "2", true},
    {"\\frac{\\log 8}{\\log 2}", "3", true},
    {"\\log 2", "\\ln 2", false},
    {"\\sin 30^\\circ", "1/2", true},
    {"\\sin(\\pi/6)", "0.5", true},
    {"\\cos 36^\\circ", "\\frac{1+\\sqrt5}{4}", true},
    {"\\tan 15^\\circ", "2-\\sqrt3", true},
    {"e^{i\\pi}", "-1", true},
    {"i^2", "-1", true},
    {"(1+i)^2", "2i", true},
    {"\\frac{1}{1+i}", "\\frac{1-i}{2}", true},
    {"3+4i", "4i+3", true},
    {"3+4i", "3-4i", false},
    {"\\sqrt{-4}", "2i", true},
    {"\\sqrt[3]{8}", "2", true},
    {"\\sqrt[3]{-8}", "-2", true},
    {"\\sqrt[4]{8}", "2^{3/4}", true},
    {"2^{0.5}", "\\sqrt2", true},
    {"\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}", true},
    {"\\infty", "-\\infty", false},
    {"\\infty", "\\infty", true},
    {"5", "\\infty", false},
    {"\\binom{10}{3}", "120", true},
    {"5!", "120", true},
    {"|{-3}|", "3", true},
    {"\\lfloor 3.7\\rfloor", "3", true},
    {"\\lceil \\sqrt{2} \\rceil", "2", true},
    {"\\lfloor\\pi\\rfloor", "3", true},
    {"\\sqrt{1+10^{-300}}", "1", false},
    {"\\sqrt{10^{40}+1}", "10^{20}", false},
    {"\\cosh 0", "1", true},
    {"\\sinh(1)", "\\frac{e-e^{-1}}{2}", true},
    {"\\arcsin(1/2)", "\\pi/6", true},
    {"\\arccos(1/2)", "\\pi/3", true},
    {"(x+1)^2", "x^2+2x+1", true},
    {"(x+1)^2", "x^2+2x+2", false},
    {"\\frac{x^2-1}{x-1}", "x+1", true},
    {"x", "y", false},
    {"|x|", "x", false},
    {"\\sqrt{x^2}", "x", false},
    {"\\sin^2 x+\\cos^2 x", "1", true},
    {"\\sin 2x", "2\\sin x\\cos x", true},
    {"2^{n+1}", "2\\cdot 2^n", true},
    {"(ab)^n", "a^n b^n", true},
    {"(-1)^{2n}", "1", false},
    {"n!", "n(n-1)!", true},
    {"n!", "(n+1)!", false},
    {"\\binom{n}{2}", "\\frac{n(n-1)}{2}", true},
    {"x^{100}", "x^{101}", false},
    {"e^{x+y}", "e^x e^y", true},
    {"ax+b", "bx+a", false},
    {"x_1+x_2", "x_2+x_1", true},
    {"x_1", "x_2", false},
    {"\\alpha\\beta", "\\beta\\alpha", true},
    {"2\\pi r", "2r\\pi", true},
    {"\\frac{1}{x}", "x^{-1}", true},
    {"3x-y+13=0", "3x+4y+14=0", false},
    {"x+y-z+2=0", "5x-y-z=0", false},
    {"y=2x+1", "2x-y+1=0", true},
    {"y=2x+1", "y=1+2x", true},
    {"y=2x+1", "2x+1", true},
    {"x=5", "5", true},
    {"x=5", "y=5", false},
    {"x\\ne 3", "x\\neq3", true},
    {"x>3", "x\\ge3", false},
    {"x>3", "3<x", true},
    {"x>3", "(3,\\infty)", true},
    {"x>3", "[3,\\infty)", false},
    {"x<3", "x>3", false},
    {"2x>6", "x>3", true},
    {"-x>-3", "x<3", true},
    {"x \\in \\mathbb{R}", "(-\\infty,\\infty)", true},
    {"x^2+y^2=1", "y^2+x^2-1=0", true},
    {"x^2+y^2=1", "2x^2+2y^2=2", true},
    {"x^2+y^2=1", "x^2-y^2=1", false},
    {"f(n)=2n", "f(m)=2m", true},
    {"f(x)=x", "f(x)=2x", false},
    {"(1,2)", "(2,1)", false},
    {"(1,2)", "[1,2]", false},
    {"[0,1)", "(0,1)", false},
    {"(1,2)", "1,2", false},
    {"(1,2,3)", "1,2,3", true},
    {"1,2,3", "3,2,1", true},
    {"\\{1,2,3\\}", "{3,2,1}", true},
    {"\\{1,2\\}", "(1,2)", false},
    {"1,2", "1,2,3", false},
    {"1,1,2", "1,2,2", false},
    {"(1,234)", "1234", false},
    {"1234", "(1,234)", false},
    {"1,234", "1234", true},
    {"(-\\infty,1]\\cup[2,\\infty)", "x\\le1 \\text{ or } x\\ge 2", true},
    {"(-\\infty,1]\\cup[2,\\infty)", "[2,\\infty)\\cup(-\\infty,1]", true},
    {"(1,2)\\cup(3,4)", "(1,2)\\cup(3,5)", false},
    {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
     "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}", true},
    {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
     "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}", false},
    {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)", true},
    {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1&2\\end{pmatrix}",
     false},
    {"3:4", "6:8", true},
    {"3:4", "4:3", false},
    {"3:4", "3/4", false},
    {"12:00", "12:00", true},
    {"12:00", "6:00", false},
    {"204_5", "204", false},
    {"204_5", "204_{5}", true},
    {"204_5", "54", false},
    {"204_5", "204_6", false},
    {"24_{10}", "24", true},
    {"101_2", "5", false},
    {"\\text{Tuesday}", "Tuesday", true},
    {"Tuesday", "tuesday.", true},
    {"\\text{(B)}", "B", true},
    {"(B)", "B", true},
    {"B", "\\text{(B)}", true},
    {"B", "C", false},
    {"\\text{even}", "odd", false},
    {"x=1,y=2", "2,1", false},
    {"x=1,y=2", "1,2", true},
    {"x=1 \\text{ or } x=2", "2,1", true},
    {"x=\\pm 2", "-2,2", true},
    {"\\pm 2", "2", false},
    {"3\\pm\\sqrt2", "3+\\sqrt2", false},
    {"3\\pm\\sqrt2", "3-\\sqrt2,3+\\sqrt2", true},
    {"5", "2+3", true},
    {"2+3=5", "5", true},
    {"5", "2+2=5", false},
    {"5", "x=2+3=5", true},
    {"5", "6=5", false},
    {"10", "10\\text{ cm}", true},
    {"10 \\text{ cm}", "10", true},
    {"10", "10\\text{ or so}", false},
    {"18", "18 \\text{ (assuming the gold is 18)}", false},
    {"5", "5 is wrong", false},
    {"5", "not 5", false},
    {"5", "5 + x - x", true},
    {"5", "5!", false},
    {"0", "x-x", true},
    {"0", "1/0", false},
    {"0", "0/0", false},
    {"0", "\\frac{0}{0}", false},
    {"4", "\xEF\xBC\x94", false},
    {"42", "4\xEF\xBC\x92", false},
    {"42", "\xD9\xA4\xD9\xA2", false},
    {"3", "\xE2\x91\xA2", false},
    {"42", "\xF0\x9D\x9F\x92\xF0\x9D\x9F\x90", false},
    {"0", "nan", false},
    {"1", "1e400", false},
    {"5", "5\xE2\x83\x9D", false},
    {"2x", "x2", false},
    {"\\frac{1}{2}", "\\frac12", true},
    {"\\frac{1}{12}", "\\frac1{12}", true},
    {"\\dfrac{3}{4}", "0.75", true},
    {"\\sqrt 5", "\\sqrt5", true},
    {"3\\sqrt{5}", "3*sqrt(5)", true},
    {"2\\sqrt{3}",
     "2\xE2\x88\x9A"
     "3",
     true},
    {"\\frac{\\sqrt{3}}{2}", "sqrt(3)/2", true},
    {"x^2", "x**2", true},
    {"0.\\overline{3}", "0.3", false},
    {"0.3", "0.\\overline{3}", false},
    {"10,000", "10{,}000", true},
    {"10000", "10\\,000", true},
    {"1", "1,", true},
    {"\\$5", "5 dollars", true},
    {"5", "5 \\text{ dollars per hour}", true},
    {"60", "60 km/h", true},
    {"1/2", "\\frac{1}{2}\\text{ of the pie}", true},
    {"0.1+0.2", "0.3", true},
    {"0.3", "0.1+0.2", true},
    {"3", "3.0000000000000004", false},
    {"2/3", "0.66666666666666663", true},
    {"2/3", "0.6666666666666667", true},
    {"2/3", "0.66666666666666", false},
    {"1000000", "1000000.0000001", false},
    {"x", "x=5", false},
    {"5", "x", false},
    {"x+1=0", "x+1", false},
    {"x^2=4", "x=2", false},
    {"x=2", "x^2=4", false},
    {"x>2", "x>2.0", true},
    {"2<x<3", "2<x\\le3", false},
    {"2<x<3", "3>x>2", true},
    {"(2,3)", "2<x<3", true},
    {"[2,3]", "2<=x<=3", true},
    {"\\{x: x>2\\}", "x>2", true},
    {"x\\in(2,3)", "(2,3)", true},
    {"(2,3)", "x\\in(2,3)", true},
    {"x\\in\\{2,3\\}", "2,3", true},
    {"x\\neq 2", "(-\\infty,2)\\cup(2,\\infty)", true},
    {"\\emptyset", "\\varnothing", true},
    {"\\emptyset", "0", false},
    {"0", "\\emptyset", false},
    {"\\frac{x+2}{3}", "(x+2)/3", true},
    {"\\frac{x+2}{3}", "x+2/3", false},
    {"-x+1", "1-x", true},
    {"x^{2}y", "yx^2", true},
    {"\\sqrt{x+1}", "(x+1)^{1/2}", true},
    {"x^{-2}", "\\frac{1}{x^2}", true},
    {"\\frac{a}{b}+\\frac{c}{d}", "\\frac{ad+bc}{bd}", true},
    {"3x^2+2x", "x(3x+2)", true},
    {"(x-1)(x+1)", "x^2-1", true},
    {"\\cos(x)^2", "\\cos^2 x", true},
    {"\\tan x", "\\frac{\\sin x}{\\cos x}", true},
    {"\\log_2 x", "\\frac{\\ln x}{\\ln 2}", true},
    {"e^{2\\ln x}", "x^2", true},
    {"2^x", "e^{x\\ln 2}", true},
    {"|x-1|", "|1-x|", true},
    {"x!", "x", false},
    {"n^2", "n^3", false},
    {"P(x)=x+1", "x+1", true},
    {"1+\\sqrt{5}", "1+\\sqrt5", true},
    {"\\frac{1+\\sqrt{5}}{2}", "1.618", false},
    {"\\frac{1+\\sqrt{5}}{2}", "1.6180339887498949", true},
    {"2\\sqrt[3]{4}", "\\sqrt[3]{32}", true},
    {"\\sqrt{3+2\\sqrt2}", "1+\\sqrt2", true},
    {"e^{\\pi}", "\\pi^e", false},
    {"\\frac{\\pi^2}{6}", "\\pi^2/6", true},
    {"180^\\circ", "\\pi", true},
    {"30^\\circ", "30", true},
    {"30^\\circ", "\\frac{\\pi}{6}", true},
    {"30^\\circ", "\\frac{\\pi}{3}", false},
    {"\\cos 60^\\circ", "\\cos 60", false},
    {"60", "60^\\circ", true},
    {"45\xC2\xB0", "45 degrees", true},
    {"1,000,000", "10^6", true},
    {"10^6", "1000000", true},
    {"1.5\\times10^{3}", "1500", true},
    {"1.5e3", "1500", true},
    {"6.02 \\cdot 10^{23}", "6.02e23", true},
    {"1:2:3", "2:4:6", true},
    {"1:2", "1 : 2", true},
    {"3:2", "1.5", false},
    {"\\$18.90", "18.9", true},
    {"\\$18.90", "$18.90", true},
    {"18", "$18$", true},
    {"18", "\\text{18}", true},
    {"18", "\\mathbf{18}", true},
    {"18", "{18}", true},
    {"18", "18\\!", true},
    {"18", "\\,18\\;", true},
    {"18", "18\\text{.}", true},
    {"18", "18_{10}", true},
    {"18\\%", "18", true},
    {"0.18", "18\\%", true},
    {"18", "0.18", false},
    {"18%", "1800%", false},
    {"0.5\\%", "0.005", true},
    {"5\\cdot 10^{-1}", "0.5", true},
    {"yes", "Yes", true},
    {"yes", "no", false},
    {"True", "true", true},
    {"2 hours", "2", true},
    {"2 hours 30 minutes", "2", false},
    {"2 hours and 30 minutes", "2.5", false},
    {"1\\ 000", "1000", true},
    {"12\\,345.67", "12345.67", true},
    {"0.000", "0", true},
    {"-0", "0", true},
    {"+5", "5", true},
    {"..5", "0.5", false},
};

/* As tools that know one order only get wrong: equality has no direction. Formats do
 * ("5 cats" for a gold 5): pairs without words and signs. */
static bool is_symmetric(const struct pair *p)
{
    return strpbrk(p->gold, "%!\"") == NULL && strpbrk(p->answer, "%!\"") == NULL &&
           strstr(p->gold, "text") == NULL && strstr(p->answer, "text") == NULL;
}

static enum reward_reason verdict(const struct verifier *f, const char *gold,
                                  const char *answer)
{
    struct reward_gold *g = NULL;
    struct reward_result r;
    if (reward_gold_create(&g, f->scratch, gold, strlen(gold)) != 0)
        return REWARD_N_REASONS;
    reward_score(&r, f->scratch,
                 &(struct reward_input){
                     .text = answer, .len = strlen(answer), .kind = REWARD_ANSWER},
                 g);
    reward_gold_free(g);
    return r.reason;
}

static void test_pairs(void **state)
{
    (void)state;
    struct verifier f;
    int n_bad = 0;
    verifier_init(&f, NULL);
    for (int64_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct pair *const p = &pairs[i];
        const enum reward_reason r = verdict(&f, p->gold, p->answer);
        if (r == REWARD_N_REASONS || (r == REWARD_CORRECT) != p->is_equal) {
            print_error("gold <%s> answer <%s>: %s\n", p->gold, p->answer,
                        r == REWARD_N_REASONS ? "unusable" : reward_reason_name(r));
            n_bad++;
        }
    }
    verifier_release(&f);
    assert_int_equal(n_bad, 0);
}

/* A verdict "equal" never depends on which side is the gold; "different" must not turn
 * into "equal". */
static void test_directions(void **state)
{
    (void)state;
    struct verifier f;
    int n_bad = 0;
    verifier_init(&f, NULL);
    for (int64_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct pair *const p = &pairs[i];
        if (p->is_equal || !is_symmetric(p))
            continue;
        if (verdict(&f, p->answer, p->gold) == REWARD_CORRECT) {
            print_error("gold <%s> answer <%s> is paid\n", p->answer, p->gold);
            n_bad++;
        }
    }
    verifier_release(&f);
    assert_int_equal(n_bad, 0);
}

/* Every gold and every answer equals itself, unless it has no value. */
static void test_identity(void **state)
{
    (void)state;
    struct verifier f;
    verifier_init(&f, NULL);
    for (int64_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const enum reward_reason r = verdict(&f, pairs[i].gold, pairs[i].gold);
        if (r != REWARD_CORRECT)
            fail_msg("<%s> is not itself: %d", pairs[i].gold, (int)r);
    }
    verifier_release(&f);
}

struct policy_case {
    struct reward_options options;
    const char *gold, *answer;
    bool is_equal;
};

static const struct policy_case policies[] = {
    {{.percent = 0}, "0.5", "50%", true},
    {{.percent = 0}, "50", "50%", true},
    {{.percent = 0}, "50", "5000%", true},
    {{.percent = 1}, "0.5", "50%", true},
    {{.percent = 1}, "50", "50%", false},
    {{.percent = 2}, "0.5", "50%", false},
    {{.percent = 2}, "50", "50%", true},
    {{.percent = 2}, "-50", "-50%", true},
    {{.order = 0}, "1, 2", "2, 1", true},
    {{.order = 1}, "1, 2", "2, 1", false},
    {{.order = 1}, "1, 2", "1, 2.0", true},
    {{.order = 1}, "(1, 2)", "(1, 2)", true},
    {{.rounding = 0}, "4.33", "13/3", false},
    {{.rounding = 1}, "4.33", "13/3", true},
    {{.rounding = 1}, "4.33", "4.334", true},
    {{.rounding = 1}, "4.33", "4.336", false},
    {{.rounding = 1}, "4.33", "4.34", false},
    {{.rounding = 1}, "4.33", "4.3", false},
    {{.rounding = 1}, "4", "4.1", false},
    {{.rounding = 1}, "3.14", "\\pi", true},
    {{.rounding = 1}, "3.14", "x", false},
    {{.fractions = 0}, "1/2", "2/4", true},
    {{.fractions = 1}, "1/2", "2/4", false},
    {{.fractions = 1}, "1/2", "\\frac{1}{2}", true},
    {{.fractions = 1}, "1/2", "\\frac{2}{4}", false},
    {{.fractions = 1}, "1/2", "0.5", true},
    {{.fractions = 1}, "2/x", "2/x", true},
    {{.fractions = 1}, "x/2", "x/2", true},
    {{.fractions = 1}, "x/y", "x/y", true},
    {{.fractions = 1}, "1/99999999999999999999", "1/99999999999999999999", true},
    {{.pattern = "", .cut = ""}, "1", "1", true},
    {{.fractions = 1}, "\\pi/2", "\\frac{\\pi}{2}", true},
};

static void test_policies(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(policies); i++) {
        const struct policy_case *const p = &policies[i];
        struct verifier f;
        verifier_init(&f, &p->options);
        const bool is_equal = verdict(&f, p->gold, p->answer) == REWARD_CORRECT;
        if (is_equal != p->is_equal)
            fail_msg("case %d: gold <%s> answer <%s>", (int)i, p->gold, p->answer);
        verifier_release(&f);
    }
}

static void test_unusable(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "None",
        "none",
        "null",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "n/a",
        "1/0",
        "0/0",
        "\\frac{1}{0}",
        "12 or",
        "5 5",
        "####",
        "#### \n",
        "\\boxed{}",
        "0^{-1}",
        "\\ln 0",
        "\\tan 90^\\circ",
        "()",
        "{",
        "+",
        "undefined",
        "(-1)!",
        "\\binom{-1}{2}",
        "1e999",
    };
    struct verifier f;
    verifier_init(&f, NULL);
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reward_gold *g = NULL;
        if (reward_gold_create(&g, f.scratch, bad[i], strlen(bad[i])) == 0)
            fail_msg("<%s> is accepted as a gold", bad[i]);
        assert_null(g);
        assert_non_null(strstr(status_message(), "has no value"));
    }
    verifier_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),    cmocka_unit_test(test_directions),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_policies),
        cmocka_unit_test(test_unusable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
