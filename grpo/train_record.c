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
    recipe_describe(&recipe, "# ", &text);
    options_write(config_options(), c, &text);
    char *const path = io_join(c->run.dir, "config.ini");
    const int status = io_write_atomic(path, text.data, text.len);
    mem_free(path);
    buf_release(&text);
    TRY(status);
    TRY(open_one(&t->metrics, c->run.dir, "metrics.jsonl", last));
    TRY(open_one(&t->samples, c->run.dir, "samples.jsonl", last));
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
    put(t, "zero_var_groups", (double)st->learn.n_flat_groups);
    put(t, "n_prompt_tokens", (double)st->learn.n_prompt_tokens);
    put(t, "n_response_tokens", (double)st->learn.n_tokens);
    put(t, "logp_diff_max", st->on_policy.logp_diff_max);
    put(t, "route_diff", (double)st->n_route_diffs);
}

static void put_load(struct trainer *t)
{
    const struct hparams *const hp = &t->s.model.hp;
    double cv = 0.0;
    for (int64_t l = 0; l < hp->n_layers; l++)
        cv += stats_cv(t->expert_load + l * hp->n_experts, hp->n_experts);
    put(t, "expert_load_cv", cv / (double)hp->n_layers);
    metrics_put_table(&t->metrics, "expert_load", t->expert_load, hp->n_layers,
                      hp->n_experts);
}

static void put_times(struct trainer *t, const struct step_stats *st)
{
    const struct rollout_stats *const r = &st->collect.rollout;
    put(t, "time_rollout_s", st->collect.rollout_s);
    put(t, "time_reward_s", st->collect.reward_s);
    put(t, "time_exchange_s", st->collect.exchange_s);
    put(t, "time_learn_s", st->learn_s);
    put(t, "time_sync_s", st->sync_s);
    put(t, "time_step_s", st->step_s);
    if (st->collect.rollout_s > 0.0)
        put(t, "tokens_per_s_rollout",
            (double)(r->n_decode_tokens + r->n_prefill_tokens) / st->collect.rollout_s);
    if (st->learn_s > 0.0)
        put(t, "tokens_per_s_learn",
            (double)(st->learn.n_tokens + st->learn.n_prompt_tokens) / st->learn_s);
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

static int put_samples(struct trainer *t)
{
    struct metrics *const m = &t->samples;
    const int64_t n = t->s.config.log.samples;
    for (int64_t p = 0; p < n && p < t->g.n_groups; p++)
        for (int64_t s = 0; s < t->g.n_samples && s < 4; s++) {
            const struct sample_info *const info = groups_info(&t->g, p, s);
            const char *const q = dataset_question(t->train, t->g.problem[p]);
            const char *const gold = reward_gold_text(
                dataset_gold(t->train, t->g.problem[p]));
            const char *const reason = reward_reason_name(
                (enum reward_reason)info->reason);
            const char *const why = finish_name((enum finish)info->finish);
            collector_text(t->s.tokenizer, &t->g, p, s, &t->text);
            metrics_begin(m, t->step);
            metrics_put_int(m, "problem_index", t->g.problem[p]);
            metrics_put_int(m, "sample", s);
            metrics_put_string(m, "problem", q, strlen(q));
            metrics_put_string(m, "completion", t->text.data, t->text.len);
            metrics_put_string(m, "gold", gold, strlen(gold));
            metrics_put_real(m, "reward", (double)info->reward);
            metrics_put_string(m, "reason", reason, strlen(reason));
            metrics_put_string(m, "finish", why, strlen(why));
            metrics_put_int(m, "n_tokens", info->n_tokens);
            TRY(metrics_end(m));
        }
    return STATUS_OK;
}

int record_step(struct trainer *t, const struct step_stats *st)
{
    char tail[256] = "";
    metrics_begin(&t->metrics, t->step);
    if (st->n_updates > 0) {
        const struct reward_stats r = summarise(&t->g, t->s.config.grpo.prompts);
        put(t, "reward_mean", r.mean);
        put(t, "reward_std", r.std);
        put(t, "share_correct", r.correct);
        put(t, "share_form", r.form);
        put(t, "response_len_mean", r.len_mean);
        put(t, "response_len_max", r.len_max);
        put(t, "truncated_share", r.truncated);
        put_learning(t, st);
        put_load(t);
        put_times(t, st);
        snprintf(tail, sizeof(tail),
                 "reward %.3f  right %.1f%%  form %.1f%%  len %.1f  |g| %.3g  "
                 "rollout %.2fs learn %.2fs",
                 r.mean, 100.0 * r.correct, 100.0 * r.form, r.len_mean,
                 st->learn.optim.grad_l2 / (double)st->n_updates, st->collect.rollout_s,
                 st->learn_s);
    }
    if (st->has_eval)
        put_eval(t, &st->eval);
    TRY(metrics_end(&t->metrics));
    if (t->s.config.log.has_tensorboard)
        TRY(events_write(&t->events, t->step));
    if (st->n_updates > 0) {
        progress_update(&t->progress, t->step, tail);
        TRY(put_samples(t));
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
