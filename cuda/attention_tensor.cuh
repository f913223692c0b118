/*
 * Private to attention_tensor*.cu: attention on tensor cores, in tensor mode on BF16
 * models (attn_batch.is_narrow). Operands of the four products are rounded to bf16,
 * sums and softmax are fp32. A thread has, as mma.sync m16n8k16 and wgmma lay results
 * out, rows g = lane / 4 and g + 8, and columns 2 c, 2 c + 1, c = lane % 4.
 *
 * Row invariance: a line's result comes from mma steps over dims or slots in fixed
 * order, pages upwards; what it does not see is masked to p = 0 and changes nothing, so
 * decode, prefill and learner give the same bits. Head dim and card alone decide which
 * kernels are used. Scores are in log2 units: t = <q, k> scale log2(e).
 */
#ifndef CUDA_ATTENTION_TENSOR_CUH
#define CUDA_ATTENTION_TENSOR_CUH

#include "cuda/attention.cuh"

#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f

/*
 * A page of this mode: per kv head, at the same place as in the exact mode, K
 * (KV_BLOCK, D) and V (KV_BLOCK, D) in bf16, half of the page's memory. kv_write and
 * rope_kv_write round; nothing but these kernels reads them. Gradients of pages stay
 * fp32, in core/ops.h's layout. Here one kv head's in shared memory: rows are D + 8
 * apart, so that the fragments' loads meet no bank conflicts.
 */
template <int D> struct page_tile {
    uint16_t k[KV_BLOCK * (D + 8)], v[KV_BLOCK * (D + 8)];
};

static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

static __device__ __forceinline__ void mma(float c[4], const uint32_t a[4], uint32_t b0,
                                           uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ void copy_16(uint16_t *to, const uint16_t *from)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from)
                 : "memory");
}

/* Starts the copies of the page at `at` of the cache; one group */
template <int D, int THREADS>
static __device__ __forceinline__ void stage_page(struct page_tile<D> *t,
                                                  const float *at)
{
    enum { CHUNKS = D / 8 };
    const uint16_t *const keys = (const uint16_t *)at;
    for (int i = threadIdx.x; i < KV_BLOCK * CHUNKS; i += THREADS) {
        const int row = i / CHUNKS, col = i % CHUNKS * 8;
        copy_16(&t->k[row * (D + 8) + col], keys + row * D + col);
        copy_16(&t->v[row * (D + 8) + col], keys + (KV_BLOCK + row) * D + col);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int LEFT> static __device__ __forceinline__ void wait_pages(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/* Rows of fp32 memory (two of them, for g and g + 8) as fragments over D columns */
template <int D>
static __device__ __forceinline__ void load_rows(uint32_t a[D / 16][4], const float *r0,
                                                 const float *r1, int c)
{
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        const int at = k * 16 + 2 * c;
        a[k][0] = pack_bf16(r0[at], r0[at + 1]);
        a[k][1] = pack_bf16(r1[at], r1[at + 1]);
        a[k][2] = pack_bf16(r0[at + 8], r0[at + 9]);
        a[k][3] = pack_bf16(r1[at + 8], r1[at + 9]);
    }
}

/* Slots that count, relative to a page; what lies outside may be anything, and is read
 * as 0 where a product would multiply it */
struct slot_range {
    int begin, end;
};

/* Of a page whose first key is key0: what a line with these keys sees of it */
static __device__ __forceinline__ struct slot_range
page_range(int64_t first_key, int64_t last_key, int64_t key0)
{
    const int64_t begin = first_key - key0, end = last_key + 1 - key0;
    struct slot_range r;
    r.begin = begin > 0 ? (int)min(begin, (int64_t)KV_BLOCK) : 0;
    r.end = end > 0 ? (int)min(end, (int64_t)KV_BLOCK) : 0;
    return r;
}

static __device__ __forceinline__ bool is_within(int slot, const struct slot_range *r)
{
    return slot >= r->begin && slot < r->end;
}

/* The pair of slots `slot` and slot + 1, those that do not count as 0 */
static __device__ __forceinline__ uint32_t mask_pair(uint32_t pair, int slot,
                                                     const struct slot_range *r)
{
    return (is_within(slot, r) ? pair & 0xffffu : 0) |
           (is_within(slot + 1, r) ? pair & 0xffff0000u : 0);
}

/* The passes of core/ops.h's attn_fwd and attn_bwd; false: not this batch, this mode or
 * this card, nothing was done. */
bool attn_tensor_fwd(struct backend *b, float *y, float *lse, const float *q,
                     const float *cache, const struct attn_batch *a);
/* Compute capability 9.0, heads of 64 or 128 dims: attention_tensor_bwd_records.cu */
bool attn_wgmma_bwd(struct backend *b, float *dq, float *dcache, const float *dy,
                    const float *y, const float *lse, const float *q,
                    const float *cache, const struct attn_batch *a);
/* dots: <dy, y> of every line; next: scratch of n_kv_heads */
bool attn_tensor_bwd(struct backend *b, float *dq, float *dcache, const float *dy,
                     const float *lse, const float *q, const float *cache,
                     const float *dots, int32_t *next, const struct attn_batch *a);

#endif
