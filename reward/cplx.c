/*
 * Complex numbers on balls. Real arguments stay real: an imaginary part that is an
 * exact zero is never given an error.
 */
#include "reward/real.h"

struct cplx cplx_real(struct real_ctx *c, struct real re)
{
    (void)c;
    return (struct cplx){re, {.err = REAL_EXACT}};
}

bool cplx_is_real(const struct cplx *a) { return real_sign(&a->im) == 0; }

struct cplx cplx_add(struct real_ctx *c, const struct cplx *a, const struct cplx *b)
{
    return (struct cplx){real_add(c, &a->re, &b->re), real_add(c, &a->im, &b->im)};
}

struct cplx cplx_neg(const struct cplx *a)
{
    return (struct cplx){real_neg(&a->re), real_neg(&a->im)};
}

struct cplx cplx_sub(struct real_ctx *c, const struct cplx *a, const struct cplx *b)
{
    const struct cplx minus = cplx_neg(b);
    return cplx_add(c, a, &minus);
}

struct cplx cplx_mul(struct real_ctx *c, const struct cplx *a, const struct cplx *b)
{
    const struct real rr = real_mul(c, &a->re, &b->re),
                      ii = real_mul(c, &a->im, &b->im),
                      ri = real_mul(c, &a->re, &b->im),
                      ir = real_mul(c, &a->im, &b->re);
    return (struct cplx){real_sub(c, &rr, &ii), real_add(c, &ri, &ir)};
}

struct cplx cplx_div(struct real_ctx *c, const struct cplx *a, const struct cplx *b)
{
    if (cplx_is_real(b))
        return (struct cplx){real_div(c, &a->re, &b->re), real_div(c, &a->im, &b->re)};
    const struct cplx conjugate = {b->re, real_neg(&b->im)},
                      num = cplx_mul(c, a, &conjugate);
    const struct real rr = real_mul(c, &b->re, &b->re),
                      ii = real_mul(c, &b->im, &b->im), den = real_add(c, &rr, &ii);
    return (struct cplx){real_div(c, &num.re, &den), real_div(c, &num.im, &den)};
}

struct real cplx_abs(struct real_ctx *c, const struct cplx *a)
{
    if (cplx_is_real(a)) {
        const int sign = real_sign(&a->re);
        c->is_undefined |= sign == 2;
        return sign < 0 ? real_neg(&a->re) : a->re;
    }
    const struct real rr = real_mul(c, &a->re, &a->re),
                      ii = real_mul(c, &a->im, &a->im), sum = real_add(c, &rr, &ii);
    return real_sqrt(c, &sum);
}

struct cplx cplx_exp(struct real_ctx *c, const struct cplx *a)
{
    const struct real size = real_exp(c, &a->re);
    if (cplx_is_real(a))
        return cplx_real(c, size);
    struct real s, co;
    real_sin_cos(c, &a->im, &s, &co);
    return (struct cplx){real_mul(c, &size, &co), real_mul(c, &size, &s)};
}

struct cplx cplx_log(struct real_ctx *c, const struct cplx *a)
{
    const struct real size = cplx_abs(c, a);
    if (cplx_is_real(a) && real_sign(&a->re) == 1)
        return cplx_real(c, real_log(c, &size));
    return (struct cplx){real_log(c, &size), real_angle(c, &a->im, &a->re)};
}

struct cplx cplx_pow_int(struct real_ctx *c, const struct cplx *a, int64_t e)
{
    const struct cplx one = cplx_real(c, real_int(c, 1));
    struct cplx y = one;
    const uint64_t size = e < 0 ? (uint64_t)0 - (uint64_t)e : (uint64_t)e;
    for (int bit = 63 - __builtin_clzll(size | 1); bit >= 0; bit--) {
        y = cplx_mul(c, &y, &y);
        if (size >> bit & 1)
            y = cplx_mul(c, &y, a);
    }
    return e < 0 ? cplx_div(c, &one, &y) : y;
}

struct cplx cplx_pow(struct real_ctx *c, const struct cplx *a, const struct cplx *b)
{
    const struct cplx log = cplx_log(c, a), product = cplx_mul(c, &log, b);
    return cplx_exp(c, &product);
}

struct cplx cplx_root(struct real_ctx *c, const struct cplx *a, int64_t k)
{
    const bool is_real = cplx_is_real(a);
    const int sign = real_sign(&a->re);
    if (is_real && sign == 0)
        return *a;
    if (is_real && k == 2 && sign == 1)
        return cplx_real(c, real_sqrt(c, &a->re));
    if (is_real && k == 2 && sign == -1) {
        const struct real minus = real_neg(&a->re);
        return (struct cplx){{.err = REAL_EXACT}, real_sqrt(c, &minus)};
    }
    const bool is_odd_of_minus = is_real && sign == -1 && k % 2 == 1;
    const struct cplx minus = cplx_neg(a), base = is_odd_of_minus ? minus : *a,
                      exponent = cplx_real(
                          c,
                          real_rat(c, (struct rat){1, big_small(c->pool, 1),
                                                   big_small(c->pool, (uint64_t)k)})),
                      y = cplx_pow(c, &base, &exponent);
    return is_odd_of_minus ? cplx_neg(&y) : y;
}
