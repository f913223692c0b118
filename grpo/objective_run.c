/*
 * One case. The numbers that a training run has as options (a step's prompts, a
 * mini-batch) are here the engine's loop over slices of one batch: `cut` says where
 * slices end and what their losses are divided by.
 */
#include "grpo/objective_run.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "grpo/objective_recipe.h"
#include "grpo/objective_step.h"

struct run {
    const struct objective_case *c;
    const struct engine_cut *cut;
    struct recipe recipe;
    const double *old, *behaviour; /* of the ratio; of the policy that sampled */
    uint8_t *mask, *policy_mask, *entropy_mask, *cov_mask;
    double *now_weights, *work, *scratch;
    struct objective_cov *cov;
    double n_tokens; /* of the whole batch, as the engine counts them */
    struct objective_result *out;
};

static int need(const double *x, const char *name, const char *what)
{
    if (x != NULL)
        return STATUS_OK;
    return ERR(ERR_INPUT, "input.%s is missing; %s needs it", name, what);
}

static int check_inputs(struct run *r)
{
    const struct objective_case *const c = r->c;
    const struct objective_options *const o = &r->recipe.objective;
    const bool has_correction = r->recipe.correction.is != IS_NONE ||
                                r->recipe.correction.n_rules > 0;
    if (r->cut->uses_given_old && !r->cut->is_bypass)
        TRY(need(c->logp_old, "logp_old", "the importance ratio"));
    if (r->cut->is_bypass || has_correction)
        TRY(need(c->logp_rollout, "logp_rollout", "the off-policy correction"));
    if (o->kl_coef != 0.0 || r->recipe.reward_kl_coef != 0.0)
        TRY(need(c->logp_ref, "logp_ref", "the KL term"));
    if (r->recipe.reward_kl_coef != 0.0)
        TRY(need(r->cut->is_reward_bypass ? c->logp_rollout : c->logp_old,
                 r->cut->is_reward_bypass ? "logp_rollout" : "logp_old",
                 "the KL in the reward"));
    if (o->entropy_coef != 0.0 || r->recipe.entropy_quantile < 1.0)
        TRY(need(c->entropy, "entropy", "the entropy term"));
    return STATUS_OK;
}

static double count(const uint8_t *mask, int64_t n)
{
    double sum = 0.0;
    for (int64_t t = 0; t < n; t++)
        sum += mask[t];
    return sum;
}

/* The reward columns that count, side by side; NULL where those of the case do. */
static int rewards_of(const struct run *r, int64_t *n_out, double *to)
{
    const struct objective_case *const c = r->c;
    const int64_t n_weights = r->recipe.advantage.n_weights;
    int64_t n = r->cut->is_first_reward ? 1 : c->n_rewards;
    if (n_weights > 0 && n_weights < n)
        n = n_weights;
    for (int64_t i = 0; i < c->n_seqs; i++)
        for (int64_t k = 0; k < n; k++) {
            const double x = c->reward[i * c->n_rewards + k];
            if (isnan(x) && !r->cut->is_trl)
                return ERR(ERR_INPUT,
                           "input.rewards[%lld] is null: verl has no "
                           "unscored samples",
                           (long long)i);
            to[i * n + k] = x;
        }
    *n_out = n;
    return STATUS_OK;
}

static int run_step(struct run *r)
{
    const struct objective_case *const c = r->c;
    struct objective_result *const out = r->out;
    const bool is_before = !r->recipe.is_corrected_now;
    double *const reward = mem_alloc((size_t)(c->n_seqs * c->n_rewards) *
                                     sizeof(*reward));
    struct objective_step s = {
        .n_seqs = c->n_seqs,
        .n_groups = c->n_groups,
        .group = c->group,
        .off = c->off,
        .reward = reward,
        .mask = r->mask,
        .old = r->cut->is_reward_bypass ? c->logp_rollout : c->logp_old,
        .behaviour = c->logp_rollout,
        .ref = c->logp_ref,
        .advantage = out->advantage,
        .advantages = out->advantages,
        .weights = is_before ? out->weights : NULL,
        .kept = is_before && r->recipe.correction.n_rules > 0 ? out->mask : NULL,
        .penalty = r->recipe.reward_kl_coef != 0.0 ? r->scratch : NULL,
        .work = r->work};
    int status = rewards_of(r, &s.n_rewards, reward);
    if (s.kept == NULL)
        memcpy(out->mask, r->mask, (size_t)c->n_tokens);
    if (status == STATUS_OK)
        status = objective_step_run(&s, &r->recipe);
    mem_free(reward);
    return status;
}

struct slice {
    int64_t first, end;
    double n_seqs, n_tokens, n_entropy, width;
};

