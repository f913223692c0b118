/*
 * Plain decimals ("18", "-1,080", "$5.50"), compared digit by digit: any length, no
 * arithmetic, no memory. What is not plain goes through the parser.
 */
#ifndef REWARD_PLAIN_H
#define REWARD_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

struct plain {
    bool is_negative;              /* never for zero */
    const char *whole, *decimal;   /* without leading and trailing zeros */
    size_t whole_len, decimal_len; /* whole may hold commas */
};
/* false: not a plain decimal */
bool plain_read(struct plain *out, const char *text, size_t len);
bool plain_equal(const struct plain *a, const struct plain *b);

#endif
