/*
 * Numbers: digits, groups of thousands, decimals, exponents. Groups count only if the
 * whole chain is well formed: "1,2345" and "1,234,5" are lists.
 */
#include <string.h>

#include "reward/token_lexer.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static char at(const struct lexer *x, size_t i) { return i < x->len ? x->s[i] : 0; }

static size_t digits_from(const struct lexer *x, size_t i)
{
    while (is_digit(at(x, i)))
        i++;
    return i;
}

/* Separators of thousands; the same one throughout a number. */
static const char *const separators[] = {
    "{,}",          "{, }",         ",\\!",     "\\,", "\\ ", ",", "'",
    "\xE2\x80\xAF", "\xE2\x80\x89", "\xC2\xA0", ".",   "\\;", " "};
enum {
    SEPARATOR_LATEX = 2,
    SEPARATOR_COMMA = 5,
    SEPARATOR_POINT = 10,
    SEPARATOR_BLANK = 12
};

static size_t after_separator(const struct lexer *x, size_t i, int64_t kind)
{
    const size_t n = strlen(separators[kind]);
    if (i + n > x->len || memcmp(x->s + i, separators[kind], n) != 0)
        return 0;
    i += n;
    while (kind == SEPARATOR_LATEX && at(x, i) == ' ')
        i++;
    return is_digit(at(x, i)) ? i : 0;
}

/* The end of the groups that follow the first digits, or `end` if there are none. */
static size_t groups_end(const struct lexer *x, size_t end, int64_t kind)
{
    size_t i = end;
    int64_t n = 0;
    for (size_t next = after_separator(x, i, kind); next != 0;
         next = after_separator(x, i, kind)) {
        i = digits_from(x, next);
        if (i - next != 3)
            return end;
        n++;
    }
    return n >= (kind == SEPARATOR_POINT ? 2 : 1) ? i : end;
}

static size_t integer_end(const struct lexer *x, size_t start, bool *is_pointed)
{
    const size_t end = digits_from(x, start);
    *is_pointed = false;
    if (end - start < 1 || end - start > 3)
        return end;
    for (int64_t kind = 0; kind < ARRAY_LEN(separators); kind++) {
        const bool is_list_sign = kind == SEPARATOR_COMMA || kind == SEPARATOR_BLANK;
        if (is_list_sign && (x->depth > 0 || x->matrix_depth > 0))
            continue;
        const size_t last = groups_end(x, end, kind);
        const bool is_mixed = kind == SEPARATOR_BLANK && at(x, last) == '/';
        if (last != end && !is_mixed) { /* 1 234/567 */
            *is_pointed = kind == SEPARATOR_POINT;
            return last;
        }
    }
    return end;
}

/* The end of "e-3" at i, and its value; i if there is none. An exponent beyond any use
 * is the limit's business. */
static size_t exponent_end(const struct lexer *x, size_t i, int64_t *value)
{
    const size_t sign = i + 1,
                 first = sign + (at(x, sign) == '-' || at(x, sign) == '+');
    *value = 0;
    if ((at(x, i) | 0x20) != 'e' || !is_digit(at(x, first)))
        return i;
    const size_t end = digits_from(x, first);
    for (size_t k = first; k < end && *value <= BIG_MAX_EXPONENT; k++)
        *value = *value * 10 + (x->s[k] - '0');
    if (at(x, sign) == '-')
        *value = -*value;
    return end;
}

static struct rat scaled(struct pool *p, struct big num, int64_t exponent)
{
    const struct big one = big_small(p, 1), ten = big_small(p, 10);
    const struct big power = big_pow(p, ten,
                                     (uint64_t)(exponent < 0 ? -exponent : exponent));
    return exponent < 0 ? rat_make(p, 1, num, power)
                        : rat_make(p, 1, big_mul(p, num, power), one);
}

/* 0.1\overline{6}: what repeats at i, with its bounds; the place behind it, or i */
static size_t repeat_end(const struct lexer *x, size_t i, size_t *from, size_t *to)
{
    static const char open[] = "\\overline{";
    const size_t n = sizeof(open) - 1;
    if (i + n > x->len || memcmp(x->s + i, open, n) != 0)
        return i;
    *from = i + n;
    *to = digits_from(x, *from);
    return *to > *from && at(x, *to) == '}' ? *to + 1 : i;
}

/* num + repeated / (10^r - 1), in units of the last decimal */
static struct big repeated(struct pool *p, struct big num, const char *text, size_t len,
                           struct big *den)
{
    const struct big ten = big_small(p, 10), one = big_small(p, 1);
    *den = big_sub(p, big_pow(p, ten, len), one);
    return big_add(p, big_mul(p, num, *den), big_digits(p, text, len, 10));
}

void token_number(struct lexer *x)
{
    bool is_pointed;
    struct pool *const p = x->t->pool;
    const size_t start = x->i, whole = integer_end(x, start, &is_pointed);
    const char point = is_pointed ? ',' : '.';
    size_t mantissa = whole, from = 0, to = 0;
    if (at(x, whole) == point && (is_digit(at(x, whole + 1)) ||
                                  repeat_end(x, whole + 1, &from, &to) != whole + 1))
        mantissa = digits_from(x, whole + 1);
    const int64_t n_decimals = mantissa > whole ? (int64_t)(mantissa - whole) - 1 : 0;
    const size_t repeat = mantissa > whole ? repeat_end(x, mantissa, &from, &to)
                                           : mantissa;
    int64_t exponent;
    const size_t end = exponent_end(x, repeat, &exponent);
    if (n_decimals > 0 && at(x, end) == '.' && is_digit(at(x, end + 1))) {
        token_put(x, TOKEN_OTHER, 0, end - start)->hash = 1; /* 12.34.56 */
        return;
    }
    struct token *const k = token_put(x, TOKEN_NUM, 0, end - start);
    k->is_integer = end == whole;
    k->n_decimals = repeat == mantissa ? (int32_t)n_decimals : 0;
    if (repeat - start > BIG_MAX_DIGITS || exponent > BIG_MAX_EXPONENT ||
        exponent < -BIG_MAX_EXPONENT) {
        x->is_limit = true;
        return;
    }
    struct big num = big_digits(p, k->text, mantissa - start, 10), den;
    if (repeat == mantissa) {
        k->num = scaled(p, num, exponent - n_decimals);
        return;
    }
    num = repeated(p, num, x->s + from, to - from, &den);
    k->num = rat_mul(p, scaled(p, num, exponent - n_decimals),
                     rat_make(p, 1, big_small(p, 1), den));
}
