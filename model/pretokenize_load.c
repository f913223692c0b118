/*
 * The "pre_tokenizer" object of tokenizer.json: Split, Digits, Sequence, and at the end
 * ByteLevel.
 */
#include <string.h>

#include "model/tokenizer_private.h"

static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                                   "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct loader {
    struct pretokenizer *p;
    const char *where;
    bool has_byte_level;
};

static int push_step(struct loader *l, struct split_step **out)
{
    if (l->p->n_steps == MAX_STEPS)
        return ERR(ERR_INPUT, "%s: more than %d pre-tokenizers in a sequence", l->where,
                   MAX_STEPS);
    *out = &l->p->steps[l->p->n_steps++];
    return STATUS_OK;
}

static int read_behavior(enum split_behavior *out, const json_t *spec,
                         const char *where)
{
    static const char *const names[] = {
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous",
    };
    const char *name = "";
    TRY(json_get_string(spec, "behavior", &name, NULL, where));
    for (int i = 0; i < (int)ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum split_behavior)i;
            return STATUS_OK;
        }
    return ERR(ERR_INPUT,
               "%s: pre_tokenizer Split has the behavior \"%s\", expected "
               "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
               where, name);
}

static int read_split(struct loader *l, const json_t *spec)
{
    struct split_step *step = NULL;
    const char *text = NULL;
    size_t len = 0;
    TRY(push_step(l, &step));
    TRY(read_behavior(&step->behavior, spec, l->where));
    TRY(json_get_bool(spec, "invert", &step->is_inverted, NULL, l->where));
    const json_t *const pattern = json_object_get(spec, "pattern");
    if (json_is_object(pattern))
        TRY(json_get_string(pattern, "Regex", &text, &len, l->where));
    if (text != NULL)
        return split_step_compile(step, text, len, l->where);
    if (json_is_object(pattern))
        TRY(json_get_string(pattern, "String", &text, &len, l->where));
    if (text == NULL || len == 0)
        return ERR(ERR_INPUT,
                   "%s: pre_tokenizer Split needs a pattern {\"Regex\": ...} or "
                   "{\"String\": ...} that is not empty",
                   l->where);
    step->literal = mem_strndup(text, len);
    step->literal_len = len;
    return STATUS_OK;
}

static int read_digits(struct loader *l, const json_t *spec)
{
    struct split_step *step = NULL;
    bool is_individual = false;
    TRY(json_get_bool(spec, "individual_digits", &is_individual, NULL, l->where));
    TRY(push_step(l, &step));
    step->behavior = is_individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
    return split_step_compile(step, "\\p{N}", 5, l->where);
}

static int read_byte_level(struct loader *l, const json_t *spec)
{
    struct split_step *step = NULL;
    bool has_regex = true, has_prefix_space = true;
    TRY(json_get_bool(spec, "add_prefix_space", &has_prefix_space, NULL, l->where));
    TRY(json_get_bool(spec, "use_regex", &has_regex, NULL, l->where));
    l->has_byte_level = true;
    TRY(push_step(l, &step));
    step->behavior = SPLIT_ISOLATED;
    step->has_prefix_space = has_prefix_space;
    return has_regex
               ? split_step_compile(step, gpt2_pattern, strlen(gpt2_pattern), l->where)
               : STATUS_OK;
}

static int read_any(struct loader *l, const json_t *spec)
{
    const char *type = "";
    if (!json_is_object(spec))
        return ERR(ERR_INPUT,
                   "%s: pre_tokenizer is %s, expected ByteLevel, or a Sequence that "
                   "ends in it: only byte-level BPE is supported",
                   l->where, json_type_name(spec));
    TRY(json_get_string(spec, "type", &type, NULL, l->where));
    if (l->has_byte_level)
        return ERR(ERR_INPUT, "%s: pre_tokenizer %s after ByteLevel is not supported",
                   l->where, type);
    if (strcmp(type, "Split") == 0)
        return read_split(l, spec);
    if (strcmp(type, "Digits") == 0)
        return read_digits(l, spec);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(l, spec);
    if (strcmp(type, "Sequence") != 0)
        return ERR(ERR_INPUT,
                   "%s: pre_tokenizer \"%s\" is not supported (ByteLevel, Split, "
                   "Digits and Sequence are)",
                   l->where, type);
    const json_t *const members = json_object_get(spec, "pretokenizers");
    if (!json_is_array(members))
        return ERR(ERR_INPUT, "%s: pre_tokenizer Sequence without \"pretokenizers\"",
                   l->where);
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(read_any(l, json_array_get(members, i)));
    return STATUS_OK;
}

int pretokenizer_load(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct loader l = {.p = p, .where = where};
    TRY(read_any(&l, spec));
    if (!l.has_byte_level)
        return ERR(ERR_INPUT,
                   "%s: pre_tokenizer has no ByteLevel: only byte-level BPE is "
                   "supported",
                   where);
    return STATUS_OK;
}
