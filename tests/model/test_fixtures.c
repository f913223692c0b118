/*
 * The Mixtral checkpoints of the shared fixtures: forward values, losses, gradients and
 * two optimiser steps against transformers in float64, each within the limit stored
 * beside it. Prints the largest error / limit of every quantity.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/optim.h"
#include "tests/model/fixture.h"
#include "tests/model/small_model.h"

enum { MAX_QUANTITIES = 40, MAX_GREEDY = 64 };
static const double lr = 1e-3;

struct quantity {
    char name[32];
    double worst; /* largest error / limit */
    int64_t n;    /* values compared */
};

struct check {
    struct fixture f;
    struct backend b;
    struct weights w;
    struct model m;
    struct small_run r;
    float *grad_ce, *grad_pg; /* copies of the arena */
    double scale[2];          /* clipping, by step */
    int64_t n_skipped;        /* entries that the README says do not count */
    struct quantity q[MAX_QUANTITIES];
    int n_q;
};

static void judge(struct check *c, const char *quantity, double error, double limit)
{
    int i = 0;
    while (i < c->n_q && strcmp(c->q[i].name, quantity) != 0)
        i++;
    if (i == c->n_q) {
        assert_true(c->n_q < MAX_QUANTITIES);
        c->n_q++;
        c->q[i] = (struct quantity){.worst = 0.0};
        snprintf(c->q[i].name, sizeof(c->q[i].name), "%s", quantity);
    }
    const double size = fabs(error);
    const double share = size == 0.0 ? 0.0 : limit > 0.0 ? size / limit : HUGE_VAL;
    c->q[i].n++;
    /* a NaN must not pass */
    if (!(share <= c->q[i].worst))
        c->q[i].worst = share >= 0.0 ? share : HUGE_VAL;
}

static double tensor_limit(const struct check *c, const char *name)
{
    return fixture_number(&c->f, "tensors", name, "limit");
}

/* n values of a stored tensor */
static void judge_tensor(struct check *c, const char *quantity, const char *name,
                         const float *got, int64_t n)
{
    int64_t n_want = 0;
    float *const want = fixture_tensor(&c->f, name, &n_want);
    assert_non_null(want);
    assert_int_equal(n, n_want);
    const double limit = tensor_limit(c, name);
    for (int64_t i = 0; i < n; i++)
        judge(c, quantity, (double)got[i] - (double)want[i], limit);
    mem_free(want);
}

static void check_open(struct check *c, const char *name)
{
    memset(c, 0, sizeof(*c));
    if (!fixture_open(&c->f, name))
        skip();
    assert_int_equal(cpu_backend_init(&c->b, CPU_ISA_AUTO, 1), 0);
    if (weights_load(&c->w, c->f.model, -1) != 0)
        fail_msg("%s", status_message());
    /* transformers counts the padding rows */
    assert_int_equal(
        model_init(&c->m, &c->b, &c->w.hp, c->w.data, c->w.dtype, 128, c->w.hp.n_vocab),
        0);
    assert_int_equal(small_run_init(&c->r, &c->m, ACTS_KEEP, 20), 0);
    const size_t bytes = (size_t)c->m.table.n_elems * sizeof(float);
    c->grad_ce = mem_alloc(bytes);
    c->grad_pg = mem_alloc(bytes);
}

static void check_close(struct check *c)
{
    mem_free(c->grad_ce);
    mem_free(c->grad_pg);
    small_run_release(&c->r);
    model_release(&c->m);
    weights_release(&c->w);
    cpu_backend_release(&c->b);
    fixture_close(&c->f);
}

/* All sequences as one batch, forwarded; logp and entropy of the predicted tokens */
static void forward(struct check *c)
{
    batch_reset(&c->r.t);
    c->r.n = 0;
    for (int64_t s = 0; s < c->f.n_seqs; s++)
        small_add(&c->r, c->f.ids + c->f.offsets[s],
                  c->f.offsets[s + 1] - c->f.offsets[s]);
    assert_int_equal(c->r.n, c->f.n_predicted);
    small_forward(&c->r);
}

static void check_logits(struct check *c)
{
    const int64_t n_vocab = c->m.hp.n_vocab;
    const json_t *const t = json_object_get(json_object_get(c->f.expected, "tensors"),
                                            "logits");
    const int64_t n_real = json_integer_value(
        json_array_get(json_object_get(t, "shape"), 1));
    const double limit = tensor_limit(c, "logits");
    const double of_padding = n_real < n_vocab ? tensor_limit(c, "logits.padding")
                                               : 0.0;
    float *const want = fixture_tensor(&c->f, "logits", NULL);
    float *const entropy = fixture_tensor(&c->f, "entropy", NULL);
    for (int32_t row = 0; row < c->f.n_tokens; row++) {
        model_logits(&c->m, &c->r.a, c->r.a.x_last, &row, 1);
        for (int64_t v = 0; v < n_vocab; v++) {
            const double error = (double)c->r.a.logits[v] -
                                 (double)want[row * n_vocab + v];
            judge(c, v < n_real ? "logits" : "padding", error,
                  v < n_real ? limit : of_padding);
        }
        const int32_t any = 0;
        float logp, h;
        model_logprobs(&c->m, &c->r.a, c->r.a.x_last, &row, &any, 1, 1.0f, &logp, &h);
        judge(c, "entropy", (double)h - (double)entropy[row],
              tensor_limit(c, "entropy"));
    }
    mem_free(want);
    mem_free(entropy);
}

