/*
 * The byte alphabet, the vocabulary's hash, and byte pair merging in Hugging Face's
 * order: a heap of candidate pairs by (rank, place). A popped candidate counts when the
 * pair that now starts at its place still merges to the same id; its rank is not looked
 * at again. This matters where two pairs give one token.
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

static int64_t slot_of(const struct vocab *v, const char *text, size_t len)
{
    uint64_t h = XXH3_64bits(text, len);
    for (;; h++) {
        const int64_t slot = (int64_t)(h & (uint64_t)(v->n_slots - 1));
        if (v->slots[slot] == TOKEN_NONE)
            return slot;
        const struct piece *const p = &v->pieces[v->slots[slot]];
        if (p->text_len == len && memcmp(v->pool.data + p->text_off, text, len) == 0)
            return slot;
    }
}

static void grow_slots(struct vocab *v)
{
    mem_free(v->slots);
    v->n_slots = v->n_slots == 0 ? 1024 : 2 * v->n_slots;
    v->slots = mem_alloc((size_t)v->n_slots * sizeof(*v->slots));
    for (int64_t i = 0; i < v->n_slots; i++)
        v->slots[i] = TOKEN_NONE;
    for (int64_t id = 0; id < v->n; id++) {
        const struct piece *const p = &v->pieces[id];
        if (p->is_used)
            v->slots[slot_of(v, v->pool.data + p->text_off, p->text_len)] = (int32_t)id;
    }
}

/* The bytes that the text pool[off .. off + len) stands for: mapped back when every
 * character is of the byte alphabet, else the text as it is. */
static void put_bytes(struct vocab *v, struct piece *p, size_t off, size_t len)
{
    const size_t start = v->pool.len;
    bool is_mapped = true;
    for (size_t i = 0; i < len && is_mapped;) {
        const char *const s = v->pool.data + off + i;
        const int byte = byte_from_char(utf8_get(s));
        const char c = (char)byte;
        is_mapped = byte >= 0;
        i += utf8_width((unsigned char)*s);
        if (is_mapped)
            buf_append(&v->pool, &c, 1);
    }
    if (!is_mapped)
        v->pool.len = start;
    p->bytes_off = is_mapped ? start : off;
    p->n_bytes = (uint32_t)(is_mapped ? v->pool.len - start : len);
}

void vocab_set_decoded(struct vocab *v, int32_t id, const char *text, size_t len)
{
    const size_t off = v->pool.len;
    buf_append(&v->pool, text, len);
    put_bytes(v, &v->pieces[id], off, len);
}

int vocab_add(struct vocab *v, const char *text, size_t len, int32_t id)
{
    if (id < 0 || id >= MAX_TOKENS)
        return ERR(ERR_INPUT, "token \"%.*s\" has id %d, expected 0..%d",
                   (int)(len < 80 ? len : 80), text, id, MAX_TOKENS - 1);
    if (id < v->n && v->pieces[id].is_used)
        return ERR(ERR_INPUT, "tokens \"%.80s\" and \"%.*s\" share the id %d",
                   v->pool.data + v->pieces[id].text_off, (int)(len < 80 ? len : 80),
                   text, id);
    if (2 * (v->n_texts + 1) > v->n_slots)
        grow_slots(v);
    const int64_t slot = slot_of(v, text, len);
    if (v->slots[slot] != TOKEN_NONE)
        return ERR(ERR_INPUT, "token \"%.*s\" is listed twice (ids %d and %d)",
                   (int)(len < 80 ? len : 80), text, v->slots[slot], id);
    if (id >= v->cap) {
        const int64_t cap = id < 512 ? 1024 : 2 * (int64_t)id;
        v->pieces = mem_realloc(v->pieces, (size_t)v->cap * sizeof(*v->pieces),
                                (size_t)cap * sizeof(*v->pieces));
        v->cap = cap;
    }
    struct piece *const p = &v->pieces[id];
    *p = (struct piece){
        .text_off = v->pool.len, .text_len = (uint32_t)len, .is_used = true};
    buf_append(&v->pool, text, len + 1); /* with its NUL, for messages */
    put_bytes(v, p, p->text_off, p->text_len);
    v->slots[slot] = id;
    v->n_texts++;
    if (id >= v->n)
        v->n = (int64_t)id + 1;
    return STATUS_OK;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    return v->n_slots == 0 ? TOKEN_NONE : v->slots[slot_of(v, text, len)];
}

void vocab_release(struct vocab *v)
{
    buf_release(&v->pool);
    mem_free(v->pieces);
    mem_free(v->slots);
    *v = (struct vocab){0};
}

void merges_init(struct merges *m, int64_t n)
{
    m->n_slots = 16;
    while (m->n_slots < 2 * n)
        m->n_slots *= 2;
    m->slots = mem_alloc((size_t)m->n_slots * sizeof(*m->slots));
    for (int64_t i = 0; i < m->n_slots; i++)
        m->slots[i].key = MERGE_EMPTY;
}

