/*
 * Arithmetic of int, bool and float. Ints take 64-bit paths as long as nothing
 * overflows; the wide ones are exact, and only they need many words.
 */
#include <math.h>
#include <stdlib.h>

#include "reward/code_float.h"
#include "reward/code_ops.h"

/* every int up to here is a double */
static const int64_t exact_double = (int64_t)1 << 53;

bool code_is_int(struct value v)
{
    return v.kind == VALUE_INT || v.kind == VALUE_BOOL || v.kind == VALUE_BIG;
}

bool code_is_number(struct value v) { return code_is_int(v) || v.kind == VALUE_FLOAT; }

void code_to_wide(struct wide *out, struct value v)
{
    if (v.kind == VALUE_BIG)
        wide_copy(out, v.big);
    else
        wide_set(out, v.i);
}

double code_to_double(struct code_run *r, struct value v)
{
    struct wide one;
    double x;
    if (v.kind == VALUE_FLOAT)
        return v.f;
    if (v.kind != VALUE_BIG)
        return (double)v.i; /* to nearest, ties to even */
    wide_set(&one, 1);
    if (!wide_ratio(&x, v.big, &one))
        code_raise(r, CODE_FAULT);
    return x;
}

struct value code_from_double(struct code_run *r, double whole)
{
    struct wide num, den;
    if (!isfinite(whole))
        code_raise(r, CODE_FAULT);
    if (fabs(whole) < (double)exact_double)
        return value_int((int64_t)whole);
    wide_from_double(&num, &den, whole);
    return value_wide(r, &num);
}

/* a product or quotient touches this many pairs of words */
static void charge(struct code_run *r, const struct wide *a, const struct wide *b)
{
    code_step(r, 1 + (int64_t)a->n * b->n / 8);
}

static struct value wide_op(struct code_run *r, enum lex_kind op, struct value x,
                            struct value y)
{
    struct wide a, b, q;
    code_to_wide(&a, x);
    code_to_wide(&b, y);
    charge(r, &a, &b);
    if (op == OP_ADD)
        wide_add(&a, &a, &b);
    else if (op == OP_SUB)
        wide_sub(&a, &a, &b);
    else if (op == OP_MUL)
        wide_mul(&a, &a, &b);
    else if (op == OP_FLOOR)
        wide_divmod(&a, &q, &a, &b);
    else
        wide_divmod(&q, &a, &a, &b);
    return value_wide(r, &a);
}

/* floor division and its remainder by C's truncating ones */
static struct value floor_op(enum lex_kind op, int64_t a, int64_t b)
{
    const int64_t rest = a % b;
    const bool is_below = rest != 0 && (rest < 0) != (b < 0);
    return value_int(op == OP_FLOOR ? a / b - is_below : is_below ? rest + b : rest);
}

static struct value int_op(struct code_run *r, enum lex_kind op, struct value a,
                           struct value b)
{
    int64_t i = 0;
    if ((op == OP_FLOOR || op == OP_MOD) && b.kind != VALUE_BIG && b.i == 0)
        code_raise(r, CODE_FAULT);
    if (a.kind == VALUE_BIG || b.kind == VALUE_BIG)
        return wide_op(r, op, a, b);
    if (op == OP_FLOOR || op == OP_MOD)
        return a.i == INT64_MIN ? wide_op(r, op, a, b) : floor_op(op, a.i, b.i);
    const bool is_over = op == OP_ADD   ? __builtin_add_overflow(a.i, b.i, &i)
                         : op == OP_SUB ? __builtin_sub_overflow(a.i, b.i, &i)
                                        : __builtin_mul_overflow(a.i, b.i, &i);
    return is_over ? wide_op(r, op, a, b) : value_int(i);
}

/* int / int: the double nearest to the exact quotient */
static struct value true_divide(struct code_run *r, struct value a, struct value b)
{
    struct wide x, y;
    double q;
    if (b.kind != VALUE_BIG && b.i == 0)
        code_raise(r, CODE_FAULT);
    if (a.kind != VALUE_BIG && b.kind != VALUE_BIG && a.i >= -exact_double &&
        a.i <= exact_double && b.i >= -exact_double && b.i <= exact_double)
        return value_float((double)a.i / (double)b.i);
    code_to_wide(&x, a);
    code_to_wide(&y, b);
    charge(r, &x, &y);
    if (!wide_ratio(&q, &x, &y))
        code_raise(r, CODE_FAULT);
    return value_float(q);
}

