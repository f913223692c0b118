/*
 * Natural numbers and exact rationals of bounded size, on a pool of limbs.
 *
 * Nothing here allocates or fails: limbs come from the caller's pool, which also counts
 * the work. Once the pool is used up, or a number would pass BIG_MAX_BITS, the pool is
 * `is_over` for good and every result is zero; the caller looks once, at the end.
 */
#ifndef REWARD_BIG_H
#define REWARD_BIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"

enum {
    BIG_MAX_BITS = 1 << 16,   /* of an exact integer: 19,728 digits */
    BIG_MAX_DIGITS = 4000,    /* of a literal */
    BIG_MAX_EXPONENT = 308,   /* of a literal's power of ten: the range of a double */
    BIG_POOL_LIMBS = 1 << 17, /* what a scratch's pool holds */
    BIG_MAX_STEPS = 2000000,  /* limb operations of one score: some 2 ms */
};

struct pool {
    uint32_t *limb; /* (cap) */
    int64_t n, cap;
    int64_t n_steps; /* limb operations since the last pool_reset */
    int64_t max_steps;
    int64_t n_total; /* and of all before */
    bool is_over;
};
void pool_init(struct pool *p);
void pool_release(struct pool *p);
void pool_reset(struct pool *p); /* takes all limbs back, and grants new steps */
void pool_clear(struct pool *p); /* takes all limbs back; over when the steps are */
/* n zeroed limbs; NULL when the pool is over */
uint32_t *pool_take(struct pool *p, int64_t n);
void pool_work(struct pool *p, int64_t n_steps);

struct big {
    int32_t n; /* limbs, least significant first; limb[n - 1] != 0; zero has n = 0 */
    const uint32_t *limb;
};
struct big big_small(struct pool *p, uint64_t v);
/* Decimal digits; other characters among them are skipped. */
struct big big_digits(struct pool *p, const char *text, size_t len, int base);
struct big big_add(struct pool *p, struct big a, struct big b);
struct big big_sub(struct pool *p, struct big a, struct big b); /* a >= b */
struct big big_mul(struct pool *p, struct big a, struct big b);
struct big big_pow(struct pool *p, struct big a, uint64_t e);
/* n (n - 1) ... of k factors, k <= n */
struct big big_falling(struct pool *p, uint32_t n, uint32_t k);
/* a = q b + r, b > 0; q and r may be NULL */
void big_divide(struct pool *p, struct big a, struct big b, struct big *q,
                struct big *r);
int big_compare(struct big a, struct big b);
int64_t big_bits(struct big a);            /* 0 for zero */
bool big_get(struct big a, uint64_t *out); /* false when it does not fit */

struct rat {
    int sign; /* -1, 0, 1; of num */
    struct big num, den;
};
struct rat rat_int(struct pool *p, int64_t v);
/* Lowest terms where both fit 64 bits; else as given. den > 0 */
struct rat rat_make(struct pool *p, int sign, struct big num, struct big den);
struct rat rat_add(struct pool *p, struct rat a, struct rat b);
struct rat rat_mul(struct pool *p, struct rat a, struct rat b);
struct rat rat_neg(struct rat a);
struct rat rat_inverse(struct rat a);                        /* a != 0 */
struct rat rat_pow(struct pool *p, struct rat a, int64_t e); /* e < 0: a != 0 */
int rat_compare(struct pool *p, struct rat a, struct rat b);
struct rat rat_floor(struct pool *p, struct rat a);
bool rat_get(struct rat a, int64_t *out); /* an integer that fits */
bool rat_is_int(struct pool *p, struct rat a);

#endif
