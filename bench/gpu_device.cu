/*
 * What bench_gpu needs of the device beside the ops: random data, a stream that only
 * reads, and cuBLAS as the yardstick of dense products (loaded at run time).
 */
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "bench/gpu_bench.h"

enum { THREADS = 256, BLOCKS = 132 * 16, MAX_REPS = 64 };

static void must(cudaError_t e, const char *what)
{
    CHECK(e == cudaSuccess, "%s: %s", what, cudaGetErrorString(e));
}

static __device__ float random_at(int64_t i, uint32_t seed)
{
    uint32_t h = (uint32_t)i * 2654435761u + (uint32_t)(i >> 32) * 40503u + seed;
    h ^= h >> 16;
    h *= 2246822519u;
    h ^= h >> 13;
    h *= 3266489917u;
    h ^= h >> 16;
    return (float)(int32_t)h * 0x1p-31f;
}

static __global__ void k_fill(void *p, enum dtype dtype, int64_t n, float scale,
                              uint32_t seed)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const float v = scale * random_at(i, seed);
        if (dtype == DTYPE_F32)
            ((float *)p)[i] = v;
        else /* truncated: random either way */
            ((uint16_t *)p)[i] = (uint16_t)(__float_as_uint(v) >> 16);
    }
}

void gpu_fill(void *p, enum dtype dtype, int64_t n, float scale, uint32_t seed)
{
    CHECK(dtype != DTYPE_F16, "random F16 is not made here");
    must(cudaDeviceSynchronize(), "before a fill");
    k_fill<<<BLOCKS, THREADS>>>(p, dtype, n, scale, seed);
    must(cudaGetLastError(), "fill");
    must(cudaDeviceSynchronize(), "fill");
}

/* A sum that the compiler cannot drop; it is never equal to `never`. */
static __global__ void k_read(const uint4 *p, int64_t n, uint32_t never, uint32_t *out)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    uint32_t sum = 0;
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (; i + 3 * step < n; i += 4 * step) {
        const uint4 a = p[i], b = p[i + step], c = p[i + 2 * step], d = p[i + 3 * step];
        sum |= (a.x ^ a.y ^ a.z ^ a.w) | (b.x ^ b.y ^ b.z ^ b.w);
        sum |= (c.x ^ c.y ^ c.z ^ c.w) | (d.x ^ d.y ^ d.z ^ d.w);
    }
    for (; i < n; i += step)
        sum |= p[i].x ^ p[i].y ^ p[i].z ^ p[i].w;
    if (sum == never)
        *out = sum;
}

struct stopwatch {
    cudaEvent_t from, to;
};

static void stopwatch_init(struct stopwatch *w)
{
    must(cudaEventCreate(&w->from), "event");
    must(cudaEventCreate(&w->to), "event");
}

static void stopwatch_release(struct stopwatch *w)
{
    (void)cudaEventDestroy(w->from);
    (void)cudaEventDestroy(w->to);
}

static double stopwatch_ms(struct stopwatch *w)
{
    float ms = 0;
    must(cudaEventRecord(w->to, NULL), "event");
    must(cudaEventSynchronize(w->to), "the timed kernel");
    must(cudaEventElapsedTime(&ms, w->from, w->to), "event");
    return (double)ms;
}

double gpu_read_rate(const void *p, size_t bytes, int n)
{
    struct stopwatch w;
    uint32_t *sink = NULL;
    double best = 1e30;
    stopwatch_init(&w);
    must(cudaMalloc((void **)&sink, sizeof(*sink)), "sink");
    for (int i = 0; i < n + 1; i++) {
        must(cudaEventRecord(w.from, NULL), "event");
        k_read<<<BLOCKS, THREADS>>>((const uint4 *)p, (int64_t)(bytes / 16), 1u, sink);
        must(cudaGetLastError(), "read");
        const double ms = stopwatch_ms(&w);
        best = ms < best ? ms : best;
    }
    must(cudaFree(sink), "sink");
    stopwatch_release(&w);
    return 1e3 * (double)bytes / best;
}

