/*
 * Passes over samples whose results every rank must know, or that later passes replay:
 * of the whole step before its first update (old log-probs, the reference's, routes),
 * of a mini-batch before its gradient; and the comparison of the records of sampling
 * with any weights.
 */
#include <string.h>

#include "grpo/learner_private.h"

static void lay_out(struct scan *s, struct carver *c, const struct hparams *hp,
                    const struct config *cfg)
{
    const int64_t n = cfg->grpo.prompts * cfg->rollout.group_size;
    const int64_t width = hp->n_layers * hp->top_k;
    if (cfg->grpo.routing_replay != REPLAY_R2)
        return;
    s->routes = carve(c, n * cfg->rollout.max_new * width, sizeof(uint16_t));
    s->prompt_routes = carve(c, cfg->grpo.prompts * cfg->data.max_prompt * width,
                             sizeof(uint16_t));
}

size_t scan_bytes(const struct hparams *hp, const struct config *c)
{
    struct scan none;
    struct carver measure = {.base = NULL};
    lay_out(&none, &measure, hp, c);
    return measure.used;
}

int scan_init(struct learner *l)
{
    const struct hparams *const hp = &l->s.m->hp;
    const size_t bytes = scan_bytes(hp, l->c);
    if (bytes == 0)
        return STATUS_OK;
    TRY(mem_reserve(&l->scan.block, bytes, "routes to replay"));
    l->scan.block_bytes = bytes;
    struct carver c = {.base = l->scan.block};
    lay_out(&l->scan, &c, hp, l->c);
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

/* Head rows of a micro-batch as values of the step's tokens */
static void keep_values(struct learner *l, const struct micro *mi,
                        enum step_value value, const float *from)
{
    const struct groups *const g = l->mb->g;
    double *const to = l->step.value[value];
    if (to == NULL)
        return;
    for (int64_t i = mi->first; i < mi->end; i++)
        for (int64_t s = 0; l->is_kept[i] && s < g->n_samples; s++) {
            const int64_t at = (l->mb->first + i) * g->n_samples + s;
            for (int64_t t = l->step.off[at]; t < l->step.off[at + 1]; t++)
                to[t] = (double)*from++;
        }
}

static int scan_micro(struct learner *l, const struct micro *mi, void *user)
{
    (void)user;
    struct backend *const b = l->s.m->b;
    keep_values(l, mi, STEP_BEHAVIOUR, l->logp_behaviour);
    if (l->step.has_value[STEP_REF]) {
        router_replay_stop(l); /* the reference routes as it likes */
        learner_forward(l, l->s.ref, mi->n, l->logp_ref, NULL);
        keep_values(l, mi, STEP_REF, l->logp_ref);
    }
    if (!l->step.has_value[STEP_OLD] && l->scan.routes == NULL)
        return STATUS_OK;
    if (l->scan.routes == NULL)
        router_replay(l, mi); /* R3: old and new log-probs by the same experts */
    learner_forward(l, l->s.m, mi->n, l->logp, NULL);
    keep_values(l, mi, STEP_OLD, l->logp);
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

/* Every rank's tokens of a mini-batch's values, from the owners of its leaves. */
static int share_values(struct learner *l, int64_t first, int64_t n,
                        const enum step_value *which, int n_which)
{
    const int64_t n_leaves = l->c->grpo.leaves, g = l->step.n_samples;
    for (int64_t i = 0, end; i < n; i = end) {
        const int64_t leaf = learner_leaf_of(i, n, n_leaves);
        for (end = i + 1; end < n && learner_leaf_of(end, n, n_leaves) == leaf;)
            end++;
        const int64_t from = l->step.off[(first + i) * g],
                      to = l->step.off[(first + end) * g];
        const int owner = comm_leaf_owner(leaf, n_leaves, comm_size(l->s.comm));
        for (int k = 0; k < n_which; k++) {
            double *const v = l->step.value[which[k]];
            if (v != NULL)
                TRY(comm_bcast(l->s.comm, v + from, (size_t)(to - from) * sizeof(*v),
                               owner));
        }
    }
    return STATUS_OK;
}

int learner_begin(struct learner *l, const struct groups *g)
{
    static const enum step_value which[] = {STEP_BEHAVIOUR, STEP_OLD, STEP_REF};
    struct learner_step *const s = &l->step;
    const int64_t n = l->c->grpo.prompts;
    const bool has_values = s->has_value[STEP_BEHAVIOUR] || s->has_value[STEP_OLD] ||
                            s->has_value[STEP_REF];
    learner_step_open(s, g, n);
    if (has_values || l->scan.block != NULL)
        TRY(comm_agree(l->s.comm, walk_step(l, g, scan_micro, NULL)));
    for (int64_t first = 0; has_values && first < n; first += l->mini_batch)
        TRY(share_values(l, first, l->mini_batch, which, (int)ARRAY_LEN(which)));
    return learner_step_close(s);
}

static int survey_micro(struct learner *l, const struct micro *mi, void *user)
{
    (void)user;
    router_replay(l, mi);
    learner_forward(l, l->s.m, mi->n, l->logp, l->entropy);
    keep_values(l, mi, STEP_NOW, l->logp);
    keep_values(l, mi, STEP_ENTROPY, l->entropy);
    return STATUS_OK;
}

int scan_survey(struct learner *l)
{
    static const enum step_value which[] = {STEP_NOW, STEP_ENTROPY};
    int status = STATUS_OK;
    if (!recipe_needs_survey(&l->step.recipe))
        return STATUS_OK;
    for (int64_t leaf = 0; leaf < l->c->grpo.leaves && status == STATUS_OK; leaf++)
        if (learner_owns(l, leaf))
            status = learner_walk(l, leaf, survey_micro, NULL);
    TRY(comm_agree(l->s.comm, status));
    TRY(share_values(l, l->mb->first, l->mb->n, which, (int)ARRAY_LEN(which)));
    learner_step_survey(&l->step);
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