static void check_layer(struct check *c, int64_t l)
{
    const struct hparams *const hp = &c->m.hp;
    const struct layer_acts *const la = &c->r.a.layers[l];
    const int64_t n = c->f.n_tokens, d = hp->d_model;
    char name[64];
    const float *const after = l + 1 < hp->n_layers ? c->r.a.layers[l + 1].x
                                                    : c->r.a.x_last;
    snprintf(name, sizeof(name), "hidden.%d", (int)l);
    judge_tensor(c, "hidden", name, after, n * d);
    /* the engine adds attention's output to the residual at once: the product again */
    float *const mixer = mem_alloc((size_t)(n * d) * sizeof(float));
    const struct weight w_o = model_weight(&c->m, PARAM_O, l);
    c->b.gemm_fwd(&c->b, mixer, rows_f32(la->att), &w_o, NULL, n);
    snprintf(name, sizeof(name), "mixer.%d", (int)l);
    judge_tensor(c, "mixer", name, mixer, n * d);
    mem_free(mixer);
    snprintf(name, sizeof(name), "router.%d.logits", (int)l);
    judge_tensor(c, "router logits", name, la->router_logits, n * hp->n_experts);
    snprintf(name, sizeof(name), "router.%d.weights", (int)l);
    judge_tensor(c, "router weights", name, la->weights, n * hp->top_k);
    snprintf(name, sizeof(name), "router.%d.experts", (int)l);
    int64_t n_want = 0;
    int32_t *const experts = fixture_tensor(&c->f, name, &n_want);
    assert_int_equal(n_want, n * hp->top_k);
    assert_memory_equal(experts, la->experts, (size_t)n_want * sizeof(*experts));
    mem_free(experts);
}

static void judge_scalar(struct check *c, const char *name, double got)
{
    judge(c, name, got - fixture_number(&c->f, "scalars", name, "value"),
          fixture_number(&c->f, "scalars", name, "limit"));
}

/* Losses; fills aux_f with the coefficients of the balancing loss's gradient. */
static void check_losses(struct check *c, float *aux_f)
{
    const struct hparams *const hp = &c->m.hp;
    double ce = 0.0, pg = 0.0, prob[256], count[256], z = 0.0, aux = 0.0;
    for (int64_t i = 0; i < c->r.n; i++) {
        ce -= (double)c->r.logp[i] / (double)c->r.n;
        pg -= (double)c->f.coef[i] * (double)c->r.logp[i];
    }
    judge_scalar(c, "ce", ce);
    judge_scalar(c, "pg", pg);
    assert_true(hp->n_experts <= ARRAY_LEN(prob));
    model_router_sums(&c->m, &c->r.a, &c->r.t, prob, count, &z);
    const double rows = (double)(hp->n_layers * c->f.n_tokens);
    for (int64_t e = 0; e < hp->n_experts; e++) {
        const double share = (double)hp->n_experts * count[e] / rows;
        aux += share * prob[e] / rows;
        aux_f[e] = (float)(share / rows);
    }
    judge_scalar(c, "aux", aux);
}

/* Gradient of sum over predicted tokens of dlogp logp, or of the balancing loss alone
 */
static void backward(struct check *c, bool is_pg, const float *aux_f)
{
    struct small_run *const r = &c->r;
    forward(c);
    for (int64_t i = 0; i < r->n; i++)
        r->dlogp[i] = aux_f != NULL ? 0.0f
                      : is_pg       ? -c->f.coef[i]
                                    : (float)(-1.0 / (double)r->n);
    r->aux_f = aux_f;
    c->b.zero(&c->b, r->g.data, (size_t)c->m.table.n_elems * sizeof(float));
    if (r->g.tied != NULL)
        c->b.zero(&c->b, r->g.tied,
                  (size_t)param_find(&c->m.table, PARAM_EMBED, -1)->n_elems *
                      sizeof(float));
    small_backward(r);
    model_grads_finish(&c->m, &r->g);
}

static float *unpacked(const float *arena, const struct piece *p, int64_t *n)
{
    *n = p->n_rows * p->param->k;
    float *const x = mem_alloc((size_t)*n * sizeof(float));
    piece_unpack(x, arena, DTYPE_F32, p);
    return x;
}

