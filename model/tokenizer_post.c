/*
 * What comes after the model: truncation, the post-processor's special tokens, padding,
 * in Hugging Face's order. Of a template only `single` matters: ids before and after
 * the text. ByteLevel's post-processing trims the blanks off what a token is said to
 * come from.
 */
#include <string.h>

#include "model/tokenizer_private.h"
#include "model/unicode_tables.h"

static int push_id(struct ids *out, const json_t *v, const char *name, int64_t id_limit,
                   const char *where)
{
    const int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    if (id < 0 || id >= id_limit)
        return ERR(ERR_INPUT,
                   "%s: post_processor: an id of \"%s\" is %s, expected an integer "
                   "from 0 to %lld",
                   where, name, json_is_integer(v) ? "out of range" : json_type_name(v),
                   (long long)id_limit - 1);
    ids_push(out, (int32_t)id);
    return STATUS_OK;
}

static int push_special(struct ids *out, const json_t *special, const char *name,
                        int64_t id_limit, const char *where)
{
    const json_t *const ids = json_object_get(json_object_get(special, name), "ids");
    if (!json_is_array(ids))
        return ERR(ERR_INPUT,
                   "%s: post_processor: no list \"ids\" for \"%s\" in special_tokens",
                   where, name);
    for (size_t i = 0; i < json_array_size(ids); i++)
        TRY(push_id(out, json_array_get(ids, i), name, id_limit, where));
    return STATUS_OK;
}

/* `single`: special tokens around exactly one {"Sequence": {"id": "A"}}. */
static int read_template(struct ids *prefix, struct ids *suffix, const json_t *spec,
                         int64_t id_limit, const char *where)
{
    const json_t *const single = json_object_get(spec, "single");
    const json_t *const special = json_object_get(spec, "special_tokens");
    bool has_text = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *const part = json_array_get(single, i);
        const json_t *const token = json_object_get(part, "SpecialToken");
        const json_t *const text = json_object_get(part, "Sequence");
        const char *name = "";
        if (json_is_object(token)) {
            TRY(json_get_string(token, "id", &name, NULL, where));
            TRY(push_special(has_text ? suffix : prefix, special, name, id_limit,
                             where));
            continue;
        }
        if (json_is_object(text))
            TRY(json_get_string(text, "id", &name, NULL, where));
        if (has_text || strcmp(name, "A") != 0)
            return ERR(ERR_INPUT,
                       "%s: post_processor: \"single\" is not special tokens around "
                       "one sequence A",
                       where);
        has_text = true;
    }
    if (!has_text)
        return ERR(ERR_INPUT, "%s: post_processor: \"single\" has no sequence A",
                   where);
    return STATUS_OK;
}

/* Bert and Roberta: ["name", id] before and after the text. */
static int read_pair(struct ids *out, const json_t *spec, const char *key,
                     int64_t id_limit, const char *where)
{
    const json_t *const pair = json_object_get(spec, key);
    if (json_array_size(pair) != 2 || !json_is_string(json_array_get(pair, 0)))
        return ERR(ERR_INPUT,
                   "%s: post_processor: \"%s\" is %s, expected "
                   "[\"token\", id]",
                   where, key, json_type_name(pair));
    return push_id(out, json_array_get(pair, 1), key, id_limit, where);
}

static int read_offsets(struct post *p, const json_t *spec, const char *where)
{
    bool has_trim = true, has_prefix_space = true;
    TRY(json_get_bool(spec, "trim_offsets", &has_trim, NULL, where));
    TRY(json_get_bool(spec, "add_prefix_space", &has_prefix_space, NULL, where));
    p->has_trim = p->has_trim || has_trim;
    p->has_prefix_space = has_prefix_space;
    return STATUS_OK;
}

/* A later template of a sequence goes round the earlier ones. */
static void wrap(struct post *p, const struct ids *prefix, const struct ids *suffix)
{
    struct ids joined = {0};
    ids_append(&joined, prefix->data, prefix->n);
    ids_append(&joined, p->prefix.data, p->prefix.n);
    ids_append(&p->suffix, suffix->data, suffix->n);
    ids_release(&p->prefix);
    p->prefix = joined;
}

static int load_sequence(struct post *p, const json_t *spec, int64_t id_limit,
                         const char *where)
{
    const json_t *const members = json_object_get(spec, "processors");
    if (!json_is_array(members))
        return ERR(ERR_INPUT,
                   "%s: post_processor Sequence: \"processors\" is of type %s, "
                   "expected a list",
                   where, json_type_name(members));
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(post_load(p, json_array_get(members, i), id_limit, where));
    return STATUS_OK;
}

