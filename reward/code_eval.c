/*
 * Expressions and calls. Arguments are evaluated left to right, keywords included, as
 * Python does.
 */
#include "reward/code_eval.h"

#include <string.h>

#include "reward/code_ops.h"

static void enter(struct code_run *r)
{
    code_step(r, 1);
    if (++r->depth > CODE_DEPTH_MAX)
        code_raise(r, CODE_LIMIT);
}

static struct value eval_name(struct code_run *r, const struct node *n)
{
    const struct name *const name = n->name;
    if (n->slot >= 0) {
        const struct value v = r->frame[n->slot];
        if (v.kind == VALUE_UNBOUND)
            code_raise(r, CODE_FAULT);
        return v;
    }
    if (name->global.kind != VALUE_UNBOUND)
        return name->global;
    if (name->builtin == BUILTIN_NONE)
        code_raise(r, r->has_absent ? CODE_UNSUPPORTED : CODE_FAULT);
    return (struct value){.kind = VALUE_BUILTIN, .i = name->builtin};
}

static struct value eval_items(struct code_run *r, const struct node *n)
{
    const enum value_kind kind = n->kind == NODE_LIST ? VALUE_LIST : VALUE_TUPLE;
    const struct value out = value_seq(r, kind, n->n);
    int64_t i = 0;
    for (const struct node *item = n->a; item != NULL; item = item->next)
        out.seq->items[i++] = code_eval_expr(r, item);
    return out;
}

static struct value eval_compare(struct code_run *r, const struct node *n)
{
    struct value left = code_eval_expr(r, n->a);
    for (const struct node *link = n->b; link != NULL; link = link->next) {
        const struct value right = code_eval_expr(r, link->a);
        const bool is_true = code_compare(r, link->op, left, right) != (link->n != 0);
        if (!is_true)
            return value_bool(false);
        left = right;
    }
    return value_bool(true);
}

/* the first operand that decides, else the last */
static struct value eval_chain(struct code_run *r, const struct node *n)
{
    const bool decides = n->kind == NODE_OR;
    const struct node *operand = n->a;
    struct value v = code_eval_expr(r, operand);
    while (operand->next != NULL && code_truth(r, v) != decides) {
        operand = operand->next;
        v = code_eval_expr(r, operand);
    }
    return v;
}

static struct value part_of(struct code_run *r, const struct node *n)
{
    return n == NULL ? value_none() : code_eval_expr(r, n);
}

static struct value eval_index(struct code_run *r, const struct node *n)
{
    const struct value base = code_eval_expr(r, n->a);
    if (n->b->kind != NODE_SLICE)
        return code_index(r, base, code_eval_expr(r, n->b));
    struct value part[3];
    part[0] = part_of(r, n->b->a);
    part[1] = part_of(r, n->b->b);
    part[2] = part_of(r, n->b->c);
    return code_slice(r, base, part);
}

static struct value eval_attribute(struct code_run *r, const struct node *n)
{
    const struct value base = code_eval_expr(r, n->a);
    if (base.kind != VALUE_MODULE)
        code_raise(r, CODE_UNSUPPORTED);
    const enum builtin id = code_math_find(n->name);
    if (id == BUILTIN_PI)
        return value_float(3.141592653589793);
    return (struct value){.kind = VALUE_BUILTIN, .i = id};
}

bool code_takes_none(const struct function *f) { return f->n_defaults == f->def->n; }

/* Puts keyword arguments into the frame, by their parameter's name. */
static void bind_keywords(struct code_run *r, const struct function *f,
                          struct value *frame, const struct node *keywords)
{
    for (const struct node *k = keywords; k != NULL; k = k->next) {
        const struct node *param = f->def->a;
        while (param != NULL && param->name != k->name)
            param = param->next;
        if (param == NULL || frame[param->slot].kind != VALUE_UNBOUND)
            code_raise(r, CODE_FAULT);
        frame[param->slot] = k->value;
    }
}

struct value code_call(struct code_run *r, const struct function *f,
                       const struct code_args *args, const struct node *keywords)
{
    const struct node *const def = f->def;
    struct value *const frame = code_take(r, (size_t)def->n_slots * sizeof(*frame));
    struct value *const outer = r->frame;
    int64_t i = 0;
    enter(r);
    if (args->n > def->n)
        code_raise(r, CODE_FAULT);
    for (; i < args->n; i++) /* parameters are the first local variables */
        frame[i] = args->items[i];
    bind_keywords(r, f, frame, keywords);
    const int64_t n_required = def->n - f->n_defaults;
    for (i = 0; i < def->n; i++) {
        if (frame[i].kind == VALUE_UNBOUND && i >= n_required)
            frame[i] = f->defaults[i - n_required];
        if (frame[i].kind == VALUE_UNBOUND)
            code_raise(r, CODE_FAULT);
    }
    r->frame = frame;
    r->result = value_none();
    if (code_exec(r, def->b) != FLOW_RETURN)
        r->result = value_none();
    r->frame = outer;
    r->depth--;
    return r->result;
}

