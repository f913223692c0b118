/*
 * What the tokenizer's files share. Encoding goes through stages, each on what the one
 * before left: added tokens and gaps (tokenizer.c), the normaliser on each gap
 * (normalize.c), pre-tokens (pretokenize.c), the model on each pre-token (bpe.c,
 * unigram.c), the post-processor (tokenizer_post.c). Decoding is a chain of stages of
 * its own (decode.c). Everything in struct tokenizer is constant after load but the
 * pool of idle scratches, which a lock guards.
 */
#ifndef MODEL_TOKENIZER_PRIVATE_H
#define MODEL_TOKENIZER_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/status.h"
#include "model/tokenizer.h"

/* utf8.c */
bool utf8_is_valid(const char *s, size_t len);
/* Bytes of the character that starts with `lead`, in valid UTF-8. */
size_t utf8_width(unsigned char lead);
/* Code point at s (valid UTF-8). */
int32_t utf8_get(const char *s);
size_t utf8_put(char out[4], int32_t cp);
/* Start of the character that ends at s + end; end > 0, valid UTF-8. */
size_t utf8_before(const char *s, size_t end);
/* Appends s; each maximal invalid part becomes one U+FFFD (Unicode 3.9, W3C). What
 * could still become a character at the end stays out unless is_end; returns the bytes
 * that were used. */
size_t utf8_append_lossy(struct buf *out, const char *s, size_t len, bool is_end);
enum utf8_form { UTF8_NFC, UTF8_NFD, UTF8_NFKC, UTF8_NFKD };
/* A normalisation form of Unicode 9, appended to out. s is valid UTF-8. */
int utf8_append_form(struct buf *out, enum utf8_form form, const char *s,
                     size_t len) WARN_UNUSED;

int32_t byte_to_char(unsigned char byte);
int byte_from_char(int32_t cp); /* -1: not in the alphabet */

/* text.c: text and where each of its bytes comes from */
struct place {
    uint32_t start, end; /* bytes of the text given to encode */
};
struct text {
    struct buf bytes;
    struct place *from; /* (from_cap), kept up only where is_tracked */
    size_t from_cap;
    uint32_t origin; /* where the gap begins: what is inserted at 0 comes from there */
    bool is_tracked;
};
/* Empty, with the other's origin and tracking. */
void text_reset(struct text *t, const struct text *like);
void text_release(struct text *t);
void text_swap(struct text *a, struct text *b);
/* Empties t and puts raw[off .. off + len) there, places included. */
void text_set(struct text *t, const char *raw, size_t off, size_t len, bool is_tracked);
/* Appends a part of another text. */
void text_copy(struct text *t, const struct text *from, size_t off, size_t len);
/* Appends bytes that all have one place. */
void text_put(struct text *t, const char *s, size_t len, struct place p);
/* What bytes [off, off + len) come from; zeros where not tracked. */
struct place text_place(const struct text *t, size_t off, size_t len);
/* The place of the byte before `off`, which inserted text takes over. */
struct place text_place_before(const struct text *t, size_t off);

/* trie.c: longest-prefix search, a double array */
struct trie_unit {
    int32_t base, check; /* child of node n by byte c: n.base ^ c, if its check is n */
    int32_t value;       /* -1: no key ends here */
};
struct trie {
    struct trie_unit *units;
    int64_t n, cap;
};
struct trie_key {
    const char *text;
    size_t len;
    int32_t value;
};
/* Sorts the keys; of equal ones the one with the largest value counts. Values >= 0. */
void trie_init(struct trie *t, struct trie_key *keys, int64_t n);
void trie_release(struct trie *t);
static inline int32_t trie_step(const struct trie *t, int32_t node, unsigned char c)
{
    const int32_t next = t->units[node].base ^ c;
    return t->units[next].check == node ? next : -1;
}
/* The longest key at s: its length, and its value; 0 where there is none. */
size_t trie_longest(const struct trie *t, const char *s, size_t len,
                    int32_t *value_out);

struct span {
    size_t off, len;
};

/* vocab.c: texts and ids */
enum { TOKEN_NONE = -1, MAX_TOKENS = 1 << 24 };

struct vocab_text { /* a key of the hash */
    size_t off;     /* into pool, NUL-terminated */
    uint32_t len;
    int32_t id;
    bool is_model, is_special;
};
struct piece { /* what an id decodes to */
    size_t text_off, bytes_off;
    uint32_t text_len, n_bytes; /* bytes: mapped back from the byte alphabet */
    bool is_used, is_special, is_added;
};
struct vocab_slot {
    uint32_t tag; /* of the hash: spares a look at the text */
    int32_t text; /* place in texts; -1: free */
};
struct vocab {
    struct buf pool;
    struct vocab_text *texts;
    int64_t n_texts, texts_cap;
    struct vocab_slot *slots; /* open addressing */
    int64_t n_slots;
    struct piece *pieces; /* by id */
    int64_t n, cap;       /* n: largest id + 1 */
};
void vocab_reserve(struct vocab *v, int64_t n_texts);
/* The text's entry, made with id TOKEN_NONE if there is none. */
struct vocab_text *vocab_text(struct vocab *v, const char *text, size_t len);
/* id decodes to `text` from now on; is_mapped: its characters may stand for bytes */
void vocab_set_piece(struct vocab *v, int32_t id, const char *text, size_t len,
                     bool is_mapped);
