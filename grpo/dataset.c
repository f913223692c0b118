/*
 * Prompts are tokenised once; ids of all prompts lie in one array.
 */
#include "grpo/dataset.h"

#include <string.h>

#include "core/rng.h"
#include "grpo/problems.h"
#include "grpo/prompter.h"

struct dataset {
    struct problems set;
    int64_t n;      /* problems kept */
    int64_t *index; /* (n) into set */
    int64_t *off;   /* (n + 1) into ids */
    struct ids ids;
    int64_t n_filtered, longest;
};

static int add_prompt(struct dataset *d, int64_t i, struct prompter *prompter,
                      const struct prompt_limits *limits, const struct tokenizer *t,
                      struct buf *text)
{
    const struct problem p = problems_at(&d->set, i);
    const int64_t before = d->ids.n;
    bool is_kept = false;
    buf_reset(text);
    prompter_render(prompter, p.row, (struct prompt_text){p.question, p.question_len},
                    text);
    const int status = prompt_encode(t, limits, text, &d->ids, &is_kept);
    if (status != STATUS_OK)
        return status_prefix(status, "problem %s", p.id);
    if (!is_kept) {
        d->n_filtered++;
        return STATUS_OK;
    }
    const int64_t n = d->ids.n - before;
    d->longest = n > d->longest ? n : d->longest;
    d->index[d->n++] = i;
    d->off[d->n] = d->ids.n;
    return STATUS_OK;
}

int dataset_load(struct dataset **out, const char *path, int64_t limit,
                 const struct session *s)
{
    const struct config *const c = &s->config;
    const struct reward_options verifier = config_verifier(c);
    const struct problems_args args = {.need = PROBLEMS_GOLD,
                                       .limit = limit,
                                       .is_lenient = c->data.is_lenient,
                                       .verifier = &verifier};
    struct prompt_limits limits = {.max_tokens = c->data.max_prompt,
                                   .is_filter = c->data.overlong == OVERLONG_FILTER};
    struct dataset *const d = mem_alloc(sizeof(*d));
    struct prompter *prompter = NULL;
    struct buf text = {0};
    int status = STATUS_OK;
    TRY_OUT(problems_load(&d->set, path, &args));
    TRY_OUT(prompter_create(&prompter, s, path));
    limits.has_special = prompter_has_special(prompter);
    d->index = mem_alloc((size_t)d->set.n * sizeof(*d->index));
    d->off = mem_alloc((size_t)(d->set.n + 1) * sizeof(*d->off));
    for (int64_t i = 0; status == STATUS_OK && i < d->set.n; i++)
        status = add_prompt(d, i, prompter, &limits, s->tokenizer, &text);
    if (status != STATUS_OK)
        TRY_OUT(status_prefix(status, "%s", path));
    if (d->n == 0)
        TRY_OUT(
            ERR(ERR_INPUT,
                "%s: no usable problem (%lld prompts longer than data.max_prompt=%lld, "
                "%lld golds that are not numbers)",
                path, (long long)d->n_filtered, (long long)c->data.max_prompt,
                (long long)d->set.n_skipped));
    d->n_filtered += d->set.n_skipped;
    *out = d;
out:
    prompter_free(prompter);
    buf_release(&text);
    if (status != STATUS_OK)
        dataset_free(d);
    return status;
}

void dataset_free(struct dataset *d)
{
    if (d == NULL)
        return;
    problems_release(&d->set);
    mem_free(d->index);
    mem_free(d->off);
    ids_release(&d->ids);
    mem_free(d);
}

int64_t dataset_n(const struct dataset *d) { return d->n; }

int64_t dataset_n_filtered(const struct dataset *d) { return d->n_filtered; }

int64_t dataset_longest_prompt(const struct dataset *d) { return d->longest; }

const int32_t *dataset_prompt(const struct dataset *d, int64_t i, int64_t *n_out)
{
    *n_out = d->off[i + 1] - d->off[i];
    return d->ids.data + d->off[i];
}

const struct reward_gold *dataset_gold(const struct dataset *d, int64_t i)
{
    return problems_at(&d->set, d->index[i]).gold;
}

const char *dataset_question(const struct dataset *d, int64_t i)
{
    return problems_at(&d->set, d->index[i]).question;
}

const char *dataset_answer(const struct dataset *d, int64_t i)
{
    return problems_at(&d->set, d->index[i]).answer;
}

int64_t dataset_order(int64_t n, int64_t i, uint64_t seed, bool is_shuffled)
{
    return is_shuffled ? rng_permute(seed, (uint32_t)(i / n), n, i % n) : i % n;
}
