/* tests/cpu/test_swiglu.c on the GPU, equal in bits to the CPU. */
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/test_swiglu.c"
