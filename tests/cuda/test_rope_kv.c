/* tests/cpu/test_rope_kv.c on the GPU. */
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/test_rope_kv.c"
