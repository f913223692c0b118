/*
 * The verifier: a table of what counts as an answer, hostile text in linear time
 * without allocation, and, where the shared data are present, every GSM8K gold and
 * other projects' verifier cases (no false positive).
 */
#include "reward/reward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"
#include "core/rng.h"

struct fixture {
    struct reward_rules *rules;
    struct reward_scratch *scratch;
};

static int set_up(void **state)
{
    static struct fixture f;
    assert_int_equal(reward_rules_create(&f.rules), 0);
    assert_int_equal(reward_scratch_create(&f.scratch, f.rules), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    reward_scratch_free(f->scratch);
    reward_rules_free(f->rules);
    return 0;
}

static struct reward_gold *gold_of(const char *text)
{
    struct reward_gold *g = NULL;
    assert_int_equal(reward_gold_create(&g, text, strlen(text)), 0);
    return g;
}

static struct reward_result score(const struct fixture *f, const char *text, size_t len,
                                  bool is_truncated, const char *gold)
{
    struct reward_gold *const g = gold_of(gold);
    struct reward_result r;
    memset(&r, 0xA5, sizeof(r));
    reward_score(&r, f->rules, f->scratch, text, len, is_truncated, g);
    reward_gold_free(g);
    assert_int_equal(r.is_correct, r.reason == REWARD_CORRECT);
    assert_int_equal(r.has_form,
                     r.reason == REWARD_CORRECT || r.reason == REWARD_WRONG);
    assert_true(r.answer_off + r.answer_len <= len);
    return r;
}

struct text_case {
    const char *gold, *text;
    enum reward_reason reason;
    const char *answer; /* NULL: none */
};

static const struct text_case cases[] = {
    /* what models write */
    {"18", "9 eggs\n#### 18", REWARD_CORRECT, "18"},
    {"18", "#### 19", REWARD_WRONG, "19"},
    {"18", "so it is #### 18.", REWARD_CORRECT, "18"},
    {"18", "####18", REWARD_CORRECT, "18"},
    {"18", "####\n\n18\n", REWARD_CORRECT, "18"},
    {"18", "#### **18**", REWARD_CORRECT, "18"},
    {"18", "#### *18* dollars", REWARD_CORRECT, "18"},
    {"18", "#### `18`</s>", REWARD_CORRECT, "18"},
    {"18", "#### $18.00", REWARD_CORRECT, "$18.00"},
    {"18", "#### \\$18 per day", REWARD_CORRECT, "\\$18"},
    {"18", "#### $18$", REWARD_CORRECT, "$18"},
    {"18", "#### \xE2\x82\xAC 18", REWARD_CORRECT, "\xE2\x82\xAC 18"},
    {"18", "#### \xC2\xA0 18", REWARD_CORRECT, "18"},
    {"10000", "makes a profit of #### $10,000/day from these visits.", REWARD_CORRECT,
     "$10,000"},
    {"10000000", "#### 10,000,000", REWARD_CORRECT, "10,000,000"},
    {"1080", "#### 1080 km", REWARD_CORRECT, "1080"},
    {"1,080", "#### 1080", REWARD_CORRECT, "1080"},
    {"0.5", "#### .5", REWARD_CORRECT, ".5"},
    {"0.5", "#### 1/2", REWARD_CORRECT, "1/2"},
    {"1/3", "#### 2 / 6 of it", REWARD_CORRECT, "2 / 6"},
    {"0.333333", "#### 1/3", REWARD_WRONG, "1/3"},
    {"7", "#### 007", REWARD_CORRECT, "007"},
    {"5", "#### +5", REWARD_CORRECT, "+5"},
    {"-5", "#### -5", REWARD_CORRECT, "-5"},
    {"-5",
     "#### \xE2\x88\x92"
     "5",
     REWARD_CORRECT,
     "\xE2\x88\x92"
     "5"},
    {"-5", "#### -$5", REWARD_CORRECT, "-$5"},
    {"-5", "#### $-5", REWARD_CORRECT, "$-5"},
    {"5", "#### -5", REWARD_WRONG, "-5"},
    {"0", "#### -0.0", REWARD_CORRECT, "-0.0"},
    {"18", "#### 18 (in words)\nFirst we add 20 and 22.", REWARD_CORRECT, "18"},
    {"18", "#### 18\r\nFirst we add 20 and 22.", REWARD_CORRECT, "18"},
    {"18", "#### 18\nThe answer is: 17", REWARD_CORRECT, "18"},
    {"18", "#### 18 = 18.00", REWARD_CORRECT, "18"},
    {"18", "#### 18\\text{ cm}", REWARD_CORRECT, "18"},
    /* the percent sign says nothing about scale */
    {"25", "#### 25%", REWARD_CORRECT, "25%"},
    {"25%", "#### 25 %", REWARD_CORRECT, "25 %"},
    {"25", "#### 25\\%", REWARD_CORRECT, "25\\%"},
    {"0.25", "#### 25%", REWARD_WRONG, "25%"},
    {"25", "#### 0.25", REWARD_WRONG, "0.25"},
    /* near misses of tolerant comparers */
    {"50", "#### 0.5", REWARD_WRONG, "0.5"},
    {"100000", "#### 100001", REWARD_WRONG, "100001"},
    {"12345678901234567890", "#### 12345678901234567891", REWARD_WRONG,
     "12345678901234567891"},
    {"9007199254740993", "#### 9007199254740992", REWARD_WRONG, "9007199254740992"},
    {"1", "#### 0.9999999999999999999999999", REWARD_WRONG,
     "0.9999999999999999999999999"},
    /* several markers */
    {"12", "#### 12 \nso\n#### 12.0\n", REWARD_CORRECT, "12.0"},
    {"12", "#### 12\n#### 13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 13\n#### 12", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 12\n##### 13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 12#### 13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### Step one\n#### 12", REWARD_CORRECT, "12"},
    {"12", "#### 12\n####", REWARD_NO_NUMBER, NULL},
    {"12", "### 12", REWARD_NO_MARKER, NULL},
    {"12", "12", REWARD_NO_MARKER, NULL},
    {"12", "", REWARD_NO_MARKER, NULL},
    {"12", "####", REWARD_NO_NUMBER, NULL},
    {"12", "#### twelve", REWARD_NO_NUMBER, NULL},
    {"12", "#### the answer is 12", REWARD_NO_NUMBER, NULL},
    /* more than a number */
    {"12", "#### 12 or 13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 10 or 12", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 12 or thirteen", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 12-13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 12, 13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### 12 13", REWARD_AMBIGUOUS, NULL},
    {"12", "#### {12} 13", REWARD_NO_NUMBER, NULL},
    {"3", "#### 3,4", REWARD_AMBIGUOUS, NULL},
    {"12345", "#### 1,2345", REWARD_AMBIGUOUS, NULL},
    {"1234567", "#### 1234,567", REWARD_AMBIGUOUS, NULL},
    {"1", "#### 1.000,50", REWARD_AMBIGUOUS, NULL},
    {"1.2", "#### 1.2.3", REWARD_AMBIGUOUS, NULL},
    {"3", "#### 3/4/5", REWARD_AMBIGUOUS, NULL},
    {"10", "#### 10+John's age", REWARD_AMBIGUOUS, NULL},
    {"10", "#### 10*John's age", REWARD_AMBIGUOUS, NULL},
    {"10", "#### 10 * x", REWARD_AMBIGUOUS, NULL},
    {"32", "#### 32x", REWARD_AMBIGUOUS, NULL},
    {"2", "#### 2:00 pm", REWARD_AMBIGUOUS, NULL},
    {"1.8", "#### 1.8 billion", REWARD_AMBIGUOUS, NULL},
    {"2", "#### 2\\sqrt{x}", REWARD_AMBIGUOUS, NULL},
    {"5", "#### 5\xC2\xBD", REWARD_AMBIGUOUS, NULL},     /* 5 1/2 */
    {"4", "#### 4\xEF\xBC\x92", REWARD_AMBIGUOUS, NULL}, /* full-width 2 */
    {"4", "#### 4\xD9\xA2", REWARD_AMBIGUOUS, NULL},     /* Arabic 2 */
    {"42", "#### \xF0\x9D\x9F\x92\xF0\x9D\x9F\x90", REWARD_NO_NUMBER, NULL},
    {"1", "#### 1e400", REWARD_AMBIGUOUS, NULL},
    {"0", "#### 0x1F", REWARD_AMBIGUOUS, NULL},
    {"0", "#### 0xFF", REWARD_AMBIGUOUS, NULL},
    {"0", "#### inf", REWARD_NO_NUMBER, NULL},
    {"0", "#### nan", REWARD_NO_NUMBER, NULL},
    {"0", "#### 1/0", REWARD_NO_NUMBER, NULL},
    {"5", "#### --5", REWARD_NO_NUMBER, NULL},
    {"5", "#### - 5", REWARD_NO_NUMBER, NULL},
    {"5", "#### -$-5", REWARD_NO_NUMBER, NULL},
    {"5", "#### .", REWARD_NO_NUMBER, NULL},
    {"42",
     "#### \xC3\xBF\xC3\xBE"
     "42",
     REWARD_NO_NUMBER, NULL},
};

static void test_cases(void **state)
{
    const struct fixture *const f = *state;
    int n_bad = 0;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct text_case *const c = &cases[i];
        const struct reward_result r = score(f, c->text, strlen(c->text), false,
                                             c->gold);
        const size_t want = c->answer == NULL ? 0 : strlen(c->answer);
        const bool is_same = r.reason == c->reason && r.answer_len == want &&
                             (want == 0 ||
                              memcmp(c->text + r.answer_off, c->answer, want) == 0);
        if (!is_same)
            print_error("gold %s, text <%s>: %s <%.*s>, expected %s <%s>\n", c->gold,
                        c->text, reward_reason_name(r.reason), (int)r.answer_len,
                        c->text + r.answer_off, reward_reason_name(c->reason),
                        c->answer == NULL ? "" : c->answer);
        n_bad += !is_same;
    }
    assert_int_equal(n_bad, 0);
}

static void test_truncated(void **state)
{
    static const struct text_case cut[] = {
        {"18", "we add", REWARD_TRUNCATED, NULL},
        {"18", "we add ####", REWARD_TRUNCATED, NULL},
        {"18", "#### 18", REWARD_TRUNCATED, "18"}, /* 18 of 180? */
        {"18", "#### 18\nand on", REWARD_CORRECT, "18"},
        {"18", "#### 19.", REWARD_WRONG, "19"},
        {"18", "#### 18 or 19", REWARD_AMBIGUOUS, NULL},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cut); i++) {
        const struct reward_result r = score(*state, cut[i].text, strlen(cut[i].text),
                                             true, cut[i].gold);
        assert_string_equal(reward_reason_name(r.reason),
                            reward_reason_name(cut[i].reason));
        assert_int_equal(r.answer_len,
                         cut[i].answer == NULL ? 0 : strlen(cut[i].answer));
    }
}

