/*
 * The forward pass. Memory: one block per struct acts, laid out twice by the same
 * function - first without a base to measure, then with it - so that the plan and the
 * pointers cannot disagree.
 */
#include "model/model.h"

#include <math.h>
#include <string.h>

#include "core/carve.h"
#include "core/mem.h"
#include "model/route.h"

int model_init(struct model *m, struct backend *b, const struct hparams *hp,
               const void *data, enum dtype dtype, int64_t n_pos, int64_t n_softmax)
{
    *m = (struct model){.b = b,
                        .hp = *hp,
                        .data = data,
                        .dtype = dtype,
                        .n_pos = n_pos,
                        .n_softmax = n_softmax};
    if (n_softmax < 1 || n_softmax > hp->n_vocab)
        return ERR(
            ERR_INPUT,
            "the tokenizer has %lld tokens, but the model's vocabulary only %lld "
            "rows: is this the model's own tokenizer.json?",
            (long long)n_softmax, (long long)hp->n_vocab);
    TRY(param_table_create_in(&m->table, hp, b->product_layout));
    const int64_t n = n_pos * (hp->rope.rot / 2);
    const size_t bytes = (size_t)n * sizeof(float);
    float *const host = mem_alloc(2 * bytes);
    hparams_rope_table(hp, host, host + n, n_pos);
    void *dev = NULL;
    const int status = b->reserve(b, &dev, 2 * bytes, "rope table");
    if (status == STATUS_OK) {
        b->upload(b, dev, host, 2 * bytes);
        m->rope = (struct rope_table){
            .cos = dev, .sin = (float *)dev + n, .n_pos = n_pos, .rot = hp->rope.rot};
    }
    mem_free(host);
    return status;
}

void model_release(struct model *m)
{
    if (m->rope.cos != NULL) {
        const int64_t n = m->rope.n_pos * (m->rope.rot / 2);
        /* the table is the model's own, const only for readers */
        union {
            const float *c;
            void *p;
        } table = {.c = m->rope.cos};
        m->b->release(m->b, table.p, 2 * (size_t)n * sizeof(float));
    }
    param_table_release(&m->table);
    *m = (struct model){0};
}

struct weight model_weight(const struct model *m, enum param_role role, int64_t layer)
{
    const bool is_head = role == PARAM_HEAD;
    if (is_head && m->hp.is_tied)
        role = PARAM_EMBED;
    const struct param *const p = param_find(&m->table, role, layer);
    CHECK(p != NULL, "no parameter of role %d in layer %lld", (int)role,
          (long long)layer);
    return (struct weight){.data = (const char *)m->data +
                                   (size_t)p->off * dtype_bytes(m->dtype),
                           .dtype = m->dtype,
                           .layout = p->layout,
                           .n_mats = p->n_mats,
                           .n = is_head ? p->n_held : p->n,
                           .k = p->k};
}

static int64_t cache_floats(const struct hparams *hp, int64_t n_pages)
{
    return n_pages * 2 * hp->n_kv_heads * hp->head_dim * KV_BLOCK;
}

static int64_t qkv_width(const struct hparams *hp)
{
    return (hp->n_heads + 2 * hp->n_kv_heads) * hp->head_dim;
}

/* Rows that only products read */
static void *carve_product_rows(struct carver *c, const struct acts *a, int64_t rows,
                                int64_t cols)
{
    return carve(c, rows * cols, dtype_bytes(a->product_rows));
}

/* Everything of a layer but x, experts and cache, whose sharing differs by mode. */
static void lay_out_layer(struct layer_acts *la, const struct acts *a, struct carver *c,
                          const struct hparams *hp)
{
    const int64_t n = a->max.n_rows, nk = n * hp->top_k;
    la->xn1 = carve_product_rows(c, a, n, hp->d_model);
    la->qkv = carve_f32(c, n, qkv_width(hp));
    la->att = carve_f32(c, n, hp->n_heads * hp->head_dim);
    la->lse = carve_f32(c, n, hp->n_heads);
    la->x_mid = carve_f32(c, n, hp->d_model);
    la->xn2 = carve_product_rows(c, a, n, hp->d_model);
    la->router_logits = carve_f32(c, n, hp->n_experts);
    la->weights = carve_f32(c, n, hp->top_k);
    la->off = carve_i32(c, hp->n_experts + 1);
    la->src = carve_i32(c, nk);
    la->place = carve_i32(c, nk);
    la->xg = carve_product_rows(c, a, nk, hp->d_model);
    la->gu = carve_f32(c, nk, 2 * hp->d_ff);
}

