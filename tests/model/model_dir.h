/*
 * Test helper: checkpoint directories made without the code under test. A checkpoint is
 * a list of tensors, which a test may rename, drop, damage or spread over files before
 * it is written. Values are multiples of 1/64 below 2, exact in F32, BF16 and F16, and
 * a function of (hub name, row, column) alone.
 */
#ifndef TESTS_MODEL_MODEL_DIR_H
#define TESTS_MODEL_MODEL_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/tensor.h"
#include "model/hparams.h"

#define assert_ok(call)                                                                \
    do {                                                                               \
        if ((call) != STATUS_OK)                                                       \
            fail_msg("%s: %s", #call, status_message());                               \
    } while (0)
/* The call fails with a message that contains `fragment`. */
#define assert_error(call, fragment)                                                   \
    do {                                                                               \
        if ((call) == STATUS_OK)                                                       \
            fail_msg("%s succeeded, expected \"%s\"", #call, fragment);                \
        if (strstr(status_message(), fragment) == NULL)                                \
            fail_msg("message \"%s\" lacks \"%s\"", status_message(), fragment);       \
    } while (0)

enum { MAX_TENSORS_IN_TEST = 256 };

struct dir_tensor {
    char name[160];
    char dtype[16];
    int rank;
    int64_t shape[3];
    unsigned char *data;
    size_t bytes;
    int file;
};
struct dir_model {
    struct hparams hp;
    struct dir_tensor tensors[MAX_TENSORS_IN_TEST];
    int n;
};

static inline char *temp_dir(void)
{
    const char *const base = getenv("TMPDIR");
    char *const path = io_join(base == NULL ? "/tmp" : base, "moe_grpo_test_XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void drop_dir(char *path)
{
    assert_ok(io_remove_tree(path));
    mem_free(path);
}

static inline void write_bytes(const char *dir, const char *name, const void *data,
                               size_t len)
{
    char *const path = io_join(dir, name);
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    mem_free(path);
}

static inline void write_string(const char *dir, const char *name, const char *text)
{
    write_bytes(dir, name, text, strlen(text));
}

/* u64 length, header, data */
static inline void write_raw(const char *dir, const char *name, const char *header,
                             const void *data, size_t bytes)
{
    struct buf b = {0};
    const uint64_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        buf_append(&b, &(char){(char)(n >> (8 * i))}, 1);
    buf_puts(&b, header);
    buf_append(&b, data, bytes);
    write_bytes(dir, name, b.data, b.len);
    buf_release(&b);
}

/* E = 3, k = 2, GQA 4:2, heads of 10: row ranges that begin inside panels */
static inline struct hparams small_hparams(void)
{
    return (struct hparams){.n_vocab = 70,
                            .d_model = 36,
                            .d_ff = 20,
                            .n_layers = 2,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 10,
                            .n_experts = 3,
                            .top_k = 2,
                            .max_pos = 64,
                            .rms_eps = 1e-5,
                            .aux_coef = 0.001,
                            .init_std = 0.02,
                            .rope = {.theta = 1e6, .rot = 10},
                            .bos_id = 1,
                            .pad_id = -1,
                            .eos_ids = {2},
                            .n_eos = 1};
}

static inline float value_of(const char *hub_name, int64_t row, int64_t col)
{
    uint32_t h = 2166136261u;
    for (const char *c = hub_name; *c != 0; c++)
        h = (h ^ (unsigned char)*c) * 16777619u;
    const uint64_t mixed = (h + (uint64_t)row * 7919u + (uint64_t)col * 104729u) *
                           0x9E3779B97F4A7C15u;
    return (float)((int64_t)(mixed >> 40) % 251 - 125) / 64.0f;
}

static inline size_t size_of_dtype(const char *dtype)
{
    return strcmp(dtype, "F32") == 0 ? 4 : 2;
}

static inline void fill_value(struct dir_tensor *t, int64_t at, float v)
{
    const enum dtype d = strcmp(t->dtype, "F32") == 0    ? DTYPE_F32
                         : strcmp(t->dtype, "BF16") == 0 ? DTYPE_BF16
                                                         : DTYPE_F16;
    dtype_put(t->data, d, at, v);
}

static inline struct dir_tensor *add_tensor(struct dir_model *m, const char *name,
                                            const char *dtype, int64_t rows,
                                            int64_t cols)
{
    assert_true(m->n < MAX_TENSORS_IN_TEST);
    struct dir_tensor *const t = &m->tensors[m->n++];
    *t = (struct dir_tensor){.rank = rows > 0 ? 2 : 1};
    snprintf(t->name, sizeof(t->name), "%s", name);
    snprintf(t->dtype, sizeof(t->dtype), "%s", dtype);
    t->shape[0] = rows > 0 ? rows : cols;
    t->shape[1] = cols;
    const int64_t n_rows = rows > 0 ? rows : 1;
    t->bytes = (size_t)(n_rows * cols) * size_of_dtype(dtype);
    t->data = mem_alloc(t->bytes);
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < cols; j++)
            fill_value(t, i * cols + j, value_of(name, i, j));
    return t;
}

static inline void add_layer_tensors(struct dir_model *m, const char *dtype, int layer)
{
    const struct hparams *const hp = &m->hp;
    const int64_t q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    const struct {
        const char *name;
        int64_t rows, cols;
    } parts[] = {{"input_layernorm.weight", 0, hp->d_model},
                 {"self_attn.q_proj.weight", q, hp->d_model},
                 {"self_attn.k_proj.weight", kv, hp->d_model},
                 {"self_attn.v_proj.weight", kv, hp->d_model},
                 {"self_attn.o_proj.weight", hp->d_model, q},
                 {"post_attention_layernorm.weight", 0, hp->d_model},
                 {"block_sparse_moe.gate.weight", hp->n_experts, hp->d_model}};
    char name[160];
    for (int i = 0; i < ARRAY_LEN(parts); i++) {
        snprintf(name, sizeof(name), "model.layers.%d.%s", layer, parts[i].name);
        add_tensor(m, name, dtype, parts[i].rows, parts[i].cols);
    }
    for (int e = 0; e < hp->n_experts; e++)
        for (int w = 1; w <= 3; w++) {
            snprintf(name, sizeof(name),
                     "model.layers.%d.block_sparse_moe.experts.%d.w%d.weight", layer, e,
                     w);
            add_tensor(m, name, dtype, w == 2 ? hp->d_model : hp->d_ff,
                       w == 2 ? hp->d_ff : hp->d_model);
        }
}

/* Per-expert hub names. */
static inline struct dir_model *small_model(const char *dtype, bool is_tied)
{
    struct dir_model *const m = mem_alloc(sizeof(*m));
    m->hp = small_hparams();
    m->hp.is_tied = is_tied;
    add_tensor(m, "model.embed_tokens.weight", dtype, m->hp.n_vocab, m->hp.d_model);
    for (int layer = 0; layer < m->hp.n_layers; layer++)
        add_layer_tensors(m, dtype, layer);
    add_tensor(m, "model.norm.weight", dtype, 0, m->hp.d_model);
    if (!is_tied)
        add_tensor(m, "lm_head.weight", dtype, m->hp.n_vocab, m->hp.d_model);
    return m;
}

static inline void free_model(struct dir_model *m)
{
    for (int i = 0; i < m->n; i++)
        mem_free(m->tensors[i].data);
    mem_free(m);
}

static inline struct dir_tensor *get_tensor(struct dir_model *m, const char *name)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    fail_msg("no tensor %s in the test's model", name);
    abort(); /* not reached */
}

static inline void drop_tensor(struct dir_model *m, const char *name)
{
    struct dir_tensor *const t = get_tensor(m, name);
    mem_free(t->data);
    m->n--;
    memmove(t, t + 1, (size_t)(&m->tensors[m->n] - t) * sizeof(*t));
}

/* One layer's experts as gate_up_proj (E, 2F, D) and down_proj (E, D, F). */
static inline void fuse_layer(struct dir_model *m, int layer)
{
    const int64_t e = m->hp.n_experts, f = m->hp.d_ff, d = m->hp.d_model;
    char name[160];
    snprintf(name, sizeof(name), "model.layers.%d.block_sparse_moe.gate.weight", layer);
    struct dir_tensor *const router = get_tensor(m, name);
    char dtype[16];
    memcpy(dtype, router->dtype, sizeof(dtype));
    snprintf(router->name, sizeof(name), "model.layers.%d.mlp.gate.weight", layer);
    snprintf(name, sizeof(name), "model.layers.%d.mlp.experts.gate_up_proj", layer);
    add_tensor(m, name, dtype, e * 2 * f, d);
    snprintf(name, sizeof(name), "model.layers.%d.mlp.experts.down_proj", layer);
    add_tensor(m, name, dtype, e * d, f);
    struct dir_tensor *const up = &m->tensors[m->n - 2], *const down = up + 1;
    up->rank = down->rank = 3;
    memcpy(up->shape, (const int64_t[]){e, 2 * f, d}, sizeof(up->shape));
    memcpy(down->shape, (const int64_t[]){e, d, f}, sizeof(down->shape));
    for (int64_t i = 0; i < e; i++)
        for (int w = 1; w <= 3; w++) {
            snprintf(name, sizeof(name),
                     "model.layers.%d.block_sparse_moe.experts.%d.w%d.weight", layer,
                     (int)i, w);
            const struct dir_tensor *const from = get_tensor(m, name);
            struct dir_tensor *const to = get_tensor(m, w == 2 ? down->name : up->name);
            const size_t slot = w == 2 ? (size_t)i : (size_t)(2 * i + (w == 3));
            memcpy(to->data + slot * from->bytes, from->data, from->bytes);
        }
    for (int64_t i = 0; i < e; i++)
        for (int w = 1; w <= 3; w++) {
            snprintf(name, sizeof(name),
                     "model.layers.%d.block_sparse_moe.experts.%d.w%d.weight", layer,
                     (int)i, w);
            drop_tensor(m, name);
        }
}

static inline void put_entry(struct buf *header, const struct dir_tensor *t, size_t off)
{
    buf_printf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
               header->len > 1 ? "," : "", t->name, t->dtype);
    for (int i = 0; i < t->rank; i++)
        buf_printf(header, "%s%lld", i > 0 ? "," : "", (long long)t->shape[i]);
    buf_printf(header, "],\"data_offsets\":[%zu,%zu]}", off, off + t->bytes);
}

/* The tensors of one file in list order; `pad` blanks after the header shift the data.
 */
static inline void write_model_file(const struct dir_model *m, const char *dir,
                                    const char *name, int file, int pad)
{
    struct buf header = {0}, data = {0};
    buf_puts(&header, "{");
    for (int i = 0; i < m->n; i++) {
        if (m->tensors[i].file != file)
            continue;
        put_entry(&header, &m->tensors[i], data.len);
        buf_append(&data, m->tensors[i].data, m->tensors[i].bytes);
    }
    buf_puts(&header, "}");
    for (int i = 0; i < pad; i++)
        buf_puts(&header, " ");
    write_raw(dir, name, header.data, data.data, data.len);
    buf_release(&header);
    buf_release(&data);
}

/* shard-0.safetensors ... and the index, unless `index` gives its text */
static inline void write_shard_files(const struct dir_model *m, const char *dir,
                                     int n_files, const char *index)
{
    struct buf b = {0};
    char name[40];
    for (int i = 0; i < n_files; i++) {
        snprintf(name, sizeof(name), "shard-%d.safetensors", i);
        write_model_file(m, dir, name, i, i);
    }
    buf_puts(&b, "{\"weight_map\":{");
    for (int i = 0; i < m->n; i++)
        buf_printf(&b, "%s\"%s\":\"shard-%d.safetensors\"", i > 0 ? "," : "",
                   m->tensors[i].name, m->tensors[i].file);
    buf_puts(&b, "}}");
    write_string(dir, "model.safetensors.index.json", index == NULL ? b.data : index);
    buf_release(&b);
}

static inline void write_config(const struct dir_model *m, const char *dir)
{
    const struct hparams *const hp = &m->hp;
    struct buf b = {0};
    buf_printf(&b,
               "{\"model_type\":\"mixtral\",\"vocab_size\":%lld,\"hidden_size\":%lld,"
               "\"intermediate_size\":%lld,\"num_hidden_layers\":%lld,"
               "\"num_attention_heads\":%lld,\"num_key_value_heads\":%lld,"
               "\"head_dim\":%lld,\"num_local_experts\":%lld,"
               "\"num_experts_per_tok\":%lld,\"max_position_embeddings\":%lld,"
               "\"tie_word_embeddings\":%s}",
               (long long)hp->n_vocab, (long long)hp->d_model, (long long)hp->d_ff,
               (long long)hp->n_layers, (long long)hp->n_heads,
               (long long)hp->n_kv_heads, (long long)hp->head_dim,
               (long long)hp->n_experts, (long long)hp->top_k, (long long)hp->max_pos,
               hp->is_tied ? "true" : "false");
    write_string(dir, "config.json", b.data);
    buf_release(&b);
}

/* A fixture shared beside the repository, or NULL. Free with mem_free. */
static inline char *fixture_path(const char *name)
{
    const char *const shared = getenv("MOE_GRPO_SHARED");
    char *const root = io_join(shared == NULL ? "../shared" : shared,
                               "fixtures/checkpoints/cases");
    char *const path = io_join(root, name);
    mem_free(root);
    if (io_exists(path))
        return path;
    mem_free(path);
    return NULL;
}

#endif
