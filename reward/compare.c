/* Dispatch by kind; scalars with their percent, degree and rounding policies. */
#include "reward/compare_parts.h"

#include <string.h>

int term_count(const struct term *t)
{
    int n = 0;
    for (int k = term_node(t)->child; k >= 0; k = t->e->at[k].next)
        n++;
    return n;
}

int infinity_sign(const struct term *t)
{
    const struct node *n = term_node(t);
    const int sign = n->kind == NODE_NEG ? -1 : 1;
    if (n->kind == NODE_NEG)
        n = &t->e->at[n->child];
    return n->kind == NODE_CONST && n->id == CONST_INF ? sign : 0;
}

/* The value under a percent or degree sign of the whole: -5% is -5 and the sign. */
static bool take_sign(struct pool *p, struct term *t, int kind)
{
    const struct node *const n = term_node(t);
    const bool is_negative = n->kind == NODE_NEG && t->e->at[n->child].kind == kind;
    if (!is_negative && n->kind != kind)
        return false;
    t->at = is_negative ? t->e->at[n->child].child : n->child;
    if (is_negative) {
        t->is_scaled = true;
        t->factor = rat_int(p, -1);
    }
    return true;
}

static struct term scaled_by(struct pool *p, struct term t, int64_t num, int64_t den)
{
    const struct rat factor = rat_mul(p, rat_int(p, num), rat_inverse(rat_int(p, den)));
    t.factor = t.is_scaled ? rat_mul(p, t.factor, factor) : factor;
    t.is_scaled = true;
    return t;
}

/* A number as written, with at most a sign: its decimals; -1: something else */
static int64_t written_decimals(const struct term *t, const struct node **out)
{
    const struct node *n = term_node(t);
    if (n->kind == NODE_NEG)
        n = &t->e->at[n->child];
    *out = n;
    return n->kind == NODE_NUM && n->len > 0 ? n->n_decimals : -1;
}

static int significant_digits(const struct node *n)
{
    int digits = 0;
    for (size_t i = 0; i < n->len; i++)
        digits += n->text[i] >= '0' && n->text[i] <= '9' &&
                  (digits > 0 || n->text[i] != '0');
    return digits;
}

static bool is_terminating(struct pool *p, const struct term *t)
{
    struct rat v;
    if (!eval_exact(p, t, &v))
        return false;
    /* a terminating decimal of any use divides 10^400 */
    const struct rat power = rat_pow(p, rat_int(p, 10), 400);
    return rat_is_int(p, rat_mul(p, v, power));
}

/* Half a unit of the last decimal place. */
static struct rat half_unit(struct pool *p, int64_t decimals)
{
    return rat_mul(p, rat_pow(p, rat_int(p, 10), -decimals),
                   rat_inverse(rat_int(p, 2)));
}

/* A decimal of 15 digits or more that is no exact value: it stands for what it is the
 * correct rounding of, and, with up to the 17 digits in which programs print doubles,
 * for what it is the nearest double of. The value must be no shorter decimal. */
static bool is_printed_double(struct pool *p, const struct term *decimal,
                              const struct term *value)
{
    const struct node *n;
    const int64_t decimals = written_decimals(decimal, &n);
    const int digits = decimals <= 0 ? 0 : significant_digits(n);
    if (digits < 15 || is_terminating(p, value))
        return false;
    const struct rat relative = rat_mul(p, n->num, rat_pow(p, rat_int(p, 2), -52)),
                     unit = half_unit(p, decimals);
    const bool is_wider = digits <= 17 && rat_compare(p, relative, unit) > 0;
    return eval_within(p, decimal, value, is_wider ? relative : unit) == EVAL_SAME;
}

static bool is_rounded(const struct comparison *c, const struct term *gold,
                       const struct term *answer)
{
    const struct node *n;
    const int64_t decimals = written_decimals(gold, &n);
    if (is_printed_double(c->pool, gold, answer) ||
        is_printed_double(c->pool, answer, gold))
        return true;
    return c->policy->rounding == ROUNDING_GOLD && decimals > 0 &&
           eval_within(c->pool, gold, answer, half_unit(c->pool, decimals)) ==
               EVAL_SAME;
}

