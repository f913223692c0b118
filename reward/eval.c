/* Verdicts: from exact values, from balls, and at points. */
#include "reward/eval_tree.h"

#include <math.h>

enum { N_POINTS = 6 };
static const int precisions[] = {12, 24, REAL_MAX_LIMBS};

/* The limbs of one evaluation are given back: numbers of trees lie below the mark. */
static struct real_ctx context(struct pool *p, int n)
{
    return (struct real_ctx){.pool = p, .n = n};
}

static void evaluate(struct evaluator *v, const struct term *t, struct ball *out)
{
    v->t = t;
    v->depth = 0;
    ball_of_term(v, out);
}

/* What a ball of a difference says. */
static enum eval_verdict judge(const struct evaluator *v, const struct ball *d)
{
    const int re = real_sign(&d->z.re), im = real_sign(&d->z.im);
    if (v->is_undefined)
        return v->c->n < REAL_MAX_LIMBS ? EVAL_LIMIT : EVAL_UNDEFINED;
    if (v->pool->is_over)
        return EVAL_LIMIT;
    if (re == 1 || re == -1 || im == 1 || im == -1)
        return EVAL_DIFFERENT;
    const int64_t size = real_mag(&d->z.re) > real_mag(&d->z.im) ? real_mag(&d->z.re)
                                                                 : real_mag(&d->z.im);
    const double separation = (v->degree - 1.0) * d->u + d->l;
    if (d->is_algebraic && (double)size < -separation - 1.0)
        return EVAL_SAME;
    const int64_t lowest = v->lowest < 0 ? v->lowest : 0;
    const bool is_proved_only = d->is_algebraic && v->point == NULL;
    return !is_proved_only && size < lowest - EVAL_AGREE_BITS ? EVAL_SAME : EVAL_LIMIT;
}

static void subtract(struct evaluator *v, struct ball *y, const struct ball *b)
{
    y->z = cplx_sub(v->c, &y->z, &b->z);
    y->u = fmax(y->u + b->l, b->u + y->l) + 1.0;
    y->l += b->l;
    y->is_algebraic &= b->is_algebraic;
}

/* a and b at one point, or without variables */
static enum eval_verdict compare_at(struct pool *p, const struct term *a,
                                    const struct term *b, const struct point *point)
{
    const int64_t mark = p->n;
    struct rat x, y;
    struct evaluator v = {.pool = p, .t = a, .point = point};
    enum eval_verdict verdict = EVAL_LIMIT;
    const bool is_exact = exact_of_term(&v, &x) == EXACT_YES;
    v.t = b;
    if (is_exact && exact_of_term(&v, &y) == EXACT_YES) {
        verdict = rat_compare(p, x, y) == 0 ? EVAL_SAME : EVAL_DIFFERENT;
        return p->is_over ? EVAL_LIMIT : verdict;
    }
    for (int64_t i = 0; i < ARRAY_LEN(precisions) && verdict == EVAL_LIMIT; i++) {
        struct real_ctx c = context(p, precisions[i]);
        struct ball left, right;
        v = (struct evaluator){.pool = p, .point = point, .c = &c, .degree = 1.0};
        p->n = mark;
        evaluate(&v, a, &left);
        evaluate(&v, b, &right);
        subtract(&v, &left, &right);
        verdict = judge(&v, &left);
        if (p->is_over)
            break;
    }
    p->n = mark;
    return verdict;
}

/* Which values suit the trees. */
static bool needs(const struct expr *e, int at,
                  bool (*is)(const struct expr *e, int at))
{
    if (is(e, at))
        return true;
    for (int k = e->at[at].child; k >= 0; k = e->at[k].next)
        if (needs(e, k, is))
            return true;
    return false;
}

static bool is_counting(const struct expr *e, int at)
{
    return (e->at[at].kind == NODE_FACT || e->at[at].kind == NODE_BINOM) &&
           expr_has_variable(e, at);
}

static bool is_steep(const struct expr *e, int at)
{
    const struct node *const n = &e->at[at];
    return (n->kind == NODE_FN && expr_has_variable(e, at)) ||
           (n->kind == NODE_POW && expr_has_variable(e, e->at[n->child].next));
}

/* Four points with positive values, two with signs; all positive integers where
 * factorials of variables ask for them. */
