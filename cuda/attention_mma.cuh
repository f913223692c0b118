/* Private to attention_tensor.cu: blocks of ATTN_GROUP_LINES lines, any head dim */
#ifndef CUDA_ATTENTION_MMA_CUH
#define CUDA_ATTENTION_MMA_CUH

#include "cuda/attention_unit.cuh"

void attn_mma_launch(struct backend *b, const struct attn_job *job, dim3 grid);

#endif
