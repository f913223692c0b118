/*
 * The prompt.* options: places, custom templates, shots by file or from the file asked,
 * special tokens, stop strings, and every refusal.
 */
#include "grpo/prompter.h"

#include "tests/grpo/prompt_fixture.h"

static const char train[] = "tests/grpo/shots_train.jsonl";
static const char asked[] = "tests/grpo/shots_asked.jsonl";

struct fixture {
    struct prompt_dir d;
};

static int set_up(void **state)
{
    static struct fixture f;
    prompt_dir_make(&f.d);
    prompt_dir_put_tokenizer(&f.d);
    prompt_dir_put(&f.d, "tokenizer_config.json",
                   "{\"bos_token\": \"<BOS>\", \"eos_token\": \"<EOS>\"}");
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *const f = *state;
    return io_remove_tree(f->d.path);
}

/* Renders row 0 and releases the session. */
static void check(struct session *s, const char *data, const char *question,
                  const char *expected)
{
    struct prompter *p = NULL;
    struct buf out = {0};
    assert_int_equal(prompter_check(&s->config.prompt), 0);
    if (prompter_create(&p, s, data) != 0)
        fail_msg("%s", status_message());
    prompter_render(p, 0, (struct prompt_text){question, strlen(question)}, &out);
    assert_string_equal(out.data, expected);
    buf_release(&out);
    prompter_free(p);
    session_close(s);
}

static void test_places(void **state)
{
    const struct fixture *const f = *state;
    struct session s;
    prompt_session(&s, f->d.path, "prompt.preset=llama", "prompt.system=Be {eos}.",
                   NULL);
    check(&s, NULL, " {bos}{date} ",
          "<BOS><|start_header_id|>system<|end_header_id|>\n\nBe {eos}.<|eot_id|>"
          "<|start_header_id|>user<|end_header_id|>\n\n{bos}{date}<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n");
    prompt_session(&s, f->d.path, "prompt.preset=mixtral", "prompt.shots=1",
                   "prompt.shots_from=tests/grpo/shots_train.jsonl",
                   "prompt.system=Terse.", NULL);
    check(&s, asked, "q",
          "<BOS> [INST] Terse.\n\nWhat is 140 + 420? [/INST] 140 + 420 = 560\n#### 560"
          "<EOS> [INST] q [/INST]");
    prompt_session(&s, NULL, "prompt.preset=gpt-oss", "prompt.date=2026-01-02", NULL);
    struct prompter *p = NULL;
    struct buf out = {0};
    assert_int_equal(prompter_create(&p, &s, NULL), 0);
    prompter_render(p, 0, (struct prompt_text){"q", 1}, &out);
    assert_non_null(strstr(out.data, "\nCurrent date: 2026-01-02\n"));
    buf_release(&out);
    prompter_free(p);
    session_close(&s);
}

static void test_custom(void **state)
{
    const struct fixture *const f = *state;
    struct session s;
    prompt_session(&s, NULL, "prompt.preset=custom", "prompt.prefix=<",
                   "prompt.suffix=\">\\n\"", NULL);
    check(&s, NULL, "q", "<q>\n");
    prompt_session(&s, f->d.path, "prompt.preset=custom", "prompt.begin={bos}{x}",
                   "prompt.system_prefix=[", "prompt.system_suffix=]",
                   "prompt.system=s", "prompt.prefix=(", "prompt.suffix=)",
                   "prompt.opening={eos}:", "prompt.answer_prefix=\"\"",
                   "prompt.answer_suffix=;", "prompt.shots=1",
                   "prompt.shots_from=tests/grpo/shots_train.jsonl", NULL);
    check(&s, asked, "q",
          "<BOS>{x}[s](What is 140 + 420?)140 + 420 = 560\n#### 560;(q)<EOS>:");
    prompt_session(&s, NULL, "prompt.preset=custom", "prompt.shots=1",
                   "prompt.shots_from=tests/grpo/shots_train.jsonl", NULL);
    check(&s, asked, "q", "What is 140 + 420? 140 + 420 = 560\n#### 560\n\nq");
}

/* The whole prompts that Python made, by the file's name and by its being the file
 * asked, under whatever name. */
static void test_shots(void **state)
{
    static const char *const from[] = {"prompt.shots_from=self",
                                       "prompt.shots_from=tests/grpo/shots_asked.jsonl",
                                       "prompt.shots_from="
                                       "tests/../tests/grpo/shots_asked.jsonl"};
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(from); i++) {
        struct io_lines cases, rows;
        struct session s;
        struct prompter *p = NULL;
        struct buf out = {0};
        json_t *line = NULL;
        assert_int_equal(io_lines_open(&cases, "tests/grpo/shots_cases.jsonl"), 0);
        for (int n = 0; n < 5; n++) {
            json_decref(line);
            line = next_json(&cases);
        }
        assert_true(json_is_true(json_object_get(line, "self")));
        prompt_session(&s, NULL, "prompt.preset=gsm-plus-5shot", from[i], NULL);
        assert_int_equal(prompter_create(&p, &s, asked), 0);
        assert_int_equal(io_lines_open(&rows, asked), 0);
        const json_t *const prompts = json_object_get(line, "prompts");
        for (size_t row = 0; row < json_array_size(prompts); row++) {
            json_t *const r = next_json(&rows);
            const char *const q = json_string_value(json_object_get(r, "question"));
            buf_reset(&out);
            prompter_render(p, (int64_t)row, (struct prompt_text){q, strlen(q)}, &out);
            assert_string_equal(out.data,
                                json_string_value(json_array_get(prompts, row)));
            json_decref(r);
        }
        json_decref(line);
        io_lines_close(&cases);
        io_lines_close(&rows);
        buf_release(&out);
        prompter_free(p);
        session_close(&s);
    }
}

