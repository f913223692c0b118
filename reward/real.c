/*
 * Ball arithmetic. Errors are kept as powers of two, so each operation may overstate
 * them by two bits; expressions are shallow beside the 384 bits that the comparison
 * begins with.
 */
#include "reward/real.h"

#include <math.h>
#include <string.h>

enum { CALL_WORK = 40 }; /* what an operation costs beside its limbs */

/* A limb here takes half as long again as one of an integer. */
static void count(struct real_ctx *c, int64_t n_limbs)
{
    pool_work(c->pool, n_limbs * 3 / 2 + CALL_WORK);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* The exponent of a sum of errors 2^a + 2^b. */
static int64_t err_sum(int64_t a, int64_t b)
{
    if (a == REAL_EXACT || b == REAL_EXACT)
        return larger(a, b);
    return larger(a, b) + 1;
}

static int64_t err_shift(int64_t err, int64_t bits)
{
    return err == REAL_EXACT ? REAL_EXACT : err + bits;
}

/* sign * 0.limb * 2^exp of `size` limbs, cut to the context's precision. */
static struct real rounded(struct real_ctx *c, int sign, const uint32_t *limb,
                           int64_t size, int64_t exp, int64_t err)
{
    struct real y = {.sign = 0, .err = err};
    while (size > 0 && limb[size - 1] == 0) {
        size--;
        exp -= 32;
    }
    if (size == 0)
        return y;
    const int s = __builtin_clz(limb[size - 1]);
    bool is_cut = false;
    for (int64_t i = 0; i < c->n; i++) {
        const int64_t k = size - c->n + i;
        const uint64_t low = k >= 1 ? limb[k - 1] : 0, high = k >= 0 ? limb[k] : 0;
        y.m[i] = (uint32_t)((high << 32 | low) << s >> 32);
    }
    for (int64_t k = 0; k < size - c->n && !is_cut; k++) /* the bits left out */
        is_cut = k < size - c->n - 1 ? limb[k] != 0 : (uint32_t)(limb[k] << s) != 0;
    y.sign = sign;
    y.exp = exp - s;
    if (is_cut)
        y.err = err_sum(err, y.exp - 32 * (int64_t)c->n);
    if (y.exp > (int64_t)1 << 40 || y.exp < -((int64_t)1 << 40))
        c->pool->is_over = true;
    return y;
}

struct real real_int(struct real_ctx *c, int64_t v)
{
    const uint64_t size = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
    const uint32_t limb[2] = {(uint32_t)size, (uint32_t)(size >> 32)};
    return rounded(c, v < 0 ? -1 : 1, limb, 2, 64, REAL_EXACT);
}

struct real real_rat(struct real_ctx *c, struct rat a)
{
    const struct real num = rounded(c, a.sign, a.num.limb, a.num.n,
                                    32 * (int64_t)a.num.n, REAL_EXACT);
    if (a.den.n == 1 && a.den.limb[0] == 1)
        return num;
    const struct real den = rounded(c, 1, a.den.limb, a.den.n, 32 * (int64_t)a.den.n,
                                    REAL_EXACT);
    return real_div(c, &num, &den);
}

struct real real_neg(const struct real *a)
{
    struct real y = *a;
    y.sign = -y.sign;
    return y;
}

struct real real_scale(const struct real *a, int64_t bits)
{
    struct real y = *a;
    y.exp += bits;
    y.err = err_shift(y.err, bits);
    return y;
}

int64_t real_mag(const struct real *a)
{
    return a->sign == 0 ? a->err : err_sum(a->exp, a->err);
}

int real_sign(const struct real *a)
{
    if (a->sign == 0)
        return a->err == REAL_EXACT ? 0 : 2;
    return a->err < a->exp - 1 ? a->sign : 2;
}

/* to[k] (op)= the limbs of a, shifted down by `bits` from the top of a buffer. */
static void put_shifted(uint32_t *to, const struct real_ctx *c, const struct real *a,
                        int64_t bits)
{
    const int64_t low = c->n + 1 - bits / 32 - 1;
    const int s = (int)(bits % 32);
    for (int64_t i = 0; i < c->n; i++) {
        const uint64_t v = (uint64_t)a->m[i] << 32 >> s;
        to[low + i + 1] |= (uint32_t)(v >> 32);
        to[low + i] |= (uint32_t)v;
    }
}

/* to = x + y or x - y over `size` limbs; true when x < y, and then it is y - x */
static bool combine(uint32_t *to, const uint32_t *x, const uint32_t *y, int64_t size,
                    bool is_sum)
{
    int64_t carry = 0;
    for (int64_t i = 0; i < size; i++) {
        carry += is_sum ? (int64_t)x[i] + y[i] : (int64_t)x[i] - (int64_t)y[i];
        to[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry >= 0)
        return false;
    (void)combine(to, y, x, size, false);
    return true;
}

struct real real_add(struct real_ctx *c, const struct real *a, const struct real *b)
{
    const int64_t err = err_sum(a->err, b->err), most = 32 * ((int64_t)c->n + 1);
    const bool is_swapped = a->sign == 0 || (b->sign != 0 && b->exp > a->exp);
    const struct real *const x = is_swapped ? b : a, *const y = is_swapped ? a : b;
    struct real sum = *x;
    sum.err = err;
    count(c, c->n);
    if (y->sign == 0)
        return sum;
    if (x->exp - y->exp > most) {
        sum.err = err_sum(err, y->exp);
        return sum;
    }
    /* x at the top below one limb for the carry, y shifted down by up to n + 1 limbs */
    const int64_t size = 2 * (int64_t)c->n + 3;
    uint32_t left[2 * REAL_MAX_LIMBS + 3] = {0}, right[2 * REAL_MAX_LIMBS + 3] = {0};
    put_shifted(left + 1, c, x, 0);
    put_shifted(right + 1, c, y, x->exp - y->exp);
    const bool is_below = combine(left, left, right, size, x->sign == y->sign);
    return rounded(c, is_below ? -x->sign : x->sign, left, size, x->exp + 32, err);
}

struct real real_sub(struct real_ctx *c, const struct real *a, const struct real *b)
{
    const struct real minus = real_neg(b);
    return real_add(c, a, &minus);
}

struct real real_mul(struct real_ctx *c, const struct real *a, const struct real *b)
{
    uint32_t limb[2 * REAL_MAX_LIMBS] = {0};
    int64_t err = err_sum(err_shift(a->err, real_mag(b)), err_shift(b->err, a->exp));
    if ((a->sign == 0 && a->err == REAL_EXACT) ||
        (b->sign == 0 && b->err == REAL_EXACT))
        return (struct real){.err = REAL_EXACT};
    if (a->sign == 0) /* a's value is 0, its exponent means nothing */
        err = a->err + real_mag(b);
    else if (b->sign == 0)
        err = b->err + real_mag(a);
    if (a->sign == 0 || b->sign == 0)
        return (struct real){.err = err};
    count(c, (int64_t)c->n * c->n);
    for (int64_t i = 0; i < c->n; i++) {
        uint64_t carry = 0;
        for (int64_t j = 0; j < c->n; j++) {
            carry += (uint64_t)a->m[i] * b->m[j] + limb[i + j];
            limb[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        limb[i + c->n] = (uint32_t)carry;
    }
    return rounded(c, a->sign * b->sign, limb, 2 * (int64_t)c->n, a->exp + b->exp, err);
}

struct real real_div(struct real_ctx *c, const struct real *a, const struct real *b)
{
    const int sign = real_sign(b);
    if (sign == 0 || sign == 2) {
        c->is_undefined = true;
        return (struct real){.err = REAL_EXACT};
    }
    const int64_t err = err_sum(
        err_shift(a->err, 2 - b->exp),
        err_shift(b->err, (a->sign == 0 ? 0 : a->exp) - 2 * b->exp + 4));
    if (a->sign == 0)
        return (struct real){.err = a->err == REAL_EXACT ? REAL_EXACT : err};
    uint32_t limb[2 * REAL_MAX_LIMBS + 1] = {0};
    memcpy(limb + c->n + 1, a->m, (size_t)c->n * sizeof(*limb));
    const int64_t mark = c->pool->n;
    struct big q, r;
    big_divide(c->pool, (struct big){2 * c->n + 1, limb}, (struct big){c->n, b->m}, &q,
               &r);
    /* limb / 2^(32 (2n + 1)) over b / 2^(32 n): q has the weight 2^-(32 (n + 1)) */
    struct real y = rounded(
        c, a->sign * b->sign, q.limb, q.n,
        32 * (int64_t)q.n - 32 * ((int64_t)c->n + 1) + a->exp - b->exp, err);
    if (r.n > 0)
        y.err = err_sum(y.err, y.exp - 32 * (int64_t)c->n);
    c->pool->n = mark;
    return y;
}

struct real real_div_small(struct real_ctx *c, const struct real *a, uint32_t b)
{
    uint32_t limb[REAL_MAX_LIMBS + 1] = {0};
    uint64_t rest = 0;
    for (int64_t i = c->n - 1; i >= 0; i--) {
        rest = rest << 32 | a->m[i];
        limb[i + 1] = (uint32_t)(rest / b);
        rest %= b;
    }
    limb[0] = (uint32_t)((rest << 32) / b);
    count(c, c->n);
    if (a->sign == 0)
        return *a;
    struct real y = rounded(c, a->sign, limb, (int64_t)c->n + 1, a->exp, a->err);
    if (rest != 0)
        y.err = err_sum(y.err, y.exp - 32 * (int64_t)c->n);
    return y;
}

double real_double(const struct real *a, int64_t *exp_out)
{
    double v = 0.0;
    int64_t top = REAL_MAX_LIMBS - 1;
    *exp_out = a->sign == 0 ? 0 : a->exp;
    if (a->sign == 0)
        return v;
    while (a->m[top] == 0)
        top--;
    for (int64_t i = top; i >= 0 && i > top - 3; i--)
        v += ldexp((double)a->m[i], (int)(-32 * (top - i + 1)));
    return a->sign * v;
}

struct real real_from_double(struct real_ctx *c, double v)
{
    int exp;
    const double fraction = frexp(fabs(v), &exp);
    const struct real y = real_int(c,
                                   (int64_t)ldexp(v < 0.0 ? -fraction : fraction, 60));
    return real_scale(&y, (int64_t)exp - 60);
}

struct real real_sqrt(struct real_ctx *c, const struct real *a)
{
    const int sign = real_sign(a);
    if (sign != 1) {
        c->is_undefined |= sign != 0;
        return (struct real){.err = REAL_EXACT};
    }
    int64_t exp;
    const double fraction = real_double(a, &exp);
    const int64_t half = (exp - (exp & 1)) / 2;
    struct real x = *a, y = real_from_double(c, sqrt(ldexp(fraction, (int)(exp & 1))));
    y = real_scale(&y, half);
    x.err = REAL_EXACT;
    for (int bits = 40; bits < 32 * c->n; bits *= 2) { /* Newton: twice as many bits */
        const struct real q = real_div(c, &x, &y), sum = real_add(c, &y, &q);
        y = real_scale(&sum, -1);
        y.err = REAL_EXACT;
    }
    const struct real square = real_mul(c, &y, &y), off = real_sub(c, &x, &square);
    y.err = err_sum(real_mag(&off), a->err) - y.exp + 2;
    return y;
}

struct real real_floor(struct real_ctx *c, const struct real *a)
{
    struct real y = {.err = REAL_EXACT};
    const int sign = real_sign(a);
    if (sign == 2 || (sign != 0 && a->exp > 32 * (int64_t)c->n - 64)) {
        c->is_undefined = true;
        return y;
    }
    if (sign != 0 && a->exp > 0) {
        y = *a;
        y.err = REAL_EXACT;
        for (int64_t i = 0, low = 32 * (int64_t)c->n - a->exp; i < c->n; i++, low -= 32)
            y.m[i] &= low >= 32  ? 0
                      : low <= 0 ? 0xFFFFFFFF
                                 : (uint32_t)(~(uint64_t)0 << low);
    }
    const struct real one = real_int(c, 1), below = real_sub(c, a, &y);
    const int side = real_sign(&below); /* of a against its integer part */
    if (side == -1)
        y = real_sub(c, &y, &one);
    /* the error must not reach the integer on either side */
    const struct real up = real_add(c, &y, &one), gap = real_sub(c, &up, a);
    c->is_undefined |= side == 2 || real_sign(&gap) != 1;
    return y;
}
