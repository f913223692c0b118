/*
 * Recursive descent from Python's tokens to the tree of reward/code_run.h. Raises
 * CODE_FAULT for what Python calls a syntax error and CODE_UNSUPPORTED for what Python
 * accepts and the subset does not.
 */
#ifndef REWARD_CODE_PARSE_H
#define REWARD_CODE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reward/code_run.h"

struct code_parser {
    struct code_run *run;
    struct lex lex;
    struct lex_token token; /* the next one, not yet used */
    int32_t nest, n_loops;
    bool is_function;
    int32_t n_slots;
    struct name *locals;     /* names assigned in the function */
    struct node *used_names; /* its NODE_NAMEs, chained by c */
};

/* The statements of text[off, len) as a chain; is_single: only the first statement at
 * column 0. p->lex.off tells how far it read, also after a raise. */
void code_parse(struct code_parser *p, struct code_run *r, const char *text, size_t len,
                size_t off, bool is_single);
struct node *code_parse_statements(struct code_parser *p);

/* between the two halves of the parser */
void code_advance(struct code_parser *p);
bool code_accept(struct code_parser *p, enum lex_kind kind);
void code_expect(struct code_parser *p, enum lex_kind kind);
void code_enter(struct code_parser *p); /* one level deeper, or CODE_LIMIT */
struct node *code_parse_expr(struct code_parser *p);
struct node *code_parse_postfix(struct code_parser *p);
/* expressions with commas between them: a tuple unless there is one and no comma */
struct node *code_parse_list(struct code_parser *p,
                             struct node *(*item)(struct code_parser *p));
struct name *code_parse_name(struct code_parser *p);

#endif
