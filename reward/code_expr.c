/*
 * Expressions. Precedence, lowest first: conditional, or, and, not, comparisons,
 * | ^ & shifts, sums, products, unary, **, then calls, indices and attributes.
 */
#include <string.h>

#include "reward/code_float.h"
#include "reward/code_parse.h"

/* grammar levels that a bracket passes through, each counted: any of them can recurse
 */
enum { LEVELS_PER_BRACKET = 4 };

/* Literals that take wide arithmetic to read count as this much work. */
enum { LONG_LITERAL = 16, SLOW_LITERAL_STEPS = 50 };

void code_advance(struct code_parser *p)
{
    p->token = lex_next(&p->lex);
    if (p->token.kind == LEX_ERROR)
        code_raise(p->run, p->token.status);
}

bool code_accept(struct code_parser *p, enum lex_kind kind)
{
    if (p->token.kind != kind)
        return false;
    code_advance(p);
    return true;
}

void code_expect(struct code_parser *p, enum lex_kind kind)
{
    if (!code_accept(p, kind))
        code_raise(p->run, CODE_FAULT);
}

void code_enter(struct code_parser *p)
{
    if (++p->nest > LEVELS_PER_BRACKET * CODE_NEST_MAX)
        code_raise(p->run, CODE_LIMIT);
}

struct name *code_parse_name(struct code_parser *p)
{
    const struct lex_token t = p->token;
    code_expect(p, LEX_NAME);
    return code_name(p->run, p->lex.text + t.off, t.len);
}

static struct node *parse_name_node(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_NAME);
    n->name = code_parse_name(p);
    n->c = p->used_names;
    p->used_names = n;
    return n;
}

/* What Python has and the subset has not, where an operand should begin or go on */
static void refuse_unsupported(struct code_parser *p)
{
    switch ((int)p->token.kind) {
    case KW_LAMBDA:
    case KW_AWAIT:
    case KW_YIELD:
    case KW_FOR: /* comprehensions */
    case KW_ASYNC:
    case OP_LBRACE:
    case OP_ELLIPSIS:
    case OP_WALRUS:
    case OP_MUL: /* *args */
    case OP_POWER:
        code_raise(p->run, CODE_UNSUPPORTED);
    default:
        break;
    }
}

static struct node *value_node(struct code_parser *p, struct value v)
{
    struct node *const n = code_node(p->run, NODE_VALUE);
    n->value = v;
    return n;
}

static struct node *parse_number(struct code_parser *p)
{
    const struct lex_token t = p->token;
    const char *const text = p->lex.text + t.off;
    struct value v;
    if (t.len > LONG_LITERAL || memchr(text, 'e', t.len) != NULL)
        code_step(p->run, SLOW_LITERAL_STEPS);
    if (t.kind == LEX_FLOAT) {
        double f;
        if (!float_parse(&f, text, t.len))
            code_raise(p->run, CODE_LIMIT);
        v = value_float(f);
    } else {
        struct wide w;
        wide_parse(&w, text, t.len);
        v = value_wide(p->run, &w);
    }
    code_advance(p);
    return value_node(p, v);
}

/* One string, or several side by side, which are one to Python */
static struct node *parse_string(struct code_parser *p)
{
    struct text *const s = code_take(p->run, sizeof(*s));
    s->data = p->lex.text + p->token.off;
    s->len = p->token.len;
    s->is_exact = p->token.kind == LEX_STRING;
    while (p->token.kind == LEX_STRING || p->token.kind == LEX_TEXT ||
           p->token.kind == LEX_FORMAT) {
        s->is_format = s->is_format || p->token.kind == LEX_FORMAT;
        s->is_exact = s->is_exact && s->data == p->lex.text + p->token.off;
        code_advance(p);
    }
    return value_node(p, (struct value){.kind = VALUE_TEXT, .text = s});
}

static bool ends_list(enum lex_kind kind)
{
    return kind == OP_RPAREN || kind == OP_RBRACKET || kind == LEX_NEWLINE ||
           kind == OP_SET || kind == OP_SEMICOLON || kind == OP_COLON ||
           kind == KW_IN || kind == LEX_END;
}

struct node *code_parse_list(struct code_parser *p,
                             struct node *(*item)(struct code_parser *p))
{
    struct node *const first = item(p);
    refuse_unsupported(p);
    if (p->token.kind != OP_COMMA)
        return first;
    struct node *const list = code_node(p->run, NODE_TUPLE);
    struct node *last = list->a = first;
    list->n = 1;
    while (code_accept(p, OP_COMMA) && !ends_list(p->token.kind)) {
        last = last->next = item(p);
        refuse_unsupported(p);
        list->n++;
    }
    return list;
}

