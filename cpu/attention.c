/*
 * Attention forward: one routine for decode, prefill and the learner. A task is a tile
 * of lines (attention.h) of one sequence and kv head; it walks the blocks of keys
 * upwards. Per block and line, with s_j = scale <q, k_j> over the visible slots:
 *   m' = max(m, max s),  p_j = exp(s_j - m'),  l = l exp(m - m') + sum p,
 *   o = o exp(m - m') + p_j v_j, j ascending;   at the end y = o / l, lse = m + log l.
 * The sum is over the block's 64 slots by the row rule, unseen slots 0. A line's result
 * depends on its query and the keys it sees only, not on the tile.
 */
#include "cpu/attention.h"

#include <omp.h>

struct tile {
    const struct attn_lines *lines;
    int64_t first, n;
    float scale;
    float *q, *o; /* (n, head_dim) */
    float *p;     /* (n, KV_BLOCK) */
    float max[ATTN_LINES], sum[ATTN_LINES];
};

static void scale_line(float *o, float by, int64_t head_dim)
{
    for (int64_t d = 0; d < head_dim; d += V16) {
        const int n = v16_left(head_dim, d);
        v16_store_n(o + d, v16_mul(v16_load_n(o + d, n), v16_set1(by)), n);
    }
}

/* Scores to probabilities of one line in one block, and its running max, sum, o. The
 * vectors from n_vectors on are seen by no line of the tile: they would add 0. */
static void softmax_line(struct tile *t, int64_t line, const struct attn_range *seen,
                         int n_vectors)
{
    float *const s = t->p + line * KV_BLOCK;
    const bool is_full = seen->begin == 0 && seen->end == KV_BLOCK;
    v16 top = v16_set1(-INFINITY);
    for (int v = 0; v < n_vectors; v++) {
        v16 x = v16_mul(v16_load(s + v * V16), v16_set1(t->scale));
        if (!is_full)
            x = attn_mask(x, v, seen, -INFINITY);
        v16_store(s + v * V16, x);
        top = v16_max(top, x);
    }
    const float block_max = v16_top(top);
    const float old = t->max[line];
    const float max = old > block_max ? old : block_max;
    v16 sum = v16_zero();
    for (int v = 0; v < n_vectors; v++) {
        const v16 p = v16_exp(v16_sub(v16_load(s + v * V16), v16_set1(max)));
        v16_store(s + v * V16, p);
        sum = v16_add(sum, p);
    }
    float *const o = t->o + line * t->lines->head_dim;
    if (max != old && old != -INFINITY) { /* else the factor is 1, or sum and o are 0 */
        const float shrink = vm_exp(old - max);
        t->sum[line] *= shrink;
        scale_line(o, shrink, t->lines->head_dim);
    }
    t->sum[line] += v16_sum(sum);
    t->max[line] = max;
}

static void tile_block(struct tile *t, const float *keys, int64_t block)
{
    const int64_t d = t->lines->head_dim;
    struct attn_range seen[ATTN_LINES];
    int64_t begin = t->n, end = 0; /* the lines that see any of it are adjacent */
    for (int64_t i = 0; i < t->n; i++) {
        seen[i] = attn_visible(t->lines, t->first + i, block);
        if (seen[i].begin >= seen[i].end)
            continue;
        begin = i < begin ? i : begin;
        end = i + 1;
    }
    if (begin >= end)
        return;
    const int n_vectors = attn_vectors(&seen[end - 1]);
    const struct attn_product scores = {.c = t->p + begin * KV_BLOCK,
                                        .a = t->q + begin * d,
                                        .b = keys,
                                        .ld_c = KV_BLOCK,
                                        .a_row = d,
                                        .a_step = 1,
                                        .ld_b = KV_BLOCK,
                                        .n_rows = end - begin,
                                        .n_cols = n_vectors * V16,
                                        .n_steps = d,
                                        .from_zero = true};
    CPU_NAME(attn_product_run)(&scores);
    for (int64_t i = begin; i < end; i++)
        softmax_line(t, i, &seen[i], n_vectors);
    CPU_NAME(attn_add_visible)
    (t->o + begin * d, d, t->p + begin * KV_BLOCK, keys + d * KV_BLOCK, seen + begin,
     end - begin, d);
}

static void finish_tile(const struct tile *t, float *y, float *lse, int64_t n_heads)
{
    const int64_t d = t->lines->head_dim;
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t at = attn_row(t->lines, t->first + i) * n_heads +
                           attn_head(t->lines, t->first + i);
        const v16 sum = v16_set1(t->sum[i]);
        for (int64_t j = 0; j < d; j += V16) {
            const int n = v16_left(d, j);
            const v16 o = v16_load_n(t->o + i * d + j, n);
            v16_store_n(y + at * d + j, v16_div(o, sum), n);
        }
        if (lse != NULL)
            lse[at] = t->max[i] + vm_log(t->sum[i]);
    }
}

struct fwd {
    float *y, *lse;
    const float *q, *cache;
    const struct attn_batch *a;
};

static void run_tile(const struct fwd *f, const struct attn_lines *lines, int64_t first,
                     float *scratch)
{
    const int64_t d = lines->head_dim;
    struct tile t = {.lines = lines,
                     .first = first,
                     .n = lines->n - first < ATTN_LINES ? lines->n - first : ATTN_LINES,
                     .scale = f->a->scale,
                     .p = scratch,
                     .q = scratch + ATTN_LINES * KV_BLOCK};
    t.o = t.q + ATTN_LINES * d;
    for (int64_t i = 0; i < t.n; i++) {
        t.max[i] = -INFINITY;
        t.sum[i] = 0;
    }
    memset(t.o, 0, (size_t)(t.n * d) * sizeof(float));
    attn_pack(t.q, f->q, f->a->ld_q, lines, first, t.n);
    const int64_t end = attn_last_key(lines, first + t.n - 1) / KV_BLOCK + 1;
    for (int64_t b = attn_first_key(lines, first) / KV_BLOCK; b < end; b++)
        tile_block(&t, f->cache + attn_block(lines, b), b);
    finish_tile(&t, f->y, f->lse, f->a->n_heads);
}

/* One thread's share: tiles are numbered, and it takes the next number when free. */
static void run_share(const struct fwd *f, int64_t *next, float *scratch)
{
    int64_t number = 0, mine;
#pragma omp atomic capture
    mine = (*next)++;
    for (int64_t s = 0; s < f->a->n_seqs; s++)
        for (int64_t g = 0; g < f->a->n_kv_heads; g++) {
            const struct attn_lines lines = attn_lines(f->a, s, g);
            for (int64_t i = 0; i < lines.n; i += ATTN_LINES) {
                if (number++ != mine)
                    continue;
                run_tile(f, &lines, i, scratch);
#pragma omp atomic capture
                mine = (*next)++;
            }
        }
}

void CPU_NAME(attn_fwd)(struct backend *b, float *y, float *lse, const float *q,
                        const float *cache, const struct attn_batch *a)
{
    attn_check(a);
    const struct fwd f = {.y = y, .lse = lse, .q = q, .cache = cache, .a = a};
    const int64_t flops = 4 * a->n_rows * a->n_heads * a->head_dim * KV_BLOCK;
    const size_t scratch = (size_t)(ATTN_LINES * (KV_BLOCK + 2 * a->head_dim)) *
                           sizeof(float);
    int64_t next = 0;
#pragma omp parallel num_threads(cpu_team(b, flops))
    run_share(&f, &next, cpu_scratch(b, omp_get_thread_num(), scratch));
}
