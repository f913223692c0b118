/*
 * Presets as data.
 */
#include "grpo/prompt.h"

#include <string.h>

static const struct prompt_template presets[] = {
    {"raw", "", ""}, {"paper", "", "\n\n"}, {"qa", "Question: ", "\nAnswer:"}};

int prompt_template_find(struct prompt_template *out, const char *name,
                         const char *prefix, const char *suffix)
{
    const bool has_text = prefix[0] != '\0' || suffix[0] != '\0';
    if (strcmp(name, "custom") == 0) {
        *out = (struct prompt_template){"custom", prefix, suffix};
        return STATUS_OK;
    }
    if (has_text)
        return ERR(ERR_CONFIG,
                   "prompt.prefix or prompt.suffix is set, but prompt.preset "
                   "is \"%s\"; set prompt.preset=custom to use them",
                   name);
    for (int64_t i = 0; i < ARRAY_LEN(presets); i++)
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i];
            return STATUS_OK;
        }
    return ERR(ERR_CONFIG, "prompt.preset: \"%s\", expected raw, paper, qa or custom",
               name);
}

void prompt_render(const struct prompt_template *t, const char *question, size_t len,
                   struct buf *out)
{
    buf_puts(out, t->prefix);
    buf_append(out, question, len);
    buf_puts(out, t->suffix);
}
