/*
 * Attention backward on wgmma, first kernel: records of the lines, and the lists of
 * work, longest first. See attention_tensor_bwd_wgmma.cuh.
 */
#include "cuda/attention_tensor_bwd_wgmma.cuh"

#include "cuda/gemm_tensor.h"

enum { RECORD_THREADS = 256 };

static __device__ __forceinline__ int64_t per_kv_of(const struct attn_batch *a)
{
    return a->n_heads / a->n_kv_heads;
}

/* Tile pair u as a unit of dq; false if it has no lines */
static __device__ bool dq_unit(struct bwd_unit *unit, const struct attn_batch *a,
                               int64_t u)
{
    const int64_t per_kv = per_kv_of(a);
    const int64_t s = bwd_tile_seq(a->row_off, a->n_seqs, per_kv, 2 * BWD_TILE, u);
    const struct attn_lines lines = attn_lines(a, s, 0);
    const int64_t at = u - bwd_tile_base(lines.row0 * per_kv, s, 2 * BWD_TILE);
    const int64_t first = at * 2 * BWD_TILE;
    if (first >= lines.n)
        return false;
    const int64_t last = min(first + 2 * BWD_TILE, lines.n) - 1;
    unit->seq = (int32_t)s;
    unit->at = (int32_t)at;
    unit->cost = (int32_t)(attn_last_key(&lines, last) / KV_BLOCK -
                           attn_first_key(&lines, first) / KV_BLOCK + 1);
    unit->page = 0;
    return true;
}

/* Entry e of the page lists as a unit of dkdv; false if an earlier sequence of the
 * group has the page, or no line sees it */
static __device__ bool dkdv_unit(struct bwd_unit *unit, const struct attn_batch *a,
                                 int64_t e)
{
    const int64_t seq = segment_of(a->page_off, a->n_seqs, e);
    const int64_t group = segment_of(a->group_off, a->n_groups, seq);
    const int64_t block = e - a->page_off[seq];
    const int32_t page = a->pages[e];
    bool is_first = true;
    int64_t n_tiles = 0;
#pragma unroll 4
    for (int64_t s = a->group_off[group]; s < seq; s++)
        is_first = is_first && !holds_page(a, s, block, page);
    if (!is_first)
        return false;
#pragma unroll 4
    for (int64_t s = seq; s < a->group_off[group + 1]; s++) {
        const struct attn_lines lines = attn_lines(a, s, 0);
        int64_t first, end;
        seeing_lines(&lines, block, &first, &end);
        if (first < end && holds_page(a, s, block, page))
            n_tiles += (end - 1) / BWD_TILE - first / BWD_TILE + 1;
    }
    unit->seq = (int32_t)seq;
    unit->at = (int32_t)block;
    unit->cost = (int32_t)n_tiles;
    unit->page = page;
    return n_tiles > 0;
}

/* The units out of n candidates, by falling cost: a counting sort. Within a bucket they
 * lie in any order, which decides when, not how, they are worked on. */
static __device__ void list_units(const struct bwd_job *f, enum bwd_list list,
                                  int64_t n)
{
    __shared__ int32_t place[BWD_BUCKETS];
    struct bwd_unit unit;
    for (int turn = 0; turn < 2; turn++) {
        if (turn == 0)
            for (int i = threadIdx.x; i < BWD_BUCKETS; i += RECORD_THREADS)
                place[i] = 0;
        __syncthreads();
        for (int64_t i = threadIdx.x; i < n; i += RECORD_THREADS) {
            const bool is_unit = list == BWD_DQ ? dq_unit(&unit, &f->a, i)
                                                : dkdv_unit(&unit, &f->a, i);
            if (!is_unit)
                continue;
            const int32_t at = atomicAdd(&place[bwd_bucket(unit.cost)], 1);
            if (turn == 1)
                f->units[list][at] = unit;
        }
        __syncthreads();
        if (turn == 0 && threadIdx.x == 0) { /* counts become first places */
            int32_t sum = 0;
            for (int i = 0; i < BWD_BUCKETS; i++) {
                const int32_t count = place[i];
                place[i] = sum;
                sum += count;
            }
            f->n_units[list] = sum;
            f->next[list] = 0;
        }
    }
}

/* Four values of a row */
static __device__ __forceinline__ float4 load_four(const float *p, bool is_aligned)
{
    return is_aligned ? *(const float4 *)p : make_float4(p[0], p[1], p[2], p[3]);
}

