/*
 * Private to cuda/: the turn of one pair of dims, (x1, x2) by (c, s).
 */
#ifndef CUDA_ROPE_CUH
#define CUDA_ROPE_CUH

#include "cuda/backend.cuh"

static __device__ __forceinline__ void rope_turn(float *x1, float *x2, float c, float s)
{
    const float a = *x1, b = *x2;
    *x1 = fmaf(b, 0.0f - s, a * c);
    *x2 = fmaf(a, s, b * c);
}

#endif
