/*
 * Rotation and the way into the pages at once, for the pages of the tensor-core
 * attention (attention_tensor.cuh): a thread has eight adjacent dims of the first half
 * of a head and their eight of the second, which it turns against each other (q, k) and
 * rounds into every slot (k, v). What this does not fit goes op by op.
 */
#include "cuda/attention.cuh"
#include "cuda/rope.cuh"
#include "cuda/rows.cuh"

enum { KV_THREADS = 256, EACH = 8 };

struct rope_kv_job {
    float *cache, *qkv;
    struct rope_table table;
    const int32_t *pos, *dst_off, *dst;
    int64_t ld;
    uint32_t n_heads, n_kv_heads, head_dim, n_threads;
};

static __device__ __forceinline__ void load_eight(float x[EACH], const float *p)
{
    *(float4 *)&x[0] = *(const float4 *)p;
    *(float4 *)&x[4] = *(const float4 *)(p + 4);
}

static __device__ __forceinline__ void store_eight(float *p, const float x[EACH])
{
    *(float4 *)p = *(const float4 *)&x[0];
    *(float4 *)(p + 4) = *(const float4 *)&x[4];
}

static __device__ __forceinline__ uint4 round_eight(const float x[EACH])
{
    return make_uint4(bf16_pair(x[0], x[1]), bf16_pair(x[2], x[3]),
                      bf16_pair(x[4], x[5]), bf16_pair(x[6], x[7]));
}

/* At dims i and i + head_dim / 2 of a row, in every slot; g: the kv head */
static __device__ __forceinline__ void keep(const struct rope_kv_job *p, uint32_t r,
                                            uint32_t g, bool is_key, uint32_t i,
                                            const float x1[EACH], const float x2[EACH])
{
    const uint4 low = round_eight(x1), high = round_eight(x2);
    for (int32_t s = p->dst_off[r]; s < p->dst_off[r + 1]; s++) {
        const int32_t slot = p->dst[s];
        const int64_t head = (int64_t)(slot / KV_BLOCK) * p->n_kv_heads + g;
        uint16_t *const page = (uint16_t *)(p->cache +
                                            head * 2 * p->head_dim * KV_BLOCK);
        uint16_t *const row = page + (slot % KV_BLOCK + (is_key ? 0 : KV_BLOCK)) *
                                         (int64_t)p->head_dim;
        *(uint4 *)(row + i) = low;
        *(uint4 *)(row + p->head_dim / 2 + i) = high;
    }
}

static __global__ void __launch_bounds__(KV_THREADS) k_rope_kv(struct rope_kv_job p)
{
    const uint32_t at = blockIdx.x * KV_THREADS + threadIdx.x;
    const uint32_t half = p.head_dim / 2, per_head = half / EACH;
    const uint32_t per_row = (p.n_heads + 2 * p.n_kv_heads) * per_head;
    if (at >= p.n_threads)
        return;
    const uint32_t r = at / per_row, h = at % per_row / per_head;
    const uint32_t i = at % per_head * EACH;
    const bool is_query = h < p.n_heads, is_value = h >= p.n_heads + p.n_kv_heads;
    float *const from = p.qkv + r * p.ld + (int64_t)h * p.head_dim + i;
    float x1[EACH], x2[EACH], c[EACH], s[EACH];
    load_eight(x1, from);
    load_eight(x2, from + half);
    if (!is_value) {
        device_check(p.pos[r] >= 0 && p.pos[r] < p.table.n_pos);
        load_eight(c, p.table.cos + (int64_t)p.pos[r] * half + i);
        load_eight(s, p.table.sin + (int64_t)p.pos[r] * half + i);
#pragma unroll
        for (int j = 0; j < EACH; j++)
            rope_turn(&x1[j], &x2[j], c[j], s[j]);
        store_eight(from, x1);
        store_eight(from + half, x2);
    }
    if (!is_query)
        keep(&p, r, (h - p.n_heads) % p.n_kv_heads, !is_value, i, x1, x2);
}

static bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

void cuda_rope_kv_write(struct backend *b, float *cache, float *qkv,
                        const struct rope_kv *a, int64_t m)
{
    const int64_t d = a->head_dim,
                  n = m * (a->n_heads + 2 * a->n_kv_heads) * (d / (2 * EACH));
    const bool fits = attn_is_tensor(b, a->is_narrow, d) && a->table->rot == d &&
                      d % (2 * EACH) == 0 && a->ld % 4 == 0 && n <= INT32_MAX &&
                      is_aligned(qkv) && is_aligned(cache) &&
                      is_aligned(a->table->cos) && is_aligned(a->table->sin);
    if (m == 0)
        return;
    if (!fits) {
        cuda_rope(b, qkv, a->table, a->pos, a->n_heads + a->n_kv_heads, d, a->ld, 1.0f,
                  m);
        cuda_kv_write(b, cache, qkv + a->n_heads * d, a->dst_off, a->dst, a->n_kv_heads,
                      d, a->ld, a->is_narrow, m);
        return;
    }
    const struct rope_kv_job p = {cache,
                                  qkv,
                                  *a->table,
                                  a->pos,
                                  a->dst_off,
                                  a->dst,
                                  a->ld,
                                  (uint32_t)a->n_heads,
                                  (uint32_t)a->n_kv_heads,
                                  (uint32_t)d,
                                  (uint32_t)n};
    k_rope_kv<<<cuda_blocks(n, KV_THREADS), KV_THREADS, 0, cuda_stream(b)>>>(p);
    cuda_launched(b, "rope_kv_write");
}
