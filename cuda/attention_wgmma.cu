/*
 * Attention forward on Hopper's tensor cores (sm_90a). Warpgroups have 64 lines each;
 * TMA brings pages into a ring of stages. Stage s: full[s] completes when a page's keys
 * and values have landed, empty[s] when all warps have read them.
 *
 * Decode: a block of threads is one group, whose first thread also asks for pages; two
 * blocks share an SM. Learner: two groups with the same pages, and a warpgroup whose
 * first warp finds the next tiles and asks for their pages; tiles are taken from a
 * counter, so that whichever block is free takes the next one.
 *
 * Per page a group computes scores (64 lines, 64 slots) = Q K^T with the queries in
 * registers, softmax on the accumulators, and (64 lines, D) = P V with P in registers,
 * from zero; attention_lines.cuh says how that joins what came before. One group's
 * softmax runs beside another's products.
 *
 * Keys are a K-major operand, values an MN-major one (gemm_tensor_tile.h). Slots that
 * no line of the tile may see can hold anything: their scores become -inf, and their
 * values are overwritten with zeros before the product (0 * NaN would be NaN).
 */
#include "cuda/attention_wgmma.cuh"
#include "cuda/attention_lines.cuh"
#include "cuda/gemm_tensor.h"
#include "cuda/gemm_tensor_tile.h"
#include "cuda/gemm_tensor_wgmma.cuh"

