/* Lists and sets by their elements; intervals, unions and inequalities as spans. */
#include "reward/compare_parts.h"

enum { MAX_SPANS = 16 };

static bool put_item(struct items *to, struct term t)
{
    if (to->n == COMPARE_MAX_ITEMS)
        return false;
    to->at[to->n++] = t;
    return true;
}

/* An element; plus-or-minus stands for two. */
static bool put_element(struct items *to, struct term t)
{
    if (term_node(&t)->kind >= NODE_BASE || !expr_has_sign(t.e, t.at))
        return put_item(to, t);
    t.sign = 1;
    const bool is_put = put_item(to, t);
    t.sign = -1;
    return put_item(to, t) & is_put;
}

bool items_of(struct comparison *c, const struct term *t, struct items *out)
{
    const int kind = term_node(t)->kind;
    uint32_t name = 0;
    *out = (struct items){.n = 0};
    if (kind != NODE_LIST && kind != NODE_SET && kind != NODE_TUPLE)
        return put_element(out, *t);
    for (int k = term_node(t)->child; k >= 0; k = t->e->at[k].next) {
        struct term child = term_at(t, k);
        struct definition d;
        if (term_node(&child)->kind == NODE_CHAIN && definition_of(c, &child, &d)) {
            out->has_names |= d.name >= 0 && !d.is_prose && name != 0 && name != d.hash;
            name = d.hash;
            if (expr_has_sign(d.value.e, d.value.at))
                child = d.value;
        }
        if (!put_element(out, child))
            return false;
    }
    return true;
}

/* One element of the gold against those of the answer that are not used yet. */
static enum eval_verdict find_item(struct comparison *c, const struct term *gold,
                                   const struct items *answer, bool *is_used)
{
    enum eval_verdict worst = EVAL_DIFFERENT;
    for (int i = 0; i < answer->n; i++) {
        if (is_used[i])
            continue;
        const enum eval_verdict verdict = compare_terms(c, gold, &answer->at[i]);
        if (verdict == EVAL_SAME) {
            is_used[i] = true;
            return verdict;
        }
        if (verdict == EVAL_LIMIT)
            worst = verdict;
    }
    return worst;
}

enum eval_verdict compare_items(struct comparison *c, const struct items *gold,
                                const struct items *answer, bool is_ordered)
{
    bool is_used[COMPARE_MAX_ITEMS] = {false};
    is_ordered |= c->policy->order == ORDER_STRICT ||
                  gold->has_names != answer->has_names;
    if (gold->n != answer->n)
        return EVAL_DIFFERENT;
    for (int i = 0; i < gold->n; i++) {
        const enum eval_verdict verdict =
            is_ordered ? compare_terms(c, &gold->at[i], &answer->at[i])
                       : find_item(c, &gold->at[i], answer, is_used);
        if (verdict != EVAL_SAME)
            return verdict;
    }
    return EVAL_SAME;
}

struct span { /* at < 0: infinite */
    struct term low, high;
    bool has_low, has_high, is_low_open, is_high_open;
};
struct spans {
    int n;
    struct span at[MAX_SPANS];
};

static bool put_span(struct spans *to, struct span s)
{
    if (to->n == MAX_SPANS)
        return false;
    to->at[to->n++] = s;
    return true;
}

static bool put_interval(struct spans *to, const struct term *t)
{
    const struct node *const n = term_node(t);
    struct span s = {.low = term_at(t, n->child),
                     .is_low_open = n->op != '[',
                     .is_high_open = n->close != ']'};
    s.high = term_at(t, t->e->at[n->child].next);
    s.has_low = infinity_sign(&s.low) == 0;
    s.has_high = infinity_sign(&s.high) == 0;
    s.is_low_open |= !s.has_low;
    s.is_high_open |= !s.has_high;
    if (infinity_sign(&s.low) > 0 || infinity_sign(&s.high) < 0)
        return false;
    return put_span(to, s);
}

/* A bound of `op`: value op variable (is_left) or variable op value */
static void set_bound(struct span *s, const struct term *value, int op, bool is_left)
{
    const bool is_less = op == '<' || op == 'l', is_open = op == '<' || op == '>';
    if (is_less == is_left) {
        s->low = *value;
        s->has_low = infinity_sign(value) == 0;
        s->is_low_open = is_open || !s->has_low;
    } else {
        s->high = *value;
        s->has_high = infinity_sign(value) == 0;
        s->is_high_open = is_open || !s->has_high;
    }
}

static bool is_ordering(int op)
{
    return op == '<' || op == 'l' || op == '>' || op == 'g';
}

/* x != v: everything but one point */
static bool put_hole(struct spans *to, const struct term *value)
{
    const struct span below = {.high = *value,
                               .has_high = true,
                               .is_low_open = true,
                               .is_high_open = true},
                      above = {.low = *value,
                               .has_low = true,
                               .is_low_open = true,
                               .is_high_open = true};
    return put_span(to, below) & put_span(to, above);
}

