/*
 * Attention forward on tensor cores. Pages come into shared memory one ahead; scores,
 * softmax and the sum over values stay in registers. Many lines: a warp has 16 lines of
 * one sequence and kv head, four warps share the pages. Few lines (decode): the four
 * warps share 16 lines too; each computes a quarter of the slots' scores, all repeat
 * the softmax, each adds up a quarter of the dims. An element sees the same steps in
 * the same order either way, so the bits are the same.
 */
#include "cuda/attention_tensor.cuh"

enum { FWD_WARPS = 4, FWD_THREADS = FWD_WARPS * WARP, FWD_LINES = 16 * FWD_WARPS };

struct fwd {
    float *y, *lse;
    const float *q, *cache;
    struct attn_batch a;
};

/* What a thread keeps of its two lines, g and g + 8 of the warp's 16 */
template <int D> struct line_pair {
    uint32_t q[D / 16][4];
    float max[2], sum[2]; /* of t; of p over the thread's columns */
    int64_t first[2], last[2];
};

template <int D>
static __device__ __forceinline__ void
load_pair(struct line_pair<D> *p, const struct fwd *f, const struct attn_lines *lines,
          int64_t line, int c)
{
    const float *rows[2];
#pragma unroll
    for (int r = 0; r < 2; r++) { /* past the end: the last line, never stored */
        const int64_t at = min(line + 8 * r, lines->n - 1);
        rows[r] = f->q + attn_q_at(lines, &f->a, at);
        p->first[r] = attn_first_key(lines, at);
        p->last[r] = attn_last_key(lines, at);
        p->max[r] = -INFINITY;
        p->sum[r] = 0;
    }
    load_rows<D>(p->q, rows[0], rows[1], c);
}

/* t of N tiles of 8 slots from tile n0 on; -inf where a line does not see */
template <int D, int N>
static __device__ __forceinline__ void
score_tiles(float t[N][4], const struct line_pair<D> *p,
            const struct page_tile<D> *page, float scale, int64_t key0, int n0, int g,
            int c)
{
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int n = 0; n < N; n++) {
            uint32_t b[2];
            cols_by_row<D>(b, page->k, k, (n0 + n) * 8 + g, c);
            mma(t[n], p->q[k], b[0], b[1]);
        }
    const struct slot_range seen[2] = {page_range(p->first[0], p->last[0], key0),
                                       page_range(p->first[1], p->last[1], key0)};
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            t[n][i] = is_within((n0 + n) * 8 + 2 * c + i % 2, &seen[i / 2])
                          ? t[n][i] * scale
                          : -INFINITY;
}

/* t becomes p; the lines' maximum and sum follow. shrink: what o has to be multiplied
 * by. A line that sees nothing here keeps what it has. */
template <int D>
static __device__ __forceinline__ void softmax_page(struct line_pair<D> *p,
                                                    float t[8][4], float shrink[2])
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = -INFINITY, sum = 0;
#pragma unroll
        for (int n = 0; n < 8; n++)
            top = larger(larger(t[n][2 * r], t[n][2 * r + 1]), top);
        top = larger(top, __shfl_xor_sync(FULL_WARP, top, 1));
        top = larger(top, __shfl_xor_sync(FULL_WARP, top, 2));
        const float max = larger(top, p->max[r]);
        const float zero = max == -INFINITY ? 0.0f : max; /* inf - inf is no number */
        shrink[r] = exp2f(p->max[r] - zero);
#pragma unroll
        for (int n = 0; n < 8; n++) {
            t[n][2 * r] = exp2f(t[n][2 * r] - zero);
            t[n][2 * r + 1] = exp2f(t[n][2 * r + 1] - zero);
            sum = sum + (t[n][2 * r] + t[n][2 * r + 1]);
        }
        p->max[r] = max;
        p->sum[r] = p->sum[r] * shrink[r] + sum;
    }
}

