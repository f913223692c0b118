/* Atoms: numbers, brackets, fractions, roots, functions, matrices; powers after them.
 */
#include "reward/parse.h"

bool parse_starts_atom(const struct parser *p)
{
    const struct token *const k = parse_peek(p);
    if (k->kind == TOKEN_OP)
        return k->id == '(' || k->id == '[' || k->id == '{' || k->id == OP_SET ||
               k->id == OP_FRAC || k->id == OP_SQRT || k->id == OP_BINOM ||
               k->id == OP_FLOOR || k->id == OP_CEIL ||
               (k->id == OP_BAR && p->n_bars == 0);
    return k->kind == TOKEN_NUM || k->kind == TOKEN_VAR || k->kind == TOKEN_CONST ||
           k->kind == TOKEN_FN || k->kind == TOKEN_BEGIN;
}

/* A number, or what \frac12 has left of one. */
static int parse_num(struct parser *p)
{
    const struct token *const k = parse_peek(p);
    const int y = parse_node(p, NODE_NUM);
    if (y < 0)
        return -1;
    struct node *const node = &p->e->at[y];
    node->num = k->num;
    node->n_decimals = k->n_decimals;
    node->text = k->text + p->split;
    node->len = k->len - p->split;
    node->id = k->is_integer;
    if (p->split > 0)
        node->num = rat_make(p->e->pool, 1,
                             big_digits(p->e->pool, node->text, node->len, 10),
                             big_small(p->e->pool, 1));
    p->split = 0;
    p->at++;
    return y;
}

/* The first digit of a number alone: \frac12, \frac1{216} */
static int parse_digit(struct parser *p)
{
    const struct token *const k = parse_peek(p);
    if (k->len - p->split < 2 || !k->is_integer)
        return parse_num(p);
    const int y = parse_node(p, NODE_NUM);
    if (y < 0)
        return -1;
    struct node *const node = &p->e->at[y];
    node->text = k->text + p->split++;
    node->len = 1;
    node->id = 1;
    node->num = rat_int(p->e->pool, *node->text - '0');
    return y;
}

/* { list } as an argument, or one token */
static int parse_argument(struct parser *p)
{
    if (parse_accept(p, '{')) {
        const int y = parse_list(p);
        return y >= 0 && !parse_accept(p, '}') ? parse_fail(p, EXPR_NONE) : y;
    }
    if (parse_peek(p)->kind == TOKEN_NUM)
        return parse_digit(p);
    if (++p->depth > EXPR_MAX_DEPTH)
        return parse_fail(p, EXPR_LIMIT);
    const int y = parse_atom(p);
    p->depth--;
    return y;
}

static int parse_frac(struct parser *p, int kind)
{
    p->at++;
    const int num = parse_argument(p);
    const int den = num < 0 ? -1 : parse_argument(p);
    return parse_pair(p, kind, num, den);
}

static int parse_sqrt(struct parser *p)
{
    int index = -2;
    p->at++;
    if (parse_accept(p, '[')) {
        index = parse_sum(p);
        if (index < 0 || !parse_accept(p, ']'))
            return parse_fail(p, EXPR_NONE);
    }
    const bool is_number = parse_peek(p)->kind == TOKEN_NUM;
    const int inner = is_number ? parse_num(p) : parse_argument(p);
    return parse_pair(p, NODE_ROOT, inner, index);
}

/* The argument of a function without brackets: a product that ends before the next
 * function, sign or explicit multiplication. */
static int parse_bare_argument(struct parser *p)
{
    int y = parse_factor(p);
    while (y >= 0 && parse_starts_atom(p) && parse_peek(p)->kind != TOKEN_FN &&
           parse_peek(p)->kind != TOKEN_NUM && !parse_is_op(p, '('))
        y = parse_pair(p, NODE_MUL, y, parse_factor(p));
    return y;
}

static const int32_t inverse_of[] = {
    [FN_SIN] = FN_ASIN, [FN_COS] = FN_ACOS, [FN_TAN] = FN_ATAN, [FN_CEIL] = 0};

static int parse_fn(struct parser *p)
{
    int32_t id = parse_peek(p)->id;
    int base = -2, power = -2;
    p->at++;
    if (parse_accept(p, '_'))
        base = parse_argument(p);
    if (base != -1 && parse_accept(p, '^'))
        power = parse_argument(p);
    if (base == -1 || power == -1)
        return -1;
    const struct node *const e = power < 0 ? NULL : &p->e->at[power];
    if (e != NULL && e->kind == NODE_NEG) { /* \sin^{-1}: the inverse function */
        int64_t v;
        if (!rat_get(p->e->at[e->child].num, &v) || v != 1 || inverse_of[id] == 0)
            return parse_fail(p, EXPR_NONE);
        id = inverse_of[id];
        power = -2;
    }
    if (++p->depth > EXPR_MAX_DEPTH)
        return parse_fail(p, EXPR_LIMIT);
    const bool is_bracketed = parse_is_op(p, '(') || parse_is_op(p, '{');
    const int argument = is_bracketed ? parse_atom(p) : parse_bare_argument(p);
    p->depth--;
    int y = parse_pair(p, NODE_FN, argument, base);
    if (y < 0)
        return -1;
    p->e->at[y].id = id;
    return power < 0 ? y : parse_pair(p, NODE_POW, y, power);
}

