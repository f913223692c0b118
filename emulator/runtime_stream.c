/*
 * Streams: queues of work. Early mode runs work when it is submitted; late mode when
 * something must wait for it. The default stream and those made without
 * cudaStreamNonBlocking order each other: work of one waits for earlier work of the
 * other. Streams that do not block are ordered by events and synchronisation alone.
 */
#include <cuda_runtime_api.h>
#include <string.h>

#include "core/mem.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

struct CUstream_st {
    struct CUstream_st *next;
    struct runtime_queue queue;
    struct CUgraph_st *capture; /* NULL: does not capture */
    bool is_blocking;
};

static struct CUstream_st default_stream = {.is_blocking = true};
static struct CUstream_st *streams; /* those created */
static uint64_t n_submitted;

struct CUstream_st *runtime_stream_find(struct CUstream_st *handle)
{
    if (handle == NULL || handle == cudaStreamLegacy || handle == &default_stream)
        return &default_stream;
    struct CUstream_st *s = streams;
    while (s != NULL && s != handle)
        s = s->next;
    return s;
}

bool runtime_stream_is_default(const struct CUstream_st *s)
{
    return s == &default_stream;
}

struct CUgraph_st **runtime_stream_capture(struct CUstream_st *s)
{
    return &s->capture;
}

static int run_until(struct CUstream_st *s, uint64_t last);

/* What a blocking stream's work waits for: earlier work of the others. */
static int run_before(struct CUstream_st *s, uint64_t order)
{
    int error = cudaSuccess;
    if (s != &default_stream)
        return s->is_blocking ? run_until(&default_stream, order) : error;
    for (struct CUstream_st *t = streams; t != NULL && error == cudaSuccess;
         t = t->next)
        if (t->is_blocking)
            error = run_until(t, order);
    return error;
}

/* Runs a stream's work up to a submission. */
static int run_until(struct CUstream_st *s, uint64_t last)
{
    int error = runtime_broken();
    while (s->queue.head != NULL && s->queue.head->order <= last) {
        if (error == cudaSuccess)
            error = run_before(s, s->queue.head->order);
        struct runtime_work *const w = runtime_queue_take(&s->queue);
        if (error == cudaSuccess)
            error = runtime_work_run(w);
        runtime_work_free(w);
    }
    return error;
}

int runtime_stream_reach(struct CUstream_st *handle, uint64_t last)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    return s != NULL ? run_until(s, last) : runtime_broken();
}

uint64_t runtime_next_order(void) { return n_submitted + 1; }

/* The default stream may not be used while one that it waits for captures. */
static int check_default(void)
{
    for (struct CUstream_st *s = streams; s != NULL; s = s->next)
        if (s->is_blocking && s->capture != NULL) {
            runtime_graph_void(s->capture);
            return cudaErrorStreamCaptureImplicit;
        }
    return cudaSuccess;
}

/* Pageable memory is not read or written behind the host's back: a source is copied
 * now, a destination is filled before the call returns. */
static bool must_finish(struct runtime_work *w)
{
    if (!emulator_settings()->is_stream_late)
        return true;
    if (w->kind != RUNTIME_COPY)
        return false;
    if (w->src_place == RUNTIME_PAGEABLE) {
        w->staged = mem_alloc(w->bytes);
        memcpy(w->staged, w->src, w->bytes);
    }
    return w->dst_place == RUNTIME_PAGEABLE;
}

int runtime_submit(struct CUstream_st *handle, struct runtime_work *w)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    const int error = s == NULL              ? cudaErrorInvalidResourceHandle
                      : s == &default_stream ? check_default()
                                             : cudaSuccess;
    if (error != cudaSuccess) {
        runtime_work_free(w);
        return error;
    }
    if (s->capture != NULL) {
        runtime_graph_add(s->capture, w);
        return cudaSuccess;
    }
    const bool now = must_finish(w);
    w->order = ++n_submitted;
    runtime_queue_put(&s->queue, w);
    return now ? run_until(s, w->order) : cudaSuccess;
}

int runtime_stream_wait(struct CUstream_st *handle)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    if (s->capture != NULL) {
        runtime_graph_void(s->capture);
        return cudaErrorStreamCaptureUnsupported;
    }
    const int error = s == &default_stream ? check_default() : cudaSuccess;
    if (error != cudaSuccess)
        return error;
    /* the default stream's end is that of the streams it waits for */
    if (s == &default_stream)
        (void)run_before(s, UINT64_MAX);
    return run_until(s, UINT64_MAX);
}

int runtime_wait_all(void)
{
    int error = runtime_stream_wait(NULL);
    for (struct CUstream_st *s = streams; s != NULL && error == cudaSuccess;
         s = s->next)
        error = run_until(s, UINT64_MAX);
    return error;
}

int runtime_capture_check(void)
{
    int error = cudaSuccess;
    for (struct CUstream_st *s = streams; s != NULL; s = s->next)
        if (s->capture != NULL && runtime_graph_forbids(s->capture)) {
            runtime_graph_void(s->capture);
            error = cudaErrorStreamCaptureUnsupported;
        }
    return error;
}

static int create(struct CUstream_st **out, unsigned int flags)
{
    if (out == NULL || (flags & ~(unsigned)cudaStreamNonBlocking) != 0)
        return cudaErrorInvalidValue;
    struct CUstream_st *const s = mem_alloc(sizeof(*s));
    s->is_blocking = (flags & cudaStreamNonBlocking) == 0;
    s->next = streams;
    streams = s;
    *out = s;
    return cudaSuccess;
}

/* What it holds is done first. */
static int destroy(struct CUstream_st *handle)
{
    struct CUstream_st **at = &streams;
    while (*at != NULL && *at != handle)
        at = &(*at)->next;
    struct CUstream_st *const s = *at;
    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    const int error = run_until(s, UINT64_MAX);
    *at = s->next;
    mem_free(s);
    return error;
}

void runtime_stream_reset(void)
{
    runtime_queue_clear(&default_stream.queue);
    while (streams != NULL) {
        runtime_queue_clear(&streams->queue);
        (void)destroy(streams);
    }
}

/* Answers before doing what is pending, so that a loop of queries comes to an end. */
static int query(struct CUstream_st *handle)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    if (s->capture != NULL)
        return cudaErrorStreamCaptureUnsupported;
    const bool is_done = s->queue.head == NULL;
    const int error = run_until(s, UINT64_MAX);
    return error != cudaSuccess ? error : is_done ? cudaSuccess : cudaErrorNotReady;
}

static int wait_device(void)
{
    const int error = runtime_capture_check();
    return error == cudaSuccess ? runtime_wait_all() : error;
}

cudaError_t cudaStreamCreate(cudaStream_t *out) { RUNTIME_CALL(create(out, 0)); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags)
{
    RUNTIME_CALL(create(out, flags));
}

cudaError_t cudaStreamDestroy(cudaStream_t s) { RUNTIME_CALL(destroy(s)); }

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    RUNTIME_CALL(runtime_stream_wait(s));
}

cudaError_t cudaStreamQuery(cudaStream_t s) { RUNTIME_CALL(query(s)); }

cudaError_t cudaDeviceSynchronize(void) { RUNTIME_CALL(wait_device()); }