static void test_lengths(void **state)
{
    char text[640], gold[201];
    memset(gold, '9', 200);
    gold[200] = 0;
    snprintf(text, sizeof(text), "#### %s", gold);
    assert_int_equal(score(*state, text, strlen(text), false, gold).reason,
                     REWARD_CORRECT);
    snprintf(text, sizeof(text), "#### %s9", gold);
    assert_int_equal(score(*state, text, strlen(text), false, gold).reason,
                     REWARD_LIMIT);
    snprintf(text, sizeof(text), "#### %s/%s", gold, gold);
    assert_int_equal(score(*state, text, strlen(text), false, "1").reason,
                     REWARD_CORRECT);
    /* bytes with a NUL and invalid UTF-8 around the answer */
    static const char odd[] = "a\0b\xFF\xC3 ####\t7\0 8";
    assert_int_equal(score(*state, odd, sizeof(odd) - 1, false, "7").reason,
                     REWARD_AMBIGUOUS);
    assert_int_equal(score(*state, odd, sizeof(odd) - 3, false, "7").reason,
                     REWARD_CORRECT);
    /* the byte after the text is not read into the number */
    assert_int_equal(score(*state, "#### 123", 7, false, "12").reason, REWARD_CORRECT);
}

static void test_gold(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"1,080", "1080"},
        {"-3", "-3"},
        {"$5.50", "11/2"},
        {"25%", "25"},
        {"1/2", "1/2"},
        {"0", "0"},
        {"-0.0", "0"},
        {" 18.\n", "18"},
        {"145.0", "145"},
        {"6/4", "3/2"},
        {"4/2", "2"},
        {"4.33", "433/100"},
        {"-.125", "-1/8"},
        {"100/10", "10"},
        {"1024/768", "4/3"},
        {"2 + 3 = 5\n#### 5", "5"},
        {"#### 1\n#### 2", "2"},
        {"1000000000/3000000000", "1/3"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"0.000000000000000000001", "1/1000000000000000000000"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(good); i++) {
        struct reward_gold *const g = gold_of(good[i][0]);
        assert_string_equal(reward_gold_text(g), good[i][1]);
        reward_gold_free(g);
    }
    static const char *const bad[] = {"",      "None", "nan",    "inf",   "1/0",
                                      "12 or", "x",    "5 cats", "1e400", "#### ",
                                      "12 13", "####", "\xFF",   "1,2345"};
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reward_gold *g = NULL;
        assert_int_equal(reward_gold_create(&g, bad[i], strlen(bad[i])), ERR_INPUT);
        assert_null(g);
        assert_non_null(strstr(status_message(), "expected"));
    }
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One megabyte of each pattern: no allocation, no more than five seconds even under the
 * sanitizers, and a wrong answer is not paid. Quadratic work would take minutes. */
