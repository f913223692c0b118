/*
 * The transformer as a whole against the double oracle: log-probs, entropies, routes,
 * and every gradient by finite differences. Promises about bits: test_model_bits.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/model/oracle.h"
#include "tests/model/small_model.h"

enum { MAX_SEQS = 3, MAX_LEN = 200 };
struct text {
    int64_t n;
    int64_t len[MAX_SEQS];
    int32_t ids[MAX_SEQS][MAX_LEN];
};

/* Between any two neighbours among the k + 1 best router logits: far above fp32's error
 * and above what a finite difference moves them by. */
static const double min_gap = 3e-4;

struct judged {
    struct small_model s;
    struct oracle o;
    struct oracle_out out[MAX_SEQS];
    struct text text;
};

/* The first seed at which no router is near a tie, so that routes are the same in fp32
 * and double and under small changes of the weights. */
static void judged_init(struct judged *j, const struct small_shape *shape, int64_t n,
                        const int64_t *len)
{
    double gap = 0.0;
    uint64_t seed = 0;
    j->text.n = n;
    while (gap < min_gap) {
        seed++;
        assert_true(seed < 200);
        assert_int_equal(small_model_init(&j->s, shape, DTYPE_F32, seed), 0);
        oracle_init(&j->o, &j->s.w.hp, &j->s.w.table, j->s.w.data, DTYPE_F32);
        gap = INFINITY;
        for (int64_t i = 0; i < n; i++) {
            j->text.len[i] = len[i];
            small_ids(j->text.ids[i], len[i], &j->s.w.hp, seed, (uint32_t)i);
            oracle_out_init(&j->out[i], &j->s.w.hp, len[i]);
            oracle_forward(&j->o, &j->out[i], j->text.ids[i]);
            gap = fmin(gap, j->out[i].gap);
        }
        if (gap >= min_gap)
            break;
        for (int64_t i = 0; i < n; i++)
            oracle_out_release(&j->out[i]);
        oracle_release(&j->o);
        small_model_release(&j->s);
    }
    print_message("  %-18s seed %d, smallest gap between routers' logits %.1e\n",
                  shape->name, (int)seed, gap);
}

static void judged_release(struct judged *j)
{
    for (int64_t i = 0; i < j->text.n; i++)
        oracle_out_release(&j->out[i]);
    oracle_release(&j->o);
    small_model_release(&j->s);
}

static double max_abs(const double *x, int64_t n)
{
    double max = 0.0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, fabs(x[i]));
    return max;
}

struct worst {
    double logits, logp, entropy; /* largest error / limit */
};

static void check_routes(const struct small_run *r, const struct oracle_out *out,
                         int64_t first, int64_t n_rows)
{
    const struct hparams *const hp = &r->m->hp;
    for (int64_t l = 0; l < hp->n_layers; l++)
        for (int64_t i = 0; i < out->n * hp->top_k; i++)
            assert_int_equal(r->a.layers[l].experts[first * hp->top_k + i],
                             out->experts[l * out->n * hp->top_k + i]);
    assert_true(first + out->n <= n_rows);
}

/* Rows of sequence i begin at `first`, its head rows at `head`. */
static void check_sequence(struct small_run *r, const struct judged *j, int64_t i,
                           int64_t first, int64_t head, struct worst *w)
{
    const struct hparams *const hp = &j->o.hp;
    const struct oracle_out *const out = &j->out[i];
    const double size = max_abs(out->logits, out->n * hp->n_vocab);
    const double limit = (double)small_chain(hp, out->n) * tol_unit * size;
    check_routes(r, out, first, r->t.n_rows);
    for (int64_t t = 0; t < out->n; t++) {
        const int32_t row = (int32_t)(first + t);
        model_logits(r->m, &r->a, r->a.x_last, &row, 1);
        for (int64_t v = 0; v < hp->n_vocab; v++) {
            const double error = (double)r->a.logits[v] -
                                 out->logits[t * hp->n_vocab + v];
            w->logits = fmax(w->logits, fabs(error) / limit);
        }
    }
    for (int64_t t = 0; t + 1 < out->n; t++) {
        double want[2];
        oracle_logp(&j->o, out, t, j->text.ids[i][t + 1], (double)r->inv_temp, want);
        /* logp: the target's logit and the log-sum's; entropy: the mean distance of the
         * scaled logits from their mean, at most their size, multiplies errors */
        const double scale = (double)r->inv_temp;
        const double of_logp = 2.0 * scale * limit,
                     of_entropy = of_logp * (1.0 + size * scale);
        w->logp = fmax(w->logp, fabs((double)r->logp[head + t] - want[0]) / of_logp);
        w->entropy = fmax(w->entropy,
                          fabs((double)r->entropy[head + t] - want[1]) / of_entropy);
    }
}

