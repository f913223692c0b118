/*
 * Rows of keys and values into the pages, and the pages' gradients back into rows. In
 * the pages keys are transposed (core/ops.h): a block of threads takes KV_ROWS rows of
 * one head through shared memory, so that its warps run along a row on the one side,
 * and along the rows - mostly neighbours in their page - on the other. Pages of the
 * tensor-core attention hold bf16 rows (attention_tensor.cuh): no transposition.
 */
#include "cuda/attention.cuh"

enum { KV_THREADS = 256, KV_WARPS = KV_THREADS / WARP, KV_ROWS = WARP };
enum { KV_DIMS = 128, KV_PITCH = KV_DIMS + 1, KV_EACH = KV_DIMS / KV_WARPS };

struct kv_job {
    const int32_t *dst_off, *dst;
    int64_t ld, m;
    int32_t n_kv_heads, head_dim;
};

/* Where the keys of a slot's page begin on kv head g, in floats from the cache's start;
 * values follow. */
static __device__ __forceinline__ int64_t head_at(const struct kv_job *f, int32_t slot,
                                                  int32_t g)
{
    return ((int64_t)(slot / KV_BLOCK) * f->n_kv_heads + g) * 2 * f->head_dim *
           KV_BLOCK;
}

/* A lane's row of the tile, and its slots dst[begin .. end - 1] */
struct kv_row {
    int64_t r;
    int32_t begin, end;
};

static __device__ __forceinline__ struct kv_row row_slots(const struct kv_job *f,
                                                          int64_t r)
{
    struct kv_row row = {r, 0, 0};
    if (r < f->m) {
        row.begin = f->dst_off[r];
        row.end = f->dst_off[r + 1];
    }
    return row;
}

static void check_width(int64_t n_kv_heads, int64_t head_dim)
{
    CHECK(n_kv_heads * head_dim <= 1 << 20, "%lld kv heads of %lld",
          (long long)n_kv_heads, (long long)head_dim);
}

/* Keys of one head, n of its dims from d0 on: rows to shared memory, then to slots */
static __device__ __forceinline__ void write_keys(float *cache, const float *kv,
                                                  float *tile, const struct kv_job *f,
                                                  int32_t g, int32_t d0, int32_t n)
{
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64_t r0 = (int64_t)blockIdx.x * KV_ROWS;
#pragma unroll
    for (int i = 0; i < KV_ROWS / KV_WARPS; i++) {
        const int64_t r = r0 + i * KV_WARPS + warp;
        const float *const from = kv + r * f->ld + (int64_t)g * f->head_dim + d0;
#pragma unroll
        for (int d = lane; d < KV_DIMS; d += WARP)
            if (r < f->m && d < n)
                tile[(i * KV_WARPS + warp) * KV_PITCH + d] = from[d];
    }
    __syncthreads();
    const struct kv_row row = row_slots(f, r0 + lane);
    for (int32_t s = row.begin; s < row.end; s++) {
        const int32_t slot = f->dst[s];
        float *const to = cache + head_at(f, slot, g) + slot % KV_BLOCK;
#pragma unroll
        for (int i = 0; i < KV_EACH; i++) {
            const int d = i * KV_WARPS + warp;
            if (d < n)
                to[(int64_t)(d0 + d) * KV_BLOCK] = tile[lane * KV_PITCH + d];
        }
    }
    __syncthreads();
}

