/*
 * The "decoder" object of tokenizer.json, flattened into a list of stages.
 */
#include <string.h>

#include "model/tokenizer_private.h"

static int read_replace(struct decode_step *step, const json_t *spec, const char *where)
{
    const char *content = NULL;
    size_t len = 0;
    step->kind = DECODE_REPLACE;
    TRY(json_get_string(spec, "content", &content, &len, where));
    if (content == NULL)
        return ERR(ERR_INPUT, "%s: decoder Replace: no string \"content\"", where);
    step->content = mem_alloc(len + 1);
    memcpy(step->content, content, len);
    step->content_len = len;
    return pattern_load(&step->pattern, json_object_get(spec, "pattern"),
                        "decoder Replace", where);
}

static int read_strip(struct decode_step *step, const json_t *spec, const char *where)
{
    bool has_start = false, has_stop = false;
    step->kind = DECODE_STRIP;
    TRY(json_get_char(spec, "content", &step->character, where));
    TRY(json_get_int(spec, "start", 0, 1 << 16, &step->start, &has_start, where));
    TRY(json_get_int(spec, "stop", 0, 1 << 16, &step->stop, &has_stop, where));
    if (!has_start || !has_stop)
        return ERR(ERR_INPUT, "%s: decoder Strip needs \"start\" and \"stop\"", where);
    return STATUS_OK;
}

static int read_metaspace(struct decode_step *step, const json_t *spec,
                          const char *where)
{
    enum prepend_scheme scheme;
    bool is_split;
    step->kind = DECODE_METASPACE;
    TRY(metaspace_load(spec, &step->character, &scheme, &is_split, where));
    step->has_prefix = scheme != PREPEND_NEVER;
    return STATUS_OK;
}

static int read_suffix(struct decode_step *step, const json_t *spec, const char *where)
{
    const char *suffix = "</w>";
    size_t len = strlen(suffix);
    step->kind = DECODE_SUFFIX;
    TRY(json_get_string(spec, "suffix", &suffix, &len, where));
    if (len == 0)
        return ERR(ERR_INPUT,
                   "%s: decoder BPEDecoder with an empty \"suffix\" is not "
                   "supported",
                   where);
    step->pattern.kind = PATTERN_LITERAL;
    step->pattern.literal = mem_strndup(suffix, len);
    step->pattern.len = len;
    return STATUS_OK;
}

static int read_step(struct decode_step *step, const json_t *spec, const char *type,
                     const char *where)
{
    static const struct {
        const char *name;
        enum decode_kind kind;
    } plain[] = {{"ByteLevel", DECODE_BYTE_LEVEL},
                 {"ByteFallback", DECODE_BYTE_FALLBACK},
                 {"Fuse", DECODE_FUSE}};
    for (int64_t i = 0; i < ARRAY_LEN(plain); i++)
        if (strcmp(type, plain[i].name) == 0) {
            step->kind = plain[i].kind;
            return STATUS_OK;
        }
    if (strcmp(type, "Replace") == 0)
        return read_replace(step, spec, where);
    if (strcmp(type, "Strip") == 0)
        return read_strip(step, spec, where);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(step, spec, where);
    if (strcmp(type, "BPEDecoder") == 0)
        return read_suffix(step, spec, where);
    return ERR(ERR_INPUT,
               "%s: decoder \"%s\" is not supported (ByteLevel, ByteFallback, Fuse, "
               "Replace, Strip, Metaspace, BPEDecoder and Sequence are)",
               where, type);
}

static int load(struct decoder *d, const json_t *spec, const char *where)
{
    const char *type = "";
    if (!json_is_object(spec))
        return ERR(ERR_INPUT,
                   "%s: \"decoder\" is of type %s, expected an object or null", where,
                   json_type_name(spec));
    TRY(json_get_string(spec, "type", &type, NULL, where));
    const json_t *const members = json_object_get(spec, "decoders");
    if (strcmp(type, "Sequence") == 0 && !json_is_array(members))
        return ERR(ERR_INPUT,
                   "%s: decoder Sequence: \"decoders\" is of type %s, expected a list",
                   where, json_type_name(members));
    if (strcmp(type, "Sequence") == 0) {
        for (size_t i = 0; i < json_array_size(members); i++)
            TRY(load(d, json_array_get(members, i), where));
        return STATUS_OK;
    }
    if (d->n_steps == MAX_STEPS)
        return ERR(ERR_INPUT, "%s: more than %d decoders in a sequence", where,
                   MAX_STEPS);
    return read_step(&d->steps[d->n_steps++], spec, type, where);
}

int decoder_load(struct decoder *d, const json_t *spec, const char *where)
{
    if (spec != NULL && !json_is_null(spec))
        return load(d, spec, where);
    d->steps[d->n_steps++].kind = DECODE_JOIN;
    return STATUS_OK;
}

void decoder_release(struct decoder *d)
{
    for (int64_t i = 0; i < d->n_steps; i++) {
        mem_free(d->steps[i].content);
        pattern_release(&d->steps[i].pattern);
    }
    d->n_steps = 0;
}
