/*
 * Timing helpers of the benchmarks: a clock, best-of-rounds timing, and the machine's
 * limits (fp32 FMA rate, read bandwidth) as probed in the same run. The machine may be
 * shared: the best round counts, and shares of the probed limits are what to compare.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stddef.h>
#include <time.h>

typedef void (*bench_fn)(void *arg);

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best time of one call, in seconds: calls are repeated for `budget_s`, at least
 * 3 rounds; short calls are timed in batches. */
double bench_best(bench_fn fn, void *arg, double budget_s);
double bench_peak_flops(int n_threads, double budget_s); /* FMA = 2, all threads */
double bench_read_bytes(int n_threads, double budget_s); /* per second, 512 MiB */

#endif