static void test_forward(void **state)
{
    (void)state;
    static const int64_t len[] = {150, 1, 65};
    for (int64_t k = 0; k < ARRAY_LEN(small_shapes); k++) {
        struct judged j;
        struct small_run r;
        struct worst w = {0};
        judged_init(&j, &small_shapes[k], 3, len);
        assert_int_equal(small_run_init(&r, &j.s.m, ACTS_INFER, 7), 0);
        r.inv_temp = k % 2 == 0 ? 1.0f : 1.25f;
        for (int64_t i = 0; i < j.text.n; i++)
            small_add(&r, j.text.ids[i], len[i]);
        /* ACTS_INFER keeps one set of layer arrays, but every layer's experts */
        small_forward(&r);
        int64_t first = 0, head = 0;
        for (int64_t i = 0; i < j.text.n; i++) {
            check_sequence(&r, &j, i, first, head, &w);
            first += len[i];
            head += len[i] - 1;
        }
        print_message("  %-18s error / limit: logits %.3f logp %.3f entropy %.3f\n",
                      small_shapes[k].name, w.logits, w.logp, w.entropy);
        assert_true(w.logits <= 1.0 && w.logp <= 1.0 && w.entropy <= 1.0);
        small_run_release(&r);
        judged_release(&j);
    }
}

/* Padding rows of the vocabulary are left out of the softmax when n_softmax says so. */
static void test_softmax_columns(void **state)
{
    (void)state;
    static const int64_t len[] = {20};
    struct judged j;
    struct small_run r;
    judged_init(&j, &small_shapes[1], 1, len);
    j.s.m.n_softmax = j.o.n_softmax = 41;
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_INFER, 3), 0);
    for (int64_t t = 0; t < len[0]; t++)
        j.text.ids[0][t] %= 41;
    oracle_forward(&j.o, &j.out[0], j.text.ids[0]);
    small_add(&r, j.text.ids[0], len[0]);
    small_forward(&r);
    const double limit = 2.0 * (double)small_chain(&j.o.hp, 20) * tol_unit *
                         max_abs(j.out[0].logits, 20 * j.o.hp.n_vocab);
    for (int64_t t = 0; t + 1 < len[0]; t++) {
        double want[2];
        oracle_logp(&j.o, &j.out[0], t, j.text.ids[0][t + 1], 1.0, want);
        assert_true(fabs((double)r.logp[t] - want[0]) <= limit);
    }
    small_run_release(&r);
    judged_release(&j);
}

struct slope {
    struct judged *j;
    const struct small_run *r;
};

/* The loss whose gradients small_fill_loss gave, in double */
static double loss_of(const struct slope *f)
{
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t i = 0; i < f->j->text.n; i++) {
        struct oracle_out *const out = &f->j->out[i];
        oracle_forward(&f->j->o, out, f->j->text.ids[i]);
        for (int64_t t = 0; t + 1 < out->n; t++, n++) {
            double v[2];
            oracle_logp(&f->j->o, out, t, f->j->text.ids[i][t + 1],
                        (double)f->r->inv_temp, v);
            sum += (double)f->r->dlogp[n] * v[0];
            if (f->r->has_dent)
                sum += (double)f->r->dent[n] * v[1];
        }
        if (f->r->aux_f != NULL)
            sum += oracle_balance(&f->j->o, out, f->r->aux_f, (double)f->r->z_coef);
    }
    return sum;
}

