/*
 * config.json of a Mixtral -> struct hparams. Missing keys take the family's defaults
 * (the published 8x7B), null means absent, unknown keys are ignored; keys whose meaning
 * is known but not implemented are refused, so that no model is silently computed
 * wrongly. Training-only noise (attention_dropout, router_jitter_noise) is accepted and
 * never applied: post-training needs the exact forward pass.
 */
#include "model/hparams.h"

#include <math.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "model/hparams_rope.h"

enum {
    MAX_FILE_BYTES = 16 << 20,
    /* Far above any published model, and low enough for products of two in int64. */
    MAX_WIDTH = 1 << 24,
    MAX_LAYERS = 1 << 14,
    MAX_EXPERTS = 1 << 16,
    MAX_EXPERTS_IN_ALL = 1 << 20 /* bounds the list of tensors on disk */
};
static const int64_t max_elems = (int64_t)1 << 45; /* 128 TiB of fp32 */

static int read_json(json_t **out, const char *path)
{
    struct buf text = {0};
    TRY(io_read_file(&text, path, MAX_FILE_BYTES));
    int status = json_parse(out, text.data, text.len, path);
    buf_release(&text);
    if (status == STATUS_OK && !json_is_object(*out)) {
        status = ERR(ERR_INPUT, "%s: holds %s, expected an object", path,
                     json_type_name(*out));
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

static int check_family(const json_t *c, const char *where)
{
    const char *type = NULL;
    TRY(json_get_string(c, "model_type", &type, NULL, where));
    if (type == NULL)
        return ERR(ERR_INPUT, "%s: no \"model_type\"; supported: \"mixtral\"", where);
    if (strcmp(type, "mixtral") != 0)
        return ERR(ERR_INPUT, "%s: \"model_type\" is \"%s\"; supported: \"mixtral\"",
                   where, type);
    return STATUS_OK;
}

static int check_no_quantization(const json_t *c, const char *where)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    for (int i = 0; i < ARRAY_LEN(keys); i++) {
        const json_t *const q = json_object_get(c, keys[i]);
        if (q == NULL || json_is_null(q))
            continue;
        const char *method = NULL;
        if (json_is_object(q))
            TRY(json_get_string(q, "quant_method", &method, NULL, where));
        return ERR(ERR_INPUT,
                   "%s: \"%s\" (quant_method %s): quantized weights are not supported, "
                   "use a checkpoint in F32, BF16 or F16",
                   where, keys[i], method == NULL ? "not given" : method);
    }
    return STATUS_OK;
}

static int check_activation(const json_t *c, const char *where)
{
    const char *name = NULL;
    TRY(json_get_string(c, "hidden_act", &name, NULL, where));
    if (name != NULL && strcmp(name, "silu") != 0)
        return ERR(ERR_INPUT, "%s: \"hidden_act\" is \"%s\", supported: \"silu\"",
                   where, name);
    return STATUS_OK;
}

/* The class has one kind of attention in all layers; a list must say the same. */
static int check_layer_types(const struct hparams *hp, const json_t *c,
                             const char *where)
{
    const json_t *const list = json_object_get(c, "layer_types");
    if (list == NULL || json_is_null(list))
        return STATUS_OK;
    const char *const expected = hp->window > 0 ? "sliding_attention"
                                                : "full_attention";
    if (!json_is_array(list) || (int64_t)json_array_size(list) != hp->n_layers)
        return ERR(ERR_INPUT,
                   "%s: \"layer_types\" is %s of %zu entries, expected %lld strings",
                   where, json_type_name(list), json_array_size(list),
                   (long long)hp->n_layers);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *const type = json_string_value(json_array_get(list, i));
        if (type == NULL || strcmp(type, expected) != 0)
            return ERR(ERR_INPUT,
                       "%s: \"layer_types\"[%zu] is \"%s\"; with this sliding_window "
                       "every layer is \"%s\"",
                       where, i, type == NULL ? "(not a string)" : type, expected);
    }
    return STATUS_OK;
}

