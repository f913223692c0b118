/*
 * config.json: defaults, aliases, both generations of rope keys, every rejection with
 * its message, and what is written read back.
 */
#include "tests/model/model_dir.h"

#include <math.h>

#include "core/json.h"
#include "model/hparams.h"

static const char base[] =
    "{\"model_type\":\"mixtral\",\"vocab_size\":640,\"hidden_size\":64,"
    "\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
    "\"num_key_value_heads\":2,\"num_local_experts\":8,\"num_experts_per_tok\":2,"
    "\"max_position_embeddings\":256}";

/* The base with the keys of `patch` (a JSON object) set; the value "DROP" removes. */
static void write_patched(const char *dir, const char *patch)
{
    json_t *config, *changes;
    assert_ok(json_parse(&config, base, strlen(base), "base"));
    assert_ok(json_parse(&changes, patch, strlen(patch), patch));
    const char *key;
    json_t *value;
    json_object_foreach(changes, key, value)
    {
        const char *const text = json_string_value(value);
        if (text != NULL && strcmp(text, "DROP") == 0)
            json_object_del(config, key);
        else
            json_object_set(config, key, value);
    }
    char *const text = json_dumps(config, 0);
    write_string(dir, "config.json", text);
    free(text);
    json_decref(changes);
    json_decref(config);
}

static struct hparams read_patched(const char *patch)
{
    char *const dir = temp_dir();
    struct hparams hp;
    write_patched(dir, patch);
    assert_ok(hparams_read(&hp, dir));
    drop_dir(dir);
    return hp;
}

static void test_base(void **state)
{
    (void)state;
    const struct hparams hp = read_patched("{}");
    assert_int_equal(hp.n_vocab, 640);
    assert_int_equal(hp.d_model, 64);
    assert_int_equal(hp.d_ff, 128);
    assert_int_equal(hp.n_layers, 2);
    assert_int_equal(hp.n_heads, 4);
    assert_int_equal(hp.n_kv_heads, 2);
    assert_int_equal(hp.head_dim, 16);
    assert_int_equal(hp.n_experts, 8);
    assert_int_equal(hp.top_k, 2);
    assert_int_equal(hp.max_pos, 256);
    assert_int_equal(hp.window, 0);
    assert_true(hp.rms_eps == 1e-5 && hp.aux_coef == 0.001 && hp.init_std == 0.02);
    assert_true(hp.rope.theta == 1e6 && hp.rope.rot == 16);
    assert_int_equal(hp.rope.type, ROPE_DEFAULT);
    assert_false(hp.is_tied);
    assert_int_equal(hp.bos_id, 1);
    assert_int_equal(hp.pad_id, -1);
    assert_int_equal(hp.n_eos, 1);
    assert_int_equal(hp.eos_ids[0], 2);
}

static void test_family_defaults(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct hparams hp;
    write_string(dir, "config.json", "{\"model_type\":\"mixtral\"}");
    assert_ok(hparams_read(&hp, dir));
    assert_int_equal(hp.n_vocab, 32000);
    assert_int_equal(hp.d_model, 4096);
    assert_int_equal(hp.d_ff, 14336);
    assert_int_equal(hp.n_layers, 32);
    assert_int_equal(hp.n_heads, 32);
    assert_int_equal(hp.n_kv_heads, 8);
    assert_int_equal(hp.head_dim, 128);
    assert_int_equal(hp.n_experts, 8);
    assert_int_equal(hp.top_k, 2);
    assert_int_equal(hp.max_pos, 131072);
    /* the published counts of Mixtral-8x7B */
    assert_int_equal(hparams_n_params(&hp), 46702792704);
    assert_int_equal(hparams_n_active(&hp), 12879925248);
    drop_dir(dir);
}

/* The paper's models by name: 320M-A170M and 6.7B-A1.1B, to the digits printed. */
static void test_paper_counts(void **state)
{
    (void)state;
    struct hparams hp = {.n_vocab = 99584,
                         .d_model = 512,
                         .d_ff = 1024,
                         .n_layers = 16,
                         .n_heads = 4,
                         .n_kv_heads = 4,
                         .head_dim = 128,
                         .n_experts = 8,
                         .top_k = 2};
    assert_int_equal((hparams_n_params(&hp) + 5000000) / 10000000, 32);
    assert_int_equal((hparams_n_active(&hp) + 5000000) / 10000000, 17);
    const int64_t untied = hparams_n_params(&hp);
    hp.is_tied = true;
    assert_int_equal(untied - hparams_n_params(&hp), 99584 * 512);
}

