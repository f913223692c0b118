/*
 * Training a tokenizer: deterministic, readable back, ties and limits as documented.
 */
#include "tests/model/tokenizer_golden.h"

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
        cmocka_unit_test(test_train),
        cmocka_unit_test(test_train_ties),
        cmocka_unit_test(test_train_limits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
