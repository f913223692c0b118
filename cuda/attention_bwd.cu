/*
 * Attention backward, from the lse of the forward; formulas in cpu/attention_bwd.c.
 * Three kernels: D = <dy, y> of every line; dq, a block of threads per tile of lines,
 * pages upwards; dk and dv, a block per page and kv head, which adds the lines that see
 * the page in order: sequences of the group, their lines ascending, in the CPU's tiles
 * of 24 lines, since a line that does not see a slot of its tile adds 0 to it there.
 *
 * A page that several sequences of a group hold is worked on once, for the first of
 * them; it has the same place in the page lists of all (core/ops.h).
 */
#include "cuda/attention_tensor.cuh"

enum { DKV_LINES = 24, DKV_PER_LINE = 3, PER_COL = 4 };
/* Dims of the values that are transposed into shared memory at a time; its rows */
enum { CHUNK = 32, CHUNK_PITCH = ATTN_COLS + 4 };

struct bwd {
    float *dq, *dcache;
    const float *dy, *lse, *q, *cache, *dots;
    int32_t *next; /* counter of the pages taken */
    struct attn_batch a;
};

/* A half warp is a line */
static __global__ void k_dots(float *dots, const float *dy, const float *y, int64_t d,
                              int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    float acc = 0;
    for (int64_t j = lane; j < d && i < n; j += LANES)
        acc = fmaf(dy[i * d + j], y[i * d + j], acc);
    acc = fold_sum(acc);
    if (lane == 0 && i < n)
        dots[i] = acc;
}

template <int LINES> struct bwd_tile {
    float p[LINES * KV_BLOCK], ds[LINES * KV_BLOCK];
    float flipped[ATTN_COLS * CHUNK_PITCH]; /* values or keys, transposed */
    float lse[LINES], dots[LINES];
    struct attn_range seen[LINES];
    struct tile_at where;
};

/* Lines first .. first + n - 1 into q and dy (LINES, pitch), the rest 0; what each
 * sees of block b */
template <int LINES>
static __device__ __forceinline__ void
load_lines(struct bwd_tile<LINES> *t, float *q, float *dy, const struct bwd *f,
           const struct attn_lines *lines, int64_t first, int n)
{
    const int64_t d = f->a.head_dim, pitch = attn_pitch(d);
    for (int i = threadIdx.x; i < LINES * pitch; i += ATTN_THREADS) {
        const int64_t line = i / pitch, at = i % pitch;
        const bool is_in = line < n && at < d;
        q[i] = is_in ? f->q[attn_q_at(lines, &f->a, first + line) + at] : 0.0f;
        dy[i] = is_in ? f->dy[attn_at(lines, &f->a, first + line) * d + at] : 0.0f;
    }
    for (int i = threadIdx.x; i < n; i += ATTN_THREADS) {
        t->lse[i] = f->lse[attn_at(lines, &f->a, first + i)];
        t->dots[i] = f->dots[attn_at(lines, &f->a, first + i)];
    }
}

template <int LINES>
static __device__ __forceinline__ void set_seen(struct bwd_tile<LINES> *t,
                                                const struct attn_lines *lines,
                                                int64_t first, int n, int64_t b)
{
    for (int i = threadIdx.x; i < LINES; i += ATTN_THREADS)
        t->seen[i] = attn_visible(lines, first + min(i, n - 1), b);
}

/* to (n, CHUNK_PITCH) = from (ATTN_COLS, n) transposed, n <= ATTN_COLS, rows of `from`
 * ld apart */
static __device__ __forceinline__ void flip_slots(float *to, const float *from,
                                                  int64_t ld, int n)
{
    for (int i = threadIdx.x; i < KV_BLOCK * n; i += ATTN_THREADS)
        to[i % n * CHUNK_PITCH + i / n] = from[i / n * ld + i % n];
}

