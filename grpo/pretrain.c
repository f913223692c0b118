/*
 * `grpo pretrain`: next-token training on problem/answer texts, from scratch (shape.*)
 * or from model.path (continued training, SFT). Every rank learns; the gradient tree is
 * GRPO's.
 *
 * Loss = mean over the batch's counted tokens of -logp
 *      + sum over micro-batches of their share of rows times (aux_coef aux + z_coef z),
 * aux as transformers computes it over the micro-batch (E sum_e F_e P_e over all
 * layers), z the mean squared logsumexp of the router. Both couple the tokens of a
 * micro-batch, so here learner.micro_tokens is part of the recipe; ranks and threads
 * still are not.
 */
#include <math.h>
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/dataset.h"
#include "grpo/events.h"
#include "grpo/examples.h"
#include "grpo/learner.h"
#include "grpo/metrics.h"
#include "grpo/progress.h"
#include "grpo/report.h"
#include "model/checkpoint.h"
#include "model/optim.h"

/* Summed over leaves in order. */
struct loss_sums {
    double nll, aux, z, n_rows;
};

struct pretrainer {
    struct session s;
    const struct config *c;
    struct comm *world;
    struct examples train, val;
    struct acts acts;
    struct batch batch;
    struct optim optim;
    struct model_grads grads;
    float *tree;
    void *host_tree;        /* like tree, for ranks with devices; else NULL */
    int32_t *rows, *target; /* (max rows) */
    float *logp, *dlogp;
    float *aux_f;                 /* (E) */
    double *router;               /* (2E + 1) */
    struct loss_sums *leaf, *all; /* (leaves), (ranks, leaves) */
    int64_t step, n_counted, n_rows_batch, max_rows;
    void *dev_block;
    size_t dev_bytes;
    struct metrics metrics;
    struct events events;
    struct progress progress;
    double start_s;
};

static int64_t example_at(const struct pretrainer *t, int64_t i)
{
    return dataset_order(t->train.n, t->step * t->c->pretrain.batch + i,
                         (uint64_t)t->c->run.seed, t->c->data.is_shuffled);
}

/* First predicting row of example x that counts. */
static int64_t first_row(const struct pretrainer *t, const struct examples *ex,
                         int64_t x)
{
    if (t->c->pretrain.loss_on == LOSS_ALL)
        return 0;
    return ex->n_prompt[x] > 0 ? ex->n_prompt[x] - 1 : 0;
}

/* Adds example x; returns the new number of predictions. */
static int64_t add_example(struct pretrainer *t, const struct examples *ex, int64_t x,
                           int64_t n)
{
    const int32_t *const ids = ex->ids + ex->off[x];
    const int64_t len = ex->off[x + 1] - ex->off[x];
    const int64_t row = batch_add_prompt(&t->batch, ids, len);
    for (int64_t i = first_row(t, ex, x); i + 1 < len; i++, n++) {
        t->rows[n] = (int32_t)(row + i);
        t->target[n] = ids[i + 1];
    }
    return n;
}

/* Coefficients of the two router losses for this micro-batch, and their values. */
static void router_losses(struct pretrainer *t, struct loss_sums *sums, float *z_coef)
{
    const struct model *const m = &t->s.model;
    const int64_t e = m->hp.n_experts;
    double *const prob = t->router, *const count = prob + e, *const z = count + e;
    const double n = (double)(m->hp.n_layers * t->batch.n_rows);
    const double share = (double)t->batch.n_rows / (double)t->n_rows_batch;
    double aux = 0.0;
    model_router_sums(m, &t->acts, &t->batch, prob, count, z);
    for (int64_t i = 0; i < e; i++) {
        aux += (double)e * (count[i] / n) * (prob[i] / n);
        t->aux_f[i] = (float)(t->c->pretrain.aux_coef * share * (double)e / n *
                              (count[i] / n));
    }
    *z_coef = (float)(t->c->pretrain.z_coef * share / n);
    sums->aux += share * aux;
    sums->z += share * *z / n;
}