/* Slope along direction u (n) of the tensor's values, step h */
static double slope_along(const struct slope *f, double *x, const double *u, int64_t n,
                          double h)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += h * u[i];
    const double above = loss_of(f);
    for (int64_t i = 0; i < n; i++)
        x[i] -= 2.0 * h * u[i];
    const double below = loss_of(f);
    for (int64_t i = 0; i < n; i++)
        x[i] += h * u[i];
    return (above - below) / (2.0 * h);
}

/* Every entry at once: a random unit direction */
static double check_direction(const struct slope *f, const struct oracle_tensor *x,
                              const float *grad, double limit)
{
    double *const u = oracle_zeros(x->n);
    double norm = 0.0, want = 0.0;
    for (int64_t i = 0; i < x->n; i++) {
        u[i] = (double)rng_normal(3, RNG_TEST, (uint32_t)i, 0, 0, 0);
        norm += u[i] * u[i];
    }
    for (int64_t i = 0; i < x->n; i++) {
        u[i] /= sqrt(norm);
        want += u[i] * (double)grad[i];
    }
    const double got = slope_along(f, x->data, u, x->n, tol_slope_step);
    mem_free(u);
    /* n errors of at most `limit` with weights of either sign and norm 1: their sum is
     * of this order; 3 for its spread */
    return fabs(got - want) / (3.0 * limit);
}

/* Returns the largest error / limit over a direction and n_entries single entries. */
static double check_tensor(const struct slope *f, struct oracle_tensor *x,
                           int64_t n_entries)
{
    const struct hparams *const hp = &f->j->o.hp;
    float *const grad = mem_alloc((size_t)x->n * sizeof(float));
    piece_unpack(grad, f->r->g.data, DTYPE_F32, &x->piece);
    double size = 0.0;
    for (int64_t i = 0; i < x->n; i++)
        size = fmax(size, fabs((double)grad[i]));
    /* forward, the way back, and the sum over rows; see small_chain */
    const int64_t chain = 2 * small_chain(hp, f->r->t.n_rows) + f->r->t.n_rows;
    const double limit = (double)chain * tol_unit * size +
                         tol_slope * fmax(1.0, fabs(loss_of(f)));
    double worst = check_direction(f, x, grad, limit);
    const double one = 1.0;
    for (int64_t e = 0; e < n_entries; e++) {
        const bool is_table = x->piece.param->role == PARAM_EMBED;
        const int64_t k = x->piece.param->k;
        int64_t i = (int64_t)rng_below(5, RNG_TEST, (uint32_t)x->n, (uint32_t)e,
                                       (uint32_t)x->n, 0, 0);
        if (is_table) /* a row that is used */
            i = f->j->text.ids[0][e % f->j->text.len[0]] * k + i % k;
        const double got = slope_along(f, x->data + i, &one, 1, tol_slope_step);
        worst = fmax(worst, fabs(got - (double)grad[i]) / limit);
    }
    mem_free(grad);
    return worst;
}

static void check_gradients(struct judged *j, struct small_run *r)
{
    const struct slope f = {.j = j, .r = r};
    double worst = 0.0;
    for (int64_t i = 0; i < j->o.n_tensors; i++) {
        struct oracle_tensor *const x = &j->o.tensors[i];
        const int64_t n_entries = x->piece.param->n_mats > 1 ? 4 : 12;
        const double share = check_tensor(&f, x, n_entries);
        if (!(share <= 1.0))
            print_error("%s: error / limit %g\n", x->piece.name, share);
        worst = fmax(worst, share);
    }
    print_message("  %-18s largest error / limit of a gradient: %.3f\n", "", worst);
    assert_true(worst <= 1.0);
}

