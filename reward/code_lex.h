/*
 * Python's lexical rules over a piece of text: logical lines, INDENT and DEDENT,
 * brackets that join lines, comments, numbers, strings. One token at a time and no
 * memory of earlier ones, so the cost is linear in the bytes read.
 */
#ifndef REWARD_CODE_LEX_H
#define REWARD_CODE_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reward/code.h"

/* X(enum, text): keywords, as Python lists them */
#define LEX_KEYWORD_LIST(X)                                                            \
    X(KW_FALSE, "False")                                                               \
    X(KW_NONE, "None")                                                                 \
    X(KW_TRUE, "True")                                                                 \
    X(KW_AND, "and")                                                                   \
    X(KW_AS, "as")                                                                     \
    X(KW_ASSERT, "assert")                                                             \
    X(KW_ASYNC, "async")                                                               \
    X(KW_AWAIT, "await")                                                               \
    X(KW_BREAK, "break")                                                               \
    X(KW_CLASS, "class")                                                               \
    X(KW_CONTINUE, "continue")                                                         \
    X(KW_DEF, "def")                                                                   \
    X(KW_DEL, "del")                                                                   \
    X(KW_ELIF, "elif")                                                                 \
    X(KW_ELSE, "else")                                                                 \
    X(KW_EXCEPT, "except")                                                             \
    X(KW_FINALLY, "finally")                                                           \
    X(KW_FOR, "for")                                                                   \
    X(KW_FROM, "from")                                                                 \
    X(KW_GLOBAL, "global")                                                             \
    X(KW_IF, "if")                                                                     \
    X(KW_IMPORT, "import")                                                             \
    X(KW_IN, "in")                                                                     \
    X(KW_IS, "is")                                                                     \
    X(KW_LAMBDA, "lambda")                                                             \
    X(KW_NONLOCAL, "nonlocal")                                                         \
    X(KW_NOT, "not")                                                                   \
    X(KW_OR, "or")                                                                     \
    X(KW_PASS, "pass")                                                                 \
    X(KW_RAISE, "raise")                                                               \
    X(KW_RETURN, "return")                                                             \
    X(KW_TRY, "try")                                                                   \
    X(KW_WHILE, "while")                                                               \
    X(KW_WITH, "with")                                                                 \
    X(KW_YIELD, "yield")

/* X(enum, text): operators; of two that begin alike the longer comes first */
#define LEX_OPERATOR_LIST(X)                                                           \
    X(OP_POWER_SET, "**=")                                                             \
    X(OP_FLOOR_SET, "//=")                                                             \
    X(OP_SHL_SET, "<<=")                                                               \
    X(OP_SHR_SET, ">>=")                                                               \
    X(OP_ELLIPSIS, "...")                                                              \
    X(OP_POWER, "**")                                                                  \
    X(OP_FLOOR, "//")                                                                  \
    X(OP_SHL, "<<")                                                                    \
    X(OP_SHR, ">>")                                                                    \
    X(OP_LE, "<=")                                                                     \
    X(OP_GE, ">=")                                                                     \
    X(OP_EQ, "==")                                                                     \
    X(OP_NE, "!=")                                                                     \
    X(OP_ARROW, "->")                                                                  \
    X(OP_WALRUS, ":=")                                                                 \
    X(OP_ADD_SET, "+=")                                                                \
    X(OP_SUB_SET, "-=")                                                                \
    X(OP_MUL_SET, "*=")                                                                \
    X(OP_DIV_SET, "/=")                                                                \
    X(OP_MOD_SET, "%=")                                                                \
    X(OP_AND_SET, "&=")                                                                \
    X(OP_OR_SET, "|=")                                                                 \
    X(OP_XOR_SET, "^=")                                                                \
    X(OP_MAT_SET, "@=")                                                                \
    X(OP_ADD, "+")                                                                     \
    X(OP_SUB, "-")                                                                     \
    X(OP_MUL, "*")                                                                     \
    X(OP_DIV, "/")                                                                     \
    X(OP_MOD, "%")                                                                     \
    X(OP_MAT, "@")                                                                     \
    X(OP_BIT_AND, "&")                                                                 \
    X(OP_BIT_OR, "|")                                                                  \
    X(OP_BIT_XOR, "^")                                                                 \
    X(OP_BIT_NOT, "~")                                                                 \
    X(OP_LT, "<")                                                                      \
    X(OP_GT, ">")                                                                      \
    X(OP_LPAREN, "(")                                                                  \
    X(OP_RPAREN, ")")                                                                  \
    X(OP_LBRACKET, "[")                                                                \
    X(OP_RBRACKET, "]")                                                                \
    X(OP_LBRACE, "{")                                                                  \
    X(OP_RBRACE, "}")                                                                  \
    X(OP_COMMA, ",")                                                                   \
    X(OP_COLON, ":")                                                                   \
    X(OP_SEMICOLON, ";")                                                               \
    X(OP_DOT, ".")                                                                     \
    X(OP_SET, "=")

enum lex_kind {
    LEX_END,
    LEX_NEWLINE,
    LEX_INDENT,
    LEX_DEDENT,
    LEX_NAME,
    LEX_INT, /* decimal */
    LEX_FLOAT,
    LEX_STRING, /* its value is the bytes between the quotes */
    LEX_TEXT,   /* a string whose value is not those bytes: escapes, a prefix */
    LEX_FORMAT, /* an f-string */
    LEX_ERROR,  /* `status` says which kind */
#define X(id, text) id,
    LEX_KEYWORD_LIST(X) LEX_OPERATOR_LIST(X)
#undef X
};

struct lex_token {
    enum lex_kind kind;
    enum code_status status; /* of an error: CODE_FAULT or CODE_UNSUPPORTED */
    size_t off, len;         /* strings: without quotes */
};

enum { LEX_INDENTS_MAX = CODE_NEST_MAX };

struct lex {
    const char *text;
    size_t len, off;
    bool is_single; /* end where the first statement at column 0 does */
    bool is_line_start, is_done;
    bool has_token; /* on this line */
    bool has_statement;
    int32_t n_brackets, n_dedents;
    int32_t n_indents;
    int32_t columns[LEX_INDENTS_MAX]; /* tabs to multiples of 8 */
    int32_t narrow[LEX_INDENTS_MAX];  /* tabs as one column: both must agree */
};

/* text[off, len) */
void lex_init(struct lex *x, const char *text, size_t len, size_t off, bool is_single);
/* The next token; LEX_END again and again after the last. An error ends the tokens. */
struct lex_token lex_next(struct lex *x);

#endif
