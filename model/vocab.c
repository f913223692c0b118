/*
 * The vocabulary both ways: a hash of texts to ids, and what each id decodes to. The
 * two are not always inverse: of texts listed twice the last id counts, and an added
 * token may be decoded as another text than it is found by.
 */
#include <string.h>
#include <xxhash.h>

#include "model/tokenizer_private.h"

/* GPT-2's alphabet: bytes that print stand for themselves, the other 68, in order, for
 * U+0100 onwards. */
static bool is_own_char(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
           byte >= 0xAE;
}

int32_t byte_to_char(unsigned char byte)
{
    if (is_own_char(byte))
        return byte;
    if (byte <= ' ')
        return 0x100 + byte;
    return byte < 0xAD ? 0x121 + byte - 0x7F : 0x143;
}

int byte_from_char(int32_t cp)
{
    if (cp < 0x100)
        return cp >= 0 && is_own_char((int)cp) ? (int)cp : -1;
    if (cp <= 0x120)
        return cp - 0x100;
    return cp > 0x143 ? -1 : cp == 0x143 ? 0xAD : cp - 0x121 + 0x7F;
}

/* The slot of a text, or the free one where it would go. */
static struct vocab_slot *slot_of(const struct vocab *v, const char *text, size_t len,
                                  uint32_t *tag_out)
{
    uint64_t h = XXH3_64bits(text, len);
    const uint32_t tag = (uint32_t)(h >> 32);
    *tag_out = tag;
    for (;; h++) {
        struct vocab_slot *const slot = &v->slots[h & (uint64_t)(v->n_slots - 1)];
        if (slot->text < 0)
            return slot;
        const struct vocab_text *const e = &v->texts[slot->text];
        if (slot->tag == tag && e->len == len &&
            memcmp(v->pool.data + e->off, text, len) == 0)
            return slot;
    }
}

static void set_slots(struct vocab *v, int64_t n_slots)
{
    mem_free(v->slots);
    v->n_slots = n_slots;
    v->slots = mem_alloc((size_t)n_slots * sizeof(*v->slots));
    memset(v->slots, 0xFF, (size_t)n_slots * sizeof(*v->slots));
    for (int64_t i = 0; i < v->n_texts; i++) {
        const struct vocab_text *const e = &v->texts[i];
        uint32_t tag;
        *slot_of(v, v->pool.data + e->off, e->len,
                 &tag) = (struct vocab_slot){.tag = tag, .text = (int32_t)i};
    }
}

static void set_texts_cap(struct vocab *v, int64_t cap)
{
    v->texts = mem_realloc(v->texts, (size_t)v->texts_cap * sizeof(*v->texts),
                           (size_t)cap * sizeof(*v->texts));
    v->texts_cap = cap;
}

void vocab_reserve(struct vocab *v, int64_t n_texts)
{
    int64_t n_slots = v->n_slots == 0 ? 1024 : v->n_slots;
    while (n_slots < 2 * (n_texts + 1))
        n_slots *= 2;
    if (n_slots > v->n_slots)
        set_slots(v, n_slots);
    if (n_texts > v->texts_cap)
        set_texts_cap(v, n_texts);
}

struct vocab_text *vocab_text(struct vocab *v, const char *text, size_t len)
{
    if (2 * (v->n_texts + 1) > v->n_slots)
        set_slots(v, v->n_slots == 0 ? 1024 : 2 * v->n_slots);
    uint32_t tag;
    struct vocab_slot *const slot = slot_of(v, text, len, &tag);
    if (slot->text < 0) {
        if (v->n_texts == v->texts_cap)
            set_texts_cap(v, 2 * v->texts_cap + 512);
        *slot = (struct vocab_slot){.tag = tag, .text = (int32_t)v->n_texts};
        v->texts[v->n_texts++] = (struct vocab_text){
            .off = v->pool.len, .len = (uint32_t)len, .id = TOKEN_NONE};
        buf_append(&v->pool, text, len);
        buf_append(&v->pool, "", 1); /* its NUL, for messages */
    }
    return &v->texts[slot->text];
}

/* The bytes that the text stands for: mapped back when every character is of the byte
 * alphabet, else the text as it is. */
static void put_bytes(struct vocab *v, struct piece *p)
{
    const size_t start = v->pool.len, off = p->text_off, len = p->text_len;
    bool is_own = true; /* bytes that stand for themselves need no copy */
    for (size_t i = 0; i < len && is_own; i++)
        is_own = (unsigned char)v->pool.data[off + i] < 0x80;
    p->bytes_off = off;
    p->n_bytes = (uint32_t)len;
    if (is_own)
        return;
    for (size_t i = 0; i < len;) {
        const char *const s = v->pool.data + off + i;
        const int byte = byte_from_char(utf8_get(s));
        const char c = (char)byte;
        i += utf8_width((unsigned char)*s);
        if (byte < 0) {
            v->pool.len = start;
            return;
        }
        buf_append(&v->pool, &c, 1);
    }
    p->bytes_off = start;
    p->n_bytes = (uint32_t)(v->pool.len - start);
}

