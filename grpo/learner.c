/*
 * One update: for each own leaf, micro-batches of groups: forward (and the
 * reference's), log-probs, objective, backward into the leaf's gradient; then the tree,
 * the norm, AdamW.
 */
#include "grpo/learner.h"

#include <math.h>
#include <string.h>

#include "core/carve.h"
#include "core/mem.h"
#include "grpo/learner_step.h"
#include "grpo/weight_change.h"

/* What a leaf adds to the report; summed over leaves in order on every rank. */
struct leaf_sums {
    struct objective_sums sums;
    int64_t n_tokens, n_prompt_tokens, n_route_diffs;
};

/* What a run over the leaves is for */
enum pass {
    PASS_UPDATE, /* gradients */
    PASS_STEP,   /* log-probs of the whole step, before its first update */
    PASS_SURVEY, /* of the mini-batch, under the current policy */
};

struct learner {
    struct learner_setup s;
    const struct config *c;
    struct acts acts;
    struct batch batch;
    struct optim optim;
    struct model_grads grads; /* tied part; data points at the leaf in work */
    float *tree;              /* (1 + depth, at least 2, n_elems): sum, then scratch */
    struct weight_change change;
    struct learner_step step; /* the recipe and the running step */
    /* rows of the head in one micro-batch, host, (max_tokens) each */
    int32_t *rows, *target, *route_host;
    float *logp, *logp_old, *logp_ref, *entropy, *dlogp, *dent;
    struct leaf_sums *leaf_sums, *all_sums; /* (leaves); (ranks, leaves) */
    void *dev_block, *host_block;
    size_t dev_bytes, host_bytes;
    int64_t max_tokens, max_groups, mini_batch;
    /* of the running update */
    const struct minibatch *mb;
    enum pass pass;
    bool takes_all; /* dropped groups too: before the step's corrections are known */
};

int64_t learner_leaf_of(int64_t i, int64_t n, int64_t n_leaves)
{
    return i * n_leaves / n;
}

static int64_t mini_batch_of(const struct config *c)
{
    const int64_t n = c->grpo.mini_batch;
    return n == 0 || n > c->grpo.prompts ? c->grpo.prompts : n;
}

/* Capacity of a micro-batch: the budget, or the largest possible group. */
static struct batch_limits micro_limits(const struct config *c)
{
    const int64_t g = c->rollout.group_size;
    const int64_t group_rows = c->data.max_prompt + g * (c->rollout.max_new - 1);
    const int64_t budget = c->learner.micro_tokens;
    /* no more groups than prompts, none smaller than a row */
    const int64_t n_rows = budget > group_rows ? budget : group_rows;
    const int64_t n_groups = mini_batch_of(c) < n_rows ? mini_batch_of(c) : n_rows;
    const int64_t n_seqs = n_groups * (1 + g);
    const int64_t seq_pages = (c->data.max_prompt + c->rollout.max_new + KV_BLOCK - 1) /
                              KV_BLOCK;
    return (struct batch_limits){.n_rows = n_rows,
                                 .n_seqs = n_seqs,
                                 .n_groups = n_groups,
                                 .n_pages = n_seqs * seq_pages,
                                 .n_dst = n_rows + n_seqs * KV_BLOCK};
}

/* Pages a micro-batch can really touch: one per KV_BLOCK rows, and a partial one or a
 * copy for every sequence. */
static int64_t page_limit(const struct batch_limits *bl)
{
    const int64_t n = bl->n_rows / KV_BLOCK + 2 * bl->n_seqs;
    return n < bl->n_pages ? n : bl->n_pages;
}

/* The sum and the tree's scratch; one more than the sum in any case, for the weights
 * as they were before an update. */
static int64_t tree_arrays(const struct config *c)
{
    const int64_t depth = comm_tree_depth(c->grpo.leaves);
    return 1 + (depth > 0 ? depth : 1);
}