static void check_aux_grads(struct check *c)
{
    for (int64_t i = 0; i < pieces_count(&c->m.table, &c->m.hp); i++) {
        struct piece p;
        char name[200];
        int64_t n = 0;
        piece_get(&p, &c->m.table, &c->m.hp, i);
        snprintf(name, sizeof(name), "grad.aux.%s", p.name);
        if (p.param->role != PARAM_ROUTER)
            continue;
        float *const x = unpacked(c->r.g.data, &p, &n);
        judge_tensor(c, "grad.aux", name, x, n);
        mem_free(x);
    }
}

/* Which entries of a piece count after `step` optimiser steps (0: a gradient, all do):
 * those whose clipped gradients are 0 or at least 1e-6. */
static bool *counted(struct check *c, const struct piece *p, int step)
{
    int64_t n = 0;
    float *const g[2] = {unpacked(c->grad_ce, p, &n), unpacked(c->grad_pg, p, &n)};
    bool *const is_counted = mem_alloc((size_t)n);
    for (int64_t j = 0; j < n; j++) {
        is_counted[j] = true;
        for (int s = 0; s < step; s++) {
            const double clipped = fabs((double)g[s][j]) * c->scale[s];
            is_counted[j] = is_counted[j] && (clipped == 0.0 || clipped >= 1e-6);
        }
        c->n_skipped += !is_counted[j];
    }
    mem_free(g[0]);
    mem_free(g[1]);
    return is_counted;
}

/* Columns of stat.Q, see the README */
enum { SUM, SUM_ABS, NORM, LARGEST, LIMIT_SUM, LIMIT_ABS, LIMIT_NORM, LIMIT, N_STATS };

static void check_stats(struct check *c, const char *quantity, const float *x,
                        int64_t n, const float *stat, double slack)
{
    double sum = 0.0, sum_abs = 0.0, sq = 0.0;
    for (int64_t j = 0; j < n; j++) {
        sum += (double)x[j];
        sum_abs += fabs((double)x[j]);
        sq += (double)x[j] * (double)x[j];
    }
    judge(c, quantity, sum - (double)stat[SUM], (double)stat[LIMIT_SUM] + slack);
    judge(c, quantity, sum_abs - (double)stat[SUM_ABS],
          (double)stat[LIMIT_ABS] + slack);
    judge(c, quantity, sqrt(sq) - (double)stat[NORM], (double)stat[LIMIT_NORM] + slack);
}

/* One parameter of Q: sampled entries, all entries where stored, sums */
static void check_piece(struct check *c, const char *quantity, const float *arena,
                        const struct piece *p, int step)
{
    char name[200], label[64];
    int64_t n = 0, n_skipped = 0, n_want = 0;
    float *const x = unpacked(arena, p, &n);
    bool *const is_counted = counted(c, p, step);
    const int64_t row = (int64_t)fixture_number(&c->f, "parameters", p->name, "row");
    snprintf(name, sizeof(name), "stat.%s", quantity);
    float *const stats = fixture_tensor(&c->f, name, NULL);
    const float *const stat = stats + row * (N_STATS + 1);
    snprintf(name, sizeof(name), "sample.%s", quantity);
    float *const sample = fixture_tensor(&c->f, name, NULL);
    snprintf(name, sizeof(name), "%s.%s", quantity, p->name);
    float *const all = fixture_tensor(&c->f, name, &n_want);
    const double limit = (double)stat[LIMIT];
    /* k = 1: the router's gradient is nothing but the reference's own rounding (here it
     * is 0), so that no entry counts after AdamW; the file then gives limit 0 */
    if (step > 0 && limit == 0.0)
        memset(is_counted, 0, (size_t)n);
    snprintf(label, sizeof(label), "sample.%s", quantity);
    for (int64_t j = 0; j < 16; j++) {
        const int64_t at = j * (n - 1) / 15;
        if (is_counted[at])
            judge(c, label, (double)x[at] - (double)sample[row * 16 + j], limit);
    }
    assert_true(all == NULL || n_want == n);
    for (int64_t j = 0; j < n; j++) {
        n_skipped += !is_counted[j];
        if (all != NULL && is_counted[j])
            judge(c, quantity, (double)x[j] - (double)all[j], limit);
    }
    snprintf(label, sizeof(label), "stat.%s", quantity);
    check_stats(c, label, x, n, stat, 2.0 * lr * step * (double)n_skipped);
    mem_free(x);
    mem_free(is_counted);
    mem_free(stats);
    mem_free(sample);
    mem_free(all);
}