static void test_hostile(void **state)
{
    static const char *const patterns[] = {
        "#",          "# ",
        "##",         "####",
        "#### ",      "####1",
        "####1\n",    "9",
        ",",          "1,",
        "#### 1,",    "111,",
        "####$",      "####-",
        "\n",         "####\n",
        " ",          "*",
        "1/",         "####1/2\n",
        "0",          "\xFF",
        "\xF0\x9F",   "####\xFF",
        "\xC2\xA0",   "a",
        "####1 1 1 ", "1 ",
        "####0.",     "####.5 .5 ",
        ".",          "\\",
        "####3x",     "####999999999/7\n",
    };
    enum { BYTES = 1 << 20 };
    const struct fixture *const f = *state;
    char *const text = malloc(BYTES);
    struct reward_gold *const gold = gold_of("77777");
    double slowest = 0;
    for (int64_t i = 0; i < ARRAY_LEN(patterns); i++) {
        for (int head = 0; head < 2; head++) {
            const size_t n = strlen(patterns[i]);
            for (size_t k = 0; k < BYTES; k++)
                text[k] = patterns[i][k % n];
            if (head == 1) /* one marker, then the flood on its line */
                memcpy(text, "#### 5 ", 7);
            struct reward_result r;
            const int64_t before = mem_count();
            const double start = now_s();
            reward_score(&r, f->rules, f->scratch, text, BYTES, false, gold);
            const double took = now_s() - start;
            assert_int_equal(mem_count(), before);
            assert_false(r.is_correct);
            if (took >= 5)
                print_error("<%s> took %.3f s\n", patterns[i], took);
            assert_true(took < 5);
            slowest = took > slowest ? took : slowest;
        }
    }
    memset(text, 0, BYTES);
    struct reward_result r;
    reward_score(&r, f->rules, f->scratch, text, BYTES, false, gold);
    assert_int_equal(r.reason, REWARD_NO_MARKER);
    print_message("slowest 1 MiB text: %.1f ms\n", slowest * 1e3);
    reward_gold_free(gold);
    free(text);
}

