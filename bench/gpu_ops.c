/*
 * Every op of a layer of the paper's shape on the learner's rows and on a decode
 * step's: products in TFLOP/s of the bf16 peak, attention likewise (visible pairs), the
 * others in GB/s of the copy's rate over the bytes they must move (each input read
 * once, each output written once, rows as the engine keeps them: bf16 where only
 * products read them, else fp32). One pass fills the arrays, so routes, offsets and
 * pages are real ones.
 */
#include <math.h>

#include "bench/gpu_pass.h"
#include "cuda/cuda.h"

enum {
    TOKENS = 1024,
    HEAD_ROWS = 2048,
    EXPERTS = 16,
    TOP_K = 2,
    D_MODEL = 1024,
    D_FF = 2048,
    HEADS = 8,
    HEAD_DIM = 128,
    KV_AT = HEADS * HEAD_DIM, /* in a row of qkv */
    QKV_WIDTH = 3 * KV_AT,
    LOGITS = -1 /* rows of the head, of V each */
};
enum where { FOR_BOTH, FOR_LEARNER, FOR_DECODE };

struct ops {
    struct gpu_bench *g;
    const struct model *m;
    struct backend *b;
    struct acts *a;
    struct layer_acts *la;
    const struct batch *t;
    struct attn_batch at;
    struct weight norm, embed;
    float *grad;
    int64_t n, nk, n_head, v; /* rows, (row, slot) pairs, rows of logits, V */
    int64_t n_keys;           /* that a row sees on average */
    struct sample_row *samples;
    int32_t *tokens;
    float *logp;
};

static void ops_complete(struct ops *o)
{
    o->b = o->m->b;
    o->la = &o->a->layers[0];
    o->at = model_attention(o->m, o->t);
    o->norm = model_weight(o->m, PARAM_NORM1, 0);
    o->embed = model_weight(o->m, PARAM_EMBED, -1);
    o->nk = o->n * TOP_K;
    o->n_head = o->n < HEAD_ROWS ? o->n : HEAD_ROWS;
    o->v = o->m->hp.n_vocab;
}

/* In tensor mode a BF16 model's pages hold bf16. */
static bool is_half(const struct model *m)
{
    return cuda_backend_uses_tensor(m->b, m->dtype);
}

static int64_t layer_of(enum param_role role) { return role == PARAM_HEAD ? -1 : 0; }

static void fwd(const struct ops *o, enum param_role role, float *y, struct rows x,
                const int32_t *off, int64_t m)
{
    const struct weight w = model_weight(o->m, role, layer_of(role));
    o->b->gemm_fwd(o->b, y, x, &w, off, m);
}

static void dx(const struct ops *o, enum param_role role, float *to, struct rows dy,
               const int32_t *off, int64_t m)
{
    const struct weight w = model_weight(o->m, role, layer_of(role));
    o->b->gemm_dx(o->b, to, dy, &w, off, m);
}

static void dw(const struct ops *o, enum param_role role, struct rows dy, struct rows x,
               const int32_t *off, int64_t m)
{
    const struct weight w = model_weight(o->m, role, layer_of(role));
    const int64_t at = param_find(&o->m->table, role, layer_of(role))->off;
    o->b->gemm_dw(o->b, o->grad + at, dy, x, &w, off, m);
}

/* The arrays that the model keeps for products alone */
static struct rows kept(const struct ops *o, const void *p)
{
    return acts_rows(o->a, p);
}

static void sum_norm(const struct ops *o, float *sum, void *y, bool is_combined)
{
    const struct residual r = {.x = is_combined ? o->la->x_mid : o->la->x,
                               .o = sum != NULL ? o->a->o : NULL,
                               .place = is_combined ? o->la->place : NULL,
                               .weights = o->la->weights,
                               .top_k = TOP_K};
    o->b->residual_norm(o->b, y, o->a->product_rows, sum, &r, &o->norm, 1e-5f, o->n);
}

static void act_bwd(const struct ops *o)
{
    const struct moe_act act = {.dh = o->a->dh,
                                .gu = o->la->gu,
                                .place = o->la->place,
                                .weights = o->la->weights,
                                .top_k = TOP_K,
                                .f = D_FF};
    o->b->moe_act_bwd(o->b, o->a->dweights, o->a->h, o->a->rounded, o->a->product_rows,
                      &act, o->n);
}