static void survey(struct run *r, struct slice *s)
{
    const struct objective_case *const c = r->c;
    const struct objective_result *const out = r->out;
    const int64_t from = c->off[s->first], to = c->off[s->end];
    s->n_seqs = (double)(s->end - s->first);
    s->n_tokens = s->n_entropy = count(out->mask + from, to - from);
    s->width = r->cut->is_width_given ? (double)c->width : 0.0;
    for (int64_t i = s->first; i < s->end; i++)
        s->width = fmax(s->width, (double)(c->off[i + 1] - c->off[i]));
    if (r->recipe.entropy_quantile < 1.0) {
        int64_t n = 0;
        for (int64_t t = from; t < to; t++)
            if (out->mask[t])
                r->work[n++] = c->entropy[t];
        const double least = objective_entropy_threshold(r->work, n,
                                                         r->recipe.entropy_quantile);
        for (int64_t t = from; t < to; t++)
            r->entropy_mask[t] = out->mask[t] && c->entropy[t] >= least;
        s->n_entropy = count(r->entropy_mask + from, to - from);
    }
    if (objective_needs_covariance(r->recipe.objective.kind))
        objective_cov_mask(r->cov_mask + from, out->advantages + from, c->logp + from,
                           out->mask + from, to - from, r->recipe.cov_share, r->cov);
    if (r->cut->is_bypass)
        objective_correct(r->recipe.correction.is == IS_NONE ? NULL : r->now_weights,
                          r->policy_mask, c->logp, c->logp_rollout, r->mask, c->off,
                          s->first, s->end, &r->recipe.correction, r->work);
}

/* TRL's `dapo` and kin divide by the tokens of the generation batch, the others by
 * what their micro-batch holds, and then by the accumulation steps. */
static double trl_factor(const struct run *r, const struct aggregate_kind *k)
{
    const double slices = (double)r->cut->n_micro, steps = r->cut->grad_steps;
    return strcmp(k->name, "token_mean") == 0 ? slices / steps : 1.0 / steps;
}

static double scale_of(const struct run *r, const struct slice *s,
                       const struct aggregate_kind *k, double n_micro,
                       double seq_tokens)
{
    const bool is_trl = r->cut->is_trl;
    const struct aggregate_counts counts = {
        /* verl divides by a count of 0 and gets NaN */
        .n_tokens = !is_trl && r->n_tokens == 0.0 ? (double)NAN : r->n_tokens,
        .n_seqs = is_trl ? s->n_seqs : (double)r->c->n_seqs,
        .seq_tokens = seq_tokens,
        .micro_tokens = n_micro,
        .micro_seqs = s->n_seqs,
        .constant = r->recipe.norm_tokens,
        .width = s->width,
        .eps = r->recipe.objective.count_eps};
    return k->fn(&counts) * (is_trl ? trl_factor(r, k) : 1.0);
}

static double policy_scale(const struct run *r, const struct slice *s, double tokens)
{
    const struct recipe *const p = &r->recipe;
    if (!objective_is_per_sequence(p->objective.kind))
        return scale_of(r, s, p->aggregation, s->n_tokens, tokens);
    /* rloo's trainer does not divide by the accumulation steps */
    const bool is_rloo = strcmp(objective_kind_name(p->objective.kind), "rloo") == 0;
    return 1.0 / s->n_seqs / (r->cut->is_trl && !is_rloo ? r->cut->grad_steps : 1.0);
}

static double one_sequence(struct run *r, const struct slice *s, int64_t i)
{
    const struct objective_case *const c = r->c;
    struct objective_result *const out = r->out;
    const struct recipe *const p = &r->recipe;
    const int64_t at = c->off[i], n = c->off[i + 1] - at;
    const bool has_mask = p->entropy_quantile < 1.0;
    struct objective_sample in = {
        .n = n,
        .logp = c->logp + at,
        .logp_old = r->old + at,
        .logp_ref = p->objective.kl_coef == 0.0 ? NULL : c->logp_ref + at,
        .behaviour = r->behaviour + at,
        .entropy = c->entropy == NULL ? c->logp + at : c->entropy + at,
        .advantage = out->advantage[i],
        .advantages = r->cut->is_trl ? NULL : out->advantages + at,
        .mask = out->mask + at,
        .offered = r->mask + at,
        .entropy_mask = has_mask ? r->entropy_mask + at : NULL,
        .cov_mask = objective_needs_covariance(p->objective.kind) ? r->cov_mask + at
                                                                  : NULL,
        .weights = out->weights == NULL ? NULL : out->weights + at};
    const double tokens = count(in.mask, n);
    double policy_tokens = tokens;
    if (r->cut->is_bypass) {
        in.policy_mask = r->policy_mask + at;
        in.weights = p->correction.is == IS_NONE ? NULL : r->now_weights + at;
        policy_tokens = count(in.policy_mask, n);
    }
    in.scale = policy_scale(r, s, policy_tokens);
    in.kl_scale = scale_of(r, s, p->kl_aggregation, s->n_tokens, tokens);
    in.entropy_scale = scale_of(r, s, p->entropy_aggregation, s->n_entropy, tokens);
    return objective_evaluate(out->grad + at, out->grad_entropy + at, &out->sums, &in,
                              &p->objective, r->scratch);
}

