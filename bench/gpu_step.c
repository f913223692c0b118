/*
 * A GRPO step end to end in this process: rollout, rewards, learner update (objective,
 * gradient tree, AdamW), as `grpo train` runs it, on random models; rewards are made up
 * so that every group has a gradient. The update is the on-policy one: it fails unless
 * the learner's log-probabilities and routes equal the rollout's, bit for bit.
 */
#include "bench/bench.h"
#include "bench/gpu_model.h"
#include "core/mem.h"
#include "cuda/cuda.h"
#include "dist/comm.h"
#include "grpo/learner.h"
#include "rollout/rollout.h"

enum { MAX_STEPS = 5, N_WORDS = 10 };

struct step_case {
    const char *name;
    bool is_paper, is_tensor;
    enum dtype dtype;
    int64_t n_prompts, n_samples, n_prompt, n_new;
};

struct step {
    struct gpu_model model;
    struct config config;
    bool has_config;
    struct comm *comm;
    struct learner *learner;
    struct rollout *rollout;
    struct groups g;
};

struct step_times {
    double total[MAX_STEPS], rollout[MAX_STEPS], learn[MAX_STEPS];
    int64_t n;
    struct learner_report last;
};

/* of configs/demo-pretrain.ini */
static struct hparams demo_shape(void)
{
    struct hparams hp = gpu_paper_shape(8, 4, 512);
    hp.d_model = 128;
    hp.d_ff = 256;
    hp.n_heads = hp.n_kv_heads = 4;
    hp.head_dim = 32;
    hp.rope.rot = 32;
    return hp;
}

static int configure(struct step *s, const struct step_case *c)
{
    char words[N_WORDS][48], *overrides[N_WORDS];
    int n = 0;
    const struct {
        const char *key;
        int64_t value;
    } set[] = {{"rollout.group_size", c->n_samples},
               {"rollout.max_new", c->n_new},
               {"rollout.slots", c->n_prompts * c->n_samples},
               {"grpo.prompts", c->n_prompts},
               {"grpo.leaves", c->is_paper ? 1 : 8},
               {"data.max_prompt", c->n_prompt},
               {"learner.micro_tokens", c->is_paper ? 16384 : 8192},
               {"learner.head_rows", 2048}};
    for (; n < ARRAY_LEN(set); n++) {
        snprintf(words[n], sizeof(words[n]), "%s=%lld", set[n].key,
                 (long long)set[n].value);
        overrides[n] = words[n];
    }
    TRY(config_parse(&s->config, n, overrides));
    s->has_config = true;
    return STATUS_OK;
}

static int step_init(struct step *s, struct gpu_bench *g, const struct step_case *c)
{
    struct backend *const b = c->is_tensor ? &g->tensor : &g->exact;
    const struct hparams hp = c->is_paper ? gpu_paper_shape(16, 16, g->n_vocab)
                                          : demo_shape();
    int argc = 0;
    TRY(configure(s, c));
    TRY(gpu_model_init(&s->model, b, &hp, c->dtype, c->n_prompt + c->n_new, NULL));
    TRY(comm_world_create(&s->comm, &argc, NULL));
    const struct learner_setup ls = {
        .m = &s->model.m, .comm = s->comm, .config = &s->config, .data = s->model.data};
    const struct rollout_limits max = {.n_slots = c->n_prompts * c->n_samples,
                                       .max_prompt = c->n_prompt,
                                       .max_new = c->n_new,
                                       .n_prefill = 8192};
    TRY(learner_create(&s->learner, &ls));
    TRY(rollout_create(&s->rollout, &s->model.m, NULL, &max));
    return groups_init(&s->g, c->n_prompts, c->n_samples, c->n_prompt, c->n_new,
                       hp.n_layers * hp.top_k);
}

static void step_release(struct step *s)
{
    learner_free(s->learner);
    rollout_free(s->rollout);
    groups_release(&s->g);
    comm_free(s->comm);
    gpu_model_release(&s->model);
    if (s->has_config)
        config_release(&s->config);
}

