/*
 * The tokenizer against committed goldens (tests/model/make_tokenizer_cases.py: one
 * option of the format each), against the shared fixtures where they are, on damaged
 * files, and through its own training.
 */
#include "model/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "core/rng.h"

static const char golden_path[] = "tests/model/tokenizer_cases.jsonl";

static char *shared_path(const char *name)
{
    const char *const root = getenv("MOE_GRPO_SHARED");
    char *const path = io_join(root != NULL ? root : "../shared", name);
    if (io_exists(path))
        return path;
    mem_free(path);
    return NULL;
}

static int set_up(void **state)
{
    static char dir[64];
    snprintf(dir, sizeof(dir), "/tmp/moe_grpo_tokenizer_XXXXXX");
    assert_non_null(mkdtemp(dir));
    log_set_level(LOG_ERROR); /* ids of added tokens that the library ignores */
    *state = dir;
    return 0;
}

static int tear_down(void **state) { return io_remove_tree(*state); }

static int load_text(struct tokenizer **out, const char *dir, const char *text,
                     size_t len)
{
    char *const path = io_join(dir, "tokenizer.json");
    FILE *const f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    const int status = tokenizer_load(out, path);
    if (status != STATUS_OK)
        assert_non_null(strstr(status_message(), "tokenizer.json"));
    mem_free(path);
    return status;
}

static int load_json(struct tokenizer **out, const char *dir, const json_t *root)
{
    char *const text = json_dumps(root, JSON_COMPACT);
    const int status = load_text(out, dir, text, strlen(text));
    free(text);
    return status;
}

/* The expected ids: `ids`, or `before` and then `ids`. */
static bool has_ids(const struct ids *got, const json_t *before, const json_t *ids)
{
    const size_t n = json_array_size(before);
    if ((size_t)got->n != n + json_array_size(ids))
        return false;
    for (size_t i = 0; i < (size_t)got->n; i++) {
        const json_t *const v = i < n ? json_array_get(before, i)
                                      : json_array_get(ids, i - n);
        if (got->data[i] != json_integer_value(v))
            return false;
    }
    return true;
}

static bool has_text(const struct buf *got, const json_t *text)
{
    const size_t n = json_string_length(text);
    return got->len == n &&
           (n == 0 || memcmp(got->data, json_string_value(text), n) == 0);
}

struct expected {
    const char *name; /* for messages */
    const json_t *text, *ids;
    const json_t *special; /* whole list, or the prefix before ids; NULL: as ids */
    const json_t *decoded, *skipped;
    bool is_from_special; /* `decoded` is of the ids with specials */
};

static void check_case(const struct tokenizer *t, const struct expected *e)
{
    struct ids plain = {0}, special = {0};
    struct buf decoded = {0}, skipped = {0};
    const char *const text = json_string_value(e->text);
    const size_t len = json_string_length(e->text);
    assert_int_equal(tokenizer_encode(t, text, len, false, &plain), 0);
    assert_int_equal(tokenizer_encode(t, text, len, true, &special), 0);
    const struct ids *const from = e->is_from_special ? &special : &plain;
    tokenizer_decode(t, from->data, from->n, false, &decoded);
    tokenizer_decode(t, special.data, special.n, true, &skipped);
    const bool is_special_right = e->special == NULL
                                      ? has_ids(&special, NULL, e->ids)
                                      : has_ids(&special, NULL, e->special) ||
                                            has_ids(&special, e->special, e->ids);
    if (!has_ids(&plain, NULL, e->ids) || !is_special_right)
        fail_msg("%s: other ids for \"%s\"", e->name, text);
    if (!has_text(&decoded, e->decoded) || !has_text(&skipped, e->skipped))
        fail_msg("%s: \"%s\" decodes to \"%s\" and \"%s\"", e->name, text, decoded.data,
                 skipped.data);
    ids_release(&plain);
    ids_release(&special);
    buf_release(&decoded);
    buf_release(&skipped);
}

static const json_t *get_or(const json_t *obj, const char *key, const json_t *other)
{
    const json_t *const v = json_object_get(obj, key);
    return v != NULL ? v : other;
}

static json_t *next_line(struct io_lines *r)
{
    const char *line = NULL;
    size_t len = 0;
    json_t *root = NULL;
    if (io_lines_next(r, &line, &len))
        assert_int_equal(json_parse(&root, line, len, "a line"), 0);
    return root;
}

