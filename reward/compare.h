/*
 * Whether an answer's tree says what a gold's tree says.
 *
 *   values       equal as numbers or functions (reward/eval.h)
 *   x = v        is v where the other side names no variable; names must agree where
 *                both give one ("f(n) = n" and "f(m) = m" do); a chain a = b = c counts
 *                if its parts are equal, "~" parts are passed over
 *   tuples       in order; of two elements with the same brackets, since (0,1) and
 * [0,1] are intervals too lists, sets  as multisets; in order where one side names its
 * elements; plus-or-minus stands for two elements; "or" and "and" are commas intervals,
 * unions, inequalities of one variable, { x | ... }, x in S: as sets equations,
 * inequalities   up to a factor (its sign turns an inequality) matrices     by element;
 * a column equals a tuple ratios       a:b equals ka:kb, unless one is a time of day
 * (12:00) bases        only with the same base on both sides; base 10 is plain
 *
 * What two projects may decide differently is a policy.
 */
#ifndef REWARD_COMPARE_H
#define REWARD_COMPARE_H

#include "reward/eval.h"

enum policy_percent {
    PERCENT_EITHER,    /* 50% is 50 and also 0.5; never without a sign */
    PERCENT_HUNDREDTH, /* 50% is 0.5 */
    PERCENT_IGNORED    /* 50% is 50 */
};
enum policy_order { ORDER_FREE, ORDER_STRICT };
enum policy_rounding {
    ROUNDING_EXACT,
    ROUNDING_GOLD /* a value that rounds to a decimal gold, at its last place */
};
enum policy_fractions {
    FRACTIONS_ANY,
    FRACTIONS_REDUCED /* 2/4 is not 1/2 */
};
struct policy {
    enum policy_percent percent;
    enum policy_order order;
    enum policy_rounding rounding;
    enum policy_fractions fractions;
};

enum eval_verdict compare_trees(struct pool *p, const struct policy *policy,
                                const struct expr *gold, const struct expr *answer);

#endif
