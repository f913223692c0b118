/*
 * A second forward pass of the Mixtral form, in double and plain loops, to judge the
 * engine by. It shares no arithmetic with it: weights come as the plain tensors on disk
 * (piece_unpack), rope frequencies are computed here, one sequence runs at a time and
 * nothing is cached. Values may be changed between calls, which makes it the function
 * for finite differences.
 *
 * Arrays of a sequence of n rows are (n, ...), per layer (L, n, ...).
 */
#ifndef TESTS_MODEL_ORACLE_H
#define TESTS_MODEL_ORACLE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/params.h"

#define ORACLE_FN static inline __attribute__((unused))

struct oracle_tensor {
    struct piece piece;
    double *data; /* (n_rows, k) */
    int64_t n;
};

struct oracle_layer {
    const double *norm1, *q, *k, *v, *o, *norm2, *router;
    const double **w1, **w2, **w3; /* (E) pointers */
};

struct oracle {
    struct hparams hp;
    int64_t n_softmax;
    struct oracle_tensor *tensors;
    int64_t n_tensors;
    struct oracle_layer *layers;
    const double *embed, *norm_f, *head;
};

struct oracle_out {
    int64_t n;
    double *x;        /* (L + 1, n, D) residual stream: embedding, after each layer */
    double *mixer;    /* (L, n, D) output of attention */
    double *router;   /* (L, n, E) logits */
    int32_t *experts; /* (L, n, K) descending; given by the caller if is_given */
    bool is_given;    /* routing replay */
    double *weights;  /* (L, n, K) */
    double *logits;   /* (n, V) */
    double gap;       /* smallest distance between the k-th and the next router logit,
                         or between two neighbours inside the chosen k */
    double *q, *k, *v, *att; /* (n, heads x head_dim) of the layer in work */
};

ORACLE_FN double *oracle_zeros(int64_t n)
{
    return mem_alloc((size_t)n * sizeof(double));
}

ORACLE_FN const double *oracle_find(const struct oracle *o, const char *name)
{
    for (int64_t i = 0; i < o->n_tensors; i++)
        if (strcmp(o->tensors[i].piece.name, name) == 0)
            return o->tensors[i].data;
    CHECK(false, "the oracle has no tensor %s", name);
    return NULL;
}

ORACLE_FN const double *oracle_in_layer(const struct oracle *o, int64_t l,
                                        const char *name)
{
    char full[200];
    snprintf(full, sizeof(full), "model.layers.%lld.%s.weight", (long long)l, name);
    return oracle_find(o, full);
}

ORACLE_FN const double *oracle_expert(const struct oracle *o, int64_t l, int64_t e,
                                      int which)
{
    char name[100];
    snprintf(name, sizeof(name), "block_sparse_moe.experts.%lld.w%d", (long long)e,
             which);
    return oracle_in_layer(o, l, name);
}

ORACLE_FN void oracle_resolve_layer(struct oracle *o, int64_t l)
{
    struct oracle_layer *const la = &o->layers[l];
    const int64_t n_experts = o->hp.n_experts;
    la->norm1 = oracle_in_layer(o, l, "input_layernorm");
    la->q = oracle_in_layer(o, l, "self_attn.q_proj");
    la->k = oracle_in_layer(o, l, "self_attn.k_proj");
    la->v = oracle_in_layer(o, l, "self_attn.v_proj");
    la->o = oracle_in_layer(o, l, "self_attn.o_proj");
    la->norm2 = oracle_in_layer(o, l, "post_attention_layernorm");
    la->router = oracle_in_layer(o, l, "block_sparse_moe.gate");
    la->w1 = mem_alloc((size_t)(3 * n_experts) * sizeof(*la->w1));
    la->w2 = la->w1 + n_experts;
    la->w3 = la->w2 + n_experts;
    for (int64_t e = 0; e < n_experts; e++) {
        la->w1[e] = oracle_expert(o, l, e, 1);
        la->w2[e] = oracle_expert(o, l, e, 2);
        la->w3[e] = oracle_expert(o, l, e, 3);
    }
}

