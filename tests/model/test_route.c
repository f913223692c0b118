/*
 * Routing replay and load statistics: own routes replayed are the same bits; other
 * routes give the oracle's values and slopes; sums do not depend on how a batch is
 * split; frozen routers get no gradient and nothing else changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/model.h"
#include "tests/model/oracle.h"
#include "tests/model/small_model.h"

enum { N_GROUPS = 3, N_SEQ = 12, MAX_LOAD = 3 * (2 * 8 + 1) };

static void fill_groups(struct small_group g[N_GROUPS], const struct hparams *hp)
{
    static const struct small_group shape[N_GROUPS] = {
        {.n_prompt = 70, .n_samples = 3, .n_new = {3, 31, 1}},
        {.n_prompt = 5, .n_samples = 2, .n_new = {1, 9}},
        {.n_prompt = 30, .n_samples = 1, .n_new = {40}},
    };
    for (int64_t i = 0; i < N_GROUPS; i++) {
        g[i] = shape[i];
        small_group_fill(&g[i], hp, (uint64_t)i + 9);
    }
}

/* The routes of the last forward, (L, n_rows, K); mem_free */
static int32_t *routes_of(const struct small_run *r)
{
    const int64_t n = r->t.n_rows * r->m->hp.top_k;
    int32_t *const out = mem_alloc((size_t)(r->m->hp.n_layers * n) * sizeof(*out));
    for (int64_t l = 0; l < r->m->hp.n_layers; l++)
        memcpy(out + l * n, r->a.layers[l].experts, (size_t)n * sizeof(*out));
    return out;
}

static void start_groups(struct small_run *r, const struct model *m,
                         enum acts_mode mode)
{
    struct small_group g[N_GROUPS];
    fill_groups(g, &m->hp);
    assert_int_equal(small_run_init(r, m, mode, 16), 0);
    for (int64_t i = 0; i < N_GROUPS; i++)
        small_add_group(r, &g[i]);
}

static void assert_same_run(const struct small_run *a, const struct small_run *b)
{
    assert_memory_equal(a->logp, b->logp, (size_t)a->n * sizeof(float));
    assert_memory_equal(a->g.data, b->g.data,
                        (size_t)a->m->table.n_elems * sizeof(float));
}

static void test_replay_own(void **state)
{
    (void)state;
    for (int64_t shape = 0; shape < ARRAY_LEN(small_shapes); shape++)
        for (int mode = ACTS_KEEP; mode <= ACTS_RECOMPUTE; mode++) {
            struct small_model s;
            struct small_run plain, replay;
            assert_int_equal(small_model_init(&s, &small_shapes[shape], DTYPE_BF16, 3),
                             0);
            start_groups(&plain, &s.m, (enum acts_mode)mode);
            start_groups(&replay, &s.m, (enum acts_mode)mode);
            small_step(&plain);
            int32_t *const routes = routes_of(&plain);
            model_replay(&s.m, &replay.a, routes, replay.t.n_rows);
            small_step(&replay);
            assert_same_run(&plain, &replay);
            const int64_t n = replay.t.n_rows * s.m.hp.top_k;
            for (int64_t l = 0; l < s.m.hp.n_layers; l++)
                assert_memory_equal(replay.a.own_experts +
                                        l * SMALL_ROWS * s.m.hp.top_k,
                                    routes + l * n, (size_t)n * sizeof(*routes));
            mem_free(routes);
            small_run_release(&plain);
            small_run_release(&replay);
            small_model_release(&s);
        }
}

/* Experts that no router chose: in row t's slot s expert (t + 2 s + l) % E, distinct
 * since E is odd or K = 1 */
static void other_routes(int32_t *routes, const struct hparams *hp, int64_t n)
{
    for (int64_t l = 0; l < hp->n_layers; l++)
        for (int64_t t = 0; t < n; t++)
            for (int64_t s = 0; s < hp->top_k; s++)
                routes[(l * n + t) * hp->top_k + s] = (int32_t)((t + 2 * s + l) %
                                                                hp->n_experts);
}

