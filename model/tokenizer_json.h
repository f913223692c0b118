/*
 * The large lists of a tokenizer.json: where they lie in the text, and a strict reader
 * for what is in them. A string without escapes is a part of the text itself.
 */
#ifndef MODEL_TOKENIZER_JSON_H
#define MODEL_TOKENIZER_JSON_H

#include "model/tokenizer_private.h"

struct json_slice {
    const char *text; /* NULL: absent */
    size_t len;
    int64_t n_strings; /* in it; no more than its bytes allow */
};
struct model_text {
    const char *json, *where; /* of the whole file, for line numbers */
    struct json_slice vocab, merges;
};
/* The file without its large lists (null stands for them), and these. */
int tokenizer_scan(json_t **root, struct model_text *large, const char *json,
                   size_t len, const char *where) WARN_UNUSED;

struct json_reader {
    const char *p, *end;
    const struct model_text *file;
    const char *key; /* "model.vocab" */
};
void json_reader_init(struct json_reader *r, const struct model_text *file,
                      const struct json_slice *part, const char *key);
/* Blanks, then c if it is there. */
bool json_reader_take(struct json_reader *r, char c);
bool json_reader_at(struct json_reader *r, char c); /* the same, and c stays */
/* ERR_INPUT with file, line and key: what was expected. */
int json_reader_error(const struct json_reader *r, const char *expected) WARN_UNUSED;
/* `room` holds a string that had escapes. */
int json_reader_string(struct json_reader *r, struct buf *room, const char **text,
                       size_t *len) WARN_UNUSED;
int json_reader_id(struct json_reader *r, int64_t limit, int32_t *id) WARN_UNUSED;
/* As serde_json reads it, which does not round correctly: digits as an integer, then
 * one multiplication or division by a power of ten. */
int json_reader_score(struct json_reader *r, double *score) WARN_UNUSED;
/* Between the members of a list: true when another one follows; the end is eaten. */
int json_reader_more(struct json_reader *r, char close, bool *more) WARN_UNUSED;
/* Nothing but blanks may be left. */
int json_reader_finish(struct json_reader *r) WARN_UNUSED;

#endif
