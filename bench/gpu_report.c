/*
 * Timing and results of bench_gpu's parts.
 */
#include <jansson.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "bench/gpu_bench.h"
#include "cuda/cuda.h"

enum { MAX_BATCHES = 64 };

struct backend *gpu_bench_fast(struct gpu_bench *g)
{
    return g->has_tensor ? &g->tensor : &g->exact;
}

bool gpu_bench_has_time(const struct gpu_bench *g) { return bench_now() < g->end_s; }

static void write_json(struct gpu_bench *g, json_t *o)
{
    char *const text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6));
    fprintf(g->json, "%s\n", text);
    fflush(g->json);
    free(text);
    json_decref(o);
}

void gpu_report(struct gpu_bench *g, const struct gpu_result *r)
{
    char share[64] = "";
    if (r->share > 0)
        snprintf(share, sizeof(share), "%6.3f of %s", r->share, r->of);
    printf("%-46s %12.6g %-9s %-30s %s\n", r->name, r->value, r->unit, share,
           r->detail);
    fflush(stdout);
    if (g->json == NULL)
        return;
    json_t *const o = json_pack("{s:s, s:f, s:s}", "name", r->name, "value", r->value,
                                "unit", r->unit);
    if (r->share > 0) {
        json_object_set_new(o, "share", json_real(r->share));
        json_object_set_new(o, "of", json_string(r->of));
    }
    if (r->detail[0] != '\0')
        json_object_set_new(o, "detail", json_string(r->detail));
    write_json(g, o);
}

void gpu_skip(struct gpu_bench *g, const char *name, const char *why)
{
    printf("%-46s skipped: %s\n", name, why);
    fflush(stdout);
    if (g->json != NULL)
        write_json(g, json_pack("{s:s, s:s}", "name", name, "skipped", why));
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double gpu_median(double *values, int64_t n)
{
    if (n == 0)
        return 0;
    qsort(values, (size_t)n, sizeof(*values), compare);
    return values[n / 2];
}

static double batch_ms(struct backend *b, gpu_fn fn, void *arg, int64_t n)
{
    cuda_backend_mark(b, 0);
    for (int64_t i = 0; i < n; i++)
        fn(arg);
    cuda_backend_mark(b, 1);
    return cuda_backend_ms(b) / (double)n;
}

double gpu_time_ms(struct backend *b, gpu_fn fn, void *arg, int n, double budget_s)
{
    const double start = bench_now(), long_ms = 2.0; /* against launch gaps */
    double ms[MAX_BATCHES];
    int64_t n_done = 0;
    (void)batch_ms(b, fn, arg, 1);
    const double once = batch_ms(b, fn, arg, 1);
    const int64_t n_calls = once < long_ms ? 1 + (int64_t)(long_ms / (once + 1e-3)) : 1;
    while (n_done < MAX_BATCHES && n_done < n &&
           (n_done < 3 || bench_now() - start < budget_s))
        ms[n_done++] = batch_ms(b, fn, arg, n_calls);
    return gpu_median(ms, n_done);
}