static void micro_batch(struct pretrainer *t, int64_t n, struct loss_sums *sums)
{
    const struct model *const m = &t->s.model;
    if (t->batch.n_rows == 0)
        return;
    batch_upload(&t->batch);
    model_forward(m, &t->acts, &t->batch);
    float z_coef = 0.0f;
    router_losses(t, sums, &z_coef);
    model_logprobs(m, &t->acts, t->acts.x_last, t->rows, t->target, n, 1.0f, t->logp,
                   NULL);
    for (int64_t i = 0; i < n; i++) {
        sums->nll -= (double)t->logp[i];
        t->dlogp[i] = (float)(-1.0 / (double)t->n_counted);
    }
    sums->n_rows += (double)t->batch.n_rows;
    const struct model_loss loss = {.rows = t->rows,
                                    .target = t->target,
                                    .dlogp = t->dlogp,
                                    .n = n,
                                    .inv_temp = 1.0f,
                                    .aux_f = t->aux_f,
                                    .z_coef = z_coef};
    model_backward(m, &t->acts, &t->batch, &loss, &t->grads);
    batch_reset(&t->batch);
    watchdog_beat("pretraining micro-batch");
}

static size_t tied_bytes(const struct model *m)
{
    return m->hp.is_tied
               ? (size_t)param_find(&m->table, PARAM_EMBED, -1)->n_elems * sizeof(float)
               : 0;
}

static int leaf_gradient(void *user, int64_t leaf, float *dst)
{
    struct pretrainer *const t = user;
    const struct model *const m = &t->s.model;
    const int64_t n_batch = t->c->pretrain.batch, n_leaves = t->c->grpo.leaves;
    int64_t n = 0;
    t->grads.data = dst;
    m->b->zero(m->b, dst, (size_t)m->table.n_elems * sizeof(float));
    m->b->zero(m->b, t->grads.tied, tied_bytes(m));
    batch_reset(&t->batch);
    for (int64_t i = 0; i < n_batch; i++) {
        if (i * n_leaves / n_batch != leaf)
            continue;
        const int64_t x = example_at(t, i);
        const int64_t len = t->train.off[x + 1] - t->train.off[x];
        if (t->batch.n_rows > 0 && t->batch.n_rows + len > t->c->learner.micro_tokens) {
            micro_batch(t, n, &t->leaf[leaf]);
            n = 0;
        }
        n = add_example(t, &t->train, x, n);
    }
    micro_batch(t, n, &t->leaf[leaf]);
    model_grads_finish(m, &t->grads);
    return STATUS_OK;
}

static void tree_add(void *user, float *y, const float *x, int64_t n)
{
    struct pretrainer *const t = user;
    t->s.backend.add(&t->s.backend, y, y, x, n);
}

static void count_batch(struct pretrainer *t)
{
    t->n_counted = t->n_rows_batch = 0;
    for (int64_t i = 0; i < t->c->pretrain.batch; i++) {
        const int64_t x = example_at(t, i);
        const int64_t len = t->train.off[x + 1] - t->train.off[x];
        t->n_rows_batch += len;
        t->n_counted += len - 1 - first_row(t, &t->train, x);
    }
}

static int gather_sums(struct pretrainer *t, struct loss_sums *out)
{
    const int64_t n_leaves = t->c->grpo.leaves;
    TRY(comm_allgather(t->world, t->leaf, (size_t)n_leaves * sizeof(*t->leaf), t->all));
    for (int64_t i = 0; i < n_leaves; i++) {
        const int owner = comm_leaf_owner(i, n_leaves, comm_size(t->world));
        const struct loss_sums *const s = &t->all[owner * n_leaves + i];
        out->nll += s->nll;
        out->aux += s->aux;
        out->z += s->z;
        out->n_rows += s->n_rows;
    }
    return STATUS_OK;
}

/* Mean -logp over the validation examples; on every rank the same computation. */
static double validation_loss(struct pretrainer *t)
{
    const struct model *const m = &t->s.model;
    double nll = 0.0;
    int64_t n_all = 0;
    for (int64_t x = 0; x < t->val.n;) {
        int64_t n = 0;
        batch_reset(&t->batch);
        do {
            n = add_example(t, &t->val, x++, n);
        } while (x < t->val.n && t->batch.n_rows + t->val.longest <= t->max_rows &&
                 t->batch.n_rows < t->c->learner.micro_tokens &&
                 t->batch.n_groups + 1 < t->batch.max.n_groups);
        batch_upload(&t->batch);
        model_forward(m, &t->acts, &t->batch);
        model_logprobs(m, &t->acts, t->acts.x_last, t->rows, t->target, n, 1.0f,
                       t->logp, NULL);
        for (int64_t i = 0; i < n; i++)
            nll -= (double)t->logp[i];
        n_all += n;
    }
    batch_reset(&t->batch);
    return n_all > 0 ? nll / (double)n_all : 0.0;
}

