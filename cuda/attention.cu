/*
 * Attention forward: one kernel for decode, prefill and the learner, for few and for
 * many lines of a sequence. A block of threads is a tile of lines; per page
 *   s_j = scale <q, k_j>,  m' = max(m, max s),  p_j = exp(s_j - m'),
 *   l = l exp(m - m') + sum p,  o = o exp(m - m') + p_j v_j, j ascending;
 * at the end y = o / l, lse = m + log l. q, o and p lie in shared memory; a page is
 * read through the cache by all threads. Lines past the last compute what nobody reads.
 */
#include "cuda/attention_tensor.cuh"

struct fwd {
    float *y, *lse;
    const float *q, *cache;
    struct attn_batch a;
};

template <int LINES> struct fwd_tile {
    float p[LINES * KV_BLOCK];
    float max[LINES], sum[LINES], shrink[LINES];
    struct attn_range seen[LINES];
    struct tile_at where;
};

/* Scores to probabilities of one line in one page, by 16 threads; a line that sees
 * nothing is left alone. */
template <int LINES>
static __device__ __forceinline__ void softmax_line(struct fwd_tile<LINES> *t, int line,
                                                    float scale, int lane)
{
    const struct attn_range seen = t->seen[line];
    float *const s = t->p + line * KV_BLOCK;
    float x[KV_BLOCK / LANES], top = -INFINITY, sum = 0;
#pragma unroll
    for (int v = 0; v < KV_BLOCK / LANES; v++) {
        const int slot = v * LANES + lane;
        const bool is_seen = slot >= seen.begin && slot < seen.end;
        x[v] = is_seen ? s[slot] * scale : -INFINITY;
        top = larger(top, x[v]);
    }
    const float old = t->max[line], max = larger(old, fold_max(top));
#pragma unroll
    for (int v = 0; v < KV_BLOCK / LANES; v++) {
        x[v] = f_exp(x[v] - max);
        sum = sum + x[v];
    }
    sum = fold_sum(sum);
    __syncwarp(); /* all have read the line's maximum */
    if (seen.begin >= seen.end)
        return;
#pragma unroll
    for (int v = 0; v < KV_BLOCK / LANES; v++)
        s[v * LANES + lane] = x[v];
    if (lane > 0)
        return;
    float shrink = 1;
    if (max != old && old != -INFINITY) { /* else the factor is 1, or sum and o are 0 */
        shrink = f_exp(old - max);
        t->sum[line] *= shrink;
    }
    t->shrink[line] = shrink;
    t->sum[line] += sum;
    t->max[line] = max;
}

