/*
 * The router: choice and order with ties against a full sort, weights and statistics
 * against double, gradients against slopes of the double reference, given experts.
 */
#include "tests/cpu/op_check.h"

enum { MAX_E = 600 };

struct router {
    int32_t *experts;
    float *weights, *dlogits;
    const float *logits, *dweights, *f;
    double *prob, *count, *z;
    float cz;
    int64_t e, k, m;
};

static void run_fwd(struct backend *b, void *arg)
{
    const struct router *const p = arg;
    b->router_fwd(b, p->experts, p->weights, p->logits, p->e, p->k, p->m);
}

static void run_given(struct backend *b, void *arg)
{
    const struct router *const p = arg;
    b->router_given(b, p->weights, p->logits, p->experts, p->e, p->k, p->m);
}

static void run_bwd(struct backend *b, void *arg)
{
    const struct router *const p = arg;
    b->router_bwd(b, p->dlogits, p->dweights, p->experts, p->weights, p->e, p->k, p->m);
}

static void run_stats(struct backend *b, void *arg)
{
    const struct router *const p = arg;
    b->router_stats(b, p->prob, p->count, p->z, p->logits, p->experts, p->e, p->k,
                    p->m);
}

static void run_aux(struct backend *b, void *arg)
{
    const struct router *const p = arg;
    b->router_aux_bwd(b, p->dlogits, p->logits, p->f, p->cz, p->e, p->m);
}

static void router_init(struct router *p, int64_t e, int64_t k, int64_t m,
                        float (*value)(void))
{
    op_seed((uint64_t)(e * 1000 + k * 10 + m));
    *p = (struct router){.experts = op_ints(m * k),
                         .weights = op_floats(m * k),
                         .dlogits = op_filled(m * e, op_random),
                         .logits = op_filled(m * e, value),
                         .dweights = op_filled(m * k, op_random),
                         .f = op_filled(e, op_random),
                         .prob = op_doubles(e),
                         .count = op_doubles(e),
                         .z = op_doubles(1),
                         .cz = 0.25f,
                         .e = e,
                         .k = k,
                         .m = m};
    memset(p->prob, 0, (size_t)e * sizeof(double));
    memset(p->count, 0, (size_t)e * sizeof(double));
    *p->z = 0;
}

static const int64_t shapes[][2] = {{1, 1},    {2, 1},    {2, 2},   {8, 2},
                                    {16, 16},  {17, 3},   {64, 8},  {100, 17},
                                    {128, 64}, {512, 64}, {513, 22}};
static const int64_t rows[] = {0, 1, 33};

/* How many of the row come before expert e: larger, or equal and lower. */
static int64_t rank_of(const float *row, int64_t n, int64_t e)
{
    int64_t rank = 0;
    for (int64_t i = 0; i < n; i++)
        rank += row[i] > row[e] || (row[i] == row[e] && i < e);
    return rank;
}

static void check_row(const struct router *p, int64_t r)
{
    const float *const row = p->logits + r * p->e;
    double sum = 0;
    for (int64_t i = 0; i < p->k; i++) {
        const int32_t e = p->experts[r * p->k + i];
        assert_true(e >= 0 && e < p->e);
        assert_int_equal(rank_of(row, p->e, e), i);
        sum += exp((double)row[e] - (double)row[p->experts[r * p->k]]);
    }
    for (int64_t i = 0; i < p->k; i++) {
        const double d = (double)row[p->experts[r * p->k + i]] -
                         (double)row[p->experts[r * p->k]];
        const double want = exp(d) / sum;
        op_assert_close((double)p->weights[r * p->k + i], want,
                        tol_softmax(p->k, 0, 8) * want, "weight", i);
    }
}

static void test_fwd(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes) * ARRAY_LEN(rows); i++) {
        struct router p; /* small integers: ties everywhere */
        router_init(&p, shapes[i / 3][0], shapes[i / 3][1], rows[i % 3],
                    i % 2 ? op_small_int : op_random);
        const struct op_out outs[] = {
            op_out(p.weights, p.m * p.k),
            {p.experts, (size_t)(p.m * p.k) * sizeof(int32_t)}};
        op_all(run_fwd, &p, outs, 2);
        for (int64_t r = 0; r < p.m; r++)
            check_row(&p, r);
        op_release(NULL);
    }
}

/* Equal logits give the first experts and equal weights; a power of two is exact. */
static void test_ties(void **state)
{
    (void)state;
    struct router p;
    router_init(&p, 24, 8, 3, op_small_int);
    float *const same = op_constant(24 * 3, -1.5f);
    same[24 + 23] = 7; /* row 1: one winner at the end; the rest is exp(-8.5) away */
    same[48] = -0.0f;  /* row 2: -0 and +0 are equal, the lower index first */
    same[49] = 0.0f;
    p.logits = same;
    op_run_best(run_fwd, &p);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(p.experts[i], i);
        assert_true(p.weights[i] == 0.125f);
        assert_int_equal(p.experts[8 + i], i == 0 ? 23 : i - 1);
        assert_int_equal(p.experts[16 + i], i);
    }
}

