/*
 * Sums and copies of plain memory. Small uploads go through pinned buffers, so that the
 * caller may reuse its memory at once and the stream need not stop; see struct
 * cuda_stage.
 */
#include <string.h>

#include "cuda/backend.cuh"

enum { ADD_THREADS = 256 };

static __global__ void k_add(float *y, const float *a, const float *c, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * ADD_THREADS + threadIdx.x;
    if (i < n)
        y[i] = a[i] + c[i];
}

void cuda_add(struct backend *b, float *y, const float *a, const float *c, int64_t n)
{
    if (n == 0)
        return;
    k_add<<<cuda_blocks(n, ADD_THREADS), ADD_THREADS, 0, cuda_stream(b)>>>(y, a, c, n);
    cuda_launched(b, "add");
}

void cuda_zero(struct backend *b, void *p, size_t bytes)
{
    if (bytes > 0)
        cuda_must(cudaMemsetAsync(p, 0, bytes, cuda_stream(b)), "zero");
}

void cuda_copy(struct backend *b, void *dst, const void *src, size_t bytes)
{
    if (bytes > 0)
        cuda_must(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, cuda_stream(b)),
                  "copy");
}

/* Room for `bytes` in the current half, or in the other once its copies are done. */
static char *stage_take(struct backend *b, size_t bytes)
{
    struct cuda_stage *const up = &cuda_state(b)->up;
    if (up->used + bytes > CUDA_STAGE_BYTES) {
        cuda_must(cudaEventRecord(up->copied[up->current], cuda_stream(b)), "upload");
        up->current ^= 1;
        up->used = 0;
        cuda_must(cudaEventSynchronize(up->copied[up->current]), "upload");
    }
    char *const at = up->half[up->current] + up->used;
    up->used += (bytes + 15) / 16 * 16;
    return at;
}

void cuda_upload(struct backend *b, void *dst, const void *host_src, size_t bytes)
{
    const cudaStream_t stream = cuda_stream(b);
    const void *from = host_src;
    if (bytes == 0)
        return;
    if (bytes <= CUDA_STAGE_BYTES) {
        char *const staged = stage_take(b, bytes);
        memcpy(staged, host_src, bytes);
        from = staged;
    }
    cuda_must(cudaMemcpyAsync(dst, from, bytes, cudaMemcpyDefault, stream), "upload");
    if (from == host_src)
        cuda_must(cudaStreamSynchronize(stream), "upload");
}

void cuda_download(struct backend *b, void *host_dst, const void *src, size_t bytes)
{
    const cudaStream_t stream = cuda_stream(b);
    char *const staged = cuda_state(b)->down;
    const bool is_small = bytes <= CUDA_STAGE_BYTES;
    if (bytes == 0)
        return;
    cuda_must(cudaMemcpyAsync(is_small ? staged : host_dst, src, bytes,
                              cudaMemcpyDefault, stream),
              "download");
    cuda_must(cudaStreamSynchronize(stream), "download");
    if (is_small)
        memcpy(host_dst, staged, bytes);
}
