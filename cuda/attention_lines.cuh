/*
 * Private to attention_tensor*.cu: the arithmetic of the forward pass that is the same
 * whichever instructions multiply. A warp has 16 lines; a thread has rows g = lane / 4
 * and g + 8 of them (r = 0, 1) and, of every 8 columns, 2 c and 2 c + 1 (c = lane % 4):
 * element 4 n + 2 r + i of an array is column 8 n + 2 c + i of row r. Products of
 * mma.sync and of wgmma leave their results so.
 *
 * Recurrence of a line over the pages b it sees, upwards (scores in log2 units,
 * t_j = <q, k_j> scale log2(e)):
 *   m_b = max_j t_j,  p_j = 2^(t_j - m_b),  l_b = sum p_j,  o_b = sum p_j v_j  (from 0)
 *   m' = max(m, m_b), l = l 2^(m - m') + l_b 2^(m_b - m'), o likewise.
 * y = o (1 / l), lse = (m + log2 l) ln 2. A page's (m_b, l_b, o_b) does not depend on
 * the pages before it, so any block of threads may compute it; only the order of the
 * second step is fixed. A page that a line does not see changes nothing.
 */
#ifndef CUDA_ATTENTION_LINES_CUH
#define CUDA_ATTENTION_LINES_CUH

#include "cuda/attention_unit.cuh"

/* 2^x, flushed to 0 below 2^-126; error 2 ulp (PTX ISA, ex2.approx.ftz) */
static __device__ __forceinline__ float exp_2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* What a thread keeps of its two lines */
template <int D> struct line_state {
    float o[D / 2], max[2], sum[2];
    int32_t first[2], last[2]; /* keys that the lines see; first > last: no line */
};

/* Of a page: its maximum and sum */
struct page_sum {
    float max[2], sum[2];
};

template <int D>
static __device__ __forceinline__ void clear_state(struct line_state<D> *s)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        s->max[r] = -INFINITY;
        s->sum[r] = 0;
    }
#pragma unroll
    for (int i = 0; i < D / 2; i++)
        s->o[i] = 0;
}

/* index: of the tile, row g of the warp's 16 */
template <int D, int LINES>
static __device__ __forceinline__ void
init_lines(struct line_state<D> *s, const struct attn_tile<LINES> *t, int32_t index)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const struct attn_line *const line = &t->line[index + 8 * r];
        s->first[r] = line->first;
        s->last[r] = line->last;
    }
    clear_state<D>(s);
}

/* Queries as left operands, rounded to bf16; 0 where there is no line. A negative scale
 * goes into their sign. */
template <int D, int LINES>
static __device__ __forceinline__ void
load_queries(uint32_t q[D / 16][4], const struct attn_job *job,
             const struct attn_tile<LINES> *t, int32_t index)
{
    const int c = threadIdx.x % 4;
    const uint32_t sign = job->a.scale < 0 ? 0x80008000u : 0;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const struct attn_line *const line = &t->line[index + 8 * r];
        const bool is_in = line->first <= line->last;
        const float *const row = job->q + line->row * job->a.ld_q + line->head * D;
#pragma unroll
        for (int i = 0; i < D / 8; i++) { /* 2 pairs to a step of 16 */
            const float *const at = row + i * 8 + 2 * c;
            float2 v = {0, 0};
            if (is_in && job->has_pairs)
                v = *(const float2 *)at;
            else if (is_in)
                v = make_float2(at[0], at[1]);
            q[i / 2][i % 2 * 2 + r] = pack_bf16(v.x, v.y) ^ sign;
        }
    }
}

/* The state that the launch over shared pages left */
template <int D, int LINES>
static __device__ __forceinline__ void
load_state(struct line_state<D> *s, const struct attn_job *job,
           const struct attn_tile<LINES> *t, int32_t index)
{
    const int c = threadIdx.x % 4;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (s->first[r] > s->last[r])
            continue;
        const int64_t at = attn_line_at(&job->a, &t->line[index + 8 * r]);
        s->max[r] = job->state[at].max;
        s->sum[r] = job->state[at].sum;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            const float2 v = *(const float2 *)&job->state_o[at * D + n * 8 + 2 * c];
            s->o[4 * n + 2 * r] = v.x;
            s->o[4 * n + 2 * r + 1] = v.y;
        }
    }
}

/* Scores of the page that begins at key0: -inf where a line does not see them */
template <int D>
static __device__ __forceinline__ void
mask_scores(float t[32], const struct line_state<D> *s, int32_t key0)
{
    const int c = threadIdx.x % 4;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int32_t begin = attn_slot_begin(s->first[r], key0) - 2 * c;
        const int32_t end = attn_slot_end(s->last[r], key0, KV_BLOCK) - 2 * c;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                if (n * 8 + i < begin || n * 8 + i >= end)
                    t[4 * n + 2 * r + i] = -INFINITY;
    }
}

/* Scores <q, k> become p, as left operands of the product with the values, rounded to
 * bf16; factor: |scale| log2(e). */