static void check_quantity(struct check *c, const char *quantity, const float *arena,
                           int step)
{
    const int64_t n = pieces_count(&c->m.table, &c->m.hp);
    assert_int_equal(n, json_object_size(json_object_get(c->f.expected, "parameters")));
    for (int64_t i = 0; i < n; i++) {
        struct piece p;
        piece_get(&p, &c->m.table, &c->m.hp, i);
        check_piece(c, quantity, arena, &p, step);
    }
}

static void check_optimiser(struct check *c)
{
    static const struct optim_args args = {.lr = 1e-3,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .weight_decay = 0.1,
                                           .clip_l2 = 1.0};
    struct optim o;
    struct optim_report report;
    assert_int_equal(
        optim_init(&o, &c->b, &c->m.table, c->w.data, c->w.dtype, OPTIM_ON_DEVICE), 0);
    assert_int_equal(optim_step(&o, c->grad_ce, &args, &report), 0);
    judge_scalar(c, "ce_grad_norm", report.grad_l2);
    c->scale[0] = report.scale;
    check_quantity(c, "adamw1", o.master, 1);
    assert_int_equal(optim_step(&o, c->grad_pg, &args, &report), 0);
    judge_scalar(c, "pg_grad_norm", report.grad_l2);
    c->scale[1] = report.scale;
    check_quantity(c, "adamw2", o.master, 2);
    optim_release(&o);
}

/* The largest logit, step after step, each time from the whole sequence */
static void check_greedy(struct check *c)
{
    int32_t ids[MAX_GREEDY], tokens[MAX_GREEDY];
    double want[MAX_GREEDY];
    struct small_run *const r = &c->r;
    const int64_t n_prompt = fixture_greedy(&c->f, "prompt", ids, NULL);
    const int64_t n_new = fixture_greedy(&c->f, "tokens", tokens, NULL);
    fixture_greedy(&c->f, "logp", NULL, want);
    assert_true(n_new > 0 && n_prompt + n_new <= MAX_GREEDY);
    for (int64_t i = 0; i < n_new; i++) {
        int32_t best = 0;
        float logp;
        const int32_t last = (int32_t)(n_prompt + i - 1);
        batch_reset(&r->t);
        batch_add_prompt(&r->t, ids, n_prompt + i);
        batch_upload(&r->t);
        model_forward(&c->m, &r->a, &r->t);
        model_logits(&c->m, &r->a, r->a.x_last, &last, 1);
        for (int32_t v = 1; v < c->m.hp.n_vocab; v++)
            best = r->a.logits[v] > r->a.logits[best] ? v : best;
        assert_int_equal(best, tokens[i]);
        model_logprobs(&c->m, &r->a, r->a.x_last, &last, &best, 1, 1.0f, &logp, NULL);
        judge(c, "greedy", (double)logp - want[i],
              fixture_number(&c->f, "greedy", "limit", NULL));
        ids[n_prompt + i] = best;
    }
}

static void print_table(const struct check *c, const char *name)
{
    double worst = 0.0;
    print_message("%s: largest error / limit (values compared)\n", name);
    for (int i = 0; i < c->n_q; i++) {
        print_message("  %-16s %.3f (%lld)%s", c->q[i].name, c->q[i].worst,
                      (long long)c->q[i].n, i % 4 == 3 || i + 1 == c->n_q ? "\n" : "");
        worst = fmax(worst, c->q[i].worst);
    }
    print_message("  entries not counted after AdamW: %lld of %lld\n",
                  (long long)c->n_skipped, (long long)(2 * c->m.table.n_elems));
    assert_true(worst <= 1.0);
}

static void test_case(void **state)
{
    const char *const name = *state;
    struct check c;
    float aux_f[256];
    check_open(&c, name);
    const size_t bytes = (size_t)c.m.table.n_elems * sizeof(float);
    forward(&c);
    judge_tensor(&c, "logp", "logp", c.r.logp, c.r.n);
    check_logits(&c);
    for (int64_t l = 0; l < c.m.hp.n_layers; l++)
        check_layer(&c, l);
    check_losses(&c, aux_f);
    check_greedy(&c);
    backward(&c, false, aux_f);
    check_aux_grads(&c);
    backward(&c, false, NULL);
    memcpy(c.grad_ce, c.r.g.data, bytes);
    backward(&c, true, NULL);
    memcpy(c.grad_pg, c.r.g.data, bytes);
    check_quantity(&c, "grad.ce", c.grad_ce, 0);
    check_quantity(&c, "grad.pg", c.grad_pg, 0);
    check_optimiser(&c);
    print_table(&c, name);
    check_close(&c);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(fixture_cases)];
    for (int64_t i = 0; i < ARRAY_LEN(fixture_cases); i++) {
        union {
            const char *name;
            void *state;
        } of = {.name = fixture_cases[i]}; /* cmocka's state is not const */
        tests[i] = (struct CMUnitTest){.name = fixture_cases[i],
                                       .test_func = test_case,
                                       .initial_state = of.state};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