static struct merge *merge_slot(const struct merges *m, uint64_t key)
{
    uint64_t h = (key ^ key >> 29) * 0x9E3779B97F4A7C15u;
    for (h ^= h >> 32;; h++) {
        struct merge *const e = &m->slots[h & (uint64_t)(m->n_slots - 1)];
        if (e->key == key || e->key == MERGE_EMPTY)
            return e;
    }
}

static uint64_t merge_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

void merges_put(struct merges *m, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    const uint64_t key = merge_key(left, right);
    *merge_slot(m, key) = (struct merge){.key = key, .rank = rank, .id = id};
}

const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right)
{
    const struct merge *const e = merge_slot(m, merge_key(left, right));
    return e->key == MERGE_EMPTY ? NULL : e;
}

void merges_release(struct merges *m)
{
    mem_free(m->slots);
    *m = (struct merges){0};
}

static void heap_push(struct encode_scratch *s, struct heap_entry e)
{
    if (s->n_heap == s->n_heap_cap) {
        const int64_t cap = s->n_heap_cap == 0 ? 256 : 2 * s->n_heap_cap;
        s->heap = mem_realloc(s->heap, (size_t)s->n_heap_cap * sizeof(*s->heap),
                              (size_t)cap * sizeof(*s->heap));
        s->n_heap_cap = cap;
    }
    int64_t i = s->n_heap++;
    while (i > 0 && s->heap[(i - 1) / 2].order > e.order) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct heap_entry heap_pop(struct encode_scratch *s)
{
    const struct heap_entry top = s->heap[0];
    const struct heap_entry e = s->heap[--s->n_heap];
    int64_t i = 0;
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= s->n_heap)
            break;
        if (child + 1 < s->n_heap && s->heap[child + 1].order < s->heap[child].order)
            child++;
        if (s->heap[child].order >= e.order)
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = e;
    return top;
}

/* Offers the pair of the symbols at `left` and `right`, if it is one. */
static void offer(const struct merges *m, struct encode_scratch *s, int32_t left,
                  int32_t right)
{
    if (left < 0 || right < 0)
        return;
    const struct merge *const e = merges_find(m, s->symbols[left].id,
                                              s->symbols[right].id);
    if (e != NULL)
        heap_push(s, (struct heap_entry){.order = (uint64_t)(uint32_t)e->rank << 32 |
                                                  (uint32_t)left,
                                         .id = e->id});
}

static void merge_all(const struct merges *m, struct encode_scratch *s)
{
    while (s->n_heap > 0) {
        const struct heap_entry top = heap_pop(s);
        const int32_t place = (int32_t)(uint32_t)top.order;
        struct symbol *const left = &s->symbols[place];
        if (left->is_dead || left->next < 0)
            continue;
        struct symbol *const right = &s->symbols[left->next];
        const struct merge *const e = merges_find(m, left->id, right->id);
        if (e == NULL || e->id != top.id)
            continue;
        left->id = top.id;
        left->next = right->next;
        right->is_dead = true;
        if (left->next >= 0)
            s->symbols[left->next].prev = place;
        offer(m, s, left->prev, place);
        offer(m, s, place, left->next);
    }
}

static int32_t whole_piece(const struct tokenizer *t, struct encode_scratch *s,
                           const char *text, size_t len)
{
    buf_reset(&s->mapped);
    for (size_t i = 0; i < len; i++) {
        char utf8[4];
        const size_t n = utf8_put(utf8, byte_to_char((unsigned char)text[i]));
        buf_append(&s->mapped, utf8, n);
    }
    const int32_t id = vocab_find(&t->vocab, s->mapped.data, s->mapped.len);
    return id >= 0 && t->vocab.pieces[id].is_model ? id : TOKEN_NONE;
}

void bpe_encode(const struct tokenizer *t, struct encode_scratch *s, const char *text,
                size_t len, struct ids *out)
{
    if (t->has_ignore_merges && len > 0) {
        const int32_t id = whole_piece(t, s, text, len);
        if (id != TOKEN_NONE) {
            ids_push(out, id);
            return;
        }
    }
    if ((int64_t)len > s->n_symbols_cap) {
        const int64_t cap = len < 128 ? 256 : 2 * (int64_t)len;
        mem_free(s->symbols);
        s->symbols = mem_alloc((size_t)cap * sizeof(*s->symbols));
        s->n_symbols_cap = cap;
    }
    int32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        const int32_t id = t->byte_ids[(unsigned char)text[i]];
        if (id == TOKEN_NONE)
            continue;
        s->symbols[n] = (struct symbol){.id = id, .prev = n - 1, .next = n + 1};
        n++;
    }
    if (n == 0)
        return;
    s->symbols[n - 1].next = -1;
    for (int32_t i = 0; i + 1 < n; i++)
        offer(&t->merges, s, i, i + 1);
    merge_all(&t->merges, s);
    for (int32_t i = 0; i >= 0; i = s->symbols[i].next)
        ids_push(out, s->symbols[i].id);
}