/* base with the keys of `change`; those of "model" go into the model. */
static json_t *changed(const json_t *base, const json_t *change)
{
    json_t *const root = json_deep_copy(base);
    json_t *const model = json_incref(json_object_get(root, "model"));
    json_t *const other = json_deep_copy(change);
    json_t *const in_model = json_object_get(other, "model");
    if (json_is_object(in_model)) {
        assert_int_equal(json_object_update(model, in_model), 0);
        json_object_del(other, "model");
    }
    assert_int_equal(json_object_update(root, other), 0);
    json_decref(model);
    json_decref(other);
    return root;
}

static json_t *golden_base(json_t **texts)
{
    struct io_lines r;
    assert_int_equal(io_lines_open(&r, golden_path), 0);
    json_t *const line = next_line(&r);
    json_t *const base = json_incref(json_object_get(line, "base"));
    if (texts != NULL)
        *texts = json_incref(json_object_get(line, "texts"));
    json_decref(line);
    io_lines_close(&r);
    return base;
}

static void test_goldens(void **state)
{
    struct io_lines r;
    json_t *texts, *line;
    json_t *const base = golden_base(&texts);
    int64_t n = 0;
    assert_int_equal(io_lines_open(&r, golden_path), 0);
    json_decref(next_line(&r));
    while ((line = next_line(&r)) != NULL) {
        struct tokenizer *t = NULL;
        const char *const name = json_string_value(json_object_get(line, "name"));
        json_t *const root = changed(base, json_object_get(line, "set"));
        if (load_json(&t, *state, root) != 0)
            fail_msg("%s: %s", name, status_message());
        const json_t *const cases = json_object_get(line, "cases");
        assert_int_equal(json_array_size(cases), json_array_size(texts));
        for (size_t i = 0; i < json_array_size(cases); i++, n++) {
            const json_t *const c = json_array_get(cases, i);
            const json_t *const text = json_array_get(texts, i);
            const struct expected e = {.name = name,
                                       .text = text,
                                       .ids = json_object_get(c, "ids"),
                                       .special = json_object_get(c, "sp"),
                                       .decoded = get_or(c, "dec", text),
                                       .skipped = get_or(c, "skip", text),
                                       .is_from_special = true};
            check_case(t, &e);
        }
        json_decref(root);
        json_decref(line);
        tokenizer_free(t);
    }
    assert_true(n >= 600);
    io_lines_close(&r);
    json_decref(base);
    json_decref(texts);
}

static void test_checkpoint_texts(void **state)
{
    (void)state;
    char *const root = shared_path("fixtures/checkpoints/cases");
    char **names;
    int64_t n = 0, n_texts = 0;
    if (root == NULL)
        skip();
    assert_int_equal(io_list(root, &names, &n), 0);
    for (int64_t i = 0; i < n; i++) {
        struct buf path = {0};
        struct tokenizer *t = NULL;
        json_t *expected = NULL;
        buf_printf(&path, "%s/%s/model/tokenizer.json", root, names[i]);
        if (strncmp(names[i], "mixtral-", 8) != 0 || !io_exists(path.data)) {
            buf_release(&path);
            continue;
        }
        assert_int_equal(tokenizer_load(&t, path.data), 0);
        buf_reset(&path);
        buf_printf(&path, "%s/%s/expected.json", root, names[i]);
        assert_int_equal(json_parse_file(&expected, path.data), 0);
        const json_t *const texts = json_object_get(expected, "texts");
        for (size_t j = 0; j < json_array_size(texts); j++, n_texts++) {
            const json_t *const c = json_array_get(texts, j);
            const char *const text = json_string_value(json_object_get(c, "text"));
            struct ids ids = {0};
            assert_int_equal(tokenizer_encode(t, text, strlen(text), true, &ids), 0);
            assert_true(has_ids(&ids, NULL, json_object_get(c, "ids")));
            ids_release(&ids);
        }
        json_decref(expected);
        tokenizer_free(t);
        buf_release(&path);
    }
    assert_true(n_texts > 0);
    io_list_free(names, n);
    mem_free(root);
}

