/*
 * The matrix products on the shapes of small and middle-sized sparse models: GFLOP/s,
 * share of the probed fp32 FMA peak, and OpenBLAS's sgemm on the same data in the same
 * run (loaded at run time where the machine has it). Usage: bench_gemm [budget_s per
 * cell] [n_threads]. Best rounds count; weights are warm where a cache holds them.
 */
#include <dlfcn.h>
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "core/mem.h"
#include "cpu/cpu.h"

enum op { OP_FWD, OP_DX, OP_DW, N_OPS };
static const char *const op_names[N_OPS] = {"fwd", "dx", "dw"};
enum { CBLAS_ROW = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };
enum { MAX_M = 2048 };

typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha,
                         const float *a, int lda, const float *b, int ldb, float beta,
                         float *c, int ldc);
typedef void (*set_threads_fn)(int n);
typedef char *(*core_name_fn)(void);

struct bench {
    struct backend b;
    int n_threads;
    double budget_s, peak_flops, read_bytes;
    sgemm_fn sgemm;        /* NULL: not found */
    const char *blas_core; /* the kernels it chose */
};

struct product {
    struct bench *bench;
    enum op op;
    struct weight w;
    int64_t m;
    const int32_t *off;
    bool is_alone;                 /* no peer computes this */
    float *x, *y, *packed, *plain; /* (m, k), (m, n), the weights or their gradient */
};

static void *floats(int64_t n)
{
    void *p = NULL;
    CHECK(mem_reserve(&p, (size_t)n * sizeof(float), "bench") == 0, "%s",
          status_message());
    float *const f = p;
    uint32_t state = 12345;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        f[i] = (float)(int32_t)(state >> 8) * 1e-7f - 0.8f;
    }
    return p;
}

static void drop(void *p, int64_t n) { mem_release(p, (size_t)n * sizeof(float)); }

static void run_own(void *arg)
{
    struct product *const p = arg;
    struct backend *const b = &p->bench->b;
    switch (p->op) {
    case OP_FWD:
        b->gemm_fwd(b, p->y, rows_f32(p->x), &p->w, p->off, p->m);
        break;
    case OP_DX:
        b->gemm_dx(b, p->x, rows_f32(p->y), &p->w, p->off, p->m);
        break;
    case OP_DW:
        b->gemm_dw(b, p->packed, rows_f32(p->y), rows_f32(p->x), &p->w, p->off, p->m);
        break;
    case N_OPS:
        break;
    }
}

static void run_blas(void *arg)
{
    const struct product *const p = arg;
    const sgemm_fn f = p->bench->sgemm;
    const int n = (int)p->w.n, k = (int)p->w.k;
    for (int64_t e = 0; e < p->w.n_mats; e++) {
        const int64_t r0 = p->off == NULL ? 0 : p->off[e];
        const int m = (int)((p->off == NULL ? p->m : p->off[e + 1]) - r0);
        float *const x = p->x + r0 * k, *const y = p->y + r0 * n;
        float *const w = p->plain + e * n * k;
        if (m == 0)
            continue;
        if (p->op == OP_FWD)
            f(CBLAS_ROW, CBLAS_NO_TRANS, CBLAS_TRANS, m, n, k, 1, x, k, w, k, 0, y, n);
        else if (p->op == OP_DX)
            f(CBLAS_ROW, CBLAS_NO_TRANS, CBLAS_NO_TRANS, m, k, n, 1, y, n, w, k, 0, x,
              k);
        else
            f(CBLAS_ROW, CBLAS_TRANS, CBLAS_NO_TRANS, n, k, m, 1, y, n, x, k, 1, w, k);
    }
}

/* Old releases do not know newer chips and fall back to SSE kernels, which would be no
 * peer at all: name the AVX-512 or AVX2 kernels unless the caller has named some. */
