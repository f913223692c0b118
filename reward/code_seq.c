/*
 * Lists, tuples and ranges. A range is never spelled out unless a list is made of it.
 */
#include "reward/code_ops.h"

#include <math.h>
#include <string.h>

bool code_is_seq(struct value v)
{
    return v.kind == VALUE_LIST || v.kind == VALUE_TUPLE;
}

/* What has no items here: a string has in Python */
static _Noreturn void raise_no_items(struct code_run *r, struct value v)
{
    code_raise(r, v.kind == VALUE_TEXT || v.kind >= VALUE_FUNCTION ? CODE_UNSUPPORTED
                                                                   : CODE_FAULT);
}

int64_t code_len(struct code_run *r, struct value v)
{
    if (code_is_seq(v))
        return v.seq->n;
    if (v.kind != VALUE_RANGE)
        raise_no_items(r, v);
    return v.range->n;
}

struct value code_item(struct value v, int64_t i)
{
    if (code_is_seq(v))
        return v.seq->items[i];
    return value_int(v.range->start + i * v.range->step); /* within its ends */
}

int64_t code_position(struct code_run *r, struct value index, int64_t n)
{
    if (index.kind != VALUE_INT && index.kind != VALUE_BOOL)
        code_raise(r, CODE_FAULT);
    const int64_t i = index.i < 0 ? index.i + n : index.i;
    if (i < 0 || i >= n)
        code_raise(r, CODE_FAULT);
    return i;
}

struct value code_index(struct code_run *r, struct value base, struct value index)
{
    const int64_t n = code_len(r, base);
    return code_item(base, code_position(r, index, n));
}

/* start or stop as Python clips it to [low, high] */
static int64_t clip(struct code_run *r, struct value v, int64_t otherwise, int64_t n,
                    int64_t low, int64_t high)
{
    if (v.kind == VALUE_NONE)
        return otherwise;
    if (!code_is_int(v))
        code_raise(r, CODE_FAULT);
    if (v.kind == VALUE_BIG)
        return v.big->is_negative ? low : high;
    const int64_t i = v.i < 0 ? v.i + n : v.i;
    return i < low ? low : i > high ? high : i;
}

struct value code_slice(struct code_run *r, struct value base,
                        const struct value part[3])
{
    int64_t step = 1;
    if (!code_is_seq(base)) {
        (void)code_len(r, base);
        code_raise(r, CODE_UNSUPPORTED); /* of a range */
    }
    if (part[2].kind != VALUE_NONE) {
        if (!code_is_int(part[2]))
            code_raise(r, CODE_FAULT);
        if (part[2].kind == VALUE_BIG)
            code_raise(r, CODE_UNSUPPORTED);
        step = part[2].i;
    }
    if (step == 0)
        code_raise(r, CODE_FAULT);
    const int64_t n = base.seq->n, low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    const int64_t start = clip(r, part[0], step < 0 ? high : low, n, low, high);
    const int64_t stop = clip(r, part[1], step < 0 ? low : high, n, low, high);
    const struct value out = value_seq(r, base.kind, 0);
    for (int64_t i = start; step < 0 ? i > stop : i < stop;) {
        code_append(r, out.seq, base.seq->items[i]);
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return out;
}

struct value code_copy_items(struct code_run *r, enum value_kind kind, struct value v)
{
    const int64_t n = code_len(r, v);
    const struct value out = value_seq(r, kind, n);
    for (int64_t i = 0; i < n; i++)
        out.seq->items[i] = code_item(v, i);
    return out;
}

void code_append(struct code_run *r, struct seq *s, struct value v)
{
    if (s->n == CODE_ITEMS_MAX)
        code_raise(r, CODE_LIMIT);
    if (s->n == s->cap) {
        const int64_t cap = s->cap < 8 ? 8 : 2 * s->cap;
        struct value *const items = code_take(r, (size_t)cap * sizeof(*items));
        memcpy(items, s->items, (size_t)s->n * sizeof(*items));
        s->items = items;
        s->cap = cap;
    }
    s->items[s->n++] = v;
}

static bool range_contains(struct code_run *r, const struct range *x, struct value item)
{
    if (!code_is_number(item))
        return false;
    if (item.kind == VALUE_FLOAT) {
        if (floor(item.f) != item.f || isinf(item.f))
            return false;
        item = code_from_double(r, item.f);
    }
    if (item.kind == VALUE_BIG || x->n == 0)
        return false;
    if (item.i > RANGE_END_MAX || item.i < -RANGE_END_MAX)
        return false;
    const int64_t distance = item.i - x->start;
    return distance % x->step == 0 && distance / x->step >= 0 &&
           distance / x->step < x->n;
}

bool code_contains(struct code_run *r, struct value v, struct value item)
{
    if (v.kind == VALUE_RANGE)
        return range_contains(r, v.range, item);
    const int64_t n = code_len(r, v);
    for (int64_t i = 0; i < n; i++) {
        code_step(r, 1);
        if (code_equal(r, v.seq->items[i], item))
            return true;
    }
    return false;
}

/* merges the sorted a[lo, mid) and a[mid, hi) into b; equal items keep their order */
static void merge(struct code_run *r, struct value *b, const struct value *a,
                  const int64_t bounds[3])
{
    int64_t i = bounds[0], j = bounds[1];
    code_step(r, bounds[2] - bounds[0]);
    for (int64_t k = bounds[0]; k < bounds[2]; k++) {
        const bool is_right = i == bounds[1] ||
                              (j < bounds[2] && code_compare(r, OP_LT, a[j], a[i]));
        b[k] = is_right ? a[j++] : a[i++];
    }
}

static void reverse(struct seq *s)
{
    for (int64_t i = 0, j = s->n - 1; i < j; i++, j--) {
        const struct value t = s->items[i];
        s->items[i] = s->items[j];
        s->items[j] = t;
    }
}

struct value code_sorted(struct code_run *r, struct value v, bool is_reverse)
{
    const struct value out = code_copy_items(r, VALUE_LIST, v);
    struct seq *const s = out.seq;
    struct value *spare = code_take(r, (size_t)s->n * sizeof(*spare));
    for (int64_t i = 0; i < s->n; i++) /* no order that is worth following */
        if (s->items[i].kind == VALUE_FLOAT && isnan(s->items[i].f))
            code_raise(r, CODE_UNSUPPORTED);
    if (is_reverse)
        reverse(s);
    for (int64_t width = 1; width < s->n; width *= 2) {
        for (int64_t lo = 0; lo < s->n; lo += 2 * width) {
            const int64_t mid = lo + width < s->n ? lo + width : s->n;
            const int64_t hi = mid + width < s->n ? mid + width : s->n;
            merge(r, spare, s->items, (const int64_t[3]){lo, mid, hi});
        }
        struct value *const t = s->items;
        s->items = spare;
        spare = t;
    }
    s->cap = s->n;
    if (is_reverse)
        reverse(s);
    return out;
}
