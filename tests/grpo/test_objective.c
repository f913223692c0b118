/*
 * Advantages, objective and aggregations: the published values of specs "objectives" 5
 * and 6 that these formulas must give, finite differences of the gradients, and the
 * corner cases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "grpo/objective.h"

enum { N = 8, G = 4, MAX_TOKENS = 5, N_TOKENS = 28 };
static const double rewards[N] = {1, 0, 0, 1, 0, 0, 1, 0};
static const int64_t lengths[N] = {3, 5, 2, 4, 4, 4, 1, 5};

static void assert_near(double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%.10g, expected %.10g +- %.2g", got, want, limit);
}

static advantage_fn advantage_named(const char *name)
{
    int64_t n = 0;
    const struct advantage_kind *const kinds = advantage_kinds(&n);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].fn;
    fail_msg("no advantage %s", name);
    return NULL;
}

static objective_fn objective_named(const char *name)
{
    int64_t n = 0;
    const struct objective_kind *const kinds = objective_kinds(&n);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].fn;
    fail_msg("no objective %s", name);
    return NULL;
}

static aggregation_fn aggregation_named(const char *name)
{
    int64_t n = 0;
    const struct aggregation_kind *const kinds = aggregation_kinds(&n);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].fn;
    fail_msg("no aggregation %s", name);
    return NULL;
}

/* Table 5: winner and loser of group 0, winner and loser of group 1 */
static void test_published_advantages(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        double eps, want[4];
    } rows[] = {
        {"group", 1e-4, {0.865875430, -0.865875430, 1.499700060, -0.499900020}},
        {"group", 1e-6, {0.866023904, -0.866023904, 1.499997000, -0.499999000}},
        {"group", 1e-9, {0.866025402, -0.866025402, 1.499999997, -0.499999999}},
        {"mean_only", 1e-4, {0.5, -0.5, 0.75, -0.25}},
    };
    static const int64_t at[4] = {0, 1, 2, 0}; /* in its group */
    for (int64_t i = 0; i < (int64_t)(sizeof(rows) / sizeof(rows[0])); i++) {
        double adv[2][G];
        const advantage_fn fn = advantage_named(rows[i].kind);
        fn(adv[0], rewards, G, rows[i].eps);
        fn(adv[1], rewards + G, G, rows[i].eps);
        for (int j = 0; j < 4; j++)
            assert_near(adv[j / 2][at[j]], rows[i].want[j], 6e-10);
    }
}

static void test_flat_groups(void **state)
{
    (void)state;
    /* 0.1 is not a binary fraction: the mean of equal values may differ from them */
    static const double value[] = {0.0, 1.0, 0.1, -0.3, 1e-300, 3.7e20};
    static const char *const kinds[] = {"group", "mean_only"};
    for (int64_t i = 0; i < 6; i++)
        for (int k = 0; k < 2; k++)
            for (int64_t n = 1; n <= 7; n++) {
                double reward[7], adv[7];
                for (int64_t j = 0; j < n; j++)
                    reward[j] = value[i];
                assert_true(advantage_is_flat(reward, n));
                advantage_named(kinds[k])(adv, reward, n, 0.0);
                for (int64_t j = 0; j < n; j++)
                    assert_true(adv[j] == 0.0);
            }
    const double two[] = {0.5, 0.5, 0.25};
    assert_false(advantage_is_flat(two, 3));
    assert_true(advantage_is_flat(two, 2));
}

/* Advantages of a group sum to 0, have n - 1 variance, and do not see a shift. */
static void test_advantage_properties(void **state)
{
    (void)state;
    for (uint32_t trial = 0; trial < 100; trial++) {
        enum { MAX = 16 };
        double r[MAX], shifted[MAX], a[MAX], b[MAX], sum = 0.0, sq = 0.0;
        const int64_t n = 2 + (int64_t)rng_below(1, RNG_TEST, MAX - 1, trial, 0, 0, 0);
        for (int64_t i = 0; i < n; i++) {
            r[i] = (double)rng_normal(2, RNG_TEST, trial, (uint32_t)i, 0, 0);
            shifted[i] = r[i] + 8.0;
        }
        advantage_named("group")(a, r, n, 0.0);
        advantage_named("group")(b, shifted, n, 0.0);
        for (int64_t i = 0; i < n; i++) {
            sum += a[i];
            sq += a[i] * a[i];
            assert_near(b[i], a[i], 1e-10 * (1.0 + fabs(a[i])) * (double)n);
        }
        assert_near(sum, 0.0, 1e-12 * (double)n);
        assert_near(sq / (double)(n - 1), 1.0, 1e-12 * (double)n);
    }
}

