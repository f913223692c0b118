/*
 * Damaged and misleading checkpoints: each must be refused with a message that names
 * the file and the tensor.
 */
#include "tests/model/model_dir.h"

#include "core/rng.h"
#include "model/params.h"

typedef void (*damage_fn)(struct dir_model *m);

#define L0 "model.layers.0."
#define L1 "model.layers.1."
#define W1 L1 "block_sparse_moe.experts.1.w1.weight"

static void set_name(struct dir_tensor *t, const char *name)
{
    snprintf(t->name, sizeof(t->name), "%s", name);
}

static void no_expert(struct dir_model *m) { drop_tensor(m, W1); }
static void no_router(struct dir_model *m)
{
    drop_tensor(m, L0 "block_sparse_moe.gate.weight");
}
static void no_head(struct dir_model *m) { drop_tensor(m, "lm_head.weight"); }
static void no_embed(struct dir_model *m)
{
    drop_tensor(m, "model.embed_tokens.weight");
}
static void no_norm(struct dir_model *m) { drop_tensor(m, "model.norm.weight"); }
static void no_k(struct dir_model *m) { drop_tensor(m, L1 "self_attn.k_proj.weight"); }
static void no_fused_down(struct dir_model *m)
{
    fuse_layer(m, 1);
    drop_tensor(m, L1 "mlp.experts.down_proj");
}
static void extra_expert(struct dir_model *m)
{
    add_tensor(m, L1 "block_sparse_moe.experts.3.w1.weight", "F32", 20, 36);
}
static void extra_layer(struct dir_model *m)
{
    add_tensor(m, "model.layers.2.input_layernorm.weight", "F32", 0, 36);
}
static void extra_bias(struct dir_model *m)
{
    add_tensor(m, L0 "self_attn.q_proj.bias", "F32", 0, 40);
}
static void extra_qk_norm(struct dir_model *m)
{
    add_tensor(m, L0 "self_attn.q_norm.weight", "F32", 0, 10);
}
static void extra_scale(struct dir_model *m)
{
    add_tensor(m, W1 "_scale_inv", "F32", 0, 1);
}
static void extra_lora(struct dir_model *m)
{
    add_tensor(m, L0 "self_attn.q_proj.lora_A.weight", "F32", 4, 36);
}
static void wrong_rows(struct dir_model *m) { get_tensor(m, W1)->shape[0] = 18; }
static void transposed(struct dir_model *m)
{
    struct dir_tensor *const t = get_tensor(m, W1);
    t->shape[0] = 36;
    t->shape[1] = 20;
}
static void flattened(struct dir_model *m)
{
    struct dir_tensor *const t = get_tensor(m, W1);
    t->rank = 1;
    t->shape[0] = 720;
}
static void norm_with_rank_two(struct dir_model *m)
{
    struct dir_tensor *const t = get_tensor(m, "model.norm.weight");
    t->rank = 2;
    t->shape[0] = 1;
    t->shape[1] = 36;
}
static void fused_io_order(struct dir_model *m)
{
    fuse_layer(m, 0);
    struct dir_tensor *const t = get_tensor(m, L0 "mlp.experts.gate_up_proj");
    t->shape[1] = 36;
    t->shape[2] = 40;
}
static void fused_too_few(struct dir_model *m)
{
    fuse_layer(m, 0);
    struct dir_tensor *const t = get_tensor(m, L0 "mlp.experts.down_proj");
    t->shape[0] = 2;
    t->bytes = t->bytes / 3 * 2;
}
static void integer_dtype(struct dir_model *m)
{
    memcpy(get_tensor(m, W1)->dtype, "I32", 4);
}
static void float8_dtype(struct dir_model *m)
{
    struct dir_tensor *const t = get_tensor(m, W1);
    memcpy(t->dtype, "F8_E4M3", 8);
    t->bytes /= 4;
}
static void double_dtype(struct dir_model *m)
{
    struct dir_tensor *const t = get_tensor(m, "model.norm.weight");
    mem_free(t->data);
    memcpy(t->dtype, "F64", 4);
    t->bytes *= 2;
    t->data = mem_alloc(t->bytes);
}
static void both_spellings(struct dir_model *m)
{
    add_tensor(m, L1 "mlp.experts.1.w1.weight", "F32", 20, 36);
}
static void both_routers(struct dir_model *m)
{
    add_tensor(m, L0 "mlp.gate.weight", "F32", 3, 36);
}
static void expert_and_fused(struct dir_model *m)
{
    fuse_layer(m, 1);
    add_tensor(m, W1, "F32", 20, 36);
}
static void both_prefixes(struct dir_model *m)
{
    add_tensor(m, "norm.weight", "F32", 0, 36);
}
static void multimodal(struct dir_model *m)
{
    char name[160];
    for (int i = 0; i < m->n; i++) {
        snprintf(name, sizeof(name), "language_model.%.140s", m->tensors[i].name);
        set_name(&m->tensors[i], name);
    }
}
static void other_family(struct dir_model *m)
{
    set_name(get_tensor(m, W1), L1 "mlp.experts.1.gate_proj.weight");
}
static void other_case(struct dir_model *m)
{
    set_name(get_tensor(m, "lm_head.weight"), "LM_head.weight");
}
static void head_of_other_size(struct dir_model *m)
{
    struct dir_tensor *const t = get_tensor(m, "lm_head.weight");
    t->shape[0] = 69;
    t->bytes = (size_t)(69 * 36) * 4;
}
static void leading_zero(struct dir_model *m)
{
    set_name(get_tensor(m, W1), L1 "block_sparse_moe.experts.01.w1.weight");
}

