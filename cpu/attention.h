/*
 * Private to attention*.c: the lines of a batch, and the small product under all of it.
 *
 * A line is one query head of one row. The lines of a sequence that read kv head g are
 * numbered row by row: line i is row i / per_kv, query head g * per_kv + i % per_kv,
 * so a tile of lines shares keys and values whether they come from many rows (learner,
 * prefill) or from the query heads of one row (decode). What a line sees of a block of
 * keys is a range of slots; nothing outside it may reach the line's result, since other
 * slots may hold anything.
 */
#ifndef CPU_ATTENTION_H
#define CPU_ATTENTION_H

#include <stdbool.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

enum { ATTN_LINES = 24, ATTN_ROWS = 6, ATTN_MAX_HEAD_DIM = 512 };

/* The lines of one sequence on one kv head */
struct attn_lines {
    int64_t n, per_kv;
    int64_t row0, head0; /* row of line 0 in the batch, first query head */
    int64_t first_pos, window, head_dim;
    const int32_t *pages;       /* of the sequence */
    int64_t page_floats, k_off; /* of a page; from its start to this head's keys */
};

/* Slots [begin, end) of a block that a line sees; empty: begin >= end */
struct attn_range {
    int64_t begin, end;
};

static inline struct attn_lines attn_lines(const struct attn_batch *a, int64_t seq,
                                           int64_t g)
{
    const int64_t per_kv = a->n_heads / a->n_kv_heads;
    return (struct attn_lines){.n = (a->row_off[seq + 1] - a->row_off[seq]) * per_kv,
                               .per_kv = per_kv,
                               .row0 = a->row_off[seq],
                               .head0 = g * per_kv,
                               .first_pos = a->first_pos[seq],
                               .window = a->window,
                               .head_dim = a->head_dim,
                               .pages = a->pages + a->page_off[seq],
                               .page_floats = 2 * a->n_kv_heads * a->head_dim *
                                              KV_BLOCK,
                               .k_off = 2 * g * a->head_dim * KV_BLOCK};
}

static inline int64_t attn_row(const struct attn_lines *s, int64_t line)
{
    return s->row0 + line / s->per_kv;
}

static inline int64_t attn_head(const struct attn_lines *s, int64_t line)
{
    return s->head0 + line % s->per_kv;
}

static inline int64_t attn_last_key(const struct attn_lines *s, int64_t line)
{
    return s->first_pos + line / s->per_kv;
}

static inline int64_t attn_first_key(const struct attn_lines *s, int64_t line)
{
    const int64_t first = attn_last_key(s, line) - s->window + 1;
    return s->window > 0 && first > 0 ? first : 0;
}

static inline struct attn_range attn_visible(const struct attn_lines *s, int64_t line,
                                             int64_t block)
{
    const int64_t first = attn_first_key(s, line) - block * KV_BLOCK;
    const int64_t end = attn_last_key(s, line) + 1 - block * KV_BLOCK;
    return (struct attn_range){.begin = first > 0 ? first : 0,
                               .end = end < KV_BLOCK ? end : KV_BLOCK};
}

/* Vectors of slots up to the last that is seen: ends do not decrease from line to line,
 * so the last line's is the tile's. */
static inline int attn_vectors(const struct attn_range *last)
{
    return (int)((last->end + V16 - 1) / V16);
}

/* floats from the cache's start to a block's keys (head_dim, KV_BLOCK); its values
 * (KV_BLOCK, head_dim) follow */
static inline int64_t attn_block(const struct attn_lines *s, int64_t block)
{
    return s->pages[block] * s->page_floats + s->k_off;
}

/* Lines first .. first + n - 1 out of rows ld apart, side by side into `to` */
static inline void attn_pack(float *to, const float *rows, int64_t ld,
                             const struct attn_lines *s, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * s->head_dim,
               rows + attn_row(s, first + i) * ld +
                   attn_head(s, first + i) * s->head_dim,
               (size_t)s->head_dim * sizeof(float));
}

static inline void attn_check(const struct attn_batch *a)
{
    CHECK(a->head_dim >= 1 && a->head_dim <= ATTN_MAX_HEAD_DIM, "head_dim %lld",
          (long long)a->head_dim);
    CHECK(a->n_kv_heads >= 1 && a->n_heads % a->n_kv_heads == 0,
          "%lld heads on %lld kv heads", (long long)a->n_heads,
          (long long)a->n_kv_heads);
}

/* Vector v of a line's 64 slots, with -inf or 0 (`other`) outside what it sees: a
 * selection, since what lies there may be NaN. */
V16_FN v16 attn_mask(v16 x, int v, const struct attn_range *seen, float other)
{
    static const float slots[V16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                     8, 9, 10, 11, 12, 13, 14, 15};
    const v16 slot = v16_add(v16_load(slots), v16_set1((float)(v * V16)));
    const v16 begin = v16_set1((float)seen->begin - 0.5f);
    const v16 end = v16_set1((float)seen->end - 0.5f);
    const v16 out = v16_set1(other);
    return v16_select_gt(slot, begin, v16_select_gt(end, slot, x, out), out);
}

/*
 * c[r, j] += sum over s ascending of a[r * a_row + s * a_step] * b[s * ld_b + j], one
 * chain per element; from_zero: c = the sum.
 */
struct attn_product {
    float *c;
    const float *a, *b;
    int64_t ld_c, a_row, a_step, ld_b;
    int64_t n_rows, n_cols, n_steps;
    bool from_zero;
};

void CPU_NAME(attn_product_run)(const struct attn_product *p);

/* c[line] += sum of p[line, j] b[j] over the slots j that the line sees, ascending;
 * p (n, KV_BLOCK), b (KV_BLOCK, head_dim), c rows ld_c apart */
void CPU_NAME(attn_add_visible)(float *c, int64_t ld_c, const float *p, const float *b,
                                const struct attn_range *seen, int64_t n,
                                int64_t head_dim);

#endif
