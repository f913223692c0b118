/*
 * Byte-level BPE from a Hugging Face tokenizer.json, exactly: added tokens, the
 * pre-tokenizers named in model/tokenizer.c, merges by rank, special tokens by the
 * post-processor. What is not supported is refused at load with its name (ERR_INPUT).
 * Immutable after load; encode is re-entrant.
 */
#ifndef MODEL_TOKENIZER_H
#define MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

struct tokenizer;

int tokenizer_load(struct tokenizer **out,
                   const char *path) WARN_UNUSED; /* path of tokenizer.json */
/* The same from memory; `name` stands for the file in messages. The text is borrowed
 * for the call. */
int tokenizer_load_memory(struct tokenizer **out, const char *name, const char *json,
                          size_t len) WARN_UNUSED;
void tokenizer_free(struct tokenizer *t);
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
void ids_release(struct ids *v);

/* Appends to out. add_special: as the post-processor says (for instance a leading bos).
 */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     bool add_special, struct ids *out) WARN_UNUSED;
/* Appends the text of ids to out. An id without a token gives nothing. Invalid UTF-8
 * becomes U+FFFD as Hugging Face's ByteLevel decoder does. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n,
                      bool skip_special, struct buf *out);
/* The raw bytes of one token (byte-level decoded, not validated): for streaming and
 * stop strings. Borrowed. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len_out);

/* Trains a byte-level BPE with n_vocab tokens on `texts` (digits one by one, GPT-2
 * splits), specials first
 * (<pad> 0, <s> 1, </s> 2), deterministic, and writes tokenizer.json and
 * tokenizer_config.json into dir. */
int tokenizer_train(const char *dir, const char *const *texts, const size_t *lens,
                    int64_t n_texts, int64_t n_vocab) WARN_UNUSED;

#endif