static struct point point_at(const struct term *a, const struct term *b, int i)
{
    const bool is_integer = needs(a->e, a->at, is_counting) ||
                            needs(b->e, b->at, is_counting);
    return (struct point){.index = i,
                          .is_integer = is_integer,
                          .is_small = needs(a->e, a->at, is_steep) ||
                                      needs(b->e, b->at, is_steep),
                          .is_positive = i < 4};
}

enum eval_verdict eval_compare(struct pool *p, const struct term *a,
                               const struct term *b)
{
    if (!expr_has_variable(a->e, a->at) && !expr_has_variable(b->e, b->at))
        return compare_at(p, a, b, NULL);
    int n_same = 0;
    for (int i = 0; i < N_POINTS; i++) {
        const struct point point = point_at(a, b, i);
        const enum eval_verdict verdict = compare_at(p, a, b, &point);
        if (verdict == EVAL_DIFFERENT || verdict == EVAL_LIMIT)
            return verdict;
        n_same += verdict == EVAL_SAME;
    }
    return n_same >= 4 ? EVAL_SAME : EVAL_UNDEFINED;
}

/* l[0] - l[1] at a point, at full precision */
static void side(struct evaluator *v, const struct term *l, struct ball *out)
{
    struct ball right;
    evaluate(v, &l[0], out);
    evaluate(v, &l[1], &right);
    subtract(v, out, &right);
}

/* One point of eval_proportional; *sign: of the factor, 2 where it is not real */
static enum eval_verdict proportional_at(struct pool *p, const struct term *const l[3],
                                         const struct point point[2], int *sign)
{
    const int64_t mark = p->n;
    struct real_ctx c = context(p, precisions[1]);
    struct evaluator v = {.pool = p, .c = &c, .degree = 1.0, .point = &point[0]};
    struct ball a, b, a_other, b_other;
    side(&v, l[0], &a);
    side(&v, l[1], &b);
    v.point = &point[1];
    side(&v, l[0], &a_other);
    side(&v, l[1], &b_other);
    const int sa = real_sign(&a.z.re), sb = real_sign(&b.z.re);
    const bool is_real = cplx_is_real(&a.z) & cplx_is_real(&b.z);
    *sign = is_real && sa * sa * sb * sb == 1 ? sa * sb : 2;
    a.z = cplx_mul(&c, &a.z, &b_other.z);
    b.z = cplx_mul(&c, &b.z, &a_other.z);
    subtract(&v, &a, &b);
    a.is_algebraic = false; /* judged by its size: the point is a random one */
    v.is_undefined |= c.is_undefined;
    c.n = REAL_MAX_LIMBS; /* no second try */
    const enum eval_verdict verdict = judge(&v, &a);
    p->n = mark;
    return verdict;
}

enum eval_verdict eval_proportional(struct pool *p, const struct term a[2],
                                    const struct term b[2], int *sign_out)
{
    const struct term *const l[3] = {a, b, NULL};
    *sign_out = 0;
    for (int i = 0; i < N_POINTS; i++) {
        const struct point point[2] = {{.index = i + 20}, {.index = i + 30}};
        int sign;
        const enum eval_verdict verdict = proportional_at(p, l, point, &sign);
        if (verdict != EVAL_SAME)
            return verdict;
        if (sign == 2 || (i > 0 && sign != *sign_out))
            return EVAL_DIFFERENT;
        *sign_out = sign;
    }
    return EVAL_SAME;
}

enum eval_verdict eval_within(struct pool *p, const struct term *a,
                              const struct term *b, struct rat tolerance)
{
    const int64_t mark = p->n;
    struct real_ctx c = context(p, precisions[0]);
    struct evaluator v = {.pool = p, .c = &c, .degree = 1.0};
    struct ball x, y;
    evaluate(&v, a, &x);
    evaluate(&v, b, &y);
    subtract(&v, &x, &y);
    const struct real size = cplx_abs(&c, &x.z), most = real_rat(&c, tolerance),
                      room = real_sub(&c, &most, &size);
    p->n = mark;
    const int sign = real_sign(&room);
    if (v.is_undefined | c.is_undefined | p->is_over)
        return EVAL_UNDEFINED;
    return sign == 0 || sign == 1 ? EVAL_SAME : EVAL_DIFFERENT;
}