struct judged {
    struct small_model s;
    struct oracle o;
    struct oracle_out out;
    struct small_run r;
    int32_t ids[N_SEQ];
};

static double loss_of(struct judged *j)
{
    double sum = 0.0, v[2];
    oracle_forward(&j->o, &j->out, j->ids);
    for (int64_t t = 0; t + 1 < N_SEQ; t++) {
        oracle_logp(&j->o, &j->out, t, j->ids[t + 1], 1.0, v);
        sum += (double)j->r.dlogp[t] * v[0];
    }
    return sum;
}

/* Slope of the loss along a random unit direction of the tensor against the gradient */
static void check_direction(struct judged *j, struct oracle_tensor *x)
{
    float *const grad = mem_alloc((size_t)x->n * sizeof(float));
    double *const u = oracle_zeros(x->n);
    double norm = 0.0, want = 0.0, size = 0.0;
    piece_unpack(grad, j->r.g.data, DTYPE_F32, &x->piece);
    for (int64_t i = 0; i < x->n; i++) {
        u[i] = (double)rng_normal(3, RNG_TEST, (uint32_t)i, 0, 0, 0);
        norm += u[i] * u[i];
        size = fmax(size, fabs((double)grad[i]));
    }
    for (int64_t i = 0; i < x->n; i++)
        want += (u[i] /= sqrt(norm)) * (double)grad[i];
    const double h = tol_slope_step;
    for (int64_t i = 0; i < x->n; i++)
        x->data[i] += h * u[i];
    const double above = loss_of(j);
    for (int64_t i = 0; i < x->n; i++)
        x->data[i] -= 2.0 * h * u[i];
    const double below = loss_of(j);
    for (int64_t i = 0; i < x->n; i++)
        x->data[i] += h * u[i];
    const double limit = (double)(2 * small_chain(&j->o.hp, N_SEQ) + N_SEQ) * tol_unit *
                             size +
                         tol_slope * fmax(1.0, fabs(above));
    if (!(fabs((above - below) / (2.0 * h) - want) <= 3.0 * limit))
        fail_msg("%s: slope %g, gradient %g, limit %g", x->piece.name,
                 (above - below) / (2.0 * h), want, limit);
    mem_free(u);
    mem_free(grad);
}

static void replay_case(int64_t shape, bool is_frozen)
{
    struct judged j = {0};
    assert_int_equal(small_model_init(&j.s, &small_shapes[shape], DTYPE_F32, 4), 0);
    const struct hparams *const hp = &j.s.m.hp;
    oracle_init(&j.o, hp, &j.s.w.table, j.s.w.data, DTYPE_F32);
    oracle_out_init(&j.out, hp, N_SEQ);
    small_ids(j.ids, N_SEQ, hp, 6, 0);
    j.out.is_given = true;
    other_routes(j.out.experts, hp, N_SEQ);
    assert_int_equal(small_run_init(&j.r, &j.s.m, ACTS_KEEP, 5), 0);
    j.r.g.is_router_frozen = is_frozen;
    small_add(&j.r, j.ids, N_SEQ);
    model_replay(&j.s.m, &j.r.a, j.out.experts, N_SEQ);
    small_step(&j.r);
    model_grads_finish(&j.s.m, &j.r.g);
    oracle_forward(&j.o, &j.out, j.ids);
    for (int64_t t = 0; t + 1 < N_SEQ; t++) {
        double v[2];
        oracle_logp(&j.o, &j.out, t, j.ids[t + 1], 1.0, v);
        assert_true(fabs((double)j.r.logp[t] - v[0]) <= 1e-4);
    }
    int64_t n_differ = 0;
    for (int64_t i = 0; i < N_SEQ * hp->top_k; i++)
        n_differ += j.r.a.own_experts[i] != j.out.experts[i];
    assert_true(n_differ > 0);
    for (int64_t i = 0; i < j.o.n_tensors; i++)
        if (!is_frozen || j.o.tensors[i].piece.param->role != PARAM_ROUTER)
            check_direction(&j, &j.o.tensors[i]);
    model_replay(&j.s.m, &j.r.a, NULL, 0);
    assert_false(j.r.a.is_replayed);
    small_run_release(&j.r);
    oracle_out_release(&j.out);
    oracle_release(&j.o);
    small_model_release(&j.s);
}

