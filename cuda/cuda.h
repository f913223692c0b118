/*
 * The CUDA backend: every op of core/ops.h on one NVIDIA GPU of compute capability 8.0
 * or later.
 *
 * Exact mode gives the bits of cpu/: the same order in every reduction, IEEE operations
 * only. Tensor mode differs in the three matrix products of BF16 weights: both operands
 * are rounded to bf16, products are summed in fp32 on tensor cores (row-invariant too,
 * but weight gradients depend in last bits on where batches are cut:
 * cuda/gemm_tensor.h), in the products inside the attention of a BF16 model with heads
 * of 32, 64 or 128 dims, and in how rows add up in the gradient of a BF16 norm;
 * everything else stays as in exact mode.
 *
 * Ops are enqueued on one stream and return at once; `download` and `norms` wait, and
 * so does `upload` of more than a few MiB. `reserve` gives zeroed device memory,
 * `reserve_host` zeroed page-locked host memory, which kernels reach across the bus. No
 * op allocates once the backend's scratch has grown to what the largest call needs. A
 * device fault ends the program with the exit status of ERR_DEVICE, since no op can
 * report one.
 *
 * cudart is linked statically and finds the driver by itself: without one, or without a
 * GPU, cuda_backend_init is ERR_DEVICE and the program runs on. cuBLAS is not used.
 */
#ifndef CUDA_CUDA_H
#define CUDA_CUDA_H

#include <stdbool.h>
#include <stddef.h>

#include "core/ops.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum cuda_matmul { CUDA_MATMUL_EXACT, CUDA_MATMUL_TENSOR };

/* Fills *b for GPU number `device` of those this process sees. */
WARN_UNUSED int cuda_backend_init(struct backend *b, int device,
                                  enum cuda_matmul matmul);
void cuda_backend_release(struct backend *b);

/* Whether products of weights of this dtype go to the tensor cores. */
bool cuda_backend_uses_tensor(const struct backend *b, enum dtype dtype);
/* Waits for all enqueued ops. */
void cuda_backend_sync(struct backend *b);
/* Of the GPU: bytes free now and in all. */
void cuda_backend_memory(const struct backend *b, size_t *free_out, size_t *total_out);
/* Device time between two marks, for benchmarks: mark 0 or 1, then the difference. */
void cuda_backend_mark(struct backend *b, int which);
double cuda_backend_ms(struct backend *b);

/* Page-locked host memory that host and kernels use at the same address; for tests of
 * ops on host data. NULL without a GPU. */
void *cuda_pinned_reserve(size_t bytes);
void cuda_pinned_release(void *p);

#ifdef __cplusplus
}
#endif
#endif
