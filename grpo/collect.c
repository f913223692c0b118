/*
 * The reward of a sample is known on the rank that generated it; only infos and the
 * groups that a learner owns travel.
 */
#include "grpo/collect.h"

#include <string.h>

#include "grpo/prompter.h"
#include "grpo/session.h"
#include "reward/reward.h"

struct collector {
    struct collector_setup s;
    struct rollout *rollout; /* NULL on ranks that only learn */
    struct reward_rules *rules;
    struct reward_scratch *scratch;
    struct world_scratch exchange;
    struct buf text;
    char *stop_text; /* rollout.stop, cut at the bars */
    const char *stops[ROLLOUT_MAX_STOPS];
    int n_stops;
    int64_t *slots; /* (n_max) this rank's share of a round */
    bool *is_made;  /* (n_max) groups of this rank since begin */
    int64_t n_slots, n_max;
};

/* Stop strings of the configuration; they hold for training and evaluation alike. */
static int split_stops(struct collector *c, const char *list)
{
    c->stop_text = mem_strdup(list);
    char *rest = c->stop_text;
    for (char *s = strsep(&rest, "|"); s != NULL; s = strsep(&rest, "|")) {
        if (*s == '\0')
            continue;
        if (c->n_stops == ROLLOUT_MAX_STOPS)
            return ERR(ERR_CONFIG, "rollout.stop: more than %d stop strings",
                       (int)ROLLOUT_MAX_STOPS);
        c->stops[c->n_stops++] = s;
    }
    return STATUS_OK;
}

int collector_create(struct collector **out, const struct collector_setup *s)
{
    struct collector *const c = mem_alloc(sizeof(*c));
    int status = STATUS_OK;
    c->s = *s;
    TRY_OUT(split_stops(c, prompter_stop(s->config)));
    const struct reward_options verifier = config_verifier(s->config);
    TRY_OUT(reward_rules_create(&c->rules, &verifier));
    TRY_OUT(reward_scratch_create(&c->scratch, c->rules));
    world_scratch_init(&c->exchange, s->world);
    if (world_rollout_index(s->world) >= 0)
        TRY_OUT(rollout_create(&c->rollout, s->m, s->t, &s->limits));
    *out = c;
    return STATUS_OK;
out:
    collector_free(c);
    return status;
}

void collector_free(struct collector *c)
{
    if (c == NULL)
        return;
    rollout_free(c->rollout);
    reward_scratch_free(c->scratch);
    reward_rules_free(c->rules);
    world_scratch_release(&c->exchange, c->s.world);
    buf_release(&c->text);
    mem_free(c->stop_text);
    mem_free(c->slots);
    mem_free(c->is_made);
    mem_free(c);
}

void collector_text(const struct tokenizer *t, const struct groups *g, int64_t p,
                    int64_t s, struct buf *out)
{
    buf_reset(out);
    tokenizer_decode(t, groups_tokens(g, p, s), groups_info(g, p, s)->n_tokens, true,
                     out);
}

int collector_gold(struct reward_gold **out, struct collector *c, const char *text,
                   size_t len)
{
    return reward_gold_create(out, c->scratch, text, len);
}

void collector_score(struct collector *c, struct groups *g, int64_t p,
                     const struct reward_gold *gold)
{
    const struct shape_options shape = config_shaping(c->s.config);
    for (int64_t s = 0; s < g->n_samples; s++) {
        struct sample_info *const info = groups_info(g, p, s);
        struct reward_result r;
        collector_text(c->s.t, g, p, s, &c->text);
        const struct reward_input in = {.text = c->text.data,
                                        .len = c->text.len,
                                        .is_truncated = info->finish == FINISH_LENGTH};
        reward_score(&r, c->scratch, &in, gold);
        info->reason = (uint8_t)r.reason;
        info->is_correct = r.is_correct;
        info->has_form = r.has_form;
        info->reward = (float)shape_reward(&shape, &r, info->n_tokens, in.is_truncated);
    }
}

void collector_begin(struct collector *c, struct groups *g)
{
    groups_clear(g);
    if (g->n_groups > c->n_max) { /* grows only between differently sized uses */
        mem_free(c->slots);
        mem_free(c->is_made);
        c->n_max = g->n_groups;
        c->slots = mem_alloc((size_t)c->n_max * sizeof(*c->slots));
        c->is_made = mem_alloc((size_t)c->n_max * sizeof(*c->is_made));
    }
    memset(c->is_made, 0, (size_t)c->n_max * sizeof(*c->is_made));
}

/* This rank's share of a round; a group may be another rank's than in the last one. */
static void take_share(struct collector *c, struct groups *g,
                       const struct collect_args *a)
{
    c->n_slots = 0;
    for (int64_t i = 0; i < a->n; i++) {
        const int64_t p = a->slots == NULL ? i : a->slots[i];
        c->is_made[p] = world_generates(c->s.world, i);
        if (!c->is_made[p])
            continue;
        int64_t len = 0;
        const int32_t *const ids = dataset_prompt(a->data, a->problem[i], &len);
        groups_set_prompt(g, p, a->problem[i], ids, len);
        c->slots[c->n_slots++] = p;
    }
}

int collector_generate(struct collector *c, struct groups *g,
                       const struct collect_args *a, struct collect_stats *st)
{
    const double start = session_seconds();
    struct rollout_args args = a->rollout;
    struct rollout_stats stats = {0};
    args.n_stops = c->n_stops;
    memcpy(args.stops, c->stops, sizeof(args.stops));
    take_share(c, g, a);
    if (c->rollout != NULL)
        TRY(rollout_run(c->rollout, g, c->slots, c->n_slots, &args, a->tick, a->user,
                        &stats));
    const double generated = session_seconds();
    for (int64_t i = 0; i < c->n_slots; i++)
        collector_score(c, g, c->slots[i],
                        dataset_gold(a->data, g->problem[c->slots[i]]));
    st->rollout.n_prefill_tokens += stats.n_prefill_tokens;
    st->rollout.n_decode_tokens += stats.n_decode_tokens;
    st->rollout.n_decode_steps += stats.n_decode_steps;
    st->rollout_s += generated - start;
    st->reward_s += session_seconds() - generated;
    return STATUS_OK;
}

int collector_share(struct collector *c, struct groups *g)
{
    return world_share_infos(c->s.world->rollouts, &c->exchange, g, c->slots,
                             c->n_slots);
}

int collector_finish(struct collector *c, struct groups *g, const int32_t *owner,
                     struct collect_stats *st)
{
    const struct world *const w = c->s.world;
    const double start = session_seconds();
    c->n_slots = 0;
    for (int64_t p = 0; p < g->n_groups; p++)
        if (c->is_made[p])
            c->slots[c->n_slots++] = p;
    TRY(world_share_infos(w->all, &c->exchange, g, c->slots, c->n_slots));
    TRY(world_send_groups(w, &c->exchange, g, c->slots, c->n_slots, owner));
    st->exchange_s += session_seconds() - start;
    return STATUS_OK;
}

int collector_run(struct collector *c, struct groups *g, const struct collect_args *a,
                  struct collect_stats *stats_out)
{
    struct collect_stats st = {0};
    collector_begin(c, g);
    TRY(comm_agree(c->s.world->all, collector_generate(c, g, a, &st)));
    TRY(collector_finish(c, g, a->owner, &st));
    *stats_out = st;
    return STATUS_OK;
}