static struct value float_power(struct code_run *r, double x, double y)
{
    if (x == 0 && y < 0)
        code_raise(r, CODE_FAULT);
    if (x < 0 && isfinite(x) && isfinite(y) && floor(y) != y) /* complex */
        code_raise(r, CODE_UNSUPPORTED);
    const double z = pow(x, y);
    if (isinf(z) && isfinite(x) && isfinite(y))
        code_raise(r, CODE_FAULT);
    return value_float(z);
}

/* int ** int for an exponent >= 0, from its highest bit down */
static struct value int_power(struct code_run *r, struct value a, struct value b)
{
    struct wide base, power;
    code_to_wide(&base, a);
    const bool is_unit = base.n == 0 || (base.n == 1 && base.w[0] == 1);
    if (is_unit && b.kind == VALUE_BIG) /* only whether it is odd matters */
        b = value_int(2 + (b.big->w[0] & 1));
    if (b.kind == VALUE_BIG || (!is_unit && b.i > CODE_INT_BITS))
        code_raise(r, CODE_LIMIT);
    wide_set(&power, 1);
    for (int bit = 63 - __builtin_clzll((uint64_t)b.i | 1); bit >= 0; bit--) {
        charge(r, &power, &power);
        wide_mul(&power, &power, &power);
        if ((b.i >> bit & 1) != 0)
            wide_mul(&power, &power, &base);
        if (power.is_over || wide_bits(&power) > CODE_INT_BITS)
            code_raise(r, CODE_LIMIT);
    }
    return value_wide(r, &power);
}

static struct value power(struct code_run *r, struct value a, struct value b)
{
    const bool is_down = b.kind == VALUE_BIG ? b.big->is_negative : b.i < 0;
    if (code_is_int(a) && code_is_int(b) && !is_down)
        return int_power(r, a, b);
    const double x = code_to_double(r, a);
    return float_power(r, x, code_to_double(r, b));
}

static struct value float_op(struct code_run *r, enum lex_kind op, double x, double y)
{
    double q, rest;
    if ((op == OP_DIV || op == OP_FLOOR || op == OP_MOD) && y == 0)
        code_raise(r, CODE_FAULT);
    switch ((int)op) {
    case OP_ADD:
        return value_float(x + y);
    case OP_SUB:
        return value_float(x - y);
    case OP_MUL:
        return value_float(x * y);
    case OP_DIV:
        return value_float(x / y);
    default:
        float_divmod(&q, &rest, x, y);
        return value_float(op == OP_FLOOR ? q : rest);
    }
}

struct value code_arithmetic(struct code_run *r, enum lex_kind op, struct value a,
                             struct value b)
{
    if (op == OP_POWER)
        return power(r, a, b);
    if (code_is_int(a) && code_is_int(b))
        return op == OP_DIV ? true_divide(r, a, b) : int_op(r, op, a, b);
    const double x = code_to_double(r, a);
    return float_op(r, op, x, code_to_double(r, b));
}

/* an int against a float, exactly */
static int mixed_order(struct code_run *r, struct value a, double y)
{
    struct wide i, num, den;
    if (isinf(y))
        return y > 0 ? -1 : 1;
    code_to_wide(&i, a);
    wide_from_double(&num, &den, y);
    charge(r, &i, &den);
    wide_mul(&i, &i, &den);
    return wide_cmp(&i, &num);
}

int code_number_order(struct code_run *r, struct value a, struct value b)
{
    if (code_is_int(a) && code_is_int(b)) {
        struct wide x, y;
        if (a.kind != VALUE_BIG && b.kind != VALUE_BIG)
            return (a.i > b.i) - (a.i < b.i);
        code_to_wide(&x, a);
        code_to_wide(&y, b);
        return wide_cmp(&x, &y);
    }
    if ((a.kind == VALUE_FLOAT && isnan(a.f)) || (b.kind == VALUE_FLOAT && isnan(b.f)))
        return ORDER_NONE;
    if (a.kind == VALUE_FLOAT && b.kind == VALUE_FLOAT)
        return (a.f > b.f) - (a.f < b.f);
    if (a.kind == VALUE_FLOAT)
        return -mixed_order(r, b, a.f);
    return mixed_order(r, a, b.f);
}
