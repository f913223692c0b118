/*
 * Private to attention_tensor.cu: the forward pass by wgmma and TMA (compute capability
 * 9.0), head dims 64 and 128.
 */
#ifndef CUDA_ATTENTION_WGMMA_CUH
#define CUDA_ATTENTION_WGMMA_CUH

#include <cuda.h>

#include "cuda/attention_unit.cuh"

struct gemm_tensor;

/* The cache as a matrix of bf16 rows of D, in boxes of 64 rows by 64 columns */
struct attn_wgmma {
    CUtensorMap pages;
};

/* false: not on this card, or not this head dim */
bool attn_wgmma_init(struct attn_wgmma *w, const struct gemm_tensor *t,
                     const float *cache, const struct attn_batch *a);
/* Blocks of ATTN_GROUP_LINES lines */
void attn_wgmma_decode(struct backend *b, const struct attn_job *job,
                       const struct attn_wgmma *w, dim3 grid);
/* ATTN_PART_ALL; n_tiles: at most so many tiles of attn_wgmma_lines() lines. Uses
 * job->next. */
void attn_wgmma_learner(struct backend *b, const struct attn_job *job,
                        const struct attn_wgmma *w, int64_t n_tiles);
int32_t attn_wgmma_lines(void);

#endif
