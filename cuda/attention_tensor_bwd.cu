/*
 * Attention backward on tensor cores where wgmma is not used (compute capability 8.x,
 * heads of 32 dims; else attention_tensor_bwd_wgmma.cuh); formulas in
 * cpu/attention_bwd.c, order in cuda/attention_bwd.cu. dq: a warp has 16 lines, walks
 * the pages upwards, half a page at a time. dk and dv: a block has a page, each of its
 * four warps 16 slots, and keeps their sums in registers over all lines that see the
 * page, 32 lines at a time (sequences of the group, their lines ascending). Which lines
 * share a step depends on their sequence alone, so micro-batches of whole groups change
 * no bit.
 */
#include "cuda/attention_tensor.cuh"

enum { DQ_WARPS = 4, DQ_LINES = 16 * DQ_WARPS, HALF_PAGE = KV_BLOCK / 2 };
enum { DKV_WARPS = KV_BLOCK / 16, DKV_THREADS = DKV_WARPS * WARP, STEP_LINES = 32 };

struct bwd {
    float *dq, *dcache;
    const float *dy, *lse, *q, *cache, *dots;
    int32_t *next;
    struct attn_batch a;
};

/* The fragment of a product whose rows are those of accumulators: columns 16 j .. */
static __device__ __forceinline__ void to_rows(uint32_t a[4], const float s[][4], int j)
{
    a[0] = pack_bf16(s[2 * j][0], s[2 * j][1]);
    a[1] = pack_bf16(s[2 * j][2], s[2 * j][3]);
    a[2] = pack_bf16(s[2 * j + 1][0], s[2 * j + 1][1]);
    a[3] = pack_bf16(s[2 * j + 1][2], s[2 * j + 1][3]);
}

/* Right operand, columns by rows of a tile of rows (dims by slots, dims by lines):
 * columns 16 k .., row */
template <int D>
static __device__ __forceinline__ void cols_by_row(uint32_t b[2], const uint16_t *rows,
                                                   int k, int row, int c)
{
    const uint16_t *const at = rows + row * (D + 8) + k * 16 + 2 * c;
    b[0] = *(const uint32_t *)at;
    b[1] = *(const uint32_t *)(at + 8);
}

/* Right operand, rows by columns of a tile of rows (slots by dims, lines by dims): rows
 * 16 j .., columns 8 n .. */
template <int D>
static __device__ __forceinline__ void rows_by_col(uint32_t b[2], const uint16_t *rows,
                                                   int j, int n)
{
    const int lane = threadIdx.x % WARP;
    const uint16_t *const row = rows + (j * 16 + lane % 16) * (D + 8) + n * 8;
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(b[0]), "=r"(b[1])
                 : "r"(at)
                 : "memory");
}

/* Left operand out of a tile of rows: rows `row` and row + 8, columns 16 k .. */
template <int D>
static __device__ __forceinline__ void rows_of(uint32_t a[4], const uint16_t *rows,
                                               int k, int row, int c)
{
    const uint16_t *const at = rows + row * (D + 8) + k * 16 + 2 * c;
    a[0] = *(const uint32_t *)at;
    a[1] = *(const uint32_t *)(at + 8 * (D + 8));
    a[2] = *(const uint32_t *)(at + 8);
    a[3] = *(const uint32_t *)(at + 8 * (D + 8) + 8);
}

/* p and ds of one score; 0 where it is not seen */
static __device__ __forceinline__ void score_grad(float *p, float *ds, float s,
                                                  float dp, float scale, float lse,
                                                  float dot, bool is_seen)
{
    const float prob = exp2f(s * (scale * LOG2E) - lse * LOG2E);
    *p = is_seen ? prob : 0.0f;
    *ds = is_seen ? prob * (dp - dot) * scale : 0.0f;
}

template <int D> struct dq_pair {
    uint32_t q[D / 16][4], dy[D / 16][4];
    float dq[D / 8][4];
    float lse[2], dot[2];
    int64_t first[2], last[2];
};

