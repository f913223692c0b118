/* Relations: definitions (x = v), equations and inequalities up to a factor. */
#include "reward/compare_parts.h"

static bool is_capital(const struct node *n)
{
    return n->kind == NODE_VAR && n->text[0] >= 'A' && n->text[0] <= 'Z';
}

static bool all_names(const struct term *t)
{
    for (int k = term_node(t)->child; k >= 0; k = t->e->at[k].next) {
        const struct term child = term_at(t, k);
        if (!term_is_name(&child))
            return false;
    }
    return true;
}

bool term_is_name(const struct term *t)
{
    const struct node *const n = term_node(t);
    if (n->kind == NODE_VAR || n->kind == NODE_OPAQUE || n->kind == NODE_WORDS)
        return true;
    if (n->kind == NODE_TUPLE)
        return all_names(t);
    if (n->kind != NODE_MUL)
        return false;
    const struct node *const first = &t->e->at[n->child], *const second =
                                                              &t->e->at[first->next];
    if (first->kind == NODE_VAR && second->next < 0 && second->is_paren)
        return true;
    for (int k = n->child; k >= 0; k = t->e->at[k].next)
        if (!is_capital(&t->e->at[k]))
            return false;
    return true;
}

static uint32_t name_hash(const struct expr *e, int at)
{
    uint32_t h = e->at[at].hash + (uint32_t)e->at[at].kind * 77 +
                 (uint32_t)e->at[at].id;
    for (int k = e->at[at].child; k >= 0; k = e->at[k].next)
        h = h * 31 + name_hash(e, k);
    return e->at[at].kind == NODE_NUM
               ? h + (e->at[at].num.num.n > 0 ? e->at[at].num.num.limb[0] : 0)
               : h;
}

static void set_name(struct definition *d, const struct term *t, int name)
{
    const struct node *const n = &t->e->at[name];
    d->name = name;
    d->hash = name_hash(t->e, name);
    d->is_prose = n->kind == NODE_OPAQUE || n->kind == NODE_WORDS;
    if (n->kind != NODE_MUL || t->e->at[n->child].kind != NODE_VAR)
        return;
    const struct node *const argument = &t->e->at[t->e->at[n->child].next];
    if (argument->is_paren && argument->kind == NODE_VAR) {
        d->called = t->e->at[n->child].hash;
        d->bound = argument->hash;
    }
}

/* x in S, alone */
static bool is_membership(const struct term *t)
{
    const int first = term_node(t)->child, second = t->e->at[first].next;
    return t->e->at[second].rel == 'e' && t->e->at[second].next < 0;
}

bool definition_of(struct comparison *c, const struct term *t, struct definition *out)
{
    struct definition d = {.value = *t, .name = -1};
    bool has_value = false;
    const int first = term_node(t)->child;
    if (is_membership(t)) {
        const struct term set = term_at(t, t->e->at[first].next);
        set_name(&d, t, first);
        d.value = set;
        *out = d;
        return true;
    }
    for (int k = first; k >= 0; k = t->e->at[k].next) {
        const struct term side = term_at(t, k);
        const int op = k == first ? '=' : t->e->at[k].rel;
        if (op != '=' && op != '~')
            return false;
        if (term_is_name(&side) && (k == first || d.name >= 0 || has_value)) {
            if (d.name < 0)
                set_name(&d, t, k);
            continue;
        }
        if (has_value && op == '~')
            continue; /* an approximation of what came before */
        if (has_value && compare_terms(c, &d.value, &side) != EVAL_SAME)
            return false;
        d.value = side;
        has_value = true;
    }
    if (!has_value) { /* y = x: the last name is the value of the first */
        int last = first;
        while (t->e->at[last].next >= 0)
            last = t->e->at[last].next;
        d.value = term_at(t, last);
    }
    *out = d;
    return true;
}

static int direction(int op)
{
    return op == '<' || op == 'l' ? -1 : op == '>' || op == 'g' ? 1 : 0;
}

static bool is_strict(int op) { return op == '<' || op == '>'; }

