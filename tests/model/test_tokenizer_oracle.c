/*
 * Random tokenizers of every supported kind against what Hugging Face's library made of
 * the same texts and ids (tests/model/make_tokenizer_oracle.py): ids, both decodings,
 * and decoding token by token, which must give the same text, whole characters at a
 * time, and know at each step what the decode of the ids so far is.
 */
#include "tests/model/tokenizer_golden.h"

/* The tokenizer with its vocabulary: <0x00> to <0xFF>, then the extra texts. */
static void put_vocab(json_t *tokenizer, const json_t *extra)
{
    json_t *const vocab = json_object();
    for (int i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", (unsigned)i);
        json_object_set_new(vocab, text, json_integer(i));
    }
    for (size_t i = 0; i < json_array_size(extra); i++)
        json_object_set_new(vocab, json_string_value(json_array_get(extra, i)),
                            json_integer((json_int_t)i + 256));
    json_object_set_new(json_object_get(tokenizer, "model"), "vocab", vocab);
}

static void check_text(const char *name, const char *what, const struct buf *got,
                       const json_t *want)
{
    const size_t n = json_string_length(want);
    if (got->len != n || (n > 0 && memcmp(got->data, json_string_value(want), n) != 0))
        fail_msg("%s, %s: found \"%s\", expected \"%s\"", name, what, got->data,
                 json_string_value(want));
}

static void check_stream(const char *name, const struct tokenizer *t,
                         const struct ids *ids, bool is_skipping, const json_t *want)
{
    struct tokenizer_stream *s = NULL;
    struct buf text = {0}, prefix = {0}, peeked = {0};
    tokenizer_stream_create(&s, t, is_skipping, 0);
    for (int round = 0; round < 2; round++) { /* a finished stream starts anew */
        buf_reset(&text);
        for (int64_t i = 0; i < ids->n; i++) {
            const size_t old = text.len;
            tokenizer_stream_push(s, ids->data[i], &text);
            if (text.len > old)
                assert_true(((unsigned char)text.data[old] & 0xC0) != 0x80);
            buf_reset(&prefix);
            buf_reset(&peeked);
            tokenizer_decode(t, ids->data, i + 1, is_skipping, &prefix);
            buf_append(&peeked, text.len > 0 ? text.data : "", text.len);
            tokenizer_stream_peek(s, &peeked);
            if (peeked.len != prefix.len ||
                memcmp(peeked.data, prefix.data, prefix.len) != 0)
                fail_msg("%s: after %lld ids \"%s\", expected \"%s\"", name,
                         (long long)i + 1, peeked.data, prefix.data);
        }
        tokenizer_stream_finish(s, &text);
        check_text(name, "the stream", &text, want);
    }
    tokenizer_stream_free(s);
    buf_release(&text);
    buf_release(&prefix);
    buf_release(&peeked);
}

static void read_ids(struct ids *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        ids_push(out, (int32_t)json_integer_value(json_array_get(list, i)));
}

static void check_case(const char *name, const struct tokenizer *t, const json_t *c)
{
    struct ids want = {0}, special = {0}, got = {0};
    struct buf text = {0};
    const json_t *const t_text = json_object_get(c, "t");
    read_ids(&want, json_object_get(c, t_text != NULL ? "ids" : "d"));
    if (t_text != NULL) {
        const char *const s = json_string_value(t_text);
        const size_t len = json_string_length(t_text);
        struct token_span *spans = NULL;
        assert_int_equal(tokenizer_encode_spans(t, s, len, false, &got, &spans), 0);
        for (int64_t i = 0; i < got.n; i++)
            assert_true(spans[i].start >= 0 && spans[i].start <= spans[i].end &&
                        spans[i].end <= (int64_t)len);
        mem_free(spans);
        got.n = 0;
        assert_int_equal(tokenizer_encode(t, s, len, false, &got), 0);
        assert_int_equal(tokenizer_encode(t, s, len, true, &special), 0);
        if (got.n != want.n ||
            (got.n > 0 &&
             memcmp(got.data, want.data, (size_t)got.n * sizeof(*got.data)) != 0))
            fail_msg("%s: other ids for \"%s\"", name, s);
    }
    const struct ids *const from = t_text != NULL ? &special : &want;
    tokenizer_decode(t, want.data, want.n, false, &text);
    check_text(name, "decode", &text, json_object_get(c, "dec"));
    buf_reset(&text);
    tokenizer_decode(t, from->data, from->n, true, &text);
    check_text(name, "decode without specials", &text, json_object_get(c, "decskip"));
    check_stream(name, t, &want, false, json_object_get(c, "dec"));
    check_stream(name, t, from, true, json_object_get(c, "decskip"));
    ids_release(&want);
    ids_release(&special);
    ids_release(&got);
    buf_release(&text);
}

static void test_oracle(void **state)
{
    struct io_lines r;
    json_t *line;
    int64_t n = 0, n_tokenizers = 0;
    assert_int_equal(io_lines_open(&r, "tests/model/tokenizer_oracle.jsonl"), 0);
    for (; (line = next_line(&r)) != NULL; n_tokenizers++) {
        struct tokenizer *t = NULL;
        json_t *const tokenizer = json_object_get(line, "tokenizer");
        const json_t *const cases = json_object_get(line, "cases");
        const json_t *const extra = json_object_get(line, "extra");
        const char *const name = json_string_value(json_object_get(line, "name"));
        if (json_is_array(extra))
            put_vocab(tokenizer, extra);
        if (load_json(&t, *state, tokenizer) != 0)
            fail_msg("%s: %s", name, status_message());
        for (size_t i = 0; i < json_array_size(cases); i++, n++)
            check_case(name, t, json_array_get(cases, i));
        tokenizer_free(t);
        json_decref(line);
    }
    print_message("%lld tokenizers, %lld cases\n", (long long)n_tokenizers,
                  (long long)n);
    assert_true(n_tokenizers >= 90 && n >= 1000);
    io_lines_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_oracle)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
