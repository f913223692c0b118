/*
 * Capacity is set aside once; a step fills it. The arrays of tokens are reserved pages:
 * what short completions do not need is never touched.
 */
#include "grpo/learner_step.h"

#include <math.h>
#include <string.h>

#include "core/carve.h"
#include "core/mem.h"

static double *carve_f64(struct carver *c, int64_t n)
{
    return carve(c, n, sizeof(double));
}

static bool has_rules(const struct recipe *r) { return r->correction.n_rules > 0; }
static bool has_weights(const struct recipe *r) { return r->correction.is != IS_NONE; }
static bool has_corrections(const struct recipe *r)
{
    return has_rules(r) || has_weights(r);
}

static void lay_out_tokens(struct learner_step *s, struct carver *c)
{
    const struct recipe *const r = &s->recipe;
    const int64_t n = s->max_seqs * s->max_new;
    const bool is_before = has_corrections(r) && !r->is_corrected_now;
    s->mask = carve(c, n, 1);
    s->kept = has_rules(r) && is_before ? carve(c, n, 1) : s->mask;
    s->advantages = advantage_is_per_token(&r->advantage) ? carve_f64(c, n) : NULL;
    s->weights = has_weights(r) && is_before ? carve_f64(c, n) : NULL;
    s->penalty = r->reward_kl_coef != 0.0 ? carve_f64(c, n) : NULL;
    for (int i = 0; i < STEP_N; i++)
        s->value[i] = s->has_value[i] ? carve_f64(c, n) : NULL;
    s->entropy_mask = r->entropy_quantile < 1.0 ? carve(c, n, 1) : NULL;
    const bool has_cov = objective_needs_covariance(r->objective.kind);
    s->token_work = has_cov || r->entropy_quantile < 1.0 ? carve_f64(c, n) : NULL;
    s->cov_mask = has_cov ? carve(c, n, 1) : NULL;
    s->cov_from = has_cov ? carve(c, n, 1) : NULL;
    s->cov_work = has_cov ? carve(c, n, sizeof(*s->cov_work)) : NULL;
}

static void lay_out(struct learner_step *s, struct carver *c)
{
    const int64_t n = s->max_seqs, t = s->max_new;
    s->off = carve(c, n + 1, sizeof(int64_t));
    s->group = carve(c, n, sizeof(int64_t));
    s->chunk = carve(c, n, sizeof(int64_t));
    s->is_flat = carve(c, n, sizeof(bool));
    s->is_used = carve(c, n, sizeof(bool));
    s->reward = carve_f64(c, n);
    s->advantage = carve_f64(c, n);
    s->chunk_tokens = carve_f64(c, n);
    s->chunk_entropy = carve_f64(c, n);
    s->chunk_seqs = carve_f64(c, n);
    s->work = carve_f64(c, objective_step_work(n, t));
    s->logp = carve_f64(c, t);
    s->logp_old = carve_f64(c, t);
    s->logp_ref = carve_f64(c, t);
    s->behaviour = carve_f64(c, t);
    s->entropy = carve_f64(c, t);
    s->dlogp = carve_f64(c, t);
    s->dent = carve_f64(c, t);
    s->now_weights = carve_f64(c, t);
    s->now_kept = carve(c, t, 1);
    s->scratch = carve_f64(c, OBJECTIVE_WORK * t);
    lay_out_tokens(s, c);
}

int learner_step_init(struct learner_step *s, const struct config *c)
{
    *s = (struct learner_step){.max_seqs = c->grpo.prompts * c->rollout.group_size,
                               .n_samples = c->rollout.group_size,
                               .max_new = c->rollout.max_new};
    struct recipe *const r = &s->recipe;
    TRY(recipe_init(r, c));
    TRY(recipe_check(r, c));
    const bool is_before = has_corrections(r) && !r->is_corrected_now;
    const bool has_reward_kl = r->reward_kl_coef != 0.0;
    s->has_value[STEP_BEHAVIOUR] = is_before || has_reward_kl ||
                                   (r->is_corrected_now && r->correction.is_normalised);
    s->has_value[STEP_OLD] = r->is_old_recomputed;
    s->has_value[STEP_REF] = has_reward_kl;
    s->has_value[STEP_NOW] = recipe_needs_survey(r);
    s->has_value[STEP_ENTROPY] = r->entropy_quantile < 1.0;
    struct carver measure = {.base = NULL};
    lay_out(s, &measure);
    s->block_bytes = measure.used;
    TRY(mem_reserve(&s->block, measure.used, "the step's sequences"));
    struct carver real = {.base = s->block};
    lay_out(s, &real);
    return STATUS_OK;
}

