/* Private to attention_tensor.cu: ATTN_PART_MERGE, blocks of ATTN_GROUP_LINES lines */
#ifndef CUDA_ATTENTION_MERGE_CUH
#define CUDA_ATTENTION_MERGE_CUH

#include "cuda/attention_unit.cuh"

void attn_merge_launch(struct backend *b, const struct attn_job *job, dim3 grid);

#endif
