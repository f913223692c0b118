/*
 * Rationals of reward/big.h. Fractions are not reduced beyond 64 bits: they are
 * compared by cross multiplication, and a gcd of large numbers would cost more than it
 * saves.
 */
#include "reward/big.h"

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

struct rat rat_make(struct pool *p, int sign, struct big num, struct big den)
{
    uint64_t n, d;
    if (num.n == 0)
        sign = 0;
    if (big_get(num, &n) && big_get(den, &d) && d != 0) {
        const uint64_t g = gcd(n, d);
        if (g > 1) {
            num = big_small(p, n / g);
            den = big_small(p, d / g);
        }
    }
    return (struct rat){sign, num, den};
}

struct rat rat_int(struct pool *p, int64_t v)
{
    const uint64_t size = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
    return (struct rat){(v > 0) - (v < 0), big_small(p, size), big_small(p, 1)};
}

struct rat rat_neg(struct rat a)
{
    a.sign = -a.sign;
    return a;
}

struct rat rat_inverse(struct rat a) { return (struct rat){a.sign, a.den, a.num}; }

struct rat rat_add(struct pool *p, struct rat a, struct rat b)
{
    if (a.sign == 0 || b.sign == 0)
        return a.sign == 0 ? b : a;
    const struct big left = big_mul(p, a.num, b.den), right = big_mul(p, b.num, a.den),
                     den = big_mul(p, a.den, b.den);
    if (a.sign == b.sign)
        return rat_make(p, a.sign, big_add(p, left, right), den);
    if (big_compare(left, right) >= 0)
        return rat_make(p, a.sign, big_sub(p, left, right), den);
    return rat_make(p, b.sign, big_sub(p, right, left), den);
}

struct rat rat_mul(struct pool *p, struct rat a, struct rat b)
{
    return rat_make(p, a.sign * b.sign, big_mul(p, a.num, b.num),
                    big_mul(p, a.den, b.den));
}

struct rat rat_pow(struct pool *p, struct rat a, int64_t e)
{
    const uint64_t size = e < 0 ? (uint64_t)0 - (uint64_t)e : (uint64_t)e;
    const struct rat y = {a.sign < 0 && size % 2 == 1 ? -1
                          : size == 0                 ? 1
                                                      : a.sign * a.sign,
                          big_pow(p, a.num, size), big_pow(p, a.den, size)};
    return e < 0 ? rat_inverse(y) : y;
}

int rat_compare(struct pool *p, struct rat a, struct rat b)
{
    if (a.sign != b.sign)
        return a.sign < b.sign ? -1 : 1;
    const int order = big_compare(big_mul(p, a.num, b.den), big_mul(p, b.num, a.den));
    return a.sign < 0 ? -order : order;
}

struct rat rat_floor(struct pool *p, struct rat a)
{
    struct big q, r;
    const struct big one = big_small(p, 1);
    big_divide(p, a.num, a.den, &q, &r);
    if (a.sign < 0 && r.n > 0)
        q = big_add(p, q, one);
    return (struct rat){q.n == 0 ? 0 : a.sign, q, one};
}

bool rat_is_int(struct pool *p, struct rat a)
{
    struct big r;
    if (a.den.n == 0)
        return false; /* the pool is over */
    big_divide(p, a.num, a.den, NULL, &r);
    return r.n == 0;
}

bool rat_get(struct rat a, int64_t *out)
{
    uint64_t n, d;
    if (!big_get(a.num, &n) || !big_get(a.den, &d) || d != 1 || n > INT64_MAX)
        return false;
    *out = a.sign < 0 ? -(int64_t)n : (int64_t)n;
    return true;
}
