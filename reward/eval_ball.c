/*
 * Balls of trees, with the separation bound of the algebraic ones: u and l by the rules
 * of Burnikel et al., the degree from the distinct radicals of both sides.
 */
#include "reward/eval_tree.h"

#include <math.h>

static void ball_of(struct evaluator *v, int at, struct ball *out);

static void set_real(struct evaluator *v, struct ball *y, struct real re)
{
    y->z = cplx_real(v->c, re);
}

static void set_rational(struct evaluator *v, struct ball *y, struct rat a)
{
    const double u = (double)big_bits(a.num), l = (double)big_bits(a.den);
    *y = (struct ball){.is_algebraic = true, .u = u, .l = l > 1.0 ? l : 0.0};
    set_real(v, y, real_rat(v->c, a));
}

static void add_radical(struct evaluator *v, uint32_t hash, double degree)
{
    for (int i = 0; i < v->n_radicals; i++)
        if (v->radical[i] == hash)
            return;
    if (v->n_radicals < EVAL_MAX_RADICALS)
        v->radical[v->n_radicals++] = hash;
    v->degree *= degree;
}

static void ball_const(struct evaluator *v, int32_t id, struct ball *y)
{
    *y = (struct ball){.is_algebraic = id == CONST_I};
    const struct real one = real_int(v->c, 1);
    if (id == CONST_I) {
        y->z = (struct cplx){{.err = REAL_EXACT}, one};
        add_radical(v, 1, 2.0);
    } else if (id == CONST_PI) {
        set_real(v, y, real_pi(v->c));
    } else if (id == CONST_E) {
        set_real(v, y, real_exp(v->c, &one));
    } else {
        v->is_undefined = true; /* infinity and sets are no numbers */
        set_real(v, y, one);
    }
}

static void ball_multiply(struct evaluator *v, struct ball *y, const struct ball *b)
{
    y->z = cplx_mul(v->c, &y->z, &b->z);
    y->u += b->u;
    y->l += b->l;
    y->is_algebraic &= b->is_algebraic;
}

static void ball_add(struct evaluator *v, struct ball *y, const struct ball *b)
{
    y->z = cplx_add(v->c, &y->z, &b->z);
    y->u = fmax(y->u + b->l, b->u + y->l) + 1.0;
    y->l += b->l;
    y->is_algebraic &= b->is_algebraic;
}

static void ball_divide(struct evaluator *v, struct ball *y, const struct ball *b)
{
    y->z = cplx_div(v->c, &y->z, &b->z);
    y->u += b->l;
    y->l += b->u;
    y->is_algebraic &= b->is_algebraic;
}

static void ball_children(struct evaluator *v, const struct node *n, struct ball *y)
{
    const struct expr *const e = v->t->e;
    ball_of(v, n->child, y);
    for (int k = e->at[n->child].next; k >= 0; k = e->at[k].next) {
        struct ball b;
        ball_of(v, k, &b);
        if (n->kind == NODE_ADD)
            ball_add(v, y, &b);
        else if (n->kind == NODE_MUL)
            ball_multiply(v, y, &b);
        else
            ball_divide(v, y, &b);
    }
}

/* The k-th root of y, in place. */
static void ball_root(struct evaluator *v, struct ball *y, int64_t k, uint32_t hash)
{
    const double d = (double)k;
    y->z = cplx_root(v->c, &y->z, k);
    if (y->u >= y->l)
        y->u = (y->u + (d - 1.0) * y->l) / d;
    else
        y->l = ((d - 1.0) * y->u + y->l) / d;
    add_radical(v, hash, d);
}

static void ball_power(struct evaluator *v, struct ball *y, int64_t e)
{
    const double size = (double)(e < 0 ? -e : e);
    y->z = cplx_pow_int(v->c, &y->z, e);
    const double u = y->u * size, l = y->l * size;
    y->u = e < 0 ? l : u;
    y->l = e < 0 ? u : l;
}

/* a^(p/q) of a positive real a as the root of a power; other powers by logarithms */
static void ball_pow(struct evaluator *v, const struct node *n, struct ball *y)
{
    const int exponent = v->t->e->at[n->child].next;
    struct rat r;
    int64_t p, q;
    const bool is_exact = exact_of(v, exponent, &r) == EXACT_YES;
    const bool is_e = v->t->e->at[n->child].kind == NODE_CONST &&
                      v->t->e->at[n->child].id == CONST_E;
    ball_of(v, n->child, y);
    if (is_exact && rat_get(r, &p) && p <= INT32_MAX && p >= -INT32_MAX) {
        ball_power(v, y, p);
        return;
    }
    if (is_exact && cplx_is_real(&y->z) && real_sign(&y->z.re) == 1 &&
        rat_get((struct rat){1, r.den, big_small(v->pool, 1)}, &q) && q <= 64 &&
        rat_get((struct rat){r.sign, r.num, big_small(v->pool, 1)}, &p) && p <= 4096 &&
        p >= -4096) {
        ball_power(v, y, p);
        ball_root(v, y, q, node_hash(v->t->e, n->child) * 31 + (uint32_t)(q * 7 + p));
        return;
    }
    struct ball b;
    ball_of(v, exponent, &b);
    y->z = is_e ? cplx_exp(v->c, &b.z) : cplx_pow(v->c, &y->z, &b.z);
    y->is_algebraic = false;
}

