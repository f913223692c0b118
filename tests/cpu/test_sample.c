/*
 * Sampling: the kept set against a full sort, the draw against the cumulative sums, the
 * log-probability against logprob_fwd bit for bit, frequencies, and hostile rows.
 */
#include <stdlib.h>

#include "core/rng.h"
#include "tests/cpu/op_check.h"

enum { LONG_V = 2 * HEAD_SLICE + 700, MAX_V = LONG_V };

struct sample {
    int32_t *token;
    float *logp, *learner;
    const float *logits;
    struct sample_row *rows;
    int64_t v, ld, m;
};

static void run(struct backend *b, void *arg)
{
    const struct sample *const p = arg;
    b->sample_fwd(b, p->token, p->logp, p->logits, p->rows, p->v, p->ld, p->m);
}

static void run_learner(struct backend *b, void *arg)
{
    const struct sample *const p = arg;
    for (int64_t r = 0; r < p->m; r++) {
        const float t = p->rows[r].temperature;
        b->logprob_fwd(b, p->learner + r, NULL, NULL, p->logits + r * p->ld,
                       p->token + r, t == 0 ? 1.0f : 1.0f / t, p->v, p->ld, 1);
    }
}

static void sample_init(struct sample *p, int64_t m, int64_t v, float (*value)(void))
{
    op_seed((uint64_t)(m * 10007 + v));
    const int64_t ld = v + 3;
    *p = (struct sample){.token = op_ints(m),
                         .logp = op_floats(m),
                         .learner = op_floats(m),
                         .logits = op_filled(m * ld, value),
                         .rows = op_bytes((size_t)m * sizeof(struct sample_row)),
                         .v = v,
                         .ld = ld,
                         .m = m};
    for (int64_t r = 0; r < m; r++)
        p->rows[r] = (struct sample_row){.temperature = 1,
                                         .top_p = 1,
                                         .stream = RNG_SAMPLE,
                                         .seed = 42,
                                         .counter = {(uint32_t)r, 1, 2, 3}};
}

static float wide(void) { return 3 * op_random(); }

struct candidate {
    float z;
    int32_t id;
};

static int by_logit(const void *a, const void *b)
{
    const struct candidate *const x = a, *const y = b;
    if (x->z != y->z)
        return x->z > y->z ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* Which ids the contract keeps, from a full sort; the mass test of top_p has an
 * uncertain last member within rounding: *margin is how far from it the test was. */
static double kept_set(bool *is_kept, const struct sample *p, int64_t r, double *margin)
{
    static struct candidate all[MAX_V];
    const struct sample_row *const s = &p->rows[r];
    const float scale = s->temperature == 0 ? 1.0f : 1.0f / s->temperature;
    for (int64_t i = 0; i < p->v; i++)
        all[i] = (struct candidate){p->logits[r * p->ld + i] * scale, (int32_t)i};
    qsort(all, (size_t)p->v, sizeof(all[0]), by_logit);
    const int64_t k = s->top_k > 0 && s->top_k < p->v ? s->top_k : p->v;
    double mass = 0, kept = 0;
    for (int64_t i = 0; i < k; i++)
        mass += exp((double)all[i].z - (double)all[0].z);
    memset(is_kept, 0, MAX_V * sizeof(*is_kept));
    *margin = INFINITY;
    for (int64_t i = 0; i < k; i++) {
        if (s->top_p < 1 && i > 0) {
            const double over = kept - (double)s->top_p * mass;
            *margin = fmin(*margin, fabs(over) / mass);
            if (over >= 0)
                break;
        }
        is_kept[all[i].id] = true;
        kept += exp((double)all[i].z - (double)all[0].z);
    }
    return kept;
}

/* The token is where the running mass of kept ids passes u * kept. */
static void check_draw(const struct sample *p, int64_t r)
{
    static bool is_kept[MAX_V];
    const struct sample_row *const s = &p->rows[r];
    double margin;
    const double kept = kept_set(is_kept, p, r, &margin);
    const int32_t token = p->token[r];
    assert_true(token >= 0 && token < p->v);
    const double slack = 1e-6 * (double)p->v; /* fp32 sums of v terms */
    if (margin < slack)
        return;
    assert_true(is_kept[token]);
    const float scale = 1.0f / s->temperature;
    float max = -INFINITY;
    for (int64_t i = 0; i < p->v; i++)
        max = fmaxf(max, p->logits[r * p->ld + i] * scale);
    double below = 0;
    for (int32_t i = 0; i < token; i++)
        if (is_kept[i])
            below += exp((double)(p->logits[r * p->ld + i] * scale) - (double)max);
    const double own = exp((double)(p->logits[r * p->ld + token] * scale) -
                           (double)max);
    const uint32_t *const c = s->counter;
    const double u = (double)rng_uniform(s->seed, RNG_SAMPLE, c[0], c[1], c[2], c[3]) *
                     kept;
    assert_true(u >= below - slack * kept && u <= below + own + slack * kept);
}

static void check_all(struct sample *p)
{
    const struct op_out outs[] = {{p->token, (size_t)p->m * sizeof(int32_t)},
                                  op_out(p->logp, p->m)};
    op_all(run, p, outs, 2);
    op_run_best(run_learner, p);
    op_assert_bits(p->logp, p->learner, p->m, "logp");
    for (int64_t r = 0; r < p->m; r++)
        check_draw(p, r);
}

static void test_cuts(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 2, 17, 100, 512, 513, 1100};
    static const int32_t top_ks[] = {0, 1, 2, 20, 511, 100000};
    static const float top_ps[] = {1, 0.95f, 0.5f, 0.1f, 1e-6f, 0};
    static const float temperatures[] = {1, 0.7f, 2};
    for (int i = 0; i < ARRAY_LEN(widths); i++) {
        struct sample p; /* odd: small integers, hence many ties */
        sample_init(&p, 108, widths[i], i % 2 ? op_small_int : wide);
        for (int64_t r = 0; r < p.m; r++) {
            p.rows[r].top_k = top_ks[r % 6];
            p.rows[r].top_p = top_ps[r / 6 % 6];
            p.rows[r].temperature = temperatures[r / 36];
        }
        check_all(&p);
        op_release(NULL);
    }
}

