/*
 * A recipe in words, for the head of a run's config.ini. Only what has an effect is
 * named: an objective without a clip shows none, an advantage without a std no eps.
 */
#include <string.h>

#include "grpo/objective_recipe.h"

static void put_advantage(const struct recipe *r, const char *p, struct buf *out)
{
    const struct advantage_options *const a = &r->advantage;
    const char *const std = advantage_std_name(a);
    buf_printf(out, "%sadvantage: %s, ", p, advantage_kind_name(a->kind));
    if (std != NULL)
        buf_printf(out, "std %s, eps %g", std, a->eps);
    else
        buf_puts(out, "no std");
    if (a->whiten == WHITEN_BATCH)
        buf_printf(out, ", whitened over sequences (eps %g)", a->eps);
    if (advantage_whitens_tokens(a))
        buf_puts(out, ", whitened over tokens");
    buf_printf(out, "; alone in its group: %s\n",
               a->single == SINGLE_ZERO ? "0" : "its reward");
    if (r->reward_kl_coef != 0.0)
        buf_printf(out, "%sKL in the reward: %g x %s\n", p, r->reward_kl_coef,
                   r->reward_kl->name);
}

static void put_clip(const struct recipe *r, struct buf *out)
{
    const struct objective_options *const o = &r->objective;
    buf_printf(out, ", clip %g below, %g above", o->clip_low, o->clip_high);
    if (o->clip_dual != 0.0)
        buf_printf(out, ", dual clip %g", o->clip_dual);
    if (o->clip_delta != 0.0)
        buf_printf(out, ", delta %g", o->clip_delta);
}

static void put_cispo(const struct recipe *r, struct buf *out)
{
    const struct objective_options *const o = &r->objective;
    if (o->is_cap_absolute)
        buf_printf(out, ", weight at most %g (absolute)", o->clip_high);
    else
        buf_printf(out, ", weight in 1 - %g to 1 + %g", o->clip_low, o->clip_high);
}

static void put_sapo(const struct recipe *r, struct buf *out)
{
    buf_printf(out, ", temperatures %g for A > 0, %g else", r->objective.tau_pos,
               r->objective.tau_neg);
}

static void put_vespo(const struct recipe *r, struct buf *out)
{
    const struct objective_options *const o = &r->objective;
    buf_printf(out, ", k %g, lambda %g for A >= 0; %g, %g else", o->vespo_k_pos,
               o->vespo_lambda_pos, o->vespo_k_neg, o->vespo_lambda_neg);
}

static void put_trust(const struct recipe *r, struct buf *out)
{
    const struct objective_options *const o = &r->objective;
    buf_printf(out, ", bounds %g down, %g up", o->clip_low, o->clip_high);
    if (o->clip_dual != 0.0)
        buf_printf(out, ", weight at most %g", o->clip_dual);
}

static void put_dro(const struct recipe *r, struct buf *out)
{
    buf_printf(out, ", beta %g", r->objective.dro_beta);
}

static void put_kl_cov(const struct recipe *r, struct buf *out)
{
    buf_printf(out, ", %g abs log-ratio on a share of %g", r->objective.cov_coef,
               r->cov_share);
}

static void put_geometric(const struct recipe *r, struct buf *out)
{
    buf_printf(out, ", log-ratios clipped at -%g, %g", r->objective.clip_low,
               r->objective.clip_high);
}

static void put_policy(const struct recipe *r, const char *p, struct buf *out)
{
    static const struct {
        const char *kind;
        void (*put)(const struct recipe *r, struct buf *out);
    } details[] = {
        {"ppo_clip", put_clip},  {"rloo", put_clip},         {"cispo", put_cispo},
        {"sapo", put_sapo},      {"vespo", put_vespo},       {"dppo_tv", put_trust},
        {"dppo_kl", put_trust},  {"dro", put_dro},           {"kl_cov", put_kl_cov},
        {"gmpo", put_geometric}, {"geo_mean", put_geometric}};
    const struct objective_options *const o = &r->objective;
    const char *const kind = objective_kind_name(o->kind);
    buf_printf(out, "%sobjective: %s, ratio per %s against %s", p, kind, o->ratio->name,
               r->is_old_recomputed ? "recomputed log-probs" : "recorded log-probs");
    for (int64_t i = 0; i < ARRAY_LEN(details); i++)
        if (strcmp(details[i].kind, kind) == 0)
            details[i].put(r, out);
    if (o->has_off_policy_mask)
        buf_printf(out, "; without sequences of A < 0 moved by more than %g",
                   o->off_policy_max);
    buf_puts(out, "\n");
}

