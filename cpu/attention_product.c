/*
 * The product under attention, forward and backward: a register tile of up to ATTN_ROWS
 * rows by up to 64 columns (AVX-512) or 16 (AVX2), one fma chain per element. An
 * element's chain does not depend on the tile it is in.
 */
#include "cpu/attention.h"

#if defined(__AVX512F__)
enum { MAX_VECTORS = 4 };
#else
enum { MAX_VECTORS = 1 };
#endif

/* n_rows and n_vectors are constants where this is called: acc stays in registers. The
 * last vector holds `last` columns. */
V16_FN void tile(const struct attn_product *p, int64_t row, int64_t col, int n_rows,
                 int n_vectors, int last)
{
    v16 acc[ATTN_ROWS][MAX_VECTORS];
    float *const c = p->c + row * p->ld_c + col;
    const float *const a = p->a + row * p->a_row;
    const float *const b = p->b + col;
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++)
            acc[r][v] = p->from_zero ? v16_zero()
                        : v == n_vectors - 1
                            ? v16_load_n(c + r * p->ld_c + v * V16, last)
                            : v16_load(c + r * p->ld_c + v * V16);
    for (int64_t s = 0; s < p->n_steps; s++) {
        v16 x[MAX_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++)
            x[v] = v == n_vectors - 1 && last < V16
                       ? v16_load_n(b + s * p->ld_b + v * V16, last)
                       : v16_load(b + s * p->ld_b + v * V16);
#pragma GCC unroll 6
        for (int r = 0; r < n_rows; r++) {
            const v16 w = v16_set1(a[r * p->a_row + s * p->a_step]);
#pragma GCC unroll 4
            for (int v = 0; v < n_vectors; v++)
                acc[r][v] = v16_fma(w, x[v], acc[r][v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++)
            if (v == n_vectors - 1)
                v16_store_n(c + r * p->ld_c + v * V16, acc[r][v], last);
            else
                v16_store(c + r * p->ld_c + v * V16, acc[r][v]);
}

#if defined(__AVX2__)

/* All rows of one stripe of columns */
V16_FN void stripe(const struct attn_product *p, int64_t col, int n_vectors, int last)
{
    int64_t row = 0;
    for (; row + ATTN_ROWS <= p->n_rows; row += ATTN_ROWS)
        tile(p, row, col, ATTN_ROWS, n_vectors, last);
    switch (p->n_rows - row) {
    case 5:
        tile(p, row, col, 5, n_vectors, last);
        break;
    case 4:
        tile(p, row, col, 4, n_vectors, last);
        break;
    case 3:
        tile(p, row, col, 3, n_vectors, last);
        break;
    case 2:
        tile(p, row, col, 2, n_vectors, last);
        break;
    case 1:
        tile(p, row, col, 1, n_vectors, last);
        break;
    }
}

#else

/* No registers to fill: row by row */
V16_FN void stripe(const struct attn_product *p, int64_t col, int n_vectors, int last)
{
    for (int64_t row = 0; row < p->n_rows; row++)
        tile(p, row, col, 1, n_vectors, last);
}

#endif

/* One function each, so that the tiles are compiled once */
static void stripe_1(const struct attn_product *p, int64_t col)
{
    stripe(p, col, 1, V16);
}

static void stripe_part(const struct attn_product *p, int64_t col, int last)
{
    stripe(p, col, 1, last);
}

#if defined(__AVX512F__)

static void stripe_4(const struct attn_product *p, int64_t col)
{
    stripe(p, col, 4, V16);
}

static void stripe_3(const struct attn_product *p, int64_t col)
{
    stripe(p, col, 3, V16);
}

static void stripe_2(const struct attn_product *p, int64_t col)
{
    stripe(p, col, 2, V16);
}

/* The columns that fill vectors; returns how many */
static int64_t full_stripes(const struct attn_product *p)
{
    int64_t col = 0;
    for (; col + 4 * V16 <= p->n_cols; col += 4 * V16)
        stripe_4(p, col);
    const int64_t left = (p->n_cols - col) / V16;
    if (left == 3)
        stripe_3(p, col);
    else if (left == 2)
        stripe_2(p, col);
    else if (left == 1)
        stripe_1(p, col);
    return col + left * V16;
}

#else

static int64_t full_stripes(const struct attn_product *p)
{
    int64_t col = 0;
    for (; col + V16 <= p->n_cols; col += V16)
        stripe_1(p, col);
    return col;
}

#endif

void CPU_NAME(attn_product_run)(const struct attn_product *p)
{
    const int64_t col = full_stripes(p);
    if (col < p->n_cols)
        stripe_part(p, col, (int)(p->n_cols - col));
}

/*
 * Lines see ranges whose ends do not decrease with the line. The slots that all lines
 * of a tile see go through the product together; what a line sees before and after
 * them, alone, so that a slot outside a line's range is never multiplied, not even by
 * 0.
 */
static void add_tile(const struct attn_product *whole, const struct attn_range *seen)
{
    int64_t begin = 0, end = KV_BLOCK;
    for (int64_t i = 0; i < whole->n_rows; i++) {
        begin = seen[i].begin > begin ? seen[i].begin : begin;
        end = seen[i].end < end ? seen[i].end : end;
    }
    const bool is_shared = begin < end && whole->n_rows > 1;
    for (int64_t i = 0; i < whole->n_rows; i++) {
        struct attn_product head = *whole;
        const int64_t stop = is_shared ? begin : seen[i].end;
        head.c += i * whole->ld_c;
        head.a += i * whole->a_row + seen[i].begin;
        head.b += seen[i].begin * whole->ld_b;
        head.n_rows = 1;
        head.n_steps = stop - seen[i].begin;
        if (head.n_steps > 0)
            CPU_NAME(attn_product_run)(&head);
    }
    if (!is_shared)
        return;
    struct attn_product middle = *whole;
    middle.a += begin;
    middle.b += begin * whole->ld_b;
    middle.n_steps = end - begin;
    CPU_NAME(attn_product_run)(&middle);
    for (int64_t i = 0; i < whole->n_rows; i++) {
        struct attn_product tail = *whole;
        tail.c += i * whole->ld_c;
        tail.a += i * whole->a_row + end;
        tail.b += end * whole->ld_b;
        tail.n_rows = 1;
        tail.n_steps = seen[i].end - end;
        if (tail.n_steps > 0)
            CPU_NAME(attn_product_run)(&tail);
    }
}

void CPU_NAME(attn_add_visible)(float *c, int64_t ld_c, const float *p, const float *b,
                                const struct attn_range *seen, int64_t n,
                                int64_t head_dim)
{
    for (int64_t i = 0; i < n; i += ATTN_ROWS) {
        const struct attn_product whole = {.c = c + i * ld_c,
                                           .a = p + i * KV_BLOCK,
                                           .b = b,
                                           .ld_c = ld_c,
                                           .a_row = KV_BLOCK,
                                           .a_step = 1,
                                           .ld_b = head_dim,
                                           .n_rows = n - i < ATTN_ROWS ? n - i
                                                                       : ATTN_ROWS,
                                           .n_cols = head_dim};
        add_tile(&whole, seen + i);
    }
}
