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

#define SPLIT(pattern, word)                                                           \
    {                                                                                  \
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":" pattern                  \
        ",\"behavior\":\"Isolated\",\"invert\":false}}",                               \
            word                                                                       \
    }

/* What is wrong, as a change of the base, and a word of the message. */
static const struct {
    const char *change, *word;
} refused[] = {
    {"{\"version\":\"2.0\"}", "version"},
    {"{\"model\":null}", "model"},
    {"{\"model\":{\"type\":\"WordPiece\"}}", "WordPiece"},
    {"{\"model\":{\"type\":\"WordLevel\"}}", "WordLevel"},
    {"{\"model\":{\"type\":7}}", "type"},
    {"{\"model\":{\"vocab\":{}}}", "model.vocab"},
    {"{\"model\":{\"vocab\":[1]}}", "model.vocab"},
    {"{\"model\":{\"vocab\":null}}", "model.vocab"},
    {"{\"model\":{\"vocab\":\"a\"}}", "model.vocab"},
    {"{\"model\":{\"vocab\":{\"a\":-1}}}", "model.vocab"},
    {"{\"model\":{\"vocab\":{\"a\":1.5}}}", "1.5"},
    {"{\"model\":{\"vocab\":{\"a\":\"1\"}}}", "integer"},
    {"{\"model\":{\"vocab\":{\"a\":5000}}}", "5000"},
    {"{\"model\":{\"vocab\":{\"a\":3,\"b\":3}}}", "share the id 3"},
    {"{\"model\":{\"merges\":3}}", "merges"},
    {"{\"model\":{\"merges\":null}}", "merges"},
    {"{\"model\":{\"merges\":{}}}", "merges"},
    {"{\"model\":{\"merges\":[\"ab\"]}}", "merges"},
    {"{\"model\":{\"merges\":[\"a b c\"]}}", "merges"},
    {"{\"model\":{\"merges\":[[\"l\",\"o\"],[\"a\"]]}}", "merges"},
    {"{\"model\":{\"merges\":[[\"l\",\"o\"],\"l o\"]}}", "merges"},
    {"{\"model\":{\"merges\":[[\"a\",3]]}}", "merges"},
    {"{\"model\":{\"merges\":[[[\"a\"],\"b\"]]}}", "merges"},
    {"{\"model\":{\"merges\":[[\"l\",\"o\",\"w\"]]}}", "merges"},
    {"{\"model\":{\"merges\":[[\"a\",\"nowhere\"]]}}", "nowhere"},
    {"{\"model\":{\"merges\":[[\"Q\",\"Q\"]]}}", "QQ"},
    {"{\"model\":{\"dropout\":0.1}}", "dropout"},
    {"{\"model\":{\"continuing_subword_prefix\":\"##\"}}", "subword_prefix"},
    {"{\"model\":{\"unk_token\":3}}", "unk_token"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "vocab"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":1}}}", "vocab"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "score"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",\"1\"]]}}", "number"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1]],\"unk_id\":1}}", "unk_id"},
    {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}}",
     "Precompiled"},
    {"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
     "\"BertNormalizer\"}]}}",
     "BertNormalizer"},
    {"{\"normalizer\":{\"type\":\"Sequence\"}}", "normalizers"},
    {"{\"normalizer\":{\"type\":\"Prepend\"}}", "prepend"},
    {"{\"normalizer\":{\"type\":\"Replace\",\"content\":\"\"}}", "pattern"},
    {"{\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true}}", "strip_right"},
    {"{\"normalizer\":\"NFC\"}", "normalizer"},
    {"{\"pre_tokenizer\":7}", "pre_tokenizer"},
    {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}}", "UnicodeScripts"},
    {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
     "\"Nope\"}]}}",
     "Nope"},
    {"{\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}}", "length"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}}",
     "replacement"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\","
     "\"prepend_scheme\":\"last\"}}",
     "prepend_scheme"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\","
     "\"prepend_scheme\":\"first\",\"add_prefix_space\":false}}",
     "add_prefix_space"},
    SPLIT("{\"Regex\":\"[\"}", "pattern"),
    SPLIT("{\"Regex\":\"[[:alpha:]]\"}", "class"),
    SPLIT("{\"Regex\":\"\\\\X\"}", "\\X"),
    SPLIT("{\"Regex\":\"a{1,2}+\"}", "repetition"),
    SPLIT("{\"Regex\":\"a{2}?\"}", "repetition"),
    SPLIT("{\"Regex\":\"[\\\\S]\"}", "negated class"),
    SPLIT("{\"Regex\":\"(?i:lass)\"}", "case-insensitive"),
    SPLIT("{\"Regex\":\"\\\\p{Cyrillic}\"}", "script"),
    SPLIT("{\"Regex\":\"(?<n>a)\"}", "group"),
    SPLIT("{\"Regex\":\"a\\\\\"}", "escape"),
    SPLIT("{\"Regex\":\"\\\\p{Nope}\"}", "compile"),
    SPLIT("{}", "pattern"),
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
     "\"behavior\":\"Sideways\",\"invert\":false}}",
     "Sideways"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
     "\"behavior\":\"Isolated\"}}",
     "invert"},
    {"{\"post_processor\":{\"type\":\"Nope\"}}", "Nope"},
    {"{\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\"]}}", "cls"},
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
    {"{\"decoder\":{\"type\":\"WordPiece\"}}", "WordPiece"},
    {"{\"decoder\":{\"type\":\"CTC\"}}", "CTC"},
    {"{\"decoder\":[]}", "decoder"},
    {"{\"decoder\":{\"type\":\"Strip\",\"content\":\" \"}}", "start"},
    {"{\"truncation\":{\"max_length\":3}}", "strategy"},
    {"{\"truncation\":{\"max_length\":1,\"strategy\":\"LongestFirst\","
     "\"stride\":5}}",
     "stride"},
    {"{\"padding\":{}}", "padding"},
    {"{\"padding\":{\"strategy\":\"BatchLongest\",\"pad_id\":-1}}", "pad_id"},
    {"{\"added_tokens\":{}}", "added_tokens"},
    {"{\"added_tokens\":[3]}", "added token"},
    {"{\"added_tokens\":[{\"id\":0}]}", "content"},
    {"{\"added_tokens\":[{\"id\":-4,\"content\":\"x\"}]}", "id"},
    {"{\"added_tokens\":[{\"content\":\"x\",\"special\":1}]}", "special"},
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

