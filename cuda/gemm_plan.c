/*
 * The choice of kernel, tile and grid. Among the wgmma kernel's tiles the one of least
 * estimated time wins: a large tile reads less per product, small ones fill the device
 * and waste less where matrices have few rows. The choice cannot change a bit of a
 * result (gemm_tensor.h), so it may follow m freely.
 */
#include "cuda/gemm_plan.h"

#include "core/status.h"
#include "cuda/gemm_tensor_tile.h"

enum {
    WARPGROUP = 128,
    MMA_TILE_M = 128,
    MMA_TILE_N = 128,
    MMA_TILE_K = 32,
    WGMMA_TILE_K = 64, /* one 128-byte swizzled line of bf16 */
    WGMMA_MAX_STAGES = 8,
    WGMMA_BOXES = 4 * GEMM_N_BOXES * GEMM_BOX_BYTES, /* of a warpgroup */
    WGMMA_BARRIERS = (2 * WGMMA_MAX_STAGES + 2 * 4 * GEMM_N_BOXES) * 8,
    BF16_BYTES = 2
};

/* The wgmma kernel's tiles. Nanoseconds of a block for one step and for a tile's start
 * and end, fitted to fwd and dx of 16 x 3000 rows, 4096 x 1024, on an H200: only their
 * ratios matter, they choose the tile. */