/* what stands between `open`, already passed, and its end, as a node of its own */
static int parse_wrapped(struct parser *p, int32_t close, int kind, int32_t id)
{
    const bool is_bar = close == OP_BAR;
    p->n_bars += is_bar;
    const int inner = parse_sum(p);
    p->n_bars -= is_bar;
    if (inner < 0 || !parse_accept(p, close))
        return parse_fail(p, EXPR_NONE);
    const int y = parse_pair(p, kind, inner, -2);
    if (y >= 0)
        p->e->at[y].id = id;
    return y;
}

/* The list after an opening bracket, as a tuple, a set or a value in brackets. */
static int parse_bracket(struct parser *p)
{
    const int32_t open = parse_peek(p)->id;
    const int n_bars = p->n_bars;
    p->at++;
    p->n_bars = open == OP_SET || open == '{'; /* a bar there is "such that" */
    int y = parse_list(p);
    p->n_bars = n_bars;
    if (y < 0)
        return -1;
    if ((open == OP_SET || open == '{') &&
        (parse_is_op(p, OP_BAR) || parse_is_op(p, ':'))) {
        p->at++;
        y = parse_pair(p, NODE_BUILDER, parse_list(p), -2);
        if (y < 0)
            return -1;
    }
    const int32_t close = parse_peek(p)->kind == TOKEN_OP ? parse_peek(p)->id : 0;
    const bool is_round = open == '(' || open == '[';
    if (is_round ? close != ')' && close != ']'
                 : close != (open == OP_SET ? OP_SET_END : '}'))
        return parse_fail(p, EXPR_NONE);
    p->at++;
    struct node *const node = &p->e->at[y];
    if (node->kind == NODE_LIST && !node->is_paren) {
        node->kind = is_round ? NODE_TUPLE : NODE_SET;
        node->op = (uint8_t)open;
        node->close = (uint8_t)close;
    } else if (open == OP_SET && node->kind != NODE_BUILDER) {
        return parse_pair(p, NODE_SET, y, -2);
    } else if (is_round && (open == '(') != (close == ')')) {
        return parse_fail(p, EXPR_NONE);
    }
    p->e->at[y].is_paren = true;
    return y;
}

static int parse_matrix(struct parser *p)
{
    const int y = parse_node(p, NODE_MATRIX);
    p->at++;
    int row = -1;
    while (y >= 0 && parse_peek(p)->kind != TOKEN_FINISH) {
        if (row < 0) {
            row = parse_node(p, NODE_TUPLE);
            if (row < 0)
                return -1;
            parse_link(p, y, row);
        }
        const int cell = parse_sum(p);
        if (cell < 0)
            return -1;
        parse_link(p, row, cell);
        const int kind = parse_peek(p)->kind;
        if (kind == TOKEN_ROW)
            row = -1;
        else if (kind != TOKEN_CELL && kind != TOKEN_FINISH)
            return parse_fail(p, EXPR_NONE);
        p->at += kind != TOKEN_FINISH;
    }
    p->at++;
    return y < 0 || p->e->at[y].child < 0 ? parse_fail(p, EXPR_NONE) : y;
}

static bool is_plain_integer(const struct parser *p, int y)
{
    return y >= 0 && p->e->at[y].kind == NODE_NUM && p->e->at[y].id;
}

/* After an integer: \frac{1}{2}, " 1/2" or a vulgar fraction makes a mixed number; a
 * subscript is a base. */
