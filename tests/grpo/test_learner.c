/*
 * The learner on groups that a rollout sampled: exact agreement on-policy, the gradient
 * against sequences computed one by one, and the same bits whatever the micro-batches,
 * recomputation, head chunks, threads and instruction set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/grpo/learner_setting.h"

static int64_t count_tokens(const struct groups *g, int64_t but)
{
    int64_t n = 0;
    for (int64_t i = 0; i < P * G; i++)
        n += i / G == but ? 0 : g->info[i].n_tokens;
    return n;
}

/* On-policy every ratio is exactly 1, on several shapes and dtypes; a second update on
 * the same samples is off-policy. */
static void test_exact(void **state)
{
    (void)state;
    for (int64_t shape = 1; shape <= 4; shape++) {
        struct setting x;
        struct learner_report r;
        start(&x, shape, shape % 2 == 0 ? DTYPE_F32 : DTYPE_BF16);
        start_learner(&x);
        assert_int_equal(update(&x, true, &r), 0);
        const double n = (double)count_tokens(&x.g, -1);
        assert_true(r.sums.logp_diff_max == 0.0 && r.sums.kl_old == 0.0);
        assert_true(r.sums.ratio == n && r.sums.n_tokens == n);
        assert_true(r.sums.clip_low == 0.0 && r.sums.clip_high == 0.0);
        assert_int_equal(r.n_route_diffs, 0);
        assert_int_equal(r.n_tokens, count_tokens(&x.g, -1));
        assert_int_equal(r.n_prompt_tokens, 70 + 3 + 20 + 64 + 80 + 1);
        assert_int_equal(r.n_flat_groups, 1);
        assert_int_equal(learner_optim(x.l)->n_updates, 1);
        assert_int_equal(update(&x, false, &r), 0);
        assert_true(r.sums.logp_diff_max > 0.0);
        /* claimed on-policy, the changed weights are noticed */
        assert_int_equal(update(&x, true, &r), ERR_NUMERIC);
        assert_int_equal(learner_optim(x.l)->n_updates, 2);
        stop(&x);
    }
}

/* What the divisions of temperature 0.7, 1.05 ... round to is the same on both sides.
 */
static void test_temperatures(void **state)
{
    (void)state;
    static const double temperature[] = {0.03, 0.55, 0.7, 0.96, 1.05, 3.3};
    struct setting x;
    struct learner_report r;
    start(&x, 3, DTYPE_F32);
    for (int64_t i = 0; i < ARRAY_LEN(temperature); i++) {
        x.c.rollout.temperature = temperature[i];
        sample_groups(&x);
        start_learner(&x);
        assert_int_equal(update(&x, true, &r), 0);
        learner_free(x.l);
        x.l = NULL;
    }
    stop(&x);
}

/* One changed bit of a recorded log-prob, one changed expert */
static void test_tampered(void **state)
{
    (void)state;
    struct setting x;
    struct learner_report r = {.n_tokens = -5};
    start(&x, 1, DTYPE_F32);
    start_learner(&x);
    const size_t bytes = (size_t)x.s.w.table.n_elems * sizeof(float);
    float *const before = mem_alloc(bytes);
    memcpy(before, x.s.w.data, bytes);
    float *const logp = groups_logp(&x.g, 3, 1) + groups_info(&x.g, 3, 1)->n_tokens - 1;
    const float honest = *logp;
    *logp = nextafterf(honest, 0.0f);
    assert_int_equal(update(&x, true, &r), ERR_NUMERIC);
    *logp = honest;
    uint16_t *const route = groups_routes(&x.g, 0, 3) + 4;
    *route = (uint16_t)((*route + 1) % x.s.m.hp.n_experts);
    assert_int_equal(update(&x, true, &r), ERR_NUMERIC);
    assert_non_null(strstr(status_message(), "1 routes differ"));
    assert_memory_equal(before, x.s.w.data, bytes);
    assert_int_equal(r.n_tokens, -5);
    assert_int_equal(update(&x, false, &r), 0);
    assert_int_equal(r.n_route_diffs, 1);
    mem_free(before);
    stop(&x);
}

struct variant {
    int64_t micro_tokens, head_rows;
    int recompute;
    enum cpu_isa isa;
    int threads;
};