void learner_step_release(struct learner_step *s)
{
    mem_release(s->block, s->block_bytes);
    s->block = NULL;
}

void learner_step_open(struct learner_step *s, const struct groups *g, int64_t n)
{
    const int64_t n_samples = g->n_samples;
    CHECK(n * n_samples <= s->max_seqs && g->max_new <= s->max_new,
          "a step of %lld x %lld completions of up to %lld tokens", (long long)n,
          (long long)n_samples, (long long)g->max_new);
    s->g = g;
    s->n_prompts = n;
    s->n_seqs = n * n_samples;
    s->off[0] = 0;
    for (int64_t i = 0; i < s->n_seqs; i++) {
        const struct sample_info *const info = &g->info[i];
        const bool is_masked = s->recipe.is_truncated_masked &&
                               info->finish == FINISH_LENGTH;
        s->group[i] = i / n_samples;
        s->reward[i] = (double)info->reward;
        s->off[i + 1] = s->off[i] + info->n_tokens;
        memset(s->mask + s->off[i], !is_masked, (size_t)info->n_tokens);
    }
    for (int64_t p = 0; p < n; p++)
        s->is_flat[p] = advantage_is_flat(s->reward + p * n_samples, n_samples);
}

static double count_mask(const uint8_t *mask, int64_t n)
{
    double sum = 0.0;
    for (int64_t t = 0; t < n; t++)
        sum += mask[t];
    return sum;
}

int learner_step_close(struct learner_step *s)
{
    struct objective_step step = {
        .n_seqs = s->n_seqs,
        .n_groups = s->n_prompts,
        .n_rewards = 1,
        .group = s->group,
        .off = s->off,
        .reward = s->reward,
        .mask = s->mask,
        .old = s->value[s->has_value[STEP_OLD] ? STEP_OLD : STEP_BEHAVIOUR],
        .behaviour = s->value[STEP_BEHAVIOUR],
        .ref = s->value[STEP_REF],
        .advantage = s->advantage,
        .advantages = s->advantages,
        .weights = s->weights,
        .kept = s->kept == s->mask ? NULL : s->kept,
        .penalty = s->penalty,
        .work = s->work};
    TRY(objective_step_run(&step, &s->recipe));
    /* opo of a group without tokens divides 0 by 0 */
    for (int64_t i = 0; i < s->n_seqs; i++)
        if (isnan(s->advantage[i]) &&
            count_mask(s->kept + s->off[i], s->off[i + 1] - s->off[i]) == 0.0)
            s->advantage[i] = 0.0;
    return STATUS_OK;
}

bool learner_step_is_used(const struct learner_step *s, int64_t prompt)
{
    return s->is_used[prompt * s->n_samples];
}

static double length_of(const struct learner_step *s, int64_t i)
{
    const uint8_t *const mask = s->recipe.is_rejected_counted ? s->mask : s->kept;
    double n = 0.0;
    for (int64_t t = s->off[i]; t < s->off[i + 1]; t++)
        n += mask[t];
    return n;
}

/* Micro-batches of micro_token_mean: so many sequences each, or equal shares of the
 * tokens, as many as the token budget asks for; in order. */