int learner_plan(struct learner_plan *out, const struct model *m,
                 const struct config *c)
{
    const struct batch_limits bl = micro_limits(c);
    struct acts_limits al = {.mode = ACTS_KEEP,
                             .n_rows = bl.n_rows,
                             .n_pages = page_limit(&bl),
                             .n_head_rows = c->learner.head_rows};
    const size_t grads = (size_t)tree_arrays(c) * (size_t)m->table.n_elems *
                         sizeof(float);
    const size_t keep = acts_bytes(m, &al);
    const int64_t available = mem_available_bytes();
    const bool is_tight = available > 0 && keep > (size_t)available / 2;
    if (c->learner.recompute == RECOMPUTE_LAYER ||
        (c->learner.recompute == RECOMPUTE_AUTO && is_tight))
        al.mode = ACTS_RECOMPUTE;
    *out = (struct learner_plan){.mode = al.mode,
                                 .n_rows = bl.n_rows,
                                 .acts = acts_bytes(m, &al),
                                 .grads = grads,
                                 .optim = optim_bytes(&m->table, m->dtype)};
    return STATUS_OK;
}

static void lay_out_host(struct learner *l, struct carver *c)
{
    const int64_t n = l->max_tokens;
    l->rows = carve_i32(c, n);
    l->target = carve_i32(c, n);
    l->route_host = carve_i32(c, l->acts.max.n_rows * l->s.m->hp.top_k);
    l->logp = carve_f32(c, n, 1);
    l->logp_old = carve_f32(c, n, 1);
    l->logp_ref = carve_f32(c, n, 1);
    l->entropy = carve_f32(c, n, 1);
    l->dlogp = carve_f32(c, n, 1);
    l->dent = carve_f32(c, n, 1);
    l->leaf_sums = carve(c, l->c->grpo.leaves, sizeof(*l->leaf_sums));
    l->all_sums = carve(c, comm_size(l->s.comm) * l->c->grpo.leaves,
                        sizeof(*l->all_sums));
}

static void lay_out_dev(struct learner *l, struct carver *c)
{
    const struct param_table *const t = &l->s.m->table;
    l->tree = carve_f32(c, tree_arrays(l->c), t->n_elems);
    weight_change_lay_out(&l->change, c, t->n_elems);
    if (l->s.m->hp.is_tied)
        l->grads.tied = carve_f32(c, param_find(t, PARAM_EMBED, -1)->n_elems, 1);
}

static int reserve(struct learner *l)
{
    const struct model *const m = l->s.m;
    struct learner_plan plan;
    TRY(learner_plan(&plan, m, l->c));
    const struct batch_limits bl = micro_limits(l->c);
    const struct acts_limits al = {.mode = plan.mode,
                                   .n_rows = bl.n_rows,
                                   .n_pages = page_limit(&bl),
                                   .n_head_rows = l->c->learner.head_rows};
    TRY(acts_init(&l->acts, m, &al));
    TRY(batch_init(&l->batch, m->b, &bl));
    TRY(optim_init(&l->optim, m->b, &m->table, l->s.data, m->dtype));
    TRY(learner_step_init(&l->step, l->c));
    l->max_groups = bl.n_groups;
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
    l->mini_batch = mini_batch_of(l->c);
    const int status = reserve(l);
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
    optim_release(&l->optim);
    learner_step_release(&l->step);
    batch_release(&l->batch);
    acts_release(&l->acts);
    mem_release(l->host_block, l->host_bytes);
    if (l->dev_block != NULL)
        l->s.m->b->release(l->s.m->b, l->dev_block, l->dev_bytes);
    mem_free(l);
}

struct optim *learner_optim(struct learner *l) { return &l->optim; }

static bool is_taken(const struct learner *l, int64_t i)
{
    return l->takes_all || learner_step_is_used(&l->step, l->mb->first + i);
}