/* the C function; the header overloads its name */
typedef cublasStatus_t (*gemm_ex_fn)(cublasHandle_t, cublasOperation_t,
                                     cublasOperation_t, int, int, int, const void *,
                                     const void *, cudaDataType, int, const void *,
                                     cudaDataType, int, const void *, void *,
                                     cudaDataType, int, cublasComputeType_t,
                                     cublasGemmAlgo_t);

struct cublas {
    void *lib;
    cublasHandle_t handle;
    decltype(&cublasCreate_v2) create;
    decltype(&cublasDestroy_v2) destroy;
    gemm_ex_fn gemm;
};

/* NULL, or what is missing */
static const char *cublas_open(struct cublas *c)
{
    c->lib = dlopen("libcublas.so.13", RTLD_NOW | RTLD_LOCAL);
    if (c->lib == NULL)
        c->lib = dlopen("libcublas.so.12", RTLD_NOW | RTLD_LOCAL);
    if (c->lib == NULL)
        return "no libcublas.so.13 or .12 on LD_LIBRARY_PATH";
    c->create = (decltype(c->create))dlsym(c->lib, "cublasCreate_v2");
    c->destroy = (decltype(c->destroy))dlsym(c->lib, "cublasDestroy_v2");
    c->gemm = (gemm_ex_fn)dlsym(c->lib, "cublasGemmEx");
    if (c->create == NULL || c->destroy == NULL || c->gemm == NULL)
        return "libcublas lacks a function";
    return c->create(&c->handle) == CUBLAS_STATUS_SUCCESS ? NULL : "cublasCreate fails";
}

static bool cublas_cube(struct cublas *c, void *const *m, int64_t n)
{
    const float one = 1, zero = 0;
    const int d = (int)n;
    return c->gemm(c->handle, CUBLAS_OP_T, CUBLAS_OP_N, d, d, d, &one, m[0],
                   CUDA_R_16BF, d, m[1], CUDA_R_16BF, d, &zero, m[2], CUDA_R_32F, d,
                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS;
}

static double cublas_time_ms(struct cublas *c, int64_t n, int n_reps)
{
    struct stopwatch w;
    void *m[3];
    double ms[MAX_REPS];
    bool ok = true;
    int64_t n_done = 0;
    for (int i = 0; i < 3; i++)
        must(cudaMalloc(&m[i], (size_t)(n * n) * (i < 2 ? 2u : 4u)), "matrices");
    for (int i = 0; i < 2; i++)
        gpu_fill(m[i], DTYPE_BF16, n * n, 1.0f, 7u + (uint32_t)i);
    stopwatch_init(&w);
    for (int i = 0; i < n_reps + 3 && ok; i++) {
        must(cudaEventRecord(w.from, NULL), "event");
        ok = cublas_cube(c, m, n);
        const double took = stopwatch_ms(&w);
        if (i >= 3)
            ms[n_done++] = took;
    }
    stopwatch_release(&w);
    for (int i = 0; i < 3; i++)
        must(cudaFree(m[i]), "matrices");
    return ok ? gpu_median(ms, n_done) : 0;
}

double gpu_cublas_rate(int64_t n, int n_reps, const char **why_out)
{
    struct cublas c = {};
    const char *why = cublas_open(&c);
    double ms = 0;
    if (why == NULL) {
        ms = cublas_time_ms(&c, n, n_reps < MAX_REPS ? n_reps : MAX_REPS);
        why = ms > 0 ? NULL : "cublasGemmEx fails";
        (void)c.destroy(c.handle);
    }
    /* the library stays loaded: unloading it while its context lives is not safe */
    *why_out = why;
    return ms > 0 ? 2e3 * (double)n * (double)n * (double)n / ms : 0;
}
