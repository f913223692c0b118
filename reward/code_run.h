/*
 * What the parser and the evaluator of reward/code.h share: values, syntax tree, names,
 * memory, and the way a program ends early.
 *
 * One `struct code_run` evaluates one completion. All memory comes from its pool and is
 * freed at once. code_raise leaves the part of the program at hand by longjmp, as Lua
 * does: nothing below it holds anything but pool memory.
 */
#ifndef REWARD_CODE_RUN_H
#define REWARD_CODE_RUN_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reward/code.h"
#include "reward/code_int.h"
#include "reward/code_lex.h"

enum value_kind {
    VALUE_UNBOUND, /* a name without a value; never the value of an expression */
    VALUE_NONE,
    VALUE_BOOL,  /* i: 0 or 1 */
    VALUE_INT,   /* i */
    VALUE_BIG,   /* big: an int beyond 64 bits; its words end at n */
    VALUE_FLOAT, /* f */
    VALUE_TEXT,  /* text: a string */
    VALUE_LIST,  /* seq, shared by all who hold it */
    VALUE_TUPLE, /* seq, never changed */
    VALUE_RANGE,
    VALUE_FUNCTION,
    VALUE_BUILTIN, /* i: enum builtin */
    VALUE_MODULE   /* math */
};

struct value {
    enum value_kind kind;
    union {
        int64_t i;
        double f;
        const struct wide *big;
        const struct text *text;
        struct seq *seq;
        const struct range *range;
        const struct function *function;
    };
};

struct seq {
    struct value *items;
    int64_t n, cap;
};

/* of a range's start, stop and step: no sum or product of them overflows */
#define RANGE_END_MAX (INT64_MAX / 4)
struct range {
    int64_t start, step, n;
};

struct text {
    const char *data;
    size_t len;
    bool is_exact;  /* data are its characters; else only printing it is supported */
    bool is_format; /* an f-string: what it prints is not known */
};

/* X(enum, name, module): built-in functions; BUILTIN_OTHER is any that is known by name
 * but not supported */
#define BUILTIN_LIST(X)                                                                \
    X(BUILTIN_ABS, "abs")                                                              \
    X(BUILTIN_BOOL, "bool")                                                            \
    X(BUILTIN_DIVMOD, "divmod")                                                        \
    X(BUILTIN_FLOAT, "float")                                                          \
    X(BUILTIN_INT, "int")                                                              \
    X(BUILTIN_LEN, "len")                                                              \
    X(BUILTIN_LIST_, "list")                                                           \
    X(BUILTIN_MAX, "max")                                                              \
    X(BUILTIN_MIN, "min")                                                              \
    X(BUILTIN_POW, "pow")                                                              \
    X(BUILTIN_PRINT, "print")                                                          \
    X(BUILTIN_RANGE, "range")                                                          \
    X(BUILTIN_ROUND, "round")                                                          \
    X(BUILTIN_SORTED, "sorted")                                                        \
    X(BUILTIN_SUM, "sum")                                                              \
    X(BUILTIN_TUPLE, "tuple")

enum builtin {
    BUILTIN_NONE,
#define X(id, text) id,
    BUILTIN_LIST(X)
#undef X
        BUILTIN_CEIL,
    BUILTIN_FLOOR,
    BUILTIN_SQRT,
    BUILTIN_PI, /* of math, a float */
    BUILTIN_OTHER
};

struct name {
    const char *text;
    size_t len;
    uint32_t hash;
    int32_t slot; /* while its function is parsed: the local variable, else -1 */
    enum builtin builtin;
    struct value global;
    struct name *next;       /* in its bucket */
    struct name *next_local; /* of the function being parsed */
};

enum node_kind {
    /* expressions */
    NODE_VALUE, /* value */
    NODE_NAME,  /* name, slot */
    NODE_TUPLE, /* a: chain of items, n of them; so NODE_LIST */
    NODE_LIST,
    NODE_UNARY,   /* op a */
    NODE_BINARY,  /* a op b */
    NODE_COMPARE, /* a, then b: chain of NODE_LINK op a */
    NODE_LINK,
    NODE_AND,       /* a: chain */
    NODE_OR,        /* a: chain */
    NODE_CHOICE,    /* a if b else c */
    NODE_CALL,      /* a(b: chain, n of them) */
    NODE_KEYWORD,   /* name=a, an argument */
    NODE_INDEX,     /* a[b] */
    NODE_SLICE,     /* a:b:c, each may be NULL */
    NODE_ATTRIBUTE, /* a.name */
    /* statements */
    NODE_EXPRESSION, /* a */
    NODE_ASSIGN,     /* a: chain of targets, b: value; b NULL: an annotation alone */
    NODE_AUGMENT,    /* a op= b */
    NODE_IF,         /* a: condition, b: body, c: else body, or with n = 1 an elif */
    NODE_WHILE,      /* a: condition, b: body, c: else body */
    NODE_FOR,        /* a: target, then its `next`: iterable; b: body, c: else body */
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_PASS,
    NODE_RETURN, /* a or NULL */
    NODE_RAISE,
    NODE_ASSERT, /* a */
    NODE_IMPORT, /* a: chain of targets, each with the value it gets; n < 0: unknown */
    NODE_DEF     /* name, slot; a: chain of parameters, n; b: body; n_slots */
};

struct node {
    enum node_kind kind;
    enum lex_kind op;
    int32_t slot; /* a name's local variable, or -1: global */
    int32_t n, n_slots;
    struct name *name;
    struct node *a, *b, *c;
    struct node *next; /* in a chain */
    struct value value;
};

struct function {
    const struct node *def;
    struct value *defaults; /* of the last n_defaults parameters */
    int32_t n_defaults;
};

enum { NAME_BUCKETS = 512 };

struct code_run {
    jmp_buf *jump; /* where code_raise goes */
    enum code_status raised;
    struct chunk *chunks;
    size_t memory;
    int64_t n_nodes, n_names, steps, depth;
    struct name *buckets[NAME_BUCKETS];
    struct name *main_name; /* simple_math_problem */
    struct value *frame;    /* local variables; NULL at module level */
    struct value result;    /* of the return statement just executed */
    struct value printed;   /* last value printed; VALUE_TEXT: not known */
    struct value shown;     /* of the expression statement just executed at top level */
    struct name *assigned;  /* last name assigned at module level */
    struct name *last_def;  /* last function without required parameters */
    bool has_absent;        /* a part failed: an unknown name may be one of its */
};

_Noreturn void code_raise(struct code_run *r, enum code_status status);
/* Runs fn(arg); CODE_VALUE, or what it raised. */
enum code_status code_guard(struct code_run *r,
                            void (*fn)(struct code_run *r, void *arg), void *arg);
/* Zeroed. Raises CODE_LIMIT. */
void *code_take(struct code_run *r, size_t bytes);
void code_run_release(struct code_run *r);
struct name *code_name(struct code_run *r, const char *text, size_t len);
struct node *code_node(struct code_run *r, enum node_kind kind);
/* Counts work; raises CODE_LIMIT. */
void code_step(struct code_run *r, int64_t n);
enum builtin code_math_find(const struct name *name); /* BUILTIN_OTHER: none */

static inline struct value value_none(void)
{
    return (struct value){.kind = VALUE_NONE};
}
static inline struct value value_bool(bool b)
{
    return (struct value){.kind = VALUE_BOOL, .i = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.kind = VALUE_FLOAT, .f = f};
}
struct value value_wide(struct code_run *r, const struct wide *w);
/* A list or tuple of n items, VALUE_NONE all, cap >= n */
struct value value_seq(struct code_run *r, enum value_kind kind, int64_t n);

#endif