static void check_vectors(const char *name)
{
    char path[1024];
    struct tokenizer *t = NULL;
    struct io_lines texts, vectors;
    json_t *line;
    int64_t n = 0;
    char *const root = shared_path("fixtures/tokenizers");
    if (root == NULL)
        skip();
    snprintf(path, sizeof(path), "%s/%s/tokenizer.json", root, name);
    if (tokenizer_load(&t, path) != 0)
        fail_msg("%s", status_message());
    snprintf(path, sizeof(path), "%s/%s/vectors.jsonl", root, name);
    assert_int_equal(io_lines_open(&vectors, path), 0);
    snprintf(path, sizeof(path), "%s/texts.jsonl", root);
    assert_int_equal(io_lines_open(&texts, path), 0);
    while ((line = next_line(&texts)) != NULL) {
        json_t *const v = next_line(&vectors);
        const json_t *const text = json_object_get(line, "t");
        struct expected e = {.name = name,
                             .text = text,
                             .ids = json_object_get(v, "ids"),
                             .special = json_object_get(v, "sp"),
                             .decoded = get_or(v, "dec", text)};
        e.skipped = get_or(v, "decskip", e.decoded);
        check_case(t, &e);
        json_decref(line);
        json_decref(v);
        n++;
    }
    assert_true(n > 2000);
    io_lines_close(&texts);
    io_lines_close(&vectors);
    tokenizer_free(t);
    mem_free(root);
}

static void test_vectors_olmoe(void **state)
{
    (void)state;
    check_vectors("olmoe.gpt-neox-olmo-dolma-v1_5");
}

static void test_vectors_qwen3(void **state)
{
    (void)state;
    check_vectors("qwen3");
}

static void test_vectors_gpt_oss(void **state)
{
    (void)state;
    check_vectors("gpt-oss");
}

/* Each tokenizer of the file is either refused or computed exactly. */
static void test_semantics(void **state)
{
    struct io_lines r;
    json_t *line;
    int64_t n_loaded = 0, n_refused = 0;
    char *const path = shared_path("fixtures/tokenizers/semantics.jsonl");
    if (path == NULL)
        skip();
    assert_int_equal(io_lines_open(&r, path), 0);
    while ((line = next_line(&r)) != NULL) {
        struct tokenizer *t = NULL;
        const json_t *const cases = json_object_get(line, "cases");
        const int status = load_json(&t, *state, json_object_get(line, "tokenizer"));
        n_loaded += status == 0;
        n_refused += status != 0;
        if (status != 0)
            assert_int_equal(status, ERR_INPUT);
        for (size_t i = 0; status == 0 && i < json_array_size(cases); i++) {
            const json_t *const c = json_array_get(cases, i);
            const json_t *const text = json_object_get(c, "t");
            struct expected e = {
                .name = json_string_value(json_object_get(line, "name")),
                .text = text,
                .ids = json_object_get(c, "ids"),
                .special = json_object_get(c, "sp"),
                .decoded = get_or(c, "dec", text)};
            e.skipped = get_or(c, "decskip", e.decoded);
            check_case(t, &e);
        }
        tokenizer_free(t);
        json_decref(line);
    }
    print_message("%lld computed, %lld refused\n", (long long)n_loaded,
                  (long long)n_refused);
    assert_true(n_loaded >= 13);
    assert_true(n_refused >= 50);
    io_lines_close(&r);
    mem_free(path);
}

static void test_bad_utf8(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "a\xC3",
                                      "\xC0\xAF",
                                      "\xE0\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF0\x9F\x98 tail",
                                      "ok\xFF"};
    struct tokenizer *t = NULL;
    json_t *const base = golden_base(NULL);
    assert_int_equal(load_json(&t, *state, base), 0);
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ids ids = {0};
        ids_push(&ids, 7);
        assert_int_equal(tokenizer_encode(t, bad[i], strlen(bad[i]), true, &ids),
                         ERR_INPUT);
        assert_int_equal(ids.n, 1);
        ids_release(&ids);
    }
    tokenizer_free(t);
    json_decref(base);
}

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

static void test_lookups(void **state)
{
    struct tokenizer *t = NULL;
    size_t len = 1;
    json_t *const base = golden_base(NULL);
    assert_int_equal(load_json(&t, *state, base), 0);
    const int64_t n = tokenizer_n_vocab(t);
    assert_int_equal(
        n, json_object_size(json_object_get(json_object_get(base, "model"), "vocab")));
    assert_int_equal(tokenizer_find(t, "<s>"), 1);
    assert_int_equal(tokenizer_find(t, "no such token"), -1);
    assert_int_equal(tokenizer_find(t, ""), -1);
    assert_true(tokenizer_is_special(t, 2));
    assert_false(tokenizer_is_special(t, 3));
    assert_false(tokenizer_is_special(t, -1));
    assert_false(tokenizer_is_special(t, (int32_t)n));
    assert_string_equal(tokenizer_bytes(t, (int32_t)n, &len), "");
    assert_int_equal(len, 0);
    tokenizer_bytes(t, -1, &len);
    assert_int_equal(len, 0);
    const int32_t space = tokenizer_find(t, "\xC4\xA0"); /* U+0120 */
    assert_int_equal(tokenizer_bytes(t, space, &len)[0], ' ');
    assert_int_equal(len, 1);
    struct buf out = {0};
    const int32_t ids[] = {-5, 1, space, (int32_t)n, INT32_MAX, space};
    buf_puts(&out, "kept");
    tokenizer_decode(t, ids, ARRAY_LEN(ids), true, &out);
    assert_string_equal(out.data, "kept  ");
    buf_release(&out);
    tokenizer_free(t);
    tokenizer_free(NULL);
    json_decref(base);
}

