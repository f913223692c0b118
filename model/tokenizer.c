/*
 * Encoding: tokens added to the raw text are cut out; each gap is normalised by itself;
 * tokens added to the normalised text are cut out; what is left is pre-tokenised and
 * merged. Decoding joins bytes and makes them valid UTF-8.
 */
#include "model/tokenizer.h"

#include <string.h>

#include "core/io.h"
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

static void cover(struct tokenizer *t, const struct ids *v)
{
    for (int64_t i = 0; i < v->n; i++)
        if (v->data[i] >= t->n_vocab)
            t->n_vocab = (int64_t)v->data[i] + 1;
}

int tokenizer_load_memory(struct tokenizer **out, const char *name, const char *json,
                          size_t len)
{
    json_t *root = NULL;
    TRY(json_parse(&root, json, len, name));
    struct tokenizer *const t = mem_alloc(sizeof(*t));
    const int status = tokenizer_read(t, root, name);
    json_decref(root);
    if (status != STATUS_OK) {
        tokenizer_free(t);
        return status;
    }
    /* a template may name an id that no token has: it still comes out of encode */
    t->n_vocab = t->vocab.n;
    cover(t, &t->prefix);
    cover(t, &t->suffix);
    *out = t;
    return STATUS_OK;
}

int tokenizer_load(struct tokenizer **out, const char *path)
{
    struct io_map map;
    TRY(io_map_open(&map, path));
    const int status = tokenizer_load_memory(out, path, (const char *)map.data,
                                             map.size);
    io_map_close(&map);
    return status;
}

void tokenizer_free(struct tokenizer *t)
{
    if (t == NULL)
        return;
    vocab_release(&t->vocab);
    merges_release(&t->merges);
    pretokenizer_release(&t->pre);
    added_set_release(&t->raw);
    added_set_release(&t->normalized);
    ids_release(&t->prefix);
    ids_release(&t->suffix);
    mem_free(t);
}

int64_t tokenizer_n_vocab(const struct tokenizer *t) { return t->n_vocab; }

int32_t tokenizer_find(const struct tokenizer *t, const char *piece)
{
    return vocab_find(&t->vocab, piece, strlen(piece));
}

static const struct piece *piece_of(const struct tokenizer *t, int32_t id)
{
    const bool is_known = id >= 0 && id < t->vocab.n && t->vocab.pieces[id].is_used;
    return is_known ? &t->vocab.pieces[id] : NULL;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    const struct piece *const p = piece_of(t, id);
    return p != NULL && p->is_special;
}

/* s->text holds what lies between added tokens. */
static int encode_plain(const struct tokenizer *t, struct encode_scratch *s,
                        const char *text, size_t len, struct ids *out)
{
    buf_reset(&s->text);
    buf_append(&s->text, text, len);
    TRY(pretokenizer_run(&t->pre, s));
    for (int64_t i = 0; i < s->spans.n; i++)
        bpe_encode(t, s, s->text.data + s->spans.data[i].off, s->spans.data[i].len,
                   out);
    return STATUS_OK;
}

/* Nothing below U+0300 changes under NFC. */
static bool needs_nfc(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= 0xCC)
            return true;
    return false;
}

static int encode_gap(const struct tokenizer *t, struct encode_scratch *s,
                      const char *text, size_t len, struct ids *out)
{
    struct added_match m;
    size_t gap = 0, from = 0;
    if (t->has_nfc && needs_nfc(text, len)) {
        buf_reset(&s->normal);
        TRY(utf8_append_nfc(&s->normal, text, len));
        text = s->normal.data;
        len = s->normal.len;
    }
    while (added_set_next(&t->normalized, text, len, from, gap, &m)) {
        if (gap < m.start)
            TRY(encode_plain(t, s, text + gap, m.start - gap, out));
        ids_push(out, m.id);
        gap = m.end;
        from = m.resume;
    }
    return gap < len ? encode_plain(t, s, text + gap, len - gap, out) : STATUS_OK;
}

static int encode(const struct tokenizer *t, struct encode_scratch *s, const char *text,
                  size_t len, struct ids *out)
{
    struct added_match m;
    size_t gap = 0, from = 0;
    while (added_set_next(&t->raw, text, len, from, gap, &m)) {
        if (gap < m.start)
            TRY(encode_gap(t, s, text + gap, m.start - gap, out));
        ids_push(out, m.id);
        gap = m.end;
        from = m.resume;
    }
    return gap < len ? encode_gap(t, s, text + gap, len - gap, out) : STATUS_OK;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     bool add_special, struct ids *out)
{
    const int64_t before = out->n;
    struct encode_scratch s = {0};
    if (len >= INT32_MAX)
        return ERR(ERR_INPUT, "a text of %zu bytes to tokenise, the limit is %d", len,
                   INT32_MAX - 1);
    if (!utf8_is_valid(text, len))
        return ERR(ERR_INPUT, "a text of %zu bytes to tokenise is not UTF-8", len);
    for (int64_t i = 0; add_special && i < t->prefix.n; i++)
        ids_push(out, t->prefix.data[i]);
    const int status = encode(t, &s, text, len, out);
    for (int64_t i = 0; add_special && i < t->suffix.n; i++)
        ids_push(out, t->suffix.data[i]);
    if (status != STATUS_OK)
        out->n = before;
    encode_scratch_release(&s);
    return status;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n,
                      bool skip_special, struct buf *out)
{
    struct buf bytes = {0};
    for (int64_t i = 0; i < n; i++) {
        size_t len;
        const char *const b = tokenizer_bytes(t, ids[i], &len);
        if (!skip_special || !tokenizer_is_special(t, ids[i]))
            buf_append(&bytes, b, len);
    }
    utf8_append_lossy(out, bytes.len > 0 ? bytes.data : "", bytes.len);
    buf_release(&bytes);
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len_out)
{
    const struct piece *const p = piece_of(t, id);
    *len_out = p == NULL ? 0 : p->n_bytes;
    return p == NULL ? "" : t->vocab.pool.data + p->bytes_off;
}
