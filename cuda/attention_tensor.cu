/*
 * Attention forward on tensor cores: the launches of attention_plan.h. Where there is
 * wgmma it multiplies for head dims 64 and 128, else mma.sync: the head dim and the
 * card alone decide, so a line has the same bits in decode, prefill and learner.
 */
#include "cuda/attention_merge.cuh"
#include "cuda/attention_mma.cuh"
#include "cuda/attention_wgmma.cuh"

/* A call of the op, all its launches alike */
struct call {
    struct backend *b;
    struct attn_job job;
    struct attn_wgmma wgmma;
    bool has_wgmma, is_decode;
};

/* Tiles of so many lines, by all kv heads, at most */
static int64_t n_tiles(const struct call *c, int32_t lines)
{
    const struct attn_batch *const a = &c->job.a;
    return attn_tile_blocks(a->n_rows, a->n_seqs, a->n_heads / a->n_kv_heads,
                            a->n_kv_heads, lines);
}

/* Blocks of ATTN_GROUP_LINES lines */
static void launch(struct call *c, enum attn_part part)
{
    struct attn_job *const job = &c->job;
    const int64_t tiles = n_tiles(c, ATTN_GROUP_LINES);
    dim3 grid(cuda_blocks(part == ATTN_PART_DEALT ? tiles * job->n_dealt : tiles, 1));
    if (part == ATTN_PART_SHARED)
        grid = dim3(cuda_blocks(job->a.n_seqs, ATTN_SEQS_PER_BLOCK),
                    (unsigned)job->a.n_kv_heads);
    job->part = part;
    if (part == ATTN_PART_MERGE)
        attn_merge_launch(c->b, job, grid);
    else if (c->has_wgmma)
        attn_wgmma_decode(c->b, job, &c->wgmma, grid);
    else
        attn_mma_launch(c->b, job, grid);
}

/* Memory for the states of all lines, n_slots each */
static void take_scratch(struct call *c, int32_t n_slots)
{
    struct attn_job *const job = &c->job;
    const int64_t n = job->a.n_rows * job->a.n_heads * n_slots;
    const int64_t floats = n * (job->a.head_dim + 2) + ATTN_MAX_SEQS;
    job->n_slots = n_slots;
    job->state_o = (float *)cuda_scratch(c->b, (size_t)floats * sizeof(float));
    job->state = (struct attn_state *)(job->state_o + n * job->a.head_dim);
    job->n_shared = (int32_t *)(job->state + n);
}

static void run_learner(struct call *c)
{
    if (!c->has_wgmma) {
        launch(c, ATTN_PART_ALL);
        return;
    }
    c->job.part = ATTN_PART_ALL;
    c->job.next = (int32_t *)cuda_scratch(c->b, sizeof(int32_t));
    attn_wgmma_learner(c->b, &c->job, &c->wgmma, n_tiles(c, attn_wgmma_lines()));
}

static void run_decode(struct call *c)
{
    const struct attn_batch *const a = &c->job.a;
    c->job.n_dealt = attn_n_dealt(a->n_seqs, a->n_kv_heads, cuda_state(c->b)->n_sms);
    if (c->job.n_dealt > 1) {
        take_scratch(c, attn_n_slots(a->n_rows * a->n_heads, a->head_dim + 2));
        launch(c, ATTN_PART_DEALT);
        launch(c, ATTN_PART_MERGE);
    } else {
        take_scratch(c, 1);
        launch(c, ATTN_PART_SHARED);
        launch(c, ATTN_PART_OWN);
    }
}

bool attn_tensor_fwd(struct backend *b, float *y, float *lse, const float *q,
                     const float *cache, const struct attn_batch *a)
{
    if (!attn_is_tensor(b, a->is_narrow, a->head_dim))
        return false;
    struct call c = {};
    c.b = b;
    c.job.y = y;
    c.job.lse = lse;
    c.job.q = q;
    c.job.cache = cache;
    c.job.a = *a;
    c.job.has_pairs = (uintptr_t)q % sizeof(float2) == 0 && a->ld_q % 2 == 0;
    c.has_wgmma = attn_wgmma_init(&c.wgmma, cuda_state(b)->tensor, cache, a);
    c.is_decode = attn_is_decode(a->n_rows * (a->n_heads / a->n_kv_heads), a->n_seqs);
    for (int64_t s = 0; s < a->n_seqs; s += ATTN_MAX_SEQS) {
        const int64_t left = a->n_seqs - s;
        c.job.a.n_seqs = left < ATTN_MAX_SEQS ? left : (int64_t)ATTN_MAX_SEQS;
        c.job.a.row_off = a->row_off + s;
        c.job.a.first_pos = a->first_pos + s;
        c.job.a.page_off = a->page_off + s;
        (c.is_decode ? run_decode : run_learner)(&c);
    }
    return true;
}
