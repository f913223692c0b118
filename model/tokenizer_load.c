/*
 * tokenizer.json to struct tokenizer, in the order: model, added tokens, normalizer,
 * pre-tokenizer, post-processor, decoder. What is not known to be computed exactly is
 * refused by name. As in Hugging Face's loader, the "id" of an added token counts for
 * nothing: it gets the model's id of its content, else the next free one.
 */
#include <string.h>

#include "core/log.h"
#include "model/tokenizer_private.h"

struct loader {
    struct tokenizer *t;
    const char *where;
    int64_t n_model;      /* texts in the model's vocabulary */
    int64_t max_added_id; /* -1: none */
    int64_t id_limit;     /* ids from here on are refused: no table should be mostly
                             holes because of a damaged file */
};

static int refuse(const struct loader *l, const char *what, const char *name)
{
    return ERR(ERR_INPUT, "%s: %s \"%s\" is not supported", l->where, what, name);
}

static int type_of(const struct loader *l, const json_t *spec, const char *what,
                   const char **type)
{
    *type = "";
    if (!json_is_object(spec))
        return ERR(ERR_INPUT, "%s: \"%s\" is of type %s, expected an object or null",
                   l->where, what, json_type_name(spec));
    return json_get_string(spec, "type", type, NULL, l->where);
}

static int read_vocab(struct loader *l, json_t *vocab)
{
    const char *key;
    json_t *value;
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return ERR(ERR_INPUT, "%s: model.vocab is %s, expected an object with tokens",
                   l->where, json_is_object(vocab) ? "empty" : json_type_name(vocab));
    l->n_model = (int64_t)json_object_size(vocab);
    l->id_limit = 2 * l->n_model + 1024;
    if (l->id_limit > MAX_TOKENS)
        l->id_limit = MAX_TOKENS;
    json_object_foreach(vocab, key, value)
    {
        const int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= l->id_limit)
            return ERR(ERR_INPUT,
                       "%s: model.vocab: the id of \"%.80s\" is %s, expected an "
                       "integer from 0 to %lld",
                       l->where, key,
                       json_is_integer(value) ? "out of range" : json_type_name(value),
                       (long long)l->id_limit - 1);
        const int status = vocab_add(&l->t->vocab, key, strlen(key), (int32_t)id);
        if (status != STATUS_OK)
            return status_prefix(status, "%s: model.vocab", l->where);
        l->t->vocab.pieces[id].is_model = true;
    }
    return STATUS_OK;
}

/* The two sides of a merge, "a b" or ["a", "b"]. */
static bool merge_sides(const json_t *m, const char *text[2], size_t len[2])
{
    if (json_is_string(m)) {
        const char *const s = json_string_value(m), *const space = strchr(s, ' ');
        if (space == NULL || strchr(space + 1, ' ') != NULL)
            return false;
        text[0] = s;
        len[0] = (size_t)(space - s);
        text[1] = space + 1;
        len[1] = strlen(space + 1);
        return true;
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *const side = json_array_get(m, i);
        if (!json_is_string(side) || json_array_size(m) != 2)
            return false;
        text[i] = json_string_value(side);
        len[i] = json_string_length(side);
    }
    return true;
}

static int read_merge(struct loader *l, const json_t *m, int32_t rank,
                      struct buf *joined)
{
    struct tokenizer *const t = l->t;
    const char *text[2] = {"", ""};
    size_t len[2] = {0, 0};
    int32_t ids[3];
    if (!merge_sides(m, text, len))
        return ERR(ERR_INPUT,
                   "%s: model.merges[%d] is not \"a b\" or [\"a\", \"b\"] (found %s)",
                   l->where, rank,
                   json_is_string(m) ? json_string_value(m) : json_type_name(m));
    buf_reset(joined);
    buf_append(joined, text[0], len[0]);
    buf_append(joined, text[1], len[1]);
    ids[0] = vocab_find(&t->vocab, text[0], len[0]);
    ids[1] = vocab_find(&t->vocab, text[1], len[1]);
    ids[2] = vocab_find(&t->vocab, joined->data, joined->len);
    for (int i = 0; i < 3; i++)
        if (ids[i] == TOKEN_NONE)
            return ERR(ERR_INPUT,
                       "%s: model.merges[%d]: \"%.80s\" is not in the vocabulary",
                       l->where, rank, i < 2 ? text[i] : joined->data);
    merges_put(&t->merges, ids[0], ids[1], rank, ids[2]);
    return STATUS_OK;
}