/* Copies of all weights of an arena, widened. */
ORACLE_FN void oracle_init(struct oracle *o, const struct hparams *hp,
                           const struct param_table *t, const void *data,
                           enum dtype dtype)
{
    *o = (struct oracle){.hp = *hp, .n_softmax = hp->n_vocab};
    o->n_tensors = pieces_count(t, hp);
    o->tensors = mem_alloc((size_t)o->n_tensors * sizeof(*o->tensors));
    for (int64_t i = 0; i < o->n_tensors; i++) {
        struct oracle_tensor *const x = &o->tensors[i];
        piece_get(&x->piece, t, hp, i);
        x->n = x->piece.n_rows * x->piece.param->k;
        x->data = oracle_zeros(x->n);
        void *const plain = mem_alloc((size_t)x->n * dtype_bytes(dtype));
        piece_unpack(plain, data, dtype, &x->piece);
        for (int64_t j = 0; j < x->n; j++)
            x->data[j] = (double)dtype_get(plain, dtype, j);
        mem_free(plain);
    }
    o->layers = mem_alloc((size_t)hp->n_layers * sizeof(*o->layers));
    for (int64_t l = 0; l < hp->n_layers; l++)
        oracle_resolve_layer(o, l);
    o->embed = oracle_find(o, "model.embed_tokens.weight");
    o->norm_f = oracle_find(o, "model.norm.weight");
    o->head = hp->is_tied ? o->embed : oracle_find(o, "lm_head.weight");
}

ORACLE_FN void oracle_release(struct oracle *o)
{
    for (int64_t i = 0; i < o->n_tensors; i++)
        mem_free(o->tensors[i].data);
    for (int64_t l = 0; l < o->hp.n_layers; l++)
        mem_free(o->layers[l].w1);
    mem_free(o->tensors);
    mem_free(o->layers);
}

ORACLE_FN void oracle_out_init(struct oracle_out *r, const struct hparams *hp,
                               int64_t n)
{
    const int64_t l = hp->n_layers, d = hp->d_model;
    const int64_t hd = hp->n_heads * hp->head_dim, gd = hp->n_kv_heads * hp->head_dim;
    *r = (struct oracle_out){.n = n};
    r->x = oracle_zeros((l + 1) * n * d);
    r->mixer = oracle_zeros(l * n * d);
    r->router = oracle_zeros(l * n * hp->n_experts);
    r->experts = mem_alloc((size_t)(l * n * hp->top_k) * sizeof(int32_t));
    r->weights = oracle_zeros(l * n * hp->top_k);
    r->logits = oracle_zeros(n * hp->n_vocab);
    r->q = oracle_zeros(n * hd);
    r->att = oracle_zeros(n * hd);
    r->k = oracle_zeros(n * gd);
    r->v = oracle_zeros(n * gd);
}