static void gradient_case(int64_t shape, int64_t n, const int64_t *len, bool has_dent,
                          const float *aux_f)
{
    struct judged j;
    struct small_run r;
    judged_init(&j, &small_shapes[shape], n, len);
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_KEEP, 5), 0);
    r.inv_temp = 1.25f;
    r.has_dent = has_dent;
    r.aux_f = aux_f;
    r.z_coef = aux_f == NULL ? 0.0f : 0.05f;
    for (int64_t i = 0; i < n; i++)
        small_add(&r, j.text.ids[i], len[i]);
    small_step(&r);
    model_grads_finish(&j.s.m, &r.g);
    check_gradients(&j, &r);
    small_run_release(&r);
    judged_release(&j);
}

static void test_gradients(void **state)
{
    (void)state;
    static const float f[] = {0.5f, -0.25f, 1.0f, 0.125f, 0.75f, -1.0f};
    static const int64_t two[] = {9, 5}, one[] = {12}, three[] = {6, 1, 4};
    gradient_case(0, 2, two, false, NULL);
    gradient_case(1, 1, one, true, f);
    gradient_case(2, 1, one, true, NULL);
    gradient_case(3, 3, three, true, f);
    gradient_case(4, 2, two, false, NULL);
    gradient_case(5, 2, two, false, f);
}

/* Two pages of keys, with a window that begins inside the first */
static void test_gradients_across_pages(void **state)
{
    (void)state;
    static const int64_t len[] = {75};
    const struct small_shape shape = {"two pages", 12, 8, 2,  2,  1,
                                      4,           3,  2, 70, 20, true};
    struct judged j;
    struct small_run r;
    judged_init(&j, &shape, 1, len);
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_KEEP, 16), 0);
    small_add(&r, j.text.ids[0], len[0]);
    small_step(&r);
    model_grads_finish(&j.s.m, &r.g);
    check_gradients(&j, &r);
    small_run_release(&r);
    judged_release(&j);
}

/* Counts and masses of the routers against the oracle's */
static void test_router_sums(void **state)
{
    (void)state;
    static const int64_t len[] = {40, 7};
    struct judged j;
    struct small_run r;
    judged_init(&j, &small_shapes[1], 2, len);
    const struct hparams *const hp = &j.o.hp;
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_KEEP, 5), 0);
    for (int64_t i = 0; i < 2; i++)
        small_add(&r, j.text.ids[i], len[i]);
    small_forward(&r);
    double prob[8], count[8], z = 0.0, want_prob[8] = {0}, want_count[8] = {0},
                              want_z = 0.0;
    model_router_sums(&j.s.m, &r.a, &r.t, prob, count, &z);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t row = 0; row < hp->n_layers * len[i]; row++) {
            const double *const x = j.out[i].router + row * hp->n_experts;
            const double lse = oracle_logsumexp(x, hp->n_experts, 1.0);
            want_z += lse * lse;
            for (int64_t e = 0; e < hp->n_experts; e++)
                want_prob[e] += exp(x[e] - lse);
            for (int64_t s = 0; s < hp->top_k; s++)
                want_count[j.out[i].experts[row * hp->top_k + s]] += 1.0;
        }
    const double limit = (double)small_chain(hp, 40) * tol_unit * 20.0;
    assert_true(fabs(z - want_z) <= limit * want_z);
    for (int64_t e = 0; e < hp->n_experts; e++) {
        assert_true(count[e] == want_count[e]);
        assert_true(fabs(prob[e] - want_prob[e]) <= limit * want_prob[e]);
    }
    small_run_release(&r);
    judged_release(&j);
}

static void test_softmax_needs_tokens(void **state)
{
    (void)state;
    struct small_model s;
    struct model m;
    assert_int_equal(small_model_init(&s, &small_shapes[0], DTYPE_F32, 1), 0);
    assert_int_equal(model_init(&m, &s.b, &s.w.hp, s.w.data, DTYPE_F32, 8, 97),
                     ERR_INPUT);
    assert_non_null(strstr(status_message(), "97"));
    assert_int_equal(model_init(&m, &s.b, &s.w.hp, s.w.data, DTYPE_F32, 8, 0),
                     ERR_INPUT);
    small_model_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_softmax_columns),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_across_pages),
        cmocka_unit_test(test_router_sums),
        cmocka_unit_test(test_softmax_needs_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
