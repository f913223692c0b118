/* Exact rational values, and the points at which variables are tried. */
#include "reward/eval_tree.h"

#include "core/rng.h"

uint32_t node_hash(const struct expr *e, int at)
{
    const struct node *const n = &e->at[at];
    uint32_t h = (n->kind * 2654435761u) ^ n->hash ^ ((uint32_t)n->id * 40503u);
    if (n->kind == NODE_NUM) {
        for (int32_t i = 0; i < n->num.num.n; i++)
            h = (h ^ n->num.num.limb[i]) * 16777619u;
        for (int32_t i = 0; i < n->num.den.n; i++)
            h = (h ^ n->num.den.limb[i]) * 2246822519u;
    }
    for (int k = n->child; k >= 0; k = e->at[k].next)
        h = h * 31 + node_hash(e, k);
    return h;
}

static bool any_node(const struct expr *e, int at, bool (*is)(const struct node *n))
{
    if (is(&e->at[at]))
        return true;
    for (int k = e->at[at].child; k >= 0; k = e->at[k].next)
        if (any_node(e, k, is))
            return true;
    return false;
}

static bool is_variable(const struct node *n) { return n->kind == NODE_VAR; }
static bool is_sign(const struct node *n)
{
    return n->kind == NODE_PM || n->kind == NODE_MP;
}

bool expr_has_variable(const struct expr *e, int at)
{
    return any_node(e, at, is_variable);
}

bool expr_has_sign(const struct expr *e, int at) { return any_node(e, at, is_sign); }

static struct rat point_value(struct pool *p, const struct point *point, uint32_t hash)
{
    const uint32_t stream = (uint32_t)point->index;
    const bool is_negative = !point->is_positive &&
                             rng_below(7, RNG_TEST, 2, hash, stream, 1, 0) == 1;
    if (point->is_integer)
        return rat_int(p, 3 + rng_below(7, RNG_TEST, 9, hash, stream, 2, 0));
    if (point->is_small && !point->is_positive) { /* powers stay on one branch */
        const int64_t n = 2 + rng_below(7, RNG_TEST, 8, hash, stream, 5, 0);
        return rat_int(p, is_negative ? -n : n);
    }
    if (point->is_small) {
        const uint32_t n = 17 + rng_below(7, RNG_TEST, 100, hash, stream, 3, 0);
        return rat_make(p, 1, big_small(p, n), big_small(p, 32));
    }
    const int64_t n = 100000 + rng_below(7, RNG_TEST, 1 << 24, hash, stream, 4, 0);
    return rat_int(p, is_negative ? -n : n);
}

static enum exact exact_children(struct evaluator *v, const struct node *n,
                                 struct rat *out)
{
    const struct expr *const e = v->t->e;
    struct rat y, x;
    enum exact status = exact_of(v, n->child, &y);
    for (int k = e->at[n->child].next; k >= 0 && status == EXACT_YES;
         k = e->at[k].next) {
        status = exact_of(v, k, &x);
        if (status == EXACT_YES)
            y = n->kind == NODE_ADD ? rat_add(v->pool, y, x) : rat_mul(v->pool, y, x);
    }
    *out = y;
    return status;
}

static enum exact exact_pow(struct evaluator *v, struct rat a, struct rat b,
                            struct rat *out)
{
    int64_t e;
    if (!rat_get(b, &e))
        return EXACT_NO;
    if (a.sign == 0 && e < 0) {
        v->is_undefined = true;
        return EXACT_NO;
    }
    const double bits = (double)(big_bits(a.num) + big_bits(a.den)) *
                        (double)(e < 0 ? -e : e);
    if (bits > BIG_MAX_BITS && big_bits(a.num) + big_bits(a.den) > 2)
        return EXACT_NO;
    *out = rat_pow(v->pool, a, e);
    return EXACT_YES;
}

static enum exact exact_factorial(struct evaluator *v, struct rat a, struct rat *out)
{
    int64_t n;
    if (!rat_get(a, &n) || n < 0) {
        v->is_undefined |= a.sign < 0 || rat_is_int(v->pool, a) == false;
        return EXACT_NO;
    }
    if (n > 4000) /* 4000! has 42,000 bits */
        return EXACT_NO;
    *out = rat_make(v->pool, 1, big_falling(v->pool, (uint32_t)n, (uint32_t)n),
                    big_small(v->pool, 1));
    return EXACT_YES;
}