static const struct {
    int32_t n_consumers, tile_n, blocks_per_sm, step_ns, tile_ns;
} wgmma_tiles[GEMM_N_TILES] = {
    [GEMM_TILE_128_256] = {2, 256, 1, 720, 3000},
    [GEMM_TILE_64_256] = {1, 256, 1, 415, 1100},
    [GEMM_TILE_64_64] = {1, 64, 2, 395, 500},
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

bool gemm_plan_fits_wgmma(enum gemm_form form, const struct gemm_shape *s)
{
    const int64_t ld_dy = s->ld_dy == 0 ? s->n : s->ld_dy;
    return s->k % 8 == 0 && (form == GEMM_FORM_FWD || ld_dy % 8 == 0);
}

bool gemm_plan_is_narrow(enum gemm_form form, const struct gemm_shape *s)
{
    return form == GEMM_FORM_FWD && s->n_mats == 1 && s->n <= GEMM_NARROW_N;
}

/* two int32 lists of n_mats + 1: tiles before each matrix, and its rows */
static int64_t list_bytes(int64_t n_mats)
{
    return round_up(2 * (n_mats + 1) * (int64_t)sizeof(int32_t), 16);
}

static int64_t mma_stage_bytes(enum gemm_form form)
{
    const int64_t k_major = MMA_TILE_M * (MMA_TILE_K + 8) * BF16_BYTES;
    const int64_t mn_major = MMA_TILE_K * (MMA_TILE_M + 8) * BF16_BYTES;
    return (form == GEMM_FORM_DW ? mn_major : k_major) +
           (form == GEMM_FORM_FWD ? k_major : mn_major);
}

/* bytes of both operands of one step */
static int64_t stage_bytes(const struct gemm_plan *p)
{
    return p->kernel == GEMM_KERNEL_MMA
               ? mma_stage_bytes(p->form)
               : (int64_t)(p->tile_m + p->tile_n) * p->tile_k * BF16_BYTES;
}

/* Everything that follows from kernel and tile. */
static void complete(struct gemm_plan *p, const struct gemm_shape *s,
                     const struct gemm_device *device)
{
    const int64_t cols = p->form == GEMM_FORM_FWD ? s->n : s->k;
    const bool is_wgmma = p->kernel == GEMM_KERNEL_WGMMA;
    const int64_t fixed = list_bytes(s->n_mats) +
                          (is_wgmma ? WGMMA_BARRIERS + p->n_consumers * WGMMA_BOXES
                                    : 0);
    const int64_t stage = stage_bytes(p);
    CHECK(s->n < INT32_MAX && s->k < INT32_MAX && s->m < INT32_MAX,
          "n %lld, k %lld, m %lld", (long long)s->n, (long long)s->k, (long long)s->m);
    p->n_col_tiles = ceil_div(cols, p->tile_n);
    /* each matrix with rows has at most one row tile that is not full */
    const int64_t n_used = s->n_mats < s->m ? s->n_mats : s->m;
    p->max_tiles = p->n_col_tiles * (p->form == GEMM_FORM_DW
                                         ? n_used * ceil_div(s->n, p->tile_m)
                                         : (s->m - n_used) / p->tile_m + n_used);
    CHECK(p->max_tiles < INT32_MAX, "%lld tiles", (long long)p->max_tiles);
    if (is_wgmma) {
        /* the hardware keeps 1 KiB of every block's share */
        const int64_t share = (device->smem_bytes + 1024) / p->blocks_per_sm - 1024;
        const int64_t fit = (share - fixed) / stage;
        p->n_stages = (int32_t)(fit < WGMMA_MAX_STAGES ? fit : WGMMA_MAX_STAGES);
    }
    p->smem_bytes = stage * p->n_stages + fixed;
    const int64_t slots = (int64_t)device->n_sms * p->blocks_per_sm;
    p->grid = p->max_tiles < slots ? p->max_tiles : slots;
}

void gemm_plan_wgmma(struct gemm_plan *plan, enum gemm_form form,
                     const struct gemm_shape *s, const struct gemm_device *device,
                     enum gemm_wgmma_tile tile)
{
    *plan = (struct gemm_plan){.form = form, .kernel = GEMM_KERNEL_WGMMA};
    plan->n_consumers = wgmma_tiles[tile].n_consumers;
    plan->tile_m = 64 * plan->n_consumers;
    plan->tile_n = wgmma_tiles[tile].tile_n;
    plan->tile_k = WGMMA_TILE_K;
    plan->n_threads = WARPGROUP * (1 + plan->n_consumers);
    plan->blocks_per_sm = wgmma_tiles[tile].blocks_per_sm;
    complete(plan, s, device);
}

/* Rounds of the grid times what a tile takes. The offsets are not known here: several
 * matrices are taken to end within a tile, on average in its middle; one tile of 128
 * rows in two then has at most 64 and takes about 0.6 of the time. */
static int64_t cost_ns(const struct gemm_plan *p, const struct gemm_shape *s,
                       const struct gemm_device *device, enum gemm_wgmma_tile tile)
{
    const int64_t n_used = s->n_mats < s->m ? s->n_mats : s->m;
    const bool is_dw = p->form == GEMM_FORM_DW;
    const int64_t n_red = p->form == GEMM_FORM_FWD  ? s->k
                          : p->form == GEMM_FORM_DX ? s->n
                                                    : ceil_div(s->m, s->n_mats);
    const int64_t row_tiles =
        is_dw || s->n_mats == 1
            ? n_used * ceil_div(is_dw ? s->n : s->m, p->tile_m)
            : s->m / p->tile_m + (n_used * (p->n_consumers == 2 ? 3 : 5) + 9) / 10;
    const int64_t n_tiles = row_tiles < n_used ? n_used : row_tiles;
    return ceil_div(n_tiles * p->n_col_tiles,
                    (int64_t)device->n_sms * p->blocks_per_sm) *
           (ceil_div(n_red, p->tile_k) * wgmma_tiles[tile].step_ns +
            wgmma_tiles[tile].tile_ns);
}

void gemm_plan_mma(struct gemm_plan *plan, enum gemm_form form,
                   const struct gemm_shape *s, const struct gemm_device *device)
{
    *plan = (struct gemm_plan){.form = form, .kernel = GEMM_KERNEL_MMA};
    plan->tile_m = MMA_TILE_M;
    plan->tile_n = MMA_TILE_N;
    plan->tile_k = MMA_TILE_K;
    plan->n_threads = 2 * WARPGROUP;
    plan->n_stages = GEMM_MMA_STAGES;
    plan->blocks_per_sm = 1;
    complete(plan, s, device);
    if (2 * plan->smem_bytes <= device->smem_bytes) {
        plan->blocks_per_sm = 2;
        complete(plan, s, device);
    }
}

void gemm_plan_choose(struct gemm_plan *plan, enum gemm_form form,
                      const struct gemm_shape *s, const struct gemm_device *device,
                      bool aligned)
{
    if (device->cc_major != 9 || device->cc_minor != 0 || !aligned ||
        gemm_plan_is_narrow(form, s) || !gemm_plan_fits_wgmma(form, s)) {
        gemm_plan_mma(plan, form, s, device);
        return;
    }
    int64_t best_ns = INT64_MAX;
    for (int i = 0; i < GEMM_N_TILES; i++) {
        const enum gemm_wgmma_tile tile = (enum gemm_wgmma_tile)i;
        struct gemm_plan p;
        gemm_plan_wgmma(&p, form, s, device, tile);
        const int64_t ns = cost_ns(&p, s, device, tile);
        if (ns < best_ns) {
            best_ns = ns;
            *plan = p;
        }
    }
}
