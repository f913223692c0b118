/*
 * jansson with errors that say where: every getter names file, key, what was found and
 * what was expected (ERR_INPUT). `where` is the text put in front ("config.json",
 * "train.jsonl:17").
 */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/* Strict: UTF-8, duplicate keys rejected, depth limited to 64. *out is a new reference.
 */
int json_parse(json_t **out, const char *text, size_t len,
               const char *where) WARN_UNUSED;
int json_parse_file(json_t **out, const char *path) WARN_UNUSED;
/* Integers become reals, so that none is too large: tokenizer_config.json's
 * "model_max_length" is often 10^30. */
int json_parse_file_reals(json_t **out, const char *path) WARN_UNUSED;

/* Missing or null: *out untouched and *found (if not NULL) false; a wrong type or range
 * is an error. */
int json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                 int64_t *out, bool *found, const char *where) WARN_UNUSED;
int json_get_real(const json_t *obj, const char *key, double *out, bool *found,
                  const char *where) WARN_UNUSED;
int json_get_bool(const json_t *obj, const char *key, bool *out, bool *found,
                  const char *where) WARN_UNUSED;
/* borrowed from obj */
int json_get_string(const json_t *obj, const char *key, const char **out,
                    size_t *len_out, const char *where) WARN_UNUSED;
const char *
json_type_name(const json_t *v); /* "integer", "string", ... , "nothing" for NULL */

#endif