/* The inputs of section 6 */
struct base {
    float logp[N][MAX_TOKENS], old[N][MAX_TOKENS], ref[N][MAX_TOKENS], h[N][MAX_TOKENS];
};

static void base_init(struct base *b)
{
    for (int i = 0; i < N; i++)
        for (int t = 0; t < lengths[i]; t++) {
            const double l = -0.05 * (1 + (7 * i + 3 * t) % 11);
            b->logp[i][t] = (float)l;
            b->old[i][t] = (float)(l + 0.1 * ((5 * i + 2 * t) % 7 - 3));
            b->ref[i][t] = (float)(l + 0.05 * ((3 * i + 5 * t) % 5 - 2));
            b->h[i][t] = (float)(0.25 + (5 * i + 3 * t) % 13 / 16.0);
        }
}

struct recipe {
    const char *name;
    double adv_eps;
    struct objective_options opt;
    const char *aggregation;
    double loss, sum_abs, g00, g12, g60;
};

/* verl's dual clip (c = 3) acts on ratios above 3 only; here they stay below 1.4. */
static const struct recipe recipes[] = {
    {"trl grpo",
     1e-4,
     {0.2, 0.2, 0, 0},
     "sequence_mean",
     -0.0423687003,
     0.6713708195,
     0.0,
     0.0239235086,
     -0.2071781115},
    {"trl dapo",
     1e-4,
     {0.2, 0.2, 0, 0},
     "token_mean",
     0.1560128434,
     0.5549400987,
     0.0,
     0.0341764408,
     -0.0591937461},
    {"trl dapo eps_high=.28",
     1e-4,
     {0.2, 0.28, 0, 0},
     "token_mean",
     0.1504031223,
     0.5927109072,
     0.0,
     0.0341764408,
     -0.0591937461},
    {"trl grpo beta=.04",
     1e-4,
     {0.2, 0.2, 0.04, 0},
     "sequence_mean",
     -0.0422694663,
     0.6728041306,
     0.0001586043,
     0.0238722375,
     -0.2074344670},
    {"trl dapo beta=.04",
     1e-4,
     {0.2, 0.2, 0.04, 0},
     "token_mean",
     0.1561139551,
     0.5562901319,
     0.0001359465,
     0.0341031964,
     -0.0592669906},
    {"trl dapo entropy_coef=.01",
     1e-4,
     {0.2, 0.2, 0, 0.01},
     "token_mean",
     0.1499190934,
     0.5549400987,
     0.0,
     0.0341764408,
     -0.0591937461},
    {"verl token-mean",
     1e-6,
     {0.2, 0.2, 0, 0},
     "token_mean",
     0.1560442519,
     0.5550419161,
     0.0,
     0.0341823012,
     -0.0592054665},
    {"verl seq-mean-token-mean",
     1e-6,
     {0.2, 0.2, 0, 0},
     "sequence_mean",
     -0.0423764572,
     0.6714955077,
     0.0,
     0.0239276108,
     -0.2072191306},
    {"verl +k3*0.1",
     1e-6,
     {0.2, 0.2, 0.1, 0},
     "token_mean",
     0.1562970310,
     0.5584169992,
     0.0003398664,
     0.0339991901,
     -0.0593885775},
    {"verl entropy_coeff=.01",
     1e-6,
     {0.2, 0.2, 0, 0.01},
     "token_mean",
     0.1499505019,
     0.5550419161,
     0.0,
     0.0341823012,
     -0.0592054665},
};

/* One recipe over all sequences; gradients into g and dh. */
static struct objective_sums apply(const struct recipe *r, const struct base *b,
                                   float g[N][MAX_TOKENS], float dh[N][MAX_TOKENS])
{
    struct objective_sums sums = {0};
    double adv[N];
    const aggregation_fn weight = aggregation_named(r->aggregation);
    for (int i = 0; i < N; i += G)
        advantage_named("group")(adv + i, rewards + i, G, r->adv_eps);
    for (int i = 0; i < N; i++) {
        const struct objective_input in = {.n = lengths[i],
                                           .logp = b->logp[i],
                                           .logp_old = b->old[i],
                                           .logp_ref = r->opt.kl_coef > 0.0 ? b->ref[i]
                                                                            : NULL,
                                           .entropy = b->h[i],
                                           .advantage = adv[i],
                                           .weight = weight(lengths[i], N, N_TOKENS)};
        objective_named("ppo_clip")(g[i], dh[i], &sums, &in, &r->opt);
    }
    return sums;
}