/* NaN and infinities: the ids stay in range and differ, whatever the weights. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float values[] = {NAN, -INFINITY, INFINITY, 1, 2};
    for (int seed = 0; seed < 50; seed++) {
        struct router p;
        router_init(&p, 20, 6, 4, op_random);
        op_seed((uint64_t)seed);
        float *const x = op_floats(80);
        for (int i = 0; i < 80; i++)
            x[i] = values[seed == 0 ? 0 : op_below(5)];
        p.logits = x;
        op_run_best(run_fwd, &p);
        for (int r = 0; r < 4; r++) {
            bool has[20] = {false};
            for (int i = 0; i < 6; i++) {
                const int32_t e = p.experts[r * 6 + i];
                assert_true(e >= 0 && e < 20 && !has[e]);
                has[e] = true;
            }
        }
        if (seed == 0)
            assert_true(isnan(p.weights[0]) && isnan(p.weights[23]));
        op_release(NULL);
    }
}

struct slope {
    const struct router *p;
    const int32_t *experts;
    const float *dweights;
    double logits[MAX_E];
};

static double weight_loss(void *arg)
{
    const struct slope *const s = arg;
    double sum = 0, loss = 0;
    for (int64_t i = 0; i < s->p->k; i++)
        sum += exp(s->logits[s->experts[i]]);
    for (int64_t i = 0; i < s->p->k; i++)
        loss += exp(s->logits[s->experts[i]]) * (double)s->dweights[i];
    return loss / sum;
}

static void test_bwd(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes) * ARRAY_LEN(rows); i++) {
        struct router p;
        router_init(&p, shapes[i / 3][0], shapes[i / 3][1], rows[i % 3], op_random);
        op_run_best(run_fwd, &p);
        const struct op_out out = op_out(p.dlogits, p.m * p.e);
        op_all(run_bwd, &p, &out, 1);
        struct slope s = {.p = &p};
        for (int64_t r = 0; r < p.m; r++) {
            s.experts = p.experts + r * p.k;
            s.dweights = p.dweights + r * p.k;
            for (int64_t e = 0; e < p.e; e++)
                s.logits[e] = (double)p.logits[r * p.e + e];
            /* |dw| <= 2 and w <= 1: every term is below 4 */
            for (int64_t e = 0; e < p.e; e++)
                op_assert_close((double)p.dlogits[r * p.e + e],
                                op_slope(weight_loss, &s, &s.logits[e]),
                                tol_slope + 8 * tol_softmax(p.k, 0, 8), "dlogits", e);
        }
        op_release(NULL);
    }
}

/* router_fwd's own choice gives its weights, bit for bit; so does any order of it, to
 * rounding, in that order's slots. */
static void test_given_own(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes) * ARRAY_LEN(rows); i++) {
        struct router p;
        router_init(&p, shapes[i / 3][0], shapes[i / 3][1], rows[i % 3],
                    i % 2 ? op_small_int : op_random);
        op_run_best(run_fwd, &p);
        const int64_t n = p.m * p.k;
        float *const want = p.weights;
        p.weights = op_floats(n);
        const struct op_out out = op_out(p.weights, n);
        op_all(run_given, &p, &out, 1);
        op_assert_bits(p.weights, want, n, "weights");
        for (int64_t j = 0; j < n / 2; j++) { /* all rows and slots backwards */
            const int32_t e = p.experts[j];
            p.experts[j] = p.experts[n - 1 - j];
            p.experts[n - 1 - j] = e;
        }
        float *const logits = op_floats(p.m * p.e);
        for (int64_t r = 0; r < p.m; r++)
            memcpy(logits + r * p.e, p.logits + (p.m - 1 - r) * p.e,
                   (size_t)p.e * sizeof(float));
        p.logits = logits;
        op_run_best(run_given, &p);
        for (int64_t j = 0; j < n; j++)
            op_assert_close((double)p.weights[j], (double)want[n - 1 - j],
                            2 * tol_softmax(p.k, 0, 8), "weight", j);
        op_release(NULL);
    }
}

/* Experts that are not the best ones, against double; then their backward's slopes */
static void test_given_other(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes) * ARRAY_LEN(rows); i++) {
        struct router p;
        router_init(&p, shapes[i / 3][0], shapes[i / 3][1], rows[i % 3], op_random);
        for (int64_t j = 0; j < p.m * p.k; j++) /* distinct: steps of one, wrapped */
            p.experts[j] = (int32_t)((7 * (j / p.k) + j % p.k) % p.e);
        const struct op_out out = op_out(p.weights, p.m * p.k);
        op_all(run_given, &p, &out, 1);
        op_run_best(run_bwd, &p);
        struct slope s = {.p = &p};
        for (int64_t r = 0; r < p.m; r++) {
            double sum = 0;
            s.experts = p.experts + r * p.k;
            s.dweights = p.dweights + r * p.k;
            for (int64_t e = 0; e < p.e; e++)
                s.logits[e] = (double)p.logits[r * p.e + e];
            for (int64_t j = 0; j < p.k; j++)
                sum += exp(s.logits[s.experts[j]]);
            for (int64_t j = 0; j < p.k; j++) {
                const double want = exp(s.logits[s.experts[j]]) / sum;
                op_assert_close((double)p.weights[r * p.k + j], want,
                                tol_softmax(p.k, 0, 8) * want, "weight", j);
            }
            for (int64_t e = 0; e < p.e; e++)
                op_assert_close((double)p.dlogits[r * p.e + e],
                                op_slope(weight_loss, &s, &s.logits[e]),
                                tol_slope + 8 * tol_softmax(p.k, 0, 8), "dlogits", e);
        }
        op_release(NULL);
    }
}

