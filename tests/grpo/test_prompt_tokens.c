/*
 * Which file's bos and eos count, and what damaged files give.
 */
#include "grpo/prompt_tokens.h"

#include "tests/grpo/prompt_fixture.h"

static const char map_name[] = "special_tokens_map.json";
static const char config_name[] = "tokenizer_config.json";

/* The token's text, or "-" where none is named. */
static void check(const struct prompt_dir *d, const struct session *s,
                  enum prompt_token which, const char *expected)
{
    char *text = NULL;
    if (prompt_token_find(&text, which, d->path, s->tokenizer) != 0)
        fail_msg("%s", status_message());
    assert_string_equal(text == NULL ? "-" : text, expected);
    mem_free(text);
}

static void check_error(const struct prompt_dir *d, const struct session *s,
                        enum prompt_token which, const char *part)
{
    char *text = NULL;
    assert_int_equal(prompt_token_find(&text, which, d->path, s->tokenizer), ERR_INPUT);
    assert_null(text);
    if (strstr(status_message(), part) == NULL)
        fail_msg("%s", status_message());
}

static void test_order(void **state)
{
    struct prompt_dir d;
    struct session s;
    char config[128];
    (void)state;
    prompt_dir_make(&d);
    prompt_dir_put_tokenizer(&d);
    prompt_session(&s, d.path, NULL);
    check(&d, &s, PROMPT_TOKEN_BOS, "-");
    snprintf(config, sizeof(config),
             "{\"bos_token_id\": %d, \"eos_token_id\": [%d, 5]}",
             (int)tokenizer_find(s.tokenizer, "<x>"),
             (int)tokenizer_find(s.tokenizer, "<EOS>"));
    prompt_dir_put(&d, "config.json", config);
    check(&d, &s, PROMPT_TOKEN_BOS, "<x>");
    check(&d, &s, PROMPT_TOKEN_EOS, "<EOS>");
    prompt_dir_put(&d, map_name,
                   "{\"bos_token\": {\"content\": \"<BOS>\", \"lstrip\": false}}");
    check(&d, &s, PROMPT_TOKEN_BOS, "<BOS>");
    check(&d, &s, PROMPT_TOKEN_EOS, "<EOS>");
    prompt_dir_put(&d, config_name,
                   "{\"model_max_length\": 1000000000000000019884624838656, "
                   "\"bos_token\": null, \"eos_token\": \"</s>\"}");
    check(&d, &s, PROMPT_TOKEN_BOS, "<BOS>");
    check(&d, &s, PROMPT_TOKEN_EOS, "</s>");
    session_close(&s);
    assert_int_equal(io_remove_tree(d.path), 0);
}

static void test_damaged(void **state)
{
    static const struct {
        const char *file, *text, *part;
    } cases[] = {
        {config_name, "{\"bos_token\": 5}",
         "tokenizer_config.json: \"bos_token\" is of"},
        {config_name, "{\"bos_token\": {}}", "expected a string or an object"},
        {config_name, "{\"bos_token\": \"<nope>\"}",
         "\"<nope>\", which tokenizer.json"},
        {config_name, "{\"bos_token\": ", "tokenizer_config.json"},
        {config_name, "[1]", "-"},
        {map_name, "{\"bos_token\": [\"<BOS>\"]}", "special_tokens_map.json"},
        {"config.json", "{\"bos_token_id\": \"<BOS>\"}", "is not the id of one of"},
        {"config.json", "{\"bos_token_id\": 1000}", "config.json: \"bos_token_id\""},
        {"config.json", "{\"bos_token_id\": -1}", "config.json: \"bos_token_id\""},
        {"config.json", "{\"bos_token_id\": []}", "config.json: \"bos_token_id\""},
        {"config.json", "{\"bos_token_id\": 1.5}", "config.json: \"bos_token_id\""},
    };
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prompt_dir d;
        struct session s;
        prompt_dir_make(&d);
        prompt_dir_put_tokenizer(&d);
        prompt_session(&s, d.path, NULL);
        prompt_dir_put(&d, cases[i].file, cases[i].text);
        if (strcmp(cases[i].part, "-") == 0)
            check(&d, &s, PROMPT_TOKEN_BOS, "-");
        else
            check_error(&d, &s, PROMPT_TOKEN_BOS, cases[i].part);
        session_close(&s);
        assert_int_equal(io_remove_tree(d.path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
