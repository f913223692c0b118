/*
 * Exponents worked out by hand, and each backward as the transpose of its forward.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "grpo/ratio.h"

enum { N = 4 };
static const double d[N] = {0.5, -0.25, 8.0, 0.75};
static const uint8_t mask[N] = {1, 1, 0, 1};

static const struct ratio_kind *named(const char *name)
{
    for (int64_t i = 0; ratio_kind_at(i) != NULL; i++)
        if (strcmp(ratio_kind_at(i)->name, name) == 0)
            return ratio_kind_at(i);
    fail_msg("no ratio %s", name);
    return NULL;
}

static void assert_forward(const char *name, double clamp, const double *want)
{
    double y[N];
    named(name)->fwd(y, d, mask, N, clamp);
    for (int t = 0; t < N; t++)
        if (!(fabs(y[t] - want[t]) <= 1e-15))
            fail_msg("%s: token %d: %.17g, expected %.17g", name, t, y[t], want[t]);
}

static void test_forward(void **state)
{
    (void)state;
    const double third = 1.0 / 3.0;
    assert_forward("token", (double)INFINITY, d);
    assert_forward("token", 0.6, (const double[]){0.5, -0.25, 0.6, 0.6});
    assert_forward("sequence", (double)INFINITY,
                   (const double[]){third, third, third, third});
    assert_forward("sequence_token", (double)INFINITY,
                   (const double[]){third, third, third, third});
    assert_forward("product", (double)INFINITY, (const double[]){1.0, 1.0, 1.0, 1.0});
}

static void assert_backward(const char *name, double clamp, const double *want)
{
    static const double dy[N] = {1.0, 2.0, 4.0, 8.0};
    double dd[N] = {100.0, 100.0, 100.0, 100.0};
    named(name)->bwd(dd, dy, d, mask, N, clamp);
    for (int t = 0; t < N; t++)
        if (!(fabs(dd[t] - 100.0 - want[t]) <= 1e-13))
            fail_msg("%s: token %d: %.17g, expected %.17g", name, t, dd[t] - 100.0,
                     want[t]);
}

static void test_backward(void **state)
{
    (void)state;
    assert_backward("token", (double)INFINITY, (const double[]){1.0, 2.0, 4.0, 8.0});
    assert_backward("token", 0.75, (const double[]){1.0, 2.0, 0.0, 0.0});
    assert_backward("sequence", (double)INFINITY, (const double[]){5.0, 5.0, 0.0, 5.0});
    assert_backward("product", (double)INFINITY,
                    (const double[]){15.0, 15.0, 0.0, 15.0});
    assert_backward("sequence_token", (double)INFINITY,
                    (const double[]){1.0, 2.0, 4.0, 8.0});
}

/* Above its cap sequence_token holds still; an empty mask has mean 0. */
static void test_edges(void **state)
{
    (void)state;
    static const double far[N] = {11.0, 11.0, 11.0, 11.0};
    static const double one[N] = {1.0, 1.0, 1.0, 1.0};
    static const uint8_t none[N] = {0};
    double y[N], dd[N] = {0};
    named("sequence_token")->fwd(y, far, mask, N, 0.0);
    assert_true(y[0] == 10.0 && y[3] == 10.0);
    named("sequence_token")->bwd(dd, one, far, mask, N, 0.0);
    assert_true(dd[0] == 0.0 && dd[3] == 0.0);
    named("sequence")->fwd(y, far, none, N, 0.0);
    assert_true(y[0] == 0.0);
    named("product")->fwd(y, far, none, N, 0.0);
    assert_true(y[0] == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward),
                                       cmocka_unit_test(test_backward),
                                       cmocka_unit_test(test_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