/* Keyword arguments with their values, in order: nodes of this one call */
static struct node *eval_keywords(struct code_run *r, const struct node *arg)
{
    struct node *first = NULL, **link = &first;
    for (; arg != NULL; arg = arg->next) {
        struct node *const k = *link = code_take(r, sizeof(*k));
        k->name = arg->name;
        k->value = code_eval_expr(r, arg->a);
        link = &k->next;
    }
    return first;
}

static struct value call_builtin(struct code_run *r, enum builtin id,
                                 struct code_args *args, const struct node *keywords)
{
    if (keywords != NULL) {
        if (keywords->next != NULL)
            code_raise(r, CODE_UNSUPPORTED);
        args->keyword = keywords->name;
        args->keyword_value = keywords->value;
    }
    return code_call_builtin(r, id, args);
}

/* list.append(v) */
static struct value call_append(struct code_run *r, struct value base,
                                const struct name *method, const struct node *call)
{
    const bool is_append = method->len == 6 && memcmp(method->text, "append", 6) == 0;
    if (base.kind != VALUE_LIST || !is_append)
        code_raise(r, CODE_UNSUPPORTED);
    if (call->n != 1 || call->b->kind == NODE_KEYWORD)
        code_raise(r, CODE_FAULT);
    const struct value v = code_eval_expr(r, call->b);
    code_append(r, base.seq, v);
    return value_none();
}

static struct value eval_callee(struct code_run *r, const struct node *n,
                                struct value *base_out)
{
    if (n->kind != NODE_ATTRIBUTE)
        return code_eval_expr(r, n);
    *base_out = code_eval_expr(r, n->a);
    if (base_out->kind != VALUE_MODULE)
        return (struct value){.kind = VALUE_UNBOUND}; /* a method */
    return (struct value){.kind = VALUE_BUILTIN, .i = code_math_find(n->name)};
}

static struct value eval_call(struct code_run *r, const struct node *n)
{
    struct value base = {.kind = VALUE_UNBOUND};
    const struct value callee = eval_callee(r, n->a, &base);
    if (callee.kind == VALUE_UNBOUND)
        return call_append(r, base, n->a->name, n);
    if (callee.kind == VALUE_BUILTIN && callee.i == BUILTIN_OTHER)
        code_raise(r, CODE_UNSUPPORTED);
    struct code_args args = {
        .items = code_take(r, (size_t)n->n * sizeof(struct value)),
    };
    const struct node *arg = n->b;
    for (; arg != NULL && arg->kind != NODE_KEYWORD; arg = arg->next)
        args.items[args.n++] = code_eval_expr(r, arg);
    const struct node *const keywords = eval_keywords(r, arg);
    if (callee.kind == VALUE_BUILTIN && callee.i != BUILTIN_PI)
        return call_builtin(r, (enum builtin)callee.i, &args, keywords);
    if (callee.kind != VALUE_FUNCTION) /* not callable */
        code_raise(r, CODE_FAULT);
    return code_call(r, callee.function, &args, keywords);
}

static struct value eval_kind(struct code_run *r, const struct node *n)
{
    struct value a;
    switch ((int)n->kind) {
    case NODE_VALUE:
        return n->value;
    case NODE_NAME:
        return eval_name(r, n);
    case NODE_TUPLE:
    case NODE_LIST:
        return eval_items(r, n);
    case NODE_UNARY:
        return code_unary(r, n->op, code_eval_expr(r, n->a));
    case NODE_BINARY:
        a = code_eval_expr(r, n->a);
        return code_binary(r, n->op, a, code_eval_expr(r, n->b));
    case NODE_COMPARE:
        return eval_compare(r, n);
    case NODE_AND:
    case NODE_OR:
        return eval_chain(r, n);
    case NODE_CHOICE:
        return code_eval_expr(r, code_truth(r, code_eval_expr(r, n->b)) ? n->a : n->c);
    case NODE_CALL:
        return eval_call(r, n);
    case NODE_INDEX:
        return eval_index(r, n);
    case NODE_ATTRIBUTE:
        return eval_attribute(r, n);
    default: /* a slice among several indices */
        code_raise(r, CODE_UNSUPPORTED);
    }
}

struct value code_eval_expr(struct code_run *r, const struct node *n)
{
    enter(r);
    const struct value v = eval_kind(r, n);
    r->depth--;
    return v;
}