/* Two updates; the weights, and the report of the second */
static void run_variant(struct setting *x, const struct variant *v,
                        struct learner_report *r)
{
    start(x, 3, DTYPE_BF16);
    x->c.learner.micro_tokens = v->micro_tokens;
    x->c.learner.head_rows = v->head_rows;
    x->c.learner.recompute = v->recompute;
    x->c.grpo.kl_coef = 0.1;
    cpu_backend_release(&x->s.b);
    assert_int_equal(cpu_backend_init(&x->s.b, v->isa, v->threads), 0);
    start_ref(x);
    start_learner(x);
    assert_int_equal(update(x, true, r), 0);
    assert_true(r->sums.kl_ref == 0.0); /* the reference is the policy still */
    assert_int_equal(update(x, false, r), 0);
    assert_true(r->sums.kl_ref > 0.0);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const struct variant variants[] = {
        {150, 16, RECOMPUTE_NONE, CPU_ISA_AUTO, 1},
        {1, 16, RECOMPUTE_NONE, CPU_ISA_AUTO, 1},
        {100000, 16, RECOMPUTE_NONE, CPU_ISA_AUTO, 1},
        {150, 16, RECOMPUTE_LAYER, CPU_ISA_AUTO, 1},
        {400, 1000, RECOMPUTE_LAYER, CPU_ISA_AUTO, 1},
        {150, 1, RECOMPUTE_NONE, CPU_ISA_AUTO, 1},
        {1, 7, RECOMPUTE_AUTO, CPU_ISA_AUTO, 2},
        {300, 50, RECOMPUTE_NONE, CPU_ISA_PORTABLE, 1},
        {300, 50, RECOMPUTE_LAYER, CPU_ISA_PORTABLE, 3},
    };
    struct setting first, x;
    struct learner_report want, got;
    run_variant(&first, &variants[0], &want);
    const int64_t n = first.s.w.table.n_elems;
    const struct optim *const a = learner_optim(first.l);
    for (int64_t i = 1; i < ARRAY_LEN(variants); i++) {
        run_variant(&x, &variants[i], &got);
        const struct optim *const b = learner_optim(x.l);
        assert_memory_equal(first.s.w.data, x.s.w.data, (size_t)n * sizeof(uint16_t));
        assert_memory_equal(a->master, b->master, (size_t)n * sizeof(float));
        assert_memory_equal(a->m, b->m, (size_t)n * sizeof(float));
        assert_memory_equal(a->v, b->v, (size_t)n * sizeof(float));
        assert_memory_equal(&want, &got, sizeof(want));
        stop(&x);
    }
    stop(&first);
}

/* Sample (p, s) as a sequence of its own: d loss = weight (-A dlogp - entropy_coef dH)
 */
static void add_sample(struct small_run *r, const struct setting *x, int64_t p,
                       int64_t s, double adv, double weight)
{
    int32_t ids[MAX_PROMPT + MAX_NEW];
    const int64_t n = groups_info(&x->g, p, s)->n_tokens, n_prompt = x->g.n_prompt[p];
    memcpy(ids, x->g.prompt + p * MAX_PROMPT, (size_t)n_prompt * sizeof(*ids));
    memcpy(ids + n_prompt, groups_tokens(&x->g, p, s), (size_t)n * sizeof(*ids));
    small_next(r);
    small_add(r, ids, n_prompt + n);
    small_forward(r);
    for (int64_t i = 0; i < r->n; i++) {
        const bool is_new = i >= n_prompt - 1;
        r->dlogp[i] = is_new ? (float)(-adv * weight) : 0.0f;
        r->dent[i] = is_new ? (float)(-x->c.grpo.entropy_coef * weight) : 0.0f;
    }
    small_backward(r);
}