template <int D>
static __device__ __forceinline__ void
load_pair(struct dq_pair<D> *p, const struct bwd *f, const struct attn_lines *lines,
          int64_t line, int c)
{
    const float *q[2], *dy[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int64_t i = min(line + 8 * r, lines->n - 1);
        const int64_t at = attn_at(lines, &f->a, i);
        q[r] = f->q + attn_q_at(lines, &f->a, i);
        dy[r] = f->dy + at * D;
        p->lse[r] = f->lse[at];
        p->dot[r] = f->dots[at];
        p->first[r] = attn_first_key(lines, i);
        p->last[r] = attn_last_key(lines, i);
    }
    load_rows<D>(p->q, q[0], q[1], c);
    load_rows<D>(p->dy, dy[0], dy[1], c);
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p->dq[n][i] = 0;
}

/* dq += ds k over slots half .. half + 31; range: what the tile sees of the page */
template <int D>
static __device__ __forceinline__ void
dq_half(struct dq_pair<D> *p, const struct page_tile<D> *page, float scale,
        int64_t key0, int half, const struct slot_range *range, int g, int c)
{
    float s[HALF_PAGE / 8][4] = {}, dp[HALF_PAGE / 8][4] = {};
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int n = 0; n < HALF_PAGE / 8; n++) {
            const int slot = half + n * 8 + g;
            uint32_t b[2];
            cols_by_row<D>(b, page->k, k, slot, c);
            mma(s[n], p->q[k], b[0], b[1]);
            cols_by_row<D>(b, page->v, k, slot, c);
            mma(dp[n], p->dy[k], b[0], b[1]);
        }
    const struct slot_range seen[2] = {page_range(p->first[0], p->last[0], key0),
                                       page_range(p->first[1], p->last[1], key0)};
#pragma unroll
    for (int n = 0; n < HALF_PAGE / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            score_grad(&s[n][i], &dp[n][i], s[n][i], dp[n][i], scale, p->lse[i / 2],
                       p->dot[i / 2],
                       is_within(half + n * 8 + 2 * c + i % 2, &seen[i / 2]));
    const bool is_full = range->begin <= half && range->end >= half + HALF_PAGE;
#pragma unroll
    for (int j = 0; j < HALF_PAGE / 16; j++) {
        uint32_t a[4];
        to_rows(a, dp, j);
        const int slot = half + j * 16 + 2 * c;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            uint32_t k[2];
            rows_by_col<D>(k, page->k, half / 16 + j, n);
            if (!is_full) {
                k[0] = mask_pair(k[0], slot, range);
                k[1] = mask_pair(k[1], slot + 8, range);
            }
            mma(p->dq[n], a, k[0], k[1]);
        }
    }
}

template <int D>
static __global__ void __launch_bounds__(DQ_WARPS *WARP) k_dq_tensor(struct bwd f)
{
    __shared__ struct tile_at found;
    extern __shared__ __align__(16) char memory[];
    struct page_tile<D> *const pages = (struct page_tile<D> *)memory; /* two */
    const struct attn_batch *const a = &f.a;
    const int64_t g_kv = blockIdx.y;
    const struct tile_at where = find_tile(&found, a->row_off, a->n_seqs,
                                           a->n_heads / a->n_kv_heads, DQ_LINES,
                                           blockIdx.x);
    if (where.segment < 0)
        return;
    const struct attn_lines lines = attn_lines(a, where.segment, g_kv);
    const int lane = threadIdx.x % WARP, g = lane / 4, c = lane % 4;
    const int64_t line = where.first + threadIdx.x / WARP * 16 + g;
    const int64_t key_begin = attn_first_key(&lines, where.first);
    const int64_t key_last = attn_last_key(&lines,
                                           min(where.first + DQ_LINES, lines.n) - 1);
    const int64_t first = key_begin / KV_BLOCK, last = key_last / KV_BLOCK;
    struct dq_pair<D> p;
    stage_page<D, DQ_WARPS * WARP>(&pages[0],
                                   f.cache + attn_page_at(a, lines.pages[first], g_kv));
    load_pair(&p, &f, &lines, line, c);
    for (int64_t b = first; b <= last; b++) {
        const struct slot_range range = page_range(key_begin, key_last, b * KV_BLOCK);
        if (b < last) {
            stage_page<D, DQ_WARPS * WARP>(
                &pages[(b + 1 - first) % 2],
                f.cache + attn_page_at(a, lines.pages[b + 1], g_kv));
            wait_pages<1>();
        } else {
            wait_pages<0>();
        }
        __syncthreads();
        for (int half = 0; half < KV_BLOCK; half += HALF_PAGE)
            dq_half<D>(&p, &pages[(b - first) % 2], a->scale, b * KV_BLOCK, half,
                       &range, g, c);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (line + 8 * r >= lines.n)
            continue;
        float *const to = f.dq + attn_q_at(&lines, a, line + 8 * r);
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            to[n * 8 + 2 * c] = p.dq[n][2 * r];
            to[n * 8 + 2 * c + 1] = p.dq[n][2 * r + 1];
        }
    }
}