static void ball_radical(struct evaluator *v, int at, struct ball *y)
{
    const struct node *const n = &v->t->e->at[at];
    const int index = v->t->e->at[n->child].next;
    struct rat r;
    int64_t k = 2;
    if (index >= 0 &&
        (exact_of(v, index, &r) == EXACT_NO || !rat_get(r, &k) || k < 2 || k > 64)) {
        v->is_undefined = true;
        k = 2;
    }
    ball_of(v, n->child, y);
    ball_root(v, y, k, node_hash(v->t->e, at));
}

static void ball_trig(struct evaluator *v, int32_t id, struct ball *y)
{
    struct real s, co;
    const struct real one = real_int(v->c, 1);
    v->is_undefined |= !cplx_is_real(&y->z);
    real_sin_cos(v->c, &y->z.re, &s, &co);
    set_real(v, y,
             id == FN_SIN   ? s
             : id == FN_COS ? co
             : id == FN_TAN ? real_div(v->c, &s, &co)
             : id == FN_COT ? real_div(v->c, &co, &s)
             : id == FN_SEC ? real_div(v->c, &one, &co)
                            : real_div(v->c, &one, &s));
}

/* asin x and acos x are angles of (x, sqrt(1 - x^2)); |x| <= 1 */
static void ball_arc(struct evaluator *v, int32_t id, struct ball *y)
{
    struct real_ctx *const c = v->c;
    const struct real one = real_int(c, 1), x = y->z.re;
    v->is_undefined |= !cplx_is_real(&y->z);
    if (id == FN_ATAN) {
        set_real(v, y, real_angle(c, &x, &one));
        return;
    }
    const struct real square = real_mul(c, &x, &x), rest = real_sub(c, &one, &square);
    v->is_undefined |= real_sign(&rest) == -1 || real_sign(&rest) == 2;
    const struct real other = real_sqrt(c, &rest);
    set_real(v, y,
             id == FN_ASIN ? real_angle(c, &x, &other) : real_angle(c, &other, &x));
}

static void ball_hyperbolic(struct evaluator *v, int32_t id, struct ball *y)
{
    const struct cplx minus = cplx_neg(&y->z), up = cplx_exp(v->c, &y->z),
                      down = cplx_exp(v->c, &minus), sum = cplx_add(v->c, &up, &down),
                      off = cplx_sub(v->c, &up, &down);
    const struct cplx two = cplx_real(v->c, real_int(v->c, 2));
    y->z = id == FN_TANH ? cplx_div(v->c, &off, &sum)
                         : cplx_div(v->c, id == FN_SINH ? &off : &sum, &two);
}

/* A logarithm without a base is in an unknown one: what holds for it holds for all.
 * 7919/100003 stands for the unknown factor. */
static void ball_log(struct evaluator *v, const struct node *n, struct ball *y)
{
    const int base = v->t->e->at[n->child].next;
    struct ball b = {.is_algebraic = false};
    y->z = cplx_log(v->c, &y->z);
    if (base >= 0) {
        ball_of(v, base, &b);
        b.z = cplx_log(v->c, &b.z);
        y->z = cplx_div(v->c, &y->z, &b.z);
    } else if (n->id == FN_LOG) {
        set_rational(
            v, &b,
            rat_make(v->pool, 1, big_small(v->pool, 7919), big_small(v->pool, 100003)));
        y->z = cplx_mul(v->c, &y->z, &b.z);
    }
}

static void ball_rounded(struct evaluator *v, int32_t id, struct ball *y)
{
    v->is_undefined |= !cplx_is_real(&y->z);
    const struct real minus = real_neg(&y->z.re),
                      whole = real_floor(v->c, id == FN_CEIL ? &minus : &y->z.re);
    const int64_t size = real_mag(&y->z.re);
    *y = (struct ball){.is_algebraic = true, .u = size > 0 ? (double)size + 1.0 : 1.0};
    set_real(v, y, id == FN_CEIL ? real_neg(&whole) : whole);
}

