/*
 * Advantages: the published table of engines (specs "objectives" 5), equal rewards,
 * lone and unscored samples, properties, whitening.
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
#include "grpo/advantage.h"

enum { N = 8, MAX_TOKENS = 64 };
static const int64_t lengths[N] = {3, 5, 2, 4, 4, 4, 1, 5};
static const double rewards[N] = {1, 0, 0, 1, 0, 0, 1, 0};

static const struct advantage_kind *kind_named(const char *name)
{
    for (int64_t i = 0; advantage_kind_at(i) != NULL; i++)
        if (strcmp(advantage_kind_name(advantage_kind_at(i)), name) == 0)
            return advantage_kind_at(i);
    fail_msg("no advantage %s", name);
    return NULL;
}

static struct advantage_options options_of(const char *kind, double eps)
{
    return (struct advantage_options){.kind = kind_named(kind),
                                      .eps = eps,
                                      .gamma = 1.0,
                                      .has_std = true,
                                      .reward_low = (double)-INFINITY,
                                      .reward_high = (double)INFINITY};
}

struct step {
    int64_t group[N], off[N + 1];
    double reward[N], work[ADVANTAGE_WORK * N], seq[N], token[MAX_TOKENS];
    uint8_t mask[MAX_TOKENS];
    struct advantage_batch b;
};

static void start(struct step *s, const double *reward, int64_t n, int64_t group_size)
{
    *s = (struct step){.b = {.n_seqs = n,
                             .n_groups = (n + group_size - 1) / group_size,
                             .n_rewards = 1}};
    s->b.group = s->group;
    s->b.off = s->off;
    s->b.mask = s->mask;
    s->b.reward = s->reward;
    memset(s->mask, 1, sizeof(s->mask));
    for (int64_t i = 0; i < n; i++) {
        s->group[i] = i / group_size;
        s->off[i + 1] = s->off[i] + lengths[i];
        s->reward[i] = reward[i];
    }
}

static void run(struct step *s, const struct advantage_options *o)
{
    assert_int_equal(advantage_compute(s->seq, s->token, &s->b, o, s->work), 0);
}

static void assert_near(double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%.12g, expected %.12g +- %.2g", got, want, limit);
}

/* Winner and loser of group 0, winner and loser of group 1 */
static const struct {
    const char *engine, *kind;
    enum advantage_std std;
    double eps, want[4];
} rows[] = {
    {"TRL", "group", 0, 1e-4, {0.865875430, -0.865875430, 1.499700060, -0.499900020}},
    {"TRL batch",
     "batch_std",
     0,
     1e-4,
     {0.965905152, -0.965905152, 1.448857729, -0.482952576}},
    {"verl", "group", 0, 1e-6, {0.866023904, -0.866023904, 1.499997000, -0.499999000}},
    {"OpenRLHF",
     "group",
     0,
     1e-9,
     {0.866025402, -0.866025402, 1.499999997, -0.499999999}},
    {"open-instruct",
     "group",
     ADVANTAGE_STD_POPULATION,
     1e-8,
     {0.999999980, -0.999999980, 1.732050768, -0.577350256}},
    {"Megatron-RL",
     "group",
     ADVANTAGE_STD_POPULATION,
     1e-4,
     {0.999800040, -0.999800040, 1.731650900, -0.577216967}},
    {"Dr. GRPO", "mean_only", 0, 0.0, {0.5, -0.5, 0.75, -0.25}},
    {"RLOO", "rloo", 0, 0.0, {0.666666667, -0.666666667, 1.0, -0.333333333}},
    {"NeMo-RL",
     "leave_one_out",
     0,
     1e-6,
     {1.154698538, -1.154698538, 1.0, -0.577349269}},
    {"REINFORCE++ baseline",
     "reinforce_pp_baseline",
     0,
     0.0,
     {1.419704412, -0.989490954, 2.022003254, -0.387192113}},
    {"REINFORCE++",
     "reinforce_pp",
     0,
     0.0,
     {1.552647472, -0.621058989, 1.552647472, -0.621058989}},
    {"OPO", "opo", 0, 0.0, {0.5, -0.5, 0.928571429, -0.071428571}},
    {"GPG", "gpg", 0, 0.0, {1.333333333, -1.333333333, 2.0, -0.666666667}},
    {"pass@k", "pass_at_k", 0, 1e-6, {0.0, 0.0, 1.999996000, 0.0}},
};

