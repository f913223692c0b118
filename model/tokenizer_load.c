/*
 * tokenizer.json to struct tokenizer: the model first (ids of all other parts depend on
 * it), the normaliser before the added tokens that it normalises. What is not known to
 * be computed exactly is refused by name.
 */
#include <string.h>

#include "model/tokenizer_json.h"

static bool has_affix(const struct bpe *b) { return b->prefix_len + b->suffix_len > 0; }

/* Whether every byte has a token of one character of the byte alphabet. */
static bool find_alphabet(const struct vocab *v, int32_t byte_ids[256])
{
    bool is_complete = true;
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        const size_t len = utf8_put(text, byte_to_char((unsigned char)byte));
        byte_ids[byte] = vocab_find_model(v, text, len);
        is_complete = is_complete && byte_ids[byte] != TOKEN_NONE;
    }
    return is_complete;
}

/* BPE behind ByteLevel works on bytes, where that is the same as on characters of the
 * byte alphabet: the mapping, the pre-tokenizer's last step, is left out then. */
static void choose_raw(struct tokenizer *t)
{
    struct pretokenizer *const p = &t->pre;
    int32_t byte_ids[256];
    if (t->is_unigram || p->n_steps == 0 ||
        p->steps[p->n_steps - 1].kind != STEP_MAP_BYTES || has_affix(&t->bpe))
        return;
    for (int64_t i = 0; i + 1 < p->n_steps; i++)
        if (p->steps[i].kind == STEP_MAP_BYTES)
            return;
    if (!find_alphabet(&t->vocab, byte_ids) &&
        (t->bpe.unk_token != NULL || t->bpe.has_byte_fallback))
        return;
    memcpy(t->bpe.byte_ids, byte_ids, sizeof(byte_ids));
    t->bpe.is_raw = true;
    p->n_steps--;
}

/* Whether Metaspace's "first" cannot be told from a piece's place in the text alone. */
static bool needs_places(const struct tokenizer *t)
{
    for (int64_t i = 0; i < t->pre.n_steps; i++)
        if (t->pre.steps[i].kind == STEP_METASPACE &&
            t->pre.steps[i].scheme == PREPEND_FIRST)
            return i > 0 || t->normal.n_steps > 0;
    return false;
}

/* Text that is put before the first character comes from nowhere, and what the library
 * makes of that when a later step rewrites all characters is an accident of its
 * bookkeeping (mostly a failure). */
static int check_insertions(const struct tokenizer *t, const char *where)
{
    bool has_inserted = false, is_bad = false;
    for (int64_t i = 0; i < t->normal.n_steps; i++) {
        const struct normalize_step *const step = &t->normal.steps[i];
        if (step->kind == NORMALIZE_REPLACE)
            has_inserted = has_inserted || pattern_can_be_empty(&step->pattern);
        else if (step->kind == NORMALIZE_PREPEND)
            has_inserted = has_inserted || step->content_len == 0;
        else
            is_bad = is_bad || has_inserted;
    }
    for (int64_t i = 0; i < t->pre.n_steps; i++)
        is_bad = is_bad || (has_inserted && t->pre.steps[i].kind == STEP_MAP_BYTES);
    if (is_bad)
        return ERR(ERR_INPUT,
                   "%s: normalizer: a Replace that matches nothing, or an empty "
                   "Prepend, before a step that rewrites every character is not "
                   "supported",
                   where);
    return STATUS_OK;
}

static int check_version(const json_t *root, const char *where)
{
    const char *version = "1.0";
    TRY(json_get_string(root, "version", &version, NULL, where));
    if (strcmp(version, "1.0") != 0)
        return ERR(ERR_INPUT, "%s: \"version\" is \"%s\", expected \"1.0\"", where,
                   version);
    return STATUS_OK;
}

static int read_parts(struct tokenizer *t, const json_t *root,
                      const struct model_text *large, const char *where)
{
    int64_t n_model = 0;
    if (!json_is_object(root))
        return ERR(ERR_INPUT, "%s: found %s, expected an object", where,
                   json_type_name(root));
    TRY(check_version(root, where));
    TRY(tokenizer_read_model(t, json_object_get(root, "model"), large, &n_model,
                             where));
    TRY(normalizer_load(&t->normal, json_object_get(root, "normalizer"), where));
    TRY(tokenizer_read_added(t, json_object_get(root, "added_tokens"), n_model, where));
    TRY(pretokenizer_load(&t->pre, json_object_get(root, "pre_tokenizer"), where));
    const int64_t limit = tokenizer_id_limit(n_model);
    TRY(post_load(&t->post, json_object_get(root, "post_processor"), limit, where));
    TRY(post_load_limits(&t->post, root, limit, where));
    return decoder_load(&t->decoder, json_object_get(root, "decoder"), where);
}

int tokenizer_read(struct tokenizer *t, const char *json, size_t len, const char *where)
{
    struct model_text large;
    json_t *root = NULL;
    TRY(tokenizer_scan(&root, &large, json, len, where));
    const int status = read_parts(t, root, &large, where);
    json_decref(root);
    TRY(status);
    TRY(check_insertions(t, where));
    choose_raw(t);
    t->is_tracked = needs_places(t);
    return STATUS_OK;
}
