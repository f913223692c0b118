/*
 * Private to cuda/: the counting sort within a block of SORT_THREADS threads, which has
 * up to SORT_CHUNK items.
 */
#ifndef CUDA_SORT_BLOCK_CUH
#define CUDA_SORT_BLOCK_CUH

#include "cuda/sort.cuh"

enum { SORT_THREADS = 256, SORT_WARPS = SORT_THREADS / WARP };
enum { WARP_ITEMS = 128, SORT_CHUNK = SORT_WARPS * WARP_ITEMS };

static __device__ __forceinline__ int bin_of(const struct sort_args *a, int64_t i)
{
    const int32_t key = a->keys[a->order == NULL ? i : a->order[i]];
    const uint32_t bin = ((uint32_t)key >> a->shift) & a->mask;
    device_check(bin < (uint32_t)a->n_bins);
    return (int)bin;
}

/* off from the bins' totals, by the first warp */
static __device__ __forceinline__ void scan_bins(int32_t *off, const int32_t *totals,
                                                 int n_bins)
{
    const int lane = (int)threadIdx.x;
    int32_t before = 0;
    for (int base = 0; base < n_bins; base += WARP) {
        const int e = base + lane;
        const int32_t own = e < n_bins ? totals[e] : 0;
        int32_t sum = own;
        for (int step = 1; step < WARP; step *= 2) {
            const int32_t other = __shfl_up_sync(FULL_WARP, sum, step);
            sum += lane >= step ? other : 0;
        }
        if (e < n_bins)
            off[e] = before + sum - own;
        before += __shfl_sync(FULL_WARP, sum, WARP - 1);
    }
    if (lane == 0)
        off[n_bins] = before;
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

#endif