/* Ids of single bytes, decoded: the longest invalid part gives one U+FFFD. */
static void test_lossy_decode(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"a\xFFz", "a\xEF\xBF\xBDz"},
        {"\xE6\x97", "\xEF\xBF\xBD"},
        {"\xE6\x97z", "\xEF\xBF\xBDz"},
        {"\xF0\x9F\x98", "\xEF\xBF\xBD"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\x80\xE6\x97\xA5\xE6", "\xEF\xBF\xBD\xE6\x97\xA5\xEF\xBF\xBD"},
    };
    struct tokenizer *t = NULL;
    json_t *const base = golden_base(NULL);
    int32_t ids_of[256];
    assert_int_equal(load_json(&t, *state, base), 0);
    memset(ids_of, 0xFF, sizeof(ids_of));
    for (int32_t id = 0; id < tokenizer_n_vocab(t); id++) {
        size_t len;
        const char *const b = tokenizer_bytes(t, id, &len);
        if (len == 1)
            ids_of[(unsigned char)*b] = id;
    }
    for (int byte = 0; byte < 256; byte++)
        assert_true(ids_of[byte] >= 0);
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ids ids = {0};
        struct buf out = {0};
        for (const char *c = cases[i].bytes; *c != '\0'; c++)
            ids_push(&ids, ids_of[(unsigned char)*c]);
        tokenizer_decode(t, ids.data, ids.n, false, &out);
        assert_string_equal(out.data, cases[i].text);
        ids_release(&ids);
        buf_release(&out);
    }
    tokenizer_free(t);
    json_decref(base);
}

/* One tokenizer, several threads, a long text among short ones. */
static void test_threads(void **state)
{
    enum { N = 32, LONG = 200000 };
    struct tokenizer *t = NULL;
    json_t *texts;
    json_t *const base = golden_base(&texts);
    int n_wrong = 0;
    char *const run = mem_alloc(LONG + 1);
    assert_int_equal(load_json(&t, *state, base), 0);
    for (int64_t i = 0; i < LONG; i++)
        run[i] = "low l"[i % 5];
#pragma omp parallel for reduction(+ : n_wrong)
    for (int i = 0; i < N; i++) {
        struct ids ids = {0};
        struct buf out = {0};
        const json_t *const text = json_array_get(texts,
                                                  (size_t)i % json_array_size(texts));
        const char *const s = i == 3 ? run : json_string_value(text);
        const size_t len = i == 3 ? LONG : json_string_length(text);
        n_wrong += tokenizer_encode(t, s, len, false, &ids) != 0;
        tokenizer_decode(t, ids.data, ids.n, false, &out);
        n_wrong += out.len != len || (len > 0 && memcmp(out.data, s, len) != 0);
        ids_release(&ids);
        buf_release(&out);
    }
    assert_int_equal(n_wrong, 0);
    mem_free(run);
    tokenizer_free(t);
    json_decref(base);
    json_decref(texts);
}

static const char *const train_texts[] = {
    "low lower lowest", "new newer newest 1234", "wide wider widest 1234, <s>",
    "low low low\n\nnew \xE6\x97\xA5\xE6\x97\xA5 <s> <s>"};

static int train(const char *dir, int64_t n_texts, int64_t n_vocab)
{
    size_t lens[ARRAY_LEN(train_texts)];
    for (int64_t i = 0; i < n_texts; i++)
        lens[i] = strlen(train_texts[i]);
    return tokenizer_train(dir, train_texts, lens, n_texts, n_vocab);
}

static void read_text(struct buf *out, const char *dir, const char *name)
{
    char *const path = io_join(dir, name);
    assert_int_equal(io_read_file(out, path, 1 << 24), 0);
    mem_free(path);
}

static struct tokenizer *trained(const char *dir)
{
    struct tokenizer *t = NULL;
    char *const path = io_join(dir, "tokenizer.json");
    if (tokenizer_load(&t, path) != 0)
        fail_msg("%s", status_message());
    mem_free(path);
    return t;
}

