/*
 * The "pre_tokenizer" object of tokenizer.json, flattened into a list of steps.
 */
#include <string.h>

#include "model/tokenizer_private.h"

static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                                   "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static int push_step(struct pretokenizer *p, enum split_kind kind,
                     enum split_behavior behavior, const char *where,
                     struct split_step **out)
{
    if (p->n_steps == MAX_STEPS)
        return ERR(ERR_INPUT, "%s: more than %d pre-tokenizers in a sequence", where,
                   MAX_STEPS);
    *out = &p->steps[p->n_steps++];
    **out = (struct split_step){.kind = kind, .behavior = behavior};
    return STATUS_OK;
}

/* Missing: *out as it is. */
static int read_behavior(enum split_behavior *out, const json_t *spec, bool is_needed,
                         const char *where)
{
    static const char *const names[] = {
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous",
    };
    const char *name = NULL;
    TRY(json_get_string(spec, "behavior", &name, NULL, where));
    if (name == NULL && !is_needed)
        return STATUS_OK;
    for (int i = 0; name != NULL && i < (int)ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum split_behavior)i;
            return STATUS_OK;
        }
    return ERR(ERR_INPUT,
               "%s: pre_tokenizer: the behavior is %s%s%s, expected Removed, Isolated, "
               "MergedWithPrevious, MergedWithNext or Contiguous",
               where, name == NULL ? "missing" : "\"", name == NULL ? "" : name,
               name == NULL ? "" : "\"");
}

static int read_split(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    bool has_invert = false;
    TRY(push_step(p, STEP_PATTERN, SPLIT_ISOLATED, where, &step));
    TRY(read_behavior(&step->behavior, spec, true, where));
    TRY(json_get_bool(spec, "invert", &step->is_inverted, &has_invert, where));
    if (!has_invert)
        return ERR(ERR_INPUT, "%s: pre_tokenizer Split without \"invert\"", where);
    return pattern_load(&step->pattern, json_object_get(spec, "pattern"),
                        "pre_tokenizer Split", where);
}

static int read_digits(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    bool is_individual = false;
    TRY(json_get_bool(spec, "individual_digits", &is_individual, NULL, where));
    return push_step(p, STEP_NUMBERS, is_individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS,
                     where, &step);
}

static int read_byte_level(struct pretokenizer *p, const json_t *spec,
                           const char *where)
{
    struct split_step *step = NULL;
    bool has_regex = true, has_prefix_space = true;
    TRY(json_get_bool(spec, "add_prefix_space", &has_prefix_space, NULL, where));
    TRY(json_get_bool(spec, "use_regex", &has_regex, NULL, where));
    if (has_prefix_space)
        TRY(push_step(p, STEP_PREFIX_SPACE, SPLIT_ISOLATED, where, &step));
    if (has_regex) {
        TRY(push_step(p, STEP_PATTERN, SPLIT_ISOLATED, where, &step));
        TRY(pattern_compile(&step->pattern, gpt2_pattern, strlen(gpt2_pattern), where));
    }
    return push_step(p, STEP_MAP_BYTES, SPLIT_ISOLATED, where, &step);
}

/* One character. */
int json_get_char(const json_t *spec, const char *key, int32_t *out, const char *where)
{
    const char *text = NULL;
    size_t len = 0;
    TRY(json_get_string(spec, key, &text, &len, where));
    if (text == NULL || len == 0 || len != utf8_width((unsigned char)text[0]))
        return ERR(ERR_INPUT, "%s: \"%s\" is %s%s%s, expected one character", where,
                   key, text == NULL ? "missing" : "\"", text == NULL ? "" : text,
                   text == NULL ? "" : "\"");
    *out = utf8_get(text);
    return STATUS_OK;
}

