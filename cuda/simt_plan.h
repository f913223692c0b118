/*
 * How an exact matrix product is cut into blocks. Kernel-free, so that tests without a
 * GPU check it. Only speed depends on the choice: an element is one fma chain whatever
 * tile it is in.
 */
#ifndef CUDA_SIMT_PLAN_H
#define CUDA_SIMT_PLAN_H

#include <stdint.h>

enum simt_form { SIMT_FWD, SIMT_DX, SIMT_DW };
/* rows x columns of the output that a block computes */
enum simt_tile { SIMT_128X128, SIMT_64X64, SIMT_16X32 };

struct simt_shape {
    enum simt_form form;
    int64_t n_mats, n, k, m;
};

/* The output of the form: fwd (m, n), dx (m, k), dw (n_mats, n, k) */
static inline int64_t simt_cols(const struct simt_shape *s)
{
    return s->form == SIMT_FWD ? s->n : s->k;
}

static inline int simt_tile_rows(enum simt_tile t)
{
    return t == SIMT_128X128 ? 128 : t == SIMT_64X64 ? 64 : 16;
}

static inline int simt_tile_cols(enum simt_tile t)
{
    return t == SIMT_128X128 ? 128 : t == SIMT_64X64 ? 64 : 32;
}

static inline int64_t simt_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Blocks along the rows: for fwd and dx at most, since the offsets are on the device: a
 * matrix with rows wastes less than one tile. */
static inline int64_t simt_row_blocks(const struct simt_shape *s, enum simt_tile t)
{
    if (s->form == SIMT_DW)
        return simt_ceil(s->n, simt_tile_rows(t));
    const int64_t some = s->n_mats < s->m ? s->n_mats : s->m;
    return simt_ceil(s->m, simt_tile_rows(t)) + (s->n_mats > 1 ? some : 0);
}

static inline int64_t simt_col_blocks(const struct simt_shape *s, enum simt_tile t)
{
    return simt_ceil(simt_cols(s), simt_tile_cols(t));
}

/* Large tiles read operands least often; they are taken where they fill the device and
 * are mostly full themselves. */
static inline enum simt_tile simt_choose(const struct simt_shape *s, int n_sms)
{
    const int64_t rows = s->form == SIMT_DW ? s->n : simt_ceil(s->m, s->n_mats);
    const int64_t mats = s->form == SIMT_DW ? s->n_mats : 1;
    const int64_t big = mats * simt_row_blocks(s, SIMT_128X128) *
                        simt_col_blocks(s, SIMT_128X128);
    if (rows > 64 && big >= n_sms)
        return SIMT_128X128;
    return rows > 16 || s->form == SIMT_DW ? SIMT_64X64 : SIMT_16X32;
}

#endif
