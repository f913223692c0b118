/*
 * One update: for each own leaf, micro-batches of groups: forward (and the
 * reference's), log-probs, objective, backward into the leaf's gradient; then the tree,
 * the norm, AdamW.
 */
#include <string.h>

#include "grpo/learner_private.h"

int64_t learner_leaf_of(int64_t i, int64_t n, int64_t n_leaves)
{
    return i * n_leaves / n;
}

static void lay_out_host(struct learner *l, struct carver *c)
{
    const int64_t n = l->max_tokens;
    l->rows = carve_i32(c, n);
    l->target = carve_i32(c, n);
    l->route_host = carve_i32(c, l->acts.max.n_rows * l->s.m->hp.top_k);
    l->logp = carve_f32(c, n, 1);
    l->logp_behaviour = carve_f32(c, n, 1);
    l->logp_ref = carve_f32(c, n, 1);
    l->entropy = carve_f32(c, n, 1);
    l->dlogp = carve_f32(c, n, 1);
    l->dent = carve_f32(c, n, 1);
    l->is_kept = carve(c, l->mini_batch, sizeof(bool));
    if (!l->s.m->b->is_host && comm_size(l->s.comm) > 1)
        l->host_tree = carve_f32(c, 1 + comm_tree_depth(l->c->grpo.leaves),
                                 l->s.m->table.n_elems);
    l->leaf_sums = carve(c, l->c->grpo.leaves, sizeof(*l->leaf_sums));
    l->all_sums = carve(c, comm_size(l->s.comm) * l->c->grpo.leaves,
                        sizeof(*l->all_sums));
    const struct hparams *const hp = &l->s.m->hp;
    if (l->c->grpo.routing_replay != REPLAY_OFF)
        l->replay = carve_i32(c, learner_replay_len(l->s.m, l->acts.max.n_rows));
    if (router_has_losses(l)) {
        const int64_t width = hp->n_layers * (2 * hp->n_experts + 1);
        l->leaf_load = carve(c, l->c->grpo.leaves * width, sizeof(double));
        l->all_load = carve(c, comm_size(l->s.comm) * l->c->grpo.leaves * width,
                            sizeof(double));
        l->aux_f = carve_f32(c, hp->n_experts, 1);
    }
}

static void lay_out_dev(struct learner *l, struct carver *c)
{
    const struct param_table *const t = &l->s.m->table;
    l->tree = carve_f32(c, learner_tree_arrays(l->c), t->n_elems);
    weight_change_lay_out(&l->change, c, t->n_elems);
    if (l->s.m->hp.is_tied)
        l->grads.tied = carve_f32(c, param_find(t, PARAM_EMBED, -1)->n_elems, 1);
}

static int reserve(struct learner *l)
{
    const struct model *const m = l->s.m;
    struct learner_plan plan;
    if (l->s.plan != NULL)
        plan = *l->s.plan;
    else
        learner_plan(&plan, m, l->c, 0);
    const struct batch_limits bl = learner_batch_limits(l->c);
    const struct acts_limits al = learner_acts_limits(m, l->c, plan.mode);
    TRY(acts_init(&l->acts, m, &al));
    TRY(batch_init(&l->batch, m->b, &bl));
    TRY(optim_init(&l->optim, m->b, &m->table, l->s.data, m->dtype, plan.place));
    TRY(learner_step_init(&l->step, l->c));
    /* a prompt's last row predicts one token of every completion */
    l->max_tokens = bl.n_rows + bl.n_seqs;
    struct carver host = {.base = NULL}, dev = {.base = NULL};
    lay_out_host(l, &host);
    lay_out_dev(l, &dev);
    l->host_bytes = host.used;
    l->dev_bytes = dev.used;
    TRY(mem_reserve(&l->host_block, host.used, "learner"));
    TRY(m->b->reserve(m->b, &l->dev_block, dev.used, "gradients"));
    host = (struct carver){.base = l->host_block};
    dev = (struct carver){.base = l->dev_block};
    lay_out_host(l, &host);
    lay_out_dev(l, &dev);
    weight_change_fill(&l->change, m->b);
    return STATUS_OK;
}

