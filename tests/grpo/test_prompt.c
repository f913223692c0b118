/*
 * Prompt presets, rendering, and the limit on tokens.
 */
#include "grpo/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io.h"

struct fixture {
    char dir[64];
    struct tokenizer *t;
};

static int set_up(void **state)
{
    static struct fixture f;
    const char *const text = "Question: how many apples\nAnswer: 3 apples";
    const size_t len = strlen(text);
    snprintf(f.dir, sizeof(f.dir), "/tmp/moe_grpo_prompt_XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    assert_int_equal(tokenizer_train(f.dir, &text, &len, 1, 280), 0);
    char *const path = io_join(f.dir, "tokenizer.json");
    assert_int_equal(tokenizer_load(&f.t, path), 0);
    mem_free(path);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    tokenizer_free(f->t);
    return io_remove_tree(f->dir);
}

static void test_presets(void **state)
{
    static const struct {
        const char *preset, *text;
    } cases[] = {
        {"raw", "2 + 3?"},
        {"paper", "2 + 3?\n\n"},
        {"qa", "Question: 2 + 3?\nAnswer:"},
        {"gsm8k", "Question: 2 + 3?\nThink step by step and end with #### and the "
                  "number.\nAnswer:"},
    };
    struct prompt_template t = {"kept", "kept"};
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = {0};
        assert_int_equal(prompt_template_find(&t, cases[i].preset, "", ""), 0);
        prompt_render(&t, "2 + 3? and more", 6, &out);
        assert_string_equal(out.data, cases[i].text);
        buf_release(&out);
    }
    struct buf out = {0};
    assert_int_equal(prompt_template_find(&t, "custom", "<", ">"), 0);
    buf_puts(&out, "before ");
    prompt_render(&t, "q", 1, &out);
    assert_string_equal(out.data, "before <q>");
    buf_release(&out);
}

static void test_unknown_preset(void **state)
{
    struct prompt_template t = {"kept", "kept"};
    (void)state;
    assert_int_equal(prompt_template_find(&t, "chat", "", ""), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "raw, paper, qa, gsm8k, custom"));
    assert_int_equal(prompt_template_find(&t, "qa", "", "x"), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "prompt.suffix"));
    assert_int_equal(prompt_template_find(&t, "qa", "x", ""), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "prompt.prefix"));
    assert_string_equal(t.prefix, "kept");
}

static void test_encode(void **state)
{
    const struct fixture *const f = *state;
    struct prompt_args a = {.tokenizer = f->t, .add_special = true};
    struct ids plain = {0}, ids = {0};
    struct buf text = {0};
    bool is_kept = false;
    assert_int_equal(prompt_template_find(&a.tpl, "qa", "", ""), 0);
    ids_push(&ids, 77);
    assert_int_equal(prompt_encode(&a, "how many?", 9, &ids, &is_kept), 0);
    assert_true(is_kept);
    assert_int_equal(ids.data[0], 77);
    assert_int_equal(ids.data[1], 1); /* <s> */
    tokenizer_decode(f->t, ids.data + 2, ids.n - 2, false, &text);
    assert_string_equal(text.data, "Question: how many?\nAnswer:");
    a.add_special = false;
    assert_int_equal(prompt_encode(&a, "how many?", 9, &plain, &is_kept), 0);
    assert_int_equal(plain.n, ids.n - 2);
    assert_memory_equal(plain.data, ids.data + 2, (size_t)plain.n * sizeof(int32_t));
    ids_release(&plain);
    ids_release(&ids);
    buf_release(&text);
}

static void test_limit(void **state)
{
    const struct fixture *const f = *state;
    struct prompt_args a = {.tokenizer = f->t, .max_tokens = 3, .is_filter = true};
    struct ids ids = {0};
    bool is_kept = true;
    assert_int_equal(prompt_template_find(&a.tpl, "raw", "", ""), 0);
    ids_push(&ids, 77);
    assert_int_equal(prompt_encode(&a, "1234", 4, &ids, &is_kept), 0);
    assert_false(is_kept);
    assert_int_equal(ids.n, 1);
    assert_int_equal(prompt_encode(&a, "123", 3, &ids, &is_kept), 0);
    assert_true(is_kept);
    assert_int_equal(ids.n, 4);
    a.is_filter = false;
    assert_int_equal(prompt_encode(&a, "1234", 4, &ids, &is_kept), ERR_INPUT);
    assert_non_null(strstr(status_message(), "4 tokens"));
    assert_non_null(strstr(status_message(), "data.max_prompt=3"));
    assert_int_equal(ids.n, 4);
    assert_int_equal(prompt_encode(&a, "", 0, &ids, &is_kept), ERR_INPUT);
    assert_int_equal(prompt_encode(&a, "\xFF", 1, &ids, &is_kept), ERR_INPUT);
    assert_int_equal(ids.n, 4);
    ids_release(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_unknown_preset),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