/* o of N tiles of 8 dims from tile n0 on: rescaled, then += p v */
template <int D, int N>
static __device__ __forceinline__ void
add_values(float o[N][4], const float shrink[2], const float t[8][4],
           const struct page_tile<D> *page, const struct slot_range *range, int n0,
           int c)
{
    const bool is_full = range->begin <= 0 && range->end >= KV_BLOCK;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            o[n][i] *= shrink[i / 2];
#pragma unroll
    for (int j = 0; j < KV_BLOCK / 16; j++) {
        uint32_t a[4];
        to_rows(a, t, j);
#pragma unroll
        for (int n = 0; n < N; n++) {
            uint32_t v[2];
            rows_by_col<D>(v, page->v, j, n0 + n);
            if (!is_full) {
                v[0] = mask_pair(v[0], j * 16 + 2 * c, range);
                v[1] = mask_pair(v[1], j * 16 + 2 * c + 8, range);
            }
            mma(o[n], a, v[0], v[1]);
        }
    }
}

/* N tiles of dims from tile n0 on of the lines `line` and line + 8 */
template <int D, int N>
static __device__ __forceinline__ void
store_lines(const struct fwd *f, const struct attn_lines *lines,
            const struct line_pair<D> *p, const float o[N][4], int64_t line, int n0,
            int c)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = p->sum[r];
        sum = sum + __shfl_xor_sync(FULL_WARP, sum, 1);
        sum = sum + __shfl_xor_sync(FULL_WARP, sum, 2);
        if (line + 8 * r >= lines->n)
            continue;
        const int64_t at = attn_at(lines, &f->a, line + 8 * r);
#pragma unroll
        for (int n = 0; n < N; n++) {
            float *const y = f->y + at * D + (n0 + n) * 8 + 2 * c;
            y[0] = o[n][2 * r] / sum;
            y[1] = o[n][2 * r + 1] / sum;
        }
        if (f->lse != NULL && c == 0 && n0 == 0)
            f->lse[at] = p->max[r] * LN2 + f_log(sum);
    }
}

/* The pages that a block of threads walks, two of them in shared memory */
template <int D> struct page_walk {
    struct page_tile<D> *tiles;
    const struct attn_batch *a;
    const float *cache;
    const int32_t *pages;
    int64_t first, last, g;
    int32_t next; /* pages[] of the page to stage */
};

template <int D>
static __device__ __forceinline__ void walk_stage(struct page_walk<D> *w, int64_t b)
{
    stage_page<D, FWD_THREADS>(&w->tiles[(b - w->first) % 2],
                               w->cache + attn_page_at(w->a, w->next, w->g));
    w->next = w->pages[min(b + 1, w->last)];
}

/* Waits for page b, with the next one under way */
template <int D>
static __device__ __forceinline__ const struct page_tile<D> *
walk_to(struct page_walk<D> *w, int64_t b) {
    if (b < w->last) {
        walk_stage(w, b + 1);
        wait_pages<1>();
    } else {
        wait_pages<0>();
    }
    __syncthreads();
    return &w->tiles[(b - w->first) % 2];
}

/* A block's tile of lines */
struct fwd_tile {
    struct attn_lines lines;
    int64_t first_line, key_begin, key_last;
};

/* false: no such tile. Starts the walk. */
template <int D>
static __device__ __forceinline__ bool
start_tile(struct fwd_tile *t, struct page_walk<D> *w, struct tile_at *shared,
           const struct fwd *f, int n_lines, char *memory)
{
    const struct attn_batch *const a = &f->a;
    const struct tile_at where = find_tile(
        shared, a->row_off, a->n_seqs, a->n_heads / a->n_kv_heads, n_lines, blockIdx.x);
    if (where.segment < 0)
        return false;
    t->lines = attn_lines(a, where.segment, blockIdx.y);
    t->first_line = where.first;
    t->key_begin = attn_first_key(&t->lines, where.first);
    t->key_last = attn_last_key(&t->lines, min(where.first + n_lines, t->lines.n) - 1);
    w->tiles = (struct page_tile<D> *)memory;
    w->a = a;
    w->cache = f->cache;
    w->pages = t->lines.pages;
    w->first = t->key_begin / KV_BLOCK;
    w->last = t->key_last / KV_BLOCK;
    w->g = blockIdx.y;
    w->next = w->pages[w->first];
    walk_stage(w, w->first);
    return true;
}

