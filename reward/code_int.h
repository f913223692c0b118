/*
 * Wide integers of bounded size on the caller's stack: what Python's int needs beyond
 * 64 bits, and what exact conversions between decimals and doubles need. Sign and
 * magnitude, 32-bit words, least significant first. Outputs may be inputs.
 *
 * What outgrows WIDE_WORDS becomes a zero with is_over, which every operation hands on:
 * a computation asks once, at its end.
 */
#ifndef REWARD_CODE_INT_H
#define REWARD_CODE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* twice CODE_INT_BITS, and a double's exponent range on top */
enum { WIDE_WORDS = 320, WIDE_DIGITS = 10 * WIDE_WORDS };

struct wide {
    bool is_negative; /* never for zero */
    bool is_over;
    int32_t n; /* words in use; zero has none */
    uint32_t w[WIDE_WORDS];
};

void wide_set(struct wide *out, int64_t v);
void wide_copy(struct wide *out, const struct wide *a);
bool wide_get(const struct wide *a, int64_t *out);        /* false: beyond 64 bits */
int64_t wide_bits(const struct wide *a);                  /* of the magnitude */
int wide_cmp(const struct wide *a, const struct wide *b); /* <0, 0, >0 */
void wide_add(struct wide *out, const struct wide *a, const struct wide *b);
void wide_sub(struct wide *out, const struct wide *a, const struct wide *b);
void wide_mul(struct wide *out, const struct wide *a, const struct wide *b);
/* Floor division as Python's // and %: the remainder has the sign of b. b is not zero;
 * q and r are different objects. */
void wide_divmod(struct wide *q, struct wide *r, const struct wide *a,
                 const struct wide *b);
void wide_shift_left(struct wide *out, const struct wide *a, int64_t bits);
void wide_pow10(struct wide *out, int64_t n);
/* a / b to the nearest integer, ties to even; b > 0 */
void wide_div_round(struct wide *out, const struct wide *a, const struct wide *b);

/* ASCII digits, and underscores between them, which are skipped */
void wide_parse(struct wide *out, const char *digits, size_t len);
/* Decimal digits with a sign into out[WIDE_DIGITS + 2], NUL-terminated; the length */
size_t wide_print(char *out, const struct wide *a);

/* The double nearest to a / b, ties to even, subnormals included; b is not zero. False
 * when it would be infinite, or an operand is over. */
bool wide_ratio(double *out, const struct wide *a, const struct wide *b) WARN_UNUSED;
/* A finite double is num / den exactly, den a power of two. */
void wide_from_double(struct wide *num, struct wide *den, double x);

#endif
