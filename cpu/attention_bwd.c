/*
 * Attention backward, from the lse of the forward. Per line and visible slot j:
 *   p_j = exp(scale <q, k_j> - lse),  D = <dy, y>,  ds_j = scale p_j (<dy, v_j> - D)
 *   dq = sum ds_j k_j (j ascending),  dk_j += ds_j q,  dv_j += p_j dy (lines
 * ascending). A task is a group of sequences and a kv head, hence the one writer of its
 * part of the pages: sequences in order, in each the blocks of keys upwards, and in a
 * block the lines that see any of it, in tiles. V and K of a block are transposed once
 * for all its lines, so that every product has its columns along memory. dq's chain
 * lies in dq. Slots that no line of a tile sees are left alone; a slot seen by only
 * some of the lines gets 0 from the others.
 */
#include "cpu/attention.h"
#include "cpu/gemm_transpose.h"

#include <omp.h>

struct bwd {
    float *dq, *dcache;
    const float *dy, *y, *lse, *q, *cache;
    const struct attn_batch *a;
};

/* One block of keys and the scratch of a task; d = head_dim */
struct block {
    const struct bwd *f;
    const struct attn_lines *lines;
    int64_t number;
    const float *keys;  /* (d, KV_BLOCK), then values (KV_BLOCK, d) */
    float *dkeys;       /* as keys, the gradient */
    float *vt;          /* (d, KV_BLOCK) */
    float *k;           /* (KV_BLOCK, d) */
    float *q, *dy, *dq; /* (ATTN_LINES, d) */
    float *p, *ds;      /* (ATTN_LINES, KV_BLOCK) */
};

static size_t scratch_bytes(int64_t d)
{
    const int64_t n = 2 * KV_BLOCK * d + 3 * ATTN_LINES * d + 2 * ATTN_LINES * KV_BLOCK;
    return (size_t)n * sizeof(float);
}

/* to (n_cols, n_rows) = from (n_rows, n_cols); a corner of 16 x 16 at a time, what is
 * left of rows and columns one by one */
static void transpose_corner(float *to, const float *from, int64_t n_rows,
                             int64_t n_cols)
{
    v16 t[V16];
#pragma GCC unroll 16
    for (int l = 0; l < V16; l++)
        t[l] = v16_load(from + l * n_cols);
    v16_transpose(t);
#pragma GCC unroll 16
    for (int l = 0; l < V16; l++)
        v16_store(to + l * n_rows, t[l]);
}

static void transpose(float *to, const float *from, int64_t n_rows, int64_t n_cols)
{
    const int64_t full_rows = n_rows / V16 * V16, full_cols = n_cols / V16 * V16;
    for (int64_t i = 0; i < full_rows; i += V16)
        for (int64_t j = 0; j < full_cols; j += V16)
            transpose_corner(to + j * n_rows + i, from + i * n_cols + j, n_rows,
                             n_cols);
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = i < full_rows ? full_cols : 0; j < n_cols; j++)
            to[j * n_rows + i] = from[i * n_cols + j];
}

static float dot(const float *a, const float *b, int64_t n)
{
    v16 acc = v16_zero();
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        acc = v16_fma(v16_load_n(a + i, left), v16_load_n(b + i, left), acc);
    }
    return v16_sum(acc);
}

/* p and ds hold <q, k_j> and <dy, v_j> on entry. */
static void score_line(const struct block *b, int64_t line, int64_t i,
                       const struct attn_range *seen, int n_vectors)
{
    const struct bwd *const f = b->f;
    const int64_t d = b->lines->head_dim;
    const int64_t at = attn_row(b->lines, line) * f->a->n_heads +
                       attn_head(b->lines, line);
    const v16 sum = v16_set1(dot(b->dy + i * d, f->y + at * d, d));
    const v16 scale = v16_set1(f->a->scale), lse = v16_set1(f->lse[at]);
    float *const p = b->p + i * KV_BLOCK, *const ds = b->ds + i * KV_BLOCK;
    const bool is_full = seen->begin == 0 && seen->end == KV_BLOCK;
    for (int v = 0; v < n_vectors; v++) {
        const v16 s = v16_mul(v16_load(p + v * V16), scale);
        const v16 prob = v16_exp(v16_sub(s, lse));
        const v16 dp = v16_sub(v16_load(ds + v * V16), sum);
        const v16 grad = v16_mul(v16_mul(prob, dp), scale);
        v16_store(p + v * V16, is_full ? prob : attn_mask(prob, v, seen, 0.0f));
        v16_store(ds + v * V16, is_full ? grad : attn_mask(grad, v, seen, 0.0f));
    }
}

/* c (n, KV_BLOCK), the first n_vectors, = lines (n, d) times b (d, KV_BLOCK) */
static void line_products(float *c, const float *lines, const float *b, int64_t n,
                          int64_t d, int n_vectors)
{
    const struct attn_product p = {.c = c,
                                   .a = lines,
                                   .b = b,
                                   .ld_c = KV_BLOCK,
                                   .a_row = d,
                                   .a_step = 1,
                                   .ld_b = KV_BLOCK,
                                   .n_rows = n,
                                   .n_cols = n_vectors * V16,
                                   .n_steps = d,
                                   .from_zero = true};
    CPU_NAME(attn_product_run)(&p);
}