static int read_merges(struct loader *l, const json_t *merges)
{
    struct buf joined = {0};
    int status = STATUS_OK;
    int32_t rank = 0;
    if (!json_is_array(merges) || json_array_size(merges) > MAX_TOKENS)
        return ERR(ERR_INPUT, "%s: model.merges is of type %s, expected a list",
                   l->where, json_type_name(merges));
    merges_init(&l->t->merges, (int64_t)json_array_size(merges));
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(merges); i++) {
        const json_t *const m = json_array_get(merges, i);
        if (json_is_string(m) && strncmp(json_string_value(m), "#version", 8) == 0)
            continue;
        status = read_merge(l, m, rank++, &joined);
    }
    buf_release(&joined);
    return status;
}

/* Whether every byte has its token. */
static bool read_bytes(struct tokenizer *t)
{
    bool is_complete = true;
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        const size_t len = utf8_put(text, byte_to_char((unsigned char)byte));
        t->byte_ids[byte] = vocab_find(&t->vocab, text, len);
        is_complete = is_complete && t->byte_ids[byte] != TOKEN_NONE;
    }
    return is_complete;
}

/* Options that change the result are refused; unk_token and byte_fallback only where
 * they can come into play: when some byte has no token. */
static int check_model(const struct loader *l, const json_t *model, bool has_all_bytes)
{
    const char *text = "";
    bool has_fallback = false;
    double dropout = 0.0;
    TRY(json_get_string(model, "continuing_subword_prefix", &text, NULL, l->where));
    if (text[0] != '\0')
        return refuse(l, "model.continuing_subword_prefix", text);
    TRY(json_get_string(model, "end_of_word_suffix", &text, NULL, l->where));
    if (text[0] != '\0')
        return refuse(l, "model.end_of_word_suffix", text);
    TRY(json_get_real(model, "dropout", &dropout, NULL, l->where));
    if (dropout != 0.0)
        return ERR(ERR_INPUT, "%s: model.dropout=%g is not supported, only null",
                   l->where, dropout);
    TRY(json_get_string(model, "unk_token", &text, NULL, l->where));
    if (text[0] != '\0' && !has_all_bytes)
        return refuse(l, "without a token for every byte, model.unk_token", text);
    TRY(json_get_bool(model, "byte_fallback", &has_fallback, NULL, l->where));
    if (has_fallback && !has_all_bytes)
        return refuse(l, "without a token for every byte, model.byte_fallback", "true");
    return STATUS_OK;
}

static int read_model(struct loader *l, const json_t *model)
{
    const char *type = "BPE"; /* old files have no type */
    if (!json_is_object(model))
        return ERR(ERR_INPUT, "%s: \"model\" is of type %s, expected an object",
                   l->where, json_type_name(model));
    TRY(json_get_string(model, "type", &type, NULL, l->where));
    if (strcmp(type, "BPE") != 0)
        return refuse(l, "model", type);
    TRY(read_vocab(l, json_object_get(model, "vocab")));
    TRY(read_merges(l, json_object_get(model, "merges")));
    TRY(check_model(l, model, read_bytes(l->t)));
    return json_get_bool(model, "ignore_merges", &l->t->has_ignore_merges, NULL,
                         l->where);
}

static int read_normalizer(struct loader *l, const json_t *spec)
{
    const char *type = NULL;
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    TRY(type_of(l, spec, "normalizer", &type));
    if (strcmp(type, "NFC") == 0) {
        l->t->has_nfc = true;
        return STATUS_OK;
    }
    const json_t *const members = json_object_get(spec, "normalizers");
    if (strcmp(type, "Sequence") != 0 || !json_is_array(members))
        return refuse(l, "normalizer", type);
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(read_normalizer(l, json_array_get(members, i)));
    return STATUS_OK;
}

static int add_added(struct loader *l, const char *text, size_t len, int32_t *id_out)
{
    struct vocab *const v = &l->t->vocab;
    int32_t id = vocab_find(v, text, len);
    if (id == TOKEN_NONE) {
        id = (int32_t)(l->max_added_id >= l->n_model ? l->max_added_id + 1
                                                     : l->n_model);
        const int status = vocab_add(v, text, len, id);
        if (status != STATUS_OK)
            return status_prefix(status, "%s: added_tokens", l->where);
    }
    if (id > l->max_added_id)
        l->max_added_id = id;
    *id_out = id;
    return STATUS_OK;
}

/* A normalised token is not only searched for but also decoded as its normalised text;
 * where that differs, the library no longer knows it as special. */
static int set_pattern(struct loader *l, struct added_token *out, const char *text,
                       size_t len, bool is_special)
{
    struct piece *const piece = &l->t->vocab.pieces[out->id];
    struct buf pattern = {0};
    int status = STATUS_OK;
    piece->is_special = piece->is_special || is_special;
    if (out->is_normalized && l->t->has_nfc)
        status = utf8_append_nfc(&pattern, text, len);
    else
        buf_append(&pattern, text, len);
    if (status == STATUS_OK) {
        out->pattern = mem_strndup(pattern.data, pattern.len);
        out->len = pattern.len;
        if (pattern.len != len || memcmp(pattern.data, text, len) != 0) {
            piece->is_special = false;
            vocab_set_decoded(&l->t->vocab, out->id, pattern.data, pattern.len);
        }
    }
    buf_release(&pattern);
    return status;
}

