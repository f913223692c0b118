/*
 * Names in nested scopes: a stack of entries in a chained hash. A name that is added
 * goes to the head of its chain, so the innermost is found first and closing a scope
 * takes entries off both ends alike. "%r<100>" is one entry with the text "%r".
 */
#include "emulator/ptx_parse.h"

#include <string.h>

enum { N_BUCKETS = 1 << 14 };

void ptx_names_init(struct ptx_names *s)
{
    *s = (struct ptx_names){.buckets = mem_alloc(N_BUCKETS * sizeof(int32_t))};
    for (int32_t i = 0; i < N_BUCKETS; i++)
        s->buckets[i] = -1;
}

void ptx_names_release(struct ptx_names *s)
{
    mem_free(s->entries);
    mem_free(s->buckets);
    *s = (struct ptx_names){0};
}

void ptx_names_open(struct ptx_names *s) { s->depth++; }

void ptx_names_close(struct ptx_names *s)
{
    for (; s->n > 0 && s->entries[s->n - 1].depth == s->depth; s->n--) {
        const struct ptx_name *e = &s->entries[s->n - 1];
        s->buckets[e->hash % N_BUCKETS] = e->next;
    }
    s->depth--;
}

/* FNV-1a */
static uint32_t hash_of(const char *text, int32_t len)
{
    uint32_t h = 2166136261u;
    for (int32_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h ^ h >> 15;
}

/* The innermost of this text; of ranges (is_range) the innermost with an index. */
static struct ptx_name *find(const struct ptx_names *s, const char *text, int32_t len,
                             bool is_range, int64_t index)
{
    const uint32_t hash = hash_of(text, len);
    for (int32_t i = s->buckets[hash % N_BUCKETS]; i >= 0; i = s->entries[i].next) {
        struct ptx_name *e = &s->entries[i];
        if (e->hash == hash && e->len == len && (e->kind == PTX_N_RANGE) == is_range &&
            (!is_range || index < e->value) && memcmp(e->text, text, (size_t)len) == 0)
            return e;
    }
    return NULL;
}

struct ptx_name *ptx_names_find(const struct ptx_names *s, const char *text,
                                int32_t len, bool is_range)
{
    return find(s, text, len, is_range, -1);
}

/* "%r12" of "%r<20>": the range, and 12 */
static const struct ptx_name *find_range(const struct ptx_names *s, const char *text,
                                         int32_t len, int64_t *index)
{
    int32_t prefix = len;
    while (prefix > 0 && text[prefix - 1] >= '0' && text[prefix - 1] <= '9')
        prefix--;
    const int32_t n_digits = len - prefix;
    if (n_digits == 0 || n_digits > 9 || (n_digits > 1 && text[prefix] == '0'))
        return NULL;
    *index = 0;
    for (int32_t i = prefix; i < len; i++)
        *index = *index * 10 + (text[i] - '0');
    return find(s, text, prefix, true, *index);
}

static int32_t slot_bytes(int32_t bytes)
{
    return bytes == 1 ? (int32_t)sizeof(uint32_t) : bytes * PTX_LANES;
}

/* The innermost register of this name, *index: which of a range. */
static const struct ptx_name *find_register(const struct ptx_names *s, const char *text,
                                            int32_t len, int64_t *index)
{
    const struct ptx_name *e = ptx_names_find(s, text, len, false);
    const struct ptx_name *range = find_range(s, text, len, index);
    if (range && (!e || e->depth < range->depth))
        return range;
    *index = 0;
    return e && e->kind == PTX_N_REG ? e : NULL;
}

bool ptx_names_register(const struct ptx_names *s, const char *text, int32_t len,
                        struct ptx_operand *out)
{
    int64_t index = 0;
    const struct ptx_name *e = find_register(s, text, len, &index);
    if (!e)
        return false;
    *out = (struct ptx_operand){.kind = e->bytes == 1 ? PTX_PRED : PTX_REG,
                                .slot = e->slot + (int32_t)index * slot_bytes(e->bytes),
                                .bytes = e->bytes,
                                .width = (uint8_t)e->width};
    return true;
}

bool ptx_names_add(struct ptx_names *s, const struct ptx_name *entry)
{
    const struct ptx_name *same = ptx_names_find(s, entry->text, entry->len,
                                                 entry->kind == PTX_N_RANGE);
    if (same && same->depth == s->depth && same->kind != PTX_N_EXTERN)
        return false;
    int64_t cap = s->cap;
    s->entries = ptx_grown(s->entries, s->n, &cap, sizeof *s->entries);
    s->cap = (int32_t)cap;
    struct ptx_name *e = &s->entries[s->n];
    *e = *entry;
    e->hash = hash_of(e->text, e->len);
    e->depth = s->depth;
    e->next = s->buckets[e->hash % N_BUCKETS];
    s->buckets[e->hash % N_BUCKETS] = s->n++;
    return true;
}
