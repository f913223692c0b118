/*
 * All texts lie in one buffer, each followed by a NUL; an item keeps offsets, so that
 * the buffer may move while it grows. Offset 0 holds a NUL: the text that is not there.
 */
#include "grpo/problems.h"

#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"

struct problem_offsets {
    int64_t row;
    size_t id, question, answer, gold_text; /* 0: none */
    size_t question_len, answer_len;
    struct reward_gold *gold;
};

struct loader { /* of one file */
    struct problems *p;
    struct reward_rules *rules;
    struct reward_scratch *scratch;
};

struct field { /* a text borrowed from the parsed line; NULL: none */
    const char *text, *key;
    size_t len;
};

static const char *const question_keys[] = {"question", "problem", "prompt"};
static const char *const answer_keys[] = {"solution", "answer"};
static const char *const gold_keys[] = {"answer", "Answer", "solution"};
static const char *const id_keys[] = {"id", "ID", "unique_id"};

/* The first of `keys` that is there and not null; *out untouched if none. */
static const json_t *first_of(const json_t *line, const char *const *keys, int64_t n,
                              const char **key)
{
    for (int64_t i = 0; i < n; i++) {
        const json_t *const v = json_object_get(line, keys[i]);
        if (v != NULL && !json_is_null(v)) {
            *key = keys[i];
            return v;
        }
    }
    return NULL;
}

/* A string as it is; a number (where allowed) as the shortest text that reads back. */
static int text_of(struct field *out, struct buf *number, const json_t *v,
                   const char *key, const char *where)
{
    if (json_is_string(v)) {
        *out = (struct field){json_string_value(v), key, json_string_length(v)};
        return STATUS_OK;
    }
    if (number == NULL || !json_is_number(v))
        return ERR(ERR_INPUT, "%s: \"%s\" is of type %s, expected a string%s", where,
                   key, json_type_name(v), number == NULL ? "" : " or a number");
    buf_reset(number);
    if (json_is_integer(v))
        buf_printf(number, "%lld", (long long)json_integer_value(v));
    for (int digits = 15; json_is_real(v) && digits <= 17; digits++) {
        buf_reset(number);
        buf_printf(number, "%.*g", digits, json_real_value(v));
        if (strtod(number->data, NULL) == json_real_value(v))
            break;
    }
    *out = (struct field){number->data, key, number->len};
    return STATUS_OK;
}

/* Copies a text into the set's buffer; returns where. */
static size_t keep(struct problems *p, const char *text, size_t len)
{
    const size_t off = p->text.len;
    buf_append(&p->text, text, len);
    buf_append(&p->text, "", 1);
    return off;
}

static int read_question(struct problem_offsets *item, struct problems *p,
                         const json_t *line, const char *where)
{
    struct field q = {0}, body = {0};
    const char *key = NULL;
    const json_t *const v = first_of(line, question_keys, ARRAY_LEN(question_keys),
                                     &key);
    if (v != NULL) {
        TRY(text_of(&q, NULL, v, key, where));
        item->question = keep(p, q.text, q.len);
        item->question_len = q.len;
    } else if (json_object_get(line, "Body") != NULL &&
               json_object_get(line, "Question") != NULL) {
        TRY(text_of(&body, NULL, json_object_get(line, "Body"), "Body", where));
        TRY(text_of(&q, NULL, json_object_get(line, "Question"), "Question", where));
        item->question = p->text.len;
        buf_append(&p->text, body.text, body.len);
        buf_append(&p->text, " ", 1);
        keep(p, q.text, q.len);
        item->question_len = body.len + 1 + q.len;
    } else {
        return ERR(ERR_INPUT,
                   "%s: no question: expected the key \"question\", \"problem\" or "
                   "\"prompt\", or \"Body\" and \"Question\"",
                   where);
    }
    if (item->question_len == 0)
        return ERR(ERR_INPUT, "%s: the question is empty", where);
    return STATUS_OK;
}

static int read_answer(struct problem_offsets *item, struct problems *p,
                       const json_t *line, bool is_needed, const char *where)
{
    struct field a = {0};
    const char *key = NULL;
    const json_t *const v = first_of(line, answer_keys, ARRAY_LEN(answer_keys), &key);
    if (v != NULL && (json_is_string(v) || is_needed)) {
        TRY(text_of(&a, NULL, v, key, where));
        item->answer = keep(p, a.text, a.len);
        item->answer_len = a.len;
    } else if (is_needed) {
        return ERR(ERR_INPUT,
                   "%s: no answer to learn from: expected the key \"solution\" or "
                   "\"answer\"",
                   where);
    }
    return STATUS_OK;
}

static int add_gold(struct reward_gold **g, struct reward_scratch *s, const json_t *v,
                    const char *key, const char *where)
{
    struct field f = {0};
    struct buf number = {0};
    int status = text_of(&f, &number, v, key, where);
    if (status == STATUS_OK) {
        status = *g == NULL ? reward_gold_create(g, s, f.text, f.len)
                            : reward_gold_add(*g, s, f.text, f.len);
        if (status != STATUS_OK)
            status = status_prefix(PROBLEMS_NO_VALUE, "%s: \"%s\"", where, key);
    }
    buf_release(&number);
    return status;
}

int problems_gold(struct reward_gold **out, struct reward_scratch *s, const json_t *v,
                  const char *key, const char *where)
{
    struct reward_gold *g = NULL;
    int status = STATUS_OK;
    if (json_is_array(v) && json_array_size(v) == 0)
        return ERR(ERR_INPUT,
                   "%s: \"%s\" is an empty list, expected at least one answer", where,
                   key);
    if (!json_is_array(v))
        status = add_gold(&g, s, v, key, where);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(v); i++)
        status = add_gold(&g, s, json_array_get(v, i), key, where);
    if (status == STATUS_OK)
        *out = g;
    else
        reward_gold_free(g);
    return status;
}