/* Whole files whose large lists jansson would not even parse. */
static const struct {
    const char *text, *word; /* word NULL: loads */
} raw_files[] = {
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}", NULL},
    {"{\"model\":{\"vocab\":{\"a\":0,\"\\u0061b\":1},\"merges\":[]}}", NULL},
    {"{\"model\":{\"vocab\":{\"\\ud83d\\ude00\":0},\"merges\":[]}}", NULL},
    {"{\"model\":{\"vocab\":{\"\\u0000\":0},\"merges\":[]}}", NULL},
    {"{\"model\":{\"vocab\":[[\"a\",-1.5e-3],[\"b\",0]]}}", NULL},
    {"{\"model\":{\"vocab\":{\"a\":0},\"vocab\":{\"a\":1},\"merges\":[]}}",
     "duplicate"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"model\":{}}", "duplicate"},
    {"{\"model\":{\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", "listed twice"},
    {"{\"model\":{\"vocab\":{\"a\":0,\"\\u0061\":1},\"merges\":[]}}", "listed twice"},
    {"{\"model\":{\"vocab\":{\"a\":99999999999999999999},\"merges\":[]}}",
     "model.vocab, line 1"},
    {"{\n\"model\":{\n\"vocab\":{\n\"a\":007},\"merges\":[]}}", "line 4"},
    {"{\"model\":{\"vocab\":{\"a\":0,},\"merges\":[]}}", "a string"},
    {"{\"model\":{\"vocab\":{\"a\":0 \"b\":1},\"merges\":[]}}", "','"},
    {"{\"model\":{\"vocab\":{\"a\" 0},\"merges\":[]}}", "':'"},
    {"{\"model\":{\"vocab\":{\"\\ud83d\":0},\"merges\":[]}}", "hexadecimal"},
    {"{\"model\":{\"vocab\":{\"\\ud83d\\u0041\":0},\"merges\":[]}}", "surrogate"},
    {"{\"model\":{\"vocab\":{\"\\q\":0},\"merges\":[]}}", "escape"},
    {"{\"model\":{\"vocab\":{\"a\tb\":0},\"merges\":[]}}", "end of a string"},
    {"{\"model\":{\"vocab\":[[\"a\",1e999]]}}", "range"},
    {"{\"model\":{\"vocab\":[[\"a\",NaN]]}}", "number"},
    {"{\"model\":{\"vocab\":[[\"a\",-Infinity]]}}", "number"},
    {"{\"model\":{\"vocab\":[[\"a\",01]]}}", "number"},
    {"{\"model\":{\"vocab\":[[\"a\",1.]]}}", "number"},
    {"{\"model\":{\"vocab\":[[\"a\",1e]]}}", "number"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\"],]}}", "model.merges"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[", "JSON"},
    {"{\"model\":{\"vocab\":{\"a\":0", "JSON"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}} x", "JSON"},
    {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},}", "JSON"},
    {"\"a\"", "JSON"},
    {"", "JSON"},
    {"{\"model\":{\"vocab\":{\"\xFF\":0},\"merges\":[]}}", "UTF-8"},
};

static void test_raw_files(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(raw_files); i++) {
        struct tokenizer *t = NULL;
        const char *const text = raw_files[i].text, *const word = raw_files[i].word;
        const int status = tokenizer_load_memory(&t, "the file", text, strlen(text));
        if (status != (word == NULL ? STATUS_OK : ERR_INPUT))
            fail_msg("%s gives %d (%s)", text, status, status_message());
        if (word != NULL && (strstr(status_message(), word) == NULL ||
                             strstr(status_message(), "the file") == NULL))
            fail_msg("%s: the message \"%s\" lacks \"%s\"", text, status_message(),
                     word);
        tokenizer_free(t);
    }
}

/* Deep nesting, in the parts that are parsed and in those that are read. */
static void test_deep_files(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "{\"normalizer\":", "{\"model\":{\"vocab\":", "{\"model\":{\"merges\":", ""};
    for (int64_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct buf text = {0};
        struct tokenizer *t = NULL;
        buf_puts(&text, heads[i]);
        for (int64_t j = 0; j < 200000; j++)
            buf_puts(&text, j % 2 == 0 ? "[" : "{\"a\":");
        assert_int_equal(tokenizer_load_memory(&t, "deep", text.data, text.len),
                         ERR_INPUT);
        buf_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_raw_files),
        cmocka_unit_test(test_deep_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
