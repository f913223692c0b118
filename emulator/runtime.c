/*
 * The frame of the runtime: one lock round every call, the error of the last call per
 * thread, and the error of a broken device, which stays.
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <time.h>

#include "emulator/runtime.h"

static struct {
    pthread_mutex_t lock; /* recursive: a signal handler may leave a call */
    int broken;           /* a fault's error: it stays */
} state = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};
static _Thread_local int last_error;

int runtime_enter(void)
{
    pthread_mutex_lock(&state.lock);
    return state.broken;
}

int runtime_leave(int error)
{
    pthread_mutex_unlock(&state.lock);
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

int runtime_break(int error)
{
    if (state.broken == cudaSuccess)
        state.broken = error;
    return state.broken;
}

int runtime_broken(void) { return state.broken; }

double runtime_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

cudaError_t cudaPeekAtLastError(void)
{
    const int fault = runtime_enter();
    pthread_mutex_unlock(&state.lock);
    return fault != cudaSuccess ? fault : last_error;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

/* The device as at the start of the program, mended too; registered code stays. */
cudaError_t cudaDeviceReset(void)
{
    (void)runtime_enter();
    runtime_stream_reset();
    runtime_graph_reset();
    runtime_event_reset();
    runtime_memory_reset();
    state.broken = cudaSuccess;
    last_error = cudaSuccess;
    return runtime_leave(cudaSuccess);
}

/* X(error, meaning): those that this runtime gives */
#define ERROR_LIST(X)                                                                  \
    X(cudaSuccess, "no error")                                                         \
    X(cudaErrorInvalidValue, "an argument is not valid")                               \
    X(cudaErrorMemoryAllocation, "out of device memory")                               \
    X(cudaErrorInvalidConfiguration, "grid or block are not possible")                 \
    X(cudaErrorInvalidSymbol, "no such variable on the device")                        \
    X(cudaErrorInvalidMemcpyDirection, "no such kind of copy")                         \
    X(cudaErrorInvalidDevice, "no such device")                                        \
    X(cudaErrorInvalidDeviceFunction, "no such kernel")                                \
    X(cudaErrorNoKernelImageForDevice, "no code for this compute capability")          \
    X(cudaErrorInvalidPtx, "PTX that the emulator does not understand")                \
    X(cudaErrorInvalidKernelImage, "not a fat binary of uncompressed PTX")             \
    X(cudaErrorMissingConfiguration, "a launch without its configuration")             \
    X(cudaErrorInvalidResourceHandle, "no such stream, event or graph")                \
    X(cudaErrorNotReady, "not done yet")                                               \
    X(cudaErrorIllegalAddress, "access to memory that is not allocated")               \
    X(cudaErrorLaunchOutOfResources, "more threads than the kernel allows")            \
    X(cudaErrorLaunchFailure, "a kernel faulted")                                      \
    X(cudaErrorNotSupported, "not supported by the emulator")                          \
    X(cudaErrorStreamCaptureUnsupported, "not allowed while a stream captures")        \
    X(cudaErrorStreamCaptureInvalidated, "the capture was made void by an error")      \
    X(cudaErrorStreamCaptureImplicit,                                                  \
      "the default stream waits for one that captures")                                \
    X(cudaErrorStreamCaptureIsolation, "waits for work outside the capture")           \
    X(cudaErrorStreamCaptureWrongThread, "another thread began the capture")           \
    X(cudaErrorStreamCaptureUnmatched, "no capture to end")                            \
    X(cudaErrorCapturedEvent, "the event was recorded in a capture")                   \
    X(cudaErrorUnknown, "unknown error")

static const struct {
    cudaError_t error;
    const char *name, *meaning;
} errors[] = {
#define X(error, meaning) {error, #error, meaning},
    ERROR_LIST(X)
#undef X
};

static size_t error_index(cudaError_t error)
{
    size_t i = 0;
    while (i + 1 < sizeof(errors) / sizeof(errors[0]) && errors[i].error != error)
        i++;
    return i;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return errors[error_index(error)].name;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return errors[error_index(error)].meaning;
}
