/*
 * Prompts are tokenised once; ids of all prompts lie in one array.
 */
#include "grpo/dataset.h"

#include <string.h>

#include "core/rng.h"
#include "grpo/problems.h"
#include "grpo/prompt.h"

struct dataset {
    struct problem_set set;
    int64_t n;      /* problems kept */
    int64_t *index; /* (n) into set */
    int64_t *off;   /* (n + 1) into ids */
    struct ids ids;
    int64_t n_filtered, longest;
};

/* Tokenises problem i; false in *is_kept when its prompt is too long and is to be left
 * out. */
static int add_prompt(struct dataset *d, int64_t i, const struct prompt_template *tpl,
                      const struct tokenizer *t, const struct config *c,
                      struct buf *text)
{
    const struct problem *const p = &d->set.items[i];
    const int64_t before = d->ids.n;
    buf_reset(text);
    prompt_render(tpl, p->question, p->question_len, text);
    TRY(tokenizer_encode(t, text->data, text->len, c->prompt.has_bos, &d->ids));
    const int64_t n = d->ids.n - before;
    if (n < 1)
        return ERR(ERR_INPUT, "problem %lld gives an empty prompt", (long long)i + 1);
    if (n > c->data.max_prompt) {
        if (c->data.overlong == OVERLONG_ERROR)
            return ERR(
                ERR_INPUT,
                "problem %lld has a prompt of %lld tokens, data.max_prompt is %lld; "
                "raise it, or leave such problems out with data.overlong=filter "
                "(\"%.60s...\")",
                (long long)i + 1, (long long)n, (long long)c->data.max_prompt,
                p->question);
        d->ids.n = before;
        d->n_filtered++;
        return STATUS_OK;
    }
    d->longest = n > d->longest ? n : d->longest;
    d->index[d->n++] = i;
    d->off[d->n] = d->ids.n;
    return STATUS_OK;
}

int dataset_load(struct dataset **out, const char *path, int64_t limit,
                 const struct tokenizer *t, const struct config *c)
{
    const struct problems_args args = {
        .limit = limit, .has_gold = true, .is_lenient = c->data.is_lenient};
    struct dataset *const d = mem_alloc(sizeof(*d));
    struct buf text = {0};
    struct prompt_template tpl;
    int status = STATUS_OK;
    TRY_OUT(prompt_template_find(&tpl, c->prompt.preset, c->prompt.prefix,
                                 c->prompt.suffix));
    TRY_OUT(problems_load(&d->set, path, &args));
    d->index = mem_alloc((size_t)d->set.n * sizeof(*d->index));
    d->off = mem_alloc((size_t)(d->set.n + 1) * sizeof(*d->off));
    for (int64_t i = 0; i < d->set.n; i++) {
        status = add_prompt(d, i, &tpl, t, c, &text);
        if (status != STATUS_OK) {
            status = status_prefix(status, "%s", path);
            goto out;
        }
    }
    if (d->n == 0)
        TRY_OUT(ERR(ERR_INPUT,
                    "%s: all %lld prompts are longer than data.max_prompt=%lld", path,
                    (long long)d->n_filtered, (long long)c->data.max_prompt));
    d->n_filtered += d->set.n_skipped;
    *out = d;
out:
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
    return d->set.items[d->index[i]].gold;
}

const char *dataset_question(const struct dataset *d, int64_t i)
{
    return d->set.items[d->index[i]].question;
}

const char *dataset_answer(const struct dataset *d, int64_t i)
{
    return d->set.items[d->index[i]].answer;
}

int64_t dataset_order(int64_t n, int64_t i, uint64_t seed, bool is_shuffled)
{
    return is_shuffled ? rng_permute(seed, (uint32_t)(i / n), n, i % n) : i % n;
}
