/*
 * The probes behind bench.h. The FMA probe keeps enough independent chains in registers
 * of the widest vectors the machine has; the read probe sums a buffer that no cache
 * holds, each thread its own part.
 */
#include "bench/bench.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/status.h"

double bench_best(bench_fn fn, void *arg, double budget_s)
{
    const double start = bench_now();
    fn(arg);
    const double first = bench_now() - start;
    const double batch_s = 2e-4; /* long against the clock's resolution */
    const int64_t batch = first >= batch_s ? 1
                                           : 1 + (int64_t)(batch_s / (first + 1e-9));
    double best = first;
    for (int round = 0; round < 3 || bench_now() - start < budget_s; round++) {
        const double t0 = bench_now();
        for (int64_t i = 0; i < batch; i++)
            fn(arg);
        const double t = (bench_now() - t0) / (double)batch;
        best = t < best ? t : best;
    }
    return best;
}

enum { CHAINS = 12, FMA_STEPS = 20000 };

struct probe {
    int n_threads;
    float sink;
    int64_t flops; /* of one call, all threads */
    const uint64_t *data;
    int64_t n_words;
};

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float fma_512(void)
{
    __m512 acc[2 * CHAINS];
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < 2 * CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (int s = 0; s < FMA_STEPS; s++)
#pragma GCC unroll 24
        for (int i = 0; i < 2 * CHAINS; i++)
            acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    __m512 sum = acc[0];
    for (int i = 1; i < 2 * CHAINS; i++)
        sum = _mm512_add_ps(sum, acc[i]);
    return _mm512_cvtss_f32(sum);
}

__attribute__((target("avx2,fma"))) static float fma_256(void)
{
    __m256 acc[CHAINS];
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm256_set1_ps((float)i);
    for (int s = 0; s < FMA_STEPS; s++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    __m256 sum = acc[0];
    for (int i = 1; i < CHAINS; i++)
        sum = _mm256_add_ps(sum, acc[i]);
    return _mm256_cvtss_f32(sum);
}
#endif

static float mul_add(void)
{
    float acc[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        acc[i] = (float)i;
    for (int s = 0; s < FMA_STEPS; s++)
        for (int i = 0; i < CHAINS; i++)
            acc[i] = acc[i] * 0.999f + 1e-3f;
    return acc[0];
}

static int fma_lanes(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return 16 * 2 * CHAINS;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 8 * CHAINS;
#endif
    return CHAINS;
}

static float fma_once(void)
{
#if defined(__x86_64__)
    if (fma_lanes() == 16 * 2 * CHAINS)
        return fma_512();
    if (fma_lanes() == 8 * CHAINS)
        return fma_256();
#endif
    return mul_add();
}

static void run_fma(void *arg)
{
    struct probe *const p = arg;
    float sum = 0;
#pragma omp parallel num_threads(p->n_threads) reduction(+ : sum)
    sum += fma_once();
    p->sink += sum;
}

double bench_peak_flops(int n_threads, double budget_s)
{
    struct probe p = {.n_threads = n_threads};
    p.flops = (int64_t)2 * FMA_STEPS * fma_lanes() * n_threads;
    return (double)p.flops / bench_best(run_fma, &p, budget_s);
}

static void run_read(void *arg)
{
    struct probe *const p = arg;
    uint64_t sum = 0;
#pragma omp parallel for num_threads(p->n_threads) reduction(+ : sum) schedule(static)
    for (int64_t i = 0; i < p->n_words; i += 8)
        sum += p->data[i] + p->data[i + 3] + p->data[i + 7];
    p->sink += (float)sum;
}

double bench_read_bytes(int n_threads, double budget_s)
{
    const size_t bytes = (size_t)512 << 20;
    uint64_t *const data = aligned_alloc(64, bytes);
    CHECK(data != NULL, "no memory for the read probe: %zu bytes", bytes);
    memset(data, 1, bytes);
    struct probe p = {.n_threads = n_threads, .data = data};
    p.n_words = (int64_t)(bytes / sizeof(uint64_t));
    const double rate = (double)bytes / bench_best(run_read, &p, budget_s);
    free(data);
    return rate;
}