/* blockIdx.y: heads of k, then of v. A warp has a row of values at a time. */
static __global__ void __launch_bounds__(KV_THREADS)
    k_kv_write(float *cache, const float *kv, struct kv_job f)
{
    __shared__ float tile[KV_ROWS * KV_PITCH];
    const int32_t h = (int32_t)blockIdx.y, n_kv = f.n_kv_heads;
    if (h < n_kv) {
        for (int32_t d0 = 0; d0 < f.head_dim; d0 += KV_DIMS)
            write_keys(cache, kv, tile, &f, h, d0, min(f.head_dim - d0, (int)KV_DIMS));
        return;
    }
    const int lane = threadIdx.x % WARP;
    for (int i = threadIdx.x / WARP; i < KV_ROWS; i += KV_WARPS) {
        const struct kv_row row = row_slots(&f, (int64_t)blockIdx.x * KV_ROWS + i);
        const float *const from = kv + row.r * f.ld + (int64_t)h * f.head_dim;
        for (int32_t s = row.begin; s < row.end; s++) {
            const int32_t slot = f.dst[s];
            float *const to = cache + head_at(&f, slot, h - n_kv) +
                              (int64_t)(KV_BLOCK + slot % KV_BLOCK) * f.head_dim;
#pragma unroll 4
            for (int32_t d = lane; d < f.head_dim; d += WARP)
                to[d] = from[d];
        }
    }
}

static __device__ __forceinline__ uint32_t round_pair(float low, float high)
{
    return bf16_from_bits(bits_of(low)) | (uint32_t)bf16_from_bits(bits_of(high)) << 16;
}

/* Eight adjacent values of a row to a thread, rounded: 16 bytes to every slot. Heads
 * have a multiple of 32 dims. */
static __global__ void __launch_bounds__(KV_THREADS)
    k_kv_write_narrow(float *cache, const float *kv, struct kv_job f, bool is_aligned)
{
    const int32_t per_head = f.head_dim / 8, per_row = 2 * f.n_kv_heads * per_head;
    const uint32_t at = blockIdx.x * KV_THREADS + threadIdx.x;
    const struct kv_row row = row_slots(&f, at / (uint32_t)per_row);
    if (row.begin >= row.end)
        return;
    const int32_t i = (int32_t)(at % (uint32_t)per_row), h = i / per_head;
    const bool is_key = h < f.n_kv_heads;
    const float *const from = kv + row.r * f.ld + i * 8;
    float x[8];
    if (is_aligned) {
        *(float4 *)&x[0] = *(const float4 *)from;
        *(float4 *)&x[4] = *(const float4 *)(from + 4);
    } else {
#pragma unroll
        for (int j = 0; j < 8; j++)
            x[j] = from[j];
    }
    const uint4 eight = make_uint4(round_pair(x[0], x[1]), round_pair(x[2], x[3]),
                                   round_pair(x[4], x[5]), round_pair(x[6], x[7]));
    for (int32_t s = row.begin; s < row.end; s++) {
        const int32_t slot = f.dst[s];
        uint16_t *const rows =
            (uint16_t *)(cache + head_at(&f, slot, is_key ? h : h - f.n_kv_heads));
        const int32_t line = slot % KV_BLOCK + (is_key ? 0 : KV_BLOCK);
        *(uint4 *)&rows[line * f.head_dim + i % per_head * 8] = eight;
    }
}

void cuda_kv_write(struct backend *b, float *cache, const float *kv,
                   const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,
                   int64_t head_dim, int64_t ld, bool is_narrow, int64_t m)
{
    const struct kv_job f = {dst_off,          dst, ld, m, (int32_t)n_kv_heads,
                             (int32_t)head_dim};
    check_width(n_kv_heads, head_dim);
    if (m == 0)
        return;
    if (attn_is_tensor(b, is_narrow, head_dim)) {
        const int64_t n = m * 2 * n_kv_heads * (head_dim / 8);
        CHECK(n <= INT32_MAX, "%lld values", 8 * (long long)n);
        const bool is_aligned = (uintptr_t)kv % 16 == 0 && ld % 4 == 0;
        k_kv_write_narrow<<<cuda_blocks(n, KV_THREADS), KV_THREADS, 0,
                            cuda_stream(b)>>>(cache, kv, f, is_aligned);
    } else {
        const dim3 grid(cuda_blocks(m, KV_ROWS), (unsigned)(2 * n_kv_heads));
        k_kv_write<<<grid, KV_THREADS, 0, cuda_stream(b)>>>(cache, kv, f);
    }
    cuda_launched(b, "kv_write");
}