static void check_gradient(struct setting *x, const struct small_run *r)
{
    const struct optim *const o = learner_optim(x->l);
    const int64_t chain = 2 * small_chain(&x->s.m.hp, MAX_PROMPT + MAX_NEW) +
                          P * (MAX_PROMPT + G * MAX_NEW);
    for (int64_t i = 0; i < x->s.w.table.n; i++) {
        const struct param *const p = &x->s.w.table.items[i];
        double size = 0.0, error = 0.0;
        for (int64_t e = p->off; e < p->off + p->n_elems; e++) {
            size = fmax(size, fabs((double)r->g.data[e]));
            error = fmax(error, fabs((double)o->m[e] - (double)r->g.data[e]));
        }
        if (!(error <= (double)chain * tol_unit * size))
            fail_msg("role %d of layer %d: gradients of %g differ by %g", (int)p->role,
                     (int)p->layer, size, error);
    }
}

/* The reported norm is that of the difference of the master weights. */
static void test_update_norm(void **state)
{
    (void)state;
    struct setting x;
    struct learner_report r;
    for (int leaves = 1; leaves <= 4; leaves += 3) {
        start(&x, 3, DTYPE_BF16);
        x.c.grpo.leaves = leaves;
        start_learner(&x);
        const int64_t n = x.s.w.table.n_elems;
        float *const before = mem_alloc((size_t)n * sizeof(*before));
        memcpy(before, learner_optim(x.l)->master, (size_t)n * sizeof(*before));
        assert_int_equal(update(&x, true, &r), 0);
        double sum_sq = 0.0;
        for (int64_t i = 0; i < n; i++) {
            const double d = (double)(learner_optim(x.l)->master[i] - before[i]);
            sum_sq += d * d;
        }
        assert_true(r.update_norm > 0.0);
        assert_true(fabs(r.update_norm - sqrt(sum_sq)) <= 1e-12 * r.update_norm);
        mem_free(before);
        stop(&x);
    }
}

/* With beta1 = 0 and no clipping the first moment is the gradient. Advantages and
 * weights by hand; aggregation and the fate of the flat group as options say. */
static void gradient_case(int aggregation, int zero_variance)
{
    struct setting x;
    struct small_run r;
    struct learner_report report;
    start(&x, 1, DTYPE_F32);
    x.c.grpo.aggregation = aggregation;
    x.c.grpo.zero_variance = zero_variance;
    x.c.optim.beta1 = x.c.optim.clip_l2 = 0.0;
    assert_int_equal(small_run_init(&r, &x.s.m, ACTS_KEEP, 64), 0);
    r.inv_temp = 1.0f / 0.85f;
    r.has_dent = true;
    const int64_t but = zero_variance == 0 ? -1 : FLAT;
    const double n_all = (double)count_tokens(&x.g, but),
                 n_seqs = but < 0 ? P * G : (P - 1) * G;
    double loss = 0.0;
    for (int64_t p = 0; p < P; p++) {
        double mean = 0.0, sq = 0.0;
        for (int64_t s = 0; s < G; s++)
            mean += (double)groups_info(&x.g, p, s)->reward / G;
        for (int64_t s = 0; s < G; s++)
            sq += pow((double)groups_info(&x.g, p, s)->reward - mean, 2.0) / (G - 1);
        for (int64_t s = 0; s < G && p != but; s++) {
            const struct sample_info *const info = groups_info(&x.g, p, s);
            const double adv = ((double)info->reward - mean) / (sqrt(sq) + 1e-6);
            const double weight = aggregation == 0 ? 1.0 / n_all
                                                   : 1.0 / (n_seqs * info->n_tokens);
            add_sample(&r, &x, p, s, adv, weight);
            loss -= adv * weight * info->n_tokens;
            for (int64_t t = 0; t < info->n_tokens; t++)
                loss -= 0.01 * weight * (double)r.entropy[x.g.n_prompt[p] - 1 + t];
        }
    }
    model_grads_finish(&x.s.m, &r.g);
    start_learner(&x);
    assert_int_equal(update(&x, true, &report), 0);
    check_gradient(&x, &r);
    assert_true(fabs(report.sums.loss - loss) <= 1e-12);
    assert_int_equal(report.n_tokens, (int64_t)n_all);
    assert_int_equal(report.n_flat_groups, 1);
    small_run_release(&r);
    stop(&x);
}

static void test_gradient(void **state)
{
    (void)state;
    for (int aggregation = 0; aggregation < 2; aggregation++)
        for (int zero_variance = 0; zero_variance < 2; zero_variance++)
            gradient_case(aggregation, zero_variance);
}

