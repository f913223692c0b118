/*
 * gemm_fwd (y = x W^T) and gemm_dx (dx = dy W), plain and grouped.
 *
 * Both are one loop: out (rows, panels of 32) = in (rows, reduced index) b (reduced
 * index, 32 lanes). fwd reads b from the weights as they lie (16-bit weights that serve
 * several tiles are widened first); dx transposes 32 x 32 blocks of them into scratch.
 * A task holds some rows of one matrix and some panels; blocks of GEMM_STEPS of the
 * reduced index come in ascending order, the partial sums waiting in `out`.
 */
#include "cpu/gemm.h"

#include <omp.h>

#include "cpu/gemm_transpose.h"

/*
 * Rows of a task: x stays in the level-2 cache for all its panels. dx has more, since
 * each task transposes its weights again.
 */
enum { FWD_ROWS = 240, DX_ROWS = 360, MAX_GROUP = 4, GOOD_PANELS = 4, MAX_PANELS = 16 };
enum { PANEL_BLOCK = GEMM_STEPS * WEIGHT_PANEL };

struct product {
    float *out;     /* (m, n_out) */
    struct rows in; /* (m, n_in), n_in the reduced index */
    int64_t n_out, n_in;
    const struct weight *w;
    bool is_transposed; /* dx */
};

struct scratch {
    float a[DX_ROWS * GEMM_LDA];
    float b[MAX_GROUP * PANEL_BLOCK];
};

/* A block of b: panels by steps of the reduced index */
struct block {
    int64_t mat, panel0, n_panels, step0, n_steps;
};

/* Weights to come; a hint, never read through. */
struct ahead {
    uintptr_t from;
    int64_t n_bytes;
};

static void copy_rows(float *a, const struct product *p, int64_t row0, int64_t n_rows,
                      const struct block *k)
{
    for (int64_t r = 0; r < n_rows; r++)
        dtype_widen(a + r * GEMM_LDA, gemm_at(&p->in, (row0 + r) * p->n_in + k->step0),
                    p->in.dtype, k->n_steps);
}

static const void *weight_at(const struct weight *w, int64_t mat, int64_t panel,
                             int64_t input)
{
    const int64_t i = ((mat * gemm_panels(w->n) + panel) * w->k + input) * WEIGHT_PANEL;
    return (const char *)w->data + i * gemm_elem_bytes(w->dtype);
}

static void widen_panels(float *b, const struct weight *w, const struct block *k)
{
    for (int64_t p = 0; p < k->n_panels; p++) {
        const void *const src = weight_at(w, k->mat, k->panel0 + p, k->step0);
        for (int64_t i = 0; i < k->n_steps * WEIGHT_PANEL; i += V16)
            v16_store(b + p * PANEL_BLOCK + i, v16_load_as(src, w->dtype, i));
    }
}

/* dst[j][i] = src[i][j], n_inputs rows of 32 in src (the others count as 0) */
V16_FN void transpose_block(float *dst, const void *src, enum dtype dtype,
                            int64_t n_inputs)
{
    for (int64_t i0 = 0; i0 < WEIGHT_PANEL; i0 += V16)
        for (int64_t j0 = 0; j0 < WEIGHT_PANEL; j0 += V16) {
            v16 r[V16];
#pragma GCC unroll 16
            for (int64_t i = 0; i < V16; i++) {
                const int64_t at = (i0 + i) * WEIGHT_PANEL + j0;
                r[i] = i0 + i < n_inputs ? v16_load_as(src, dtype, at) : v16_zero();
                /* the next 32 inputs of these outputs lie behind these */
                const int64_t later = at + WEIGHT_PANEL * WEIGHT_PANEL;
                __builtin_prefetch((const void *)gemm_address(src, later, dtype), 0, 2);
            }
            v16_transpose(r);
#pragma GCC unroll 16
            for (int64_t j = 0; j < V16; j++)
                v16_store(dst + (j0 + j) * WEIGHT_PANEL + i0, r[j]);
        }
}

/* Panels of inputs: b (steps = outputs of w, 32 inputs) */
static void transpose_panels(float *b, const struct weight *w, const struct block *k)
{
    const enum dtype dtype = w->dtype;
    for (int64_t p = 0; p < k->n_panels; p++)
        for (int64_t s = 0; s < k->n_steps; s += WEIGHT_PANEL) {
            const int64_t input = (k->panel0 + p) * WEIGHT_PANEL;
            const int64_t left = w->k - input;
            float *const dst = b + p * PANEL_BLOCK + s * WEIGHT_PANEL;
            const void *const src = weight_at(w, k->mat, (k->step0 + s) / WEIGHT_PANEL,
                                              input);
            if (left >= WEIGHT_PANEL && dtype == DTYPE_F32)
                transpose_block(dst, src, DTYPE_F32, WEIGHT_PANEL);
            else
                transpose_block(dst, src, dtype, left);
        }
}

/* b of this block, as memory holds it or brought into `scratch` */
static void set_b(struct gemm_tile *t, const struct product *p, const struct block *k,
                  bool is_reused, float *scratch)
{
    t->dtype = DTYPE_F32;
    t->b = scratch;
    t->b_panel = PANEL_BLOCK;
    if (p->is_transposed) {
        transpose_panels(scratch, p->w, k);
    } else if (is_reused && p->w->dtype != DTYPE_F32) {
        widen_panels(scratch, p->w, k);
    } else {
        t->dtype = p->w->dtype;
        t->b = weight_at(p->w, k->mat, k->panel0, k->step0);
        t->b_panel = p->w->k * WEIGHT_PANEL;
    }
}

