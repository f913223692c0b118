/*
 * Byte pair merging in Hugging Face's order: a heap of candidate pairs by (rank,
 * place). A popped candidate counts when the pair that now starts at its place still
 * merges to the same id; its rank is not looked at again. This matters where two pairs
 * give one token. Pieces of up to CACHE_TEXT bytes are looked up in a cache first.
 */
#include <string.h>
#include <xxhash.h>

#include "model/tokenizer_private.h"

void merges_init(struct merges *m, int64_t n)
{
    m->n_slots = 16;
    while (m->n_slots < 2 * n)
        m->n_slots *= 2;
    m->n = 0;
    m->slots = mem_alloc((size_t)m->n_slots * sizeof(*m->slots));
    for (int64_t i = 0; i < m->n_slots; i++)
        m->slots[i].key = MERGE_EMPTY;
}

static uint64_t merge_hash(uint64_t key)
{
    const uint64_t h = (key ^ key >> 29) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static struct merge *merge_slot(const struct merges *m, uint64_t key)
{
    for (uint64_t h = merge_hash(key);; h++) {
        struct merge *const e = &m->slots[h & (uint64_t)(m->n_slots - 1)];
        if (e->key == key || e->key == MERGE_EMPTY)
            return e;
    }
}

static uint64_t merge_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static void grow_merges(struct merges *m)
{
    struct merges old = *m;
    merges_init(m, old.n_slots);
    for (int64_t i = 0; i < old.n_slots; i++)
        if (old.slots[i].key != MERGE_EMPTY)
            *merge_slot(m, old.slots[i].key) = old.slots[i];
    m->n = old.n;
    merges_release(&old);
}

void merges_put(struct merges *m, int32_t left, int32_t right, int32_t rank, int32_t id)
{
    const uint64_t key = merge_key(left, right);
    if (2 * (m->n + 1) > m->n_slots)
        grow_merges(m);
    struct merge *const slot = merge_slot(m, key);
    m->n += slot->key == MERGE_EMPTY;
    *slot = (struct merge){.key = key, .rank = rank, .id = id};
}

void merges_prefetch(const struct merges *m, int32_t left, int32_t right)
{
    const uint64_t h = merge_hash(merge_key(left, right));
    __builtin_prefetch(&m->slots[h & (uint64_t)(m->n_slots - 1)], 1);
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

/* Byte offset of a symbol in its piece, kept for rank merging alone. */
struct merger {
    const struct tokenizer *t;
    struct encode_scratch *s;
    const char *text; /* the piece */
};

/* The merge of the symbols at `left` and `right`, if they are a pair. In a tiktoken
 * table every token is the merge of any two parts of it, and its id is the rank. */
static bool find_merge(const struct merger *m, int32_t left, int32_t right,
                       struct merge *out)
{
    const struct symbol *const a = &m->s->symbols[left], *const b =
                                                             &m->s->symbols[right];
    if (m->t->bpe.is_rank) {
        const int32_t id = vocab_find_model(&m->t->vocab, m->text + left,
                                            (size_t)a->len + b->len);
        *out = (struct merge){.rank = id, .id = id};
        return id != TOKEN_NONE;
    }
    const struct merge *const e = merges_find(&m->t->bpe.merges, a->id, b->id);
    if (e != NULL)
        *out = *e;
    return e != NULL;
}

static void offer(const struct merger *m, int32_t left, int32_t right)
{
    struct merge e;
    if (left >= 0 && right >= 0 && find_merge(m, left, right, &e))
        heap_push(m->s, (struct heap_entry){.order = (uint64_t)(uint32_t)e.rank << 32 |
                                                     (uint32_t)left,
                                            .id = e.id});
}

static void merge_all(const struct merger *m)
{
    struct symbol *const symbols = m->s->symbols;
    while (m->s->n_heap > 0) {
        const struct heap_entry top = heap_pop(m->s);
        const int32_t place = (int32_t)(uint32_t)top.order;
        struct symbol *const left = &symbols[place];
        struct merge e;
        if (left->len == 0 || left->next < 0)
            continue;
        struct symbol *const right = &symbols[left->next];
        if (!find_merge(m, place, left->next, &e) || e.id != top.id)
            continue;
        left->id = top.id;
        left->next = right->next;
        left->len += right->len;
        right->len = 0;
        if (left->next >= 0)
            symbols[left->next].prev = place;
        offer(m, left->prev, place);
        offer(m, place, left->next);
    }
}

static void put_symbol(struct encode_scratch *s, int32_t *n, int32_t id, size_t len)
{
    s->symbols[*n] = (struct symbol){
        .id = id, .prev = *n - 1, .next = *n + 1, .len = (uint32_t)len};
    ++*n;
}

/* Symbols of a piece: at most one per byte of the piece and its affixes, and a pending
 * unknown one. */
static void reserve_symbols(struct encode_scratch *s, size_t len)
{
    const int64_t need = (int64_t)len + 1;
    if (need <= s->n_symbols_cap)
        return;
    const int64_t cap = 2 * need + 256;
    mem_free(s->symbols);
    s->symbols = mem_alloc((size_t)cap * sizeof(*s->symbols));
    s->n_symbols_cap = cap;
}

/* What a character is looked up as: with the prefix behind the first, and the suffix on
 * the last. */
static struct span affixed(const struct bpe *b, struct encode_scratch *s, const char *c,
                           size_t width, bool is_first, bool is_last)
{
    buf_reset(&s->mapped);
    if (!is_first)
        buf_append(&s->mapped, b->prefix, b->prefix_len);
    buf_append(&s->mapped, c, width);
    if (is_last)
        buf_append(&s->mapped, b->suffix, b->suffix_len);
    return (struct span){0, s->mapped.len};
}

static bool put_bytes(const struct bpe *b, struct encode_scratch *s, const char *c,
                      size_t width, int32_t *n)
{
    for (size_t i = 0; i < width; i++)
        if (b->byte_ids[(unsigned char)c[i]] == TOKEN_NONE)
            return false;
    for (size_t i = 0; i < width; i++)
        put_symbol(s, n, b->byte_ids[(unsigned char)c[i]], 1);
    return true;
}

/* Characters to symbols. Unknown ones in a row are one where fuse_unk says so; the
 * pending one does not come before tokens of bytes (as in Hugging Face's code). */
static int spell(const struct tokenizer *t, struct encode_scratch *s, const char *text,
                 size_t len, int32_t *n)
{
    const struct bpe *const b = &t->bpe;
    const bool has_affix = b->prefix_len + b->suffix_len > 0;
    size_t unk_len = 0;
    *n = 0;
    reserve_symbols(s, has_affix ? len * (1 + b->prefix_len) + b->suffix_len : len);
    for (size_t i = 0; i < len;) {
        const size_t width = utf8_width((unsigned char)text[i]);
        const char *c = text + i;
        size_t c_len = width;
        if (has_affix) {
            c_len = affixed(b, s, c, width, i == 0, i + width == len).len;
            c = s->mapped.data;
        }
        i += width;
        const int32_t id = vocab_find_model(&t->vocab, c, c_len);
        if (id == TOKEN_NONE && b->has_byte_fallback && put_bytes(b, s, c, c_len, n))
            continue;
        if (id == TOKEN_NONE && b->unk_token == NULL)
            continue;
        if (id == TOKEN_NONE && b->unk_id == TOKEN_NONE)
            return ERR(ERR_INPUT,
                       "the unk_token \"%s\" is needed, but not in the vocabulary",
                       b->unk_token);
        if (unk_len > 0 && (id != TOKEN_NONE || !b->has_fuse_unk)) {
            put_symbol(s, n, b->unk_id, unk_len);
            unk_len = 0;
        }
        if (id == TOKEN_NONE)
            unk_len += width;
        else
            put_symbol(s, n, id, width);
    }
    if (unk_len > 0)
        put_symbol(s, n, b->unk_id, unk_len);
    return STATUS_OK;
}

static void spell_bytes(const struct tokenizer *t, struct encode_scratch *s,
                        const char *text, size_t len, int32_t *n)
{
    *n = 0;
    reserve_symbols(s, len);
    for (size_t i = 0; i < len; i++) {
        const int32_t id = t->bpe.byte_ids[(unsigned char)text[i]];
        if (id != TOKEN_NONE)
            put_symbol(s, n, id, 1);
    }
}

/* A whole piece that is a token. */
static int32_t whole_piece(const struct tokenizer *t, struct encode_scratch *s,
                           const char *text, size_t len)
{
    if (!t->bpe.is_raw || t->bpe.is_rank)
        return vocab_find_model(&t->vocab, text, len);
    buf_reset(&s->mapped);
    for (size_t i = 0; i < len; i++) {
        char utf8[4];
        const size_t n = utf8_put(utf8, byte_to_char((unsigned char)text[i]));
        buf_append(&s->mapped, utf8, n);
    }
    return vocab_find_model(&t->vocab, s->mapped.data, s->mapped.len);
}

static int encode_piece(const struct tokenizer *t, struct encode_scratch *s, size_t off,
                        size_t len, struct ids *out)
{
    const char *const text = s->text.bytes.data + off;
    const struct merger m = {.t = t, .s = s, .text = text};
    int32_t n = 0;
    if (t->bpe.has_ignore_merges) {
        const int32_t id = whole_piece(t, s, text, len);
        if (id != TOKEN_NONE) {
            encode_push(s, &s->text, out, id, off, len);
            return STATUS_OK;
        }
    }
    if (t->bpe.is_raw)
        spell_bytes(t, s, text, len, &n);
    else
        TRY(spell(t, s, text, len, &n));
    if (n == 0)
        return STATUS_OK;
    s->symbols[n - 1].next = -1;
    for (int32_t i = 0; i + 1 < n; i++)
        offer(&m, i, i + 1);
    merge_all(&m);
    for (int32_t i = 0; i >= 0; i = s->symbols[i].next) {
        encode_push(s, &s->text, out, s->symbols[i].id, off, s->symbols[i].len);
        off += s->symbols[i].len;
    }
    return STATUS_OK;
}

static struct cached_piece *cache_slot(struct encode_scratch *s, const char *text,
                                       size_t len)
{
    if (s->cache == NULL)
        s->cache = mem_alloc(CACHE_SLOTS * sizeof(*s->cache));
    return &s->cache[XXH3_64bits(text, len) & (CACHE_SLOTS - 1)];
}

int bpe_encode(const struct tokenizer *t, struct encode_scratch *s, size_t off,
               size_t len, struct ids *out)
{
    const char *const text = s->text.bytes.data + off;
    if (len == 0)
        return STATUS_OK;
    if (len > CACHE_TEXT || s->has_places)
        return encode_piece(t, s, off, len, out);
    struct cached_piece *const c = cache_slot(s, text, len);
    if (c->len == len && memcmp(c->text, text, len) == 0) {
        ids_append(out, c->ids, c->n);
        return STATUS_OK;
    }
    const int64_t before = out->n;
    TRY(encode_piece(t, s, off, len, out));
    const int64_t n = out->n - before;
    if (n <= CACHE_IDS) {
        c->len = (uint8_t)len;
        c->n = (uint8_t)n;
        memcpy(c->text, text, len);
        if (n > 0)
            memcpy(c->ids, out->data + before, (size_t)n * sizeof(*c->ids));
    }
    return STATUS_OK;
}
