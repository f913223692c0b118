/*
 * What a run leaves for people: one metrics line and event per step, sample texts, the
 * summary and the report.
 */
#include <math.h>
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/objective_recipe.h"
#include "grpo/report.h"
#include "grpo/stats.h"
#include "grpo/trainer.h"

static int open_one(struct metrics *m, const char *dir, const char *name,
                    int64_t last_step)
{
    char *const path = io_join(dir, name);
    const int status = metrics_open(m, path, last_step);
    mem_free(path);
    return status;
}

int record_open(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    const int64_t last = t->step > 0 ? t->step : -1;
    struct buf text = {0};
    struct recipe recipe;
    TRY(recipe_init(&recipe, c));
    recipe_warnings(&recipe, &text);
    for (char *line = text.data, *rest = line; line != NULL && *line != '\0';
         line = rest) {
        rest = strchr(line, '\n') + 1;
        log_warn("%.*s", (int)(rest - line - 1), line);
    }
    buf_reset(&text);
    recipe_describe(&recipe, c, "# ", &text);
    options_write(config_options(), c, &text);
    char *const path = io_join(c->run.dir, "config.ini");
    const int status = io_write_atomic(path, text.data, text.len);
    mem_free(path);
    buf_release(&text);
    TRY(status);
    TRY(open_one(&t->metrics, c->run.dir, "metrics.jsonl", last));
    TRY(open_one(&t->samples, c->run.dir, "samples.jsonl", last));
    if (c->log.has_trajectories)
        TRY(open_one(&t->trajectories, c->run.dir, "trajectories.jsonl", last));
    if (c->log.has_tensorboard)
        TRY(events_create(&t->events, c->run.dir, t->step > 0 ? t->step + 1 : 0));
    progress_start(&t->progress, NULL, "train", t->step, c->grpo.steps);
    return STATUS_OK;
}

/* A number for both the metrics line and the event file. */
static void put(struct trainer *t, const char *name, double value)
{
    metrics_put_real(&t->metrics, name, value);
    if (t->s.config.log.has_tensorboard && isfinite(value))
        events_put(&t->events, name, value);
}

struct reward_stats {
    double mean, std, correct, form, len_mean, len_max, truncated;
    int64_t n, n_tokens;
};

static struct reward_stats summarise(const struct groups *g, int64_t n_groups)
{
    struct reward_stats s = {.n = n_groups * g->n_samples};
    double sum = 0.0, sum_sq = 0.0;
    for (int64_t i = 0; i < s.n; i++) {
        const struct sample_info *const info = &g->info[i];
        sum += (double)info->reward;
        s.correct += info->is_correct;
        s.form += info->has_form;
        s.truncated += info->finish == FINISH_LENGTH;
        s.n_tokens += info->n_tokens;
        s.len_max = fmax(s.len_max, (double)info->n_tokens);
    }
    const double n = s.n > 0 ? (double)s.n : 1.0;
    s.mean = sum / n;
    for (int64_t i = 0; i < s.n; i++)
        sum_sq += ((double)g->info[i].reward - s.mean) *
                  ((double)g->info[i].reward - s.mean);
    s.std = sqrt(sum_sq / n);
    s.correct /= n;
    s.form /= n;
    s.truncated /= n;
    s.len_mean = (double)s.n_tokens / n;
    return s;
}

static void put_metric(void *t, const char *name, double value) { put(t, name, value); }

static void put_learning(struct trainer *t, const struct step_stats *st)
{
    const double u = st->n_updates > 0 ? (double)st->n_updates : 1.0;
    put(t, "loss", st->learn.sums.loss / u);
    objective_metrics(&st->learn.sums, put_metric, t);
    put(t, "grad_norm", st->learn.optim.grad_l2 / u);
    put(t, "grad_norm_l1", st->learn.optim.grad_l1 / u);
    put(t, "grad_scale", st->learn.optim.scale / u);
    put(t, "update_norm", st->learn.update_norm / u);
    put(t, "lr", st->lr);
    if (t->s.config.grpo.aux_coef != 0.0 || t->s.config.grpo.z_coef != 0.0) {
        put(t, "aux_loss", st->learn.aux_loss / u);
        put(t, "z_loss", st->learn.z_loss / u);
    }
    put(t, "zero_var_groups", (double)st->learn.n_flat_groups);
    put(t, "n_prompt_tokens", (double)st->learn.n_prompt_tokens);
    put(t, "n_response_tokens", (double)st->learn.n_tokens);
    put(t, "logp_diff_max", st->behaviour_diff_max);
    put(t, "route_diff", (double)st->n_route_diffs);
}

