/*
 * Rows of keys and values into the pages, and the pages' gradients back into rows. A
 * block is a row; a thread moves some of its values to every slot. Pages of the
 * tensor-core attention hold bf16 rows (attention_tensor.cuh).
 */
#include "cuda/attention.cuh"

enum { KV_THREADS = 256 };

/* Of a slot: where value i of a row's 2 G head_dim lies; G heads of k, then of v */
static __device__ __forceinline__ int64_t slot_at(int32_t slot, int i, int n_kv_heads,
                                                  int head_dim)
{
    const int page = slot / KV_BLOCK, index = slot % KV_BLOCK;
    const int g = i / head_dim, d = i % head_dim;
    const bool is_key = g < n_kv_heads;
    const int64_t head = ((int64_t)page * n_kv_heads + (is_key ? g : g - n_kv_heads)) *
                         2 * head_dim * KV_BLOCK;
    return head + (is_key ? d * KV_BLOCK + index : (KV_BLOCK + index) * head_dim + d);
}

static void check_width(int64_t n_kv_heads, int64_t head_dim)
{
    CHECK(n_kv_heads * head_dim <= 1 << 20, "%lld kv heads of %lld",
          (long long)n_kv_heads, (long long)head_dim);
}

static __global__ void k_kv_write(float *cache, const float *kv, const int32_t *dst_off,
                                  const int32_t *dst, int n_kv_heads, int head_dim,
                                  int64_t ld)
{
    const int64_t r = blockIdx.x;
    const int32_t begin = dst_off[r], end = dst_off[r + 1];
    for (int i = threadIdx.x; i < 2 * n_kv_heads * head_dim; i += KV_THREADS)
        for (int32_t s = begin; s < end; s++)
            cache[slot_at(dst[s], i, n_kv_heads, head_dim)] = kv[r * ld + i];
}

/* Pairs of adjacent values, rounded */
static __global__ void k_kv_write_narrow(float *cache, const float *kv,
                                         const int32_t *dst_off, const int32_t *dst,
                                         int n_kv_heads, int head_dim, int64_t ld)
{
    const int64_t r = blockIdx.x;
    const int32_t begin = dst_off[r], end = dst_off[r + 1];
    for (int i = threadIdx.x; i < n_kv_heads * head_dim; i += KV_THREADS) {
        const int g = 2 * i / head_dim, d = 2 * i % head_dim;
        const bool is_key = g < n_kv_heads;
        const float *const from = kv + r * ld + 2 * i;
        const uint32_t pair = bf16_from_bits(bits_of(from[0])) |
                              (uint32_t)bf16_from_bits(bits_of(from[1])) << 16;
        for (int32_t s = begin; s < end; s++) {
            const int64_t head = (int64_t)(dst[s] / KV_BLOCK) * n_kv_heads +
                                 (is_key ? g : g - n_kv_heads);
            uint16_t *const rows = (uint16_t *)(cache + head * 2 * head_dim * KV_BLOCK);
            const int row = dst[s] % KV_BLOCK + (is_key ? 0 : KV_BLOCK);
            *(uint32_t *)&rows[row * head_dim + d] = pair;
        }
    }
}

void cuda_kv_write(struct backend *b, float *cache, const float *kv,
                   const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,
                   int64_t head_dim, int64_t ld, bool is_narrow, int64_t m)
{
    check_width(n_kv_heads, head_dim);
    if (m == 0)
        return;
    const bool is_tensor = attn_is_tensor(b, is_narrow, head_dim);
    (is_tensor ? k_kv_write_narrow
               : k_kv_write)<<<cuda_blocks(m, 1), KV_THREADS, 0, cuda_stream(b)>>>(
        cache, kv, dst_off, dst, (int)n_kv_heads, (int)head_dim, ld);
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
    check_width(n_kv_heads, head_dim);
    if (m == 0)
        return;
    k_kv_read<<<cuda_blocks(m, 1), KV_THREADS, 0, cuda_stream(b)>>>(
        dkv, dcache, dst_off, dst, (int)n_kv_heads, (int)head_dim, ld);
    cuda_launched(b, "kv_read_bwd");
}
