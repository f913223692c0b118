/*
 * The op contract: everything a backend must compute. OPS_LIST generates the backend's
 * function table; each backend folder defines `<backend>_<op>` for every entry.
 *
 * - All pointers are backend memory. Activations, gradients and master weights are
 * fp32; a `struct weight` may be F32, BF16 or F16 and is widened exactly. Accumulation
 * is fp32 (double where stated).
 * - Row invariance: row r of an output depends on row r of the inputs (attention: on
 * its own sequence), bit for bit, whatever the other rows, their number or the threads.
 * - Order: a product's output element is one chain acc = fma(a_i, b_i, acc), i
 * ascending, from acc = 0 (or from the value in memory where the contract says +=). A
 * reduction over a row of length n uses 16 lane accumulators (element i goes to lane i
 * % 16, ascending), then folds halves: 16 -> 8 -> 4 -> 2 -> 1. It depends on n only.
 * - Weights of matrix products have the backend's product_layout (core/tensor.h); so do
 *   their gradients. Only where an element lies depends on it.
 * - `+=` outputs continue the chain from memory over rows in ascending order, so that
 *   splitting a batch of rows into several calls gives the same bits as one call.
 * - exp, log, rsqrt, sin, cos are our own: libm cannot change a bit.
 * - Row counts may be 0. Inputs and outputs do not overlap unless a line says "in
 * place". Shapes are row-major, the last index fastest. Dimensions: core/tensor.h.
 */
#ifndef CORE_OPS_H
#define CORE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KV_BLOCK = 64 };     /* keys per page; the unit of the online softmax */
enum { HEAD_SLICE = 4096 }; /* columns of logits whose exponentials are added as one */

/*
 * Attention over paged keys and values. A page holds KV_BLOCK positions of one layer:
 * for each kv head g: K transposed (head_dim, KV_BLOCK), then V (KV_BLOCK, head_dim);
 * page stride = 2 * n_kv_heads * head_dim * KV_BLOCK floats. Position t of a sequence
 * lies in page pages[page_off[s] + t / KV_BLOCK], slot t % KV_BLOCK. Query rows of a
 * sequence are adjacent, positions ascending by one. A row at position pos sees
 * positions max(0, pos - window + 1) .. pos (window 0: from 0). A page that several
 * sequences hold has the same place in all their lists, as its positions are the same,
 * and so has every page before it.
 */
struct attn_batch {
    int64_t n_rows, n_seqs, n_groups;
    int64_t n_pages; /* entries of pages; read by attn_bwd */
    int64_t n_heads, n_kv_heads, head_dim, window;
    int64_t ld_q; /* floats from one row of q (dq) to the next */
    float scale;
    bool is_narrow; /* a backend may round q, k, v, p and their gradients to bf16 as
                       operands of products, as it does for weights of that dtype;
                       pages then have a form of its own. As kv_write had it. */
    const int32_t *row_off;   /* (n_seqs + 1) query rows of each sequence */
    const int32_t *first_pos; /* (n_seqs) position of its first query row */
    const int32_t *page_off;  /* (n_seqs + 1) into pages */
    const int32_t *pages;
    const int32_t *group_off; /* (n_groups + 1) sequences that may share pages, read by
                                 attn_bwd: groups share no page with each other */
};

/*
 * Rows that an op reads, dense. DTYPE_BF16: fp32 rows that another op rounded to
 * nearest even. A product gives the bits that it gives for the rounded values as fp32
 * rows; one that rounds its rows itself (backend.product_rows) those of the unrounded
 * rows too.
 */
struct rows {
    const void *data;
    enum dtype dtype; /* F32 or BF16 */
};

static inline struct rows rows_f32(const float *data)
{
    const struct rows r = {data, DTYPE_F32};
    return r;
}

/* Where the (row, slot) pairs go, see moe_sort */
struct moe_order {
    int32_t *off;         /* (E + 1) */
    int32_t *src, *place; /* (m K) */
    int64_t n_experts, top_k;
};