struct accepted {
    const char *patch;
    int64_t n_kv_heads, head_dim, n_experts, top_k, window;
    double theta;
};

static void test_aliases_and_nulls(void **state)
{
    (void)state;
    const struct accepted cases[] = {
        {"{\"num_local_experts\":\"DROP\",\"num_experts\":16}", 2, 16, 16, 2, 0, 1e6},
        {"{\"num_local_experts\":\"DROP\",\"n_routed_experts\":16}", 2, 16, 16, 2, 0,
         1e6},
        {"{\"num_experts\":8,\"n_routed_experts\":8}", 2, 16, 8, 2, 0, 1e6},
        {"{\"num_local_experts\":null,\"num_experts\":16}", 2, 16, 16, 2, 0, 1e6},
        {"{\"num_experts_per_tok\":\"DROP\",\"experts_per_token\":4}", 2, 16, 8, 4, 0,
         1e6},
        {"{\"num_key_value_heads\":null}", 4, 16, 8, 2, 0, 1e6},
        {"{\"head_dim\":null,\"sliding_window\":null}", 2, 16, 8, 2, 0, 1e6},
        {"{\"head_dim\":24}", 2, 24, 8, 2, 0, 1e6},
        {"{\"head_dim\":24,\"hidden_size\":50}", 2, 24, 8, 2, 0, 1e6},
        {"{\"sliding_window\":0}", 2, 16, 8, 2, 0, 1e6},
        {"{\"sliding_window\":9}", 2, 16, 8, 2, 9, 1e6},
        {"{\"rope_theta\":10000,\"rope_scaling\":null}", 2, 16, 8, 2, 0, 1e4},
        {"{\"rope_theta\":null}", 2, 16, 8, 2, 0, 1e6},
        {"{\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500.5}}", 2,
         16, 8, 2, 0, 500.5},
        {"{\"rope_parameters\":null,\"rope_theta\":7e3}", 2, 16, 8, 2, 0, 7e3},
        {"{\"rope_parameters\":{\"rope_theta\":5e3},\"rope_theta\":7e3}", 2, 16, 8, 2,
         0, 5e3},
        {"{\"rope_parameters\":{\"rope_type\":\"default\"},\"rope_theta\":7e3}", 2, 16,
         8, 2, 0, 7e3},
        {"{\"rope_scaling\":{\"type\":\"default\",\"rope_theta\":9e3},"
         "\"rope_parameters\":{\"rope_theta\":5e3},\"rope_theta\":7e3}",
         2, 16, 8, 2, 0, 9e3},
        {"{\"rope_scaling\":{},\"rope_parameters\":{\"rope_theta\":5e3}}", 2, 16, 8, 2,
         0, 1e6},
        {"{\"partial_rotary_factor\":1.0,\"hidden_act\":\"silu\"}", 2, 16, 8, 2, 0,
         1e6},
        {"{\"router_jitter_noise\":0.1,\"attention_dropout\":0.1,\"attention_bias\":"
         "true,"
         "\"auto_map\":{},\"quantization_config\":null,\"unknown\":[1]}",
         2, 16, 8, 2, 0, 1e6},
        {"{\"layer_types\":[\"full_attention\",\"full_attention\"]}", 2, 16, 8, 2, 0,
         1e6},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct hparams hp = read_patched(cases[i].patch);
        assert_int_equal(hp.n_kv_heads, cases[i].n_kv_heads);
        assert_int_equal(hp.head_dim, cases[i].head_dim);
        assert_int_equal(hp.rope.rot, cases[i].head_dim);
        assert_int_equal(hp.n_experts, cases[i].n_experts);
        assert_int_equal(hp.top_k, cases[i].top_k);
        assert_int_equal(hp.window, cases[i].window);
        assert_true(hp.rope.theta == cases[i].theta);
    }
}

