/*
 * Cases for the attention tests: groups of sequences over shuffled pages, the first
 * pages of a group shared, every slot that no row may see NaN. And the scalar reading
 * of the contract: where a key or value lies, what a row sees.
 */
#ifndef TESTS_CPU_ATTN_CASE_H
#define TESTS_CPU_ATTN_CASE_H

#include "tests/cpu/op_check.h"

enum { CASE_MAX_SEQS = 64, CASE_MAX_PAGES = 512, CASE_PAGES = 67 };

struct attn_spec {
    int64_t n_heads, n_kv_heads, head_dim, window;
    int64_t n_groups, per_group;    /* sequences in a group */
    int64_t shared_pages, max_rows; /* rows of a sequence: 0 .. max_rows */
    int64_t max_first;              /* its first position: shared + 0 .. max_first */
    bool has_prompt;                /* a group's first sequence starts at 0 */
};

struct attn_case {
    struct attn_batch a;
    int32_t *row_off, *first_pos, *page_off, *pages, *group_off;
    int32_t *alone; /* lists of a batch of one sequence, see case_alone */
    int64_t n_pages, cache_floats;
    float *q, *cache, *y, *lse, *dy, *dq, *dcache;
};

OP_FN int64_t case_first_key(const struct attn_batch *a, int64_t pos)
{
    return a->window > 0 && pos - a->window + 1 > 0 ? pos - a->window + 1 : 0;
}

/* Element d of head g's key or value at position t of sequence s */
OP_FN int64_t case_at(const struct attn_batch *a, int64_t s, int64_t t, int64_t g,
                      bool is_value, int64_t d)
{
    const int64_t page = a->pages[a->page_off[s] + t / KV_BLOCK], slot = t % KV_BLOCK;
    const int64_t head = (page * a->n_kv_heads + g) * 2 * a->head_dim * KV_BLOCK;
    return is_value ? head + (KV_BLOCK + slot) * a->head_dim + d
                    : head + d * KV_BLOCK + slot;
}

OP_FN void case_fill(struct attn_case *c, int64_t s, float (*value)(void))
{
    const struct attn_batch *const a = &c->a;
    const int64_t n = a->row_off[s + 1] - a->row_off[s];
    if (n == 0)
        return;
    const int64_t last = a->first_pos[s] + n - 1;
    for (int64_t t = case_first_key(a, a->first_pos[s]); t <= last; t++)
        for (int64_t i = 0; i < a->n_kv_heads * a->head_dim; i++) {
            const int64_t g = i / a->head_dim, d = i % a->head_dim;
            const int64_t k = case_at(a, s, t, g, false, d);
            const int64_t v = case_at(a, s, t, g, true, d);
            if (!isnan(c->cache[k]))
                continue; /* shared, already there */
            c->cache[k] = value();
            c->cache[v] = value();
            c->dcache[k] = value();
            c->dcache[v] = value();
        }
}

OP_FN void case_layout(struct attn_case *c, const struct attn_spec *p)
{
    int64_t s = 0, rows = 0, n = 0;
    for (int64_t g = 0; g < p->n_groups; g++) {
        const int64_t shared = c->n_pages;
        c->n_pages += p->shared_pages;
        for (int64_t i = 0; i < p->per_group; i++, s++) {
            const bool is_prompt = p->has_prompt && i == 0;
            const int64_t first =
                is_prompt ? 0 : p->shared_pages * KV_BLOCK + op_below(p->max_first + 1);
            const bool is_last = g == p->n_groups - 1 && i == p->per_group - 1;
            int64_t m = is_prompt ? p->shared_pages * KV_BLOCK
                                  : op_below(p->max_rows + 1);
            if (is_last && rows + m == 0 && p->max_rows > 0)
                m = 1; /* a case without rows tests nothing */
            const int64_t n_used = (first + m + KV_BLOCK - 1) / KV_BLOCK;
            c->first_pos[s] = (int32_t)first;
            rows += m;
            c->row_off[s + 1] = (int32_t)rows;
            for (int64_t j = 0; j < n_used; j++)
                c->pages[n++] = (int32_t)(j < p->shared_pages ? shared + j
                                                              : c->n_pages++);
            c->page_off[s + 1] = (int32_t)n;
            assert_true(s < CASE_MAX_SEQS && n <= CASE_MAX_PAGES);
        }
        c->group_off[g + 1] = (int32_t)s;
    }
    assert_true(c->n_pages <= CASE_PAGES);
    c->n_pages = CASE_PAGES;
    for (int64_t i = 0; i < n; i++) /* a permutation, since CASE_PAGES is prime */
        c->pages[i] = c->pages[i] * 7 % CASE_PAGES;
}