ORACLE_FN void oracle_out_release(struct oracle_out *r)
{
    double *const all[] = {r->x, r->mixer, r->router, r->weights, r->logits,
                           r->q, r->k,     r->v,      r->att};
    for (int64_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
    mem_free(r->experts);
    *r = (struct oracle_out){0};
}

/* y (n) = W x, W (n, k) */
ORACLE_FN void oracle_product(double *y, const double *w, const double *x, int64_t n,
                              int64_t k)
{
    for (int64_t j = 0; j < n; j++) {
        double sum = 0.0;
        for (int64_t i = 0; i < k; i++)
            sum += w[j * k + i] * x[i];
        y[j] = sum;
    }
}

ORACLE_FN void oracle_norm(double *y, const double *x, const double *w, double eps,
                           int64_t d)
{
    double sum = 0.0;
    for (int64_t i = 0; i < d; i++)
        sum += x[i] * x[i];
    const double scale = 1.0 / sqrt(sum / (double)d + eps);
    for (int64_t i = 0; i < d; i++)
        y[i] = w[i] * x[i] * scale;
}

/* Rotates pairs (i, i + head_dim / 2) of each head at position pos. */
ORACLE_FN void oracle_rope(double *x, const struct hparams *hp, int64_t n_heads,
                           int64_t pos)
{
    const int64_t half = hp->head_dim / 2;
    for (int64_t h = 0; h < n_heads; h++)
        for (int64_t i = 0; i < half; i++) {
            const double exponent = -2.0 * (double)i / (double)hp->head_dim;
            const double angle = (double)pos * pow(hp->rope.theta, exponent);
            double *const a = x + h * hp->head_dim + i, *const b = a + half;
            const double a0 = *a, b0 = *b;
            *a = a0 * cos(angle) - b0 * sin(angle);
            *b = b0 * cos(angle) + a0 * sin(angle);
        }
}

/* One query head at row t over its visible keys, into y (head_dim). */
ORACLE_FN void oracle_attend(double *y, const struct oracle_out *r,
                             const struct hparams *hp, int64_t t, int64_t head)
{
    const int64_t hd = hp->head_dim, g = head / (hp->n_heads / hp->n_kv_heads);
    const int64_t stride = hp->n_kv_heads * hd;
    const int64_t first = hp->window > 0 && t >= hp->window ? t - hp->window + 1 : 0;
    const double *const q = r->q + (t * hp->n_heads + head) * hd;
    double max = -INFINITY, sum = 0.0;
    double *const p = oracle_zeros(t + 1);
    for (int64_t s = first; s <= t; s++) {
        oracle_product(&p[s], q, r->k + s * stride + g * hd, 1, hd);
        p[s] /= sqrt((double)hd);
        max = p[s] > max ? p[s] : max;
    }
    memset(y, 0, (size_t)hd * sizeof(double));
    for (int64_t s = first; s <= t; s++) {
        p[s] = exp(p[s] - max);
        sum += p[s];
    }
    for (int64_t s = first; s <= t; s++)
        for (int64_t i = 0; i < hd; i++)
            y[i] += p[s] / sum * r->v[s * stride + g * hd + i];
    mem_free(p);
}

/* x_mid (n, D) = x + O attention(norm1 x) */
ORACLE_FN void oracle_mixer(const struct oracle *o, struct oracle_out *r, int64_t l,
                            double *x_mid)
{
    const struct hparams *const hp = &o->hp;
    const struct oracle_layer *const la = &o->layers[l];
    const int64_t d = hp->d_model, hd = hp->n_heads * hp->head_dim;
    const int64_t gd = hp->n_kv_heads * hp->head_dim;
    const double *const x = r->x + l * r->n * d;
    double *const xn = oracle_zeros(d);
    for (int64_t t = 0; t < r->n; t++) {
        oracle_norm(xn, x + t * d, la->norm1, hp->rms_eps, d);
        oracle_product(r->q + t * hd, la->q, xn, hd, d);
        oracle_product(r->k + t * gd, la->k, xn, gd, d);
        oracle_product(r->v + t * gd, la->v, xn, gd, d);
        oracle_rope(r->q + t * hd, hp, hp->n_heads, t);
        oracle_rope(r->k + t * gd, hp, hp->n_kv_heads, t);
    }
    for (int64_t t = 0; t < r->n; t++) {
        for (int64_t h = 0; h < hp->n_heads; h++)
            oracle_attend(r->att + t * hd + h * hp->head_dim, r, hp, t, h);
        double *const out = r->mixer + (l * r->n + t) * d;
        oracle_product(out, la->o, r->att + t * hd, d, hd);
        for (int64_t i = 0; i < d; i++)
            x_mid[t * d + i] = x[t * d + i] + out[i];
    }
    mem_free(xn);
}

/* The k largest, descending, the lowest index first among equals. */
ORACLE_FN void oracle_choose(struct oracle_out *r, int32_t *experts,
                             const double *logits, const struct hparams *hp)
{
    double last = INFINITY;
    for (int64_t s = 0; s <= hp->top_k && s < hp->n_experts; s++) {
        int32_t best = -1;
        for (int32_t e = 0; e < hp->n_experts; e++) {
            bool is_taken = false;
            for (int64_t j = 0; j < s; j++)
                is_taken = is_taken || experts[j] == e;
            if (!is_taken && (best < 0 || logits[e] > logits[best]))
                best = e;
        }
        r->gap = fmin(r->gap, last - logits[best]);
        last = logits[best];
        if (s < hp->top_k)
            experts[s] = best;
    }
}

/* The experts, unless they are given, and their softmax */
ORACLE_FN void oracle_route(struct oracle_out *r, int32_t *experts, double *weights,
                            const double *logits, const struct hparams *hp)
{
    double sum = 0.0;
    if (!r->is_given)
        oracle_choose(r, experts, logits, hp);
    for (int64_t s = 0; s < hp->top_k; s++)
        sum += weights[s] = exp(logits[experts[s]] - logits[experts[0]]);
    for (int64_t s = 0; s < hp->top_k; s++)
        weights[s] /= sum;
}

/* y (D) += weight * expert(xn) */
ORACLE_FN void oracle_ffn(double *y, const struct oracle *o, int64_t l, int32_t e,
                          double weight, const double *xn)
{
    const struct oracle_layer *const la = &o->layers[l];
    const int64_t d = o->hp.d_model, f = o->hp.d_ff;
    double *const g = oracle_zeros(2 * f + d), *const u = g + f, *const out = u + f;
    oracle_product(g, la->w1[e], xn, f, d);
    oracle_product(u, la->w3[e], xn, f, d);
    for (int64_t i = 0; i < f; i++)
        g[i] = g[i] / (1.0 + exp(-g[i])) * u[i];
    oracle_product(out, la->w2[e], g, d, f);
    for (int64_t i = 0; i < d; i++)
        y[i] += weight * out[i];
    mem_free(g);
}

ORACLE_FN void oracle_layer_fwd(const struct oracle *o, struct oracle_out *r, int64_t l)
{
    const struct hparams *const hp = &o->hp;
    const int64_t n = r->n, d = hp->d_model, k = hp->top_k;
    double *const y = r->x + (l + 1) * n * d;
    double *const xn = oracle_zeros(d);
    oracle_mixer(o, r, l, y);
    for (int64_t t = 0; t < n; t++) {
        const int64_t row = l * n + t;
        oracle_norm(xn, y + t * d, o->layers[l].norm2, hp->rms_eps, d);
        oracle_product(r->router + row * hp->n_experts, o->layers[l].router, xn,
                       hp->n_experts, d);
        oracle_route(r, r->experts + row * k, r->weights + row * k,
                     r->router + row * hp->n_experts, hp);
        for (int64_t s = 0; s < k; s++)
            oracle_ffn(y + t * d, o, l, r->experts[row * k + s],
                       r->weights[row * k + s], xn);
    }
    mem_free(xn);
}

/* ids (r->n) from position 0 */
ORACLE_FN void oracle_forward(const struct oracle *o, struct oracle_out *r,
                              const int32_t *ids)
{
    const int64_t n = r->n, d = o->hp.d_model, n_layers = o->hp.n_layers;
    r->gap = INFINITY;
    for (int64_t t = 0; t < n; t++)
        memcpy(r->x + t * d, o->embed + (int64_t)ids[t] * d,
               (size_t)d * sizeof(double));
    for (int64_t l = 0; l < n_layers; l++)
        oracle_layer_fwd(o, r, l);
    double *const xn = oracle_zeros(d);
    for (int64_t t = 0; t < n; t++) {
        oracle_norm(xn, r->x + (n_layers * n + t) * d, o->norm_f, o->hp.rms_eps, d);
        oracle_product(r->logits + t * o->hp.n_vocab, o->head, xn, o->hp.n_vocab, d);
    }
    mem_free(xn);
}

ORACLE_FN double oracle_logsumexp(const double *x, int64_t n, double factor)
{
    double max = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, x[i] * factor);
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] * factor - max);
    return max + log(sum);
}

