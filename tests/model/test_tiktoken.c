/*
 * Rank files: merging by rank, the pattern and special tokens of a known model, damaged
 * lines. The expected ids are by hand from the ranks.
 */
#include "tests/model/tokenizer_golden.h"

static void put_base64(struct buf *out, const char *s, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = 0;
        char four[4];
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < len ? (unsigned char)s[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            four[j] = i + j > len ? '=' : digits[bits >> (18 - 6 * j) & 63];
        buf_append(out, four, 4);
    }
}

/* All bytes, then these. */
static const char *const merged[] = {"ab", "bc",       "abc",
                                     " a", "\xE6\xBC", "\xE6\xBC\xA2"};
enum { AB = 256, BC, ABC, SPACE_X, HAN_PART, HAN, N_RANKS };

static void put_ranks(struct buf *out)
{
    for (int i = 0; i < N_RANKS; i++) {
        const char byte = (char)i;
        const char *const s = i < 256 ? &byte : merged[i - 256];
        put_base64(out, s, i < 256 ? 1 : strlen(s));
        buf_printf(out, " %d\n", i);
    }
}

static void write_file(const char *dir, const char *name, const char *text, size_t len)
{
    char *const path = io_join(dir, name);
    assert_int_equal(io_write_atomic(path, text, len), 0);
    mem_free(path);
}

static void write_model(const char *dir)
{
    static const char config[] = "{\"model_type\": \"kimi_k2\"}";
    static const char names[] = "{\"added_tokens_decoder\": {\"264\": {\"content\": "
                                "\"<|mine|>\", \"special\": true}}}";
    struct buf ranks = {0};
    put_ranks(&ranks);
    write_file(dir, "tiktoken.model", ranks.data, ranks.len);
    write_file(dir, "config.json", config, strlen(config));
    write_file(dir, "tokenizer_config.json", names, strlen(names));
    buf_release(&ranks);
}

static void check(const struct tokenizer *t, const char *text, const int32_t *want,
                  int64_t n)
{
    struct ids ids = {0};
    struct buf out = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), true, &ids), 0);
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.data, want, (size_t)n * sizeof(*want));
    tokenizer_decode(t, ids.data, ids.n, false, &out);
    assert_string_equal(out.data, text);
    ids_release(&ids);
    buf_release(&out);
}

static void test_ranks(void **state)
{
    const char *const dir = *state;
    struct tokenizer *t = NULL;
    write_model(dir);
    if (tokenizer_load_dir(&t, dir) != 0)
        fail_msg("%s", status_message());
    /* the rank of "ab" is below that of "bc" */
    check(t, "xabc", (const int32_t[]){'x', ABC}, 2);
    check(t, "xbcb", (const int32_t[]){'x', BC, 'b'}, 3);
    /* Han is a piece of its own, letters follow */
    check(t, "ab\xE6\xBC\xA2 ab", (const int32_t[]){AB, HAN, ' ', AB}, 4);
    /* [BOS], a token named by tokenizer_config.json, a reserved one */
    check(t, "[BOS]<|mine|>a<|reserved_token_267|>",
          (const int32_t[]){N_RANKS, 264, 'a', 267}, 4);
    assert_int_equal(tokenizer_n_vocab(t), N_RANKS + 256);
    assert_true(tokenizer_is_special(t, 264));
    tokenizer_free(t);
}

static void test_damage(void **state)
{
    static const char *const bad[] = {"YQ==\n",          "YQ== x\n",
                                      "YQ= 1\n",         "Y!== 1\n",
                                      "YQ== 1 2\n",      "= 0\n",
                                      "YQ== 99999999\n", " 1\n",
                                      "YQ== -1\n",       "YQ== 0\nYQ== 1\n",
                                      "YQ== 0\nYg== 0\n"};
    struct tokenizer *t = NULL;
    char *const path = io_join(*state, "x.tiktoken");
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        write_file(*state, "x.tiktoken", bad[i], strlen(bad[i]));
        assert_int_equal(tokenizer_load(&t, path), ERR_INPUT);
        if (strstr(status_message(), "x.tiktoken") == NULL)
            fail_msg("%s: %s", bad[i], status_message());
    }
    mem_free(path);
    /* neither a known number of ranks nor a known model */
    struct buf ranks = {0};
    char *const config = io_join(*state, "config.json");
    put_ranks(&ranks);
    write_model(*state);
    write_file(*state, "config.json", "{}", 2);
    assert_int_equal(tokenizer_load_dir(&t, *state), ERR_INPUT);
    assert_non_null(strstr(status_message(), "262 ranks"));
    mem_free(config);
    buf_release(&ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