/* s = <q, k_j> and dp = <dy, v_j> of the thread's lines and slots */
template <int LINES, int PER_LINE>
static __device__ __forceinline__ void
score_products(struct bwd_tile<LINES> *t, float s[PER_LINE][PER_COL],
               float dp[PER_LINE][PER_COL], const float *q, const float *dy,
               const float *keys, int64_t d, int line, int col)
{
    const int64_t pitch = attn_pitch(d);
    const float *const values = keys + d * KV_BLOCK;
    add_products<PER_LINE, PER_COL>(s, q + line * pitch, pitch, keys + col, KV_BLOCK,
                                    PER_COL, true, d);
    for (int64_t c = 0; c < d; c += CHUNK) {
        const int n = d - c < CHUNK ? (int)(d - c) : CHUNK;
        __syncthreads();
        flip_slots(t->flipped, values + c, d, n);
        __syncthreads();
        add_products<PER_LINE, PER_COL>(dp, dy + line * pitch + c, pitch,
                                        t->flipped + col, CHUNK_PITCH, PER_COL, true,
                                        n);
    }
}

/* p and ds of the tile in block b; 0 outside what a line sees */
template <int LINES, int PER_LINE>
static __device__ __forceinline__ void
score_tile(struct bwd_tile<LINES> *t, const float *q, const float *dy,
           const float *keys, const struct attn_batch *a, int line, int col)
{
    float s[PER_LINE][PER_COL] = {}, dp[PER_LINE][PER_COL] = {};
    score_products<LINES, PER_LINE>(t, s, dp, q, dy, keys, a->head_dim, line, col);
#pragma unroll
    for (int l = 0; l < PER_LINE; l++) {
        const struct attn_range seen = t->seen[line + l];
#pragma unroll
        for (int c = 0; c < PER_COL; c++) {
            const bool is_seen = col + c >= seen.begin && col + c < seen.end;
            const float p = f_exp(s[l][c] * a->scale - t->lse[line + l]);
            const float ds = p * (dp[l][c] - t->dots[line + l]) * a->scale;
            t->p[(line + l) * KV_BLOCK + col + c] = is_seen ? p : 0.0f;
            t->ds[(line + l) * KV_BLOCK + col + c] = is_seen ? ds : 0.0f;
        }
    }
}

/* dq of the tile's lines += ds k over a page; keys (d, KV_BLOCK) transposed 64 dims at
 * a time */
template <int LINES, int PER_LINE>
static __device__ __forceinline__ void add_dq(struct bwd_tile<LINES> *t, float *dq,
                                              const float *keys, int64_t d, int n,
                                              int line, int col)
{
    const int64_t pitch = attn_pitch(d);
    for (int64_t j = 0; j < d; j += ATTN_COLS) {
        const int cols = d - j < ATTN_COLS ? (int)(d - j) : ATTN_COLS;
        __syncthreads();
        for (int i = threadIdx.x; i < cols * KV_BLOCK; i += ATTN_THREADS)
            t->flipped[i % KV_BLOCK * CHUNK_PITCH + i / KV_BLOCK] =
                keys[j * KV_BLOCK + i];
        __syncthreads();
        if (col >= cols || line >= n)
            continue;
        float acc[PER_LINE][PER_COL];
#pragma unroll
        for (int l = 0; l < PER_LINE; l++)
#pragma unroll
            for (int c = 0; c < PER_COL; c++)
                acc[l][c] = dq[(line + l) * pitch + j + col + c];
        add_visible<PER_LINE, PER_COL>(acc, t->ds + line * KV_BLOCK, t->seen + line,
                                       t->flipped + col, CHUNK_PITCH, cols - col, true);
#pragma unroll
        for (int l = 0; l < PER_LINE; l++)
#pragma unroll
            for (int c = 0; c < PER_COL; c++)
                if (col + c < cols)
                    dq[(line + l) * pitch + j + col + c] = acc[l][c];
    }
}