static void run_slices(struct run *r)
{
    const struct objective_case *const c = r->c;
    struct objective_result *const out = r->out;
    for (int64_t k = 0; k < out->n_micro; k++) {
        struct slice s = {.first = c->n_seqs * k / out->n_micro,
                          .end = c->n_seqs * (k + 1) / out->n_micro};
        if (!r->cut->is_trl) {
            s.first = k * r->cut->micro_batch;
            s.end = s.first + r->cut->micro_batch;
            s.end = s.end < c->n_seqs ? s.end : c->n_seqs;
        }
        survey(r, &s);
        for (int64_t i = s.first; i < s.end; i++)
            out->micro_loss[k] += one_sequence(r, &s, i);
        out->loss += out->micro_loss[k];
    }
    for (int64_t t = 0; t < c->n_tokens; t++)
        out->has_entropy_grad |= out->grad_entropy[t] != 0.0;
}

/* verl has weight 0 outside the mask. */
static void mask_weights(const struct run *r)
{
    for (int64_t t = 0;
         r->out->weights != NULL && !r->cut->is_trl && t < r->c->n_tokens; t++)
        r->out->weights[t] *= r->mask[t];
}

static void *zeroed(int64_t n, size_t size) { return mem_alloc((size_t)n * size); }

static void reserve(struct run *r)
{
    const struct objective_case *const c = r->c;
    struct objective_result *const out = r->out;
    const int64_t n = c->n_tokens;
    const bool has_weights = r->recipe.correction.is != IS_NONE && !r->cut->is_bypass;
    out->n_micro = r->cut->is_trl
                       ? r->cut->n_micro
                       : (c->n_seqs + r->cut->micro_batch - 1) / r->cut->micro_batch;
    out->micro_loss = zeroed(out->n_micro, sizeof(double));
    out->advantage = zeroed(c->n_seqs, sizeof(double));
    out->advantages = zeroed(n, sizeof(double));
    out->weights = has_weights ? zeroed(n, sizeof(double)) : NULL;
    out->grad = zeroed(n, sizeof(double));
    out->grad_entropy = zeroed(n, sizeof(double));
    out->mask = zeroed(n, 1);
    r->mask = zeroed(n, 1);
    r->policy_mask = zeroed(n, 1);
    r->entropy_mask = zeroed(n, 1);
    r->cov_mask = zeroed(n, 1);
    r->now_weights = zeroed(n, sizeof(double));
    r->work = zeroed(objective_step_work(c->n_seqs, c->longest) + n, sizeof(double));
    r->scratch = zeroed(OBJECTIVE_WORK * c->longest + n, sizeof(double));
    r->cov = zeroed(n, sizeof(*r->cov));
}

static void release(struct run *r)
{
    mem_free(r->mask);
    mem_free(r->policy_mask);
    mem_free(r->entropy_mask);
    mem_free(r->cov_mask);
    mem_free(r->now_weights);
    mem_free(r->work);
    mem_free(r->scratch);
    mem_free(r->cov);
}

static int recipe_of(struct recipe *out, const struct mapping *m)
{
    struct config c = {0};
    int status = options_set_defaults(config_options(), &c);
    if (status == STATUS_OK)
        status = mapping_apply(m, &c, out);
    config_release(&c);
    return status;
}

int objective_run(struct objective_result *out, const struct objective_case *c,
                  const struct mapping *m)
{
    struct run r = {.c = c, .cut = &m->cut, .out = out};
    *out = (struct objective_result){.is_per_token = !m->cut.is_trl};
    TRY(recipe_of(&r.recipe, m));
    TRY(check_inputs(&r));
    reserve(&r);
    for (int64_t i = 0; i < c->n_seqs; i++) {
        const bool is_out = r.recipe.is_truncated_masked && c->truncated[i];
        for (int64_t t = c->off[i]; t < c->off[i + 1]; t++)
            r.mask[t] = c->mask[t] && !is_out;
    }
    r.old = !m->cut.uses_given_old ? c->logp
            : m->cut.is_bypass     ? c->logp_rollout
                                   : c->logp_old;
    r.behaviour = m->cut.knows_rollout && c->logp_rollout != NULL ? c->logp_rollout
                                                                  : r.old;
    const int status = run_step(&r);
    if (status == STATUS_OK) {
        r.n_tokens = count(m->cut.is_counted_late ? out->mask : r.mask, c->n_tokens);
        run_slices(&r);
        mask_weights(&r);
    }
    release(&r);
    if (status != STATUS_OK)
        objective_result_release(out);
    return status;
}

void objective_result_release(struct objective_result *r)
{
    mem_free(r->micro_loss);
    mem_free(r->advantage);
    mem_free(r->advantages);
    mem_free(r->weights);
    mem_free(r->grad);
    mem_free(r->grad_entropy);
    mem_free(r->mask);
    *r = (struct objective_result){0};
}