static void test_rope_types(void **state)
{
    (void)state;
    struct hparams hp = read_patched(
        "{\"rope_theta\":1e4,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}");
    assert_int_equal(hp.rope.type, ROPE_LINEAR);
    assert_true(hp.rope.factor == 2.0);
    hp = read_patched("{\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
                      "\"low_freq_factor\":1,\"high_freq_factor\":4,"
                      "\"original_max_position_embeddings\":100}}");
    assert_int_equal(hp.rope.type, ROPE_LLAMA3);
    assert_true(hp.rope.low_freq_factor == 1.0 && hp.rope.high_freq_factor == 4.0);
    assert_int_equal(hp.rope.original_max_pos, 100);
    hp = read_patched("{\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":null,"
                      "\"original_max_position_embeddings\":64,\"truncate\":false,"
                      "\"mscale\":1,\"mscale_all_dim\":0.5,\"beta_slow\":2}}");
    assert_int_equal(hp.rope.type, ROPE_YARN);
    assert_true(hp.rope.factor == 4.0 && hp.rope.beta_fast == 32.0);
    assert_true(hp.rope.beta_slow == 2.0 && !hp.rope.is_truncated);
    assert_true(hp.rope.mscale == 1.0 && hp.rope.mscale_all_dim == 0.5);
    assert_true(hp.rope.attention_factor == 0.0);
    /* the key at the top wins over the object's; neither: max_position_embeddings */
    hp = read_patched("{\"original_max_position_embeddings\":32,\"rope_scaling\":{"
                      "\"rope_type\":\"yarn\",\"factor\":3,"
                      "\"original_max_position_embeddings\":64}}");
    assert_int_equal(hp.rope.original_max_pos, 32);
    hp = read_patched("{\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":3,"
                      "\"attention_factor\":1.5}}");
    assert_int_equal(hp.rope.original_max_pos, 256);
    assert_true(hp.rope.is_truncated && hp.rope.attention_factor == 1.5);
}

struct refused {
    const char *patch, *fragment;
};