static void ball_function(struct evaluator *v, const struct node *n, struct ball *y)
{
    const bool was_trig = v->is_trig, is_trig = n->id <= FN_CSC;
    v->is_trig |= is_trig;
    ball_of(v, n->child, y);
    v->is_trig = was_trig;
    if (n->id == FN_ABS) {
        set_real(v, y, cplx_abs(v->c, &y->z));
        add_radical(v, node_hash(v->t->e, n->child), cplx_is_real(&y->z) ? 1.0 : 2.0);
        return;
    }
    if (n->id == FN_FLOOR || n->id == FN_CEIL) {
        ball_rounded(v, n->id, y);
        return;
    }
    y->is_algebraic = false;
    if (is_trig)
        ball_trig(v, n->id, y);
    else if (n->id <= FN_ATAN)
        ball_arc(v, n->id, y);
    else if (n->id <= FN_TANH)
        ball_hyperbolic(v, n->id, y);
    else if (n->id == FN_EXP)
        y->z = cplx_exp(v->c, &y->z);
    else
        ball_log(v, n, y);
}

/* A factorial too large to be exact. */
static void ball_factorial(struct evaluator *v, const struct node *n, struct ball *y)
{
    struct rat a;
    int64_t k = 0;
    if (exact_of(v, n->child, &a) == EXACT_NO || !rat_get(a, &k) || k < 0) {
        v->is_undefined |= !v->pool->is_over;
    } else if (k > EVAL_MAX_FACTORIAL) {
        v->pool->is_over = true;
    }
    struct real product = real_int(v->c, 1);
    for (int64_t i = 2; i <= k && !v->pool->is_over; i++) {
        const struct real factor = real_int(v->c, i);
        product = real_mul(v->c, &product, &factor);
    }
    *y = (struct ball){.is_algebraic = true, .u = (double)product.exp};
    set_real(v, y, product);
}

/* A degree sign: radians inside trigonometric functions, or where asked for. */
static void ball_degree(struct evaluator *v, const struct node *n, struct ball *y)
{
    ball_of(v, n->child, y);
    if (!v->is_trig && !v->t->is_radian)
        return;
    struct ball factor = {.is_algebraic = false};
    const struct real pi = real_pi(v->c);
    set_real(v, &factor, real_div_small(v->c, &pi, 180));
    ball_multiply(v, y, &factor);
}

static void ball_unary(struct evaluator *v, const struct node *n, struct ball *y)
{
    ball_of(v, n->child, y);
    const int sign = n->kind == NODE_NEG  ? -1
                     : n->kind == NODE_PM ? v->t->sign
                     : n->kind == NODE_MP ? -v->t->sign
                                          : 1;
    if (sign < 0)
        y->z = cplx_neg(&y->z);
    if (n->kind == NODE_PERCENT) {
        struct ball hundred;
        set_rational(v, &hundred, rat_int(v->pool, 100));
        ball_divide(v, y, &hundred);
    }
}

static void ball_node(struct evaluator *v, int at, struct ball *y)
{
    const struct node *const n = &v->t->e->at[at];
    if (n->kind == NODE_ADD || n->kind == NODE_MUL || n->kind == NODE_DIV)
        ball_children(v, n, y);
    else if (n->kind == NODE_NEG || n->kind == NODE_PM || n->kind == NODE_MP ||
             n->kind == NODE_PERCENT)
        ball_unary(v, n, y);
    else if (n->kind == NODE_POW)
        ball_pow(v, n, y);
    else if (n->kind == NODE_ROOT)
        ball_radical(v, at, y);
    else if (n->kind == NODE_FN)
        ball_function(v, n, y);
    else if (n->kind == NODE_FACT)
        ball_factorial(v, n, y);
    else if (n->kind == NODE_DEGREE)
        ball_degree(v, n, y);
    else if (n->kind == NODE_CONST)
        ball_const(v, n->id, y);
    else
        ball_const(v, CONST_EMPTY, y); /* no number */
}

static void note_size(struct evaluator *v, const struct real *a)
{
    const int sign = real_sign(a);
    if ((sign == 1 || sign == -1) && a->exp < v->lowest)
        v->lowest = a->exp;
}

static void ball_of(struct evaluator *v, int at, struct ball *out)
{
    struct rat r;
    if (exact_of(v, at, &r) == EXACT_YES) {
        set_rational(v, out, r);
    } else if (v->is_undefined || v->pool->is_over || ++v->depth > EVAL_MAX_DEPTH) {
        v->pool->is_over |= !v->is_undefined;
        *out = (struct ball){.is_algebraic = true};
        set_real(v, out, real_int(v->c, 1));
    } else {
        ball_node(v, at, out);
        v->depth--;
    }
    v->is_undefined |= v->c->is_undefined;
    note_size(v, &out->z.re);
    note_size(v, &out->z.im);
}

void ball_of_term(struct evaluator *v, struct ball *out)
{
    ball_of(v, v->t->at, out);
    if (v->t->is_scaled) {
        struct ball factor;
        set_rational(v, &factor, v->t->factor);
        ball_multiply(v, out, &factor);
    }
}