/* log-probability of `target` after row t, and the entropy there */
ORACLE_FN void oracle_logp(const struct oracle *o, const struct oracle_out *r,
                           int64_t t, int32_t target, double inv_temp, double out[2])
{
    const double *const z = r->logits + t * o->hp.n_vocab;
    const double lse = oracle_logsumexp(z, o->n_softmax, inv_temp);
    out[0] = z[target] * inv_temp - lse;
    out[1] = lse;
    for (int64_t i = 0; i < o->n_softmax; i++)
        out[1] -= exp(z[i] * inv_temp - lse) * z[i] * inv_temp;
}

/* sum over rows and layers of sum_e f_e p_e + z_coef logsumexp^2, what the balancing
 * part of the backward is the gradient of */
ORACLE_FN double oracle_balance(const struct oracle *o, const struct oracle_out *r,
                                const float *f, double z_coef)
{
    double sum = 0.0;
    const int64_t n_experts = o->hp.n_experts;
    for (int64_t row = 0; row < o->hp.n_layers * r->n; row++) {
        const double *const x = r->router + row * n_experts;
        const double lse = oracle_logsumexp(x, n_experts, 1.0);
        for (int64_t e = 0; e < n_experts; e++)
            sum += (double)f[e] * exp(x[e] - lse);
        sum += z_coef * lse * lse;
    }
    return sum;
}

#endif
