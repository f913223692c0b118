/*
 * Order within a step: importance weights and rejection from the log-probs, then
 * advantages with the mask that is left (token counts and whitening see it).
 */
#include "grpo/objective_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t objective_step_work(int64_t n_seqs, int64_t longest)
{
    return ADVANTAGE_WORK * n_seqs + longest;
}

void objective_correct(double *weights, uint8_t *kept, const double *numerator,
                       const double *behaviour, const uint8_t *mask, const int64_t *off,
                       int64_t first, int64_t end, const struct correction_options *o,
                       double *work)
{
    struct correction_mean mean = {0};
    for (int64_t i = first; i < end; i++) {
        const int64_t at = off[i], n = off[i + 1] - at;
        for (int64_t t = 0; t < n; t++)
            work[t] = numerator[at + t] - behaviour[at + t];
        if (kept != NULL)
            correction_reject(kept + at, work, mask + at, n, o);
        if (weights != NULL) {
            correction_weights(weights + at, work, mask + at, n, o);
            correction_mean_add(&mean, weights + at, mask + at, n, o);
        }
    }
    const double scale = correction_scale(&mean, o);
    for (int64_t t = off[first]; weights != NULL && t < off[end]; t++)
        weights[t] *= scale;
}

int objective_step_run(struct objective_step *s, const struct recipe *r)
{
    const int64_t n = s->off[s->n_seqs];
    double *const work = s->work + ADVANTAGE_WORK * s->n_seqs;
    const uint8_t *mask = s->mask;
    if (!r->is_corrected_now && (s->weights != NULL || s->kept != NULL))
        objective_correct(s->weights, s->kept, s->old, s->behaviour, s->mask, s->off, 0,
                          s->n_seqs, &r->correction, work);
    else if (s->kept != NULL)
        memcpy(s->kept, s->mask, (size_t)n);
    if (s->kept != NULL)
        mask = s->kept;
    for (int64_t t = 0; s->penalty != NULL && t < n; t++)
        s->penalty[t] = s->mask[t] ? r->reward_kl_coef *
                                         r->reward_kl->fn(s->old[t] - s->ref[t]).kl
                                   : 0.0;
    const struct advantage_batch b = {.n_seqs = s->n_seqs,
                                      .n_groups = s->n_groups,
                                      .n_rewards = s->n_rewards,
                                      .group = s->group,
                                      .reward = s->reward,
                                      .off = s->off,
                                      .mask = mask,
                                      .penalty = s->penalty};
    return advantage_compute(s->advantage, s->advantages, &b, &r->advantage, s->work);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double objective_entropy_threshold(double *x, int64_t n, double share)
{
    if (n == 0)
        return (double)INFINITY;
    qsort(x, (size_t)n, sizeof(*x), by_value);
    const double rank = (double)(float)(1.0 - share) * (double)(n - 1);
    const int64_t last = n - 1, whole = (int64_t)rank;
    const int64_t k = whole < last - 1 ? whole : last > 0 ? last - 1 : 0;
    const double next = x[k + 1 < last ? k + 1 : last];
    return (double)(float)(x[k] + (rank - (double)k) * (next - x[k]));
}

static int by_covariance(const void *a, const void *b)
{
    const struct objective_cov *const x = a, *const y = b;
    if (x->cov != y->cov)
        return x->cov > y->cov ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

void objective_cov_mask(uint8_t *top, const double *adv, const double *logp,
                        const uint8_t *mask, int64_t n, double share,
                        struct objective_cov *work)
{
    double sum_adv = 0.0, sum_logp = 0.0;
    int64_t m = 0;
    for (int64_t t = 0; t < n; t++) {
        top[t] = 0;
        if (!mask[t])
            continue;
        sum_adv += adv[t];
        sum_logp += logp[t];
        work[m++].at = t;
    }
    if (m == 0)
        return;
    for (int64_t i = 0; i < m; i++)
        work[i].cov = (adv[work[i].at] - sum_adv / (double)m) *
                      (logp[work[i].at] - sum_logp / (double)m);
    qsort(work, (size_t)m, sizeof(*work), by_covariance);
    const int64_t n_top = (int64_t)((double)m * share);
    for (int64_t i = 0; i < (n_top < 1 ? 1 : n_top); i++)
        top[work[i].at] = 1;
}
