/*
 * Prompt templates: a text before the question and one after it.
 */
#ifndef GRPO_PROMPT_H
#define GRPO_PROMPT_H

#include <stddef.h>

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

struct prompt_template {
    const char *name, *prefix, *suffix; /* borrowed */
};

/* A preset by name, or "custom" with the given texts. An unknown name lists the
 * presets. raw     the question alone paper   question, two newlines (arXiv
 * 2508.18672's RL prompt; use prompt.bos=false) qa      "Question: " question newline
 * "Answer:" (lm-eval's GSM8K form without shots) */
int prompt_template_find(struct prompt_template *out, const char *name,
                         const char *prefix, const char *suffix) WARN_UNUSED;
/* Appends the rendered prompt. */
void prompt_render(const struct prompt_template *t, const char *question, size_t len,
                   struct buf *out);

#endif