static void put(struct pretrainer *t, const char *name, double value)
{
    metrics_put_real(&t->metrics, name, value);
    events_put(&t->events, name, value);
}

static int record(struct pretrainer *t, const struct loss_sums *sums,
                  const struct optim_report *rep, double lr, double seconds,
                  bool is_val)
{
    const struct config_pretrain *const cp = &t->c->pretrain;
    char tail[128];
    const double nll = sums->nll / (double)t->n_counted;
    const double val = is_val && t->val.n > 0 ? validation_loss(t) : 0.0;
    if (comm_rank(t->world) != 0)
        return STATUS_OK;
    metrics_begin(&t->metrics, t->step);
    put(t, "loss", nll);
    put(t, "aux_loss", sums->aux);
    put(t, "z_loss", sums->z);
    put(t, "total_loss", nll + cp->aux_coef * sums->aux + cp->z_coef * sums->z);
    put(t, "grad_norm", rep->grad_l2);
    put(t, "lr", lr);
    put(t, "n_tokens", (double)t->n_rows_batch);
    put(t, "tokens_per_s", (double)t->n_rows_batch / seconds);
    if (is_val && t->val.n > 0)
        put(t, "val_loss", val);
    put(t, "rss_bytes", (double)mem_peak_rss_bytes());
    TRY(metrics_end(&t->metrics));
    TRY(events_write(&t->events, t->step));
    snprintf(tail, sizeof(tail), "loss %.4f  aux %.3f  |g| %.3g  %.0f tokens/s", nll,
             sums->aux, rep->grad_l2, (double)t->n_rows_batch / seconds);
    progress_update(&t->progress, t->step, tail);
    if (is_val && t->val.n > 0) {
        progress_clear(&t->progress);
        log_info("step %lld: validation loss %.4f", (long long)t->step, val);
    }
    return STATUS_OK;
}

static int run_step(struct pretrainer *t)
{
    const struct config *const c = t->c;
    const int64_t n = t->s.model.table.n_elems;
    const double start = session_seconds();
    const struct comm_tree tree = {.n_leaves = c->grpo.leaves,
                                   .n = n,
                                   .leaf = leaf_gradient,
                                   .add = tree_add,
                                   .user = t,
                                   .b = t->host_tree == NULL ? NULL : t->s.model.b,
                                   .host = t->host_tree};
    struct loss_sums sums = {0};
    struct optim_report rep;
    watchdog_beat("pretraining step");
    count_batch(t);
    memset(t->leaf, 0, (size_t)c->grpo.leaves * sizeof(*t->leaf));
    TRY(comm_tree_sum(t->world, &tree, t->tree, t->tree + n));
    TRY(gather_sums(t, &sums));
    const double lr = optim_lr((enum optim_schedule)c->optim.schedule, c->optim.lr,
                               c->optim.min_lr, c->optim.warmup, c->pretrain.steps,
                               t->step);
    const struct optim_args args = {.lr = lr,
                                    .beta1 = c->optim.beta1,
                                    .beta2 = c->optim.beta2,
                                    .eps = c->optim.eps,
                                    .weight_decay = c->optim.weight_decay,
                                    .clip_l2 = c->optim.clip_l2,
                                    .clip_l1 = c->optim.clip_l1};
    TRY(optim_step(&t->optim, t->tree, &args, &rep));
    t->step++;
    const bool is_val = t->step == c->pretrain.steps ||
                        (c->eval.every > 0 && t->step % c->eval.every == 0);
    return comm_agree(t->world,
                      record(t, &sums, &rep, lr, session_seconds() - start, is_val));
}

static int save(struct pretrainer *t)
{
    const struct config *const c = t->c;
    const struct optim *const o = &t->optim;
    char state[128];
    if (comm_rank(t->world) != 0)
        return comm_agree(t->world, STATUS_OK);
    snprintf(state, sizeof(state),
             "{\"kind\":\"pretrain\",\"updates\":%lld,\"seed\":%lld}",
             (long long)o->n_updates, (long long)c->run.seed);
    const struct checkpoint what = {.hp = &t->s.model.hp,
                                    .table = &t->s.model.table,
                                    .b = t->s.weights.b,
                                    .weights = t->s.weights.data,
                                    .dtype = t->s.weights.dtype,
                                    .master = o->copy == NULL ? NULL : o->master,
                                    .adam_m = o->m,
                                    .adam_v = o->v,
                                    .state_json = state,
                                    .tokenizer_dir = c->model.tokenizer[0] != '\0'
                                                         ? c->model.tokenizer
                                                         : c->model.path,
                                    .max_shard_bytes = c->checkpoint.shard_mb * 1000000,
                                    .keep_last = c->checkpoint.keep_last,
                                    .keep_every = c->checkpoint.keep_every};
    watchdog_beat("checkpoint");
    return comm_agree(t->world, checkpoint_save(c->run.dir, t->step, &what));
}

