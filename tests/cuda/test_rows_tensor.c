/* tests/cpu/test_rows.c on the GPU, whose products round their rows. */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/test_rows.c"
