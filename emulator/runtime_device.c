/*
 * The device that programs see, and the one function of the driver that ours ask for.
 */
#include "emulator/runtime_device.h"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "emulator/async.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

enum {
    DRIVER_VERSION = CUDART_VERSION,
    REGISTERS = 65536,
    L2_BYTES = 50 << 20,
    CONST_BYTES = 64 << 10,
    CLOCK_KHZ = 1000000,
    BUS_BITS = 512,
    MAP_ALIGN = 64
};

static bool is_hopper(void) { return emulator_settings()->compute_capability == 90; }

int runtime_shared_limit(void)
{
    return is_hopper() ? MACHINE_SHARED_LIMIT : 163 << 10;
}

static int shared_of_sm(void) { return runtime_shared_limit() + 1024; }

/* X(attribute, value) */
#define ATTRIBUTE_LIST(X)                                                              \
    X(cudaDevAttrMaxThreadsPerBlock, RUNTIME_MAX_THREADS)                              \
    X(cudaDevAttrMaxBlockDimX, RUNTIME_MAX_THREADS)                                    \
    X(cudaDevAttrMaxBlockDimY, RUNTIME_MAX_THREADS)                                    \
    X(cudaDevAttrMaxBlockDimZ, RUNTIME_MAX_BLOCK_Z)                                    \
    X(cudaDevAttrMaxGridDimX, RUNTIME_MAX_GRID_X)                                      \
    X(cudaDevAttrMaxGridDimY, RUNTIME_MAX_GRID_YZ)                                     \
    X(cudaDevAttrMaxGridDimZ, RUNTIME_MAX_GRID_YZ)                                     \
    X(cudaDevAttrMaxSharedMemoryPerBlock, MACHINE_SHARED_STATIC)                       \
    X(cudaDevAttrMaxSharedMemoryPerBlockOptin, runtime_shared_limit())                 \
    X(cudaDevAttrMaxSharedMemoryPerMultiprocessor, shared_of_sm())                     \
    X(cudaDevAttrReservedSharedMemoryPerBlock, 1024)                                   \
    X(cudaDevAttrTotalConstantMemory, CONST_BYTES)                                     \
    X(cudaDevAttrWarpSize, PTX_LANES)                                                  \
    X(cudaDevAttrMaxRegistersPerBlock, REGISTERS)                                      \
    X(cudaDevAttrMaxRegistersPerMultiprocessor, REGISTERS)                             \
    X(cudaDevAttrClockRate, CLOCK_KHZ)                                                 \
    X(cudaDevAttrMemoryClockRate, CLOCK_KHZ)                                           \
    X(cudaDevAttrGlobalMemoryBusWidth, BUS_BITS)                                       \
    X(cudaDevAttrL2CacheSize, L2_BYTES)                                                \
    X(cudaDevAttrMaxThreadsPerMultiProcessor, RUNTIME_MAX_SM_THREADS)                  \
    X(cudaDevAttrMaxBlocksPerMultiprocessor, RUNTIME_MAX_SM_BLOCKS)                    \
    X(cudaDevAttrMultiProcessorCount, emulator_settings()->n_sms)                      \
    X(cudaDevAttrComputeCapabilityMajor, emulator_settings()->compute_capability / 10) \
    X(cudaDevAttrComputeCapabilityMinor, emulator_settings()->compute_capability % 10) \
    X(cudaDevAttrUnifiedAddressing, 1)                                                 \
    X(cudaDevAttrCanMapHostMemory, 1)                                                  \
    X(cudaDevAttrConcurrentKernels, 0)                                                 \
    X(cudaDevAttrManagedMemory, 0)                                                     \
    X(cudaDevAttrCooperativeLaunch, 0)                                                 \
    X(cudaDevAttrPageableMemoryAccess, 0)

static int attribute(int *out, enum cudaDeviceAttr which, int device)
{
    static const enum cudaDeviceAttr known[] = {
#define X(attribute, value) attribute,
        ATTRIBUTE_LIST(X)
#undef X
    };
    const int values[] = {
#define X(attribute, value) value,
        ATTRIBUTE_LIST(X)
#undef X
    };
    if (out == NULL)
        return cudaErrorInvalidValue;
    if (device != 0)
        return cudaErrorInvalidDevice;
    for (int64_t i = 0; i < ARRAY_LEN(values); i++)
        if (known[i] == which) {
            *out = values[i];
            return cudaSuccess;
        }
    log_error("emulator: attribute %d of the device is not known here", (int)which);
    return cudaErrorInvalidValue;
}

