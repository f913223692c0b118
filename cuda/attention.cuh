/*
 * Private to attention*.cu: the lines of a batch and the products of a block of
 * threads; and whether a batch's pages are the tensor cores', for all who write pages.
 *
 * As in cpu/attention.h, a line is one query head of one row; line i of a sequence and
 * kv head g is row i / per_kv, query head g * per_kv + i % per_kv. A block of threads
 * has a tile of LINES lines and works on 64 columns (slots of a page, or dims) at a
 * time: a thread has PER_LINE lines by PER_COL adjacent columns. What a line sees of a
 * page is a range of slots; nothing outside it may reach the line's result.
 */
#ifndef CUDA_ATTENTION_CUH
#define CUDA_ATTENTION_CUH

#include "cuda/backend.cuh"

enum { ATTN_THREADS = 128, ATTN_COLS = 64, ATTN_MAX_HEAD_DIM = 512 };

/* The lines of one sequence on one kv head */
struct attn_lines {
    int64_t n, per_kv, row0, head0, first_pos, window;
    const int32_t *pages;
};

/* Slots [begin, end) of a block that a line sees; empty: begin >= end */
struct attn_range {
    int begin, end;
};

static __device__ __forceinline__ struct attn_lines
attn_lines(const struct attn_batch *a, int64_t seq, int64_t g)
{
    struct attn_lines s;
    s.per_kv = a->n_heads / a->n_kv_heads;
    s.row0 = a->row_off[seq];
    s.n = (a->row_off[seq + 1] - s.row0) * s.per_kv;
    s.head0 = g * s.per_kv;
    s.first_pos = a->first_pos[seq];
    s.window = a->window;
    s.pages = a->pages + a->page_off[seq];
    return s;
}

/* Of a line: its row and head as an index into (rows, n_heads) */
static __device__ __forceinline__ int64_t attn_at(const struct attn_lines *s,
                                                  const struct attn_batch *a,
                                                  int64_t line)
{
    return (s->row0 + line / s->per_kv) * a->n_heads + s->head0 + line % s->per_kv;
}

/* Where a line's query begins */
static __device__ __forceinline__ int64_t attn_q_at(const struct attn_lines *s,
                                                    const struct attn_batch *a,
                                                    int64_t line)
{
    return (s->row0 + line / s->per_kv) * a->ld_q +
           (s->head0 + line % s->per_kv) * a->head_dim;
}

static __device__ __forceinline__ int64_t attn_last_key(const struct attn_lines *s,
                                                        int64_t line)
{
    return s->first_pos + line / s->per_kv;
}

static __device__ __forceinline__ int64_t attn_first_key(const struct attn_lines *s,
                                                         int64_t line)
{
    const int64_t first = attn_last_key(s, line) - s->window + 1;
    return s->window > 0 && first > 0 ? first : 0;
}

static __device__ __forceinline__ struct attn_range
attn_visible(const struct attn_lines *s, int64_t line, int64_t block)
{
    const int64_t first = attn_first_key(s, line) - block * KV_BLOCK;
    const int64_t end = attn_last_key(s, line) + 1 - block * KV_BLOCK;
    struct attn_range r;
    r.begin = first > 0 ? (first < KV_BLOCK ? (int)first : KV_BLOCK) : 0;
    r.end = end < KV_BLOCK ? (end > 0 ? (int)end : 0) : KV_BLOCK;
    return r;
}

/* floats from the cache's start to a page's keys of head g (head_dim, KV_BLOCK); its
 * values (KV_BLOCK, head_dim) follow */
static __device__ __forceinline__ int64_t attn_page_at(const struct attn_batch *a,
                                                       int32_t page, int64_t g)
{
    return (page * a->n_kv_heads + g) * 2 * a->head_dim * KV_BLOCK;
}

/* Rows of q, y, dq in shared memory: a multiple of 4 floats */
CORE_FN int64_t attn_pitch(int64_t head_dim) { return (head_dim + 3) / 4 * 4; }

/* PER_COL adjacent floats, those from n_left on 0 */
template <int PER_COL>
static __device__ __forceinline__ void load_cols(float *x, const float *p,
                                                 int64_t n_left, bool is_aligned)
{
    if (PER_COL == 4 && is_aligned && n_left >= 4) {
        const float4 v = *(const float4 *)p;
        x[0] = v.x;
        x[PER_COL > 1 ? 1 : 0] = v.y;
        x[PER_COL > 2 ? 2 : 0] = v.z;
        x[PER_COL > 3 ? 3 : 0] = v.w;
        return;
    }
#pragma unroll
    for (int c = 0; c < PER_COL; c++)
        x[c] = c < n_left ? p[c] : 0.0f;
}

/* acc[l][c] += sum over s ascending of a[l * a_line + s] b[s * ld_b + c] */
template <int PER_LINE, int PER_COL>
static __device__ __forceinline__ void
add_products(float acc[PER_LINE][PER_COL], const float *a, int64_t a_line,
             const float *b, int64_t ld_b, int64_t n_left, bool is_aligned, int64_t n)
{
#pragma unroll 4
    for (int64_t s = 0; s < n; s++) {
        float x[PER_COL];
        load_cols<PER_COL>(x, b + s * ld_b, n_left, is_aligned);
#pragma unroll
        for (int l = 0; l < PER_LINE; l++) {
            const float w = a[l * a_line + s];
#pragma unroll
            for (int c = 0; c < PER_COL; c++)
                acc[l][c] = fmaf(w, x[c], acc[l][c]);
        }
    }
}

