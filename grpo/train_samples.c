/*
 * samples.jsonl: what the model writes, for people; trajectories.jsonl: all of it, for
 * programs (grpo/trajectories.h). In samples.jsonl, of a training step the first
 * prompts, others each time; of an evaluation the first problems of data.eval, the same
 * each time, so that before and after can be compared.
 */
#include <string.h>

#include "grpo/trainer.h"

enum { MAX_PER_PROBLEM = 4 };

/* The question and the gold of a problem, "" where a given file has none. data NULL:
 * of the given trajectories. */
static int texts_of(struct trainer *t, const struct dataset *data, int64_t problem,
                    const char **question, const char **gold)
{
    if (data == NULL)
        return trajectories_texts(t->given, problem, question, gold);
    *question = dataset_question(data, problem);
    *gold = reward_gold_text(dataset_gold(data, problem));
    return STATUS_OK;
}

static int put_sample(struct trainer *t, const char *split, const struct dataset *data,
                      const struct groups *g, int64_t p, int64_t s)
{
    struct metrics *const m = &t->samples;
    const struct sample_info *const info = groups_info(g, p, s);
    const int64_t problem = g->problem[p];
    const char *question = NULL, *gold = NULL;
    const char *const reason = reward_reason_name((enum reward_reason)info->reason);
    const char *const why = finish_name((enum finish)info->finish);
    TRY(texts_of(t, data, problem, &question, &gold));
    collector_text(t->s.tokenizer, g, p, s, &t->text);
    metrics_begin(m, t->step);
    metrics_put_string(m, "split", split, strlen(split));
    metrics_put_int(m, "problem_index", problem);
    metrics_put_int(m, "sample", s);
    metrics_put_string(m, "problem", question, strlen(question));
    metrics_put_string(m, "completion", t->text.data, t->text.len);
    metrics_put_string(m, "gold", gold, strlen(gold));
    metrics_put_real(m, "reward", (double)info->reward);
    metrics_put_string(m, "reason", reason, strlen(reason));
    metrics_put_string(m, "finish", why, strlen(why));
    metrics_put_int(m, "n_tokens", info->n_tokens);
    return metrics_end(m);
}

int record_samples(struct trainer *t, const char *split, const struct dataset *data,
                   const struct groups *g)
{
    const int64_t n = t->s.config.log.samples;
    for (int64_t p = 0; p < n && p < g->n_groups; p++)
        for (int64_t s = 0; s < g->n_samples && s < MAX_PER_PROBLEM; s++)
            TRY(put_sample(t, split, data, g, p, s));
    return STATUS_OK;
}

int record_trajectories(struct trainer *t)
{
    const struct groups *const g = &t->now->g;
    const bool is_replayed = t->s.config.grpo.routing_replay == REPLAY_R3;
    struct trajectory_line l = {.g = g,
                                .tokenizer = t->s.tokenizer,
                                .has_routes = is_replayed && !g->is_unrouted};
    for (l.p = 0; l.p < g->n_groups; l.p++) {
        TRY(texts_of(t, t->given == NULL ? t->train : NULL, g->problem[l.p],
                     &l.question, &l.gold));
        TRY(trajectories_write(&t->trajectories, t->step, &l, &t->text));
    }
    return STATUS_OK;
}
