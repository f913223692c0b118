/*
 * The choice of kernel, tile and grid. Large products take the largest tile; few rows
 * per matrix take a lower tile, and where that still leaves most of the device without
 * work, a narrower one. The choice cannot change a bit of a result (gemm_tensor.h), so
 * it may follow m freely.
 */
#include "cuda/gemm_plan.h"

#include "core/status.h"
#include "cuda/gemm_tensor_tile.h"

#ifndef GEMM_STAGED
#define GEMM_STAGED 1
#endif
enum {
    WARPGROUP = 128,
    MMA_TILE_M = 128,
    MMA_TILE_N = 128,
    MMA_TILE_K = 32,
    WGMMA_TILE_K = 64, /* one 128-byte swizzled line of bf16 */
    WGMMA_MAX_STAGES = 8,
    WGMMA_STAGING = /* of a warpgroup: two buffers for each of 4 warps */
    GEMM_STAGED * 4 * 2 * GEMM_STAGING_LINES * (GEMM_STAGING_WIDTH + GEMM_STAGING_PAD) *
    4,
    WGMMA_BARRIERS = 2 * WGMMA_MAX_STAGES * 8,
    BF16_BYTES = 2
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

int64_t gemm_plan_stage_bytes(const struct gemm_plan *p)
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
    const int64_t fixed = list_bytes(s->n_mats) +
                          (p->kernel == GEMM_KERNEL_MMA
                               ? 0
                               : WGMMA_BARRIERS + p->n_consumers * WGMMA_STAGING);
    const int64_t tile_m = p->tile_m * p->cluster;
    const int64_t stage = gemm_plan_stage_bytes(p);
    CHECK(s->n < INT32_MAX && s->k < INT32_MAX && s->m < INT32_MAX,
          "n %lld, k %lld, m %lld", (long long)s->n, (long long)s->k, (long long)s->m);
    p->n_col_tiles = ceil_div(cols, p->tile_n);
    /* each matrix with rows has at most one row tile that is not full */
    const int64_t n_used = s->n_mats < s->m ? s->n_mats : s->m;
    p->max_tiles = p->n_col_tiles * (p->form == GEMM_FORM_DW
                                         ? n_used * ceil_div(s->n, tile_m)
                                         : (s->m - n_used) / tile_m + n_used);
    CHECK(p->max_tiles < INT32_MAX, "%lld tiles", (long long)p->max_tiles);
    if (p->kernel == GEMM_KERNEL_WGMMA) {
        const int64_t fit = (device->smem_bytes - fixed) / stage / p->blocks_per_sm;
        p->n_stages = (int32_t)(fit < WGMMA_MAX_STAGES ? fit : WGMMA_MAX_STAGES);
    }
    p->smem_bytes = stage * p->n_stages + fixed;
    const int64_t slots = (int64_t)device->n_sms * p->blocks_per_sm / p->cluster;
    p->grid = (p->max_tiles < slots ? p->max_tiles : slots) * p->cluster;
}

static void set_wgmma_tile(struct gemm_plan *p, const struct gemm_shape *s,
                           const struct gemm_device *device, enum gemm_wgmma_tile tile)
{
    p->kernel = GEMM_KERNEL_WGMMA;
    p->cluster = tile == GEMM_TILE_PAIR_128_256 ? 2 : 1;
    p->n_consumers = tile <= GEMM_TILE_128_256 ? 2 : 1;
    p->tile_m = 64 * p->n_consumers;
    p->tile_n = tile == GEMM_TILE_64_64 ? 64 : 256;
    p->tile_k = WGMMA_TILE_K;
    p->n_threads = WARPGROUP * (1 + p->n_consumers);
    p->blocks_per_sm = 1;
    complete(p, s, device);
}

void gemm_plan_wgmma(struct gemm_plan *plan, enum gemm_form form,
                     const struct gemm_shape *s, const struct gemm_device *device,
                     enum gemm_wgmma_tile tile)
{
    *plan = (struct gemm_plan){.form = form};
    set_wgmma_tile(plan, s, device,
                   form == GEMM_FORM_DW && tile > GEMM_TILE_128_256 ? GEMM_TILE_128_256
                                                                    : tile);
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
    plan->cluster = 1;
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
        !gemm_plan_fits_wgmma(form, s)) {
        gemm_plan_mma(plan, form, s, device);
        return;
    }
    gemm_plan_wgmma(plan, form, s, device, GEMM_TILE_128_256);
    if (form == GEMM_FORM_DW)
        return;
    /* half of the last row tile of each matrix is empty on average */
    const int64_t rows_per_mat = s->m / s->n_mats;
    if (rows_per_mat <= 192)
        gemm_plan_wgmma(plan, form, s, device, GEMM_TILE_64_256);
    if (plan->max_tiles < device->n_sms)
        gemm_plan_wgmma(plan, form, s, device, GEMM_TILE_64_64);
}
