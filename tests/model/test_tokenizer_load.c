/*
 * Damaged and unsupported tokenizer files: an error that says what, never a crash.
 */
#include "core/rng.h"
#include "tests/model/tokenizer_golden.h"

/* Every prefix of a file, and every file with a run of bytes overwritten, loads or
 * gives an error that names it. */
static void test_damaged_files(void **state)
{
    json_t *const base = golden_base(NULL);
    char *const text = json_dumps(base, JSON_COMPACT);
    const size_t len = strlen(text);
    struct tokenizer *t = NULL;
    for (size_t n = 0; n < len; n += 1 + len / 150)
        assert_int_equal(load_text(&t, *state, text, n), ERR_INPUT);
    for (uint32_t i = 0; i < 300; i++) {
        static const char junk[] = "\"{}[]:,0-9\\x\xFFnull";
        char *const copy = mem_strndup(text, len);
        for (uint32_t j = 0; j < 3; j++) {
            const uint32_t at = rng_below(1, RNG_TEST, (uint32_t)len, i, j, 0, 0);
            copy[at] = junk[rng_below(1, RNG_TEST, sizeof(junk) - 1, i, j, 1, 0)];
        }
        t = NULL;
        if (load_text(&t, *state, copy, len) == 0)
            tokenizer_free(t);
        mem_free(copy);
    }
    free(text);
    json_decref(base);
}

/* What is wrong, as a change of the base, and a word of the message. */
static const struct {
    const char *change, *word;
} refused[] = {
    {"{\"model\":null}", "model"},
    {"{\"model\":{\"type\":\"Unigram\"}}", "Unigram"},
    {"{\"model\":{\"type\":7}}", "type"},
    {"{\"model\":{\"vocab\":{}}}", "vocab"},
    {"{\"model\":{\"vocab\":[1]}}", "vocab"},
    {"{\"model\":{\"vocab\":{\"a\":-1}}}", "\"a\""},
    {"{\"model\":{\"vocab\":{\"a\":99999999999}}}", "\"a\""},
    {"{\"model\":{\"vocab\":{\"a\":1.5}}}", "real"},
    {"{\"model\":{\"vocab\":{\"a\":5000}}}", "\"a\""},
    {"{\"model\":{\"vocab\":{\"a\":3,\"b\":3}}}", "share the id 3"},
    {"{\"model\":{\"merges\":3}}", "merges"},
    {"{\"model\":{\"merges\":[\"ab\"]}}", "merges[0]"},
    {"{\"model\":{\"merges\":[\"a b c\"]}}", "merges[0]"},
    {"{\"model\":{\"merges\":[[\"l\",\"o\"],[\"a\"]]}}", "merges[1]"},
    {"{\"model\":{\"merges\":[[\"a\",3]]}}", "merges[0]"},
    {"{\"model\":{\"merges\":[[\"a\",\"nowhere\"]]}}", "nowhere"},
    {"{\"model\":{\"merges\":[[\"Q\",\"Q\"]]}}", "QQ"},
    {"{\"model\":{\"dropout\":0.1}}", "dropout"},
    {"{\"model\":{\"continuing_subword_prefix\":\"##\"}}", "##"},
    {"{\"model\":{\"end_of_word_suffix\":\"</w>\"}}", "</w>"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"a\"}}",
     "unk_token"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":true}}",
     "byte_fallback"},
    {"{\"normalizer\":{\"type\":\"Lowercase\"}}", "Lowercase"},
    {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"}]}}",
     "NFKC"},
    {"{\"normalizer\":\"NFC\"}", "normalizer"},
    {"{\"pre_tokenizer\":null}", "pre_tokenizer"},
    {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", "Whitespace"},
    {"{\"pre_tokenizer\":{\"type\":\"Digits\",\"individual_digits\":true}}",
     "ByteLevel"},
    {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
     "\"ByteLevel\"},{\"type\":\"Digits\"}]}}",
     "after ByteLevel"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\"},"
     "\"behavior\":\"Isolated\"}}",
     "pattern"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+\"},"
     "\"behavior\":\"Isolated\"}}",
     "\\w"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},"
     "\"behavior\":\"Isolated\"}}",
     "intersection"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a{1,2}+\"},"
     "\"behavior\":\"Isolated\"}}",
     "repetition"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?<n>a)\"},"
     "\"behavior\":\"Isolated\"}}",
     "group"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\\\\\"},"
     "\"behavior\":\"Isolated\"}}",
     "escape"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Nope}\"},"
     "\"behavior\":\"Isolated\"}}",
     "compile"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},"
     "\"behavior\":\"Isolated\"}}",
     "pattern"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
     "\"behavior\":\"Sideways\"}}",
     "Sideways"},
    {"{\"post_processor\":{\"type\":\"RobertaProcessing\"}}", "RobertaProcessing"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],"
     "\"special_tokens\":{}}}",
     "sequence A"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
     "\"SpecialToken\":"
     "{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{}}}",
     "<s>"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
     "\"SpecialToken\":"
     "{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":"
     "{\"ids\":[99999999]}}}}",
     "out of range"},
    {"{\"decoder\":null}", "decoder"},
    {"{\"decoder\":{\"type\":\"Metaspace\"}}", "Metaspace"},
    {"{\"truncation\":{\"max_length\":3}}", "truncation"},
    {"{\"padding\":{}}", "padding"},
    {"{\"added_tokens\":{}}", "added_tokens"},
    {"{\"added_tokens\":[3]}", "added token"},
    {"{\"added_tokens\":[{\"id\":0}]}", "content"},
    {"{\"added_tokens\":[{\"id\":-4,\"content\":\"x\"}]}", "id"},
    {"{\"added_tokens\":[{\"content\":\"x\",\"special\":1}]}", "special"},
    {"{\"added_tokens\":[{\"content\":\"x\\u0000y\"}]}", "NUL"},
};

static void test_refusals(void **state)
{
    json_t *const base = golden_base(NULL);
    for (int64_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct tokenizer *t = NULL;
        json_t *change = NULL;
        assert_int_equal(
            json_parse(&change, refused[i].change, strlen(refused[i].change), "change"),
            0);
        json_t *const root = changed(base, change);
        if (load_json(&t, *state, root) != ERR_INPUT)
            fail_msg("%s was not refused", refused[i].change);
        if (strstr(status_message(), refused[i].word) == NULL)
            fail_msg("%s: the message \"%s\" lacks \"%s\"", refused[i].change,
                     status_message(), refused[i].word);
        json_decref(root);
        json_decref(change);
    }
    struct tokenizer *t = NULL;
    assert_int_equal(load_text(&t, *state, "[]", 2), ERR_INPUT);
    assert_int_equal(tokenizer_load(&t, "/nonexistent/tokenizer.json"), ERR_INPUT);
    assert_null(t);
    json_decref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
