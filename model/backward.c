/*
 * The backward pass, layer by layer from the last.
 *
 * MoE, with o_p = W_down h_p at sorted place p of (row t, slot s), y_t = x_t + sum_s
 * w_ts o_p: dh_p = W_down^T dy_t; dw_ts = <dh_p, h_p> (= <dy_t, o_p>, so o is not
 * kept; h is computed again from gu); dW_down += dy_t (w h_p)^T; dh_p *= w; dgu =
 * swiglu'(dh); dW_gu += dgu xg^T; dxn2_t = W_r^T dlogits_t + sum_s (W_gu^T dgu)_p.
 * Attention: the gradients of keys and values are collected in pages like the cache's,
 * then read back per row, summing the copies that completions of a group hold of a
 * prompt's last page.
 */
#include "model/head.h"

static float *grad_of(const struct model *m, const struct model_grads *g,
                      enum param_role role, int64_t layer)
{
    if (role == PARAM_HEAD && m->hp.is_tied)
        role = PARAM_EMBED;
    return g->data + param_find(&m->table, role, layer)->off;
}

/* Rows x (n, width) as the products of a gradient read them: rounded once for all */
static struct rows product_rows(const struct model *m, struct acts *a, const float *x,
                                int64_t width, int64_t n)
{
    if (a->product_rows == DTYPE_F32)
        return rows_f32(x);
    m->b->rows_gather(m->b, a->rounded, a->product_rows, rows_f32(x), NULL, 1, width,
                      n);
    return acts_rows(a, a->rounded);
}

/* From a->dx: the gradients of the expert weights and a->dweights; a->o = that of xg */
static void experts_bwd(const struct model *m, struct acts *a, const struct batch *t,
                        const struct model_grads *g, int64_t l)
{
    struct backend *const b = m->b;
    const struct hparams *const hp = &m->hp;
    const struct layer_acts *const la = &a->layers[l];
    const int64_t k = hp->top_k, nk = t->n_rows * k;
    const struct weight w_gate_up = model_weight(m, PARAM_GATE_UP, l);
    const struct weight w_down = model_weight(m, PARAM_DOWN, l);
    const struct rows dy = acts_rows(a, a->o);
    void *const dgu = a->product_rows == DTYPE_F32 ? la->gu : a->rounded;
    b->rows_gather(b, a->o, a->product_rows, rows_f32(a->dx), la->src, k, hp->d_model,
                   nk);
    b->gemm_dx(b, a->dh, dy, &w_down, la->off, nk);
    const struct moe_act act = {.dh = a->dh,
                                .gu = la->gu,
                                .place = la->place,
                                .weights = la->weights,
                                .top_k = k,
                                .f = hp->d_ff};
    b->moe_act_bwd(b, a->dweights, a->h, dgu, a->product_rows, &act, t->n_rows);
    b->gemm_dw(b, grad_of(m, g, PARAM_DOWN, l), dy, acts_rows(a, a->h), &w_down,
               la->off, nk);
    b->gemm_dw(b, grad_of(m, g, PARAM_GATE_UP, l), acts_rows(a, dgu),
               acts_rows(a, la->xg), &w_gate_up, la->off, nk);
    b->gemm_dx(b, a->o, acts_rows(a, dgu), &w_gate_up, la->off, nk);
}

/* From a->dx = gradient of the layer's output: a->drouter, a->dtmp = dxn2 + its norm.
 */
static void moe_bwd(const struct model *m, struct acts *a, const struct batch *t,
                    const struct model_loss *loss, const struct model_grads *g,
                    int64_t l)
{
    struct backend *const b = m->b;
    const struct hparams *const hp = &m->hp;
    const struct layer_acts *const la = &a->layers[l];
    const int64_t n = t->n_rows, k = hp->top_k;
    const struct weight w_router = model_weight(m, PARAM_ROUTER, l);
    experts_bwd(m, a, t, g, l);
    b->router_bwd(b, a->drouter, a->dweights, la->experts, la->weights, hp->n_experts,
                  k, n);
    if (loss->aux_f != NULL)
        b->router_aux_bwd(b, a->drouter, la->router_logits, a->aux_f, loss->z_coef,
                          hp->n_experts, n);
    const struct rows drouter = product_rows(m, a, a->drouter, hp->n_experts, n);
    if (!g->is_router_frozen)
        b->gemm_dw(b, grad_of(m, g, PARAM_ROUTER, l), drouter, acts_rows(a, la->xn2),
                   &w_router, NULL, n);
    b->gemm_dx(b, a->dmid, drouter, &w_router, NULL, n);
    b->moe_combine(b, a->dmid, a->dmid, a->o, la->place, NULL, k, hp->d_model, n);
    const struct weight norm = model_weight(m, PARAM_NORM2, l);
    b->rmsnorm_bwd(b, a->dtmp, grad_of(m, g, PARAM_NORM2, l), a->dmid, la->x_mid, &norm,
                   (float)hp->rms_eps, n);
}

