/* tests/cpu/test_rope_kv.c on the GPU, pages of bf16 too. */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/test_rope_kv.c"