static const struct refused refusals[] = {
    {"{\"model_type\":\"qwen3_moe\"}",
     "\"model_type\" is \"qwen3_moe\"; supported: \"mixtral\""},
    {"{\"model_type\":\"DROP\"}", "no \"model_type\""},
    {"{\"model_type\":7}", "\"model_type\" is integer"},
    {"{\"hidden_act\":\"gelu\"}", "\"hidden_act\" is \"gelu\""},
    {"{\"quantization_config\":{\"quant_method\":\"fp8\"}}", "quant_method fp8"},
    {"{\"quantization_config\":{}}", "\"quantization_config\""},
    {"{\"compression_config\":{}}", "\"compression_config\""},
    {"{\"vocab_size\":0}", "\"vocab_size\" is 0"},
    {"{\"vocab_size\":4294967296}", "\"vocab_size\" is 4294967296"},
    {"{\"hidden_size\":-64}", "\"hidden_size\" is -64"},
    {"{\"hidden_size\":64.0}", "\"hidden_size\" is real"},
    {"{\"hidden_size\":\"64\"}", "\"hidden_size\" is string"},
    {"{\"hidden_size\":9223372036854775807}", "\"hidden_size\" is 9223372036854775807"},
    {"{\"num_hidden_layers\":0}", "\"num_hidden_layers\" is 0"},
    {"{\"num_hidden_layers\":1000000}", "\"num_hidden_layers\" is 1000000"},
    {"{\"num_hidden_layers\":16384,\"num_local_experts\":65536}",
     "more than 1048576 experts"},
    {"{\"hidden_size\":16777216,\"intermediate_size\":16777216}",
     "more than 2^45 weights"},
    {"{\"vocab_size\":2147483647,\"hidden_size\":16777216}", "more than 2^45 weights"},
    {"{\"num_key_value_heads\":3}", "not a multiple of \"num_key_value_heads\" 3"},
    {"{\"num_key_value_heads\":\"DROP\"}",
     "not a multiple of \"num_key_value_heads\" 8"},
    {"{\"num_attention_heads\":6,\"num_key_value_heads\":6}",
     "there is no \"head_dim\""},
    {"{\"head_dim\":15}", "15 rotated dims"},
    {"{\"head_dim\":0}", "\"head_dim\" is 0"},
    {"{\"num_experts_per_tok\":9}", "\"num_experts_per_tok\" is 9, more than"},
    {"{\"num_experts_per_tok\":0}", "\"num_experts_per_tok\" is 0"},
    {"{\"num_experts\":4}", "\"num_local_experts\" is 8 but \"num_experts\" is 4"},
    {"{\"experts_per_token\":4}",
     "\"num_experts_per_tok\" is 2 but \"experts_per_token\" is 4"},
    {"{\"rms_norm_eps\":0}", "\"rms_norm_eps\" is 0"},
    {"{\"rms_norm_eps\":-1e-5}", "\"rms_norm_eps\" is -1e-05"},
    {"{\"rms_norm_eps\":true}", "\"rms_norm_eps\" is boolean"},
    {"{\"router_aux_loss_coef\":-1}", "\"router_aux_loss_coef\" is -1"},
    {"{\"initializer_range\":-1}", "\"initializer_range\" is -1"},
    {"{\"router_jitter_noise\":-0.5}", "\"router_jitter_noise\" is -0.5"},
    {"{\"tie_word_embeddings\":1}", "\"tie_word_embeddings\" is integer"},
    {"{\"sliding_window\":-1}", "\"sliding_window\" is -1"},
    {"{\"rope_theta\":0}", "\"rope_theta\" is 0"},
    {"{\"rope_theta\":1}", "\"rope_theta\" is 1"},
    {"{\"rope_theta\":1e300}", "\"rope_theta\" is 1e+300"},
    {"{\"rope_scaling\":[]}", "\"rope_scaling\" is array"},
    {"{\"rope_scaling\":{\"rope_type\":\"longrope\"}}",
     "\"rope_type\" is \"longrope\""},
    {"{\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}",
     "\"rope_type\" is \"dynamic\""},
    {"{\"rope_parameters\":{\"rope_type\":\"proportional\"}}",
     "\"rope_type\" is \"proportional\""},
    {"{\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}}",
     "rope_parameters: \"full_attention\" is an object"},
    {"{\"rope_scaling\":{\"rope_type\":\"yarn\",\"type\":\"linear\",\"factor\":2}}",
     "\"rope_type\" is \"yarn\" but \"type\" is \"linear\""},
    {"{\"rope_scaling\":{\"rope_type\":\"linear\"}}", "rope_scaling: no \"factor\""},
    {"{\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":-2}}", "\"factor\" is -2"},
    {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2}}",
     "no \"low_freq_factor\""},
    {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,"
     "\"high_freq_factor\":4}}",
     "\"high_freq_factor\" is 4"},
    {"{\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2,\"mscale\":-1}}",
     "\"mscale\" is -1"},
    {"{\"rope_scaling\":{\"rope_type\":\"yarn\",\"original_max_position_embeddings\":0}"
     "}",
     "\"original_max_position_embeddings\" is 0"},
    {"{\"partial_rotary_factor\":0.5}", "\"partial_rotary_factor\" is 0.5"},
    {"{\"rope_parameters\":{\"partial_rotary_factor\":0.25}}",
     "\"partial_rotary_factor\" is 0.25"},
    {"{\"layer_types\":[\"full_attention\"]}", "\"layer_types\" is array of 1 entries"},
    {"{\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
     "\"layer_types\"[1] is \"sliding_attention\""},
    {"{\"layer_types\":\"full\"}", "\"layer_types\" is string"},
    {"{\"eos_token_id\":640}", "\"eos_token_id\" is 640, vocab_size is 640"},
    {"{\"eos_token_id\":\"</s>\"}", "\"eos_token_id\" holds string"},
    {"{\"eos_token_id\":[2,-3]}", "\"eos_token_id\" holds a number out of range"},
    {"{\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}", "more than 8 ids"},
    {"{\"bos_token_id\":9999}", "\"bos_token_id\" is 9999"},
    {"{\"pad_token_id\":640}", "\"pad_token_id\" is 640"},
};

static void test_refusals(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct hparams hp;
    for (int64_t i = 0; i < ARRAY_LEN(refusals); i++) {
        write_patched(dir, refusals[i].patch);
        assert_error(hparams_read(&hp, dir), refusals[i].fragment);
        assert_non_null(strstr(status_message(), "/config.json"));
    }
    drop_dir(dir);
}