template <int D>
static __device__ __forceinline__ void
softmax_page(struct page_sum *page, uint32_t p[4][4], float t[32],
             const struct line_state<D> *s, float factor, int32_t key0)
{
    const bool is_whole = s->first[0] <= key0 && s->first[1] <= key0 &&
                          s->last[0] >= key0 + KV_BLOCK - 1 &&
                          s->last[1] >= key0 + KV_BLOCK - 1;
    if (!__all_sync(FULL_WARP, is_whole))
        mask_scores<D>(t, s, key0);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = -INFINITY, sum = 0;
#pragma unroll
        for (int n = 0; n < 8; n++)
            top = fmaxf(top, fmaxf(t[4 * n + 2 * r], t[4 * n + 2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(FULL_WARP, top, 1));
        top = fmaxf(top, __shfl_xor_sync(FULL_WARP, top, 2));
        page->max[r] = top * factor;
        const float zero = top == -INFINITY ? 0.0f : page->max[r];
#pragma unroll
        for (int n = 0; n < 8; n++) {
            float *const x = &t[4 * n + 2 * r];
            x[0] = exp_2(fmaf(x[0], factor, -zero));
            x[1] = exp_2(fmaf(x[1], factor, -zero));
            sum = sum + (x[0] + x[1]);
            p[n / 2][n % 2 * 2 + r] = pack_bf16(x[0], x[1]);
        }
        sum = sum + __shfl_xor_sync(FULL_WARP, sum, 1);
        page->sum[r] = sum + __shfl_xor_sync(FULL_WARP, sum, 2);
    }
}

/* Where keep is 1, o * keep is o: then the product can be left out. */
static __device__ __forceinline__ float merge_value(float o, float page, float keep,
                                                    float take)
{
    return fmaf(page, take, o * keep);
}

/* Factors of what a line has and of what a page brings; maximum and sum follow */
static __device__ __forceinline__ void merge_sum(float *max, float *sum, float *keep,
                                                 float *take, float page_max,
                                                 float page_sum)
{
    const float top = fmaxf(*max, page_max);
    const float zero = top == -INFINITY ? 0.0f : top; /* inf - inf is no number */
    *keep = exp_2(*max - zero);
    *take = exp_2(page_max - zero);
    *max = top;
    *sum = merge_value(*sum, page_sum, *keep, *take);
}

/* inverse: 1 / sum, for a division costs as much as a dozen products */
static __device__ __forceinline__ float line_y(float o, float inverse)
{
    return o * inverse + 0.0f; /* a sum of zeros may be -0 or 0: then 0 */
}

static __device__ __forceinline__ float line_lse(float max, float sum)
{
    return max * LN2 + f_log(sum);
}

template <int D>
static __device__ __forceinline__ void merge_sums(struct line_state<D> *s,
                                                  float keep[2], float take[2],
                                                  const struct page_sum *page)
{
#pragma unroll
    for (int r = 0; r < 2; r++)
        merge_sum(&s->max[r], &s->sum[r], &keep[r], &take[r], page->max[r],
                  page->sum[r]);
}

/* o points to the N elements that the page's belong to. Most pages do not raise the
 * maximum of any of a warp's lines: half of the arithmetic then. */
template <int N>
static __device__ __forceinline__ void
merge_values(float *o, const float (&page)[N], const float keep[2], const float take[2])
{
    if (__all_sync(FULL_WARP, keep[0] == 1.0f && keep[1] == 1.0f)) {
#pragma unroll
        for (int i = 0; i < N; i++)
            o[i] = fmaf(page[i], take[i / 2 % 2], o[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        o[i] = merge_value(o[i], page[i], keep[i / 2 % 2], take[i / 2 % 2]);
}

/* SHARED, DEALT: the state, as number `slot` of its line */
template <int D, int LINES>
static __device__ __forceinline__ void
store_state(const struct attn_job *job, const struct line_state<D> *s,
            const struct attn_tile<LINES> *t, int32_t index, int32_t slot)
{
    const int c = threadIdx.x % 4;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (s->first[r] > s->last[r])
            continue;
        const int64_t line = attn_line_at(&job->a, &t->line[index + 8 * r]);
        const int64_t at = line * job->n_slots + slot;
        if (c == 0)
            job->state[at] = {s->max[r], s->sum[r]};
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            *(float2 *)&job->state_o[at * D + n * 8 + 2 * c] = make_float2(
                s->o[4 * n + 2 * r], s->o[4 * n + 2 * r + 1]);
    }
}

/* A page that was dealt to this block: what it brings, which is the state it leaves of
 * an empty one */
template <int D, int LINES>
static __device__ __forceinline__ void
leave_page(const struct attn_job *job, struct line_state<D> *s,
           const struct attn_tile<LINES> *t, int32_t index, int32_t page)
{
    store_state<D>(job, s, t, index, page - t->page0);
    clear_state<D>(s);
}

/* y and lse */
template <int D, int LINES>
static __device__ __forceinline__ void
store_results(const struct attn_job *job, const struct line_state<D> *s,
              const struct attn_tile<LINES> *t, int32_t index)
{
    const int c = threadIdx.x % 4;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (s->first[r] > s->last[r])
            continue;
        const int64_t at = attn_line_at(&job->a, &t->line[index + 8 * r]);
        const float inverse = 1.0f / s->sum[r];
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            *(float2 *)&job->y[at * D + n * 8 + 2 * c] = make_float2(
                line_y(s->o[4 * n + 2 * r], inverse),
                line_y(s->o[4 * n + 2 * r + 1], inverse));
        if (job->lse != NULL && c == 0)
            job->lse[at] = line_lse(s->max[r], s->sum[r]);
    }
}

/* When a tile's pages are through */
template <int D, int LINES>
static __device__ __forceinline__ void
store_lines(const struct attn_job *job, const struct line_state<D> *s,
            const struct attn_tile<LINES> *t, int32_t index)
{
    if (job->part == ATTN_PART_SHARED)
        store_state<D>(job, s, t, index, 0);
    else if (!t->is_dealt)
        store_results<D>(job, s, t, index);
}

#endif