static void test_published(void **state)
{
    (void)state;
    static const int64_t at[4] = {0, 1, 6, 4};
    for (int64_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct step s;
        struct advantage_options o = options_of(rows[i].kind, rows[i].eps);
        o.std = rows[i].std;
        o.count_eps = 1e-8;
        start(&s, rewards, N, 4);
        run(&s, &o);
        for (int j = 0; j < 4; j++) {
            assert_near(s.seq[at[j]], rows[i].want[j], 6e-10);
            assert_near(s.token[s.off[at[j]]], rows[i].want[j], 6e-10);
        }
        print_message("  %-22s %+.9f %+.9f %+.9f %+.9f\n", rows[i].engine, s.seq[0],
                      s.seq[1], s.seq[6], s.seq[4]);
    }
}

/* Equal rewards: exactly 0, although the mean of equal doubles may round. */
static void test_flat_groups(void **state)
{
    (void)state;
    static const double value[] = {0.0, 1.0, 0.1, -0.3, 1e-300, 3.7e20};
    static const char *const names[] = {"group", "mean_only", "batch_std",
                                        "leave_one_out", "rloo"};
    for (int64_t i = 0; i < ARRAY_LEN(value); i++)
        for (int64_t k = 0; k < ARRAY_LEN(names); k++)
            for (int64_t n = 1; n <= 7; n++) {
                double reward[N];
                struct step s;
                struct advantage_options o = options_of(names[k], 0.0);
                for (int64_t j = 0; j < n; j++)
                    reward[j] = value[i];
                assert_true(advantage_is_flat(reward, n));
                start(&s, reward, n, n);
                run(&s, &o);
                for (int64_t j = 0; j < n; j++)
                    assert_true(s.seq[j] == 0.0);
            }
    static const double two[] = {0.5, 0.5, 0.25};
    assert_false(advantage_is_flat(two, 3));
    assert_true(advantage_is_flat(two, 2));
}

/* The winner among equal others: the std of the others is 0, and 0.1 is not binary. */
static void test_leave_one_out_of_equals(void **state)
{
    (void)state;
    static const double reward[] = {0.1, 0.1, 0.1, 0.6};
    struct step s;
    const struct advantage_options o = options_of("leave_one_out", 1e-6);
    start(&s, reward, 4, 4);
    run(&s, &o);
    assert_near(s.seq[3], 0.5, 1e-15);
}

static void test_lone_samples(void **state)
{
    (void)state;
    static const double reward[] = {0.7, 1.0, 0.0};
    struct advantage_options o = options_of("group", 1e-6);
    struct step s;
    start(&s, reward, 3, 2); /* two, and one alone */
    run(&s, &o);
    assert_true(s.seq[2] == 0.0 && s.seq[0] < 0.0);
    s.reward[2] = 0.4;
    o.single = SINGLE_REWARD;
    run(&s, &o);
    assert_near(s.seq[2], 0.4 / (1.0 + 1e-6), 1e-15);
    o = options_of("pass_at_k", 1e-6);
    assert_int_equal(advantage_compute(s.seq, s.token, &s.b, &o, s.work), ERR_INPUT);
}

/* Unscored samples: advantage 0, the others as if they were not there. */
static void test_unscored(void **state)
{
    (void)state;
    static const double with[] = {1.0, NAN, 0.0, 0.0}, without[] = {1.0, 0.0, 0.0};
    static const char *const names[] = {"group", "mean_only", "batch_std", "rloo"};
    for (int64_t k = 0; k < ARRAY_LEN(names); k++) {
        const struct advantage_options o = options_of(names[k], 1e-4);
        struct step a, b;
        start(&a, with, 4, 4);
        start(&b, without, 3, 3);
        run(&a, &o);
        run(&b, &o);
        assert_true(a.seq[1] == 0.0 && a.seq[0] == b.seq[0]);
        assert_true(a.seq[2] == b.seq[1] && a.seq[3] == b.seq[2]);
    }
}

