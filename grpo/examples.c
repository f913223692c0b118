/*
 * One blank separates a prompt that does not end in white space from its answer, as in
 * "Answer: 5": the answer's first token then carries it, as it does when the model
 * continues the prompt by itself.
 */
#include "grpo/examples.h"

#include <string.h>

#include "grpo/problems.h"
#include "grpo/prompt.h"

static int add_example(struct examples *x, const struct problem *p,
                       const struct prompt_template *tpl, const struct tokenizer *t,
                       int32_t eos_id, const struct config *c, struct ids *all,
                       struct buf *text)
{
    const int64_t before = all->n;
    buf_reset(text);
    prompt_render(tpl, p->question, p->question_len, text);
    const bool is_spaced = text->len > 0 && strchr(" \n\t", text->data[text->len - 1]);
    TRY(tokenizer_encode(t, text->data, text->len, c->prompt.has_bos, all));
    const int64_t n_prompt = all->n - before;
    buf_reset(text);
    buf_puts(text, is_spaced ? "" : " ");
    buf_append(text, p->answer, p->answer_len);
    TRY(tokenizer_encode(t, text->data, text->len, false, all));
    if (eos_id >= 0)
        ids_push(all, eos_id);
    if (all->n - before < 2)
        return ERR(ERR_INPUT, "an example of fewer than 2 tokens");
    if (all->n - before > c->pretrain.max_tokens) {
        all->n = before + c->pretrain.max_tokens;
        x->n_cut++;
    }
    const int64_t n = all->n - before;
    x->longest = n > x->longest ? n : x->longest;
    x->n_prompt[x->n++] = (int32_t)(n_prompt < n ? n_prompt : n);
    x->off[x->n] = all->n;
    return STATUS_OK;
}

int examples_load(struct examples *x, const char *path, int64_t limit,
                  const struct tokenizer *t, int32_t eos_id, const struct config *c)
{
    const struct problems_args args = {.need = PROBLEMS_ANSWER, .limit = limit};
    struct problems set = {0};
    struct prompt_template tpl;
    struct ids all = {0};
    struct buf text = {0};
    *x = (struct examples){0};
    TRY(prompt_template_find(&tpl, c->prompt.preset, c->prompt.prefix,
                             c->prompt.suffix));
    TRY(problems_load(&set, path, &args));
    x->off = mem_alloc((size_t)(set.n + 1) * sizeof(*x->off));
    x->n_prompt = mem_alloc((size_t)set.n * sizeof(*x->n_prompt));
    int status = STATUS_OK;
    for (int64_t i = 0; status == STATUS_OK && i < set.n; i++) {
        const struct problem p = problems_at(&set, i);
        status = add_example(x, &p, &tpl, t, eos_id, c, &all, &text);
        if (status != STATUS_OK)
            status = status_prefix(status, "%s: problem %s", path, p.id);
    }
    x->ids = all.data;
    buf_release(&text);
    problems_release(&set);
    if (status == STATUS_OK && x->n == 0)
        status = ERR(ERR_INPUT, "%s: no question/answer pair", path);
    if (status != STATUS_OK)
        examples_release(x);
    return status;
}

void examples_release(struct examples *x)
{
    mem_free(x->off);
    mem_free(x->ids);
    mem_free(x->n_prompt);
    *x = (struct examples){0};
}