/* Rows of several slices, whole and cut, greedy with the maximum in a later slice */
static void test_long(void **state)
{
    (void)state;
    struct sample p;
    sample_init(&p, 12, LONG_V, wide);
    for (int64_t r = 0; r < p.m; r++) {
        p.rows[r].top_k = r % 3 == 1 ? 900 : 0;
        p.rows[r].top_p = r % 4 == 2 ? 0.7f : 1;
        p.rows[r].temperature = r % 2 ? 0.8f : 1.3f;
    }
    check_all(&p);
    float *const x = op_floats(p.m * p.ld);
    memcpy(x, p.logits, (size_t)(p.m * p.ld) * sizeof(float));
    for (int64_t r = 0; r < p.m; r++) {
        p.rows[r].temperature = 0;
        x[r * p.ld + r * 700 + 80] = x[r * p.ld + LONG_V - 1] = 50;
    }
    p.logits = x;
    const struct op_out outs[] = {{p.token, (size_t)p.m * sizeof(int32_t)},
                                  op_out(p.logp, p.m)};
    op_all(run, &p, outs, 2);
    for (int64_t r = 0; r < p.m; r++)
        assert_int_equal(p.token[r], r * 700 + 80);
}

/* Every logit equal: the lowest ids are kept, exactly top_k or ceil(top_p v) of them.
 */
static void test_equal(void **state)
{
    (void)state;
    struct sample p;
    sample_init(&p, 1600, 513, wide);
    p.logits = op_constant(p.m * p.ld, -2.5f);
    for (int64_t r = 0; r < p.m; r++) {
        p.rows[r].top_k = r % 2 ? 100 : 0;
        p.rows[r].top_p = r % 2 ? 0.5f : 0.1247f; /* 50 and 64 are kept */
    }
    op_run_best(run, &p);
    bool has[2][64] = {{false}};
    for (int64_t r = 0; r < p.m; r++) {
        assert_true(p.token[r] >= 0 && p.token[r] < (r % 2 ? 50 : 64));
        has[r % 2][p.token[r]] = true;
    }
    for (int i = 0; i < 64; i++) /* missing one: (63/64)^800 = 3e-6 */
        assert_true(has[0][i] && (i >= 50 || has[1][i]));
}

