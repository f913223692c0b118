/*
 * The text as a pattern written for Unicode 16 should see it.
 */
#ifndef MODEL_UNICODE_SHADOW_H
#define MODEL_UNICODE_SHADOW_H

#include <stddef.h>

#include "core/mem.h"

/* s itself, or a copy in `shadow` of the same length with stand-ins; s is valid UTF-8.
 */
const char *unicode_shadow(struct buf *shadow, const char *s, size_t len);

#endif
