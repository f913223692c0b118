/*
 * Learner tokens/s, decode tokens/s at 1, 32 and 64 sequences, and seconds per GRPO
 * step with its phases, on random models of the sizes that peers were measured on
 * (small, demo, llama8x ...):
 *
 *   bench_step [SIZE ...]        sizes: demo small small-e64 small-e256 small-e64k8
 * llama8x
 *
 * Learner: forward and backward of all tokens, no recomputation, 4 x 512 and 16 x 160
 * tokens. Step: 8 prompts of 121 tokens x 8 completions of exactly 128 tokens, one
 * update, beta 0. FLOPs: forward per token 2 N_active + 2 L (T + 1) heads head_dim;
 * training 3x.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "core/rng.h"
#include "cpu/cpu.h"
#include "dist/comm.h"
#include "grpo/config.h"
#include "grpo/learner.h"
#include "model/model.h"
#include "rollout/rollout.h"

struct size {
    const char *name;
    int64_t layers, d, ff, experts, k, heads, head_dim, vocab;
    /* tokens/s of a tuned PyTorch + transformers on other days and CPUs: context, not a
     * race */
    double peer_learner, peer_decode64, peer_step_s;
};

static const struct size sizes[] = {
    {"demo", 4, 128, 256, 8, 2, 4, 32, 640, 20957.0, 12673.0, 1.61},
    {"small", 8, 256, 512, 8, 2, 4, 64, 4096, 4292.0, 3137.0, 6.29},
    {"small-e64", 8, 256, 512, 64, 2, 4, 64, 4096, 3177.0, 0.0, 0.0},
    {"small-e256", 8, 256, 512, 256, 2, 4, 64, 4096, 2200.0, 0.0, 0.0},
    {"small-e64k8", 8, 256, 128, 64, 8, 4, 64, 4096, 2725.0, 0.0, 0.0},
    {"llama8x", 8, 512, 1024, 8, 2, 8, 64, 32000, 1069.0, 571.0, 0.0},
};

