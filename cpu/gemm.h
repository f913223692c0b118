/*
 * Private to the matrix products (gemm*.c): the register tile, and how a product is cut
 * into tasks.
 *
 * A tile is `n_rows` rows by some 16-lane vectors of the output: in every step s it
 * adds a[r, s] * b[s, 0..31] by one fma per element, s ascending, so an element is one
 * chain whatever the tile's shape. Between two tiles over successive steps the partial
 * sums lie in the output itself.
 */
#ifndef CPU_GEMM_H
#define CPU_GEMM_H

#include <stdbool.h>

#include "cpu/backend.h"
#include "cpu/simd.h"

/* Sized for the registers: 12 rows x 2 vectors of 32, 6 x 1 (two halves) of 16. */
#if defined(__AVX512F__)
enum { GEMM_ROWS = 12 };
#elif defined(__AVX2__)
enum { GEMM_ROWS = 6 };
#else
enum { GEMM_ROWS = 4 };
#endif
/*
 * Steps between two spills of the partial sums: a panel of 256 x 32 floats is 32 KiB,
 * about a level-1 cache. GEMM_LDA is a row of copied `a`: 17 cache lines, so that the
 * rows of a tile do not fall into the same cache set as they do in a matrix of 1024
 * columns.
 */
enum { GEMM_STEPS = 256, GEMM_LDA = GEMM_STEPS + 16, GEMM_LINE = 64 };

enum gemm_a { GEMM_A_ROWS, GEMM_A_STEPS };

struct gemm_tile {
    const float *a;  /* A_ROWS: a[r * GEMM_LDA + s]; A_STEPS: a[s * GEMM_ROWS + r] */
    const void *b;   /* panels of (steps, 32) */
    int64_t b_panel; /* elements from a panel to the next */
    float *c;        /* c[r * ld_c + j], j over the panels' outputs */
    int64_t ld_c;
    int64_t n_cols; /* valid outputs; nothing is written past them */
    int64_t n_rows, n_steps;
    enum dtype dtype; /* of b */
    enum gemm_a a_layout;
    bool from_zero;  /* start the chains from 0 instead of from c */
    uintptr_t ahead; /* each step asks the level-2 cache for one more line from here */
};

/* How many panels a tile of so many rows takes at once, to have 8 chains or more. */
int64_t CPU_NAME(gemm_tile_panels)(int64_t n_rows);
void CPU_NAME(gemm_tile_run)(const struct gemm_tile *t);

/*
 * The tasks of one product: matrix e has (cuts) x (panel blocks) of them; cuts divide
 * its rows (fwd, dx) or the inputs (dw). Tasks are numbered by matrix, panel block,
 * cut, and threads take the next number when free: who computes an element does not
 * matter.
 */
struct gemm_grid {
    const int32_t *off; /* (n_mats + 1) or NULL */
    int64_t n_mats, m, n_panels;
    int64_t n_inputs; /* > 0: cut the inputs, not the rows */
    int64_t max_cut;  /* rows or inputs per task */
    /* per task: panels a tile takes at once; enough to repay the copies; the most */
    int64_t min_panels, good_panels, max_panels;
    int64_t work; /* rows x panels that a task should hold, for balance */
};

struct gemm_task {
    int64_t mat, row0, n_rows, input0, n_inputs, panel0, n_panels;
};

struct gemm_cursor {
    int64_t mat, first; /* the first task of matrix `mat` */
};

/* Sets work and lowers max_cut and good_panels, so that all threads have tasks. */
void CPU_NAME(gemm_grid_fit)(struct gemm_grid *g, int n_threads);
/* Task number `index`, which must not fall from call to call; false past the end. */
bool CPU_NAME(gemm_grid_seek)(const struct gemm_grid *g, struct gemm_cursor *c,
                              int64_t index, struct gemm_task *out);

/* The next task's number, for all threads together. */
static inline int64_t gemm_grid_take(int64_t *next)
{
    return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
}

/* What every product requires of its operands. */
static inline void gemm_check(const struct weight *w, const int32_t *off, int64_t m)
{
    CHECK(w->layout == WEIGHT_PACKED && w->n > 0 && w->k > 0,
          "layout %d, n %lld, k %lld", (int)w->layout, (long long)w->n,
          (long long)w->k);
    CHECK((w->n_mats == 1 && off == NULL) || (off != NULL && off[w->n_mats] == m),
          "%lld matrices, offsets do not end at %lld", (long long)w->n_mats,
          (long long)m);
}

static inline int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gemm_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t gemm_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t gemm_elem_bytes(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? 4 : 2;
}

static inline const void *gemm_at(const struct rows *x, int64_t at)
{
    return (const char *)x->data + at * gemm_elem_bytes(x->dtype);
}

/* Where element `at` of b lies. A hint for prefetches: may be past the array. */
static inline uintptr_t gemm_address(const void *b, int64_t at, enum dtype dtype)
{
    return (uintptr_t)b + (uintptr_t)(at * gemm_elem_bytes(dtype));
}

static inline int64_t gemm_panels(int64_t n) { return gemm_ceil_div(n, WEIGHT_PANEL); }

#endif
