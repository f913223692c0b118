/*
 * A leaf's groups packed into micro-batches, and what is done alike with each of them.
 */
#include <string.h>

#include "grpo/learner_private.h"

/* Adds group i to the micro-batch; its head rows follow those before. Returns the new
 * count. */
static int64_t add_group(struct learner *l, int64_t i, int64_t n)
{
    const struct groups *const g = l->mb->g;
    const int64_t p = l->mb->first + i;
    const int64_t last = batch_add_prompt(&l->batch, g->prompt + p * g->max_prompt,
                                          g->n_prompt[p]) +
                         g->n_prompt[p] - 1;
    for (int64_t s = 0; s < g->n_samples; s++) {
        const int64_t len = groups_info(g, p, s)->n_tokens;
        const int32_t *const tokens = groups_tokens(g, p, s);
        const int64_t row = batch_add_completion(&l->batch, tokens, len - 1);
        const float *const behaviour = groups_logp(g, p, s);
        memcpy(l->logp_behaviour + n, behaviour, (size_t)len * sizeof(float));
        for (int64_t t = 0; t < len; t++, n++) {
            l->rows[n] = (int32_t)(t == 0 ? last : row + t - 1);
            l->target[n] = tokens[t];
        }
    }
    return n;
}

static struct batch_limits cost_of(const struct learner *l, int64_t i)
{
    const struct groups *const g = l->mb->g;
    const int64_t p = l->mb->first + i;
    int64_t n_rows[4096]; /* the option table's limit of group_size */
    for (int64_t s = 0; s < g->n_samples; s++)
        n_rows[s] = groups_info(g, p, s)->n_tokens - 1;
    return batch_group_cost(g->n_prompt[p], n_rows, g->n_samples);
}

static int finish_micro(struct learner *l, const struct micro *mi, micro_fn fn,
                        void *user)
{
    if (mi->n == 0)
        return STATUS_OK;
    batch_upload(&l->batch);
    TRY(fn(l, mi, user));
    watchdog_beat("learner micro-batch");
    batch_reset(&l->batch);
    return STATUS_OK;
}

int learner_walk(struct learner *l, int64_t leaf, micro_fn fn, void *user)
{
    struct micro mi = {0};
    batch_reset(&l->batch);
    for (int64_t i = 0; i < l->mb->n; i++) { /* a leaf's prompts are adjacent */
        if (learner_leaf_of(i, l->mb->n, l->c->grpo.leaves) != leaf || !l->is_kept[i])
            continue;
        const struct batch_limits cost = cost_of(l, i);
        const bool is_over = l->batch.n_rows + cost.n_rows > l->c->learner.micro_tokens;
        if (mi.n > 0 && (is_over || !batch_fits(&l->batch, &cost))) {
            TRY(finish_micro(l, &mi, fn, user));
            mi.n = 0;
        }
        if (mi.n == 0)
            mi.first = i;
        mi.n = add_group(l, i, mi.n);
        mi.end = i + 1;
    }
    return finish_micro(l, &mi, fn, user);
}

void learner_forward(struct learner *l, const struct model *m, int64_t n, float *logp,
                     float *entropy)
{
    /* as sample_fwd divides: in fp32, from the rounded temperature */
    const float inv_temp = 1.0f / (float)l->c->rollout.temperature;
    model_forward(m, &l->acts, &l->batch);
    model_logprobs(m, &l->acts, l->acts.x_last, l->rows, l->target, n, inv_temp, logp,
                   entropy);
}

static int64_t layer_diffs(const struct learner *l, const struct micro *mi,
                           int64_t layer)
{
    const struct groups *const g = l->mb->g;
    const int64_t k = l->s.m->hp.top_k;
    int64_t n = 0, n_diffs = 0;
    for (int64_t i = mi->first; i < mi->end; i++) {
        const int64_t p = l->mb->first + i;
        for (int64_t s = 0; l->is_kept[i] && s < g->n_samples; s++) {
            const uint16_t *const r = groups_routes(g, p, s) + layer * k;
            for (int64_t t = 0; t < groups_info(g, p, s)->n_tokens; t++, n++)
                for (int64_t j = 0; j < k; j++)
                    n_diffs += l->route_host[l->rows[n] * k + j] !=
                               (int32_t)r[t * g->route_width + j];
        }
    }
    return n_diffs;
}

int64_t learner_route_diffs(struct learner *l, const struct micro *mi)
{
    const int64_t k = l->s.m->hp.top_k;
    struct backend *const b = l->s.m->b;
    int64_t n_diffs = 0;
    if (l->mb->g->route_width == 0 || l->mb->g->is_unrouted)
        return 0;
    for (int64_t layer = 0; layer < l->s.m->hp.n_layers; layer++) {
        const int32_t *const chosen = l->acts.is_replayed
                                          ? l->acts.own_experts +
                                                layer * l->acts.max.n_rows * k
                                          : l->acts.layers[layer].experts;
        b->download(b, l->route_host, chosen,
                    (size_t)(l->batch.n_rows * k) * sizeof(int32_t));
        n_diffs += layer_diffs(l, mi, layer);
    }
    return n_diffs;
}

double learner_behaviour_diff(const struct learner *l, int64_t n)
{
    double max = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)l->logp[i] - (double)l->logp_behaviour[i]);
        if (!isnan(l->logp_behaviour[i]))
            learner_keep_max(&max, d);
    }
    return max;
}

bool learner_owns(const struct learner *l, int64_t leaf)
{
    return comm_leaf_owner(leaf, l->c->grpo.leaves, comm_size(l->s.comm)) ==
           comm_rank(l->s.comm);
}