static void test_bad_files(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct hparams hp;
    assert_error(hparams_read(&hp, dir), "config.json: no such file");
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"a\":1,\"a\":2}",
        "{\"model_type\":\"mixtral\",\"rms_norm_eps\":NaN}",
        "{\"rms_norm_eps\":1e999}",
        "{} {}"};
    for (int64_t i = 0; i < ARRAY_LEN(texts); i++) {
        write_string(dir, "config.json", texts[i]);
        assert_error(hparams_read(&hp, dir), "config.json");
    }
    write_patched(dir, "{}");
    write_string(dir, "generation_config.json", "{\"eos_token_id\":[2,700]}");
    assert_error(hparams_read(&hp, dir),
                 "generation_config.json: \"eos_token_id\" is 700");
    write_string(dir, "generation_config.json", "[]");
    assert_error(hparams_read(&hp, dir), "generation_config.json: holds array");
    write_string(dir, "adapter_config.json", "{}");
    assert_error(hparams_read(&hp, dir), "adapter_config.json: an adapter");
    drop_dir(dir);
}

static void test_ids(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct hparams hp;
    write_patched(dir, "{\"eos_token_id\":[5,6,5],\"pad_token_id\":0,"
                       "\"bos_token_id\":null}");
    assert_ok(hparams_read(&hp, dir));
    assert_int_equal(hp.n_eos, 2);
    assert_int_equal(hp.eos_ids[0], 5);
    assert_int_equal(hp.eos_ids[1], 6);
    assert_int_equal(hp.pad_id, 0);
    assert_int_equal(hp.bos_id, -1);
    /* generation_config wins where it says something */
    write_string(dir, "generation_config.json",
                 "{\"eos_token_id\":7,\"pad_token_id\":null,\"bos_token_id\":3}");
    assert_ok(hparams_read(&hp, dir));
    assert_int_equal(hp.n_eos, 1);
    assert_int_equal(hp.eos_ids[0], 7);
    assert_int_equal(hp.pad_id, 0);
    assert_int_equal(hp.bos_id, 3);
    write_patched(dir, "{\"eos_token_id\":null,\"pad_token_id\":-1}");
    write_string(dir, "generation_config.json", "{}");
    assert_ok(hparams_read(&hp, dir));
    assert_int_equal(hp.n_eos, 0);
    assert_int_equal(hp.pad_id, -1);
    drop_dir(dir);
}

static void assert_same(const struct hparams *a, const struct hparams *b)
{
    /* the sizes: int64_t only, no gaps */
    assert_memory_equal(a, b, offsetof(struct hparams, rms_eps));
    assert_true(a->rms_eps == b->rms_eps && a->aux_coef == b->aux_coef);
    assert_true(a->init_std == b->init_std);
    const struct rope_params *const r = &a->rope, *const s = &b->rope;
    assert_true(r->type == s->type && r->theta == s->theta && r->factor == s->factor);
    assert_true(r->low_freq_factor == s->low_freq_factor);
    assert_true(r->high_freq_factor == s->high_freq_factor);
    assert_true(r->beta_fast == s->beta_fast && r->beta_slow == s->beta_slow);
    assert_true(r->attention_factor == s->attention_factor);
    assert_true(r->mscale == s->mscale && r->mscale_all_dim == s->mscale_all_dim);
    assert_true(r->original_max_pos == s->original_max_pos && r->rot == s->rot);
    assert_true(r->is_truncated == s->is_truncated && a->is_tied == b->is_tied);
    assert_true(a->bos_id == b->bos_id && a->pad_id == b->pad_id);
    assert_int_equal(a->n_eos, b->n_eos);
    assert_memory_equal(a->eos_ids, b->eos_ids, (size_t)a->n_eos * sizeof(int32_t));
}

static void check_round_trip(const char *patch)
{
    char *const dir = temp_dir();
    const struct hparams before = read_patched(patch);
    struct hparams after;
    struct buf text = {0};
    hparams_write(&before, DTYPE_BF16, &text);
    write_string(dir, "config.json", text.data);
    assert_ok(hparams_read(&after, dir));
    assert_same(&before, &after);
    buf_release(&text);
    drop_dir(dir);
}

