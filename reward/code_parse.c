/*
 * Statements. A name assigned anywhere in a function is local to it all through, so the
 * names a function uses are resolved at its end.
 */
#include "reward/code_parse.h"

#include <string.h>

static struct node *parse_block(struct code_parser *p);
static struct node *parse_statement(struct code_parser *p, struct node **last_out);

/* A name that an assignment, a loop, an import or a parameter binds */
static void bind(struct code_parser *p, struct name *name)
{
    if (!p->is_function || name->slot >= 0)
        return;
    name->slot = p->n_slots++;
    name->next_local = p->locals;
    p->locals = name;
}

static void check_target(struct code_parser *p, const struct node *n)
{
    switch ((int)n->kind) {
    case NODE_NAME:
        bind(p, n->name);
        break;
    case NODE_TUPLE:
    case NODE_LIST:
        for (const struct node *i = n->a; i != NULL; i = i->next)
            check_target(p, i);
        break;
    case NODE_INDEX:
    case NODE_ATTRIBUTE: /* refused when reached */
        break;
    default:
        code_raise(p->run, CODE_FAULT);
    }
}

/* after `target:`: the hint is read and dropped */
static struct node *parse_annotation(struct code_parser *p, struct node *target)
{
    struct node *const n = code_node(p->run, NODE_ASSIGN);
    if (target->kind == NODE_TUPLE || target->kind == NODE_LIST)
        code_raise(p->run, CODE_FAULT);
    check_target(p, target);
    n->a = target;
    (void)code_parse_expr(p);
    if (code_accept(p, OP_SET))
        n->b = code_parse_list(p, code_parse_expr);
    return n;
}

/* after `first =` */
static struct node *parse_assign(struct code_parser *p, struct node *first)
{
    struct node *const n = code_node(p->run, NODE_ASSIGN);
    struct node *last = n->a = first;
    check_target(p, first);
    n->b = code_parse_list(p, code_parse_expr);
    while (code_accept(p, OP_SET)) {
        check_target(p, n->b);
        last = last->next = n->b;
        n->b = code_parse_list(p, code_parse_expr);
    }
    return n;
}

/* the operator of an augmented assignment; LEX_END: none */
static enum lex_kind augmented(enum lex_kind op)
{
    static const enum lex_kind pairs[][2] = {
        {OP_ADD_SET, OP_ADD},     {OP_SUB_SET, OP_SUB},     {OP_MUL_SET, OP_MUL},
        {OP_DIV_SET, OP_DIV},     {OP_FLOOR_SET, OP_FLOOR}, {OP_MOD_SET, OP_MOD},
        {OP_POWER_SET, OP_POWER}, {OP_AND_SET, OP_BIT_AND}, {OP_OR_SET, OP_BIT_OR},
        {OP_XOR_SET, OP_BIT_XOR}, {OP_SHL_SET, OP_SHL},     {OP_SHR_SET, OP_SHR},
        {OP_MAT_SET, OP_MAT},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i][0] == op)
            return pairs[i][1];
    return LEX_END;
}

static struct node *parse_expression_statement(struct code_parser *p)
{
    struct node *const first = code_parse_list(p, code_parse_expr);
    if (code_accept(p, OP_COLON))
        return parse_annotation(p, first);
    if (code_accept(p, OP_SET))
        return parse_assign(p, first);
    const enum lex_kind op = augmented(p->token.kind);
    struct node *n;
    if (op == LEX_END) {
        n = code_node(p->run, NODE_EXPRESSION);
    } else {
        code_advance(p);
        if (first->kind == NODE_TUPLE || first->kind == NODE_LIST)
            code_raise(p->run, CODE_FAULT);
        check_target(p, first);
        n = code_node(p->run, NODE_AUGMENT);
        n->op = op;
        n->b = code_parse_list(p, code_parse_expr);
    }
    n->a = first;
    return n;
}

static bool ends_statement(const struct code_parser *p)
{
    return p->token.kind == LEX_NEWLINE || p->token.kind == OP_SEMICOLON;
}

static struct node *parse_return(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_RETURN);
    code_advance(p);
    if (!p->is_function)
        code_raise(p->run, CODE_FAULT);
    if (!ends_statement(p))
        n->a = code_parse_list(p, code_parse_expr);
    return n;
}

static struct node *parse_raise(struct code_parser *p)
{
    code_advance(p);
    if (!ends_statement(p))
        (void)code_parse_expr(p);
    if (code_accept(p, KW_FROM))
        (void)code_parse_expr(p);
    return code_node(p->run, NODE_RAISE);
}

static struct node *parse_assert(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_ASSERT);
    code_advance(p);
    n->a = code_parse_expr(p);
    if (code_accept(p, OP_COMMA))
        (void)code_parse_expr(p);
    return n;
}

static bool is_text(const struct name *name, const char *text)
{
    return name->len == strlen(text) && memcmp(name->text, text, name->len) == 0;
}