int metaspace_load(const json_t *spec, int32_t *character, enum prepend_scheme *scheme,
                   bool *is_split, const char *where)
{
    static const char names[] = "always|first|never";
    const char *name = "always";
    bool has_prefix_space = true;
    *is_split = true;
    TRY(json_get_char(spec, "replacement", character, where));
    TRY(json_get_string(spec, "prepend_scheme", &name, NULL, where));
    TRY(json_get_bool(spec, "add_prefix_space", &has_prefix_space, NULL, where));
    TRY(json_get_bool(spec, "split", is_split, NULL, where));
    *scheme = PREPEND_ALWAYS;
    if (strcmp(name, "first") == 0)
        *scheme = PREPEND_FIRST;
    else if (strcmp(name, "never") == 0)
        *scheme = PREPEND_NEVER;
    else if (strcmp(name, "always") != 0)
        return ERR(ERR_INPUT, "%s: Metaspace: prepend_scheme \"%s\", expected %s",
                   where, name, names);
    if (!has_prefix_space && *scheme != PREPEND_NEVER)
        return ERR(ERR_INPUT,
                   "%s: Metaspace: add_prefix_space is false, but prepend_scheme "
                   "is not \"never\"",
                   where);
    return STATUS_OK;
}

static int read_metaspace(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    TRY(push_step(p, STEP_METASPACE, SPLIT_MERGED_WITH_NEXT, where, &step));
    return metaspace_load(spec, &step->character, &step->scheme, &step->is_split,
                          where);
}

static int read_fixed_length(struct pretokenizer *p, const json_t *spec,
                             const char *where)
{
    struct split_step *step = NULL;
    TRY(push_step(p, STEP_LENGTH, SPLIT_ISOLATED, where, &step));
    step->length = 5;
    return json_get_int(spec, "length", 1, INT64_MAX, &step->length, NULL, where);
}

static int read_delimiter(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    TRY(push_step(p, STEP_CHAR, SPLIT_REMOVED, where, &step));
    return json_get_char(spec, "delimiter", &step->character, where);
}

static int read_words(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    (void)spec;
    return push_step(p, STEP_WORDS, SPLIT_REMOVED, where, &step);
}

static int read_blanks(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    (void)spec;
    return push_step(p, STEP_SPACES, SPLIT_REMOVED, where, &step);
}

static int read_punctuation(struct pretokenizer *p, const json_t *spec,
                            const char *where)
{
    struct split_step *step = NULL;
    TRY(push_step(p, STEP_PUNCTUATION, SPLIT_ISOLATED, where, &step));
    return read_behavior(&step->behavior, spec, false, where);
}

static int read_bert(struct pretokenizer *p, const json_t *spec, const char *where)
{
    struct split_step *step = NULL;
    TRY(read_blanks(p, spec, where));
    return push_step(p, STEP_PUNCTUATION, SPLIT_ISOLATED, where, &step);
}

static const struct {
    const char *name;
    int (*read)(struct pretokenizer *p, const json_t *spec, const char *where);
} readers[] = {
    {"Split", read_split},
    {"ByteLevel", read_byte_level},
    {"Metaspace", read_metaspace},
    {"Digits", read_digits},
    {"Whitespace", read_words},
    {"WhitespaceSplit", read_blanks},
    {"Punctuation", read_punctuation},
    {"BertPreTokenizer", read_bert},
    {"CharDelimiterSplit", read_delimiter},
    {"FixedLength", read_fixed_length},
};

int pretokenizer_load(struct pretokenizer *p, const json_t *spec, const char *where)
{
    const char *type = "";
    if (spec == NULL || json_is_null(spec))
        return STATUS_OK;
    if (!json_is_object(spec))
        return ERR(ERR_INPUT,
                   "%s: \"pre_tokenizer\" is of type %s, expected an object or null",
                   where, json_type_name(spec));
    TRY(json_get_string(spec, "type", &type, NULL, where));
    for (int64_t i = 0; i < ARRAY_LEN(readers); i++)
        if (strcmp(type, readers[i].name) == 0)
            return readers[i].read(p, spec, where);
    const json_t *const members = json_object_get(spec, "pretokenizers");
    if (strcmp(type, "Sequence") != 0)
        return ERR(ERR_INPUT,
                   "%s: pre_tokenizer \"%s\" is not supported (Split, ByteLevel, "
                   "Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation, "
                   "BertPreTokenizer, CharDelimiterSplit, FixedLength and Sequence "
                   "are)",
                   where, type);
    if (!json_is_array(members))
        return ERR(ERR_INPUT,
                   "%s: pre_tokenizer Sequence: \"pretokenizers\" is of type %s, "
                   "expected a list",
                   where, json_type_name(members));
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(pretokenizer_load(p, json_array_get(members, i), where));
    return STATUS_OK;
}
