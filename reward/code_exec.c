/*
 * Statements.
 */
#include "reward/code_eval.h"
#include "reward/code_ops.h"

static void assign(struct code_run *r, const struct node *target, struct value v);

static void assign_items(struct code_run *r, const struct node *target, struct value v)
{
    if (!code_is_seq(v) && v.kind != VALUE_RANGE)
        code_raise(r, v.kind == VALUE_TEXT ? CODE_UNSUPPORTED : CODE_FAULT);
    int64_t n = 0, i = 0;
    for (const struct node *item = target->a; item != NULL; item = item->next)
        n++;
    if (code_len(r, v) != n)
        code_raise(r, CODE_FAULT);
    /* a copy: the targets may be items of v */
    const struct value items = code_copy_items(r, VALUE_TUPLE, v);
    for (const struct node *item = target->a; item != NULL; item = item->next)
        assign(r, item, items.seq->items[i++]);
}

static void assign_index(struct code_run *r, struct value base, struct value index,
                         struct value v)
{
    if (base.kind != VALUE_LIST)
        code_raise(r, base.kind >= VALUE_FUNCTION ? CODE_UNSUPPORTED : CODE_FAULT);
    base.seq->items[code_position(r, index, base.seq->n)] = v;
}

static void assign(struct code_run *r, const struct node *target, struct value v)
{
    code_step(r, 1);
    if (target->kind == NODE_NAME) {
        if (target->slot >= 0)
            r->frame[target->slot] = v;
        else
            target->name->global = v;
    } else if (target->kind == NODE_TUPLE || target->kind == NODE_LIST) {
        assign_items(r, target, v);
    } else if (target->kind == NODE_INDEX && target->b->kind != NODE_SLICE) {
        const struct value base = code_eval_expr(r, target->a);
        assign_index(r, base, code_eval_expr(r, target->b), v);
    } else {
        code_raise(r, CODE_UNSUPPORTED);
    }
}

/* Remembers the name assigned last at module level; of several, the last one. */
static void note_assigned(struct code_run *r, const struct node *target)
{
    if (r->frame == NULL && target->kind == NODE_NAME)
        r->assigned = target->name;
    if (target->kind == NODE_TUPLE || target->kind == NODE_LIST)
        for (const struct node *item = target->a; item != NULL; item = item->next)
            note_assigned(r, item);
}

static void exec_assign(struct code_run *r, const struct node *n)
{
    if (n->b == NULL)
        return;
    const struct value v = code_eval_expr(r, n->b);
    for (const struct node *target = n->a; target != NULL; target = target->next) {
        assign(r, target, v);
        note_assigned(r, target);
    }
}

/* a op= b; a list is changed in place */
static struct value augment(struct code_run *r, enum lex_kind op, struct value a,
                            struct value b)
{
    if (a.kind != VALUE_LIST || (op != OP_ADD && op != OP_MUL))
        return code_binary(r, op, a, b);
    if (op == OP_MUL) {
        const struct value product = code_binary(r, op, a, b);
        *a.seq = *product.seq;
        return a;
    }
    const struct value items = code_copy_items(r, VALUE_LIST, b);
    code_step(r, items.seq->n);
    for (int64_t i = 0; i < items.seq->n; i++)
        code_append(r, a.seq, items.seq->items[i]);
    return a;
}

static void exec_augment(struct code_run *r, const struct node *n)
{
    const struct node *const target = n->a;
    if (target->kind == NODE_NAME) {
        const struct value a = code_eval_expr(r, target);
        assign(r, target, augment(r, n->op, a, code_eval_expr(r, n->b)));
        note_assigned(r, target);
        return;
    }
    if (target->kind != NODE_INDEX || target->b->kind == NODE_SLICE)
        code_raise(r, CODE_UNSUPPORTED);
    const struct value base = code_eval_expr(r, target->a);
    const struct value index = code_eval_expr(r, target->b);
    const struct value a = code_index(r, base, index);
    const struct value v = augment(r, n->op, a, code_eval_expr(r, n->b));
    assign_index(r, base, index, v);
}

