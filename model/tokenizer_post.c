/*
 * The "post_processor" and "decoder" objects of tokenizer.json. A template is ids
 * before and after the text; ByteLevel's post-processing moves offsets only, which are
 * not kept here.
 */
#include <string.h>

#include "model/tokenizer_private.h"

static int push_special(struct ids *out, const json_t *special, const char *name,
                        int64_t id_limit, const char *where)
{
    const json_t *const ids = json_object_get(json_object_get(special, name), "ids");
    if (!json_is_array(ids))
        return ERR(ERR_INPUT,
                   "%s: post_processor: no list \"ids\" for \"%s\" in special_tokens",
                   where, name);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *const v = json_array_get(ids, i);
        const int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= id_limit)
            return ERR(ERR_INPUT,
                       "%s: post_processor: an id of \"%s\" is %s, expected an integer "
                       "from 0 to %lld",
                       where, name,
                       json_is_integer(v) ? "out of range" : json_type_name(v),
                       (long long)id_limit - 1);
        ids_push(out, (int32_t)id);
    }
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

/* A later template of a sequence goes round the earlier ones. */
static void wrap(struct tokenizer *t, const struct ids *prefix,
                 const struct ids *suffix)
{
    struct ids joined = {0};
    for (int64_t i = 0; i < prefix->n; i++)
        ids_push(&joined, prefix->data[i]);
    for (int64_t i = 0; i < t->prefix.n; i++)
        ids_push(&joined, t->prefix.data[i]);
    for (int64_t i = 0; i < suffix->n; i++)
        ids_push(&t->suffix, suffix->data[i]);
    ids_release(&t->prefix);
    t->prefix = joined;
}

int tokenizer_read_post(struct tokenizer *t, const json_t *spec, int64_t id_limit,
                        const char *where)
{
    const char *type = "";
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    if (json_is_object(spec))
        TRY(json_get_string(spec, "type", &type, NULL, where));
    if (strcmp(type, "ByteLevel") == 0)
        return STATUS_OK;
    if (strcmp(type, "TemplateProcessing") == 0) {
        struct ids prefix = {0}, suffix = {0};
        const int status = read_template(&prefix, &suffix, spec, id_limit, where);
        if (status == STATUS_OK)
            wrap(t, &prefix, &suffix);
        ids_release(&prefix);
        ids_release(&suffix);
        return status;
    }
    const json_t *const members = json_object_get(spec, "processors");
    if (strcmp(type, "Sequence") != 0 || !json_is_array(members))
        return ERR(ERR_INPUT,
                   "%s: post_processor \"%s\" is not supported (ByteLevel, "
                   "TemplateProcessing and Sequence are)",
                   where, type);
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(tokenizer_read_post(t, json_array_get(members, i), id_limit, where));
    return STATUS_OK;
}

int tokenizer_read_decoder(const json_t *spec, const char *where)
{
    const char *type = "null";
    if (json_is_object(spec))
        TRY(json_get_string(spec, "type", &type, NULL, where));
    const json_t *const members = json_object_get(spec, "decoders");
    if (strcmp(type, "Sequence") == 0 && json_array_size(members) == 1)
        return tokenizer_read_decoder(json_array_get(members, 0), where);
    if (strcmp(type, "ByteLevel") != 0)
        return ERR(ERR_INPUT,
                   "%s: decoder %s is not supported (ByteLevel, or a Sequence of it "
                   "alone, is)",
                   where, type);
    return STATUS_OK;
}