static int parse_number(struct parser *p)
{
    const bool is_integer = parse_peek(p)->is_integer;
    const int y = parse_num(p);
    const struct token *const k = parse_peek(p);
    if (y < 0 || !is_integer)
        return y;
    if (k->kind == TOKEN_NUM && k->id == 1)
        return parse_pair(p, NODE_ADD, y, parse_num(p));
    const bool is_plain = k->kind == TOKEN_NUM && k->is_integer && k->has_space &&
                          k[1].kind == TOKEN_OP && k[1].id == '/' &&
                          k[2].kind == TOKEN_NUM && k[2].is_integer;
    if (is_plain) {
        const int num = parse_num(p);
        p->at++;
        return parse_pair(p, NODE_ADD, y, parse_pair(p, NODE_DIV, num, parse_num(p)));
    }
    if (k->kind == TOKEN_OP && k->id == OP_FRAC) {
        const int frac = parse_frac(p, NODE_DIV);
        if (frac < 0)
            return -1;
        const int num = p->e->at[frac].child, den = p->e->at[num].next;
        const bool is_mixed = is_plain_integer(p, num) && is_plain_integer(p, den);
        return parse_pair(p, is_mixed ? NODE_ADD : NODE_MUL, y, frac);
    }
    if (!parse_accept(p, '_'))
        return y;
    const bool is_group = parse_accept(p, '{');
    int64_t base = 0;
    const struct node *const digits = &p->e->at[y];
    if (parse_peek(p)->kind != TOKEN_NUM || !rat_get(parse_peek(p)->num, &base) ||
        base < 2 || base > 36)
        return parse_fail(p, EXPR_NONE);
    p->at++;
    if (is_group && !parse_accept(p, '}'))
        return parse_fail(p, EXPR_NONE);
    for (size_t i = 0; i < digits->len; i++)
        if (digits->text[i] - '0' >= base || digits->text[i] < '0')
            return parse_fail(p, EXPR_NONE);
    p->e->at[y].kind = base == 10 ? NODE_NUM : NODE_BASE;
    p->e->at[y].id = (int32_t)base;
    p->e->at[y].num = rat_make(
        p->e->pool, 1, big_digits(p->e->pool, digits->text, digits->len, (int)base),
        big_small(p->e->pool, 1));
    return y;
}

static int parse_op_atom(struct parser *p)
{
    const int32_t id = parse_peek(p)->id;
    if (id == '(' || id == '[' || id == '{' || id == OP_SET)
        return parse_bracket(p);
    if (id == OP_FRAC || id == OP_BINOM)
        return parse_frac(p, id == OP_FRAC ? NODE_DIV : NODE_BINOM);
    if (id == OP_SQRT)
        return parse_sqrt(p);
    if (id != OP_BAR && id != OP_FLOOR && id != OP_CEIL)
        return parse_fail(p, EXPR_NONE);
    p->at++;
    return id == OP_BAR     ? parse_wrapped(p, OP_BAR, NODE_FN, FN_ABS)
           : id == OP_FLOOR ? parse_wrapped(p, OP_FLOOR_END, NODE_FN, FN_FLOOR)
                            : parse_wrapped(p, OP_CEIL_END, NODE_FN, FN_CEIL);
}

int parse_atom(struct parser *p)
{
    const struct token *const k = parse_peek(p);
    if (k->kind == TOKEN_NUM)
        return parse_number(p);
    if (k->kind == TOKEN_FN)
        return parse_fn(p);
    if (k->kind == TOKEN_BEGIN)
        return parse_matrix(p);
    if (k->kind == TOKEN_OP)
        return parse_op_atom(p);
    if (k->kind != TOKEN_VAR && k->kind != TOKEN_CONST)
        return parse_fail(p, EXPR_NONE);
    const int y = parse_node(p, k->kind == TOKEN_VAR ? NODE_VAR : NODE_CONST);
    if (y < 0)
        return -1;
    p->e->at[y].id = k->id;
    p->e->at[y].hash = k->hash;
    p->e->at[y].text = k->text;
    p->e->at[y].len = k->len;
    p->at++;
    return y;
}

/* An exponent: a group, or a sign and a number or atom; ^\circ is a degree sign. */
static int parse_exponent(struct parser *p, int base)
{
    const bool is_group = parse_is_op(p, '{') && p->t->at[p->at + 1].kind == TOKEN_OP &&
                          p->t->at[p->at + 1].id == OP_DEGREE;
    if (is_group || parse_is_op(p, OP_DEGREE)) {
        p->at += is_group ? 2 : 1;
        if (is_group && !parse_accept(p, '}'))
            return parse_fail(p, EXPR_NONE);
        return parse_pair(p, NODE_DEGREE, base, -2);
    }
    const bool is_minus = parse_accept(p, '-');
    int e = parse_peek(p)->kind == TOKEN_NUM ? parse_num(p) : parse_argument(p);
    if (e >= 0 && parse_is_op(p, '^')) { /* towers associate to the right */
        p->at++;
        if (++p->depth > EXPR_MAX_DEPTH)
            return parse_fail(p, EXPR_LIMIT);
        e = parse_exponent(p, e);
        p->depth--;
    }
    if (is_minus)
        e = parse_pair(p, NODE_NEG, e, -2);
    return parse_pair(p, NODE_POW, base, e);
}

int parse_factor(struct parser *p)
{
    int y = parse_atom(p);
    while (y >= 0) {
        if (parse_accept(p, '^'))
            y = parse_exponent(p, y);
        else if (parse_accept(p, '!'))
            y = parse_pair(p, NODE_FACT, y, -2);
        else if (parse_accept(p, '%'))
            y = parse_pair(p, NODE_PERCENT, y, -2);
        else if (parse_accept(p, OP_DEGREE))
            y = parse_pair(p, NODE_DEGREE, y, -2);
        else
            break;
    }
    return y;
}
