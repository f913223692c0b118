/*
 * Presets are data; rendering is concatenation. The whole prompt is tokenised at once,
 * as transformers does with a rendered template, so merges may cross the border between
 * template and question just as they did in training data of that form.
 */
#include "grpo/prompt.h"

#include <string.h>

static const struct {
    const char *name;
    struct prompt_template tpl;
} presets[] = {
#define X(name, prefix, suffix) {name, {prefix, suffix}},
    PROMPT_PRESET_LIST(X)
#undef X
};

static const char *const preset_names =
#define X(name, prefix, suffix) name ", "
    PROMPT_PRESET_LIST(X)
#undef X
        "custom";

int prompt_template_find(struct prompt_template *out, const char *preset,
                         const char *prefix, const char *suffix)
{
    if (strcmp(preset, "custom") == 0) {
        *out = (struct prompt_template){prefix, suffix};
        return STATUS_OK;
    }
    for (int64_t i = 0; i < ARRAY_LEN(presets); i++) {
        if (strcmp(preset, presets[i].name) != 0)
            continue;
        if (prefix[0] != '\0' || suffix[0] != '\0')
            return ERR(ERR_CONFIG,
                       "prompt.preset=%s has its own text, but prompt.%s is set; with "
                       "prompt.preset=custom it is used",
                       preset, prefix[0] != '\0' ? "prefix" : "suffix");
        *out = presets[i].tpl;
        return STATUS_OK;
    }
    return ERR(ERR_CONFIG, "prompt.preset=%s: expected one of %s", preset,
               preset_names);
}

void prompt_render(const struct prompt_template *t, const char *question, size_t len,
                   struct buf *out)
{
    buf_puts(out, t->prefix);
    buf_append(out, question, len);
    buf_puts(out, t->suffix);
}

int prompt_encode(const struct prompt_args *a, const char *question, size_t len,
                  struct ids *out, bool *is_kept)
{
    const int64_t before = out->n;
    struct buf text = {0};
    prompt_render(&a->tpl, question, len, &text);
    int status = tokenizer_encode(a->tokenizer, text.data, text.len, a->add_special,
                                  out);
    const int64_t n = out->n - before;
    const bool is_long = a->max_tokens > 0 && n > a->max_tokens;
    if (status == STATUS_OK && n == 0)
        status = ERR(ERR_INPUT, "the prompt has no tokens (\"%.60s\")", text.data);
    else if (status == STATUS_OK && is_long && !a->is_filter)
        status = ERR(ERR_INPUT,
                     "a prompt of %lld tokens (\"%.60s...\"); data.max_prompt=%lld "
                     "allows no more: raise it, or leave such prompts out with "
                     "data.overlong=filter",
                     (long long)n, text.data, (long long)a->max_tokens);
    buf_release(&text);
    if (status != STATUS_OK || is_long)
        out->n = before;
    if (status == STATUS_OK)
        *is_kept = !is_long;
    return status;
}
