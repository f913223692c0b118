/*
 * The learner's pass at the paper's shape: forward, log-prob head, backward (with the
 * head again), and one AdamW update of all parameters. Tokens per second count what a
 * step without a reference model does once per token: forward, log-probs, backward.
 * FLOPs are the model's: three forwards; what is computed twice counts once.
 */
#include <math.h>

#include "bench/bench.h"
#include "bench/gpu_pass.h"
#include "cuda/cuda.h"
#include "model/optim.h"

enum { TOKENS = 1024, HEAD_ROWS = 2048, MAX_REPS = 32 };

struct pass_times {
    double forward, logprobs, backward; /* median seconds */
};

static void run_pass(struct gpu_bench *g, struct gpu_pass *p, struct pass_times *out)
{
    double f[MAX_REPS], l[MAX_REPS], b[MAX_REPS];
    const int n_max = g->is_quick ? 5 : 15;
    const double start = bench_now();
    int64_t n = 0;
    for (int i = 0; i < n_max && (i < 3 || bench_now() - start < 6.0); i++) {
        const double t0 = bench_now();
        gpu_pass_forward(p);
        const double t1 = bench_now();
        gpu_pass_logprobs(p);
        const double t2 = bench_now();
        gpu_pass_backward(p);
        const double t3 = bench_now();
        if (i == 0)
            continue; /* warm-up */
        f[n] = t1 - t0;
        l[n] = t2 - t1;
        b[n++] = t3 - t2;
    }
    *out = (struct pass_times){gpu_median(f, n), gpu_median(l, n), gpu_median(b, n)};
}

static double mean(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / (double)n;
}

static void report_pass(struct gpu_bench *g, struct gpu_pass *p, int64_t n_experts,
                        const struct pass_times *t)
{
    const double total = t->forward + t->logprobs + t->backward;
    const double flops = 3.0 * gpu_model_flops(&p->m->hp, 0.5 * TOKENS) * (double)p->n;
    double sum_sq = 0, sum_abs = 0;
    char name[96];
    p->m->b->norms(p->m->b, &sum_sq, &sum_abs, p->grad, p->m->table.n_elems);
    snprintf(name, sizeof(name), "learner d1024-E%lld-k2 fwd+head+bwd",
             (long long)n_experts);
    struct gpu_result r = {.name = name,
                           .value = (double)p->n / total,
                           .unit = "tokens/s",
                           .of = "bf16 peak"};
    if (g->peak_flops > 0)
        r.share = flops / total / g->peak_flops;
    snprintf(r.detail, sizeof(r.detail),
             "%lld x %d tokens: forward %.1f ms, log-probs %.1f, backward %.1f; %.1f "
             "TFLOP/s; %.1f GiB free; mean logp %.3f (uniform %.3f), |gradient sum| "
             "%.4g",
             (long long)p->n_seqs, (int)TOKENS, 1e3 * t->forward, 1e3 * t->logprobs,
             1e3 * t->backward, 1e-12 * flops / total,
             (double)gpu_free_bytes(p->m->b) / 0x1p30, mean(p->logp, p->n),
             -log((double)p->m->hp.n_vocab), sqrt(sum_sq));
    gpu_report(g, &r);
}

struct head {
    struct gpu_pass *p;
    struct weight w;
    int64_t n;
};

/* The head's product alone, in the same chunks */
static void run_head_product(void *arg)
{
    struct head *const h = arg;
    struct acts *const a = &h->p->acts;
    struct backend *const b = h->p->m->b;
    for (int64_t i = 0; i < h->n; i += HEAD_ROWS)
        b->gemm_fwd(b, a->logits, acts_rows(a, a->head_xn), &h->w, NULL,
                    h->n - i < HEAD_ROWS ? h->n - i : HEAD_ROWS);
}

static void report_head(struct gpu_bench *g, struct gpu_pass *p, double logprobs_s)
{
    struct head h = {.p = p, .n = p->n};
    h.w = model_weight(p->m, PARAM_HEAD, -1);
    const double own = 1e-3 * gpu_time_ms(p->m->b, run_head_product, &h, 5, 0.5);
    const double flops = 2.0 * (double)(p->n * h.w.n) * (double)h.w.k;
    struct gpu_result r = {.name = "log-prob head over its product",
                           .value = logprobs_s / own,
                           .unit = "x"};
    snprintf(r.detail, sizeof(r.detail),
             "%lld rows, V %lld, %.1f ms; the product alone %.1f ms (%.1f TFLOP/s)",
             (long long)p->n, (long long)h.w.n, 1e3 * logprobs_s, 1e3 * own,
             1e-12 * flops / own);
    gpu_report(g, &r);
    if (g->peak_flops <= 0)
        return;
    r = (struct gpu_result){.name = "log-prob head over the product at peak",
                            .value = logprobs_s * g->peak_flops / flops,
                            .unit = "x"};
    gpu_report(g, &r);
}