static enum code_flow exec_if(struct code_run *r, const struct node *n)
{
    while (!code_truth(r, code_eval_expr(r, n->a))) {
        if (n->n == 0)
            return code_exec(r, n->c);
        n = n->c;
    }
    return code_exec(r, n->b);
}

static enum code_flow exec_while(struct code_run *r, const struct node *n)
{
    while (code_truth(r, code_eval_expr(r, n->a))) {
        const enum code_flow flow = code_exec(r, n->b);
        if (flow == FLOW_RETURN)
            return flow;
        if (flow == FLOW_BREAK)
            return FLOW_NEXT;
    }
    return code_exec(r, n->c);
}

static enum code_flow exec_for(struct code_run *r, const struct node *n)
{
    const struct value all = code_eval_expr(r, n->a->next);
    /* the length is asked anew: the body may append to the list */
    for (int64_t i = 0; i < code_len(r, all); i++) {
        assign(r, n->a, code_item(all, i));
        const enum code_flow flow = code_exec(r, n->b);
        if (flow == FLOW_RETURN)
            return flow;
        if (flow == FLOW_BREAK)
            return FLOW_NEXT;
    }
    return code_exec(r, n->c);
}

static void exec_import(struct code_run *r, const struct node *n)
{
    if (n->n < 0)
        code_raise(r, CODE_UNSUPPORTED);
    for (const struct node *target = n->a; target != NULL; target = target->next)
        assign(r, target, target->value);
}

static void exec_def(struct code_run *r, const struct node *n)
{
    struct function *const f = code_take(r, sizeof(*f));
    f->def = n;
    f->defaults = code_take(r, (size_t)n->n * sizeof(*f->defaults));
    for (const struct node *param = n->a; param != NULL; param = param->next)
        if (param->a != NULL)
            f->defaults[f->n_defaults++] = code_eval_expr(r, param->a);
    n->name->global = (struct value){.kind = VALUE_FUNCTION, .function = f};
    if (code_takes_none(f))
        r->last_def = n->name;
}

static enum code_flow exec_statement(struct code_run *r, const struct node *n)
{
    switch ((int)n->kind) {
    case NODE_EXPRESSION:
        r->shown = code_eval_expr(r, n->a);
        return FLOW_NEXT;
    case NODE_ASSIGN:
        exec_assign(r, n);
        return FLOW_NEXT;
    case NODE_AUGMENT:
        exec_augment(r, n);
        return FLOW_NEXT;
    case NODE_IF:
        return exec_if(r, n);
    case NODE_WHILE:
        return exec_while(r, n);
    case NODE_FOR:
        return exec_for(r, n);
    case NODE_BREAK:
        return FLOW_BREAK;
    case NODE_CONTINUE:
        return FLOW_CONTINUE;
    case NODE_RETURN:
        r->result = n->a == NULL ? value_none() : code_eval_expr(r, n->a);
        return FLOW_RETURN;
    case NODE_ASSERT:
        if (!code_truth(r, code_eval_expr(r, n->a)))
            code_raise(r, CODE_FAULT);
        return FLOW_NEXT;
    case NODE_RAISE:
        code_raise(r, CODE_FAULT);
    case NODE_IMPORT:
        exec_import(r, n);
        return FLOW_NEXT;
    case NODE_DEF:
        exec_def(r, n);
        return FLOW_NEXT;
    default: /* pass */
        return FLOW_NEXT;
    }
}

enum code_flow code_exec(struct code_run *r, const struct node *n)
{
    enum code_flow flow = FLOW_NEXT;
    r->depth++; /* blocks nest as the parser let them; calls and expressions check */
    for (; n != NULL && flow == FLOW_NEXT; n = n->next) {
        code_step(r, 1);
        flow = exec_statement(r, n);
    }
    r->depth--;
    return flow;
}