static int properties(struct cudaDeviceProp *p, int device)
{
    if (p == NULL || device != 0)
        return p == NULL ? cudaErrorInvalidValue : cudaErrorInvalidDevice;
    memset(p, 0, sizeof(*p));
    snprintf(p->name, sizeof(p->name), "PTX emulator (sm_%d%s)",
             emulator_settings()->compute_capability, is_hopper() ? "a" : "");
    p->totalGlobalMem = emulator_settings()->memory_bytes;
    p->sharedMemPerBlock = MACHINE_SHARED_STATIC;
    p->sharedMemPerBlockOptin = (size_t)runtime_shared_limit();
    p->sharedMemPerMultiprocessor = (size_t)shared_of_sm();
    p->reservedSharedMemPerBlock = 1024;
    p->regsPerBlock = REGISTERS;
    p->regsPerMultiprocessor = REGISTERS;
    p->warpSize = PTX_LANES;
    p->maxThreadsPerBlock = RUNTIME_MAX_THREADS;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = RUNTIME_MAX_THREADS;
    p->maxThreadsDim[2] = RUNTIME_MAX_BLOCK_Z;
    p->maxGridSize[0] = RUNTIME_MAX_GRID_X;
    p->maxGridSize[1] = p->maxGridSize[2] = RUNTIME_MAX_GRID_YZ;
    p->maxThreadsPerMultiProcessor = RUNTIME_MAX_SM_THREADS;
    p->maxBlocksPerMultiProcessor = RUNTIME_MAX_SM_BLOCKS;
    p->totalConstMem = CONST_BYTES;
    p->major = emulator_settings()->compute_capability / 10;
    p->minor = emulator_settings()->compute_capability % 10;
    p->multiProcessorCount = emulator_settings()->n_sms;
    p->memoryBusWidth = BUS_BITS;
    p->l2CacheSize = L2_BYTES;
    p->unifiedAddressing = p->canMapHostMemory = 1;
    return cudaSuccess;
}

static int set_int(int *out, int value)
{
    if (out == NULL)
        return cudaErrorInvalidValue;
    *out = value;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *out) { RUNTIME_CALL(set_int(out, 1)); }

cudaError_t cudaGetDevice(int *out) { RUNTIME_CALL(set_int(out, 0)); }

cudaError_t cudaSetDevice(int device)
{
    RUNTIME_CALL(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    RUNTIME_CALL(properties(p, device));
}

cudaError_t cudaDeviceGetAttribute(int *out, enum cudaDeviceAttr which, int device)
{
    RUNTIME_CALL(attribute(out, which, device));
}

cudaError_t cudaDriverGetVersion(int *out)
{
    RUNTIME_CALL(set_int(out, DRIVER_VERSION));
}

/* The driver's function: no lock, since it touches nothing but its arguments. */
static CUresult encode_tiled(CUtensorMap *map, CUtensorMapDataType type,
                             cuuint32_t rank, void *base, const cuuint64_t *dim,
                             const cuuint64_t *stride_bytes, const cuuint32_t *box,
                             const cuuint32_t *element_stride,
                             CUtensorMapInterleave interleave,
                             CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2,
                             CUtensorMapFloatOOBfill fill)
{
    const struct async_tensor_args a = {.data_type = (int32_t)type,
                                        .rank = rank,
                                        .base = base,
                                        .dim = dim,
                                        .stride_bytes = stride_bytes,
                                        .box = box,
                                        .element_stride = element_stride,
                                        .interleave = (int32_t)interleave,
                                        .swizzle = (int32_t)swizzle,
                                        .l2_promotion = (int32_t)l2,
                                        .oob_fill = (int32_t)fill};
    if (map == NULL || (uintptr_t)map % MAP_ALIGN != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (async_tensor_map_encode(&a, map) == STATUS_OK)
        return CUDA_SUCCESS;
    log_error("emulator: cuTensorMapEncodeTiled: %s", status_message());
    return CUDA_ERROR_INVALID_VALUE;
}

static int entry_point(const char *symbol, void **out,
                       enum cudaDriverEntryPointQueryResult *found)
{
    CUresult (*const function)(
        CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
        const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
        CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
        CUtensorMapFloatOOBfill) = encode_tiled;
    if (symbol == NULL || out == NULL)
        return cudaErrorInvalidValue;
    const bool is_known = strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
    *out = NULL;
    if (is_known) /* ISO C has no conversion of a function's address */
        memcpy(out, &function, sizeof(function));
    if (found != NULL)
        *found = is_known ? cudaDriverEntryPointSuccess
                          : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

cudaError_t
cudaGetDriverEntryPointByVersion(const char *symbol, void **out, unsigned int version,
                                 unsigned long long flags,
                                 enum cudaDriverEntryPointQueryResult *found)
{
    (void)version, (void)flags;
    RUNTIME_CALL(entry_point(symbol, out, found));
}