/* Nothing left to learn from: no loss, a gradient of 0 */
static void test_all_dropped(void **state)
{
    (void)state;
    struct setting x;
    struct learner_report r;
    start(&x, 1, DTYPE_F32);
    x.c.grpo.zero_variance = 1;
    for (int64_t i = 0; i < P * G; i++)
        x.g.info[i].reward = 0.5f;
    start_learner(&x);
    assert_int_equal(update(&x, true, &r), 0);
    assert_int_equal(r.n_flat_groups, P);
    assert_int_equal(r.n_tokens, 0);
    assert_int_equal(r.n_prompt_tokens, 0);
    assert_true(r.sums.loss == 0.0 && r.optim.grad_l2 == 0.0);
    stop(&x);
}

/* Half of the prompts after the other: first and n select them. */
static void test_mini_batches(void **state)
{
    (void)state;
    struct setting x;
    struct learner_report r;
    start(&x, 2, DTYPE_BF16);
    x.c.grpo.mini_batch = P / 2;
    start_learner(&x);
    int64_t n_tokens = 0;
    assert_int_equal(learner_begin(x.l, &x.g), 0);
    for (int64_t first = 0; first < P; first += P / 2) {
        const struct minibatch mb = {.g = &x.g,
                                     .first = first,
                                     .n = P / 2,
                                     .lr = 1e-3,
                                     .is_on_policy = first == 0};
        assert_int_equal(learner_update(x.l, &mb, &r), 0);
        n_tokens += r.n_tokens;
    }
    assert_int_equal(n_tokens, count_tokens(&x.g, -1));
    assert_int_equal(learner_optim(x.l)->n_updates, 2);
    assert_true(r.sums.logp_diff_max > 0.0);
    stop(&x);
}

static void test_allocates_nothing(void **state)
{
    (void)state;
    struct setting x;
    struct learner_report r;
    start(&x, 3, DTYPE_BF16);
    start_learner(&x);
    assert_int_equal(update(&x, true, &r), 0);
    const int64_t before = mem_count();
    assert_int_equal(update(&x, false, &r), 0);
    assert_int_equal(update(&x, false, &r), 0);
    assert_int_equal(mem_count(), before);
    stop(&x);
}

/* Ascending leaves of sizes that differ by at most one */
static void test_leaves(void **state)
{
    (void)state;
    for (int64_t leaves = 1; leaves <= 9; leaves++)
        for (int64_t n = 1; n <= 40; n++) {
            int64_t count[9] = {0}, last = 0;
            for (int64_t i = 0; i < n; i++) {
                const int64_t leaf = learner_leaf_of(i, n, leaves);
                assert_true(leaf >= last && leaf < leaves);
                last = leaf;
                count[leaf]++;
            }
            for (int64_t k = 0; k < leaves; k++)
                assert_true(count[k] == n / leaves ||
                            count[k] == (n + leaves - 1) / leaves);
        }
}

static void test_plan(void **state)
{
    (void)state;
    struct setting x;
    struct learner_plan keep, recompute, chosen;
    start(&x, 1, DTYPE_BF16);
    x.c.learner.recompute = RECOMPUTE_NONE;
    learner_plan(&keep, &x.s.m, &x.c, 0);
    x.c.learner.recompute = RECOMPUTE_LAYER;
    learner_plan(&recompute, &x.s.m, &x.c, 0);
    x.c.learner.recompute = RECOMPUTE_AUTO;
    learner_plan(&chosen, &x.s.m, &x.c, 0);
    assert_int_equal(keep.mode, ACTS_KEEP);
    assert_int_equal(recompute.mode, ACTS_RECOMPUTE);
    assert_int_equal(chosen.mode, ACTS_KEEP); /* a small model always fits */
    assert_true(recompute.acts < keep.acts);
    /* a group of the largest size fits whatever the budget */
    assert_int_equal(keep.n_rows, MAX_PROMPT + G * (MAX_NEW - 1));
    assert_int_equal(keep.grads, 3 * (size_t)x.s.w.table.n_elems * sizeof(float));
    stop(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_temperatures),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_update_norm),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_all_dropped),
        cmocka_unit_test(test_mini_batches),
        cmocka_unit_test(test_allocates_nothing),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