/* STEP_LINES lines as bf16, and what belongs to them */
template <int D> struct line_step {
    uint16_t q[STEP_LINES * (D + 8)], dy[STEP_LINES * (D + 8)];
    float lse[STEP_LINES], dot[STEP_LINES];
    struct slot_range seen[STEP_LINES];
};

/* Four threads to a line, each a quarter of its dims */
template <int D>
static __device__ __forceinline__ void
load_step(struct line_step<D> *t, const struct bwd *f, const struct attn_lines *lines,
          int64_t first, int n, int64_t block)
{
    enum { PART = D / 4 };
    const int i = threadIdx.x / 4, d0 = threadIdx.x % 4 * PART;
    const struct slot_range none = {0, 0};
    const int64_t line = first + min(i, n - 1), at = attn_at(lines, &f->a, line);
    const float *const q = f->q + attn_q_at(lines, &f->a, line) + d0;
    const float *const dy = f->dy + at * D + d0;
    uint32_t *const to_q = (uint32_t *)&t->q[i * (D + 8) + d0];
    uint32_t *const to_dy = (uint32_t *)&t->dy[i * (D + 8) + d0];
    float a[PART], b[PART];
#pragma unroll
    for (int d = 0; d < PART; d++) {
        a[d] = q[d];
        b[d] = dy[d];
    }
#pragma unroll
    for (int d = 0; d < PART; d += 2) {
        to_q[d / 2] = i < n ? pack_bf16(a[d], a[d + 1]) : 0;
        to_dy[d / 2] = i < n ? pack_bf16(b[d], b[d + 1]) : 0;
    }
    if (d0 != 0)
        return;
    t->seen[i] = i < n ? page_range(attn_first_key(lines, line),
                                    attn_last_key(lines, line), block * KV_BLOCK)
                       : none;
    t->lse[i] = f->lse[at];
    t->dot[i] = f->dots[at];
}

/* A thread's two slots: g and g + 8 of its warp's 16 */
template <int D> struct slot_pair {
    float dk[D / 8][4], dv[D / 8][4];
};

/* dk and dv += of one step; slot: that of g */
template <int D>
static __device__ __forceinline__ void
add_step(struct slot_pair<D> *p, const struct line_step<D> *t,
         const struct page_tile<D> *page, float scale, int slot, int g, int c)
{
    float s[STEP_LINES / 8][4] = {}, dp[STEP_LINES / 8][4] = {};
    for (int k = 0; k < D / 16; k++) {
        uint32_t keys[4], values[4];
        rows_of<D>(keys, page->k, k, slot, c);
        rows_of<D>(values, page->v, k, slot, c);
#pragma unroll
        for (int n = 0; n < STEP_LINES / 8; n++) {
            uint32_t b[2];
            cols_by_row<D>(b, t->q, k, n * 8 + g, c);
            mma(s[n], keys, b[0], b[1]);
            cols_by_row<D>(b, t->dy, k, n * 8 + g, c);
            mma(dp[n], values, b[0], b[1]);
        }
    }
#pragma unroll
    for (int n = 0; n < STEP_LINES / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int line = n * 8 + 2 * c + i % 2;
            score_grad(&s[n][i], &dp[n][i], s[n][i], dp[n][i], scale, t->lse[line],
                       t->dot[line], is_within(slot + i / 2 * 8, &t->seen[line]));
        }
#pragma unroll
    for (int j = 0; j < STEP_LINES / 16; j++) {
        uint32_t prob[4], ds[4];
        to_rows(prob, s, j);
        to_rows(ds, dp, j);
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            uint32_t b[2];
            rows_by_col<D>(b, t->dy, j, n);
            mma(p->dv[n], prob, b[0], b[1]);
            rows_by_col<D>(b, t->q, j, n);
            mma(p->dk[n], ds, b[0], b[1]);
        }
    }
}

