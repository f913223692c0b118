/*
 * Importance weights, rejection rules and diagnostics on numbers worked out by hand;
 * rules that are not understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "core/status.h"
#include "grpo/correction.h"

enum { N = 4 };
/* ratios 2, 1/4, 8 (masked), 1 (unknown) */
static const double d[N] = {M_LN2, -2.0 * M_LN2, 3.0 * M_LN2, NAN};
static const uint8_t mask[N] = {1, 1, 0, 1};

static void assert_all(const double *got, double a, double b, double c, double e)
{
    const double want[N] = {a, b, c, e};
    for (int t = 0; t < N; t++)
        if (!(fabs(got[t] - want[t]) <= 1e-15))
            fail_msg("token %d: %.17g, expected %.17g", t, got[t], want[t]);
}

static void test_weights(void **state)
{
    (void)state;
    double w[N];
    struct correction_options o = {
        .is_low = 0.5, .is_high = 1.5, .clamp = (double)INFINITY};
    o.is = IS_TOKEN_TRUNCATE;
    correction_weights(w, d, mask, N, &o);
    assert_all(w, 1.5, 0.5, 1.0, 1.0);
    o.is = IS_TOKEN_MASK;
    correction_weights(w, d, mask, N, &o);
    assert_all(w, 0.0, 0.0, 1.0, 1.0);
    o.is = IS_SEQUENCE_TRUNCATE; /* the product 1/2 */
    correction_weights(w, d, mask, N, &o);
    assert_all(w, 0.5, 0.5, 0.5, 0.5);
    o.is = IS_SEQUENCE_MASK;
    o.is_low = 0.6;
    correction_weights(w, d, mask, N, &o);
    assert_all(w, 0.0, 0.0, 0.0, 0.0);
    o.is = IS_TOKEN_TRUNCATE;
    o.is_low = 0.0;
    o.is_high = 100.0;
    o.clamp = M_LN2;
    correction_weights(w, d, mask, N, &o);
    assert_all(w, 2.0, 0.5, 1.0, 1.0);
}

static void test_normalisation(void **state)
{
    (void)state;
    struct correction_options o = {.is = IS_TOKEN_TRUNCATE,
                                   .is_high = 100.0,
                                   .clamp = (double)INFINITY,
                                   .is_normalised = true};
    struct correction_mean mean = {0}, none = {0};
    double w[N];
    correction_weights(w, d, mask, N, &o);
    correction_mean_add(&mean, w, mask, N, &o);
    assert_true(mean.n == 3.0 && fabs(mean.sum - 3.25) < 1e-15);
    assert_true(fabs(correction_scale(&mean, &o) - 3.0 / 3.25) < 1e-15);
    assert_true(correction_scale(&none, &o) == 1.0);
    o.is_normalised = false;
    assert_true(correction_scale(&mean, &o) == 1.0);
}

static void test_rejection(void **state)
{
    (void)state;
    static const struct {
        const char *criteria, *limits;
        uint8_t kept[N];
    } cases[] = {
        {"", "", {1, 1, 0, 1}},
        {"token_k1",
         "0.5_2.5",
         {1, 0, 0, 1}},                    /* ratios behaviour/numerator 1/2, 4, 1 */
        {"token_k1", "3", {1, 0, 0, 1}},   /* from 1/3 to 3 */
        {"token_k2", "0.5", {1, 0, 0, 1}}, /* 0.24, 0.96, 0 */
        {"token_k3", "0.4", {1, 0, 0, 1}}, /* 0.307, 0.636, 0 */
        {"seq_sum_k1", "0.5_1.9", {0, 0, 0, 0}}, /* product 2 */
        {"seq_sum_k1", "0.5_2.1", {1, 1, 0, 1}},
        {"seq_mean_k2", "0.39", {0, 0, 0, 0}}, /* mean 0.4004 */
        {"seq_mean_k2", "0.41", {1, 1, 0, 1}},
        {"seq_max_k3", "0.63", {0, 0, 0, 0}},
        {"seq_max_k3,token_k1", "0.64,0.4_3", {1, 0, 0, 1}},
        {"token_k2,token_k3", "0.3", {0, 0, 0, 1}},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct correction_options o = {.clamp = 20.0};
        uint8_t kept[N];
        assert_int_equal(correction_parse_rules(&o, cases[i].criteria, cases[i].limits),
                         0);
        correction_reject(kept, d, mask, N, &o);
        if (memcmp(kept, cases[i].kept, N) != 0)
            fail_msg("%s %s: %d%d%d%d", cases[i].criteria, cases[i].limits, kept[0],
                     kept[1], kept[2], kept[3]);
    }
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"token_k4", "1", "token_k4"},
        {"seq_median_k1", "1", "seq_median_k1"},
        {"token_k1", "0", "a ratio above 0"},
        {"token_k1", "x", "\"x\""},
        {"token_k2", "1_", "\"1_\""},
        {"token_k2,token_k3,token_k1", "1,2", "token_k1"},
        {"token_k2", "1,2", "no criterion"},
        {"token_k2,", "1,2", "criterion \"\""},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct correction_options o = {0};
        assert_int_equal(correction_parse_rules(&o, cases[i][0], cases[i][1]),
                         ERR_CONFIG);
        if (strstr(status_message(), cases[i][2]) == NULL)
            fail_msg("%s %s: %s", cases[i][0], cases[i][1], status_message());
    }
}

static void test_mismatch(void **state)
{
    (void)state;
    struct mismatch_sums s = {0}, all = {0};
    mismatch_add(&s, d, mask, N);
    assert_true(s.n_tokens == 3.0 && s.n_seqs == 1.0);
    assert_true(fabs(s.k1 - M_LN2) < 1e-15);
    assert_true(fabs(s.ratio - 3.25) < 1e-15);
    assert_true(fabs(s.ratio_sq - (4.0 + 0.0625 + 1.0)) < 1e-14);
    assert_true(fabs(s.seq_ratio_sq - 0.25) < 1e-15);
    assert_true(fabs(s.k3 - (0.25 + M_LN2)) < 1e-15);
    assert_true(s.abs_max == 2.0 * M_LN2);
    mismatch_merge(&all, &s);
    mismatch_merge(&all, &s);
    assert_true(all.n_tokens == 6.0 && all.k3 == 2.0 * s.k3 &&
                all.abs_max == s.abs_max);
    static const uint8_t none[N] = {0};
    s = (struct mismatch_sums){0};
    mismatch_add(&s, d, none, N);
    assert_true(s.n_tokens == 0.0 && s.n_seqs == 0.0 && s.seq_ratio_sq == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),   cmocka_unit_test(test_normalisation),
        cmocka_unit_test(test_rejection), cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_mismatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