enum { N_PROMPTS = 8, N_SAMPLES = 8, PROMPT = 121, COMPLETION = 128 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(int status, const char *what)
{
    CHECK(status == STATUS_OK, "%s: %s", what, status_message());
}

static double flops_fwd(const struct size *s, double t)
{
    const double active = (double)(s->layers *
                                       (4 * s->d * s->heads * s->head_dim +
                                        s->k * 3 * s->d * s->ff + s->d * s->experts) +
                                   s->vocab * s->d);
    return 2.0 * active +
           2.0 * (double)s->layers * (t + 1.0) * (double)(s->heads * s->head_dim);
}

static struct hparams shape_of(const struct size *s)
{
    return (struct hparams){.n_vocab = s->vocab,
                            .d_model = s->d,
                            .d_ff = s->ff,
                            .n_layers = s->layers,
                            .n_heads = s->heads,
                            .n_kv_heads = s->heads,
                            .head_dim = s->head_dim,
                            .n_experts = s->experts,
                            .top_k = s->k,
                            .max_pos = 4096,
                            .rms_eps = 1e-5,
                            .init_std = 0.02,
                            .bos_id = -1,
                            .pad_id = -1,
                            .rope = {.theta = 1e4, .rot = s->head_dim}};
}

static int32_t token_at(int64_t i, int64_t vocab)
{
    return (int32_t)rng_below(7, RNG_TEST, (uint32_t)vocab, (uint32_t)i, 0, 0, 0);
}

/* Forward and backward of n_seqs sequences of t tokens; best of `repeats`, tokens/s. */
static double learner_speed(const struct model *m, int64_t n_seqs, int64_t t,
                            int repeats)
{
    const int64_t n = n_seqs * t;
    const struct batch_limits bl = {.n_rows = n,
                                    .n_seqs = n_seqs,
                                    .n_groups = n_seqs,
                                    .n_pages = n / KV_BLOCK + 2 * n_seqs,
                                    .n_dst = n};
    const struct acts_limits al = {
        .mode = ACTS_KEEP, .n_rows = n, .n_pages = bl.n_pages, .n_head_rows = 256};
    struct batch batch;
    struct acts acts;
    void *grad = NULL;
    const size_t bytes = (size_t)m->table.n_elems * sizeof(float);
    must(batch_init(&batch, m->b, &bl), "batch");
    must(acts_init(&acts, m, &al), "activations");
    must(m->b->reserve(m->b, &grad, bytes, "gradients"), "gradients");
    int32_t *const ids = mem_alloc((size_t)n * sizeof(*ids));
    int32_t *const rows = mem_alloc((size_t)n * sizeof(*rows));
    float *const logp = mem_alloc((size_t)n * sizeof(*logp));
    float *const dlogp = mem_alloc((size_t)n * sizeof(*dlogp));
    for (int64_t i = 0; i < n; i++) {
        ids[i] = token_at(i, m->hp.n_vocab);
        rows[i] = (int32_t)i;
        dlogp[i] = 1e-3f;
    }
    for (int64_t s = 0; s < n_seqs; s++)
        batch_add_prompt(&batch, ids + s * t, t);
    batch_upload(&batch);
    const struct model_grads g = {.data = grad};
    const struct model_loss loss = {
        .rows = rows, .target = ids, .dlogp = dlogp, .n = n, .inv_temp = 1.0f};
    double best = 1e30;
    for (int r = 0; r < repeats; r++) {
        const double start = now();
        model_forward(m, &acts, &batch);
        model_logprobs(m, &acts, acts.x_last, rows, ids, n, 1.0f, logp, NULL);
        model_backward(m, &acts, &batch, &loss, &g);
        const double took = now() - start;
        best = took < best ? took : best;
    }
    mem_free(ids);
    mem_free(rows);
    mem_free(logp);
    mem_free(dlogp);
    m->b->release(m->b, grad, bytes);
    acts_release(&acts);
    batch_release(&batch);
    return (double)n / best;
}

/* n sequences, prompts of 64 tokens, 128 new: decode tokens/s with the prefill counted.
 */
static double decode_speed(const struct model *m, int64_t n)
{
    enum { P = 64, NEW = 128 };
    const struct rollout_limits max = {
        .n_slots = n, .max_prompt = P, .max_new = NEW, .n_prefill = 2048};
    const struct rollout_args args = {
        .temperature = 1.0f, .top_p = 1.0f, .max_new = NEW, .is_eos_ignored = true};
    struct rollout *r = NULL;
    struct groups g;
    must(rollout_create(&r, m, NULL, &max), "rollout");
    must(groups_init(&g, n, 1, P, NEW, 0), "groups");
    int64_t *const slots = mem_alloc((size_t)n * sizeof(*slots));
    for (int64_t p = 0; p < n; p++) {
        int32_t ids[P];
        for (int64_t i = 0; i < P; i++)
            ids[i] = token_at(p * P + i, m->hp.n_vocab);
        groups_set_prompt(&g, p, p, ids, P);
        slots[p] = p;
    }
    double best = 1e30;
    for (int i = 0; i < 2; i++) {
        const double start = now();
        must(rollout_run(r, &g, slots, n, &args, NULL, NULL, NULL), "rollout");
        const double took = now() - start;
        best = took < best ? took : best;
    }
    mem_free(slots);
    groups_release(&g);
    rollout_free(r);
    return (double)(n * NEW) / best;
}

static void set_prompts(struct groups *g, int64_t *slots, int64_t n_vocab, int64_t step)
{
    for (int64_t p = 0; p < N_PROMPTS; p++) {
        int32_t ids[PROMPT];
        for (int64_t i = 0; i < PROMPT; i++)
            ids[i] = token_at(p * PROMPT + i + step, n_vocab);
        groups_set_prompt(g, p, p, ids, PROMPT);
        slots[p] = p;
    }
}

/* One GRPO step; the best of three after a warm-up. Returns seconds, sets the phases.
 */
static double step_speed(const struct model *m, void *data, double *rollout_s,
                         double *learn_s)
{
    static char words[][32] = {"rollout.group_size=8",  "rollout.max_new=128",
                               "grpo.prompts=8",        "data.max_prompt=121",
                               "rollout.slots=64",      "learner.micro_tokens=4608",
                               "learner.recompute=none"};
    char *overrides[sizeof(words) / sizeof(words[0])];
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        overrides[i] = words[i];
    struct config c;
    struct comm *self = NULL;
    struct learner *l = NULL;
    struct rollout *r = NULL;
    struct groups g;
    int argc = 0;
    must(config_parse(&c, (int)ARRAY_LEN(overrides), overrides), "options");
    must(comm_world_create(&self, &argc, NULL), "world");
    const struct learner_setup ls = {.m = m, .comm = self, .config = &c, .data = data};
    const struct rollout_limits max = {.n_slots = N_PROMPTS * N_SAMPLES,
                                       .max_prompt = PROMPT,
                                       .max_new = COMPLETION,
                                       .n_prefill = N_PROMPTS * PROMPT};
    must(learner_create(&l, &ls), "learner");
    must(rollout_create(&r, m, NULL, &max), "rollout");
    must(groups_init(&g, N_PROMPTS, N_SAMPLES, PROMPT, COMPLETION,
                     m->hp.n_layers * m->hp.top_k),
         "groups");
    double best = 1e30;
    for (int step = 0; step < 4; step++) {
        int64_t slots[N_PROMPTS];
        const struct rollout_args args = {.temperature = 1.0f,
                                          .top_p = 1.0f,
                                          .step = step,
                                          .max_new = COMPLETION,
                                          .is_eos_ignored = true};
        const struct minibatch mb = {
            .g = &g, .n = N_PROMPTS, .lr = 1e-6, .is_on_policy = true};
        struct learner_report rep;
        set_prompts(&g, slots, m->hp.n_vocab, step);
        const double start = now();
        must(rollout_run(r, &g, slots, N_PROMPTS, &args, NULL, NULL, NULL), "rollout");
        const double generated = now();
        for (int64_t i = 0; i < N_PROMPTS * N_SAMPLES; i++)
            g.info[i].reward = (float)(i % 3 == 0);
        must(learner_begin(l, &g), "learner");
        must(learner_update(l, &mb, &rep), "learner");
        const double end = now();
        if (step > 0 && end - start < best) {
            best = end - start;
            *rollout_s = generated - start;
            *learn_s = end - generated;
        }
    }
    learner_free(l);
    rollout_free(r);
    groups_release(&g);
    comm_free(self);
    config_release(&c);
    return best;
}

static void bench_size(struct backend *b, const struct size *s)
{
    const struct hparams hp = shape_of(s);
    struct weights w = {0};
    struct model m;
    must(weights_init(&w, &hp, DTYPE_F32, 1), "weights");
    must(model_init(&m, b, &hp, w.data, w.dtype, 1024, hp.n_vocab), "model");
    const double l512 = learner_speed(&m, 4, 512, 3),
                 l160 = learner_speed(&m, 16, 160, 3);
    const double d1 = decode_speed(&m, 1), d32 = decode_speed(&m, 32),
                 d64 = decode_speed(&m, 64);
    double rollout_s = 0.0, learn_s = 0.0;
    const double step = step_speed(&m, w.data, &rollout_s, &learn_s);
    printf(
        "%-12s learner 4x512 %8.0f tok/s (%5.0f GFLOP/s), 16x160 %8.0f tok/s (%5.0f)\n",
        s->name, l512, 3e-9 * l512 * flops_fwd(s, 256.0), l160,
        3e-9 * l160 * flops_fwd(s, 80.0));
    printf("%-12s decode  B=1 %7.0f  B=32 %7.0f  B=64 %7.0f tok/s (%5.0f GFLOP/s)\n",
           "", d1, d32, d64, 1e-9 * d64 * flops_fwd(s, 128.0));
    printf("%-12s step    %.3f s: rollout %.3f, learner %.3f\n", "", step, rollout_s,
           learn_s);
    printf("%-12s ratio to the noted tuned PyTorch figures: learner %.2f", "",
           l512 / s->peer_learner);
    if (s->peer_decode64 > 0.0)
        printf(", decode %.2f", d64 / s->peer_decode64);
    if (s->peer_step_s > 0.0)
        printf(", step %.2f", s->peer_step_s / step);
    printf("\n");
    fflush(stdout);
    model_release(&m);
    weights_release(&w);
}

int main(int argc, char **argv)
{
    struct backend b;
    launch_tame_openmp(argv);
    must(cpu_backend_init(&b, CPU_ISA_AUTO, 0), "backend");
    printf("%s\n", b.name);
    for (int64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        bool is_wanted = argc == 1;
        for (int a = 1; a < argc; a++)
            is_wanted = is_wanted || strcmp(argv[a], sizes[i].name) == 0;
        if (is_wanted)
            bench_size(&b, &sizes[i]);
    }
    cpu_backend_release(&b);
    return 0;
}