/* The page's gradients into the registers, or back */
template <int D>
static __device__ __forceinline__ void move_cells(struct slot_pair<D> *p, float *dkeys,
                                                  bool is_load, int slot, int c)
{
    float *const dvalues = dkeys + D * KV_BLOCK;
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int d = n * 8 + 2 * c + i % 2, row = slot + i / 2 * 8;
            float *const k = dkeys + d * KV_BLOCK + row;
            float *const v = dvalues + row * D + d;
            if (is_load) {
                p->dk[n][i] = *k;
                p->dv[n][i] = *v;
            } else {
                *k = p->dk[n][i];
                *v = p->dv[n][i];
            }
        }
}

template <int D>
static __global__ void __launch_bounds__(DKV_THREADS) k_dkv_tensor(struct bwd f)
{
    __shared__ int32_t taken;
    extern __shared__ __align__(16) char memory[];
    struct page_tile<D> *const page = (struct page_tile<D> *)memory;
    struct line_step<D> *const step = (struct line_step<D> *)(page + 1);
    const struct attn_batch *const a = &f.a;
    const int64_t g_kv = blockIdx.y;
    const int lane = threadIdx.x % WARP, g = lane / 4, c = lane % 4;
    const int slot = threadIdx.x / WARP * 16 + g;
    struct page_entry e;
    while (take_page(&e, &taken, a, &f.next[g_kv])) {
        const int64_t at = attn_page_at(a, e.page, g_kv);
        struct slot_pair<D> p;
        stage_page<D, DKV_THREADS>(page, f.cache + at);
        move_cells<D>(&p, f.dcache + at, true, slot, c);
        wait_pages<0>();
        for (int64_t s = e.seq; s < e.group_end; s++) {
            if (!holds_page(a, s, e.block, e.page))
                continue;
            const struct attn_lines lines = attn_lines(a, s, g_kv);
            int64_t first, end;
            seeing_lines(&lines, e.block, &first, &end);
            for (int64_t i = first; i < end; i += STEP_LINES) {
                const int n = (int)min(end - i, (int64_t)STEP_LINES);
                __syncthreads();
                load_step<D>(step, &f, &lines, i, n, e.block);
                __syncthreads();
                add_step<D>(&p, step, page, a->scale, slot, g, c);
            }
        }
        move_cells<D>(&p, f.dcache + at, false, slot, c);
    }
}

template <int D> static void run(struct backend *b, const struct bwd *f)
{
    enum { BLOCKS_PER_SM = 4 };
    const cudaStream_t stream = cuda_stream(b);
    const size_t page = sizeof(struct page_tile<D>);
    const size_t both = page + sizeof(struct line_step<D>);
    const dim3 grid(cuda_blocks(attn_max_tiles(&f->a, DQ_LINES), 1),
                    (unsigned)f->a.n_kv_heads);
    cuda_must(cudaFuncSetAttribute(k_dq_tensor<D>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)(2 * page)),
              "attn_bwd: shared memory");
    k_dq_tensor<D><<<grid, DQ_WARPS * WARP, 2 * page, stream>>>(*f);
    cuda_launched(b, "attn_bwd on tensor cores: dq");
    const int64_t blocks = (int64_t)cuda_state(b)->n_sms * BLOCKS_PER_SM;
    const dim3 pages(cuda_blocks(blocks, f->a.n_kv_heads), (unsigned)f->a.n_kv_heads);
    cuda_must(cudaFuncSetAttribute(k_dkv_tensor<D>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)both),
              "attn_bwd: shared memory");
    cuda_must(
        cudaMemsetAsync(f->next, 0, (size_t)f->a.n_kv_heads * sizeof(int32_t), stream),
        "attn_bwd");
    k_dkv_tensor<D><<<pages, DKV_THREADS, both, stream>>>(*f);
    cuda_launched(b, "attn_bwd on tensor cores: dk, dv");
}

bool attn_tensor_bwd(struct backend *b, float *dq, float *dcache, const float *dy,
                     const float *lse, const float *q, const float *cache,
                     const float *dots, int32_t *next, const struct attn_batch *a)
{
    const struct bwd f = {dq, dcache, dy, lse, q, cache, dots, next, *a};
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
