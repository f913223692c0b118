/*
 * Private to attention_tensor*.cu: attention on tensor cores, in tensor mode on BF16
 * models (attn_batch.is_narrow). Operands of the four products are rounded to bf16,
 * sums and softmax are fp32. mma.sync m16n8k16 throughout; in its layout a thread has
 * rows g = lane / 4 and g + 8, and columns 2 c, 2 c + 1, c = lane % 4.
 *
 * Row invariance: a line's result comes from mma steps over dims or slots in fixed
 * order, pages upwards; what it does not see is masked to p = 0 and changes nothing, so
 * decode, prefill and learner give the same bits. The head dim alone decides whether
 * these kernels are used. Scores are in log2 units: t = <q, k> scale log2(e).
 */
#ifndef CUDA_ATTENTION_TENSOR_CUH
#define CUDA_ATTENTION_TENSOR_CUH

#include "cuda/attention.cuh"

enum { KEY_PITCH = KV_BLOCK + 4 }; /* floats: no bank conflicts between fragments */

#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f

/* A page of one kv head as it lies in the cache: keys (D, 64), values (64, D) */
template <int D> struct page_tile {
    float k[D * KEY_PITCH];
    float v[KV_BLOCK * (D + 4)];
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

static __device__ __forceinline__ void copy_16(float *to, const float *from)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from)
                 : "memory");
}

/* Starts the copies of a page; one group */
template <int D, int THREADS>
static __device__ __forceinline__ void stage_page(struct page_tile<D> *t,
                                                  const float *keys)
{
    const float *const values = keys + D * KV_BLOCK;
    for (int i = threadIdx.x; i < D * (KV_BLOCK / 4); i += THREADS) {
        const int row = i / (KV_BLOCK / 4), col = i % (KV_BLOCK / 4) * 4;
        copy_16(&t->k[row * KEY_PITCH + col], keys + row * KV_BLOCK + col);
    }
    for (int i = threadIdx.x; i < KV_BLOCK * (D / 4); i += THREADS) {
        const int row = i / (D / 4), col = i % (D / 4) * 4;
        copy_16(&t->v[row * (D + 4) + col], values + row * D + col);
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

/* The fragment of a product whose rows are those of accumulators: columns 16 j .. */
static __device__ __forceinline__ void to_rows(uint32_t a[4], const float s[][4], int j)
{
    a[0] = pack_bf16(s[2 * j][0], s[2 * j][1]);
    a[1] = pack_bf16(s[2 * j][2], s[2 * j][3]);
    a[2] = pack_bf16(s[2 * j + 1][0], s[2 * j + 1][1]);
    a[3] = pack_bf16(s[2 * j + 1][2], s[2 * j + 1][3]);
}

/* Right operand, dims by slots, out of the keys: dims 16 k .., slot */
static __device__ __forceinline__ void keys_by_dim(uint32_t b[2], const float *keys,
                                                   int k, int slot, int c)
{
    const float *const at = keys + (k * 16 + 2 * c) * KEY_PITCH + slot;
    b[0] = pack_bf16(at[0], at[KEY_PITCH]);
    b[1] = pack_bf16(at[8 * KEY_PITCH], at[9 * KEY_PITCH]);
}

/* Dims by slots out of the values, and slots by dims out of the keys: rows adjacent */
static __device__ __forceinline__ void along_row(uint32_t b[2], const float *row, int k,
                                                 int c)
{
    const float2 x = *(const float2 *)(row + k * 16 + 2 * c);
    const float2 y = *(const float2 *)(row + k * 16 + 2 * c + 8);
    b[0] = pack_bf16(x.x, x.y);
    b[1] = pack_bf16(y.x, y.y);
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

static __device__ __forceinline__ float or_zero(float x, int slot,
                                                const struct slot_range *r)
{
    return is_within(slot, r) ? x : 0.0f;
}

bool attn_tensor_fwd(struct backend *b, float *y, float *lse, const float *q,
                     const float *cache, const struct attn_batch *a);
/* dots: <dy, y> of every line */
bool attn_tensor_bwd(struct backend *b, float *dq, float *dcache, const float *dy,
                     const float *lse, const float *q, const float *cache,
                     const float *dots, int32_t *next, const struct attn_batch *a);

/* Whether these kernels take a batch */
static inline bool attn_is_tensor(const struct backend *b, const struct attn_batch *a)
{
    return cuda_state(b)->tensor != NULL && a->is_narrow &&
           (a->head_dim == 32 || a->head_dim == 64 || a->head_dim == 128);
}

#endif
