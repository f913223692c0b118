/*
 * Exact rationals of bounded length, as decimal digits: (-1)^neg num 10^-scale / den.
 * Nothing is rounded, and comparing allocates nothing.
 */
#ifndef REWARD_RATIONAL_H
#define REWARD_RATIONAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"

enum { RATIONAL_MAX_DIGITS = 200 }; /* of the numerator, and of the denominator */

struct rational {
    bool is_negative; /* never for zero */
    int32_t n_num, n_den, scale;
    char num[RATIONAL_MAX_DIGITS]; /* without leading zeros; zero has n_num = 0 */
    char den[RATIONAL_MAX_DIGITS]; /* without leading zeros; one is "1" */
};

enum rational_status { RATIONAL_OK, RATIONAL_TOO_LONG, RATIONAL_ZERO_DEN };

/* A piece of text; commas among the digits are skipped. */
struct rational_digits {
    const char *text;
    size_t len;
};

/* integer "." decimals "/" den; an empty den is 1. *out is written on RATIONAL_OK. */
enum rational_status rational_set(struct rational *out, bool is_negative,
                                  struct rational_digits integer,
                                  struct rational_digits decimals,
                                  struct rational_digits den);
bool rational_equal(const struct rational *a, const struct rational *b);
/* In lowest terms: "-3", "11/2", "0" */
void rational_print(const struct rational *r, struct buf *out);

#endif
