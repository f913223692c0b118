/*
 * How a matrix product is cut into tasks, see gemm.h. Only speed depends on it.
 */
#include "cpu/gemm.h"

/*
 * Many small tasks balance, few large ones waste less on copies: no cut below FEW_TILES
 * tiles once every thread has FEW_TASKS.
 */
enum { TASKS_PER_THREAD = 12, FEW_TASKS_PER_THREAD = 4, FEW_TILES = 4 };

static int64_t rows_of(const struct gemm_grid *g, int64_t mat)
{
    return g->off == NULL ? g->m : g->off[mat + 1] - g->off[mat];
}

struct blocks {
    int64_t n_cuts, n_panel_blocks;
};

static struct blocks blocks_of(const struct gemm_grid *g, int64_t n_rows)
{
    if (n_rows == 0)
        return (struct blocks){0, 0};
    const int64_t length = g->n_inputs > 0 ? g->n_inputs : n_rows;
    const int64_t n_cuts = gemm_ceil_div(length, g->max_cut);
    const int64_t fair = g->work / gemm_max(1, n_rows / n_cuts);
    const int64_t panels = gemm_max(g->good_panels, gemm_min(fair, g->max_panels)) /
                           g->min_panels;
    const int64_t step = gemm_max(1, panels) * g->min_panels;
    return (struct blocks){n_cuts, gemm_ceil_div(g->n_panels, step)};
}

static int64_t n_tasks(const struct gemm_grid *g)
{
    int64_t n = 0;
    for (int64_t e = 0; e < g->n_mats; e++) {
        const struct blocks b = blocks_of(g, rows_of(g, e));
        n += b.n_cuts * b.n_panel_blocks;
    }
    return n;
}

void CPU_NAME(gemm_grid_fit)(struct gemm_grid *g, int n_threads)
{
    g->work = g->m * g->n_panels; /* times the share of the inputs, see blocks_of */
    if (n_threads == 1)
        return;
    g->work /= n_threads * TASKS_PER_THREAD;
    while (g->max_cut > FEW_TILES * GEMM_ROWS &&
           n_tasks(g) < n_threads * FEW_TASKS_PER_THREAD)
        g->max_cut = gemm_max(FEW_TILES * GEMM_ROWS, g->max_cut / 2);
    while (g->good_panels > g->min_panels && n_tasks(g) < n_threads)
        g->good_panels = gemm_max(g->min_panels, g->good_panels / 2);
    while (g->max_cut > GEMM_ROWS && n_tasks(g) < n_threads)
        g->max_cut = gemm_max(GEMM_ROWS, g->max_cut / 2);
}

/* Part i of n of `total`, cut at multiples of `step`: its start (i = n: the end). */
static int64_t cut_at(int64_t total, int64_t step, int64_t n, int64_t i)
{
    return gemm_min(total, gemm_ceil_div(total, step) * i / n * step);
}

bool CPU_NAME(gemm_grid_seek)(const struct gemm_grid *g, struct gemm_cursor *c,
                              int64_t index, struct gemm_task *out)
{
    for (; c->mat < g->n_mats; c->mat++) {
        const int64_t n_rows = rows_of(g, c->mat);
        const struct blocks b = blocks_of(g, n_rows);
        const int64_t i = index - c->first;
        if (i >= b.n_cuts * b.n_panel_blocks) {
            c->first += b.n_cuts * b.n_panel_blocks;
            continue;
        }
        const int64_t block = i / b.n_cuts, cut = i % b.n_cuts;
        const int64_t step = n_rows > GEMM_ROWS ? 1 : g->min_panels;
        const int64_t p0 = cut_at(g->n_panels, step, b.n_panel_blocks, block);
        const int64_t p1 = cut_at(g->n_panels, step, b.n_panel_blocks, block + 1);
        const int64_t row0 = g->off == NULL ? 0 : g->off[c->mat];
        *out = (struct gemm_task){.mat = c->mat,
                                  .row0 = row0,
                                  .n_rows = n_rows,
                                  .panel0 = p0,
                                  .n_panels = p1 - p0};
        const int64_t length = g->n_inputs > 0 ? g->n_inputs : n_rows;
        const int64_t c0 = cut_at(length, 1, b.n_cuts, cut);
        const int64_t c1 = cut_at(length, 1, b.n_cuts, cut + 1);
        if (g->n_inputs > 0) {
            out->input0 = c0;
            out->n_inputs = c1 - c0;
        } else {
            out->row0 = row0 + c0;
            out->n_rows = c1 - c0;
        }
        return true;
    }
    return false;
}
