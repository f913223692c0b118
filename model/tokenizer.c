/*
 * Encoding: added tokens cut the text (leftmost, longest first; those matched on raw
 * text before those matched on normalised text, which here is the same text), each gap
 * is pre-tokenised, each piece merged. Decoding: the tokens' bytes, made valid UTF-8.
 */
#include "model/tokenizer.h"

#include <string.h>

#include "model/tokenizer_private.h"

void ids_push(struct ids *v, int32_t id)
{
    if (v->n == v->cap) {
        const int64_t cap = 2 * v->cap + 64;
        v->data = mem_realloc(v->data, (size_t)v->cap * sizeof(*v->data),
                              (size_t)cap * sizeof(*v->data));
        v->cap = cap;
    }
    v->data[v->n++] = id;
}

void ids_release(struct ids *v)
{
    mem_free(v->data);
    *v = (struct ids){0};
}

int tokenizer_load(struct tokenizer **out, const char *path)
{
    json_t *root = NULL;
    TRY(json_parse_file(&root, path));
    struct tokenizer *const t = mem_alloc(sizeof(*t));
    const int status = tokenizer_read(t, root, path);
    json_decref(root);
    if (status != STATUS_OK) {
        tokenizer_free(t);
        return status;
    }
    *out = t;
    return STATUS_OK;
}

void tokenizer_free(struct tokenizer *t)
{
    if (t == NULL)
        return;
    for (int64_t i = 0; t->tokens != NULL && i < t->n_tokens; i++) {
        mem_free(t->tokens[i].text);
        mem_free(t->tokens[i].bytes);
    }
    for (int i = 0; i < t->n_stages; i++)
        pcre2_code_free(t->stages[i].regex);
    mem_free(t->tokens);
    mem_free(t->by_text.slots);
    mem_free(t->by_bytes.slots);
    mem_free(t->merges);
    mem_free(t->added);
    mem_free(t);
}

int64_t tokenizer_n_vocab(const struct tokenizer *t) { return t->n_tokens; }

int32_t tokenizer_find(const struct tokenizer *t, const char *piece)
{
    return token_map_find(&t->by_text, t->tokens, piece, strlen(piece), false);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_tokens && t->tokens[id].is_special;
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len_out)
{
    const bool is_there = id >= 0 && id < t->n_tokens && t->tokens[id].text != NULL;
    *len_out = is_there ? t->tokens[id].n_bytes : 0;
    return is_there ? t->tokens[id].bytes : "";
}

struct encoder {
    const struct tokenizer *t;
    struct bpe_scratch bpe;
    struct spans spans;
    struct ids *out;
};

static int encode_gap(struct encoder *e, const char *text, size_t len)
{
    e->spans.n = 0;
    if (len == 0)
        return STATUS_OK;
    TRY(pretokenize(e->t, text, len, &e->spans));
    for (int64_t i = 0; i < e->spans.n; i++)
        bpe_encode(e->t, &e->bpe, text + e->spans.items[i].off, e->spans.items[i].len,
                   e->out);
    return STATUS_OK;
}

/* The longest added token of this phase that begins here; -1: none. */
static int32_t added_at(const struct tokenizer *t, const char *text, size_t len,
                        bool is_normalized)
{
    for (int64_t i = 0; i < t->n_added; i++) {
        const struct token *const tok = &t->tokens[t->added[i]];
        if (tok->is_normalized == is_normalized && tok->text_len <= len &&
            memcmp(tok->text, text, tok->text_len) == 0)
            return t->added[i];
    }
    return -1;
}

/* Phase false: added tokens of raw text; its gaps go to phase true; whose gaps are
 * merged. */
static int encode_phase(struct encoder *e, const char *text, size_t len,
                        bool is_normalized)
{
    size_t gap = 0, at = 0;
    while (at < len) {
        const int32_t id = added_at(e->t, text + at, len - at, is_normalized);
        if (id < 0) {
            at++;
            continue;
        }
        TRY(is_normalized ? encode_gap(e, text + gap, at - gap)
                          : encode_phase(e, text + gap, at - gap, true));
        ids_push(e->out, id);
        at += e->t->tokens[id].text_len;
        gap = at;
    }
    return is_normalized ? encode_gap(e, text + gap, len - gap)
                         : encode_phase(e, text + gap, len - gap, true);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     bool add_special, struct ids *out)
{
    struct encoder e = {.t = t, .out = out};
    if (!is_utf8(text, len))
        return ERR(ERR_INPUT, "a text of %zu bytes is not UTF-8", len);
    for (int i = 0; add_special && i < t->n_prefix; i++)
        ids_push(out, t->prefix[i]);
    const int status = encode_phase(&e, text, len, false);
    for (int i = 0; add_special && i < t->n_suffix; i++)
        ids_push(out, t->suffix[i]);
    bpe_release(&e.bpe);
    mem_free(e.spans.items);
    return status;
}

/* Everything from `from` on as valid UTF-8: each maximal malformed part becomes U+FFFD.
 */
static void mend_utf8(struct buf *b, size_t from)
{
    if (is_utf8(b->data + from, b->len - from))
        return;
    struct buf mended = {0};
    for (size_t off = from; off < b->len;) {
        const size_t start = off;
        if (next_utf8(b->data, b->len, &off) < 0)
            buf_puts(&mended, "\xEF\xBF\xBD");
        else
            buf_append(&mended, b->data + start, off - start);
    }
    b->len = from;
    buf_append(b, mended.data, mended.len);
    buf_release(&mended);
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n,
                      bool skip_special, struct buf *out)
{
    const size_t from = out->len;
    buf_append(out, "", 0);
    for (int64_t i = 0; i < n; i++) {
        size_t len = 0;
        const char *const bytes = tokenizer_bytes(t, ids[i], &len);
        if (!(skip_special && tokenizer_is_special(t, ids[i])))
            buf_append(out, bytes, len);
    }
    mend_utf8(out, from);
}
