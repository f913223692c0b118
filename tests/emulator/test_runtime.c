/*
 * The CUDA runtime API on the machine: memory and its checks, launches and what a
 * device refuses, faults, and fat binaries. Streams are in test_runtime_stream.c.
 */
#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "emulator/runtime.h"
#include "emulator/runtime_fatbin.h"
#include "emulator/settings.h"
#include "tests/emulator/runtime_case.h"

/* Dynamic shared memory: the last of n ints is written and read; a variable counts. */
static const char shared_text[] =
    ".version 9.0\n.target sm_90a\n.address_size 64\n"
    ".global .align 4 .u32 bias = 7;\n"
    ".extern .shared .align 16 .b8 memory[];\n"
    ".entry k_shared(.param .u64 k_shared_0, .param .u32 k_shared_1)\n{\n"
    ".reg .b32 %r<7>;\n.reg .b64 %rd<3>;\n"
    "ld.param.u64 %rd1, [k_shared_0];\n"
    "ld.param.u32 %r1, [k_shared_1];\n"
    "shl.b32 %r2, %r1, 2;\n"
    "mov.u32 %r3, memory;\nadd.s32 %r4, %r3, %r2;\n"
    "st.shared.u32 [%r4+-4], %r1;\nld.shared.u32 %r5, [%r4+-4];\n"
    "ld.global.u32 %r6, [bias];\nadd.s32 %r5, %r5, %r6;\n"
    "st.global.u32 [%rd1], %r5;\nret;\n}\n";
static const char shared_host, bias_host, unknown_host;

/* nvcc's headers declare these for C++ alone. */
void **__cudaRegisterFatBinary(void *fatbin);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *host, char *device,
                            const char *name, int thread_limit, uint3 *tid, uint3 *bid,
                            dim3 *block, dim3 *grid, int *warp_size);
void __cudaRegisterVar(void **handle, const char *host, char *device, const char *name,
                       int is_external, size_t bytes, int is_constant, int is_global);

static void test_memory_limit(void **state)
{
    (void)state;
    size_t n_free = 0, n_total = 0;
    void *p = NULL, *q = NULL;
    runtime_case_use(1 << 20, false);
    assert_int_equal(cudaMalloc(&p, 700000), cudaSuccess);
    assert_int_equal(cudaMemGetInfo(&n_free, &n_total), cudaSuccess);
    assert_int_equal(n_total, 1 << 20);
    assert_int_equal(n_free, (1 << 20) - 700000);
    assert_int_equal(cudaMalloc(&q, 700000), cudaErrorMemoryAllocation);
    assert_null(q);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    /* page-locked memory is the host's */
    assert_int_equal(cudaMallocHost(&q, 700000), cudaSuccess);
    assert_int_equal(cudaFree(q), cudaErrorInvalidValue);
    assert_int_equal(cudaFreeHost(q), cudaSuccess);
    assert_int_equal(cudaFree(p), cudaSuccess);
    assert_int_equal(cudaFree(p), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(NULL), cudaSuccess);
    assert_int_equal(cudaMemGetInfo(&n_free, &n_total), cudaSuccess);
    assert_int_equal(n_free, n_total);
}

