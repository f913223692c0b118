/*
 * The "normalizer" object of tokenizer.json, flattened into a list of steps.
 */
#include <string.h>

#include "model/tokenizer_private.h"

static const struct {
    const char *name;
    enum normalize_kind kind;
    enum utf8_form form;
} plain[] = {
    {"NFC", NORMALIZE_FORM, UTF8_NFC},
    {"NFD", NORMALIZE_FORM, UTF8_NFD},
    {"NFKC", NORMALIZE_FORM, UTF8_NFKC},
    {"NFKD", NORMALIZE_FORM, UTF8_NFKD},
    {"Lowercase", NORMALIZE_LOWERCASE, 0},
    {"StripAccents", NORMALIZE_STRIP_ACCENTS, 0},
    {"Nmt", NORMALIZE_NMT, 0},
    {"ByteLevel", NORMALIZE_BYTE_LEVEL, 0},
};

static int read_content(struct normalize_step *step, const json_t *spec,
                        const char *key, const char *where)
{
    const char *text = NULL;
    size_t len = 0;
    TRY(json_get_string(spec, key, &text, &len, where));
    if (text == NULL)
        return ERR(ERR_INPUT, "%s: normalizer: no string \"%s\"", where, key);
    step->content = mem_alloc(len + 1);
    memcpy(step->content, text, len);
    step->content_len = len;
    return STATUS_OK;
}

static int read_strip(struct normalize_step *step, const json_t *spec,
                      const char *where)
{
    bool has_left = false, has_right = false;
    step->kind = NORMALIZE_STRIP;
    TRY(json_get_bool(spec, "strip_left", &step->is_left, &has_left, where));
    TRY(json_get_bool(spec, "strip_right", &step->is_right, &has_right, where));
    if (!has_left || !has_right)
        return ERR(ERR_INPUT,
                   "%s: normalizer Strip needs \"strip_left\" and \"strip_right\"",
                   where);
    return STATUS_OK;
}

static int read_step(struct normalize_step *step, const json_t *spec, const char *type,
                     const char *where)
{
    for (int64_t i = 0; i < ARRAY_LEN(plain); i++)
        if (strcmp(type, plain[i].name) == 0) {
            step->kind = plain[i].kind;
            step->form = plain[i].form;
            return STATUS_OK;
        }
    if (strcmp(type, "Strip") == 0)
        return read_strip(step, spec, where);
    if (strcmp(type, "Prepend") == 0) {
        step->kind = NORMALIZE_PREPEND;
        return read_content(step, spec, "prepend", where);
    }
    if (strcmp(type, "Replace") == 0) {
        step->kind = NORMALIZE_REPLACE;
        TRY(read_content(step, spec, "content", where));
        return pattern_load(&step->pattern, json_object_get(spec, "pattern"),
                            "normalizer Replace", where);
    }
    return ERR(ERR_INPUT,
               "%s: normalizer \"%s\" is not supported (NFC, NFD, NFKC, NFKD, "
               "Lowercase, StripAccents, Nmt, Strip, ByteLevel, Prepend, Replace and "
               "Sequence are)",
               where, type);
}

int normalizer_load(struct normalizer *n, const json_t *spec, const char *where)
{
    const char *type = "";
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    if (!json_is_object(spec))
        return ERR(ERR_INPUT,
                   "%s: \"normalizer\" is of type %s, expected an object or "
                   "null",
                   where, json_type_name(spec));
    TRY(json_get_string(spec, "type", &type, NULL, where));
    const json_t *const members = json_object_get(spec, "normalizers");
    if (strcmp(type, "Sequence") == 0 && !json_is_array(members))
        return ERR(ERR_INPUT,
                   "%s: normalizer Sequence: \"normalizers\" is of type %s, "
                   "expected a list",
                   where, json_type_name(members));
    if (strcmp(type, "Sequence") == 0) {
        for (size_t i = 0; i < json_array_size(members); i++)
            TRY(normalizer_load(n, json_array_get(members, i), where));
        return STATUS_OK;
    }
    if (n->n_steps == MAX_STEPS)
        return ERR(ERR_INPUT, "%s: more than %d normalizers in a sequence", where,
                   MAX_STEPS);
    return read_step(&n->steps[n->n_steps++], spec, type, where);
}

void normalizer_release(struct normalizer *n)
{
    for (int64_t i = 0; i < n->n_steps; i++) {
        mem_free(n->steps[i].content);
        pattern_release(&n->steps[i].pattern);
    }
    n->n_steps = 0;
}