/* acc[l][c] += sum of p[l * KV_BLOCK + j] b[j * ld_b + c] over the slots j that line l
 * sees, ascending: what all lines see together, the rest one by one. */
template <int PER_LINE, int PER_COL>
static __device__ __forceinline__ void
add_visible(float acc[PER_LINE][PER_COL], const float *p, const struct attn_range *seen,
            const float *b, int64_t ld_b, int64_t n_left, bool is_aligned)
{
    int low = KV_BLOCK, begin = 0, end = KV_BLOCK, high = 0;
#pragma unroll
    for (int l = 0; l < PER_LINE; l++) {
        low = min(low, seen[l].begin);
        begin = max(begin, seen[l].begin);
        end = min(end, seen[l].end);
        high = max(high, seen[l].end);
    }
    for (int j = low; j < high; j++) {
        if (j == begin && begin < end) {
            add_products<PER_LINE, PER_COL>(acc, p + j, KV_BLOCK, b + j * ld_b, ld_b,
                                            n_left, is_aligned, end - begin);
            j = end - 1;
            continue;
        }
        float x[PER_COL];
        load_cols<PER_COL>(x, b + j * ld_b, n_left, is_aligned);
#pragma unroll
        for (int l = 0; l < PER_LINE; l++)
            if (j >= seen[l].begin && j < seen[l].end)
#pragma unroll
                for (int c = 0; c < PER_COL; c++)
                    acc[l][c] = fmaf(p[l * KV_BLOCK + j], x[c], acc[l][c]);
    }
}

/* The lines of a sequence that see any of block b: first .. end - 1 */
static __device__ __forceinline__ void
seeing_lines(const struct attn_lines *s, int64_t b, int64_t *first, int64_t *end)
{
    const int64_t n_rows = s->n / s->per_kv;
    int64_t from = b * KV_BLOCK - s->first_pos, to = n_rows;
    if (s->window > 0)
        to = (b + 1) * KV_BLOCK + s->window - 1 - s->first_pos;
    from = from > 0 ? from : 0;
    to = to < n_rows ? to : n_rows;
    *first = from * s->per_kv;
    *end = to * s->per_kv;
}

/* The segment of off (n + 1) that holds i */
static __device__ __forceinline__ int64_t segment_of(const int32_t *off, int64_t n,
                                                     int64_t i)
{
    int64_t low = 0, high = n; /* off[low] <= i < off[high] */
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (off[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Whether sequence s has `page` as its block b */
static __device__ __forceinline__ bool holds_page(const struct attn_batch *a, int64_t s,
                                                  int64_t b, int32_t page)
{
    return a->page_off[s] + b < a->page_off[s + 1] &&
           a->pages[a->page_off[s] + b] == page;
}

/* A page to work on: block number `block` of sequences seq .. group_end - 1 that hold
 * it
 */
struct page_entry {
    int64_t seq, group_end, block;
    int32_t page;
};

/* By the whole block of threads: the next entry of the page lists that no earlier
 * sequence of its group has; false when there are no more. *taken: shared memory. */
static __device__ __forceinline__ bool take_page(struct page_entry *e, int32_t *taken,
                                                 const struct attn_batch *a,
                                                 int32_t *next)
{
    for (;;) {
        __syncthreads();
        if (threadIdx.x == 0)
            *taken = atomicAdd(next, 1);
        __syncthreads();
        const int64_t entry = *taken;
        if (entry >= a->page_off[a->n_seqs])
            return false;
        e->seq = segment_of(a->page_off, a->n_seqs, entry);
        const int64_t group = segment_of(a->group_off, a->n_groups, e->seq);
        e->group_end = a->group_off[group + 1];
        e->block = entry - a->page_off[e->seq];
        e->page = a->pages[entry];
        bool is_done = false; /* by an earlier sequence */
        for (int64_t s = a->group_off[group] + threadIdx.x; s < e->seq; s += blockDim.x)
            is_done = is_done || holds_page(a, s, e->block, e->page);
        if (!__syncthreads_or(is_done))
            return true;
    }
}

/* Whether the tensor-core kernels take it: then pages are theirs, attention_tensor.cuh
 */
static inline bool attn_is_tensor(const struct backend *b, bool is_narrow,
                                  int64_t head_dim)
{
    return cuda_state(b)->tensor != NULL && is_narrow &&
           (head_dim == 32 || head_dim == 64 || head_dim == 128);
}

static inline void attn_check(const struct attn_batch *a)
{
    CHECK(a->head_dim >= 1 && a->head_dim <= ATTN_MAX_HEAD_DIM, "head_dim %lld",
          (long long)a->head_dim);
    CHECK(a->n_kv_heads >= 1 && a->n_heads % a->n_kv_heads == 0,
          "%lld heads on %lld kv heads", (long long)a->n_heads,
          (long long)a->n_kv_heads);
}

/* Tiles of so many lines per kv head, at most: a sequence wastes less than one. */
static inline int64_t attn_max_tiles(const struct attn_batch *a, int lines)
{
    const int64_t n = a->n_rows * (a->n_heads / a->n_kv_heads);
    const int64_t seqs = a->n_seqs < a->n_rows ? a->n_seqs : a->n_rows;
    return (n + lines - 1) / lines + seqs;
}

#endif
