/*
 * PPO-clip with asymmetric bounds (PPO 1707.06347; DAPO 2503.14476), k3 KL (Schulman's
 * estimator exp(d) - d - 1, d = logp_ref - logp), entropy bonus. With A the advantage:
 *   x = max(-A r, -A clip(r, 1 - low, 1 + high)) + kl_coef k3 - entropy_coef H
 *   dx/dlogp = -A r where the unclipped branch is the larger one, else 0;
 *            + kl_coef (1 - exp(d)).  dx/dH = -entropy_coef.
 */
#include "grpo/objective.h"

#include <math.h>
#include <stddef.h>

#include "core/status.h"

bool advantage_is_flat(const double *reward, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (reward[i] != reward[0])
            return false;
    return true;
}

static double mean(const double *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / (double)n : 0.0;
}

static void mean_only(double *adv, const double *reward, int64_t n, double eps)
{
    (void)eps;
    const double mu = mean(reward, n);
    for (int64_t i = 0; i < n; i++)
        adv[i] = advantage_is_flat(reward, n) ? 0.0 : reward[i] - mu;
}

static void group_std(double *adv, const double *reward, int64_t n, double eps)
{
    const double mu = mean(reward, n);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (reward[i] - mu) * (reward[i] - mu);
    const double std = n > 1 ? sqrt(sum / (double)(n - 1)) : 0.0;
    /* equal rewards: exactly 0, although the mean of n equal doubles may round */
    const bool is_flat = advantage_is_flat(reward, n);
    for (int64_t i = 0; i < n; i++)
        adv[i] = is_flat ? 0.0 : (reward[i] - mu) / (std + eps);
}

const struct advantage_kind *advantage_kinds(int64_t *n_out)
{
    static const struct advantage_kind kinds[] = {{"group", group_std},
                                                  {"mean_only", mean_only}};
    *n_out = ARRAY_LEN(kinds);
    return kinds;
}

/* A NaN stays: it must not be forgotten for the next number. */
static void keep_max(double *max, double x)
{
    if (!isnan(*max) && !(x <= *max))
        *max = x;
}

void objective_sums_add(struct objective_sums *a, const struct objective_sums *b)
{
    a->loss += b->loss;
    a->n_tokens += b->n_tokens;
    a->kl_ref += b->kl_ref;
    a->kl_old += b->kl_old;
    a->entropy += b->entropy;
    a->ratio += b->ratio;
    a->clip_low += b->clip_low;
    a->clip_high += b->clip_high;
    keep_max(&a->logp_diff_max, b->logp_diff_max);
}

/* Policy term of one token: returns x, sets dx/dlogp. */
static double clipped_term(double *dx, struct objective_sums *sums, double ratio,
                           double adv, const struct objective_options *opt)
{
    const double low = 1.0 - opt->clip_low, high = 1.0 + opt->clip_high;
    const double clipped = ratio < low ? low : ratio > high ? high : ratio;
    const double plain = -adv * ratio, bound = -adv * clipped;
    const bool is_clipped = bound > plain;
    sums->clip_low += is_clipped && ratio < low;
    sums->clip_high += is_clipped && ratio > high;
    *dx = is_clipped ? 0.0 : plain;
    return is_clipped ? bound : plain;
}

static void ppo_clip(float *dlogp, float *dent, struct objective_sums *sums,
                     const struct objective_input *in,
                     const struct objective_options *opt)
{
    for (int64_t t = 0; t < in->n; t++) {
        const double diff = (double)in->logp[t] - (double)in->logp_old[t];
        const double ratio = exp(diff);
        double dx = 0.0;
        double x = clipped_term(&dx, sums, ratio, in->advantage, opt);
        if (in->logp_ref != NULL) {
            const double d = (double)in->logp_ref[t] - (double)in->logp[t];
            const double k3 = exp(d) - d - 1.0;
            x += opt->kl_coef * k3;
            dx += opt->kl_coef * (1.0 - exp(d));
            sums->kl_ref += k3;
        }
        x -= opt->entropy_coef * (double)in->entropy[t];
        dlogp[t] = (float)(in->weight * dx);
        dent[t] = (float)(-in->weight * opt->entropy_coef);
        sums->loss += in->weight * x;
        sums->n_tokens += 1.0;
        sums->entropy += (double)in->entropy[t];
        sums->ratio += ratio;
        sums->kl_old += exp(diff) - diff - 1.0;
        keep_max(&sums->logp_diff_max, fabs(diff));
    }
}

const struct objective_kind *objective_kinds(int64_t *n_out)
{
    static const struct objective_kind kinds[] = {{"ppo_clip", ppo_clip}};
    *n_out = ARRAY_LEN(kinds);
    return kinds;
}

static double token_mean(int64_t n_tokens, int64_t n_seqs, int64_t n_all)
{
    (void)n_tokens;
    (void)n_seqs;
    return n_all > 0 ? 1.0 / (double)n_all : 0.0;
}

static double sequence_mean(int64_t n_tokens, int64_t n_seqs, int64_t n_all)
{
    (void)n_all;
    return n_tokens > 0 && n_seqs > 0 ? 1.0 / ((double)n_seqs * (double)n_tokens) : 0.0;
}

const struct aggregation_kind *aggregation_kinds(int64_t *n_out)
{
    static const struct aggregation_kind kinds[] = {{"token_mean", token_mean},
                                                    {"sequence_mean", sequence_mean}};
    *n_out = ARRAY_LEN(kinds);
    return kinds;
}
