/*
 * Each estimator with its derivative by logp. A clamp passes no gradient at or beyond
 * its bounds.
 */
#include "grpo/kl.h"

#include <math.h>
#include <stddef.h>

#include "core/status.h"

static struct kl_value k1(double d) { return (struct kl_value){d, 1.0}; }

static struct kl_value k_abs(double d)
{
    const double sign = (double)((d > 0.0) - (d < 0.0));
    return (struct kl_value){d * sign, sign};
}

static struct kl_value k2(double d) { return (struct kl_value){0.5 * d * d, d}; }

static struct kl_value k3(double d)
{
    return (struct kl_value){exp(-d) + d - 1.0, 1.0 - exp(-d)};
}

static struct kl_value k3_clamped(double d)
{
    static const double d_max = 20.0, kl_max = 10.0;
    const double at = d < -d_max ? -d_max : d > d_max ? d_max : d;
    struct kl_value v = k3(at);
    if (!(fabs(d) < d_max) || !(v.kl < kl_max))
        v.dlogp = isnan(d) ? d : 0.0;
    if (v.kl > kl_max)
        v.kl = kl_max;
    return v;
}

/* The value of v, the gradient of k2 */
static struct kl_value straight_through(struct kl_value v, double d)
{
    return (struct kl_value){v.kl, d};
}

static struct kl_value k1_plus(double d) { return straight_through(k1(d), d); }
static struct kl_value abs_plus(double d) { return straight_through(k_abs(d), d); }
static struct kl_value k3_plus(double d) { return straight_through(k3(d), d); }
static struct kl_value k3_clamped_plus(double d)
{
    return straight_through(k3_clamped(d), d);
}

const struct kl_kind *kl_kind_at(int64_t i)
{
    static const struct kl_kind kinds[] = {
        {"k1", k1},
        {"abs", k_abs},
        {"k2", k2},
        {"k3", k3},
        {"k3_clamped", k3_clamped},
        {"k1+", k1_plus},
        {"abs+", abs_plus},
        {"k2+", k2},
        {"k3+", k3_plus},
        {"k3_clamped+", k3_clamped_plus},
    };
    return i >= 0 && i < ARRAY_LEN(kinds) ? &kinds[i] : NULL;
}
