/*
 * The objective of one sequence: gradients of every kind against finite differences
 * (against their definition where a factor is detached), the sums that become metrics,
 * numbers that are not finite.
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
#include "core/status.h"
#include "grpo/config.h"
#include "grpo/objective.h"
#include "grpo/objective_recipe.h"

enum { MAX = 9 };

static void assert_near(double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%.12g, expected %.12g +- %.2g", got, want, limit);
}

static struct objective_options options_with(const char *const *words, int n)
{
    struct config c;
    struct recipe r;
    char copies[8][80], *argv[8] = {0};
    for (int i = 0; i < n; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s", words[i]);
        argv[i] = copies[i];
    }
    if (config_parse(&c, n, argv) != 0 || recipe_init(&r, &c) != 0)
        fail_msg("%s", status_message());
    config_release(&c);
    return r.objective;
}

struct sequence {
    double logp[MAX], old[MAX], ref[MAX], behaviour[MAX], entropy[MAX], weights[MAX];
    uint8_t mask[MAX];
    double advantages[MAX];
    struct objective_sample in;
};

static double draw(uint32_t trial, uint32_t what, uint32_t t)
{
    return (double)rng_normal(31, RNG_TEST, trial, what, t, 0);
}

static void fill(struct sequence *s, uint32_t trial, bool has_weights)
{
    const int64_t n = 1 + trial % MAX;
    s->in = (struct objective_sample){.n = n,
                                      .logp = s->logp,
                                      .logp_old = s->old,
                                      .logp_ref = s->ref,
                                      .behaviour = s->behaviour,
                                      .entropy = s->entropy,
                                      .advantage = trial % 2 == 0 ? 0.75 : -1.25,
                                      .mask = s->mask,
                                      .weights = has_weights ? s->weights : NULL,
                                      .scale = 0.5,
                                      .kl_scale = 0.25,
                                      .entropy_scale = 0.125};
    for (int64_t t = 0; t < n; t++) {
        const uint32_t k = (uint32_t)t;
        s->logp[t] = -fabs(draw(trial, 0, k)) - 0.1;
        s->old[t] = s->logp[t] + 0.3 * draw(trial, 1, k);
        s->ref[t] = s->logp[t] + 0.4 * draw(trial, 2, k);
        s->behaviour[t] = s->old[t] + 0.2 * draw(trial, 3, k);
        s->entropy[t] = fabs(draw(trial, 4, k));
        s->weights[t] = fabs(draw(trial, 5, k));
        s->mask[t] = t == 0 || draw(trial, 6, k) > -1.0;
    }
}

static double loss_of(const struct sequence *s, const struct objective_options *o,
                      double *dlogp, double *dent)
{
    double work[OBJECTIVE_WORK * MAX];
    struct objective_sums sums = {0};
    const double loss = objective_evaluate(dlogp, dent, &sums, &s->in, o, work);
    assert_true(sums.loss == loss);
    return loss;
}

/* The fourth-order difference in one value; NaN where a kink lies in between, which
 * shows as slopes that do not shrink together. */
static double slope(struct sequence *s, double *x, const struct objective_options *o)
{
    static const double h = 1e-4;
    const double at = *x;
    double f[4], dlogp[MAX], dent[MAX];
    static const double steps[4] = {1.0, -1.0, 2.0, -2.0};
    for (int i = 0; i < 4; i++) {
        *x = at + h * steps[i];
        f[i] = loss_of(s, o, dlogp, dent);
    }
    *x = at;
    const double near = (f[0] - f[1]) / (2.0 * h), far = (f[2] - f[3]) / (4.0 * h);
    return fabs(near - far) > 1e-6 ? (double)NAN : (4.0 * near - far) / 3.0;
}

struct setting {
    const char *words[6];
    int n;
    bool has_weights;
};

