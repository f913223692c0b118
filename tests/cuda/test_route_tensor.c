/* tests/cpu/test_route.c on the GPU, with products on the tensor cores. */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/test_route.c"
