/*
 * Values of trees: exact rationals where the tree has one, else balls of as much
 * precision as it takes to tell two values apart or to prove them equal.
 *
 * Equality of algebraic numbers is proved by a separation bound (Burnikel, Fleischer,
 * Mehlhorn, Schirra, "A strong and easily computable separation bound for arithmetic
 * expressions involving radicals", Algorithmica 2000): with u and l bounding the
 * conjugates of numerator and denominator and D the product of the root degrees, a
 * value that is not zero is at least u^(1-D) / l. Of transcendental numbers two are
 * called equal that agree in EVAL_AGREE_BITS bits below both one and the smallest part
 * of either expression. Expressions with variables are equal when they are at all of
 * several points; the points depend on the names alone.
 */
#ifndef REWARD_EVAL_H
#define REWARD_EVAL_H

#include "reward/expr.h"

enum { EVAL_AGREE_BITS = 192 };

enum eval_verdict {
    EVAL_SAME,
    EVAL_DIFFERENT,
    EVAL_UNDEFINED, /* one has no value: a division by zero, a logarithm of zero */
    EVAL_LIMIT      /* not decided within the limits */
};

/* A tree and a node of it. */
struct term {
    const struct expr *e;
    int at;
    int sign;       /* +1 or -1: what plus-or-minus stands for; 0: for both */
    uint32_t bound; /* hash of a variable that is renamed ("f(n) = "); 0: none */
    bool is_scaled; /* by `factor` */
    struct rat factor;
    bool is_radian; /* degrees count as radians' multiples, pi/180 */
};
struct term term_of(const struct expr *e, int at);
/* Whether both have the same value. */
enum eval_verdict eval_compare(struct pool *p, const struct term *a,
                               const struct term *b);
/* Whether a1 b2 = a2 b1 at every point, that is, whether two left sides of equations
 * are multiples of each other; *sign_out: of the factor where it has one, else 0. */
enum eval_verdict eval_proportional(struct pool *p, const struct term a[2],
                                    const struct term b[2], int *sign_out);
/* |a - b| <= tolerance, for values without variables */
enum eval_verdict eval_within(struct pool *p, const struct term *a,
                              const struct term *b, struct rat tolerance);
/* The exact value where the tree has one; false: none, or the pool is over. */
bool eval_exact(struct pool *p, const struct term *t, struct rat *out);
bool expr_has_variable(const struct expr *e, int at);
bool expr_has_sign(const struct expr *e, int at); /* plus-or-minus below the node */

#endif
