/*
 * `grpo train`: the GRPO loop over MPI ranks. One step: collect (generate, verify,
 * exchange), update on the learner ranks, send the weights to the ranks that only
 * generate, record.
 */
#include <signal.h>
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/objective_recipe.h"
#include "grpo/trainer.h"

/* Set by SIGTERM or SIGUSR1: checkpoint after this step, then exit 85. */
static volatile sig_atomic_t stop_requested;

static void on_signal(int sig)
{
    (void)sig;
    stop_requested = 1;
}

static int check_config(const struct config *c)
{
    struct recipe recipe;
    TRY(recipe_init(&recipe, c));
    if (c->model.path[0] == '\0')
        return ERR(ERR_CONFIG,
                   "model.path is not set: the Hugging Face directory to train");
    if (c->data.train[0] == '\0')
        return ERR(ERR_CONFIG, "data.train is not set: a JSONL file of problems");
    if (c->rollout.group_size < 2)
        return ERR(ERR_CONFIG,
                   "rollout.group_size=%lld: a group needs at least 2 samples "
                   "to compare",
                   (long long)c->rollout.group_size);
    if (c->grpo.mini_batch > 0 && c->grpo.prompts % c->grpo.mini_batch != 0)
        return ERR(ERR_CONFIG, "grpo.mini_batch=%lld does not divide grpo.prompts=%lld",
                   (long long)c->grpo.mini_batch, (long long)c->grpo.prompts);
    return STATUS_OK;
}

static int64_t longest_completion(const struct config *c)
{
    return c->eval.max_new > c->rollout.max_new ? c->eval.max_new : c->rollout.max_new;
}

static int load_data(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    TRY(dataset_load(&t->train, c->data.train, c->data.limit, t->s.tokenizer, c));
    if (c->data.eval[0] != '\0')
        TRY(dataset_load(&t->eval, c->data.eval, c->data.eval_limit, t->s.tokenizer,
                         c));
    return STATUS_OK;
}

static int load_reference(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    if (!recipe_needs_reference(&c->grpo) || !world_learns(&t->world))
        return STATUS_OK;
    const int dtype = c->model.dtype == CONFIG_DTYPE_AUTO
                          ? -1
                          : c->model.dtype - CONFIG_DTYPE_F32;
    TRY(weights_load(&t->ref_weights, c->model.path, dtype));
    t->has_ref = true;
    return model_init(&t->ref, &t->s.backend, &t->ref_weights.hp, t->ref_weights.data,
                      t->ref_weights.dtype, t->s.model.n_pos, t->s.model.n_softmax);
}

static int create_parts(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    const struct model *const m = &t->s.model;
    const struct collector_setup cs = {
        .m = m,
        .t = t->s.tokenizer,
        .world = &t->world,
        .config = c,
        .limits = {.n_slots = c->rollout.slots,
                   .max_prompt = c->data.max_prompt,
                   .max_new = longest_completion(c),
                   .n_prefill = c->rollout.prefill_tokens}};
    TRY(collector_create(&t->collector, &cs));
    TRY(groups_init(&t->g, c->grpo.prompts, c->rollout.group_size, c->data.max_prompt,
                    c->rollout.max_new, m->hp.n_layers * m->hp.top_k));
    if (t->eval != NULL) {
        const struct eval_setup es = {.collector = t->collector,
                                      .world = &t->world,
                                      .data = t->eval,
                                      .config = c,
                                      .tokenizer = t->s.tokenizer};
        TRY(evaluator_init(&t->evaluator, &es));
        t->has_evaluator = true;
    }
    if (world_learns(&t->world)) {
        const struct learner_setup ls = {.m = m,
                                         .ref = t->has_ref ? &t->ref : NULL,
                                         .comm = t->world.learners,
                                         .config = c,
                                         .data = t->s.weights.data};
        TRY(learner_create(&t->learner, &ls));
    }
    const int64_t load = m->hp.n_layers * m->hp.n_experts;
    t->problem = mem_alloc((size_t)c->grpo.prompts * sizeof(*t->problem));
    t->owner = mem_alloc((size_t)c->grpo.prompts * sizeof(*t->owner));
    t->expert_load = mem_alloc((size_t)load * sizeof(int64_t));
    t->load_scratch = mem_alloc((size_t)(load * t->world.size) * sizeof(int64_t));
    return STATUS_OK;
}