static int restore(struct pretrainer *t, const char *dir)
{
    const struct model *const m = &t->s.model;
    json_t *state = NULL;
    int64_t updates = 0, seed = 0;
    TRY(checkpoint_load_trainer_to(m->b, dir, &m->hp, &m->table,
                                   t->optim.copy == NULL ? NULL : t->optim.master,
                                   t->optim.m, t->optim.v, &state));
    int status = json_get_int(state, "step", 0, INT64_MAX, &t->step, NULL, dir);
    if (status == STATUS_OK)
        status = json_get_int(state, "updates", 0, INT64_MAX, &updates, NULL, dir);
    if (status == STATUS_OK)
        status = json_get_int(state, "seed", 0, INT64_MAX, &seed, NULL, dir);
    json_decref(state);
    TRY(status);
    if (seed != t->c->run.seed)
        return ERR(ERR_CONFIG, "%s: the run began with run.seed=%lld, now it is %lld",
                   dir, (long long)seed, (long long)t->c->run.seed);
    t->optim.n_updates = updates;
    log_info("resumed from %s after step %lld", dir, (long long)t->step);
    return STATUS_OK;
}

/* The model of shape.* over the tokenizer's vocabulary. */
static int shape_hparams(struct hparams *hp, const struct config *c,
                         const struct tokenizer *tok)
{
    const struct config_shape *const s = &c->shape;
    const int64_t n_vocab = tokenizer_n_vocab(tok);
    *hp = (struct hparams){
        .n_vocab = s->vocab > 0 ? s->vocab : (n_vocab + 63) / 64 * 64,
        .d_model = s->d_model,
        .d_ff = s->d_ff,
        .n_layers = s->layers,
        .n_heads = s->heads,
        .n_kv_heads = s->kv_heads,
        .head_dim = s->head_dim > 0 ? s->head_dim : s->d_model / s->heads,
        .n_experts = s->experts,
        .top_k = s->top_k,
        .max_pos = s->max_positions,
        .rms_eps = s->rms_eps,
        .aux_coef = c->pretrain.aux_coef,
        .init_std = 0.02,
        .is_tied = s->is_tied,
        .bos_id = tokenizer_find(tok, "<s>"),
        .pad_id = tokenizer_find(tok, "<pad>")};
    hp->rope = (struct rope_params){
        .type = ROPE_DEFAULT, .theta = s->rope_theta, .rot = hp->head_dim};
    const int32_t eos = tokenizer_find(tok, "</s>");
    if (eos >= 0)
        hp->eos_ids[hp->n_eos++] = eos;
    if (n_vocab > hp->n_vocab)
        return ERR(ERR_CONFIG,
                   "shape.vocab=%lld is less than the tokenizer's %lld tokens",
                   (long long)s->vocab, (long long)n_vocab);
    return hparams_check(hp, "shape.*");
}

static int from_scratch(struct pretrainer *t)
{
    struct session *const s = &t->s;
    struct hparams hp;
    if (t->c->model.tokenizer[0] == '\0')
        return ERR(ERR_CONFIG,
                   "neither model.path (to continue) nor model.tokenizer (from "
                   "scratch: a directory with tokenizer.json) is set");
    TRY(session_load_tokenizer(&s->tokenizer, t->c->model.tokenizer));
    TRY(shape_hparams(&hp, t->c, s->tokenizer));
    const enum dtype dtype = t->c->model.dtype == CONFIG_DTYPE_AUTO
                                 ? DTYPE_F32
                                 : (enum dtype)(t->c->model.dtype - CONFIG_DTYPE_F32);
    TRY(weights_init_to(&s->weights, &s->backend, &hp, dtype,
                        (uint64_t)t->c->run.seed));
    return model_init(&s->model, &s->backend, &hp, s->weights.data, dtype,
                      t->c->pretrain.max_tokens, tokenizer_n_vocab(s->tokenizer));
}

