/*
 * The matrix descriptor and what it means; the inner loops of the product.
 *
 * An operand is read in chunks of 16 bytes. S is the swizzle's span (16 for none): a
 * line of S bytes holds consecutive elements of the major dimension, 8 lines follow
 * each other, and the two strides of the descriptor lead to other groups of lines:
 *   K-major, line = row:  8 rows -> 8 rows: stride. Along K a chunk is followed by the
 *                         next of its line; without swizzle by the one `lead` away.
 *   MN-major, line = k:   8 k -> 8 k: stride; line of S bytes -> next along MN: lead.
 *                         Without swizzle the two change places.
 * Then the chunk's number within its line is XORed with the line's number modulo the
 * chunks of a line, both taken from the address, less the descriptor's base offset.
 */
#include "emulator/wgmma.h"

enum { CHUNK = 16, LINES = 8 };

struct layout {
    uint32_t start, lead, stride; /* bytes */
    uint32_t span;                /* of the swizzle; CHUNK: none */
    uint32_t base_offset;         /* lines */
};

/* Bits 0-13 address, 16-29 lead, 32-45 stride (of 16 bytes each), 49-51 base offset,
 * 62-63 swizzle; the others are zero. */
static bool layout_of(struct machine_warp *w, const struct ptx_insn *i,
                      uint64_t descriptor, struct layout *out)
{
    static const uint32_t spans[] = {CHUNK, 128, 64, 32};
    static const uint64_t fields = 0xc00e3fff3fff3fffu;
    if ((descriptor & ~fields) != 0) {
        machine_fault(w, i, -1,
                      "matrix descriptor 0x%016llx has bits outside its fields",
                      (unsigned long long)descriptor);
        return false;
    }
    out->start = (uint32_t)(descriptor & 0x3fff) << 4;
    out->lead = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
    out->stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    out->base_offset = (uint32_t)(descriptor >> 49 & 7);
    out->span = spans[descriptor >> 62];
    if (out->span == CHUNK && out->base_offset != 0) {
        machine_fault(w, i, -1,
                      "matrix descriptor 0x%016llx: a base offset, no swizzle",
                      (unsigned long long)descriptor);
        return false;
    }
    return true;
}

bool wgmma_descriptor_check(struct machine_warp *w, const struct ptx_insn *i,
                            uint64_t descriptor)
{
    struct layout l;
    return layout_of(w, i, descriptor, &l);
}

/* K-major: chunk c (of two) of row mn */
static uint32_t at_k_major(const struct layout *l, uint32_t mn, uint32_t c)
{
    return l->start + mn % LINES * l->span + mn / LINES * l->stride +
           c * (l->span == CHUNK ? l->lead : CHUNK);
}

/* MN-major: chunk c of step k */
static uint32_t at_mn_major(const struct layout *l, uint32_t c, uint32_t k)
{
    const uint32_t per_line = l->span / CHUNK;
    const uint32_t along_mn = l->span == CHUNK ? l->stride : l->lead;
    const uint32_t along_k = l->span == CHUNK ? l->lead : l->stride;
    return l->start + c / per_line * along_mn + c % per_line * CHUNK +
           k % LINES * l->span + k / LINES * along_k;
}

static const uint8_t *chunk_at(struct machine_warp *w, const struct ptx_insn *i,
                               const struct layout *l, uint32_t at)
{
    const struct machine_block *const b = w->block;
    const uint32_t line = (at >> 7) - l->base_offset;
    const uint32_t off = at ^ (line & (l->span / CHUNK - 1)) << 4;
    if (b->race != NULL || off + CHUNK > b->shared_bytes)
        return machine_at(w, i, -1, MACHINE_SHARED, off, CHUNK, CHUNK, MACHINE_READ);
    return b->shared + off;
}

static void spread_halves(const uint8_t *chunk, enum matrix_type t, float *out,
                          int32_t step)
{
    uint16_t v[CHUNK / 2];
    memcpy(v, chunk, sizeof(v));
    for (int32_t e = 0; e < CHUNK / 2; e++)
        out[e * step] = matrix_element(t, v[e]);
}

