/*
 * samples.jsonl: what the model writes, for people. Of a training step the first
 * prompts, others each time; of an evaluation the first problems of data.eval, the same
 * each time, so that before and after can be compared.
 */
#include <string.h>

#include "grpo/trainer.h"

enum { MAX_PER_PROBLEM = 4 };

static int put_sample(struct trainer *t, const char *split, const struct dataset *data,
                      const struct groups *g, int64_t p, int64_t s)
{
    struct metrics *const m = &t->samples;
    const struct sample_info *const info = groups_info(g, p, s);
    const int64_t problem = g->problem[p];
    const char *const question = dataset_question(data, problem);
    const char *const gold = reward_gold_text(dataset_gold(data, problem));
    const char *const reason = reward_reason_name((enum reward_reason)info->reason);
    const char *const why = finish_name((enum finish)info->finish);
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