static int check_noise(const json_t *c, const char *where)
{
    static const char *const keys[] = {"router_jitter_noise", "attention_dropout"};
    for (int i = 0; i < ARRAY_LEN(keys); i++) {
        double v = 0.0;
        TRY(json_get_real(c, keys[i], &v, NULL, where));
        if (!(v >= 0.0 && v <= 1.0))
            return ERR(ERR_INPUT, "%s: \"%s\" is %g, expected 0 to 1", where, keys[i],
                       v);
        if (v > 0.0)
            log_debug("%s: \"%s\" is %g and will not be applied", where, keys[i], v);
    }
    return STATUS_OK;
}

/* One value under several names: those present must agree. */
static int get_alias(const json_t *c, const char *const *names, int64_t max,
                     int64_t *out, const char *where)
{
    const char *first = NULL;
    int64_t value = 0;
    for (int i = 0; names[i] != NULL; i++) {
        int64_t v = 0;
        bool found = false;
        TRY(json_get_int(c, names[i], 1, max, &v, &found, where));
        if (found && first != NULL && v != value)
            return ERR(ERR_INPUT, "%s: \"%s\" is %lld but \"%s\" is %lld", where, first,
                       (long long)value, names[i], (long long)v);
        if (found && first == NULL) {
            first = names[i];
            value = v;
        }
    }
    if (first != NULL)
        *out = value;
    return STATUS_OK;
}

static int read_experts(struct hparams *hp, const json_t *c, const char *where)
{
    static const char *const n_names[] = {"num_local_experts", "num_experts",
                                          "n_routed_experts", NULL};
    static const char *const k_names[] = {"num_experts_per_tok", "experts_per_token",
                                          NULL};
    hp->n_experts = 8;
    hp->top_k = 2;
    TRY(get_alias(c, n_names, MAX_EXPERTS, &hp->n_experts, where));
    return get_alias(c, k_names, MAX_EXPERTS, &hp->top_k, where);
}

static int read_heads(struct hparams *hp, const json_t *c, const char *where)
{
    bool found = false;
    hp->n_heads = 32;
    TRY(json_get_int(c, "num_attention_heads", 1, MAX_WIDTH, &hp->n_heads, NULL,
                     where));
    /* absent: the class's default; an explicit null: as many as heads */
    hp->n_kv_heads = json_object_get(c, "num_key_value_heads") == NULL ? 8
                                                                       : hp->n_heads;
    TRY(json_get_int(c, "num_key_value_heads", 1, MAX_WIDTH, &hp->n_kv_heads, NULL,
                     where));
    TRY(json_get_int(c, "head_dim", 1, MAX_WIDTH, &hp->head_dim, &found, where));
    if (found)
        return STATUS_OK;
    if (hp->d_model % hp->n_heads != 0)
        return ERR(ERR_INPUT,
                   "%s: \"hidden_size\" %lld is not a multiple of "
                   "\"num_attention_heads\" %lld, and there is no \"head_dim\"",
                   where, (long long)hp->d_model, (long long)hp->n_heads);
    hp->head_dim = hp->d_model / hp->n_heads;
    return STATUS_OK;
}

static int read_sizes(struct hparams *hp, const json_t *c, const char *where)
{
    const struct {
        const char *key;
        int64_t min, max, *out, def;
    } sizes[] = {
        {"vocab_size", 1, INT32_MAX, &hp->n_vocab, 32000},
        {"hidden_size", 1, MAX_WIDTH, &hp->d_model, 4096},
        {"intermediate_size", 1, MAX_WIDTH, &hp->d_ff, 14336},
        {"num_hidden_layers", 1, MAX_LAYERS, &hp->n_layers, 32},
        {"max_position_embeddings", 1, INT32_MAX, &hp->max_pos, 131072},
        {"sliding_window", 0, INT32_MAX, &hp->window, 0},
    };
    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        *sizes[i].out = sizes[i].def;
        TRY(json_get_int(c, sizes[i].key, sizes[i].min, sizes[i].max, sizes[i].out,
                         NULL, where));
    }
    return STATUS_OK;
}

