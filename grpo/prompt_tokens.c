/*
 * Three files may name the tokens; the first that does is believed.
 */
#include "grpo/prompt_tokens.h"

#include "core/io.h"
#include "core/json.h"

/* A token's name is text; other values of these files are not looked at. */
static int take_text(char **out, const json_t *v, const char *key,
                     const struct tokenizer *t, const char *path)
{
    const json_t *const content = json_is_object(v) ? json_object_get(v, "content") : v;
    if (!json_is_string(content))
        return ERR(ERR_INPUT,
                   "%s: \"%s\" is of type %s, expected a string or an object with "
                   "\"content\"",
                   path, key, json_type_name(v));
    const char *const text = json_string_value(content);
    if (tokenizer_find(t, text) < 0)
        return ERR(ERR_INPUT,
                   "%s: \"%s\" is \"%s\", which tokenizer.json does not have", path,
                   key, text);
    *out = mem_strdup(text);
    return STATUS_OK;
}

static int take_id(char **out, const json_t *v, const char *key,
                   const struct tokenizer *t, const char *path)
{
    const json_t *const number = json_is_array(v) ? json_array_get(v, 0) : v;
    const int64_t id = json_is_integer(number) ? json_integer_value(number) : -1;
    struct buf text = {0};
    if (id >= 0 && id < tokenizer_n_vocab(t)) {
        const int32_t token = (int32_t)id;
        tokenizer_decode(t, &token, 1, false, &text);
    }
    if (text.len == 0) {
        buf_release(&text);
        return ERR(ERR_INPUT, "%s: \"%s\" is not the id of one of the %lld tokens",
                   path, key, (long long)tokenizer_n_vocab(t));
    }
    *out = text.data;
    return STATUS_OK;
}

int prompt_token_find(char **out, enum prompt_token which, const char *dir,
                      const struct tokenizer *t)
{
    static const struct {
        const char *file, *keys[2];
        int (*parse)(json_t **out, const char *path);
        int (*take)(char **out, const json_t *v, const char *key,
                    const struct tokenizer *t, const char *path);
    } places[] = {
        {"tokenizer_config.json",
         {"bos_token", "eos_token"},
         json_parse_file_reals,
         take_text},
        {"special_tokens_map.json",
         {"bos_token", "eos_token"},
         json_parse_file_reals,
         take_text},
        {"config.json", {"bos_token_id", "eos_token_id"}, json_parse_file, take_id},
    };
    char *text = NULL;
    int status = STATUS_OK;
    for (int64_t i = 0; status == STATUS_OK && text == NULL && i < ARRAY_LEN(places);
         i++) {
        const char *const key = places[i].keys[which];
        char *const path = io_join(dir, places[i].file);
        json_t *root = NULL;
        if (io_exists(path))
            status = places[i].parse(&root, path);
        const json_t *const v = json_object_get(root, key);
        if (status == STATUS_OK && v != NULL && !json_is_null(v))
            status = places[i].take(&text, v, key, t, path);
        json_decref(root);
        mem_free(path);
    }
    if (status == STATUS_OK)
        *out = text;
    return status;
}