/* The learner rank that owns the leaf of each prompt of a step. */
static void assign_owners(struct trainer *t)
{
    const struct config_grpo *const g = &t->s.config.grpo;
    const int64_t n = g->mini_batch == 0 ? g->prompts : g->mini_batch;
    for (int64_t p = 0; p < g->prompts; p++)
        t->owner[p] = comm_leaf_owner(learner_leaf_of(p % n, n, g->leaves), g->leaves,
                                      t->world.n_learners);
    t->n_updates_per_step = g->epochs * (g->prompts / n);
}

static void print_plan(const struct trainer *t)
{
    struct learner_plan plan;
    const struct model *const m = &t->s.model;
    const struct config *const c = &t->s.config;
    const int64_t n_params = hparams_n_params(&m->hp);
    log_info("%s: %lld parameters, %lld active per token; %s; ranks: %d learn, %d "
             "generate%s",
             c->model.path, (long long)n_params, (long long)hparams_n_active(&m->hp),
             t->s.backend.name, t->world.n_learners, t->world.n_rollouts,
             t->world.is_colocated ? " (the same)" : "");
    log_info("data: %lld problems, prompts of at most %lld tokens; %lld left out",
             (long long)dataset_n(t->train),
             (long long)dataset_longest_prompt(t->train),
             (long long)dataset_n_filtered(t->train));
    if (t->learner == NULL || learner_plan(&plan, m, c) != STATUS_OK)
        return;
    log_info(
        "memory plan of a learner: weights %.1f MB, optimiser %.1f, gradients %.1f, "
        "activations up to %.1f (%s, %lld rows)",
        1e-6 * (double)m->table.n_elems * (double)dtype_bytes(m->dtype),
        1e-6 * (double)plan.optim, 1e-6 * (double)plan.grads, 1e-6 * (double)plan.acts,
        plan.mode == ACTS_KEEP ? "all kept" : "recomputed per layer",
        (long long)plan.n_rows);
}

/* Expert choices of this step's samples, summed over the ranks that generated them. */
static int count_load(struct trainer *t)
{
    const struct hparams *const hp = &t->s.model.hp;
    const int64_t n = hp->n_layers * hp->n_experts;
    int64_t *const load = t->expert_load;
    const int mine = world_rollout_index(&t->world);
    memset(load, 0, (size_t)n * sizeof(*load));
    for (int64_t p = 0; mine >= 0 && p < t->g.n_groups; p++) {
        if (p % t->world.n_rollouts != mine)
            continue;
        for (int64_t s = 0; s < t->g.n_samples; s++) {
            const uint16_t *r = groups_routes(&t->g, p, s);
            const int64_t len = groups_info(&t->g, p, s)->n_tokens;
            for (int64_t i = 0; i < len; i++, r += t->g.route_width)
                for (int64_t j = 0; j < t->g.route_width; j++)
                    load[j / hp->top_k * hp->n_experts + r[j]]++;
        }
    }
    TRY(comm_allgather(t->world.all, load, (size_t)n * sizeof(*load), t->load_scratch));
    memset(load, 0, (size_t)n * sizeof(*load));
    for (int64_t i = 0; i < n * t->world.size; i++)
        load[i % n] += t->load_scratch[i];
    return STATUS_OK;
}

static int collect(struct trainer *t, struct step_stats *st)
{
    const struct config *const c = &t->s.config;
    const struct config_rollout *const r = &c->rollout;
    for (int64_t p = 0; p < c->grpo.prompts; p++)
        t->problem[p] = dataset_order(dataset_n(t->train),
                                      t->step * c->grpo.prompts + p,
                                      (uint64_t)c->run.seed, c->data.is_shuffled);
    const struct collect_args a = {.data = t->train,
                                   .problem = t->problem,
                                   .n = c->grpo.prompts,
                                   .owner = t->owner,
                                   .rollout = {.temperature = (float)r->temperature,
                                               .top_p = (float)r->top_p,
                                               .top_k = (int32_t)r->top_k,
                                               .seed = (uint64_t)c->run.seed,
                                               .step = (int32_t)t->step,
                                               .max_new = r->max_new}};
    TRY(collector_run(t->collector, &t->g, &a, &st->collect));
    return count_load(t);
}