static void lay_out_head(struct acts *a, struct carver *c, const struct hparams *hp)
{
    const int64_t m = a->max.n_head_rows;
    a->head_x = carve_f32(c, m, hp->d_model);
    a->head_xn = carve_product_rows(c, a, m, hp->d_model);
    a->logits = carve_f32(c, m, a->ld_logits);
    a->head_logp = carve_f32(c, m, 1);
    a->head_lse = carve_f32(c, m, 1);
    a->head_entropy = carve_f32(c, m, 1);
    a->head_rows = carve_i32(c, m);
    a->head_target = carve_i32(c, m);
}

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* The widest gradient that products read, in elements: of gu, qkv, x or the router */
static int64_t rounded_elems(const struct acts *a, const struct hparams *hp)
{
    const int64_t pairs = hp->top_k * max64(2 * hp->d_ff, hp->d_model);
    return a->max.n_rows * max64(max64(pairs, qkv_width(hp)), hp->n_experts);
}

static void lay_out_backward(struct acts *a, struct carver *c, const struct hparams *hp)
{
    const int64_t n = a->max.n_rows, m = a->max.n_head_rows;
    a->dx = carve_f32(c, n, hp->d_model);
    a->dtmp = carve_f32(c, n, hp->d_model);
    a->dmid = carve_f32(c, n, hp->d_model);
    a->dqkv = carve_f32(c, n, qkv_width(hp));
    a->datt = carve_f32(c, n, hp->n_heads * hp->head_dim);
    a->dh = carve_f32(c, n * hp->top_k, hp->d_ff);
    if (a->product_rows != DTYPE_F32)
        a->rounded = carve_product_rows(c, a, rounded_elems(a, hp), 1);
    a->dweights = carve_f32(c, n, hp->top_k);
    a->drouter = carve_f32(c, n, hp->n_experts);
    a->dcache_bytes = (size_t)cache_floats(hp, a->max.n_pages) * sizeof(float);
    a->dcache = carve_f32(c, cache_floats(hp, a->max.n_pages), 1);
    a->dlogits = a->product_rows == DTYPE_F32
                     ? a->logits
                     : carve_product_rows(c, a, m, a->ld_logits);
    a->dhead_x = carve_f32(c, m, hp->d_model);
    a->dhead_xn = carve_f32(c, m, hp->d_model);
    a->head_dlogp = carve_f32(c, m, 1);
    a->head_dent = carve_f32(c, m, 1);
    a->router_sums = carve(c, 2 * hp->n_experts + 1, sizeof(double));
    a->aux_f = carve_f32(c, hp->n_experts, 1);
    a->own_experts = carve_i32(c, hp->n_layers * n * hp->top_k);
    a->load = carve(c, hp->n_layers * (2 * hp->n_experts + 1), sizeof(double));
}

/* layers is an array of L, filled. */
static void lay_out(struct acts *a, struct layer_acts *layers, struct carver *c,
                    const struct hparams *hp)
{
    const int64_t n = a->max.n_rows;
    const bool is_infer = a->max.mode == ACTS_INFER;
    const int64_t page_floats = cache_floats(hp, a->max.n_pages);
    a->cache_layer_bytes = (size_t)page_floats * sizeof(float);
    a->experts = carve_i32(c, hp->n_layers * n * hp->top_k);
    a->o = carve_f32(c, n * hp->top_k, hp->d_model);
    a->h = carve_product_rows(c, a, n * hp->top_k, hp->d_ff);
    a->x_last = carve_f32(c, n, hp->d_model);
    for (int64_t l = 0; l < hp->n_layers; l++) {
        struct layer_acts *const la = &layers[l];
        if (l > 0 && a->max.mode != ACTS_KEEP)
            *la = layers[0];
        else
            lay_out_layer(la, a, c, hp);
        /* inference: layer 0's input buffer is the residual stream, updated in place */
        if (l == 0 || !is_infer)
            la->x = carve_f32(c, n, hp->d_model);
        /* rollout's cache outlives the pass; recomputation rebuilds a layer's pages */
        if (l == 0 || a->max.mode != ACTS_RECOMPUTE)
            la->cache = carve_f32(c, page_floats, 1);
    }
    lay_out_head(a, c, hp);
    if (!is_infer)
        lay_out_backward(a, c, hp);
}