/* Random bytes and random bits of grammar: any result, but never outside the text, and
 * an answer that is paid reads back as its own gold. */
static void test_random(void **state)
{
    static const char *const bits[] = {
        "####", " ",  "\n", "1",    "2",  "0",    ",",    ".",    "/",  "-", "$",
        "%",    "or", "x",  "\xFF", "**", "\xE2", "\x88", "\x92", "\\", "#", "million"};
    const struct fixture *const f = *state;
    int n_paid = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        char *const text = malloc(80); /* exact, so that the sanitizer sees overruns */
        size_t len = 0;
        for (uint32_t k = 0; k < 3 + i % 14; k++) {
            const char *const bit =
                bits[k == 0 ? 0
                            : rng_below(9, RNG_TEST, (uint32_t)ARRAY_LEN(bits), i, k, 0,
                                        0)];
            const size_t n = strlen(bit);
            if (len + n > 40)
                break;
            memcpy(text + len, bit, n);
            len += n;
        }
        char *const tight = malloc(len);
        memcpy(tight, text, len);
        free(text);
        const struct reward_result r = score(f, tight, len, i % 2 == 0, "1");
        if (r.answer_len > 0) {
            struct reward_gold *g = NULL;
            assert_int_equal(reward_gold_create(&g, tight + r.answer_off, r.answer_len),
                             0);
            assert_int_equal(r.is_correct && strcmp(reward_gold_text(g), "1") != 0, 0);
            n_paid += r.is_correct;
            reward_gold_free(g);
        }
        free(tight);
    }
    assert_true(n_paid > 100);
}