static int read_reals(struct hparams *hp, const json_t *c, const char *where)
{
    hp->rms_eps = 1e-5;
    hp->aux_coef = 0.001;
    hp->init_std = 0.02;
    TRY(json_get_real(c, "rms_norm_eps", &hp->rms_eps, NULL, where));
    TRY(json_get_real(c, "router_aux_loss_coef", &hp->aux_coef, NULL, where));
    TRY(json_get_real(c, "initializer_range", &hp->init_std, NULL, where));
    return json_get_bool(c, "tie_word_embeddings", &hp->is_tied, NULL, where);
}

/* An id, or none: null, or the -1 that older files use. Missing: *out stays. */
static int get_id(const json_t *c, const char *key, int32_t *out, const char *where)
{
    int64_t id = -1;
    if (json_object_get(c, key) == NULL)
        return STATUS_OK;
    TRY(json_get_int(c, key, -1, INT32_MAX, &id, NULL, where));
    *out = (int32_t)id;
    return STATUS_OK;
}

static int add_eos(struct hparams *hp, const json_t *v, const char *where)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > INT32_MAX)
        return ERR(ERR_INPUT, "%s: \"eos_token_id\" holds %s, expected ids of 0 to %d",
                   where,
                   json_is_integer(v) ? "a number out of range" : json_type_name(v),
                   INT32_MAX);
    const int32_t id = (int32_t)json_integer_value(v);
    for (int i = 0; i < hp->n_eos; i++)
        if (hp->eos_ids[i] == id)
            return STATUS_OK;
    if (hp->n_eos == HPARAMS_MAX_EOS)
        return ERR(ERR_INPUT, "%s: \"eos_token_id\" has more than %d ids", where,
                   HPARAMS_MAX_EOS);
    hp->eos_ids[hp->n_eos++] = id;
    return STATUS_OK;
}

/* An integer or a list; replaces what was there. Missing: unchanged. */
static int get_eos(struct hparams *hp, const json_t *c, const char *where)
{
    const json_t *const v = json_object_get(c, "eos_token_id");
    if (v == NULL)
        return STATUS_OK;
    hp->n_eos = 0;
    if (json_is_null(v) || (json_is_integer(v) && json_integer_value(v) == -1))
        return STATUS_OK;
    if (!json_is_array(v))
        return add_eos(hp, v, where);
    for (size_t i = 0; i < json_array_size(v); i++)
        TRY(add_eos(hp, json_array_get(v, i), where));
    return STATUS_OK;
}

static int read_ids(struct hparams *hp, const json_t *c, const char *where)
{
    TRY(get_id(c, "bos_token_id", &hp->bos_id, where));
    TRY(get_id(c, "pad_token_id", &hp->pad_id, where));
    return get_eos(hp, c, where);
}

static int read_config(struct hparams *hp, const json_t *c, const char *where)
{
    TRY(check_family(c, where));
    TRY(check_no_quantization(c, where));
    TRY(check_activation(c, where));
    TRY(check_noise(c, where));
    TRY(read_sizes(hp, c, where));
    TRY(read_heads(hp, c, where));
    TRY(read_experts(hp, c, where));
    TRY(read_reals(hp, c, where));
    TRY(hparams_read_rope(hp, c, where));
    TRY(check_layer_types(hp, c, where));
    hp->bos_id = hp->n_vocab > 1 ? 1 : -1;
    hp->pad_id = -1;
    hp->n_eos = hp->n_vocab > 2 ? 1 : 0;
    hp->eos_ids[0] = 2;
    return read_ids(hp, c, where);
}

/* What generation_config.json gives wins; null and missing keys leave config.json's. */
static int read_generation(struct hparams *hp, const char *dir)
{
    char *const path = io_join(dir, "generation_config.json");
    json_t *c = NULL;
    int status = STATUS_OK;
    if (!io_exists(path))
        goto out;
    TRY_OUT(read_json(&c, path));
    static const char *const keys[] = {"bos_token_id", "pad_token_id", "eos_token_id"};
    for (int i = 0; i < ARRAY_LEN(keys); i++)
        if (json_is_null(json_object_get(c, keys[i])))
            json_object_del(c, keys[i]);
    TRY_OUT(read_ids(hp, c, path));
    status = hparams_check(hp, path);
out:
    json_decref(c);
    mem_free(path);
    return status;
}