const json_t *problems_gold_of(const json_t *line, const char **key)
{
    const json_t *const gold = json_object_get(line, "gold");
    if (gold != NULL) { /* also one that is null: nothing else was meant */
        *key = "gold";
        return gold;
    }
    return first_of(line, gold_keys, ARRAY_LEN(gold_keys), key);
}

static int read_gold(struct problem_offsets *item, struct loader *l, const json_t *line,
                     const char *where)
{
    const char *key = NULL;
    struct field text = {0};
    struct buf number = {0};
    const json_t *const v = problems_gold_of(line, &key);
    if (v == NULL)
        return ERR(ERR_INPUT,
                   "%s: no gold answer: expected the key \"gold\", \"answer\", "
                   "\"Answer\" or \"solution\"",
                   where);
    TRY(problems_gold(&item->gold, l->scratch, v, key, where));
    const json_t *const first = json_is_array(v) ? json_array_get(v, 0) : v;
    const int status = text_of(&text, &number, first, key, where);
    if (status == STATUS_OK)
        item->gold_text = keep(l->p, text.text, text.len);
    buf_release(&number);
    return status;
}

static int read_id(struct problem_offsets *item, struct problems *p, const json_t *line,
                   int64_t number, const char *where)
{
    struct field id = {0};
    struct buf text = {0};
    const char *key = NULL;
    const json_t *const v = first_of(line, id_keys, ARRAY_LEN(id_keys), &key);
    int status = STATUS_OK;
    if (v != NULL) {
        status = text_of(&id, &text, v, key, where);
    } else {
        buf_printf(&text, "%lld", (long long)number);
        id = (struct field){text.data, "", text.len};
    }
    if (status == STATUS_OK)
        item->id = keep(p, id.text, id.len);
    buf_release(&text);
    return status;
}

static void push(struct problems *p, const struct problem_offsets *item)
{
    if (p->n == p->cap) {
        const int64_t cap = 2 * p->cap + 64;
        p->items = mem_realloc(p->items, (size_t)p->cap * sizeof(*p->items),
                               (size_t)cap * sizeof(*p->items));
        p->cap = cap;
    }
    p->items[p->n++] = *item;
}

static int read_line(struct loader *l, const json_t *line, int64_t number,
                     const char *where, const struct problems_args *args)
{
    struct problems *const p = l->p;
    const size_t before = p->text.len;
    const bool needs_answer = args->need == PROBLEMS_ANSWER;
    struct problem_offsets item = {.row = p->n + p->n_skipped};
    if (!json_is_object(line))
        return ERR(ERR_INPUT, "%s: found %s, expected an object", where,
                   json_type_name(line));
    TRY(read_question(&item, p, line, where));
    TRY(read_answer(&item, p, line, needs_answer, where));
    TRY(read_id(&item, p, line, number, where));
    if (!needs_answer) {
        const int status = read_gold(&item, l, line, where);
        if (status == PROBLEMS_NO_VALUE && args->is_lenient) {
            p->text.len = before;
            p->n_skipped++;
            return STATUS_OK;
        }
        if (status != STATUS_OK)
            return status == PROBLEMS_NO_VALUE ? ERR_INPUT : status;
    }
    push(p, &item);
    return STATUS_OK;
}

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static int read_all(struct loader *l, struct io_lines *r, const char *path,
                    const struct problems_args *args)
{
    const struct problems *const p = l->p;
    struct buf where = {0};
    const char *line = NULL;
    size_t len = 0;
    int status = STATUS_OK;
    while ((args->limit == 0 || p->n < args->limit) && io_lines_next(r, &line, &len)) {
        json_t *root = NULL;
        if (is_blank(line, len))
            continue;
        buf_reset(&where);
        buf_printf(&where, "%s:%lld", path, (long long)r->number);
        TRY_OUT(json_parse(&root, line, len, where.data));
        status = read_line(l, root, r->number, where.data, args);
        json_decref(root);
        if (status != STATUS_OK)
            goto out;
    }
out:
    buf_release(&where);
    return status;
}

int problems_load(struct problems *out, const char *path,
                  const struct problems_args *args)
{
    struct problems p = {0};
    struct io_lines r;
    TRY(io_lines_open(&r, path));
    buf_append(&p.text, "", 1);
    struct loader l = {.p = &p};
    int status = reward_rules_create(&l.rules, args->verifier);
    if (status == STATUS_OK)
        status = reward_scratch_create(&l.scratch, l.rules);
    if (status == STATUS_OK)
        status = read_all(&l, &r, path, args);
    reward_scratch_free(l.scratch);
    reward_rules_free(l.rules);
    io_lines_close(&r);
    if (status != STATUS_OK)
        problems_release(&p);
    else
        *out = p;
    return status;
}

void problems_release(struct problems *p)
{
    for (int64_t i = 0; p != NULL && i < p->n; i++)
        reward_gold_free(p->items[i].gold);
    if (p == NULL)
        return;
    mem_free(p->items);
    buf_release(&p->text);
    *p = (struct problems){0};
}

struct problem problems_at(const struct problems *p, int64_t i)
{
    CHECK(i >= 0 && i < p->n, "problem %lld of %lld", (long long)i, (long long)p->n);
    const struct problem_offsets *const o = &p->items[i];
    const char *const text = p->text.data;
    return (struct problem){.row = o->row,
                            .id = text + o->id,
                            .question = text + o->question,
                            .answer = o->answer == 0 ? NULL : text + o->answer,
                            .question_len = o->question_len,
                            .answer_len = o->answer_len,
                            .gold_text = o->gold == NULL ? NULL : text + o->gold_text,
                            .gold = o->gold};
}