template <int LINES, int PER_LINE>
static __global__ void __launch_bounds__(ATTN_THREADS) k_dq(struct bwd f)
{
    __shared__ struct bwd_tile<LINES> t;
    extern __shared__ float rows[]; /* q, dy, dq: (LINES, pitch) */
    const struct attn_batch *const a = &f.a;
    const int64_t g = blockIdx.y, d = a->head_dim, pitch = attn_pitch(d);
    float *const q = rows, *const dy = q + LINES * pitch;
    float *const dq = dy + LINES * pitch;
    const struct tile_at where = find_tile(
        &t.where, a->row_off, a->n_seqs, a->n_heads / a->n_kv_heads, LINES, blockIdx.x);
    if (where.segment < 0)
        return;
    const struct attn_lines lines = attn_lines(a, where.segment, g);
    const int64_t left = lines.n - where.first;
    const int n = left < LINES ? (int)left : LINES;
    const int col = threadIdx.x % (ATTN_COLS / PER_COL) * PER_COL;
    const int line = threadIdx.x / (ATTN_COLS / PER_COL) * PER_LINE;
    load_lines(&t, q, dy, &f, &lines, where.first, n);
    for (int i = threadIdx.x; i < LINES * pitch; i += ATTN_THREADS)
        dq[i] = 0;
    const int64_t end = attn_last_key(&lines, where.first + n - 1) / KV_BLOCK + 1;
    for (int64_t b = attn_first_key(&lines, where.first) / KV_BLOCK; b < end; b++) {
        const float *const keys = f.cache + attn_page_at(a, lines.pages[b], g);
        set_seen(&t, &lines, where.first, n, b);
        __syncthreads();
        score_tile<LINES, PER_LINE>(&t, q, dy, keys, a, line, col);
        add_dq<LINES, PER_LINE>(&t, dq, keys, d, n, line, col);
        __syncthreads();
    }
    for (int64_t i = threadIdx.x; i < n * d; i += ATTN_THREADS)
        f.dq[attn_q_at(&lines, a, where.first + i / d) + i % d] =
            dq[i / d * pitch + i % d];
}

/* c (rows, cols; ld_c apart) += sum over lines of a[l, row] b[l, col], for rows
 * row0 .. row_end - 1 and columns col0 .. col_end - 1; 8 x 4 elements to a thread */
static __device__ __forceinline__ void add_outer(float *c, int64_t ld_c, const float *a,
                                                 int64_t ld_a, const float *b,
                                                 int64_t ld_b, int row0, int row_end,
                                                 int col0, int col_end, int n)
{
    enum { TALL = 8 };
    const int tc = threadIdx.x % 16 * PER_COL, tr = threadIdx.x / 16 * TALL;
    for (int r0 = tr; r0 < row_end; r0 += 8 * TALL)
        for (int c0 = tc; c0 < col_end; c0 += 16 * PER_COL) {
            float acc[TALL][PER_COL];
#pragma unroll
            for (int r = 0; r < TALL; r++)
#pragma unroll
                for (int j = 0; j < PER_COL; j++) {
                    const bool is_in = r0 + r < row_end && c0 + j < col_end;
                    acc[r][j] = is_in ? c[(r0 + r) * ld_c + c0 + j] : 0.0f;
                }
            for (int l = 0; l < n; l++) {
                float y[PER_COL];
#pragma unroll
                for (int j = 0; j < PER_COL; j++)
                    y[j] = c0 + j < col_end ? b[l * ld_b + c0 + j] : 0.0f;
#pragma unroll
                for (int r = 0; r < TALL; r++) {
                    const float x = r0 + r < row_end ? a[l * ld_a + r0 + r] : 0.0f;
#pragma unroll
                    for (int j = 0; j < PER_COL; j++)
                        acc[r][j] = fmaf(x, y[j], acc[r][j]);
                }
            }
#pragma unroll
            for (int r = 0; r < TALL; r++)
#pragma unroll
                for (int j = 0; j < PER_COL; j++) {
                    const int row = r0 + r, col = c0 + j;
                    if (row >= row0 && row < row_end && col >= col0 && col < col_end)
                        c[row * ld_c + col] = acc[r][j];
                }
        }
}

/* Adds a sequence's lines to dk and dv of its block b */
static __device__ void page_bwd(struct bwd_tile<DKV_LINES> *t, float *rows,
                                const struct bwd *f, const struct attn_lines *lines,
                                int64_t b, int64_t g)
{
    const struct attn_batch *const a = &f->a;
    const int64_t d = a->head_dim, pitch = attn_pitch(d);
    const int64_t at = attn_page_at(a, lines->pages[b], g);
    float *const q = rows, *const dy = q + DKV_LINES * pitch;
    float *const dkeys = f->dcache + at, *const dvalues = dkeys + d * KV_BLOCK;
    const int col = threadIdx.x % (ATTN_COLS / PER_COL) * PER_COL;
    const int line = threadIdx.x / (ATTN_COLS / PER_COL) * DKV_PER_LINE;
    int64_t first, end;
    seeing_lines(lines, b, &first, &end);
    for (int64_t i = first; i < end; i += DKV_LINES) {
        const int n = end - i < DKV_LINES ? (int)(end - i) : DKV_LINES;
        load_lines(t, q, dy, f, lines, i, n);
        set_seen(t, lines, i, n, b);
        __syncthreads();
        score_tile<DKV_LINES, DKV_PER_LINE>(t, q, dy, f->cache + at, a, line, col);
        __syncthreads();
        const int low = t->seen[0].begin, high = t->seen[n - 1].end;
        add_outer(dvalues, d, t->p, KV_BLOCK, dy, pitch, low, high, 0, (int)d, n);
        add_outer(dkeys, KV_BLOCK, q, pitch, t->ds, KV_BLOCK, 0, (int)d, low, high, n);
        __syncthreads();
    }
}

