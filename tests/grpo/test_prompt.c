/*
 * What the presets render: written out here, against templates rendered by jinja2
 * (prompt_cases.jsonl, made by make_prompt_cases.py), and against the shared renderings
 * of the checkpoints' own templates; the border between a prompt and its answer; the
 * limit on tokens.
 */
#include "grpo/prompt.h"

#include "tests/grpo/prompt_fixture.h"

static struct prompt_text text_of(const char *s)
{
    return (struct prompt_text){s, strlen(s)};
}

static const struct prompt_template *find(const char *name)
{
    const struct prompt_template *t = NULL;
    assert_int_equal(prompt_preset_find(&t, name), 0);
    return t;
}

static void test_flat(void **state)
{
    static const struct {
        const char *preset, *zero, *one;
    } cases[] = {
        {"raw", "2 + 3?", "a? b\n\n2 + 3?"},
        {"paper", "2 + 3?\n\n", "a?\n\nb\n\n2 + 3?\n\n"},
        {"qa", "Question: 2 + 3?\nAnswer:",
         "Question: a?\nAnswer: b\n\nQuestion: 2 + 3?\nAnswer:"},
        {"gsm8k-4shot", "Question: 2 + 3?\nAnswer:",
         "Question: a?\nAnswer: b\n\nQuestion: 2 + 3?\nAnswer:"},
        {"gsm-plus-5shot", "Question: 2 + 3?\nAnswer:",
         "Question: a?\nAnswer: b\n\nQuestion: 2 + 3?\nAnswer:"},
        {"gsm8k",
         "Question: 2 + 3?\nThink step by step and end with #### and the "
         "number.\nAnswer:",
         "Question: a?\nThink step by step and end with #### and the "
         "number.\nAnswer: b\n\nQuestion: 2 + 3?\nThink step by step and end with "
         "#### and the number.\nAnswer:"},
    };
    const struct prompt_shot shot = {text_of("a?"), text_of("b")};
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prompt_parts p = {.question = {"2 + 3? and more", 6}, .shots = &shot};
        struct buf out = {0};
        buf_puts(&out, "kept ");
        prompt_render(find(cases[i].preset), &p, &out);
        assert_string_equal(out.data + 5, cases[i].zero);
        buf_reset(&out);
        p.n_shots = 1;
        prompt_render(find(cases[i].preset), &p, &out);
        assert_string_equal(out.data, cases[i].one);
        buf_release(&out);
    }
}

/* What a training pair has between prompt and answer. */
static void test_lead(void **state)
{
    static const struct {
        const char *preset, *question, *lead;
    } cases[] = {
        {"raw", "q", " "},
        {"raw", "q\n", ""},
        {"raw", "q\xE3\x80\x80", ""},
        {"raw", "q\xE3\x80\x81", " "},
        {"raw", "", ""},
        {"paper", "q", ""},
        {"qa", "q", " "},
        {"chatml", "q", ""},
        {"qwen3-nothink", "q", ""},
        {"mixtral", "q", " "},
        {"mistral-nemo", "q", ""},
        {"glm", "q", "\n<think></think>\n"},
        {"glm-nothink", "q", "\n"},
        {"gpt-oss", "q", "<|message|>"},
        {"gpt-oss-channels", "q", "<|channel|>final<|message|>"},
        {"deepseek", "q", ""},
    };
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct prompt_parts p = {.question = text_of(cases[i].question)};
        struct buf prompt = {0}, lead = {0};
        buf_puts(&lead, "");
        prompt_render(find(cases[i].preset), &p, &prompt);
        prompt_render_lead(find(cases[i].preset), &prompt, &lead);
        assert_string_equal(lead.data, cases[i].lead);
        buf_release(&prompt);
        buf_release(&lead);
    }
}

