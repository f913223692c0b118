/*
 * Captures and graphs. A capture collects what is submitted to one stream, in order; an
 * executable graph is a copy of that list, and launching it submits a copy of each
 * entry. Graphs of several streams are not supported.
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdio.h>

#include "core/mem.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

/* A graph, an executable one, or one that a stream is capturing */
struct CUgraph_st {
    struct CUgraph_st *next;
    struct runtime_queue work;
    bool is_exec, is_void;
    enum cudaStreamCaptureMode mode;
    pthread_t owner; /* the thread that began the capture */
};

static struct CUgraph_st *graphs; /* with handles: not those being captured */

void runtime_graph_add(struct CUgraph_st *g, struct runtime_work *w)
{
    runtime_queue_put(&g->work, w);
}

void runtime_graph_void(struct CUgraph_st *g) { g->is_void = true; }

bool runtime_graph_forbids(const struct CUgraph_st *g)
{
    return g->mode == cudaStreamCaptureModeGlobal ||
           (g->mode == cudaStreamCaptureModeThreadLocal &&
            pthread_equal(g->owner, pthread_self()));
}

static void graph_free(struct CUgraph_st *g)
{
    runtime_queue_clear(&g->work);
    mem_free(g);
}

static struct CUgraph_st *graph_keep(struct CUgraph_st *g)
{
    g->next = graphs;
    graphs = g;
    return g;
}

/* The place of the pointer to a graph with that handle, or NULL */
static struct CUgraph_st **graph_find(const void *handle, bool is_exec)
{
    struct CUgraph_st **at = &graphs;
    while (*at != NULL && *at != handle)
        at = &(*at)->next;
    return *at != NULL && (*at)->is_exec == is_exec ? at : NULL;
}

static int graph_destroy(const void *handle, bool is_exec)
{
    struct CUgraph_st **const at = graph_find(handle, is_exec);
    if (at == NULL)
        return cudaErrorInvalidValue;
    struct CUgraph_st *const g = *at;
    *at = g->next;
    graph_free(g);
    return cudaSuccess;
}

void runtime_graph_reset(void)
{
    while (graphs != NULL)
        (void)graph_destroy(graphs, graphs->is_exec);
}

static int capture_begin(struct CUstream_st *handle, enum cudaStreamCaptureMode mode)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    if (runtime_stream_is_default(s))
        return cudaErrorStreamCaptureUnsupported;
    if (*runtime_stream_capture(s) != NULL)
        return cudaErrorInvalidValue;
    struct CUgraph_st *const g = mem_alloc(sizeof(*g));
    g->mode = mode;
    g->owner = pthread_self();
    *runtime_stream_capture(s) = g;
    return cudaSuccess;
}

static int capture_end(struct CUstream_st *handle, struct CUgraph_st **out)
{
    struct CUstream_st *const s = runtime_stream_find(handle);
    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    struct CUgraph_st *const g = *runtime_stream_capture(s);
    if (out == NULL || g == NULL)
        return out == NULL ? cudaErrorInvalidValue : cudaErrorStreamCaptureUnmatched;
    if (g->mode != cudaStreamCaptureModeRelaxed &&
        !pthread_equal(g->owner, pthread_self()))
        return cudaErrorStreamCaptureWrongThread;
    *runtime_stream_capture(s) = NULL;
    *out = NULL;
    if (g->is_void) {
        graph_free(g);
        return cudaErrorStreamCaptureInvalidated;
    }
    *out = graph_keep(g);
    return cudaSuccess;
}

static void copy_work(struct runtime_queue *to, const struct CUgraph_st *from)
{
    for (const struct runtime_work *w = from->work.head; w != NULL; w = w->next)
        runtime_queue_put(to, runtime_work_copy(w));
}

static int instantiate(struct CUgraphExec_st **out, const struct CUgraph_st *graph)
{
    if (out == NULL || graph_find(graph, false) == NULL)
        return cudaErrorInvalidValue;
    struct CUgraph_st *const g = mem_alloc(sizeof(*g));
    g->is_exec = true;
    copy_work(&g->work, graph);
    *out = (struct CUgraphExec_st *)(void *)graph_keep(g);
    return cudaSuccess;
}

static int graph_launch(const struct CUgraphExec_st *handle, struct CUstream_st *stream)
{
    struct CUgraph_st **const at = graph_find(handle, true);
    if (at == NULL)
        return cudaErrorInvalidValue;
    struct runtime_queue work = {NULL, NULL};
    int error = cudaSuccess;
    copy_work(&work, *at);
    if (emulator_settings()->has_trace)
        fprintf(stderr, "emulator: a graph\n");
    for (struct runtime_work *w;
         error == cudaSuccess && (w = runtime_queue_take(&work)) != NULL;)
        error = runtime_submit(stream, w);
    runtime_queue_clear(&work);
    return error;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    RUNTIME_CALL(capture_begin(s, mode));
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    RUNTIME_CALL(capture_end(s, out));
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long flags)
{
    (void)flags; /* they concern memory nodes and launches by kernels */
    RUNTIME_CALL(instantiate(out, graph));
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    RUNTIME_CALL(graph_launch(exec, s));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    RUNTIME_CALL(graph_destroy(graph, false));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    RUNTIME_CALL(graph_destroy(exec, true));
}