/* What fwd reads after block k: the next panels, or the first ones of the next steps.
 * (dx asks for its next block while it transposes one.) */
static struct ahead look_ahead(const struct product *p, const struct gemm_task *task,
                               const struct block *k)
{
    int64_t panel = k->panel0 + k->n_panels, step = k->step0;
    if (panel == task->panel0 + task->n_panels) {
        panel = task->panel0;
        step += GEMM_STEPS;
    }
    if (p->is_transposed || step >= p->n_in)
        return (struct ahead){0, 0};
    const int64_t n_elems = k->n_panels * k->n_steps * WEIGHT_PANEL;
    return (struct ahead){(uintptr_t)weight_at(p->w, k->mat, panel, step),
                          n_elems * gemm_elem_bytes(p->w->dtype)};
}

/* The tiles of a task that share one block of b. */
static void run_tiles(struct gemm_tile *t, const struct product *p,
                      const struct gemm_task *task, const struct scratch *scratch,
                      int64_t col0, const struct ahead *ahead)
{
    const int64_t n_tiles = gemm_ceil_div(task->n_rows, GEMM_ROWS);
    for (int64_t i = 0; i < n_tiles; i++) {
        const int64_t r0 = task->n_rows * i / n_tiles;
        const int64_t asked = i * t->n_steps * GEMM_LINE;
        t->n_rows = task->n_rows * (i + 1) / n_tiles - r0;
        t->a = scratch->a + r0 * GEMM_LDA;
        t->c = p->out + (task->row0 + r0) * p->n_out + col0;
        t->ahead = asked < ahead->n_bytes ? ahead->from + (uintptr_t)asked
                                          : (uintptr_t)t->b;
        CPU_NAME(gemm_tile_run)(t);
    }
}

static void product_task(const struct product *p, const struct gemm_task *task,
                         struct scratch *scratch)
{
    const int64_t n_tiles = gemm_ceil_div(task->n_rows, GEMM_ROWS);
    const int64_t rows = gemm_ceil_div(task->n_rows, n_tiles);
    const int64_t group = CPU_NAME(gemm_tile_panels)(rows);
    const int64_t panel_end = task->panel0 + task->n_panels;
    struct gemm_tile t = {.ld_c = p->n_out, .a_layout = GEMM_A_ROWS};

    for (int64_t step0 = 0; step0 < p->n_in; step0 += GEMM_STEPS) {
        struct block k = {.mat = task->mat, .step0 = step0};
        k.n_steps = gemm_min(GEMM_STEPS, p->n_in - step0);
        copy_rows(scratch->a, p, task->row0, task->n_rows, &k);
        t.n_steps = k.n_steps;
        t.from_zero = step0 == 0;
        for (int64_t panel = task->panel0; panel < panel_end; panel += group) {
            const int64_t col0 = panel * WEIGHT_PANEL;
            k.panel0 = panel;
            k.n_panels = gemm_min(group, panel_end - panel);
            set_b(&t, p, &k, n_tiles > 1, scratch->b);
            t.n_cols = gemm_min(k.n_panels * WEIGHT_PANEL, p->n_out - col0);
            const struct ahead ahead = look_ahead(p, task, &k);
            run_tiles(&t, p, task, scratch, col0, &ahead);
        }
    }
}

static void worker(const struct product *p, const struct gemm_grid *grid, int64_t *next,
                   struct backend *b)
{
    struct scratch *const scratch = cpu_scratch(b, omp_get_thread_num(),
                                                sizeof(*scratch));
    struct gemm_cursor c = {0};
    struct gemm_task task;
    while (CPU_NAME(gemm_grid_seek)(grid, &c, gemm_grid_take(next), &task)) {
        CHECK(task.n_rows <= DX_ROWS, "a task of %lld rows does not fit the scratch",
              (long long)task.n_rows);
        product_task(p, &task, scratch);
    }
}

static void run(struct backend *b, const struct product *p, const int32_t *off,
                int64_t m)
{
    gemm_check(p->w, off, m);
    if (m == 0)
        return;
    struct gemm_grid grid = {.off = off, .n_mats = p->w->n_mats, .m = m};
    grid.n_panels = gemm_panels(p->n_out);
    grid.max_cut = p->is_transposed ? DX_ROWS : FWD_ROWS;
    grid.min_panels = CPU_NAME(gemm_tile_panels)(m / p->w->n_mats);
    grid.good_panels = GOOD_PANELS;
    grid.max_panels = MAX_PANELS;
    const int team = cpu_team(b, 2 * m * p->n_out * p->n_in);
    CPU_NAME(gemm_grid_fit)(&grid, team);
    int64_t next = 0;
    if (team == 1) {
        worker(p, &grid, &next, b);
        return;
    }
#pragma omp parallel num_threads(team)
    worker(p, &grid, &next, b);
}

void CPU_NAME(gemm_fwd)(struct backend *b, float *y, struct rows x,
                        const struct weight *w, const int32_t *off, int64_t m)
{
    const struct product p = {
        .out = y, .in = x, .n_out = w->n, .n_in = w->k, .w = w, .is_transposed = false};
    run(b, &p, off, m);
}

void CPU_NAME(gemm_dx)(struct backend *b, float *dx, struct rows dy,
                       const struct weight *w, const int32_t *off, int64_t m)
{
    const struct product p = {.out = dx,
                              .in = dy,
                              .n_out = w->k,
                              .n_in = w->n,
                              .w = w,
                              .is_transposed = true};
    run(b, &p, off, m);
}