/* Inputs and gradients are fp32: 1e-6 of the sum of magnitudes */
static void test_published_losses(void **state)
{
    (void)state;
    struct base b;
    base_init(&b);
    for (int64_t k = 0; k < (int64_t)(sizeof(recipes) / sizeof(recipes[0])); k++) {
        const struct recipe *const r = &recipes[k];
        float g[N][MAX_TOKENS], dh[N][MAX_TOKENS];
        const struct objective_sums sums = apply(r, &b, g, dh);
        double sum_abs = 0.0;
        for (int i = 0; i < N; i++)
            for (int t = 0; t < lengths[i]; t++)
                sum_abs += fabs((double)g[i][t]);
        print_message("  %-26s loss %+.10f, off by %.1e\n", r->name, sums.loss,
                      fabs(sums.loss - r->loss));
        assert_near(sums.loss, r->loss, 1e-6 * r->sum_abs);
        assert_near(sum_abs, r->sum_abs, 1e-6 * r->sum_abs);
        assert_near((double)g[0][0], r->g00, 1e-6 * r->sum_abs);
        assert_near((double)g[1][2], r->g12, 1e-6 * r->sum_abs);
        assert_near((double)g[6][0], r->g60, 1e-6 * r->sum_abs);
        assert_true(sums.n_tokens == (double)N_TOKENS);
    }
}

/* Sums that become metrics, from their definitions in double */
static void test_sums(void **state)
{
    (void)state;
    struct base b;
    float g[N][MAX_TOKENS], dh[N][MAX_TOKENS];
    const struct recipe r = {"", 1e-6, {0.1, 0.2, 0.1, 0.05}, "token_mean", 0, 0, 0,
                             0,  0};
    struct objective_sums want = {0};
    base_init(&b);
    const struct objective_sums got = apply(&r, &b, g, dh);
    for (int i = 0; i < N; i++)
        for (int t = 0; t < lengths[i]; t++) {
            const double d = (double)b.logp[i][t] - (double)b.old[i][t];
            const double q = (double)b.ref[i][t] - (double)b.logp[i][t];
            const bool is_won = rewards[i] > 0.5;
            want.ratio += exp(d);
            want.kl_old += exp(d) - d - 1.0;
            want.kl_ref += exp(q) - q - 1.0;
            want.entropy += (double)b.h[i][t];
            want.clip_high += is_won && exp(d) > 1.2;
            want.clip_low += !is_won && exp(d) < 0.9;
            want.logp_diff_max = fmax(want.logp_diff_max, fabs(d));
            assert_near((double)dh[i][t], -0.05 / N_TOKENS, 1e-9);
        }
    assert_near(got.ratio, want.ratio, 1e-12 * want.ratio);
    assert_near(got.kl_old, want.kl_old, 1e-12);
    assert_near(got.kl_ref, want.kl_ref, 1e-12);
    assert_near(got.entropy, want.entropy, 1e-12);
    assert_true(got.clip_high == want.clip_high && want.clip_high > 0.0);
    assert_true(got.clip_low == want.clip_low && want.clip_low > 0.0);
    assert_true(got.logp_diff_max == want.logp_diff_max);
    struct objective_sums twice = got;
    objective_sums_add(&twice, &got);
    assert_true(twice.loss == 2.0 * got.loss && twice.n_tokens == 2.0 * got.n_tokens);
    assert_true(twice.kl_ref == 2.0 * got.kl_ref && twice.kl_old == 2.0 * got.kl_old);
    assert_true(twice.ratio == 2.0 * got.ratio && twice.entropy == 2.0 * got.entropy);
    assert_true(twice.clip_low == 2.0 * got.clip_low);
    assert_true(twice.clip_high == 2.0 * got.clip_high);
    assert_true(twice.logp_diff_max == got.logp_diff_max);
}

