/*
 * A run's parts, from its configuration: data, models, learner, where it stands.
 */
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/memory_plan.h"
#include "grpo/objective_recipe.h"
#include "grpo/trainer.h"

static int check_given(const struct config *c)
{
    if (c->grpo.staleness > 0)
        return ERR(ERR_CONFIG, "grpo.staleness=1 is about generation; with "
                               "data.trajectories nothing is generated");
    if (c->grpo.zero_variance == ZERO_VARIANCE_REFILL)
        return ERR(ERR_CONFIG, "grpo.zero_variance=refill draws further prompts; with "
                               "data.trajectories use drop");
    return STATUS_OK;
}

int trainer_check(const struct config *c)
{
    const bool is_given = c->data.trajectories[0] != '\0';
    struct recipe recipe;
    TRY(recipe_init(&recipe, c));
    TRY(recipe_check(&recipe, c));
    if (c->model.path[0] == '\0')
        return ERR(ERR_CONFIG,
                   "model.path is not set: the Hugging Face directory to train");
    if (c->data.train[0] == '\0' && !is_given)
        return ERR(ERR_CONFIG, "data.train is not set: a JSONL file of problems (or "
                               "--trajectories: one of completions)");
    if (c->rollout.group_size < 2)
        return ERR(ERR_CONFIG,
                   "rollout.group_size=%lld: a group needs at least 2 samples "
                   "to compare",
                   (long long)c->rollout.group_size);
    if (c->grpo.mini_batch > 0 && c->grpo.prompts % c->grpo.mini_batch != 0)
        return ERR(ERR_CONFIG, "grpo.mini_batch=%lld does not divide grpo.prompts=%lld",
                   (long long)c->grpo.mini_batch, (long long)c->grpo.prompts);
    return is_given ? check_given(c) : STATUS_OK;
}

static int64_t longest_completion(const struct config *c)
{
    return c->eval.max_new > c->rollout.max_new ? c->eval.max_new : c->rollout.max_new;
}

static int load_data(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    if (c->data.trajectories[0] == '\0')
        TRY(dataset_load(&t->train, c->data.train, c->data.limit, &t->s));
    if (c->data.eval[0] != '\0')
        TRY(dataset_load(&t->eval, c->data.eval, c->data.eval_limit, &t->s));
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
    t->has_ref = true;
    return reference_init(&t->ref, c->model.path, dtype, &t->s.model);
}

/* A copy of the weights from before an update, for grpo.check_stale. */
static int create_behaviour(struct trainer *t)
{
    const struct model *const m = &t->s.model;
    const struct config_grpo *const g = &t->s.config.grpo;
    t->behaviour_step = -1;
    if (!g->is_stale_checked || g->staleness == 0 || !world_learns(&t->world))
        return STATUS_OK;
    t->behaviour_bytes = (size_t)m->table.n_elems * dtype_bytes(m->dtype);
    TRY(m->b->reserve(m->b, &t->behaviour_data, t->behaviour_bytes, "older weights"));
    return model_init(&t->behaviour, m->b, &m->hp, t->behaviour_data, m->dtype,
                      m->n_pos, m->n_softmax);
}

static int create_batches(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    const struct hparams *const hp = &t->s.model.hp;
    const int64_t load = hp->n_layers * hp->n_experts;
    for (int64_t i = 0; i <= c->grpo.staleness; i++) {
        struct step_batch *const b = &t->batches[i];
        TRY(groups_init(&b->g, c->grpo.prompts, c->rollout.group_size,
                        c->data.max_prompt, c->rollout.max_new,
                        hp->n_layers * hp->top_k));
        b->expert_load = mem_alloc((size_t)load * sizeof(int64_t));
        b->step = -1;
    }
    t->now = &t->batches[0];
    t->ahead = &t->batches[1];
    const size_t n = (size_t)c->grpo.prompts;
    t->problem = mem_alloc(n * sizeof(*t->problem));
    t->slots = mem_alloc(n * sizeof(*t->slots));
    t->owner = mem_alloc(n * sizeof(*t->owner));
    t->writer = mem_alloc(n * sizeof(*t->writer));
    t->load_scratch = mem_alloc((size_t)((load + 2) * t->world.size) * sizeof(int64_t));
    world_scratch_init(&t->exchange, &t->world);
    return STATUS_OK;
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
    const struct memory_plan_args pa = {
        .m = m,
        .config = c,
        .rollout = world_rollout_index(&t->world) < 0 ? NULL : &cs.limits,
        .is_learner = world_learns(&t->world)};
    TRY(memory_plan_make(&t->plan, &pa));
    TRY(collector_create(&t->collector, &cs));
    TRY(create_batches(t));
    TRY(create_behaviour(t));
    if (c->data.trajectories[0] != '\0')
        TRY(prompter_create(&t->prompter, &t->s, NULL));
    const struct trajectories_setup ts = {.config = c,
                                          .tokenizer = t->s.tokenizer,
                                          .prompter = t->prompter,
                                          .hp = &m->hp,
                                          .n_softmax = m->n_softmax,
                                          .collector = t->collector};
    if (c->data.trajectories[0] != '\0')
        TRY(trajectories_open(&t->given, c->data.trajectories, &ts));
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
                                         .ref = t->has_ref ? &t->ref.model : NULL,
                                         .comm = t->world.learners,
                                         .config = c,
                                         .data = t->s.weights.data,
                                         .plan = &t->plan};
        TRY(learner_create(&t->learner, &ls));
    }
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