static double lr_of(const struct trainer *t, int64_t update)
{
    const struct config *const c = &t->s.config;
    if (c->grpo.is_first_noop && t->step == 0)
        return 0.0;
    return optim_lr((enum optim_schedule)c->optim.schedule, c->optim.lr,
                    c->optim.min_lr, c->optim.warmup,
                    c->grpo.steps * t->n_updates_per_step, update);
}

/* All updates of a step on a learner rank. */
static int learn(struct trainer *t, struct step_stats *st)
{
    const struct config_grpo *const g = &t->s.config.grpo;
    const int64_t n = g->mini_batch == 0 ? g->prompts : g->mini_batch;
    TRY(learner_start_step(t->learner, &t->g, g->prompts));
    for (int64_t epoch = 0; epoch < g->epochs; epoch++)
        for (int64_t first = 0; first < g->prompts; first += n) {
            struct learner_report r;
            const bool is_first = st->n_updates == 0;
            st->lr = lr_of(t, t->step * t->n_updates_per_step + st->n_updates);
            const struct minibatch mb = {.g = &t->g,
                                         .first = first,
                                         .n = n,
                                         .lr = st->lr,
                                         .is_on_policy = is_first};
            TRY(learner_update(t->learner, &mb, &r));
            if (is_first) {
                st->on_policy = r.sums;
                st->n_route_diffs = r.n_route_diffs;
            }
            objective_sums_add(&st->learn.sums, &r.sums);
            st->learn.n_tokens += r.n_tokens;
            st->learn.n_prompt_tokens += r.n_prompt_tokens;
            st->learn.n_flat_groups += epoch == 0 ? r.n_flat_groups : 0;
            st->learn.optim.grad_l2 += r.optim.grad_l2;
            st->learn.update_norm += r.update_norm;
            st->learn.optim.grad_l1 += r.optim.grad_l1;
            st->learn.optim.scale += r.optim.scale;
            st->n_updates++;
        }
    return STATUS_OK;
}

static int evaluate(struct trainer *t, struct step_stats *st)
{
    watchdog_beat("evaluation");
    TRY(evaluator_run(&t->evaluator, &st->eval));
    st->has_eval = true;
    t->eval_last = st->eval;
    t->has_eval_last = true;
    return STATUS_OK;
}

static int sync_weights(struct trainer *t)
{
    if (t->world.sync == NULL)
        return STATUS_OK;
    const size_t bytes = (size_t)t->s.model.table.n_elems *
                         dtype_bytes(t->s.weights.dtype);
    return comm_bcast(t->world.sync, t->s.weights.data, bytes, 0);
}

static int run_step(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    struct step_stats st = {0};
    const double start = session_seconds();
    watchdog_beat("rollout");
    TRY(collect(t, &st));
    const double collected = session_seconds();
    watchdog_beat("learner");
    TRY(comm_agree(t->world.all, t->learner == NULL ? STATUS_OK : learn(t, &st)));
    const double learned = session_seconds();
    st.learn_s = learned - collected;
    TRY(sync_weights(t));
    st.sync_s = session_seconds() - learned;
    st.step_s = session_seconds() - start;
    /* what generation took as seen by everyone: rank 0 may not generate itself */
    if (world_rollout_index(&t->world) < 0) {
        st.collect.rollout_s = collected - start - st.collect.exchange_s;
        for (int64_t i = 0; i < t->g.n_groups * t->g.n_samples; i++)
            st.collect.rollout.n_decode_tokens += t->g.info[i].n_tokens;
    }
    t->step++;
    const bool is_last = t->step == c->grpo.steps;
    const bool is_due = c->eval.every > 0 && t->step % c->eval.every == 0;
    if (t->has_evaluator && (is_last || is_due))
        TRY(evaluate(t, &st));
    return comm_agree(t->world.all,
                      t->world.rank == 0 ? record_step(t, &st) : STATUS_OK);
}

/* Whether any rank was asked to stop. */
static int stop_agreed(struct trainer *t, bool *out)
{
    enum { MAX_RANKS = 65536 };
    const unsigned char mine = (unsigned char)(stop_requested != 0);
    unsigned char *const all = (unsigned char *)t->load_scratch;
    DCHECK(t->world.size < MAX_RANKS, "%d ranks", t->world.size);
    TRY(comm_allgather(t->world.all, &mine, 1, all));
    *out = memchr(all, 1, (size_t)t->world.size) != NULL;
    return STATUS_OK;
}

