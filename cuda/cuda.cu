/*
 * The frame of the CUDA backend: the device, its stream and staging buffers, the
 * function table.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "cuda/backend.cuh"
#include "cuda/gemm_tensor.h"
#include "cuda/graph.cuh"

void cuda_fault(const char *what, cudaError_t error)
{
    log_write(LOG_OFF, "CUDA: %s: %s (%s)", what, cudaGetErrorString(error),
              cudaGetErrorName(error));
    _exit(status_exit(ERR_DEVICE));
}

static int cuda_reserve(struct backend *b, void **out, size_t bytes, const char *what)
{
    void *p = NULL;
    size_t n_free = 0, n_total = 0;
    const cudaError_t error = cudaMalloc(&p, bytes > 0 ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* not sticky: the caller may go on */
        cuda_backend_memory(b, &n_free, &n_total);
        return ERR(ERR_MEMORY,
                   "%s: %.1f MB of GPU memory refused, %.1f of %.1f MB are free", what,
                   1e-6 * (double)bytes, 1e-6 * (double)n_free, 1e-6 * (double)n_total);
    }
    cuda_must(error, what);
    cuda_must(cudaMemsetAsync(p, 0, bytes, cuda_stream(b)), what);
    *out = p;
    return STATUS_OK;
}

static void cuda_release(struct backend *b, void *p, size_t bytes)
{
    (void)b;
    (void)bytes;
    cuda_must(cudaFree(p), "release");
}

static int cuda_reserve_host(struct backend *b, void **out, size_t bytes,
                             const char *what)
{
    void *p = NULL;
    (void)b;
    const cudaError_t error = cudaMallocHost(&p, bytes > 0 ? bytes : 1);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return ERR(ERR_MEMORY, "%s: %.1f MB of page-locked host memory refused: %s",
                   what, 1e-6 * (double)bytes, cudaGetErrorString(error));
    }
    memset(p, 0, bytes);
    *out = p;
    return STATUS_OK;
}

static void cuda_release_host(struct backend *b, void *p, size_t bytes)
{
    (void)b;
    (void)bytes;
    cuda_must(cudaFreeHost(p), "release");
}

static int64_t cuda_available(struct backend *b)
{
    size_t n_free = 0, n_total = 0;
    cuda_backend_memory(b, &n_free, &n_total);
    return (int64_t)n_free;
}

/* With room to grow where there is memory for it, else as it is wanted */
static void grow_scratch(struct cuda_state *s, size_t bytes)
{
    size_t size = s->scratch_bytes > 0 ? s->scratch_bytes : (size_t)1 << 20;
    while (size < bytes)
        size += size / 2;
    /* cudaFree waits for the kernels that use the old block */
    cuda_must(cudaFree(s->scratch), "scratch");
    s->scratch = NULL;
    s->scratch_bytes = 0;
    cudaError_t error = cudaMalloc((void **)&s->scratch, size);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        size = bytes;
        error = cudaMalloc((void **)&s->scratch, size);
    }
    cuda_must(error, "scratch of an op");
    s->scratch_bytes = size;
}

void *cuda_scratch(struct backend *b, size_t bytes)
{
    struct cuda_state *const s = cuda_state(b);
    if (bytes > s->scratch_bytes) {
        CHECK(s->graphs.recording == NULL, "scratch grows within a recording");
        cuda_forget(b, NULL);
        grow_scratch(s, bytes);
    }
    return s->scratch;
}

static cudaError_t create_parts(struct cuda_state *s)
{
    cudaError_t error = cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking);
    for (int i = 0; i < 2 && error == cudaSuccess; i++) {
        error = cudaEventCreate(&s->mark[i]);
        if (error == cudaSuccess)
            error = cudaEventCreateWithFlags(&s->up.copied[i], cudaEventDisableTiming);
        if (error == cudaSuccess)
            error = cudaMallocHost((void **)&s->up.half[i], CUDA_STAGE_BYTES);
    }
    if (error == cudaSuccess)
        error = cudaMallocHost((void **)&s->down, CUDA_STAGE_BYTES);
    return error;
}

static void release_parts(struct cuda_state *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->mark[i] != NULL)
            (void)cudaEventDestroy(s->mark[i]);
        if (s->up.copied[i] != NULL)
            (void)cudaEventDestroy(s->up.copied[i]);
        (void)cudaFreeHost(s->up.half[i]);
    }
    (void)cudaFreeHost(s->down);
    (void)cudaFree(s->scratch);
    gemm_tensor_free(s->tensor);
    if (s->stream != NULL)
        (void)cudaStreamDestroy(s->stream);
    mem_free(s);
}

