/*
 * The kinds with one term per sequence, and the detached weight of a sequence.
 */
#include <math.h>
#include <stddef.h>

#include "grpo/objective_term.h"

static bool counts(const struct objective_sample *in, int64_t t)
{
    const uint8_t *const mask = in->policy_mask != NULL ? in->policy_mask : in->mask;
    return mask[t] && (in->entropy_mask == NULL || in->entropy_mask[t]);
}

static double count(const struct objective_sample *in)
{
    double n = 0.0;
    for (int64_t t = 0; t < in->n; t++)
        n += counts(in, t);
    return n;
}

/* d clipped to [-low, high] only on the side where the sign of A drives it out;
 * *slope: its derivative, half at a bound. */
static double one_sided(double *slope, double d, bool is_positive,
                        const struct objective_options *o)
{
    const double bound = is_positive ? o->clip_high : -o->clip_low;
    const bool is_out = is_positive ? d > bound : d < bound;
    const bool is_edge = d == -o->clip_low || d == o->clip_high;
    *slope = is_out ? 0.0 : is_edge ? 0.5 : 1.0;
    return is_out ? bound : d;
}

static double advantage_of(const struct objective_sample *in, int64_t t)
{
    return in->advantages == NULL ? in->advantage : in->advantages[t];
}

/* x = -mean_adv exp(sum of one-sided log-ratios / n) factor, and its gradient */
static double geometric(double *dlogp, struct objective_sums *sums,
                        const struct objective_sample *in, double n, double slope_of_x,
                        const struct objective_options *o)
{
    double sum = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        dlogp[t] = 0.0;
        const double a = advantage_of(in, t), d = in->logp[t] - in->logp_old[t];
        if (!counts(in, t) || a == 0.0)
            continue;
        sum += one_sided(&dlogp[t], d, a > 0.0, o);
        sums->clip_high += a > 0.0 && d > o->clip_high;
        sums->clip_low += a < 0.0 && d < -o->clip_low;
    }
    const double x = slope_of_x * exp(sum / n);
    for (int64_t t = 0; t < in->n; t++)
        dlogp[t] *= x / n;
    return x;
}

double objective_gmpo(double *dlogp, struct objective_sums *sums,
                      const struct objective_sample *in,
                      const struct objective_options *o)
{
    const double n = count(in);
    return geometric(dlogp, sums, in, n < 1.0 ? 1.0 : n, -in->advantage, o);
}

double objective_geo_mean(double *dlogp, struct objective_sums *sums,
                          const struct objective_sample *in,
                          const struct objective_options *o)
{
    const double n = count(in) + o->count_eps, at_least = n > 0.0 ? n : 1.0;
    double adv = 0.0, log_weight = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        /* a product, not a choice: an advantage of NaN is not to be lost */
        adv += advantage_of(in, t) * (double)counts(in, t);
        if (!counts(in, t))
            continue;
        /* the 1e-10 is verl's, for weights of 0 */
        log_weight += in->weights == NULL ? 0.0 : log(in->weights[t] + 1e-10);
    }
    const double factor = exp(log_weight / at_least);
    return geometric(dlogp, sums, in, at_least, -adv / at_least * factor, o);
}

double objective_rloo(double *dlogp, struct objective_sums *sums,
                      const struct objective_sample *in,
                      const struct objective_options *o)
{
    struct objective_token whole = {.adv = in->advantage};
    for (int64_t t = 0; t < in->n; t++)
        whole.exponent += counts(in, t) ? in->logp[t] - in->logp_old[t] : 0.0;
    const struct objective_term term = objective_ppo_clip(&whole, o);
    for (int64_t t = 0; t < in->n; t++) {
        dlogp[t] = counts(in, t) ? term.dexponent : 0.0;
        sums->clip_low += counts(in, t) && term.is_low;
        sums->clip_high += counts(in, t) && term.is_high;
    }
    return term.x;
}

static double clamped(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* The gamma-shaped weight of the sequence's ratio w (log w in [log 1e-8, 20]) */
double objective_vespo_gate(const struct objective_sample *in,
                            const struct objective_options *o)
{
    const uint8_t *const mask = in->policy_mask != NULL ? in->policy_mask : in->mask;
    const double log_min = log(1e-8), log_max = 20.0;
    double sum = 0.0, weights = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        if (!mask[t])
            continue;
        sum += clamped(in->logp[t] - in->logp_old[t], -log_max, log_max);
        if (in->weights != NULL)
            weights += in->weights[t] > 0.0
                           ? clamped(log(in->weights[t]), log_min, log_max)
                           : log_min;
    }
    const double s = clamped(sum + weights, log_min, log_max);
    const bool is_pos = in->advantage >= 0.0;
    const double k = is_pos ? o->vespo_k_pos : o->vespo_k_neg;
    const double l = is_pos ? o->vespo_lambda_pos : o->vespo_lambda_neg;
    return exp(l + k * s - l * exp(s));
}