/* ( ... ) */
static struct node *parse_parens(struct code_parser *p)
{
    struct node *n;
    code_advance(p);
    if (p->token.kind == OP_RPAREN)
        n = code_node(p->run, NODE_TUPLE);
    else
        n = code_parse_list(p, code_parse_expr);
    code_expect(p, OP_RPAREN);
    return n;
}

static struct node *parse_brackets(struct code_parser *p)
{
    struct node *const list = code_node(p->run, NODE_LIST);
    struct node **link = &list->a;
    code_advance(p);
    while (p->token.kind != OP_RBRACKET) {
        *link = code_parse_expr(p);
        link = &(*link)->next;
        list->n++;
        refuse_unsupported(p);
        if (!code_accept(p, OP_COMMA))
            break;
    }
    code_expect(p, OP_RBRACKET);
    return list;
}

static struct node *parse_constant(struct code_parser *p)
{
    const enum lex_kind kind = p->token.kind;
    code_advance(p);
    return value_node(p, kind == KW_NONE ? value_none() : value_bool(kind == KW_TRUE));
}

static struct node *parse_atom(struct code_parser *p)
{
    switch ((int)p->token.kind) {
    case LEX_NAME:
        return parse_name_node(p);
    case LEX_INT:
    case LEX_FLOAT:
        return parse_number(p);
    case LEX_STRING:
    case LEX_TEXT:
    case LEX_FORMAT:
        return parse_string(p);
    case KW_NONE:
    case KW_TRUE:
    case KW_FALSE:
        return parse_constant(p);
    case OP_LPAREN:
        return parse_parens(p);
    case OP_LBRACKET:
        return parse_brackets(p);
    default:
        refuse_unsupported(p);
        code_raise(p->run, CODE_FAULT);
    }
}

/* name=value; `name` was read as an expression */
static struct node *parse_keyword(struct code_parser *p, const struct node *name,
                                  const struct node *before)
{
    if (name->kind != NODE_NAME)
        code_raise(p->run, CODE_FAULT);
    for (const struct node *k = before; k != NULL; k = k->next)
        if (k->kind == NODE_KEYWORD && k->name == name->name)
            code_raise(p->run, CODE_FAULT);
    struct node *const n = code_node(p->run, NODE_KEYWORD);
    n->name = name->name;
    n->a = code_parse_expr(p);
    return n;
}

static struct node *parse_call(struct code_parser *p, struct node *callee)
{
    struct node *const call = code_node(p->run, NODE_CALL);
    struct node **link = &call->b;
    bool has_keyword = false;
    call->a = callee;
    code_advance(p);
    while (p->token.kind != OP_RPAREN) {
        struct node *arg = code_parse_expr(p);
        refuse_unsupported(p);
        if (code_accept(p, OP_SET)) {
            arg = parse_keyword(p, arg, call->b);
            has_keyword = true;
        } else if (has_keyword) {
            code_raise(p->run, CODE_FAULT);
        }
        *link = arg;
        link = &arg->next;
        call->n++;
        if (!code_accept(p, OP_COMMA))
            break;
    }
    code_expect(p, OP_RPAREN);
    return call;
}

/* an index, or a slice */
static struct node *parse_slice(struct code_parser *p)
{
    struct node *parts[3] = {NULL, NULL, NULL};
    int n = 0;
    if (p->token.kind != OP_COLON)
        parts[0] = code_parse_expr(p);
    if (p->token.kind != OP_COLON)
        return parts[0];
    while (n < 2 && code_accept(p, OP_COLON)) {
        n++;
        if (!ends_list(p->token.kind) && p->token.kind != OP_COMMA)
            parts[n] = code_parse_expr(p);
    }
    struct node *const slice = code_node(p->run, NODE_SLICE);
    slice->a = parts[0];
    slice->b = parts[1];
    slice->c = parts[2];
    return slice;
}

static struct node *parse_index(struct code_parser *p, struct node *base)
{
    struct node *const index = code_node(p->run, NODE_INDEX);
    code_advance(p);
    index->a = base;
    index->b = code_parse_list(p, parse_slice);
    code_expect(p, OP_RBRACKET);
    return index;
}

static struct node *parse_attribute(struct code_parser *p, struct node *base)
{
    struct node *const n = code_node(p->run, NODE_ATTRIBUTE);
    code_advance(p);
    n->a = base;
    n->name = code_parse_name(p);
    return n;
}

struct node *code_parse_postfix(struct code_parser *p)
{
    code_enter(p);
    struct node *n = parse_atom(p);
    for (;;) {
        if (p->token.kind == OP_LPAREN)
            n = parse_call(p, n);
        else if (p->token.kind == OP_LBRACKET)
            n = parse_index(p, n);
        else if (p->token.kind == OP_DOT)
            n = parse_attribute(p, n);
        else
            break;
    }
    p->nest--;
    return n;
}

