/*
 * Memory of the device and page-locked memory of the host: both are allocations of the
 * machine, which kernels reach at the host's addresses. Other addresses are pageable
 * memory of the host. Copies and fills are checked against the table of allocations and
 * become work of a stream.
 */
#include <cuda_runtime_api.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

struct block {
    void *p;
    size_t bytes;
    bool is_host;
};

static struct {
    struct block *items;
    size_t n, cap;
    size_t device_bytes; /* in use */
} blocks;

static void add_block(void *p, size_t bytes, bool is_host)
{
    if (blocks.n == blocks.cap) {
        const size_t cap = blocks.cap > 0 ? 2 * blocks.cap : 64;
        const size_t size = sizeof(*blocks.items);
        blocks.items = mem_realloc(blocks.items, blocks.cap * size, cap * size);
        blocks.cap = cap;
    }
    blocks.items[blocks.n++] = (struct block){
        .p = p, .bytes = bytes, .is_host = is_host};
    blocks.device_bytes += is_host ? 0 : bytes;
}

static int allocate(void **out, size_t bytes, bool is_host)
{
    void *p = NULL;
    if (out == NULL)
        return cudaErrorInvalidValue;
    const int error = runtime_capture_check();
    if (error != cudaSuccess)
        return error;
    *out = NULL;
    if (bytes == 0)
        return cudaSuccess;
    if (!is_host && bytes > emulator_settings()->memory_bytes - blocks.device_bytes)
        return cudaErrorMemoryAllocation;
    if (machine_alloc(bytes, is_host, &p) != STATUS_OK)
        return cudaErrorMemoryAllocation;
    add_block(p, bytes, is_host);
    *out = p;
    return cudaSuccess;
}

static int release_block(size_t i)
{
    const struct block gone = blocks.items[i];
    blocks.items[i] = blocks.items[--blocks.n];
    blocks.device_bytes -= gone.is_host ? 0 : gone.bytes;
    if (machine_free(gone.p) == STATUS_OK)
        return cudaSuccess;
    log_error("emulator: free: %s", status_message());
    return runtime_break(cudaErrorIllegalAddress);
}

static int release(void *p, bool is_host)
{
    if (p == NULL)
        return cudaSuccess;
    int error = runtime_capture_check();
    if (error == cudaSuccess)
        error = runtime_wait_all(); /* freeing waits for whatever may use it */
    if (error != cudaSuccess)
        return error;
    for (size_t i = 0; i < blocks.n; i++)
        if (blocks.items[i].p == p && blocks.items[i].is_host == is_host)
            return release_block(i);
    log_error("emulator: free of %p, which is not %s memory in use", p,
              is_host ? "page-locked" : "device");
    return cudaErrorInvalidValue;
}

void runtime_memory_reset(void)
{
    while (blocks.n > 0)
        (void)release_block(blocks.n - 1);
    mem_free(blocks.items);
    blocks.items = NULL;
    blocks.cap = 0;
}

enum runtime_place runtime_place_of(const void *p, size_t bytes)
{
    const uintptr_t at = (uintptr_t)p;
    for (size_t i = 0; i < blocks.n; i++) {
        const uintptr_t start = (uintptr_t)blocks.items[i].p;
        if (at < start || at - start >= blocks.items[i].bytes)
            continue;
        if (bytes > blocks.items[i].bytes - (at - start))
            return RUNTIME_OUTSIDE;
        return blocks.items[i].is_host ? RUNTIME_PINNED : RUNTIME_DEVICE;
    }
    /* a module's variables are the machine's too */
    return machine_holds(p, bytes) ? RUNTIME_DEVICE : RUNTIME_PAGEABLE;
}

/* May a copy of this kind have a side there? */
static bool kind_allows(enum cudaMemcpyKind kind, enum runtime_place place, bool is_dst)
{
    const bool is_device = kind == cudaMemcpyDeviceToDevice ||
                           kind == (is_dst ? cudaMemcpyHostToDevice
                                           : cudaMemcpyDeviceToHost);
    if (place == RUNTIME_OUTSIDE)
        return false;
    if (kind == cudaMemcpyDefault || place == RUNTIME_PINNED)
        return true;
    return is_device == (place == RUNTIME_DEVICE);
}