/* Fills *out; its pattern stays NULL when the token is to be left out. */
static int read_added(struct loader *l, const json_t *spec, struct added_token *out)
{
    const char *text = NULL;
    size_t len = 0;
    int64_t id = -1;
    bool is_special = false;
    if (!json_is_object(spec))
        return ERR(ERR_INPUT, "%s: an added token is of type %s, expected an object",
                   l->where, json_type_name(spec));
    TRY(json_get_string(spec, "content", &text, &len, l->where));
    if (text == NULL)
        return ERR(ERR_INPUT, "%s: an added token has no \"content\"", l->where);
    if (strlen(text) != len)
        return ERR(ERR_INPUT, "%s: an added token contains a NUL", l->where);
    TRY(json_get_int(spec, "id", 0, INT32_MAX, &id, NULL, l->where));
    TRY(json_get_bool(spec, "special", &is_special, NULL, l->where));
    out->is_normalized = !is_special;
    TRY(json_get_bool(spec, "normalized", &out->is_normalized, NULL, l->where));
    TRY(json_get_bool(spec, "lstrip", &out->has_lstrip, NULL, l->where));
    TRY(json_get_bool(spec, "rstrip", &out->has_rstrip, NULL, l->where));
    TRY(json_get_bool(spec, "single_word", &out->is_single_word, NULL, l->where));
    if (len == 0)
        return STATUS_OK;
    TRY(add_added(l, text, len, &out->id));
    if (id >= 0 && id != out->id)
        log_warn("%s: added token \"%s\" has id %lld in the file and %d by the "
                 "library's rule, which counts",
                 l->where, text, (long long)id, out->id);
    return set_pattern(l, out, text, len, is_special);
}

/* A token given again replaces the earlier one, but stays special if that was. */
static void keep_added(struct vocab *v, struct added_token *list, int64_t *n,
                       const struct added_token *t)
{
    struct piece *const piece = &v->pieces[t->id];
    if (piece->added == 0)
        piece->added = (int32_t)++ * n;
    mem_free(list[piece->added - 1].pattern);
    list[piece->added - 1] = *t;
}

/* Those searched in raw and in normalised text, apart. */
static void part_added(struct tokenizer *t, const struct added_token *list, int64_t n)
{
    struct added_token *const parts[2] = {mem_alloc((size_t)n * sizeof(*list)),
                                          mem_alloc((size_t)n * sizeof(*list))};
    int64_t n_parts[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        const int part = list[i].is_normalized;
        parts[part][n_parts[part]++] = list[i];
    }
    added_set_take(&t->raw, parts[0], n_parts[0]);
    added_set_take(&t->normalized, parts[1], n_parts[1]);
}

static int read_all_added(struct loader *l, const json_t *spec)
{
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    if (!json_is_array(spec))
        return ERR(ERR_INPUT, "%s: \"added_tokens\" is of type %s, expected a list",
                   l->where, json_type_name(spec));
    const size_t size = json_array_size(spec);
    struct added_token *const list = mem_alloc(size * sizeof(*list));
    int64_t n = 0;
    int status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < size; i++) {
        struct added_token t = {0};
        status = read_added(l, json_array_get(spec, i), &t);
        if (t.pattern != NULL)
            keep_added(&l->t->vocab, list, &n, &t);
    }
    part_added(l->t, list, n);
    mem_free(list);
    return status;
}

int tokenizer_read(struct tokenizer *t, const json_t *root, const char *where)
{
    struct loader l = {.t = t, .where = where, .max_added_id = -1};
    static const char *const unused[] = {"truncation", "padding"};
    if (!json_is_object(root))
        return ERR(ERR_INPUT, "%s: found %s, expected an object", where,
                   json_type_name(root));
    for (int64_t i = 0; i < ARRAY_LEN(unused); i++) {
        const json_t *const v = json_object_get(root, unused[i]);
        if (v != NULL && !json_is_null(v))
            return ERR(ERR_INPUT, "%s: \"%s\" is set, only null is supported", where,
                       unused[i]);
    }
    TRY(read_model(&l, json_object_get(root, "model")));
    TRY(read_normalizer(&l, json_object_get(root, "normalizer")));
    TRY(read_all_added(&l, json_object_get(root, "added_tokens")));
    TRY(pretokenizer_load(&t->pre, json_object_get(root, "pre_tokenizer"), where));
    TRY(tokenizer_read_post(t, json_object_get(root, "post_processor"), l.id_limit,
                            where));
    return tokenizer_read_decoder(json_object_get(root, "decoder"), where);
}
