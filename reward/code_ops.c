/*
 * Operators on all values: which operands they take, and comparing sequences.
 */
#include "reward/code_ops.h"

#include <math.h>
#include <string.h>

#include "reward/code_float.h"

/* Operands that Python might know what to do with, and the subset does not */
static bool is_foreign(struct value v)
{
    return v.kind == VALUE_TEXT || v.kind >= VALUE_RANGE;
}

static _Noreturn void raise_operands(struct code_run *r, struct value a, struct value b)
{
    code_raise(r, is_foreign(a) || is_foreign(b) ? CODE_UNSUPPORTED : CODE_FAULT);
}

bool code_truth(struct code_run *r, struct value v)
{
    switch (v.kind) {
    case VALUE_UNBOUND:
    case VALUE_NONE:
        return false;
    case VALUE_BOOL:
    case VALUE_INT:
        return v.i != 0;
    case VALUE_FLOAT:
        return v.f != 0;
    case VALUE_TEXT:
        if (!v.text->is_exact)
            code_raise(r, CODE_UNSUPPORTED);
        return v.text->len > 0;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_RANGE:
        return code_len(r, v) > 0;
    case VALUE_BIG:
    case VALUE_FUNCTION:
    case VALUE_BUILTIN:
    case VALUE_MODULE:
        break;
    }
    return true;
}

struct value code_unary(struct code_run *r, enum lex_kind op, struct value a)
{
    if (op == KW_NOT)
        return value_bool(!code_truth(r, a));
    if (op == OP_BIT_NOT)
        code_raise(r, CODE_UNSUPPORTED);
    if (!code_is_number(a))
        raise_operands(r, a, a);
    if (a.kind == VALUE_FLOAT)
        return value_float(op == OP_SUB ? -a.f : a.f);
    return code_arithmetic(r, op, value_int(0), a);
}

static struct value concat(struct code_run *r, struct value a, struct value b)
{
    const int64_t n_a = a.seq->n, n_b = b.seq->n;
    const struct value out = value_seq(r, a.kind, n_a + n_b);
    for (int64_t i = 0; i < n_a + n_b; i++)
        out.seq->items[i] = i < n_a ? a.seq->items[i] : b.seq->items[i - n_a];
    return out;
}

static struct value repeat(struct code_run *r, struct value a, struct value times)
{
    const int64_t n = a.seq->n;
    int64_t total = 0;
    if (times.kind == VALUE_BIG)
        code_raise(r, CODE_FAULT);
    if (times.i > 0 && __builtin_mul_overflow(n, times.i, &total))
        code_raise(r, CODE_LIMIT);
    const struct value out = value_seq(r, a.kind, total);
    for (int64_t i = 0; i < total; i++)
        out.seq->items[i] = a.seq->items[i % n];
    return out;
}

static bool is_arithmetic(enum lex_kind op)
{
    return op == OP_ADD || op == OP_SUB || op == OP_MUL || op == OP_DIV ||
           op == OP_FLOOR || op == OP_MOD || op == OP_POWER;
}

struct value code_binary(struct code_run *r, enum lex_kind op, struct value a,
                         struct value b)
{
    if (!is_arithmetic(op))
        code_raise(r, CODE_UNSUPPORTED);
    if (code_is_number(a) && code_is_number(b))
        return code_arithmetic(r, op, a, b);
    if (op == OP_ADD && code_is_seq(a) && a.kind == b.kind)
        return concat(r, a, b);
    if (op == OP_MUL && code_is_seq(a) && code_is_int(b))
        return repeat(r, a, b);
    if (op == OP_MUL && code_is_int(a) && code_is_seq(b))
        return repeat(r, b, a);
    raise_operands(r, a, b);
}

static bool is_nan(struct value v) { return v.kind == VALUE_FLOAT && isnan(v.f); }

/* Python takes an item for equal to itself, which a NaN shows; items have no identity
 * here. */
static bool item_equal(struct code_run *r, struct value a, struct value b)
{
    if (is_nan(a) || is_nan(b))
        code_raise(r, CODE_UNSUPPORTED);
    return code_equal(r, a, b);
}

static void enter(struct code_run *r)
{
    code_step(r, 1);
    if (++r->depth > CODE_DEPTH_MAX)
        code_raise(r, CODE_LIMIT);
}

/* the first place where two sequences differ, or the length of the shorter one */
static int64_t first_difference(struct code_run *r, const struct seq *a,
                                const struct seq *b)
{
    int64_t i = 0;
    enter(r);
    while (i < a->n && i < b->n && item_equal(r, a->items[i], b->items[i]))
        i++;
    r->depth--;
    return i;
}

static bool text_equal(struct code_run *r, const struct text *a, const struct text *b)
{
    if (!a->is_exact || !b->is_exact)
        code_raise(r, CODE_UNSUPPORTED);
    code_step(r, (int64_t)a->len / 16);
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

bool code_equal(struct code_run *r, struct value a, struct value b)
{
    code_step(r, 1);
    if (code_is_number(a) && code_is_number(b))
        return code_number_order(r, a, b) == 0;
    if (a.kind != b.kind) {
        if (a.kind >= VALUE_RANGE || b.kind >= VALUE_RANGE)
            code_raise(r, CODE_UNSUPPORTED);
        return false;
    }
    if (a.kind == VALUE_TEXT)
        return text_equal(r, a.text, b.text);
    if (code_is_seq(a))
        return a.seq->n == b.seq->n && first_difference(r, a.seq, b.seq) == a.seq->n;
    if (a.kind != VALUE_NONE)
        code_raise(r, CODE_UNSUPPORTED);
    return true;
}

static bool is_identical(struct code_run *r, struct value a, struct value b)
{
    if (a.kind == VALUE_NONE || b.kind == VALUE_NONE)
        return a.kind == b.kind;
    if (a.kind != VALUE_BOOL || b.kind != VALUE_BOOL)
        code_raise(r, CODE_UNSUPPORTED);
    return a.i == b.i;
}

static bool orders(enum lex_kind op, int order)
{
    switch ((int)op) {
    case OP_LT:
        return order == -1;
    case OP_GT:
        return order == 1;
    case OP_LE:
        return order == -1 || order == 0;
    default:
        return order == 1 || order == 0;
    }
}

static bool is_ordered(struct code_run *r, enum lex_kind op, struct value a,
                       struct value b)
{
    code_step(r, 1);
    if (code_is_number(a) && code_is_number(b))
        return orders(op, code_number_order(r, a, b));
    if (!code_is_seq(a) || a.kind != b.kind)
        raise_operands(r, a, b);
    const struct seq *const x = a.seq, *const y = b.seq;
    const int64_t i = first_difference(r, x, y);
    if (i == x->n || i == y->n)
        return orders(op, (x->n > y->n) - (x->n < y->n));
    enter(r);
    const bool result = is_ordered(r, op, x->items[i], y->items[i]);
    r->depth--;
    return result;
}

bool code_compare(struct code_run *r, enum lex_kind op, struct value a, struct value b)
{
    switch ((int)op) {
    case OP_EQ:
        return code_equal(r, a, b);
    case OP_NE:
        return !code_equal(r, a, b);
    case KW_IS:
        return is_identical(r, a, b);
    case KW_IN:
        return code_contains(r, b, a);
    default:
        return is_ordered(r, op, a, b);
    }
}
