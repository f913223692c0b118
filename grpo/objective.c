/*
 * One sequence: exponents of the ratio, the kind's term of each token (or of the
 * sequence), KL, entropy bonus; the gradients by exponents go back through the ratio.
 */
#include "grpo/objective.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/status.h"
#include "grpo/objective_term.h"

static const struct objective_kind kinds[] = {
    {.name = "ppo_clip", .token = objective_ppo_clip},
    {.name = "cispo", .token = objective_cispo},
    {.name = "sapo", .token = objective_sapo},
    {.name = "vespo",
     .token = objective_vespo,
     .gate = objective_vespo_gate,
     .is_weight_inside = true},
    {.name = "gpg", .token = objective_gpg},
    {.name = "dppo_tv", .token = objective_dppo_tv},
    {.name = "dppo_kl", .token = objective_dppo_kl},
    {.name = "dro", .token = objective_dro},
    {.name = "kl_cov", .token = objective_kl_cov, .needs_covariance = true},
    {.name = "gmpo", .sequence = objective_gmpo, .ignores_weights = true},
    {.name = "geo_mean", .sequence = objective_geo_mean},
    {.name = "rloo", .sequence = objective_rloo, .ignores_weights = true},
};

const struct objective_kind *objective_kind_at(int64_t i)
{
    return i >= 0 && i < ARRAY_LEN(kinds) ? &kinds[i] : NULL;
}

const char *objective_kind_name(const struct objective_kind *k) { return k->name; }
bool objective_is_per_sequence(const struct objective_kind *k)
{
    return k->sequence != NULL;
}
bool objective_needs_covariance(const struct objective_kind *k)
{
    return k->needs_covariance;
}

bool objective_ignores_weights(const struct objective_kind *k)
{
    return k->ignores_weights;
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
    a->n_seqs += b->n_seqs;
    a->n_kept += b->n_kept;
    a->n_dropped_seqs += b->n_dropped_seqs;
    a->n_offered += b->n_offered;
    a->n_rejected += b->n_rejected;
    a->weight += b->weight;
    a->weight_sq += b->weight_sq;
    a->weight_zero += b->weight_zero;
    mismatch_merge(&a->off_policy, &b->off_policy);
    mismatch_merge(&a->mismatch, &b->mismatch);
}

/* Off-policy mask: a sequence that is worse than its group and that the policy has
 * moved away from teaches nothing reliable (DeepSeek-V3.2). */
static bool is_sequence_kept(const struct objective_sample *in,
                             const struct objective_options *o)
{
    if (!o->has_off_policy_mask || in->advantage >= 0.0)
        return true;
    const double *const from = in->behaviour != NULL ? in->behaviour : in->logp_old;
    double sum = 0.0, n = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        sum += in->mask[t] && !isnan(from[t]) ? from[t] - in->logp[t] : 0.0;
        n += in->mask[t];
    }
    return sum / (n < 1.0 ? 1.0 : n) <= o->off_policy_max;
}

/* Scratch and gradients of the sequence in work */
struct sequence {
    const struct objective_sample *in;
    const struct objective_options *o;
    const uint8_t *policy_mask;
    double *d, *exponent, *dexponent, *dlogp;
    struct objective_sums *sums;
};

static double token_terms(const struct sequence *s)
{
    const struct objective_sample *const in = s->in;
    const struct objective_kind *const kind = s->o->kind;
    const double gate = kind->gate == NULL ? 1.0 : kind->gate(in, s->o);
    double sum = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        if (!s->policy_mask[t])
            continue;
        const struct objective_token token = {
            .logp = in->logp[t],
            .logp_old = in->logp_old[t],
            .exponent = s->exponent[t],
            .adv = in->advantages == NULL ? in->advantage : in->advantages[t],
            .gate = gate,
            .is_top = in->cov_mask != NULL && in->cov_mask[t]};
        const struct objective_term term = kind->token(&token, s->o);
        double factor = in->entropy_mask == NULL ? 1.0 : (double)in->entropy_mask[t];
        if (in->weights != NULL && !kind->is_weight_inside)
            factor *= in->weights[t];
        sum += factor * term.x;
        s->dlogp[t] += in->scale * factor * term.dlogp;
        s->dexponent[t] += in->scale * factor * term.dexponent;
        s->sums->clip_low += term.is_low;
        s->sums->clip_high += term.is_high;
    }
    return in->scale * sum;
}

static double sequence_term(const struct sequence *s, double *dx)
{
    const double x = s->o->kind->sequence(dx, s->sums, s->in, s->o);
    for (int64_t t = 0; t < s->in->n; t++)
        s->dlogp[t] += s->in->scale * dx[t];
    return s->in->scale * x;
}

static double kl_terms(const struct sequence *s)
{
    const struct objective_sample *const in = s->in;
    double sum = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        if (!in->mask[t])
            continue;
        const double g = in->kl_scale * s->o->kl_coef;
        const struct kl_value v = s->o->kl->fn(in->logp[t] - in->logp_ref[t]);
        const double r = s->o->is_kl_weighted ? exp(s->exponent[t]) : 1.0;
        sum += v.kl * r;
        s->sums->kl_ref += v.kl;
        if (s->o->kl_coef == 0.0)
            continue;
        s->dlogp[t] += g * v.dlogp * r;
        s->dexponent[t] += s->o->is_kl_weighted ? g * v.kl * r : 0.0;
    }
    return s->o->kl_coef == 0.0 ? 0.0 : in->kl_scale * (s->o->kl_coef * sum);
}

