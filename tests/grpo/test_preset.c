/*
 * Presets: every one can be parsed and makes a recipe; explicit keys win wherever they
 * stand; a written configuration reads back to itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "grpo/config.h"
#include "grpo/objective_recipe.h"
#include "grpo/preset.h"

static int parse(struct config *c, int n, const char *const *words)
{
    char copies[6][96], *argv[6] = {0};
    for (int i = 0; i < n; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s", words[i]);
        argv[i] = copies[i];
    }
    return config_parse(c, n, argv);
}

static void test_every_preset(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "verl",    "trl",  "paper",
                                        "dapo", "dr_grpo", "gspo", "cispo"};
    const char *const path = "preset_test.ini";
    for (int64_t i = 0; i < ARRAY_LEN(names); i++) {
        char word[64];
        const char *words[] = {word};
        struct config c, again;
        struct recipe r;
        struct buf text = {0}, second = {0};
        snprintf(word, sizeof(word), "grpo.preset=%s", names[i]);
        assert_int_equal(parse(&c, 1, words), 0);
        assert_int_equal(recipe_init(&r, &c), 0);
        options_write(config_options(), &c, &text);
        assert_int_equal(io_write_atomic(path, text.data, text.len), 0);
        words[0] = path;
        assert_int_equal(parse(&again, 1, words), 0);
        options_write(config_options(), &again, &second);
        assert_string_equal(text.data, second.data);
        remove(path);
        config_release(&c);
        config_release(&again);
        buf_release(&text);
        buf_release(&second);
    }
}

static void test_values(void **state)
{
    (void)state;
    static const char *const paper[] = {"grpo.preset=paper"};
    static const char *const cispo[] = {"grpo.preset=cispo"};
    struct config c;
    struct recipe r;
    assert_int_equal(parse(&c, 1, paper), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    assert_true(c.optim.clip_l1 == 1.0 && c.grpo.is_first_noop);
    assert_true(r.objective.clip_dual == 0.0 && r.objective.kl_coef == 0.001);
    assert_string_equal(r.aggregation->name, "micro_token_mean");
    assert_string_equal(r.objective.kl->name, "k3_clamped");
    config_release(&c);
    assert_int_equal(parse(&c, 1, cispo), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    assert_true(r.objective.is_cap_absolute && r.objective.clip_high == 5.0);
    config_release(&c);
}

static void test_explicit_keys_win(void **state)
{
    (void)state;
    static const char *const before[] = {"grpo.clip_high=0.2", "grpo.preset=dapo"};
    static const char *const after[] = {"grpo.preset=dapo", "grpo.clip_high=0.5"};
    const char *const path = "preset_test.ini";
    static const char file[] = "[grpo]\nclip_high = 0.3\npreset = dapo\n";
    struct config c;
    assert_int_equal(parse(&c, 2, before), 0); /* the default's value, but given */
    assert_true(c.grpo.clip_high == 0.2);
    assert_int_equal(c.grpo.zero_variance, ZERO_VARIANCE_REFILL);
    config_release(&c);
    assert_int_equal(parse(&c, 2, after), 0);
    assert_true(c.grpo.clip_high == 0.5);
    config_release(&c);
    assert_int_equal(io_write_atomic(path, file, strlen(file)), 0);
    const char *const in_file[] = {path};
    assert_int_equal(parse(&c, 1, in_file), 0);
    assert_true(c.grpo.clip_high == 0.3);
    config_release(&c);
    const char *const over_file[] = {path, "grpo.preset=gspo"};
    assert_int_equal(parse(&c, 2, over_file), 0);
    assert_true(c.grpo.clip_high == 0.3 && c.grpo.clip_low == 3e-4);
    config_release(&c);
    remove(path);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *words[2], *message;
        int n;
    } cases[] = {
        {{"grpo.preset=nosuch"}, "dr_grpo", 1},
        {{"grpo.reject=token_k9", "grpo.reject_limit=1"}, "token_k9", 2},
        {{"grpo.reject=token_k1"}, "grpo.reject_limit", 1},
        {{"grpo.reward_clip=1"}, "low,high", 1},
        {{"grpo.reward_clip=2,1"}, "low,high", 1},
        {{"grpo.reward_weights=1,x"}, "grpo.reward_weights", 1},
        {{"grpo.is_correction=token_mask", "grpo.is_low=3"}, "grpo.is_high", 2},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config c;
        struct recipe r;
        int status = parse(&c, cases[i].n, cases[i].words);
        if (status == 0)
            status = recipe_init(&r, &c);
        assert_int_equal(status, ERR_CONFIG);
        if (strstr(status_message(), cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].words[0], status_message());
        config_release(&c);
    }
}

static void test_help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *const f = open_memstream(&text, &len);
    preset_help(f);
    fclose(f);
    assert_non_null(strstr(text, "paper: arXiv 2508.18672"));
    assert_non_null(strstr(text, "optim.clip_l1=1"));
    assert_non_null(strstr(text, "grpo.clip_high=0.28"));
    free(text);
}

static void test_description(void **state)
{
    (void)state;
    static const char *const words[] = {"grpo.preset=verl", "grpo.aggregation=constant",
                                        "grpo.norm_tokens=512"};
    struct config c;
    struct recipe r;
    struct buf text = {0};
    assert_int_equal(parse(&c, 3, words), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    recipe_describe(&r, "# ", &text);
    assert_non_null(
        strstr(text.data, "# advantage: group, std unbiased (n - 1), eps 1e-06"));
    assert_non_null(strstr(text.data, "clip 0.2 below, 0.2 above, dual clip 3"));
    assert_non_null(strstr(text.data, "denominator: constant 512"));
    buf_release(&text);
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_preset),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_explicit_keys_win),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_description),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