static int copy_create(void *dst, const void *src, size_t bytes,
                       enum cudaMemcpyKind kind, struct runtime_work **out)
{
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
        return cudaErrorInvalidMemcpyDirection;
    const enum runtime_place to = runtime_place_of(dst, bytes);
    const enum runtime_place from = runtime_place_of(src, bytes);
    if (dst == NULL || src == NULL || !kind_allows(kind, to, true) ||
        !kind_allows(kind, from, false)) {
        log_error("emulator: a copy of %zu bytes from %p to %p: %s", bytes, src, dst,
                  to == RUNTIME_OUTSIDE || from == RUNTIME_OUTSIDE
                      ? "it leaves an allocation"
                      : "not the kind of memory that it names");
        return cudaErrorInvalidValue;
    }
    struct runtime_work *const w = runtime_work_create(RUNTIME_COPY);
    w->dst = dst;
    w->src = src;
    w->bytes = bytes;
    w->dst_place = to;
    w->src_place = from;
    *out = w;
    return cudaSuccess;
}

static int copy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                struct CUstream_st *stream)
{
    struct runtime_work *w = NULL;
    if (bytes == 0)
        return cudaSuccess;
    const int error = copy_create(dst, src, bytes, kind, &w);
    return error == cudaSuccess ? runtime_submit(stream, w) : error;
}

/* On the default stream; between two places on the device the host does not wait. */
static int copy_and_wait(void *dst, const void *src, size_t bytes,
                         enum cudaMemcpyKind kind)
{
    int error = runtime_capture_check();
    if (error == cudaSuccess)
        error = copy(dst, src, bytes, kind, NULL);
    if (error != cudaSuccess || (runtime_place_of(dst, bytes) == RUNTIME_DEVICE &&
                                 runtime_place_of(src, bytes) == RUNTIME_DEVICE))
        return error;
    return runtime_stream_wait(NULL);
}

static int fill(void *dst, int value, size_t bytes, struct CUstream_st *stream)
{
    const enum runtime_place place = runtime_place_of(dst, bytes);
    if (bytes == 0)
        return cudaSuccess;
    if (place != RUNTIME_DEVICE && place != RUNTIME_PINNED) {
        log_error("emulator: a memset of %zu bytes at %p: not in one allocation", bytes,
                  dst);
        return cudaErrorInvalidValue;
    }
    struct runtime_work *const w = runtime_work_create(RUNTIME_FILL);
    w->dst = dst;
    w->bytes = bytes;
    w->value = value;
    w->dst_place = place;
    return runtime_submit(stream, w);
}

static int fill_default(void *dst, int value, size_t bytes)
{
    const int error = runtime_capture_check();
    return error == cudaSuccess ? fill(dst, value, bytes, NULL) : error;
}

static int memory_info(size_t *free_out, size_t *total_out)
{
    if (free_out == NULL || total_out == NULL)
        return cudaErrorInvalidValue;
    *total_out = emulator_settings()->memory_bytes;
    *free_out = *total_out - blocks.device_bytes;
    return cudaSuccess;
}

static int symbol_copy(const void *symbol, void *host, const void *from, size_t bytes,
                       size_t off)
{
    const struct ptx_variable *v = NULL;
    const int error = runtime_variable(symbol, &v);
    if (error != cudaSuccess)
        return error;
    if (off > v->bytes || bytes > v->bytes - off)
        return cudaErrorInvalidValue;
    return from != NULL
               ? copy_and_wait(v->data + off, from, bytes, cudaMemcpyHostToDevice)
               : copy_and_wait(host, v->data + off, bytes, cudaMemcpyDeviceToHost);
}

cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *src, size_t bytes,
                               size_t off, enum cudaMemcpyKind kind)
{
    if (kind != cudaMemcpyHostToDevice)
        RUNTIME_CALL(cudaErrorNotSupported);
    RUNTIME_CALL(symbol_copy(symbol, NULL, src, bytes, off));
}

cudaError_t cudaMemcpyFromSymbol(void *dst, const void *symbol, size_t bytes,
                                 size_t off, enum cudaMemcpyKind kind)
{
    if (kind != cudaMemcpyDeviceToHost)
        RUNTIME_CALL(cudaErrorNotSupported);
    RUNTIME_CALL(symbol_copy(symbol, dst, NULL, bytes, off));
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    RUNTIME_CALL(allocate(p, bytes, false));
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    RUNTIME_CALL(allocate(p, bytes, true));
}

cudaError_t cudaFree(void *p) { RUNTIME_CALL(release(p, false)); }

cudaError_t cudaFreeHost(void *p) { RUNTIME_CALL(release(p, true)); }

cudaError_t cudaMemGetInfo(size_t *free_out, size_t *total_out)
{
    RUNTIME_CALL(memory_info(free_out, total_out));
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes,
                       enum cudaMemcpyKind kind)
{
    RUNTIME_CALL(copy_and_wait(dst, src, bytes, kind));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes,
                            enum cudaMemcpyKind kind, cudaStream_t stream)
{
    RUNTIME_CALL(copy(dst, src, bytes, kind, stream));
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    RUNTIME_CALL(fill_default(p, value, bytes));
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    RUNTIME_CALL(fill(p, value, bytes, stream));
}
