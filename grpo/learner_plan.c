/*
 * What a learner will reserve, and the choices that make it fit. A device's memory is
 * taken whole when reserved; host memory costs nothing until it is touched, so there
 * only activations are weighed.
 */
#include "grpo/learner_private.h"

int64_t learner_mini_batch(const struct config *c)
{
    const int64_t n = c->grpo.mini_batch;
    return n == 0 || n > c->grpo.prompts ? c->grpo.prompts : n;
}

/* Capacity of a micro-batch: the budget, or the largest possible group. */
struct batch_limits learner_batch_limits(const struct config *c)
{
    const int64_t g = c->rollout.group_size;
    const int64_t group_rows = c->data.max_prompt + g * (c->rollout.max_new - 1);
    const int64_t budget = c->learner.micro_tokens;
    /* no more groups than prompts, none smaller than a row */
    const int64_t n_rows = budget > group_rows ? budget : group_rows;
    const int64_t n_mini = learner_mini_batch(c);
    const int64_t n_groups = n_mini < n_rows ? n_mini : n_rows;
    const int64_t n_seqs = n_groups * (1 + g);
    const int64_t seq_pages = (c->data.max_prompt + c->rollout.max_new + KV_BLOCK - 1) /
                              KV_BLOCK;
    return (struct batch_limits){.n_rows = n_rows,
                                 .n_seqs = n_seqs,
                                 .n_groups = n_groups,
                                 .n_pages = n_seqs * seq_pages,
                                 .n_dst = n_rows + n_seqs * KV_BLOCK};
}

struct acts_limits learner_acts_limits(const struct model *m, const struct config *c,
                                       enum acts_mode mode)
{
    const struct batch_limits bl = learner_batch_limits(c);
    /* Pages a micro-batch can really touch: one per KV_BLOCK rows, and a partial one or
     * a copy for every sequence. */
    const int64_t n_pages = bl.n_rows / KV_BLOCK + 2 * bl.n_seqs;
    return (struct acts_limits){.mode = mode,
                                .n_rows = bl.n_rows,
                                .n_pages = n_pages < bl.n_pages ? n_pages : bl.n_pages,
                                .n_head_rows = learner_head_rows(c, m->b)};
}

/* The sum and the tree's scratch; one more than the sum in any case, for the weights
 * as they were before an update. */
int64_t learner_tree_arrays(const struct config *c)
{
    const int64_t depth = comm_tree_depth(c->grpo.leaves);
    return 1 + (depth > 0 ? depth : 1);
}

int64_t learner_head_rows(const struct config *c, const struct backend *b)
{
    if (c->learner.head_rows > 0)
        return c->learner.head_rows;
    return b->is_host ? 256 : 2048;
}

static size_t copies_bytes(const struct model *m, const struct config *c)
{
    const size_t n = (size_t)m->table.n_elems;
    const bool is_moving = c->grpo.ref_every > 0 && m->dtype != DTYPE_F32;
    const bool has_older = c->grpo.is_stale_checked && c->grpo.staleness > 0;
    return (is_moving ? n * sizeof(float) : 0) +
           (has_older ? n * dtype_bytes(m->dtype) : 0);
}

int64_t learner_replay_len(const struct model *m, int64_t n_rows)
{
    return m->hp.n_layers * n_rows * m->hp.top_k;
}

static size_t replay_bytes(const struct model *m, const struct config *c,
                           int64_t n_rows)
{
    if (c->grpo.routing_replay == REPLAY_OFF)
        return 0;
    return (size_t)learner_replay_len(m, n_rows) * sizeof(int32_t) +
           scan_bytes(&m->hp, c);
}

static size_t scratch_bytes(const struct model *m, const struct batch_limits *bl)
{
    enum { TILE = 64 };
    const struct hparams *const hp = &m->hp;
    const int64_t n_lines = bl->n_rows * (hp->n_heads / hp->n_kv_heads);
    const int64_t n_tiles = (n_lines / TILE + bl->n_seqs) * hp->n_kv_heads;
    return m->b->is_host ? 0 : (size_t)(n_tiles * TILE * (4 * hp->head_dim + 16));
}

size_t learner_plan_device(const struct learner_plan *p)
{
    return p->acts + p->grads + p->optim.device + p->copies + p->scratch;
}

size_t learner_plan_margin(size_t bytes) { return bytes / 50 + (size_t)256000000; }

void learner_optim_places(const struct config *c, enum optim_place *first_out,
                          enum optim_place *last_out)
{
    static const enum optim_place first[] = {[OFFLOAD_AUTO] = OPTIM_ON_DEVICE,
                                             [OFFLOAD_NONE] = OPTIM_ON_DEVICE,
                                             [OFFLOAD_MOMENTS] = OPTIM_MOMENTS_ON_HOST,
                                             [OFFLOAD_ALL] = OPTIM_ON_HOST};
    *first_out = first[c->optim.offload];
    *last_out = c->optim.offload == OFFLOAD_AUTO ? OPTIM_ON_HOST : *first_out;
}

static void set_mode(struct learner_plan *p, const struct model *m,
                     const struct config *c, enum acts_mode mode)
{
    const struct acts_limits al = learner_acts_limits(m, c, mode);
    p->mode = mode;
    p->acts = acts_bytes(m, &al);
    p->logits = acts_logits_bytes(m, &al);
}

/* Whether p fits; unknown memory holds all. A host's activations may be touched up to
 * half of what it has left: the rest of the plan and other programs live there too. */
static bool fits(const struct learner_plan *p, struct backend *b, size_t beside)
{
    const int64_t available = b->available(b);
    if (available <= 0)
        return true;
    if (b->is_host)
        return 2 * p->acts <= (size_t)available;
    const size_t wanted = learner_plan_device(p) + beside;
    return wanted + learner_plan_margin(wanted) <= (size_t)available;
}

void learner_plan(struct learner_plan *out, const struct model *m,
                  const struct config *c, size_t beside)
{
    const struct batch_limits bl = learner_batch_limits(c);
    const size_t wide = (size_t)m->table.n_elems * sizeof(float);
    enum optim_place first = OPTIM_ON_DEVICE, last = OPTIM_ON_HOST;
    learner_optim_places(c, &first, &last);
    struct learner_plan p = {.n_rows = bl.n_rows,
                             .grads = (size_t)learner_tree_arrays(c) * wide,
                             .copies = copies_bytes(m, c),
                             .scratch = scratch_bytes(m, &bl),
                             .replay = replay_bytes(m, c, bl.n_rows),
                             .place = first};
    p.optim = optim_bytes(&m->table, m->dtype, first);
    set_mode(&p, m, c,
             c->learner.recompute == RECOMPUTE_LAYER ? ACTS_RECOMPUTE : ACTS_KEEP);
    if (c->learner.recompute == RECOMPUTE_AUTO && !fits(&p, m->b, beside))
        set_mode(&p, m, c, ACTS_RECOMPUTE);
    while (!m->b->is_host && p.place < last && !fits(&p, m->b, beside)) {
        p.place++;
        p.optim = optim_bytes(&m->table, m->dtype, p.place);
    }
    *out = p;
}