int learner_create(struct learner **out, const struct learner_setup *s)
{
    struct learner *const l = mem_alloc(sizeof(*l));
    l->s = *s;
    l->c = s->config;
    l->mini_batch = learner_mini_batch(l->c);
    l->grads.is_router_frozen = l->c->grpo.router == ROUTER_FREEZE;
    int status = reserve(l);
    if (status == STATUS_OK)
        status = scan_init(l);
    if (status != STATUS_OK) {
        learner_free(l);
        return status;
    }
    *out = l;
    return STATUS_OK;
}

void learner_free(struct learner *l)
{
    if (l == NULL)
        return;
    scan_release(&l->scan);
    learner_step_release(&l->step);
    optim_release(&l->optim);
    batch_release(&l->batch);
    acts_release(&l->acts);
    mem_release(l->host_block, l->host_bytes);
    if (l->dev_block != NULL)
        l->s.m->b->release(l->s.m->b, l->dev_block, l->dev_bytes);
    mem_free(l);
}

struct optim *learner_optim(struct learner *l) { return &l->optim; }

/* Kept groups, and the counts that normalise the loss; the same on every rank. */
static void prepare(struct learner *l, const struct minibatch *mb,
                    struct learner_report *r)
{
    l->mb = mb;
    r->n_flat_groups = learner_step_minibatch(
        &l->step, mb->first, mb->n, l->c->grpo.zero_variance != ZERO_VARIANCE_KEEP);
    for (int64_t i = 0; i < mb->n; i++)
        l->is_kept[i] = learner_step_is_used(&l->step, mb->first + i);
}

/* Objective of the micro-batch's groups, whose head rows are in l->logp etc.. */
static void apply_objective(struct learner *l, const struct micro *mi,
                            struct leaf_sums *sums)
{
    const struct groups *const g = l->mb->g;
    int64_t n = 0;
    for (int64_t i = mi->first; i < mi->end; i++) {
        if (!l->is_kept[i])
            continue;
        sums->n_prompt_tokens += g->n_prompt[l->mb->first + i];
        for (int64_t s = 0; s < g->n_samples; s++) {
            const int64_t at = (l->mb->first + i) * g->n_samples + s;
            const struct step_forward f = {
                .logp = l->logp + n,
                .recorded = l->logp_behaviour + n,
                .logp_ref = l->s.ref == NULL ? NULL : l->logp_ref + n,
                .entropy = l->entropy + n};
            learner_step_apply(&l->step, at, &f, l->dlogp + n, l->dent + n,
                               &sums->sums);
            n += g->info[at].n_tokens;
        }
    }
    sums->n_tokens += n;
}

/* Forward and backward of a micro-batch. */
static int micro_batch(struct learner *l, const struct micro *mi, void *user)
{
    const struct model *const m = l->s.m;
    struct leaf_sums *const sums = user;
    if (l->s.ref != NULL) {
        router_replay_stop(l); /* the reference routes as it likes */
        learner_forward(l, l->s.ref, mi->n, l->logp_ref, NULL);
    }
    router_replay(l, mi);
    learner_forward(l, m, mi->n, l->logp, l->entropy);
    sums->n_route_diffs += learner_route_diffs(l, mi);
    learner_keep_max(&sums->behaviour_diff_max, learner_behaviour_diff(l, mi->n));
    apply_objective(l, mi, sums);
    const bool has_dent = l->step.recipe.objective.entropy_coef != 0.0;
    const struct model_loss loss = {.rows = l->rows,
                                    .target = l->target,
                                    .dlogp = l->dlogp,
                                    .dent = has_dent ? l->dent : NULL,
                                    .n = mi->n,
                                    .inv_temp = 1.0f / (float)l->c->rollout.temperature,
                                    .aux_f = router_has_losses(l) ? l->aux_f : NULL,
                                    .z_coef = l->z_coef};
    model_backward(m, &l->acts, &l->batch, &loss, &l->grads);
    return STATUS_OK;
}

/* comm_tree's callback: the gradient of leaf `leaf` into dst. */
static int leaf_gradient(void *user, int64_t leaf, float *dst)
{
    struct learner *const l = user;
    const struct model *const m = l->s.m;
    l->grads.data = dst;
    m->b->zero(m->b, dst, (size_t)m->table.n_elems * sizeof(float));
    if (l->grads.tied != NULL)
        m->b->zero(m->b, l->grads.tied,
                   (size_t)param_find(&m->table, PARAM_EMBED, -1)->n_elems *
                       sizeof(float));
    TRY(learner_walk(l, leaf, micro_batch, &l->leaf_sums[leaf]));
    model_grads_finish(m, &l->grads);
    return STATUS_OK;
}

