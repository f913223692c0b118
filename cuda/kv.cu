/*
 * Rows of keys and values into the pages, and the pages' gradients back into rows. A
 * block is a row; a thread moves some of its values to every slot.
 */
#include "cuda/backend.cuh"

enum { KV_THREADS = 128 };

/* Of a slot: where value i of a row's 2 G head_dim lies; G heads of k, then of v */
static __device__ __forceinline__ int64_t slot_at(int32_t slot, int64_t i,
                                                  int64_t n_kv_heads, int64_t head_dim)
{
    const int64_t page = slot / KV_BLOCK, index = slot % KV_BLOCK;
    const int64_t g = i / head_dim % n_kv_heads, d = i % head_dim;
    const int64_t head = (page * n_kv_heads + g) * 2 * head_dim * KV_BLOCK;
    return i < n_kv_heads * head_dim ? head + d * KV_BLOCK + index
                                     : head + (KV_BLOCK + index) * head_dim + d;
}

static __global__ void k_kv_write(float *cache, const float *kv, const int32_t *dst_off,
                                  const int32_t *dst, int64_t n_kv_heads,
                                  int64_t head_dim, int64_t ld)
{
    const int64_t r = blockIdx.x;
    for (int64_t i = threadIdx.x; i < 2 * n_kv_heads * head_dim; i += KV_THREADS)
        for (int32_t s = dst_off[r]; s < dst_off[r + 1]; s++)
            cache[slot_at(dst[s], i, n_kv_heads, head_dim)] = kv[r * ld + i];
}

void cuda_kv_write(struct backend *b, float *cache, const float *kv,
                   const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,
                   int64_t head_dim, int64_t ld, int64_t m)
{
    if (m == 0)
        return;
    k_kv_write<<<cuda_blocks(m, 1), KV_THREADS, 0, cuda_stream(b)>>>(
        cache, kv, dst_off, dst, n_kv_heads, head_dim, ld);
    cuda_launched(b, "kv_write");
}

static __global__ void k_kv_read(float *dkv, const float *dcache,
                                 const int32_t *dst_off, const int32_t *dst,
                                 int64_t n_kv_heads, int64_t head_dim, int64_t ld)
{
    const int64_t r = blockIdx.x;
    for (int64_t i = threadIdx.x; i < 2 * n_kv_heads * head_dim; i += KV_THREADS) {
        float sum = 0;
        for (int32_t s = dst_off[r]; s < dst_off[r + 1]; s++)
            sum = sum + dcache[slot_at(dst[s], i, n_kv_heads, head_dim)];
        dkv[r * ld + i] = sum;
    }
}

void cuda_kv_read_bwd(struct backend *b, float *dkv, const float *dcache,
                      const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,
                      int64_t head_dim, int64_t ld, int64_t m)
{
    if (m == 0)
        return;
    k_kv_read<<<cuda_blocks(m, 1), KV_THREADS, 0, cuda_stream(b)>>>(
        dkv, dcache, dst_off, dst, n_kv_heads, head_dim, ld);
    cuda_launched(b, "kv_read_bwd");
}