static int run_step(struct step *s, const struct step_case *c, int step,
                    struct step_times *t)
{
    int64_t slots[1024];
    int32_t ids[1024];
    const struct rollout_args args = {.temperature = 1.0f,
                                      .top_p = 1.0f,
                                      .step = step,
                                      .max_new = c->n_new,
                                      .is_eos_ignored = true};
    const struct minibatch mb = {
        .g = &s->g, .n = c->n_prompts, .lr = 1e-6, .is_on_policy = true};
    const int64_t n_vocab = s->model.m.hp.n_vocab;
    for (int64_t p = 0; p < c->n_prompts; p++) {
        for (int64_t i = 0; i < c->n_prompt; i++)
            ids[i] = gpu_token(p * c->n_prompt + i + step, n_vocab);
        groups_set_prompt(&s->g, p, p, ids, c->n_prompt);
        slots[p] = p;
    }
    const double start = bench_now();
    TRY(rollout_run(s->rollout, &s->g, slots, c->n_prompts, &args, NULL, NULL, NULL));
    const double generated = bench_now();
    for (int64_t i = 0; i < c->n_prompts * c->n_samples; i++)
        s->g.info[i].reward = (float)(i % 3 == 0);
    TRY(learner_update(s->learner, &mb, &t->last));
    cuda_backend_sync(s->model.m.b);
    const double end = bench_now();
    if (step > 0) { /* after the warm-up */
        t->total[t->n] = end - start;
        t->rollout[t->n] = generated - start;
        t->learn[t->n++] = end - generated;
    }
    return STATUS_OK;
}

static void report(struct gpu_bench *g, const struct step_case *c, struct step_times *t)
{
    const double total = gpu_median(t->total, t->n);
    const double rollout = gpu_median(t->rollout, t->n);
    const double learn = gpu_median(t->learn, t->n);
    const double n_new = (double)(c->n_prompts * c->n_samples * c->n_new);
    struct gpu_result r = {.name = c->name, .value = total, .unit = "s"};
    snprintf(r.detail, sizeof(r.detail),
             "%lld prompts of %lld x %lld of %lld new: rollout %.3f s (%.0f new "
             "tokens/s), learner %.3f s (%.0f); |logp difference| %g, %lld routes "
             "differ",
             (long long)c->n_prompts, (long long)c->n_prompt, (long long)c->n_samples,
             (long long)c->n_new, rollout, n_new / rollout, learn, n_new / learn,
             t->last.sums.logp_diff_max, (long long)t->last.n_route_diffs);
    gpu_report(g, &r);
}

static int run_case(struct gpu_bench *g, const struct step_case *c)
{
    struct step s = {0};
    struct step_times t = {0};
    const int n_steps = g->is_quick ? 3 : MAX_STEPS;
    int status = step_init(&s, g, c);
    for (int i = 0; i < n_steps && status == STATUS_OK; i++)
        if (i < 2 || gpu_bench_has_time(g))
            status = run_step(&s, c, i, &t);
    if (status == STATUS_OK)
        report(g, c, &t);
    else
        gpu_skip(g, c->name, status_message());
    step_release(&s);
    return STATUS_OK;
}

int gpu_part_step(struct gpu_bench *g)
{
    static const struct step_case cases[] = {
        {"GRPO step, demo, F32 exact", false, false, DTYPE_F32, 32, 8, 96, 64},
        {"GRPO step, demo, BF16 tensor", false, true, DTYPE_BF16, 32, 8, 96, 64},
        {"GRPO step, d1024-E16-k2 tensor", true, true, DTYPE_BF16, 16, 8, 256, 128},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].is_tensor && !g->has_tensor)
            gpu_skip(g, cases[i].name, "no tensor-core products in this build");
        else if (!gpu_bench_has_time(g))
            gpu_skip(g, cases[i].name, "out of time");
        else
            TRY(run_case(g, &cases[i]));
    }
    return STATUS_OK;
}