/* Takes entries of the page lists one after another; works on those that no earlier
 * sequence of the group has. */
static __global__ void __launch_bounds__(ATTN_THREADS) k_dkv(struct bwd f)
{
    __shared__ struct bwd_tile<DKV_LINES> t;
    __shared__ int32_t taken;
    extern __shared__ float rows[]; /* q, dy: (DKV_LINES, pitch) */
    const struct attn_batch *const a = &f.a;
    const int64_t g = blockIdx.y;
    struct page_entry e;
    while (take_page(&e, &taken, a, &f.next[g]))
        for (int64_t s = e.seq; s < e.group_end; s++) {
            if (!holds_page(a, s, e.block, e.page))
                continue;
            const struct attn_lines lines = attn_lines(a, s, g);
            if (lines.n > 0)
                page_bwd(&t, rows, &f, &lines, e.block, g);
        }
}

template <int LINES, int PER_LINE>
static void launch_dq(struct backend *b, const struct bwd *f)
{
    const size_t bytes = (size_t)(3 * LINES * attn_pitch(f->a.head_dim)) *
                         sizeof(float);
    const dim3 grid(cuda_blocks(attn_max_tiles(&f->a, LINES), 1),
                    (unsigned)f->a.n_kv_heads);
    cuda_must(cudaFuncSetAttribute(k_dq<LINES, PER_LINE>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_bwd: shared memory");
    k_dq<LINES, PER_LINE><<<grid, ATTN_THREADS, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_bwd: dq");
}

static void launch_dkv(struct backend *b, const struct bwd *f)
{
    enum { BLOCKS_PER_SM = 4 };
    const size_t bytes = (size_t)(2 * DKV_LINES * attn_pitch(f->a.head_dim)) *
                         sizeof(float);
    const int64_t blocks = (int64_t)cuda_state(b)->n_sms * BLOCKS_PER_SM;
    const dim3 grid(cuda_blocks(blocks, f->a.n_kv_heads), (unsigned)f->a.n_kv_heads);
    cuda_must(cudaFuncSetAttribute(k_dkv, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_bwd: shared memory");
    cuda_must(cudaMemsetAsync(f->next, 0, (size_t)f->a.n_kv_heads * sizeof(int32_t),
                              cuda_stream(b)),
              "attn_bwd");
    k_dkv<<<grid, ATTN_THREADS, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_bwd: dk, dv");
}

void cuda_attn_bwd(struct backend *b, float *dq, float *dcache, const float *dy,
                   const float *y, const float *lse, const float *q, const float *cache,
                   const struct attn_batch *a)
{
    const int64_t n = a->n_rows * a->n_heads;
    attn_check(a);
    if (n == 0 || attn_wgmma_bwd(b, dq, dcache, dy, y, lse, q, cache, a))
        return;
    const size_t n_next = (size_t)(a->n_kv_heads + 3) / 4 * 4;
    char *const scratch = (char *)cuda_scratch(b, n_next * sizeof(int32_t) +
                                                      (size_t)n * sizeof(float));
    float *const dots = (float *)(scratch + n_next * sizeof(int32_t));
    k_dots<<<cuda_blocks(n, ROWS_PER_BLOCK), ROW_THREADS, 0, cuda_stream(b)>>>(
        dots, dy, y, a->head_dim, n);
    cuda_launched(b, "attn_bwd: <dy, y>");
    if (attn_tensor_bwd(b, dq, dcache, dy, lse, q, cache, dots, (int32_t *)scratch, a))
        return;
    const struct bwd f = {dq, dcache, dy, lse, q, cache, dots, (int32_t *)scratch, *a};
    if (a->head_dim <= 256)
        launch_dq<32, 4>(b, &f);
    else /* what shared memory holds */
        launch_dq<16, 2>(b, &f);
    launch_dkv(b, &f);
}