/* Adds a text of the model; ERR_INPUT when the text or the id is taken. */
int vocab_add(struct vocab *v, const char *text, size_t len, int32_t id) WARN_UNUSED;
/* TOKEN_NONE where the text is no token. */
int32_t vocab_find(const struct vocab *v, const char *text, size_t len);
/* Of n texts at once, base[off ..]: their memory is fetched together. */
enum { VOCAB_BATCH = 96 };
void vocab_find_many(const struct vocab *v, const struct span *texts, const char *base,
                     int n, int32_t *ids);
/* Of the model's own texts, added tokens left out. */
int32_t vocab_find_model(const struct vocab *v, const char *text, size_t len);
const struct piece *vocab_piece(const struct vocab *v, int32_t id); /* or NULL */
void vocab_release(struct vocab *v);

/* split_pattern.c, pattern.c: what Split and Replace search for */
enum pattern_kind {
    PATTERN_NONE,
    PATTERN_LITERAL,
    PATTERN_START, /* the literal, at the text's start only */
    PATTERN_REGEX,
};
struct pattern {
    enum pattern_kind kind;
    char *literal;
    size_t len;
    void *code; /* pcre2_code */
};
struct spans {
    struct span *data;
    int64_t n, cap;
};
void spans_push(struct spans *v, size_t off, size_t len);
/* What searching needs besides the pattern; one per thread. */
struct search {
    struct spans parts; /* the whole text, in order */
    bool *is_match;     /* (parts.cap) */
    int64_t n_match_cap;
    struct buf shadow;                            /* see model/unicode_shadow.h */
    void *match_data, *match_context, *jit_stack; /* PCRE2's */
    bool has_no_shadow;
};
void search_push(struct search *s, size_t start, size_t end, bool is_match);
void search_release(struct search *s);
/* {"String": ...} or {"Regex": ...} */
int pattern_load(struct pattern *p, const json_t *spec, const char *what,
                 const char *where) WARN_UNUSED;
int pattern_compile(struct pattern *p, const char *regex, size_t len,
                    const char *where) WARN_UNUSED;
void pattern_release(struct pattern *p);
bool pattern_can_be_empty(const struct pattern *p);
/* Cuts text into s->parts. */
int pattern_parts(const struct pattern *p, struct search *s, const char *text,
                  size_t len) WARN_UNUSED;
/* Pattern for PCRE2, appended to out; split_pattern.c */
int pattern_rewrite(struct buf *out, const char *pattern, size_t len,
                    const char *where) WARN_UNUSED;

/* normalize.c */
enum normalize_kind {
    NORMALIZE_FORM,
    NORMALIZE_LOWERCASE,
    NORMALIZE_STRIP_ACCENTS,
    NORMALIZE_NMT,
    NORMALIZE_STRIP,
    NORMALIZE_BYTE_LEVEL,
    NORMALIZE_PREPEND,
    NORMALIZE_REPLACE,
};
struct normalize_step {
    enum normalize_kind kind;
    enum utf8_form form;
    bool is_left, is_right; /* Strip */
    char *content;          /* Prepend, Replace */
    size_t content_len;
    struct pattern pattern; /* Replace */
};
enum { MAX_STEPS = 16 };
struct normalizer {
    struct normalize_step steps[MAX_STEPS];
    int64_t n_steps;
};
int normalizer_load(struct normalizer *n, const json_t *spec,
                    const char *where) WARN_UNUSED;
void normalizer_release(struct normalizer *n);
/* t in place; `other` and `search` are scratch. */
int normalizer_run(const struct normalizer *n, struct text *t, struct text *other,
                   struct search *search) WARN_UNUSED;
/* Puts the byte alphabet's character for each byte of from[off .. off + len). */
void text_map_bytes(struct text *to, const struct text *from, size_t off, size_t len);