/* as sample_fwd divides: in fp32, from the rounded temperature */
static float inverse_temperature(const struct learner *l)
{
    return 1.0f / (float)l->c->rollout.temperature;
}

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
        for (int64_t t = 0; t < len; t++, n++) {
            l->rows[n] = (int32_t)(t == 0 ? last : row + t - 1);
            l->target[n] = tokens[t];
        }
        memcpy(l->logp_old + n - len, groups_logp(g, p, s),
               (size_t)len * sizeof(float));
    }
    return n;
}

/* Experts of this forward against those recorded while sampling. */
static int64_t count_route_diffs(struct learner *l, int64_t first, int64_t end)
{
    const struct groups *const g = l->mb->g;
    const int64_t k = l->s.m->hp.top_k;
    int64_t n_diffs = 0;
    for (int64_t layer = 0; layer < l->s.m->hp.n_layers; layer++) {
        l->s.m->b->download(l->s.m->b, l->route_host, l->acts.layers[layer].experts,
                            (size_t)(l->batch.n_rows * k) * sizeof(int32_t));
        int64_t n = 0;
        for (int64_t i = first; i < end; i++) {
            const int64_t p = l->mb->first + i;
            for (int64_t s = 0; is_taken(l, i) && s < g->n_samples; s++) {
                const uint16_t *const r = groups_routes(g, p, s) + layer * k;
                for (int64_t t = 0; t < groups_info(g, p, s)->n_tokens; t++, n++)
                    for (int64_t j = 0; j < k; j++)
                        n_diffs += l->route_host[l->rows[n] * k + j] !=
                                   (int32_t)r[t * g->route_width + j];
            }
        }
    }
    return n_diffs;
}

/* Objective of groups first .. end-1, whose head rows are in l->logp etc.. */
static void apply_objective(struct learner *l, int64_t first, int64_t end,
                            struct leaf_sums *sums)
{
    const struct groups *const g = l->mb->g;
    int64_t n = 0;
    for (int64_t i = first; i < end; i++) {
        const int64_t p = l->mb->first + i;
        if (!is_taken(l, i))
            continue;
        sums->n_prompt_tokens += g->n_prompt[p];
        for (int64_t s = 0; s < g->n_samples; s++) {
            const struct step_forward f = {
                .logp = l->logp + n,
                .recorded = l->logp_old + n,
                .logp_ref = l->s.ref == NULL ? NULL : l->logp_ref + n,
                .entropy = l->entropy + n};
            learner_step_apply(&l->step, p * g->n_samples + s, &f, l->dlogp + n,
                               l->dent + n, &sums->sums);
            n += groups_info(g, p, s)->n_tokens;
        }
    }
    sums->n_tokens += n;
}

/* Keeps head rows of groups first .. end-1 as values of the step. */
static void keep_values(struct learner *l, int64_t first, int64_t end,
                        enum step_value value, const float *x)
{
    const struct groups *const g = l->mb->g;
    double *const to = l->step.value[value];
    int64_t n = 0;
    if (to == NULL)
        return;
    for (int64_t i = first; i < end; i++)
        for (int64_t s = 0; is_taken(l, i) && s < g->n_samples; s++) {
            const int64_t at = (l->mb->first + i) * g->n_samples + s;
            for (int64_t t = l->step.off[at]; t < l->step.off[at + 1]; t++)
                to[t] = (double)x[n++];
        }
}

/* Log-probs of the micro-batch's n head rows under the reference and the policy. */
static void forward(struct learner *l, int64_t n)
{
    const struct model *const m = l->s.m;
    const float inv_temp = inverse_temperature(l);
    const bool has_ref = l->s.ref != NULL &&
                         (l->pass == PASS_UPDATE ||
                          (l->pass == PASS_STEP && l->step.has_value[STEP_REF]));
    if (has_ref) {
        model_forward(l->s.ref, &l->acts, &l->batch);
        model_logprobs(l->s.ref, &l->acts, l->acts.x_last, l->rows, l->target, n,
                       inv_temp, l->logp_ref, NULL);
    }
    if (l->pass == PASS_STEP && !l->step.has_value[STEP_OLD])
        return;
    model_forward(m, &l->acts, &l->batch);
    model_logprobs(m, &l->acts, l->acts.x_last, l->rows, l->target, n, inv_temp,
                   l->logp, l->entropy);
}