static void rope_kv(const struct ops *o)
{
    const struct rope_kv kv = {.table = &o->m->rope,
                               .pos = o->t->dev.pos,
                               .dst_off = o->t->dev.dst_off,
                               .dst = o->t->dev.dst,
                               .n_heads = HEADS,
                               .n_kv_heads = HEADS,
                               .head_dim = HEAD_DIM,
                               .ld = QKV_WIDTH,
                               .is_narrow = o->at.is_narrow};
    o->b->rope_kv_write(o->b, o->la->cache, o->la->qkv, &kv, o->n);
}

static void route(const struct ops *o)
{
    const struct weight w = model_weight(o->m, PARAM_ROUTER, 0);
    o->b->route_fwd(o->b, o->la->experts, o->la->weights, o->la->router_logits,
                    kept(o, o->la->xn2), &w, TOP_K, o->n);
}

static void dispatch(const struct ops *o)
{
    const struct moe_order order = {.off = o->la->off,
                                    .src = o->la->src,
                                    .place = o->la->place,
                                    .n_experts = EXPERTS,
                                    .top_k = TOP_K};
    o->b->moe_dispatch(o->b, o->la->xg, &order, o->la->experts, kept(o, o->la->xn2),
                       D_MODEL, o->n);
}

/*
 * X(id, label, where, n, k, mats, floats, per, call). A product: n outputs (0: the
 * vocabulary), k inputs, its matrices. Another op: floats it moves per row. per: rows
 * of the op per row of the batch, or LOGITS.
 */
