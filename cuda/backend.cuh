/*
 * Private to cuda/: the state behind `struct backend`, checked launches, and the
 * prototypes of the ops (cuda_<op>, one per entry of core/ops.h).
 *
 * Scratch is one block of device memory that only grows; a kernel may use it until the
 * op returns to its caller and the next op is enqueued, since all ops share one stream.
 */
#ifndef CUDA_BACKEND_CUH
#define CUDA_BACKEND_CUH

#include "cuda/device.cuh"

#include <cuda_runtime.h>

#include "core/ops.h"
#include "core/status.h"
#include "cuda/cuda.h"

struct gemm_tensor;

enum { CUDA_STAGE_BYTES = 4 << 20 };

/* Two halves in turn: one is filled while the other's copies are under way. */
struct cuda_stage {
    char *half[2];
    cudaEvent_t copied[2];
    int current;
    size_t used;
};

/* Debug builds wait after every launch, which a capture does not allow. */
#ifdef DEBUG
enum { CUDA_CAN_RECORD = 0 };
#else
enum { CUDA_CAN_RECORD = 1 };
#endif
enum { CUDA_MAX_GRAPHS = 64 };

/* A recorded sequence of ops, see graph.cu; owner NULL: free */
struct cuda_graph {
    const void *owner;
    int64_t key, n_runs, last_use;
    cudaGraphExec_t exec; /* NULL: not captured yet */
};

struct cuda_graphs {
    struct cuda_graph items[CUDA_MAX_GRAPHS];
    struct cuda_graph *recording; /* NULL: none */
    int64_t clock;
};

struct cuda_state {
    int device, n_sms;
    cudaStream_t stream;
    cudaEvent_t mark[2];
    struct cuda_stage up;
    char *down; /* pinned, CUDA_STAGE_BYTES */
    char *scratch;
    size_t scratch_bytes;
    struct gemm_tensor *tensor; /* NULL: exact mode */
    struct cuda_graphs graphs;
    char name[384];
};

#define X(op, params) void cuda_##op params;
OPS_LIST(X)
#undef X

static inline struct cuda_state *cuda_state(const struct backend *b)
{
    return (struct cuda_state *)b->state;
}

static inline cudaStream_t cuda_stream(const struct backend *b)
{
    return cuda_state(b)->stream;
}

/* Reports `what` and ends the program with ERR_DEVICE's exit status. */
void cuda_fault(const char *what, cudaError_t error) __attribute__((noreturn));

static inline void cuda_must(cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        cuda_fault(what, error);
}

/* After every launch; debug builds also wait for the kernel. */
static inline void cuda_launched(const struct backend *b, const char *op)
{
    cuda_must(cudaGetLastError(), op);
#ifdef DEBUG
    cuda_must(cudaStreamSynchronize(cuda_stream(b)), op);
#else
    (void)b;
#endif
}

/* At least `bytes` of scratch, 256-byte aligned, contents undefined. */
void *cuda_scratch(struct backend *b, size_t bytes);

static inline unsigned cuda_blocks(int64_t n, int64_t per_block)
{
    const int64_t blocks = (n + per_block - 1) / per_block;
    CHECK(blocks <= INT32_MAX, "a grid of %lld blocks", (long long)blocks);
    return (unsigned)blocks;
}

#endif
