/*
 * Doubles as Python reads, prints and rounds them: all three are exact in decimal, on
 * wide integers, and independent of the locale and of the C library's printf.
 */
#ifndef REWARD_CODE_FLOAT_H
#define REWARD_CODE_FLOAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "reward/code_int.h"

enum { FLOAT_TEXT_MAX = 32, FLOAT_LITERAL_MAX = 800 };

/* The double nearest to digits * 10^exponent; infinite beyond the range. `digits` has
 * at most FLOAT_LITERAL_MAX decimal digits. */
double float_from_decimal(const struct wide *digits, int64_t exponent);
/* A literal of Python: digits with underscores, a point, an exponent, as the lexer
 * accepted it. False: more than FLOAT_LITERAL_MAX digits. */
bool float_parse(double *out, const char *text, size_t len) WARN_UNUSED;
/* The shortest decimal that reads back as x, in the layout of Python's repr; the length
 */
size_t float_print(char out[FLOAT_TEXT_MAX], double x);
/* round(x, n_digits) of a finite x: half to even on the exact decimal value. False when
 * the result is out of range. */
bool float_round(double *out, double x, int64_t n_digits) WARN_UNUSED;
/* x // y and x % y for y != 0 */
void float_divmod(double *q, double *r, double x, double y);

#endif
