/*
 * The MoE transformer: one forward for prefill, decode, learner and evaluation, and its
 * backward.
 *
 *   x = Emb[ids]; per layer: x += O(attention(rope(QKV(norm1(x))))),
 *   x += MoE(norm2(x)); logits = Head(normF(x))
 *   (specs "architectures" 0.1, 0.6, 0.8, 0.9, 1)
 *
 * Everything is fp32 but the weights (struct weight) and the rows that only products
 * read, which are kept as the products round them (acts.product_rows). All arrays below
 * are backend memory unless marked host. The first call that meets a capacity breach
 * CHECKs: callers ask batch_fits. Determinism: core/ops.h; a row's hidden state has the
 * same bits in every caller.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops.h"
#include "core/status.h"
#include "model/batch.h"
#include "model/hparams.h"
#include "model/params.h"

struct model {
    struct backend *b; /* borrowed */
    struct hparams hp;
    struct param_table table; /* owned copy */
    const void *data;         /* weights arena, borrowed; may change between calls */
    enum dtype dtype;
    struct rope_table rope; /* owned */
    int64_t n_pos;          /* positions the rope table covers */
    int64_t n_softmax;      /* columns of the logits that the softmax counts */
};

/* n_pos: longest sequence. n_softmax: tokens of the tokenizer, or n_vocab to count
 * padding rows as transformers does. */
int model_init(struct model *m, struct backend *b, const struct hparams *hp,
               const void *data, enum dtype dtype, int64_t n_pos,
               int64_t n_softmax) WARN_UNUSED;
void model_release(struct model *m);
/* The weight of a role (PARAM_HEAD of a tied model is its embedding). n is what memory
 * holds for products: the head's may exceed V, see n_held of model/params.h. */
struct weight model_weight(const struct model *m, enum param_role role, int64_t layer);

/* What one layer's backward reads. N rows, NK = N top_k. */
struct layer_acts {
    float *x;                   /* (N, D) input: residual stream before the layer */
    void *xn1;                  /* (N, D) product rows */
    float *qkv;                 /* (N, (H + 2G) head_dim), q and k rotated */
    float *att;                 /* (N, H head_dim) */
    float *lse;                 /* (N, H) */
    float *x_mid;               /* (N, D) after attention */
    void *xn2;                  /* (N, D) product rows */
    float *router_logits;       /* (N, E) */
    float *weights;             /* (N, K) */
    int32_t *experts;           /* (N, K) */
    int32_t *off, *src, *place; /* (E + 1), (NK), (NK): see moe_sort */
    void *xg;                   /* (NK, D) product rows */
    float *gu;                  /* (NK, 2F) */
    float *cache;               /* pages of this layer */
};

enum acts_mode {
    ACTS_INFER,     /* one set of layer arrays, reused by every layer */
    ACTS_KEEP,      /* a set per layer: backward recomputes nothing */
    ACTS_RECOMPUTE, /* layer inputs only: backward runs each layer forward again */
};

struct acts_limits {
    enum acts_mode mode;
    int64_t n_rows, n_pages; /* per forward; n_pages: pages of the KV cache */
    int64_t n_head_rows;     /* rows of logits that exist at once */
};

struct acts {
    struct acts_limits max;
    int64_t ld_logits;       /* floats from one row of logits to the next, V or more */
    enum dtype product_rows; /* F32, or what the products of the weights round to */
    struct layer_acts *layers; /* host array of L: pointers (shared ones coincide) */
    float *x_last;             /* (N, D) after the last layer */
    float *o;                  /* (NK, D) scratch: expert outputs, gradients */
    void *h;                   /* (NK, F) product rows: the experts' activation */
    int32_t *experts;          /* (L, N, K): routes of the last forward of N rows */
    /* head: M = n_head_rows */
    float *head_x; /* (M, D) */
    void *head_xn; /* (M, D) product rows */
    float *logits; /* (M, ld_logits) */
    void *dlogits; /* (M, ld_logits) product rows; fp32: logits' own memory */
    float *head_logp, *head_lse, *head_entropy, *head_dlogp, *head_dent; /* (M) */
    int32_t *head_rows, *head_target;                                    /* (M) */
    /* backward only */
    float *dx, *dtmp, *dmid; /* (N, D) */
    float *dqkv, *datt;      /* as qkv, att */
    float *dh;               /* (NK, F) */
    void *rounded; /* product rows of one gradient at a time; NULL: F32, not rounded */
    float *dweights, *drouter; /* (N, K), (N, E) */
    float *dcache;             /* as one layer's cache */
    float *dhead_x, *dhead_xn; /* (M, D) */
    double *router_sums;       /* (2E + 1): prob, count, z over all layers */
    float *aux_f;              /* (E) */
    int32_t *own_experts;      /* (L, n_rows max, K): routers' choice under replay */
    double *load;              /* (L, 2E + 1), see model_load_start */
    bool is_replayed, is_counting;
    struct backend *b;
    void *block;
    size_t block_bytes, cache_layer_bytes, dcache_bytes;
};

