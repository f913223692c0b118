/* What reward/eval.c, eval_exact.c and eval_ball.c share. */
#ifndef REWARD_EVAL_TREE_H
#define REWARD_EVAL_TREE_H

#include "reward/eval.h"
#include "reward/real.h"

enum { EVAL_MAX_RADICALS = 12, EVAL_MAX_FACTORIAL = 20000, EVAL_MAX_DEPTH = 100 };

/* How variables get values; NULL where none is allowed. */
struct point {
    int index;
    bool is_small;    /* rationals of few digits: powers and functions of variables */
    bool is_integer;  /* positive integers: factorials of variables */
    bool is_positive; /* no negative values */
    const struct expr *e[2]; /* for is_exponent */
};

struct evaluator {
    struct pool *pool;
    const struct term *t;
    const struct point *point;
    struct real_ctx *c;
    bool is_trig; /* inside the argument of a trigonometric function */
    int depth;
    bool is_undefined;
    /* of balls, over both sides of a comparison */
    int64_t lowest; /* the least exponent of a part */
    int n_radicals;
    uint32_t radical[EVAL_MAX_RADICALS];
    double degree; /* product of the root degrees */
};

enum exact { EXACT_YES, EXACT_NO };
enum exact exact_of(struct evaluator *v, int at, struct rat *out);
uint32_t node_hash(const struct expr *e, int at);

struct ball {
    struct cplx z;
    bool is_algebraic;
    double u, l; /* log2 of the bounds of numerator and denominator */
};
/* the term's own factor applied */
void ball_of_term(struct evaluator *v, struct ball *out);
enum exact exact_of_term(struct evaluator *v, struct rat *out);

#endif