static void test_unknown_preset(void **state)
{
    static const struct {
        const char *name, *nearest;
    } cases[] = {
        {"chatlm", "chatml"},    {"qwen3-nothnk", "qwen3-nothink"},
        {"Llama", "llama"},      {"mixtral-8x7b-instruct", "mixtral"},
        {"deepsek", "deepseek"}, {"gsm8k-4shots", "gsm8k-4shot"},
        {"qwen3-next", "qwen3"}, {"gptoss", "gpt-oss"},
        {"kimi-k2", "kimi"},     {"glm4", "glm"},
    };
    const struct prompt_template *t = find("raw");
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char expected[64];
        snprintf(expected, sizeof(expected), "did you mean \"%s\"?", cases[i].nearest);
        assert_int_equal(prompt_preset_find(&t, cases[i].name), ERR_CONFIG);
        if (strstr(status_message(), expected) == NULL)
            fail_msg("%s", status_message());
    }
    assert_int_equal(prompt_preset_find(&t, "something"), ERR_CONFIG);
    assert_null(strstr(status_message(), "mean"));
    assert_non_null(strstr(status_message(), "raw, paper, qa, gsm8k, gsm8k-4shot, "));
    assert_non_null(strstr(status_message(), ", custom"));
    assert_int_equal(prompt_preset_find(&t, ""), ERR_CONFIG);
    assert_ptr_equal(t, find("raw"));
}

/* Names are unique, the table tells all of them, no line is wider than a terminal, and
 * a preset that is found by name is the one listed. */
static void test_table(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *const f = open_memstream(&text, &len);
    (void)state;
    assert_non_null(f);
    prompt_presets_print(f);
    fclose(f);
    for (int64_t i = 0; i < prompt_n_presets(); i++) {
        const struct prompt_template *const t = prompt_preset(i);
        char entry[32];
        assert_ptr_equal(find(t->name), t);
        snprintf(entry, sizeof(entry), "\n  %s ", t->name);
        const char *const at = strstr(text, entry);
        assert_non_null(at);
        assert_non_null(strstr(at, t->summary));
        assert_true(strcspn(at + 1, "\n") <= 88);
    }
    assert_non_null(strstr(text, "\n  custom "));
    free(text);
}

/* {bos} and {eos} as jinja2 had them; *text from a golden. */
static void unname_tokens(struct buf *out, const char *text)
{
    buf_reset(out);
    while (text[0] != '\0') {
        const bool is_bos = strncmp(text, "<BOS>", 5) == 0;
        const bool is_token = is_bos || strncmp(text, "<EOS>", 5) == 0;
        const bool is_date = strncmp(text, "2026-01-02", 10) == 0;
        if (is_token)
            buf_puts(out, is_bos ? "{bos}" : "{eos}");
        else if (is_date)
            buf_puts(out, "{date}");
        else
            buf_append(out, text, 1);
        text += is_token ? 5 : is_date ? 10 : 1;
    }
}

static void check_case(const json_t *line)
{
    struct prompt_shot shots[4];
    struct prompt_parts p = {.shots = shots};
    struct buf out = {0}, expected = {0};
    const json_t *const turns = json_object_get(line, "turns");
    const json_t *const system = json_object_get(line, "system");
    const char *const preset = json_string_value(json_object_get(line, "preset"));
    if (json_is_string(system))
        p.system = text_of(json_string_value(system));
    p.n_shots = (int64_t)json_array_size(turns) / 2;
    assert_true(p.n_shots <= 4);
    for (int64_t i = 0; i < p.n_shots; i++) {
        const json_t *const q = json_array_get(turns, (size_t)(2 * i));
        const json_t *const a = json_array_get(turns, (size_t)(2 * i + 1));
        shots[i] = (struct prompt_shot){text_of(json_string_value(q)),
                                        text_of(json_string_value(a))};
    }
    p.question = text_of(
        json_string_value(json_array_get(turns, (size_t)(2 * p.n_shots))));
    prompt_render(find(preset), &p, &out);
    unname_tokens(&expected, json_string_value(json_object_get(line, "text")));
    assert_string_equal(out.data, expected.data);
    buf_release(&out);
    buf_release(&expected);
}

static void test_jinja(void **state)
{
    struct io_lines lines;
    int64_t n = 0;
    (void)state;
    assert_int_equal(io_lines_open(&lines, "tests/grpo/prompt_cases.jsonl"), 0);
    for (json_t *line; (line = next_json(&lines)) != NULL; n++) {
        check_case(line);
        json_decref(line);
    }
    io_lines_close(&lines);
    assert_int_equal(n, 18 * 6);
}