/* Bytes that acts_init would reserve: the memory plan. */
size_t acts_bytes(const struct model *m, const struct acts_limits *max);
/* Of these, rows of logits and, where they have memory of their own, their gradients */
size_t acts_logits_bytes(const struct model *m, const struct acts_limits *max);
int acts_init(struct acts *a, const struct model *m,
              const struct acts_limits *max) WARN_UNUSED;
void acts_release(struct acts *a);

/* Rows of `t` through all layers: a->x_last, a->experts, and the caches. */
void model_forward(const struct model *m, struct acts *a, const struct batch *t);

/* Routing replay: model_forward takes these experts, host (L, n_rows, K) ids in slot
 * order for the n_rows rows of its batch, in place of its routers' choice, which goes
 * to a->own_experts; weights and gradients are those of the router's probabilities on
 * the given experts (R3, arXiv 2510.11370). Stays until called with NULL. Not
 * ACTS_INFER. */
void model_replay(const struct model *m, struct acts *a, const int32_t *routes,
                  int64_t n_rows);

/* Load statistics: from start to end, each model_forward adds, per layer and rows
 * ascending, what router_stats does: prob (E), count (E), z. The sums do not depend on
 * how rows were split into forwards. load: host (L, 2E + 1), =. Not ACTS_INFER; no
 * backward in between. */
void model_load_start(const struct model *m, struct acts *a);
void model_load_end(const struct model *m, struct acts *a, double *load);

/* Logits of rows of x (host indices into it, n <= n_head_rows) in a->logits (n,
 * ld_logits); what lies past V in a row means nothing. */
void model_logits(const struct model *m, struct acts *a, const float *x,
                  const int32_t *rows_host, int64_t n);

/* The same of rows 0 .. n - 1 of x, without host arrays: may be recorded (core/ops.h).
 */
void model_logits_first(const struct model *m, struct acts *a, const float *x,
                        int64_t n);

/* Log-probabilities of targets: for i < n, token target[i] after row rows[i] of x. Any
 * n (done in chunks of n_head_rows). Host arrays; entropy may be NULL. */
void model_logprobs(const struct model *m, struct acts *a, const float *x,
                    const int32_t *rows, const int32_t *target, int64_t n,
                    float inv_temp, float *logp_out, float *entropy_out);

/* Gradients of all parameters: fp32, the arena layout. */
struct model_grads {
    float *data; /* n_elems */
    float *tied; /* embedding's own part when tied (n_elems of PARAM_EMBED), so
                    that batches may be split anywhere; else NULL */
    bool is_router_frozen; /* the routers' own gradients are left out (stay 0); what
                              flows through them to the rows is not */
};
/* What the backward needs of the loss: dlogp and dent (dL/dlogp, dL/dentropy; dent may
 * be NULL) for the same rows, targets and order as model_logprobs had. */
struct model_loss {
    const int32_t *rows, *target;
    const float *dlogp, *dent;
    int64_t n;
    float inv_temp;
    const float *aux_f; /* (E) host, coefficient E/N F_e of router_aux_bwd; or NULL */
    float z_coef;       /* of sum of lse^2 over rows and layers; used with aux_f */
};
/* g += gradient. Must follow model_forward(m, a, t) on the same batch; a is consumed.
 */
void model_backward(const struct model *m, struct acts *a, const struct batch *t,
                    const struct model_loss *loss, const struct model_grads *g);
/* Adds g->tied into g->data; call once when a leaf is complete. */
void model_grads_finish(const struct model *m, const struct model_grads *g);

/* Sums over the rows and layers of the last forward, into host arrays: prob (E), count
 * (E), z. ACTS_KEEP only. */
void model_router_sums(const struct model *m, struct acts *a, const struct batch *t,
                       double *prob, double *count, double *z);

/* The attention description of a batch, with the model's dims. */
struct attn_batch model_attention(const struct model *m, const struct batch *t);

/* An array of product rows (a->product_rows) as products and gathers take it. */
struct rows acts_rows(const struct acts *a, const void *p);

/* Shared by forward and backward (recomputation). Start: layer l's x to xn1, which the
 * end of the layer before does too. Fwd: from there to gu, the last that its backward
 * reads. */
void model_layer_start(const struct model *m, const struct acts *a,
                       const struct batch *t, int64_t l);
void model_layer_fwd(const struct model *m, struct acts *a, const struct batch *t,
                     int64_t l);

#endif