static void put_load(struct trainer *t)
{
    const struct hparams *const hp = &t->s.model.hp;
    double cv = 0.0;
    for (int64_t l = 0; l < hp->n_layers; l++)
        cv += stats_cv(t->now->expert_load + l * hp->n_experts, hp->n_experts);
    put(t, "expert_load_cv", cv / (double)hp->n_layers);
    metrics_put_table(&t->metrics, "expert_load", t->now->expert_load, hp->n_layers,
                      hp->n_experts);
}

/* Prompts drawn for the step, groups that gave way included. */
static void put_draw(struct trainer *t)
{
    const struct draw *const d = &t->now->draw;
    const double n = d->n_samples > 0 ? (double)d->n_samples : 1.0;
    if (t->s.config.grpo.zero_variance != ZERO_VARIANCE_REFILL)
        return;
    put(t, "refill_rounds", (double)d->n_rounds);
    put(t, "drawn_prompts", (double)d->n_prompts);
    put(t, "drawn_reward_mean", d->reward / n);
    put(t, "drawn_share_correct", (double)d->n_correct / n);
}

static void put_times(struct trainer *t, const struct step_stats *st)
{
    const struct role_times *const r = &st->roles;
    const struct rollout_stats *const made = &t->now->collect.rollout;
    int64_t n = made->n_decode_tokens + made->n_prefill_tokens;
    if (world_rollout_index(&t->world) < 0) /* rank 0 does not generate itself */
        for (int64_t i = 0; i < t->now->g.n_groups * t->now->g.n_samples; i++)
            n += t->now->g.info[i].n_tokens;
    put(t, "time_rollout_s", r->generate_s);
    put(t, "time_reward_s", t->now->collect.reward_s);
    put(t, "time_exchange_s", st->exchange_s);
    put(t, "time_learn_s", r->learn_s);
    put(t, "time_sync_s", st->sync_s);
    put(t, "time_step_s", st->step_s);
    put(t, "idle_rollout_s", r->idle_rollout_s);
    put(t, "idle_learn_s", r->idle_learn_s);
    put(t, "overlap_s", r->overlap_s);
    if (r->generate_s > 0.0)
        put(t, "tokens_per_s_rollout", (double)n / r->generate_s);
    if (r->learn_s > 0.0)
        put(t, "tokens_per_s_learn",
            (double)(st->learn.n_tokens + st->learn.n_prompt_tokens) / r->learn_s);
    put(t, "rss_bytes", (double)mem_peak_rss_bytes());
}

static void put_eval(struct trainer *t, const struct eval_result *r)
{
    put(t, "eval_accuracy", r->accuracy);
    put(t, "eval_lo", r->lo);
    put(t, "eval_hi", r->hi);
    put(t, "eval_n", (double)r->n);
    put(t, "eval_form", r->form);
    put(t, "eval_accuracy_given_form", r->accuracy_given_form);
    put(t, "eval_tokens", r->mean_tokens);
    if (r->n_samples > 1) {
        put(t, "eval_pass_at_k", r->pass_at_k);
        put(t, "eval_majority_at_k", (double)r->n_majority / (double)r->n);
    }
}

