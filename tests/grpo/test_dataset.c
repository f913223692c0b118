/*
 * Prompts of a problem set and pairs for training: which tokens they are, what is left
 * out, and that shots follow the rows of the file.
 */
#include "grpo/dataset.h"

#include "grpo/examples.h"
#include "tests/grpo/prompt_fixture.h"

static int set_up(void **state)
{
    static struct prompt_dir d;
    prompt_dir_make(&d);
    prompt_dir_put_tokenizer(&d);
    prompt_dir_put(
        &d, "in.jsonl",
        "{\"question\": \"How many <x>?\", \"answer\": \"Three.\\n#### 3\"}\n"
        "{\"question\": \"Which?\", \"answer\": \"None\"}\n"
        "{\"question\": \"A much longer question, with many more words?\", "
        "\"answer\": \"#### 4\"}\n"
        "{\"question\": \"And?\\n\", \"answer\": \"#### 5\"}\n");
    *state = &d;
    return 0;
}

static int tear_down(void **state)
{
    const struct prompt_dir *const d = *state;
    return io_remove_tree(d->path);
}

static void check_text(const struct tokenizer *t, const int32_t *ids, int64_t n,
                       const char *expected)
{
    struct buf text = {0};
    buf_puts(&text, "");
    tokenizer_decode(t, ids, n, false, &text);
    assert_string_equal(text.data, expected);
    buf_release(&text);
}

static void check_prompt(const struct session *s, const struct dataset *d, int64_t i,
                         const char *expected)
{
    int64_t n = 0;
    const int32_t *const ids = dataset_prompt(d, i, &n);
    check_text(s->tokenizer, ids, n, expected);
}

static void test_prompts(void **state)
{
    const struct prompt_dir *const d = *state;
    struct session s;
    struct dataset *x = NULL;
    char *const path = io_join(d->path, "in.jsonl");
    prompt_session(&s, d->path, "data.lenient=true", "data.max_prompt=40",
                   "data.overlong=filter", NULL);
    assert_int_equal(dataset_load(&x, path, 0, &s), 0);
    assert_int_equal(dataset_n(x), 2);
    assert_int_equal(dataset_n_filtered(x), 2);
    check_prompt(&s, x, 0, "<s>Question: How many <x>?\nAnswer:");
    check_prompt(&s, x, 1, "<s>Question: And?\n\nAnswer:");
    assert_string_equal(dataset_question(x, 1), "And?\n");
    dataset_free(x);
    assert_int_equal(options_override(config_options(), &s.config, "prompt.bos=false"),
                     0);
    assert_int_equal(dataset_load(&x, path, 0, &s), 0);
    check_prompt(&s, x, 0, "Question: How many <x>?\nAnswer:");
    dataset_free(x);
    s.config.data.is_lenient = false;
    assert_int_equal(dataset_load(&x, path, 0, &s), ERR_INPUT);
    session_close(&s);
    mem_free(path);
}

/* As Python drew them; the first rows do not change where fewer are asked. */
static void test_shots(void **state)
{
    const struct prompt_dir *const d = *state;
    struct io_lines cases;
    assert_int_equal(io_lines_open(&cases, "tests/grpo/shots_cases.jsonl"), 0);
    json_t *const line = next_json(&cases);
    const json_t *const prompts = json_object_get(line, "prompts");
    for (int64_t limit = 0; limit <= 7; limit += 7) {
        struct session s;
        struct dataset *x = NULL;
        prompt_session(&s, d->path, "prompt.preset=gsm8k-4shot",
                       "prompt.shots_from=tests/grpo/shots_train.jsonl", NULL);
        assert_int_equal(dataset_load(&x, "tests/grpo/shots_asked.jsonl", limit, &s),
                         0);
        assert_int_equal(dataset_n(x), limit > 0 ? limit : 18);
        for (int64_t i = 0; i < dataset_n(x); i++)
            check_prompt(&s, x, i,
                         json_string_value(json_array_get(prompts, (size_t)i)));
        dataset_free(x);
        session_close(&s);
    }
    json_decref(line);
    io_lines_close(&cases);
}

static void test_pairs(void **state)
{
    static const struct {
        const char *preset, *prompt, *rest;
    } cases[] = {
        {"qa", "<s>Question: How many <x>?\nAnswer:", " Three.\n#### 3</s>"},
        {"raw", "<s>How many <x>?", " Three.\n#### 3</s>"},
        {"paper", "How many <x>?\n\n", "Three.\n#### 3</s>"},
        {"glm", "[gMASK]<sop><|user|>\nHow many <x>?<|assistant|>",
         "\n<think></think>\nThree.\n#### 3</s>"},
    };
    const struct prompt_dir *const d = *state;
    char *const path = io_join(d->path, "in.jsonl");
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct session s;
        struct examples x;
        char preset[64];
        snprintf(preset, sizeof(preset), "prompt.preset=%s", cases[i].preset);
        prompt_session(&s, d->path, preset, NULL);
        const int32_t eos = tokenizer_find(s.tokenizer, "</s>");
        assert_int_equal(examples_load(&x, path, 0, eos, &s), 0);
        assert_int_equal(x.n, 4);
        check_text(s.tokenizer, x.ids, x.n_prompt[0], cases[i].prompt);
        check_text(s.tokenizer, x.ids + x.n_prompt[0], x.off[1] - x.n_prompt[0],
                   cases[i].rest);
        examples_release(&x);
        session_close(&s);
    }
    mem_free(path);
}

static void test_cut(void **state)
{
    const struct prompt_dir *const d = *state;
    char *const path = io_join(d->path, "in.jsonl");
    struct session s;
    struct examples x;
    prompt_session(&s, d->path, "pretrain.max_tokens=12", NULL);
    assert_int_equal(examples_load(&x, path, 1, -1, &s), 0);
    assert_int_equal(x.n, 1);
    assert_int_equal(x.n_cut, 1);
    assert_int_equal(x.longest, 12);
    assert_int_equal(x.off[1], 12);
    examples_release(&x);
    session_close(&s);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_shots),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
