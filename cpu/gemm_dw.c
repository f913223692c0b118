/*
 * gemm_dw: dw += dy^T x, packed as the weights, plain and grouped.
 *
 * The lanes are the 32 outputs of a panel, the tile's rows are inputs, a step is a row
 * of the batch: dw[i, 0..31] += x[r, i] dy[r, 0..31], r ascending, continuing from
 * memory. A task holds some panels and some inputs of one matrix and takes the rows in
 * blocks of GEMM_STEPS; both factors are copied so that a step's values are adjacent:
 * dy into panels (steps, 32), x into tiles (steps, GEMM_ROWS). Copies cost level-2
 * bandwidth in proportion to 1 / inputs + 1 / outputs of a task, so tasks are large:
 * up to 512 outputs by 384 inputs.
 */
#include "cpu/gemm.h"

#include <omp.h>

/* dy of a task: 16 x 32 KiB; x: 32 tiles of 12 KiB (AVX-512). */
enum { DW_PANELS = 16, DW_TILES = 32, DW_INPUTS = DW_TILES * GEMM_ROWS };
/* One cache line, so that a row's pieces do not all go to the same cache set. */
enum { PAD = 16, COPY_ROWS = 32 };

struct product {
    float *dw;      /* packed as w */
    struct rows dy; /* (m, n) */
    struct rows x;  /* (m, k) */
    int64_t n, k;
};

struct scratch {
    float dy[DW_PANELS][GEMM_STEPS * WEIGHT_PANEL + PAD];
    float x[DW_TILES][GEMM_STEPS * GEMM_ROWS + PAD];
};

/* n <= 16 values from element `at`; the rest of dst becomes 0 */
V16_FN void copy_lanes(float *dst, struct rows src, int64_t at, int64_t n)
{
    const int left = (int)gemm_max(n, 0);
    if (n >= V16) {
        v16_store(dst, v16_load_as(src.data, src.dtype, at));
    } else if (src.dtype == DTYPE_F32) {
        v16_store(dst, v16_load_n((const float *)src.data + at, left));
    } else {
        v16_store(dst, v16_zero());
        dtype_widen(dst, gemm_at(&src, at), src.dtype, left);
    }
}

/* dst[r] = 32 outputs of dy's row r, from element `at` */
V16_FN void copy_panel(float *dst, struct rows src, int64_t at, int64_t ld,
                       int64_t n_left, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++) {
        copy_lanes(dst + r * WEIGHT_PANEL, src, at + r * ld, n_left);
        copy_lanes(dst + r * WEIGHT_PANEL + V16, src, at + r * ld + V16, n_left - V16);
    }
}

/* dst[r] = GEMM_ROWS inputs of x's row r. 16 are written: the rest belongs to row r +
 * 1, which comes next, or to the padding. */
V16_FN void copy_tile(float *dst, struct rows src, int64_t at, int64_t ld,
                      int64_t n_left, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++)
        copy_lanes(dst + r * GEMM_ROWS, src, at + r * ld, n_left);
}

/* Rows row0 .. of the batch. COPY_ROWS at a time: reading needs a page per row, writing
 * one per panel or tile, and neither must exceed what the TLBs hold. */
static void copy_block(struct scratch *s, const struct product *p,
                       const struct gemm_task *t, int64_t row0, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r += COPY_ROWS) {
        const int64_t n = gemm_min(COPY_ROWS, n_rows - r);
        for (int64_t i = 0; i < t->n_panels; i++) {
            const int64_t j = (t->panel0 + i) * WEIGHT_PANEL;
            copy_panel(s->dy[i] + r * WEIGHT_PANEL, p->dy, (row0 + r) * p->n + j, p->n,
                       p->n - j, n);
        }
        for (int64_t i = 0; i * GEMM_ROWS < t->n_inputs; i++) {
            const int64_t j = t->input0 + i * GEMM_ROWS;
            copy_tile(s->x[i] + r * GEMM_ROWS, p->x, (row0 + r) * p->k + j, p->k,
                      p->k - j, n);
        }
    }
}

/* n_rows of the batch from row0, for all panels and inputs of the task */
static void dw_block(const struct product *p, const struct gemm_task *task,
                     int64_t row0, int64_t n_rows, struct scratch *s)
{
    const int64_t mat_panel = task->mat * gemm_panels(p->n) + task->panel0;
    copy_block(s, p, task, row0, n_rows);
    for (int64_t i = 0; i < task->n_panels; i++) {
        struct gemm_tile t = {.b = s->dy[i], .dtype = DTYPE_F32, .n_steps = n_rows};
        t.ld_c = WEIGHT_PANEL;
        t.n_cols = gemm_min(WEIGHT_PANEL, p->n - (task->panel0 + i) * WEIGHT_PANEL);
        t.a_layout = GEMM_A_STEPS;
        for (int64_t j = 0; j < task->n_inputs; j += GEMM_ROWS) {
            t.n_rows = gemm_min(GEMM_ROWS, task->n_inputs - j);
            t.a = s->x[j / GEMM_ROWS];
            t.ahead = (uintptr_t)t.a; /* nothing to ask for */
            t.c = p->dw + ((mat_panel + i) * p->k + task->input0 + j) * WEIGHT_PANEL;
            CPU_NAME(gemm_tile_run)(&t);
        }
    }
}

static void worker(const struct product *p, const struct gemm_grid *grid, int64_t *next,
                   struct backend *b)
{
    struct scratch *const s = cpu_scratch(b, omp_get_thread_num(), sizeof(*s));
    struct gemm_cursor c = {0};
    struct gemm_task task;
    while (CPU_NAME(gemm_grid_seek)(grid, &c, gemm_grid_take(next), &task)) {
        CHECK(task.n_panels <= DW_PANELS && task.n_inputs <= DW_INPUTS,
              "a task of %lld panels and %lld inputs does not fit the scratch",
              (long long)task.n_panels, (long long)task.n_inputs);
        for (int64_t r = 0; r < task.n_rows; r += GEMM_STEPS)
            dw_block(p, &task, task.row0 + r, gemm_min(GEMM_STEPS, task.n_rows - r), s);
    }
}

void CPU_NAME(gemm_dw)(struct backend *b, float *dw, struct rows dy, struct rows x,
                       const struct weight *w, const int32_t *off, int64_t m)
{
    gemm_check(w, off, m);
    if (m == 0)
        return;
    const struct product p = {.dw = dw, .dy = dy, .x = x, .n = w->n, .k = w->k};
    struct gemm_grid grid = {.off = off, .n_mats = w->n_mats, .m = m, .n_inputs = w->k};
    grid.n_panels = gemm_panels(w->n);
    grid.max_cut = DW_INPUTS;
    grid.min_panels = 1;
    grid.good_panels = DW_PANELS;
    grid.max_panels = DW_PANELS;
    const int team = cpu_team(b, 2 * m * w->n * w->k);
    CPU_NAME(gemm_grid_fit)(&grid, team);
    int64_t next = 0;
    if (team == 1) {
        worker(&p, &grid, &next, b);
        return;
    }
#pragma omp parallel num_threads(team)
    worker(&p, &grid, &next, b);
}