/* Forward and backward of groups first .. end-1, which are in l->batch with n head
 * rows. */
static int micro_batch(struct learner *l, int64_t first, int64_t end, int64_t n,
                       struct leaf_sums *sums)
{
    const struct model *const m = l->s.m;
    if (n == 0)
        return STATUS_OK;
    batch_upload(&l->batch);
    forward(l, n);
    watchdog_beat("learner micro-batch");
    if (l->pass == PASS_STEP) {
        keep_values(l, first, end, STEP_BEHAVIOUR, l->logp_old);
        keep_values(l, first, end, STEP_OLD, l->logp);
        keep_values(l, first, end, STEP_REF, l->logp_ref);
        return STATUS_OK;
    }
    if (l->pass == PASS_SURVEY) {
        keep_values(l, first, end, STEP_NOW, l->logp);
        keep_values(l, first, end, STEP_ENTROPY, l->entropy);
        return STATUS_OK;
    }
    if (l->mb->g->route_width > 0)
        sums->n_route_diffs += count_route_diffs(l, first, end);
    apply_objective(l, first, end, sums);
    const bool has_dent = l->step.recipe.objective.entropy_coef != 0.0;
    const struct model_loss loss = {.rows = l->rows,
                                    .target = l->target,
                                    .dlogp = l->dlogp,
                                    .dent = has_dent ? l->dent : NULL,
                                    .n = n,
                                    .inv_temp = inverse_temperature(l)};
    model_backward(m, &l->acts, &l->batch, &loss, &l->grads);
    return STATUS_OK;
}

static struct batch_limits cost_of(const struct learner *l, int64_t i)
{
    const struct groups *const g = l->mb->g;
    const int64_t p = l->mb->first + i;
    int64_t n_rows[4096];
    for (int64_t s = 0; s < g->n_samples; s++)
        n_rows[s] = groups_info(g, p, s)->n_tokens - 1;
    return batch_group_cost(g->n_prompt[p], n_rows, g->n_samples);
}

/* Micro-batches of the prompts of one leaf of the mini-batch. */
static int run_leaf(struct learner *l, int64_t leaf)
{
    struct leaf_sums *const sums = &l->leaf_sums[leaf];
    int64_t first = 0, end = 0, n = 0; /* a leaf's prompts are adjacent */
    batch_reset(&l->batch);
    for (int64_t i = 0; i < l->mb->n; i++) {
        if (learner_leaf_of(i, l->mb->n, l->c->grpo.leaves) != leaf || !is_taken(l, i))
            continue;
        const struct batch_limits cost = cost_of(l, i);
        const bool is_over = l->batch.n_rows + cost.n_rows > l->c->learner.micro_tokens;
        if (n > 0 && (is_over || !batch_fits(&l->batch, &cost))) {
            TRY(micro_batch(l, first, end, n, sums));
            batch_reset(&l->batch);
            n = 0;
        }
        if (n == 0)
            first = i;
        n = add_group(l, i, n);
        end = i + 1;
    }
    return micro_batch(l, first, end, n, sums);
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
    TRY(run_leaf(l, leaf));
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
    }
    return STATUS_OK;
}

/* The design's central promise: on-policy, the learner recomputes what the rollout saw.
 */
static int check_exact(const struct minibatch *mb, const struct learner_report *r)
{
    if (!mb->is_on_policy || (r->sums.logp_diff_max == 0.0 && r->n_route_diffs == 0))
        return STATUS_OK;
    return ERR(
        ERR_NUMERIC,
        "learner and rollout disagree on the same weights: max |logp difference| "
        "%g, %lld routes differ; this is a defect, please report it",
        r->sums.logp_diff_max, (long long)r->n_route_diffs);
}