static enum eval_verdict compare_values(const struct comparison *c,
                                        const struct term *gold,
                                        const struct term *answer)
{
    const enum eval_verdict verdict = eval_compare(c->pool, gold, answer);
    const bool is_closed = !expr_has_variable(gold->e, gold->at) &&
                           !expr_has_variable(answer->e, answer->at);
    if (verdict == EVAL_DIFFERENT && is_closed && is_rounded(c, gold, answer))
        return EVAL_SAME;
    return verdict;
}

static enum eval_verdict either(enum eval_verdict a, enum eval_verdict b)
{
    return a == EVAL_SAME || b == EVAL_DIFFERENT ? a : b;
}

/* One side has a percent sign: x% against y */
static enum eval_verdict compare_percent(const struct comparison *c,
                                         const struct term *gold,
                                         const struct term *answer, bool is_gold)
{
    const struct term g = is_gold ? scaled_by(c->pool, *gold, 1, 100) : *gold,
                      a = is_gold ? *answer : scaled_by(c->pool, *answer, 1, 100);
    enum eval_verdict whole = EVAL_DIFFERENT, part = EVAL_DIFFERENT;
    if (c->policy->percent != PERCENT_HUNDREDTH)
        whole = compare_values(c, gold, answer);
    if (whole != EVAL_SAME && c->policy->percent != PERCENT_IGNORED)
        part = compare_values(c, &g, &a);
    return either(whole, part);
}

static bool has_pi(const struct term *t)
{
    if (term_node(t)->kind == NODE_CONST && term_node(t)->id == CONST_PI)
        return true;
    for (int k = term_node(t)->child; k >= 0; k = t->e->at[k].next) {
        const struct term child = term_at(t, k);
        if (has_pi(&child))
            return true;
    }
    return false;
}

/* One side has a degree sign: a unit, or radians where the other speaks of pi. */
static enum eval_verdict compare_degrees(const struct comparison *c, struct term gold,
                                         struct term answer)
{
    const bool is_gold = take_sign(c->pool, &gold, NODE_DEGREE),
               is_answer = take_sign(c->pool, &answer, NODE_DEGREE);
    const enum eval_verdict verdict = compare_values(c, &gold, &answer);
    if (is_gold == is_answer || verdict == EVAL_SAME ||
        !has_pi(is_gold ? &answer : &gold))
        return verdict;
    /* 180 v = d pi is v = d pi / 180: both sides without a tree of its own for it */
    struct term *const degrees = is_gold ? &gold : &answer;
    const struct node *const n = term_node(degrees);
    for (int k = 0; k < degrees->e->n; k++)
        if (degrees->e->at[k].kind == NODE_DEGREE &&
            &degrees->e->at[degrees->e->at[k].child] == n) {
            degrees->at = k;
            degrees->is_radian = true;
        }
    return compare_values(c, &gold, &answer);
}

/* 2/4: a quotient of integers that is not in lowest terms */
static bool is_unreduced(const struct comparison *c, const struct term *t)
{
    const struct node *const n = term_node(t);
    uint64_t num, den;
    if (c->policy->fractions == FRACTIONS_ANY || n->kind != NODE_DIV)
        return false;
    const struct node *const a = &t->e->at[n->child], *const b = &t->e->at[a->next];
    if (a->kind != NODE_NUM || b->kind != NODE_NUM || !big_get(a->num.num, &num) ||
        !big_get(b->num.num, &den))
        return false;
    const struct rat reduced = rat_make(c->pool, 1, a->num.num, b->num.num);
    uint64_t low;
    return big_get(reduced.den, &low) && low != den;
}