static void test_copies_are_checked(void **state)
{
    (void)state;
    int host[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8] = {0};
    int *const d = device_ints(8), *const e = device_ints(8);
    assert_int_equal(cudaMemcpy(d, host, 32, cudaMemcpyHostToDevice), cudaSuccess);
    assert_int_equal(cudaMemcpy(e, d, 32, cudaMemcpyDeviceToDevice), cudaSuccess);
    assert_int_equal(cudaMemset(e, 0x55, 4), cudaSuccess);
    assert_int_equal(cudaMemcpy(back, e, 32, cudaMemcpyDefault), cudaSuccess);
    assert_int_equal(back[0], 0x55555555);
    assert_memory_equal(back + 1, host + 1, 28);
    /* over the end, wrong sides, not memory of the device */
    assert_int_equal(cudaMemcpy(d + 1, host, 32, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(back, d + 7, 8, cudaMemcpyDefault),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(d, host, 32, cudaMemcpyDeviceToHost),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(back, host, 32, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(d, e, 32, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemset(d, 0, 33), cudaErrorInvalidValue);
    assert_int_equal(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(d, host, 32, (enum cudaMemcpyKind)9),
                     cudaErrorInvalidMemcpyDirection);
    assert_int_equal(cudaMemcpy(d, NULL, 32, cudaMemcpyDefault), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(NULL, NULL, 0, cudaMemcpyDefault), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
}

static void test_launch(void **state)
{
    (void)state;
    enum { N = 200 };
    int host[N];
    int *const d = device_ints(N);
    assert_int_equal(cudaMemset(d, 0, N * sizeof(int)), cudaSuccess);
    assert_int_equal(set_ints(d, N - 1, 42, 64, NULL), cudaSuccess);
    assert_int_equal(cudaMemcpy(host, d, sizeof(host), cudaMemcpyDefault), cudaSuccess);
    for (int i = 0; i < N; i++)
        assert_int_equal(host[i], i < N - 1 ? 42 : 0);
}

static void test_launches_refused(void **state)
{
    (void)state;
    int *d = device_ints(8);
    int n = 8, value = 1;
    void *args[] = {&d, &n, &value};
    static const struct {
        dim3 grid, block;
        cudaError_t error;
    } cases[] = {
        {{1, 1, 1}, {65, 1, 1}, cudaErrorLaunchOutOfResources},
        {{1, 1, 1}, {8, 8, 1}, cudaSuccess},
        {{0, 1, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 65536, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 65536}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {0, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {1, 1, 65}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {1025, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {32, 64, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {65536, 65536, 1}, cudaErrorInvalidConfiguration},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(cudaLaunchKernel(&runtime_case_kernel, cases[i].grid,
                                          cases[i].block, args, 0, NULL),
                         cases[i].error);
        assert_int_equal(cudaGetLastError(), cases[i].error);
    }
    const dim3 one = {1, 1, 1};
    assert_int_equal(cudaLaunchKernel(&unknown_host, one, one, args, 0, NULL),
                     cudaErrorInvalidDeviceFunction);
    assert_int_equal(
        cudaLaunchKernel(&runtime_case_kernel, one, one, args, 48 * 1024 + 1, NULL),
        cudaErrorInvalidValue);
    assert_int_equal(cudaLaunchKernel(&runtime_case_kernel, one, one, args, 0,
                                      (cudaStream_t)(void *)&n),
                     cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
}

static void test_launch_attributes(void **state)
{
    (void)state;
    int *d = device_ints(8);
    int n = 8, value = 5, host[8];
    void *args[] = {&d, &n, &value};
    cudaLaunchAttribute attribute = {.id = cudaLaunchAttributeClusterDimension,
                                     .val = {.clusterDim = {1, 1, 1}}};
    const cudaLaunchConfig_t config = {.gridDim = {1, 1, 1},
                                       .blockDim = {8, 1, 1},
                                       .attrs = &attribute,
                                       .numAttrs = 1};
    assert_int_equal(cudaLaunchKernelExC(&config, &runtime_case_kernel, args),
                     cudaSuccess);
    assert_int_equal(cudaMemcpy(host, d, sizeof(host), cudaMemcpyDefault), cudaSuccess);
    assert_int_equal(host[7], 5);
    attribute.val.clusterDim.x = 2;
    assert_int_equal(cudaLaunchKernelExC(&config, &runtime_case_kernel, args),
                     cudaErrorNotSupported);
    attribute = (cudaLaunchAttribute){.id = cudaLaunchAttributeCooperative,
                                      .val = {.cooperative = 1}};
    assert_int_equal(cudaLaunchKernelExC(&config, &runtime_case_kernel, args),
                     cudaErrorNotSupported);
    attribute = (cudaLaunchAttribute){
        .id = cudaLaunchAttributeProgrammaticStreamSerialization,
        .val = {.programmaticStreamSerializationAllowed = 1}};
    assert_int_equal(cudaLaunchKernelExC(&config, &runtime_case_kernel, args),
                     cudaSuccess);
}

/* A fault answers every call until the device is reset. */
static void test_fault_stays(void **state)
{
    (void)state;
    int *const d = device_ints(4);
    void *p = NULL;
    assert_int_equal(set_ints(d, 5, 1, 5, NULL), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorLaunchFailure);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    assert_int_equal(set_ints(d, 1, 1, 1, NULL), cudaErrorLaunchFailure);
    assert_string_equal(cudaGetErrorName(cudaErrorLaunchFailure),
                        "cudaErrorLaunchFailure");
    assert_int_equal(cudaDeviceReset(), cudaSuccess);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(set_ints(device_ints(4), 4, 1, 4, NULL), cudaSuccess);
}

/* A container as nvcc writes it, of one entry for each text */
static size_t put_fatbin(uint64_t *out, const char *const *texts, int n,
                         uint64_t plain_bytes)
{
    unsigned char *const start = (unsigned char *)out;
    unsigned char *p = start + 16;
    for (int i = 0; i < n; i++) {
        const size_t payload = (strlen(texts[i]) + 8) / 8 * 8;
        const uint32_t header = 80;
        memset(p, 0, header + payload);
        p[0] = 1; /* PTX */
        memcpy(p + 4, &header, sizeof(header));
        memcpy(p + 8, &payload, sizeof(payload));
        memcpy(p + 56, &plain_bytes, sizeof(plain_bytes));
        memcpy(p + header, texts[i], strlen(texts[i]));
        p += header + payload;
    }
    const uint64_t bytes = (uint64_t)(p - start) - 16;
    const uint32_t head[2] = {0xba55ed50u, 16 << 16 | 1};
    memcpy(start, head, sizeof(head));
    memcpy(start + 8, &bytes, sizeof(bytes));
    return (size_t)bytes + 16;
}

static const char *const targets[] = {
    ".version 9.0\n.target sm_80\n", ".version 9.0\n.target sm_90\n",
    ".version 9.0\n.target sm_90a\n", ".version 9.0\n.target sm_100a\n"};

static void test_best_ptx(void **state)
{
    (void)state;
    static uint64_t fatbin[256];
    const char *text = NULL;
    size_t n_bytes = 0;
    (void)put_fatbin(fatbin, targets, 4, 0);
    assert_int_equal(runtime_fatbin_ptx(fatbin, 90, &text, &n_bytes), STATUS_OK);
    assert_int_equal(n_bytes, strlen(targets[2]));
    assert_memory_equal(text, targets[2], n_bytes);
    assert_int_equal(runtime_fatbin_ptx(fatbin, 80, &text, &n_bytes), STATUS_OK);
    assert_memory_equal(text, targets[0], n_bytes);
    (void)put_fatbin(fatbin, targets, 2, 0);
    assert_int_equal(runtime_fatbin_ptx(fatbin, 90, &text, &n_bytes), STATUS_OK);
    assert_memory_equal(text, targets[1], n_bytes);
    (void)put_fatbin(fatbin, targets + 2, 2, 0);
    assert_int_equal(runtime_fatbin_ptx(fatbin, 80, &text, &n_bytes), ERR_DEVICE);
    (void)put_fatbin(fatbin, targets, 4, 1000); /* compressed */
    assert_int_equal(runtime_fatbin_ptx(fatbin, 90, &text, &n_bytes), ERR_DEVICE);
    assert_non_null(strstr(status_message(), "compress"));
    (void)put_fatbin(fatbin, targets, 1, 0);
    ((unsigned char *)fatbin)[24]++; /* an entry that leaves the container */
    assert_int_equal(runtime_fatbin_ptx(fatbin, 90, &text, &n_bytes), ERR_INPUT);
    fatbin[0] = 0;
    assert_int_equal(runtime_fatbin_ptx(fatbin, 90, &text, &n_bytes), ERR_INPUT);
}

/* As a program's start-up code does it; shared memory beyond what needs no asking */
static void test_registered(void **state)
{
    (void)state;
    static uint64_t container[1024];
    const char *const texts[] = {shared_text};
    assert_true(put_fatbin(container, texts, 1, 0) <= sizeof(container));
    struct {
        int32_t magic, version;
        const void *container, *more;
    } wrapper = {0x466243b1, 1, container, NULL};
    char name[] = "k_shared", variable[] = "bias";
    void **const handle = __cudaRegisterFatBinary(&wrapper);
    __cudaRegisterFunction(handle, &shared_host, name, name, -1, NULL, NULL, NULL, NULL,
                           NULL);
    __cudaRegisterVar(handle, &bias_host, variable, variable, 0, 4, 0, 0);
    int *d = device_ints(1);
    int n = 12 << 10, back = 0, bias = 0;
    void *args[] = {&d, &n};
    const dim3 one = {1, 1, 1};
    assert_int_equal(
        cudaLaunchKernel(&shared_host, one, one, args, (size_t)n * 4, NULL),
        cudaSuccess);
    assert_int_equal(cudaMemcpy(&back, d, 4, cudaMemcpyDefault), cudaSuccess);
    assert_int_equal(back, n + 7);
    assert_int_equal(
        cudaMemcpyFromSymbol(&bias, &bias_host, 4, 0, cudaMemcpyDeviceToHost),
        cudaSuccess);
    assert_int_equal(bias, 7);
    bias = 1;
    assert_int_equal(
        cudaMemcpyToSymbol(&bias_host, &bias, 4, 0, cudaMemcpyHostToDevice),
        cudaSuccess);
    assert_int_equal(
        cudaMemcpyToSymbol(&bias_host, &bias, 4, 1, cudaMemcpyHostToDevice),
        cudaErrorInvalidValue);
    n = (227 << 10) / 4;
    assert_int_equal(
        cudaLaunchKernel(&shared_host, one, one, args, (size_t)n * 4, NULL),
        cudaErrorInvalidValue);
    assert_int_equal(cudaFuncSetAttribute(&shared_host,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          n * 4 + 1),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaFuncSetAttribute(&shared_host,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          n * 4),
                     cudaSuccess);
    assert_int_equal(
        cudaLaunchKernel(&shared_host, one, one, args, (size_t)n * 4, NULL),
        cudaSuccess);
    assert_int_equal(cudaMemcpy(&back, d, 4, cudaMemcpyDefault), cudaSuccess);
    assert_int_equal(back, n + 1);
    __cudaUnregisterFatBinary(handle);
    assert_int_equal(cudaLaunchKernel(&shared_host, one, one, args, 0, NULL),
                     cudaErrorInvalidDeviceFunction);
}

static void test_bad_ptx(void **state)
{
    (void)state;
    static const char text[] = ".version 9.0\n.target sm_90a\n.address_size 64\n"
                               ".entry k_bad()\n{\nfrobnicate.u32;\nret;\n}\n";
    static const char host;
    const dim3 one = {1, 1, 1};
    runtime_register_text(text, sizeof(text) - 1, "k_bad", &host);
    assert_int_equal(cudaLaunchKernel(&host, one, one, NULL, 0, NULL),
                     cudaErrorInvalidPtx);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess); /* this does not stay */
}

static void test_device(void **state)
{
    (void)state;
    struct cudaDeviceProp p;
    int n = 0, value = 0;
    void *encode = NULL;
    enum cudaDriverEntryPointQueryResult found;
    assert_int_equal(cudaGetDeviceCount(&n), cudaSuccess);
    assert_int_equal(n, 1);
    assert_int_equal(cudaGetDeviceProperties(&p, 1), cudaErrorInvalidDevice);
    assert_int_equal(cudaGetDeviceProperties(&p, 0), cudaSuccess);
    assert_int_equal(p.multiProcessorCount, emulator_settings()->n_sms);
    assert_int_equal(
        cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
        cudaSuccess);
    assert_int_equal(value, p.sharedMemPerBlockOptin);
    assert_int_equal(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode,
                                                      12000, cudaEnableDefault, &found),
                     cudaSuccess);
    assert_int_equal(found, cudaDriverEntryPointSuccess);
    assert_non_null(encode);
    assert_int_equal(cudaGetDriverEntryPointByVersion("cuFrobnicate", &encode, 12000,
                                                      cudaEnableDefault, &found),
                     cudaSuccess);
    assert_int_equal(found, cudaDriverEntryPointSymbolNotFound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUNTIME_TEST(test_memory_limit),
        RUNTIME_TEST(test_copies_are_checked),
        RUNTIME_TEST(test_launch),
        RUNTIME_TEST(test_launches_refused),
        RUNTIME_TEST(test_launch_attributes),
        RUNTIME_TEST(test_fault_stays),
        RUNTIME_TEST(test_best_ptx),
        RUNTIME_TEST(test_registered),
        RUNTIME_TEST(test_bad_ptx),
        RUNTIME_TEST(test_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