/* Two templates that are no presets, as a custom template has them. */
static const struct prompt_template chujiezheng = {
    .begin = "\n{bos}",
    .system_place = PROMPT_SYSTEM_BLOCK,
    .system = {"", "\n\n\n"},
    .no_system = "\n",
    .question = {"\n        [INST] ", " [/INST]\n"},
    .answer = {"\n         ", "{eos}\n"},
};
static const struct prompt_template llamacpp_r1 = {
    .begin = "{bos}",
    .system_place = PROMPT_SYSTEM_BLOCK,
    .question = {"<｜User｜>", "<｜end▁of▁sentence｜>"},
    .opening = "<｜Assistant｜><think>\n",
    .answer = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
};

enum { N_CASES = 6 };
static const char *const case_names[N_CASES] = {
    "user", "system_user", "multi", "user_nothink", "user_think", "full_assistant"};
/* The preset that each case of a template is checked with. A full_assistant is a
 * training pair: prompt, lead, answer, and `end` (NULL: the template's answer.suffix).
 * NULL: not covered, because
 * - paper has no place for a system text: setting one is an error, where the authors'
 *   template drops it silently;
 * - llama.cpp's template of R1 has no empty thought in front of an answer, but its
 *   prompt opens one: a pair has to bring its own end of thought. */
static const struct coverage {
    const char *name;
    const char *preset[N_CASES];
    const struct prompt_template *custom; /* "custom": this one */
    const char *end;
} coverage[] = {
    {"optimal-sparsity-grpo",
     {"paper", NULL, "paper", "paper", "paper", "paper"},
     NULL,
     NULL},
    {"qwen2.5",
     {"qwen2.5", "qwen2.5", "qwen2.5", "qwen2.5", "qwen2.5", "qwen2.5"},
     NULL,
     NULL},
    {"qwen3",
     {"qwen3", "qwen3", "chatml", "qwen3-nothink", "qwen3", "qwen3-nothink"},
     NULL,
     NULL},
    {"qwen3-thinking-2507-and-next.miles-fixed",
     {"qwen3-think", "qwen3-think", "qwen3-think", "qwen3-think", "qwen3-think",
      "qwen3-nothink"},
     NULL,
     NULL},
    {"mistral-v1-spm.mistral-common",
     {"mixtral", "mixtral", "mixtral", "mixtral", "mixtral", "mixtral"},
     NULL,
     NULL},
    {"mistral-nemo",
     {"mistral-nemo", "mistral-nemo", "mistral-nemo", "mistral-nemo", "mistral-nemo",
      "mistral-nemo"},
     NULL,
     NULL},
    {"mistral-instruct.chujiezheng",
     {"custom", "custom", "custom", "custom", "custom", "custom"},
     &chujiezheng,
     NULL},
    {"deepseek-v3.1",
     {"deepseek", "deepseek", "deepseek", "deepseek", "deepseek-think", "deepseek"},
     NULL,
     NULL},
    {"deepseek-r1.llamacpp",
     {"custom", "custom", "custom", "custom", "custom", NULL},
     &llamacpp_r1,
     NULL},
    {"kimi-k2", {"kimi", "kimi", "kimi", "kimi", "kimi", "kimi"}, NULL, NULL},
    {"GLM-4.6", {"glm", "glm", "glm", "glm-nothink", "glm", "glm"}, NULL, NULL},
    {"gpt-oss",
     {"gpt-oss", "gpt-oss", "gpt-oss", "gpt-oss", "gpt-oss", "gpt-oss"},
     NULL,
     NULL},
    {"llm-jp-4",
     {"llm-jp-4", "llm-jp-4", "llm-jp-4", "llm-jp-4", "llm-jp-4", "llm-jp-4"},
     NULL,
     "<|return|>"}, /* the end token, which training appends by its id */
};

static void render_case(struct buf *out, const struct prompt_template *t, int which,
                        const char *end)
{
    const struct prompt_shot shot = {text_of("What is 2+3?"), text_of("5")};
    const bool is_multi = strcmp(case_names[which], "multi") == 0;
    const bool is_full = strcmp(case_names[which], "full_assistant") == 0;
    struct prompt_parts p = {.shots = &shot,
                             .n_shots = is_multi,
                             .question = text_of(is_multi ? "And 4+4?"
                                                          : "What is "
                                                            "2+3?")};
    if (strcmp(case_names[which], "system_user") == 0)
        p.system = text_of("Be terse.");
    prompt_render(t, &p, out);
    if (is_full) {
        prompt_render_lead(t, out, out);
        buf_puts(out, "5");
        buf_puts(out, end != NULL ? end : t->answer.suffix);
    }
}

