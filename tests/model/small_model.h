/*
 * Small random models made in memory, and a forward and backward over given sequences:
 * what the tests of model, rollout and learner start from. Weights are scaled so that
 * every part matters: routers decide clearly, norms differ from 1, the layers' outputs
 * are of the size of their input.
 */
#ifndef TESTS_MODEL_SMALL_MODEL_H
#define TESTS_MODEL_SMALL_MODEL_H

#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "cpu/cpu.h"
#include "model/model.h"
#include "tests/tol.h"

#define SMALL_FN static inline __attribute__((unused))
#define SMALL_DATA static const __attribute__((unused))

struct small_shape {
    const char *name;
    int64_t d_model, d_ff, n_layers, n_heads, n_kv_heads, head_dim, n_experts, top_k;
    int64_t window, n_vocab;
    bool is_tied;
};

/* name, D, F, L, H, G, head_dim, E, K, window, V, tied: mostly odd to panels and lanes
 */
SMALL_DATA struct small_shape small_shapes[] = {
    {"mha", 32, 48, 2, 4, 4, 8, 8, 2, 0, 96, false},
    {"gqa, wide heads", 24, 20, 3, 4, 2, 12, 5, 3, 0, 67, false},
    {"window 8", 20, 36, 2, 6, 3, 4, 4, 2, 8, 40, false},
    {"tied", 48, 17, 2, 3, 1, 16, 6, 2, 0, 50, true},
    {"k = 1", 28, 24, 2, 2, 2, 14, 4, 1, 70, 33, false},
    {"k = E, one layer", 33, 31, 1, 1, 1, 32, 3, 3, 0, 35, true},
};

enum { SMALL_MAX_POS = 512, SMALL_ROWS = 768 };

SMALL_FN struct hparams small_hparams(const struct small_shape *s)
{
    return (struct hparams){
        .n_vocab = s->n_vocab,
        .d_model = s->d_model,
        .d_ff = s->d_ff,
        .n_layers = s->n_layers,
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .head_dim = s->head_dim,
        .n_experts = s->n_experts,
        .top_k = s->top_k,
        .max_pos = SMALL_MAX_POS,
        .window = s->window,
        .rms_eps = 1e-5,
        .init_std = 1.2 / sqrt((double)s->d_model),
        .rope = {.type = ROPE_DEFAULT,
                 .theta = 1e4,
                 .factor = 1.0,
                 .attention_factor = 1.0,
                 .original_max_pos = SMALL_MAX_POS,
                 .rot = s->head_dim},
        .is_tied = s->is_tied,
        .bos_id = -1,
        .pad_id = -1,
    };
}

struct small_model {
    struct backend b;
    struct weights w;
    struct model m;
};

/* Routers twice as large, so that their logits are about 2 apart; what feeds the
 * residual stream back to the scale of the others; norms uniform in [0.5, 1.5). */
SMALL_FN void small_scale(struct weights *w, uint64_t seed)
{
    const float out = sqrtf(2.0f * (float)w->hp.n_layers);
    for (int64_t i = 0; i < w->table.n; i++) {
        const struct param *const p = &w->table.items[i];
        const bool is_out = p->role == PARAM_O || p->role == PARAM_DOWN;
        const float factor = p->role == PARAM_ROUTER ? 2.0f : is_out ? out : 1.0f;
        for (int64_t j = 0; j < p->n_elems; j++) {
            const float old = dtype_get(w->data, w->dtype, p->off + j);
            const float norm = 0.5f + rng_uniform(seed, RNG_TEST, (uint32_t)j,
                                                  (uint32_t)i, 0, 0);
            dtype_put(w->data, w->dtype, p->off + j,
                      p->is_decayed ? old * factor : norm);
        }
    }
}

SMALL_FN int small_model_init(struct small_model *s, const struct small_shape *shape,
                              enum dtype dtype, uint64_t seed)
{
    const struct hparams hp = small_hparams(shape);
    /* one thread: at this size a team costs more than it gives */
    TRY(cpu_backend_init(&s->b, CPU_ISA_AUTO, 1));
    TRY(weights_init(&s->w, &hp, dtype, seed));
    small_scale(&s->w, seed);
    return model_init(&s->m, &s->b, &s->w.hp, s->w.data, dtype, SMALL_MAX_POS,
                      hp.n_vocab);
}

SMALL_FN void small_model_release(struct small_model *s)
{
    model_release(&s->m);
    weights_release(&s->w);
    cpu_backend_release(&s->b);
}

/* Random ids, the same for the same (seed, stream) */
SMALL_FN void small_ids(int32_t *ids, int64_t n, const struct hparams *hp,
                        uint64_t seed, uint32_t stream)
{
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)rng_below(seed, RNG_TEST, (uint32_t)hp->n_vocab, (uint32_t)i,
                                    stream, 1, 0);
}

/* Roundings on the longest path from the weights to a logit: the lengths of all chains
 * in it, taken as one chain. A limit of this many units of the largest entry is the
 * bound of each chain's own error (tests/tol.h, tol_sum); that errors grow from layer
 * to layer is paid for by real chains erring like the square root of their length. */
SMALL_FN int64_t small_chain(const struct hparams *hp, int64_t n_pos)
{
    const int64_t attention = 2 * hp->d_model + 2 * hp->head_dim + n_pos +
                              hp->n_heads * hp->head_dim;
    return hp->n_layers * (attention + 3 * hp->d_model + hp->d_ff) + 2 * hp->d_model +
           hp->n_vocab;
}