/* clang-format off */
#define ROWS_LIST(X)                                                                   \
  X(qkv, "qkv", FOR_BOTH, 3072, 1024, 1, 0, 1,                                         \
    fwd(o, PARAM_QKV, o->la->qkv, kept(o, o->la->xn1), NULL, o->n))                    \
  X(out, "o", FOR_BOTH, 1024, 1024, 1, 0, 1,                                           \
    fwd(o, PARAM_O, o->a->o, rows_f32(o->la->att), NULL, o->n))                        \
  X(gate_up, "gate_up", FOR_BOTH, 4096, 1024, EXPERTS, 0, TOP_K,                       \
    fwd(o, PARAM_GATE_UP, o->la->gu, kept(o, o->la->xg), o->la->off, o->nk))           \
  X(down, "down", FOR_BOTH, 1024, 2048, EXPERTS, 0, TOP_K,                             \
    fwd(o, PARAM_DOWN, o->a->o, kept(o, o->a->h), o->la->off, o->nk))                  \
  X(head, "head", FOR_BOTH, 0, 1024, 1, 0, LOGITS,                                     \
    fwd(o, PARAM_HEAD, o->a->logits, kept(o, o->a->head_xn), NULL, o->n_head))         \
  X(qkv_dx, "qkv dx", FOR_LEARNER, 3072, 1024, 1, 0, 1,                                \
    dx(o, PARAM_QKV, o->a->dx, kept(o, o->a->rounded), NULL, o->n))                    \
  X(qkv_dw, "qkv dw", FOR_LEARNER, 3072, 1024, 1, 0, 1,                                \
    dw(o, PARAM_QKV, kept(o, o->a->rounded), kept(o, o->la->xn1), NULL, o->n))         \
  X(gate_up_dx, "gate_up dx", FOR_LEARNER, 4096, 1024, EXPERTS, 0, TOP_K,              \
    dx(o, PARAM_GATE_UP, o->a->o, kept(o, o->a->rounded), o->la->off, o->nk))          \
  X(gate_up_dw, "gate_up dw", FOR_LEARNER, 4096, 1024, EXPERTS, 0, TOP_K,              \
    dw(o, PARAM_GATE_UP, kept(o, o->a->rounded), kept(o, o->la->xg), o->la->off,       \
       o->nk))                                                                         \
  X(down_dx, "down dx", FOR_LEARNER, 1024, 2048, EXPERTS, 0, TOP_K,                    \
    dx(o, PARAM_DOWN, o->a->dh, kept(o, o->a->o), o->la->off, o->nk))                  \
  X(down_dw, "down dw", FOR_LEARNER, 1024, 2048, EXPERTS, 0, TOP_K,                    \
    dw(o, PARAM_DOWN, kept(o, o->a->o), kept(o, o->a->h), o->la->off, o->nk))          \
  X(head_dx, "head dx", FOR_LEARNER, 0, 1024, 1, 0, LOGITS,                            \
    dx(o, PARAM_HEAD, o->a->dhead_xn, kept(o, o->a->dlogits), NULL, o->n_head))        \
  X(head_dw, "head dw", FOR_LEARNER, 0, 1024, 1, 0, LOGITS,                            \
    dw(o, PARAM_HEAD, kept(o, o->a->dlogits), kept(o, o->a->head_xn), NULL,            \
       o->n_head))                                                                     \
  X(router_product, "router product", FOR_BOTH, EXPERTS, 1024, 1, 0, 1,                \
    fwd(o, PARAM_ROUTER, o->la->router_logits, kept(o, o->la->xn2), NULL, o->n))       \
  X(norm, "rmsnorm", FOR_BOTH, 0, 0, 0, 1.5 * 1024, 1,                                 \
    sum_norm(o, NULL, o->la->xn1, false))                                              \
  X(add_norm, "add and rmsnorm", FOR_BOTH, 0, 0, 0, 3.5 * 1024, 1,                     \
    sum_norm(o, o->la->x_mid, o->la->xn2, false))                                      \
  X(combine_norm, "combine and rmsnorm", FOR_BOTH, 0, 0, 0, (2.5 + TOP_K) * 1024, 1,   \
    sum_norm(o, o->a->x_last, o->la->xn1, true))                                       \
  X(norm_bwd, "rmsnorm bwd", FOR_LEARNER, 0, 0, 0, 3 * 1024, 1,                        \
    o->b->rmsnorm_bwd(o->b, o->a->dtmp, o->grad, o->a->dx, o->la->x, &o->norm, 1e-5f,  \
                      o->n))                                                           \
  X(rope, "rope", FOR_BOTH, 0, 0, 0, 2 * 2048, 1,                                      \
    o->b->rope(o->b, o->la->qkv, &o->m->rope, o->t->dev.pos, 2 * HEADS, HEAD_DIM,      \
               QKV_WIDTH, 1.0f, o->n))                                                 \
  X(kv_write, "kv write", FOR_BOTH, 0, 0, 0, 1.5 * 2048, 1,                            \
    o->b->kv_write(o->b, o->la->cache, o->la->qkv + KV_AT, o->t->dev.dst_off,          \
                   o->t->dev.dst, HEADS, HEAD_DIM, QKV_WIDTH, o->at.is_narrow, o->n))  \
  X(rope_kv, "rope and kv write", FOR_BOTH, 0, 0, 0, 6 * 1024, 1, rope_kv(o))          \
  X(kv_read, "kv read bwd", FOR_LEARNER, 0, 0, 0, 2 * 2048, 1,                         \
    o->b->kv_read_bwd(o->b, o->a->dqkv + KV_AT, o->a->dcache, o->t->dev.dst_off,       \
                      o->t->dev.dst, HEADS, HEAD_DIM, QKV_WIDTH, o->n))                \
  X(add, "add", FOR_BOTH, 0, 0, 0, 3 * 1024, 1,                                        \
    o->b->add(o->b, o->la->x_mid, o->la->x, o->a->o, o->n * D_MODEL))                  \
  X(route, "router", FOR_BOTH, 0, 0, 0, EXPERTS + 4, 1,                                \
    o->b->router_fwd(o->b, o->la->experts, o->la->weights, o->la->router_logits,       \
                     EXPERTS, TOP_K, o->n))                                            \
  X(sort, "moe sort", FOR_BOTH, 0, 0, 0, 6, 1,                                         \
    o->b->moe_sort(o->b, o->la->off, o->la->src, o->la->place, o->la->experts,         \
                   EXPERTS, TOP_K, o->n))                                              \
  X(route_fwd, "router product and router", FOR_BOTH, 0, 0, 0, 512, 1, route(o))       \
  X(dispatch, "moe sort and gather", FOR_BOTH, 0, 0, 0, 1024, TOP_K, dispatch(o))      \
  X(gather, "rows gather", FOR_BOTH, 0, 0, 0, 1024, TOP_K,                             \
    o->b->rows_gather(o->b, o->la->xg, o->a->product_rows, kept(o, o->la->xn2),        \
                      o->la->src, TOP_K, D_MODEL, o->nk))                              \
  X(gather_bwd, "rows gather bwd", FOR_LEARNER, 0, 0, 0, 1.5 * 1024, TOP_K,            \
    o->b->rows_gather(o->b, o->a->o, o->a->product_rows, rows_f32(o->a->dx),           \
                      o->la->src, TOP_K, D_MODEL, o->nk))                              \
  X(swiglu, "swiglu", FOR_BOTH, 0, 0, 0, 2.5 * 2048, TOP_K,                            \
    o->b->swiglu_fwd(o->b, o->a->h, o->a->product_rows, o->la->gu, D_FF, o->nk))       \
  X(act_bwd, "moe act bwd", FOR_LEARNER, 0, 0, 0, 4.5 * 2048, TOP_K, act_bwd(o))       \
  X(combine, "moe combine", FOR_BOTH, 0, 0, 0, 2 * 1024, TOP_K,                        \
    o->b->moe_combine(o->b, o->a->x_last, o->la->x_mid, o->a->o, o->la->place,         \
                      o->la->weights, TOP_K, D_MODEL, o->n))                           \
  X(logprob, "logprob", FOR_LEARNER, 0, 0, 0, 1, LOGITS,                               \
    o->b->logprob_fwd(o->b, o->a->head_logp, o->a->head_lse, o->a->head_entropy,       \
                      o->a->logits, o->a->head_target, 1.0f, o->v, o->a->ld_logits,    \
                      o->n_head))                                                      \
  X(logprob_bwd, "logprob bwd", FOR_LEARNER, 0, 0, 0, 1.5, LOGITS,                     \
    o->b->logprob_bwd(o->b, o->a->dlogits, o->a->product_rows, o->a->logits,           \
                      o->a->head_lse, o->a->head_entropy, o->a->head_target,           \
                      o->a->head_dlogp, NULL, 1.0f, o->v, o->a->ld_logits, o->n_head)) \
  X(sample, "sample", FOR_DECODE, 0, 0, 0, 1, LOGITS,                                  \
    o->b->sample_fwd(o->b, o->tokens, o->logp, o->a->logits, o->samples, o->v,         \
                     o->a->ld_logits, o->n_head))                                      \
  X(embed, "embed", FOR_BOTH, 0, 0, 0, 1.5 * 1024, 1,                                  \
    o->b->embed_fwd(o->b, o->la->x, &o->embed, o->t->dev.ids, o->n))                   \
  X(embed_bwd, "embed bwd", FOR_LEARNER, 0, 0, 0, 3 * 1024, 1,                         \
    o->b->embed_bwd(o->b, o->grad, &o->embed, o->a->dx, o->t->dev.ids, o->n))
