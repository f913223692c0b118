/*
 * Private to cpu/: the state behind `struct backend`, and the three builds of every op.
 * The kernel files define op X as CPU_NAME(X), i.e. X_portable, X_avx2, X_avx512, with
 * the parameters of core/ops.h; cpu.c puts one of the three sets into the backend.
 *
 * Each thread has CPU_SCRATCH_BYTES of scratch, reserved once at init and without any
 * cost until touched, so that no op allocates. It holds nothing between two calls.
 */
#ifndef CPU_BACKEND_H
#define CPU_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "core/ops.h"
#include "core/status.h"

enum { CPU_SCRATCH_BYTES = 2 << 20, CPU_MAX_THREADS = 1024 };
/* Below this an op runs serially: waking the team costs more than the work. */
enum { CPU_SERIAL_FLOPS = 20000 };

struct cpu_state {
    int n_threads;
    char *scratch; /* (n_threads, CPU_SCRATCH_BYTES), 64-byte aligned */
    char name[48];
};

#define X(op, params) void op##_portable params;
OPS_LIST(X)
#undef X
#define X(op, params) void op##_avx2 params;
OPS_LIST(X)
#undef X
#define X(op, params) void op##_avx512 params;
OPS_LIST(X)
#undef X

static inline int cpu_threads(const struct backend *b)
{
    return ((const struct cpu_state *)b->state)->n_threads;
}

/* The threads to use for this much work: num_threads(cpu_team(b, flops)). */
static inline int cpu_team(const struct backend *b, int64_t flops)
{
    return flops < CPU_SERIAL_FLOPS ? 1 : cpu_threads(b);
}

/* `bytes` of scratch of thread omp_get_thread_num(), 64-byte aligned */
static inline void *cpu_scratch(const struct backend *b, int thread, size_t bytes)
{
    const struct cpu_state *const s = b->state;
    CHECK(thread < s->n_threads, "thread %d of %d", thread, s->n_threads);
    CHECK(bytes <= CPU_SCRATCH_BYTES, "scratch: %zu bytes wanted, %d reserved", bytes,
          CPU_SCRATCH_BYTES);
    return s->scratch + (size_t)thread * CPU_SCRATCH_BYTES;
}

#endif
