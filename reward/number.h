/*
 * One number at a place in a text: the grammar of answers, as two PCRE2 patterns.
 *
 *   lead-in   up to 64 blanks, newlines, * ` " '
 *   sign      - + U+2212, before or after the currency, not both
 *   currency  $ \$ EUR GBP JPY signs, with or without a blank
 *   digits    plain or in well-formed groups of three ("1,080"), decimals, ".5"
 *   fraction  integer / integer
 *   percent   % \%: the value as printed, "25%" is 25 and never 0.25
 *
 * Digits are ASCII only. What comes right after may show that the number is part of
 * something else ("5 million", "3x", "12 or", "4" before a full-width digit).
 */
#ifndef REWARD_NUMBER_H
#define REWARD_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"
#include "reward/rational.h"

enum number_status {
    NUMBER_OK,
    NUMBER_NONE,
    NUMBER_PART, /* a number that what follows makes part of something else */
    NUMBER_LIMIT /* longer than is compared, or a match limit was hit */
};

struct number {
    struct rational value;
    size_t off, len; /* sign to percent, in the text given */
};

struct number_rules;   /* immutable, shared by threads */
struct number_scratch; /* of one thread */

int number_rules_create(struct number_rules **out, bool is_jit) WARN_UNUSED;
void number_rules_free(struct number_rules *r);
int number_scratch_create(struct number_scratch **out,
                          const struct number_rules *r) WARN_UNUSED;
void number_scratch_free(struct number_scratch *s);

/* The number that begins at text[off], after its lead-in. Looks at a bounded piece of
 * the text, so the cost does not depend on len. *out is written on NUMBER_OK. */
enum number_status number_parse(struct number *out, const struct number_rules *r,
                                struct number_scratch *s, const char *text, size_t len,
                                size_t off);

#endif