static void cut_chunks(struct learner_step *s)
{
    const struct recipe *const r = &s->recipe;
    const double budget = (double)r->micro_loss_tokens;
    const int64_t n_chunks = (int64_t)ceil(s->n_tokens / budget);
    double before = 0.0;
    int64_t n_used = 0;
    for (int64_t i = s->first_seq; i < s->end_seq; i++)
        s->chunk_tokens[i] = s->chunk_seqs[i] = 0.0;
    for (int64_t i = s->first_seq; i < s->end_seq; i++) {
        if (!s->is_used[i])
            continue;
        const double len = length_of(s, i);
        int64_t chunk = r->micro_seqs > 0 ? n_used / r->micro_seqs
                                          : (int64_t)(before / fmax(s->n_tokens, 1.0) *
                                                      (double)n_chunks);
        if (chunk >= s->n_seqs - s->first_seq)
            chunk = s->n_seqs - s->first_seq - 1;
        s->chunk[i] = s->first_seq + chunk;
        s->chunk_tokens[s->chunk[i]] += len;
        s->chunk_seqs[s->chunk[i]] += 1.0;
        before += len;
        n_used++;
    }
    for (int64_t i = s->first_seq; i < s->end_seq; i++)
        s->chunk_entropy[i] = s->chunk_tokens[i];
}

int64_t learner_step_minibatch(struct learner_step *s, int64_t first, int64_t n,
                               bool drops_flat)
{
    int64_t n_flat = 0;
    s->first_seq = first * s->n_samples;
    s->end_seq = (first + n) * s->n_samples;
    s->n_tokens = s->n_used = s->width = 0.0;
    for (int64_t p = first; p < first + n; p++)
        n_flat += s->is_flat[p];
    for (int64_t i = s->first_seq; i < s->end_seq; i++) {
        s->is_used[i] = !drops_flat || !s->is_flat[s->group[i]];
        if (!s->is_used[i])
            continue;
        s->n_tokens += length_of(s, i);
        s->n_used += 1.0;
        s->width = fmax(s->width, (double)(s->off[i + 1] - s->off[i]));
    }
    s->n_entropy_tokens = s->n_tokens;
    s->now_scale = 1.0;
    cut_chunks(s);
    return n_flat;
}

static void survey_entropy(struct learner_step *s)
{
    int64_t n = 0;
    for (int64_t i = s->first_seq; i < s->end_seq; i++)
        for (int64_t t = s->off[i]; s->is_used[i] && t < s->off[i + 1]; t++)
            if (s->mask[t])
                s->token_work[n++] = s->value[STEP_ENTROPY][t];
    const double least = objective_entropy_threshold(s->token_work, n,
                                                     s->recipe.entropy_quantile);
    s->n_entropy_tokens = 0.0;
    for (int64_t i = s->first_seq; i < s->end_seq; i++)
        s->chunk_entropy[i] = 0.0;
    for (int64_t i = s->first_seq; i < s->end_seq; i++)
        for (int64_t t = s->off[i]; s->is_used[i] && t < s->off[i + 1]; t++) {
            s->entropy_mask[t] = s->mask[t] && s->value[STEP_ENTROPY][t] >= least;
            s->n_entropy_tokens += s->entropy_mask[t];
            s->chunk_entropy[s->chunk[i]] += s->entropy_mask[t];
        }
}

/* Only sequences in the loss take part in the means. */
static void survey_covariance(struct learner_step *s)
{
    const int64_t from = s->off[s->first_seq], n = s->off[s->end_seq] - from;
    for (int64_t i = s->first_seq; i < s->end_seq; i++)
        for (int64_t t = s->off[i]; t < s->off[i + 1]; t++) {
            s->cov_from[t] = s->is_used[i] && s->kept[t];
            s->token_work[t] = s->advantage[i];
        }
    objective_cov_mask(s->cov_mask + from, s->token_work + from,
                       s->value[STEP_NOW] + from, s->cov_from + from, n,
                       s->recipe.cov_share, s->cov_work);
}

static void survey_weights(struct learner_step *s)
{
    const struct correction_options *const o = &s->recipe.correction;
    struct correction_mean mean = {0};
    for (int64_t i = s->first_seq; i < s->end_seq; i++) {
        const int64_t at = s->off[i], n = s->off[i + 1] - at;
        if (!s->is_used[i])
            continue;
        for (int64_t t = 0; t < n; t++)
            s->work[t] = s->value[STEP_NOW][at + t] - s->value[STEP_BEHAVIOUR][at + t];
        correction_weights(s->now_weights, s->work, s->mask + at, n, o);
        correction_mean_add(&mean, s->now_weights, s->mask + at, n, o);
    }
    s->now_scale = correction_scale(&mean, o);
}

