/*
 * Real and complex numbers of high precision with error bounds ("balls").
 *
 * A real is sign * 0.m * 2^exp with n limbs of mantissa, and its true value lies within
 * 2^err of that. Every operation propagates err and adds its own rounding, so a verdict
 * drawn from a ball that leaves no doubt is rigorous. What is not defined (a division
 * by a ball that holds zero, a branch that the error leaves open) or out of range makes
 * the context `is_undefined` for good; the caller looks once, at the end.
 */
#ifndef REWARD_REAL_H
#define REWARD_REAL_H

#include "reward/big.h"

enum { REAL_MAX_LIMBS = 64 };
#define REAL_EXACT (-((int64_t)1 << 60))

struct real {
    int sign; /* 0: zero, and exp has no meaning */
    int64_t exp, err;
    uint32_t
        m[REAL_MAX_LIMBS]; /* least significant first; the top bit of m[n - 1] set */
};

struct real_ctx {
    struct pool *pool; /* of temporaries and of the work count */
    int n;             /* limbs, 2 to REAL_MAX_LIMBS */
    bool is_undefined;
    struct real pi, log_two; /* where has_ says so: worked out once */
    bool has_pi, has_log_two;
};

struct real real_int(struct real_ctx *c, int64_t v);
struct real real_rat(struct real_ctx *c, struct rat a);
struct real real_add(struct real_ctx *c, const struct real *a, const struct real *b);
struct real real_sub(struct real_ctx *c, const struct real *a, const struct real *b);
struct real real_mul(struct real_ctx *c, const struct real *a, const struct real *b);
struct real real_div(struct real_ctx *c, const struct real *a, const struct real *b);
struct real real_div_small(struct real_ctx *c, const struct real *a, uint32_t b);
struct real real_sqrt(struct real_ctx *c, const struct real *a); /* a >= 0 */
struct real real_neg(const struct real *a);
struct real real_scale(const struct real *a, int64_t bits); /* a 2^bits */
/* The exponent that bounds |a|: |true value| < 2^result */
int64_t real_mag(const struct real *a);
/* -1, 0 or 1; 2 when the error leaves it open. 0 only for an exact zero. */
int real_sign(const struct real *a);
double real_double(const struct real *a, int64_t *exp_out); /* fraction, exponent */
struct real real_from_double(struct real_ctx *c, double v);
/* floor, where the error leaves no doubt */
struct real real_floor(struct real_ctx *c, const struct real *a);

/* reward/real_fn.c */
struct real real_pi(struct real_ctx *c);
struct real real_exp(struct real_ctx *c, const struct real *a);
struct real real_log(struct real_ctx *c, const struct real *a); /* a > 0 */
void real_sin_cos(struct real_ctx *c, const struct real *a, struct real *sin_out,
                  struct real *cos_out);
/* The angle of (x, y), in (-pi, pi] */
struct real real_angle(struct real_ctx *c, const struct real *y, const struct real *x);

struct cplx {
    struct real re, im; /* im is an exact zero for real values */
};
struct cplx cplx_real(struct real_ctx *c, struct real re);
bool cplx_is_real(const struct cplx *a);
struct cplx cplx_add(struct real_ctx *c, const struct cplx *a, const struct cplx *b);
struct cplx cplx_sub(struct real_ctx *c, const struct cplx *a, const struct cplx *b);
struct cplx cplx_mul(struct real_ctx *c, const struct cplx *a, const struct cplx *b);
struct cplx cplx_div(struct real_ctx *c, const struct cplx *a, const struct cplx *b);
struct cplx cplx_neg(const struct cplx *a);
struct cplx cplx_exp(struct real_ctx *c, const struct cplx *a);
struct cplx cplx_log(struct real_ctx *c, const struct cplx *a); /* principal */
struct cplx cplx_pow_int(struct real_ctx *c, const struct cplx *a, int64_t e);
struct cplx cplx_pow(struct real_ctx *c, const struct cplx *a, const struct cplx *b);
/* The principal k-th root; of a real number and an odd k the real one. */
struct cplx cplx_root(struct real_ctx *c, const struct cplx *a, int64_t k);
struct real cplx_abs(struct real_ctx *c, const struct cplx *a);

#endif