static void test_train(void **state)
{
    const char *const dir = *state;
    struct buf first = {0}, again = {0}, config = {0};
    assert_int_equal(train(dir, 4, 275), 0);
    read_text(&first, dir, "tokenizer.json");
    assert_int_equal(train(dir, 4, 275), 0);
    read_text(&again, dir, "tokenizer.json");
    assert_string_equal(first.data, again.data);
    read_text(&config, dir, "tokenizer_config.json");
    assert_non_null(strstr(config.data, "\"eos_token\": \"</s>\""));
    struct tokenizer *const t = trained(dir);
    assert_int_equal(tokenizer_n_vocab(t), 275);
    assert_int_equal(tokenizer_find(t, "<pad>"), 0);
    assert_int_equal(tokenizer_find(t, "<s>"), 1);
    assert_int_equal(tokenizer_find(t, "</s>"), 2);
    assert_true(tokenizer_find(t, "\xC4\xA0low") > 0);
    assert_int_equal(tokenizer_find(t, "12"), -1); /* digits stay apart */
    struct ids ids = {0};
    assert_int_equal(tokenizer_encode(t, " low1234", 8, true, &ids), 0);
    assert_int_equal(ids.n, 6); /* bos, " low", four digits */
    assert_int_equal(ids.data[0], 1);
    assert_int_equal(ids.data[1], tokenizer_find(t, "\xC4\xA0low"));
    ids_release(&ids);
    for (int64_t i = 0; i < ARRAY_LEN(train_texts); i++) {
        struct ids round = {0};
        struct buf out = {0};
        assert_int_equal(
            tokenizer_encode(t, train_texts[i], strlen(train_texts[i]), false, &round),
            0);
        tokenizer_decode(t, round.data, round.n, false, &out);
        assert_string_equal(out.data, train_texts[i]);
        ids_release(&round);
        buf_release(&out);
    }
    tokenizer_free(t);
    buf_release(&first);
    buf_release(&again);
    buf_release(&config);
}

/* Counts: "l o" and "o w" 6 each (the smaller left id, l's, goes first), then "lo w".
 */
static void test_train_ties(void **state)
{
    const char *const text = "low low\nlow low\nlow low";
    const size_t len = strlen(text);
    assert_int_equal(tokenizer_train(*state, &text, &len, 1, 261), 0);
    struct tokenizer *const t = trained(*state);
    assert_int_equal(tokenizer_n_vocab(t), 261);
    assert_int_equal(tokenizer_find(t, "lo"), 259);
    assert_int_equal(tokenizer_find(t, "low"), 260);
    assert_int_equal(tokenizer_find(t, "ow"), -1);
    tokenizer_free(t);
}

static void test_train_limits(void **state)
{
    const char *const bad = "ok \xFF", *const odd = "<s> <s> <s>";
    const size_t len = 4, odd_len = strlen(odd);
    assert_int_equal(train(*state, 1, 258), ERR_CONFIG);
    assert_int_equal(tokenizer_train(*state, &bad, &len, 1, 300), ERR_INPUT);
    /* no text: the bytes alone */
    assert_int_equal(train(*state, 0, 300), 0);
    struct tokenizer *t = trained(*state);
    assert_int_equal(tokenizer_n_vocab(t), 259);
    tokenizer_free(t);
    /* merges run out; none makes the text of a special token */
    assert_int_equal(tokenizer_train(*state, &odd, &odd_len, 1, 300), 0);
    t = trained(*state);
    struct ids ids = {0};
    assert_true(tokenizer_n_vocab(t) < 300);
    assert_int_equal(tokenizer_encode(t, "<s>", 3, false, &ids), 0);
    assert_int_equal(ids.n, 1); /* as an added token */
    assert_int_equal(ids.data[0], 1);
    struct buf text = {0};
    read_text(&text, *state, "tokenizer.json");
    assert_null(strstr(text.data, "[\"<s\", \">\"]"));
    buf_release(&text);
    ids_release(&ids);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),         cmocka_unit_test(test_checkpoint_texts),
        cmocka_unit_test(test_vectors_olmoe),   cmocka_unit_test(test_vectors_qwen3),
        cmocka_unit_test(test_vectors_gpt_oss), cmocka_unit_test(test_semantics),
        cmocka_unit_test(test_bad_utf8),        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_lossy_decode),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_train),           cmocka_unit_test(test_train_ties),
        cmocka_unit_test(test_train_limits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