/* What a residual_norm adds to the residual stream x (m, D) */
struct residual {
    const float *x;
    const float *o;       /* (m, D), or with place (m K, D); NULL: nothing */
    const int32_t *place; /* (m, K): as moe_combine; NULL: as add */
    const float *weights; /* (m, K), see moe_combine; with place only */
    int64_t top_k;        /* likewise */
};

/*
 * The experts' activation h = swiglu_fwd(gu) on its way back: rows of dh and gu are at
 * sorted places, see moe_sort.
 */
struct moe_act {
    const float *dh;      /* (m K, F) dy W_down, not yet weighted */
    const float *gu;      /* (m K, 2F) */
    const int32_t *place; /* (m, K) */
    const float *weights; /* (m, K) */
    int64_t top_k, f;
};

struct rope_table {
    const float *cos, *sin; /* (n_pos, rot / 2) */
    int64_t n_pos, rot;     /* the first rot <= head_dim dims are rotated, half-split */
};

/* Rows of q, k and v to be turned and kept, see rope_kv_write. Row r at r ld: n_heads
 * heads of q, n_kv_heads of k, n_kv_heads of v. */
struct rope_kv {
    const struct rope_table *table;
    const int32_t *pos;           /* (m) */
    const int32_t *dst_off, *dst; /* (m + 1), slots: see kv_write */
    int64_t n_heads, n_kv_heads, head_dim, ld;
    bool is_narrow; /* see kv_write */
};

/* One row's sampling, see sample_fwd. */
struct sample_row {
    float temperature; /* 0: greedy */
    float top_p;       /* 1: off */
    int32_t top_k;     /* 0: off */
    int32_t stream;    /* enum rng_stream */
    uint64_t seed;
    uint32_t counter[4]; /* (position, sample, prompt, step) */
};

struct adamw_args {
    float lr, beta1, beta2, eps, decay; /* decay 0 for norms */
    float bias1, bias2;                 /* 1 - beta1^t, 1 - beta2^t */
    float grad_scale;                   /* applied to g first (clipping) */
};

/*
 * X(name, parameters). `b` is the backend. Element and row counts are host values.
 */