static double log_sum_exp(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i]);
    return log(sum);
}

static double aux_loss(void *arg)
{
    const struct slope *const s = arg;
    const double lse = log_sum_exp(s->logits, s->p->e);
    double loss = (double)s->p->cz * lse * lse;
    for (int64_t e = 0; e < s->p->e; e++)
        loss += (double)s->p->f[e] * exp(s->logits[e] - lse);
    return loss;
}

static void test_aux_bwd(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes) * ARRAY_LEN(rows); i++) {
        struct router p;
        router_init(&p, shapes[i / 3][0], shapes[i / 3][1], rows[i % 3], op_random);
        float *const start = op_floats(p.m * p.e);
        memcpy(start, p.dlogits, (size_t)(p.m * p.e) * sizeof(float));
        const struct op_out out = op_out(p.dlogits, p.m * p.e);
        op_all(run_aux, &p, &out, 1);
        struct slope s = {.p = &p};
        for (int64_t r = 0; r < p.m; r++) {
            for (int64_t e = 0; e < p.e; e++)
                s.logits[e] = (double)p.logits[r * p.e + e];
            /* p (f - mean + 2 cz lse) + start, each part below 16 */
            for (int64_t e = 0; e < p.e; e++)
                op_assert_close((double)p.dlogits[r * p.e + e],
                                (double)start[r * p.e + e] +
                                    op_slope(aux_loss, &s, &s.logits[e]),
                                tol_slope + 16 * tol_softmax(p.e, 0, 8), "dlogits", e);
        }
        op_release(NULL);
    }
}

static void test_stats(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes) * ARRAY_LEN(rows); i++) {
        struct router p;
        router_init(&p, shapes[i / 3][0], shapes[i / 3][1], rows[i % 3], op_random);
        op_run_best(run_fwd, &p);
        p.prob[0] = 3; /* += */
        p.count[0] = 5;
        const struct op_out outs[] = {{p.prob, (size_t)p.e * sizeof(double)},
                                      {p.count, (size_t)p.e * sizeof(double)},
                                      {p.z, sizeof(double)}};
        op_all(run_stats, &p, outs, 3);
        double prob[MAX_E] = {3}, count[MAX_E] = {5}, z = 0, x[MAX_E];
        for (int64_t r = 0; r < p.m; r++) {
            for (int64_t e = 0; e < p.e; e++)
                x[e] = (double)p.logits[r * p.e + e];
            const double lse = log_sum_exp(x, p.e);
            z += lse * lse;
            for (int64_t e = 0; e < p.e; e++)
                prob[e] += exp(x[e] - lse);
            for (int64_t j = 0; j < p.k; j++)
                count[p.experts[r * p.k + j]] += 1;
        }
        const double rel = tol_softmax(p.e, 0, 8);
        op_assert_close(*p.z, z, (2 * z + 20 * (double)p.m) * rel, "z", 0);
        for (int64_t e = 0; e < p.e; e++) {
            op_assert_close(p.prob[e], prob[e], prob[e] * rel, "prob", e);
            assert_true(p.count[e] == count[e]);
        }
        op_release(NULL);
    }
}

/* Rows in two calls: the same sums; a row alone: the same weights. */
static void test_split(void **state)
{
    (void)state;
    struct router p, part;
    router_init(&p, 40, 5, 30, op_random);
    router_init(&part, 40, 5, 30, op_random);
    op_run_best(run_fwd, &p);
    op_run_best(run_stats, &p);
    struct router cut = part;
    for (int64_t r = 0; r < 30; r += 10) {
        cut.m = 10;
        cut.logits = p.logits + r * 40;
        cut.experts = part.experts + r * 5;
        cut.weights = part.weights + r * 5;
        op_run_best(run_fwd, &cut);
        op_run_best(run_stats, &cut);
    }
    op_assert_bits(part.weights, p.weights, 150, "weights");
    assert_memory_equal(part.experts, p.experts, 150 * sizeof(int32_t));
    assert_memory_equal(part.prob, p.prob, 40 * sizeof(double));
    assert_memory_equal(part.z, p.z, sizeof(double));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_fwd),     OP_TEST(test_ties),      OP_TEST(test_not_finite),
        OP_TEST(test_bwd),     OP_TEST(test_stats),     OP_TEST(test_split),
        OP_TEST(test_aux_bwd), OP_TEST(test_given_own), OP_TEST(test_given_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
