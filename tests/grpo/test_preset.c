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
        {{"grpo.reject_limit=1"}, "without grpo.reject", 1},
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

static void describe(struct buf *out, int n, const char *const *words)
{
    struct config c;
    struct recipe r;
    assert_int_equal(parse(&c, n, words), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    buf_reset(out);
    recipe_describe(&r, &c, "# ", out);
    config_release(&c);
}

/* What is in force, and nothing that is not. */
static void test_description(void **state)
{
    (void)state;
    static const struct {
        const char *words[3], *has[3], *lacks;
    } cases[] = {
        {{"grpo.preset=verl", "grpo.aggregation=constant", "grpo.norm_tokens=512"},
         {"# advantage: group, std unbiased (n - 1), eps 1e-06;",
          "clip 0.2 below, 0.2 above, dual clip 3\n", "denominator: constant 512;"},
         "whitened"},
        {{"grpo.preset=dr_grpo", "grpo.adv_std=population"},
         {"# advantage: mean_only, no std;", "denominator: constant 256;"},
         "population"},
        {{"grpo.advantage=batch_std", "grpo.adv_std=population"},
         {"batch_std, std unbiased (n - 1), eps"},
         "population"},
        {{"grpo.advantage=gdpo", "grpo.adv_has_std=false"}, {"gdpo, no std;"}, "n - 1"},
        {{"grpo.advantage=reinforce_pp_baseline"},
         {"no std, whitened over tokens;"},
         "eps 1e-06"},
        {{"grpo.preset=cispo"}, {", weight at most 5 (absolute)\n"}, "clip 0.2"},
        {{"grpo.objective=gpg"}, {"objective: gpg, ratio per token"}, "clip"},
        {{"grpo.objective=rloo"},
         {"clip 0.2 below", "denominator: sequences;"},
         "dual"},
        {{"grpo.preset=dapo", "rollout.max_new=100"},
         {"replaced by others, in at most 8 rounds",
          "up to 1 less over the last 20 of 100 tokens", "clip 0.2 below, 0.28 above"},
         "dual"},
        {{"grpo.preset=paper"},
         {"denominator: micro_token_mean of 24000 tokens;", "0.001 x k3_clamped",
          "L2 norm at most 1, L1 norm at most 1, weight decay 0.01, learning rate 0"},
         "dual"},
    };
    struct buf text = {0};
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        int n = 0;
        while (n < 3 && cases[i].words[n] != NULL)
            n++;
        describe(&text, n, cases[i].words);
        for (int k = 0; k < 3 && cases[i].has[k] != NULL; k++)
            if (strstr(text.data, cases[i].has[k]) == NULL)
                fail_msg("no \"%s\" in %s", cases[i].has[k], text.data);
        const char *const start = strstr(text.data, "advantage: ");
        const size_t len = strcspn(start, "\n") +
                           strcspn(strchr(start, '\n') + 1, "\n") + 1;
        char two[512]; /* the lines of advantage and objective */
        snprintf(two, sizeof(two), "%.*s", (int)len, start);
        if (strstr(two, cases[i].lacks) != NULL)
            fail_msg("\"%s\" in %s", cases[i].lacks, two);
    }
    buf_release(&text);
}

/* Every objective shows what bounds it. */
static void test_description_of_objectives(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int64_t i = 0; objective_kind_at(i) != NULL; i++) {
        char word[64];
        const char *const words[] = {word};
        const char *const name = objective_kind_name(objective_kind_at(i));
        snprintf(word, sizeof(word), "grpo.objective=%s", name);
        describe(&text, 1, words);
        const char *const line = strstr(text.data, "# objective: ");
        const char *const end = strstr(line, " log-probs") + strlen(" log-probs");
        assert_true((*end == ',') == (strcmp(name, "gpg") != 0));
    }
    buf_release(&text);
}

static void test_warnings(void **state)
{
    (void)state;
    static const char *const words[] = {"grpo.reward_weights=1,0.5",
                                        "grpo.objective=gmpo",
                                        "grpo.is_correction=token_mask"};
    static const char *const none[] = {"grpo.reward_weights=0.5",
                                       "grpo.objective=gmpo"};
    struct config c;
    struct recipe r;
    struct buf text = {0};
    assert_int_equal(parse(&c, 2, none), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    recipe_warnings(&r, &text);
    assert_int_equal(text.len, 0);
    config_release(&c);
    assert_int_equal(parse(&c, 3, words), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    recipe_warnings(&r, &text);
    assert_non_null(strstr(text.data, "the first counts\n"));
    assert_non_null(strstr(text.data, "no effect with grpo.objective=gmpo\n"));
    config_release(&c);
    buf_release(&text);
}

static void test_contradictions(void **state)
{
    (void)state;
    static const struct {
        const char *words[2], *message;
        int n;
    } cases[] = {
        {{"grpo.ref_every=4"}, "grpo.kl_coef", 1},
        {{"grpo.check_stale=true"}, "grpo.staleness=1", 1},
        {{"grpo.objective=kl_cov", "grpo.advantage=reinforce_pp"}, "kl_cov", 2},
    };
    static const char *const fine[] = {"grpo.ref_every=4", "grpo.reward_kl_coef=0.1"};
    struct config c;
    struct recipe r;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(parse(&c, cases[i].n, cases[i].words), 0);
        assert_int_equal(recipe_init(&r, &c), 0);
        assert_int_equal(recipe_check(&r, &c), ERR_CONFIG);
        assert_non_null(strstr(status_message(), cases[i].message));
        config_release(&c);
    }
    assert_int_equal(parse(&c, 2, fine), 0);
    assert_int_equal(recipe_init(&r, &c), 0);
    assert_int_equal(recipe_check(&r, &c), 0);
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
        cmocka_unit_test(test_description_of_objectives),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_contradictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
