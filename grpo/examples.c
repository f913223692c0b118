/*
 * What stands between a prompt and its answer belongs to the answer's tokens: in
 * "Answer: 5" the first of them then carries the blank, as it does when the model
 * continues the prompt by itself.
 */
#include "grpo/examples.h"

#include "grpo/problems.h"
#include "grpo/prompter.h"

struct loading {
    const struct session *s;
    struct prompter *prompter;
    int32_t eos_id;
    struct ids all;
    struct buf prompt, answer;
};

static int add_example(struct examples *x, struct loading *l, const struct problem *p)
{
    const int64_t max_tokens = l->s->config.pretrain.max_tokens;
    const int64_t before = l->all.n;
    const struct prompt_text question = {p->question, p->question_len};
    buf_reset(&l->prompt);
    buf_reset(&l->answer);
    prompter_render(l->prompter, p->row, question, &l->prompt);
    prompter_render_lead(l->prompter, &l->prompt, &l->answer);
    buf_append(&l->answer, p->answer, p->answer_len);
    TRY(tokenizer_encode(l->s->tokenizer, l->prompt.data, l->prompt.len,
                         prompter_has_special(l->prompter), &l->all));
    const int64_t n_prompt = l->all.n - before;
    TRY(tokenizer_encode(l->s->tokenizer, l->answer.data, l->answer.len, false,
                         &l->all));
    if (l->eos_id >= 0)
        ids_push(&l->all, l->eos_id);
    if (l->all.n - before < 2)
        return ERR(ERR_INPUT, "an example of fewer than 2 tokens");
    if (l->all.n - before > max_tokens) {
        l->all.n = before + max_tokens;
        x->n_cut++;
    }
    const int64_t n = l->all.n - before;
    x->longest = n > x->longest ? n : x->longest;
    x->n_prompt[x->n++] = (int32_t)(n_prompt < n ? n_prompt : n);
    x->off[x->n] = l->all.n;
    return STATUS_OK;
}

static int add_all(struct examples *x, struct loading *l, const struct problems *set,
                   const char *path)
{
    int status = STATUS_OK;
    for (int64_t i = 0; status == STATUS_OK && i < set->n; i++) {
        const struct problem p = problems_at(set, i);
        status = add_example(x, l, &p);
        if (status != STATUS_OK)
            status = status_prefix(status, "%s: problem %s", path, p.id);
    }
    if (status == STATUS_OK && x->n == 0)
        status = ERR(ERR_INPUT, "%s: no question/answer pair", path);
    return status;
}

int examples_load(struct examples *x, const char *path, int64_t limit, int32_t eos_id,
                  const struct session *s)
{
    const struct problems_args args = {.need = PROBLEMS_ANSWER, .limit = limit};
    struct loading l = {.s = s, .eos_id = eos_id};
    struct problems set = {0};
    int status = STATUS_OK;
    *x = (struct examples){0};
    TRY_OUT(problems_load(&set, path, &args));
    TRY_OUT(prompter_create(&l.prompter, s, path));
    x->off = mem_alloc((size_t)(set.n + 1) * sizeof(*x->off));
    x->n_prompt = mem_alloc((size_t)set.n * sizeof(*x->n_prompt));
    status = add_all(x, &l, &set, path);
    x->ids = l.all.data;
out:
    prompter_free(l.prompter);
    buf_release(&l.prompt);
    buf_release(&l.answer);
    problems_release(&set);
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
