/*
 * The tokenizer against committed goldens (tests/model/make_tokenizer_cases.py: one
 * option of the format each), against the shared fixtures where they are, and its
 * lookups and decoding.
 */
#include "tests/model/tokenizer_golden.h"

static char *shared_path(const char *name)
{
    const char *const root = getenv("MOE_GRPO_SHARED");
    char *const path = io_join(root != NULL ? root : "../shared", name);
    if (io_exists(path))
        return path;
    mem_free(path);
    return NULL;
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
    const json_t *off;    /* NULL: not compared */
    bool is_from_special; /* `decoded` is of the ids with specials */
};

struct tally { /* of one tokenizer */
    int64_t n_texts, n_ids, n_special, n_decoded, n_skipped, n_spans;
};

static void put_row(const char *name, const struct tally *t)
{
    print_message("%-36s %6lld %6lld %8lld %7lld %8lld %7lld\n", name,
                  (long long)t->n_texts, (long long)t->n_ids, (long long)t->n_special,
                  (long long)t->n_decoded, (long long)t->n_skipped,
                  (long long)t->n_spans);
}

static void put_head(void)
{
    print_message("%-36s %6s %6s %8s %7s %8s %7s  (differences)\n", "tokenizer",
                  "texts", "ids", "special", "decode", "skipping", "offsets");
}

static void add_tally(struct tally *sum, const struct tally *t)
{
    sum->n_texts += t->n_texts;
    sum->n_ids += t->n_ids;
    sum->n_special += t->n_special;
    sum->n_decoded += t->n_decoded;
    sum->n_skipped += t->n_skipped;
    sum->n_spans += t->n_spans;
}

static bool is_right(const struct tally *t)
{
    return t->n_ids + t->n_special + t->n_decoded + t->n_skipped + t->n_spans == 0;
}

static int64_t n_chars(const char *s, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

/* The library's offsets count characters. */
static bool has_spans(const struct tokenizer *t, const char *text, size_t len,
                      const json_t *off)
{
    struct ids ids = {0};
    struct token_span *spans = NULL;
    assert_int_equal(tokenizer_encode_spans(t, text, len, false, &ids, &spans), 0);
    bool is_same = (size_t)ids.n == json_array_size(off);
    for (int64_t i = 0; is_same && i < ids.n; i++) {
        const json_t *const o = json_array_get(off, (size_t)i);
        is_same =
            n_chars(text, spans[i].start) == json_integer_value(json_array_get(o, 0)) &&
            n_chars(text, spans[i].end) == json_integer_value(json_array_get(o, 1));
    }
    ids_release(&ids);
    mem_free(spans);
    return is_same;
}

static void tally_case(struct tally *sum, const struct tokenizer *t,
                       const struct expected *e)
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
    sum->n_texts++;
    sum->n_ids += !has_ids(&plain, NULL, e->ids);
    sum->n_special += !is_special_right;
    sum->n_decoded += !has_text(&decoded, e->decoded);
    sum->n_skipped += !has_text(&skipped, e->skipped);
    sum->n_spans += e->off != NULL && !has_spans(t, text, len, e->off);
    ids_release(&plain);
    ids_release(&special);
    buf_release(&decoded);
    buf_release(&skipped);
}

static void check_case(const struct tokenizer *t, const struct expected *e)
{
    struct tally sum = {0};
    tally_case(&sum, t, e);
    if (is_right(&sum))
        return;
    put_head();
    put_row(e->name, &sum);
    fail_msg("%s: \"%s\"", e->name, json_string_value(e->text));
}

static const json_t *get_or(const json_t *obj, const char *key, const json_t *other)
{
    const json_t *const v = json_object_get(obj, key);
    return v != NULL ? v : other;
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

static void check_vectors(const char *root, const char *name, struct tally *sum)
{
    char path[1024];
    struct tokenizer *t = NULL;
    struct io_lines texts, vectors;
    json_t *line;
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
        tally_case(sum, t, &e);
        json_decref(line);
        json_decref(v);
    }
    io_lines_close(&texts);
    io_lines_close(&vectors);
    tokenizer_free(t);
}

/* Every tokenizer of the fixtures on all their texts. */
static void test_vectors(void **state)
{
    (void)state;
    static const char *const names[] = {
        "llm-jp-3.v3.0b2", "mixtral-8x7b-v0.1", "mixtral-8x7b-v0.1.metaspace",
        "qwen3",           "gpt-oss",           "olmoe.gpt-neox-olmo-dolma-v1_5"};
    char *const root = shared_path("fixtures/tokenizers");
    bool is_good = true;
    if (root == NULL)
        skip();
    put_head();
    for (int64_t i = 0; i < ARRAY_LEN(names); i++) {
        struct tally sum = {0};
        check_vectors(root, names[i], &sum);
        put_row(names[i], &sum);
        assert_true(sum.n_texts > 2000);
        is_good = is_good && is_right(&sum);
    }
    mem_free(root);
    assert_true(is_good);
}

/* One option of the format per tokenizer, offsets included. */
static void test_semantics(void **state)
{
    struct io_lines r;
    json_t *line;
    int64_t n = 0;
    struct tally all = {0};
    char *const path = shared_path("fixtures/tokenizers/semantics.jsonl");
    if (path == NULL)
        skip();
    assert_int_equal(io_lines_open(&r, path), 0);
    put_head();
    for (; (line = next_line(&r)) != NULL; n++) {
        struct tokenizer *t = NULL;
        struct tally sum = {0};
        const char *const name = json_string_value(json_object_get(line, "name"));
        const json_t *const cases = json_object_get(line, "cases");
        if (load_json(&t, *state, json_object_get(line, "tokenizer")) != 0)
            fail_msg("%s: %s", name, status_message());
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const json_t *const c = json_array_get(cases, i);
            const json_t *const text = json_object_get(c, "t");
            struct expected e = {.name = name,
                                 .text = text,
                                 .ids = json_object_get(c, "ids"),
                                 .special = json_object_get(c, "sp"),
                                 .off = json_object_get(c, "off"),
                                 .decoded = get_or(c, "dec", text)};
            e.skipped = get_or(c, "decskip", e.decoded);
            tally_case(&sum, t, &e);
        }
        if (!is_right(&sum))
            put_row(name, &sum);
        add_tally(&all, &sum);
        tokenizer_free(t);
        json_decref(line);
    }
    put_row("all of semantics.jsonl", &all);
    assert_true(n >= 78 && is_right(&all));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),      cmocka_unit_test(test_checkpoint_texts),
        cmocka_unit_test(test_vectors),      cmocka_unit_test(test_semantics),
        cmocka_unit_test(test_bad_utf8),     cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_lossy_decode), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
