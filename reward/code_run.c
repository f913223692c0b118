/*
 * Memory, names and early ends of one evaluation.
 */
#include "reward/code_run.h"

#include <string.h>

#include "core/mem.h"

enum { CHUNK_BYTES = 1 << 15 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void code_raise(struct code_run *r, enum code_status status)
{
    r->raised = status;
    longjmp(*r->jump, 1);
}

enum code_status code_guard(struct code_run *r,
                            void (*fn)(struct code_run *r, void *arg), void *arg)
{
    jmp_buf jump;
    jmp_buf *const outer = r->jump;
    r->jump = &jump;
    r->raised = CODE_VALUE;
    if (setjmp(jump) == 0)
        fn(r, arg);
    r->jump = outer;
    r->frame = NULL;
    r->depth = 0;
    return r->raised;
}

void *code_take(struct code_run *r, size_t bytes)
{
    bytes = (bytes + 15) / 16 * 16;
    struct chunk *c = r->chunks;
    if (c == NULL || bytes > c->size - c->used) {
        const size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (size > CODE_MEMORY_MAX - r->memory)
            code_raise(r, CODE_LIMIT);
        r->memory += size;
        c = mem_alloc(sizeof(*c) + size);
        c->size = size;
        c->next = r->chunks;
        r->chunks = c;
    }
    void *const p = c->data + c->used;
    c->used += bytes;
    return p;
}

void code_run_release(struct code_run *r)
{
    while (r->chunks != NULL) {
        struct chunk *const next = r->chunks->next;
        mem_free(r->chunks);
        r->chunks = next;
    }
}

void code_step(struct code_run *r, int64_t n)
{
    r->steps += n;
    if (r->steps > CODE_STEPS_MAX)
        code_raise(r, CODE_LIMIT);
}

struct node *code_node(struct code_run *r, enum node_kind kind)
{
    if (++r->n_nodes > CODE_NODES_MAX)
        code_raise(r, CODE_LIMIT);
    struct node *const n = code_take(r, sizeof(*n));
    n->kind = kind;
    n->slot = -1;
    return n;
}

struct builtin_name {
    const char *text;
    enum builtin id;
};

static const struct builtin_name builtins[] = {
#define X(id, text) {text, id},
    BUILTIN_LIST(X)
#undef X
};

static const struct builtin_name math_names[] = {
    {"ceil", BUILTIN_CEIL},
    {"floor", BUILTIN_FLOOR},
    {"sqrt", BUILTIN_SQRT},
    {"pi", BUILTIN_PI},
};

/* Names that Python knows and this language does not: unsupported, not unknown. */
static const char *const other_names[] = {
    "ArithmeticError",
    "AssertionError",
    "Exception",
    "IndexError",
    "KeyError",
    "NameError",
    "OverflowError",
    "RuntimeError",
    "TypeError",
    "ValueError",
    "ZeroDivisionError",
    "__builtins__",
    "__import__",
    "__name__",
    "all",
    "any",
    "ascii",
    "bin",
    "breakpoint",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "compile",
    "complex",
    "delattr",
    "dict",
    "dir",
    "enumerate",
    "eval",
    "exec",
    "exit",
    "filter",
    "format",
    "frozenset",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "help",
    "hex",
    "id",
    "input",
    "isinstance",
    "issubclass",
    "iter",
    "locals",
    "map",
    "memoryview",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "property",
    "quit",
    "repr",
    "reversed",
    "set",
    "setattr",
    "slice",
    "staticmethod",
    "str",
    "super",
    "type",
    "vars",
    "zip",
};

static bool is_name(const struct name *name, const char *text)
{
    return strlen(text) == name->len && memcmp(text, name->text, name->len) == 0;
}

static enum builtin find_builtin(const struct name *name)
{
    for (int64_t i = 0; i < ARRAY_LEN(builtins); i++)
        if (is_name(name, builtins[i].text))
            return builtins[i].id;
    for (int64_t i = 0; i < ARRAY_LEN(other_names); i++)
        if (is_name(name, other_names[i]))
            return BUILTIN_OTHER;
    return BUILTIN_NONE;
}

enum builtin code_math_find(const struct name *name)
{
    for (int64_t i = 0; i < ARRAY_LEN(math_names); i++)
        if (is_name(name, math_names[i].text))
            return math_names[i].id;
    return BUILTIN_OTHER;
}

struct name *code_name(struct code_run *r, const char *text, size_t len)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    struct name **const bucket = &r->buckets[hash % NAME_BUCKETS];
    for (struct name *n = *bucket; n != NULL; n = n->next)
        if (n->hash == hash && n->len == len && memcmp(n->text, text, len) == 0)
            return n;
    if (++r->n_names > CODE_NAMES_MAX)
        code_raise(r, CODE_LIMIT);
    struct name *const n = code_take(r, sizeof(*n));
    n->text = text;
    n->len = len;
    n->hash = hash;
    n->slot = -1;
    n->builtin = find_builtin(n);
    n->next = *bucket;
    *bucket = n;
    return n;
}

struct value value_wide(struct code_run *r, const struct wide *w)
{
    int64_t i;
    if (w->is_over || wide_bits(w) > CODE_INT_BITS)
        code_raise(r, CODE_LIMIT);
    if (wide_get(w, &i))
        return value_int(i);
    code_step(r, w->n);
    struct wide *const big = code_take(r, offsetof(struct wide, w) +
                                              (size_t)w->n * sizeof(w->w[0]));
    wide_copy(big, w);
    return (struct value){.kind = VALUE_BIG, .big = big};
}

struct value value_seq(struct code_run *r, enum value_kind kind, int64_t n)
{
    if (n > CODE_ITEMS_MAX)
        code_raise(r, CODE_LIMIT);
    code_step(r, n / 4);
    struct seq *const s = code_take(r, sizeof(*s));
    s->items = code_take(r, (size_t)n * sizeof(s->items[0]));
    s->n = s->cap = n;
    for (int64_t i = 0; i < n; i++)
        s->items[i] = value_none();
    return (struct value){.kind = kind, .seq = s};
}