static void find_blas(struct bench *s)
{
    const enum cpu_isa isa = cpu_isa_best();
    if (isa != CPU_ISA_PORTABLE)
        setenv("OPENBLAS_CORETYPE", isa == CPU_ISA_AVX512 ? "SkylakeX" : "Haswell", 0);
    void *const lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL)
        return;
    void *const sgemm = dlsym(lib, "cblas_sgemm");
    void *const set = dlsym(lib, "openblas_set_num_threads");
    void *const core = dlsym(lib, "openblas_get_corename");
    set_threads_fn set_threads = NULL;
    core_name_fn core_name = NULL;
    memcpy(&s->sgemm, &sgemm, sizeof(sgemm));
    memcpy(&set_threads, &set, sizeof(set));
    memcpy(&core_name, &core, sizeof(core));
    s->blas_core = core_name == NULL ? "unknown kernels" : core_name();
    if (set_threads != NULL)
        set_threads(s->n_threads);
}

/* One line of the table; returns own share of the peak. */
static double measure(struct product *p, const char *label, double *ratio)
{
    struct bench *const s = p->bench;
    const double flops = 2.0 * (double)p->m * (double)p->w.n * (double)p->w.k;
    const double weight_bytes = (double)p->w.n_mats * (double)p->w.n * (double)p->w.k *
                                (p->w.dtype == DTYPE_F32 ? 4.0 : 2.0);
    /* two halves around the peer: both sides see the same phases of a shared machine */
    double own = bench_best(run_own, p, s->budget_s / 2);
    double blas = INFINITY;
    const bool has_peer = s->sgemm != NULL && !p->is_alone;
    if (has_peer)
        blas = bench_best(run_blas, p, s->budget_s);
    const double again = bench_best(run_own, p, s->budget_s / 2);
    own = again < own ? again : own;
    const double peak = bench_peak_flops(s->n_threads, 0.005);
    s->peak_flops = peak > s->peak_flops ? peak : s->peak_flops;
    const double share = flops / own / s->peak_flops;
    *ratio = blas / own;
    printf("%-4s %-24s %5lld %9.1f %6.2f", op_names[p->op], label, (long long)p->m,
           flops / own * 1e-9, share);
    if (has_peer)
        printf(" %9.1f %6.2f %7.2f", flops / blas * 1e-9, flops / blas / s->peak_flops,
               *ratio);
    else
        printf(" %9s %6s %7s", p->is_alone ? "-" : "not found", "-", "-");
    if (p->m <= 8)
        printf(" %7.1f GB/s of weights", weight_bytes / own * 1e-9);
    printf("\n");
    fflush(stdout);
    return share;
}

static void plain_shapes(struct bench *s)
{
    static const int64_t shapes[][2] = {
        {256, 256}, {256, 1024}, {512, 1536}, {1024, 4096}, {512, 32000}};
    static const int64_t rows[] = {1, 8, 64, 512, 2048};
    double log_share[N_OPS][5] = {0}, log_ratio[N_OPS][5] = {0};
    for (int64_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const int64_t k = shapes[i][0], n = shapes[i][1];
        const int64_t n_w = weight_n_elems(WEIGHT_PACKED, 1, n, k);
        struct product p = {.bench = s};
        p.x = floats(MAX_M * k);
        p.y = floats(MAX_M * n);
        p.packed = floats(n_w);
        p.plain = floats(n * k);
        p.w = (struct weight){p.packed, DTYPE_F32, WEIGHT_PACKED, 1, n, k};
        char label[32];
        snprintf(label, sizeof(label), "K %lld N %lld", (long long)k, (long long)n);
        for (int64_t j = 0; j < ARRAY_LEN(rows) * N_OPS; j++) {
            double ratio;
            p.op = (enum op)(j / ARRAY_LEN(rows));
            p.m = rows[j % ARRAY_LEN(rows)];
            log_share[p.op][j % ARRAY_LEN(rows)] += log(measure(&p, label, &ratio));
            log_ratio[p.op][j % ARRAY_LEN(rows)] += log(ratio);
        }
        drop(p.x, MAX_M * k);
        drop(p.y, MAX_M * n);
        drop(p.packed, n_w);
        drop(p.plain, n * k);
    }
    printf("\ngeometric means over the shapes: share of peak (times OpenBLAS's)\n");
    for (int op = 0; op < N_OPS; op++) {
        printf("%-4s", op_names[op]);
        for (int64_t j = 0; j < ARRAY_LEN(rows); j++)
            printf("  M %lld: %.2f (%.2f)", (long long)rows[j],
                   exp(log_share[op][j] / (double)ARRAY_LEN(shapes)),
                   exp(log_ratio[op][j] / (double)ARRAY_LEN(shapes)));
        printf("\n");
    }
}

