/*
 * How a question becomes the text that is completed. A template is strings around the
 * parts of a conversation, no template language:
 *
 *   begin  [system block]  { question turn  answer turn }*  question turn  opening
 *
 * with the worked examples (shots) as earlier turns. In the strings of a template,
 * never in a question or an answer, {bos}, {eos} and {date} stand for the tokenizer's
 * tokens and a date (grpo/prompter.h fills them in). The whole text is tokenised at
 * once, special tokens recognised wherever they stand, as transformers does with a
 * rendered chat template.
 */
#ifndef GRPO_PROMPT_H
#define GRPO_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/mem.h"
#include "core/status.h"
#include "model/tokenizer.h"

/* Where the system text stands. */
enum prompt_system {
    PROMPT_SYSTEM_NONE, /* the template has no place for one */
    PROMPT_SYSTEM_BLOCK,
    PROMPT_SYSTEM_IN_FIRST, /* in the first question's turn, before the question */
    PROMPT_SYSTEM_IN_LAST,
};
/* White space (as Python's str.strip) at both ends of texts that goes. */
enum prompt_trim { PROMPT_TRIM_NONE, PROMPT_TRIM_ANSWERS, PROMPT_TRIM_ALL };

struct prompt_wrap {
    const char *prefix, *suffix;
};
struct prompt_template { /* a NULL string is empty, but see answer.prefix */
    const char *name, *summary;
    const char *begin;
    enum prompt_system system_place;
    struct prompt_wrap system;
    const char *no_system; /* in place of the system block where there is no text */
    struct prompt_wrap question;
    const char *opening; /* after the last question: what the answer continues */
    /* around the answer of a shot, from the end of its question's turn on; a NULL
     * prefix is a blank, unless the text so far ends in white space */
    struct prompt_wrap answer;
    enum prompt_trim trim;
    bool is_complete;       /* has the special tokens that belong there, or none do */
    int64_t n_shots;        /* worked examples, unless the user says otherwise */
    const char *shots_from; /* NULL: the user names the file */
    const char *stop;       /* stop strings with "|" between; NULL: none */
};

/* The presets, in the order in which they are listed. */
int64_t prompt_n_presets(void);
const struct prompt_template *prompt_preset(int64_t i);
/* NULL, and an error (ERR_CONFIG) that names the nearest one or all, if there is none.
 */
int prompt_preset_find(const struct prompt_template **out,
                       const char *name) WARN_UNUSED;
/* A table for --help: name, special tokens, shots, summary. */
void prompt_presets_print(FILE *out);

struct prompt_text { /* borrowed */
    const char *data;
    size_t len;
};
struct prompt_shot {
    struct prompt_text question, answer;
};
struct prompt_parts {
    struct prompt_text system; /* len 0: none */
    const struct prompt_shot *shots;
    int64_t n_shots;
    struct prompt_text question;
};
/* Appends the prompt to out. */
void prompt_render(const struct prompt_template *t, const struct prompt_parts *p,
                   struct buf *out);
/* What a training pair puts between `prompt` (rendered) and its answer: the rest of
 * answer.prefix after the opening, so that the pair is what the template gives for a
 * turn of the past. Appends to out. */
void prompt_render_lead(const struct prompt_template *t, const struct buf *prompt,
                        struct buf *out);

struct prompt_limits {
    bool has_special;   /* add what the tokenizer's post-processor says */
    int64_t max_tokens; /* 0: no limit */
    bool is_filter;     /* a longer prompt: false ERR_INPUT; true left out */
};
/* Tokenises a rendered prompt and appends to out. Longer than max_tokens with
 * is_filter: *is_kept false and out as it was. A prompt without tokens is ERR_INPUT. */
int prompt_encode(const struct tokenizer *t, const struct prompt_limits *l,
                  const struct buf *text, struct ids *out, bool *is_kept) WARN_UNUSED;

#endif
