/*
 * Tokens of an answer: LaTeX, plain text and the usual Unicode signs, in one pass.
 *
 * Numbers: ASCII digits with well-formed groups of thousands (1,234  1{,}234  1,\!234
 * 1\,234  1'234  1.234.567  no-break and thin spaces; a plain comma only outside of
 * brackets), decimals, 1e-3. Wrappers ($, \text, \left, \displaystyle, spacing) leave
 * no token; text inside \text{...} is words. Runs of letters are functions, constants,
 * variables (single letters, and short runs beside an operator), units or words.
 */
#ifndef REWARD_TOKEN_H
#define REWARD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reward/big.h"

enum {
    TOKEN_MAX = 1024,         /* of an answer */
    TOKEN_MAX_BYTES = 1 << 13 /* of an answer that is parsed */
};

enum token_kind {
    TOKEN_END,
    TOKEN_NUM,
    TOKEN_VAR,   /* a letter with its subscript and primes; `id` */
    TOKEN_CONST, /* `id`: enum const_id */
    TOKEN_FN,    /* `id`: enum fn_id */
    TOKEN_WORD,  /* text that is no mathematics */
    TOKEN_SCALE, /* hundred, million, dozen: `num` is the factor */
    TOKEN_SEP,   /* , ; "and" "or": `id` is ',' ';' '&' '|' */
    TOKEN_REL,   /* `id`: '=' '<' '>' 'l' (<=) 'g' (>=) '!' (!=) '~' (about) 'e' (in) */
    TOKEN_OP,    /* `id`: + - * / ^ _ ! ' ( ) [ ] | : % and the letters below */
    TOKEN_BEGIN, /* a matrix */
    TOKEN_FINISH, /* of a matrix */
    TOKEN_CELL,   /* & in a matrix */
    TOKEN_ROW,    /* \\ in a matrix */
    TOKEN_OTHER   /* anything else: equal only to itself */
};
/* TOKEN_OP beyond ASCII: '{' and '}' are LaTeX groups */
enum {
    OP_PM = 'p',
    OP_MP = 'm',
    OP_SET = 's',     /* \{ */
    OP_SET_END = 't', /* \} */
    OP_CUP = 'u',
    OP_FRAC = 'f',
    OP_SQRT = 'r',
    OP_BINOM = 'b',
    OP_DEGREE = 'd',
    OP_FLOOR = 'L',
    OP_FLOOR_END = 'M',
    OP_CEIL = 'C',
    OP_CEIL_END = 'D',
    OP_BAR = '|',
    OP_MINUS_SET = '\\',
};
enum const_id { CONST_PI, CONST_E, CONST_I, CONST_INF, CONST_EMPTY, CONST_REALS };
enum fn_id {
    FN_SIN,
    FN_COS,
    FN_TAN,
    FN_COT,
    FN_SEC,
    FN_CSC,
    FN_ASIN,
    FN_ACOS,
    FN_ATAN,
    FN_SINH,
    FN_COSH,
    FN_TANH,
    FN_LN,
    FN_LOG,
    FN_EXP,
    FN_ABS,
    FN_FLOOR,
    FN_CEIL
};

struct token {
    uint8_t kind;
    bool has_space;  /* blank before it */
    bool is_integer; /* NUM: written without a point or exponent */
    bool is_text;    /* inside \text{...}, or a word among words */
    int32_t id;
    int32_t n_decimals; /* NUM: digits after the point */
    uint32_t hash;      /* VAR: of its name; WORD and OTHER: of its lower case text */
    const char *text;   /* in the answer */
    size_t len;
    struct rat num;
};

enum token_status {
    TOKENS_OK,
    TOKENS_LIMIT /* too long, too many, or a number beyond the limits */
};
struct tokens {
    struct pool *pool;
    const char *text;
    size_t len;
    int32_t n;
    struct token at[TOKEN_MAX + 1]; /* at[n] is TOKEN_END */
};
/* Numbers live in the pool. t->pool is set by the caller. */
enum token_status tokens_read(struct tokens *t, const char *text, size_t len);
/* Without its \begin, \end and line breaks: a formula set as a column of tokens */
void tokens_flatten(struct tokens *t);
/* The same sequence, letter case and blanks aside, "and" like a comma. */
bool tokens_equal(struct pool *p, const struct tokens *a, const struct tokens *b);

/* reward/token_words.c: what a run of letters is. */
struct token_name {
    const char *name;
    uint8_t kind;
    int32_t id;
};
const struct token_name *token_command(const char *text, size_t len); /* after \ */
const struct token_name *token_plain(const char *text, size_t len);   /* bare */
const struct token_name *token_symbol(const char *text, size_t len, size_t *used);
bool token_is_unit(const char *text, size_t len); /* short words that are no product */
/* Which measure a unit names (cm, dollars); 0: none that is known */
int token_measure(const char *text, size_t len);
/* "twelve"; -1: no number */
int64_t token_number_word(const char *text, size_t len);
/* A word after a value that changes what it says: "not", "times", "or" */
bool token_is_hedge(const char *text, size_t len);

#endif