/* tail: what the progress line says of the step */
static void put_step(struct trainer *t, const struct step_stats *st, char *tail,
                     size_t size)
{
    const struct reward_stats r = summarise(&t->now->g, t->s.config.grpo.prompts);
    const struct role_times *const w = &st->roles;
    put(t, "reward_mean", r.mean);
    put(t, "reward_std", r.std);
    put(t, "share_correct", r.correct);
    put(t, "share_form", r.form);
    put(t, "response_len_mean", r.len_mean);
    put(t, "response_len_max", r.len_max);
    put(t, "truncated_share", r.truncated);
    put_learning(t, st);
    if (t->given == NULL)
        put(t, "staleness", t->now->is_on_policy ? 0.0 : 1.0);
    put_draw(t);
    if (!t->now->g.is_unrouted)
        put_load(t);
    put_times(t, st);
    const int n = snprintf(tail, size,
                           "reward %.3f  right %.1f%%  form %.1f%%  len %.1f  |g| %.3g "
                           " rollout %.2fs learn %.2fs",
                           r.mean, 100.0 * r.correct, 100.0 * r.form, r.len_mean,
                           st->learn.optim.grad_l2 / (double)st->n_updates,
                           w->generate_s, w->learn_s);
    if (t->s.config.grpo.staleness > 0 && n > 0 && (size_t)n < size)
        snprintf(tail + n, size - (size_t)n, " overlap %.2fs idle %.2f+%.2fs",
                 w->overlap_s, w->idle_rollout_s, w->idle_learn_s);
}

int record_step(struct trainer *t, const struct step_stats *st)
{
    char tail[256] = "";
    metrics_begin(&t->metrics, t->step);
    if (st->n_updates > 0)
        put_step(t, st, tail, sizeof(tail));
    if (st->has_eval)
        put_eval(t, &st->eval);
    TRY(metrics_end(&t->metrics));
    if (t->s.config.log.has_tensorboard)
        TRY(events_write(&t->events, t->step));
    if (st->has_eval)
        TRY(record_samples(t, "eval", t->eval, &t->evaluator.g));
    if (st->n_updates > 0) {
        progress_update(&t->progress, t->step, tail);
        TRY(record_samples(t, "train", t->given == NULL ? t->train : NULL, &t->now->g));
        if (t->s.config.log.has_trajectories)
            TRY(record_trajectories(t));
    }
    if (st->has_eval) {
        const struct eval_result *const r = &st->eval;
        progress_clear(&t->progress);
        log_info(
            "step %lld: accuracy %.1f%% [%.1f, %.1f] on %lld problems; %.1f%% in the "
            "required form, %.1f%% of those right; %.1f tokens",
            (long long)t->step, 100.0 * r->accuracy, 100.0 * r->lo, 100.0 * r->hi,
            (long long)r->n, 100.0 * r->form, 100.0 * r->accuracy_given_form,
            r->mean_tokens);
    }
    return STATUS_OK;
}

int record_close(struct trainer *t)
{
    progress_end(&t->progress);
    TRY(metrics_close(&t->metrics));
    TRY(metrics_close(&t->samples));
    TRY(metrics_close(&t->trajectories));
    return t->s.config.log.has_tensorboard ? events_close(&t->events) : STATUS_OK;
}

int record_summary(struct trainer *t, int64_t peak_rss_bytes)
{
    const char *const dir = t->s.config.run.dir;
    struct buf out = {0};
    buf_puts(&out, "{\"before\":");
    if (t->has_eval_start)
        eval_result_json(&t->eval_start, &out);
    else
        buf_puts(&out, "null");
    buf_puts(&out, ",\"after\":");
    if (t->has_eval_last)
        eval_result_json(&t->eval_last, &out);
    else
        buf_puts(&out, "null");
    buf_printf(&out, ",\"steps\":%lld,\"wall_s\":%.3f,\"peak_rss_bytes\":%lld}\n",
               (long long)t->step, session_seconds() - t->start_s,
               (long long)peak_rss_bytes);
    char *const summary = io_join(dir, "summary.json");
    char *const report = io_join(dir, "report.html");
    int status = io_write_atomic(summary, out.data, out.len);
    if (status == STATUS_OK) {
        const char *const dirs[] = {dir};
        status = report_write(report, dirs, 1);
    }
    if (status == STATUS_OK)
        log_info("report: %s", report);
    mem_free(summary);
    mem_free(report);
    buf_release(&out);
    return status;
}
