/*
 * The "added_tokens" of tokenizer.json. As in Hugging Face's loader, their "id" counts
 * for nothing: a token gets the model's id of its content, else the next number from
 * the size of the model's vocabulary on, even if the model uses that for another token.
 */
#include <string.h>

#include "core/log.h"
#include "model/tokenizer_private.h"

struct adder {
    struct tokenizer *t;
    const char *where;
    int64_t next_id;
    struct added_token *list;
    int64_t n;
    int32_t *place_of; /* (next id that is free after all) id -> place + 1; 0: none */
    int64_t n_ids;
};

static int normalize(struct adder *a, const char *text, size_t len, struct text *out)
{
    struct text other = {.is_tracked = false};
    struct search search = {.has_no_shadow = a->t->has_no_shadow};
    text_set(out, text, 0, len, false);
    const int status = normalizer_run(&a->t->normal, out, &other, &search);
    text_release(&other);
    search_release(&search);
    return status;
}

/* A normalised token is searched for and decoded as its normalised text. */
static int set_pattern(struct adder *a, struct added_token *out, const char *text,
                       size_t len)
{
    struct text pattern = {.is_tracked = false};
    int status = STATUS_OK;
    if (out->is_normalized)
        status = normalize(a, text, len, &pattern);
    else
        text_set(&pattern, text, 0, len, false);
    if (status == STATUS_OK && pattern.bytes.len == 0)
        status = ERR(ERR_INPUT,
                     "%s: the added token \"%s\" is nothing after the normalizer, "
                     "which is not supported",
                     a->where, text);
    if (status == STATUS_OK) {
        out->len = pattern.bytes.len;
        out->pattern = mem_alloc(out->len + 1);
        memcpy(out->pattern, pattern.bytes.data, out->len);
        vocab_set_piece(&a->t->vocab, out->id, out->pattern, out->len, true);
        a->t->vocab.pieces[out->id].is_added = true;
    }
    text_release(&pattern);
    return status;
}

static int find_id(struct adder *a, const char *text, size_t len, int32_t *id)
{
    struct vocab_text *const e = vocab_text(&a->t->vocab, text, len);
    if (e->id == TOKEN_NONE) {
        if (a->next_id >= MAX_TOKENS)
            return ERR(ERR_INPUT, "%s: added_tokens: more than %d tokens", a->where,
                       MAX_TOKENS);
        e->id = (int32_t)a->next_id++;
    }
    *id = e->id;
    return STATUS_OK;
}

static int read_flags(const json_t *spec, struct added_token *out, bool is_special,
                      const char *where)
{
    out->is_normalized = !is_special;
    TRY(json_get_bool(spec, "normalized", &out->is_normalized, NULL, where));
    TRY(json_get_bool(spec, "lstrip", &out->has_lstrip, NULL, where));
    TRY(json_get_bool(spec, "rstrip", &out->has_rstrip, NULL, where));
    return json_get_bool(spec, "single_word", &out->is_single_word, NULL, where);
}

/* Fills *out; its pattern stays NULL when the token is to be left out. */
static int read_added(struct adder *a, const json_t *spec, struct added_token *out)
{
    const char *text = NULL;
    size_t len = 0;
    int64_t id = -1;
    bool is_special = false;
    if (!json_is_object(spec))
        return ERR(ERR_INPUT, "%s: an added token is of type %s, expected an object",
                   a->where, json_type_name(spec));
    TRY(json_get_string(spec, "content", &text, &len, a->where));
    if (text == NULL)
        return ERR(ERR_INPUT, "%s: an added token has no \"content\"", a->where);
    TRY(json_get_int(spec, "id", 0, UINT32_MAX, &id, NULL, a->where));
    TRY(json_get_bool(spec, "special", &is_special, NULL, a->where));
    TRY(read_flags(spec, out, is_special, a->where));
    if (len == 0)
        return STATUS_OK;
    TRY(find_id(a, text, len, &out->id));
    if (is_special)
        vocab_text(&a->t->vocab, text, len)->is_special = true;
    if (id >= 0 && id != out->id)
        log_warn("%s: added token \"%s\" has id %lld in the file and %d by the "
                 "library's rule, which counts",
                 a->where, text, (long long)id, out->id);
    return set_pattern(a, out, text, len);
}

/* A token given again replaces the earlier one. */
static void keep(struct adder *a, const struct added_token *t)
{
    if (t->id >= a->n_ids) {
        const int64_t n = 2 * (int64_t)t->id + 64;
        a->place_of = mem_realloc(a->place_of, (size_t)a->n_ids * sizeof(int32_t),
                                  (size_t)n * sizeof(int32_t));
        a->n_ids = n;
    }
    int32_t *const place = &a->place_of[t->id];
    if (*place == 0)
        *place = (int32_t)++a->n;
    mem_free(a->list[*place - 1].pattern);
    a->list[*place - 1] = *t;
}

/* Those searched in raw and in normalised text, apart. */
static void part(struct tokenizer *t, const struct added_token *list, int64_t n)
{
    struct added_token *const parts[2] = {mem_alloc((size_t)n * sizeof(*list)),
                                          mem_alloc((size_t)n * sizeof(*list))};
    int64_t n_parts[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        const int which = list[i].is_normalized;
        parts[which][n_parts[which]++] = list[i];
    }
    added_set_take(&t->raw, parts[0], n_parts[0]);
    added_set_take(&t->normalized, parts[1], n_parts[1]);
}

/* Which of two tokens that look alike after the normaliser counts is chance in the
 * library. */
static int check_distinct(const struct added_set *a, const char *where)
{
    for (int64_t i = 0; i < a->n; i++) {
        const struct added_token *const t = &a->tokens[i];
        if (added_set_find(a, t->pattern, t->len) != t)
            return ERR(ERR_INPUT,
                       "%s: two added tokens are \"%.*s\" after the normalizer (ids %d "
                       "and %d), which is not supported",
                       where, (int)(t->len < 80 ? t->len : 80), t->pattern,
                       added_set_find(a, t->pattern, t->len)->id, t->id);
    }
    return STATUS_OK;
}

/* Special is whatever decodes to the content of a special token. */
static void mark_special(struct vocab *v)
{
    bool has_special = false;
    for (int64_t i = 0; i < v->n_texts; i++)
        has_special = has_special || v->texts[i].is_special;
    for (int64_t id = 0; has_special && id < v->n; id++) {
        struct piece *const p = &v->pieces[id];
        if (p->is_used)
            p->is_special =
                vocab_text(v, v->pool.data + p->text_off, p->text_len)->is_special;
    }
}

int tokenizer_read_added(struct tokenizer *t, const json_t *spec, int64_t n_model,
                         const char *where)
{
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    if (!json_is_array(spec))
        return ERR(ERR_INPUT, "%s: \"added_tokens\" is of type %s, expected a list",
                   where, json_type_name(spec));
    const size_t size = json_array_size(spec);
    struct adder a = {.t = t, .where = where, .next_id = n_model};
    int status = STATUS_OK;
    a.list = mem_alloc(size * sizeof(*a.list));
    for (size_t i = 0; status == STATUS_OK && i < size; i++) {
        struct added_token one = {.id = TOKEN_NONE};
        status = read_added(&a, json_array_get(spec, i), &one);
        if (one.pattern != NULL)
            keep(&a, &one);
    }
    part(t, a.list, a.n);
    mark_special(&t->vocab);
    mem_free(a.list);
    mem_free(a.place_of);
    return status == STATUS_OK ? check_distinct(&t->normalized, where) : status;
}