/* Nothing is carved yet */
static struct acts acts_of(const struct model *m, const struct acts_limits *max)
{
    const bool is_narrow = m->dtype == DTYPE_BF16;
    return (struct acts){.max = *max,
                         .ld_logits = model_weight(m, PARAM_HEAD, -1).n,
                         .product_rows = is_narrow ? m->b->product_rows : DTYPE_F32,
                         .b = m->b};
}

size_t acts_bytes(const struct model *m, const struct acts_limits *max)
{
    struct acts a = acts_of(m, max);
    struct carver c = {.base = NULL};
    struct layer_acts *const layers = mem_alloc((size_t)m->hp.n_layers *
                                                sizeof(*layers));
    lay_out(&a, layers, &c, &m->hp);
    mem_free(layers);
    return c.used;
}

size_t acts_logits_bytes(const struct model *m, const struct acts_limits *max)
{
    const struct acts a = acts_of(m, max);
    const bool has_apart = max->mode != ACTS_INFER && a.product_rows != DTYPE_F32;
    const size_t grad = has_apart ? dtype_bytes(a.product_rows) : 0;
    return (size_t)(max->n_head_rows * a.ld_logits) * (sizeof(float) + grad);
}

int acts_init(struct acts *a, const struct model *m, const struct acts_limits *max)
{
    *a = acts_of(m, max);
    const size_t bytes = acts_bytes(m, max);
    void *block = NULL;
    TRY(m->b->reserve(m->b, &block, bytes, "activations"));
    struct carver c = {.base = block};
    a->layers = mem_alloc((size_t)m->hp.n_layers * sizeof(*a->layers));
    lay_out(a, a->layers, &c, &m->hp);
    a->block = block;
    a->block_bytes = bytes;
    return STATUS_OK;
}

void acts_release(struct acts *a)
{
    if (a->block != NULL)
        a->b->release(a->b, a->block, a->block_bytes);
    mem_free(a->layers);
    *a = (struct acts){0};
}

struct attn_batch model_attention(const struct model *m, const struct batch *t)
{
    struct attn_batch at = batch_attention(t);
    at.n_heads = m->hp.n_heads;
    at.n_kv_heads = m->hp.n_kv_heads;
    at.head_dim = m->hp.head_dim;
    at.window = m->hp.window;
    at.ld_q = qkv_width(&m->hp);
    at.scale = 1.0f / sqrtf((float)m->hp.head_dim);
    at.is_narrow = m->dtype == DTYPE_BF16;
    return at;
}

struct rows acts_rows(const struct acts *a, const void *p)
{
    return (struct rows){.data = p, .dtype = a->product_rows};
}

/* From la->xn1: la->att */
static void attention_fwd(const struct model *m, const struct acts *a,
                          const struct batch *t, int64_t l)
{
    const struct layer_acts *const la = &a->layers[l];
    struct backend *const b = m->b;
    const int64_t n = t->n_rows;
    const struct weight w_qkv = model_weight(m, PARAM_QKV, l);
    b->gemm_fwd(b, la->qkv, acts_rows(a, la->xn1), &w_qkv, NULL, n);
    const struct attn_batch at = model_attention(m, t);
    const struct rope_kv kv = {.table = &m->rope,
                               .pos = t->dev.pos,
                               .dst_off = t->dev.dst_off,
                               .dst = t->dev.dst,
                               .n_heads = at.n_heads,
                               .n_kv_heads = at.n_kv_heads,
                               .head_dim = at.head_dim,
                               .ld = at.ld_q,
                               .is_narrow = at.is_narrow};
    b->rope_kv_write(b, la->cache, la->qkv, &kv, n);
    b->attn_fwd(b, la->att, la->lse, la->qkv, la->cache, &at);
}

