/*
 * The estimators at hand-computed points, their slopes, the clamps, the
 * straight-through forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "grpo/kl.h"

static kl_fn named(const char *name)
{
    for (int64_t i = 0; kl_kind_at(i) != NULL; i++)
        if (strcmp(kl_kind_at(i)->name, name) == 0)
            return kl_kind_at(i)->fn;
    fail_msg("no KL %s", name);
    return NULL;
}

static void assert_value(const char *name, double d, double kl, double slope)
{
    const struct kl_value v = named(name)(d);
    if (!(fabs(v.kl - kl) <= 1e-14 * (1.0 + fabs(kl)) &&
          fabs(v.dlogp - slope) <= 1e-14 * (1.0 + fabs(slope))))
        fail_msg("%s(%g) = %.17g, slope %.17g", name, d, v.kl, v.dlogp);
}

static void test_values(void **state)
{
    (void)state;
    const double e = exp(-0.5);
    assert_value("k1", -0.25, -0.25, 1.0);
    assert_value("abs", -0.25, 0.25, -1.0);
    assert_value("abs", 0.0, 0.0, 0.0);
    assert_value("k2", -0.5, 0.125, -0.5);
    assert_value("k3", 0.5, e - 0.5, 1.0 - e);
    assert_value("k3_clamped", 0.5, e - 0.5, 1.0 - e);
    /* exp(3) - 4 is above 10, so is what d = 30 is clamped to */
    assert_value("k3", -3.0, exp(3.0) - 4.0, 1.0 - exp(3.0));
    assert_value("k3_clamped", -3.0, 10.0, 0.0);
    assert_value("k3_clamped", 30.0, 10.0, 0.0);
    assert_value("k3_clamped", -1000.0, 10.0, 0.0);
    assert_value("k1+", -0.25, -0.25, -0.25);
    assert_value("abs+", -0.25, 0.25, -0.25);
    assert_value("k2+", 0.5, 0.125, 0.5);
    assert_value("k3+", 0.5, e - 0.5, 0.5);
    assert_value("k3_clamped+", -3.0, 10.0, -3.0);
}

/* All are 0 where the policies agree; a NaN stays. */
static void test_limits(void **state)
{
    (void)state;
    for (int64_t i = 0; kl_kind_at(i) != NULL; i++) {
        const struct kl_kind *const k = kl_kind_at(i);
        assert_true(k->fn(0.0).kl == 0.0);
        assert_true(isnan(k->fn((double)NAN).kl) &&
                    (isnan(k->fn((double)NAN).dlogp) || k->fn == named("k1") ||
                     k->fn == named("abs")));
    }
    assert_null(kl_kind_at(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
