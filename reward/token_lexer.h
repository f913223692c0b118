/* What reward/token.c and reward/token_number.c share. */
#ifndef REWARD_TOKEN_LEXER_H
#define REWARD_TOKEN_LEXER_H

#include "reward/token.h"

struct lexer {
    struct tokens *t;
    const char *s;
    size_t len, i;
    int depth;        /* of ( [ \{ : a comma there is no separator of thousands */
    int text_depth;   /* braces inside \text{...} */
    int matrix_depth; /* \begin{...} */
    bool has_space, has_math, is_limit;
};
/* A token of `len` bytes at the place, which moves behind it. */
struct token *token_put(struct lexer *x, int kind, int32_t id, size_t len);
void token_number(struct lexer *x); /* at a digit, or a point before one */

#endif
