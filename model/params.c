/*
 * The parameter table and the names of its pieces on disk. Items: embedding; per layer
 * norm1, qkv, o, norm2, router, gate_up, down; final norm; head unless tied. Pieces of
 * a layer: norm1, q, k, v, o, norm2, router, then w1, w2, w3 of each expert. Both are
 * found by arithmetic; moving the values is model/params_pack.c.
 */
#include "model/params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum {
    ITEMS_PER_LAYER = PARAM_DOWN - PARAM_NORM1 + 1,
    PIECES_PER_LAYER = 7, /* and three per expert */
    PIECES_PER_EXPERT = 3,
    /* 64 bytes of the narrowest dtype */
    ALIGN_ELEMS = 32,
    /* rows of logits then start on 16 bytes, in bf16 too, as device kernels want them
     */
    ALIGN_OUTPUTS = 8
};

static void add(struct param_table *t, struct param p)
{
    p.off = t->n_elems;
    p.n_elems = weight_n_elems(p.layout, p.n_mats, p.n_held, p.k);
    t->n_elems += (p.n_elems + ALIGN_ELEMS - 1) / ALIGN_ELEMS * ALIGN_ELEMS;
    t->items[t->n++] = p;
}

static struct param norm(enum param_role role, int64_t layer, const struct hparams *hp)
{
    return (struct param){.role = role,
                          .layer = layer,
                          .layout = WEIGHT_PLAIN,
                          .n_mats = 1,
                          .n = 1,
                          .n_held = 1,
                          .k = hp->d_model};
}

static struct param matrix(const struct param_table *t, enum param_role role,
                           int64_t layer, int64_t n, int64_t k, double init_std)
{
    return (struct param){.role = role,
                          .layer = layer,
                          .layout = t->layout,
                          .n_mats = 1,
                          .n = n,
                          .n_held = n,
                          .k = k,
                          .is_decayed = true,
                          .init_std = (float)init_std};
}

static struct param experts(const struct param_table *t, enum param_role role,
                            int64_t layer, const struct hparams *hp, double init_std)
{
    const bool is_down = role == PARAM_DOWN;
    struct param p = matrix(t, role, layer, is_down ? hp->d_model : 2 * hp->d_ff,
                            is_down ? hp->d_ff : hp->d_model, init_std);
    p.n_mats = hp->n_experts;
    return p;
}

static void add_layer(struct param_table *t, const struct hparams *hp, int64_t layer)
{
    const int64_t d = hp->d_model, q = hp->n_heads * hp->head_dim;
    const double std = hp->init_std;
    /* what writes into the residual stream: 2 L summands keep its scale (GPT-2) */
    const double out_std = std / sqrt(2.0 * (double)hp->n_layers);
    add(t, norm(PARAM_NORM1, layer, hp));
    add(t, matrix(t, PARAM_QKV, layer, q + 2 * hp->n_kv_heads * hp->head_dim, d, std));
    add(t, matrix(t, PARAM_O, layer, d, q, out_std));
    add(t, norm(PARAM_NORM2, layer, hp));
    add(t, matrix(t, PARAM_ROUTER, layer, hp->n_experts, d, std));
    add(t, experts(t, PARAM_GATE_UP, layer, hp, std));
    add(t, experts(t, PARAM_DOWN, layer, hp, out_std));
}

int param_table_create(struct param_table *t, const struct hparams *hp)
{
    return param_table_create_in(t, hp, WEIGHT_PACKED);
}

/* The matrix whose product gives logits; panels are padded anyway */
static struct param head(const struct param_table *t, enum param_role role,
                         const struct hparams *hp)
{
    struct param p = matrix(t, role, -1, hp->n_vocab, hp->d_model, hp->init_std);
    if (t->layout == WEIGHT_PLAIN)
        p.n_held = (p.n + ALIGN_OUTPUTS - 1) / ALIGN_OUTPUTS * ALIGN_OUTPUTS;
    return p;
}

int param_table_create_in(struct param_table *t, const struct hparams *hp,
                          enum weight_layout layout)
{
    TRY(hparams_check(hp, "model")); /* bounds every size below */
    const int64_t n = hp->n_layers * ITEMS_PER_LAYER + 3;
    struct param_table made = {.items = mem_alloc((size_t)n * sizeof(*made.items)),
                               .layout = layout};
    struct param embed = head(&made, PARAM_EMBED, hp);
    if (!hp->is_tied) {
        embed.layout = WEIGHT_PLAIN;
        embed.n_held = embed.n;
    }
    add(&made, embed);
    for (int64_t layer = 0; layer < hp->n_layers; layer++)
        add_layer(&made, hp, layer);
    add(&made, norm(PARAM_NORM_F, -1, hp));
    if (!hp->is_tied)
        add(&made, head(&made, PARAM_HEAD, hp));
    *t = made;
    return STATUS_OK;
}

void param_table_release(struct param_table *t)
{
    if (t == NULL)
        return;
    mem_free(t->items);
    *t = (struct param_table){0};
}

static int64_t n_layers(const struct param_table *t)
{
    return (t->n - 2) / ITEMS_PER_LAYER;
}

