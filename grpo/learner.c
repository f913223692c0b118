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

/* What a leaf adds to the report; summed over leaves in order on every rank. */
struct leaf_sums {
    struct objective_sums sums;
    int64_t n_tokens, n_prompt_tokens, n_route_diffs;
};

struct learner {
    struct learner_setup s;
    const struct config *c;
    struct acts acts;
    struct batch batch;
    struct optim optim;
    struct model_grads grads; /* tied part; data points at the leaf in work */
    float *tree;              /* (1 + depth, n_elems): sum, then scratch */
    objective_fn objective;
    aggregation_fn aggregate;
    advantage_fn advantage;
    struct objective_options opt;
    /* rows of the head in one micro-batch, host, (max_tokens) each */
    int32_t *rows, *target, *route_host;
    float *logp, *logp_old, *logp_ref, *entropy, *dlogp, *dent;
    double *advantages;                     /* (prompts of a step, G) */
    bool *is_flat;                          /* (prompts of a step) */
    bool *is_kept;                          /* (prompts of a mini-batch) */
    struct leaf_sums *leaf_sums, *all_sums; /* (leaves); (ranks, leaves) */
    void *dev_block, *host_block;
    size_t dev_bytes, host_bytes;
    int64_t max_tokens, max_groups, mini_batch;
    /* of the running update */
    const struct minibatch *mb;
    int64_t n_seqs, n_all;
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

int learner_plan(struct learner_plan *out, const struct model *m,
                 const struct config *c)
{
    const struct batch_limits bl = micro_limits(c);
    struct acts_limits al = {.mode = ACTS_KEEP,
                             .n_rows = bl.n_rows,
                             .n_pages = page_limit(&bl),
                             .n_head_rows = c->learner.head_rows};
    const size_t grads = (size_t)(1 + comm_tree_depth(c->grpo.leaves)) *
                         (size_t)m->table.n_elems * sizeof(float);
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
    const int64_t n = l->max_tokens, g = l->c->rollout.group_size;
    l->rows = carve_i32(c, n);
    l->target = carve_i32(c, n);
    l->route_host = carve_i32(c, l->acts.max.n_rows * l->s.m->hp.top_k);
    l->logp = carve_f32(c, n, 1);
    l->logp_old = carve_f32(c, n, 1);
    l->logp_ref = carve_f32(c, n, 1);
    l->entropy = carve_f32(c, n, 1);
    l->dlogp = carve_f32(c, n, 1);
    l->dent = carve_f32(c, n, 1);
    l->advantages = carve(c, l->c->grpo.prompts * g, sizeof(double));
    l->is_flat = carve(c, l->c->grpo.prompts, sizeof(bool));
    l->is_kept = carve(c, l->mini_batch, sizeof(bool));
    l->leaf_sums = carve(c, l->c->grpo.leaves, sizeof(*l->leaf_sums));
    l->all_sums = carve(c, comm_size(l->s.comm) * l->c->grpo.leaves,
                        sizeof(*l->all_sums));
}

static void lay_out_dev(struct learner *l, struct carver *c)
{
    const struct param_table *const t = &l->s.m->table;
    l->tree = carve_f32(c, 1 + comm_tree_depth(l->c->grpo.leaves), t->n_elems);
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
    return STATUS_OK;
}

int learner_create(struct learner **out, const struct learner_setup *s)
{
    struct learner *const l = mem_alloc(sizeof(*l));
    int64_t n = 0;
    l->s = *s;
    l->c = s->config;
    l->mini_batch = mini_batch_of(l->c);
    l->objective = objective_kinds(&n)[l->c->grpo.objective].fn;
    l->aggregate = aggregation_kinds(&n)[l->c->grpo.aggregation].fn;
    l->advantage = advantage_kinds(&n)[l->c->grpo.advantage].fn;
    l->opt = (struct objective_options){.clip_low = l->c->grpo.clip_low,
                                        .clip_high = l->c->grpo.clip_high,
                                        .kl_coef = l->c->grpo.kl_coef,
                                        .entropy_coef = l->c->grpo.entropy_coef};
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
    batch_release(&l->batch);
    acts_release(&l->acts);
    mem_release(l->host_block, l->host_bytes);
    if (l->dev_block != NULL)
        l->s.m->b->release(l->s.m->b, l->dev_block, l->dev_bytes);
    mem_free(l);
}

struct optim *learner_optim(struct learner *l) { return &l->optim; }

int learner_start_step(struct learner *l, const struct groups *g, int64_t n)
{
    double reward[4096]; /* the option table's limit of group_size */
    if (n > l->c->grpo.prompts)
        return ERR(ERR_INTERNAL, "a step of %lld prompts, set up for %lld",
                   (long long)n, (long long)l->c->grpo.prompts);
    for (int64_t p = 0; p < n; p++) {
        const struct sample_info *const info = groups_info(g, p, 0);
        for (int64_t s = 0; s < g->n_samples; s++)
            reward[s] = (double)info[s].reward;
        l->advantage(l->advantages + p * g->n_samples, reward, g->n_samples,
                     l->c->grpo.adv_eps);
        l->is_flat[p] = advantage_is_flat(reward, g->n_samples);
    }
    return STATUS_OK;
}

/* Kept groups, and the counts that normalise the loss; the same on every rank. */
static void prepare(struct learner *l, const struct minibatch *mb,
                    struct learner_report *r)
{
    l->mb = mb;
    l->n_seqs = l->n_all = 0;
    for (int64_t i = 0; i < mb->n; i++) {
        const struct sample_info *const info = groups_info(mb->g, mb->first + i, 0);
        const bool is_flat = l->is_flat[mb->first + i];
        l->is_kept[i] = !is_flat || l->c->grpo.zero_variance == 0;
        r->n_flat_groups += is_flat;
        for (int64_t s = 0; l->is_kept[i] && s < mb->g->n_samples; s++) {
            l->n_seqs++;
            l->n_all += info[s].n_tokens;
        }
    }
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
            for (int64_t s = 0; l->is_kept[i] && s < g->n_samples; s++) {
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
        if (!l->is_kept[i])
            continue;
        sums->n_prompt_tokens += g->n_prompt[l->mb->first + i];
        for (int64_t s = 0; s < g->n_samples; s++) {
            const int64_t len = groups_info(g, l->mb->first + i, s)->n_tokens;
            const struct objective_input in = {
                .n = len,
                .logp = l->logp + n,
                .logp_old = l->logp_old + n,
                .logp_ref = l->s.ref == NULL ? NULL : l->logp_ref + n,
                .entropy = l->entropy + n,
                .advantage = l->advantages[(l->mb->first + i) * g->n_samples + s],
                .weight = l->aggregate(len, l->n_seqs, l->n_all)};
            l->objective(l->dlogp + n, l->dent + n, &sums->sums, &in, &l->opt);
            n += len;
        }
    }
    sums->n_tokens += n;
}

/* Forward and backward of groups first .. end-1, which are in l->batch with n head
 * rows. */
static int micro_batch(struct learner *l, int64_t first, int64_t end, int64_t n,
                       struct leaf_sums *sums)
{
    const struct model *const m = l->s.m;
    /* as sample_fwd divides: in fp32, from the rounded temperature */
    const float inv_temp = 1.0f / (float)l->c->rollout.temperature;
    if (n == 0)
        return STATUS_OK;
    batch_upload(&l->batch);
    if (l->s.ref != NULL) {
        model_forward(l->s.ref, &l->acts, &l->batch);
        model_logprobs(l->s.ref, &l->acts, l->acts.x_last, l->rows, l->target, n,
                       inv_temp, l->logp_ref, NULL);
    }
    model_forward(m, &l->acts, &l->batch);
    model_logprobs(m, &l->acts, l->acts.x_last, l->rows, l->target, n, inv_temp,
                   l->logp, l->entropy);
    if (l->mb->g->route_width > 0)
        sums->n_route_diffs += count_route_diffs(l, first, end);
    apply_objective(l, first, end, sums);
    const struct model_loss loss = {.rows = l->rows,
                                    .target = l->target,
                                    .dlogp = l->dlogp,
                                    .dent = l->opt.entropy_coef == 0.0 ? NULL : l->dent,
                                    .n = n,
                                    .inv_temp = inv_temp};
    model_backward(m, &l->acts, &l->batch, &loss, &l->grads);
    watchdog_beat("learner micro-batch");
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

/* comm_tree's callback: the gradient of leaf `leaf` into dst. */
static int leaf_gradient(void *user, int64_t leaf, float *dst)
{
    struct learner *const l = user;
    const struct model *const m = l->s.m;
    struct leaf_sums *const sums = &l->leaf_sums[leaf];
    const int64_t n_leaves = l->c->grpo.leaves;
    l->grads.data = dst;
    m->b->zero(m->b, dst, (size_t)m->table.n_elems * sizeof(float));
    if (l->grads.tied != NULL)
        m->b->zero(m->b, l->grads.tied,
                   (size_t)param_find(&m->table, PARAM_EMBED, -1)->n_elems *
                       sizeof(float));
    int64_t first = 0, end = 0, n = 0; /* a leaf's prompts are adjacent */
    batch_reset(&l->batch);
    for (int64_t i = 0; i < l->mb->n; i++) {
        if (learner_leaf_of(i, l->mb->n, n_leaves) != leaf || !l->is_kept[i])
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
    TRY(micro_batch(l, first, end, n, sums));
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

int learner_update(struct learner *l, const struct minibatch *mb,
                   struct learner_report *out)
{
    struct learner_report r = {0};
    prepare(l, mb, &r);
    memset(l->leaf_sums, 0, (size_t)l->c->grpo.leaves * sizeof(*l->leaf_sums));
    const struct comm_tree tree = {.n_leaves = l->c->grpo.leaves,
                                   .n = l->s.m->table.n_elems,
                                   .leaf = leaf_gradient,
                                   .add = tree_add,
                                   .user = l};
    float *const scratch = l->tree + l->s.m->table.n_elems;
    TRY(comm_tree_sum(l->s.comm, &tree, l->tree, scratch));
    TRY(gather_sums(l, &r));
    TRY(check_exact(mb, &r));
    const struct config_optim *const o = &l->c->optim;
    const struct optim_args args = {.lr = mb->lr,
                                    .beta1 = o->beta1,
                                    .beta2 = o->beta2,
                                    .eps = o->eps,
                                    .weight_decay = o->weight_decay,
                                    .clip_l2 = o->clip_l2,
                                    .clip_l1 = o->clip_l1};
    TRY(optim_step(&l->optim, l->tree, &args, &r.optim));
    *out = r;
    return STATUS_OK;
}