static const struct setting differentiable[] = {
    {{"grpo.objective=ppo_clip"}, 1, true},
    {{"grpo.objective=ppo_clip", "grpo.clip_dual=1.1", "grpo.clip_delta=1.3"}, 3, true},
    {{"grpo.objective=ppo_clip", "grpo.ratio=sequence", "grpo.clip_high=0.5"}, 3, true},
    {{"grpo.objective=ppo_clip", "grpo.ratio=product", "grpo.clip_low=0.9"}, 3, false},
    {{"grpo.objective=sapo"}, 1, true},
    {{"grpo.objective=sapo", "grpo.ratio=sequence", "grpo.tau_pos=2"}, 3, false},
    {{"grpo.objective=gpg"}, 1, true},
    {{"grpo.objective=dro", "grpo.dro_beta=0.7"}, 2, true},
    {{"grpo.objective=kl_cov"}, 1, true},
    {{"grpo.objective=gmpo", "grpo.clip_low=0.4", "grpo.clip_high=0.4"}, 3, false},
    {{"grpo.objective=geo_mean", "grpo.count_eps=1e-8"}, 2, true},
    {{"grpo.objective=rloo", "grpo.clip_high=1.5"}, 2, false},
    {{"grpo.objective=gpg", "grpo.kl=k1", "grpo.kl_coef=0.3"}, 3, true},
    {{"grpo.objective=gpg", "grpo.kl=abs", "grpo.kl_coef=0.3"}, 3, false},
    {{"grpo.objective=gpg", "grpo.kl=k2", "grpo.kl_coef=0.3"}, 3, false},
    {{"grpo.objective=gpg", "grpo.kl=k3", "grpo.kl_coef=0.3"}, 3, false},
    {{"grpo.objective=gpg", "grpo.kl=k3_clamped", "grpo.kl_coef=0.3"}, 3, false},
    {{"grpo.objective=sapo", "grpo.kl_coef=0.3", "grpo.kl_weighted=true"}, 3, true},
    {{"grpo.objective=sapo", "grpo.kl_coef=0.3", "grpo.kl_weighted=true",
      "grpo.ratio=sequence"},
     4,
     true},
    {{"grpo.objective=ppo_clip", "grpo.entropy_coef=0.2"}, 2, true},
};

static int64_t check_slopes(struct sequence *s, const struct objective_options *o)
{
    double dlogp[MAX], dent[MAX];
    int64_t n = 0;
    loss_of(s, o, dlogp, dent);
    for (int64_t t = 0; t < s->in.n; t++) {
        const double want = slope(s, &s->logp[t], o);
        if (!isnan(want)) {
            assert_near(dlogp[t], want, 2e-9 * (1.0 + fabs(want)));
            n++;
        }
        const double of_entropy = slope(s, &s->entropy[t], o);
        assert_near(dent[t], of_entropy, 2e-10);
        assert_true(s->mask[t] || (dlogp[t] == 0.0 && dent[t] == 0.0));
    }
    return n;
}

static void test_slopes(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(differentiable); k++) {
        const struct setting *const x = &differentiable[k];
        const struct objective_options o = options_with(x->words, x->n);
        int64_t n = 0;
        for (uint32_t trial = 0; trial < 200; trial++) {
            struct sequence s;
            fill(&s, trial, x->has_weights);
            n += check_slopes(&s, &o);
        }
        print_message("  %s %s: %lld slopes\n", x->words[0],
                      x->n > 1 ? x->words[1] : "", (long long)n);
        assert_true(n > 900);
    }
}

/* Kinds with a detached factor are linear in logp: x = slope logp, and the slope holds
 * still when the ratio is held by moving logp_old along. */