static void test_write_round_trip(void **state)
{
    (void)state;
    check_round_trip("{}");
    check_round_trip("{\"sliding_window\":8,\"tie_word_embeddings\":true,"
                     "\"head_dim\":24,\"rms_norm_eps\":1.1e-7,\"rope_theta\":12345.678,"
                     "\"eos_token_id\":[2,3],\"bos_token_id\":null,\"pad_token_id\":0,"
                     "\"router_aux_loss_coef\":0.0123456789012345678,"
                     "\"initializer_range\":1}");
    check_round_trip("{\"eos_token_id\":null}");
    check_round_trip("{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}}");
    check_round_trip("{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
                     "\"low_freq_factor\":1,\"high_freq_factor\":4,"
                     "\"original_max_position_embeddings\":100}}");
    check_round_trip("{\"rope_theta\":1e4,\"rope_scaling\":{\"rope_type\":\"yarn\","
                     "\"factor\":40,\"beta_fast\":30,\"truncate\":false,\"mscale\":1,"
                     "\"mscale_all_dim\":0.707,\"attention_factor\":1.25,"
                     "\"original_max_position_embeddings\":64}}");
}

/* The keys by which each version of transformers finds theta and dtype. */
static void test_written_keys(void **state)
{
    (void)state;
    const struct hparams hp = read_patched("{\"rope_theta\":1e4}");
    struct buf text = {0};
    json_t *c;
    hparams_write(&hp, DTYPE_F16, &text);
    assert_ok(json_parse(&c, text.data, text.len, "written"));
    const json_t *const rope = json_object_get(c, "rope_parameters");
    assert_true(json_is_null(json_object_get(c, "rope_scaling")));
    assert_true(json_is_real(json_object_get(c, "rope_theta")));
    assert_true(json_number_value(json_object_get(c, "rope_theta")) == 1e4);
    assert_true(json_number_value(json_object_get(rope, "rope_theta")) == 1e4);
    assert_string_equal(json_string_value(json_object_get(rope, "rope_type")),
                        "default");
    assert_string_equal(json_string_value(json_object_get(c, "torch_dtype")),
                        "float16");
    assert_string_equal(json_string_value(json_object_get(c, "dtype")), "float16");
    json_decref(c);
    buf_release(&text);
}

static void test_check(void **state)
{
    (void)state;
    struct hparams hp = small_hparams();
    assert_ok(hparams_check(&hp, "here"));
    hp.rms_eps = (double)NAN;
    assert_error(hparams_check(&hp, "here"), "here: \"rms_norm_eps\" is");
    hp = small_hparams();
    hp.d_ff = -4;
    assert_error(hparams_check(&hp, "here"), "\"intermediate_size\" is -4");
}

static void test_fixture_configs(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t d_ff, window;
        double theta, eps;
        bool is_tied;
    } cases[] = {{"mixtral-f32", 128, 0, 1e6, 1e-5, false},
                 {"mixtral-bf16", 128, 0, 1e6, 1e-5, false},
                 {"mixtral-gqa", 40, 8, 1e4, 1e-3, false},
                 {"mixtral-gqa-fused-v4", 40, 8, 1e4, 1e-3, false},
                 {"mixtral-k1", 24, 0, 1e4, 1e-5, true}};
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char name[100];
        snprintf(name, sizeof(name), "%s/model", cases[i].name);
        char *const dir = fixture_path(name);
        if (dir == NULL)
            skip();
        struct hparams hp;
        assert_ok(hparams_read(&hp, dir));
        assert_int_equal(hp.d_ff, cases[i].d_ff);
        assert_int_equal(hp.window, cases[i].window);
        assert_true(hp.rope.theta == cases[i].theta && hp.rms_eps == cases[i].eps);
        assert_int_equal(hp.is_tied, cases[i].is_tied);
        mem_free(dir);
    }
    static const char *const others[] = {"qwen3-moe", "olmoe",       "gpt-oss",
                                         "llama",     "deepseek-v3", "qwen3-next"};
    for (int64_t i = 0; i < ARRAY_LEN(others); i++) {
        char name[100];
        snprintf(name, sizeof(name), "%s/model", others[i]);
        char *const dir = fixture_path(name);
        struct hparams hp;
        if (dir != NULL)
            assert_error(hparams_read(&hp, dir), "supported: \"mixtral\"");
        mem_free(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_family_defaults),
        cmocka_unit_test(test_paper_counts),
        cmocka_unit_test(test_aliases_and_nulls),
        cmocka_unit_test(test_rope_types),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_write_round_trip),
        cmocka_unit_test(test_written_keys),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_fixture_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