static void print_memory(const struct trainer *t, const struct learner_plan *p)
{
    const struct model *const m = &t->s.model;
    const double one = (double)m->table.n_elems * (double)dtype_bytes(m->dtype);
    const double samples = (double)t->batches[0].g.block_bytes +
                           (double)t->batches[1].g.block_bytes;
    log_info(
        "memory plan of a learner: weights %.1f MB, reference %.1f, optimiser "
        "%.1f, gradients %.1f, copies of weights %.1f, activations up to %.1f (%s, "
        "%lld rows), samples up to %.1f, routes to replay up to %.1f",
        1e-6 * one, t->has_ref ? 1e-6 * one : 0.0,
        1e-6 * (double)(p->optim.device + p->optim.host), 1e-6 * (double)p->grads,
        1e-6 * (double)p->copies, 1e-6 * (double)p->acts,
        p->mode == ACTS_KEEP ? "all kept" : "recomputed per layer",
        (long long)p->n_rows, 1e-6 * samples, 1e-6 * (double)p->replay);
}

static void print_plan(const struct trainer *t)
{
    const struct model *const m = &t->s.model;
    const struct config *const c = &t->s.config;
    const int64_t n_params = hparams_n_params(&m->hp);
    log_info("%s: %lld parameters, %lld active per token; %s; ranks: %d learn, %d "
             "generate%s",
             c->model.path, (long long)n_params, (long long)hparams_n_active(&m->hp),
             t->s.backend.name, t->world.n_learners, t->world.n_rollouts,
             t->world.is_colocated ? " (the same)" : "");
    if (t->given != NULL)
        log_info("data: %lld groups of given completions, routes %s, %lld tokens "
                 "without a log-prob; %lld left out",
                 (long long)trajectories_n(t->given),
                 trajectories_has_routes(t->given) ? "known" : "not known",
                 (long long)trajectories_n_unknown(t->given),
                 (long long)trajectories_n_filtered(t->given));
    else
        log_info("data: %lld problems, prompts of at most %lld tokens; %lld left out",
                 (long long)dataset_n(t->train),
                 (long long)dataset_longest_prompt(t->train),
                 (long long)dataset_n_filtered(t->train));
    if (t->learner != NULL)
        print_memory(t, &t->plan);
}

int trainer_start(struct trainer *t)
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
    if (t->now->step == t->step)
        TRY(draw_count_load(t, t->now));
    if (t->world.rank == 0)
        print_plan(t);
    return comm_agree(all, t->world.rank == 0 ? record_open(t) : STATUS_OK);
}

void trainer_release(struct trainer *t)
{
    learner_free(t->learner);
    if (t->has_evaluator)
        evaluator_release(&t->evaluator);
    collector_free(t->collector);
    for (int i = 0; i < 2; i++) {
        groups_release(&t->batches[i].g);
        mem_free(t->batches[i].expert_load);
    }
    dataset_free(t->train);
    dataset_free(t->eval);
    trajectories_free(t->given);
    prompter_free(t->prompter);
    if (t->has_ref)
        reference_release(&t->ref);
    if (t->behaviour_data != NULL) {
        model_release(&t->behaviour);
        t->s.backend.release(&t->s.backend, t->behaviour_data, t->behaviour_bytes);
    }
    mem_free(t->problem);
    mem_free(t->slots);
    mem_free(t->owner);
    mem_free(t->writer);
    mem_free(t->load_scratch);
    world_scratch_release(&t->exchange, &t->world);
    buf_release(&t->text);
    metrics_abandon(&t->metrics);
    metrics_abandon(&t->samples);
    metrics_abandon(&t->trajectories);
    events_abandon(&t->events);
    world_release(&t->world);
    session_close(&t->s);
}
