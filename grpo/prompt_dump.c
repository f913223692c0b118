/*
 * The texts are UTF-8 already (they come out of JSON, the template and the options), so
 * that they are written as they are.
 */
#include "grpo/prompt_dump.h"

#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/problems.h"
#include "grpo/prompter.h"

/* What goes round the rows in each of the two forms. */
struct layout {
    const char *open, *between, *close;
    const char *row_open, *row_between, *row_close;
};
static const struct layout list_layout = {
    "[", ",", "\n]", "\n  {\n    \"prompt\": ", ",\n    \"answer\": ", "\n  }"};
static const struct layout line_layout = {
    "", "", "", "{\"prompt\": ", ", \"answer\": ", "}\n"};

static bool is_list_name(const char *path)
{
    const size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".json") == 0;
}

static void put_row(struct buf *out, const struct layout *l, const struct buf *prompt,
                    const struct problem *p)
{
    const char *const answer = p->answer != NULL ? p->answer : p->gold_text;
    buf_puts(out, l->row_open);
    buf_put_json_string(out, prompt->data == NULL ? "" : prompt->data, prompt->len);
    buf_puts(out, l->row_between);
    buf_put_json_string(out, answer,
                        p->answer != NULL ? p->answer_len : strlen(answer));
    buf_puts(out, l->row_close);
}

static int write_rows(const struct problems *set, struct prompter *prompter,
                      const char *path)
{
    const struct layout *const l = is_list_name(path) ? &list_layout : &line_layout;
    struct io_file f = {0};
    struct buf prompt = {0}, row = {0};
    int status = STATUS_OK;
    TRY_OUT(io_create(&f, path));
    TRY_OUT(io_write(&f, l->open, strlen(l->open)));
    for (int64_t i = 0; i < set->n; i++) {
        const struct problem p = problems_at(set, i);
        buf_reset(&prompt);
        buf_reset(&row);
        buf_puts(&row, i > 0 ? l->between : "");
        prompter_render(prompter, p.row,
                        (struct prompt_text){p.question, p.question_len}, &prompt);
        put_row(&row, l, &prompt, &p);
        TRY_OUT(io_write(&f, row.data, row.len));
    }
    TRY_OUT(io_write(&f, l->close, strlen(l->close)));
    TRY_OUT(io_close(&f, false));
    log_info("%lld prompts in %s", (long long)set->n, path);
out:
    io_abandon(&f);
    buf_release(&prompt);
    buf_release(&row);
    return status;
}

int prompt_dump(const struct session *s, const char *data, const char *path)
{
    const struct config_data *const c = &s->config.data;
    const struct problems_args args = {
        .need = PROBLEMS_GOLD, .limit = c->eval_limit, .is_lenient = c->is_lenient};
    struct problems set = {0};
    struct prompter *prompter = NULL;
    TRY(problems_load(&set, data, &args));
    int status = set.n > 0 ? STATUS_OK : ERR(ERR_INPUT, "%s: no problem", data);
    if (status == STATUS_OK)
        status = prompter_create(&prompter, s, data);
    if (status == STATUS_OK)
        status = write_rows(&set, prompter, path);
    prompter_free(prompter);
    problems_release(&set);
    return status;
}
