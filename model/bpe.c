/*
 * Byte-pair merging of one piece, in Hugging Face's order: a min-heap of (rank,
 * position); a popped entry is stale when its left symbol is gone or the pair there now
 * would give another token (its rank is not compared).
 */
#include "model/tokenizer_private.h"

#include <string.h>

struct bpe_symbol {
    int32_t id;         /* -1: merged into its left neighbour */
    int32_t prev, next; /* -1: none */
};

struct bpe_entry {
    int32_t rank, pos, id;
};

static uint64_t hash_pair(uint64_t pair)
{
    pair ^= pair >> 32;
    pair *= 0x9E3779B97F4A7C15u;
    return pair ^ pair >> 29;
}

const struct merge *bpe_find_merge(const struct tokenizer *t, int32_t left,
                                   int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t i = hash_pair(pair) & t->merge_mask;
    for (; t->merges[i].pair != UINT64_MAX; i = (i + 1) & t->merge_mask)
        if (t->merges[i].pair == pair)
            return &t->merges[i];
    return NULL;
}

static bool is_before(const struct bpe_entry *a, const struct bpe_entry *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

static void heap_push(struct bpe_scratch *s, int64_t *n, struct bpe_entry e)
{
    if (*n == s->heap_cap) {
        const int64_t cap = 2 * s->heap_cap + 64;
        s->heap = mem_realloc(s->heap, (size_t)s->heap_cap * sizeof(*s->heap),
                              (size_t)cap * sizeof(*s->heap));
        s->heap_cap = cap;
    }
    int64_t i = (*n)++;
    for (; i > 0 && is_before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

static struct bpe_entry heap_pop(struct bpe_scratch *s, int64_t *n)
{
    const struct bpe_entry top = s->heap[0], last = s->heap[--*n];
    int64_t i = 0;
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= *n)
            break;
        child += child + 1 < *n && is_before(&s->heap[child + 1], &s->heap[child]);
        if (!is_before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static void push_pair(const struct tokenizer *t, struct bpe_scratch *s, int64_t *n,
                      int32_t left)
{
    const int32_t right = left < 0 ? -1 : s->symbols[left].next;
    if (right < 0)
        return;
    const struct merge *const m = bpe_find_merge(t, s->symbols[left].id,
                                                 s->symbols[right].id);
    if (m != NULL)
        heap_push(s, n, (struct bpe_entry){m->rank, left, m->id});
}

/* The piece's bytes as symbols; bytes without a token vanish. Returns how many. */
static int32_t start_symbols(const struct tokenizer *t, struct bpe_scratch *s,
                             const char *bytes, size_t len)
{
    if ((int64_t)len > s->cap) {
        s->symbols = mem_realloc(s->symbols, (size_t)s->cap * sizeof(*s->symbols),
                                 len * sizeof(*s->symbols));
        s->cap = (int64_t)len;
    }
    int32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        const int32_t id = t->byte_id[(unsigned char)bytes[i]];
        if (id < 0)
            continue;
        s->symbols[n] = (struct bpe_symbol){.id = id, .prev = n - 1, .next = n + 1};
        n++;
    }
    if (n > 0)
        s->symbols[n - 1].next = -1;
    return n;
}

static void merge_all(const struct tokenizer *t, struct bpe_scratch *s,
                      int32_t n_symbols)
{
    int64_t n = 0;
    for (int32_t i = 0; i + 1 < n_symbols; i++)
        push_pair(t, s, &n, i);
    while (n > 0) {
        const struct bpe_entry e = heap_pop(s, &n);
        struct bpe_symbol *const left = &s->symbols[e.pos];
        if (left->id < 0 || left->next < 0)
            continue;
        struct bpe_symbol *const right = &s->symbols[left->next];
        const struct merge *const m = bpe_find_merge(t, left->id, right->id);
        if (m == NULL || m->id != e.id)
            continue;
        left->id = m->id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0)
            s->symbols[left->next].prev = e.pos;
        push_pair(t, s, &n, left->prev);
        push_pair(t, s, &n, e.pos);
    }
}

void bpe_encode(const struct tokenizer *t, struct bpe_scratch *s, const char *bytes,
                size_t len, struct ids *out)
{
    if (t->is_merge_ignored) {
        const int32_t id = token_map_find(&t->by_bytes, t->tokens, bytes, len, true);
        if (id >= 0) {
            ids_push(out, id);
            return;
        }
    }
    const int32_t n = start_symbols(t, s, bytes, len);
    merge_all(t, s, n);
    for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = s->symbols[i].next)
        ids_push(out, s->symbols[i].id);
}

void bpe_release(struct bpe_scratch *s)
{
    mem_free(s->symbols);
    mem_free(s->heap);
    *s = (struct bpe_scratch){0};
}
