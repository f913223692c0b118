/*
 * The frame of the runtime: settings from the environment (read once, at the first
 * call), one lock round every call, the error of the last call per thread, and the
 * error of a broken device, which stays.
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "emulator/runtime.h"

enum { MIN_SMS = 1, MAX_SMS = 1024 };

static struct {
    pthread_mutex_t lock;
    struct runtime_settings settings;
    bool has_settings;
    int broken; /* a fault's error: it stays */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Thread_local int last_error;

/* "4G": bytes, with K, M or G */
static bool parse_bytes(const char *text, size_t *out)
{
    char *end = NULL;
    const unsigned long long n = strtoull(text, &end, 10);
    int shift = 0;
    if (*end == 'K' || *end == 'M' || *end == 'G')
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
    if (shift > 0)
        end++;
    if (end == text || *end != '\0' || n == 0 || n > SIZE_MAX >> shift >> 1)
        return false;
    *out = (size_t)n << shift;
    return true;
}

static bool parse_compute(const char *text, int *out)
{
    *out = strcmp(text, "80") == 0 ? 80 : 90;
    return *out == 80 || strcmp(text, "90a") == 0;
}

static bool parse_sms(const char *text, int *out)
{
    char *end = NULL;
    const long n = strtol(text, &end, 10);
    *out = (int)n;
    return end != text && *end == '\0' && n >= MIN_SMS && n <= MAX_SMS;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *const text = getenv(name);
    return text != NULL && *text != '\0' ? text : otherwise;
}

static bool read_settings(void)
{
    const char *const compute = setting("EMULATOR_SM", "90a");
    const char *const sms = setting("EMULATOR_SMS", "4");
    const char *const memory = setting("EMULATOR_MEMORY", "4G");
    const char *const streams = setting("EMULATOR_STREAMS", "early");
    const char *const trace = setting("EMULATOR_TRACE", "0");
    state.settings.is_late = strcmp(streams, "late") == 0;
    state.settings.has_trace = strcmp(trace, "0") != 0;
    state.settings.ptx_folder = setting("EMULATOR_PTX", NULL);
    if (!parse_compute(compute, &state.settings.compute))
        log_error("EMULATOR_SM=%s, expected 90a or 80", compute);
    else if (!parse_sms(sms, &state.settings.n_sms))
        log_error("EMULATOR_SMS=%s, expected %d to %d", sms, MIN_SMS, MAX_SMS);
    else if (!parse_bytes(memory, &state.settings.memory_bytes))
        log_error("EMULATOR_MEMORY=%s, expected bytes, or a number with K, M or G",
                  memory);
    else if (!state.settings.is_late && strcmp(streams, "early") != 0)
        log_error("EMULATOR_STREAMS=%s, expected early or late", streams);
    else
        return true;
    return false;
}

const struct runtime_settings *runtime_settings(void) { return &state.settings; }

int runtime_enter(void)
{
    pthread_mutex_lock(&state.lock);
    if (!state.has_settings && !read_settings())
        state.broken = cudaErrorInitializationError;
    state.has_settings = true;
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

/* The device as at the start of the program, mended too; registered code stays, and the
 * next call reads the settings again. */
cudaError_t cudaDeviceReset(void)
{
    (void)runtime_enter();
    runtime_stream_reset();
    runtime_graph_reset();
    runtime_event_reset();
    runtime_memory_reset();
    state.broken = cudaSuccess;
    state.has_settings = false;
    last_error = cudaSuccess;
    return runtime_leave(cudaSuccess);
}

/* X(error, meaning): those that this runtime gives */
#define ERROR_LIST(X)                                                                  \
    X(cudaSuccess, "no error")                                                         \
    X(cudaErrorInvalidValue, "an argument is not valid")                               \
    X(cudaErrorMemoryAllocation, "out of device memory")                               \
    X(cudaErrorInitializationError, "the emulator's settings are not valid")           \
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