static int check_no_adapter(const char *dir)
{
    char *const path = io_join(dir, "adapter_config.json");
    const bool is_adapter = io_exists(path);
    mem_free(path);
    if (is_adapter)
        return ERR(ERR_INPUT,
                   "%s/adapter_config.json: an adapter is not a checkpoint; merge it "
                   "into its base model first",
                   dir);
    return STATUS_OK;
}

int hparams_read(struct hparams *hp, const char *dir)
{
    TRY(check_no_adapter(dir));
    char *const path = io_join(dir, "config.json");
    json_t *config = NULL;
    struct hparams read = {0};
    int status = read_json(&config, path);
    if (status == STATUS_OK)
        status = read_config(&read, config, path);
    if (status == STATUS_OK)
        status = hparams_check(&read, path);
    json_decref(config);
    mem_free(path);
    TRY(status);
    TRY(read_generation(&read, dir));
    *hp = read;
    return STATUS_OK;
}

static int check_ids(const struct hparams *hp, const char *where)
{
    const long long n = hp->n_vocab;
    if (hp->bos_id >= n)
        return ERR(ERR_INPUT, "%s: \"bos_token_id\" is %d, vocab_size is %lld", where,
                   hp->bos_id, n);
    if (hp->pad_id >= n)
        return ERR(ERR_INPUT, "%s: \"pad_token_id\" is %d, vocab_size is %lld", where,
                   hp->pad_id, n);
    for (int i = 0; i < hp->n_eos; i++)
        if (hp->eos_ids[i] < 0 || hp->eos_ids[i] >= n)
            return ERR(ERR_INPUT, "%s: \"eos_token_id\" is %d, vocab_size is %lld",
                       where, hp->eos_ids[i], n);
    return STATUS_OK;
}

static int check_reals(const struct hparams *hp, const char *where)
{
    if (!(hp->rms_eps > 0.0 && hp->rms_eps <= 1.0))
        return ERR(ERR_INPUT, "%s: \"rms_norm_eps\" is %g, expected above 0, at most 1",
                   where, hp->rms_eps);
    if (!(hp->aux_coef >= 0.0 && hp->aux_coef <= 1e6))
        return ERR(ERR_INPUT, "%s: \"router_aux_loss_coef\" is %g, expected 0 to 1e6",
                   where, hp->aux_coef);
    if (!(hp->init_std >= 0.0 && hp->init_std <= 1e6))
        return ERR(ERR_INPUT, "%s: \"initializer_range\" is %g, expected 0 to 1e6",
                   where, hp->init_std);
    if (!(hp->rope.theta > 1.0 && hp->rope.theta <= 1e15))
        return ERR(ERR_INPUT,
                   "%s: \"rope_theta\" is %g, expected above 1, at most 1e15", where,
                   hp->rope.theta);
    return STATUS_OK;
}

static bool add_product(int64_t *sum, int64_t a, int64_t b, int64_t c)
{
    int64_t product;
    return checked_mul(a, b, &product) && checked_mul(product, c, &product) &&
           checked_add(*sum, product, sum);
}

/* Padding to panels adds at most 31 rows to each matrix: counted into the bound. */
static int check_total(const struct hparams *hp, const char *where)
{
    const int64_t pad = WEIGHT_PANEL;
    int64_t per_layer = 0, total = 0, rows = 0;
    const bool is_ok = add_product(&rows, 2 * hp->n_heads + 2 * hp->n_kv_heads,
                                   hp->head_dim, 1) &&
                       checked_add(rows, 8 * pad, &rows) &&
                       add_product(&per_layer, rows, hp->d_model + pad, 1) &&
                       add_product(&per_layer, hp->n_experts + pad, hp->d_model, 1) &&
                       add_product(&per_layer, hp->n_experts, 3 * (hp->d_ff + pad),
                                   hp->d_model + pad) &&
                       add_product(&total, per_layer, hp->n_layers, 1) &&
                       add_product(&total, hp->n_vocab + pad, hp->d_model, 2) &&
                       total <= max_elems;
    if (!is_ok)
        return ERR(ERR_INPUT,
                   "%s: more than 2^45 weights: num_hidden_layers %lld, hidden_size "
                   "%lld, intermediate_size %lld, num_local_experts %lld, heads %lld x "
                   "%lld, vocab_size %lld",
                   where, (long long)hp->n_layers, (long long)hp->d_model,
                   (long long)hp->d_ff, (long long)hp->n_experts,
                   (long long)hp->n_heads, (long long)hp->head_dim,
                   (long long)hp->n_vocab);
    return STATUS_OK;
}