static void test_detached(void **state)
{
    (void)state;
    static const struct setting kinds[] = {
        {{"grpo.objective=cispo"}, 1, true},
        {{"grpo.objective=cispo", "grpo.cap=absolute", "grpo.clip_high=1.1"}, 3, true},
        {{"grpo.objective=vespo"}, 1, true},
        {{"grpo.objective=gpg"}, 1, true},
    };
    for (int64_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (uint32_t trial = 0; trial < 100; trial++) {
            const struct objective_options o = options_with(kinds[k].words, kinds[k].n);
            struct sequence s;
            double dlogp[MAX], dent[MAX], again[MAX], sum = 0.0;
            fill(&s, trial, true);
            const double loss = loss_of(&s, &o, dlogp, dent);
            for (int64_t t = 0; t < s.in.n; t++)
                sum += dlogp[t] * s.logp[t];
            assert_near(loss, sum, 1e-12 * (1.0 + fabs(sum)));
            for (int64_t t = 0; t < s.in.n; t++) {
                s.logp[t] -= 0.25;
                s.old[t] -= 0.25;
            }
            loss_of(&s, &o, again, dent);
            for (int64_t t = 0; t < s.in.n; t++)
                assert_near(again[t], dlogp[t], 1e-12 * (1.0 + fabs(dlogp[t])));
        }
}

/* Caps: no token's weight passes them; a token in the trust region has its ratio. */
static void test_bounds(void **state)
{
    (void)state;
    static const char *const cispo[] = {"grpo.objective=cispo", "grpo.clip_high=0.1",
                                        "grpo.clip_low=0.1"};
    static const char *const tv[] = {"grpo.objective=dppo_tv", "grpo.clip_high=0.05",
                                     "grpo.clip_low=0.05", "grpo.clip_dual=1.1"};
    const struct objective_options a = options_with(cispo, 3), b = options_with(tv, 4);
    int n_out = 0;
    for (uint32_t trial = 0; trial < 300; trial++) {
        struct sequence s;
        double dlogp[MAX], dent[MAX];
        fill(&s, trial, false);
        const double size = fabs(s.in.advantage) * s.in.scale;
        loss_of(&s, &a, dlogp, dent);
        for (int64_t t = 0; t < s.in.n; t++)
            assert_true(!s.mask[t] || (fabs(dlogp[t]) <= size * (1.1 + 1e-12) &&
                                       fabs(dlogp[t]) >= size * (0.9 - 1e-12)));
        loss_of(&s, &b, dlogp, dent);
        for (int64_t t = 0; t < s.in.n; t++) {
            const double change = exp(s.logp[t]) - exp(s.old[t]);
            const bool is_out = s.in.advantage > 0.0 ? change > 0.05 : change < -0.05;
            const double r = fmin(exp(s.logp[t] - s.old[t]), 1.1);
            const double want = is_out || !s.mask[t] ? 0.0
                                                     : -s.in.advantage * r * s.in.scale;
            assert_near(dlogp[t], want, 1e-12);
            n_out += is_out;
        }
    }
    assert_true(n_out > 100);
}

static void test_sums(void **state)
{
    (void)state;
    static const char *const words[] = {"grpo.clip_low=0.1", "grpo.kl_coef=0.1",
                                        "grpo.entropy_coef=0.05"};
    const struct objective_options o = options_with(words, 3);
    struct objective_sums got = {0}, want = {0};
    double dlogp[MAX], dent[MAX], work[OBJECTIVE_WORK * MAX];
    for (uint32_t trial = 0; trial < 40; trial++) {
        struct sequence s;
        fill(&s, trial, true);
        objective_evaluate(dlogp, dent, &got, &s.in, &o, work);
        for (int64_t t = 0; t < s.in.n; t++) {
            if (!s.mask[t])
                continue;
            const double d = s.logp[t] - s.old[t], q = s.ref[t] - s.logp[t];
            const double m = s.old[t] - s.behaviour[t];
            want.n_tokens += 1.0;
            want.ratio += exp(d);
            want.kl_old += exp(d) - d - 1.0;
            want.kl_ref += exp(q) - q - 1.0;
            want.entropy += s.entropy[t];
            want.weight += s.weights[t];
            want.clip_high += s.in.advantage > 0.0 && exp(d) > 1.2;
            want.clip_low += s.in.advantage < 0.0 && exp(d) < 0.9;
            want.logp_diff_max = fmax(want.logp_diff_max, fabs(d));
            want.mismatch.k3 += exp(m) - m - 1.0;
            want.mismatch.ratio_sq += exp(2.0 * m);
        }
    }
    assert_true(got.n_seqs == 40.0 && got.n_tokens == want.n_tokens);
    assert_near(got.ratio, want.ratio, 1e-10);
    assert_near(got.kl_old, want.kl_old, 1e-10);
    assert_near(got.kl_ref, want.kl_ref, 1e-10);
    assert_near(got.entropy, want.entropy, 1e-10);
    assert_near(got.weight, want.weight, 1e-10);
    assert_near(got.mismatch.k3, want.mismatch.k3, 1e-10);
    assert_near(got.mismatch.ratio_sq, want.mismatch.ratio_sq, 1e-10);
    assert_true(got.clip_high == want.clip_high && want.clip_high > 0.0);
    assert_true(got.clip_low == want.clip_low && want.clip_low > 0.0);
    assert_true(got.logp_diff_max == want.logp_diff_max);
    struct objective_sums twice = got;
    objective_sums_add(&twice, &got);
    assert_true(twice.loss == 2.0 * got.loss && twice.n_tokens == 2.0 * got.n_tokens);
    assert_true(twice.mismatch.k1 == 2.0 * got.mismatch.k1);
    assert_true(twice.off_policy.seq_ratio_sq == 2.0 * got.off_policy.seq_ratio_sq);
    assert_true(twice.logp_diff_max == got.logp_diff_max);
}

static void collect_metric(void *user, const char *name, double value)
{
    double *const ess = user;
    assert_true(isfinite(value));
    if (strcmp(name, "off_policy_ess") == 0)
        ess[0] = value;
    if (strcmp(name, "off_policy_chi2_token") == 0)
        ess[1] = value;
}

/* Without tokens every figure is finite; on-policy the effective sample size is 1. */
static void test_metrics(void **state)
{
    (void)state;
    const struct objective_options o = options_with(NULL, 0);
    struct objective_sums sums = {0};
    double at[2] = {-1.0, -1.0}, dlogp[MAX], dent[MAX], work[OBJECTIVE_WORK * MAX];
    struct sequence s;
    objective_metrics(&sums, collect_metric, at);
    assert_true(at[0] == 0.0 && at[1] == 0.0);
    fill(&s, 8, false);
    memcpy(s.old, s.logp, sizeof(s.old));
    memcpy(s.behaviour, s.logp, sizeof(s.old));
    objective_evaluate(dlogp, dent, &sums, &s.in, &o, work);
    objective_metrics(&sums, collect_metric, at);
    assert_true(at[0] == 1.0 && at[1] == 0.0);
}

/* A log-prob that is not a number reaches loss, gradient and report; one outside the
 * mask reaches nothing. */
static void test_nan(void **state)
{
    (void)state;
    for (int64_t k = 0; objective_kind_at(k) != NULL; k++) {
        char word[64];
        const char *const words[] = {word};
        snprintf(word, sizeof(word), "grpo.objective=%s",
                 objective_kind_name(objective_kind_at(k)));
        const struct objective_options o = options_with(words, 1);
        struct objective_sums sums = {0}, all = {0}, none = {0};
        double dlogp[MAX], dent[MAX], work[OBJECTIVE_WORK * MAX];
        struct sequence s;
        fill(&s, 8, false);
        memset(s.mask, 1, sizeof(s.mask));
        s.logp[1] = (double)NAN;
        objective_evaluate(dlogp, dent, &sums, &s.in, &o, work);
        objective_sums_add(&all, &sums);
        objective_sums_add(&all, &none);
        if (!isnan(sums.loss) || !isnan(all.loss) || !isnan(all.logp_diff_max))
            fail_msg("%s lost a NaN", word);
        s.mask[1] = 0;
        memset(&sums, 0, sizeof(sums));
        objective_evaluate(dlogp, dent, &sums, &s.in, &o, work);
        if (!isfinite(sums.loss) || dlogp[1] != 0.0)
            fail_msg("%s took a masked NaN", word);
    }
}

/* The tables' names are the options' choices, in their order. */
static void test_names(void **state)
{
    (void)state;
    const struct options *const o = config_options();
    for (int64_t i = 0; i < o->n; i++) {
        const struct option *const item = &o->items[i];
        for (int64_t k = 0; k < 20; k++) {
            const char *name = NULL;
            int at = (int)k;
            if (strcmp(item->key, "grpo.advantage") == 0 && advantage_kind_at(k))
                name = advantage_kind_name(advantage_kind_at(k));
            if (strcmp(item->key, "grpo.objective") == 0 && objective_kind_at(k))
                name = objective_kind_name(objective_kind_at(k));
            if (strcmp(item->key, "grpo.ratio") == 0 && ratio_kind_at(k))
                name = ratio_kind_at(k)->name;
            if (strcmp(item->key, "grpo.kl") == 0 && kl_kind_at(k))
                name = kl_kind_at(k)->name;
            if (strcmp(item->key, "grpo.aggregation") == 0 && aggregate_kind_at(k))
                name = aggregate_kind_at(k)->name;
            if (strcmp(item->key, "grpo.kl_aggregation") == 0 && aggregate_kind_at(k)) {
                name = aggregate_kind_at(k)->name;
                at++; /* after "same" */
            }
            if (name != NULL)
                assert_int_equal(options_choice(item->choices, name), at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes),  cmocka_unit_test(test_detached),
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_sums),
        cmocka_unit_test(test_metrics), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