/* A log-prob that is not a number reaches the report instead of being lost in a max. */
static void test_nan(void **state)
{
    (void)state;
    struct base b;
    float g[N][MAX_TOKENS], dh[N][MAX_TOKENS];
    base_init(&b);
    b.logp[3][1] = NAN;
    const struct objective_sums sums = apply(&recipes[1], &b, g, dh);
    struct objective_sums all = {0}, none = {0};
    objective_sums_add(&all, &sums);
    objective_sums_add(&all, &none);
    assert_true(isnan(sums.loss) && isnan(all.loss));
    assert_true(isnan(sums.logp_diff_max) && isnan(all.logp_diff_max));
    assert_true(isnan((double)g[3][1]));
}

static double loss_at(const struct objective_input *in, float *logp, float x,
                      const struct objective_options *opt)
{
    float g[1], dh[1];
    struct objective_sums sums = {0};
    *logp = x;
    objective_named("ppo_clip")(g, dh, &sums, in, opt);
    return sums.loss;
}

/* Steps of 2^-6 and 2^-7 are exact in fp32; the two differences combined leave an error
 * of fourth order, 2^-24 times a fifth derivative of size 1, and 1e-7 for the
 * gradient's own fp32. Ratios within a step of a clip bound are left out. */
static void test_slopes(void **state)
{
    (void)state;
    int n_checked = 0, n_clipped = 0;
    for (uint32_t trial = 0; trial < 2000; trial++) {
        const struct objective_options opt = {.clip_low = 0.2,
                                              .clip_high = 0.3,
                                              .kl_coef = trial % 3 == 0 ? 0.5 : 0.0,
                                              .entropy_coef = 0.1};
        float logp, g, dh;
        const float at = -0x1p-8f *
                         (float)(200 + rng_below(1, RNG_TEST, 300, trial, 0, 0, 0));
        const float old =
            at + 0x1p-8f * ((float)rng_below(1, RNG_TEST, 300, trial, 1, 0, 0) - 150);
        const float ref =
            at + 0x1p-8f * ((float)rng_below(1, RNG_TEST, 300, trial, 2, 0, 0) - 150);
        const float entropy = 1.25f;
        struct objective_input in = {.n = 1,
                                     .logp = &logp,
                                     .logp_old = &old,
                                     .logp_ref = opt.kl_coef > 0.0 ? &ref : NULL,
                                     .entropy = &entropy,
                                     .advantage = trial % 2 == 0 ? 0.75 : -1.25,
                                     .weight = 0.5};
        const double ratio = exp((double)(at - old));
        if (fabs(ratio - 0.8) < 0.04 || fabs(ratio - 1.3) < 0.04)
            continue;
        struct objective_sums sums = {0};
        logp = at;
        objective_named("ppo_clip")(&g, &dh, &sums, &in, &opt);
        double slope[2];
        for (int i = 0; i < 2; i++) {
            const float h = i == 0 ? 0x1p-6f : 0x1p-7f;
            slope[i] = (loss_at(&in, &logp, at + h, &opt) -
                        loss_at(&in, &logp, at - h, &opt)) /
                       (2.0 * (double)h);
        }
        assert_near((double)g, (4.0 * slope[1] - slope[0]) / 3.0, 2e-7 * (1.0 + ratio));
        assert_near((double)dh, -0.05, 1e-8);
        n_checked++;
        n_clipped += sums.clip_low + sums.clip_high > 0.0;
    }
    assert_true(n_checked > 1500 && n_clipped > 100);
}

static void test_weights(void **state)
{
    (void)state;
    const aggregation_fn token = aggregation_named("token_mean");
    const aggregation_fn sequence = aggregation_named("sequence_mean");
    assert_true(token(3, 8, 28) == 1.0 / 28.0);
    assert_true(token(5, 8, 28) == 1.0 / 28.0);
    assert_true(sequence(5, 8, 28) == 1.0 / 40.0);
    /* weights of all tokens sum to 1 */
    double sums[2] = {0.0, 0.0};
    for (int i = 0; i < N; i++) {
        sums[0] += (double)lengths[i] * token(lengths[i], N, N_TOKENS);
        sums[1] += (double)lengths[i] * sequence(lengths[i], N, N_TOKENS);
    }
    assert_near(sums[0], 1.0, 1e-15 * N);
    assert_near(sums[1], 1.0, 1e-15 * N);
    /* nothing kept, an empty sample: no division by 0 */
    assert_true(token(0, 0, 0) == 0.0);
    assert_true(sequence(0, 8, 28) == 0.0 && sequence(3, 0, 0) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_advantages),
        cmocka_unit_test(test_flat_groups),
        cmocka_unit_test(test_advantage_properties),
        cmocka_unit_test(test_published_losses),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