static void spread_words(const uint8_t *chunk, enum matrix_type t, float *out,
                         int32_t step)
{
    uint32_t v[CHUNK / 4];
    memcpy(v, chunk, sizeof(v));
    for (int32_t e = 0; e < CHUNK / 4; e++)
        out[e * step] = matrix_element(t, v[e]);
}

/* A chunk's elements, `step` apart in the result. */
static void spread(const uint8_t *chunk, enum matrix_type t, float *out, int32_t step)
{
    if (t == MATRIX_BF16)
        spread_halves(chunk, MATRIX_BF16, out, step);
    else if (t == MATRIX_F16)
        spread_halves(chunk, MATRIX_F16, out, step);
    else
        spread_words(chunk, t, out, step);
}

bool wgmma_operand_load(struct machine_warp *w, const struct ptx_insn *i,
                        const struct wgmma_operand *o, float *out)
{
    struct layout l;
    if (!layout_of(w, i, o->descriptor, &l))
        return false;
    const int32_t per_chunk = CHUNK / matrix_type_bytes(o->type);
    const int32_t n_k = WGMMA_K_BYTES / matrix_type_bytes(o->type);
    /* chunks along the major dimension, lines along the other */
    const int32_t n_chunks = (o->is_mn_major ? o->n_mn : n_k) / per_chunk;
    const int32_t n_lines = o->is_mn_major ? n_k : o->n_mn;
    const int32_t step = o->is_mn_major ? o->step_mn : o->step_k;
    const int32_t line_step = o->is_mn_major ? o->step_k : o->step_mn;
    for (int32_t line = 0; line < n_lines; line++) {
        for (int32_t c = 0; c < n_chunks; c++) {
            const uint32_t at = o->is_mn_major
                                    ? at_mn_major(&l, (uint32_t)c, (uint32_t)line)
                                    : at_k_major(&l, (uint32_t)line, (uint32_t)c);
            const uint8_t *const chunk = chunk_at(w, i, &l, at);
            if (chunk == NULL)
                return false;
            spread(chunk, o->type, out + line * line_step + c * per_chunk * step, step);
        }
    }
    return true;
}

enum { AT_ONCE = 4, TILE = 16 * 8 }; /* tiles; floats of one */

/* Two rows of n_tiles tiles (a constant where this is called, at most AT_ONCE): the
 * sums stay in registers. d: of the upper row in the first tile. */
static inline __attribute__((always_inline)) void
multiply_rows(float *d, const float *a, const float *b, int32_t n, int32_t k,
              int32_t n_tiles)
{
    matrix_f8 upper[AT_ONCE], lower[AT_ONCE];
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tiles; t++) {
        matrix_load(&upper[t], d + t * TILE);
        matrix_load(&lower[t], d + t * TILE + 8);
    }
    for (int32_t s = 0; s < k; s++)
#pragma GCC unroll 4
        for (int32_t t = 0; t < n_tiles; t++) {
            matrix_f8 v;
            matrix_load(&v, b + s * n + t * 8);
            upper[t] += a[s] * v;
            lower[t] += a[k + s] * v;
        }
#pragma GCC unroll 4
    for (int32_t t = 0; t < n_tiles; t++) {
        matrix_store(d + t * TILE, &upper[t]);
        matrix_store(d + t * TILE + 8, &lower[t]);
    }
}

void wgmma_multiply(float *d, const float *a, const float *b, int32_t n, int32_t k)
{
    for (int32_t row = 0; row < 16; row += 2) {
        float *const to = d + row * 8;
        int32_t t = 0;
        for (; t + AT_ONCE <= n / 8; t += AT_ONCE)
            multiply_rows(to + t * TILE, a + row * k, b + t * 8, n, k, AT_ONCE);
        for (; t < n / 8; t++)
            multiply_rows(to + t * TILE, a + row * k, b + t * 8, n, k, 1);
    }
}