OP_FN void case_init(struct attn_case *c, const struct attn_spec *p,
                     float (*value)(void))
{
    op_seed((uint64_t)(p->n_heads * 100 + p->head_dim + p->max_rows * 7 + p->window));
    memset(c, 0, sizeof(*c));
    c->row_off = op_ints(CASE_MAX_SEQS + 1);
    c->first_pos = op_ints(CASE_MAX_SEQS);
    c->page_off = op_ints(CASE_MAX_SEQS + 1);
    c->pages = op_ints(CASE_MAX_PAGES);
    c->group_off = op_ints(CASE_MAX_SEQS + 1);
    c->alone = op_ints(7);
    c->row_off[0] = c->page_off[0] = c->group_off[0] = 0;
    case_layout(c, p);
    const int64_t n_seqs = p->n_groups * p->per_group, rows = c->row_off[n_seqs];
    c->a = (struct attn_batch){.n_rows = rows,
                               .n_seqs = n_seqs,
                               .n_groups = p->n_groups,
                               .n_pages = c->page_off[n_seqs],
                               .n_heads = p->n_heads,
                               .n_kv_heads = p->n_kv_heads,
                               .head_dim = p->head_dim,
                               .window = p->window,
                               .ld_q = (p->n_heads + 1) * p->head_dim + 3,
                               .scale = 0.4f,
                               .row_off = c->row_off,
                               .first_pos = c->first_pos,
                               .page_off = c->page_off,
                               .pages = c->pages,
                               .group_off = c->group_off};
    c->cache_floats = c->n_pages * 2 * p->n_kv_heads * p->head_dim * KV_BLOCK;
    c->q = op_filled(rows * c->a.ld_q, value);
    c->dq = op_filled(rows * c->a.ld_q, value);
    c->cache = op_floats(c->cache_floats); /* NaN */
    c->dcache = op_floats(c->cache_floats);
    c->y = op_floats(rows * p->n_heads * p->head_dim);
    c->dy = op_filled(rows * p->n_heads * p->head_dim, value);
    c->lse = op_floats(rows * p->n_heads);
    for (int64_t s = 0; s < n_seqs; s++)
        case_fill(c, s, value);
}

OP_FN int64_t case_seq_of(const struct attn_batch *a, int64_t row)
{
    int64_t s = 0;
    while (a->row_off[s + 1] <= row)
        s++;
    return s;
}

OP_FN int64_t case_pos(const struct attn_batch *a, int64_t row)
{
    const int64_t s = case_seq_of(a, row);
    return a->first_pos[s] + row - a->row_off[s];
}

OP_FN void case_fwd(struct backend *b, void *arg)
{
    const struct attn_case *const c = arg;
    b->attn_fwd(b, c->y, c->lse, c->q, c->cache, &c->a);
}

OP_FN void case_bwd(struct backend *b, void *arg)
{
    const struct attn_case *const c = arg;
    b->attn_bwd(b, c->dq, c->dcache, c->dy, c->y, c->lse, c->q, c->cache, &c->a);
}

/* A batch of n rows of one sequence, the first at position `first` */
OP_FN void case_alone(struct attn_batch *a, const struct attn_case *c, int64_t n,
                      int64_t first, const int32_t *pages)
{
    int32_t *const row_off = c->alone, *const first_pos = row_off + 2;
    int32_t *const page_off = first_pos + 1, *const group_off = page_off + 2;
    row_off[0] = page_off[0] = group_off[0] = 0;
    row_off[1] = (int32_t)n;
    first_pos[0] = (int32_t)first;
    page_off[1] = (int32_t)((first + n - 1) / KV_BLOCK + 1);
    group_off[1] = 1;
    *a = c->a;
    a->n_rows = n;
    a->n_seqs = a->n_groups = 1;
    a->n_pages = page_off[1];
    a->row_off = row_off;
    a->first_pos = first_pos;
    a->page_off = page_off;
    a->pages = pages;
    a->group_off = group_off;
}

OP_FN int64_t case_y_floats(const struct attn_case *c)
{
    return c->a.n_rows * c->a.n_heads * c->a.head_dim;
}

static const struct attn_spec attn_specs[] __attribute__((unused)) = {
    {1, 1, 8, 0, 1, 4, 0, 1, 0, false},     /* at most one row */
    {2, 2, 16, 0, 1, 3, 0, 70, 0, false},   /* from 0, across a page */
    {4, 2, 20, 0, 2, 3, 1, 40, 30, true},   /* grouped heads, shared prompt, odd dim */
    {6, 1, 64, 0, 1, 2, 2, 30, 70, false},  /* one kv head, long prefix */
    {2, 1, 33, 10, 2, 2, 1, 90, 70, false}, /* window inside a block */
    {3, 3, 16, 100, 1, 3, 3, 150, 9, true}, /* window over blocks */
    {2, 2, 80, 1, 1, 2, 0, 70, 5, false},   /* sees itself only */
    {8, 8, 64, 0, 4, 4, 0, 1, 200, false},  /* decode */
    {1, 1, 300, 64, 1, 3, 1, 70, 1, false}, /* wide head, window = block */
};

#endif
