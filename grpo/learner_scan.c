/*
 * Passes over a step's samples before its first update: old log-probs and routes by the
 * weights as they are, where the records of sampling cannot serve; and the comparison
 * of those records with any weights.
 */
#include <string.h>

#include "grpo/learner_private.h"

static bool needs_logp(const struct config *c)
{
    switch ((enum config_old_logp)c->grpo.old_logp) {
    case OLD_LOGP_AUTO:
        return c->data.trajectories[0] != '\0';
    case OLD_LOGP_ROLLOUT:
        return false;
    case OLD_LOGP_LEARNER:
        return true;
    }
    return false;
}

static void lay_out(struct learner *l, struct carver *c)
{
    const struct config *const cfg = l->c;
    const int64_t n = cfg->grpo.prompts * cfg->rollout.group_size;
    const int64_t width = l->s.m->hp.n_layers * l->s.m->hp.top_k;
    if (needs_logp(cfg))
        l->scan.logp_old = carve_f32(c, n, cfg->rollout.max_new);
    if (cfg->grpo.routing_replay == REPLAY_R2) {
        l->scan.routes = carve(c, n * cfg->rollout.max_new * width, sizeof(uint16_t));
        l->scan.prompt_routes = carve(
            c, cfg->grpo.prompts * cfg->data.max_prompt * width, sizeof(uint16_t));
    }
}

int scan_init(struct learner *l)
{
    struct carver c = {.base = NULL};
    lay_out(l, &c);
    if (c.used == 0)
        return STATUS_OK;
    TRY(mem_reserve(&l->scan.block, c.used, "old log-probs and routes"));
    l->scan.block_bytes = c.used;
    c = (struct carver){.base = l->scan.block};
    lay_out(l, &c);
    return STATUS_OK;
}

void scan_release(struct scan *s)
{
    mem_release(s->block, s->block_bytes);
    *s = (struct scan){0};
}

/* Layer `layer` of the routes in l->route_host into the scan's arrays; rows lie group
 * after group, prompt before completions. */
static void keep_layer(struct learner *l, const struct micro *mi, int64_t layer)
{
    const struct groups *const g = l->mb->g;
    const int64_t k = l->s.m->hp.top_k, width = g->route_width;
    const int32_t *from = l->route_host;
    for (int64_t i = mi->first; i < mi->end; i++) {
        const int64_t p = l->mb->first + i;
        uint16_t *to = l->scan.prompt_routes + p * g->max_prompt * width + layer * k;
        for (int64_t t = 0; t < g->n_prompt[p]; t++, to += width)
            for (int64_t j = 0; j < k; j++)
                to[j] = (uint16_t)*from++;
        const uint16_t *const last = to - width; /* it predicts every token 0 */
        for (int64_t s = 0; s < g->n_samples; s++) {
            to = l->scan.routes + (p * g->n_samples + s) * g->max_new * width +
                 layer * k;
            memcpy(to, last, (size_t)k * sizeof(*to));
            for (int64_t t = 1; t < groups_info(g, p, s)->n_tokens; t++) {
                to += width;
                for (int64_t j = 0; j < k; j++)
                    to[j] = (uint16_t)*from++;
            }
        }
    }
}

static void keep_logp(struct learner *l, const struct micro *mi)
{
    const struct groups *const g = l->mb->g;
    const float *from = l->logp;
    for (int64_t i = mi->first; i < mi->end; i++)
        for (int64_t s = 0; s < g->n_samples; s++) {
            const int64_t p = l->mb->first + i;
            const int64_t len = groups_info(g, p, s)->n_tokens;
            memcpy(l->scan.logp_old + (p * g->n_samples + s) * g->max_new, from,
                   (size_t)len * sizeof(*from));
            from += len;
        }
}

static int scan_micro(struct learner *l, const struct micro *mi, void *user)
{
    (void)user;
    struct backend *const b = l->s.m->b;
    if (l->scan.routes == NULL)
        router_replay(l, mi); /* R3: old and new log-probs by the same experts */
    learner_forward(l, l->s.m, mi->n, l->logp, NULL);
    if (l->scan.logp_old != NULL)
        keep_logp(l, mi);
    for (int64_t i = 0; l->scan.routes != NULL && i < l->s.m->hp.n_layers; i++) {
        b->download(b, l->route_host, l->acts.layers[i].experts,
                    (size_t)(l->batch.n_rows * l->s.m->hp.top_k) * sizeof(int32_t));
        keep_layer(l, mi, i);
    }
    return STATUS_OK;
}

/* fn over all groups of this rank's leaves, mini-batch by mini-batch */
static int walk_step(struct learner *l, const struct groups *g, micro_fn fn, void *user)
{
    router_replay_stop(l);
    memset(l->is_kept, true, (size_t)l->mini_batch * sizeof(*l->is_kept));
    struct minibatch mb = {.g = g, .n = l->mini_batch};
    int status = STATUS_OK;
    l->mb = &mb;
    for (; mb.first < l->c->grpo.prompts; mb.first += mb.n)
        for (int64_t leaf = 0; leaf < l->c->grpo.leaves; leaf++)
            if (learner_owns(l, leaf))
                TRY_OUT(learner_walk(l, leaf, fn, user));
out:
    l->mb = NULL;
    return status;
}

int learner_begin(struct learner *l, const struct groups *g)
{
    l->scan.is_done = false;
    if (l->scan.block == NULL)
        return STATUS_OK;
    TRY(walk_step(l, g, scan_micro, NULL));
    l->scan.is_done = true;
    return STATUS_OK;
}

struct comparison {
    const struct model *m;
    double diff_max;
    int64_t n_route_diffs;
};

static int compare_micro(struct learner *l, const struct micro *mi, void *user)
{
    struct comparison *const c = user;
    learner_forward(l, c->m, mi->n, l->logp, NULL);
    learner_keep_max(&c->diff_max, learner_behaviour_diff(l, mi->n));
    c->n_route_diffs += learner_route_diffs(l, mi);
    return STATUS_OK;
}

int learner_verify(struct learner *l, const struct groups *g, const struct model *m)
{
    struct comparison c = {.m = m};
    int status = walk_step(l, g, compare_micro, &c);
    if (status == STATUS_OK && (c.diff_max != 0.0 || c.n_route_diffs != 0))
        status = ERR(ERR_NUMERIC,
                     "the weights that sampled do not reproduce their samples: max "
                     "|logp difference| %g, %lld routes differ; this is a defect, "
                     "please report it",
                     c.diff_max, (long long)c.n_route_diffs);
    return comm_agree(l->s.comm, status);
}
