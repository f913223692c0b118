/*
 * What both tensor-core kernels share: the launch arguments, and the tile lists every
 * block builds in shared memory from the device's offsets before it starts.
 */
#ifndef CUDA_GEMM_TENSOR_JOB_CUH
#define CUDA_GEMM_TENSOR_JOB_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/gemm_tensor_tile.h"

struct gemm_job {
    struct gemm_space space;
    float *out;
    const uint16_t *a, *b; /* of out: x, w; dy, w; dy, x */
    const int32_t *off;    /* device memory, or NULL */
    int32_t n_stages;
    bool aligned; /* every line of both operands starts on 16 bytes */
};

/* base and row_off (n_mats + 1 each), by the first warp of the block; the caller
 * synchronises. One prefix sum over 32 matrices at a time. */
static __device__ __forceinline__ void gemm_build_lists(const struct gemm_job &job,
                                                        int32_t *base, int32_t *row_off)
{
    const int32_t n_mats = job.space.n_mats, lane = (int32_t)threadIdx.x;
    if (lane >= 32)
        return;
    int32_t n_before = 0;
    for (int32_t e0 = 0; e0 < n_mats; e0 += 32) {
        const int32_t e = e0 + lane;
        const bool valid = e < n_mats;
        const int32_t first = job.off == nullptr || !valid ? 0 : job.off[e];
        const int32_t last = !valid               ? 0
                             : job.off == nullptr ? job.space.m
                                                  : job.off[e + 1];
        const int32_t own = valid ? gemm_tiles_of(&job.space, last - first) : 0;
        int32_t sum = own;
        for (int32_t d = 1; d < 32; d *= 2) {
            const int32_t up = __shfl_up_sync(0xffffffffu, sum, d);
            sum += lane >= d ? up : 0;
        }
        if (valid) {
            base[e] = n_before + sum - own;
            row_off[e] = first;
            if (e == n_mats - 1) {
                base[n_mats] = n_before + sum;
                row_off[n_mats] = last;
            }
        }
        n_before += __shfl_sync(0xffffffffu, sum, 31);
    }
}

int gemm_tensor_launch_mma(cudaStream_t stream, const struct gemm_plan *plan,
                           const struct gemm_job *job);
/* encode_tiled: the driver's cuTensorMapEncodeTiled */
int gemm_tensor_launch_wgmma(cudaStream_t stream, const struct gemm_plan *plan,
                             const struct gemm_job *job, void *encode_tiled);
/* Raise both kernels' shared memory limits on the current device. */
int gemm_tensor_prepare_mma(const struct gemm_device *device);
int gemm_tensor_prepare_wgmma(const struct gemm_device *device);

#endif