static int check_positive(const struct hparams *hp, const char *where)
{
    const struct {
        const char *key;
        int64_t value, max;
    } sizes[] = {
        {"vocab_size", hp->n_vocab, INT32_MAX},
        {"hidden_size", hp->d_model, MAX_WIDTH},
        {"intermediate_size", hp->d_ff, MAX_WIDTH},
        {"num_hidden_layers", hp->n_layers, MAX_LAYERS},
        {"num_attention_heads", hp->n_heads, MAX_WIDTH},
        {"num_key_value_heads", hp->n_kv_heads, MAX_WIDTH},
        {"head_dim", hp->head_dim, MAX_WIDTH},
        {"num_local_experts", hp->n_experts, MAX_EXPERTS},
        {"num_experts_per_tok", hp->top_k, MAX_EXPERTS},
        {"max_position_embeddings", hp->max_pos, INT32_MAX},
    };
    for (int i = 0; i < ARRAY_LEN(sizes); i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].max)
            return ERR(ERR_INPUT, "%s: \"%s\" is %lld, expected 1 to %lld", where,
                       sizes[i].key, (long long)sizes[i].value,
                       (long long)sizes[i].max);
    return STATUS_OK;
}

int hparams_check(const struct hparams *hp, const char *where)
{
    TRY(check_positive(hp, where));
    if (hp->n_heads % hp->n_kv_heads != 0)
        return ERR(ERR_INPUT,
                   "%s: \"num_attention_heads\" %lld is not a multiple of "
                   "\"num_key_value_heads\" %lld",
                   where, (long long)hp->n_heads, (long long)hp->n_kv_heads);
    if (hp->top_k > hp->n_experts)
        return ERR(ERR_INPUT,
                   "%s: \"num_experts_per_tok\" is %lld, more than "
                   "\"num_local_experts\", %lld",
                   where, (long long)hp->top_k, (long long)hp->n_experts);
    if (hp->n_layers * hp->n_experts > MAX_EXPERTS_IN_ALL)
        return ERR(ERR_INPUT,
                   "%s: \"num_hidden_layers\" %lld x \"num_local_experts\" %lld: more "
                   "than %d experts in all",
                   where, (long long)hp->n_layers, (long long)hp->n_experts,
                   MAX_EXPERTS_IN_ALL);
    if (hp->rope.rot < 2 || hp->rope.rot % 2 != 0 || hp->rope.rot > hp->head_dim)
        return ERR(ERR_INPUT,
                   "%s: %lld rotated dims in a \"head_dim\" of %lld: expected an even "
                   "number, at most head_dim",
                   where, (long long)hp->rope.rot, (long long)hp->head_dim);
    if (hp->window < 0)
        return ERR(ERR_INPUT, "%s: \"sliding_window\" is %lld, expected at least 0",
                   where, (long long)hp->window);
    TRY(check_reals(hp, where));
    TRY(check_ids(hp, where));
    return check_total(hp, where);
}

/* Weights of a layer with n experts in it. */
static int64_t layer_n_params(const struct hparams *hp, int64_t n_experts)
{
    const int64_t q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    return 2 * hp->d_model + (2 * q + 2 * kv) * hp->d_model +
           hp->n_experts * hp->d_model + n_experts * 3 * hp->d_ff * hp->d_model;
}

static int64_t n_params(const struct hparams *hp, int64_t n_experts)
{
    return (hp->is_tied ? 1 : 2) * hp->n_vocab * hp->d_model +
           hp->n_layers * layer_n_params(hp, n_experts) + hp->d_model;
}

int64_t hparams_n_params(const struct hparams *hp)
{
    return n_params(hp, hp->n_experts);
}

int64_t hparams_n_active(const struct hparams *hp) { return n_params(hp, hp->top_k); }