static void put_terms(const struct recipe *r, const char *p, struct buf *out)
{
    const struct objective_options *const o = &r->objective;
    buf_printf(out, "%sdenominator: %s", p,
               objective_is_per_sequence(o->kind) ? "sequences" : r->aggregation->name);
    if (strcmp(r->aggregation->name, "constant") == 0)
        buf_printf(out, " %g", r->norm_tokens);
    if (strcmp(r->aggregation->name, "micro_token_mean") == 0 && r->micro_seqs > 0)
        buf_printf(out, " of %lld sequences", (long long)r->micro_seqs);
    else if (strcmp(r->aggregation->name, "micro_token_mean") == 0)
        buf_printf(out, " of %lld tokens", (long long)r->micro_loss_tokens);
    buf_printf(out, "; KL %s; entropy %s; %g added to counts\n",
               r->kl_aggregation->name, r->entropy_aggregation->name, o->count_eps);
    buf_printf(out, "%sKL in the loss: ", p);
    if (o->kl_coef != 0.0)
        buf_printf(out, "%g x %s%s", o->kl_coef, o->kl->name,
                   o->is_kl_weighted ? " x ratio" : "");
    else
        buf_puts(out, "none");
    buf_printf(out, "; entropy bonus: %g; tokens kept by entropy: %g\n",
               o->entropy_coef, r->entropy_quantile);
}

static void put_correction(const struct recipe *r, const char *p, struct buf *out)
{
    static const char *const is[] = {"none", "token_truncate", "token_mask",
                                     "sequence_truncate", "sequence_mask"};
    const struct correction_options *const c = &r->correction;
    buf_printf(out, "%scorrection: weights %s", p, is[c->is]);
    if (c->is != IS_NONE)
        buf_printf(out, " in [%g, %g]%s", c->is_low, c->is_high,
                   c->is_normalised ? ", mean 1" : "");
    buf_printf(out, "; %lld rejection rules\n", (long long)c->n_rules);
}

static void put_samples(const struct config *c, const char *p, struct buf *out)
{
    const struct shape_options s = config_shaping(c);
    buf_printf(out, "%sgroups of equal rewards: ", p);
    if (c->grpo.zero_variance == ZERO_VARIANCE_REFILL)
        buf_printf(out, "replaced by others, in at most %lld rounds",
                   (long long)c->grpo.refill_rounds);
    else
        buf_puts(out,
                 c->grpo.zero_variance == ZERO_VARIANCE_DROP ? "left out" : "kept");
    buf_printf(out, "; truncated completions: %s\n",
               c->grpo.truncated == TRUNCATED_MASK ? "masked" : "kept");
    buf_printf(out, "%sreward: %g right, %g wrong", p, s.correct, s.wrong);
    if (s.form != 0.0)
        buf_printf(out, ", %g more in the required form", s.form);
    if (s.overlong_buffer > 0)
        buf_printf(out, "; up to %g less over the last %lld of %lld tokens",
                   s.overlong_penalty, (long long)s.overlong_buffer,
                   (long long)s.overlong_limit);
    buf_puts(out, "\n");
}

static void put_norm(const char *name, double limit, struct buf *out)
{
    if (limit > 0.0)
        buf_printf(out, "%s norm at most %g, ", name, limit);
    else
        buf_printf(out, "%s norm free, ", name);
}

static void put_optimiser(const struct config *c, const char *p, struct buf *out)
{
    buf_printf(out, "%soptimiser: gradient's ", p);
    put_norm("L2", c->optim.clip_l2, out);
    put_norm("L1", c->optim.clip_l1, out);
    buf_printf(out, "weight decay %g%s\n", c->optim.weight_decay,
               c->grpo.is_first_noop ? ", learning rate 0 in the first step" : "");
}

void recipe_describe(const struct recipe *r, const struct config *c, const char *prefix,
                     struct buf *out)
{
    put_advantage(r, prefix, out);
    put_policy(r, prefix, out);
    put_terms(r, prefix, out);
    put_correction(r, prefix, out);
    put_samples(c, prefix, out);
    put_optimiser(c, prefix, out);
}

void recipe_warnings(const struct recipe *r, struct buf *out)
{
    if (r->advantage.n_weights > 1)
        buf_printf(out,
                   "grpo.reward_weights has %lld numbers; training has one reward, so "
                   "the first counts\n",
                   (long long)r->advantage.n_weights);
    if (r->correction.is != IS_NONE && objective_ignores_weights(r->objective.kind))
        buf_printf(out, "grpo.is_correction has no effect with grpo.objective=%s\n",
                   objective_kind_name(r->objective.kind));
}