/* Frees the activations first: moments and master take 12 bytes a parameter. */
static int run_update(struct gpu_bench *g, struct gpu_pass *p,
                      const struct gpu_model *m, int64_t n_experts, double pass_s)
{
    const struct optim_args args = {
        .lr = 1e-6, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .clip_l2 = 1.0};
    struct backend *const b = m->m.b;
    const int64_t n_tokens = p->n;
    struct optim o = {0};
    struct optim_report rep = {0};
    double s[5];
    char name[96];
    acts_release(&p->acts);
    if ((int64_t)optim_bytes(&m->m.table, DTYPE_BF16, OPTIM_ON_DEVICE).device >
        gpu_free_bytes(b)) {
        gpu_skip(g, "optimiser step (norm and AdamW)", "too little memory");
        return STATUS_OK;
    }
    int status = optim_init(&o, b, &m->m.table, m->data, DTYPE_BF16, OPTIM_ON_DEVICE);
    for (int i = 0; i < 5 && status == STATUS_OK; i++) {
        const double start = bench_now();
        status = optim_step(&o, p->grad, &args, &rep);
        cuda_backend_sync(b);
        s[i] = bench_now() - start;
    }
    optim_release(&o);
    TRY(status);
    const double update = gpu_median(s, 5);
    const double bytes = 34.0 * (double)m->m.table.n_elems; /* 30 and the norm's 4 */
    snprintf(name, sizeof(name), "optimiser step E%lld (norm and AdamW)",
             (long long)n_experts);
    struct gpu_result r = {.name = name,
                           .value = 1e3 * update,
                           .unit = "ms",
                           .share = bytes / update / g->copy_bytes,
                           .of = "copy"};
    snprintf(r.detail, sizeof(r.detail), "%.2f G parameters, gradient norm %.4g",
             1e-9 * (double)m->m.table.n_elems, rep.grad_l2);
    gpu_report(g, &r);
    snprintf(name, sizeof(name), "learner d1024-E%lld-k2 with update",
             (long long)n_experts);
    r = (struct gpu_result){.name = name,
                            .value = (double)n_tokens / (pass_s + update),
                            .unit = "tokens/s"};
    snprintf(r.detail, sizeof(r.detail), "one update per %lld tokens",
             (long long)n_tokens);
    gpu_report(g, &r);
    return STATUS_OK;
}

static int run_shape(struct gpu_bench *g, int64_t n_experts)
{
    const int64_t spare = (int64_t)3 << 30;
    const struct hparams hp = gpu_paper_shape(n_experts, 16, g->n_vocab);
    struct gpu_model model = {0};
    struct gpu_pass pass = {0};
    struct pass_times t;
    int64_t n_seqs = g->is_quick ? 16 : 24;
    int status;
    TRY_OUT(gpu_model_init(&model, gpu_bench_fast(g), &hp, DTYPE_BF16, TOKENS, NULL));
    while (n_seqs > 1 && gpu_pass_bytes(&model.m, n_seqs, TOKENS, HEAD_ROWS) + spare >
                             gpu_free_bytes(model.m.b))
        n_seqs--;
    TRY_OUT(gpu_pass_init(&pass, &model.m, n_seqs, TOKENS, HEAD_ROWS));
    run_pass(g, &pass, &t);
    report_pass(g, &pass, n_experts, &t);
    report_head(g, &pass, t.logprobs);
    if (n_experts == 16 || !g->is_quick)
        status = run_update(g, &pass, &model, n_experts,
                            t.forward + t.logprobs + t.backward);
out:
    gpu_pass_release(&pass);
    gpu_model_release(&model);
    return status;
}

int gpu_part_learner(struct gpu_bench *g)
{
    TRY(run_shape(g, 16));
    if (gpu_bench_has_time(g))
        TRY(run_shape(g, 64));
    else
        gpu_skip(g, "learner d1024-E64-k2 fwd+head+bwd", "out of time");
    return STATUS_OK;
}