int post_load(struct post *p, const json_t *spec, int64_t id_limit, const char *where)
{
    struct ids prefix = {0}, suffix = {0};
    const char *type = "";
    int status = STATUS_OK;
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    if (!json_is_object(spec))
        return ERR(ERR_INPUT,
                   "%s: \"post_processor\" is of type %s, expected an object or null",
                   where, json_type_name(spec));
    TRY(json_get_string(spec, "type", &type, NULL, where));
    const bool is_roberta = strcmp(type, "RobertaProcessing") == 0;
    if (strcmp(type, "Sequence") == 0)
        return load_sequence(p, spec, id_limit, where);
    if (strcmp(type, "ByteLevel") == 0)
        return read_offsets(p, spec, where);
    if (is_roberta)
        TRY(read_offsets(p, spec, where));
    if (strcmp(type, "TemplateProcessing") == 0) {
        TRY_OUT(read_template(&prefix, &suffix, spec, id_limit, where));
    } else if (is_roberta || strcmp(type, "BertProcessing") == 0) {
        TRY_OUT(read_pair(&prefix, spec, "cls", id_limit, where));
        TRY_OUT(read_pair(&suffix, spec, "sep", id_limit, where));
    } else {
        TRY_OUT(ERR(ERR_INPUT,
                    "%s: post_processor \"%s\" is not supported (ByteLevel, "
                    "TemplateProcessing, BertProcessing, RobertaProcessing and "
                    "Sequence are)",
                    where, type));
    }
    wrap(p, &prefix, &suffix);
out:
    ids_release(&prefix);
    ids_release(&suffix);
    return status;
}

/* *is_left: "direction" is "Left" */
static int read_direction(const json_t *spec, bool *is_left, const char *where)
{
    const char *name = "Right";
    TRY(json_get_string(spec, "direction", &name, NULL, where));
    *is_left = strcmp(name, "Left") == 0;
    if (!*is_left && strcmp(name, "Right") != 0)
        return ERR(ERR_INPUT, "%s: \"direction\" is \"%s\", expected Left or Right",
                   where, name);
    return STATUS_OK;
}

static int read_truncation(struct post *p, const json_t *spec, const char *where)
{
    const char *strategy = "";
    int64_t stride = 0;
    TRY(read_direction(spec, &p->is_truncated_left, where));
    TRY(json_get_string(spec, "strategy", &strategy, NULL, where));
    if (strcmp(strategy, "LongestFirst") != 0 && strcmp(strategy, "OnlyFirst") != 0)
        return ERR(ERR_INPUT,
                   "%s: truncation: the strategy \"%s\" is not supported "
                   "(LongestFirst and OnlyFirst are)",
                   where, strategy);
    TRY(json_get_int(spec, "max_length", 0, INT32_MAX, &p->max_length,
                     &p->has_truncation, where));
    TRY(json_get_int(spec, "stride", 0, INT32_MAX, &stride, NULL, where));
    const int64_t n_added = p->prefix.n + p->suffix.n;
    if (!p->has_truncation || p->max_length < n_added + 1 ||
        stride >= p->max_length - n_added)
        return ERR(ERR_INPUT,
                   "%s: truncation: max_length %lld with stride %lld leaves no room "
                   "beside the %lld special tokens",
                   where, (long long)p->max_length, (long long)stride,
                   (long long)n_added);
    return STATUS_OK;
}

static int read_padding(struct post *p, const json_t *spec, int64_t id_limit,
                        const char *where)
{
    const json_t *const strategy = json_object_get(spec, "strategy");
    int64_t id = 0;
    p->has_padding = true;
    TRY(read_direction(spec, &p->is_padded_left, where));
    TRY(json_get_int(spec, "pad_id", 0, id_limit - 1, &id, NULL, where));
    TRY(json_get_int(spec, "pad_to_multiple_of", 0, 1 << 20, &p->pad_multiple, NULL,
                     where));
    p->pad_id = (int32_t)id;
    if (json_is_object(strategy))
        TRY(json_get_int(strategy, "Fixed", 0, 1 << 24, &p->pad_length,
                         &p->is_pad_fixed, where));
    if (!p->is_pad_fixed && (!json_is_string(strategy) ||
                             strcmp(json_string_value(strategy), "BatchLongest") != 0))
        return ERR(
            ERR_INPUT,
            "%s: padding: \"strategy\" is not \"BatchLongest\" or {\"Fixed\": n}",
            where);
    return STATUS_OK;
}