/* Where the optimiser's state fits beside the gradients, still to be reserved. */
static enum optim_place optimiser_place(const struct pretrainer *t)
{
    const struct model *const m = &t->s.model;
    const int64_t available = m->b->available(m->b);
    const size_t beside = t->dev_bytes + learner_plan_margin(t->dev_bytes);
    const size_t free_bytes = available > 0 ? (size_t)available : SIZE_MAX;
    enum optim_place first = OPTIM_ON_DEVICE, last = OPTIM_ON_HOST;
    learner_optim_places(t->c, &first, &last);
    return optim_place_fit(&m->table, t->s.weights.dtype, first,
                           m->b->is_host ? first : last,
                           free_bytes > beside ? free_bytes - beside : 0);
}

static int reserve(struct pretrainer *t)
{
    const struct config *const c = t->c;
    const struct model *const m = &t->s.model;
    const int64_t budget = c->learner.micro_tokens, longest = t->train.longest;
    const int64_t n_rows = budget > longest ? budget : longest;
    t->max_rows = t->val.longest > n_rows ? t->val.longest : n_rows;
    /* examples have at least 2 tokens */
    const int64_t n_seqs = t->max_rows / 2 + 1;
    const int64_t n_pages = t->max_rows / KV_BLOCK + n_seqs;
    const struct batch_limits bl = {.n_rows = t->max_rows,
                                    .n_seqs = n_seqs,
                                    .n_groups = n_seqs,
                                    .n_pages = n_pages,
                                    .n_dst = t->max_rows};
    const struct acts_limits al = {.mode = ACTS_KEEP,
                                   .n_rows = t->max_rows,
                                   .n_pages = n_pages,
                                   .n_head_rows = learner_head_rows(c, m->b)};
    TRY(batch_init(&t->batch, m->b, &bl));
    TRY(acts_init(&t->acts, m, &al));
    const int64_t n_tree = (1 + comm_tree_depth(c->grpo.leaves)) * m->table.n_elems;
    t->dev_bytes = (size_t)n_tree * sizeof(float) + tied_bytes(m);
    TRY(optim_init(&t->optim, m->b, &m->table, t->s.weights.data, t->s.weights.dtype,
                   optimiser_place(t)));
    TRY(m->b->reserve(m->b, &t->dev_block, t->dev_bytes, "gradients"));
    t->tree = t->dev_block;
    t->grads.tied = t->tree + n_tree;
    if (!m->b->is_host && comm_size(t->world) > 1)
        TRY(mem_reserve(&t->host_tree, (size_t)n_tree * sizeof(float), "gradients"));
    t->rows = mem_alloc((size_t)t->max_rows * sizeof(*t->rows));
    t->target = mem_alloc((size_t)t->max_rows * sizeof(*t->target));
    t->logp = mem_alloc((size_t)t->max_rows * sizeof(*t->logp));
    t->dlogp = mem_alloc((size_t)t->max_rows * sizeof(*t->dlogp));
    t->aux_f = mem_alloc((size_t)m->hp.n_experts * sizeof(*t->aux_f));
    t->router = mem_alloc((size_t)(2 * m->hp.n_experts + 1) * sizeof(*t->router));
    t->leaf = mem_alloc((size_t)c->grpo.leaves * sizeof(*t->leaf));
    t->all = mem_alloc((size_t)(c->grpo.leaves * comm_size(t->world)) *
                       sizeof(*t->all));
    return STATUS_OK;
}

static int open_records(struct pretrainer *t)
{
    const char *const dir = t->c->run.dir;
    struct buf text = {0};
    options_write(config_options(), t->c, &text);
    char *const ini = io_join(dir, "config.ini");
    char *const metrics = io_join(dir, "metrics.jsonl");
    int status = io_write_atomic(ini, text.data, text.len);
    if (status == STATUS_OK)
        status = metrics_open(&t->metrics, metrics, t->step > 0 ? t->step : -1);
    if (status == STATUS_OK)
        status = events_create(&t->events, dir, t->step > 0 ? t->step + 1 : 0);
    mem_free(ini);
    mem_free(metrics);
    buf_release(&text);
    progress_start(&t->progress, NULL, "pretrain", t->step, t->c->pretrain.steps);
    return status;
}

/* The newest checkpoint of run.dir, if the run may continue. */
static int find_checkpoint(struct pretrainer *t, char **dir_out)
{
    int64_t step = -1;
    *dir_out = NULL;
    if (t->c->run.resume == RESUME_NEVER)
        return STATUS_OK;
    TRY(checkpoint_find_latest(t->c->run.dir, dir_out, &step));
    if (*dir_out == NULL && t->c->run.resume == RESUME_MUST)
        return ERR(ERR_INPUT, "%s: run.resume=must, but there is no checkpoint",
                   t->c->run.dir);
    return STATUS_OK;
}

