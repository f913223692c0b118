/*
 * Elementary functions on balls. Series run without error tracking on reduced
 * arguments, where 400 terms of less than one unit each stay below 2^SERIES_BITS units
 * in the last place; inverses are Newton steps from a double, and their error is the
 * last residual, which is rigorous whatever came before.
 */
#include <math.h>

#include "reward/real.h"

enum { SERIES_BITS = 20, HALVINGS = 8 };

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t units(const struct real_ctx *c, int64_t bits)
{
    return bits - 32 * (int64_t)c->n;
}

/* atan(1/k), or atanh(1/k), from its series */
static struct real inverse_series(struct real_ctx *c, uint32_t k, bool is_alternating)
{
    const struct real one = real_int(c, 1);
    struct real power = real_div_small(c, &one, k), sum = power;
    for (uint32_t j = 1; power.exp > units(c, 0) && !c->pool->is_over; j++) {
        power = real_div_small(c, &power, k * k);
        struct real term = real_div_small(c, &power, 2 * j + 1);
        term.err = REAL_EXACT;
        if (is_alternating && j % 2 == 1)
            term.sign = -term.sign;
        sum = real_add(c, &sum, &term);
        sum.err = REAL_EXACT;
    }
    sum.err = units(c, SERIES_BITS);
    return sum;
}

/* Machin: pi = 16 atan(1/5) - 4 atan(1/239) */
struct real real_pi(struct real_ctx *c)
{
    if (!c->has_pi) {
        struct real a = inverse_series(c, 5, true), b = inverse_series(c, 239, true);
        a = real_scale(&a, 4);
        b = real_scale(&b, 2);
        c->pi = real_sub(c, &a, &b);
        c->has_pi = true;
    }
    return c->pi;
}

/* ln 2 = 2 atanh(1/3) */
static struct real log_two(struct real_ctx *c)
{
    if (!c->has_log_two) {
        const struct real a = inverse_series(c, 3, false);
        c->log_two = real_scale(&a, 1);
        c->has_log_two = true;
    }
    return c->log_two;
}

/* round(a / 2^-exp): the nearest integer of a double's worth */
static int64_t nearest(struct real_ctx *c, const struct real *a, double divisor)
{
    int64_t exp;
    const double fraction = real_double(a, &exp);
    if (exp > 48) {
        c->pool->is_over = true;
        return 0;
    }
    return llround(ldexp(fraction, exp < -60 ? -60 : (int)exp) / divisor);
}

struct real real_exp(struct real_ctx *c, const struct real *a)
{
    const struct real two = log_two(c);
    const int64_t k = nearest(c, a, 0.69314718055994531);
    const struct real factor = real_int(c, k), whole = real_mul(c, &factor, &two);
    struct real r = real_sub(c, a, &whole), sum = real_int(c, 1), term = sum;
    const int64_t err = r.err;
    if (real_mag(&r) > 0) {
        c->is_undefined = true; /* the argument's error exceeds one half */
        return sum;
    }
    r = real_scale(&r, -HALVINGS);
    r.err = REAL_EXACT;
    for (uint32_t j = 1; term.sign != 0 && term.exp > units(c, 0) && !c->pool->is_over;
         j++) {
        term = real_mul(c, &term, &r);
        term = real_div_small(c, &term, j);
        term.err = REAL_EXACT;
        sum = real_add(c, &sum, &term);
        sum.err = REAL_EXACT;
    }
    sum.err = larger(units(c, SERIES_BITS),
                     err == REAL_EXACT ? REAL_EXACT : err - HALVINGS + 1);
    for (int i = 0; i < HALVINGS; i++)
        sum = real_mul(c, &sum, &sum);
    return real_scale(&sum, k);
}

/* sin and cos of |r| < 1, r exact */
static void small_sin_cos(struct real_ctx *c, const struct real *r, struct real *s,
                          struct real *co)
{
    struct real term = real_int(c, 1);
    *co = term;
    *s = (struct real){.err = REAL_EXACT};
    for (uint32_t j = 1; term.sign != 0 && term.exp > units(c, 0) && !c->pool->is_over;
         j++) {
        term = real_mul(c, &term, r);
        term = real_div_small(c, &term, j);
        term.err = REAL_EXACT;
        struct real part = term;
        if (j % 4 >= 2)
            part.sign = -part.sign;
        struct real *const to = j % 2 == 0 ? co : s;
        *to = real_add(c, to, &part);
        to->err = REAL_EXACT;
    }
}

