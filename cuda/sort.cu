/*
 * Counting sort in three kernels: chunks count their bins; one block turns the counts
 * into places (bins ascending, in a bin chunks ascending); chunks place their items. In
 * a chunk a warp has a run of adjacent items and takes 32 at a time, so an item's rank
 * is: bins' counts of the warps before, of the warp's earlier turns, of the lower
 * lanes.
 */
#include "cuda/sort_block.cuh"

enum { SCAN_THREADS = 1024 };

static __global__ void k_sort_count(struct sort_args a, int32_t *counts)
{
    extern __shared__ int32_t bins[]; /* (n_bins) */
    for (int e = threadIdx.x; e < a.n_bins; e += SORT_THREADS)
        bins[e] = 0;
    __syncthreads();
    const int64_t first = (int64_t)blockIdx.x * SORT_CHUNK;
    for (int64_t i = first + threadIdx.x; i < first + SORT_CHUNK && i < a.n;
         i += SORT_THREADS)
        atomicAdd(&bins[bin_of(&a, i)], 1); /* integers: any order, one sum */
    __syncthreads();
    for (int e = threadIdx.x; e < a.n_bins; e += SORT_THREADS)
        counts[(int64_t)blockIdx.x * a.n_bins + e] = bins[e];
}

/* In place: counts (chunks, n_bins) become sums over the chunks before; off. */
static __global__ void k_sort_scan(struct sort_args a, int32_t *counts,
                                   int64_t n_chunks)
{
    extern __shared__ int32_t totals[]; /* (n_bins) */
    for (int e = threadIdx.x; e < a.n_bins; e += SCAN_THREADS) {
        int32_t sum = 0;
#pragma unroll 8
        for (int64_t c = 0; c < n_chunks; c++) {
            const int32_t here = counts[c * a.n_bins + e];
            counts[c * a.n_bins + e] = sum;
            sum += here;
        }
        totals[e] = sum;
    }
    __syncthreads();
    if (threadIdx.x < WARP)
        scan_bins(a.off, totals, a.n_bins);
}

/* base: where the block's items of each bin go, beside off */
static __device__ __forceinline__ void
place_items(const struct item it[TURNS], const uint16_t *ranks, const int32_t *base,
            const struct sort_args *a, int64_t first)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int t = 0; t < TURNS; t++) {
        const int64_t i = first + warp * WARP_ITEMS + t * WARP + lane;
        const int bin = it[t].bin;
        if (bin < 0)
            continue;
        const int32_t p = a->off[bin] + it[t].rank + ranks[warp * a->n_bins + bin] +
                          (base == NULL ? 0 : base[bin]);
        a->src[p] = a->order == NULL ? (int32_t)i : a->order[i];
        if (a->place != NULL)
            a->place[i] = p;
    }
}

static __global__ void k_sort_place(struct sort_args a, const int32_t *counts)
{
    extern __shared__ uint16_t ranks[]; /* (SORT_WARPS, n_bins) */
    const int64_t first = (int64_t)blockIdx.x * SORT_CHUNK;
    struct item it[TURNS];
    rank_items(it, ranks, NULL, &a, first);
    place_items(it, ranks, counts + (int64_t)blockIdx.x * a.n_bins, &a, first);
}

/* One chunk: everything at once */
static __global__ void k_sort_small(struct sort_args a)
{
    extern __shared__ int32_t small[]; /* (n_bins), then ranks (SORT_WARPS, n_bins) */
    uint16_t *const ranks = (uint16_t *)(small + a.n_bins);
    struct item it[TURNS];
    rank_items(it, ranks, small, &a, 0);
    if (threadIdx.x < WARP)
        scan_bins(a.off, small, a.n_bins);
    __syncthreads();
    place_items(it, ranks, NULL, &a, 0);
}

static int64_t n_chunks(int64_t n) { return (n + SORT_CHUNK - 1) / SORT_CHUNK; }

size_t sort_scratch_bytes(int64_t n, int n_bins)
{
    return (size_t)(n_chunks(n) * n_bins) * sizeof(int32_t);
}

void sort_by_bin(struct backend *b, const struct sort_args *a, void *scratch)
{
    const cudaStream_t stream = cuda_stream(b);
    int32_t *const counts = (int32_t *)scratch;
    const unsigned chunks = cuda_blocks(a->n, SORT_CHUNK);
    const size_t bytes = (size_t)a->n_bins * sizeof(int32_t);
    const size_t rank_bytes = SORT_WARPS * (size_t)a->n_bins * sizeof(uint16_t);
    CHECK(a->n_bins >= 1 && a->n_bins <= SORT_MAX_BINS && a->n <= INT32_MAX,
          "%lld items in %d bins", (long long)a->n, a->n_bins);
    if (chunks == 1 && bytes + rank_bytes <= 48 * 1024) {
        k_sort_small<<<1, SORT_THREADS, bytes + rank_bytes, stream>>>(*a);
        cuda_launched(b, "sort");
        return;
    }
    if (chunks > 0) {
        k_sort_count<<<chunks, SORT_THREADS, bytes, stream>>>(*a, counts);
        cuda_launched(b, "sort: count");
    }
    k_sort_scan<<<1, SCAN_THREADS, bytes, stream>>>(*a, counts, chunks);
    cuda_launched(b, "sort: scan");
    if (chunks == 0)
        return;
    if (rank_bytes > 48 * 1024)
        cuda_must(cudaFuncSetAttribute(k_sort_place,
                                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       (int)rank_bytes),
                  "sort: shared memory");
    k_sort_place<<<chunks, SORT_THREADS, rank_bytes, stream>>>(*a, counts);
    cuda_launched(b, "sort: place");
}