/* From la->xn2: the routes and la->gu */
static void experts_fwd(const struct model *m, struct acts *a,
                        const struct layer_acts *la, int64_t l, int64_t n)
{
    struct backend *const b = m->b;
    const struct hparams *const hp = &m->hp;
    const struct weight w_gate_up = model_weight(m, PARAM_GATE_UP, l);
    const struct moe_order order = {.off = la->off,
                                    .src = la->src,
                                    .place = la->place,
                                    .n_experts = hp->n_experts,
                                    .top_k = hp->top_k};
    model_route(m, a, la, l, n);
    b->moe_dispatch(b, la->xg, &order, la->experts, acts_rows(a, la->xn2), hp->d_model,
                    n);
    b->gemm_fwd(b, la->gu, acts_rows(a, la->xg), &w_gate_up, la->off, n * hp->top_k);
}

/* y (product rows) = the norm of what r sums up to, which goes to sum */
static void norm_fwd(const struct model *m, const struct acts *a,
                     const struct weight *w, void *y, float *sum,
                     const struct residual *r, int64_t n)
{
    m->b->residual_norm(m->b, y, a->product_rows, sum, r, w, (float)m->hp.rms_eps, n);
}

void model_layer_start(const struct model *m, const struct acts *a,
                       const struct batch *t, int64_t l)
{
    const struct layer_acts *const la = &a->layers[l];
    const struct residual r = {.x = la->x};
    const struct weight norm = model_weight(m, PARAM_NORM1, l);
    norm_fwd(m, a, &norm, la->xn1, NULL, &r, t->n_rows);
}

void model_layer_fwd(const struct model *m, struct acts *a, const struct batch *t,
                     int64_t l)
{
    struct backend *const b = m->b;
    const struct layer_acts *const la = &a->layers[l];
    const int64_t n = t->n_rows;
    const struct weight w_o = model_weight(m, PARAM_O, l);
    attention_fwd(m, a, t, l);
    b->gemm_fwd(b, a->o, rows_f32(la->att), &w_o, NULL, n);
    const struct residual r = {.x = la->x, .o = a->o};
    const struct weight norm = model_weight(m, PARAM_NORM2, l);
    norm_fwd(m, a, &norm, la->xn2, la->x_mid, &r, n);
    experts_fwd(m, a, la, l, n);
}

/* From la->gu: the next layer's x and xn1, or x_last */
static void layer_end(const struct model *m, struct acts *a, const struct batch *t,
                      int64_t l)
{
    struct backend *const b = m->b;
    const struct layer_acts *const la = &a->layers[l];
    const int64_t n = t->n_rows, k = m->hp.top_k;
    const struct weight w_down = model_weight(m, PARAM_DOWN, l);
    b->swiglu_fwd(b, a->h, a->product_rows, la->gu, m->hp.d_ff, n * k);
    b->gemm_fwd(b, a->o, acts_rows(a, a->h), &w_down, la->off, n * k);
    if (l + 1 == m->hp.n_layers) {
        b->moe_combine(b, a->x_last, la->x_mid, a->o, la->place, la->weights, k,
                       m->hp.d_model, n);
        return;
    }
    const struct layer_acts *const next = &a->layers[l + 1];
    const struct residual r = {.x = la->x_mid,
                               .o = a->o,
                               .place = la->place,
                               .weights = la->weights,
                               .top_k = k};
    const struct weight norm = model_weight(m, PARAM_NORM1, l + 1);
    norm_fwd(m, a, &norm, next->xn1, next->x, &r, n);
}

void model_forward(const struct model *m, struct acts *a, const struct batch *t)
{
    const int64_t n_layers = m->hp.n_layers;
    CHECK(t->n_rows <= a->max.n_rows, "%lld rows in arrays of %lld",
          (long long)t->n_rows, (long long)a->max.n_rows);
    CHECK(t->n_own_pages <= a->max.n_pages, "%lld pages in a cache of %lld",
          (long long)t->n_own_pages, (long long)a->max.n_pages);
    const struct weight embed = model_weight(m, PARAM_EMBED, -1);
    m->b->embed_fwd(m->b, a->layers[0].x, &embed, t->dev.ids, t->n_rows);
    model_place_experts(m, a, t->n_rows);
    model_layer_start(m, a, t, 0);
    for (int64_t l = 0; l < n_layers; l++) {
        model_layer_fwd(m, a, t, l);
        layer_end(m, a, t, l);
    }
}