/* a dotted name; the first part, and in *is_dotted whether there are more */
static struct name *parse_module(struct code_parser *p, bool *is_dotted)
{
    struct name *const first = code_parse_name(p);
    *is_dotted = false;
    while (code_accept(p, OP_DOT)) {
        (void)code_parse_name(p);
        *is_dotted = true;
    }
    return first;
}

/* [as name]: a target that gets v */
static struct node *parse_as(struct code_parser *p, struct name *name, struct value v)
{
    struct node *const target = code_node(p->run, NODE_NAME);
    target->name = code_accept(p, KW_AS) ? code_parse_name(p) : name;
    target->c = p->used_names;
    target->value = v;
    p->used_names = target;
    bind(p, target->name);
    return target;
}

static struct node *parse_import(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_IMPORT);
    struct node **link = &n->a;
    bool is_dotted;
    do {
        code_advance(p);
        struct name *const module = parse_module(p, &is_dotted);
        if (is_dotted || !is_text(module, "math"))
            n->n = -1;
        *link = parse_as(p, module, (struct value){.kind = VALUE_MODULE});
        link = &(*link)->next;
    } while (p->token.kind == OP_COMMA);
    return n;
}

static struct value math_value(const struct name *name, struct node *import)
{
    const enum builtin id = code_math_find(name);
    if (id == BUILTIN_OTHER)
        import->n = -1;
    return id == BUILTIN_PI ? value_float(3.141592653589793)
                            : (struct value){.kind = VALUE_BUILTIN, .i = id};
}

static struct node *parse_from(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_IMPORT);
    struct node **link = &n->a;
    bool is_dotted;
    code_advance(p);
    if (p->token.kind == OP_DOT)
        code_raise(p->run, CODE_UNSUPPORTED);
    const struct name *const module = parse_module(p, &is_dotted);
    const bool is_typing = is_text(module, "typing");
    if (is_dotted || (!is_typing && !is_text(module, "math")))
        n->n = -1;
    code_expect(p, KW_IMPORT);
    if (p->token.kind == OP_MUL)
        code_raise(p->run, CODE_UNSUPPORTED);
    const bool has_parens = code_accept(p, OP_LPAREN);
    do {
        struct name *const name = code_parse_name(p);
        const struct value v = is_typing || n->n < 0
                                   ? (struct value){.kind = VALUE_BUILTIN,
                                                    .i = BUILTIN_OTHER}
                                   : math_value(name, n);
        *link = parse_as(p, name, v);
        link = &(*link)->next;
    } while (code_accept(p, OP_COMMA) && p->token.kind != OP_RPAREN);
    if (has_parens)
        code_expect(p, OP_RPAREN);
    return n;
}

static struct node *parse_flow(struct code_parser *p, enum node_kind kind)
{
    code_advance(p);
    if (kind != NODE_PASS && p->n_loops == 0)
        code_raise(p->run, CODE_FAULT);
    return code_node(p->run, kind);
}

static struct node *parse_simple(struct code_parser *p)
{
    switch ((int)p->token.kind) {
    case KW_RETURN:
        return parse_return(p);
    case KW_RAISE:
        return parse_raise(p);
    case KW_ASSERT:
        return parse_assert(p);
    case KW_IMPORT:
        return parse_import(p);
    case KW_FROM:
        return parse_from(p);
    case KW_PASS:
        return parse_flow(p, NODE_PASS);
    case KW_BREAK:
        return parse_flow(p, NODE_BREAK);
    case KW_CONTINUE:
        return parse_flow(p, NODE_CONTINUE);
    case KW_DEL:
    case KW_GLOBAL:
    case KW_NONLOCAL:
    case KW_CLASS:
    case KW_TRY:
    case KW_WITH:
    case KW_ASYNC:
    case OP_MAT: /* a decorator */
        code_raise(p->run, CODE_UNSUPPORTED);
    default:
        return parse_expression_statement(p);
    }
}

/* simple statements on one line */
static struct node *parse_line(struct code_parser *p, struct node **last_out)
{
    struct node *const first = parse_simple(p);
    struct node *last = first;
    while (code_accept(p, OP_SEMICOLON) && p->token.kind != LEX_NEWLINE)
        last = last->next = parse_simple(p);
    code_expect(p, LEX_NEWLINE);
    *last_out = last;
    return first;
}

static struct node *parse_loop_body(struct code_parser *p)
{
    p->n_loops++;
    struct node *const body = parse_block(p);
    p->n_loops--;
    return body;
}

static struct node *parse_else(struct code_parser *p)
{
    return code_accept(p, KW_ELSE) ? parse_block(p) : NULL;
}

static struct node *parse_if(struct code_parser *p)
{
    struct node *const first = code_node(p->run, NODE_IF);
    struct node *n = first;
    for (;;) {
        code_advance(p);
        n->a = code_parse_expr(p);
        n->b = parse_block(p);
        if (p->token.kind != KW_ELIF)
            break;
        n->n = 1;
        n = n->c = code_node(p->run, NODE_IF);
    }
    n->c = parse_else(p);
    return first;
}