static void test_threads(void **state)
{
    const struct fixture *const f = *state;
    struct reward_gold *const gold = gold_of("18");
    int n_bad = 0;
#pragma omp parallel num_threads(4) reduction(+ : n_bad)
    {
        struct reward_scratch *s = NULL;
        if (reward_scratch_create(&s, f->rules) != 0)
            n_bad++;
        for (int i = 0; s != NULL && i < 2000; i++) {
            char text[64];
            const int n = snprintf(text, sizeof(text), "#### $%d.00", i % 40);
            struct reward_result r;
            reward_score(&r, f->rules, s, text, (size_t)n, false, gold);
            n_bad += r.is_correct != (i % 40 == 18);
        }
        reward_scratch_free(s);
    }
    assert_int_equal(n_bad, 0);
    reward_gold_free(gold);
}

static char *shared_path(const char *name)
{
    const char *const root = getenv("MOE_GRPO_SHARED");
    return io_join(root == NULL ? "../shared" : root, name);
}

static int64_t count_golds(const char *name)
{
    char *const path = shared_path(name);
    struct io_lines lines;
    assert_int_equal(io_lines_open(&lines, path), 0);
    const char *line;
    size_t len;
    int64_t n = 0;
    while (io_lines_next(&lines, &line, &len)) {
        json_t *row = NULL;
        assert_int_equal(json_parse(&row, line, len, name), 0);
        const char *answer = NULL;
        assert_int_equal(json_get_string(row, "answer", &answer, &len, name), 0);
        struct reward_gold *const g = gold_of(answer);
        /* the marker's own text, commas removed, is the normal form */
        char want[64] = "";
        for (const char *c = strstr(answer, "#### ") + 5; *c != 0; c++)
            if (*c != ',')
                strncat(want, c, 1);
        assert_string_equal(reward_gold_text(g), want);
        reward_gold_free(g);
        json_decref(row);
        n++;
    }
    io_lines_close(&lines);
    mem_free(path);
    return n;
}

static void test_gsm8k_golds(void **state)
{
    (void)state;
    char *const path = shared_path("data/gsm8k/train.jsonl");
    const bool is_here = io_exists(path);
    mem_free(path);
    if (!is_here)
        skip();
    assert_int_equal(count_golds("data/gsm8k/train.jsonl"), 7473);
    assert_int_equal(count_golds("data/gsm8k/test.jsonl"), 1319);
}

/* accepted and rejected rows, of those with a numeric gold: [expected][scored] */
struct tally {
    int64_t all[2][2], marked[2][2], convention[2][2], no_gold;
    int64_t n_false_positive;
};

static void tally_row(struct tally *t, const struct fixture *f, const json_t *row)
{
    const json_t *const gold = json_object_get(row, "gold");
    const json_t *const text = json_object_get(row, "response");
    const json_t *const level = json_object_get(row, "level");
    const int expected = (int)json_integer_value(json_object_get(row, "expected"));
    struct reward_gold *g = NULL;
    if (!json_is_string(gold) || !json_is_string(text) ||
        reward_gold_create(&g, json_string_value(gold), json_string_length(gold)) !=
            0) {
        t->no_gold++;
        return;
    }
    struct reward_result r;
    reward_score(&r, f->rules, f->scratch, json_string_value(text),
                 json_string_length(text), false, g);
    reward_gold_free(g);
    const bool is_convention = strcmp(json_string_value(level), "convention") == 0;
    t->all[expected][r.is_correct]++;
    if (strstr(json_string_value(text), "####") == NULL)
        return;
    if (is_convention)
        t->convention[expected][r.is_correct]++;
    else
        t->marked[expected][r.is_correct]++;
    if (expected == 0 && r.is_correct) {
        t->n_false_positive++;
        print_error("false positive: %.200s\n", json_string_value(text));
    }
}

