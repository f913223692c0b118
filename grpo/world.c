/*
 * Roles from the world's size, and the exchange of trajectories.
 */
#include "grpo/world.h"

#include <string.h>

/* Fills the two counts; 0 in the configuration means "choose". */
static int split(struct world *w, const struct config_run *run)
{
    const int64_t n = w->size;
    int64_t roll = run->rollout_ranks, learn = run->learner_ranks;
    w->is_colocated = run->is_colocated || n == 1;
    if (w->is_colocated) {
        w->n_learners = w->n_rollouts = w->size;
        return STATUS_OK;
    }
    if (roll == 0)
        roll = learn == 0 ? (n + 1) / 2 : n - learn;
    if (learn == 0)
        learn = n - roll;
    if (roll < 1 || learn < 1 || roll + learn != n)
        return ERR(
            ERR_CONFIG,
            "run.rollout_ranks=%lld and run.learner_ranks=%lld do not make the "
            "world of %lld ranks; leave one of them 0, or set run.colocated=true",
            (long long)run->rollout_ranks, (long long)run->learner_ranks, (long long)n);
    w->n_learners = (int)learn;
    w->n_rollouts = (int)roll;
    return STATUS_OK;
}

int world_init(struct world *w, struct comm *all, const struct config_run *run)
{
    *w = (struct world){.all = all, .rank = comm_rank(all), .size = comm_size(all)};
    TRY(split(w, run));
    const bool is_learner = w->rank < w->n_learners;
    const bool is_synced = !w->is_colocated && (w->rank == 0 || !is_learner);
    TRY(comm_split(&w->learners, all, is_learner ? 0 : -1, w->rank));
    return comm_split(&w->sync, all, is_synced ? 0 : -1, w->rank);
}

void world_release(struct world *w)
{
    comm_free(w->learners);
    comm_free(w->sync);
    *w = (struct world){0};
}

bool world_learns(const struct world *w) { return w->rank < w->n_learners; }

int world_rollout_index(const struct world *w)
{
    if (w->is_colocated)
        return w->rank;
    return world_learns(w) ? -1 : w->rank - w->n_learners;
}

int64_t world_slots(const struct world *w, int64_t n, int64_t *slots)
{
    const int mine = world_rollout_index(w);
    int64_t count = 0;
    for (int64_t p = 0; mine >= 0 && p < n; p++)
        if (p % w->n_rollouts == mine)
            slots[count++] = p;
    return count;
}

int world_scratch_init(struct world_scratch *s, const struct world *w, int64_t n_max)
{
    s->out = mem_alloc((size_t)w->size * sizeof(*s->out));
    s->in = mem_alloc((size_t)w->size * sizeof(*s->in));
    s->slots = mem_alloc((size_t)n_max * sizeof(*s->slots));
    s->n_max = n_max;
    return STATUS_OK;
}

void world_scratch_release(struct world_scratch *s, const struct world *w)
{
    for (int r = 0; s->out != NULL && r < w->size; r++) {
        buf_release(&s->out[r]);
        buf_release(&s->in[r]);
    }
    mem_free(s->out);
    mem_free(s->in);
    mem_free(s->slots);
    *s = (struct world_scratch){0};
}

/* A group's infos: int64 p, then G of them. */
static int take_infos(struct groups *g, const struct buf *in)
{
    const size_t bytes = (size_t)g->n_samples * sizeof(struct sample_info);
    const size_t stride = sizeof(int64_t) + bytes;
    if (in->len % stride != 0)
        return ERR(ERR_COMM, "sample infos of %zu bytes, not a multiple of %zu",
                   in->len, stride);
    for (size_t off = 0; off < in->len; off += stride) {
        int64_t p = 0;
        memcpy(&p, in->data + off, sizeof(p));
        if (p < 0 || p >= g->n_groups)
            return ERR(ERR_COMM, "sample infos of group %lld of %lld", (long long)p,
                       (long long)g->n_groups);
        memcpy(groups_info(g, p, 0), in->data + off + sizeof(p), bytes);
    }
    return STATUS_OK;
}

int world_exchange(const struct world *w, struct world_scratch *s, struct groups *g,
                   int64_t n, const int32_t *owner)
{
    if (w->size == 1)
        return STATUS_OK;
    const int64_t n_mine = world_slots(w, n, s->slots);
    for (int r = 0; r < w->size; r++) {
        buf_reset(&s->out[r]);
        for (int64_t i = 0; i < n_mine; i++) {
            const int64_t p = s->slots[i];
            buf_append(&s->out[r], &p, sizeof(p));
            buf_append(&s->out[r], groups_info(g, p, 0),
                       (size_t)g->n_samples * sizeof(struct sample_info));
        }
    }
    TRY(comm_exchange(w->all, s->out, s->in));
    for (int r = 0; r < w->size; r++)
        TRY(take_infos(g, &s->in[r]));
    for (int r = 0; r < w->size; r++) {
        buf_reset(&s->out[r]);
        for (int64_t i = 0; r != w->rank && i < n_mine; i++)
            if (owner[s->slots[i]] == r)
                groups_put(g, s->slots[i], &s->out[r]);
    }
    TRY(comm_exchange(w->all, s->out, s->in));
    for (int r = 0; r < w->size; r++)
        TRY(groups_take(g, &s->in[r]));
    return STATUS_OK;
}
