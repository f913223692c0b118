/*
 * The built-in functions, and ceil, floor and sqrt of math.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reward/code_float.h"
#include "reward/code_ops.h"

enum { ROUND_STEPS = 20 }; /* wide arithmetic, counted as this much work */

static bool is_word(const struct name *name, const char *text)
{
    return name->len == strlen(text) && memcmp(name->text, text, name->len) == 0;
}

/* What is not a number where one is needed */
static _Noreturn void raise_number(struct code_run *r, struct value v)
{
    const bool is_foreign = v.kind == VALUE_TEXT || v.kind >= VALUE_FUNCTION;
    code_raise(r, is_foreign ? CODE_UNSUPPORTED : CODE_FAULT);
}

static double number_of(struct code_run *r, struct value v)
{
    if (!code_is_number(v))
        raise_number(r, v);
    return code_to_double(r, v);
}

static struct value absolute(struct code_run *r, struct value v)
{
    if (!code_is_number(v))
        raise_number(r, v);
    if (v.kind == VALUE_FLOAT)
        return value_float(fabs(v.f));
    const bool is_negative = code_number_order(r, v, value_int(0)) < 0;
    return code_arithmetic(r, is_negative ? OP_SUB : OP_ADD, value_int(0), v);
}

/* an int as it is, a float rounded by `whole` */
static struct value to_int(struct code_run *r, struct value v, double (*whole)(double))
{
    if (!code_is_number(v))
        raise_number(r, v);
    if (v.kind == VALUE_FLOAT)
        return code_from_double(r, whole(v.f));
    return code_arithmetic(r, OP_ADD, value_int(0), v);
}

/* round(int, -n): to the nearest multiple of 10^n, ties to even */
static struct value round_int(struct code_run *r, struct value v, int64_t n)
{
    struct wide a, scale;
    code_to_wide(&a, v);
    wide_pow10(&scale, n);
    /* more than twice any int */
    if (scale.is_over || wide_bits(&scale) > CODE_INT_BITS + 1)
        return value_int(0);
    code_step(r, ROUND_STEPS + n / 2);
    wide_div_round(&a, &a, &scale);
    wide_mul(&a, &a, &scale);
    return value_wide(r, &a);
}

static struct value round_value(struct code_run *r, struct value v, struct value digits)
{
    if (!code_is_number(v))
        raise_number(r, v);
    if (digits.kind == VALUE_NONE) {
        if (v.kind == VALUE_FLOAT)
            return code_from_double(r, rint(v.f)); /* ties to even */
        return code_arithmetic(r, OP_ADD, value_int(0), v);
    }
    if (!code_is_int(digits))
        raise_number(r, digits.kind == VALUE_TEXT ? digits : value_none());
    if (digits.kind == VALUE_BIG)
        code_raise(r, CODE_UNSUPPORTED);
    const int64_t n = digits.i;
    if (v.kind != VALUE_FLOAT)
        return n < 0 ? round_int(r, v, n < -WIDE_DIGITS ? WIDE_DIGITS : -n)
                     : code_arithmetic(r, OP_ADD, value_int(0), v);
    double out;
    if (!isfinite(v.f))
        return v;
    code_step(r, ROUND_STEPS);
    if (!float_round(&out, v.f, n))
        code_raise(r, CODE_FAULT);
    return value_float(out);
}

static struct value extreme(struct code_run *r, const struct code_args *args,
                            enum lex_kind op)
{
    struct seq given = {.items = args->items, .n = args->n};
    struct value all = {.kind = VALUE_TUPLE, .seq = &given};
    if (args->n == 1)
        all = args->items[0];
    const int64_t n = code_len(r, all);
    if (n == 0)
        code_raise(r, CODE_FAULT);
    struct value best = code_item(all, 0);
    for (int64_t i = 1; i < n; i++) {
        const struct value v = code_item(all, i);
        best = code_compare(r, op, v, best) ? v : best;
    }
    return best;
}

