/*
 * Counting sort in three kernels: chunks count their bins; one block turns the counts
 * into places (bins ascending, in a bin chunks ascending); chunks place their items. In
 * a chunk a warp has a run of adjacent items and takes 32 at a time, so an item's rank
 * is: bins' counts of the warps before, of the warp's earlier turns, of the lower
 * lanes.
 */
#include "cuda/sort.cuh"

enum { SORT_THREADS = 256, SORT_WARPS = SORT_THREADS / WARP };
enum { WARP_ITEMS = 128, CHUNK = SORT_WARPS * WARP_ITEMS, SCAN_THREADS = 1024 };

static __device__ __forceinline__ int bin_of(const struct sort_args *a, int64_t i)
{
    const int32_t key = a->keys[a->order == NULL ? i : a->order[i]];
    const uint32_t bin = ((uint32_t)key >> a->shift) & a->mask;
    device_check(bin < (uint32_t)a->n_bins);
    return (int)bin;
}

static __global__ void k_sort_count(struct sort_args a, int32_t *counts)
{
    extern __shared__ int32_t bins[]; /* (n_bins) */
    for (int e = threadIdx.x; e < a.n_bins; e += SORT_THREADS)
        bins[e] = 0;
    __syncthreads();
    const int64_t first = (int64_t)blockIdx.x * CHUNK;
    for (int64_t i = first + threadIdx.x; i < first + CHUNK && i < a.n;
         i += SORT_THREADS)
        atomicAdd(&bins[bin_of(&a, i)], 1); /* integers: any order, one sum */
    __syncthreads();
    for (int e = threadIdx.x; e < a.n_bins; e += SORT_THREADS)
        counts[(int64_t)blockIdx.x * a.n_bins + e] = bins[e];
}

/* off from the bins' totals, by the first warp */
static __device__ __forceinline__ void scan_bins(const struct sort_args *a,
                                                 const int32_t *totals)
{
    const int lane = (int)threadIdx.x;
    int32_t before = 0;
    for (int base = 0; base < a->n_bins; base += WARP) {
        const int e = base + lane;
        const int32_t own = e < a->n_bins ? totals[e] : 0;
        int32_t sum = own;
        for (int step = 1; step < WARP; step *= 2) {
            const int32_t other = __shfl_up_sync(FULL_WARP, sum, step);
            sum += lane >= step ? other : 0;
        }
        if (e < a->n_bins)
            a->off[e] = before + sum - own;
        before += __shfl_sync(FULL_WARP, sum, WARP - 1);
    }
    if (lane == 0)
        a->off[a->n_bins] = before;
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
        scan_bins(&a, totals);
}

/* An item's bin and its rank among the warp's items of that bin */
struct item {
    int bin, rank;
};

enum { TURNS = WARP_ITEMS / WARP };

/* Of the block's items `first` on; afterwards ranks (SORT_WARPS, n_bins) holds, per
 * warp and bin, the items of the warps before, and sums (n_bins), if not NULL, all. */
static __device__ __forceinline__ void rank_items(struct item it[TURNS],
                                                  uint16_t *ranks, int32_t *sums,
                                                  const struct sort_args *a,
                                                  int64_t first)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    for (int i = threadIdx.x; i < SORT_WARPS * a->n_bins; i += SORT_THREADS)
        ranks[i] = 0;
    __syncthreads();
    uint16_t *const own = ranks + warp * a->n_bins;
#pragma unroll
    for (int t = 0; t < TURNS; t++) {
        const int64_t i = first + warp * WARP_ITEMS + t * WARP + lane;
        const int bin = i < a->n ? bin_of(a, i) : -1;
        const unsigned peers = __match_any_sync(FULL_WARP, bin);
        const int below = __popc(peers & ((1u << lane) - 1));
        it[t].bin = bin;
        it[t].rank = bin >= 0 ? own[bin] + below : 0;
        __syncwarp();
        if (bin >= 0 && below == 0)
            own[bin] = (uint16_t)(own[bin] + __popc(peers));
        __syncwarp();
    }
    __syncthreads();
    for (int e = threadIdx.x; e < a->n_bins; e += SORT_THREADS) {
        uint16_t sum = 0;
        for (int w = 0; w < SORT_WARPS; w++) {
            const uint16_t here = ranks[w * a->n_bins + e];
            ranks[w * a->n_bins + e] = sum;
            sum = (uint16_t)(sum + here);
        }
        if (sums != NULL)
            sums[e] = sum;
    }
    __syncthreads();
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
    const int64_t first = (int64_t)blockIdx.x * CHUNK;
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
        scan_bins(&a, small);
    __syncthreads();
    place_items(it, ranks, NULL, &a, 0);
}

static int64_t n_chunks(int64_t n) { return (n + CHUNK - 1) / CHUNK; }

size_t sort_scratch_bytes(int64_t n, int n_bins)
{
    return (size_t)(n_chunks(n) * n_bins) * sizeof(int32_t);
}

void sort_by_bin(struct backend *b, const struct sort_args *a, void *scratch)
{
    const cudaStream_t stream = cuda_stream(b);
    int32_t *const counts = (int32_t *)scratch;
    const unsigned chunks = cuda_blocks(a->n, CHUNK);
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