template <int LINES, int PER_LINE, int PER_COL>
static __global__ void __launch_bounds__(ATTN_THREADS) k_attn_fwd(struct fwd f)
{
    __shared__ struct fwd_tile<LINES> t;
    extern __shared__ float rows[]; /* q, o: (LINES, pitch) */
    const struct attn_batch *const a = &f.a;
    const int64_t g = blockIdx.y, d = a->head_dim, pitch = attn_pitch(d);
    const int64_t per_kv = a->n_heads / a->n_kv_heads;
    float *const q = rows, *const o = rows + LINES * pitch;
    const struct tile_at where = find_tile(&t.where, a->row_off, a->n_seqs, per_kv,
                                           LINES, blockIdx.x);
    if (where.segment < 0)
        return;
    const struct attn_lines lines = attn_lines(a, where.segment, g);
    const int64_t left = lines.n - where.first;
    const int n = left < LINES ? (int)left : LINES;
    for (int i = threadIdx.x; i < LINES * pitch; i += ATTN_THREADS) {
        const int64_t line = i / pitch, at = i % pitch;
        const bool is_in = line < n && at < d;
        q[i] = is_in ? f.q[attn_q_at(&lines, a, where.first + line) + at] : 0.0f;
        o[i] = 0;
    }
    for (int i = threadIdx.x; i < LINES; i += ATTN_THREADS) {
        t.max[i] = -INFINITY;
        t.sum[i] = 0;
    }
    const int col = threadIdx.x % (ATTN_COLS / PER_COL) * PER_COL;
    const int line = threadIdx.x / (ATTN_COLS / PER_COL) * PER_LINE;
    const int64_t end = attn_last_key(&lines, where.first + n - 1) / KV_BLOCK + 1;
    for (int64_t b = attn_first_key(&lines, where.first) / KV_BLOCK; b < end; b++) {
        const float *const keys = f.cache + attn_page_at(a, lines.pages[b], g);
        const float *const values = keys + d * KV_BLOCK;
        for (int i = threadIdx.x; i < LINES; i += ATTN_THREADS)
            t.seen[i] = attn_visible(&lines, where.first + min(i, n - 1), b);
        __syncthreads();
        if (line < n) {
            float s[PER_LINE][PER_COL] = {};
            add_products<PER_LINE, PER_COL>(s, q + line * pitch, pitch, keys + col,
                                            KV_BLOCK, PER_COL, true, d);
#pragma unroll
            for (int l = 0; l < PER_LINE; l++)
#pragma unroll
                for (int c = 0; c < PER_COL; c++)
                    t.p[(line + l) * KV_BLOCK + col + c] = s[l][c];
        }
        __syncthreads();
        for (int i = threadIdx.x / LANES; i < LINES; i += ATTN_THREADS / LANES)
            softmax_line(&t, i, a->scale, threadIdx.x % LANES);
        __syncthreads();
        for (int64_t j = col; j < d && line < n; j += ATTN_COLS) {
            float acc[PER_LINE][PER_COL];
#pragma unroll
            for (int l = 0; l < PER_LINE; l++) {
                const struct attn_range seen = t.seen[line + l];
                const float by = seen.begin < seen.end ? t.shrink[line + l] : 1.0f;
#pragma unroll
                for (int c = 0; c < PER_COL; c++)
                    acc[l][c] = o[(line + l) * pitch + j + c] * by;
            }
            add_visible<PER_LINE, PER_COL>(acc, t.p + line * KV_BLOCK, t.seen + line,
                                           values + j, d, d - j, d % 4 == 0);
#pragma unroll
            for (int l = 0; l < PER_LINE; l++)
#pragma unroll
                for (int c = 0; c < PER_COL; c++)
                    o[(line + l) * pitch + j + c] = acc[l][c];
        }
        __syncthreads();
    }
    for (int64_t i = threadIdx.x; i < n * d; i += ATTN_THREADS) {
        const int64_t l = i / d, at = attn_at(&lines, a, where.first + l);
        f.y[at * d + i % d] = o[l * pitch + i % d] / t.sum[l];
        if (f.lse != NULL && i % d == 0)
            f.lse[at] = t.max[l] + f_log(t.sum[l]);
    }
}

template <int LINES, int PER_LINE, int PER_COL>
static void launch(struct backend *b, const struct fwd *f)
{
    const size_t bytes = (size_t)(2 * LINES * attn_pitch(f->a.head_dim)) *
                         sizeof(float);
    const dim3 grid(cuda_blocks(attn_max_tiles(&f->a, LINES), 1),
                    (unsigned)f->a.n_kv_heads);
    cuda_must(cudaFuncSetAttribute(k_attn_fwd<LINES, PER_LINE, PER_COL>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_fwd: shared memory");
    k_attn_fwd<LINES, PER_LINE, PER_COL>
        <<<grid, ATTN_THREADS, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_fwd");
}

void cuda_attn_fwd(struct backend *b, float *y, float *lse, const float *q,
                   const float *cache, const struct attn_batch *a)
{
    const struct fwd f = {y, lse, q, cache, *a};
    attn_check(a);
    if (a->n_rows == 0 || attn_tensor_fwd(b, y, lse, q, cache, a))
        return;
    const int64_t lines = a->n_rows * (a->n_heads / a->n_kv_heads);
    if (lines > 8 * a->n_seqs)
        launch<32, 4, 4>(b, &f);
    else
        launch<4, 2, 1>(b, &f);
}