static int find_device(int device, struct cudaDeviceProp *p)
{
    int n = 0, driver = 0;
    (void)cudaDriverGetVersion(&driver);
    const cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess || n == 0) {
        (void)cudaGetLastError();
        return ERR(ERR_DEVICE, "no usable GPU: %s; run.device=cpu needs none",
                   driver == 0            ? "no NVIDIA driver is installed"
                   : error != cudaSuccess ? cudaGetErrorString(error)
                                          : "none found");
    }
    if (device < 0 || device >= n)
        return ERR(ERR_DEVICE, "GPU %d of %d: no such device", device, n);
    if (cudaGetDeviceProperties(p, device) != cudaSuccess ||
        cudaSetDevice(device) != cudaSuccess)
        return ERR(ERR_DEVICE, "GPU %d: %s", device,
                   cudaGetErrorString(cudaGetLastError()));
    if (p->major < 8)
        return ERR(ERR_DEVICE,
                   "GPU %d (%s) has compute capability %d.%d, expected 8.0 or later",
                   device, p->name, p->major, p->minor);
    return STATUS_OK;
}

static void fill_table(struct backend *b)
{
#define X(op, params) b->op = cuda_##op;
    OPS_LIST(X)
#undef X
    b->reserve = cuda_reserve;
    b->release = cuda_release;
    b->reserve_host = cuda_reserve_host;
    b->release_host = cuda_release_host;
    b->available = cuda_available;
    b->replay = cuda_replay;
    b->record_begin = cuda_record_begin;
    b->record_end = cuda_record_end;
    b->forget = cuda_forget;
}

int cuda_backend_init(struct backend *b, int device, enum cuda_matmul matmul)
{
    struct cudaDeviceProp prop;
    TRY(find_device(device, &prop));
    struct cuda_state *const s = (struct cuda_state *)mem_alloc(sizeof(*s));
    s->device = device;
    s->n_sms = prop.multiProcessorCount;
    const cudaError_t error = create_parts(s);
    if (error != cudaSuccess) {
        release_parts(s);
        return ERR(ERR_DEVICE, "GPU %d (%s): %s", device, prop.name,
                   cudaGetErrorString(error));
    }
    if (matmul == CUDA_MATMUL_TENSOR) {
        const int status = gemm_tensor_create(&s->tensor);
        if (status != STATUS_OK) {
            release_parts(s);
            return status;
        }
    }
    snprintf(s->name, sizeof(s->name), "cuda (%s, %d SMs, %.0f GB; %s products)",
             prop.name, prop.multiProcessorCount, 1e-9 * (double)prop.totalGlobalMem,
             s->tensor != NULL ? "tensor-core" : "exact");
    *b = (struct backend){.name = s->name,
                          .state = s,
                          .is_host = false,
                          .product_layout = WEIGHT_PLAIN,
                          .product_rows = s->tensor != NULL ? DTYPE_BF16 : DTYPE_F32};
    fill_table(b);
    return STATUS_OK;
}

void cuda_backend_release(struct backend *b)
{
    if (b == NULL || b->state == NULL)
        return;
    cuda_backend_sync(b);
    cuda_forget(b, NULL);
    release_parts(cuda_state(b));
    *b = (struct backend){};
}

bool cuda_backend_uses_tensor(const struct backend *b, enum dtype dtype)
{
    return cuda_state(b)->tensor != NULL && dtype == DTYPE_BF16;
}

void cuda_backend_sync(struct backend *b)
{
    cuda_must(cudaStreamSynchronize(cuda_stream(b)), "synchronise");
}

void cuda_backend_memory(const struct backend *b, size_t *free_out, size_t *total_out)
{
    (void)b;
    cuda_must(cudaMemGetInfo(free_out, total_out), "memory");
}

void cuda_backend_mark(struct backend *b, int which)
{
    cuda_must(cudaEventRecord(cuda_state(b)->mark[which], cuda_stream(b)), "mark");
}

double cuda_backend_ms(struct backend *b)
{
    struct cuda_state *const s = cuda_state(b);
    float ms = 0;
    cuda_must(cudaEventSynchronize(s->mark[1]), "mark");
    cuda_must(cudaEventElapsedTime(&ms, s->mark[0], s->mark[1]), "mark");
    return (double)ms;
}

void *cuda_pinned_reserve(size_t bytes)
{
    void *p = NULL;
    if (cudaMallocHost(&p, bytes) == cudaSuccess)
        return p;
    (void)cudaGetLastError();
    return NULL;
}

void cuda_pinned_release(void *p) { (void)cudaFreeHost(p); }
