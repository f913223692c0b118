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
    bool a_aligned, b_aligned; /* every row starts on 16 bytes */
};

/* base and row_off (n_mats + 1 each), by the whole block; the caller synchronises once
 * more. The offsets arrive with one latency; one warp then sums 32 matrices at a time.
 */
static __device__ __forceinline__ void gemm_build_lists(const struct gemm_job &job,
                                                        int32_t *base, int32_t *row_off)
{
    const int32_t n_mats = job.space.n_mats, thread = (int32_t)threadIdx.x;
    for (int32_t e = thread; e <= n_mats; e += (int32_t)blockDim.x)
        row_off[e] = job.off != nullptr ? job.off[e] : e == 0 ? 0 : job.space.m;
    __syncthreads();
    if (thread >= 32)
        return;
    int32_t n_before = 0;
    for (int32_t e0 = 0; e0 < n_mats; e0 += 32) {
        const int32_t e = e0 + thread;
        int32_t sum = 0;
        if (e < n_mats)
            sum = gemm_tiles_of(&job.space, row_off[e + 1] - row_off[e]);
        for (int32_t d = 1; d < 32; d *= 2) {
            const int32_t up = __shfl_up_sync(0xffffffffu, sum, d);
            sum += thread >= d ? up : 0;
        }
        if (e < n_mats)
            base[e + 1] = n_before + sum;
        n_before += __shfl_sync(0xffffffffu, sum, 31);
    }
    if (thread == 0)
        base[0] = 0;
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
