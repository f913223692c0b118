/*
 * A double array: node n's child by byte c lies at n.base ^ c, where `check` names its
 * parent. Children are placed by first fit over the last blocks of 256 units, whose
 * free units are few enough to be tried one by one; a node that fits nowhere opens a
 * block. Unit 0 is the root and nobody's child.
 */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer_private.h"

enum { BLOCK = 256, OPEN_BLOCKS = 16, FREE = -1, ROOT_CHECK = -2 };

static int compare_keys(const void *a, const void *b)
{
    const struct trie_key *const x = a, *const y = b;
    const size_t n = x->len < y->len ? x->len : y->len;
    const int order = n == 0 ? 0 : memcmp(x->text, y->text, n);
    if (order != 0)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

struct builder {
    struct trie *t;
    const struct trie_key *keys;
    int n_free[OPEN_BLOCKS]; /* of block b, at b % OPEN_BLOCKS */
};

static void open_block(struct builder *b)
{
    struct trie *const t = b->t;
    if (t->n + BLOCK > t->cap) {
        const int64_t cap = 2 * t->cap + BLOCK;
        t->units = mem_realloc(t->units, (size_t)t->cap * sizeof(*t->units),
                               (size_t)cap * sizeof(*t->units));
        t->cap = cap;
    }
    for (int64_t i = 0; i < BLOCK; i++)
        t->units[t->n + i] = (struct trie_unit){.check = FREE, .value = -1};
    b->n_free[t->n / BLOCK % OPEN_BLOCKS] = BLOCK;
    t->n += BLOCK;
}

/* bytes: the distinct first bytes of the children, n of them */
static bool fits(const struct trie *t, int64_t base, const unsigned char *bytes, int n)
{
    for (int i = 0; i < n; i++)
        if (t->units[base ^ bytes[i]].check != FREE)
            return false;
    return true;
}

static int32_t find_base(struct builder *b, const unsigned char *bytes, int n)
{
    struct trie *const t = b->t;
    const int64_t n_blocks = t->n / BLOCK;
    int64_t block = n_blocks > OPEN_BLOCKS ? n_blocks - OPEN_BLOCKS : 0;
    for (; block < n_blocks; block++) {
        if (b->n_free[block % OPEN_BLOCKS] < n)
            continue;
        for (int64_t u = block * BLOCK; u < (block + 1) * BLOCK; u++)
            if (t->units[u].check == FREE && fits(t, u ^ bytes[0], bytes, n))
                return (int32_t)(u ^ bytes[0]);
    }
    open_block(b);
    return (int32_t)(t->n - BLOCK);
}

struct todo { /* keys [first, last) share the node's first `depth` bytes */
    int64_t first, last;
    size_t depth;
    int32_t node;
};
struct todo_list {
    struct todo *data;
    int64_t n, cap;
};

static void push(struct todo_list *l, struct todo t)
{
    if (l->n == l->cap) {
        const int64_t cap = 2 * l->cap + 256;
        l->data = mem_realloc(l->data, (size_t)l->cap * sizeof(*l->data),
                              (size_t)cap * sizeof(*l->data));
        l->cap = cap;
    }
    l->data[l->n++] = t;
}

static void add_children(struct builder *b, struct todo at, struct todo_list *list)
{
    struct trie *const t = b->t;
    unsigned char bytes[BLOCK];
    int64_t first[BLOCK + 1];
    int n = 0;
    for (int64_t i = at.first; i < at.last; i++) {
        const unsigned char c = (unsigned char)b->keys[i].text[at.depth];
        if (n == 0 || bytes[n - 1] != c) {
            first[n] = i;
            bytes[n++] = c;
        }
    }
    if (n == 0)
        return;
    first[n] = at.last;
    const int32_t base = find_base(b, bytes, n);
    t->units[at.node].base = base;
    b->n_free[base / BLOCK % OPEN_BLOCKS] -= n;
    for (int i = 0; i < n; i++)
        t->units[base ^ bytes[i]].check = at.node;
    for (int i = n - 1; i >= 0; i--)
        push(list,
             (struct todo){first[i], first[i + 1], at.depth + 1, base ^ bytes[i]});
}

void trie_init(struct trie *t, struct trie_key *keys, int64_t n)
{
    struct builder b = {.t = t, .keys = keys};
    struct todo_list list = {.n = 0};
    *t = (struct trie){.n = 0};
    if (n > 0)
        qsort(keys, (size_t)n, sizeof(*keys), compare_keys);
    open_block(&b);
    t->units[0].check = ROOT_CHECK;
    b.n_free[0]--;
    push(&list, (struct todo){0, n, 0, 0});
    while (list.n > 0) {
        struct todo at = list.data[--list.n];
        while (at.first < at.last && keys[at.first].len == at.depth)
            t->units[at.node].value = keys[at.first++].value;
        add_children(&b, at, &list);
    }
    mem_free(list.data);
}

void trie_release(struct trie *t)
{
    mem_free(t->units);
    *t = (struct trie){.n = 0};
}

size_t trie_longest(const struct trie *t, const char *s, size_t len, int32_t *value_out)
{
    size_t longest = 0;
    int32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        node = trie_step(t, node, (unsigned char)s[i]);
        if (node < 0)
            break;
        if (t->units[node].value >= 0) {
            longest = i + 1;
            *value_out = t->units[node].value;
        }
    }
    return longest;
}