static int64_t check_coverage(const struct coverage *c, const json_t *cases)
{
    int64_t n = 0;
    for (int i = 0; i < N_CASES; i++) {
        const char *const text = json_string_value(
            json_object_get(cases, case_names[i]));
        struct buf out = {0}, expected = {0};
        assert_non_null(text);
        if (c->preset[i] == NULL)
            continue;
        const bool is_custom = strcmp(c->preset[i], "custom") == 0;
        unname_tokens(&expected, text);
        render_case(&out, is_custom ? c->custom : find(c->preset[i]), i, c->end);
        assert_string_equal(out.data, expected.data);
        buf_release(&out);
        buf_release(&expected);
        n++;
    }
    return n;
}

static void test_renders(void **state)
{
    json_t *root = NULL;
    int64_t n = 0;
    char *const path = shared_file("fixtures/tokenizers/chat_renders.json");
    (void)state;
    if (path == NULL)
        skip();
    assert_int_equal(json_parse_file(&root, path), 0);
    assert_int_equal(json_object_size(root), ARRAY_LEN(coverage));
    for (int64_t i = 0; i < ARRAY_LEN(coverage); i++) {
        const json_t *const cases = json_object_get(root, coverage[i].name);
        assert_non_null(cases);
        assert_int_equal(json_object_size(cases), N_CASES);
        n += check_coverage(&coverage[i], cases);
    }
    printf("%lld of %lld renderings checked\n", (long long)n,
           (long long)(ARRAY_LEN(coverage) * N_CASES));
    assert_int_equal(n, ARRAY_LEN(coverage) * N_CASES - 2);
    json_decref(root);
    mem_free(path);
}

/* Encodes a text without specials under a limit; returns the status. */
static int encode(const struct session *s, const char *text, size_t len,
                  int64_t max_tokens, bool is_filter, struct ids *out, bool *is_kept)
{
    const struct prompt_limits l = {.max_tokens = max_tokens, .is_filter = is_filter};
    struct buf b = {0};
    buf_append(&b, text, len);
    const int status = prompt_encode(s->tokenizer, &l, &b, out, is_kept);
    buf_release(&b);
    return status;
}

static void test_encode(void **state)
{
    struct prompt_dir d;
    struct session s;
    struct ids ids = {0};
    struct buf text = {0};
    bool is_kept = false;
    (void)state;
    prompt_dir_make(&d);
    prompt_dir_put_tokenizer(&d);
    prompt_session(&s, d.path, NULL);
    const struct prompt_limits special = {.has_special = true};
    buf_puts(&text, "how <x>many?");
    ids_push(&ids, 77);
    assert_int_equal(prompt_encode(s.tokenizer, &special, &text, &ids, &is_kept), 0);
    assert_true(is_kept);
    assert_int_equal(ids.data[0], 77);
    assert_int_equal(ids.data[1], tokenizer_find(s.tokenizer, "<s>"));
    int64_t n_x = 0;
    for (int64_t i = 0; i < ids.n; i++)
        n_x += ids.data[i] == tokenizer_find(s.tokenizer, "<x>");
    assert_int_equal(n_x, 1);

    ids.n = 1;
    assert_int_equal(encode(&s, "1234", 4, 3, true, &ids, &is_kept), 0);
    assert_false(is_kept);
    assert_int_equal(ids.n, 1);
    assert_int_equal(encode(&s, "123", 3, 3, true, &ids, &is_kept), 0);
    assert_true(is_kept);
    assert_int_equal(ids.n, 4);
    assert_int_equal(encode(&s, "1234", 4, 3, false, &ids, &is_kept), ERR_INPUT);
    assert_non_null(strstr(status_message(), "4 tokens"));
    assert_non_null(strstr(status_message(), "data.max_prompt=3"));
    assert_int_equal(encode(&s, "", 0, 3, false, &ids, &is_kept), ERR_INPUT);
    assert_int_equal(encode(&s, "\xFF", 1, 3, false, &ids, &is_kept), ERR_INPUT);
    assert_int_equal(ids.n, 4);
    ids_release(&ids);
    buf_release(&text);
    session_close(&s);
    assert_int_equal(io_remove_tree(d.path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),           cmocka_unit_test(test_lead),
        cmocka_unit_test(test_unknown_preset), cmocka_unit_test(test_table),
        cmocka_unit_test(test_jinja),          cmocka_unit_test(test_renders),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
