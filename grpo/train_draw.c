/*
 * A step's samples. Prompts are taken from the data's endless order at t->cursor. With
 * grpo.zero_variance = refill, groups of equal rewards give way, round by round, to as
 * many further prompts, until every group differs or grpo.refill_rounds is reached; the
 * rule looks at rewards alone, so every split into ranks draws the same. Round r of a
 * step has random numbers of its own (first_prompt = r P).
 */
#include <string.h>

#include "grpo/trainer.h"

/* The groups that give way, into t->slots; sums over all groups of the round. */
static int64_t look(struct trainer *t, struct step_batch *b, int64_t n)
{
    const struct groups *const g = &b->g;
    int64_t n_flat = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t p = t->slots[i];
        for (int64_t s = 0; s < g->n_samples; s++) {
            b->draw.reward += (double)groups_info(g, p, s)->reward;
            b->draw.n_correct += groups_info(g, p, s)->is_correct;
            b->draw.n_samples++;
        }
        if (groups_is_flat(g, p))
            t->slots[n_flat++] = p;
    }
    return n_flat;
}

static void on_tick(void *user, int64_t n_finished, int64_t n_tokens)
{
    (void)user;
    (void)n_finished;
    (void)n_tokens;
    watchdog_beat("rollout");
}

/* One round of n prompts into groups t->slots */
static int run_round(struct trainer *t, struct step_batch *b, int64_t n)
{
    const struct config *const c = &t->s.config;
    const struct config_rollout *const r = &c->rollout;
    for (int64_t i = 0; i < n; i++)
        t->problem[i] = dataset_order(dataset_n(t->train), b->draw.cursor + i,
                                      (uint64_t)c->run.seed, c->data.is_shuffled);
    const struct collect_args a = {
        .data = t->train,
        .problem = t->problem,
        .slots = t->slots,
        .n = n,
        .rollout = {.temperature = (float)r->temperature,
                    .top_p = (float)r->top_p,
                    .top_k = (int32_t)r->top_k,
                    .seed = (uint64_t)c->run.seed,
                    .step = (int32_t)b->step,
                    .first_prompt = b->draw.n_rounds * c->grpo.prompts,
                    .max_new = r->max_new},
        .tick = on_tick};
    const int status = collector_generate(t->collector, &b->g, &a, &b->collect);
    TRY(comm_agree(t->world.rollouts, status));
    b->draw.cursor += n;
    b->draw.n_prompts += n;
    b->draw.n_rounds++;
    return collector_share(t->collector, &b->g);
}

int draw_generate(struct trainer *t, struct step_batch *b, int64_t step)
{
    const struct config_grpo *const g = &t->s.config.grpo;
    const bool is_refilled = g->zero_variance == ZERO_VARIANCE_REFILL;
    b->step = step;
    b->draw = (struct draw){.cursor = t->cursor};
    b->collect = (struct collect_stats){0};
    collector_begin(t->collector, &b->g);
    if (t->world.rollouts == NULL)
        return STATUS_OK;
    int64_t n = g->prompts;
    for (int64_t p = 0; p < n; p++)
        t->slots[p] = p;
    do {
        TRY(run_round(t, b, n));
        n = look(t, b, n);
    } while (is_refilled && n > 0 && b->draw.n_rounds < g->refill_rounds);
    return STATUS_OK;
}

int draw_finish(struct trainer *t, struct step_batch *b)
{
    const int teller = t->world.is_colocated ? 0 : t->world.n_learners;
    TRY(collector_finish(t->collector, &b->g, t->owner, &b->collect));
    TRY(comm_bcast(t->world.all, &b->draw, sizeof(b->draw), teller));
    t->cursor = b->draw.cursor;
    return draw_count_load(t, b);
}

int draw_given(struct trainer *t, struct step_batch *b, int64_t step)
{
    const int64_t n = trajectories_n(t->given);
    const double start = session_seconds();
    int status = STATUS_OK;
    b->step = step;
    b->draw = (struct draw){
        .cursor = t->cursor + b->g.n_groups, .n_prompts = b->g.n_groups, .n_rounds = 1};
    b->collect = (struct collect_stats){0};
    b->g.is_unrouted = !trajectories_has_routes(t->given);
    groups_clear(&b->g);
    for (int64_t p = 0; status == STATUS_OK && p < b->g.n_groups; p++)
        status = trajectories_read(t->given, (t->cursor + p) % n, &b->g, p);
    b->collect.reward_s = session_seconds() - start;
    TRY(comm_agree(t->world.all, status));
    t->cursor = b->draw.cursor;
    return draw_count_load(t, b);
}

static void add_routes(int64_t *load, const struct groups *g, int64_t p,
                       const struct hparams *hp)
{
    for (int64_t s = 0; s < g->n_samples; s++) {
        const uint16_t *r = groups_routes(g, p, s);
        const int64_t len = groups_info(g, p, s)->n_tokens;
        for (int64_t i = 0; i < len; i++, r += g->route_width)
            for (int64_t j = 0; j < g->route_width; j++)
                load[j / hp->top_k * hp->n_experts + r[j]]++;
    }
}

int draw_count_load(struct trainer *t, struct step_batch *b)
{
    const struct hparams *const hp = &t->s.model.hp;
    const int64_t n = hp->n_layers * hp->n_experts;
    int64_t *const load = b->expert_load;
    memset(load, 0, (size_t)n * sizeof(*load));
    for (int64_t p = 0; !b->g.is_unrouted && p < b->g.n_groups; p++)
        if (t->owner[p] == t->world.rank)
            add_routes(load, &b->g, p, hp);
    TRY(comm_allgather(t->world.all, load, (size_t)n * sizeof(*load), t->load_scratch));
    memset(load, 0, (size_t)n * sizeof(*load));
    for (int64_t i = 0; i < n * t->world.size; i++)
        load[i % n] += t->load_scratch[i];
    return STATUS_OK;
}

int draw_gather(struct trainer *t, struct step_batch *b)
{
    int64_t n = 0;
    for (int64_t p = 0; p < b->g.n_groups; p++)
        if (t->owner[p] == t->world.rank)
            t->slots[n++] = p;
    return world_send_groups(&t->world, &t->exchange, &b->g, t->slots, n, t->writer);
}
