/*
 * Hugging Face's tokenizer.json, exactly (BPE and Unigram, behaviour of the library's
 * release 0.23.2), and tiktoken rank files. What is not known to be computed exactly is
 * refused at load with its name (ERR_INPUT). Constant after load; encode and decode may
 * be called by several threads at once.
 */
#ifndef MODEL_TOKENIZER_H
#define MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

struct tokenizer;

/* path of a tokenizer.json or of a tiktoken rank file (tiktoken.model, *.tiktoken) */
int tokenizer_load(struct tokenizer **out, const char *path) WARN_UNUSED;
/* Of a model directory: its tokenizer.json, else its rank file; or a file itself. */
int tokenizer_load_dir(struct tokenizer **out, const char *dir) WARN_UNUSED;
/* A tokenizer.json from memory; `name` stands for the file in messages. The text is
 * borrowed for the call. */
int tokenizer_load_memory(struct tokenizer **out, const char *name, const char *json,
                          size_t len) WARN_UNUSED;
void tokenizer_free(struct tokenizer *t);
/* Which Unicode the patterns of Split and Replace see: 16 as release 0.23.2 does (the
 * default), or that of the linked PCRE2 (14 in Debian 12, like older releases). To be
 * called before the first encode. */
void tokenizer_set_unicode16(struct tokenizer *t, bool is_on);

int64_t tokenizer_n_vocab(
    const struct tokenizer *t); /* largest id + 1, added tokens included */
int32_t tokenizer_find(const struct tokenizer *t,
                       const char *piece); /* id of a token's text; -1 */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);

struct ids { /* growable; zero-initialise */
    int32_t *data;
    int64_t n, cap;
};
void ids_push(struct ids *v, int32_t id);
void ids_append(struct ids *v, const int32_t *ids, int64_t n);
void ids_release(struct ids *v);

/* Appends to out. add_special: as the post-processor says (for instance a leading bos).
 * ERR_INPUT: the text is not UTF-8 or longer than 2 GiB; out is as before then. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     bool add_special, struct ids *out) WARN_UNUSED;
/* Bytes [start, end) of the text that an id comes from; (0, 0) for special tokens that
 * the post-processor added. As the library's offsets, counted in bytes; where a
 * normalisation form composes characters the ends may differ by one of these. */
struct token_span {
    int64_t start, end;
};
/* The same ids, more slowly; *spans_out has one per id appended (mem_free). */
int tokenizer_encode_spans(const struct tokenizer *t, const char *text, size_t len,
                           bool add_special, struct ids *out,
                           struct token_span **spans_out) WARN_UNUSED;

/* Appends the text of ids to out. An id without a token gives nothing. Bytes that are
 * no UTF-8 become U+FFFD as the tokenizer's decoder says. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n,
                      bool skip_special, struct buf *out);
/* A token's text as the vocabulary writes it ("" if there is none). Borrowed. */
const char *tokenizer_text(const struct tokenizer *t, int32_t id, size_t *len_out);
/* The same, with the byte alphabet of byte-level BPE mapped back (not validated). */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len_out);

/* Decoding token by token: what the pushes and the finish append is, put together,
 * tokenizer_decode of all ids. A push appends no more than is certain: never half a
 * character, no blank that the decoder may still cut, no byte token before its run
 * ends. Allocates nothing once its buffers have grown; they start with room for
 * n_tokens held byte tokens. One thread at a time. */
struct tokenizer_stream;
void tokenizer_stream_create(struct tokenizer_stream **out, const struct tokenizer *t,
                             bool skip_special, int64_t n_tokens);
void tokenizer_stream_free(struct tokenizer_stream *s);
void tokenizer_stream_reset(struct tokenizer_stream *s);
void tokenizer_stream_push(struct tokenizer_stream *s, int32_t id, struct buf *out);
/* Appends what is held as it would be if no token came any more; the stream goes on. */
void tokenizer_stream_peek(struct tokenizer_stream *s, struct buf *out);
/* Appends what is left, and resets. */
void tokenizer_stream_finish(struct tokenizer_stream *s, struct buf *out);

/* Trains a byte-level BPE with n_vocab tokens on `texts` (digits one by one, GPT-2
 * splits), specials first
 * (<pad> 0, <s> 1, </s> 2), deterministic, and writes tokenizer.json and
 * tokenizer_config.json into dir. */
int tokenizer_train(const char *dir, const char *const *texts, const size_t *lens,
                    int64_t n_texts, int64_t n_vocab) WARN_UNUSED;

#endif