/* Every rank's tokens of the mini-batch's values, from the owners of its leaves. */
static int share_values(struct learner *l, const enum step_value *which, int n_which)
{
    const struct minibatch *const mb = l->mb;
    const int64_t n_leaves = l->c->grpo.leaves, g = l->step.n_samples;
    for (int64_t i = 0, end; i < mb->n; i = end) {
        const int64_t leaf = learner_leaf_of(i, mb->n, n_leaves);
        for (end = i + 1; end < mb->n && learner_leaf_of(end, mb->n, n_leaves) == leaf;)
            end++;
        const int64_t from = l->step.off[(mb->first + i) * g],
                      to = l->step.off[(mb->first + end) * g];
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

/* Forward passes over this rank's leaves of a mini-batch; then every rank knows. */
static int gather_pass(struct learner *l, const struct minibatch *mb, enum pass pass,
                       bool takes_all)
{
    static const enum step_value of_step[] = {STEP_BEHAVIOUR, STEP_OLD, STEP_REF};
    static const enum step_value of_survey[] = {STEP_NOW, STEP_ENTROPY};
    const int rank = comm_rank(l->s.comm), size = comm_size(l->s.comm);
    int status = STATUS_OK;
    l->mb = mb;
    l->pass = pass;
    l->takes_all = takes_all;
    for (int64_t leaf = 0; leaf < l->c->grpo.leaves && status == STATUS_OK; leaf++)
        if (comm_leaf_owner(leaf, l->c->grpo.leaves, size) == rank)
            status = run_leaf(l, leaf);
    l->pass = PASS_UPDATE;
    l->takes_all = false;
    TRY(comm_agree(l->s.comm, status));
    return pass == PASS_STEP ? share_values(l, of_step, (int)ARRAY_LEN(of_step))
                             : share_values(l, of_survey, (int)ARRAY_LEN(of_survey));
}

int learner_start_step(struct learner *l, const struct groups *g, int64_t n)
{
    struct learner_step *const s = &l->step;
    if (n > l->c->grpo.prompts)
        return ERR(ERR_INTERNAL, "a step of %lld prompts, set up for %lld",
                   (long long)n, (long long)l->c->grpo.prompts);
    learner_step_open(s, g, n);
    const bool has_pass = s->has_value[STEP_BEHAVIOUR] || s->has_value[STEP_OLD] ||
                          s->has_value[STEP_REF];
    for (int64_t first = 0; has_pass && first < n; first += l->mini_batch) {
        const struct minibatch mb = {.g = g,
                                     .first = first,
                                     .n = n - first < l->mini_batch ? n - first
                                                                    : l->mini_batch};
        TRY(gather_pass(l, &mb, PASS_STEP, true));
    }
    l->mb = NULL;
    return learner_step_close(s);
}

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
                                    .clip_l1 = o->clip_l1};
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
          "an update of prompts %lld to %lld outside the started step",
          (long long)mb->first, (long long)(mb->first + mb->n));
    l->mb = mb;
    r.n_flat_groups = learner_step_minibatch(
        &l->step, mb->first, mb->n, l->c->grpo.zero_variance != ZERO_VARIANCE_KEEP);
    memset(l->leaf_sums, 0, (size_t)l->c->grpo.leaves * sizeof(*l->leaf_sums));
    if (recipe_needs_survey(&l->step.recipe)) {
        TRY(gather_pass(l, mb, PASS_SURVEY, false));
        learner_step_survey(&l->step);
    }
    const struct comm_tree tree = {.n_leaves = l->c->grpo.leaves,
                                   .n = l->s.m->table.n_elems,
                                   .leaf = leaf_gradient,
                                   .add = tree_add,
                                   .user = l};
    float *const scratch = l->tree + l->s.m->table.n_elems;
    TRY(comm_tree_sum(l->s.comm, &tree, l->tree, scratch));
    TRY(gather_sums(l, &r));
    TRY(check_exact(mb, &r));
    TRY(change_weights(l, mb->lr, &r));
    *out = r;
    return STATUS_OK;
}
