/*
 * Attention forward on tensor cores. A warp has 16 lines of one sequence and kv head; a
 * block is one warp (decode) or four that share the pages. Pages come into shared
 * memory two ahead of each other; scores, softmax and the sum over values stay in
 * registers.
 */
#include "cuda/attention_tensor.cuh"

struct fwd {
    float *y, *lse;
    const float *q, *cache;
    struct attn_batch a;
};

/* What a thread keeps of its two lines */
template <int D> struct line_pair {
    uint32_t q[D / 16][4];
    float o[D / 8][4];
    float max[2], sum[2]; /* of t; of p over the thread's columns */
    int64_t first[2], last[2];
};

/* t of the page's slots; -inf where a line does not see */
template <int D>
static __device__ __forceinline__ void
score_page(float t[8][4], const struct line_pair<D> *p, const struct page_tile<D> *page,
           float scale, int64_t key0, int g, int c)
{
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int n = 0; n < 8; n++) {
            uint32_t b[2];
            keys_by_dim(b, page->k, k, n * 8 + g, c);
            mma(t[n], p->q[k], b[0], b[1]);
        }
    const struct slot_range seen[2] = {page_range(p->first[0], p->last[0], key0),
                                       page_range(p->first[1], p->last[1], key0)};
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            t[n][i] = is_within(n * 8 + 2 * c + i % 2, &seen[i / 2]) ? t[n][i] * scale
                                                                     : -INFINITY;
}

/* t becomes p; the lines' maximum and sum, and o, follow. A line that sees nothing here
 * keeps what it has. */
template <int D>
static __device__ __forceinline__ void softmax_page(struct line_pair<D> *p,
                                                    float t[8][4])
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
        const float shrink = exp2f(p->max[r] - zero);
#pragma unroll
        for (int n = 0; n < 8; n++) {
            t[n][2 * r] = exp2f(t[n][2 * r] - zero);
            t[n][2 * r + 1] = exp2f(t[n][2 * r + 1] - zero);
            sum = sum + (t[n][2 * r] + t[n][2 * r + 1]);
        }
        p->max[r] = max;
        p->sum[r] = p->sum[r] * shrink + sum;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            p->o[n][2 * r] *= shrink;
            p->o[n][2 * r + 1] *= shrink;
        }
    }
}

template <int D>
static __device__ __forceinline__ void
add_values(struct line_pair<D> *p, const float t[8][4], const struct page_tile<D> *page,
           const struct slot_range *range, int g, int c)
{
    const bool is_full = range->begin <= 0 && range->end >= KV_BLOCK;
#pragma unroll
    for (int j = 0; j < KV_BLOCK / 16; j++) {
        uint32_t a[4];
        to_rows(a, t, j);
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            const int slot = j * 16 + 2 * c;
            const float *const at = page->v + slot * (D + 4) + n * 8 + g;
            float v[4] = {at[0], at[D + 4], at[8 * (D + 4)], at[9 * (D + 4)]};
            if (!is_full)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    v[i] = or_zero(v[i], slot + i % 2 + i / 2 * 8, range);
            mma(p->o[n], a, pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
        }
    }
}

template <int D>
static __device__ __forceinline__ void
store_lines(const struct fwd *f, const struct attn_lines *lines,
            const struct line_pair<D> *p, int64_t line, int c)
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
        for (int n = 0; n < D / 8; n++) {
            f->y[at * D + n * 8 + 2 * c] = p->o[n][2 * r] / sum;
            f->y[at * D + n * 8 + 2 * c + 1] = p->o[n][2 * r + 1] / sum;
        }
        if (f->lse != NULL && c == 0)
            f->lse[at] = p->max[r] * LN2 + f_log(sum);
    }
}

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
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p->o[n][i] = 0;
}

template <int D, int WARPS>
static __global__ void __launch_bounds__(WARPS *WARP) k_attn_tensor(struct fwd f)
{
    enum { THREADS = WARPS * WARP, LINES = 16 * WARPS };
    __shared__ struct tile_at found;
    extern __shared__ __align__(16) char memory[];
    struct page_tile<D> *const pages = (struct page_tile<D> *)memory; /* two */
    const struct attn_batch *const a = &f.a;
    const int64_t g_kv = blockIdx.y;
    const struct tile_at where = find_tile(
        &found, a->row_off, a->n_seqs, a->n_heads / a->n_kv_heads, LINES, blockIdx.x);
    if (where.segment < 0)
        return;
    const struct attn_lines lines = attn_lines(a, where.segment, g_kv);
    const int lane = threadIdx.x % WARP, g = lane / 4, c = lane % 4;
    const int64_t line = where.first + threadIdx.x / WARP * 16 + g;
    const int64_t tile_last = min(where.first + LINES, lines.n) - 1;
    const float scale = a->scale * LOG2E;
    const int64_t key_begin = attn_first_key(&lines, where.first);
    const int64_t key_last = attn_last_key(&lines, tile_last);
    const int64_t first = key_begin / KV_BLOCK, end = key_last / KV_BLOCK + 1;
    struct line_pair<D> p;
    stage_page<D, THREADS>(&pages[0],
                           f.cache + attn_page_at(a, lines.pages[first], g_kv));
    load_pair(&p, &f, &lines, line, c);
    for (int64_t b = first; b < end; b++) {
        struct page_tile<D> *const page = &pages[(b - first) % 2];
        if (b + 1 < end) {
            stage_page<D, THREADS>(&pages[(b + 1 - first) % 2],
                                   f.cache + attn_page_at(a, lines.pages[b + 1], g_kv));
            wait_pages<1>();
        } else {
            wait_pages<0>();
        }
        __syncthreads();
        float t[8][4] = {};
        score_page<D>(t, &p, page, scale, b * KV_BLOCK, g, c);
        softmax_page<D>(&p, t);
        const struct slot_range range = page_range(key_begin, key_last, b * KV_BLOCK);
        add_values<D>(&p, t, page, &range, g, c);
        __syncthreads();
    }
    store_lines<D>(&f, &lines, &p, line, c);
}

template <int D, int WARPS> static void launch(struct backend *b, const struct fwd *f)
{
    const size_t bytes = 2 * sizeof(struct page_tile<D>);
    const dim3 grid(cuda_blocks(attn_max_tiles(&f->a, 16 * WARPS), 1),
                    (unsigned)f->a.n_kv_heads);
    cuda_must(cudaFuncSetAttribute(k_attn_tensor<D, WARPS>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_fwd: shared memory");
    k_attn_tensor<D, WARPS><<<grid, WARPS * WARP, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_fwd on tensor cores");
}

template <int D> static void run(struct backend *b, const struct fwd *f)
{
    const int64_t lines = f->a.n_rows * (f->a.n_heads / f->a.n_kv_heads);
    if (lines > 16 * f->a.n_seqs)
        launch<D, 4>(b, f);
    else
        launch<D, 1>(b, f);
}

bool attn_tensor_fwd(struct backend *b, float *y, float *lse, const float *q,
                     const float *cache, const struct attn_batch *a)
{
    const struct fwd f = {y, lse, q, cache, *a};
    if (!attn_is_tensor(b, a))
        return false;
    if (a->head_dim == 32)
        run<32>(b, &f);
    else if (a->head_dim == 64)
        run<64>(b, &f);
    else
        run<128>(b, &f);
    return true;
}
