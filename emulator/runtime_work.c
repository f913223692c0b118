/*
 * What streams and graphs hold: launches, copies, fills, records of events and waits
 * for them, each with copies of its arguments. Addresses are checked when work is
 * submitted and again when it runs: what it uses may have been freed in between.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

struct runtime_work *runtime_work_create(enum runtime_work_kind kind)
{
    struct runtime_work *const w = mem_alloc(sizeof(*w));
    w->kind = kind;
    return w;
}

static uint8_t *duplicate(const void *data, size_t bytes)
{
    uint8_t *const p = mem_alloc(bytes);
    memcpy(p, data, bytes);
    return p;
}

struct runtime_work *runtime_work_copy(const struct runtime_work *w)
{
    struct runtime_work *const c = mem_alloc(sizeof(*c));
    *c = *w;
    c->next = NULL;
    if (w->kind == RUNTIME_LAUNCH)
        c->launch.params = duplicate(w->launch.params,
                                     (size_t)w->launch.kernel->param_bytes);
    if (w->staged != NULL)
        c->staged = duplicate(w->staged, w->bytes);
    if (w->event != NULL)
        runtime_event_keep(w->event);
    return c;
}

void runtime_work_free(struct runtime_work *w)
{
    uint8_t *params = NULL;
    if (w == NULL)
        return;
    memcpy(&params, &w->launch.params, sizeof(params)); /* owned, but const to others */
    mem_free(params);
    mem_free(w->staged);
    if (w->event != NULL)
        runtime_event_drop(w->event);
    mem_free(w);
}

void runtime_queue_put(struct runtime_queue *q, struct runtime_work *w)
{
    w->next = NULL;
    if (q->tail != NULL)
        q->tail->next = w;
    else
        q->head = w;
    q->tail = w;
}

struct runtime_work *runtime_queue_take(struct runtime_queue *q)
{
    struct runtime_work *const w = q->head;
    if (w != NULL && (q->head = w->next) == NULL)
        q->tail = NULL;
    return w;
}

void runtime_queue_clear(struct runtime_queue *q)
{
    for (struct runtime_work *w; (w = runtime_queue_take(q)) != NULL;)
        runtime_work_free(w);
}

static int run_launch(const struct machine_launch *l)
{
    const double start = runtime_clock_ms();
    const int status = machine_run(l);
    if (emulator_settings()->has_trace)
        fprintf(stderr, "emulator: %s<<<%dx%dx%d, %dx%dx%d, %zu>>>: %.1f ms\n",
                l->kernel->name, l->grid.x, l->grid.y, l->grid.z, l->block.x,
                l->block.y, l->block.z, l->dynamic_bytes, runtime_clock_ms() - start);
    return status == STATUS_OK ? cudaSuccess : runtime_break(cudaErrorLaunchFailure);
}

/* Still where it was when the work was submitted? */
static bool has_place(const void *p, size_t bytes, enum runtime_place place)
{
    return runtime_place_of(p, bytes) == place;
}

static int run_copy(const struct runtime_work *w)
{
    if (!has_place(w->dst, w->bytes, w->dst_place) ||
        (w->staged == NULL && !has_place(w->src, w->bytes, w->src_place))) {
        log_error("emulator: a copy of %zu bytes uses memory freed before it ran",
                  w->bytes);
        return runtime_break(cudaErrorIllegalAddress);
    }
    memmove(w->dst, w->staged != NULL ? w->staged : w->src, w->bytes);
    return cudaSuccess;
}

static int run_fill(const struct runtime_work *w)
{
    if (!has_place(w->dst, w->bytes, w->dst_place)) {
        log_error("emulator: a memset of %zu bytes uses memory freed before it ran",
                  w->bytes);
        return runtime_break(cudaErrorIllegalAddress);
    }
    memset(w->dst, w->value, w->bytes);
    return cudaSuccess;
}

int runtime_work_run(struct runtime_work *w)
{
    if (runtime_broken() != cudaSuccess)
        return runtime_broken();
    switch (w->kind) {
    case RUNTIME_LAUNCH:
        return run_launch(&w->launch);
    case RUNTIME_COPY:
        return run_copy(w);
    case RUNTIME_FILL:
        return run_fill(w);
    case RUNTIME_RECORD:
        runtime_event_done(w->event, w->order);
        return cudaSuccess;
    case RUNTIME_WAIT:
        return runtime_stream_reach(w->stream, w->number);
    }
    return cudaErrorUnknown;
}