static bool put_inequality(struct spans *to, const struct term *t)
{
    const struct node *const n = term_node(t);
    const struct term a = term_at(t, n->child);
    const struct term b = term_at(t, term_node(&a)->next);
    const int op = term_node(&b)->rel, third = term_node(&b)->next;
    struct span s = {.is_low_open = true, .is_high_open = true};
    const bool a_has = expr_has_variable(t->e, a.at),
               b_has = expr_has_variable(t->e, b.at);
    if (third < 0 && op == '!' && term_node(&a)->kind == NODE_VAR && !b_has)
        return put_hole(to, &b);
    if (!is_ordering(op) || a_has == b_has)
        return false;
    if (third < 0) {
        if (term_node(a_has ? &a : &b)->kind != NODE_VAR)
            return false;
        set_bound(&s, a_has ? &b : &a, op, b_has);
        return put_span(to, s);
    }
    const struct term d = term_at(t, third);
    const int other = term_node(&d)->rel;
    const bool is_down = op == '>' || op == 'g',
               is_down_too = other == '>' || other == 'g';
    if (!term_is_name(&b) || expr_has_variable(t->e, d.at) ||
        term_node(&d)->next >= 0 || !is_ordering(other) || is_down != is_down_too)
        return false;
    set_bound(&s, &a, op, true);
    set_bound(&s, &d, other, false);
    return put_span(to, s);
}

/* {1, 2}: closed intervals of one point */
static bool put_points(struct spans *to, const struct term *t)
{
    bool is_put = true;
    for (int k = term_node(t)->child; k >= 0; k = t->e->at[k].next) {
        const struct term point = term_at(t, k);
        is_put &= put_span(
            to, (struct span){
                    .low = point, .high = point, .has_low = true, .has_high = true});
    }
    return is_put;
}

static bool spans_of(const struct term *t, struct spans *to)
{
    const struct node *const n = term_node(t);
    if (n->kind == NODE_SET)
        return put_points(to, t);
    if (n->kind == NODE_TUPLE && term_count(t) == 2)
        return put_interval(to, t);
    if (n->kind == NODE_CONST && n->id == CONST_REALS)
        return put_span(to, (struct span){.is_low_open = true, .is_high_open = true});
    if (n->kind == NODE_CHAIN) {
        const int second = t->e->at[n->child].next;
        const struct term set = term_at(t, second);
        return term_node(&set)->rel == 'e' ? spans_of(&set, to) : put_inequality(to, t);
    }
    if (n->kind != NODE_UNION && n->kind != NODE_BUILDER &&
        (n->kind != NODE_LIST || n->op != '|'))
        return false;
    for (int k = n->child; k >= 0; k = t->e->at[k].next) {
        const struct term child = term_at(t, k);
        if (!spans_of(&child, to))
            return false;
    }
    return true;
}

bool is_span_like(const struct term *t)
{
    const struct node *const n = term_node(t);
    if (n->kind == NODE_LIST && n->op == '|') { /* x < 1 or x > 2 */
        const struct node *const first = &t->e->at[n->child];
        return first->kind == NODE_CHAIN &&
               is_ordering(t->e->at[t->e->at[first->child].next].rel);
    }
    return n->kind == NODE_CHAIN || n->kind == NODE_UNION || n->kind == NODE_BUILDER ||
           (n->kind == NODE_CONST && n->id == CONST_REALS);
}

static bool is_same_end(struct comparison *c, bool has_g, bool has_a, bool open_g,
                        bool open_a, const struct term *g, const struct term *a)
{
    if (has_g != has_a || open_g != open_a)
        return false;
    return !has_g || compare_terms(c, g, a) == EVAL_SAME;
}

static bool is_same_span(struct comparison *c, const struct span *g,
                         const struct span *a)
{
    return is_same_end(c, g->has_low, a->has_low, g->is_low_open, a->is_low_open,
                       &g->low, &a->low) &&
           is_same_end(c, g->has_high, a->has_high, g->is_high_open, a->is_high_open,
                       &g->high, &a->high);
}

enum eval_verdict compare_spans(struct comparison *c, const struct term *gold,
                                const struct term *answer)
{
    struct spans g = {0}, a = {0};
    bool is_used[MAX_SPANS] = {false};
    if (!spans_of(gold, &g) || !spans_of(answer, &a) || g.n != a.n)
        return EVAL_DIFFERENT;
    for (int i = 0; i < g.n; i++) {
        int found = -1;
        for (int k = 0; k < a.n && found < 0; k++)
            if (!is_used[k] && is_same_span(c, &g.at[i], &a.at[k]))
                found = k;
        if (found < 0)
            return c->pool->is_over ? EVAL_LIMIT : EVAL_DIFFERENT;
        is_used[found] = true;
    }
    return EVAL_SAME;
}