static enum eval_verdict compare_scalars(const struct comparison *c,
                                         const struct term *gold,
                                         const struct term *answer)
{
    struct term g = *gold, a = *answer;
    const int g_inf = infinity_sign(gold), a_inf = infinity_sign(answer);
    if (g_inf != 0 || a_inf != 0)
        return g_inf == a_inf ? EVAL_SAME : EVAL_DIFFERENT;
    if (is_unreduced(c, answer))
        return EVAL_DIFFERENT;
    const bool g_percent = take_sign(c->pool, &g, NODE_PERCENT),
               a_percent = take_sign(c->pool, &a, NODE_PERCENT);
    if (g_percent != a_percent)
        return compare_percent(c, &g, &a, g_percent);
    return compare_degrees(c, g, a);
}

static enum eval_verdict compare_children(struct comparison *c, const struct term *gold,
                                          const struct term *answer)
{
    if (term_count(gold) != term_count(answer))
        return EVAL_DIFFERENT;
    int k = term_node(answer)->child;
    for (int i = term_node(gold)->child; i >= 0; i = gold->e->at[i].next) {
        const struct term g = term_at(gold, i), a = term_at(answer, k);
        const enum eval_verdict verdict = compare_terms(c, &g, &a);
        if (verdict != EVAL_SAME)
            return verdict;
        k = answer->e->at[k].next;
    }
    return EVAL_SAME;
}

static enum eval_verdict compare_tuples(struct comparison *c, const struct term *gold,
                                        const struct term *answer)
{
    const struct node *const g = term_node(gold), *const a = term_node(answer);
    if (term_count(gold) == 2 && (g->op != a->op || g->close != a->close))
        return EVAL_DIFFERENT;
    return compare_children(c, gold, answer);
}

/* A column of n rows of one element, against a tuple of n. */
static enum eval_verdict compare_column(struct comparison *c, const struct term *matrix,
                                        const struct term *tuple)
{
    if (term_count(matrix) != term_count(tuple) || term_node(tuple)->op != '(' ||
        term_node(tuple)->close != ')')
        return EVAL_DIFFERENT;
    int k = term_node(tuple)->child;
    for (int i = term_node(matrix)->child; i >= 0; i = matrix->e->at[i].next) {
        const struct term row = term_at(matrix, i),
                          cell = term_at(matrix, term_node(&row)->child),
                          other = term_at(tuple, k);
        if (term_count(&row) != 1)
            return EVAL_DIFFERENT;
        const enum eval_verdict verdict = compare_terms(c, &cell, &other);
        if (verdict != EVAL_SAME)
            return verdict;
        k = tuple->e->at[k].next;
    }
    return EVAL_SAME;
}

/* 12:00, 9:05: a second part of two digits */
static bool is_time(const struct term *t)
{
    const struct node *const n = &t->e->at[t->e->at[term_node(t)->child].next];
    return n->kind == NODE_NUM && n->len == 2;
}

static enum eval_verdict compare_ratios(struct comparison *c, const struct term *gold,
                                        const struct term *answer)
{
    const bool is_clock = is_time(gold) || is_time(answer);
    if (is_clock && (term_node(gold)->has_unit || term_node(answer)->has_unit))
        return EVAL_DIFFERENT; /* a.m. or p.m.: only as the same text */
    if (is_clock || term_count(gold) != term_count(answer))
        return compare_children(c, gold, answer);
    struct rat g0, a0, g, a;
    const int first = term_node(gold)->child, other = term_node(answer)->child;
    struct term x = term_at(gold, first), y = term_at(answer, other);
    if (!eval_exact(c->pool, &x, &g0) || !eval_exact(c->pool, &y, &a0) ||
        g0.sign == 0 || a0.sign == 0)
        return compare_children(c, gold, answer);
    int k = answer->e->at[other].next;
    for (int i = gold->e->at[first].next; i >= 0; i = gold->e->at[i].next) {
        x = term_at(gold, i);
        y = term_at(answer, k);
        if (!eval_exact(c->pool, &x, &g) || !eval_exact(c->pool, &y, &a) ||
            rat_compare(c->pool, rat_mul(c->pool, g, a0), rat_mul(c->pool, a, g0)) != 0)
            return EVAL_DIFFERENT;
        k = answer->e->at[k].next;
    }
    return EVAL_SAME;
}