static __device__ __forceinline__ void put_four(uint16_t *image, int row, int dim,
                                                float4 v)
{
    *(uint2 *)((char *)image + bwd_image_at(row, dim)) = make_uint2(
        pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
}

/* The lines of a sequence on a kv head, in 32 bits: divisions are short */
struct short_lines {
    int32_t n, row0, per_kv, head0, first_pos;
};

/* Row `row` of a record, by D / 4 threads; line: of the sequence, may be past the last
 */
template <int D>
static __device__ __forceinline__ void
put_line(struct bwd_record<D> *r, const struct bwd_job *f,
         const struct short_lines *lines, int32_t line, int row, int part)
{
    const float4 none = make_float4(0, 0, 0, 0);
    const bool is_in = line < lines->n;
    const int32_t i = is_in ? line : lines->n - 1;
    const int32_t at_row = i / lines->per_kv;
    const int64_t q_row = lines->row0 + at_row;
    const int32_t head = lines->head0 + i - at_row * lines->per_kv;
    const int64_t at = q_row * f->a.n_heads + head;
    const int dim = part * 4;
    const float4 q = load_four(f->q + q_row * f->a.ld_q + head * D + dim,
                               f->is_aligned);
    const float4 dy = load_four(f->dy + at * D + dim, f->is_aligned);
    const float4 y = load_four(f->y + at * D + dim, f->is_aligned);
    float dot = fmaf(dy.w, y.w, fmaf(dy.z, y.z, fmaf(dy.y, y.y, dy.x * y.x)));
#pragma unroll
    for (int step = D / 8; step >= 1; step /= 2)
        dot = dot + __shfl_xor_sync(FULL_WARP, dot, step, D / 4);
    put_four(r->q, row, dim, is_in ? q : none);
    put_four(r->dy, row, dim, is_in ? dy : none);
    if (part > 0)
        return;
    const int to = bwd_stat_at(row);
    r->stats.neg_lse[to] = is_in ? -LOG2E * f->lse[at] : 0;
    r->stats.dot[to] = is_in ? dot : 0;
    r->stats.last_key[to] = is_in ? lines->first_pos + at_row : -1;
}

/* Block 0 lists the work, the others are a tile each; blockIdx.y: the kv head */
template <int D>
static __global__ void __launch_bounds__(RECORD_THREADS)
    k_attn_records(struct bwd_job f, int64_t n_pairs)
{
    enum { PARTS = D / 4, AT_ONCE = RECORD_THREADS / PARTS };
    const struct attn_batch *const a = &f.a;
    if (blockIdx.x == 0) {
        if (blockIdx.y == 0) {
            list_units(&f, BWD_DKDV, a->n_pages);
            list_units(&f, BWD_DQ, n_pairs);
        }
        return;
    }
    const int64_t tile = blockIdx.x - 1, g = blockIdx.y, per_kv = per_kv_of(a);
    const int64_t s = bwd_tile_seq(a->row_off, a->n_seqs, per_kv, BWD_TILE, tile);
    const struct short_lines lines = {
        (int32_t)((a->row_off[s + 1] - a->row_off[s]) * per_kv), a->row_off[s],
        (int32_t)per_kv, (int32_t)(g * per_kv), a->first_pos[s]};
    const int32_t first =
        (int32_t)(tile - bwd_tile_base(lines.row0 * per_kv, s, BWD_TILE)) * BWD_TILE;
    if (first >= lines.n)
        return;
    struct bwd_record<D> *const r = (struct bwd_record<D> *)f.records +
                                    tile * a->n_kv_heads + g;
#pragma unroll 4
    for (int i = 0; i < BWD_TILE / AT_ONCE; i++) {
        const int row = i * AT_ONCE + threadIdx.x / PARTS;
        put_line<D>(r, &f, &lines, first + row, row, threadIdx.x % PARTS);
    }
}

static bool is_aligned(const struct bwd_job *f)
{
    const uintptr_t all = (uintptr_t)f->q | (uintptr_t)f->dq | (uintptr_t)f->dy |
                          (uintptr_t)f->y;
    return all % 16 == 0 && f->a.ld_q % 4 == 0;
}

template <int D> static void run(struct backend *b, struct bwd_job *f)
{
    enum { HEAD_BYTES = 256 };
    const struct attn_batch *const a = &f->a;
    const int64_t n_lines = a->n_rows * (a->n_heads / a->n_kv_heads);
    const int64_t n_tiles = bwd_tile_bound(n_lines, a->n_seqs, BWD_TILE);
    const int64_t n_pairs = bwd_tile_bound(n_lines, a->n_seqs, 2 * BWD_TILE);
    const int64_t record_bytes = n_tiles * a->n_kv_heads *
                                 (int64_t)sizeof(struct bwd_record<D>);
    const int64_t n_units = a->n_pages + n_pairs;
    CHECK(n_tiles * a->n_kv_heads <= INT32_MAX && n_units * a->n_kv_heads <= INT32_MAX,
          "attention over %lld tiles, %lld pages", (long long)n_tiles,
          (long long)a->n_pages);
    f->records = (char *)cuda_scratch(b, (size_t)record_bytes +
                                             (size_t)n_units * sizeof(struct bwd_unit) +
                                             HEAD_BYTES);
    f->units[BWD_DKDV] = (struct bwd_unit *)(f->records + record_bytes);
    f->units[BWD_DQ] = f->units[BWD_DKDV] + a->n_pages;
    f->n_units = (int32_t *)(f->units[BWD_DQ] + n_pairs);
    f->next = f->n_units + 2;
    f->is_aligned = is_aligned(f);
    const dim3 grid(cuda_blocks(n_tiles + 1, 1), (unsigned)a->n_kv_heads);
    k_attn_records<D><<<grid, RECORD_THREADS, 0, cuda_stream(b)>>>(*f, n_pairs);
    cuda_launched(b, "attn_bwd on wgmma: records");
    attn_bwd_launch_dkdv(b, f);
    attn_bwd_launch_dq(b, f);
}

bool attn_wgmma_bwd(struct backend *b, float *dq, float *dcache, const float *dy,
                    const float *y, const float *lse, const float *q,
                    const float *cache, const struct attn_batch *a)
{
    if (!attn_is_tensor(b, a->is_narrow, a->head_dim) || a->head_dim < 64)
        return false;
    const struct gemm_device *const d = gemm_tensor_device(cuda_state(b)->tensor);
    if (d->cc_major != 9 || d->cc_minor != 0)
        return false;
    struct bwd_job f = {};
    f.dq = dq;
    f.dcache = dcache;
    f.dy = dy;
    f.y = y;
    f.lse = lse;
    f.q = q;
    f.cache = cache;
    f.a = *a;
    if (a->head_dim == 64)
        run<64>(b, &f);
    else
        run<128>(b, &f);
    return true;
}