/* left op right, with two sides: l - r = 0 up to a factor */
static enum eval_verdict compare_relations(struct comparison *c,
                                           const struct term *gold,
                                           const struct term *answer)
{
    if (term_count(gold) != 2 || term_count(answer) != 2)
        return EVAL_DIFFERENT;
    const int g0 = term_node(gold)->child, a0 = term_node(answer)->child,
              g1 = gold->e->at[g0].next, a1 = answer->e->at[a0].next;
    const int g_op = gold->e->at[g1].rel, a_op = answer->e->at[a1].rel;
    const int dg = direction(g_op), da = direction(a_op);
    const bool is_alike = dg == 0 || da == 0 ? g_op == a_op
                                             : is_strict(g_op) == is_strict(a_op);
    if (!is_alike || g_op == 'e' || g_op == '~')
        return EVAL_DIFFERENT;
    const struct term g[2] = {term_at(gold, g0), term_at(gold, g1)},
                      a[2] = {term_at(answer, a0), term_at(answer, a1)};
    int sign;
    for (int i = 0; i < 2; i++)
        if (term_node(&g[i])->kind > NODE_DEGREE ||
            term_node(&a[i])->kind > NODE_DEGREE)
            return EVAL_DIFFERENT;
    const enum eval_verdict verdict = eval_proportional(c->pool, g, a, &sign);
    if (verdict != EVAL_SAME || dg == 0)
        return verdict;
    return dg * da == sign ? EVAL_SAME : EVAL_DIFFERENT;
}

/* The same relations between the same sides: b < a < d < c */
static enum eval_verdict compare_sides(struct comparison *c, const struct term *gold,
                                       const struct term *answer)
{
    int k = term_node(answer)->child;
    if (term_count(gold) != term_count(answer))
        return EVAL_DIFFERENT;
    for (int i = term_node(gold)->child; i >= 0; i = gold->e->at[i].next) {
        const struct term g = term_at(gold, i), a = term_at(answer, k);
        if (i != term_node(gold)->child && term_node(&g)->rel != term_node(&a)->rel)
            return EVAL_DIFFERENT;
        const enum eval_verdict verdict = compare_terms(c, &g, &a);
        if (verdict != EVAL_SAME)
            return verdict;
        k = answer->e->at[k].next;
    }
    return EVAL_SAME;
}

static enum eval_verdict compare_definitions(struct comparison *c, struct definition g,
                                             struct definition a,
                                             const struct term *gold,
                                             const struct term *answer)
{
    const bool is_call = g.called != 0 && g.called == a.called;
    const bool is_same = g.name < 0 || a.name < 0 || g.is_prose || a.is_prose ||
                         g.hash == a.hash || is_call;
    if (!is_same && (expr_has_variable(g.value.e, g.value.at) ||
                     expr_has_variable(a.value.e, a.value.at)))
        return compare_relations(c, gold, answer);
    if (!is_same)
        return EVAL_DIFFERENT;
    if (is_call && g.bound != a.bound) {
        g.value.bound = g.bound;
        a.value.bound = a.bound;
    }
    return compare_terms(c, &g.value, &a.value);
}

/* The least name, so that x < y and y > x have the same; 0: none */
static uint32_t first_variable(const struct expr *e, int at)
{
    uint32_t least = e->at[at].kind == NODE_VAR ? e->at[at].hash : 0;
    for (int k = e->at[at].child; k >= 0; k = e->at[k].next) {
        const uint32_t name = first_variable(e, k);
        if (least == 0 || (name != 0 && name < least))
            least = name;
    }
    return least;
}

enum eval_verdict compare_chains(struct comparison *c, const struct term *gold,
                                 const struct term *answer)
{
    struct definition g, a;
    const bool is_g = definition_of(c, gold, &g), is_a = definition_of(c, answer, &a);
    if (is_g && is_a)
        return compare_definitions(c, g, a, gold, answer);
    if (first_variable(gold->e, gold->at) != first_variable(answer->e, answer->at))
        return compare_relations(c, gold, answer);
    enum eval_verdict verdict = compare_sides(c, gold, answer);
    if (verdict != EVAL_SAME)
        verdict = compare_relations(c, gold, answer);
    if (verdict != EVAL_SAME)
        verdict = compare_spans(c, gold, answer);
    return verdict;
}
