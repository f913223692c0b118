/*
 * Answers as small trees, from tokens by recursive descent.
 *
 *   list   := chain (sep chain)*            1, 2 and 3;  x = 1 or x = 2
 *   chain  := side (relation side)*         x = 5;  0 < x <= 3;  x in [0, 1]
 *   side   := ratio (cup ratio)*, then words (a unit, or prose without numbers)
 *   ratio  := sum (: sum)*
 *   sum, product, power, atom as usual; products may be implicit
 *
 * A side before "=" that is no expression ("the area", "\angle ABC") is NODE_OPAQUE.
 * Depth and size are limited; a tree lives in its expr, its numbers in the pool.
 */
#ifndef REWARD_EXPR_H
#define REWARD_EXPR_H

#include "reward/token.h"

enum { EXPR_MAX_NODES = 1024, EXPR_MAX_DEPTH = 64 };

enum node_kind {
    NODE_NUM,
    NODE_CONST, /* id */
    NODE_VAR,   /* hash */
    NODE_ADD,   /* children */
    NODE_NEG,
    NODE_MUL,  /* children */
    NODE_DIV,  /* two */
    NODE_POW,  /* two */
    NODE_ROOT, /* radicand, index */
    NODE_FN,   /* id; argument [, base] */
    NODE_FACT,
    NODE_BINOM, /* two */
    NODE_PM,    /* plus or minus one */
    NODE_MP,
    NODE_PERCENT, /* one */
    NODE_DEGREE,  /* one */
    NODE_BASE,    /* digits in base id: num is the value */
    NODE_RATIO,   /* children */
    NODE_TUPLE,   /* children; op, close: the brackets */
    NODE_SET,     /* children; { } */
    NODE_LIST,    /* children; op: '|' when joined by "or" */
    NODE_UNION,   /* children */
    NODE_MATRIX,  /* NODE_TUPLEs, its rows */
    NODE_CHAIN,   /* sides; rel of a side: its relation to the one before */
    NODE_BUILDER, /* { x | chain }: the chain */
    NODE_OPAQUE,
    NODE_WORDS /* text without a value */
};

struct node {
    uint8_t kind, op, close, rel;
    bool is_paren;       /* stood in brackets of its own */
    uint8_t measure;     /* token_measure of the first word that followed */
    bool has_unit;       /* words followed */
    int16_t child, next; /* -1: none */
    int32_t id, n_decimals;
    uint32_t hash;
    const char *text; /* of a number: its digits */
    size_t len;
    struct rat num;
};

enum expr_status {
    EXPR_OK,
    EXPR_NONE,   /* not a value, by this grammar */
    EXPR_HEDGED, /* a value, then words or numbers that take it back */
    EXPR_LIMIT   /* too large or too deep */
};
struct expr {
    struct pool *pool;
    int32_t n, root;
    bool has_lead; /* words and "is" stood before the value */
    struct node at[EXPR_MAX_NODES];
};
/* e->pool is set by the caller. */
enum expr_status expr_parse(struct expr *e, const struct tokens *t);

#endif