static double entropy_terms(const struct sequence *s, double *dent)
{
    const struct objective_sample *const in = s->in;
    double sum = 0.0;
    for (int64_t t = 0; t < in->n; t++) {
        dent[t] = 0.0;
        if (!in->mask[t])
            continue;
        const bool is_kept = in->entropy_mask == NULL || in->entropy_mask[t];
        s->sums->entropy += in->entropy[t];
        s->sums->n_kept += is_kept;
        if (!is_kept || s->o->entropy_coef == 0.0)
            continue;
        sum += in->entropy[t];
        dent[t] = -in->entropy_scale * s->o->entropy_coef;
    }
    return s->o->entropy_coef == 0.0 ? 0.0
                                     : -in->entropy_scale * (s->o->entropy_coef * sum);
}

static void count_tokens(const struct sequence *s, double *scratch)
{
    const struct objective_sample *const in = s->in;
    struct objective_sums *const sums = s->sums;
    const uint8_t *const offered = in->offered != NULL ? in->offered : in->mask;
    sums->n_seqs += 1.0;
    for (int64_t t = 0; t < in->n; t++) {
        sums->n_offered += offered[t];
        sums->n_rejected += offered[t] && !s->policy_mask[t];
        if (!in->mask[t])
            continue;
        sums->n_tokens += 1.0;
        sums->ratio += exp(s->exponent[t]);
        sums->kl_old += exp(s->d[t]) - s->d[t] - 1.0;
        keep_max(&sums->logp_diff_max, fabs(s->d[t]));
        if (in->weights != NULL) {
            sums->weight += in->weights[t];
            sums->weight_sq += in->weights[t] * in->weights[t];
            sums->weight_zero += in->weights[t] == 0.0;
        }
    }
    const double *const from = in->behaviour != NULL ? in->behaviour : in->logp_old;
    for (int64_t t = 0; t < in->n; t++)
        scratch[t] = in->logp[t] - from[t];
    mismatch_add(&sums->off_policy, scratch, in->mask, in->n);
    for (int64_t t = 0; t < in->n; t++)
        scratch[t] = in->logp_old[t] - from[t];
    mismatch_add(&sums->mismatch, scratch, in->mask, in->n);
}

double objective_evaluate(double *dlogp, double *dent, struct objective_sums *sums,
                          const struct objective_sample *in,
                          const struct objective_options *o, double *work)
{
    const int64_t n = in->n;
    const struct sequence s = {.in = in,
                               .o = o,
                               .policy_mask = in->policy_mask != NULL ? in->policy_mask
                                                                      : in->mask,
                               .d = work,
                               .exponent = work + n,
                               .dexponent = work + 2 * n,
                               .dlogp = dlogp,
                               .sums = sums};
    double *const scratch = work + 3 * n;
    double loss = 0.0;
    memset(dlogp, 0, (size_t)n * sizeof(*dlogp));
    memset(s.dexponent, 0, (size_t)n * sizeof(*s.dexponent));
    for (int64_t t = 0; t < n; t++)
        s.d[t] = in->logp[t] - in->logp_old[t];
    o->ratio->fwd(s.exponent, s.d, s.policy_mask, n, o->ratio_clamp);
    if (o->kind->sequence != NULL)
        loss += sequence_term(&s, scratch);
    else if (is_sequence_kept(in, o))
        loss += token_terms(&s);
    else
        sums->n_dropped_seqs += 1.0;
    if (in->logp_ref != NULL)
        loss += kl_terms(&s);
    loss += entropy_terms(&s, dent);
    o->ratio->bwd(dlogp, s.dexponent, s.d, s.policy_mask, n, o->ratio_clamp);
    count_tokens(&s, scratch);
    sums->loss += loss;
    return loss;
}

static double per(double x, double n) { return n > 0.0 ? x / n : 0.0; }

static void mismatch_metrics(const struct mismatch_sums *m, const char *const names[5],
                             objective_metric_fn put, void *user)
{
    put(user, names[0], per(m->k1, m->n_tokens));
    put(user, names[1], per(m->k3, m->n_tokens));
    put(user, names[2], m->n_tokens > 0.0 ? m->ratio_sq / m->n_tokens - 1.0 : 0.0);
    put(user, names[3], m->n_seqs > 0.0 ? m->seq_ratio_sq / m->n_seqs - 1.0 : 0.0);
    put(user, names[4], per(m->ratio * m->ratio, m->n_tokens * m->ratio_sq));
}

void objective_metrics(const struct objective_sums *s, objective_metric_fn put,
                       void *user)
{
    static const char *const off_policy[] = {"off_policy_kl", "off_policy_k3",
                                             "off_policy_chi2_token",
                                             "off_policy_chi2_seq", "off_policy_ess"};
    static const char *const mismatch[] = {"mismatch_kl", "mismatch_k3",
                                           "mismatch_chi2_token", "mismatch_chi2_seq",
                                           "mismatch_ess"};
    const double n = s->n_tokens;
    put(user, "kl_ref", per(s->kl_ref, n));
    put(user, "kl_old", per(s->kl_old, n));
    put(user, "entropy", per(s->entropy, n));
    put(user, "ratio_mean", per(s->ratio, n));
    put(user, "clip_low", per(s->clip_low, n));
    put(user, "clip_high", per(s->clip_high, n));
    mismatch_metrics(&s->off_policy, off_policy, put, user);
    mismatch_metrics(&s->mismatch, mismatch, put, user);
    put(user, "mismatch_max", s->mismatch.abs_max);
    put(user, "is_weight_mean", per(s->weight, n));
    put(user, "is_weight_ess", per(s->weight * s->weight, n * s->weight_sq));
    put(user, "is_weight_zero", per(s->weight_zero, n));
    put(user, "rejected_share", per(s->n_rejected, s->n_offered));
    put(user, "off_policy_dropped", per(s->n_dropped_seqs, s->n_seqs));
    put(user, "entropy_kept", per(s->n_kept, n));
}