/* A forward and backward over a batch: its head rows and their gradients. */
struct small_run {
    const struct model *m;
    struct batch t;
    struct acts a;
    struct model_grads g;
    int32_t rows[SMALL_ROWS], target[SMALL_ROWS];
    float logp[SMALL_ROWS], entropy[SMALL_ROWS], dlogp[SMALL_ROWS], dent[SMALL_ROWS];
    int64_t n;        /* head rows of the batch */
    int64_t n_before; /* head rows of batches before: the loss depends on the sum */
    float inv_temp, z_coef;
    const float *aux_f; /* NULL: no balancing */
    bool has_dent;
};

SMALL_FN int small_run_init(struct small_run *r, const struct model *m,
                            enum acts_mode mode, int64_t n_head_rows)
{
    const struct batch_limits bl = {.n_rows = SMALL_ROWS,
                                    .n_seqs = 32,
                                    .n_groups = 16,
                                    .n_pages = 128,
                                    .n_dst = 4 * SMALL_ROWS};
    const struct acts_limits al = {
        .mode = mode, .n_rows = SMALL_ROWS, .n_pages = 64, .n_head_rows = n_head_rows};
    *r = (struct small_run){.m = m, .inv_temp = 1.0f};
    TRY(batch_init(&r->t, m->b, &bl));
    TRY(acts_init(&r->a, m, &al));
    void *data = NULL, *tied = NULL;
    TRY(m->b->reserve(m->b, &data, (size_t)m->table.n_elems * sizeof(float), "grads"));
    r->g.data = data;
    if (m->hp.is_tied) {
        const int64_t n = param_find(&m->table, PARAM_EMBED, -1)->n_elems;
        TRY(m->b->reserve(m->b, &tied, (size_t)n * sizeof(float), "grads"));
        r->g.tied = tied;
    }
    return STATUS_OK;
}

SMALL_FN void small_run_release(struct small_run *r)
{
    const struct model *const m = r->m;
    batch_release(&r->t);
    acts_release(&r->a);
    m->b->release(m->b, r->g.data, (size_t)m->table.n_elems * sizeof(float));
    if (r->g.tied != NULL)
        m->b->release(m->b, r->g.tied,
                      (size_t)param_find(&m->table, PARAM_EMBED, -1)->n_elems *
                          sizeof(float));
}

/* An empty batch; gradients stay. */
SMALL_FN void small_next(struct small_run *r)
{
    batch_reset(&r->t);
    r->n_before += r->n;
    r->n = 0;
}

/* A whole sequence; each row but the last predicts the next token. */
SMALL_FN void small_add(struct small_run *r, const int32_t *ids, int64_t n)
{
    const int64_t row = batch_add_prompt(&r->t, ids, n);
    for (int64_t t = 0; t + 1 < n; t++, r->n++) {
        r->rows[r->n] = (int32_t)(row + t);
        r->target[r->n] = ids[t + 1];
    }
}

enum { SMALL_MAX_SAMPLES = 4, SMALL_MAX_PROMPT = 160, SMALL_MAX_NEW = 100 };
struct small_group {
    int64_t n_prompt, n_samples;
    int64_t n_new[SMALL_MAX_SAMPLES];
    int32_t prompt[SMALL_MAX_PROMPT];
    int32_t new_ids[SMALL_MAX_SAMPLES][SMALL_MAX_NEW];
};

SMALL_FN void small_group_fill(struct small_group *g, const struct hparams *hp,
                               uint64_t seed)
{
    small_ids(g->prompt, g->n_prompt, hp, seed, 100);
    for (int64_t s = 0; s < g->n_samples; s++)
        small_ids(g->new_ids[s], g->n_new[s], hp, seed, (uint32_t)s);
}

/* A prompt and its completions as the learner lays them out. */
SMALL_FN void small_add_group(struct small_run *r, const struct small_group *g)
{
    const int64_t last = batch_add_prompt(&r->t, g->prompt, g->n_prompt) + g->n_prompt -
                         1;
    for (int64_t s = 0; s < g->n_samples; s++) {
        const int64_t row = batch_add_completion(&r->t, g->new_ids[s], g->n_new[s] - 1);
        for (int64_t t = 0; t < g->n_new[s]; t++, r->n++) {
            r->rows[r->n] = (int32_t)(t == 0 ? last : row + t - 1);
            r->target[r->n] = g->new_ids[s][t];
        }
    }
}

SMALL_FN void small_forward(struct small_run *r)
{
    batch_upload(&r->t);
    model_forward(r->m, &r->a, &r->t);
    model_logprobs(r->m, &r->a, r->a.x_last, r->rows, r->target, r->n, r->inv_temp,
                   r->logp, r->entropy);
}

/* dL/dlogp and dL/dentropy: normal numbers keyed by the head row's place in all batches
 */
SMALL_FN void small_fill_loss(struct small_run *r)
{
    for (int64_t i = 0; i < r->n; i++) {
        const uint32_t at = (uint32_t)(r->n_before + i);
        r->dlogp[i] = rng_normal(7, RNG_TEST, at, 2, 0, 0);
        r->dent[i] = 0.3f * rng_normal(7, RNG_TEST, at, 3, 0, 0);
    }
}

SMALL_FN void small_backward(struct small_run *r)
{
    const struct model_loss loss = {.rows = r->rows,
                                    .target = r->target,
                                    .dlogp = r->dlogp,
                                    .dent = r->has_dent ? r->dent : NULL,
                                    .n = r->n,
                                    .inv_temp = r->inv_temp,
                                    .aux_f = r->aux_f,
                                    .z_coef = r->z_coef};
    model_backward(r->m, &r->a, &r->t, &loss, &r->g);
}

/* Forward and backward of the batch with the loss of small_fill_loss */
SMALL_FN void small_step(struct small_run *r)
{
    small_forward(r);
    small_fill_loss(r);
    small_backward(r);
}

#endif
