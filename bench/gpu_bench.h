/*
 * Shared by the parts of bench_gpu: the two backends, the measured ceilings, timing and
 * results. Times are medians: of device events round a batch of calls, or of the clock
 * round calls that end synchronised. All data is random: products run faster on zeros.
 */
#ifndef BENCH_GPU_BENCH_H
#define BENCH_GPU_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/ops.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gpu_bench {
    struct backend exact, tensor; /* the same GPU */
    bool has_tensor;
    bool is_quick;
    int64_t n_vocab;
    double end_s; /* on bench_now's clock: no case of the part starts later */
    /* ceilings, per second; 0: not measured */
    double copy_bytes; /* device to device, bytes read plus bytes written */
    double read_bytes;
    double peak_flops; /* dense bf16, the faster of cuBLAS and our own product */
    FILE *json;        /* one object per line; NULL: none */
};
/* tensor where there is one */
struct backend *gpu_bench_fast(struct gpu_bench *g);
bool gpu_bench_has_time(const struct gpu_bench *g);

struct gpu_result {
    const char *name;
    double value;
    const char *unit;
    double share;   /* 0: none */
    const char *of; /* what it is a share of */
    char detail[320];
};
/* A line of the table, and of the JSON file. */
void gpu_report(struct gpu_bench *g, const struct gpu_result *r);
/* The same for what was not measured. */
void gpu_skip(struct gpu_bench *g, const char *name, const char *why);

typedef void (*gpu_fn)(void *arg);
/* Median device time of one call in ms: one call to warm up, then up to n batches or
 * until budget_s is spent (at least three). */
double gpu_time_ms(struct backend *b, gpu_fn fn, void *arg, int n, double budget_s);
double gpu_median(double *values, int64_t n); /* sorts them; 0 when n = 0 */

/* Uniform in (-scale, scale) from a hash of (index, seed); complete on return, after
 * all that any stream had to do. */
void gpu_fill(void *p, enum dtype dtype, int64_t n, float scale, uint32_t seed);
/* Best of n passes that only read, bytes per second. */
double gpu_read_rate(const void *p, size_t bytes, int n);
/* cublasGemmEx, bf16 operands, fp32 accumulation and output, on n^3 random values:
 * median FLOP/s; 0 without the library, *why_out then says why. */
double gpu_cublas_rate(int64_t n, int n_reps, const char **why_out);

/* The parts. A status other than 0 ends the part with its message as a skipped line. */
int gpu_part_ceilings(struct gpu_bench *g) WARN_UNUSED;
int gpu_part_decode(struct gpu_bench *g) WARN_UNUSED;
int gpu_part_learner(struct gpu_bench *g) WARN_UNUSED;
int gpu_part_ops(struct gpu_bench *g) WARN_UNUSED;
int gpu_part_exact(struct gpu_bench *g) WARN_UNUSED;
int gpu_part_step(struct gpu_bench *g) WARN_UNUSED;

#ifdef __cplusplus
}
#endif
#endif
