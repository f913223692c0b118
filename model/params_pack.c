/*
 * Values between a piece's plain rows (n_rows, k) and its place in an arena. A packed
 * panel is the transpose of 32 rows, so the work goes through square tiles of 32 x 32
 * that stay in the first-level cache: one side reads and writes whole rows of a tile by
 * memcpy (plain rows need not be aligned), the other side is the panel's contiguous
 * memory. A row range may begin and end inside a panel; the lanes of other rows are not
 * touched, so pieces of one parameter can be moved by different threads.
 */
#include <stdbool.h>
#include <string.h>

#include "core/status.h"
#include "model/params.h"

enum { LANES = WEIGHT_PANEL, TILE = 32 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* n <= TILE values; src unaligned */
static void convert(void *dst, enum dtype dtype, const void *src, enum dtype src_dtype,
                    int64_t n)
{
    float wide[TILE], aligned[TILE];
    if (dtype == src_dtype) {
        memcpy(dst, src, (size_t)n * dtype_bytes(dtype));
        return;
    }
    memcpy(aligned, src, (size_t)n * dtype_bytes(src_dtype));
    dtype_widen(wide, aligned, src_dtype, n);
    dtype_narrow(dst, dtype, wide, n);
}

static void put_lanes_16(uint16_t *restrict panel, uint16_t rows[LANES][TILE],
                         int64_t lane0, int64_t n_lanes, int64_t n_cols)
{
    if (n_lanes == LANES && n_cols == TILE) {
        for (int i = 0; i < TILE; i++)
            for (int j = 0; j < LANES; j++)
                panel[i * LANES + j] = rows[j][i];
        return;
    }
    for (int64_t i = 0; i < n_cols; i++)
        for (int64_t j = 0; j < n_lanes; j++)
            panel[i * LANES + lane0 + j] = rows[j][i];
}

static void put_lanes_32(uint32_t *restrict panel, uint32_t rows[LANES][TILE],
                         int64_t lane0, int64_t n_lanes, int64_t n_cols)
{
    if (n_lanes == LANES && n_cols == TILE) {
        for (int i = 0; i < TILE; i++)
            for (int j = 0; j < LANES; j++)
                panel[i * LANES + j] = rows[j][i];
        return;
    }
    for (int64_t i = 0; i < n_cols; i++)
        for (int64_t j = 0; j < n_lanes; j++)
            panel[i * LANES + lane0 + j] = rows[j][i];
}

static void get_lanes_16(uint16_t rows[LANES][TILE], const uint16_t *restrict panel,
                         int64_t lane0, int64_t n_lanes, int64_t n_cols)
{
    if (n_lanes == LANES && n_cols == TILE) {
        for (int j = 0; j < LANES; j++)
            for (int i = 0; i < TILE; i++)
                rows[j][i] = panel[i * LANES + j];
        return;
    }
    for (int64_t j = 0; j < n_lanes; j++)
        for (int64_t i = 0; i < n_cols; i++)
            rows[j][i] = panel[i * LANES + lane0 + j];
}

static void get_lanes_32(uint32_t rows[LANES][TILE], const uint32_t *restrict panel,
                         int64_t lane0, int64_t n_lanes, int64_t n_cols)
{
    if (n_lanes == LANES && n_cols == TILE) {
        for (int j = 0; j < LANES; j++)
            for (int i = 0; i < TILE; i++)
                rows[j][i] = panel[i * LANES + j];
        return;
    }
    for (int64_t j = 0; j < n_lanes; j++)
        for (int64_t i = 0; i < n_cols; i++)
            rows[j][i] = panel[i * LANES + lane0 + j];
}

/* Rows of one panel: lanes lane0 .. lane0 + n_lanes - 1. */
struct span {
    int64_t lane0, n_lanes, k;
};

static void pack_panel(unsigned char *panel, enum dtype dtype, const unsigned char *src,
                       enum dtype src_dtype, const struct span *s)
{
    union {
        uint16_t h[LANES][TILE];
        uint32_t w[LANES][TILE];
    } rows;
    const size_t size = dtype_bytes(dtype), src_size = dtype_bytes(src_dtype);
    for (int64_t i = 0; i < s->k; i += TILE) {
        const int64_t n = min64(TILE, s->k - i);
        for (int64_t j = 0; j < s->n_lanes; j++) {
            void *const row = size == 2 ? (void *)rows.h[j] : (void *)rows.w[j];
            convert(row, dtype, src + (size_t)(j * s->k + i) * src_size, src_dtype, n);
        }
        void *const at = panel + (size_t)(i * LANES) * size;
        if (size == 2)
            put_lanes_16(at, rows.h, s->lane0, s->n_lanes, n);
        else
            put_lanes_32(at, rows.w, s->lane0, s->n_lanes, n);
    }
}

static void unpack_panel(unsigned char *dst, const unsigned char *panel,
                         enum dtype dtype, const struct span *s)
{
    union {
        uint16_t h[LANES][TILE];
        uint32_t w[LANES][TILE];
    } rows;
    const size_t size = dtype_bytes(dtype);
    for (int64_t i = 0; i < s->k; i += TILE) {
        const int64_t n = min64(TILE, s->k - i);
        const void *const at = panel + (size_t)(i * LANES) * size;
        if (size == 2)
            get_lanes_16(rows.h, at, s->lane0, s->n_lanes, n);
        else
            get_lanes_32(rows.w, at, s->lane0, s->n_lanes, n);
        for (int64_t j = 0; j < s->n_lanes; j++)
            memcpy(dst + (size_t)(j * s->k + i) * size,
                   size == 2 ? (const void *)rows.h[j] : (const void *)rows.w[j],
                   (size_t)n * size);
    }
}

/* Outputs past n are zero in every arena; whoever packs the last row sees to it. */
static void clear_padding(unsigned char *panel, size_t size, const struct span *s)
{
    const size_t lane = (size_t)(s->lane0 + s->n_lanes);
    for (int64_t i = 0; i < s->k && lane < LANES; i++)
        memset(panel + ((size_t)i * LANES + lane) * size, 0, (LANES - lane) * size);
}

/* Where the piece's row `row` begins, rounded down to its panel. */
static size_t arena_offset(const struct param *p, int64_t mat, int64_t row)
{
    const int64_t first = p->layout == WEIGHT_PACKED ? row / LANES * LANES : row;
    return (size_t)(p->off + weight_index(p->layout, p->n, p->k, mat, first, 0));
}

static struct span span_at(const struct piece *p, int64_t row)
{
    const int64_t lane0 = row % LANES, left = p->row0 + p->n_rows - row;
    return (struct span){lane0, min64(LANES - lane0, left), p->param->k};
}

void piece_pack(void *arena, enum dtype dtype, const void *src, enum dtype src_dtype,
                const struct piece *p)
{
    const struct param *const w = p->param;
    const size_t size = dtype_bytes(dtype), src_size = dtype_bytes(src_dtype);
    const unsigned char *from = src;
    if (w->layout == WEIGHT_PLAIN) {
        unsigned char *to = (unsigned char *)arena +
                            arena_offset(w, p->mat, p->row0) * size;
        const int64_t n = p->n_rows * w->k;
        if (dtype == src_dtype)
            memcpy(to, from, (size_t)n * size);
        for (int64_t i = 0; i < n && dtype != src_dtype; i += TILE)
            convert(to + (size_t)i * size, dtype, from + (size_t)i * src_size,
                    src_dtype, min64(TILE, n - i));
        return;
    }
    for (int64_t row = p->row0; row < p->row0 + p->n_rows;) {
        const struct span s = span_at(p, row);
        unsigned char *const panel = (unsigned char *)arena +
                                     arena_offset(w, p->mat, row) * size;
        pack_panel(panel, dtype, from, src_dtype, &s);
        row += s.n_lanes;
        from += (size_t)(s.n_lanes * s.k) * src_size;
        if (row == w->n)
            clear_padding(panel, size, &s);
    }
}

void piece_unpack(void *dst, const void *arena, enum dtype dtype, const struct piece *p)
{
    const struct param *const w = p->param;
    const size_t size = dtype_bytes(dtype);
    const unsigned char *const base = arena;
    unsigned char *to = dst;
    if (w->layout == WEIGHT_PLAIN) {
        memcpy(to, base + arena_offset(w, p->mat, p->row0) * size,
               (size_t)(p->n_rows * w->k) * size);
        return;
    }
    for (int64_t row = p->row0; row < p->row0 + p->n_rows;) {
        const struct span s = span_at(p, row);
        unpack_panel(to, base + arena_offset(w, p->mat, row) * size, dtype, &s);
        row += s.n_lanes;
        to += (size_t)(s.n_lanes * s.k) * size;
    }
}

void piece_fetch(void *dst, struct backend *b, const void *arena, enum dtype dtype,
                 const struct piece *p)
{
    const struct param *const w = p->param;
    const size_t size = dtype_bytes(dtype);
    if (b == NULL || b->is_host) {
        piece_unpack(dst, arena, dtype, p);
        return;
    }
    CHECK(w->layout == WEIGHT_PLAIN, "%s: packed in a device's memory", p->name);
    b->download(b, dst,
                (const unsigned char *)arena + arena_offset(w, p->mat, p->row0) * size,
                (size_t)(p->n_rows * w->k) * size);
}