static struct node *parse_while(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_WHILE);
    code_advance(p);
    n->a = code_parse_expr(p);
    n->b = parse_loop_body(p);
    n->c = parse_else(p);
    return n;
}

static struct node *parse_for(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_FOR);
    code_advance(p);
    n->a = code_parse_list(p, code_parse_postfix);
    check_target(p, n->a);
    code_expect(p, KW_IN);
    n->a->next = code_parse_list(p, code_parse_expr);
    n->b = parse_loop_body(p);
    n->c = parse_else(p);
    return n;
}

static struct node *parse_parameter(struct code_parser *p)
{
    struct node *const n = code_node(p->run, NODE_NAME);
    if (p->token.kind == OP_MUL || p->token.kind == OP_POWER || p->token.kind == OP_DIV)
        code_raise(p->run, CODE_UNSUPPORTED);
    n->name = code_parse_name(p);
    if (n->name->slot >= 0) /* twice */
        code_raise(p->run, CODE_FAULT);
    bind(p, n->name);
    n->slot = n->name->slot;
    return n;
}

/* ( a, b: int, c=3 ); the defaults belong to the scope outside */
static void parse_parameters(struct code_parser *p, struct node *def)
{
    struct node **link = &def->a;
    bool has_default = false;
    code_expect(p, OP_LPAREN);
    while (p->token.kind != OP_RPAREN) {
        struct node *const n = *link = parse_parameter(p);
        link = &n->next;
        def->n++;
        struct node *const names = p->used_names;
        if (code_accept(p, OP_COLON))
            (void)code_parse_expr(p);
        if (code_accept(p, OP_SET)) {
            n->a = code_parse_expr(p);
            has_default = true;
        } else if (has_default) {
            code_raise(p->run, CODE_FAULT);
        }
        p->used_names = names;
        if (!code_accept(p, OP_COMMA))
            break;
    }
    code_expect(p, OP_RPAREN);
    if (code_accept(p, OP_ARROW)) {
        struct node *const names = p->used_names;
        (void)code_parse_expr(p);
        p->used_names = names;
    }
}

static void end_function(struct code_parser *p, struct node *def)
{
    for (struct node *n = p->used_names; n != NULL; n = n->c)
        n->slot = n->name->slot;
    while (p->locals != NULL) {
        p->locals->slot = -1;
        p->locals = p->locals->next_local;
    }
    def->n_slots = p->n_slots;
}

static struct node *parse_def(struct code_parser *p)
{
    struct node *const def = code_node(p->run, NODE_DEF);
    struct node *const outer_names = p->used_names;
    const int32_t outer_loops = p->n_loops;
    code_advance(p);
    if (p->is_function)
        code_raise(p->run, CODE_UNSUPPORTED);
    def->name = code_parse_name(p);
    p->is_function = true;
    p->n_slots = p->n_loops = 0;
    p->used_names = NULL;
    parse_parameters(p, def);
    def->b = parse_block(p);
    end_function(p, def);
    p->is_function = false;
    p->n_loops = outer_loops;
    p->used_names = outer_names;
    return def;
}

/* `:` and its statements, on the line or indented below it */
static struct node *parse_block(struct code_parser *p)
{
    struct node *last;
    code_enter(p);
    code_expect(p, OP_COLON);
    struct node *first;
    if (code_accept(p, LEX_NEWLINE)) {
        code_expect(p, LEX_INDENT);
        first = parse_statement(p, &last);
        while (!code_accept(p, LEX_DEDENT)) {
            struct node *end;
            last->next = parse_statement(p, &end);
            last = end;
        }
    } else {
        first = parse_line(p, &last);
    }
    p->nest--;
    return first;
}

/* One statement, or a line of several: a chain and its end */
static struct node *parse_statement(struct code_parser *p, struct node **last_out)
{
    struct node *n;
    switch ((int)p->token.kind) {
    case KW_IF:
        n = parse_if(p);
        break;
    case KW_WHILE:
        n = parse_while(p);
        break;
    case KW_FOR:
        n = parse_for(p);
        break;
    case KW_DEF:
        n = parse_def(p);
        break;
    default:
        return parse_line(p, last_out);
    }
    *last_out = n;
    return n;
}

void code_parse(struct code_parser *p, struct code_run *r, const char *text, size_t len,
                size_t off, bool is_single)
{
    *p = (struct code_parser){.run = r};
    lex_init(&p->lex, text, len, off, is_single);
}

struct node *code_parse_statements(struct code_parser *p)
{
    struct node *first = NULL, **link = &first, *last;
    code_advance(p);
    while (p->token.kind != LEX_END) {
        if (code_accept(p, LEX_NEWLINE))
            continue;
        *link = parse_statement(p, &last);
        link = &last->next;
    }
    return first;
}
