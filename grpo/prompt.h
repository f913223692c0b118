/*
 * How a question becomes a prompt: prefix, question, suffix; no chat-template language.
 */
#ifndef GRPO_PROMPT_H
#define GRPO_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"
#include "model/tokenizer.h"

/* X(name, prefix, suffix). paper: arXiv 2508.18672's released recipe, the raw question
 * and two newlines (with it, no special tokens). qa: lm-evaluation-harness' gsm8k. */
#define PROMPT_PRESET_LIST(X)                                                          \
    X("raw", "", "")                                                                   \
    X("paper", "", "\n\n")                                                             \
    X("qa", "Question: ", "\nAnswer:")                                                 \
    X("gsm8k",                                                                         \
      "Question: ", "\nThink step by step and end with #### and the number.\nAnswer:")

struct prompt_template {
    const char *prefix, *suffix; /* already unescaped; borrowed */
};
/* `preset`: a name of the list, or "custom" for the given prefix and suffix, which must
 * be empty otherwise. ERR_CONFIG names what is accepted. */
int prompt_template_find(struct prompt_template *out, const char *preset,
                         const char *prefix, const char *suffix) WARN_UNUSED;
/* Appends the prompt of a question to out. */
void prompt_render(const struct prompt_template *t, const char *question, size_t len,
                   struct buf *out);

struct prompt_args {
    struct prompt_template tpl;
    const struct tokenizer *tokenizer;
    bool add_special;   /* as the tokenizer's post-processor says */
    int64_t max_tokens; /* 0: no limit */
    bool is_filter;     /* a longer prompt: false ERR_INPUT; true left out */
};
/* Renders, tokenises and appends to out. Longer than max_tokens with is_filter:
 * *is_kept false and out as it was. A prompt without tokens is ERR_INPUT. */
int prompt_encode(const struct prompt_args *a, const char *question, size_t len,
                  struct ids *out, bool *is_kept) WARN_UNUSED;

#endif