/* pretokenize.c */
enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS,
};
enum split_kind {
    STEP_PATTERN,
    STEP_NUMBERS,
    STEP_SPACES,
    STEP_PUNCTUATION,
    STEP_CHAR,   /* one character */
    STEP_WORDS,  /* \w+|[^\w\s]+ */
    STEP_LENGTH, /* every `length` characters */
    STEP_PREFIX_SPACE,
    STEP_METASPACE,
    STEP_MAP_BYTES,
};
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
struct split_step {
    enum split_kind kind;
    enum split_behavior behavior;
    bool is_inverted, is_split; /* is_split: Metaspace's */
    struct pattern pattern;
    int32_t character; /* STEP_CHAR, STEP_METASPACE */
    int64_t length;
    enum prepend_scheme scheme;
};
struct pretokenizer {
    struct split_step steps[MAX_STEPS];
    int64_t n_steps;
};
struct encode_scratch;
/* Reads the "pre_tokenizer" object. */
int pretokenizer_load(struct pretokenizer *p, const json_t *spec,
                      const char *where) WARN_UNUSED;
void pretokenizer_release(struct pretokenizer *p);
/* One character; Metaspace's settings: of pre-tokenizers and decoders alike. */
int json_get_char(const json_t *spec, const char *key, int32_t *out,
                  const char *where) WARN_UNUSED;
int metaspace_load(const json_t *spec, int32_t *character, enum prepend_scheme *scheme,
                   bool *is_split, const char *where) WARN_UNUSED;
/* Splits s->text into s->spans; may rewrite s->text. */
int pretokenizer_run(const struct pretokenizer *p,
                     struct encode_scratch *s) WARN_UNUSED;

/* bpe.c */
struct merge {
    uint64_t key; /* left << 32 | right; MERGE_EMPTY */
    int32_t rank, id;
};
static const uint64_t MERGE_EMPTY = UINT64_MAX;
struct merges {
    struct merge *slots;
    int64_t n_slots, n;
};
void merges_init(struct merges *m, int64_t n); /* with room for n; grows */
/* A pair given twice keeps the later rank. */
void merges_put(struct merges *m, int32_t left, int32_t right, int32_t rank,
                int32_t id);
/* Says that the pair is about to be put. */
void merges_prefetch(const struct merges *m, int32_t left, int32_t right);
const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right);
void merges_release(struct merges *m);

struct symbol {
    int32_t id, prev, next; /* prev, next: places, -1 at the ends */
    uint32_t len;           /* bytes of the piece; 0: merged away */
};
struct heap_entry {
    uint64_t order; /* rank << 32 | place: the smallest first */
    int32_t id;     /* of the merged pair when it was pushed */
};
/* Results for short pieces, direct-mapped. A line of the processor's cache. */
enum { CACHE_SLOTS = 1 << 14, CACHE_TEXT = 30, CACHE_IDS = 8 };
struct cached_piece {
    uint8_t len, n; /* len 0: empty */
    char text[CACHE_TEXT];
    int32_t ids[CACHE_IDS];
};
struct best_path { /* unigram.c: the best way to reach a byte */
    double score;
    int32_t id, start; /* start: -1 where none */
};
struct encode_scratch {
    struct encode_scratch *next_idle;
    struct text raw_gap;     /* a gap between raw added tokens, normalised */
    struct text text, other; /* what spans point into; the next step's */
    struct spans spans, next;
    struct search search;
    struct symbol *symbols;
    int64_t n_symbols_cap;
    struct heap_entry *heap;
    int64_t n_heap, n_heap_cap;
    struct best_path *path;
    int64_t n_path_cap;
    struct buf mapped; /* a piece in the byte alphabet; a character with its affixes */
    struct cached_piece *cache; /* (CACHE_SLOTS) */
    struct place *places;       /* per output id of this call, where asked for */
    int64_t n_places_cap;
    bool has_places;
};
void encode_scratch_release(struct encode_scratch *s);
/* Appends an id that stands for bytes [off, off + len) of s->text. */
void encode_push(struct encode_scratch *s, const struct text *t, struct ids *out,
                 int32_t id, size_t off, size_t len);

struct bpe {
    struct merges merges;
    int32_t byte_ids[256]; /* of <0xHH> or of the byte alphabet; TOKEN_NONE: none */
    char *prefix, *suffix; /* continuing_subword_prefix, end_of_word_suffix */
    size_t prefix_len, suffix_len;
    char *unk_token; /* NULL: characters without a token are dropped */
    int32_t unk_id;  /* TOKEN_NONE: an error when needed */
    bool has_fuse_unk, has_byte_fallback, has_ignore_merges;
    bool is_raw;  /* pieces are bytes; byte_ids the alphabet's */
    bool is_rank; /* tiktoken: a pair's rank is its text's id */
};
struct unigram {
    struct trie trie;
    double *scores; /* by id */
    int64_t n;
    double min_score;
    int32_t unk_id;        /* TOKEN_NONE: an error when needed */
    int32_t byte_ids[256]; /* all or none */
    bool has_byte_fallback;
};
int bpe_encode(const struct tokenizer *t, struct encode_scratch *s, size_t off,
               size_t len, struct ids *out) WARN_UNUSED;
