/*
 * Packs sources into an arena: in file order, a few MiB at a time, each range scanned
 * for values that are not finite, packed, and given back to the kernel, so that the
 * mapping never adds more than a few ranges to the arena's own memory. Threads share
 * the pieces; a fault is reported for the lowest piece, whichever thread met it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/weights_read.h"

enum { CHUNK_BYTES = 4 << 20, SCAN = 256 };

/* Magnitudes from this bit pattern on are infinite or NaN once rounded to dst. */
static int32_t bits_limit(enum dtype dst, enum dtype src)
{
    static const int32_t limits[3][3] = {
        /* from F32, BF16, F16 */
        [DTYPE_F32] = {0x7F800000, 0x7F80, 0x7C00},
        [DTYPE_BF16] = {0x7F7F8000, 0x7F80, 0x7C00},
        [DTYPE_F16] = {0x477FF000, 0x4780, 0x7C00},
    };
    return limits[dst][src];
}

static int32_t largest_32(const unsigned char *src, int64_t n)
{
    int32_t v[SCAN], largest = 0;
    memcpy(v, src, (size_t)n * sizeof(*v));
    for (int64_t i = 0; i < n; i++) {
        const int32_t magnitude = v[i] & 0x7FFFFFFF;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

static int32_t largest_16(const unsigned char *src, int64_t n)
{
    int16_t v[SCAN], largest = 0;
    memcpy(v, src, (size_t)n * sizeof(*v));
    for (int64_t i = 0; i < n; i++) {
        const int16_t magnitude = v[i] & 0x7FFF;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

/* Index of a first run of values holding one beyond the limit; -1: all are fine. */
static int64_t find_bad(const unsigned char *src, enum dtype src_dtype, enum dtype dst,
                        int64_t n)
{
    const size_t size = dtype_bytes(src_dtype);
    const int32_t limit = bits_limit(dst, src_dtype);
    for (int64_t i = 0; i < n; i += SCAN) {
        const int64_t m = n - i < SCAN ? n - i : SCAN;
        const unsigned char *const at = src + (size_t)i * size;
        if ((size == 4 ? largest_32(at, m) : largest_16(at, m)) >= limit)
            return i;
    }
    return -1;
}

static int report_bad(const struct source *s, const struct piece *p, enum dtype dtype)
{
    const unsigned char *const data = s->from->file->map.data + s->off;
    const size_t size = dtype_bytes(s->dtype);
    int64_t i = find_bad(data, s->dtype, dtype, p->n_rows * p->param->k);
    while (find_bad(data + (size_t)i * size, s->dtype, dtype, 1) < 0)
        i++;
    float value[1];
    memcpy(value, data + (size_t)i * size, size);
    dtype_widen(value, (const float[1]){value[0]}, s->dtype, 1);
    return ERR(
        ERR_INPUT, "%s: tensor %s: row %lld, column %lld is %g, not finite%s%s",
        s->from->file->path, s->from->tensor->name,
        (long long)(((int64_t)(s->off - s->from->tensor->off) / (int64_t)size + i) /
                    p->param->k),
        (long long)(i % p->param->k), (double)value[0],
        isfinite(value[0]) ? " in " : "", isfinite(value[0]) ? dtype_name(dtype) : "");
}

static bool fill_piece(void *arena, enum dtype dtype, const struct source *s,
                       const struct piece *p)
{
    const struct io_map *const map = &s->from->file->map;
    const int64_t row_bytes = p->param->k * (int64_t)dtype_bytes(s->dtype);
    /* a multiple of the panel, so that chunks rarely cut one */
    const int64_t step = (CHUNK_BYTES / row_bytes / WEIGHT_PANEL + 1) * WEIGHT_PANEL;
    struct piece part = *p;
    size_t off = s->off;
    for (int64_t row = 0; row < p->n_rows; row += step) {
        part.row0 = p->row0 + row;
        part.n_rows = p->n_rows - row < step ? p->n_rows - row : step;
        const size_t bytes = (size_t)(part.n_rows * row_bytes);
        if (find_bad(map->data + off, s->dtype, dtype, part.n_rows * p->param->k) >= 0)
            return false;
        piece_pack(arena, dtype, map->data + off, s->dtype, &part);
        io_map_done(map, off, bytes);
        off += bytes;
    }
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const struct source *const x = a, *const y = b;
    if (x->from->file != y->from->file)
        return x->from->file < y->from->file ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

int sources_fill(void *arena, enum dtype dtype, struct source *sources,
                 const struct hparams *hp, const struct param_table *t)
{
    const int64_t n = pieces_count(t, hp);
    qsort(sources, (size_t)n, sizeof(*sources), compare_places);
    int64_t bad = n;
#pragma omp parallel for schedule(dynamic) reduction(min : bad)
    for (int64_t i = 0; i < n; i++) {
        struct piece p;
        piece_get(&p, t, hp, sources[i].piece);
        if (!fill_piece(arena, dtype, &sources[i], &p))
            bad = i < bad ? i : bad;
    }
    if (bad == n)
        return STATUS_OK;
    struct piece p;
    piece_get(&p, t, hp, sources[bad].piece);
    return report_bad(&sources[bad], &p, dtype);
}
