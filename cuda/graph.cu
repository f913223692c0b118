/*
 * Recorded sequences of ops as CUDA graphs. A sequence runs plainly the first times it
 * is asked for, which grows the scratch and loads the kernels; seen again often enough
 * it is captured. Graphs hold the scratch's address: they go when it moves.
 */
#include <string.h>

#include "cuda/graph.cuh"

enum { RUNS_BEFORE_CAPTURE = 3 };

static struct cuda_graph *find(struct cuda_graphs *g, const void *owner, int64_t key)
{
    for (int i = 0; i < CUDA_MAX_GRAPHS; i++)
        if (g->items[i].owner == owner && g->items[i].key == key)
            return &g->items[i];
    return NULL;
}

static void drop(struct cuda_graph *g)
{
    if (g->exec != NULL)
        cuda_must(cudaGraphExecDestroy(g->exec), "graph");
    memset(g, 0, sizeof(*g));
}

/* A free place, or that of the one unused for longest */
static struct cuda_graph *take_place(struct cuda_graphs *g)
{
    struct cuda_graph *best = &g->items[0];
    for (int i = 0; i < CUDA_MAX_GRAPHS && best->owner != NULL; i++)
        if (g->items[i].owner == NULL || g->items[i].last_use < best->last_use)
            best = &g->items[i];
    drop(best);
    return best;
}

bool cuda_replay(struct backend *b, const void *owner, int64_t key)
{
    struct cuda_graphs *const g = &cuda_state(b)->graphs;
    struct cuda_graph *const it = find(g, owner, key);
    if (it == NULL || it->exec == NULL)
        return false;
    it->last_use = ++g->clock;
    cuda_must(cudaGraphLaunch(it->exec, cuda_stream(b)), "graph");
    return true;
}

void cuda_record_begin(struct backend *b, const void *owner, int64_t key)
{
    struct cuda_graphs *const g = &cuda_state(b)->graphs;
    struct cuda_graph *it = find(g, owner, key);
    CHECK(g->recording == NULL, "a recording inside another");
    if (it == NULL) {
        it = take_place(g);
        it->owner = owner;
        it->key = key;
    }
    it->last_use = ++g->clock;
    if (it->n_runs++ < RUNS_BEFORE_CAPTURE || !CUDA_CAN_RECORD)
        return;
    cuda_must(cudaStreamBeginCapture(cuda_stream(b), cudaStreamCaptureModeThreadLocal),
              "graph: begin");
    g->recording = it;
}

void cuda_record_end(struct backend *b)
{
    struct cuda_graphs *const g = &cuda_state(b)->graphs;
    struct cuda_graph *const it = g->recording;
    cudaGraph_t graph = NULL;
    if (it == NULL)
        return;
    g->recording = NULL;
    cuda_must(cudaStreamEndCapture(cuda_stream(b), &graph), "graph: end");
    cuda_must(cudaGraphInstantiate(&it->exec, graph, 0), "graph: instantiate");
    cuda_must(cudaGraphDestroy(graph), "graph");
    cuda_must(cudaGraphLaunch(it->exec, cuda_stream(b)), "graph");
}

void cuda_forget(struct backend *b, const void *owner)
{
    struct cuda_graphs *const g = &cuda_state(b)->graphs;
    for (int i = 0; i < CUDA_MAX_GRAPHS; i++)
        if (owner == NULL || g->items[i].owner == owner)
            drop(&g->items[i]);
}