static bool is_listing(const struct comparison *c, const struct term *t)
{
    (void)c;
    const int kind = term_node(t)->kind;
    return kind == NODE_LIST || kind == NODE_SET ||
           (kind < NODE_BASE && t->sign == 0 && expr_has_sign(t->e, t->at));
}

static enum eval_verdict compare_lists(struct comparison *c, const struct term *gold,
                                       const struct term *answer)
{
    struct items g, a;
    const int gk = term_node(gold)->kind, ak = term_node(answer)->kind;
    const bool is_tuple = gk == NODE_TUPLE || ak == NODE_TUPLE;
    /* "0, 1" is no interval (0, 1), and a set is no tuple */
    if ((gk == NODE_TUPLE && term_count(gold) == 2) ||
        (ak == NODE_TUPLE && term_count(answer) == 2) ||
        (is_tuple && (gk == NODE_SET || ak == NODE_SET)))
        return EVAL_DIFFERENT;
    if (!items_of(c, gold, &g) || !items_of(c, answer, &a))
        return EVAL_LIMIT;
    return compare_items(c, &g, &a, is_tuple);
}

static enum eval_verdict compare_kinds(struct comparison *c, const struct term *gold,
                                       const struct term *answer)
{
    const struct node *const g = term_node(gold), *const a = term_node(answer);
    if (is_listing(c, gold) || is_listing(c, answer))
        return compare_lists(c, gold, answer);
    if (g->kind == NODE_MATRIX && a->kind == NODE_TUPLE)
        return compare_column(c, gold, answer);
    if (a->kind == NODE_MATRIX && g->kind == NODE_TUPLE)
        return compare_column(c, answer, gold);
    if (g->kind < NODE_BASE && a->kind < NODE_BASE) {
        if (g->kind == NODE_CONST && a->kind == NODE_CONST && g->id == a->id)
            return EVAL_SAME;
        if (g->measure != 0 && a->measure != 0 && g->measure != a->measure)
            return EVAL_DIFFERENT; /* 5 cm and 5 m */
        return compare_scalars(c, gold, answer);
    }
    if (g->kind != a->kind)
        return EVAL_DIFFERENT;
    if (g->kind == NODE_TUPLE)
        return compare_tuples(c, gold, answer);
    if (g->kind == NODE_RATIO)
        return compare_ratios(c, gold, answer);
    if (g->kind == NODE_MATRIX)
        return compare_children(c, gold, answer);
    if (g->kind == NODE_BASE)
        return g->id == a->id && rat_compare(c->pool, g->num, a->num) == 0
                   ? EVAL_SAME
                   : EVAL_DIFFERENT;
    return g->kind == NODE_WORDS && g->hash == a->hash ? EVAL_SAME : EVAL_DIFFERENT;
}

enum eval_verdict compare_terms(struct comparison *c, const struct term *gold,
                                const struct term *answer)
{
    if (c->pool->is_over || c->depth == COMPARE_MAX_DEPTH)
        return EVAL_LIMIT;
    c->depth++;
    const bool g_chain = term_node(gold)->kind == NODE_CHAIN,
               a_chain = term_node(answer)->kind == NODE_CHAIN;
    struct definition d;
    enum eval_verdict verdict;
    if (g_chain && a_chain)
        verdict = compare_chains(c, gold, answer);
    else if (g_chain && definition_of(c, gold, &d))
        verdict = compare_terms(c, &d.value, answer);
    else if (a_chain && definition_of(c, answer, &d))
        verdict = compare_terms(c, gold, &d.value);
    else if (is_span_like(gold) || is_span_like(answer))
        verdict = compare_spans(c, gold, answer);
    else
        verdict = compare_kinds(c, gold, answer);
    c->depth--;
    return verdict;
}

enum eval_verdict compare_trees(struct pool *p, const struct policy *policy,
                                const struct expr *gold, const struct expr *answer)
{
    struct comparison c = {.pool = p, .policy = policy};
    const struct term g = term_of(gold, gold->root), a = term_of(answer, answer->root);
    return compare_terms(&c, &g, &a);
}