static void test_special(void **state)
{
    static const struct {
        const char *preset, *begin, *bos;
        bool has_special;
    } cases[] = {
        {"qa", "", "auto", true},          {"qa", "", "false", false},
        {"qa", "", "true", true},          {"paper", "", "auto", false},
        {"paper", "", "true", true},       {"chatml", "", "auto", false},
        {"raw", "", "auto", true},         {"mixtral", "", "auto", false},
        {"custom", "", "auto", true},      {"custom", "{bos}", "auto", false},
        {"custom", "{eos}", "auto", true}, {"custom", "{bos}", "true", true},
    };
    const struct fixture *const f = *state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct session s;
        struct prompter *p = NULL;
        char preset[64], begin[64], bos[64];
        snprintf(preset, sizeof(preset), "prompt.preset=%s", cases[i].preset);
        snprintf(begin, sizeof(begin), "prompt.begin=%s", cases[i].begin);
        snprintf(bos, sizeof(bos), "prompt.bos=%s", cases[i].bos);
        prompt_session(&s, f->d.path, preset, begin, bos, NULL);
        assert_int_equal(prompter_create(&p, &s, NULL), 0);
        assert_int_equal(prompter_has_special(p), cases[i].has_special);
        prompter_free(p);
        session_close(&s);
    }
}

static void test_stop(void **state)
{
    struct session s;
    (void)state;
    prompt_session(&s, NULL, "prompt.preset=gsm8k-4shot", NULL);
    assert_string_equal(prompter_stop(&s.config), "Question:|</s>|<|im_end|>");
    session_close(&s);
    prompt_session(&s, NULL, "prompt.preset=gsm8k-4shot", "rollout.stop=x|y", NULL);
    assert_string_equal(prompter_stop(&s.config), "x|y");
    session_close(&s);
    prompt_session(&s, NULL, "prompt.preset=custom", NULL);
    assert_string_equal(prompter_stop(&s.config), "");
    session_close(&s);
}

/* Refused before a model is loaded. */
static void test_refusals(void **state)
{
    static const struct {
        const char *a, *b, *part;
    } cases[] = {
        {"prompt.preset=qax", "prompt.shots=0", "did you mean \"qa\"?"},
        {"prompt.preset=qa", "prompt.prefix=x", "prompt.prefix is set"},
        {"prompt.preset=llama", "prompt.suffix=x", "prompt.suffix is set"},
        {"prompt.preset=llama", "prompt.answer_prefix=\"\"", "prompt.answer_prefix is"},
        {"prompt.preset=qa", "prompt.opening=x", "prompt.preset=custom it is used"},
        {"prompt.preset=paper", "prompt.system=x", "no place for prompt.system"},
        {"prompt.preset=gpt-oss", "prompt.system=x", "set prompt.date=YYYY-MM-DD"},
        {"prompt.preset=llm-jp-4", "prompt.system=x", "set prompt.date"},
        {"prompt.preset=custom", "prompt.begin={date}", "set prompt.date"},
        {"prompt.preset=gsm8k-4shot", "prompt.system=", "4 worked examples"},
        {"prompt.preset=qa", "prompt.shots=2", "set prompt.shots_from"},
        {"prompt.preset=qa", "prompt.shots_from=self", "set prompt.shots"},
    };
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct session s;
        struct prompter *p = NULL;
        prompt_session(&s, NULL, cases[i].a, cases[i].b, NULL);
        assert_int_equal(prompter_check(&s.config.prompt), ERR_CONFIG);
        if (strstr(status_message(), cases[i].part) == NULL)
            fail_msg("%s", status_message());
        assert_int_equal(prompter_create(&p, &s, asked), ERR_CONFIG);
        assert_null(p);
        session_close(&s);
    }
}

/* Refused for want of a token or a file. */
static void test_missing(void **state)
{
    const struct fixture *const f = *state;
    struct session s;
    struct prompter *p = NULL;
    prompt_session(&s, NULL, "prompt.preset=mixtral", NULL);
    assert_int_equal(prompter_check(&s.config.prompt), 0);
    assert_int_equal(prompter_create(&p, &s, NULL), ERR_USAGE);
    assert_non_null(strstr(status_message(), "has the place {bos}"));
    session_close(&s);

    prompt_session(&s, f->d.path, "prompt.preset=mixtral", NULL);
    prompt_dir_put(&f->d, "tokenizer_config.json", "{\"bos_token\": \"<BOS>\"}");
    assert_int_equal(prompter_create(&p, &s, NULL), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "put \"eos_token\" into"));
    prompt_dir_put(&f->d, "tokenizer_config.json",
                   "{\"bos_token\": \"<BOS>\", \"eos_token\": \"<EOS>\"}");
    session_close(&s);

    prompt_session(&s, NULL, "prompt.shots=2", "prompt.shots_from=self", NULL);
    assert_int_equal(prompter_create(&p, &s, NULL), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "no file of problems"));
    session_close(&s);

    prompt_session(&s, NULL, "prompt.shots=61", "prompt.shots_from=self", NULL);
    assert_int_equal(prompter_create(&p, &s, train), ERR_INPUT);
    assert_non_null(strstr(status_message(), "has 60 pairs"));
    session_close(&s);

    prompt_session(&s, NULL, "prompt.shots=1", "prompt.shots_from=no.jsonl", NULL);
    assert_int_equal(prompter_create(&p, &s, train), ERR_INPUT);
    session_close(&s);
    assert_null(p);
    prompter_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),  cmocka_unit_test(test_custom),
        cmocka_unit_test(test_shots),   cmocka_unit_test(test_special),
        cmocka_unit_test(test_stop),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