/* Sum 0, variance 1 with n - 1, blind to a shift of the rewards */
static void test_properties(void **state)
{
    (void)state;
    for (uint32_t trial = 0; trial < 100; trial++) {
        double r[N], shifted[N], sum = 0.0, sq = 0.0;
        const int64_t n = 2 + (int64_t)rng_below(1, RNG_TEST, N - 1, trial, 0, 0, 0);
        const struct advantage_options o = options_of("group", 0.0);
        struct step a, b;
        for (int64_t i = 0; i < n; i++) {
            r[i] = (double)rng_normal(2, RNG_TEST, trial, (uint32_t)i, 0, 0);
            shifted[i] = r[i] + 8.0;
        }
        start(&a, r, n, n);
        start(&b, shifted, n, n);
        run(&a, &o);
        run(&b, &o);
        for (int64_t i = 0; i < n; i++) {
            sum += a.seq[i];
            sq += a.seq[i] * a.seq[i];
            assert_near(b.seq[i], a.seq[i], 1e-10 * (1.0 + fabs(a.seq[i])) * N);
        }
        assert_near(sum, 0.0, 1e-12 * N);
        assert_near(sq / (double)(n - 1), 1.0, 1e-12 * N);
    }
}

/* Over the tokens that count: mean 0, variance 1; masked tokens are 0. */
static void test_whitening(void **state)
{
    (void)state;
    struct step s;
    struct advantage_options o = options_of("mean_only", 1e-6);
    double n = 0.0, sum = 0.0, sq = 0.0;
    start(&s, rewards, N, 4);
    s.mask[1] = s.mask[9] = s.mask[20] = 0;
    o.whiten = WHITEN_TOKEN;
    run(&s, &o);
    for (int64_t t = 0; t < s.off[N]; t++) {
        assert_true(s.mask[t] || s.token[t] == 0.0);
        n += s.mask[t];
        sum += s.token[t];
        sq += s.token[t] * s.token[t];
    }
    assert_near(sum, 0.0, 1e-12);
    assert_near(sq / (n - 1.0), 1.0, 1e-7); /* 1e-8 below the root */
    o.whiten = WHITEN_BATCH;
    o.eps = 0.0;
    run(&s, &o);
    for (int i = 0; i < N; i++)
        sum += s.seq[i];
    assert_near(sum, 0.0, 1e-12);
}

/* The penalty is taken off each token; a discount weighs later ones less. */
static void test_returns(void **state)
{
    (void)state;
    static const double reward[] = {1.0, 0.0};
    double penalty[MAX_TOKENS] = {0.5, 0.25, 0.0};
    struct step s;
    struct advantage_options o = options_of("reinforce_pp", 0.0);
    double want[8], mean = 0.0, var = 0.0;
    start(&s, reward, 2, 2);
    s.b.penalty = penalty;
    o.gamma = 0.5;
    run(&s, &o);
    want[2] = 1.0;
    want[1] = -0.25 + 0.5 * want[2];
    want[0] = -0.5 + 0.5 * want[1];
    for (int t = 3; t < 8; t++)
        want[t] = 0.0;
    for (int t = 0; t < 8; t++)
        mean += want[t] / 8.0;
    for (int t = 0; t < 8; t++)
        var += (want[t] - mean) * (want[t] - mean) / 7.0;
    for (int t = 0; t < 8; t++)
        assert_near(s.token[t], (want[t] - mean) / sqrt(var + 1e-8), 1e-12);
    /* per sequence it is taken off the reward */
    o = options_of("mean_only", 0.0);
    run(&s, &o);
    assert_near(s.seq[0], (1.0 - 0.75) / 2.0, 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_flat_groups),
        cmocka_unit_test(test_lone_samples),
        cmocka_unit_test(test_unscored),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_whitening),
        cmocka_unit_test(test_returns),
        cmocka_unit_test(test_leave_one_out_of_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
