/*
 * The kinds that are a sum over tokens. Each returns x, dx/dlogp with the ratio's
 * exponent held, and dx/dexponent; grpo/objective.c carries the latter back.
 */
#include <math.h>

#include "grpo/objective_term.h"

/* The value and its derivative by the exponent of the ratio */
struct dual {
    double v, d;
};

/* The lesser; at a tie half of each gradient */
static struct dual lesser(struct dual a, struct dual b)
{
    if (a.v < b.v)
        return a;
    if (b.v < a.v)
        return b;
    return (struct dual){0.5 * (a.v + b.v), 0.5 * (a.d + b.d)};
}

/* No gradient at or outside the bounds */
static struct dual clip(struct dual a, double lo, double hi)
{
    if (a.v < lo)
        return (struct dual){lo, 0.0};
    if (a.v > hi)
        return (struct dual){hi, 0.0};
    return (struct dual){a.v, a.v == lo || a.v == hi ? 0.0 : a.d};
}

static struct dual times(struct dual a, double k)
{
    return (struct dual){a.v * k, a.d * k};
}

struct objective_term objective_ppo_clip(const struct objective_token *in,
                                         const struct objective_options *o)
{
    const double r = exp(in->exponent), a = in->adv;
    const double lo = 1.0 - o->clip_low, hi = 1.0 + o->clip_high;
    const struct dual ratio = {r, r};
    const struct dual capped = o->clip_delta == 0.0
                                   ? ratio
                                   : clip(ratio, -INFINITY, o->clip_delta);
    struct dual x = times(lesser(times(capped, a), times(clip(ratio, lo, hi), a)),
                          -1.0);
    if (a < 0.0 && o->clip_dual != 0.0)
        x = lesser((struct dual){-a * o->clip_dual, 0.0}, x);
    return (struct objective_term){.x = x.v,
                                   .dexponent = x.d,
                                   .is_low = r < lo && a<0.0, .is_high = r> hi &&
                                             a > 0.0};
}

struct objective_term objective_cispo(const struct objective_token *in,
                                      const struct objective_options *o)
{
    const double r = exp(in->exponent);
    const double lo = o->is_cap_absolute ? (double)-INFINITY : 1.0 - o->clip_low;
    const double hi = o->is_cap_absolute ? o->clip_high : 1.0 + o->clip_high;
    const double slope = -(r < lo ? lo : r > hi ? hi : r) * in->adv;
    return (struct objective_term){.x = slope * in->logp,
                                   .dlogp = slope,
                                   .is_low = r < lo && in->adv<0.0, .is_high = r> hi &&
                                             in->adv > 0.0};
}

struct objective_term objective_sapo(const struct objective_token *in,
                                     const struct objective_options *o)
{
    const double tau = in->adv > 0.0 ? o->tau_pos : o->tau_neg;
    const double r = exp(in->exponent);
    const double s = 1.0 / (1.0 + exp(-tau * (r - 1.0)));
    return (struct objective_term){.x = -s * (4.0 / tau) * in->adv,
                                   .dexponent = -4.0 * s * (1.0 - s) * r * in->adv};
}

struct objective_term objective_vespo(const struct objective_token *in,
                                      const struct objective_options *o)
{
    (void)o;
    const double slope = -in->gate * in->adv;
    return (struct objective_term){.x = slope * in->logp, .dlogp = slope};
}

struct objective_term objective_gpg(const struct objective_token *in,
                                    const struct objective_options *o)
{
    (void)o;
    return (struct objective_term){.x = -in->adv * in->logp, .dlogp = -in->adv};
}

/* -min(r, dual) A logp, or nothing where the token has moved too far already */
static struct objective_term trusted(const struct objective_token *in, bool is_in,
                                     const struct objective_options *o)
{
    const double r = exp(in->exponent);
    const double cap = o->clip_dual == 0.0 || r < o->clip_dual ? r : o->clip_dual;
    const double slope = is_in ? -in->adv * cap : 0.0;
    return (struct objective_term){.x = slope * in->logp,
                                   .dlogp = slope,
                                   .is_low = !is_in && in->adv < 0.0,
                                   .is_high = !is_in && in->adv > 0.0};
}

struct objective_term objective_dppo_tv(const struct objective_token *in,
                                        const struct objective_options *o)
{
    const double change = exp(in->logp) - exp(in->logp_old);
    const bool is_in = in->adv > 0.0 ? change <= o->clip_high : change >= -o->clip_low;
    return trusted(in, is_in, o);
}

/* KL of (token, any other token) between the policies; the 1e-8 is verl's */
struct objective_term objective_dppo_kl(const struct objective_token *in,
                                        const struct objective_options *o)
{
    const double p = exp(in->logp), q = exp(in->logp_old);
    const double others = (1.0 - q + 1e-8) / (1.0 - p + 1e-8);
    const double rest = others > 0.0 ? log(others) : (double)NAN;
    const double kl = -q * (in->logp - in->logp_old) + (1.0 - q) * rest;
    const bool is_in = in->adv > 0.0 ? kl <= o->clip_high || p <= q
                                     : kl <= o->clip_low || p >= q;
    return trusted(in, is_in, o);
}

struct objective_term objective_dro(const struct objective_token *in,
                                    const struct objective_options *o)
{
    const double d = in->logp - in->logp_old;
    return (struct objective_term){
        .x = -(in->adv * in->logp - 0.5 * o->dro_beta * d * d),
        .dlogp = -in->adv + o->dro_beta * d};
}

struct objective_term objective_kl_cov(const struct objective_token *in,
                                       const struct objective_options *o)
{
    const double d = in->logp - in->logp_old, r = exp(d);
    const double coef = in->is_top ? o->cov_coef : 0.0;
    const double sign = (double)((d > 0.0) - (d < 0.0));
    return (struct objective_term){.x = -in->adv * r + coef * fabs(d),
                                   .dlogp = -in->adv * r + coef * sign};
}
