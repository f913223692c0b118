/*
 * Private to cuda/: what the kernels of RMSNorm share.
 */
#ifndef CUDA_NORM_CUH
#define CUDA_NORM_CUH

#include "cuda/backend.cuh"

/* 1 / sqrt(mean(x^2) + eps) of a row of k values, by a half warp: the row rule */
static __device__ __forceinline__ float row_rsqrt(const float *x, float eps, int64_t k,
                                                  int lane)
{
    float acc = 0;
#pragma unroll 16
    for (int64_t i = lane; i < k; i += LANES)
        acc = fmaf(x[i], x[i], acc);
    return f_rsqrt(fold_sum(acc) / (float)k + eps);
}

#endif
