/*
 * What exactness costs: the learner's pass and a decode step in exact mode (fp32
 * chains, the CPU's bits) beside tensor mode, on the same weights, and how far their
 * log-probabilities lie apart.
 */
#include <math.h>

#include "bench/bench.h"
#include "bench/gpu_pass.h"
#include "core/mem.h"
#include "cuda/cuda.h"

enum { TOKENS = 512, HEAD_ROWS = 1024, SEQS = 4 };

struct pass_result {
    double seconds;
    float *logp; /* owned, (n) */
};

static int measure(struct gpu_bench *g, struct backend *b, const struct hparams *hp,
                   void *data, struct pass_result *out)
{
    struct gpu_model model = {0};
    struct gpu_pass p = {0};
    double s[8];
    int64_t n = 0;
    int status;
    TRY_OUT(gpu_model_init(&model, b, hp, DTYPE_BF16, TOKENS, data));
    TRY_OUT(gpu_pass_init(&p, &model.m, SEQS, TOKENS, HEAD_ROWS));
    for (int i = 0; i < 4 && (i < 2 || gpu_bench_has_time(g)); i++) {
        const double start = bench_now();
        gpu_pass_forward(&p);
        gpu_pass_logprobs(&p);
        gpu_pass_backward(&p);
        if (i > 0)
            s[n++] = bench_now() - start;
    }
    out->seconds = gpu_median(s, n);
    out->logp = mem_alloc((size_t)p.n * sizeof(float));
    for (int64_t i = 0; i < p.n; i++)
        out->logp[i] = p.logp[i];
out:
    gpu_pass_release(&p);
    gpu_model_release(&model);
    return status;
}

static void report_distance(struct gpu_bench *g, const float *a, const float *b,
                            int64_t n)
{
    double most = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        most = d > most ? d : most;
        sum += d;
    }
    struct gpu_result r = {.name = "tensor against exact: |logp difference|",
                           .value = most,
                           .unit = "max"};
    snprintf(r.detail, sizeof(r.detail), "mean %.3g over %lld tokens", sum / (double)n,
             (long long)n);
    gpu_report(g, &r);
}

int gpu_part_exact(struct gpu_bench *g)
{
    const struct hparams hp = gpu_paper_shape(16, 16, g->n_vocab);
    struct gpu_model weights = {0};
    struct pass_result exact = {0}, tensor = {0};
    int status;
    if (!g->has_tensor) {
        gpu_skip(g, "exact over tensor", "no tensor-core products in this build");
        return STATUS_OK;
    }
    TRY_OUT(gpu_model_init(&weights, &g->tensor, &hp, DTYPE_BF16, TOKENS, NULL));
    TRY_OUT(measure(g, &g->tensor, &hp, weights.data, &tensor));
    TRY_OUT(measure(g, &g->exact, &hp, weights.data, &exact));
    const double flops = 3.0 * gpu_model_flops(&hp, 0.5 * TOKENS) * SEQS * TOKENS;
    struct gpu_result r = {.name = "learner, exact over tensor mode",
                           .value = exact.seconds / tensor.seconds,
                           .unit = "x"};
    snprintf(r.detail, sizeof(r.detail),
             "%d x %d tokens: %.1f ms against %.1f ms (exact: %.2f TFLOP/s)", (int)SEQS,
             (int)TOKENS, 1e3 * exact.seconds, 1e3 * tensor.seconds,
             1e-12 * flops / exact.seconds);
    gpu_report(g, &r);
    report_distance(g, exact.logp, tensor.logp, (int64_t)SEQS * TOKENS);
out:
    mem_free(exact.logp);
    mem_free(tensor.logp);
    gpu_model_release(&weights);
    return status;
}