static enum exact exact_binomial(struct evaluator *v, struct rat a, struct rat b,
                                 struct rat *out)
{
    int64_t n, k;
    if (!rat_get(a, &n) || !rat_get(b, &k) || n < 0 || n > 10000) {
        v->is_undefined = true;
        return EXACT_NO;
    }
    if (k < 0 || k > n) {
        *out = rat_int(v->pool, 0);
        return EXACT_YES;
    }
    k = k < n - k ? k : n - k;
    struct big y = big_falling(v->pool, (uint32_t)n, (uint32_t)k);
    big_divide(v->pool, y, big_falling(v->pool, (uint32_t)k, (uint32_t)k), &y, NULL);
    *out = rat_make(v->pool, 1, y, big_small(v->pool, 1));
    return EXACT_YES;
}

static enum exact exact_function(struct evaluator *v, int32_t id, struct rat a,
                                 struct rat *out)
{
    if (id == FN_ABS) {
        a.sign = a.sign != 0;
        *out = a;
    } else if (id == FN_FLOOR) {
        *out = rat_floor(v->pool, a);
    } else if (id == FN_CEIL) {
        *out = rat_neg(rat_floor(v->pool, rat_neg(a)));
    } else {
        return EXACT_NO;
    }
    return EXACT_YES;
}

static enum exact exact_pair(struct evaluator *v, const struct node *n, struct rat *out)
{
    struct rat a, b;
    if (exact_of(v, n->child, &a) == EXACT_NO ||
        exact_of(v, v->t->e->at[n->child].next, &b) == EXACT_NO)
        return EXACT_NO;
    if (n->kind == NODE_POW)
        return exact_pow(v, a, b, out);
    if (n->kind == NODE_BINOM)
        return exact_binomial(v, a, b, out);
    if (b.sign == 0) {
        v->is_undefined = true;
        return EXACT_NO;
    }
    *out = rat_mul(v->pool, a, rat_inverse(b));
    return EXACT_YES;
}

static enum exact exact_unary(struct evaluator *v, const struct node *n,
                              struct rat *out)
{
    struct rat a;
    if (exact_of(v, n->child, &a) == EXACT_NO)
        return EXACT_NO;
    const int sign = n->kind == NODE_NEG  ? -1
                     : n->kind == NODE_PM ? v->t->sign
                     : n->kind == NODE_MP ? -v->t->sign
                                          : 1;
    if (n->kind == NODE_FACT)
        return exact_factorial(v, a, out);
    if (n->kind == NODE_FN)
        return exact_function(v, n->id, a, out);
    if (n->kind == NODE_PERCENT)
        a = rat_mul(v->pool, a, rat_inverse(rat_int(v->pool, 100)));
    *out = sign < 0 ? rat_neg(a) : a;
    return EXACT_YES;
}

enum exact exact_of(struct evaluator *v, int at, struct rat *out)
{
    const struct node *const n = &v->t->e->at[at];
    if (v->pool->is_over || v->is_undefined || ++v->depth > EVAL_MAX_DEPTH) {
        v->pool->is_over |= !v->is_undefined;
        return EXACT_NO;
    }
    enum exact status = EXACT_NO;
    if (n->kind == NODE_NUM) {
        *out = n->num;
        status = EXACT_YES;
    } else if (n->kind == NODE_VAR && v->point != NULL) {
        *out = point_value(v->pool, v->point, n->hash == v->t->bound ? 1 : n->hash);
        status = EXACT_YES;
    } else if (n->kind == NODE_ADD || n->kind == NODE_MUL) {
        status = exact_children(v, n, out);
    } else if (n->kind == NODE_DIV || n->kind == NODE_POW || n->kind == NODE_BINOM) {
        status = exact_pair(v, n, out);
    } else if (n->kind == NODE_NEG || n->kind == NODE_FACT || n->kind == NODE_PM ||
               n->kind == NODE_MP || n->kind == NODE_FN || n->kind == NODE_PERCENT ||
               (n->kind == NODE_DEGREE && !v->is_trig && !v->t->is_radian)) {
        status = exact_unary(v, n, out);
    }
    v->depth--;
    return v->pool->is_over || v->is_undefined ? EXACT_NO : status;
}

enum exact exact_of_term(struct evaluator *v, struct rat *out)
{
    if (exact_of(v, v->t->at, out) == EXACT_NO)
        return EXACT_NO;
    if (v->t->is_scaled)
        *out = rat_mul(v->pool, *out, v->t->factor);
    return v->pool->is_over ? EXACT_NO : EXACT_YES;
}

bool eval_exact(struct pool *p, const struct term *t, struct rat *out)
{
    struct evaluator v = {.pool = p, .t = t};
    return exact_of_term(&v, out) == EXACT_YES;
}

struct term term_of(const struct expr *e, int at)
{
    return (struct term){.e = e, .at = at};
}