static const struct {
    damage_fn damage;
    const char *fragment;
} cases[] = {
    {no_expert, "no tensor " W1 ", nor as " L1 "mlp.experts.1.w1.weight, " L1
                "mlp.experts.gate_up_proj"},
    {no_router, "no tensor " L0 "block_sparse_moe.gate.weight"},
    {no_head, "no tensor lm_head.weight (and tie_word_embeddings is not true)"},
    {no_embed, "no tensor model.embed_tokens.weight"},
    {no_norm, "no tensor model.norm.weight"},
    {no_k, "no tensor " L1 "self_attn.k_proj.weight"},
    {no_fused_down, "no tensor " L1 "block_sparse_moe.experts.0.w2.weight"},
    {extra_expert, "tensor " L1 "block_sparse_moe.experts.3.w1.weight is no weight of"},
    {extra_layer, "tensor model.layers.2.input_layernorm.weight is no weight of"},
    {extra_bias, "tensor " L0 "self_attn.q_proj.bias is no weight of"},
    {extra_qk_norm, "tensor " L0 "self_attn.q_norm.weight is no weight of"},
    {extra_scale, "tensor " W1 "_scale_inv is no weight of"},
    {extra_lora, "tensor " L0 "self_attn.q_proj.lora_A.weight is no weight of"},
    {wrong_rows, "shape and dtype need 2592"},
    {transposed, "tensor " W1 " has shape [36, 20], config.json implies [20, 36]"},
    {flattened, "tensor " W1 " has shape [720], config.json implies [20, 36]"},
    {norm_with_rank_two, "tensor model.norm.weight has shape [1, 36]"},
    {fused_io_order, "has shape [3, 36, 40], config.json implies [3, 40, 36]"},
    {fused_too_few, "down_proj has shape [2, 36, 20], config.json implies [3, 36, 20]"},
    {integer_dtype, "tensor " W1 " is I32, expected F32, BF16 or F16"},
    {float8_dtype, "tensor " W1 " is F8_E4M3, expected F32, BF16 or F16"},
    {double_dtype, "tensor model.norm.weight is F64"},
    {both_spellings, W1 " and " L1 "mlp.experts.1.w1.weight hold the same weights"},
    {both_routers, "gate.weight and " L0 "mlp.gate.weight hold the same weights"},
    {expert_and_fused, W1 " and " L1 "mlp.experts.gate_up_proj hold the same weights"},
    {both_prefixes, "tensors model.norm.weight and norm.weight are both present"},
    {multimodal, "no tensor model.embed_tokens.weight"},
    {other_family, "no tensor " W1},
    {other_case, "no tensor lm_head.weight"},
    {head_of_other_size, "lm_head.weight has shape [69, 36]"},
    {leading_zero, "no tensor " W1},
};

