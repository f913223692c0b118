/*
 * From options to a recipe. The choices' order in grpo/config.c is that of the kinds'
 * tables; a test compares the names.
 */
#include "grpo/objective_recipe.h"

#include <math.h>
#include <stdlib.h>

/* "a,b,c" into numbers; at most max. */
static int parse_numbers(double *out, int64_t *n_out, int64_t max, const char *text,
                         const char *key)
{
    int64_t n = 0;
    for (const char *p = text; *p != '\0';) {
        char *end;
        const double value = strtod(p, &end);
        if (end == p || (*end != ',' && *end != '\0') || n == max || isnan(value))
            return ERR(ERR_CONFIG,
                       "%s=\"%s\": expected at most %lld numbers, separated by commas",
                       key, text, (long long)max);
        out[n++] = value;
        p = *end == ',' ? end + 1 : end;
    }
    *n_out = n;
    return STATUS_OK;
}

static int advantage_init(struct advantage_options *a, const struct config_grpo *g)
{
    double range[2] = {(double)-INFINITY, (double)INFINITY};
    int64_t n = 0;
    *a = (struct advantage_options){.kind = advantage_kind_at(g->advantage),
                                    .std = (enum advantage_std)g->adv_std,
                                    .whiten = (enum advantage_whiten)g->adv_whiten,
                                    .single = (enum advantage_single)g->adv_single,
                                    .eps = g->adv_eps,
                                    .gamma = g->gamma,
                                    .count_eps = g->count_eps,
                                    .has_std = g->has_adv_std};
    TRY(parse_numbers(a->weights, &a->n_weights, ADVANTAGE_MAX_REWARDS,
                      g->reward_weights, "grpo.reward_weights"));
    TRY(parse_numbers(range, &n, 2, g->reward_clip, "grpo.reward_clip"));
    if (n == 1 || range[0] > range[1])
        return ERR(ERR_CONFIG, "grpo.reward_clip=\"%s\": expected low,high",
                   g->reward_clip);
    a->reward_low = range[0];
    a->reward_high = range[1];
    return STATUS_OK;
}

/* 0 means "off" in the options */
static double or_infinity(double x) { return x == 0.0 ? (double)INFINITY : x; }

static int correction_init(struct correction_options *c, const struct config_grpo *g)
{
    *c = (struct correction_options){.is = (enum is_kind)g->is_correction,
                                     .is_low = g->is_low,
                                     .is_high = g->is_high,
                                     .clamp = or_infinity(g->is_clamp),
                                     .is_normalised = g->is_normalised,
                                     .count_eps = g->count_eps};
    const int status = correction_parse_rules(c, g->reject, g->reject_limit);
    return status == STATUS_OK ? status : status_prefix(status, "grpo.reject");
}

static void objective_init(struct objective_options *o, const struct config_grpo *g)
{
    *o = (struct objective_options){.kind = objective_kind_at(g->objective),
                                    .ratio = ratio_kind_at(g->ratio),
                                    .kl = kl_kind_at(g->kl),
                                    .ratio_clamp = or_infinity(g->ratio_clamp),
                                    .clip_low = g->clip_low,
                                    .clip_high = g->clip_high,
                                    .clip_dual = g->clip_dual,
                                    .clip_delta = g->clip_delta,
                                    .is_cap_absolute = g->cap == 1,
                                    .tau_pos = g->tau_pos,
                                    .tau_neg = g->tau_neg,
                                    .vespo_k_pos = g->vespo_k_pos,
                                    .vespo_lambda_pos = g->vespo_lambda_pos,
                                    .vespo_k_neg = g->vespo_k_neg,
                                    .vespo_lambda_neg = g->vespo_lambda_neg,
                                    .dro_beta = g->dro_beta,
                                    .cov_coef = g->cov_coef,
                                    .kl_coef = g->kl_coef,
                                    .is_kl_weighted = g->is_kl_weighted,
                                    .entropy_coef = g->entropy_coef,
                                    .has_off_policy_mask = g->has_off_policy_mask,
                                    .off_policy_max = g->off_policy_max,
                                    .count_eps = g->count_eps};
}

int recipe_init(struct recipe *out, const struct config *c)
{
    const struct config_grpo *const g = &c->grpo;
    struct recipe r = {.reward_kl = kl_kind_at(g->reward_kl),
                       .reward_kl_coef = g->reward_kl_coef,
                       .norm_tokens = g->norm_tokens > 0.0 ? g->norm_tokens
                                                           : (double)c->rollout.max_new,
                       .entropy_quantile = g->entropy_quantile,
                       .cov_share = g->cov_share,
                       .micro_seqs = g->micro_seqs,
                       .micro_loss_tokens = g->micro_loss_tokens,
                       .is_truncated_masked = g->truncated == TRUNCATED_MASK,
                       .is_old_recomputed = g->old_logp == OLD_LOGP_LEARNER ||
                                            (g->old_logp == OLD_LOGP_AUTO &&
                                             c->data.trajectories[0] != '\0'),
                       .is_corrected_now = g->correct_with == 1,
                       .is_rejected_counted = g->reject_counts == 0};
    /* choice 0 of these two is "same" */
    const int kl = g->kl_aggregation, entropy = g->entropy_aggregation;
    r.aggregation = aggregate_kind_at(g->aggregation);
    r.kl_aggregation = kl == 0 ? r.aggregation : aggregate_kind_at(kl - 1);
    r.entropy_aggregation = entropy == 0 ? r.aggregation
                                         : aggregate_kind_at(entropy - 1);
    if (g->reject[0] != '\0' && g->reject_limit[0] == '\0')
        return ERR(ERR_CONFIG, "grpo.reject=\"%s\" needs grpo.reject_limit", g->reject);
    if (g->reject[0] == '\0' && g->reject_limit[0] != '\0')
        return ERR(ERR_CONFIG, "grpo.reject_limit=\"%s\" without grpo.reject",
                   g->reject_limit);
    TRY(advantage_init(&r.advantage, g));
    TRY(correction_init(&r.correction, g));
    objective_init(&r.objective, g);
    if (g->is_correction != IS_NONE && g->is_low > g->is_high)
        return ERR(ERR_CONFIG, "grpo.is_low=%g is above grpo.is_high=%g", g->is_low,
                   g->is_high);
    *out = r;
    return STATUS_OK;
}

bool recipe_needs_reference(const struct config_grpo *g)
{
    return g->kl_coef != 0.0 || g->reward_kl_coef != 0.0;
}

bool recipe_needs_survey(const struct recipe *r)
{
    return r->entropy_quantile < 1.0 || objective_needs_covariance(r->objective.kind) ||
           (r->is_corrected_now && r->correction.is_normalised);
}

int recipe_check(const struct recipe *r, const struct config *c)
{
    const struct config_grpo *const g = &c->grpo;
    if (objective_needs_covariance(r->objective.kind) &&
        advantage_is_per_token(&r->advantage))
        return ERR(ERR_CONFIG,
                   "grpo.objective=kl_cov works with one advantage per "
                   "sequence; grpo.advantage=reinforce_pp has one per token");
    if (g->ref_every > 0 && !recipe_needs_reference(g))
        return ERR(ERR_CONFIG,
                   "grpo.ref_every=%lld moves the reference of a KL term, and there is "
                   "none: set grpo.kl_coef or grpo.reward_kl_coef",
                   (long long)g->ref_every);
    if (g->is_stale_checked && g->staleness == 0)
        return ERR(ERR_CONFIG, "grpo.check_stale=true checks samples of older weights; "
                               "set grpo.staleness=1");
    return STATUS_OK;
}