static struct piece *piece_at(struct vocab *v, int32_t id)
{
    if (id >= v->cap) {
        const int64_t cap = id < 512 ? 1024 : 2 * (int64_t)id;
        v->pieces = mem_realloc(v->pieces, (size_t)v->cap * sizeof(*v->pieces),
                                (size_t)cap * sizeof(*v->pieces));
        v->cap = cap;
    }
    if (id >= v->n)
        v->n = (int64_t)id + 1;
    return &v->pieces[id];
}

static void set_piece(struct vocab *v, int32_t id, size_t off, uint32_t len,
                      bool is_mapped)
{
    struct piece *const p = piece_at(v, id);
    *p = (struct piece){.text_off = off,
                        .text_len = len,
                        .bytes_off = off,
                        .n_bytes = len,
                        .is_used = true};
    if (is_mapped)
        put_bytes(v, p);
}

void vocab_set_piece(struct vocab *v, int32_t id, const char *text, size_t len,
                     bool is_mapped)
{
    const struct vocab_text *const e = vocab_text(v, text, len);
    set_piece(v, id, e->off, e->len, is_mapped);
}

int vocab_add(struct vocab *v, const char *text, size_t len, int32_t id)
{
    const int shown = (int)(len < 80 ? len : 80);
    if (id < 0 || id >= MAX_TOKENS)
        return ERR(ERR_INPUT, "token \"%.*s\" has id %d, expected 0..%d", shown, text,
                   id, MAX_TOKENS - 1);
    if (vocab_piece(v, id) != NULL)
        return ERR(ERR_INPUT, "tokens \"%.80s\" and \"%.*s\" share the id %d",
                   v->pool.data + v->pieces[id].text_off, shown, text, id);
    struct vocab_text *const e = vocab_text(v, text, len);
    if (e->id != TOKEN_NONE)
        return ERR(ERR_INPUT, "token \"%.*s\" is listed twice (ids %d and %d)", shown,
                   text, e->id, id);
    e->id = id;
    e->is_model = true;
    set_piece(v, id, e->off, e->len, true);
    return STATUS_OK;
}

static const struct vocab_text *find(const struct vocab *v, const char *text,
                                     size_t len)
{
    if (v->n_slots == 0)
        return NULL;
    uint32_t tag;
    const int32_t at = slot_of(v, text, len, &tag)->text;
    return at < 0 ? NULL : &v->texts[at];
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    const struct vocab_text *const e = find(v, text, len);
    return e == NULL ? TOKEN_NONE : e->id;
}

void vocab_find_many(const struct vocab *v, const struct span *texts, const char *base,
                     int n, int32_t *ids)
{
    uint64_t hash[VOCAB_BATCH];
    for (int i = 0; i < n; i++) {
        hash[i] = XXH3_64bits(base + texts[i].off, texts[i].len);
        __builtin_prefetch(&v->slots[hash[i] & (uint64_t)(v->n_slots - 1)]);
    }
    for (int i = 0; i < n; i++) {
        const int32_t at = v->slots[hash[i] & (uint64_t)(v->n_slots - 1)].text;
        if (at >= 0)
            __builtin_prefetch(&v->texts[at]);
    }
    for (int i = 0; i < n; i++) {
        const int32_t at = v->slots[hash[i] & (uint64_t)(v->n_slots - 1)].text;
        if (at >= 0)
            __builtin_prefetch(v->pool.data + v->texts[at].off);
    }
    for (int i = 0; i < n; i++)
        ids[i] = vocab_find(v, base + texts[i].off, texts[i].len);
}

int32_t vocab_find_model(const struct vocab *v, const char *text, size_t len)
{
    const struct vocab_text *const e = find(v, text, len);
    return e == NULL || !e->is_model ? TOKEN_NONE : e->id;
}

const struct piece *vocab_piece(const struct vocab *v, int32_t id)
{
    const bool is_known = id >= 0 && id < v->n && v->pieces[id].is_used;
    return is_known ? &v->pieces[id] : NULL;
}

void vocab_release(struct vocab *v)
{
    buf_release(&v->pool);
    mem_free(v->texts);
    mem_free(v->slots);
    mem_free(v->pieces);
    *v = (struct vocab){0};
}
