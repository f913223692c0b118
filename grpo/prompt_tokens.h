/*
 * The texts of a tokenizer's first and last token, for the places {bos} and {eos} of a
 * prompt template.
 */
#ifndef GRPO_PROMPT_TOKENS_H
#define GRPO_PROMPT_TOKENS_H

#include "core/status.h"
#include "model/tokenizer.h"

enum prompt_token { PROMPT_TOKEN_BOS, PROMPT_TOKEN_EOS };

/* Looks into the directory's files in this order: tokenizer_config.json and
 * special_tokens_map.json ("bos_token", "eos_token": a text, or an object with
 * "content"), config.json ("bos_token_id", "eos_token_id" or the first of its list: t's
 * text of it). Files that are not there are passed over; one that is damaged, and a
 * token that t does not have, is ERR_INPUT. *out: a fresh string (mem_free), NULL where
 * no file names the token. */
int prompt_token_find(char **out, enum prompt_token which, const char *dir,
                      const struct tokenizer *t) WARN_UNUSED;

#endif