void learner_step_survey(struct learner_step *s)
{
    const struct recipe *const r = &s->recipe;
    if (r->entropy_quantile < 1.0)
        survey_entropy(s);
    if (objective_needs_covariance(r->objective.kind))
        survey_covariance(s);
    if (r->is_corrected_now && has_weights(r))
        survey_weights(s);
}

static void widen(double *y, const float *x, int64_t n)
{
    for (int64_t t = 0; t < n; t++)
        y[t] = (double)x[t];
}

/* Weights and mask from the policy as it is now; detached. */
static void correct_now(struct learner_step *s, struct objective_sample *in)
{
    const struct correction_options *const o = &s->recipe.correction;
    double *const d = s->scratch;
    for (int64_t t = 0; t < in->n; t++)
        d[t] = in->logp[t] - in->behaviour[t];
    if (has_weights(&s->recipe)) {
        correction_weights(s->now_weights, d, in->mask, in->n, o);
        for (int64_t t = 0; t < in->n; t++)
            s->now_weights[t] *= s->now_scale;
        in->weights = s->now_weights;
    }
    correction_reject(s->now_kept, d, in->mask, in->n, o);
    in->policy_mask = s->now_kept;
}

static void set_scales(const struct learner_step *s, int64_t i,
                       struct objective_sample *in)
{
    const struct recipe *const r = &s->recipe;
    struct aggregate_counts c = {.n_tokens = s->n_tokens,
                                 .n_seqs = s->n_used,
                                 .seq_tokens = count_mask(in->mask, in->n),
                                 .micro_tokens = s->chunk_tokens[s->chunk[i]],
                                 .micro_seqs = s->chunk_seqs[s->chunk[i]],
                                 .constant = r->norm_tokens,
                                 .width = s->width,
                                 .eps = r->objective.count_eps};
    in->kl_scale = r->kl_aggregation->fn(&c);
    if (in->policy_mask != NULL)
        c.seq_tokens = count_mask(in->policy_mask, in->n);
    in->scale = objective_is_per_sequence(r->objective.kind)
                    ? 1.0 / fmax(s->n_used, 1.0)
                    : r->aggregation->fn(&c);
    if (in->entropy_mask != NULL) {
        c.n_tokens = s->n_entropy_tokens;
        c.micro_tokens = s->chunk_entropy[s->chunk[i]];
        c.seq_tokens = count_mask(in->entropy_mask, in->n);
    }
    in->entropy_scale = r->entropy_aggregation->fn(&c);
}

void learner_step_apply(struct learner_step *s, int64_t i, const struct step_forward *f,
                        float *dlogp, float *dent, struct objective_sums *sums)
{
    const struct recipe *const r = &s->recipe;
    const int64_t at = s->off[i], n = s->off[i + 1] - at;
    widen(s->logp, f->logp, n);
    widen(s->behaviour, f->recorded, n);
    widen(s->entropy, f->entropy, n);
    if (f->logp_ref != NULL)
        widen(s->logp_ref, f->logp_ref, n);
    struct objective_sample in = {
        .n = n,
        .logp = s->logp,
        .logp_old = r->is_old_recomputed ? s->value[STEP_OLD] + at : s->behaviour,
        .logp_ref = f->logp_ref == NULL ? NULL : s->logp_ref,
        .behaviour = s->behaviour,
        .entropy = s->entropy,
        .advantage = s->advantage[i],
        .advantages = s->advantages == NULL ? NULL : s->advantages + at,
        .mask = s->kept + at,
        .offered = s->mask + at,
        .entropy_mask = s->entropy_mask == NULL ? NULL : s->entropy_mask + at,
        .cov_mask = s->cov_mask == NULL ? NULL : s->cov_mask + at,
        .weights = s->weights == NULL ? NULL : s->weights + at};
    if (r->is_corrected_now && has_corrections(r))
        correct_now(s, &in);
    set_scales(s, i, &in);
    objective_evaluate(s->dlogp, s->dent, sums, &in, &r->objective, s->scratch);
    for (int64_t t = 0; t < n; t++) {
        dlogp[t] = (float)s->dlogp[t];
        dent[t] = (float)s->dent[t];
    }
}