static void test_verifier_cases(void **state)
{
    char *const path = shared_path("fixtures/verifier/cases.jsonl");
    if (!io_exists(path)) {
        mem_free(path);
        skip();
    }
    struct tally t = {0};
    struct io_lines lines;
    assert_int_equal(io_lines_open(&lines, path), 0);
    const char *line;
    size_t len;
    while (io_lines_next(&lines, &line, &len)) {
        json_t *row = NULL;
        assert_int_equal(json_parse(&row, line, len, "cases.jsonl"), 0);
        tally_row(&t, *state, row);
        json_decref(row);
    }
    io_lines_close(&lines);
    mem_free(path);
    print_message("cases            accept: hit miss   reject: right paid\n");
    print_message("numeric gold          %6lld %4lld         %5lld %4lld\n",
                  (long long)t.all[1][1], (long long)t.all[1][0],
                  (long long)t.all[0][0], (long long)t.all[0][1]);
    print_message("  with a marker       %6lld %4lld         %5lld %4lld\n",
                  (long long)t.marked[1][1], (long long)t.marked[1][0],
                  (long long)t.marked[0][0], (long long)t.marked[0][1]);
    print_message("  ... conventions     %6lld %4lld         %5lld %4lld\n",
                  (long long)t.convention[1][1], (long long)t.convention[1][0],
                  (long long)t.convention[0][0], (long long)t.convention[0][1]);
    print_message("gold is not a number  %6lld\n", (long long)t.no_gold);
    assert_int_equal(t.n_false_positive, 0);
    assert_int_equal(t.all[0][1], 0);
    assert_int_equal(t.marked[1][0], 0); /* undisputed positives of this form */
    assert_true(t.marked[1][1] > 0);
}

/* OpenAI's solutions end in "A: N": rewritten to this form, every flag comes back. */
static void test_model_outputs(void **state)
{
    const struct fixture *const f = *state;
    char *const path = shared_path("fixtures/verifier/gsm8k_model_outputs.jsonl");
    if (!io_exists(path)) {
        mem_free(path);
        skip();
    }
    struct io_lines lines;
    assert_int_equal(io_lines_open(&lines, path), 0);
    const char *line;
    size_t len;
    int64_t n_right = 0, n_missed = 0, n_paid = 0;
    struct buf text = {0};
    while (io_lines_next(&lines, &line, &len)) {
        json_t *row = NULL;
        assert_int_equal(json_parse(&row, line, len, "outputs"), 0);
        const char *const body = json_string_value(json_object_get(row, "response"));
        const char *last = NULL;
        for (const char *at = strstr(body, "A: "); at != NULL;
             at = strstr(at + 1, "A: "))
            last = at;
        buf_reset(&text);
        buf_append(&text, body, last == NULL ? strlen(body) : (size_t)(last - body));
        if (last != NULL)
            buf_printf(&text, "#### %s", last + 3);
        const bool is_right = json_is_true(json_object_get(row, "correct"));
        const bool is_paid = score(f, text.data, text.len, false,
                                   json_string_value(json_object_get(row, "gold")))
                                 .is_correct;
        n_right += is_right;
        n_missed += is_right && !is_paid;
        n_paid += !is_right && is_paid;
        json_decref(row);
    }
    buf_release(&text);
    io_lines_close(&lines);
    mem_free(path);
    print_message("model outputs: %lld right, %lld missed, %lld wrongly paid\n",
                  (long long)n_right, (long long)n_missed, (long long)n_paid);
    assert_int_equal(n_right, 148 + 260 + 232 + 369);
    assert_int_equal(n_missed, 0);
    assert_int_equal(n_paid, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_lengths),        cmocka_unit_test(test_gold),
        cmocka_unit_test(test_hostile),        cmocka_unit_test(test_random),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_gsm8k_golds),
        cmocka_unit_test(test_verifier_cases), cmocka_unit_test(test_model_outputs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