static void test_replay_other(void **state)
{
    (void)state;
    replay_case(1, false); /* E = 5, K = 3 */
    replay_case(4, false); /* K = 1 */
    replay_case(5, false); /* all experts */
}

static void test_frozen(void **state)
{
    (void)state;
    struct small_model s;
    struct small_run plain, frozen;
    replay_case(1, true);
    assert_int_equal(small_model_init(&s, &small_shapes[1], DTYPE_BF16, 3), 0);
    start_groups(&plain, &s.m, ACTS_KEEP);
    start_groups(&frozen, &s.m, ACTS_KEEP);
    frozen.g.is_router_frozen = true;
    small_step(&plain);
    small_step(&frozen);
    for (int64_t i = 0; i < s.w.table.n; i++) {
        const struct param *const p = &s.w.table.items[i];
        double size = 0.0;
        for (int64_t e = p->off; e < p->off + p->n_elems; e++)
            size += fabs((double)frozen.g.data[e]);
        if (p->role == PARAM_ROUTER)
            assert_true(size == 0.0);
        else
            assert_memory_equal(plain.g.data + p->off, frozen.g.data + p->off,
                                (size_t)p->n_elems * sizeof(float));
    }
    small_run_release(&plain);
    small_run_release(&frozen);
    small_model_release(&s);
}

static void load_of(double *load, const struct model *m, enum acts_mode mode,
                    bool is_split)
{
    struct small_run r;
    struct small_group g[N_GROUPS];
    fill_groups(g, &m->hp);
    assert_int_equal(small_run_init(&r, m, mode, 16), 0);
    model_load_start(m, &r.a);
    for (int64_t i = 0; i < N_GROUPS; i++) {
        small_add_group(&r, &g[i]);
        if (is_split || i + 1 == N_GROUPS) {
            small_forward(&r);
            small_next(&r);
        }
    }
    model_load_end(m, &r.a, load);
    small_run_release(&r);
}

static void test_load(void **state)
{
    (void)state;
    for (int64_t shape = 0; shape < 2; shape++) {
        struct small_model s;
        struct small_run r;
        double whole[MAX_LOAD], split[MAX_LOAD], prob[8], count[8], z = 0.0;
        assert_int_equal(small_model_init(&s, &small_shapes[shape], DTYPE_BF16, 3), 0);
        const int64_t e = s.m.hp.n_experts, n = s.m.hp.n_layers * (2 * e + 1);
        load_of(whole, &s.m, ACTS_KEEP, false);
        load_of(split, &s.m, ACTS_RECOMPUTE, true);
        assert_memory_equal(whole, split, (size_t)n * sizeof(double));
        start_groups(&r, &s.m, ACTS_KEEP);
        small_forward(&r);
        model_router_sums(&s.m, &r.a, &r.t, prob, count, &z);
        for (int64_t l = 0; l < s.m.hp.n_layers; l++) {
            const double *const p = whole + l * (2 * e + 1);
            for (int64_t i = 0; i < e; i++) {
                prob[i] -= p[i];
                count[i] -= p[e + i];
            }
            z -= p[2 * e];
        }
        for (int64_t i = 0; i < e; i++) /* the same doubles in another order */
            assert_true(fabs(prob[i]) <= 1e-9 && count[i] == 0.0);
        assert_true(fabs(z) <= 1e-9 * (double)r.t.n_rows);
        small_run_release(&r);
        small_model_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_own),
        cmocka_unit_test(test_replay_other),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