/* clang-format off */
#define OPS_LIST(X)                                                                    \
  /* y (m, D) = table[ids]; table PLAIN (V, D) or PACKED n = V, k = D */               \
  X(embed_fwd, (struct backend *b, float *y, const struct weight *table,               \
                const int32_t *ids, int64_t m))                                        \
  /* dtable (layout and dims of `table`, fp32) += dy at ids, rows ascending */         \
  X(embed_bwd, (struct backend *b, float *dtable, const struct weight *table,          \
                const float *dy, const int32_t *ids, int64_t m))                       \
  /* y (m, n) = x (m, k) W^T. n_mats > 1: rows off[e] .. off[e+1]-1 use matrix e;      \
   * off (n_mats + 1), off[0] = 0, off[n_mats] = m; NULL when n_mats = 1 */            \
  X(gemm_fwd, (struct backend *b, float *y, struct rows x, const struct weight *w,     \
               const int32_t *off, int64_t m))                                         \
  /* dx (m, k) = dy (m, n) W */                                                        \
  X(gemm_dx, (struct backend *b, float *dx, struct rows dy, const struct weight *w,    \
              const int32_t *off, int64_t m))                                          \
  /* dw (laid out as w, fp32) += dy^T x, rows ascending */                             \
  X(gemm_dw, (struct backend *b, float *dw, struct rows dy, struct rows x,             \
              const struct weight *w, const int32_t *off, int64_t m))                  \
  /* y (m, k) = w * x * rsqrt(mean(x^2) + eps), w (k) */                               \
  X(rmsnorm_fwd, (struct backend *b, float *y, const float *x, const struct weight *w, \
                  float eps, int64_t m))                                               \
  /* sum (m, k) = r->x and what r adds, y (m, k) = rmsnorm_fwd of sum, rounded to      \
   * y_dtype. Nothing added: sum is not written. sum may be r->x (in place) */         \
  X(residual_norm, (struct backend *b, void *y, enum dtype y_dtype, float *sum,        \
                    const struct residual *r, const struct weight *w, float eps,       \
                    int64_t m))                                                        \
  /* dx (m, k) = ; dw (k) += over rows ascending. A backend that rounds products of    \
   * w's dtype may add sums over chunks of rows instead, in an order of m alone */     \
  X(rmsnorm_bwd, (struct backend *b, float *dx, float *dw, const float *dy,            \
                  const float *x, const struct weight *w, float eps, int64_t m))       \
  /* in place on heads 0 .. n_heads-1 of each row, (x1, x2) -> (x1 c - x2 s,           \
   * x2 c + x1 s) with s = sign * sin: -1 rotates back (the backward). pos (m). Row    \
   * stride ld. */                                                                     \
  X(rope, (struct backend *b, float *x, const struct rope_table *t,                    \
           const int32_t *pos, int64_t n_heads, int64_t head_dim, int64_t ld,          \
           float sign, int64_t m))                                                     \
  /* Copy row r's k and v heads (kv + r ld: G heads of k, then G heads of v) to        \
   * every slot dst[dst_off[r] .. dst_off[r+1]-1]; slot = page * KV_BLOCK + index.     \
   * is_narrow: as in the attn_batch of the attention that will read the cache */      \
  X(kv_write, (struct backend *b, float *cache, const float *kv,                       \
               const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,         \
               int64_t head_dim, int64_t ld, bool is_narrow, int64_t m))               \
  /* rope (sign 1) of qkv's heads of q and k, in place; kv_write of its k and v */     \
  X(rope_kv_write, (struct backend *b, float *cache, float *qkv,                       \
                    const struct rope_kv *a, int64_t m))                               \
  /* dkv (layout of kv, stride ld) = sum of the slots' gradients, in dst's order */    \
  X(kv_read_bwd, (struct backend *b, float *dkv, const float *dcache,                  \
                  const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,      \
                  int64_t head_dim, int64_t ld, int64_t m))                            \
  /* y (rows, H head_dim), lse (rows, H); q has stride a->ld_q. lse may be NULL.       \
   * Per block of keys ascending: s_j = scale * (chain over d); online softmax;        \
   * y = chain over keys ascending, rescaled between blocks by exp(m_old - m_new) */   \
  X(attn_fwd, (struct backend *b, float *y, float *lse, const float *q,                \
               const float *cache, const struct attn_batch *a))                        \
  /* dq (rows, stride ld_q) = ; dcache (as cache) += for the pages of these sequences, \
   * queries ascending within a group */                                               \
  X(attn_bwd, (struct backend *b, float *dq, float *dcache, const float *dy,           \
               const float *y, const float *lse, const float *q, const float *cache,   \
               const struct attn_batch *a))                                            \
  /* Top-k of logits (m, E), ties to the lowest index, descending: experts (m, K);     \
   * weights (m, K) = softmax over the chosen logits (= softmax_E renormalised) */     \
  X(router_fwd, (struct backend *b, int32_t *experts, float *weights,                  \
                 const float *logits, int64_t n_experts, int64_t top_k, int64_t m))    \
  /* logits (m, E) = gemm_fwd of x by w (n = E, k = D); router_fwd of the logits */    \
  X(route_fwd, (struct backend *b, int32_t *experts, float *weights, float *logits,    \
                struct rows x, const struct weight *w, int64_t top_k, int64_t m))      \
  /* weights (m, K) = softmax over the logits (m, E) at experts (m, K), distinct in a  \
   * row and in any order: that order's slots. Equal in bits to router_fwd's weights   \
   * where the experts are router_fwd's. Exponents are relative to the largest of the  \
   * chosen logits, the sum over slots is the row rule's; backward: router_bwd */      \
  X(router_given, (struct backend *b, float *weights, const float *logits,             \
                   const int32_t *experts, int64_t n_experts, int64_t top_k,           \
                   int64_t m))                                                         \
  /* dlogits (m, E) = w_i (dw_i - sum_S w dw) on the chosen, 0 elsewhere */            \
  X(router_bwd, (struct backend *b, float *dlogits, const float *dweights,             \
                 const int32_t *experts, const float *weights, int64_t n_experts,      \
                 int64_t top_k, int64_t m))                                            \
  /* sums over rows, double: prob (E) += softmax(logits), count (E) += times chosen,   \
   * z (1) += logsumexp(logits)^2 */                                                   \
  X(router_stats, (struct backend *b, double *prob, double *count, double *z,          \
                   const float *logits, const int32_t *experts, int64_t n_experts,     \
                   int64_t top_k, int64_t m))                                          \
  /* dlogits (m, E) += p_e (f_e - sum_e' f_e' p_e') + 2 cz lse p_e; f (E) */           \
  X(router_aux_bwd, (struct backend *b, float *dlogits, const float *logits,           \
                     const float *f, float cz, int64_t n_experts, int64_t m))          \
  /* Stable counting sort of the m K (row, slot) pairs by expert: off (E + 1);         \
   * src (m K): pair t K + s at each sorted place; place (m K): its inverse */         \
  X(moe_sort, (struct backend *b, int32_t *off, int32_t *src, int32_t *place,          \
               const int32_t *experts, int64_t n_experts, int64_t top_k, int64_t m))   \
  /* moe_sort of experts (m, K) into o; y (m K, D) of x's dtype = x's rows (m, D) in   \
   * that order: x[src / K] */                                                         \
  X(moe_dispatch, (struct backend *b, void *y, const struct moe_order *o,              \
                   const int32_t *experts, struct rows x, int64_t d, int64_t m))       \
  /* y (m, D) = x[idx[r] / div], div >= 1, rounded where y_dtype is the narrower one;  \
   * idx NULL: x[r] */                                                                 \
  X(rows_gather, (struct backend *b, void *y, enum dtype y_dtype, struct rows x,       \
                  const int32_t *idx, int64_t div, int64_t d, int64_t m))              \
  /* y[idx[r]] = x[r], idx without repeats */                                          \
  X(rows_scatter, (struct backend *b, float *y, const float *x, const int32_t *idx,    \
                   int64_t d, int64_t m))                                              \
  /* h (m, F) = silu(g) u, gu (m, 2F): g then u; rounded to h_dtype */                 \
  X(swiglu_fwd, (struct backend *b, void *h, enum dtype h_dtype, const float *gu,      \
                 int64_t f, int64_t m))                                                \
  /* y (m, D) = x + sum over slots ascending of weights[t, s] o[place[t K + s]], a     \
   * chain from x; weights NULL: plain sums. x may be y (in place) */                  \
  X(moe_combine, (struct backend *b, float *y, const float *x, const float *o,         \
                  const int32_t *place, const float *weights, int64_t top_k, int64_t d,\
                  int64_t m))                                                          \
  /* At sorted place p of pair (t, s), w = weights[t, s], h = swiglu_fwd(gu)[p]:       \
   * dweights (m, K)[t, s] = <dh, h>; hw (m K, F) = h w; with d = dh w:                \
   * dgu (m K, 2F) = d u silu'(g), d silu(g). hw and dgu rounded to dtype; in fp32     \
   * hw may be dh and dgu may be gu (in place) */                                      \
  X(moe_act_bwd, (struct backend *b, float *dweights, void *hw, void *dgu,             \
                  enum dtype dtype, const struct moe_act *a, int64_t m))               \
  /* y = a + b, n elements; may be in place */                                         \
  X(add, (struct backend *b, float *y, const float *a, const float *c, int64_t n))     \
  /* For rows of logits (m, ld) over the first v of ld columns, z = logits * inv_temp: \
   * logp = z[target] - lse, lse, entropy = lse - sum p z. Any output may be NULL.     \
   * Per slice of HEAD_SLICE columns, with its maximum x (0 if -inf), by the row rule: \
   * S = sum of exp(z - x), W = of exp(z - x) (z - x). With the row's maximum m, slices\
   * ascending, b = exp(x - m): sum = fma(S, b, sum),                                  \
   * w = fma(fma(x - m, S, W), b, w); lse = m + log sum, entropy = log sum - w / sum.  \
   * z - x and x - m below -200 count as -200 there, in w */                           \
  X(logprob_fwd, (struct backend *b, float *logp, float *lse, float *entropy,          \
                  const float *logits, const int32_t *target, float inv_temp,          \
                  int64_t v, int64_t ld, int64_t m))                                   \
  /* In place, logits -> dlogits = inv_temp * (dlogp ([j = target] - p_j)              \
   *   - dent p_j (z_j - lse + entropy)); columns v .. ld-1 become 0. dent NULL: 0 */  \
  X(logprob_bwd, (struct backend *b, float *logits, const float *lse,                  \
                  const float *entropy, const int32_t *target, const float *dlogp,     \
                  const float *dent, float inv_temp, int64_t v, int64_t ld, int64_t m))\
  /* token (m), logp (m): of the full distribution at `temperature` (1 if greedy),     \
   * equal in bits to logprob_fwd with inv_temp = 1 / temperature. The draw: among the \
   * top_k largest (ties to the lower id), then the smallest set whose mass reaches    \
   * top_p; ids ascending, rng_uniform times the kept mass against the running sum of  \
   * exp(z - max) */                                                                   \
  X(sample_fwd, (struct backend *b, int32_t *token, float *logp, const float *logits,  \
                 const struct sample_row *rows, int64_t v, int64_t ld, int64_t m))     \
  /* On n elements of master (fp32), m, v. Decoupled decay first: w *= 1 - lr decay;   \
   * then w -= lr (m / bias1) / (sqrt(v / bias2) + eps); then copy, if not             \
   * NULL, = rounded w */                                                              \
  X(adamw, (struct backend *b, float *master, void *copy, enum dtype copy_dtype,       \
            float *m, float *v, const float *g, const struct adamw_args *args,         \
            int64_t n))                                                                \
  /* Host result: sums of squares and of magnitudes in double, over blocks of 4096     \
   * elements (each by the row rule in double), block sums added ascending */          \
  X(norms, (struct backend *b, double *sum_sq, double *sum_abs, const float *x,        \
            int64_t n))                                                                \
  X(zero, (struct backend *b, void *p, size_t bytes))                                  \
  X(copy, (struct backend *b, void *dst, const void *src, size_t bytes))               \
  /* host <-> backend; complete on return */                                           \
  X(upload, (struct backend *b, void *dst, const void *host_src, size_t bytes))        \
  X(download, (struct backend *b, void *host_dst, const void *src, size_t bytes))
