/*
 * Matrix products on tensor cores: bf16 operands, fp32 accumulation and results, for
 * one matrix or for the experts of a layer (rows sorted by expert, offsets on the
 * device). The CUDA backend's gemm ops call these in tensor mode.
 *
 * All calls enqueue one kernel on `stream` and return: no synchronisation, no host
 * copy, no allocation, no workspace; they can be captured into a graph (pointers, m and
 * shapes are then fixed, the offsets' values are read when the graph runs).
 *
 * Groups. Rows off[e] .. off[e+1]-1 use matrix e. off[0] = 0, ascending (equal for an
 * expert without rows), off[n_mats] = m. `off` may be NULL when n_mats == 1: then all m
 * rows use it. Rows at or past off[n_mats] are neither read into a result nor written.
 *
 * Exactness. Every element is one fp32 accumulator over the reduction in ascending
 * order, 16 terms per instruction; how the tensor core adds those 16 is the hardware's
 * affair, but the same for every row, tile and call. So
 *  - y and dx: the bits of a row depend on that row and its matrix, never on m, on the
 *    other rows, on the offsets or on the tile that the plan chose;
 *  - dw: the accumulator starts from the value in memory; the same call gives the same
 *    bits. One block owns a tile from first row to last: no atomics, no split-K.
 *    (Cutting a batch of rows into two calls at a multiple of 16 of an expert's rows
 *    continues the same chain; elsewhere it regroups terms within an instruction.)
 * The two kernels (gemm_plan.h) group terms differently and may differ in last bits:
 * which one runs depends on the device, form, n, k, n_mats and the operands' alignment
 * only.
 *
 * Alignment. Any n, k >= 1 and m >= 0. wgmma is used on compute capability 9.0 when x,
 * dy, w and the result start on 16 bytes, k is a multiple of 8 and (dx, dw) ld_dy is
 * one: pad the rows of dy where n, a vocabulary say, is not. Everything else takes the
 * portable kernel, which reads rows that do not start on 16 bytes element by element.
 * What lies between n and ld_dy is not read. No pointer may alias another of the call.
 */
#ifndef CUDA_GEMM_TENSOR_H
#define CUDA_GEMM_TENSOR_H

#include <stdint.h>

#include "core/status.h"
#include "cuda/gemm_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st; /* cudaStream_t is a pointer to it */
struct gemm_tensor; /* device limits and the driver's tensor-map encoder; immutable */

struct gemm_groups {
    int64_t n_mats, n, k;
    const int32_t *off; /* (n_mats + 1), device memory; NULL when n_mats == 1 */
    int64_t m;
    int64_t ld_dy; /* elements from one row of dy to the next; 0: n */
};

/* For the calling thread's current device. ERR_DEVICE below compute capability 8.0. */
WARN_UNUSED int gemm_tensor_create(struct gemm_tensor **out);
void gemm_tensor_free(struct gemm_tensor *t); /* NULL is fine */
/* Take this kernel where a call allows it (tests and benchmarks compare them). Forcing
 * GEMM_KERNEL_WGMMA where the device lacks it is ERR_CONFIG. */
WARN_UNUSED int gemm_tensor_force(struct gemm_tensor *t, enum gemm_kernel kernel);
const struct gemm_device *gemm_tensor_device(const struct gemm_tensor *t);
/* The driver's cuTensorMapEncodeTiled where wgmma may be used, else NULL */
void *gemm_tensor_encoder(const struct gemm_tensor *t);

/* bf16 values are passed as their 16 bits. Device pointers, row-major, dense:
 *   x (m, k), dy (m, n) of pitch ld_dy, w (n_mats, n, k);
 *   y (m, n) =, dx (m, k) =, dw like w, +=.
 * Errors: ERR_DEVICE with CUDA's text if the launch fails. */
WARN_UNUSED int gemm_tensor_fwd(const struct gemm_tensor *t, struct CUstream_st *stream,
                                float *y, const uint16_t *x, const uint16_t *w,
                                const struct gemm_groups *g);
WARN_UNUSED int gemm_tensor_dx(const struct gemm_tensor *t, struct CUstream_st *stream,
                               float *dx, const uint16_t *dy, const uint16_t *w,
                               const struct gemm_groups *g);
WARN_UNUSED int gemm_tensor_dw(const struct gemm_tensor *t, struct CUstream_st *stream,
                               float *dw, const uint16_t *dy, const uint16_t *x,
                               const struct gemm_groups *g);
/* The same with a plan of the caller's for this call (gemm_plan_mma, gemm_plan_wgmma);
 * for tests that compare tiles. out, a, b are y, x, w; dx, dy, w; or dw, dy, x by
 * plan->form. */
WARN_UNUSED int gemm_tensor_run(const struct gemm_tensor *t, struct CUstream_st *stream,
                                const struct gemm_plan *plan, float *out,
                                const uint16_t *a, const uint16_t *b,
                                const struct gemm_groups *g);

#ifdef __cplusplus
}
#endif
#endif
