/*
 * Words and signs beside a number that make it no answer: "between 10 and 12", "less
 * than 12", "10 or 12", "~12", "10 + 12", "12 is wrong". For text that declares no
 * answer, where in doubt nothing is paid. No allocation; linear in what is given.
 */
#ifndef REWARD_DOUBT_H
#define REWARD_DOUBT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text[from, to) has a word of which `is` holds; "n't" counts always. */
bool doubt_holds(const char *text, size_t from, size_t to,
                 bool (*is)(const char *word, size_t len));
/* Words between two answers that leave the choice open: or, maybe, otherwise ... */
bool doubt_is_alternative(const char *word, size_t len);
/* Whether the words before an answer, as in "the sum could be ", leave it open. */
bool doubt_lead(const char *text, size_t from, size_t to);
/* Whether what stands in text[from, at), a sentence so far, takes the number at `at`
 * back, or makes it a bound, a label, an operand or one of several. */
bool doubt_before(const char *text, size_t from, size_t at);
/* Whether what follows a number in its sentence does. */
bool doubt_after(const char *text, size_t from, size_t to);

#endif