static int load(struct pretrainer *t, const char *resume_dir)
{
    const struct config *const c = t->c;
    const char *const dir = resume_dir != NULL ? resume_dir : c->model.path;
    if (c->data.train[0] == '\0')
        return ERR(ERR_CONFIG,
                   "data.train is not set: a JSONL file of question/answer pairs");
    if (dir[0] != '\0')
        TRY(session_load(&t->s, dir, c->pretrain.max_tokens, c->model.softmax, true));
    else
        TRY(from_scratch(t));
    const struct hparams *const hp = &t->s.model.hp;
    const int32_t eos = hp->n_eos > 0 ? hp->eos_ids[0] : -1;
    TRY(examples_load(&t->train, c->data.train, c->data.limit, eos, &t->s));
    if (c->data.eval[0] != '\0' && c->pretrain.val > 0)
        TRY(examples_load(&t->val, c->data.eval, c->pretrain.val, eos, &t->s));
    TRY(reserve(t));
    return resume_dir == NULL ? STATUS_OK : restore(t, resume_dir);
}

static int run(struct pretrainer *t)
{
    const struct config *const c = t->c;
    char *dir = NULL;
    int status = io_mkdirs(c->run.dir);
    if (status == STATUS_OK)
        status = find_checkpoint(t, &dir);
    if (status == STATUS_OK)
        status = load(t, dir);
    mem_free(dir);
    TRY(comm_agree(t->world, status));
    const int rank = comm_rank(t->world);
    if (rank == 0)
        log_info(
            "%lld parameters, %lld active per token; %lld examples, the longest of "
            "%lld tokens, %lld cut; %s",
            (long long)hparams_n_params(&t->s.model.hp),
            (long long)hparams_n_active(&t->s.model.hp), (long long)t->train.n,
            (long long)t->train.longest, (long long)t->train.n_cut, t->s.backend.name);
    TRY(comm_agree(t->world, rank == 0 ? open_records(t) : STATUS_OK));
    while (t->step < c->pretrain.steps) {
        TRY(run_step(t));
        const bool is_due = c->checkpoint.every > 0 &&
                            t->step % c->checkpoint.every == 0;
        if (is_due || t->step == c->pretrain.steps)
            TRY(save(t));
    }
    if (rank != 0)
        return STATUS_OK;
    progress_end(&t->progress);
    TRY(metrics_close(&t->metrics));
    TRY(events_close(&t->events));
    char *const page = io_join(c->run.dir, "report.html");
    const char *const dirs[] = {c->run.dir};
    status = report_write(page, dirs, 1);
    log_info("model: %s/checkpoints/step_%lld, report: %s", c->run.dir,
             (long long)t->step, page);
    mem_free(page);
    return status;
}

static void release(struct pretrainer *t)
{
    optim_release(&t->optim);
    batch_release(&t->batch);
    acts_release(&t->acts);
    if (t->dev_block != NULL)
        t->s.backend.release(&t->s.backend, t->dev_block, t->dev_bytes);
    if (t->host_tree != NULL)
        mem_release(t->host_tree, (size_t)(1 + comm_tree_depth(t->c->grpo.leaves)) *
                                      (size_t)t->s.model.table.n_elems * sizeof(float));
    examples_release(&t->train);
    examples_release(&t->val);
    mem_free(t->rows);
    mem_free(t->target);
    mem_free(t->logp);
    mem_free(t->dlogp);
    mem_free(t->aux_f);
    mem_free(t->router);
    mem_free(t->leaf);
    mem_free(t->all);
    metrics_abandon(&t->metrics);
    events_abandon(&t->events);
    session_close(&t->s);
}

int command_pretrain(const struct program *p, int argc, char *const *argv)
{
    struct pretrainer t = {.world = p->world, .start_s = session_seconds()};
    struct config c;
    TRY(config_parse(&c, argc, argv));
    int status = session_open(&t.s, p, &c);
    t.c = &t.s.config;
    if (status == STATUS_OK)
        status = watchdog_start(p->world, t.c->run.watchdog_s);
    if (status == STATUS_OK)
        status = run(&t);
    watchdog_stop();
    release(&t);
    return status;
}
