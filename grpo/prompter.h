/*
 * The prompt.* options made ready: the template with its places filled in, the system
 * text, and the worked examples.
 */
#ifndef GRPO_PROMPTER_H
#define GRPO_PROMPTER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"
#include "grpo/config.h"
#include "grpo/prompt.h"

struct prompter;
struct session;

/* Errors (ERR_CONFIG) name the option; a file of shots that does not do is ERR_INPUT.
 * data: the file whose problems are asked, for prompt.shots_from=self; NULL: none. The
 * session's configuration, and where {bos} or {eos} is needed its tokenizer, are
 * read. */
int prompter_create(struct prompter **out, const struct session *s,
                    const char *data) WARN_UNUSED;
void prompter_free(struct prompter *p);
/* What can be said of the options before a model is loaded: the same errors, but for
 * tokens and files. */
int prompter_check(const struct config_prompt *c) WARN_UNUSED;
/* Appends the prompt of a question. Rows, from 0, come in rising order: they say whose
 * shots are drawn (grpo/shots.h). */
void prompter_render(struct prompter *p, int64_t row, struct prompt_text question,
                     struct buf *out);
/* See prompt_render_lead. */
void prompter_render_lead(const struct prompter *p, const struct buf *prompt,
                          struct buf *out);
/* Whether the tokenizer's post-processor adds to the text (prompt.bos). */
bool prompter_has_special(const struct prompter *p);
bool prompter_has_shots(const struct prompter *p);

/* The stop strings in force: rollout.stop, else the preset's; "" if none. */
const char *prompter_stop(const struct config *c);

#endif
