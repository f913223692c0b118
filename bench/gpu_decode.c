/*
 * Decoding through rollout/, as training does it: log-probs and routes are recorded,
 * every step's tokens come to the host. The time of a step is the distance of two ticks
 * (both after the tokens arrived), its median over the steps in which all sequences
 * run.
 *
 * The floor of a step: the bytes of gpu_model_decode_bytes at the bandwidth of the
 * copy. Groups of G share their prompt's pages; the floor counts every context whole.
 */
#include <string.h>

#include "bench/bench.h"
#include "bench/gpu_model.h"
#include "core/mem.h"
#include "rollout/rollout.h"

enum { CONTEXT = 768, MAX_TICKS = 4096, WARM_UP = 3 };

struct decode_case {
    int64_t n_experts, n_seqs, n_samples; /* B, G */
};

struct ticks {
    double at[MAX_TICKS];
    int64_t n_tokens[MAX_TICKS], n;
};

static void on_tick(void *user, int64_t n_finished, int64_t n_tokens)
{
    struct ticks *const t = user;
    (void)n_finished;
    if (t->n == MAX_TICKS)
        return;
    t->at[t->n] = bench_now();
    t->n_tokens[t->n++] = n_tokens;
}

static double step_seconds(const struct ticks *t, int64_t n_seqs)
{
    double s[MAX_TICKS];
    int64_t n = 0;
    for (int64_t i = WARM_UP; i < t->n; i++)
        if (t->n_tokens[i] - t->n_tokens[i - 1] == n_seqs)
            s[n++] = t->at[i] - t->at[i - 1];
    return gpu_median(s, n);
}

static int generate(struct rollout *r, const struct model *m,
                    const struct decode_case *c, const struct rollout_limits *max,
                    struct ticks *ticks)
{
    const int64_t n_groups = c->n_seqs / c->n_samples, n_prompt = max->max_prompt;
    const struct rollout_args args = {.temperature = 1.0f,
                                      .top_p = 1.0f,
                                      .max_new = max->max_new,
                                      .is_eos_ignored = true};
    struct groups g;
    TRY(groups_init(&g, n_groups, c->n_samples, n_prompt, max->max_new,
                    m->hp.n_layers * m->hp.top_k));
    int64_t *const slots = mem_alloc((size_t)n_groups * sizeof(*slots));
    int32_t *const ids = mem_alloc((size_t)n_prompt * sizeof(*ids));
    for (int64_t p = 0; p < n_groups; p++) {
        for (int64_t i = 0; i < n_prompt; i++)
            ids[i] = gpu_token(p * n_prompt + i, m->hp.n_vocab);
        groups_set_prompt(&g, p, p, ids, n_prompt);
        slots[p] = p;
    }
    *ticks = (struct ticks){0};
    ticks->at[0] = bench_now();
    ticks->n = 1;
    const int status = rollout_run(r, &g, slots, n_groups, &args, on_tick, ticks, NULL);
    mem_free(ids);
    mem_free(slots);
    groups_release(&g);
    return status;
}

static void report(struct gpu_bench *g, const struct model *m,
                   const struct decode_case *c, const struct ticks *t, int64_t n_prompt)
{
    const double s = step_seconds(t, c->n_seqs), n = (double)c->n_seqs;
    const double bytes = gpu_model_decode_bytes(&m->hp, n, CONTEXT);
    char name[96];
    snprintf(name, sizeof(name), "decode d1024-E%lld-k2 B=%lld G=%lld",
             (long long)c->n_experts, (long long)c->n_seqs, (long long)c->n_samples);
    struct gpu_result r = {.name = name,
                           .value = n / s,
                           .unit = "tokens/s",
                           .share = bytes / g->copy_bytes / s,
                           .of = "HBM floor"};
    snprintf(r.detail, sizeof(r.detail),
             "%.3f ms a step, floor %.3f ms at the copy's rate (%.3f of the read-only "
             "one); prefill %.0f tokens/s",
             1e3 * s, 1e3 * bytes / g->copy_bytes, bytes / g->read_bytes / s,
             n / (double)c->n_samples * (double)n_prompt / (t->at[1] - t->at[0]));
    gpu_report(g, &r);
}

/* c->n_seqs is lowered until the pages fit. */
static int run_case(struct gpu_bench *g, struct decode_case *c, const struct model *m)
{
    enum { PREFILL_ROWS = 8192 };
    const int64_t n_new = g->is_quick ? 24 : 64, spare = (int64_t)2 << 30;
    struct rollout_limits max = {
        .max_prompt = CONTEXT - n_new / 2, .max_new = n_new, .n_prefill = PREFILL_ROWS};
    struct ticks *const ticks = mem_alloc(sizeof(*ticks));
    struct rollout *r = NULL;
    for (max.n_slots = c->n_seqs; c->n_seqs > c->n_samples; max.n_slots = c->n_seqs) {
        if ((int64_t)rollout_bytes(m, &max) + spare < gpu_free_bytes(m->b))
            break;
        c->n_seqs = (c->n_seqs * 7 / 8) / c->n_samples * c->n_samples;
    }
    int status = rollout_create(&r, m, NULL, &max);
    if (status == STATUS_OK)
        status = generate(r, m, c, &max, ticks);
    if (status == STATUS_OK)
        report(g, m, c, ticks, max.max_prompt);
    rollout_free(r);
    mem_free(ticks);
    return status;
}

int gpu_part_decode(struct gpu_bench *g)
{
    static const struct decode_case cases[] = {
        {16, 1, 1}, {16, 64, 1}, {16, 512, 1}, {16, 512, 8}, {16, 64, 8},
        {64, 1, 1}, {64, 64, 1}, {64, 512, 1}, {64, 512, 8}, {64, 64, 8},
    };
    struct gpu_model model = {0};
    int64_t n_experts = 0;
    int status = STATUS_OK;
    for (int64_t i = 0; i < ARRAY_LEN(cases) && status == STATUS_OK; i++) {
        struct decode_case c = cases[i];
        if (!gpu_bench_has_time(g)) {
            gpu_skip(g, "decode, the other cases", "out of time");
            break;
        }
        if (c.n_experts != n_experts) {
            const struct hparams hp = gpu_paper_shape(c.n_experts, 16, g->n_vocab);
            gpu_model_release(&model);
            status = gpu_model_init(&model, gpu_bench_fast(g), &hp, DTYPE_BF16, 1024,
                                    NULL);
            n_experts = c.n_experts;
        }
        if (status == STATUS_OK)
            status = run_case(g, &c, &model.m);
    }
    gpu_model_release(&model);
    return status;
}
