/*
 * How a grouped matrix product is cut into tiles and launched: host code that needs no
 * GPU, so that tests can walk every decision.
 *
 * One product in three forms over E matrices W (n, k) and m rows sorted by matrix:
 *   fwd  y (m, n)      = x W^T      reduces over k
 *   dx   dx (m, k)     = dy W       reduces over n
 *   dw   dw (E, n, k) += dy^T x     reduces over a matrix's own rows
 * An output tile is tile_m x tile_n: rows x outputs for fwd and dx; n x k for dw. A
 * tile never crosses from one matrix to the next, so at most one tile per matrix and
 * column is partly empty. No tile is split along its reduction (no split-K).
 */
#ifndef CUDA_GEMM_PLAN_H
#define CUDA_GEMM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gemm_form { GEMM_FORM_FWD, GEMM_FORM_DX, GEMM_FORM_DW };

/* The kernels: mma.sync + cp.async (compute capability 8.0 and later), or wgmma + TMA
 * (9.0 alone: these instructions belong to that architecture). */
enum gemm_kernel { GEMM_KERNEL_MMA, GEMM_KERNEL_WGMMA };

/* Limits of the device, as cudaGetDeviceProperties gives them. */
struct gemm_device {
    int cc_major, cc_minor; /* compute capability */
    int n_sms;
    int64_t smem_bytes; /* shared memory one block can opt in to */
};

struct gemm_shape {
    int64_t n_mats, n, k, m;
    int64_t ld_dy; /* elements from one row of dy to the next; 0: n */
};

/* The wgmma kernel's tiles, rows x columns. Equal bits whichever is taken. */
enum gemm_wgmma_tile {
    GEMM_TILE_128_256,
    GEMM_TILE_64_256,
    GEMM_TILE_64_64,
    GEMM_N_TILES
};
enum {
    GEMM_MAX_MATS = 1024, /* their tile lists lie in shared memory */
    GEMM_MMA_STAGES = 3,  /* of the mma kernel, which counts on them */
    GEMM_NARROW_N = 256   /* see gemm_plan_is_narrow */
};

struct gemm_plan {
    enum gemm_form form;
    enum gemm_kernel kernel;
    int32_t tile_m, tile_n, tile_k; /* of the output, and one step of the reduction */
    int32_t n_stages;               /* steps in flight */
    int32_t n_consumers;            /* wgmma: warpgroups that multiply */
    int32_t n_threads, blocks_per_sm;
    int64_t n_col_tiles; /* tiles across the output's columns */
    int64_t max_tiles;   /* bound on all tiles; the true count needs the offsets */
    int64_t grid;        /* blocks: persistent, each takes every grid-th tile */
    int64_t smem_bytes;  /* dynamic shared memory of a block */
};

/* Whether TMA can read the form's operands: k, and for dx and dw ld_dy, are multiples
 * of 8, so that rows start on 16 bytes. */
bool gemm_plan_fits_wgmma(enum gemm_form form, const struct gemm_shape *s);

/* Whether the form is fwd of one matrix with so few columns, a router's, that mma.sync
 * makes it on every device: route.cu does the same in a decode step, to the bit. */
bool gemm_plan_is_narrow(enum gemm_form form, const struct gemm_shape *s);

/* Fill *plan; depends on the arguments alone. `aligned`: all operands start on 16
 * bytes, which TMA needs. 1 <= n_mats <= GEMM_MAX_MATS, n, k >= 1, m >= 0; m == 0 gives
 * a grid of 0 blocks. */
void gemm_plan_choose(struct gemm_plan *plan, enum gemm_form form,
                      const struct gemm_shape *s, const struct gemm_device *device,
                      bool aligned);
/* The same with the kernel (and tile) given. */
void gemm_plan_mma(struct gemm_plan *plan, enum gemm_form form,
                   const struct gemm_shape *s, const struct gemm_device *device);
void gemm_plan_wgmma(struct gemm_plan *plan, enum gemm_form form,
                     const struct gemm_shape *s, const struct gemm_device *device,
                     enum gemm_wgmma_tile tile);

#ifdef __cplusplus
}
#endif
#endif
