/*
 * The CUDA runtime API over the machine: a program of ours whose kernels were compiled
 * to PTX links this in place of cudart and runs without a GPU. Covered is what the
 * objects of cuda/, bench/ and tests/cuda call, and what nvcc emits around launches.
 *
 * Work runs when it is submitted, in the order of the calls; a faulting kernel is
 * reported by its own launch, as with CUDA_LAUNCH_BLOCKING=1. With
 * EMULATOR_STREAMS=late (settings.h) work waits in its stream until the API says that
 * something must have been done (a synchronisation, an event, a blocking copy, a
 * query), so that a host that reads too early reads old bytes.
 *
 * This header is what the runtime's files share; CUDA's own types do not occur, so that
 * it compiles without the toolkit: an `int` error is a cudaError_t, 0 is success.
 * One lock guards all state: only runtime_enter and runtime_leave touch it, and the
 * functions below are called between these two unless stated otherwise.
 */
#ifndef EMULATOR_RUNTIME_H
#define EMULATOR_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emulator/machine.h"

struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;

/* --- runtime.c: the lock, errors --- */
/* Every function of the API is one RUNTIME_CALL: locked, refused after a fault, its
 * error kept for cudaGetLastError. */
int runtime_enter(void);
int runtime_leave(int error);
#define RUNTIME_CALL(call)                                                             \
    do {                                                                               \
        int error_ = runtime_enter();                                                  \
        if (error_ == 0)                                                               \
            error_ = (call);                                                           \
        return runtime_leave(error_);                                                  \
    } while (0)

/* A fault of the device: this error answers every later call. Returns it. */
int runtime_break(int error);
int runtime_broken(void); /* that error, or 0 */
double runtime_clock_ms(void);

/* --- runtime_memory.c --- */
enum runtime_place {
    RUNTIME_PAGEABLE,
    RUNTIME_PINNED,
    RUNTIME_DEVICE,
    RUNTIME_OUTSIDE
};
/* Where [p, p + bytes) lies; RUNTIME_OUTSIDE: it begins in an allocation and leaves it.
 */
enum runtime_place runtime_place_of(const void *p, size_t bytes);
void runtime_memory_reset(void);

/* --- runtime_work.c: what a stream or a graph holds --- */
enum runtime_work_kind {
    RUNTIME_LAUNCH,
    RUNTIME_COPY,
    RUNTIME_FILL,
    RUNTIME_RECORD, /* an event */
    RUNTIME_WAIT    /* for a record of one */
};
struct runtime_work {
    struct runtime_work *next;
    enum runtime_work_kind kind;
    uint64_t order;               /* among all submissions */
    struct machine_launch launch; /* params: owned */
    uint8_t *dst;
    const uint8_t *src;
    uint8_t *staged; /* owned copy of a pageable source, or NULL */
    size_t bytes;
    int value; /* of a fill */
    enum runtime_place dst_place, src_place;
    struct CUevent_st *event;   /* a reference */
    struct CUstream_st *stream; /* of the record that is waited for */
    uint64_t number;            /* that record's order */
};
struct runtime_work *runtime_work_create(enum runtime_work_kind kind);
struct runtime_work *runtime_work_copy(const struct runtime_work *w);
void runtime_work_free(struct runtime_work *w);
int runtime_work_run(struct runtime_work *w);

/* First in, first out */
struct runtime_queue {
    struct runtime_work *head, *tail;
};
void runtime_queue_put(struct runtime_queue *q, struct runtime_work *w);
struct runtime_work *runtime_queue_take(struct runtime_queue *q);
void runtime_queue_clear(struct runtime_queue *q);

/* --- runtime_stream.c --- */
/* A stream of the program's: NULL or a handle of CUDA for the default stream's, or one
 * that was created; NULL if none. */
struct CUstream_st *runtime_stream_find(struct CUstream_st *handle);
/* Takes w: into the graph that the stream captures, or into its queue. */
int runtime_submit(struct CUstream_st *handle, struct runtime_work *w);
/* Runs what the stream holds; an error while it captures. */
int runtime_stream_wait(struct CUstream_st *handle);
/* Everything everywhere. */
int runtime_wait_all(void);
/* Runs a stream's work up to a submission; it may be gone, its work done. */
int runtime_stream_reach(struct CUstream_st *handle, uint64_t last);
uint64_t runtime_next_order(void); /* of the next submission */
/* An error if a capture forbids a call that may synchronise; the capture is then void.
 */
int runtime_capture_check(void);
void runtime_stream_reset(void);
/* The graph that a stream captures into, or NULL; set by runtime_graph.c */
struct CUgraph_st **runtime_stream_capture(struct CUstream_st *s);
bool runtime_stream_is_default(const struct CUstream_st *s);

/* --- runtime_event.c --- */
void runtime_event_keep(struct CUevent_st *e);
void runtime_event_drop(struct CUevent_st *e);
void runtime_event_done(struct CUevent_st *e, uint64_t number);
void runtime_event_reset(void);

/* --- runtime_graph.c --- */
void runtime_graph_add(struct CUgraph_st *g, struct runtime_work *w);
/* A capture that did what it must not: cudaStreamEndCapture will say so. */
void runtime_graph_void(struct CUgraph_st *g);
/* Does the capture forbid the calling thread to synchronise? */
bool runtime_graph_forbids(const struct CUgraph_st *g);
void runtime_graph_reset(void);

/* --- runtime_module.c: registered code --- */
/* A kernel: the address that names it to the program, and its code once used. */
struct CUkern_st {
    struct CUkern_st *next;
    struct runtime_module *module;
    const void *host;
    const char *name;
    const struct ptx_kernel *code; /* NULL: not loaded */
    int32_t dynamic_limit;         /* bytes of shared memory that it may ask for */
};
/* The kernel of that address with its code. */
int runtime_kernel_load(const void *host, struct CUkern_st **out);
/* The variable on the device of one of the program's. */
int runtime_variable(const void *host, const struct ptx_variable **out);
/* Registers PTX text (borrowed) with one kernel as nvcc's start-up code would; locks by
 * itself. For tests: the address may be any. */
void runtime_register_text(const char *text, size_t n_bytes, const char *kernel,
                           const void *host);

#endif