/* From a->dmid = gradient of x_mid: a->dtmp = what reaches x through the attention. */
static void attention_bwd(const struct model *m, struct acts *a, const struct batch *t,
                          const struct model_grads *g, int64_t l)
{
    struct backend *const b = m->b;
    const struct hparams *const hp = &m->hp;
    const struct layer_acts *const la = &a->layers[l];
    const struct attn_batch at = model_attention(m, t);
    const int64_t n = t->n_rows;
    const struct weight w_o = model_weight(m, PARAM_O, l);
    const struct weight w_qkv = model_weight(m, PARAM_QKV, l);
    const struct weight norm = model_weight(m, PARAM_NORM1, l);
    const struct rows dmid = product_rows(m, a, a->dmid, hp->d_model, n);
    b->gemm_dw(b, grad_of(m, g, PARAM_O, l), dmid, rows_f32(la->att), &w_o, NULL, n);
    b->gemm_dx(b, a->datt, dmid, &w_o, NULL, n);
    const size_t page_bytes = a->dcache_bytes / (size_t)a->max.n_pages;
    b->zero(b, a->dcache, page_bytes * (size_t)t->n_own_pages);
    b->attn_bwd(b, a->dqkv, a->dcache, a->datt, la->att, la->lse, la->qkv, la->cache,
                &at);
    b->kv_read_bwd(b, a->dqkv + hp->n_heads * hp->head_dim, a->dcache, t->dev.dst_off,
                   t->dev.dst, hp->n_kv_heads, hp->head_dim, at.ld_q, n);
    b->rope(b, a->dqkv, &m->rope, t->dev.pos, hp->n_heads + hp->n_kv_heads,
            hp->head_dim, at.ld_q, -1.0f, n);
    const struct rows dqkv = product_rows(m, a, a->dqkv, at.ld_q, n);
    b->gemm_dw(b, grad_of(m, g, PARAM_QKV, l), dqkv, acts_rows(a, la->xn1), &w_qkv,
               NULL, n);
    b->gemm_dx(b, a->dx, dqkv, &w_qkv, NULL, n);
    b->rmsnorm_bwd(b, a->dtmp, grad_of(m, g, PARAM_NORM1, l), a->dx, la->x, &norm,
                   (float)hp->rms_eps, n);
}

static void layer_bwd(const struct model *m, struct acts *a, const struct batch *t,
                      const struct model_loss *loss, const struct model_grads *g,
                      int64_t l)
{
    struct backend *const b = m->b;
    const int64_t n_floats = t->n_rows * m->hp.d_model;
    if (a->max.mode == ACTS_RECOMPUTE) {
        model_layer_start(m, a, t, l);
        model_layer_fwd(m, a, t, l);
    }
    moe_bwd(m, a, t, loss, g, l);
    b->add(b, a->dmid, a->dx, a->dtmp, n_floats);
    attention_bwd(m, a, t, g, l);
    b->add(b, a->dx, a->dmid, a->dtmp, n_floats);
}

void model_backward(const struct model *m, struct acts *a, const struct batch *t,
                    const struct model_loss *loss, const struct model_grads *g)
{
    struct backend *const b = m->b;
    CHECK(a->max.mode != ACTS_INFER, "a backward on activations made for inference");
    CHECK(!a->is_counting, "a backward while the routers' load is counted");
    if (loss->aux_f != NULL)
        b->upload(b, a->aux_f, loss->aux_f, (size_t)m->hp.n_experts * sizeof(float));
    const struct head_grads hg = {.head = grad_of(m, g, PARAM_HEAD, -1),
                                  .norm = grad_of(m, g, PARAM_NORM_F, -1)};
    head_bwd(m, a, loss, &hg, t->n_rows);
    for (int64_t l = m->hp.n_layers - 1; l >= 0; l--)
        layer_bwd(m, a, t, loss, g, l);
    const struct weight embed = model_weight(m, PARAM_EMBED, -1);
    float *const dembed = m->hp.is_tied ? g->tied : grad_of(m, g, PARAM_EMBED, -1);
    b->embed_bwd(b, dembed, &embed, a->dx, t->dev.ids, t->n_rows);
}

void model_grads_finish(const struct model *m, const struct model_grads *g)
{
    if (!m->hp.is_tied)
        return;
    const struct param *const p = param_find(&m->table, PARAM_EMBED, -1);
    float *const d = g->data + p->off;
    m->b->add(m->b, d, d, g->tied, p->n_elems);
}

void model_router_sums(const struct model *m, struct acts *a, const struct batch *t,
                       double *prob, double *count, double *z)
{
    struct backend *const b = m->b;
    const int64_t e = m->hp.n_experts;
    CHECK(a->max.mode == ACTS_KEEP, "router sums need every layer's logits");
    const size_t bytes = (size_t)e * sizeof(double);
    double *const s = a->router_sums;
    b->zero(b, s, 2 * bytes + sizeof(double));
    for (int64_t l = 0; l < m->hp.n_layers; l++)
        b->router_stats(b, s, s + e, s + 2 * e, a->layers[l].router_logits,
                        a->layers[l].experts, e, m->hp.top_k, t->n_rows);
    b->download(b, prob, s, bytes);
    b->download(b, count, s + e, bytes);
    b->download(b, z, s + 2 * e, sizeof(double));
}