static void narrow_weights(struct bench *s)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    static const int64_t rows[] = {1, 8, 64, 512};
    const int64_t k = 1024, n = 4096;
    printf("\nweights in 16 bits, K 1024 N 4096 (fp32 arithmetic)\n");
    struct product p = {.bench = s, .is_alone = true};
    p.x = floats(512 * k);
    p.y = floats(512 * n);
    p.packed = floats(n * k);
    for (int64_t i = 0; i < ARRAY_LEN(dtypes) * ARRAY_LEN(rows) * 2; i++) {
        const enum dtype dtype = dtypes[i / ARRAY_LEN(rows) / 2];
        double ratio;
        memset(p.packed, 0x11, (size_t)(n * k) * sizeof(float));
        p.w = (struct weight){p.packed, dtype, WEIGHT_PACKED, 1, n, k};
        p.op = i / ARRAY_LEN(rows) % 2 ? OP_DX : OP_FWD;
        p.m = rows[i % ARRAY_LEN(rows)];
        measure(&p, dtype_name(dtype), &ratio);
    }
    drop(p.x, 512 * k);
    drop(p.y, 512 * n);
    drop(p.packed, n * k);
}

/* 512 tokens x 2 experts each, d 256, I 512: the up product and its gradients */
static void grouped_shapes(struct bench *s)
{
    static const int64_t experts[] = {8, 64, 256};
    static int32_t off[257];
    const int64_t m = 1024, k = 256, n = 512;
    printf(
        "\ngrouped: 512 tokens to 2 of E experts, skewed; OpenBLAS once per expert\n");
    for (int64_t i = 0; i < ARRAY_LEN(experts); i++) {
        const int64_t n_mats = experts[i];
        const int64_t n_w = weight_n_elems(WEIGHT_PACKED, n_mats, n, k);
        struct product p = {.bench = s, .m = m, .off = off};
        p.x = floats(m * k);
        p.y = floats(m * n);
        p.packed = floats(n_w);
        p.plain = floats(n_w);
        p.w = (struct weight){p.packed, DTYPE_F32, WEIGHT_PACKED, n_mats, n, k};
        /* a quadratic ramp of loads: the first experts get no or few rows */
        for (int64_t e = 0; e <= n_mats; e++)
            off[e] = (int32_t)(m * e / n_mats * e / n_mats);
        char label[32];
        snprintf(label, sizeof(label), "E %lld K %lld N %lld", (long long)n_mats,
                 (long long)k, (long long)n);
        for (int op = 0; op < N_OPS; op++) {
            double ratio;
            p.op = (enum op)op;
            measure(&p, label, &ratio);
        }
        drop(p.x, m * k);
        drop(p.y, m * n);
        drop(p.packed, n_w);
        drop(p.plain, n_w);
    }
}

int main(int argc, char **argv)
{
    struct bench s = {.budget_s = argc > 1 ? strtod(argv[1], NULL) : 0.2};
    s.n_threads = argc > 2 ? atoi(argv[2]) : omp_get_max_threads();
    if (cpu_backend_init(&s.b, CPU_ISA_AUTO, s.n_threads) != 0) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    find_blas(&s);
    s.peak_flops = bench_peak_flops(s.n_threads, 0.2);
    s.read_bytes = bench_read_bytes(s.n_threads, 0.3);
    printf("%s; fp32 FMA peak %.0f GFLOP/s, memory read %.1f GB/s; OpenBLAS %s\n\n",
           s.b.name, s.peak_flops * 1e-9, s.read_bytes * 1e-9,
           s.sgemm == NULL ? "not found" : s.blas_core);
    printf("%-4s %-24s %5s %9s %6s %9s %6s %7s\n", "op", "shape", "M", "GFLOP/s",
           "share", "OpenBLAS", "share", "ratio");
    plain_shapes(&s);
    narrow_weights(&s);
    grouped_shapes(&s);
    cpu_backend_release(&s.b);
    return 0;
}
