/*
 * Private to cuda/: a stable counting sort of small keys, for the experts' rows and, in
 * several passes, for the ids of an embedding's gradient.
 */
#ifndef CUDA_SORT_CUH
#define CUDA_SORT_CUH

#include "cuda/backend.cuh"

enum { SORT_MAX_BINS = 4096 };

/* Item i has the bin (keys[j] >> shift) & mask, j = order[i] (order NULL: i); a bin
 * outside 0 .. n_bins - 1 is a fault. */
struct sort_args {
    const int32_t *keys, *order;
    int64_t n;
    int n_bins, shift;
    uint32_t mask;
    int32_t *off;   /* (n_bins + 1) = where each bin begins */
    int32_t *src;   /* (n) = j at each sorted place */
    int32_t *place; /* (n) = sorted place of item i; may be NULL */
};

size_t sort_scratch_bytes(int64_t n, int n_bins);
/* scratch: sort_scratch_bytes(n, n_bins), 4-byte aligned */
void sort_by_bin(struct backend *b, const struct sort_args *a, void *scratch);

#endif