const struct param *param_find(const struct param_table *t, enum param_role role,
                               int64_t layer)
{
    int64_t i = -1;
    switch (role) {
    case PARAM_EMBED:
        i = 0;
        break;
    case PARAM_NORM_F:
        i = 1 + n_layers(t) * ITEMS_PER_LAYER;
        break;
    case PARAM_HEAD:
        i = 2 + n_layers(t) * ITEMS_PER_LAYER;
        break;
    case PARAM_NORM1:
    case PARAM_QKV:
    case PARAM_O:
    case PARAM_NORM2:
    case PARAM_ROUTER:
    case PARAM_GATE_UP:
    case PARAM_DOWN:
        if (layer < 0 || layer >= n_layers(t))
            return NULL;
        i = 1 + layer * ITEMS_PER_LAYER + (int64_t)(role - PARAM_NORM1);
        break;
    }
    return i < t->n ? &t->items[i] : NULL;
}

static int64_t pieces_per_layer(const struct hparams *hp)
{
    return PIECES_PER_LAYER + PIECES_PER_EXPERT * hp->n_experts;
}

int64_t pieces_count(const struct param_table *t, const struct hparams *hp)
{
    return t->n - n_layers(t) * ITEMS_PER_LAYER + n_layers(t) * pieces_per_layer(hp);
}

/* A whole parameter or a row range of it. */
static void set_rows(struct piece *p, const struct param *param, int64_t mat,
                     int64_t row0, int64_t n_rows)
{
    p->param = param;
    p->mat = mat;
    p->row0 = row0;
    p->n_rows = n_rows;
    p->rank = param->is_decayed ? 2 : 1;
    p->shape[0] = p->rank == 2 ? n_rows : param->k;
    p->shape[1] = p->rank == 2 ? param->k : 0;
}

static void set_whole(struct piece *p, const struct param_table *t,
                      enum param_role role, int64_t layer, const char *name)
{
    const struct param *const param = param_find(t, role, layer);
    set_rows(p, param, 0, 0, param->n);
    if (layer < 0)
        snprintf(p->name, sizeof(p->name), "%s", name);
    else
        snprintf(p->name, sizeof(p->name), "model.layers.%lld.%s", (long long)layer,
                 name);
}

static void set_qkv(struct piece *p, const struct param_table *t,
                    const struct hparams *hp, int64_t layer, int which)
{
    const int64_t q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    const int64_t row0[] = {0, q, q + kv}, n_rows[] = {q, kv, kv};
    set_rows(p, param_find(t, PARAM_QKV, layer), 0, row0[which], n_rows[which]);
    snprintf(p->name, sizeof(p->name), "model.layers.%lld.self_attn.%c_proj.weight",
             (long long)layer, "qkv"[which]);
}

static void set_expert(struct piece *p, const struct param_table *t,
                       const struct hparams *hp, int64_t layer, int64_t i)
{
    const int64_t expert = i / PIECES_PER_EXPERT, which = i % PIECES_PER_EXPERT;
    if (which == 1)
        set_rows(p, param_find(t, PARAM_DOWN, layer), expert, 0, hp->d_model);
    else
        set_rows(p, param_find(t, PARAM_GATE_UP, layer), expert,
                 which == 0 ? 0 : hp->d_ff, hp->d_ff);
    snprintf(p->name, sizeof(p->name),
             "model.layers.%lld.block_sparse_moe.experts.%lld.w%lld.weight",
             (long long)layer, (long long)expert, (long long)which + 1);
}

static void get_in_layer(struct piece *p, const struct param_table *t,
                         const struct hparams *hp, int64_t layer, int64_t i)
{
    switch (i) {
    case 0:
        set_whole(p, t, PARAM_NORM1, layer, "input_layernorm.weight");
        return;
    case 1:
    case 2:
    case 3:
        set_qkv(p, t, hp, layer, (int)i - 1);
        return;
    case 4:
        set_whole(p, t, PARAM_O, layer, "self_attn.o_proj.weight");
        return;
    case 5:
        set_whole(p, t, PARAM_NORM2, layer, "post_attention_layernorm.weight");
        return;
    case 6:
        set_whole(p, t, PARAM_ROUTER, layer, "block_sparse_moe.gate.weight");
        return;
    default:
        set_expert(p, t, hp, layer, i - PIECES_PER_LAYER);
    }
}

void piece_get(struct piece *out, const struct param_table *t, const struct hparams *hp,
               int64_t i)
{
    const int64_t n = pieces_count(t, hp), per_layer = pieces_per_layer(hp);
    const int64_t n_in_layers = n_layers(t) * per_layer;
    CHECK(i >= 0 && i < n, "piece %lld of %lld", (long long)i, (long long)n);
    if (i == 0)
        set_whole(out, t, PARAM_EMBED, -1, "model.embed_tokens.weight");
    else if (i <= n_in_layers)
        get_in_layer(out, t, hp, (i - 1) / per_layer, (i - 1) % per_layer);
    else if (i == n_in_layers + 1)
        set_whole(out, t, PARAM_NORM_F, -1, "model.norm.weight");
    else
        set_whole(out, t, PARAM_HEAD, -1, "lm_head.weight");
}
