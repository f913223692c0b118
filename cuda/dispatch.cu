/*
 * moe_dispatch of few rows, a decode step's: every block sorts all pairs for itself in
 * shared memory - cheaper than waiting for a launch - and brings its share of the
 * sorted rows; the first one writes the order down. More pairs: op by op.
 */
#include "cuda/sort_block.cuh"

enum { MAX_SHARED_BYTES = 48 * 1024 };

struct dispatch {
    struct sort_args a;
    void *y;
    const void *x;
    int64_t row_bytes;
    int32_t top_k, rows; /* of a block */
    bool by_16;          /* rows in pieces of 16 bytes; else of 2 */
};

/* Of the sorted places first .. first + rows - 1: the rows they come from */
static __device__ __forceinline__ void
place_pairs(const struct dispatch *p, const struct item it[TURNS],
            const uint16_t *ranks, const int32_t *off, int32_t *source, int32_t first)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int t = 0; t < TURNS; t++) {
        const int32_t i = warp * WARP_ITEMS + t * WARP + lane;
        const int bin = it[t].bin;
        if (bin < 0)
            continue;
        const int32_t at = off[bin] + it[t].rank + ranks[warp * p->a.n_bins + bin];
        if (at >= first && at < first + p->rows)
            source[at - first] = i / p->top_k;
        if (blockIdx.x == 0) {
            p->a.src[at] = i;
            p->a.place[i] = at;
        }
    }
}

template <typename T>
static __device__ __forceinline__ void
bring(const struct dispatch *p, const int32_t *source, int64_t first, int n_rows)
{
    const int per_row = (int)(p->row_bytes / (int64_t)sizeof(T));
    T *const y = (T *)p->y + first * per_row;
#pragma unroll 4
    for (int i = threadIdx.x; i < n_rows * per_row; i += SORT_THREADS)
        y[i] = ((const T *)p->x)[(int64_t)source[i / per_row] * per_row + i % per_row];
}

static __global__ void __launch_bounds__(SORT_THREADS) k_dispatch(struct dispatch p)
{
    /* sums (n_bins), off (n_bins + 1), source (rows), ranks (SORT_WARPS, n_bins) */
    extern __shared__ int32_t dispatch_memory[];
    int32_t *const sums = dispatch_memory, *const off = sums + p.a.n_bins;
    int32_t *const source = off + p.a.n_bins + 1;
    uint16_t *const ranks = (uint16_t *)(source + p.rows);
    const int32_t first = (int32_t)blockIdx.x * p.rows;
    struct item it[TURNS];
    rank_items(it, ranks, sums, &p.a, 0);
    if (threadIdx.x < WARP)
        scan_bins(off, sums, p.a.n_bins);
    __syncthreads();
    place_pairs(&p, it, ranks, off, source, first);
    if (blockIdx.x == 0)
        for (int e = threadIdx.x; e <= p.a.n_bins; e += SORT_THREADS)
            p.a.off[e] = off[e];
    __syncthreads();
    const int n_rows = min(p.rows, (int)p.a.n - first);
    if (p.by_16)
        bring<uint4>(&p, source, first, n_rows);
    else
        bring<uint16_t>(&p, source, first, n_rows);
}

static bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

void cuda_moe_dispatch(struct backend *b, void *y, const struct moe_order *o,
                       const int32_t *experts, struct rows x, int64_t d, int64_t m)
{
    const int64_t n = m * o->top_k, row_bytes = d * (x.dtype == DTYPE_F32 ? 4 : 2);
    const int64_t n_sms = cuda_state(b)->n_sms, rows = (n + n_sms - 1) / n_sms;
    const int64_t bytes = (2 * o->n_experts + 1 + rows) * (int64_t)sizeof(int32_t) +
                          SORT_WARPS * o->n_experts * (int64_t)sizeof(uint16_t);
    if (n == 0 || n > SORT_CHUNK || bytes > MAX_SHARED_BYTES ||
        rows * row_bytes > INT32_MAX) {
        cuda_moe_sort(b, o->off, o->src, o->place, experts, o->n_experts, o->top_k, m);
        cuda_rows_gather(b, y, x.dtype, x, o->src, o->top_k, d, n);
        return;
    }
    struct dispatch p = {};
    p.a.keys = experts;
    p.a.n = n;
    p.a.n_bins = (int)o->n_experts;
    p.a.mask = ~UINT32_C(0);
    p.a.off = o->off;
    p.a.src = o->src;
    p.a.place = o->place;
    p.y = y;
    p.x = x.data;
    p.row_bytes = row_bytes;
    p.top_k = (int32_t)o->top_k;
    p.rows = (int32_t)rows;
    p.by_16 = row_bytes % 16 == 0 && is_aligned(y) && is_aligned(x.data);
    k_dispatch<<<cuda_blocks(n, rows), SORT_THREADS, (size_t)bytes, cuda_stream(b)>>>(
        p);
    cuda_launched(b, "moe_dispatch");
}
