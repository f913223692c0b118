/*
 * How a matrix product is cut into tasks, see gemm.h. Only speed depends on it.
 */
#include "cpu/gemm.h"

/*
 * Many small tasks balance, few large ones waste less on copies: no task is cut below
 * FEW_TILES tiles by FEW_PANELS panels once every thread has one.
 */
enum { TASKS_PER_THREAD = 8, FEW_TASKS_PER_THREAD = 2, FEW_TILES = 4, FEW_PANELS = 4 };

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

/* Halves the longer side of a task (or lowers both to the floors); false: neither can.
 */
static bool shrink(struct gemm_grid *g, int64_t min_cut, int64_t min_panels)
{
    const bool can_cut = g->max_cut > min_cut, can_split = g->good_panels > min_panels;
    if (can_cut && (!can_split || g->max_cut >= g->good_panels * WEIGHT_PANEL))
        g->max_cut = gemm_max(min_cut, gemm_ceil_div(g->max_cut, 2));
    else if (can_split)
        g->good_panels = gemm_max(min_panels, g->good_panels / 2);
    return can_cut || can_split;
}

void CPU_NAME(gemm_grid_fit)(struct gemm_grid *g, int n_threads)
{
    int64_t longest = g->n_inputs;
    for (int64_t e = 0; e < g->n_mats && g->n_inputs == 0; e++)
        longest = gemm_max(longest, rows_of(g, e));
    g->max_cut = gemm_max(1, gemm_min(g->max_cut, longest));
    g->good_panels = gemm_max(g->min_panels, gemm_min(g->good_panels, g->n_panels));
    g->work = g->m * g->n_panels; /* times the share of the inputs, see blocks_of */
    if (n_threads == 1)
        return;
    g->work /= n_threads * TASKS_PER_THREAD;
    const int64_t good_panels = gemm_max(g->min_panels, FEW_PANELS);
    while (n_tasks(g) < n_threads * FEW_TASKS_PER_THREAD &&
           shrink(g, FEW_TILES * GEMM_ROWS, good_panels))
        ;
    while (n_tasks(g) < n_threads && (g->max_cut > GEMM_ROWS || g->good_panels > 1)) {
        g->min_panels = gemm_max(1, gemm_min(g->min_panels, g->good_panels / 2));
        shrink(g, GEMM_ROWS, g->min_panels);
    }
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
