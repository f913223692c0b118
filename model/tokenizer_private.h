/*
 * Inside the tokenizer: its tables, and the stages of encoding.
 */
#ifndef MODEL_TOKENIZER_PRIVATE_H
#define MODEL_TOKENIZER_PRIVATE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/mem.h"
#include "model/tokenizer.h"

/* A byte string -> id map: open addressing over the tokens' own strings. */
struct token_map {
    int32_t *slots; /* id + 1; 0 empty */
    uint64_t mask;
};

struct token {
    char *text; /* as in tokenizer.json; NULL: no such id */
    size_t text_len;
    char *bytes; /* what it stands for; may equal text's content */
    size_t n_bytes;
    bool is_added, is_special, is_normalized;
    bool is_plain; /* in the vocabulary, every character in the byte alphabet */
};

struct merge {
    uint64_t pair; /* left << 32 | right; UINT64_MAX empty */
    int32_t rank, id;
};

enum { TOKENIZER_MAX_STAGES = 8, TOKENIZER_MAX_TEMPLATE = 8 };
enum stage_kind { STAGE_SPLIT, STAGE_DIGITS };
struct stage {
    enum stage_kind kind;
    pcre2_code *regex; /* STAGE_SPLIT: matches and what lies between are pieces */
};

struct tokenizer {
    struct token *tokens;
    int64_t n_tokens; /* largest id + 1 */
    struct token_map by_text, by_bytes;
    struct merge *merges;
    uint64_t merge_mask;
    int32_t byte_id[256];  /* id of a single byte; -1: none */
    bool is_merge_ignored; /* a whole piece in the vocabulary is one token */
    struct stage stages[TOKENIZER_MAX_STAGES];
    int n_stages;
    int32_t *added; /* ids of added tokens, longest content first */
    int64_t n_added;
    int32_t prefix[TOKENIZER_MAX_TEMPLATE], suffix[TOKENIZER_MAX_TEMPLATE];
    int n_prefix, n_suffix;
};

/* tokenizer_map.c */
void token_map_init(struct token_map *m, int64_t n_tokens);
void token_map_put(struct token_map *m, const struct token *tokens, int32_t id,
                   bool by_bytes);
int32_t token_map_find(const struct token_map *m, const struct token *tokens,
                       const char *s, size_t len, bool by_bytes);
/* The byte-level alphabet (GPT-2): each byte as a printable character. */
int32_t byte_to_char(int byte);
int char_to_byte(int32_t c); /* -1: not of the alphabet */
size_t put_utf8(char *out, int32_t c);
/* Next code point, or -1 where the bytes are not UTF-8; *off moves on. */
int32_t next_utf8(const char *s, size_t len, size_t *off);
bool is_utf8(const char *s, size_t len);

/* pretokenize.c */
struct span {
    size_t off, len;
};
struct spans {
    struct span *items;
    int64_t n, cap;
};
void spans_push(struct spans *v, size_t off, size_t len);
/* The pattern with \s and \S spelled as Hugging Face's engine defines them; the caller
 * frees regex. */
int pretokenize_compile(pcre2_code **out, const char *pattern,
                        const char *where) WARN_UNUSED;
int pretokenize_split(const pcre2_code *regex, const char *text, size_t len,
                      size_t base, struct spans *out) WARN_UNUSED;
int pretokenize(const struct tokenizer *t, const char *text, size_t len,
                struct spans *out) WARN_UNUSED;
extern const char *const PRETOKENIZE_GPT2;

/* bpe.c: appends the ids of one piece. */
struct bpe_scratch {
    struct bpe_symbol *symbols;
    struct bpe_entry *heap;
    int64_t cap, heap_cap;
};
void bpe_encode(const struct tokenizer *t, struct bpe_scratch *s, const char *bytes,
                size_t len, struct ids *out);
void bpe_release(struct bpe_scratch *s);
const struct merge *bpe_find_merge(const struct tokenizer *t, int32_t left,
                                   int32_t right);

/* tokenizer_load.c */
int tokenizer_read(struct tokenizer *t, const json_t *root,
                   const char *where) WARN_UNUSED;

#endif