static struct value sum(struct code_run *r, struct value all, struct value start)
{
    const int64_t n = code_len(r, all);
    if (start.kind == VALUE_TEXT)
        code_raise(r, CODE_FAULT);
    for (int64_t i = 0; i < n; i++) {
        code_step(r, 1);
        start = code_binary(r, OP_ADD, start, code_item(all, i));
    }
    return start;
}

static int64_t range_part(struct code_run *r, struct value v)
{
    if (!code_is_int(v))
        raise_number(r, v);
    if (v.kind == VALUE_BIG || v.i > RANGE_END_MAX || v.i < -RANGE_END_MAX)
        code_raise(r, CODE_LIMIT);
    return v.i;
}

static struct value make_range(struct code_run *r, const struct code_args *args)
{
    struct range *const x = code_take(r, sizeof(*x));
    int64_t stop = range_part(r, args->items[0]);
    x->step = 1;
    if (args->n > 1) {
        x->start = stop;
        stop = range_part(r, args->items[1]);
    }
    if (args->n > 2)
        x->step = range_part(r, args->items[2]);
    if (x->step == 0)
        code_raise(r, CODE_FAULT);
    const int64_t distance = x->step > 0 ? stop - x->start : x->start - stop;
    x->n = distance <= 0 ? 0 : (distance - 1) / llabs(x->step) + 1;
    return (struct value){.kind = VALUE_RANGE, .range = x};
}

/* as it was when printed: lists change afterwards */
static struct value snapshot(struct code_run *r, struct value v)
{
    if (!code_is_seq(v))
        return v;
    if (++r->depth > CODE_DEPTH_MAX)
        code_raise(r, CODE_LIMIT);
    const struct value out = code_copy_items(r, v.kind, v);
    code_step(r, out.seq->n);
    for (int64_t i = 0; i < out.seq->n; i++)
        out.seq->items[i] = snapshot(r, out.seq->items[i]);
    r->depth--;
    return out;
}

static struct value print(struct code_run *r, const struct code_args *args)
{
    const struct value *shown = NULL;
    int64_t n_shown = 0;
    for (int64_t i = 0; i < args->n; i++) {
        const struct value *const v = &args->items[i];
        if (v->kind == VALUE_TEXT && !v->text->is_format)
            continue;
        shown = v;
        n_shown++;
    }
    if (n_shown == 1)
        r->printed = snapshot(r, *shown);
    else if (n_shown > 1) /* several values: none of them is the value */
        r->printed = (struct value){.kind = VALUE_TEXT};
    return value_none();
}

static struct value sorted(struct code_run *r, const struct code_args *args)
{
    bool is_reverse = false;
    if (args->keyword != NULL)
        is_reverse = code_truth(r, args->keyword_value);
    return code_sorted(r, args->items[0], is_reverse);
}

static struct value quotient_and_rest(struct code_run *r, struct value a,
                                      struct value b)
{
    const struct value out = value_seq(r, VALUE_TUPLE, 2);
    out.seq->items[0] = code_binary(r, OP_FLOOR, a, b);
    out.seq->items[1] = code_binary(r, OP_MOD, a, b);
    return out;
}

static struct value square_root(struct code_run *r, struct value v)
{
    const double x = number_of(r, v);
    if (x < 0)
        code_raise(r, CODE_FAULT);
    return value_float(sqrt(x));
}

/* how many arguments a function takes, and the keyword it takes besides */
struct signature {
    int16_t min, max;
    const char *keyword;
};

static const struct signature signatures[] = {
    [BUILTIN_ABS] = {1, 1, NULL},
    [BUILTIN_BOOL] = {0, 1, NULL},
    [BUILTIN_DIVMOD] = {2, 2, NULL},
    [BUILTIN_FLOAT] = {0, 1, NULL},
    [BUILTIN_INT] = {0, 1, NULL},
    [BUILTIN_LEN] = {1, 1, NULL},
    [BUILTIN_LIST_] = {0, 1, NULL},
    [BUILTIN_MAX] = {1, INT16_MAX, NULL},
    [BUILTIN_MIN] = {1, INT16_MAX, NULL},
    [BUILTIN_POW] = {2, 2, NULL},
    [BUILTIN_PRINT] = {0, INT16_MAX, "end"},
    [BUILTIN_RANGE] = {1, 3, NULL},
    [BUILTIN_ROUND] = {1, 2, "ndigits"},
    [BUILTIN_SORTED] = {1, 1, "reverse"},
    [BUILTIN_SUM] = {1, 2, "start"},
    [BUILTIN_TUPLE] = {0, 1, NULL},
    [BUILTIN_CEIL] = {1, 1, NULL},
    [BUILTIN_FLOOR] = {1, 1, NULL},
    [BUILTIN_SQRT] = {1, 1, NULL},
};

