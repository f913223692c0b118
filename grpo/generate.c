/*
 * `grpo generate`: completes a prompt; the text is printed as it is sampled, never half
 * a character.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/dataset.h"
#include "grpo/prompter.h"
#include "rollout/rollout.h"

struct generate {
    struct session s;
    struct rollout *rollout;
    struct groups g;
    struct prompter *prompter; /* NULL: prompts are completed as they are */
    struct tokenizer_stream *stream;
    struct buf text;
    int64_t n_shown; /* tokens that went into the stream */
};

/* Prints what is certain of the new tokens' text. */
static void show(struct generate *x, bool is_end)
{
    const int32_t *const tokens = groups_tokens(&x->g, 0, 0);
    const int64_t n = groups_info(&x->g, 0, 0)->n_tokens;
    buf_reset(&x->text);
    while (x->n_shown < n)
        tokenizer_stream_push(x->stream, tokens[x->n_shown++], &x->text);
    if (is_end)
        tokenizer_stream_finish(x->stream, &x->text);
    if (x->text.len > 0)
        fwrite(x->text.data, 1, x->text.len, stdout);
    fflush(stdout);
}

static void on_tick(void *user, int64_t n_finished, int64_t n_tokens)
{
    (void)n_finished;
    (void)n_tokens;
    show(user, false);
}

static int complete(struct generate *x, const char *text, size_t len, int64_t line)
{
    const struct config *const c = &x->s.config;
    struct ids ids = {0};
    struct buf rendered = {0};
    if (x->prompter != NULL)
        prompter_render(x->prompter, line, (struct prompt_text){text, len}, &rendered);
    else
        buf_append(&rendered, text, len);
    const bool has_special = x->prompter != NULL ? prompter_has_special(x->prompter)
                                                 : c->prompt.bos != BOS_FALSE;
    int status = tokenizer_encode(x->s.tokenizer, rendered.data, rendered.len,
                                  has_special, &ids);
    buf_release(&rendered);
    if (status == STATUS_OK && (ids.n == 0 || ids.n > c->data.max_prompt))
        status = ERR(ERR_INPUT,
                     "a prompt of %lld tokens; 1 to %lld are allowed "
                     "(data.max_prompt)",
                     (long long)ids.n, (long long)c->data.max_prompt);
    if (status == STATUS_OK) {
        const int64_t slot = 0;
        struct rollout_stats stats;
        const struct rollout_args args = {.temperature = (float)c->rollout.temperature,
                                          .top_p = (float)c->rollout.top_p,
                                          .top_k = (int32_t)c->rollout.top_k,
                                          .seed = (uint64_t)c->run.seed,
                                          .step = (int32_t)line,
                                          .max_new = c->rollout.max_new};
        x->n_shown = 0;
        tokenizer_stream_reset(x->stream);
        groups_set_prompt(&x->g, 0, 0, ids.data, ids.n);
        status = rollout_run(x->rollout, &x->g, &slot, 1, &args, on_tick, x, &stats);
        if (status == STATUS_OK) {
            show(x, true);
            putchar('\n');
        }
    }
    ids_release(&ids);
    return status;
}

static int run(struct generate *x, const char *dir, const char *prompt,
               bool is_question)
{
    const struct config *const c = &x->s.config;
    const struct rollout_limits rl = {.n_slots = 1,
                                      .max_prompt = c->data.max_prompt,
                                      .max_new = c->rollout.max_new,
                                      .n_prefill = c->data.max_prompt};
    TRY(session_load(&x->s, dir, c->data.max_prompt + c->rollout.max_new,
                     c->model.softmax, true));
    if (is_question)
        TRY(prompter_create(&x->prompter, &x->s, NULL));
    TRY(rollout_create(&x->rollout, &x->s.model, x->s.tokenizer, &rl));
    tokenizer_stream_create(&x->stream, x->s.tokenizer, true, c->rollout.max_new);
    TRY(groups_init(&x->g, 1, 1, c->data.max_prompt, c->rollout.max_new, 0));
    if (prompt != NULL)
        return complete(x, prompt, strlen(prompt), 0);
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;
    int status = STATUS_OK;
    for (int64_t i = 0; status == STATUS_OK && (len = getline(&line, &cap, stdin)) >= 0;
         i++) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        status = complete(x, line, (size_t)len, i);
    }
    free(line);
    return status;
}

int command_generate(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[] = {{"--question", false, NULL}};
    struct args a;
    struct config c;
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    if (a.n_words < 1 || a.n_words > 2)
        return ERR(ERR_USAGE,
                   "usage: grpo generate MODEL [PROMPT] [section.key=value ...]");
    TRY(config_parse(&c, a.n_overrides, a.overrides));
    struct generate x = {.n_shown = 0};
    int status = session_open(&x.s, p, &c);
    if (status == STATUS_OK)
        status = run(&x, a.words[0], a.n_words > 1 ? a.words[1] : NULL,
                     flags[0].value != NULL);
    prompter_free(x.prompter);
    rollout_free(x.rollout);
    groups_release(&x.g);
    buf_release(&x.text);
    tokenizer_stream_free(x.stream);
    session_close(&x.s);
    return status;
}
