/*
 * Statistics against closed forms, published values and brute force.
 */
#include "grpo/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double a, double b, double tol)
{
    if (!(fabs(a - b) <= tol))
        print_error("%.17g, expected %.17g\n", a, b);
    assert_true(fabs(a - b) <= tol);
}

/* Values of R. G. Newcombe, Statistics in Medicine 17, 1998, table I, method 3, and the
 * defining equation (p - x)^2 = z^2 x (1 - x) / n at both ends. */
static void test_wilson(void **state)
{
    (void)state;
    static const struct {
        int64_t k, n;
        double lo, hi;
    } known[] = {
        {81, 263, 0.2553, 0.3662},
        {15, 148, 0.0624, 0.1605},
        {0, 20, 0.0, 0.1611},
        {1, 29, 0.0061, 0.1718},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const struct stats_interval w = stats_wilson(known[i].k, known[i].n);
        assert_near(w.lo, known[i].lo, 5e-5);
        assert_near(w.hi, known[i].hi, 5e-5);
    }
    for (int64_t n = 1; n < 40; n++) {
        for (int64_t k = 0; k <= n; k++) {
            const struct stats_interval w = stats_wilson(k, n);
            const double p = (double)k / (double)n, z = 1.959963984540054;
            assert_true(w.lo >= 0 && w.lo <= p && p <= w.hi && w.hi <= 1);
            assert_near((p - w.lo) * (p - w.lo), z * z * w.lo * (1 - w.lo) / (double)n,
                        1e-14);
            assert_near((p - w.hi) * (p - w.hi), z * z * w.hi * (1 - w.hi) / (double)n,
                        1e-14);
        }
    }
    const struct stats_interval none = stats_wilson(0, 0);
    assert_true(none.lo == 0 && none.hi == 1);
}

static void test_summary(void **state)
{
    (void)state;
    static const double x[] = {2, 4, 4, 4, 5, 5, 7, 9};
    const struct stats_summary s = stats_summarise(x, 8);
    assert_true(s.mean == 5 && s.std == 2 && s.min == 2 && s.max == 9);
    const struct stats_summary one = stats_summarise(x, 1);
    assert_true(one.mean == 2 && one.std == 0 && one.min == 2 && one.max == 2);
    const struct stats_summary none = stats_summarise(NULL, 0);
    assert_true(none.mean == 0 && none.std == 0 && none.min == 0 && none.max == 0);
    static const double far[] = {1e9 + 1, 1e9 + 2, 1e9 + 3};
    assert_near(stats_summarise(far, 3).std, sqrt(2.0 / 3), 1e-9);
}

static void test_cv(void **state)
{
    (void)state;
    static const int64_t even[] = {7, 7, 7, 7}, one[] = {0, 0, 12, 0}, none[] = {0, 0},
                         half[] = {1, 3};
    assert_true(stats_cv(even, 4) == 0);
    assert_near(stats_cv(one, 4), sqrt(3), 1e-15);
    assert_true(stats_cv(none, 2) == 0);
    assert_near(stats_cv(half, 2), 0.5, 1e-15);
}

/* Every subset of k of n samples, the first c correct. */
static double pass_by_enumeration(int64_t n, int64_t c, int64_t k)
{
    int64_t n_all = 0, n_hit = 0;
    for (int64_t set = 0; set < (int64_t)1 << n; set++) {
        if (__builtin_popcountll((unsigned long long)set) != k)
            continue;
        n_all++;
        n_hit += (set & (((int64_t)1 << c) - 1)) != 0;
    }
    return (double)n_hit / (double)n_all;
}

static void test_pass_at_k(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 9; n++)
        for (int64_t c = 0; c <= n; c++)
            for (int64_t k = 1; k <= n; k++)
                assert_near(stats_pass_at_k(n, c, k), pass_by_enumeration(n, c, k),
                            1e-14);
    assert_near(stats_pass_at_k(1000000, 1, 1), 1e-6, 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_cv),
        cmocka_unit_test(test_pass_at_k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
