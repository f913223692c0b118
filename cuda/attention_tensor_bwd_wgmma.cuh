/*
 * Private to attention_tensor_bwd_*.cu: the attention backward for compute capability
 * 9.0, heads of 64 and 128 dims. Three kernels:
 *
 *   records  rounds the lines' q and dy to bf16 and lays them down as wgmma reads them,
 *            with the line's <dy, y>; its first block also lists the work;
 *   dkdv     a page and kv head at a time: P^T = K Q^T, dP^T = V dY^T, dV += P^T dY,
 *            dK += dS^T Q over the tiles of lines that see the page;
 *   dq       two tiles of lines at a time: dQ += dS K over the pages they see.
 *
 * P is recomputed from the lse, dS = P (dP - <dy, y>); the scale is applied to the
 * sums. Sums are in registers, in fixed order (sequences of the group, their tiles
 * ascending; pages ascending), so neither which block of threads takes which work nor
 * what else is in the call changes a bit.
 */
#ifndef CUDA_ATTENTION_TENSOR_BWD_WGMMA_CUH
#define CUDA_ATTENTION_TENSOR_BWD_WGMMA_CUH

#include "cuda/attention_tensor.cuh"
#include "cuda/attention_tensor_bwd_tile.h"

/* What belongs to a tile's lines, at bwd_stat_at; past the last line: 0, and none seen
 */
struct bwd_stats {
    float neg_lse[BWD_N_STATS];    /* -lse log2(e) */
    float dot[BWD_N_STATS];        /* <dy, y> */
    int32_t last_key[BWD_N_STATS]; /* the line's position; -1 */
};

/* A tile of lines on one kv head: images of bwd_image_at, copied whole into shared
 * memory. A multiple of 1024 bytes, the swizzle's period. */
template <int D> struct bwd_record {
    uint16_t q[BWD_TILE * D], dy[BWD_TILE * D];
    struct bwd_stats stats;
    char pad[1024 - sizeof(struct bwd_stats)];
};

/* Work on one kv head. dq: a sequence, its pair of tiles number `at`, their pages.
 * dkdv: the first sequence of its group that holds the page, the page's place, tiles.
 */
struct bwd_unit {
    int32_t seq, at, cost, page;
};

enum bwd_list { BWD_DQ, BWD_DKDV };

struct bwd_job {
    float *dq, *dcache;
    const float *dy, *y, *lse, *q, *cache;
    char *records;             /* (tiles, kv heads) of bwd_record */
    struct bwd_unit *units[2]; /* enum bwd_list */
    int32_t *n_units;          /* (2) */
    int32_t *next;             /* (2) units taken so far, times kv heads */
    bool is_aligned;           /* rows of q, dq, dy, y begin on 16 bytes */
    struct attn_batch a;
};

/* After the records and lists in stream order */
void attn_bwd_launch_dkdv(struct backend *b, const struct bwd_job *f);
void attn_bwd_launch_dq(struct backend *b, const struct bwd_job *f);

#endif
