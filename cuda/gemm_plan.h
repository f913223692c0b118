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
};

/* TMA needs 16-byte aligned bases: whether every operand of this call has one. */
struct gemm_plan {
    enum gemm_form form;
    enum gemm_kernel kernel;
    int32_t tile_m, tile_n, tile_k; /* of the output, and one step of the reduction */
    int32_t n_stages;               /* steps in flight */
    int32_t n_consumers;            /* wgmma: warpgroups that multiply */
    int32_t n_threads;
    int64_t n_cols_tiles; /* tiles across the output's columns */
    int64_t max_tiles;    /* bound on all tiles; the true count needs the offsets */
    int64_t grid;         /* blocks: persistent, each takes every grid-th tile */
    int64_t smem_bytes;   /* dynamic shared memory of a block */
};

/* Whether TMA can read these operands: rows of both dimensions are multiples of 16
 * bytes and the shape fits the tile lists in shared memory. */
bool gemm_plan_fits_wgmma(const struct gemm_shape *s);

/* Fill *plan. Depends on the arguments alone. `aligned`: all operands start on 16
 * bytes. Any shape of at least one matrix, n, k >= 1 and m >= 0 has a plan. */
void gemm_plan_choose(struct gemm_plan *plan, enum gemm_form form,
                      const struct gemm_shape *s, const struct gemm_device *device,
                      bool aligned);

#ifdef __cplusplus
}
#endif
#endif