void real_sin_cos(struct real_ctx *c, const struct real *a, struct real *sin_out,
                  struct real *cos_out)
{
    const struct real pi = real_pi(c), half = real_scale(&pi, -1), one = real_int(c, 1);
    const int64_t k = nearest(c, a, 1.5707963267948966);
    const struct real factor = real_int(c, k), whole = real_mul(c, &factor, &half);
    struct real r = real_sub(c, a, &whole), s, co;
    const int64_t err = r.err;
    if (real_mag(&r) > 1) {
        c->is_undefined = true;
        r = one;
    }
    r = real_scale(&r, -HALVINGS);
    r.err = REAL_EXACT;
    small_sin_cos(c, &r, &s, &co);
    s.err = co.err = larger(units(c, SERIES_BITS),
                            err == REAL_EXACT ? REAL_EXACT : err - HALVINGS);
    for (int i = 0; i < HALVINGS; i++) { /* cos 2r = 2 cos^2 r - 1, sin 2r = 2 s c */
        struct real square = real_mul(c, &co, &co), product = real_mul(c, &s, &co);
        square = real_scale(&square, 1);
        co = real_sub(c, &square, &one);
        s = real_scale(&product, 1);
    }
    const int quarter = (int)(((k % 4) + 4) % 4);
    *sin_out = quarter % 2 == 0 ? s : co;
    *cos_out = quarter % 2 == 0 ? co : s;
    if (quarter >= 2)
        sin_out->sign = -sin_out->sign;
    if (quarter == 1 || quarter == 2)
        cos_out->sign = -cos_out->sign;
}

struct real real_log(struct real_ctx *c, const struct real *a)
{
    if (real_sign(a) != 1) {
        c->is_undefined = true;
        return (struct real){.err = REAL_EXACT};
    }
    int64_t exp;
    const double fraction = real_double(a, &exp);
    struct real y = real_from_double(c, log(fraction) + (double)exp * M_LN2);
    struct real step = {.err = REAL_EXACT};
    /* Halley: three times as many bits; the last round measures what is left */
    for (int bits = 30; bits < 96 * c->n; bits *= 3) {
        const struct real e = real_exp(c, &y), off = real_sub(c, a, &e),
                          sum = real_add(c, a, &e), q = real_div(c, &off, &sum);
        step = real_scale(&q, 1);
        if (bits >= 32 * c->n)
            break;
        y = real_add(c, &y, &step);
        y.err = REAL_EXACT;
    }
    y.err = real_mag(&step) + 1;
    return y;
}

struct real real_angle(struct real_ctx *c, const struct real *y, const struct real *x)
{
    const struct real xx = real_mul(c, x, x), yy = real_mul(c, y, y),
                      sum = real_add(c, &xx, &yy), r = real_sqrt(c, &sum);
    if (real_sign(&r) != 1 || (real_sign(x) != 1 && real_sign(y) == 2)) {
        c->is_undefined = true; /* the origin, or a ball across the branch cut */
        return r;
    }
    const struct real co = real_div(c, x, &r), s = real_div(c, y, &r);
    if (real_sign(y) == 0 && real_sign(x) == -1)
        return real_pi(c);
    int64_t ey, ex;
    const double fy = real_double(&s, &ey), fx = real_double(&co, &ex);
    struct real angle = real_from_double(c,
                                         atan2(ldexp(fy, ey < -900 ? -900 : (int)ey),
                                               ldexp(fx, ex < -900 ? -900 : (int)ex)));
    struct real step = {.err = REAL_EXACT};
    for (int bits = 30; bits < 96 * c->n; bits *= 3) { /* angle += sin(true - angle) */
        struct real sa, ca;
        real_sin_cos(c, &angle, &sa, &ca);
        const struct real left = real_mul(c, &s, &ca), right = real_mul(c, &co, &sa);
        step = real_sub(c, &left, &right);
        if (bits >= 32 * c->n)
            break;
        angle = real_add(c, &angle, &step);
        angle.err = REAL_EXACT;
    }
    angle.err = real_mag(&step) + 1;
    return angle;
}
