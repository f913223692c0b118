/*
 * Statistics of a batch: the entropy threshold at and between ranks, the covariance
 * share with ties, normalised weights.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "grpo/objective_step.h"

static void test_threshold(void **state)
{
    (void)state;
    double x[] = {5.0, 1.0, 3.0, 2.0, 4.0};
    assert_true(objective_entropy_threshold(x, 5, 0.5) == 3.0);
    assert_true(objective_entropy_threshold(x, 5, 1.0) == 1.0);
    assert_true(objective_entropy_threshold(x, 5, 0.0) == 5.0);
    /* rank 0.4 (in fp32) of the way from 4 to 5, rounded to fp32 */
    assert_true(fabs(objective_entropy_threshold(x, 5, 0.15) - 4.4) < 1e-6);
    assert_true(objective_entropy_threshold(x, 1, 0.3) == 1.0);
    assert_true(isinf(objective_entropy_threshold(x, 0, 0.3)));
}

static void test_covariance(void **state)
{
    (void)state;
    enum { N = 6 };
    static const double adv[N] = {1, -1, 1, -1, 9, 0},
                        logp[N] = {-1, -3, -3, -1, 9, -2};
    static const uint8_t mask[N] = {1, 1, 1, 1, 0, 1};
    struct objective_cov work[N];
    uint8_t top[N];
    /* covariances 1, 1, -1, -1, -, 0 around means 0 and -2 */
    objective_cov_mask(top, adv, logp, mask, N, 0.4, work);
    assert_true(top[0] && top[1] && !top[2] && !top[3] && !top[4] && !top[5]);
    objective_cov_mask(top, adv, logp, mask, N, 0.0,
                       work); /* at least one: the first */
    assert_true(top[0] && !top[1] && !top[5]);
    objective_cov_mask(top, adv, logp, mask, N, 0.6, work);
    assert_true(top[0] && top[1] && top[5] && !top[2]);
    static const uint8_t none[N] = {0};
    objective_cov_mask(top, adv, logp, none, N, 1.0, work);
    for (int t = 0; t < N; t++)
        assert_true(!top[t]);
}

/* Over the sequences first .. end - 1 alone */
static void test_correct(void **state)
{
    (void)state;
    static const double ours[] = {-1.0, -1.0, -1.0, -2.0};
    static const double theirs[] = {-1.0 - M_LN2, -1.0, -1.0 + M_LN2, -2.0};
    static const uint8_t mask[] = {1, 1, 1, 1};
    static const int64_t off[] = {0, 2, 3, 4};
    const struct correction_options o = {
        .is = IS_TOKEN_TRUNCATE,
        .is_high = 100.0,
        .clamp = (double)INFINITY,
        .is_normalised = true,
        .n_rules = 1,
        .rules = {{.over = REJECT_TOKEN, .k = 1, .lo = -0.5, .hi = (double)INFINITY}}};
    double w[] = {-7.0, -7.0, -7.0, -7.0}, work[2];
    uint8_t kept[] = {9, 9, 9, 9};
    objective_correct(w, kept, ours, theirs, mask, off, 0, 2, &o, work);
    const double mean = (2.0 + 1.0 + 0.5) / 3.0;
    assert_true(fabs(w[0] - 2.0 / mean) < 1e-15 && fabs(w[2] - 0.5 / mean) < 1e-15);
    assert_true(w[3] == -7.0 && kept[3] == 9);
    assert_true(kept[0] == 0 && kept[1] == 1 && kept[2] == 1); /* -ln 2 < -0.5 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threshold),
                                       cmocka_unit_test(test_covariance),
                                       cmocka_unit_test(test_correct)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
