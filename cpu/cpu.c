/*
 * The frame of the CPU backend: picks the instruction set, holds the thread count and
 * the threads' scratch, and fills the function table from the three builds of the ops.
 */
#include "cpu/cpu.h"

#include <omp.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/mem.h"
#include "cpu/backend.h"

static void use_portable(struct backend *b)
{
#define X(op, params) b->op = op##_portable;
    OPS_LIST(X)
#undef X
}

static void use_avx2(struct backend *b)
{
#define X(op, params) b->op = op##_avx2;
    OPS_LIST(X)
#undef X
}

static void use_avx512(struct backend *b)
{
#define X(op, params) b->op = op##_avx512;
    OPS_LIST(X)
#undef X
}

static int cpu_reserve(struct backend *b, void **out, size_t bytes, const char *what)
{
    (void)b;
    return mem_reserve(out, bytes, what);
}

static void cpu_release(struct backend *b, void *p, size_t bytes)
{
    (void)b;
    mem_release(p, bytes);
}

static int64_t cpu_available(struct backend *b)
{
    (void)b;
    return mem_available_bytes();
}

/* A call costs nothing here: nothing is recorded. */
static bool cpu_replay(struct backend *b, const void *owner, int64_t key)
{
    (void)b, (void)owner, (void)key;
    return false;
}

static void cpu_record_begin(struct backend *b, const void *owner, int64_t key)
{
    (void)b, (void)owner, (void)key;
}

static void cpu_record_end(struct backend *b) { (void)b; }

static void cpu_forget(struct backend *b, const void *owner) { (void)b, (void)owner; }

enum cpu_isa cpu_isa_best(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") &&
                          __builtin_cpu_supports("fma") &&
                          __builtin_cpu_supports("f16c");
    const bool has_avx512 = __builtin_cpu_supports("avx512f") &&
                            __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl");
    if (has_avx2)
        return has_avx512 ? CPU_ISA_AVX512 : CPU_ISA_AVX2;
#endif
    return CPU_ISA_PORTABLE;
}

const char *cpu_isa_name(enum cpu_isa isa)
{
    switch (isa) {
    case CPU_ISA_AUTO:
        return "auto";
    case CPU_ISA_PORTABLE:
        return "portable";
    case CPU_ISA_AVX2:
        return "avx2";
    case CPU_ISA_AVX512:
        return "avx512";
    }
    return "?";
}

static void fill_table(struct backend *b, enum cpu_isa isa)
{
    switch (isa) {
    case CPU_ISA_AVX512:
        use_avx512(b);
        break;
    case CPU_ISA_AVX2:
        use_avx2(b);
        break;
    case CPU_ISA_AUTO:
    case CPU_ISA_PORTABLE:
        use_portable(b);
        break;
    }
    b->reserve = cpu_reserve;
    b->release = cpu_release;
    b->reserve_host = cpu_reserve;
    b->release_host = cpu_release;
    b->available = cpu_available;
    b->replay = cpu_replay;
    b->record_begin = cpu_record_begin;
    b->record_end = cpu_record_end;
    b->forget = cpu_forget;
}

int cpu_backend_init(struct backend *b, enum cpu_isa isa, int n_threads)
{
    const enum cpu_isa best = cpu_isa_best();
    const enum cpu_isa use = isa == CPU_ISA_AUTO ? best : isa;
    const int n = n_threads == 0 ? omp_get_max_threads() : n_threads;
    if (use > best)
        return ERR(ERR_CONFIG, "this machine lacks %s; its best is %s",
                   cpu_isa_name(use), cpu_isa_name(best));
    if (n < 1 || n > CPU_MAX_THREADS)
        return ERR(ERR_CONFIG, "%d threads: expected 1 to %d, or 0 for the default", n,
                   CPU_MAX_THREADS);

    void *scratch;
    TRY(mem_reserve(&scratch, (size_t)n * CPU_SCRATCH_BYTES, "threads' scratch"));
    struct cpu_state *const s = mem_alloc(sizeof(*s));
    s->n_threads = n;
    s->scratch = scratch;
    snprintf(s->name, sizeof(s->name), "cpu (%s, %d thread%s)", cpu_isa_name(use), n,
             n == 1 ? "" : "s");
    *b = (struct backend){.name = s->name,
                          .state = s,
                          .is_host = true,
                          .product_layout = WEIGHT_PACKED,
                          .product_rows = DTYPE_F32};
    fill_table(b, use);
    return 0;
}

void cpu_backend_release(struct backend *b)
{
    if (b == NULL || b->state == NULL)
        return;
    struct cpu_state *const s = b->state;
    mem_release(s->scratch, (size_t)s->n_threads * CPU_SCRATCH_BYTES);
    mem_free(s);
    *b = (struct backend){0};
}
