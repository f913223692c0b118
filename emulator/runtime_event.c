/*
 * Events: each record is a submission of its own, and the event is complete when the
 * last one has run. The time is the host's clock when the record runs.
 */
#include <cuda_runtime_api.h>

#include "core/mem.h"
#include "emulator/runtime.h"

struct CUevent_st {
    struct CUevent_st *next;
    int n_refs; /* the program's handle and queued work */
    bool has_time, is_captured;
    struct CUstream_st *stream; /* of the last record */
    uint64_t asked, done;       /* the orders of the last record, and last one run */
    double ms;
};

static struct CUevent_st *events; /* whose handles are valid */

void runtime_event_keep(struct CUevent_st *e) { e->n_refs++; }

void runtime_event_drop(struct CUevent_st *e)
{
    if (--e->n_refs == 0)
        mem_free(e);
}

void runtime_event_done(struct CUevent_st *e, uint64_t number)
{
    e->done = number;
    e->ms = runtime_clock_ms();
}

static bool is_known(const struct CUevent_st *event)
{
    const struct CUevent_st *e = events;
    while (e != NULL && e != event)
        e = e->next;
    return e != NULL;
}

static int create(struct CUevent_st **out, unsigned int flags)
{
    const unsigned allowed = cudaEventBlockingSync | cudaEventDisableTiming;
    if (out == NULL || (flags & ~allowed) != 0)
        return cudaErrorInvalidValue;
    struct CUevent_st *const e = mem_alloc(sizeof(*e));
    e->n_refs = 1;
    e->has_time = (flags & cudaEventDisableTiming) == 0;
    e->next = events;
    events = e;
    *out = e;
    return cudaSuccess;
}

static int destroy(struct CUevent_st *event)
{
    struct CUevent_st **at = &events;
    while (*at != NULL && *at != event)
        at = &(*at)->next;
    if (*at == NULL)
        return cudaErrorInvalidResourceHandle;
    *at = event->next;
    runtime_event_drop(event);
    return cudaSuccess;
}

void runtime_event_reset(void)
{
    while (events != NULL)
        (void)destroy(events);
}

static int submit(enum runtime_work_kind kind, struct CUevent_st *e,
                  struct CUstream_st *stream)
{
    struct runtime_work *const w = runtime_work_create(kind);
    runtime_event_keep(e);
    w->event = e;
    w->stream = e->stream;
    w->number = e->asked;
    return runtime_submit(stream, w);
}

static int record(struct CUevent_st *e, struct CUstream_st *handle)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    if (s == NULL || !is_known(e))
        return cudaErrorInvalidResourceHandle;
    e->is_captured = *runtime_stream_capture(s) != NULL;
    if (e->is_captured) /* it would order the capture's streams, of which there is one
                         */
        return cudaSuccess;
    const uint64_t before = e->asked;
    struct CUstream_st *const stream_before = e->stream;
    e->asked = runtime_next_order();
    e->stream = s;
    const int error = submit(RUNTIME_RECORD, e, handle);
    if (error != cudaSuccess) {
        e->asked = before;
        e->stream = stream_before;
    }
    return error;
}

static int wait_on(struct CUstream_st *handle, struct CUevent_st *e, unsigned int flags)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    if (s == NULL || !is_known(e))
        return cudaErrorInvalidResourceHandle;
    if (flags != cudaEventWaitDefault)
        return cudaErrorInvalidValue;
    struct CUgraph_st *const capture = *runtime_stream_capture(s);
    if (capture != NULL && !e->is_captured) {
        runtime_graph_void(capture);
        return cudaErrorStreamCaptureIsolation;
    }
    if (capture == NULL && e->is_captured) /* a second stream of a capture */
        return cudaErrorNotSupported;
    return capture != NULL || e->asked == 0 ? cudaSuccess
                                            : submit(RUNTIME_WAIT, e, handle);
}

static int check_plain(const struct CUevent_st *e)
{
    return !is_known(e)     ? cudaErrorInvalidResourceHandle
           : e->is_captured ? cudaErrorCapturedEvent
                            : cudaSuccess;
}

static int synchronize(struct CUevent_st *e)
{
    const int error = check_plain(e);
    return error == cudaSuccess ? runtime_stream_reach(e->stream, e->asked) : error;
}

/* Answers before doing what is pending, so that a loop of queries comes to an end. */
static int query(struct CUevent_st *e)
{
    int error = check_plain(e);
    if (error != cudaSuccess)
        return error;
    const bool is_done = e->done == e->asked;
    error = runtime_stream_reach(e->stream, e->asked);
    return error != cudaSuccess ? error : is_done ? cudaSuccess : cudaErrorNotReady;
}

static int elapsed(float *ms, const struct CUevent_st *start,
                   const struct CUevent_st *end)
{
    if (ms == NULL)
        return cudaErrorInvalidValue;
    if (!is_known(start) || !is_known(end) || !start->has_time || !end->has_time ||
        start->asked == 0 || end->asked == 0)
        return cudaErrorInvalidResourceHandle;
    if (start->is_captured || end->is_captured)
        return cudaErrorCapturedEvent;
    if (start->done != start->asked || end->done != end->asked)
        return cudaErrorNotReady;
    *ms = (float)(end->ms - start->ms);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) { RUNTIME_CALL(create(out, 0)); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned int flags)
{
    RUNTIME_CALL(create(out, flags));
}

cudaError_t cudaEventDestroy(cudaEvent_t e) { RUNTIME_CALL(destroy(e)); }

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    RUNTIME_CALL(record(e, s));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned int flags)
{
    RUNTIME_CALL(wait_on(s, e, flags));
}

cudaError_t cudaEventSynchronize(cudaEvent_t e) { RUNTIME_CALL(synchronize(e)); }

cudaError_t cudaEventQuery(cudaEvent_t e) { RUNTIME_CALL(query(e)); }

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    RUNTIME_CALL(elapsed(ms, start, end));
}