static int run_steps(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    int64_t saved = t->step > 0 ? t->step : -1;
    while (t->step < c->grpo.steps) {
        bool is_stopped = false;
        TRY(run_step(t));
        TRY(stop_agreed(t, &is_stopped));
        const bool is_due = c->checkpoint.every > 0 &&
                            t->step % c->checkpoint.every == 0;
        if (is_due || is_stopped || t->step == c->grpo.steps) {
            TRY(trainer_save(t));
            saved = t->step;
        }
        if (is_stopped && t->step < c->grpo.steps)
            return ERR(ERR_REQUEUE,
                       "stopped on request; the checkpoint of step %lld is in "
                       "%s, the same command continues",
                       (long long)saved, c->run.dir);
    }
    return STATUS_OK;
}

/* Sum over ranks: an upper bound of what the job held at once. */
static int peak_rss(struct trainer *t, int64_t *out)
{
    const int64_t mine = mem_peak_rss_bytes();
    TRY(comm_allgather(t->world.all, &mine, sizeof(mine), t->load_scratch));
    *out = 0;
    for (int r = 0; r < t->world.size; r++)
        *out += t->load_scratch[r];
    return STATUS_OK;
}

static int start(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    char *dir = NULL;
    int64_t step = -1;
    const int64_t n_pos = c->data.max_prompt + longest_completion(c);
    struct comm *const all = t->world.all;
    TRY(comm_agree(all, t->world.rank == 0 ? io_mkdirs(c->run.dir) : STATUS_OK));
    TRY(trainer_find_checkpoint(t, &dir, &step));
    int status = session_load(&t->s, dir == NULL ? c->model.path : dir, n_pos,
                              c->model.softmax, true);
    if (status == STATUS_OK)
        status = load_data(t);
    if (status == STATUS_OK)
        status = load_reference(t);
    if (status == STATUS_OK)
        status = create_parts(t);
    if (status == STATUS_OK && dir != NULL)
        status = trainer_restore(t, dir);
    mem_free(dir);
    TRY(comm_agree(all, status));
    assign_owners(t);
    if (t->world.rank == 0)
        print_plan(t);
    return comm_agree(all, t->world.rank == 0 ? record_open(t) : STATUS_OK);
}

static int run(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    TRY(start(t));
    if (t->step == 0 && t->has_evaluator && c->eval.is_at_start) {
        struct step_stats st = {0};
        TRY(evaluate(t, &st));
        t->eval_start = st.eval;
        t->has_eval_start = true;
        TRY(comm_agree(t->world.all,
                       t->world.rank == 0 ? record_step(t, &st) : STATUS_OK));
    }
    const int status = run_steps(t);
    if (status != STATUS_OK && status != ERR_REQUEUE)
        return status;
    int64_t rss = 0;
    TRY(peak_rss(t, &rss));
    if (t->world.rank == 0) {
        TRY(record_close(t));
        if (status == STATUS_OK)
            TRY(record_summary(t, rss));
    }
    return status;
}

static void release(struct trainer *t)
{
    learner_free(t->learner);
    if (t->has_evaluator)
        evaluator_release(&t->evaluator);
    collector_free(t->collector);
    groups_release(&t->g);
    dataset_free(t->train);
    dataset_free(t->eval);
    if (t->has_ref) {
        model_release(&t->ref);
        weights_release(&t->ref_weights);
    }
    mem_free(t->problem);
    mem_free(t->owner);
    mem_free(t->expert_load);
    mem_free(t->load_scratch);
    buf_release(&t->text);
    metrics_abandon(&t->metrics);
    metrics_abandon(&t->samples);
    events_abandon(&t->events);
    world_release(&t->world);
    session_close(&t->s);
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL);
}

int command_train(const struct program *p, int argc, char *const *argv)
{
    struct trainer t = {.start_s = session_seconds()};
    struct config c;
    TRY(config_parse(&c, argc, argv));
    catch_signals();
    int status = session_open(&t.s, p, &c);
    if (status == STATUS_OK)
        status = check_config(&t.s.config);
    if (status == STATUS_OK)
        status = world_init(&t.world, p->world, &t.s.config.run);
    if (status == STATUS_OK)
        status = watchdog_start(p->world, t.s.config.run.watchdog_s);
    if (status == STATUS_OK)
        status = run(&t);
    watchdog_stop();
    release(&t);
    return status;
}
