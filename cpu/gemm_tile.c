/*
 * The register tile of the matrix products, see gemm.h. One inline template, stamped
 * out for every row count and dtype of b; the accumulators of an instance stay in
 * registers over all steps. Few rows take several panels at once ("wide"): an fma takes
 * 4 cycles and two start per cycle, so at least 8 independent chains must be in flight.
 */
#include "cpu/gemm.h"

#if defined(__AVX512F__)
#define TILE_WIDE(rows) ((rows) == 1 ? 8 : (rows) <= 6 ? 4 : 2)
enum { TILE_NARROW = 2 };
#elif defined(__AVX2__)
#define TILE_WIDE(rows) ((rows) == 1 ? 4 : (rows) <= 3 ? 2 : 1)
enum { TILE_NARROW = 1 };
#else
#define TILE_WIDE(rows) 1
enum { TILE_NARROW = 1 };
#endif
enum { TILE_MAX_COLS = 8 };
/* Few rows read b from memory, once: ask for it this many steps before. */
enum { PREFETCH_STEPS = 16, PREFETCH_ROWS = 4 };

/* Vectors vec .. vec + cols - 1 of b into c. rows .. layout are compile-time constants.
 */
V16_FN void tile(const struct gemm_tile *t, float *c, int64_t ld_c, int64_t vec,
                 int rows, int cols, enum dtype dtype, enum gemm_a layout)
{
    const int a_row = layout == GEMM_A_ROWS ? GEMM_LDA : 1;
    const int a_step = layout == GEMM_A_ROWS ? 1 : GEMM_ROWS;
    const float *a = t->a;
    uintptr_t ahead = t->ahead;
    v16 acc[GEMM_ROWS][TILE_MAX_COLS];
    int64_t b_off[TILE_MAX_COLS];

#pragma GCC unroll 8
    for (int j = 0; j < cols; j++)
        b_off[j] = (vec + j) / 2 * t->b_panel + (vec + j) % 2 * V16;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            acc[r][j] = t->from_zero ? v16_zero() : v16_load(c + r * ld_c + j * V16);

            /* the next tile is the one below: have its part of c by then */
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            __builtin_prefetch(c + (rows + r) * ld_c + j * V16, 1);

    for (int64_t s = 0; s < t->n_steps; s++, a += a_step, ahead += GEMM_LINE) {
        v16 w[TILE_MAX_COLS];
        if (rows > PREFETCH_ROWS)
            __builtin_prefetch((const void *)ahead, 0, 2);
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++) {
            const int64_t at = b_off[j] + s * WEIGHT_PANEL;
            w[j] = v16_load_as(t->b, dtype, at);
            if (rows <= PREFETCH_ROWS)
                __builtin_prefetch((const void *)gemm_address(
                    t->b, at + PREFETCH_STEPS * WEIGHT_PANEL, dtype));
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            const v16 x = v16_set1(a[r * a_row]);
#pragma GCC unroll 8
            for (int j = 0; j < cols; j++)
                acc[r][j] = v16_fma(x, w[j], acc[r][j]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            v16_store(c + r * ld_c + j * V16, acc[r][j]);
}

typedef void (*tile_fn)(const struct gemm_tile *t, float *c, int64_t ld_c, int64_t vec);

/* X(rows) for every instance of this instruction set */
#if defined(__AVX512F__)
#define TILE_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#elif defined(__AVX2__)
#define TILE_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define TILE_ROWS(X) X(1) X(2) X(3) X(4)
#endif

#define TILE_FN(name, rows, cols, dtype, layout)                                       \
    static void name(const struct gemm_tile *t, float *c, int64_t ld_c, int64_t vec)   \
    {                                                                                  \
        tile(t, c, ld_c, vec, rows, cols, dtype, layout);                              \
    }
#define TILE_FNS(rows)                                                                 \
    TILE_FN(wide_f32_##rows, rows, TILE_WIDE(rows), DTYPE_F32, GEMM_A_ROWS)            \
    TILE_FN(wide_bf16_##rows, rows, TILE_WIDE(rows), DTYPE_BF16, GEMM_A_ROWS)          \
    TILE_FN(wide_f16_##rows, rows, TILE_WIDE(rows), DTYPE_F16, GEMM_A_ROWS)            \
    TILE_FN(narrow_f32_##rows, rows, TILE_NARROW, DTYPE_F32, GEMM_A_ROWS)              \
    TILE_FN(narrow_bf16_##rows, rows, TILE_NARROW, DTYPE_BF16, GEMM_A_ROWS)            \
    TILE_FN(narrow_f16_##rows, rows, TILE_NARROW, DTYPE_F16, GEMM_A_ROWS)              \
    TILE_FN(by_steps_##rows, rows, TILE_NARROW, DTYPE_F32, GEMM_A_STEPS)
TILE_ROWS(TILE_FNS)

#define TILE_WIDE_COLS(rows) TILE_WIDE(rows),
#define TILE_WIDE_F32(rows) wide_f32_##rows,
#define TILE_WIDE_BF16(rows) wide_bf16_##rows,
#define TILE_WIDE_F16(rows) wide_f16_##rows,
#define TILE_NARROW_F32(rows) narrow_f32_##rows,
#define TILE_NARROW_BF16(rows) narrow_bf16_##rows,
#define TILE_NARROW_F16(rows) narrow_f16_##rows,
#define TILE_BY_STEPS(rows) by_steps_##rows,

static const int wide_cols[GEMM_ROWS] = {TILE_ROWS(TILE_WIDE_COLS)};
static const tile_fn wide_fns[][GEMM_ROWS] = {
    [DTYPE_F32] = {TILE_ROWS(TILE_WIDE_F32)},
    [DTYPE_BF16] = {TILE_ROWS(TILE_WIDE_BF16)},
    [DTYPE_F16] = {TILE_ROWS(TILE_WIDE_F16)},
};
static const tile_fn narrow_fns[][GEMM_ROWS] = {
    [DTYPE_F32] = {TILE_ROWS(TILE_NARROW_F32)},
    [DTYPE_BF16] = {TILE_ROWS(TILE_NARROW_BF16)},
    [DTYPE_F16] = {TILE_ROWS(TILE_NARROW_F16)},
};
static const tile_fn by_steps_fns[GEMM_ROWS] = {TILE_ROWS(TILE_BY_STEPS)};

int64_t CPU_NAME(gemm_tile_panels)(int64_t n_rows)
{
    const int64_t rows = gemm_max(1, gemm_min(n_rows, GEMM_ROWS));
    return gemm_max(1, wide_cols[rows - 1] / 2);
}

/* A narrow tile that reaches past the last output goes through a copy of c. */
static void run_partial(const struct gemm_tile *t, int64_t vec, tile_fn fn)
{
    float copy[GEMM_ROWS][TILE_NARROW * V16] = {0};
    const int64_t col = vec * V16;
    const size_t bytes = (size_t)(t->n_cols - col) * sizeof(float);
    for (int64_t r = 0; r < t->n_rows && !t->from_zero; r++)
        memcpy(copy[r], t->c + r * t->ld_c + col, bytes);
    fn(t, copy[0], TILE_NARROW * V16, vec);
    for (int64_t r = 0; r < t->n_rows; r++)
        memcpy(t->c + r * t->ld_c + col, copy[r], bytes);
}

void CPU_NAME(gemm_tile_run)(const struct gemm_tile *t)
{
    const int64_t row = t->n_rows - 1;
    const bool by_rows = t->a_layout == GEMM_A_ROWS;
    const tile_fn narrow = by_rows ? narrow_fns[t->dtype][row] : by_steps_fns[row];
    const tile_fn wide = by_rows ? wide_fns[t->dtype][row] : narrow;
    const int64_t wide_n = by_rows ? wide_cols[row] : TILE_NARROW;
    int64_t vec = 0;
    for (; (vec + wide_n) * V16 <= t->n_cols; vec += wide_n)
        wide(t, t->c + vec * V16, t->ld_c, vec);
    for (; (vec + TILE_NARROW) * V16 <= t->n_cols; vec += TILE_NARROW)
        narrow(t, t->c + vec * V16, t->ld_c, vec);
    for (; vec * V16 < t->n_cols; vec += TILE_NARROW)
        run_partial(t, vec, narrow);
}