namespace
{

enum {
    GROUP = 128,          /* threads of a warpgroup */
    BOX_BYTES = 64 * 128, /* 64 slots by 64 dims */
    LEARNER_GROUPS = 2,
    REGS_PRODUCER = 40, /* (40 + 2 * 232) * 128 <= 65536 registers */
    REGS_CONSUMER = 232
};

/* Pages in shared memory, from a multiple of 1024 bytes on */
template <int D, int N_STAGES> struct ring {
    char page[N_STAGES][2 * (D / 64) * BOX_BYTES]; /* keys, values */
    uint64_t full[N_STAGES], empty[N_STAGES];
};

/* One thread; n_warps read each page. */
template <int D, int N_STAGES>
__device__ __forceinline__ void init_ring(struct ring<D, N_STAGES> *r, uint32_t n_warps)
{
    for (int32_t s = 0; s < N_STAGES; s++) {
        barrier_init(&r->full[s], 1);
        barrier_init(&r->empty[s], n_warps);
    }
}

/* One thread: starts the copy of the tile's page b. A page of a kv head begins every 4
 * times 64 rows of the map (half of its fp32 memory is used), values behind keys. */
template <int D, int N_STAGES, int LINES>
__device__ __forceinline__ void
fetch_page(struct ring<D, N_STAGES> *r, const struct attn_job &job,
           const struct attn_tile<LINES> *t, const CUtensorMap *map,
           const struct ring_cursor &fill, int32_t b)
{
    const int32_t page = pages_of(&job.a, t->seq)[b];
    const int32_t row = (page * (int32_t)job.a.n_kv_heads + t->kv_head) * 4 * KV_BLOCK;
    uint64_t *const full = &r->full[fill.stage];
    /* the first turn finds every stage free: the parity before the first */
    barrier_wait(&r->empty[fill.stage], fill.parity ^ 1);
    barrier_expect(full, (uint32_t)sizeof(r->page[0]));
#pragma unroll
    for (int32_t i = 0; i < 2 * (D / 64); i++)
        tma_load(r->page[fill.stage] + i * BOX_BYTES, map, full, i % (D / 64) * 64,
                 row + i / (D / 64) * KV_BLOCK);
}

/* Zeros over the values of slots that no line of the tile sees, by all groups; lines of
 * 128 bytes (swizzling permutes bytes within a line only) */
template <int D, int N_GROUPS>
__device__ __forceinline__ void cut_values(char *values, const struct slot_range &range)
{
    if (range.begin <= 0 && range.end >= KV_BLOCK)
        return;
    for (int32_t i = (int32_t)threadIdx.x; i < D / 64 * KV_BLOCK * 8;
         i += N_GROUPS * GROUP)
        if (!is_within(i / 8 % KV_BLOCK, &range))
            *(uint4 *)(values + i * 16) = make_uint4(0, 0, 0, 0);
    fence_async_proxy();
    named_barrier(1, N_GROUPS * GROUP);
}

/* scores = Q K^T, complete on return */
template <int D>
__device__ __forceinline__ void
multiply_keys(float (&scores)[32], const uint32_t (&q)[D / 16][4], const char *keys)
{
    const uint64_t at = gemm_descriptor(smem_address(keys), false);
    wgmma_fence();
#pragma unroll
    for (int32_t k = 0; k < D / 16; k++)
        wgmma_rows<false>(
            scores, q[k],
            at + k / 4 * (BOX_BYTES >> 4) + k % 4 * gemm_descriptor_step(false), k > 0);
    wgmma_commit();
    wgmma_settle(scores);
}

/* sum = P V of 64 dims, complete on return */
__device__ __forceinline__ void
multiply_values(float (&sum)[32], const uint32_t (&p)[4][4], const char *values)
{
    const uint64_t at = gemm_descriptor(smem_address(values), true);
    wgmma_fence();
#pragma unroll
    for (int32_t j = 0; j < KV_BLOCK / 16; j++)
        wgmma_rows<true>(sum, p[j], at + j * gemm_descriptor_step(true), j > 0);
    wgmma_commit();
    wgmma_settle(sum);
}

/* What a thread is for its tile */
struct reader {
    int32_t index;               /* its row g among the tile's lines */
    int32_t first_key, last_key; /* that its group's lines see */
    bool has_lines;              /* its warp */
};

template <int LINES>
__device__ __forceinline__ struct reader reader_of(const struct attn_tile<LINES> *t)
{
    /* from one lane: the compiler then knows that a warp does not diverge here */
    const int32_t warp = __shfl_sync(FULL_WARP, (int32_t)threadIdx.x / WARP, 0);
    struct reader r;
    r.index = warp * 16 + (int32_t)threadIdx.x % WARP / 4;
    r.first_key = t->group_first[warp / 4];
    r.last_key = t->group_last[warp / 4];
    r.has_lines = t->line[warp * 16].first <= t->line[warp * 16].last;
    return r;
}

/* Page b, which is stage `at` of the ring, when it has landed; frees the stage. */
template <int D, int N_STAGES, int LINES>
__device__ __forceinline__ void
use_page(struct line_state<D> *s, struct ring<D, N_STAGES> *ring,
         struct ring_cursor &at, const struct attn_job &job,
         const struct attn_tile<LINES> *t, const struct reader &r,
         const uint32_t (&q)[D / 16][4], int32_t b)
{
    char *const keys = ring->page[at.stage], *const values = keys + D / 64 * BOX_BYTES;
    const bool is_seen = b * KV_BLOCK <= r.last_key && (b + 1) * KV_BLOCK > r.first_key;
    float keep[2], take[2];
    barrier_wait(&ring->full[at.stage], at.parity);
    cut_values<D, LINES / ATTN_GROUP_LINES>(
        values, page_range(t->key_first, t->key_last, (int64_t)b * KV_BLOCK));
    if (is_seen) {
        float scores[32], sum[32];
        uint32_t p[4][4] = {};
        multiply_keys<D>(scores, q, keys);
        if (r.has_lines) {
            struct page_sum page;
            softmax_page<D>(&page, p, scores, s, fabsf(job.a.scale) * LOG2E,
                            b * KV_BLOCK);
            merge_sums<D>(s, keep, take, &page);
        }
#pragma unroll
        for (int32_t i = 0; i < D / 64; i++) { /* by halves: registers are short */
            multiply_values(sum, p, values + i * BOX_BYTES);
            if (r.has_lines)
                merge_values<32>(s->o + i * 32, sum, keep, take);
        }
    }
    __syncwarp(); /* no lane is still waiting for the page that one lane gives back */
    if (threadIdx.x % WARP == 0)
        barrier_arrive(&ring->empty[at.stage]);
    ring_advance(at, N_STAGES);
}

/* --- decode --- */

template <int D> struct decode_memory {
    enum { STAGES = 3, LEAD = STAGES - 1 }; /* pages under way */
    struct ring<D, STAGES> ring;
    struct attn_tile<ATTN_GROUP_LINES> tile;
    struct attn_seqs seqs;
};

/* Both ends of the ring: pages asked for, pages read */
struct ends {
    struct ring_cursor fill, read;
};

/* Asks for page b, if the tile has it; all threads keep count. */
template <int D>
__device__ __forceinline__ void
ask_page(struct decode_memory<D> *m, const struct attn_job &job, const CUtensorMap *map,
         struct ring_cursor &fill, int32_t b)
{
    if (b >= m->tile.end)
        return;
    if (threadIdx.x == 0)
        fetch_page(&m->ring, job, &m->tile, map, fill, b);
    __syncwarp();
    ring_advance(fill, m->STAGES);
}

/* The tile's lines through its pages */
template <int D>
__device__ __forceinline__ void walk_pages(struct decode_memory<D> *m,
                                           const struct attn_job &job,
                                           const CUtensorMap *map, struct ends &ends)
{
    const struct attn_tile<ATTN_GROUP_LINES> *const t = &m->tile;
    const struct reader r = reader_of(t);
    struct line_state<D> s;
    uint32_t q[D / 16][4];
    for (int32_t i = 0; i < m->LEAD; i++)
        ask_page(m, job, map, ends.fill, t->begin + i * t->step);
    init_lines<D>(&s, t, r.index);
    if (job.part == ATTN_PART_OWN && t->n_common > 0)
        load_state<D>(&s, &job, t, r.index);
    load_queries<D>(q, &job, t, r.index);
    for (int32_t b = t->begin; b < t->end; b += t->step) {
        ask_page(m, job, map, ends.fill, b + m->LEAD * t->step);
        use_page(&s, &m->ring, ends.read, job, t, r, q, b);
        if (t->is_dealt && r.has_lines)
            leave_page<D>(&job, &s, t, r.index, b);
    }
    if (r.has_lines)
        store_lines<D>(&job, &s, t, r.index);
}

template <int D>
__global__ void __launch_bounds__(GROUP, 2)
    k_attn_decode(const __grid_constant__ struct attn_wgmma maps,
                  const __grid_constant__ struct attn_job job)
{
    extern __shared__ __align__(1024) char smem[];
    struct decode_memory<D> *const m = (struct decode_memory<D> *)smem;
    struct ends ends = {};
    if (threadIdx.x == 0) {
        tma_prefetch_map(&maps.pages);
        init_ring(&m->ring, GROUP / WARP);
        barrier_init_fence();
    }
    struct attn_turn turn;
    for (bool has_tile = first_tile(&m->tile, &m->seqs, &job, &turn); has_tile;
         has_tile = next_tile(&m->tile, &m->seqs, &job, &turn))
        walk_pages(m, job, &maps.pages, ends);
}

/* --- learner --- */

enum { LEARNER_LINES = LEARNER_GROUPS * ATTN_GROUP_LINES };

template <int D> struct learner_memory {
    enum { STAGES = 5 };
    struct ring<D, STAGES> ring;
    struct attn_tile<LEARNER_LINES> tile[2];
    uint64_t placed[2], done[2]; /* of a tile: it is known; all its lines are stored */
    struct attn_seqs seqs;
};

/* One warp: the lines' queries on their way into the level-2 cache */
template <int D, int LINES>
__device__ __forceinline__ void prefetch_queries(const struct attn_job &job,
                                                 const struct attn_tile<LINES> *t)
{
    enum { PARTS = D / 32 }; /* of 128 bytes */
#pragma unroll 1
    for (int32_t i = (int32_t)threadIdx.x % WARP; i < LINES * PARTS; i += WARP) {
        const struct attn_line *const line = &t->line[i / PARTS];
        if (line->first <= line->last)
            asm volatile(
                "prefetch.global.L2 [%0];" ::"l"(job.q + line->row * job.a.ld_q +
                                                 line->head * D + i % PARTS * 32)
                : "memory");
    }
}

/* One warp: tiles as they come, and their pages. A tile without a sequence ends it. */
template <int D>
__device__ __forceinline__ void
produce(struct learner_memory<D> *m, const struct attn_job &job, const CUtensorMap *map)
{
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    struct ring_cursor fill = {0, 0}, tile = {0, 0};
    for (;;) {
        struct attn_tile<LEARNER_LINES> *const t = &m->tile[tile.stage];
        int32_t index = 0;
        if (lane == 0)
            index = atomicAdd(job.next, 1);
        index = __shfl_sync(FULL_WARP, index, 0);
        barrier_wait(&m->done[tile.stage], tile.parity ^ 1);
        place_tile(t, &m->seqs, &job, index);
        __syncwarp();
        if (lane == 0)
            barrier_arrive(&m->placed[tile.stage]);
        if (t->seq < 0)
            return;
        prefetch_queries<D>(job, t);
        for (int32_t b = t->begin; b < t->end; b++) {
            if (lane == 0)
                fetch_page(&m->ring, job, t, map, fill, b);
            ring_advance(fill, m->STAGES);
        }
        __syncwarp();
        ring_advance(tile, 2);
    }
}

template <int D>
__device__ __forceinline__ void consume(struct learner_memory<D> *m,
                                        const struct attn_job &job)
{
    struct ring_cursor read = {0, 0}, tile = {0, 0};
    for (;;) {
        const struct attn_tile<LEARNER_LINES> *const t = &m->tile[tile.stage];
        barrier_wait(&m->placed[tile.stage], tile.parity);
        if (t->seq < 0)
            return;
        const struct reader r = reader_of(t);
        struct line_state<D> s;
        uint32_t q[D / 16][4];
        init_lines<D>(&s, t, r.index);
        load_queries<D>(q, &job, t, r.index);
        for (int32_t b = t->begin; b < t->end; b++)
            use_page(&s, &m->ring, read, job, t, r, q, b);
        if (r.has_lines)
            store_lines<D>(&job, &s, t, r.index);
        __syncwarp();
        if (threadIdx.x % WARP == 0)
            barrier_arrive(&m->done[tile.stage]);
        ring_advance(tile, 2);
    }
}

template <int D>
__global__ void __launch_bounds__(GROUP *(LEARNER_GROUPS + 1), 1)
    k_attn_learner(const __grid_constant__ struct attn_wgmma maps,
                   const __grid_constant__ struct attn_job job)
{
    extern __shared__ __align__(1024) char smem[];
    struct learner_memory<D> *const m = (struct learner_memory<D> *)smem;
    if (threadIdx.x == 0) {
        tma_prefetch_map(&maps.pages);
        init_ring(&m->ring, LEARNER_GROUPS * GROUP / WARP);
        for (int32_t i = 0; i < 2; i++) {
            barrier_init(&m->placed[i], 1);
            barrier_init(&m->done[i], LEARNER_GROUPS * GROUP / WARP);
        }
        barrier_init_fence();
    }
    list_rows(&m->seqs, &job);
    const int32_t warp = __shfl_sync(FULL_WARP, (int32_t)threadIdx.x / WARP, 0);
    if (warp >= LEARNER_GROUPS * GROUP / WARP) {
        registers_give<REGS_PRODUCER>();
        if (warp == LEARNER_GROUPS * GROUP / WARP)
            produce(m, job, &maps.pages);
    } else {
        registers_take<REGS_CONSUMER>();
        consume(m, job);
    }
}

/* --- host --- */

typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                              const cuuint64_t *, const cuuint64_t *,
                              const cuuint32_t *, const cuuint32_t *,
                              CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

typedef void (*kernel_fn)(const struct attn_wgmma, const struct attn_job);

void launch(struct backend *b, kernel_fn kernel, size_t bytes, int32_t n_threads,
            const struct attn_job *job, const struct attn_wgmma *w, dim3 grid)
{
    cuda_must(cudaFuncSetAttribute((const void *)kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_fwd: shared memory");
    kernel<<<grid, n_threads, bytes, cuda_stream(b)>>>(*w, *job);
    cuda_launched(b, "attn_fwd by wgmma");
}

} // namespace

/* The number of pages is not known here, so the map has as many rows as coordinates
 * can name; only pages of the lists are ever read. */
bool attn_wgmma_init(struct attn_wgmma *w, const struct gemm_tensor *t,
                     const float *cache, const struct attn_batch *a)
{
    const encode_fn encode = (encode_fn)gemm_tensor_encoder(t);
    if (encode == NULL || a->head_dim == 32)
        return false;
    const cuuint64_t dims[2] = {(cuuint64_t)a->head_dim, INT32_MAX};
    const cuuint64_t pitch = (cuuint64_t)(a->head_dim * 2);
    const cuuint32_t box[2] = {64, KV_BLOCK}, step[2] = {1, 1};
    const CUresult r = encode(
        &w->pages, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, (void *)cache, dims, &pitch,
        box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    CHECK(r == CUDA_SUCCESS, "tensor map of pages at %p: driver error %d",
          (const void *)cache, (int)r);
    return true;
}

void attn_wgmma_decode(struct backend *b, const struct attn_job *job,
                       const struct attn_wgmma *w, dim3 grid)
{
    if (job->a.head_dim == 64)
        launch(b, k_attn_decode<64>, sizeof(struct decode_memory<64>), GROUP, job, w,
               grid);
    else
        launch(b, k_attn_decode<128>, sizeof(struct decode_memory<128>), GROUP, job, w,
               grid);
}

int32_t attn_wgmma_lines(void) { return LEARNER_LINES; }

void attn_wgmma_learner(struct backend *b, const struct attn_job *job,
                        const struct attn_wgmma *w, int64_t n_tiles)
{
    const int64_t n_sms = cuda_state(b)->n_sms;
    const dim3 grid((unsigned)(n_tiles < n_sms ? n_tiles : n_sms));
    const int32_t threads = GROUP * (LEARNER_GROUPS + 1);
    cuda_must(cudaMemsetAsync(job->next, 0, sizeof(*job->next), cuda_stream(b)),
              "attn_fwd");
    if (job->a.head_dim == 64)
        launch(b, k_attn_learner<64>, sizeof(struct learner_memory<64>), threads, job,
               w, grid);
    else
        launch(b, k_attn_learner<128>, sizeof(struct learner_memory<128>), threads, job,
               w, grid);
}
