/*
 * Index maps of the tensor-core products: which output tile a tile number means, where
 * an element of an operand lies in shared memory, and which element a thread's register
 * holds. Functions of integers alone, compiled for host and device, so that the tests
 * walk every tile, address and fragment without a GPU.
 *
 * Tiles are numbered matrix by matrix; `base[e]` is the number of tiles before matrix e
 * (n_mats + 1 entries). Within a matrix, GEMM_GROUP_ROWS row tiles by all columns form
 * a group, and tiles run down the group's rows first: the blocks at work at one time
 * then share a few rows of A and of B in the level-2 cache.
 */
#ifndef CUDA_GEMM_TENSOR_TILE_H
#define CUDA_GEMM_TENSOR_TILE_H

#include <stdbool.h>
#include <stdint.h>

#include "cuda/gemm_plan.h"

#ifdef __CUDACC__
#define GEMM_HD __host__ __device__ __forceinline__
#else
#define GEMM_HD inline
#endif

enum { GEMM_GROUP_ROWS = 8 };
/* One product as the kernels see it: 32 bits suffice (offsets have no more) and keep
 * divisions short. */
struct gemm_space {
    enum gemm_form form;
    int32_t n_mats, tile_m, tile_n, tile_k;
    int32_t n, k, m, ld_dy;
};

struct gemm_tile {
    int32_t mat;
    int32_t row0, row_end; /* rows of the output: of y and dx, or of W (dw) */
    int32_t col0;          /* first column; valid ones end at gemm_cols() */
    int32_t red0, red_end; /* the reduction: k, n, or the matrix's rows (dw) */
};

/* of a >= 0; no overflow for any a */
static GEMM_HD int32_t gemm_ceil_div(int32_t a, int32_t b)
{
    return a / b + (a % b > 0 ? 1 : 0);
}

static GEMM_HD int32_t gemm_cols(const struct gemm_space *s)
{
    return s->form == GEMM_FORM_FWD ? s->n : s->k;
}

/* tiles of a matrix that `rows` rows go to; none without rows, also in dw */
static GEMM_HD int32_t gemm_tiles_of(const struct gemm_space *s, int32_t rows)
{
    const int32_t height = s->form == GEMM_FORM_DW ? s->n : rows;
    return rows <= 0 ? 0
                     : gemm_ceil_div(height, s->tile_m) *
                           gemm_ceil_div(gemm_cols(s), s->tile_n);
}

/* The matrix whose tiles include number t < base[n_mats]: the last e with base[e] <= t.
 * Binary search, about log2(n_mats) reads. */
