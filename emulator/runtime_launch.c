/*
 * Launches: what a device would refuse is refused, then the arguments are copied and
 * the launch becomes work of its stream. A kernel that asks for more than 48 KiB of
 * shared memory must have been allowed to (cudaFuncSetAttribute). Registers do not
 * limit anything: PTX does not say how many a kernel will have.
 */
#include <cuda_runtime_api.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "emulator/runtime.h"
#include "emulator/runtime_device.h"

enum { MAX_PUSHED = 16 };

struct launch_args {
    const void *kernel; /* its address, or a handle */
    dim3 grid, block;
    size_t dynamic_bytes;
    void *const *args;
    struct CUstream_st *stream;
};

/* Between <<<...>>> and the stub that launches, other launches may be pushed. */
static _Thread_local struct {
    struct pushed {
        dim3 grid, block;
        size_t dynamic_bytes;
        struct CUstream_st *stream;
    } items[MAX_PUSHED];
    int n;
} pushed;

static bool is_between(unsigned value, unsigned limit)
{
    return value >= 1 && value <= limit;
}

static int check_shape(const struct launch_args *a, const struct ptx_kernel *code)
{
    const dim3 g = a->grid, b = a->block;
    const bool is_grid = is_between(g.x, RUNTIME_MAX_GRID_X) &&
                         is_between(g.y, RUNTIME_MAX_GRID_YZ) &&
                         is_between(g.z, RUNTIME_MAX_GRID_YZ);
    const bool is_block = is_between(b.x, RUNTIME_MAX_THREADS) &&
                          is_between(b.y, RUNTIME_MAX_THREADS) &&
                          is_between(b.z, RUNTIME_MAX_BLOCK_Z) &&
                          b.x * b.y * b.z <= RUNTIME_MAX_THREADS;
    if (!is_grid || !is_block) {
        log_error("emulator: %s: a grid of %ux%ux%u blocks of %ux%ux%u threads",
                  code->name, g.x, g.y, g.z, b.x, b.y, b.z);
        return cudaErrorInvalidConfiguration;
    }
    if (code->max_threads > 0 && b.x * b.y * b.z > (unsigned)code->max_threads) {
        log_error("emulator: %s: a block of %u threads, its launch bound is %d",
                  code->name, b.x * b.y * b.z, code->max_threads);
        return cudaErrorLaunchOutOfResources;
    }
    return cudaSuccess;
}