int post_load_limits(struct post *p, const json_t *root, int64_t id_limit,
                     const char *where)
{
    const json_t *const truncation = json_object_get(root, "truncation");
    const json_t *const padding = json_object_get(root, "padding");
    if (truncation != NULL && !json_is_null(truncation))
        TRY(read_truncation(p, truncation, where));
    if (padding != NULL && !json_is_null(padding))
        TRY(read_padding(p, padding, id_limit, where));
    return STATUS_OK;
}

void post_release(struct post *p)
{
    ids_release(&p->prefix);
    ids_release(&p->suffix);
}

static bool is_blank(int32_t cp) { return cp == 0x120 || unicode_is_space(cp); }

/* Blanks at the start of a token's text, or at its end. */
static int64_t count_blanks(const char *s, size_t len, bool is_end)
{
    int64_t n = 0;
    while (len > 0) {
        const size_t at = is_end ? utf8_before(s, len) : 0;
        if (!is_blank(utf8_get(s + at)))
            break;
        n++;
        const size_t width = utf8_width((unsigned char)s[at]);
        s += is_end ? 0 : width;
        len -= width;
    }
    return n;
}

void post_trim(const struct tokenizer *t, struct encode_scratch *s, const char *text,
               const struct ids *out, int64_t before)
{
    for (int64_t i = before; t->post.has_trim && i < out->n; i++) {
        struct place *const p = &s->places[i];
        const struct piece *const piece = vocab_piece(&t->vocab, out->data[i]);
        const char *c = text + p->start; /* an added token took these blanks along */
        size_t len = p->end - p->start;
        if (piece == NULL)
            continue;
        if (!piece->is_added) {
            c = t->vocab.pool.data + piece->text_off;
            len = piece->text_len;
        }
        int64_t n_start = count_blanks(c, len, false);
        int64_t n_end = count_blanks(c, len, true);
        if (n_start == 1 && t->post.has_prefix_space && (i == before || p->start == 0))
            n_start = 0;
        for (; n_start > 0 && p->start < p->end; n_start--)
            p->start += (uint32_t)utf8_width((unsigned char)text[p->start]);
        for (; n_end > 0 && p->end > p->start; n_end--)
            p->end = (uint32_t)utf8_before(text, p->end);
    }
}

/* Puts n ids at out[at ..], with places of zeros; ids NULL: n times `fill`. */
static void insert(struct ids *out, int64_t at, const int32_t *ids, int32_t fill,
                   int64_t n, struct encode_scratch *s)
{
    const int64_t n_moved = out->n - at;
    for (int64_t i = 0; i < n; i++)
        encode_push(s, &s->text, out, fill, 0, 0);
    memmove(out->data + at + n, out->data + at, (size_t)n_moved * sizeof(*out->data));
    for (int64_t i = 0; i < n; i++)
        out->data[at + i] = ids == NULL ? fill : ids[i];
    if (!s->has_places)
        return;
    memmove(s->places + at + n, s->places + at, (size_t)n_moved * sizeof(*s->places));
    memset(s->places + at, 0, (size_t)n * sizeof(*s->places));
}

static void truncate(const struct post *p, int64_t n_added, struct ids *out,
                     int64_t before, struct encode_scratch *s)
{
    const int64_t n = out->n - before, max = p->max_length - n_added;
    if (n <= max)
        return;
    if (p->is_truncated_left) {
        memmove(out->data + before, out->data + out->n - max,
                (size_t)max * sizeof(*out->data));
        if (s->has_places)
            memmove(s->places + before, s->places + out->n - max,
                    (size_t)max * sizeof(*s->places));
    }
    out->n = before + max;
}

void post_run(const struct post *p, bool add_special, struct ids *out, int64_t before,
              struct encode_scratch *s)
{
    if (p->has_truncation)
        truncate(p, add_special ? p->prefix.n + p->suffix.n : 0, out, before, s);
    if (add_special && p->prefix.n > 0)
        insert(out, before, p->prefix.data, 0, p->prefix.n, s);
    if (add_special && p->suffix.n > 0)
        insert(out, out->n, p->suffix.data, 0, p->suffix.n, s);
    if (!p->has_padding)
        return;
    int64_t n = p->is_pad_fixed ? p->pad_length : out->n - before;
    if (p->pad_multiple > 0 && n % p->pad_multiple > 0)
        n += p->pad_multiple - n % p->pad_multiple;
    n -= out->n - before;
    if (n > 0)
        insert(out, p->is_padded_left ? before : out->n, NULL, p->pad_id, n, s);
}
