/*
 * Index maps of the attention backward on wgmma: tiles of lines, and the order of work.
 * Functions of integers alone, for host and device, so that tests walk them without a
 * GPU.
 *
 * The lines of a sequence (cuda/attention.cuh) are cut into tiles of BWD_TILE, from its
 * first line on: which lines share a tile depends on their sequence alone. Sequence s
 * has the tile numbers from bwd_tile_base on; some numbers stay unused, so that no sum
 * over the sequences before is needed.
 */
#ifndef CUDA_ATTENTION_TENSOR_BWD_TILE_H
#define CUDA_ATTENTION_TENSOR_BWD_TILE_H

#include <stdint.h>

#include "cuda/gemm_tensor_tile.h"

enum { BWD_TILE = 64, BWD_BUCKETS = 256 };
enum { BWD_STAT_RUN = 20, BWD_N_STATS = 4 * BWD_STAT_RUN };

/* The number of a sequence's first tile, of `tile` lines each; first_line: lines of the
 * sequences before it. */
static GEMM_HD int64_t bwd_tile_base(int64_t first_line, int64_t seq, int64_t tile)
{
    return first_line / tile + seq;
}

/* Tile numbers of n_lines lines in n_seqs sequences are below this. */
static GEMM_HD int64_t bwd_tile_bound(int64_t n_lines, int64_t n_seqs, int64_t tile)
{
    return n_lines / tile + n_seqs;
}

/* The sequence whose tile numbers may include t: the last with base <= t. row_off
 * (n_seqs + 1), per_kv lines to a row. */
static GEMM_HD int64_t bwd_tile_seq(const int32_t *row_off, int64_t n_seqs,
                                    int64_t per_kv, int64_t tile, int64_t t)
{
    int64_t low = 0, high = n_seqs; /* base of low <= t < base of high */
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (bwd_tile_base(row_off[middle] * per_kv, middle, tile) <= t)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Work is done in the order of these: the longest first, so that little is left to wait
 * for at the end. What is long enough is all one. */
static GEMM_HD int32_t bwd_bucket(int32_t cost)
{
    return cost < BWD_BUCKETS ? BWD_BUCKETS - 1 - cost : 0;
}

/*
 * Rows of D bf16 values (queries, gradients, keys, values: 64 of them) in shared memory
 * as wgmma reads them, 128-byte swizzle: blocks of 64 dims, in a block line = row. The
 * same bytes are a K-major operand whose rows are the rows, and an MN-major one whose
 * rows are the dims. Byte offset of an element; and from the image's start to the
 * operand's 16 reduction steps number k (of 16 dims, or of 16 rows):
 */
static GEMM_HD int32_t bwd_image_at(int32_t row, int32_t dim)
{
    return gemm_smem_mn_major(dim, row);
}

static GEMM_HD int32_t bwd_image_dims(int32_t k)
{
    return k / 4 * (64 * 128) + k % 4 * 32;
}

static GEMM_HD int32_t bwd_image_rows(int32_t k) { return k * 16 * 128; }

/* Where a number per line lies: those of the lines 8 j + 2 c and 8 j + 2 c + 1, columns
 * of a thread's accumulators (c = thread % 4), follow each other, and the runs of the
 * four c do not meet in the banks. */
static GEMM_HD int32_t bwd_stat_at(int32_t line)
{
    return line % 8 / 2 * BWD_STAT_RUN + line / 8 * 2 + line % 2;
}

#endif
