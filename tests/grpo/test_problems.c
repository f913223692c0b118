/*
 * Problem sets: each schema, errors that name file, line and key, and, where the shared
 * data are, every file of them.
 */
#include "grpo/problems.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io.h"
#include "grpo/synth.h"

static int set_up(void **state)
{
    static char dir[64];
    snprintf(dir, sizeof(dir), "/tmp/moe_grpo_problems_XXXXXX");
    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int tear_down(void **state) { return io_remove_tree(*state); }

static int load(struct problems *p, const char *dir, const char *text,
                const struct problems_args *args)
{
    char *const path = io_join(dir, "set.jsonl");
    assert_int_equal(io_write_atomic(path, text, strlen(text)), 0);
    const int status = problems_load(p, path, args);
    mem_free(path);
    return status;
}

static const struct problems_args for_gold = {.need = PROBLEMS_GOLD};
static const struct problems_args for_answer = {.need = PROBLEMS_ANSWER};

static const struct {
    const char *line;
    const char *id, *question, *answer, *gold_text, *gold; /* answer NULL: none */
} schemas[] = {
    {"{\"question\":\"Q?\",\"answer\":\"It is 1+2=3.\\n#### 1,003\"}", "1", "Q?",
     "It is 1+2=3.\n#### 1,003", "It is 1+2=3.\n#### 1,003", "1003"},
    {"{\"id\":\"train/7\",\"problem\":\"P\",\"solution\":\"so \\\\boxed{5}\","
     "\"answer\":\"5\"}",
     "train/7", "P", "so \\boxed{5}", "5", "5"},
    {"{\"problem\":\"P\",\"solution\":\"\\\\boxed{3} so \\\\boxed{\\\\frac{6}{4}}\"}",
     "1", "P", "\\boxed{3} so \\boxed{\\frac{6}{4}}",
     "\\boxed{3} so \\boxed{\\frac{6}{4}}", "3/2"},
    {"{\"question\":\"q\",\"gold\":[\"x+1\",2]}", "1", "q", NULL, "x+1", "x+1"},
    {"{\"prompt\":\"A b\",\"answer\":\"-4\",\"id\":12}", "12", "A b", "-4", "-4", "-4"},
    {"{\"question\":\"q\",\"gold\":17}", "1", "q", NULL, "17", "17"},
    {"{\"question\":\"q\",\"answer\":0.1}", "1", "q", NULL, "0.1", "1/10"},
    {"{\"question\":\"q\",\"answer\":\"careless\\n#### 9\",\"gold\":\"8\"}", "1", "q",
     "careless\n#### 9", "8", "8"},
    {"{\"ID\":\"chal-1\",\"Body\":\"Tom has 3.\",\"Question\":\"How many?\","
     "\"Answer\":51.0}",
     "chal-1", "Tom has 3. How many?", NULL, "51", "51"},
    {"  {\"question\":\"d\\u00e9j\\u00e0 \\ud83d\\ude00\",\"answer\":\"#### 2\","
     "\"solution\":null}  \r",
     "1", "d\xC3\xA9j\xC3\xA0 \xF0\x9F\x98\x80", "#### 2", "#### 2", "2"},
};

static void test_schemas(void **state)
{
    for (int64_t i = 0; i < ARRAY_LEN(schemas); i++) {
        struct problems p = {0};
        if (load(&p, *state, schemas[i].line, &for_gold) != 0)
            fail_msg("%s: %s", schemas[i].line, status_message());
        assert_int_equal(p.n, 1);
        const struct problem q = problems_at(&p, 0);
        assert_string_equal(q.id, schemas[i].id);
        assert_string_equal(q.question, schemas[i].question);
        assert_int_equal(q.question_len, strlen(schemas[i].question));
        assert_string_equal(q.gold_text, schemas[i].gold_text);
        assert_string_equal(reward_gold_text(q.gold), schemas[i].gold);
        assert_int_equal(q.answer == NULL, schemas[i].answer == NULL);
        if (q.answer != NULL) {
            assert_string_equal(q.answer, schemas[i].answer);
            assert_int_equal(q.answer_len, strlen(schemas[i].answer));
        }
        problems_release(&p);
    }
}

static void test_many(void **state)
{
    struct problems p = {0};
    struct buf text = {0};
    for (int i = 1; i <= 1000; i++)
        buf_printf(&text, "%s{\"question\":\"q%d\",\"answer\":\"%d\"}\n",
                   i % 7 == 0 ? " \t\n\n" : "", i, 2 * i);
    assert_int_equal(load(&p, *state, text.data, &for_gold), 0);
    assert_int_equal(p.n, 1000);
    for (int i = 1; i <= 1000; i++) {
        char expected[16];
        const struct problem q = problems_at(&p, i - 1);
        snprintf(expected, sizeof(expected), "q%d", i);
        assert_string_equal(q.question, expected);
        snprintf(expected, sizeof(expected), "%d", 2 * i);
        assert_string_equal(reward_gold_text(q.gold), expected);
    }
    problems_release(&p);
    problems_release(&p);
    const struct problems_args few = {.need = PROBLEMS_GOLD, .limit = 10};
    assert_int_equal(load(&p, *state, text.data, &few), 0);
    assert_int_equal(p.n, 10);
    problems_release(&p);
    assert_int_equal(load(&p, *state, "\n \n", &for_gold), 0);
    assert_int_equal(p.n, 0);
    problems_release(&p);
    problems_release(NULL);
    buf_release(&text);
}

/* Pairs to learn from: golds are not looked at, an answer must be there. */
static void test_pairs(void **state)
{
    struct problems p = {0};
    assert_int_equal(load(&p, *state,
                          "{\"prompt\":\"a\",\"answer\":\"no number\"}\n"
                          "{\"question\":\"b\",\"answer\":\"\",\"gold\":[]}\n",
                          &for_answer),
                     0);
    assert_int_equal(p.n, 2);
    assert_string_equal(problems_at(&p, 0).answer, "no number");
    assert_null(problems_at(&p, 0).gold);
    assert_null(problems_at(&p, 0).gold_text);
    assert_string_equal(problems_at(&p, 1).answer, "");
    assert_int_equal(problems_at(&p, 1).answer_len, 0);
    problems_release(&p);
    assert_int_equal(
        load(&p, *state, "{\"question\":\"b\",\"gold\":\"3\"}", &for_answer),
        ERR_INPUT);
    assert_non_null(strstr(status_message(), "set.jsonl:1"));
    assert_non_null(strstr(status_message(), "\"solution\""));
    assert_int_equal(load(&p, *state, "{\"question\":\"b\",\"answer\":3}", &for_answer),
                     ERR_INPUT);
    assert_non_null(strstr(status_message(), "integer"));
}

static void test_errors(void **state)
{
    static const struct {
        const char *text, *place, *word;
    } cases[] = {
        {"{\"question\":\"q\",\"answer\":\"1\"}\n{\"answer\":\"1\"}", ":2", "question"},
        {"\n\n{\"question\":3,\"answer\":\"1\"}", ":3", "\"question\""},
        {"{\"question\":\"\",\"answer\":\"1\"}", ":1", "empty"},
        {"{\"question\":\"q\"}", ":1", "\"gold\""},
        {"{\"question\":\"q\",\"answer\":\"None\"}", ":1", "None"},
        {"{\"question\":\"q\",\"answer\":[]}", ":1", "empty list"},
        {"{\"question\":\"q\",\"answer\":[\"1\",\"1/0\"]}", ":1", "1/0"},
        {"{\"question\":\"q\",\"answer\":[\"1\",true]}", ":1", "\"answer\""},
        {"{\"question\":\"q\",\"answer\":\"1\",\"gold\":true}", ":1", "\"gold\""},
        {"{\"question\":\"q\",\"answer\":\"1\",\"id\":{}}", ":1", "\"id\""},
        {"{\"Body\":\"q\",\"Question\":7,\"Answer\":1}", ":1", "\"Question\""},
        {"[1]", ":1", "array"},
        {"{\"question\":\"q\"", ":1", "JSON"},
        {"{\"question\":\"q\xFF\",\"answer\":\"1\"}", ":1", "JSON"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct problems p = {.n = -7};
        assert_int_equal(load(&p, *state, cases[i].text, &for_gold), ERR_INPUT);
        assert_int_equal(p.n, -7);
        if (strstr(status_message(), cases[i].place) == NULL ||
            strstr(status_message(), cases[i].word) == NULL ||
            strstr(status_message(), "set.jsonl") == NULL)
            fail_msg("%s: %s", cases[i].text, status_message());
    }
    struct problems p = {0};
    assert_int_equal(problems_load(&p, "/nonexistent/x.jsonl", &for_gold), ERR_INPUT);
}

static void test_lenient(void **state)
{
    const struct problems_args lenient = {
        .need = PROBLEMS_GOLD, .is_lenient = true, .limit = 2};
    struct problems p = {0};
    assert_int_equal(load(&p, *state,
                          "{\"question\":\"a\",\"answer\":\"None\"}\n"
                          "{\"question\":\"b\",\"answer\":\"7\"}\n"
                          "{\"question\":\"c\",\"answer\":\"\\\\frac{1}{\"}\n"
                          "{\"question\":\"d\",\"answer\":\"8\"}\n"
                          "{\"question\":\"e\",\"answer\":\"9\"}\n",
                          &lenient),
                     0);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.n_skipped, 2);
    assert_string_equal(problems_at(&p, 0).question, "b");
    assert_string_equal(problems_at(&p, 1).question, "d");
    assert_string_equal(problems_at(&p, 1).id, "4");
    problems_release(&p);
    /* leniency is about golds without a value, nothing else */
    assert_int_equal(load(&p, *state, "{\"question\":\"a\"}", &lenient), ERR_INPUT);
    assert_int_equal(load(&p, *state, "{\"question\":\"a\",\"answer\":[]}", &lenient),
                     ERR_INPUT);
}

static void test_synth_files(void **state)
{
    struct synth_options o = synth_defaults();
    struct problems p = {0};
    o.n[SYNTH_PRETRAIN] = 300;
    o.n[SYNTH_TRAIN] = 300;
    assert_int_equal(synth_write(&o, *state), 0);
    for (int split = 0; split < SYNTH_N_SPLITS; split++) {
        struct buf path = {0};
        struct synth_problem s = {0};
        buf_printf(&path, "%s/%s.jsonl", (const char *)*state,
                   synth_split_name((enum synth_split)split));
        assert_int_equal(problems_load(&p, path.data, &for_gold), 0);
        assert_int_equal(p.n, o.n[split]);
        synth_problem_fill(&s, &o, (enum synth_split)split, 0);
        assert_string_equal(problems_at(&p, 0).question, s.question.data);
        assert_string_equal(problems_at(&p, 0).answer, s.answer.data);
        assert_int_equal(strtoll(reward_gold_text(problems_at(&p, 0).gold), NULL, 10),
                         s.gold);
        problems_release(&p);
        synth_problem_release(&s);
        buf_release(&path);
    }
}

static void test_shared_data(void **state)
{
    static const struct {
        const char *name;
        int64_t n;
        bool is_numeric; /* every gold has a value */
    } files[] = {{"gsm8k/train.jsonl", 7473, true},
                 {"gsm8k/test.jsonl", 1319, true},
                 {"svamp/svamp.jsonl", 1000, true},
                 {"math/test.jsonl", 5000, true},
                 {"gsm_plus/testmini.jsonl", 2400, false}};
    const char *const root = getenv("MOE_GRPO_SHARED");
    char *const data = io_join(root != NULL ? root : "../shared", "data");
    (void)state;
    if (!io_is_dir(data)) {
        mem_free(data);
        skip();
    }
    for (int64_t i = 0; i < ARRAY_LEN(files); i++) {
        const struct problems_args args = {.need = PROBLEMS_GOLD,
                                           .is_lenient = !files[i].is_numeric};
        struct problems p = {0};
        char *const path = io_join(data, files[i].name);
        if (problems_load(&p, path, &args) != 0)
            fail_msg("%s", status_message());
        assert_int_equal(p.n + p.n_skipped, files[i].n);
        assert_true(p.n_skipped < files[i].n / 2);
        print_message("%s: %lld problems, %lld left out\n", files[i].name,
                      (long long)p.n, (long long)p.n_skipped);
        problems_release(&p);
        mem_free(path);
    }
    mem_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemas),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_pairs),       cmocka_unit_test(test_errors),
        cmocka_unit_test(test_lenient),     cmocka_unit_test(test_synth_files),
        cmocka_unit_test(test_shared_data),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
