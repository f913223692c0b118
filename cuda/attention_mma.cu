/*
 * Attention forward with mma.sync, for cards without wgmma and head dim 32. A block of
 * threads has 64 lines, four warps 16 each. Pages come into shared memory one ahead;
 * scores, softmax and the sum over values stay in registers. Slots that no line of the
 * tile may see can hold anything: their scores become -inf, their values are read as 0.
 */
#include "cuda/attention_lines.cuh"
#include "cuda/attention_mma.cuh"

enum { MMA_LINES = ATTN_GROUP_LINES, MMA_THREADS = 128 };

template <int D> struct mma_memory {
    struct page_tile<D> page[2];
    struct attn_tile<MMA_LINES> tile;
    struct attn_seqs seqs;
};

/* Right operands: of a tile of rows, 16 rows from `row` on by 16 columns from `col` on,
 * as columns (b[0 .. 1], b[2 .. 3]: rows 0 .. 7, 8 .. 15) */
template <int D>
static __device__ __forceinline__ void cols_by_rows(uint32_t b[4], const uint16_t *rows,
                                                    int row, int col)
{
    const int lane = threadIdx.x % WARP;
    const uint16_t *const at = rows + (row + lane / 16 * 8 + lane % 8) * (D + 8) + col +
                               lane / 8 % 2 * 8;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(at))
                 : "memory");
}

/* The other way round: 16 rows as the reduction, columns 0 .. 7 in b[0 .. 1], 8 .. 15
 * in b[2 .. 3] */
template <int D>
static __device__ __forceinline__ void rows_by_cols(uint32_t b[4], const uint16_t *rows,
                                                    int row, int col)
{
    const int lane = threadIdx.x % WARP;
    const uint16_t *const at = rows + (row + lane % 16) * (D + 8) + col + lane / 16 * 8;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, "
                 "[%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(at))
                 : "memory");
}

template <int D>
static __device__ __forceinline__ void
score_page(float t[32], const uint32_t q[D / 16][4], const struct page_tile<D> *page)
{
#pragma unroll
    for (int i = 0; i < 32; i++)
        t[i] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
            uint32_t b[4];
            cols_by_rows<D>(b, page->k, n * 8, k * 16);
            mma(&t[4 * n], q[k], b[0], b[1]);
            mma(&t[4 * n + 4], q[k], b[2], b[3]);
        }
}

/* o += p v, 32 dims at a time; range: slots that count, the rest is read as 0 */
template <int D>
static __device__ __forceinline__ void
add_values(float o[D / 2], const uint32_t p[4][4], const struct page_tile<D> *page,
           const struct slot_range *range, const float keep[2], const float take[2])
{
    const int c = threadIdx.x % 4;
    const bool is_full = range->begin <= 0 && range->end >= KV_BLOCK;
#pragma unroll
    for (int d = 0; d < D; d += 32) {
        float sum[16] = {};
#pragma unroll
        for (int j = 0; j < KV_BLOCK / 16; j++)
#pragma unroll
            for (int n = 0; n < 32; n += 16) {
                uint32_t v[4];
                rows_by_cols<D>(v, page->v, j * 16, d + n);
                if (!is_full)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        v[i] = mask_pair(v[i], j * 16 + 2 * c + i % 2 * 8, range);
                mma(&sum[n / 2], p[j], v[0], v[1]);
                mma(&sum[n / 2 + 4], p[j], v[2], v[3]);
            }
        merge_values<16>(&o[d / 2], sum, keep, take);
    }
}

/* Page b of the tile on its way into half `turn` */
template <int D>
static __device__ __forceinline__ void
start_page(const struct attn_job *job, struct mma_memory<D> *m, int32_t turn, int32_t b)
{
    const int32_t page = pages_of(&job->a, m->tile.seq)[b];
    stage_page<D, MMA_THREADS>(
        &m->page[turn], job->cache + attn_page_at(&job->a, page, m->tile.kv_head));
}

/* The tile's lines through its pages */
template <int D>
static __device__ __forceinline__ void walk_pages(const struct attn_job *job,
                                                  struct mma_memory<D> *m)
{
    const struct attn_tile<MMA_LINES> *const t = &m->tile;
    const int32_t warp = threadIdx.x / WARP, index = warp * 16 + threadIdx.x % WARP / 4;
    const bool has_lines = t->line[warp * 16].first <= t->line[warp * 16].last;
    const float factor = fabsf(job->a.scale) * LOG2E;
    struct line_state<D> s;
    uint32_t q[D / 16][4];
    if (t->begin < t->end)
        start_page<D>(job, m, 0, t->begin);
    init_lines<D>(&s, t, index);
    if (job->part == ATTN_PART_OWN && t->n_common > 0)
        load_state<D>(&s, job, t, index);
    load_queries<D>(q, job, t, index);
    for (int32_t b = t->begin, turn = 0; b < t->end; b += t->step, turn ^= 1) {
        const struct page_tile<D> *const page = &m->page[turn];
        if (b + t->step < t->end) {
            start_page<D>(job, m, turn ^ 1, b + t->step);
            wait_pages<1>();
        } else {
            wait_pages<0>();
        }
        __syncthreads();
        if (has_lines) {
            const struct slot_range range = page_range(t->key_first, t->key_last,
                                                       (int64_t)b * KV_BLOCK);
            float scores[32], keep[2], take[2];
            uint32_t p[4][4];
            struct page_sum sum;
            score_page<D>(scores, q, page);
            softmax_page<D>(&sum, p, scores, &s, factor, b * KV_BLOCK);
            merge_sums<D>(&s, keep, take, &sum);
            add_values<D>(s.o, p, page, &range, keep, take);
            if (t->is_dealt)
                leave_page<D>(job, &s, t, index, b);
        }
        __syncthreads();
    }
    if (has_lines)
        store_lines<D>(job, &s, t, index);
}

template <int D>
static __global__ void __launch_bounds__(MMA_THREADS)
    k_attn_mma(const __grid_constant__ struct attn_job job)
{
    extern __shared__ __align__(16) char memory[];
    struct mma_memory<D> *const m = (struct mma_memory<D> *)memory;
    struct attn_turn turn;
    for (bool has_tile = first_tile(&m->tile, &m->seqs, &job, &turn); has_tile;
         has_tile = next_tile(&m->tile, &m->seqs, &job, &turn))
        walk_pages<D>(&job, m);
}

template <int D>
static void launch(struct backend *b, const struct attn_job *job, dim3 grid)
{
    const size_t bytes = sizeof(struct mma_memory<D>);
    cuda_must(cudaFuncSetAttribute(k_attn_mma<D>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_fwd: shared memory");
    k_attn_mma<D><<<grid, MMA_THREADS, bytes, cuda_stream(b)>>>(*job);
    cuda_launched(b, "attn_fwd on tensor cores");
}

void attn_mma_launch(struct backend *b, const struct attn_job *job, dim3 grid)
{
    if (job->a.head_dim == 32)
        launch<32>(b, job, grid);
    else if (job->a.head_dim == 64)
        launch<64>(b, job, grid);
    else
        launch<128>(b, job, grid);
}
