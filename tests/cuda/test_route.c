/* tests/cpu/test_route.c on the GPU. */
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/test_route.c"