/* clang-format on */

struct backend;
struct backend {
    const char *name; /* "cpu (avx512, 2 threads)" */
    void *state;      /* the backend's own */
    bool is_host;     /* its memory is host memory: the host may read and write it */
    enum weight_layout product_layout; /* of the weights of matrix products */
    /* the dtype to which products of BF16 weights round their rows; F32: they do not.
     * Rows that only such products read lose nothing by being kept in it. */
    enum dtype product_rows;
    /* zeroed, 64-byte aligned */
    int (*reserve)(struct backend *b, void **out, size_t bytes, const char *what);
    void (*release)(struct backend *b, void *p, size_t bytes);
    /* The same of host memory that ops reach at its address, if slowly: for what does
     * not fit beside the rest. A host backend gives what reserve gives. */
    int (*reserve_host)(struct backend *b, void **out, size_t bytes, const char *what);
    void (*release_host)(struct backend *b, void *p, size_t bytes);
    /* bytes that reserve could still give; 0: unknown */
    int64_t (*available)(struct backend *b);
    /*
     * Sequences of ops that come again and again with the same arguments (what lies in
     * memory may differ), for backends to which every call costs: replay runs what was
     * recorded under (owner, key) and returns true. Where it returns false the caller
     * runs the ops, between record_begin and record_end; a backend may well record
     * nothing. Between them no upload, download or norms. forget drops an owner's.
     */
    bool (*replay)(struct backend *b, const void *owner, int64_t key);
    void (*record_begin)(struct backend *b, const void *owner, int64_t key);
    void (*record_end)(struct backend *b);
    void (*forget)(struct backend *b, const void *owner);
#define X(op, params) void(*op) params;
    OPS_LIST(X)
#undef X
};

#ifdef __cplusplus
}
#endif
#endif
