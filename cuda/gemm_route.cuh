/*
 * Private to cuda/: products of BF16 weights on the tensor cores, if the backend was
 * opened for that. Each returns false where the exact kernels have to do it.
 */
#ifndef CUDA_GEMM_ROUTE_CUH
#define CUDA_GEMM_ROUTE_CUH

#include "cuda/backend.cuh"

bool gemm_route_fwd(struct backend *b, float *y, struct rows x, const struct weight *w,
                    const int32_t *off, int64_t m);
bool gemm_route_dx(struct backend *b, float *dx, struct rows dy, const struct weight *w,
                   const int32_t *off, int64_t m);
bool gemm_route_dw(struct backend *b, float *dw, struct rows dy, struct rows x,
                   const struct weight *w, const int32_t *off, int64_t m);

#endif
