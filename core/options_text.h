/*
 * What options.c and options_ini.c share: one option set by name, and the quoting of
 * values.
 */
#ifndef CORE_OPTIONS_TEXT_H
#define CORE_OPTIONS_TEXT_H

#include "core/options.h"

/* Set option `key` from unquoted text; `where` ("run.ini:3: " or "") opens messages. */
int options_set(const struct options *o, void *values, const char *key,
                const char *text, const char *where) WARN_UNUSED;

/* Typing errors from a to b: insert, delete, replace, swap neighbours (the optimal
 * string alignment distance). Of a word 63 bytes count. For "did you mean". */
int options_distance(const char *a, const char *b);
/* Blanks at both ends go. */
void options_trim(struct buf *text);
/* A trimmed value: "..." loses its quotes and escapes, anything else stays as it is. */
int options_unquote(struct buf *text) WARN_UNUSED;
/* The value so that reading it back gives `s`; quoted only where it must be. */
void options_put_quoted(struct buf *out, const char *s);

#endif