template <int D>
static __global__ void __launch_bounds__(FWD_THREADS) k_attn_tensor(struct fwd f)
{
    __shared__ struct tile_at found;
    extern __shared__ __align__(16) char memory[];
    struct fwd_tile tile;
    struct page_walk<D> walk;
    if (!start_tile(&tile, &walk, &found, &f, FWD_LINES, memory))
        return;
    const int lane = threadIdx.x % WARP, g = lane / 4, c = lane % 4;
    const int64_t line = tile.first_line + threadIdx.x / WARP * 16 + g;
    struct line_pair<D> p;
    float o[D / 8][4] = {};
    load_pair(&p, &f, &tile.lines, line, c);
    for (int64_t b = walk.first; b <= walk.last; b++) {
        const struct page_tile<D> *const page = walk_to(&walk, b);
        const struct slot_range range = page_range(tile.key_begin, tile.key_last,
                                                   b * KV_BLOCK);
        float t[8][4] = {}, shrink[2];
        score_tiles<D, 8>(t, &p, page, f.a.scale * LOG2E, b * KV_BLOCK, 0, g, c);
        softmax_page<D>(&p, t, shrink);
        add_values<D, D / 8>(o, shrink, t, page, &range, 0, c);
        __syncthreads();
    }
    store_lines<D, D / 8>(&f, &tile.lines, &p, o, line, 0, c);
}

template <int D>
static __global__ void __launch_bounds__(FWD_THREADS) k_attn_decode(struct fwd f)
{
    enum { SCORES = KV_BLOCK / 8 / FWD_WARPS, DIMS = D / 8 / FWD_WARPS };
    __shared__ struct tile_at found;
    __shared__ float scores[16][KV_BLOCK + 8];
    extern __shared__ __align__(16) char memory[];
    struct fwd_tile tile;
    struct page_walk<D> walk;
    if (!start_tile(&tile, &walk, &found, &f, 16, memory))
        return;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int g = lane / 4, c = lane % 4;
    struct line_pair<D> p;
    float o[DIMS][4] = {};
    load_pair(&p, &f, &tile.lines, tile.first_line + g, c);
    for (int64_t b = walk.first; b <= walk.last; b++) {
        const struct page_tile<D> *const page = walk_to(&walk, b);
        const struct slot_range range = page_range(tile.key_begin, tile.key_last,
                                                   b * KV_BLOCK);
        float own[SCORES][4] = {}, t[8][4], shrink[2];
        score_tiles<D, SCORES>(own, &p, page, f.a.scale * LOG2E, b * KV_BLOCK,
                               warp * SCORES, g, c);
#pragma unroll
        for (int n = 0; n < SCORES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                scores[g + i / 2 * 8][(warp * SCORES + n) * 8 + 2 * c + i % 2] =
                    own[n][i];
        __syncthreads();
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                t[n][i] = scores[g + i / 2 * 8][n * 8 + 2 * c + i % 2];
        softmax_page<D>(&p, t, shrink);
        add_values<D, DIMS>(o, shrink, t, page, &range, warp * DIMS, c);
        __syncthreads();
    }
    store_lines<D, DIMS>(&f, &tile.lines, &p, o, tile.first_line + g, warp * DIMS, c);
}

template <int D> static void run(struct backend *b, const struct fwd *f)
{
    const size_t bytes = 2 * sizeof(struct page_tile<D>);
    const int64_t lines = f->a.n_rows * (f->a.n_heads / f->a.n_kv_heads);
    const bool has_many = lines > 16 * f->a.n_seqs;
    const dim3 grid(cuda_blocks(attn_max_tiles(&f->a, has_many ? FWD_LINES : 16), 1),
                    (unsigned)f->a.n_kv_heads);
    void (*const kernel)(struct fwd) = has_many ? k_attn_tensor<D> : k_attn_decode<D>;
    cuda_must(cudaFuncSetAttribute((const void *)kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_fwd: shared memory");
    kernel<<<grid, FWD_THREADS, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_fwd on tensor cores");
}

bool attn_tensor_fwd(struct backend *b, float *y, float *lse, const float *q,
                     const float *cache, const struct attn_batch *a)
{
    const struct fwd f = {y, lse, q, cache, *a};
    if (!attn_is_tensor(b, a->is_narrow, a->head_dim))
        return false;
    if (a->head_dim == 32)
        run<32>(b, &f);
    else if (a->head_dim == 64)
        run<64>(b, &f);
    else
        run<128>(b, &f);
    return true;
}