static struct node *binary(struct code_parser *p, enum lex_kind op, struct node *a,
                           struct node *b)
{
    struct node *const n = code_node(p->run, NODE_BINARY);
    n->op = op;
    n->a = a;
    n->b = b;
    return n;
}

static struct node *parse_unary(struct code_parser *p)
{
    const enum lex_kind op = p->token.kind;
    struct node *n;
    code_enter(p);
    if (op == OP_SUB || op == OP_ADD || op == OP_BIT_NOT) {
        code_advance(p);
        n = code_node(p->run, NODE_UNARY);
        n->op = op;
        n->a = parse_unary(p);
    } else {
        n = code_parse_postfix(p);
        if (code_accept(p, OP_POWER))
            n = binary(p, OP_POWER, n, parse_unary(p));
    }
    p->nest--;
    return n;
}

/* 0: not a binary operator */
static int precedence(enum lex_kind op)
{
    switch ((int)op) {
    case OP_BIT_OR:
        return 1;
    case OP_BIT_XOR:
        return 2;
    case OP_BIT_AND:
        return 3;
    case OP_SHL:
    case OP_SHR:
        return 4;
    case OP_ADD:
    case OP_SUB:
        return 5;
    case OP_MUL:
    case OP_DIV:
    case OP_FLOOR:
    case OP_MOD:
    case OP_MAT:
        return 6;
    default:
        return 0;
    }
}

static struct node *parse_binary(struct code_parser *p, int lowest)
{
    struct node *n = parse_unary(p);
    for (;;) {
        const enum lex_kind op = p->token.kind;
        const int level = precedence(op);
        if (level < lowest || level == 0)
            return n;
        code_advance(p);
        n = binary(p, op, n, parse_binary(p, level + 1));
    }
}

/* The comparison at hand: OP_LT .. OP_NE, KW_IN, KW_IS; `not in` and `is not` are the
 * same with *is_not. LEX_END: none. */
static enum lex_kind parse_comparison(struct code_parser *p, bool *is_not)
{
    enum lex_kind op = p->token.kind;
    *is_not = false;
    switch ((int)op) {
    case OP_LT:
    case OP_GT:
    case OP_LE:
    case OP_GE:
    case OP_EQ:
    case OP_NE:
    case KW_IN:
        code_advance(p);
        return op;
    case KW_IS:
        code_advance(p);
        *is_not = code_accept(p, KW_NOT);
        return op;
    case KW_NOT:
        code_advance(p);
        code_expect(p, KW_IN);
        *is_not = true;
        return KW_IN;
    default:
        return LEX_END;
    }
}

static struct node *parse_compare(struct code_parser *p)
{
    struct node *const first = parse_binary(p, 1);
    struct node *compare = NULL, **link = NULL;
    bool is_not;
    for (;;) {
        const enum lex_kind op = parse_comparison(p, &is_not);
        if (op == LEX_END)
            return compare == NULL ? first : compare;
        if (compare == NULL) {
            compare = code_node(p->run, NODE_COMPARE);
            compare->a = first;
            link = &compare->b;
        }
        struct node *const n = *link = code_node(p->run, NODE_LINK);
        link = &n->next;
        n->op = op;
        n->n = is_not;
        n->a = parse_binary(p, 1);
    }
}

static struct node *parse_not(struct code_parser *p)
{
    struct node *n;
    code_enter(p);
    if (code_accept(p, KW_NOT)) {
        n = code_node(p->run, NODE_UNARY);
        n->op = KW_NOT;
        n->a = parse_not(p);
    } else {
        n = parse_compare(p);
    }
    p->nest--;
    return n;
}

static struct node *parse_chain(struct code_parser *p, enum lex_kind op,
                                enum node_kind kind,
                                struct node *(*operand)(struct code_parser *p))
{
    struct node *last = operand(p);
    if (p->token.kind != op)
        return last;
    struct node *const n = code_node(p->run, kind);
    n->a = last;
    while (code_accept(p, op))
        last = last->next = operand(p);
    return n;
}

static struct node *parse_and(struct code_parser *p)
{
    return parse_chain(p, KW_AND, NODE_AND, parse_not);
}

struct node *code_parse_expr(struct code_parser *p)
{
    code_enter(p);
    struct node *n = parse_chain(p, KW_OR, NODE_OR, parse_and);
    if (code_accept(p, KW_IF)) {
        struct node *const choice = code_node(p->run, NODE_CHOICE);
        choice->a = n;
        choice->b = parse_chain(p, KW_OR, NODE_OR, parse_and);
        code_expect(p, KW_ELSE);
        choice->c = code_parse_expr(p);
        n = choice;
    }
    p->nest--;
    return n;
}