static void tree_add(void *user, float *y, const float *x, int64_t n)
{
    struct learner *const l = user;
    l->s.m->b->add(l->s.m->b, y, y, x, n);
}

/* Leaf sums of all ranks, added in leaf order. */
static int gather_sums(struct learner *l, struct learner_report *r)
{
    const int size = comm_size(l->s.comm);
    const int64_t n_leaves = l->c->grpo.leaves;
    const size_t bytes = (size_t)n_leaves * sizeof(struct leaf_sums);
    struct leaf_sums *const all = l->all_sums;
    TRY(comm_allgather(l->s.comm, l->leaf_sums, bytes, all));
    for (int64_t i = 0; i < n_leaves; i++) {
        const struct leaf_sums *const s =
            all + (int64_t)comm_leaf_owner(i, n_leaves, size) * n_leaves + i;
        objective_sums_add(&r->sums, &s->sums);
        r->n_tokens += s->n_tokens;
        r->n_prompt_tokens += s->n_prompt_tokens;
        r->n_route_diffs += s->n_route_diffs;
        learner_keep_max(&r->behaviour_diff_max, s->behaviour_diff_max);
    }
    return STATUS_OK;
}

/* The design's central promise: on-policy, the learner recomputes what the rollout saw.
 */
static int check_exact(const struct minibatch *mb, const struct learner_report *r)
{
    if (!mb->is_on_policy || (r->behaviour_diff_max == 0.0 && r->n_route_diffs == 0))
        return STATUS_OK;
    return ERR(
        ERR_NUMERIC,
        "learner and rollout disagree on the same weights: max |logp difference| "
        "%g, %lld routes differ; this is a defect, please report it",
        r->behaviour_diff_max, (long long)r->n_route_diffs);
}

/* The optimiser's step, and the length of the way that the weights went. */
static int change_weights(struct learner *l, double lr, struct learner_report *r)
{
    struct backend *const b = l->s.m->b;
    const struct config_optim *const o = &l->c->optim;
    const int64_t n = l->s.m->table.n_elems;
    float *const before = l->tree + n;
    const struct optim_args args = {.lr = lr,
                                    .beta1 = o->beta1,
                                    .beta2 = o->beta2,
                                    .eps = o->eps,
                                    .weight_decay = o->weight_decay,
                                    .clip_l2 = o->clip_l2,
                                    .clip_l1 = o->clip_l1,
                                    .is_router_frozen = l->grads.is_router_frozen};
    b->copy(b, before, l->optim.master, (size_t)n * sizeof(float));
    TRY(optim_step(&l->optim, l->tree, &args, &r->optim));
    /* the gradient's array is free by now */
    r->update_norm = weight_change_norm(&l->change, b, l->tree, l->optim.master,
                                        before);
    return STATUS_OK;
}

int learner_update(struct learner *l, const struct minibatch *mb,
                   struct learner_report *out)
{
    struct learner_report r = {0};
    CHECK(mb->g == l->step.g && mb->first + mb->n <= l->step.n_prompts,
          "an update of prompts %lld to %lld before learner_begin",
          (long long)mb->first, (long long)(mb->first + mb->n));
    prepare(l, mb, &r);
    TRY(router_prepare(l, &r));
    TRY(scan_survey(l));
    memset(l->leaf_sums, 0, (size_t)l->c->grpo.leaves * sizeof(*l->leaf_sums));
    const struct comm_tree tree = {.n_leaves = l->c->grpo.leaves,
                                   .n = l->s.m->table.n_elems,
                                   .leaf = leaf_gradient,
                                   .add = tree_add,
                                   .user = l,
                                   .b = l->host_tree == NULL ? NULL : l->s.m->b,
                                   .host = l->host_tree};
    float *const scratch = l->tree + l->s.m->table.n_elems;
    TRY(comm_tree_sum(l->s.comm, &tree, l->tree, scratch));
    TRY(gather_sums(l, &r));
    TRY(check_exact(mb, &r));
    TRY(change_weights(l, mb->lr, &r));
    *out = r;
    return STATUS_OK;
}