static GEMM_HD int32_t gemm_find_mat(const int32_t *base, int32_t n_mats, int32_t t)
{
    int32_t lo = 0, hi = n_mats; /* base[lo] <= t < base[hi] */
    while (hi - lo > 1) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (base[mid] <= t)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Tile number t. row_off (n_mats + 1) are the groups' offsets. */
static GEMM_HD struct gemm_tile gemm_tile_at(const struct gemm_space *s,
                                             const int32_t *base,
                                             const int32_t *row_off, int32_t t)
{
    struct gemm_tile tile;
    const bool is_dw = s->form == GEMM_FORM_DW;
    tile.mat = gemm_find_mat(base, s->n_mats, t);
    const int32_t local = t - base[tile.mat];
    const int32_t first = row_off[tile.mat], last = row_off[tile.mat + 1];
    const int32_t origin = is_dw ? 0 : first, end = is_dw ? s->n : last;
    const int32_t n_rows = gemm_ceil_div(end - origin, s->tile_m);
    const int32_t n_cols = gemm_ceil_div(gemm_cols(s), s->tile_n);
    const int32_t group = local / (GEMM_GROUP_ROWS * n_cols);
    const int32_t in_group = local - group * GEMM_GROUP_ROWS * n_cols;
    const int32_t left = n_rows - group * GEMM_GROUP_ROWS;
    const int32_t height = left < GEMM_GROUP_ROWS ? left : GEMM_GROUP_ROWS;
    const int32_t col = in_group / height, row = in_group - col * height;
    tile.row0 = origin + (group * GEMM_GROUP_ROWS + row) * s->tile_m;
    tile.row_end = end;
    tile.col0 = col * s->tile_n;
    tile.red0 = is_dw ? first : 0;
    tile.red_end = is_dw ? last : s->form == GEMM_FORM_FWD ? s->k : s->n;
    return tile;
}

static GEMM_HD int32_t gemm_steps(const struct gemm_space *s,
                                  const struct gemm_tile *tile)
{
    return gemm_ceil_div(tile->red_end - tile->red0, s->tile_k);
}

/*
 * wgmma operands in shared memory, 128-byte swizzle: lines of 128 bytes (64 bf16), the
 * 16-byte chunk c of line l stored at chunk c ^ (l % 8). Eight lines are one swizzle
 * atom of 1024 bytes; TMA writes this order and the matrix descriptor names it.
 *   K-major (rows of a matrix whose reduction index is contiguous): line = row, 64
 *   reduction steps per line.
 *   MN-major (the other way round): blocks of 64 rows; in a block line = step.
 * Byte offset of element (row, step) of a tile with 64 steps:
 */
static GEMM_HD int32_t gemm_swizzle(int32_t line, int32_t byte)
{
    return line * 128 + (byte ^ ((line & 7) << 4));
}

static GEMM_HD int32_t gemm_smem_k_major(int32_t row, int32_t step)
{
    return gemm_swizzle(row, step * 2);
}

static GEMM_HD int32_t gemm_smem_mn_major(int32_t row, int32_t step)
{
    return row / 64 * 64 * 128 + gemm_swizzle(step, row % 64 * 2);
}

/*
 * wgmma's matrix descriptor for such an operand at a shared memory address. Stride:
 * bytes from one atom to the next along the rows (K-major) or along the reduction
 * (MN-major). Leading, MN-major alone: from one block of 64 rows to the next. The next
 * 16 reduction steps begin gemm_descriptor_step() further on: 32 bytes along the line,
 * or 16 lines.
 */
static GEMM_HD uint64_t gemm_descriptor(uint32_t address, bool mn_major)
{
    const uint64_t leading = mn_major ? 64 * 128 >> 4 : 1, stride = 1024 >> 4;
    const uint64_t swizzle_128 = 1;
    return (address & 0x3ffff) >> 4 | leading << 16 | stride << 32 | swizzle_128 << 62;
}

static GEMM_HD uint64_t gemm_descriptor_step(bool mn_major)
{
    return mn_major ? 16 * 128 >> 4 : 32 >> 4;
}

/* Row and column of accumulator register i of a warpgroup's m64nN product: thread
 * `thread` (0 .. 127) holds N / 2 of them. */
static GEMM_HD int32_t gemm_acc_row(int32_t thread, int32_t i)
{
    return thread / 32 * 16 + thread % 32 / 4 + (i / 2 % 2) * 8;
}

static GEMM_HD int32_t gemm_acc_col(int32_t thread, int32_t i)
{
    return i / 4 * 8 + thread % 4 * 2 + i % 2;
}

/*
 * Results on their way to memory: a warp lays 16 rows by 32 columns down as 16 swizzled
 * lines, which TMA stores as one box. A thread has pairs of columns of rows g and g + 8
 * (g = lane / 4) and writes them 8 bytes at a time; `slot` (0 .. 3) says which write.
 * Rows of odd g take the slots in another order: else two rows of half a warp would
 * meet in the banks. Returns the byte offset; the columns are those of accumulator
 * registers 4 j + 2 h, + 1 with j = gemm_staging_pair() of the box.
 */
enum { GEMM_BOX_ROWS = 16, GEMM_BOX_COLS = 32, GEMM_BOX_BYTES = 2048 };
enum { GEMM_N_BOXES = 4 }; /* of a warp */

static GEMM_HD int32_t gemm_staging_pair(int32_t lane, int32_t slot)
{
    return slot ^ (lane / 4 % 2 * 2);
}

static GEMM_HD int32_t gemm_staging_at(int32_t lane, int32_t slot, int32_t h)
{
    return gemm_swizzle(lane / 4 + 8 * h,
                        gemm_staging_pair(lane, slot) * 32 + lane % 4 * 8);
}

/*
 * mma.sync operands in shared memory: lines of `width` bf16 with 8 more behind them, so
 * that the eight 16-byte reads of one ldmatrix fall into different banks (the pitch is
 * an odd multiple of 16 bytes). Element offset:
 */
static GEMM_HD int32_t gemm_padded(int32_t width, int32_t line, int32_t i)
{
    return line * (width + 8) + i;
}

#endif
