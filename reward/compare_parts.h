/* What reward/compare.c, compare_chain.c and compare_set.c share. */
#ifndef REWARD_COMPARE_PARTS_H
#define REWARD_COMPARE_PARTS_H

#include "reward/compare.h"

enum { COMPARE_MAX_ITEMS = 64, COMPARE_MAX_DEPTH = 12 };

struct comparison {
    struct pool *pool;
    const struct policy *policy;
    int depth;
};

static inline const struct node *term_node(const struct term *t)
{
    return &t->e->at[t->at];
}
static inline struct term term_at(const struct term *t, int at)
{
    struct term y = *t;
    y.at = at;
    return y;
}
int term_count(const struct term *t); /* children */

enum eval_verdict compare_terms(struct comparison *c, const struct term *gold,
                                const struct term *answer);

/* x = v: reward/compare_chain.c */
struct definition {
    struct term value;
    int name;        /* node of what is defined; -1: nothing is named */
    uint32_t hash;   /* of the name */
    uint32_t called; /* f of f(x); 0: it is no call */
    uint32_t bound;  /* x of f(x) */
    bool is_prose;   /* named by words */
};
/* x, f(x), AB (a segment), (x, y), "the area" */
bool term_is_name(const struct term *t);
bool definition_of(struct comparison *c, const struct term *t, struct definition *out);
enum eval_verdict compare_chains(struct comparison *c, const struct term *gold,
                                 const struct term *answer);

/* reward/compare_set.c */
bool is_span_like(const struct term *t); /* only makes sense as a set of numbers */
enum eval_verdict compare_spans(struct comparison *c, const struct term *gold,
                                const struct term *answer);
/* Elements of a list or set, of a value with plus-or-minus; count, or -1: too many */
struct items {
    int n;
    bool has_names; /* different variables are given values */
    struct term at[COMPARE_MAX_ITEMS];
};
bool items_of(struct comparison *c, const struct term *t, struct items *out);
enum eval_verdict compare_items(struct comparison *c, const struct items *gold,
                                const struct items *answer, bool is_ordered);
int infinity_sign(const struct term *t); /* 0: not infinite */

#endif
