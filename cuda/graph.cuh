/*
 * Private to cuda/: replay and recording of op sequences (core/ops.h).
 */
#ifndef CUDA_GRAPH_CUH
#define CUDA_GRAPH_CUH

#include "cuda/backend.cuh"

bool cuda_replay(struct backend *b, const void *owner, int64_t key);
void cuda_record_begin(struct backend *b, const void *owner, int64_t key);
void cuda_record_end(struct backend *b);
void cuda_forget(struct backend *b, const void *owner); /* NULL: everything */

#endif
