/*
 * What reinforcement learning does with the routers besides training them: replay of
 * recorded experts, and the load-balancing losses
 *   aux = E sum_e F_e P_e,  F_e, P_e: mean times chosen, mean probability
 *   z   = mean of logsumexp(logits)^2
 * over the rows and layers of the whole mini-batch (every prompt's rows once, and every
 * completion's), as transformers pools layers. F must be known before the backward, so
 * a mini-batch takes one more forward; counts and sums are added over leaves in order,
 * hence depend on neither micro-batches nor ranks. F is a constant to the gradient.
 */
#include <string.h>

#include "grpo/learner_private.h"

/* One row's experts of all layers, into l->replay (L, n_rows, K) */
static void put_row(struct learner *l, int64_t row, const uint16_t *routes)
{
    const int64_t k = l->s.m->hp.top_k;
    for (int64_t layer = 0; layer < l->s.m->hp.n_layers; layer++)
        for (int64_t j = 0; j < k; j++)
            l->replay[(layer * l->batch.n_rows + row) * k + j] = *routes++;
}

void router_replay(struct learner *l, const struct micro *mi)
{
    const struct groups *const g = l->mb->g;
    const int64_t width = g->route_width;
    if (l->replay == NULL)
        return;
    const bool is_own = l->scan.routes != NULL; /* R2 */
    const uint16_t *const prompts = is_own ? l->scan.prompt_routes : g->prompt_routes;
    const uint16_t *const samples = is_own ? l->scan.routes : g->routes;
    int64_t row = 0;
    for (int64_t i = mi->first; i < mi->end; i++) {
        const int64_t p = l->mb->first + i;
        if (!l->is_kept[i])
            continue;
        for (int64_t t = 0; t < g->n_prompt[p]; t++)
            put_row(l, row++, prompts + (p * g->max_prompt + t) * width);
        for (int64_t s = 0; s < g->n_samples; s++)
            for (int64_t t = 1; t < groups_info(g, p, s)->n_tokens; t++)
                put_row(l, row++,
                        samples + ((p * g->n_samples + s) * g->max_new + t) * width);
    }
    CHECK(row == l->batch.n_rows, "routes of %lld rows for a batch of %lld",
          (long long)row, (long long)l->batch.n_rows);
    model_replay(l->s.m, &l->acts, l->replay, row);
}

void router_replay_stop(struct learner *l) { model_replay(l->s.m, &l->acts, NULL, 0); }

bool router_has_losses(const struct learner *l)
{
    return l->c->grpo.aux_coef != 0.0 || l->c->grpo.z_coef != 0.0;
}

static int load_micro(struct learner *l, const struct micro *mi, void *user)
{
    (void)user;
    router_replay(l, mi);
    model_forward(l->s.m, &l->acts, &l->batch);
    return STATUS_OK;
}

/* The leaves' loads of all ranks into l->all_load */
static int gather_load(struct learner *l)
{
    const struct hparams *const hp = &l->s.m->hp;
    const int64_t width = hp->n_layers * (2 * hp->n_experts + 1);
    for (int64_t leaf = 0; leaf < l->c->grpo.leaves; leaf++) {
        if (!learner_owns(l, leaf))
            continue;
        model_load_start(l->s.m, &l->acts);
        const int status = learner_walk(l, leaf, load_micro, NULL);
        model_load_end(l->s.m, &l->acts, l->leaf_load + leaf * width);
        TRY(status);
    }
    return comm_allgather(l->s.comm, l->leaf_load,
                          (size_t)(l->c->grpo.leaves * width) * sizeof(double),
                          l->all_load);
}

int router_prepare(struct learner *l, struct learner_report *r)
{
    const struct hparams *const hp = &l->s.m->hp;
    const int64_t e = hp->n_experts, row = 2 * e + 1, leaves = l->c->grpo.leaves;
    if (!router_has_losses(l))
        return STATUS_OK;
    TRY(gather_load(l));
    double *const sum = l->leaf_load; /* its first row: over leaves and layers */
    memset(sum, 0, (size_t)row * sizeof(*sum));
    for (int64_t leaf = 0; leaf < leaves; leaf++) {
        const int owner = comm_leaf_owner(leaf, leaves, comm_size(l->s.comm));
        const double *const of = l->all_load +
                                 (owner * leaves + leaf) * hp->n_layers * row;
        for (int64_t i = 0; i < hp->n_layers * row; i++)
            sum[i % row] += of[i];
    }
    double n = 0.0; /* rows times layers: every row chooses K */
    for (int64_t i = 0; i < e; i++)
        n += sum[e + i] / (double)hp->top_k;
    n = n > 0.0 ? n : 1.0;
    for (int64_t i = 0; i < e; i++) {
        const double f = sum[e + i] / n;
        r->aux_loss += (double)e * f * (sum[i] / n);
        l->aux_f[i] = (float)(l->c->grpo.aux_coef * (double)e / n * f);
    }
    r->z_loss = sum[2 * e] / n;
    l->z_coef = (float)(l->c->grpo.z_coef / n);
    return STATUS_OK;
}