/* Gradients of the keys of one head, n of its dims from d0 on: out of the slots into
 * shared memory, then to rows */
static __device__ __forceinline__ void read_keys(float *dkv, const float *dcache,
                                                 float *tile, const struct kv_job *f,
                                                 int32_t g, int32_t d0, int32_t n)
{
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64_t r0 = (int64_t)blockIdx.x * KV_ROWS;
    const struct kv_row row = row_slots(f, r0 + lane);
    float sum[KV_EACH] = {};
    for (int32_t s = row.begin; s < row.end; s++) {
        const int32_t slot = f->dst[s];
        const float *const from = dcache + head_at(f, slot, g) + slot % KV_BLOCK;
#pragma unroll
        for (int i = 0; i < KV_EACH; i++) {
            const int d = i * KV_WARPS + warp;
            sum[i] = sum[i] + (d < n ? from[(int64_t)(d0 + d) * KV_BLOCK] : 0.0f);
        }
    }
#pragma unroll
    for (int i = 0; i < KV_EACH; i++)
        tile[lane * KV_PITCH + i * KV_WARPS + warp] = sum[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < KV_ROWS / KV_WARPS; i++) {
        const int64_t r = r0 + i * KV_WARPS + warp;
        float *const to = dkv + r * f->ld + (int64_t)g * f->head_dim + d0;
#pragma unroll
        for (int d = lane; d < KV_DIMS; d += WARP)
            if (r < f->m && d < n)
                to[d] = tile[(i * KV_WARPS + warp) * KV_PITCH + d];
    }
    __syncthreads();
}

/* Gradients of the values of one head: a warp has a row at a time */
static __device__ __forceinline__ void read_values(float *dkv, const float *dcache,
                                                   const struct kv_job *f, int32_t g)
{
    const int lane = threadIdx.x % WARP;
    for (int i = threadIdx.x / WARP; i < KV_ROWS; i += KV_WARPS) {
        const struct kv_row row = row_slots(f, (int64_t)blockIdx.x * KV_ROWS + i);
        if (row.r >= f->m)
            return;
        float *const to = dkv + row.r * f->ld +
                          (int64_t)(f->n_kv_heads + g) * f->head_dim;
#pragma unroll 4
        for (int32_t d = lane; d < f->head_dim; d += WARP) {
            float sum = 0;
            for (int32_t s = row.begin; s < row.end; s++) {
                const int32_t slot = f->dst[s];
                sum = sum +
                      dcache[head_at(f, slot, g) +
                             (int64_t)(KV_BLOCK + slot % KV_BLOCK) * f->head_dim + d];
            }
            to[d] = sum;
        }
    }
}

static __global__ void __launch_bounds__(KV_THREADS)
    k_kv_read(float *dkv, const float *dcache, struct kv_job f)
{
    __shared__ float tile[KV_ROWS * KV_PITCH];
    const int32_t h = (int32_t)blockIdx.y;
    if (h >= f.n_kv_heads) {
        read_values(dkv, dcache, &f, h - f.n_kv_heads);
        return;
    }
    for (int32_t d0 = 0; d0 < f.head_dim; d0 += KV_DIMS)
        read_keys(dkv, dcache, tile, &f, h, d0, min(f.head_dim - d0, (int)KV_DIMS));
}

void cuda_kv_read_bwd(struct backend *b, float *dkv, const float *dcache,
                      const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,
                      int64_t head_dim, int64_t ld, int64_t m)
{
    const struct kv_job f = {dst_off,          dst, ld, m, (int32_t)n_kv_heads,
                             (int32_t)head_dim};
    check_width(n_kv_heads, head_dim);
    if (m == 0)
        return;
    const dim3 grid(cuda_blocks(m, KV_ROWS), (unsigned)(2 * n_kv_heads));
    k_kv_read<<<grid, KV_THREADS, 0, cuda_stream(b)>>>(dkv, dcache, f);
    cuda_launched(b, "kv_read_bwd");
}