static void test_damage(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *const dir = temp_dir();
        struct dir_model *const m = small_model("F32", false);
        struct weights w;
        write_config(m, dir);
        cases[i].damage(m);
        write_model_file(m, dir, "model.safetensors", 0, 0);
        assert_error(weights_load(&w, dir, -1), cases[i].fragment);
        assert_non_null(strstr(status_message(), "/model.safetensors"));
        free_model(m);
        drop_dir(dir);
    }
}

/* The tensors are right for another config. */
static void test_config_mismatch(void **state)
{
    (void)state;
    static const struct {
        size_t field;
        int64_t value;
        const char *fragment;
    } changes[] = {
        {offsetof(struct hparams, n_vocab), 71,
         "embed_tokens.weight has shape [70, 36]"},
        {offsetof(struct hparams, d_model), 40,
         "embed_tokens.weight has shape [70, 36]"},
        {offsetof(struct hparams, d_ff), 21, "experts.0.w1.weight has shape [20, 36]"},
        {offsetof(struct hparams, n_layers), 1, "layers.1."},
        {offsetof(struct hparams, n_layers), 3, "no tensor model.layers.2."},
        {offsetof(struct hparams, n_heads), 2, "q_proj.weight has shape [40, 36]"},
        {offsetof(struct hparams, n_kv_heads), 4, "k_proj.weight has shape [20, 36]"},
        {offsetof(struct hparams, n_experts), 2, "gate.weight has shape [3, 36]"},
        {offsetof(struct hparams, n_experts), 4, "gate.weight has shape [3, 36]"},
        {offsetof(struct hparams, head_dim), 12, "q_proj.weight has shape [40, 36]"},
    };
    char *const dir = temp_dir();
    struct dir_model *const m = small_model("F32", false);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    for (int64_t i = 0; i < ARRAY_LEN(changes); i++) {
        const struct hparams kept = m->hp;
        struct weights w;
        memcpy((char *)&m->hp + changes[i].field, &changes[i].value, sizeof(int64_t));
        write_config(m, dir);
        assert_error(weights_load(&w, dir, -1), changes[i].fragment);
        m->hp = kept;
    }
    free_model(m);
    drop_dir(dir);
}

/* A tied model with a head that differs, and an untied one's tensors read as tied. */
static void test_tied_damage(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct dir_model *const m = small_model("F32", false);
    struct weights w;
    m->hp.is_tied = true;
    write_config(m, dir);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    assert_error(weights_load(&w, dir, -1),
                 "lm_head.weight differs from model.embed_tokens.weight");
    drop_tensor(m, "lm_head.weight");
    drop_tensor(m, "model.embed_tokens.weight");
    write_model_file(m, dir, "model.safetensors", 0, 0);
    assert_error(weights_load(&w, dir, -1), "no tensor model.embed_tokens.weight");
    free_model(m);
    drop_dir(dir);
}

/* Random damage to a whole checkpoint: an error or a clean load. */
static void test_random_damage(void **state)
{
    (void)state;
    char *const dir = temp_dir(), *const path = io_join(dir, "model.safetensors");
    struct dir_model *const m = small_model("BF16", false);
    struct buf b = {0};
    write_config(m, dir);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    assert_ok(io_read_file(&b, path, 1 << 24));
    const uint32_t header = 8 + (uint32_t)(unsigned char)b.data[0] +
                            256 * (uint32_t)(unsigned char)b.data[1];
    int n_loaded = 0;
    enum { N = 1000 };
    for (uint32_t i = 0; i < N; i++) {
        const size_t at = rng_below(5, RNG_TEST, header, i, 0, 0, 0);
        const char kept = b.data[at];
        b.data[at] = (char)rng_below(5, RNG_TEST, 256, i, 1, 0, 0);
        write_bytes(dir, "model.safetensors", b.data, b.len);
        struct weights w;
        if (weights_load(&w, dir, -1) == STATUS_OK) {
            n_loaded++;
            weights_release(&w);
        }
        b.data[at] = kept;
    }
    print_message("%d of %d header corruptions load\n", n_loaded, (int)N);
    assert_true(n_loaded < N / 4);
    for (size_t n = 0; n < b.len; n += 997) {
        struct weights w;
        write_bytes(dir, "model.safetensors", b.data, n);
        assert_int_not_equal(weights_load(&w, dir, -1), STATUS_OK);
    }
    buf_release(&b);
    mem_free(path);
    free_model(m);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_config_mismatch),
        cmocka_unit_test(test_tied_damage),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
