/* What the two halves of the parser share. */
#ifndef REWARD_PARSE_H
#define REWARD_PARSE_H

#include "reward/expr.h"

struct parser {
    struct expr *e;
    const struct tokens *t;
    int32_t at;   /* the next token */
    size_t split; /* digits of it that are used up: \frac12 */
    int depth, n_bars;
    enum expr_status status; /* of the failure; EXPR_OK before */
};

int parse_list(struct parser *p); /* -1: failed */
int parse_sum(struct parser *p);
int parse_atom(struct parser *p);   /* reward/parse_atom.c */
int parse_factor(struct parser *p); /* an atom and what follows it: ^ ! % degrees */
bool parse_starts_atom(const struct parser *p);

static inline const struct token *parse_peek(const struct parser *p)
{
    return &p->t->at[p->at];
}
static inline bool parse_is_op(const struct parser *p, int32_t id)
{
    return parse_peek(p)->kind == TOKEN_OP && parse_peek(p)->id == id;
}
bool parse_accept(struct parser *p, int32_t op);
int parse_fail(struct parser *p, enum expr_status status); /* -1 */
int parse_node(struct parser *p, int kind);                /* -1 when full */
void parse_link(struct parser *p, int parent, int child);  /* as the last child */
int parse_pair(struct parser *p, int kind, int a, int b);  /* b may be none: -2 */

#endif
