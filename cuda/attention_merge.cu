/*
 * What the pages of a line bring, added up in their order: the second step of the
 * recurrence of attention_lines.cuh, for lines whose pages were dealt out to several
 * blocks of threads. A warp has a line; a lane D / 32 of its values.
 */
#include "cuda/attention_lines.cuh"
#include "cuda/attention_merge.cuh"

enum { MERGE_LINES = ATTN_GROUP_LINES, MERGE_THREADS = 128 };

template <int D>
static __device__ __forceinline__ void
merge_line(const struct attn_job *job, const struct attn_line *line, int32_t n_pages)
{
    const int lane = threadIdx.x % WARP;
    const int64_t at = attn_line_at(&job->a, line);
    const struct attn_state *const pages = job->state + at * job->n_slots;
    const float *const values = job->state_o + at * job->n_slots * D;
    float o[D / WARP] = {}, max = -INFINITY, sum = 0;
#pragma unroll 4
    for (int32_t b = 0; b < n_pages; b++) {
        const struct attn_state page = pages[b];
        float keep, take;
        merge_sum(&max, &sum, &keep, &take, page.max, page.sum);
#pragma unroll
        for (int i = 0; i < D / WARP; i++)
            o[i] = merge_value(o[i], values[b * D + i * WARP + lane], keep, take);
    }
    const float inverse = 1.0f / sum;
#pragma unroll
    for (int i = 0; i < D / WARP; i++)
        job->y[at * D + i * WARP + lane] = line_y(o[i], inverse);
    if (job->lse != NULL && lane == 0)
        job->lse[at] = line_lse(max, sum);
}

template <int D>
static __global__ void __launch_bounds__(MERGE_THREADS)
    k_attn_merge(const __grid_constant__ struct attn_job job)
{
    __shared__ struct attn_tile<MERGE_LINES> tile;
    __shared__ struct attn_seqs seqs;
    if (!start_seq_tile(&tile, &seqs, &job))
        return;
    for (int32_t i = threadIdx.x / WARP; i < MERGE_LINES; i += MERGE_THREADS / WARP)
        if (tile.line[i].first <= tile.line[i].last)
            merge_line<D>(&job, &tile.line[i], tile.end - tile.page0);
}

void attn_merge_launch(struct backend *b, const struct attn_job *job, dim3 grid)
{
    const int64_t d = job->a.head_dim;
    (d == 32   ? k_attn_merge<32>
     : d == 64 ? k_attn_merge<64>
               : k_attn_merge<128>)<<<grid, MERGE_THREADS, 0, cuda_stream(b)>>>(*job);
    cuda_launched(b, "attn_fwd: merge");
}
