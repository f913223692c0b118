/*
 * What the tokenizer's files share. Text flows through three stages, each borrowing
 * from the one before: added tokens and gaps (tokenizer.c), pre-tokens (pretokenize.c),
 * merges (bpe.c). Everything in struct tokenizer is constant after load; what a call
 * needs besides lies in struct encode_scratch.
 */
#ifndef MODEL_TOKENIZER_PRIVATE_H
#define MODEL_TOKENIZER_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/status.h"
#include "model/tokenizer.h"

bool utf8_is_valid(const char *s, size_t len);
/* Bytes of the character that starts with `lead`, in valid UTF-8. */
size_t utf8_width(unsigned char lead);
/* Code point at s (valid UTF-8). */
int32_t utf8_get(const char *s);
size_t utf8_put(char out[4], int32_t cp);
/* Appends s; each maximal invalid part becomes one U+FFFD (Unicode 3.9, W3C). */
void utf8_append_lossy(struct buf *out, const char *s, size_t len);
/* NFC as Hugging Face computes it, appended to out. s is valid UTF-8. */
int utf8_append_nfc(struct buf *out, const char *s, size_t len) WARN_UNUSED;

int32_t byte_to_char(unsigned char byte);
int byte_from_char(int32_t cp); /* -1: not in the alphabet */

enum { TOKEN_NONE = -1, MAX_TOKENS = 1 << 24 };

struct piece {
    size_t text_off, bytes_off; /* into vocab.pool */
    uint32_t text_len, n_bytes;
    int32_t added; /* its place among the added tokens + 1; 0: none */
    bool is_used, is_model, is_special;
};

struct vocab {
    struct buf pool;
    struct piece *pieces; /* by id */
    int64_t n, cap;       /* n: largest id + 1 */
    int32_t *slots;       /* hash of texts -> id, open addressing */
    int64_t n_slots, n_texts;
};
/* Adds a text under an id that is free; ERR_INPUT when the text or the id is taken. */
int vocab_add(struct vocab *v, const char *text, size_t len, int32_t id) WARN_UNUSED;
int32_t vocab_find(const struct vocab *v, const char *text, size_t len);
/* Decodes id as another text from now on. */
void vocab_set_decoded(struct vocab *v, int32_t id, const char *text, size_t len);
void vocab_release(struct vocab *v);

struct merge {
    uint64_t key; /* left << 32 | right; MERGE_EMPTY */
    int32_t rank, id;
};
static const uint64_t MERGE_EMPTY = UINT64_MAX;

struct merges {
    struct merge *slots;
    int64_t n_slots;
};
void merges_init(struct merges *m, int64_t n);
/* A pair given twice keeps the later rank. */
void merges_put(struct merges *m, int32_t left, int32_t right, int32_t rank,
                int32_t id);
const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right);
void merges_release(struct merges *m);

enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS,
};

struct split_step {
    void *code;    /* pcre2_code; NULL: no split */
    char *literal; /* String pattern instead; NULL: none */
    size_t literal_len;
    enum split_behavior behavior;
    bool is_inverted;
    bool has_prefix_space; /* ByteLevel's: put before each piece that lacks one */
};
enum { MAX_STEPS = 8 };

struct span {
    size_t off, len;
};
struct spans {
    struct span *data;
    int64_t n, cap;
};

struct pretokenizer {
    struct split_step steps[MAX_STEPS];
    int64_t n_steps;
};
struct encode_scratch;
/* Reads the "pre_tokenizer" object; only chains that end in ByteLevel. */
int pretokenizer_load(struct pretokenizer *p, const json_t *spec,
                      const char *where) WARN_UNUSED;
void pretokenizer_release(struct pretokenizer *p);
int split_step_compile(struct split_step *step, const char *pattern, size_t len,
                       const char *where) WARN_UNUSED;
/* Splits s->text[0 .. n) into s->spans. */
int pretokenizer_run(const struct pretokenizer *p,
                     struct encode_scratch *s) WARN_UNUSED;

struct symbol {
    int32_t id, prev, next; /* prev, next: places, -1 at the ends */
    bool is_dead;
};
struct heap_entry {
    uint64_t order; /* rank << 32 | place: the smallest first */
    int32_t id;     /* of the merged pair when it was pushed */
};
struct encode_scratch {
    struct buf text, other; /* the text that spans point into; the next step's */
    struct buf normal;      /* a gap after the normaliser */
    struct buf shadow;      /* see model/unicode_shadow.h */
    struct spans spans, next, parts;
    bool *is_match; /* (parts.cap) */
    int64_t n_match_cap;
    void *match_data, *match_context, *jit_stack; /* PCRE2's */
    struct symbol *symbols;
    struct heap_entry *heap;
    int64_t n_symbols_cap, n_heap, n_heap_cap;
    struct buf mapped; /* a piece in the byte alphabet */
};
void encode_scratch_release(struct encode_scratch *s);
void spans_push(struct spans *v, size_t off, size_t len);

struct added_token {
    int32_t id;
    char *pattern; /* its content; normalised where is_normalized */
    size_t len;
    bool is_normalized, has_lstrip, has_rstrip, is_single_word;
};
/* Of the tokens that start with a byte: places in `tokens`, the longest first. */
struct added_set {
    struct added_token *tokens;
    int64_t n;
    int32_t first[257]; /* tokens[first[b] .. first[b + 1]) start with byte b */
};

struct tokenizer {
    struct vocab vocab;
    int64_t n_vocab; /* vocab.n, or more where a template needs it */
    struct merges merges;
    int32_t byte_ids[256]; /* TOKEN_NONE: the byte is dropped, as there is no unk */
    bool has_ignore_merges, has_nfc;
    struct pretokenizer pre;
    struct added_set raw, normalized; /* searched before and after the normaliser */
    struct ids prefix, suffix;        /* of the post-processor */
};
/* tokenizer_load.c, tokenizer_post.c: the parts of tokenizer.json. */
int tokenizer_read(struct tokenizer *t, const json_t *root,
                   const char *where) WARN_UNUSED;
int tokenizer_read_post(struct tokenizer *t, const json_t *spec, int64_t id_limit,
                        const char *where) WARN_UNUSED;
int tokenizer_read_decoder(const json_t *spec, const char *where) WARN_UNUSED;

/* Appends the ids of one pre-token's bytes. */
void bpe_encode(const struct tokenizer *t, struct encode_scratch *s, const char *text,
                size_t len, struct ids *out);
/* Takes the tokens (sorts them in place); added_set_release frees them. */
void added_set_take(struct added_set *a, struct added_token *tokens, int64_t n);
void added_set_release(struct added_set *a);
struct added_match {
    size_t start, end; /* with the blanks that lstrip and rstrip take */
    size_t resume;     /* where the search goes on */
    int32_t id;
};
/* The next match at or after `from`; the gap before it begins at `gap`. */
bool added_set_next(const struct added_set *a, const char *s, size_t len, size_t from,
                    size_t gap, struct added_match *out);

#endif
