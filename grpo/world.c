/*
 * Roles from the world's size, and the exchange of trajectories.
 */
#include "grpo/world.h"

#include <string.h>

/* Fills the two counts; 0 in the configuration means "choose". */
static int split(struct world *w, const struct config_run *run, bool is_given)
{
    const int64_t n = w->size;
    int64_t roll = run->rollout_ranks, learn = run->learner_ranks;
    w->is_colocated = run->is_colocated || n == 1 || is_given;
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

int world_init(struct world *w, struct comm *all, const struct config *c)
{
    const bool is_given = c->data.trajectories[0] != '\0';
    *w = (struct world){.all = all, .rank = comm_rank(all), .size = comm_size(all)};
    TRY(split(w, &c->run, is_given));
    const bool is_learner = w->rank < w->n_learners;
    const bool is_synced = !w->is_colocated && (w->rank == 0 || !is_learner);
    TRY(comm_split(&w->learners, all, is_learner ? 0 : -1, w->rank));
    TRY(comm_split(&w->rollouts, all, world_rollout_index(w) >= 0 ? 0 : -1, w->rank));
    return comm_split(&w->sync, all, is_synced ? 0 : -1, w->rank);
}

void world_release(struct world *w)
{
    comm_free(w->learners);
    comm_free(w->rollouts);
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

bool world_generates(const struct world *w, int64_t i)
{
    const int mine = world_rollout_index(w);
    return mine >= 0 && i % w->n_rollouts == mine;
}

void world_scratch_init(struct world_scratch *s, const struct world *w)
{
    s->out = mem_alloc((size_t)w->size * sizeof(*s->out));
    s->in = mem_alloc((size_t)w->size * sizeof(*s->in));
}

void world_scratch_release(struct world_scratch *s, const struct world *w)
{
    for (int r = 0; s->out != NULL && r < w->size; r++) {
        buf_release(&s->out[r]);
        buf_release(&s->in[r]);
    }
    mem_free(s->out);
    mem_free(s->in);
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

int world_share_infos(struct comm *comm, struct world_scratch *s, struct groups *g,
                      const int64_t *slots, int64_t n)
{
    const int size = comm_size(comm);
    if (size == 1)
        return STATUS_OK;
    for (int r = 0; r < size; r++) {
        buf_reset(&s->out[r]);
        for (int64_t i = 0; i < n; i++) {
            buf_append(&s->out[r], &slots[i], sizeof(slots[i]));
            buf_append(&s->out[r], groups_info(g, slots[i], 0),
                       (size_t)g->n_samples * sizeof(struct sample_info));
        }
    }
    TRY(comm_exchange(comm, s->out, s->in));
    for (int r = 0; r < size; r++)
        TRY(take_infos(g, &s->in[r]));
    return STATUS_OK;
}

int world_send_groups(const struct world *w, struct world_scratch *s, struct groups *g,
                      const int64_t *slots, int64_t n, const int32_t *owner)
{
    if (w->size == 1)
        return STATUS_OK;
    for (int r = 0; r < w->size; r++) {
        buf_reset(&s->out[r]);
        for (int64_t i = 0; r != w->rank && i < n; i++)
            if (owner[slots[i]] == r)
                groups_put(g, slots[i], &s->out[r]);
    }
    TRY(comm_exchange(w->all, s->out, s->in));
    for (int r = 0; r < w->size; r++)
        TRY(groups_take(g, &s->in[r]));
    return STATUS_OK;
}