static void check_signature(struct code_run *r, enum builtin id,
                            const struct code_args *args)
{
    const struct signature *const s = &signatures[id];
    if (args->keyword != NULL &&
        (s->keyword == NULL || !is_word(args->keyword, s->keyword)))
        code_raise(r, CODE_UNSUPPORTED);
    /* pow(a, b, c), int(text, base) and the like are Python's, not the subset's */
    const bool is_wide = id == BUILTIN_POW || id == BUILTIN_INT;
    if (args->n > s->max)
        code_raise(r, is_wide ? CODE_UNSUPPORTED : CODE_FAULT);
    if (args->n < s->min)
        code_raise(r, CODE_FAULT);
}

/* the second argument, by place or by keyword */
static struct value second(struct code_run *r, const struct code_args *args,
                           struct value otherwise)
{
    if (args->keyword == NULL)
        return args->n > 1 ? args->items[1] : otherwise;
    if (args->n > 1)
        code_raise(r, CODE_FAULT);
    return args->keyword_value;
}

/* bool(), int(), float(), list(), tuple() */
static struct value empty(struct code_run *r, enum builtin id)
{
    switch ((int)id) {
    case BUILTIN_BOOL:
        return value_bool(false);
    case BUILTIN_INT:
        return value_int(0);
    case BUILTIN_FLOAT:
        return value_float(0);
    default:
        return value_seq(r, id == BUILTIN_LIST_ ? VALUE_LIST : VALUE_TUPLE, 0);
    }
}

static struct value call_with(struct code_run *r, enum builtin id,
                              const struct code_args *args)
{
    const struct value a = args->items[0];
    switch ((int)id) {
    case BUILTIN_ABS:
        return absolute(r, a);
    case BUILTIN_BOOL:
        return value_bool(code_truth(r, a));
    case BUILTIN_DIVMOD:
        return quotient_and_rest(r, a, args->items[1]);
    case BUILTIN_FLOAT:
        return value_float(number_of(r, a));
    case BUILTIN_INT:
        return to_int(r, a, trunc);
    case BUILTIN_LEN:
        return value_int(code_len(r, a));
    case BUILTIN_LIST_:
        return code_copy_items(r, VALUE_LIST, a);
    case BUILTIN_TUPLE:
        return code_copy_items(r, VALUE_TUPLE, a);
    case BUILTIN_MAX:
        return extreme(r, args, OP_GT);
    case BUILTIN_MIN:
        return extreme(r, args, OP_LT);
    case BUILTIN_POW:
        return code_binary(r, OP_POWER, a, args->items[1]);
    case BUILTIN_RANGE:
        return make_range(r, args);
    case BUILTIN_ROUND:
        return round_value(r, a, second(r, args, value_none()));
    case BUILTIN_SORTED:
        return sorted(r, args);
    case BUILTIN_SUM:
        return sum(r, a, second(r, args, value_int(0)));
    case BUILTIN_CEIL:
        return to_int(r, a, ceil);
    case BUILTIN_FLOOR:
        return to_int(r, a, floor);
    default:
        return square_root(r, a);
    }
}

struct value code_call_builtin(struct code_run *r, enum builtin id,
                               const struct code_args *args)
{
    check_signature(r, id, args);
    if (id == BUILTIN_PRINT)
        return print(r, args);
    return args->n == 0 ? empty(r, id) : call_with(r, id, args);
}
