/*
 * The rope keys of a config.json, in the forms of transformers 4 and 5.
 */
#ifndef MODEL_HPARAMS_ROPE_H
#define MODEL_HPARAMS_ROPE_H

#include <jansson.h>

#include "model/hparams.h"

const char *hparams_rope_name(enum rope_type type); /* "default", ... */
/* Fills hp->rope; head_dim and max_pos must be known. */
int hparams_read_rope(struct hparams *hp, const json_t *config,
                      const char *where) WARN_UNUSED;

#endif