/* clang-format on */

#define X(id, label, in, n, k, mats, floats, per, call)                                \
    static void run_##id(void *arg)                                                    \
    {                                                                                  \
        const struct ops *const o = arg;                                               \
        call;                                                                          \
    }
ROWS_LIST(X)
#undef X

struct row {
    const char *label;
    gpu_fn run;
    enum where in;
    int64_t n, k, n_mats;
    double floats;
    int64_t per;
};
static const struct row rows[] = {
#define X(id, label, in, n, k, mats, floats, per, call)                                \
    {label, run_##id, in, n, k, mats, floats, per},
    ROWS_LIST(X)
#undef X
};

/* attention: visible pairs, not rows */
static void run_attn(void *arg)
{
    const struct ops *const o = arg;
    o->b->attn_fwd(o->b, o->la->att, o->la->lse, o->la->qkv, o->la->cache, &o->at);
}

static void run_attn_bwd(void *arg)
{
    const struct ops *const o = arg;
    o->b->attn_bwd(o->b, o->a->dqkv, o->a->dcache, o->a->datt, o->la->att, o->la->lse,
                   o->la->qkv, o->la->cache, &o->at);
}

static void report_product(struct ops *o, const struct row *r, const char *name,
                           double ms, double m, double n)
{
    struct gpu_bench *const g = o->g;
    const double k = (double)r->k, flops = 2.0 * m * n * k, weights = 2.0 * n * k;
    struct gpu_result out = {.name = name, .value = 1e3 * ms, .unit = "us"};
    /* few rows: reading the weights of the experts that have any is the floor */
    const bool is_bound = m < 256;
    const double n_mats = (double)r->n_mats;
    const double n_used = n_mats * (1.0 - pow(1.0 - 1.0 / n_mats, m));
    const double floor_s = is_bound ? weights * n_used / g->copy_bytes
                                    : flops / g->peak_flops;
    out.share = floor_s > 0 && (is_bound || g->peak_flops > 0) ? 1e3 * floor_s / ms : 0;
    out.of = is_bound ? "copy" : "bf16 peak";
    snprintf(out.detail, sizeof(out.detail), "%.0f rows, %.0f x %.0f: %.1f TFLOP/s", m,
             n, k, 1e-9 * flops / ms);
    gpu_report(g, &out);
}

static void run_row(struct ops *o, const struct row *r, const char *kind)
{
    char name[96];
    const double vocab = (double)o->m->hp.n_vocab;
    const double m = (double)(r->per == LOGITS ? o->n_head : o->n * r->per);
    const double ms = gpu_time_ms(o->b, r->run, o, 7, 0.06);
    snprintf(name, sizeof(name), "%s %s", kind, r->label);
    if (r->k > 0) {
        report_product(o, r, name, ms, m, r->n > 0 ? (double)r->n : vocab);
        return;
    }
    const double bytes = 4.0 * m * r->floats * (r->per == LOGITS ? vocab : 1.0);
    struct gpu_result out = {.name = name,
                             .value = 1e3 * ms,
                             .unit = "us",
                             .share = 1e3 * bytes / ms / o->g->copy_bytes,
                             .of = "copy"};
    snprintf(out.detail, sizeof(out.detail), "%.0f rows, %.1f GB/s", m,
             1e-6 * bytes / ms);
    gpu_report(o->g, &out);
}

static void run_attention(struct ops *o, const char *kind, bool is_decode)
{
    struct gpu_bench *const g = o->g;
    const double width = (double)(o->m->hp.n_heads * o->m->hp.head_dim);
    const double pairs = (double)o->n * (double)o->n_keys;
    char name[96];
    const double fwd = gpu_time_ms(o->b, run_attn, o, 7, 0.1);
    struct gpu_result r = {.name = name, .value = 1e3 * fwd, .unit = "us"};
    snprintf(name, sizeof(name), "%s attention", kind);
    if (is_decode) {
        const double bytes = (is_half(o->m) ? 2.0 : 4.0) * 2.0 * pairs * width;
        r.share = 1e3 * bytes / fwd / g->copy_bytes;
        r.of = "copy";
        snprintf(r.detail, sizeof(r.detail), "%lld x %lld %s keys, %.1f GB/s",
                 (long long)o->n, (long long)o->n_keys, is_half(o->m) ? "bf16" : "fp32",
                 1e-6 * bytes / fwd);
        gpu_report(g, &r);
        return;
    }
    const double flops = 4.0 * pairs * width;
    r.share = g->peak_flops > 0 ? 1e3 * flops / fwd / g->peak_flops : 0;
    r.of = "bf16 peak";
    snprintf(r.detail, sizeof(r.detail), "%.2f TFLOP/s", 1e-9 * flops / fwd);
    gpu_report(g, &r);
    const double bwd = gpu_time_ms(o->b, run_attn_bwd, o, 5, 0.1);
    snprintf(name, sizeof(name), "%s attention bwd", kind);
    r.value = 1e3 * bwd;
    r.share *= 2.5 * fwd / bwd;
    snprintf(r.detail, sizeof(r.detail), "%.2f TFLOP/s", 2.5e-9 * flops / bwd);
    gpu_report(g, &r);
}

static void run_rows(struct ops *o, const char *kind, bool is_decode)
{
    run_attention(o, kind, is_decode);
    for (int64_t i = 0; i < ARRAY_LEN(rows) && gpu_bench_has_time(o->g); i++)
        if (rows[i].in != (is_decode ? FOR_LEARNER : FOR_DECODE))
            run_row(o, &rows[i], kind);
}

static int learner_rows(struct gpu_bench *g, const struct model *m)
{
    struct gpu_pass p;
    TRY(gpu_pass_init(&p, m, 16, TOKENS, HEAD_ROWS));
    gpu_pass_forward(&p);
    gpu_pass_logprobs(&p);
    gpu_pass_backward(&p);
    struct ops o = {.g = g,
                    .m = m,
                    .a = &p.acts,
                    .t = &p.batch,
                    .grad = p.grad,
                    .n = p.n,
                    .n_keys = TOKENS / 2};
    ops_complete(&o);
    run_rows(&o, "learner", false);
    gpu_pass_release(&p);
    return STATUS_OK;
}

struct decode_rows {
    struct acts acts;
    struct batch batch;
    void *dev; /* rows to sample, tokens, log-probs */
    size_t dev_bytes;
};

static void decode_rows_release(struct decode_rows *d, struct backend *b)
{
    batch_release(&d->batch);
    acts_release(&d->acts);
    if (d->dev != NULL)
        b->release(b, d->dev, d->dev_bytes);
}

/* n sequences at position n_keys - 1, every context its own */
static int decode_rows_init(struct decode_rows *d, const struct model *m, int64_t n,
                            int64_t n_keys)
{
    enum { MAX_PAGES = 32 };
    const int64_t per_seq = (n_keys + KV_BLOCK - 1) / KV_BLOCK;
    const struct batch_limits bl = {
        .n_rows = n, .n_seqs = n, .n_groups = n, .n_pages = n * per_seq, .n_dst = n};
    const struct acts_limits al = {
        .mode = ACTS_INFER, .n_rows = n, .n_pages = n * per_seq, .n_head_rows = n};
    *d = (struct decode_rows){0};
    d->dev_bytes = (size_t)n * (sizeof(struct sample_row) + 8);
    TRY(batch_init(&d->batch, m->b, &bl));
    TRY(acts_init(&d->acts, m, &al));
    TRY(m->b->reserve(m->b, &d->dev, d->dev_bytes, "samples"));
    CHECK(per_seq <= MAX_PAGES, "%lld pages", (long long)per_seq);
    for (int64_t i = 0; i < n; i++) {
        int32_t pages[MAX_PAGES];
        const int32_t id = gpu_token(i, m->hp.n_vocab);
        for (int64_t j = 0; j < per_seq; j++)
            pages[j] = (int32_t)(i * per_seq + j);
        batch_add_rows(&d->batch, &id, 1, n_keys - 1, pages);
        const struct sample_row row = {.temperature = 1.0f,
                                       .top_p = 1.0f,
                                       .seed = 1,
                                       .counter = {(uint32_t)i, 0, 0, 0}};
        m->b->upload(m->b, (struct sample_row *)d->dev + i, &row, sizeof(row));
    }
    batch_upload(&d->batch);
    const enum dtype kind = is_half(m) ? DTYPE_BF16 : DTYPE_F32;
    gpu_fill(d->acts.layers[0].cache, kind,
             (int64_t)(d->acts.cache_layer_bytes / dtype_bytes(kind)), 1.0f, 5);
    return STATUS_OK;
}

static void decode_forward(const struct model *m, struct decode_rows *d, int64_t n)
{
    int32_t index[4096];
    CHECK(n <= 4096, "%lld rows", (long long)n);
    for (int64_t i = 0; i < n; i++)
        index[i] = (int32_t)i;
    model_forward(m, &d->acts, &d->batch);
    model_logits(m, &d->acts, d->acts.x_last, index, n);
    cuda_backend_sync(m->b);
}

static int decode_step_rows(struct gpu_bench *g, const struct model *m, int64_t n)
{
    enum { KEYS = 768 };
    struct decode_rows d;
    char kind[32];
    int status = decode_rows_init(&d, m, n, KEYS);
    snprintf(kind, sizeof(kind), "decode B=%lld", (long long)n);
    if (status == STATUS_OK) {
        decode_forward(m, &d, n);
        struct ops o = {.g = g,
                        .m = m,
                        .a = &d.acts,
                        .t = &d.batch,
                        .n = n,
                        .n_keys = KEYS,
                        .samples = d.dev};
        o.tokens = (int32_t *)(o.samples + n);
        o.logp = (float *)(o.tokens + n);
        ops_complete(&o);
        run_rows(&o, kind, true);
    }
    decode_rows_release(&d, m->b);
    return status;
}

int gpu_part_ops(struct gpu_bench *g)
{
    const struct hparams hp = gpu_paper_shape(EXPERTS, 1, g->n_vocab);
    struct gpu_model model;
    TRY(gpu_model_init(&model, gpu_bench_fast(g), &hp, DTYPE_BF16, TOKENS, NULL));
    int status = learner_rows(g, &model.m);
    if (status == STATUS_OK)
        status = decode_step_rows(g, &model.m, 64);
    if (status == STATUS_OK && gpu_bench_has_time(g))
        status = decode_step_rows(g, &model.m, 512);
    if (status == STATUS_OK && gpu_bench_has_time(g))
        status = decode_step_rows(g, &model.m, 1);
    gpu_model_release(&model);
    return status;
}