static void test_greedy(void **state)
{
    (void)state;
    struct sample p;
    sample_init(&p, 6, 700, op_small_int);
    float *const x = op_floats(6 * p.ld);
    memcpy(x, p.logits, (size_t)(6 * p.ld) * sizeof(float));
    for (int64_t r = 0; r < 6; r++) {
        p.rows[r].temperature = 0;
        x[r * p.ld + 100 + r] = x[r * p.ld + 600] = 9; /* a tie: the lower one */
    }
    p.logits = x;
    const struct op_out outs[] = {{p.token, 6 * sizeof(int32_t)}, op_out(p.logp, 6)};
    op_all(run, &p, outs, 2);
    op_run_best(run_learner, &p);
    op_assert_bits(p.logp, p.learner, 6, "logp");
    for (int64_t r = 0; r < 6; r++)
        assert_int_equal(p.token[r], 100 + r);
}

/* 20000 draws from {1/2, 1/4, 1/8, 1/8, 0}: within 5 standard deviations */
static void test_frequency(void **state)
{
    (void)state;
    enum { N = 20000 };
    static const double p_of[] = {0.5, 0.25, 0.125, 0.125, 0};
    struct sample p;
    sample_init(&p, N, 5, wide);
    float *const x = op_floats(N * p.ld);
    for (int64_t r = 0; r < N; r++)
        for (int64_t i = 0; i < 5; i++)
            x[r * p.ld + i] = i == 4 ? -INFINITY : (float)log(p_of[i]);
    p.logits = x;
    op_run_best(run, &p);
    int64_t count[5] = {0};
    for (int64_t r = 0; r < N; r++)
        count[p.token[r]]++;
    for (int i = 0; i < 5; i++) {
        const double sd = sqrt(N * p_of[i] * (1 - p_of[i]));
        op_assert_close((double)count[i], N * p_of[i], 5 * sd, "count", i);
    }
}

/* -inf logits are never drawn, whatever the cuts; u = 0 and u near 1 included. */
static void test_minus_inf(void **state)
{
    (void)state;
    struct sample p;
    sample_init(&p, 60, 1300, wide);
    float *const x = op_constant(p.m * p.ld, -INFINITY);
    for (int64_t r = 0; r < p.m; r++) {
        x[r * p.ld + 5] = 1;
        x[r * p.ld + 700] = 2;
        p.rows[r].top_k = r % 3 ? 0 : 50;
        p.rows[r].top_p = r % 2 ? 0.999999f : 1;
    }
    p.logits = x;
    check_all(&p);
    for (int64_t r = 0; r < p.m; r++)
        assert_true(p.token[r] == 5 || p.token[r] == 700);
}

/* Any garbage gives a token in range; NaN shows in the log-probability. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY, 1e38f, -1e38f, 0};
    struct sample p;
    sample_init(&p, 400, 37, wide);
    float *const x = op_floats(p.m * p.ld);
    for (int64_t i = 0; i < p.m * p.ld; i++)
        x[i] = i / p.ld < 6 ? values[i / p.ld] : values[op_below(6)];
    for (int64_t r = 0; r < p.m; r++) {
        p.rows[r].top_k = r % 2 ? 7 : 0;
        p.rows[r].top_p = r % 3 ? 0.8f : 1;
        p.rows[r].temperature = r % 5 ? 1.0f : 0.0f;
    }
    p.logits = x;
    op_run_best(run, &p);
    for (int64_t r = 0; r < p.m; r++)
        assert_true(p.token[r] >= 0 && p.token[r] < p.v);
    assert_true(isnan(p.logp[0]) && isnan(p.logp[1]) && isnan(p.logp[2]));
}

/* A row's draw depends on its counters, not on its place. */
static void test_alone(void **state)
{
    (void)state;
    struct sample p;
    sample_init(&p, 40, 900, wide);
    for (int64_t r = 0; r < 40; r++)
        p.rows[r].top_p = r % 2 ? 0.9f : 1;
    op_run_best(run, &p);
    bool has_other = false;
    for (int64_t r = 0; r < 40; r++) {
        struct sample one = p;
        one.m = 1;
        one.rows += r;
        one.logits += r * p.ld;
        one.token = op_ints(1);
        one.logp = op_floats(1);
        op_run_best(run, &one);
        assert_int_equal(one.token[0], p.token[r]);
        op_assert_bits(one.logp, p.logp + r, 1, "logp");
        one.rows->counter[0] += 1000;
        op_run_best(run, &one);
        has_other = has_other || one.token[0] != p.token[r];
    }
    assert_true(has_other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_cuts),      OP_TEST(test_equal),     OP_TEST(test_greedy),
        OP_TEST(test_frequency), OP_TEST(test_minus_inf), OP_TEST(test_not_finite),
        OP_TEST(test_alone),     OP_TEST(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