int unigram_encode(const struct tokenizer *t, struct encode_scratch *s, size_t off,
                   size_t len, struct ids *out) WARN_UNUSED;

/* added_tokens.c */
struct added_token {
    int32_t id;
    char *pattern; /* its content; normalised where is_normalized */
    size_t len;
    bool is_normalized, has_lstrip, has_rstrip, is_single_word;
};
struct added_set {
    struct added_token *tokens;
    int64_t n;
    struct trie trie;
};
/* Takes the tokens; added_set_release frees them. */
void added_set_take(struct added_set *a, struct added_token *tokens, int64_t n);
void added_set_release(struct added_set *a);
/* The token of exactly this pattern, of equal ones the last; or NULL. */
const struct added_token *added_set_find(const struct added_set *a, const char *pattern,
                                         size_t len);
struct added_match {
    size_t start, end; /* with the blanks that lstrip and rstrip take */
    size_t resume;     /* where the search goes on */
    int32_t id;
};
/* The next match at or after `from`; the gap before it begins at `gap`. */
bool added_set_next(const struct added_set *a, const char *s, size_t len, size_t from,
                    size_t gap, struct added_match *out);

/* decode.c */
enum decode_kind {
    DECODE_BYTE_LEVEL,
    DECODE_REPLACE,
    DECODE_BYTE_FALLBACK,
    DECODE_FUSE,
    DECODE_STRIP,
    DECODE_METASPACE,
    DECODE_SUFFIX, /* BPEDecoder */
    DECODE_JOIN,   /* none: tokens with blanks between */
};
struct decode_step {
    enum decode_kind kind;
    struct pattern pattern; /* Replace; BPEDecoder's suffix */
    char *content;          /* Replace */
    size_t content_len;
    int32_t character; /* Strip, Metaspace */
    int64_t start, stop;
    bool has_prefix; /* Metaspace: none goes before the first token */
};
struct decoder {
    struct decode_step steps[MAX_STEPS];
    int64_t n_steps;
};
int decoder_load(struct decoder *d, const json_t *spec, const char *where) WARN_UNUSED;
void decoder_release(struct decoder *d);

/* tokenizer_post.c */
struct post {
    struct ids prefix, suffix;       /* of the templates */
    bool has_trim, has_prefix_space; /* ByteLevel's view of offsets */
    bool has_truncation, is_truncated_left, has_padding, is_padded_left;
    bool is_pad_fixed;
    int64_t max_length, pad_length, pad_multiple;
    int32_t pad_id;
};
int post_load(struct post *p, const json_t *spec, int64_t id_limit,
              const char *where) WARN_UNUSED;
int post_load_limits(struct post *p, const json_t *root, int64_t id_limit,
                     const char *where) WARN_UNUSED;
void post_release(struct post *p);
/* ByteLevel's trim_offsets: blanks at a token's ends are not said to be of it. */
void post_trim(const struct tokenizer *t, struct encode_scratch *s, const char *text,
               const struct ids *out, int64_t before);
/* Finishes out[before ..]: truncation, template, padding; places go along. */
void post_run(const struct post *p, bool add_special, struct ids *out, int64_t before,
              struct encode_scratch *s);

struct tokenizer {
    struct vocab vocab;
    int64_t n_vocab; /* vocab.n, or more where a template needs it */
    bool is_unigram;
    struct bpe bpe;
    struct unigram unigram;
    struct normalizer normal;
    struct pretokenizer pre;
    struct added_set raw, normalized; /* searched before and after the normaliser */
    struct post post;
    struct decoder decoder;
    bool has_no_shadow;
    bool is_tracked; /* places decide ids: Metaspace "first" behind other steps */
    struct scratch_pool *pool;
};
/* tokenizer_load.c and those it calls: the parts of tokenizer.json */
struct model_text;
int tokenizer_read(struct tokenizer *t, const char *json, size_t len,
                   const char *where) WARN_UNUSED;
int tokenizer_read_model(struct tokenizer *t, const json_t *model,
                         const struct model_text *large, int64_t *n_model,
                         const char *where) WARN_UNUSED;
int tokenizer_read_added(struct tokenizer *t, const json_t *spec, int64_t n_model,
                         const char *where) WARN_UNUSED;
/* ids from here on are refused: no table should be mostly holes because of a damaged
 * file. n: texts in the model's vocabulary. */
int64_t tokenizer_id_limit(int64_t n);
/* tiktoken.c */
int tokenizer_read_tiktoken(struct tokenizer *t, const char *text, size_t len,
                            const char *path) WARN_UNUSED;
struct tokenizer *tokenizer_new(void);
/* n_vocab and what else follows from the parts. */
void tokenizer_settle(struct tokenizer *t);

#endif
