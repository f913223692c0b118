/*
 * Slot p of an evaluation is problem p, so its random numbers depend on the problem
 * alone.
 */
#include "grpo/evaluate.h"

#include <string.h>

#include "grpo/stats.h"
#include "reward/reward.h"

int evaluator_init(struct evaluator *e, const struct eval_setup *s)
{
    const struct config *const c = s->config;
    const int64_t n = dataset_n(s->data);
    const int64_t max_new = c->eval.max_new > 0 ? c->eval.max_new : c->rollout.max_new;
    *e = (struct evaluator){.s = *s};
    TRY(groups_init(&e->g, n, c->eval.samples, c->data.max_prompt, max_new, 0));
    e->problem = mem_alloc((size_t)n * sizeof(*e->problem));
    e->owner = mem_alloc((size_t)n * sizeof(*e->owner));
    for (int64_t p = 0; p < n; p++)
        e->problem[p] = p; /* rank 0 (owner 0) keeps all for texts and majorities */
    return STATUS_OK;
}

void evaluator_release(struct evaluator *e)
{
    groups_release(&e->g);
    mem_free(e->problem);
    mem_free(e->owner);
    *e = (struct evaluator){0};
}

/* Answers of one problem's samples, as text slices. */
struct answer {
    const char *text;
    size_t len;
    bool is_correct;
};

/* Most common answer text; the first seen wins a tie (the paper's rule). */
static bool is_majority_right(const struct answer *a, int64_t n)
{
    int64_t best = -1, best_count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        for (int64_t j = 0; a[i].len > 0 && j < n; j++)
            count += a[j].len == a[i].len &&
                     memcmp(a[j].text, a[i].text, a[i].len) == 0;
        if (count > best_count) {
            best = i;
            best_count = count;
        }
    }
    return best >= 0 && a[best].is_correct;
}

/* Only with several samples, on rank 0: texts again through the verifier for their
 * answers. */
static int count_majorities(struct evaluator *e, struct eval_result *r)
{
    const int64_t k = e->g.n_samples;
    struct reward_rules *rules = NULL;
    struct reward_scratch *scratch = NULL;
    int status = STATUS_OK;
    struct buf *const text = mem_alloc((size_t)k * sizeof(*text));
    struct answer *const a = mem_alloc((size_t)k * sizeof(*a));
    const struct reward_options verifier = config_verifier(e->s.config);
    TRY_OUT(reward_rules_create(&rules, &verifier));
    TRY_OUT(reward_scratch_create(&scratch, rules));
    for (int64_t p = 0; p < r->n; p++) {
        for (int64_t s = 0; s < k; s++) {
            struct reward_result rr;
            collector_text(e->s.tokenizer, &e->g, p, s, &text[s]);
            const struct reward_input in = {.text = text[s].data, .len = text[s].len};
            reward_score(&rr, scratch, &in, dataset_gold(e->s.data, p));
            a[s] = (struct answer){text[s].data + rr.answer_off, rr.answer_len,
                                   rr.is_correct};
        }
        r->n_majority += is_majority_right(a, k);
    }
out:
    for (int64_t s = 0; s < k; s++)
        buf_release(&text[s]);
    mem_free(text);
    mem_free(a);
    reward_scratch_free(scratch);
    reward_rules_free(rules);
    return status;
}

void eval_result_finish(struct eval_result *r)
{
    const double n = r->n > 0 ? (double)r->n : 1.0;
    const struct stats_interval ci = stats_wilson(r->n_correct, r->n);
    r->accuracy = (double)r->n_correct / n;
    r->lo = ci.lo;
    r->hi = ci.hi;
    r->form = (double)r->n_form / n;
    r->accuracy_given_form = r->n_form > 0
                                 ? (double)r->n_correct_form / (double)r->n_form
                                 : 0.0;
    r->mean_tokens = (double)r->n_tokens / (n * (double)r->n_samples);
}

int evaluator_run(struct evaluator *e, struct eval_result *out)
{
    const struct config_eval *const ce = &e->s.config->eval;
    struct eval_result r = {.n = e->g.n_groups, .n_samples = e->g.n_samples};
    struct collect_stats stats;
    const struct collect_args args = {.data = e->s.data,
                                      .problem = e->problem,
                                      .n = r.n,
                                      .owner = e->owner,
                                      .rollout = {.temperature = (float)ce->temperature,
                                                  .top_p = (float)ce->top_p,
                                                  .seed = (uint64_t)ce->seed,
                                                  .max_new = e->g.max_new}};
    TRY(collector_run(e->s.collector, &e->g, &args, &stats));
    double pass = 0.0;
    for (int64_t p = 0; p < r.n; p++) {
        const struct sample_info *const info = groups_info(&e->g, p, 0);
        int64_t n_right = 0;
        for (int64_t s = 0; s < r.n_samples; s++) {
            n_right += info[s].is_correct;
            r.n_tokens += info[s].n_tokens;
        }
        r.n_correct += info[0].is_correct;
        r.n_form += info[0].has_form;
        r.n_correct_form += info[0].is_correct && info[0].has_form;
        r.n_truncated += info[0].finish == FINISH_LENGTH;
        pass += stats_pass_at_k(r.n_samples, n_right, r.n_samples);
    }
    r.pass_at_k = r.n > 0 ? pass / (double)r.n : 0.0;
    eval_result_finish(&r);
    if (r.n_samples > 1 && e->s.world->rank == 0)
        TRY(count_majorities(e, &r));
    *out = r;
    return STATUS_OK;
}

void eval_result_json(const struct eval_result *r, struct buf *out)
{
    buf_printf(out,
               "{\"accuracy\":%.6f,\"lo\":%.6f,\"hi\":%.6f,\"n\":%lld,\"form\":%.6f,"
               "\"accuracy_given_form\":%.6f,\"mean_tokens\":%.3f,\"truncated\":%lld",
               r->accuracy, r->lo, r->hi, (long long)r->n, r->form,
               r->accuracy_given_form, r->mean_tokens, (long long)r->n_truncated);
    if (r->n_samples > 1)
        buf_printf(out, ",\"samples\":%lld,\"pass_at_k\":%.6f,\"majority_at_k\":%.6f",
                   (long long)r->n_samples, r->pass_at_k,
                   (double)r->n_majority / (double)r->n);
    buf_puts(out, "}");
}