static int check_launch(const struct launch_args *a, const struct CUkern_st *k)
{
    const int error = check_shape(a, k->code);
    if (error != cudaSuccess)
        return error;
    const int64_t limit = k->dynamic_limit;
    if (limit < 0 || a->dynamic_bytes > (size_t)limit) {
        log_error("emulator: %s: %zu bytes of dynamic shared memory and %d of its own; "
                  "allowed are %lld (cudaFuncSetAttribute allows more)",
                  k->name, a->dynamic_bytes, k->code->shared_bytes, (long long)limit);
        return cudaErrorInvalidValue;
    }
    if (k->code->n_params > 0 && a->args == NULL)
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

static uint8_t *copy_params(const struct ptx_kernel *code, void *const *args)
{
    uint8_t *const params = mem_alloc((size_t)code->param_bytes);
    for (int32_t i = 0; i < code->n_params; i++)
        memcpy(params + code->params[i].off, args[i], (size_t)code->params[i].bytes);
    return params;
}

static struct machine_dim dim_of(dim3 d)
{
    return (struct machine_dim){(int32_t)d.x, (int32_t)d.y, (int32_t)d.z};
}

static int launch(const struct launch_args *a)
{
    struct CUkern_st *k = NULL;
    int error = runtime_kernel_load(a->kernel, &k);
    if (error == cudaSuccess)
        error = check_launch(a, k);
    if (error != cudaSuccess)
        return error;
    struct runtime_work *const w = runtime_work_create(RUNTIME_LAUNCH);
    w->launch = (struct machine_launch){.kernel = k->code,
                                        .grid = dim_of(a->grid),
                                        .block = dim_of(a->block),
                                        .dynamic_bytes = a->dynamic_bytes,
                                        .params = copy_params(k->code, a->args)};
    return runtime_submit(a->stream, w);
}

/* Attributes that change nothing here, or whose one possible value this is */
static int check_attribute(const cudaLaunchAttribute *a)
{
    if (a->id == cudaLaunchAttributeClusterDimension)
        return a->val.clusterDim.x == 1 && a->val.clusterDim.y == 1 &&
                       a->val.clusterDim.z == 1
                   ? cudaSuccess
                   : cudaErrorNotSupported;
    if (a->id == cudaLaunchAttributeCooperative)
        return a->val.cooperative == 0 ? cudaSuccess : cudaErrorNotSupported;
    return a->id == cudaLaunchAttributeIgnore || a->id == cudaLaunchAttributePriority ||
                   a->id == cudaLaunchAttributeProgrammaticStreamSerialization
               ? cudaSuccess
               : cudaErrorNotSupported;
}

static int launch_with(const cudaLaunchConfig_t *c, const void *kernel, void **args)
{
    if (c == NULL || (c->numAttrs > 0 && c->attrs == NULL))
        return cudaErrorInvalidValue;
    for (unsigned i = 0; i < c->numAttrs; i++) {
        const int error = check_attribute(&c->attrs[i]);
        if (error != cudaSuccess)
            return error;
    }
    const struct launch_args a = {.kernel = kernel,
                                  .grid = c->gridDim,
                                  .block = c->blockDim,
                                  .dynamic_bytes = c->dynamicSmemBytes,
                                  .args = args,
                                  .stream = c->stream};
    return launch(&a);
}

static int set_attribute(const void *kernel, enum cudaFuncAttribute attribute,
                         int value)
{
    struct CUkern_st *k = NULL;
    const int error = runtime_kernel_load(kernel, &k);
    if (error != cudaSuccess)
        return error;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return cudaErrorNotSupported;
    const int limit = runtime_shared_limit() - k->code->shared_bytes;
    if (value < 0 || value > limit) {
        log_error("emulator: %s: %d bytes of dynamic shared memory, %d are possible",
                  k->name, value, limit);
        return cudaErrorInvalidValue;
    }
    k->dynamic_limit = value;
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **args,
                             size_t dynamic_bytes, cudaStream_t stream)
{
    const struct launch_args a = {kernel, grid, block, dynamic_bytes, args, stream};
    RUNTIME_CALL(launch(&a));
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel,
                                void **args)
{
    RUNTIME_CALL(launch_with(config, kernel, args));
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute,
                                 int value)
{
    RUNTIME_CALL(set_attribute(kernel, attribute, value));
}

/* --- what nvcc's code calls; declared in its own headers for C++ alone --- */
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic_bytes,
                                     struct CUstream_st *stream);
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *dynamic_bytes,
                                       void *stream);
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
                               size_t dynamic_bytes, cudaStream_t stream);

/* Not 0: the launch does not happen. */
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic_bytes,
                                     struct CUstream_st *stream)
{
    if (pushed.n == MAX_PUSHED)
        return 1;
    pushed.items[pushed.n++] = (struct pushed){grid, block, dynamic_bytes, stream};
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *dynamic_bytes,
                                       void *stream)
{
    if (pushed.n == 0)
        RUNTIME_CALL(cudaErrorMissingConfiguration);
    const struct pushed *const p = &pushed.items[--pushed.n];
    *grid = p->grid;
    *block = p->block;
    *dynamic_bytes = p->dynamic_bytes;
    memcpy(stream, &p->stream, sizeof(p->stream));
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
                               size_t dynamic_bytes, cudaStream_t stream)
{
    const struct launch_args a = {kernel, grid, block, dynamic_bytes, args, stream};
    RUNTIME_CALL(launch(&a));
}
