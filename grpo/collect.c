/*
 * The reward of a sample is known on the rank that generated it; only infos and the
 * groups that a learner owns travel.
 */
#include "grpo/collect.h"

#include <string.h>

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
    int64_t *slots;
    int64_t n_slots;
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
    TRY_OUT(split_stops(c, s->config->rollout.stop));
    const struct reward_options verifier = config_verifier(s->config);
    TRY_OUT(reward_rules_create(&c->rules, &verifier));
    TRY_OUT(reward_scratch_create(&c->scratch, c->rules));
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
    mem_free(c);
}

void collector_text(const struct tokenizer *t, const struct groups *g, int64_t p,
                    int64_t s, struct buf *out)
{
    buf_reset(out);
    tokenizer_decode(t, groups_tokens(g, p, s), groups_info(g, p, s)->n_tokens, true,
                     out);
}

static void score_group(struct collector *c, struct groups *g, int64_t p,
                        const struct dataset *data)
{
    const struct shape_options shape = config_shaping(c->s.config);
    for (int64_t s = 0; s < g->n_samples; s++) {
        struct sample_info *const info = groups_info(g, p, s);
        struct reward_result r;
        collector_text(c->s.t, g, p, s, &c->text);
        const struct reward_input in = {.text = c->text.data,
                                        .len = c->text.len,
                                        .is_truncated = info->finish == FINISH_LENGTH};
        reward_score(&r, c->scratch, &in, dataset_gold(data, g->problem[p]));
        info->reason = (uint8_t)r.reason;
        info->is_correct = r.is_correct;
        info->has_form = r.has_form;
        info->reward = (float)shape_reward(&shape, &r, info->n_tokens, in.is_truncated);
    }
}

/* Scratch for steps of up to n groups; grows only between differently sized uses. */
static int ensure_capacity(struct collector *c, int64_t n)
{
    if (n <= c->n_slots)
        return STATUS_OK;
    world_scratch_release(&c->exchange, c->s.world);
    mem_free(c->slots);
    c->slots = mem_alloc((size_t)n * sizeof(*c->slots));
    c->n_slots = n;
    return world_scratch_init(&c->exchange, c->s.world, n);
}

static int generate(struct collector *c, struct groups *g, const struct collect_args *a,
                    struct collect_stats *st)
{
    const int64_t n_mine = world_slots(c->s.world, a->n, c->slots);
    const double start = session_seconds();
    struct rollout_args args = a->rollout;
    args.n_stops = c->n_stops;
    memcpy(args.stops, c->stops, sizeof(args.stops));
    for (int64_t i = 0; i < n_mine; i++) {
        const int64_t p = c->slots[i];
        int64_t len = 0;
        const int32_t *const ids = dataset_prompt(a->data, a->problem[p], &len);
        groups_set_prompt(g, p, a->problem[p], ids, len);
    }
    if (c->rollout != NULL)
        TRY(rollout_run(c->rollout, g, c->slots, n_mine, &args, a->tick, a->user,
                        &st->rollout));
    st->rollout_s = session_seconds() - start;
    for (int64_t i = 0; i < n_mine; i++)
        score_group(c, g, c->slots[i], a->data);
    st->reward_s = session_seconds() - start - st->rollout_s;
    return STATUS_OK;
}

int collector_run(struct collector *c, struct groups *g, const struct collect_args *a,
                  struct collect_stats *stats_out)
{
    struct collect_stats st = {0};
    TRY(ensure_capacity(c, a->n));
    groups_clear(g);
    TRY(comm_agree(c->s.world->all, generate(c, g, a, &st)));
    const double start = session_seconds();
    TRY(world_exchange(c->s.world, &c->exchange, g, a->n, a->owner));
    st.exchange_s = session_seconds() - start;
    *stats_out = st;
    return STATUS_OK;
}
