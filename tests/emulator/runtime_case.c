#include "tests/emulator/runtime_case.h"

#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "emulator/runtime.h"
#include "emulator/settings.h"

/* y[i] = value for i < n; at most 64 threads a block */
static const char set_text[] =
    ".version 9.0\n.target sm_90a\n.address_size 64\n"
    ".entry k_set(.param .u64 k_set_0, .param .u32 k_set_1, .param .u32 k_set_2)\n"
    ".maxntid 64, 1, 1\n{\n"
    ".reg .pred %p<2>;\n.reg .b32 %r<7>;\n.reg .b64 %rd<4>;\n"
    "ld.param.u64 %rd1, [k_set_0];\n"
    "ld.param.u32 %r1, [k_set_1];\n"
    "ld.param.u32 %r2, [k_set_2];\n"
    "mov.u32 %r3, %ctaid.x;\nmov.u32 %r4, %ntid.x;\nmov.u32 %r5, %tid.x;\n"
    "mad.lo.s32 %r6, %r3, %r4, %r5;\n"
    "setp.ge.s32 %p1, %r6, %r1;\n"
    "@%p1 bra $done;\n"
    "mul.wide.s32 %rd2, %r6, 4;\nadd.s64 %rd3, %rd1, %rd2;\n"
    "st.global.u32 [%rd3], %r2;\n"
    "$done:\nret;\n}\n";
const char runtime_case_kernel;

int runtime_case_setup(void **state)
{
    (void)state;
    static bool is_registered;
    if (!is_registered)
        runtime_register_text(set_text, sizeof(set_text) - 1, "k_set",
                              &runtime_case_kernel);
    is_registered = true;
    return 0;
}

void runtime_case_use(size_t memory_bytes, bool is_late)
{
    struct emulator_settings s = *emulator_settings();
    s.memory_bytes = memory_bytes;
    s.is_stream_late = is_late;
    emulator_settings_override(&s);
}

int runtime_case_teardown(void **state)
{
    (void)state;
    runtime_case_use((size_t)1 << 30, false);
    return cudaDeviceReset();
}

int set_ints(int *y, int n, int value, int n_threads, struct CUstream_st *stream)
{
    void *args[] = {&y, &n, &value};
    const dim3 grid = {(unsigned)((n + n_threads - 1) / n_threads), 1, 1};
    const dim3 block = {(unsigned)n_threads, 1, 1};
    return cudaLaunchKernel(&runtime_case_kernel, grid, block, args, 0, stream);
}

int *device_ints(size_t n)
{
    void *p = NULL;
    assert_int_equal(cudaMalloc(&p, n * sizeof(int)), cudaSuccess);
    return p;
}

int *pinned_ints(size_t n)
{
    void *p = NULL;
    assert_int_equal(cudaMallocHost(&p, n * sizeof(int)), cudaSuccess);
    return p;
}