/* dV rows and dK columns of slots [begin, end) from n lines */
static void add_slots(const struct block *b, int64_t n, int64_t begin, int64_t end)
{
    const int64_t d = b->lines->head_dim;
    const struct attn_product dv = {.c = b->dkeys + (KV_BLOCK + begin) * d,
                                    .a = b->p + begin,
                                    .b = b->dy,
                                    .ld_c = d,
                                    .a_row = 1,
                                    .a_step = KV_BLOCK,
                                    .ld_b = d,
                                    .n_rows = end - begin,
                                    .n_cols = d,
                                    .n_steps = n};
    const struct attn_product dk = {.c = b->dkeys + begin,
                                    .a = b->q,
                                    .b = b->ds + begin,
                                    .ld_c = KV_BLOCK,
                                    .a_row = 1,
                                    .a_step = d,
                                    .ld_b = KV_BLOCK,
                                    .n_rows = d,
                                    .n_cols = end - begin,
                                    .n_steps = n};
    CPU_NAME(attn_product_run)(&dv);
    CPU_NAME(attn_product_run)(&dk);
}

static void unpack(const struct block *b, int64_t first, int64_t n)
{
    const int64_t d = b->lines->head_dim;
    for (int64_t i = 0; i < n; i++)
        memcpy(b->f->dq + attn_row(b->lines, first + i) * b->f->a->ld_q +
                   attn_head(b->lines, first + i) * d,
               b->dq + i * d, (size_t)d * sizeof(float));
}

/* n <= ATTN_LINES lines that all see some of the block */
static void tile_bwd(const struct block *b, int64_t first, int64_t n)
{
    const struct bwd *const f = b->f;
    const int64_t d = b->lines->head_dim;
    attn_pack(b->q, f->q, f->a->ld_q, b->lines, first, n);
    attn_pack(b->dy, f->dy, f->a->n_heads * d, b->lines, first, n);
    attn_pack(b->dq, f->dq, f->a->ld_q, b->lines, first, n);
    struct attn_range seen[ATTN_LINES];
    for (int64_t i = 0; i < n; i++)
        seen[i] = attn_visible(b->lines, first + i, b->number);
    const int n_vectors = attn_vectors(&seen[n - 1]);
    line_products(b->p, b->q, b->keys, n, d, n_vectors);
    line_products(b->ds, b->dy, b->vt, n, d, n_vectors);
    for (int64_t i = 0; i < n; i++)
        score_line(b, first + i, i, &seen[i], n_vectors);
    CPU_NAME(attn_add_visible)(b->dq, d, b->ds, b->k, seen, n, d);
    unpack(b, first, n);
    add_slots(b, n, seen[0].begin, seen[n - 1].end);
}

static void block_bwd(const struct block *b)
{
    const int64_t d = b->lines->head_dim;
    int64_t first = 0, end = b->lines->n;
    while (first < end && attn_last_key(b->lines, first) < b->number * KV_BLOCK)
        first++;
    while (first < end &&
           attn_first_key(b->lines, end - 1) >= (b->number + 1) * KV_BLOCK)
        end--;
    if (first == end)
        return;
    transpose(b->k, b->keys, d, KV_BLOCK);
    transpose(b->vt, b->keys + d * KV_BLOCK, KV_BLOCK, d);
    for (int64_t i = first; i < end; i += ATTN_LINES)
        tile_bwd(b, i, end - i < ATTN_LINES ? end - i : ATTN_LINES);
}

static void sequence_bwd(const struct bwd *f, int64_t seq, int64_t g, float *scratch)
{
    const struct attn_lines lines = attn_lines(f->a, seq, g);
    const int64_t d = lines.head_dim;
    if (lines.n == 0)
        return;
    for (int64_t i = 0; i < lines.n; i++)
        memset(f->dq + attn_row(&lines, i) * f->a->ld_q + attn_head(&lines, i) * d, 0,
               (size_t)d * sizeof(float));
    struct block b = {.f = f, .lines = &lines, .vt = scratch};
    b.k = b.vt + KV_BLOCK * d;
    b.q = b.k + KV_BLOCK * d;
    b.dy = b.q + ATTN_LINES * d;
    b.dq = b.dy + ATTN_LINES * d;
    b.p = b.dq + ATTN_LINES * d;
    b.ds = b.p + ATTN_LINES * KV_BLOCK;
    const int64_t end = attn_last_key(&lines, lines.n - 1) / KV_BLOCK + 1;
    b.number = attn_first_key(&lines, 0) / KV_BLOCK;
    for (; b.number < end; b.number++) {
        b.keys = f->cache + attn_block(&lines, b.number);
        b.dkeys = f->dcache + attn_block(&lines, b.number);
        block_bwd(&b);
    }
}

void CPU_NAME(attn_bwd)(struct backend *b, float *dq, float *dcache, const float *dy,
                        const float *y, const float *lse, const float *q,
                        const float *cache, const struct attn_batch *a)
{
    attn_check(a);
    const struct bwd f = {.dq = dq,
                          .dcache = dcache,
                          .dy = dy,
                          .y = y,
                          .lse = lse,
                          .q = q,
                          .cache = cache,
                          .a = a};
    const int64_t flops = 10 * a->n_rows * a->n_heads * a->head_dim * KV_BLOCK;
    const int64_t n_tasks = a->n_groups * a->n_kv_heads;
#pragma omp parallel for num_threads(cpu_team(b, flops)) schedule(dynamic, 1)
    for (int64_t t = 0; t < n_tasks; t++) {
        const int64_t group = t / a->n_kv_heads, g = t % a->n_kv_heads;
        float *const scratch = cpu_scratch(b, omp_get_thread_num(),
                                           scratch_bytes(a->head_dim));
        for (int64_t s = a->group_off[group]; s < a->group_off[group + 1]; s++)
            sequence_bwd(&f, s, g, scratch);
    }
}
