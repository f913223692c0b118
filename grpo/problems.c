/*
 * Strings are kept in chunks that never move, so that items may point into them.
 */
#include "grpo/problems.h"

#include <string.h>

#include "core/io.h"
#include "core/json.h"

struct chunk {
    struct chunk *next;
    size_t used, cap;
    char data[];
};

static const char *keep(struct problem_set *s, const char *text, size_t len)
{
    enum { CHUNK = 1 << 20 };
    struct chunk *c = s->text;
    if (c == NULL || c->cap - c->used < len + 1) {
        const size_t cap = len + 1 > CHUNK ? len + 1 : CHUNK;
        struct chunk *const fresh = mem_alloc(sizeof(*fresh) + cap);
        fresh->next = c;
        fresh->cap = cap;
        s->text = c = fresh;
    }
    char *const copy = c->data + c->used;
    memcpy(copy, text, len);
    copy[len] = '\0';
    c->used += len + 1;
    return copy;
}

void problems_release(struct problem_set *s)
{
    for (int64_t i = 0; i < s->n; i++)
        reward_gold_free(s->items[i].gold);
    mem_free(s->items);
    for (struct chunk *c = s->text; c != NULL;) {
        struct chunk *const next = c->next;
        mem_free(c);
        c = next;
    }
    *s = (struct problem_set){0};
}

/* The first of `keys` (NULL-ended) that the line has, as text; numbers are written out.
 */
static int get_text(const json_t *line, const char *const *keys, const char *where,
                    struct buf *out, bool *found)
{
    *found = false;
    for (; *keys != NULL && !*found; keys++) {
        const json_t *const v = json_object_get(line, *keys);
        if (v == NULL)
            continue;
        buf_reset(out);
        if (json_is_string(v))
            buf_append(out, json_string_value(v), json_string_length(v));
        else if (json_is_integer(v))
            buf_printf(out, "%lld", (long long)json_integer_value(v));
        else if (json_is_real(v))
            buf_printf(out, "%.15g", json_real_value(v));
        else
            return ERR(ERR_INPUT, "%s: key \"%s\" is %s, expected a string", where,
                       *keys, json_type_name(v));
        *found = true;
    }
    return STATUS_OK;
}

struct line_text {
    struct buf question, answer, gold;
};

static int read_texts(struct line_text *t, const json_t *line, const char *where)
{
    static const char *const question[] = {"question", "problem", "prompt", NULL};
    static const char *const answer[] = {"solution", "answer", NULL};
    static const char *const gold[] = {"gold", "answer", NULL};
    bool has_question, has_answer, has_gold;
    TRY(get_text(line, question, where, &t->question, &has_question));
    TRY(get_text(line, answer, where, &t->answer, &has_answer));
    TRY(get_text(line, gold, where, &t->gold, &has_gold));
    if (!has_question || t->question.len == 0)
        return ERR(ERR_INPUT, "%s: no \"question\" (or \"problem\", \"prompt\")",
                   where);
    if (!has_gold || !has_answer)
        return ERR(ERR_INPUT, "%s: no \"answer\"", where);
    return STATUS_OK;
}

static int add_line(struct problem_set *s, struct line_text *t, const char *where,
                    const struct problems_args *args)
{
    struct problem p = {0};
    if (args->has_gold) {
        const int status = reward_gold_create(&p.gold, t->gold.data, t->gold.len);
        if (status == ERR_INPUT && args->is_lenient) {
            s->n_skipped++;
            return STATUS_OK;
        }
        if (status != STATUS_OK)
            return status_prefix(status, "%s: key \"answer\"", where);
    }
    if (s->n == s->cap) {
        const int64_t cap = 2 * s->cap + 1024;
        s->items = mem_realloc(s->items, (size_t)s->cap * sizeof(*s->items),
                               (size_t)cap * sizeof(*s->items));
        s->cap = cap;
    }
    p.question = keep(s, t->question.data, t->question.len);
    p.question_len = t->question.len;
    p.answer = keep(s, t->answer.data == NULL ? "" : t->answer.data, t->answer.len);
    p.answer_len = t->answer.len;
    s->items[s->n++] = p;
    return STATUS_OK;
}

int problems_load(struct problem_set *s, const char *path,
                  const struct problems_args *args)
{
    struct io_lines lines;
    struct line_text t = {0};
    const char *text = NULL;
    size_t len = 0;
    int status = STATUS_OK;
    *s = (struct problem_set){0};
    TRY(io_lines_open(&lines, path));
    while (status == STATUS_OK && (args->limit == 0 || s->n < args->limit) &&
           io_lines_next(&lines, &text, &len)) {
        char where[1024];
        json_t *line = NULL;
        if (strspn(text, " \t\r") == len)
            continue;
        snprintf(where, sizeof(where), "%s:%lld", path, (long long)lines.number);
        status = json_parse(&line, text, len, where);
        if (status == STATUS_OK && !json_is_object(line))
            status = ERR(ERR_INPUT, "%s: %s, expected an object", where,
                         json_type_name(line));
        if (status == STATUS_OK)
            status = read_texts(&t, line, where);
        if (status == STATUS_OK)
            status = add_line(s, &t, where, args);
        json_decref(line);
    }
    io_lines_close(&lines);
    buf_release(&t.question);
    buf_release(&t.answer);
    buf_release(&t.gold);
    if (status == STATUS_OK && s->n == 0)
        status = ERR(ERR_INPUT, "%s: no problem in it (%lld lines left out)", path,
                     (long long)s->n_skipped);
    if (status != STATUS_OK)
        problems_release(s);
    return status;
}
