/*
 * Equality by cross multiplication, a.num b.den 10^b.scale = b.num a.den 10^a.scale, on
 * limbs of nine decimal digits, least significant first. Lowest terms by the binary gcd
 * (halve and subtract), which needs no division.
 */
#include "reward/rational.h"

#include <string.h>

enum {
    LIMB_DIGITS = 9,
    LIMB_BASE = 1000000000,
    /* num, den and 10^scale of RATIONAL_MAX_DIGITS each, one limb of slack per factor
     */
    MAX_LIMBS = 3 * (RATIONAL_MAX_DIGITS / LIMB_DIGITS + 2),
};

struct big {
    int32_t n; /* limb[n - 1] != 0; zero has n = 0 */
    uint32_t limb[MAX_LIMBS];
};

/* Appends digits, skipping commas; false when the number grows too long. */
static bool put_digits(char *to, int32_t *n, struct rational_digits d)
{
    for (size_t i = 0; i < d.len; i++) {
        if (d.text[i] == ',' || (*n == 0 && d.text[i] == '0'))
            continue;
        if (*n == RATIONAL_MAX_DIGITS)
            return false;
        to[(*n)++] = d.text[i];
    }
    return true;
}

enum rational_status rational_set(struct rational *out, bool is_negative,
                                  struct rational_digits integer,
                                  struct rational_digits decimals,
                                  struct rational_digits den)
{
    struct rational r = {.n_den = 1, .den = "1"};
    /* 4.50 is 4.5; this also keeps 4.000... short */
    while (decimals.len > 0 && decimals.text[decimals.len - 1] == '0')
        decimals.len--;
    if (decimals.len > RATIONAL_MAX_DIGITS)
        return RATIONAL_TOO_LONG;
    r.scale = (int32_t)decimals.len;
    if (!put_digits(r.num, &r.n_num, integer) || !put_digits(r.num, &r.n_num, decimals))
        return RATIONAL_TOO_LONG;
    if (den.len > 0) {
        r.n_den = 0;
        if (!put_digits(r.den, &r.n_den, den))
            return RATIONAL_TOO_LONG;
        if (r.n_den == 0)
            return RATIONAL_ZERO_DEN;
    }
    r.is_negative = is_negative && r.n_num > 0;
    *out = r;
    return RATIONAL_OK;
}

/* The digits followed by n_zeros zeros. */
static void big_set(struct big *b, const char *digits, int32_t n, int32_t n_zeros)
{
    const int32_t total = n == 0 ? 0 : n + n_zeros;
    b->n = (total + LIMB_DIGITS - 1) / LIMB_DIGITS;
    memset(b->limb, 0, (size_t)b->n * sizeof(b->limb[0]));
    for (int32_t i = 0; i < total; i++) {
        uint32_t *const limb = &b->limb[(total - 1 - i) / LIMB_DIGITS];
        *limb = *limb * 10 + (uint32_t)(i < n ? digits[i] - '0' : 0);
    }
}

static void big_trim(struct big *b)
{
    while (b->n > 0 && b->limb[b->n - 1] == 0)
        b->n--;
}

static void big_mul(struct big *y, const struct big *a, const struct big *b)
{
    y->n = a->n + b->n;
    memset(y->limb, 0, (size_t)y->n * sizeof(y->limb[0]));
    for (int32_t i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (int32_t j = 0; j < b->n; j++) {
            carry += (uint64_t)a->limb[i] * b->limb[j] + y->limb[i + j];
            y->limb[i + j] = (uint32_t)(carry % LIMB_BASE);
            carry /= LIMB_BASE;
        }
        y->limb[i + b->n] = (uint32_t)carry;
    }
    big_trim(y);
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (int32_t i = a->n - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

bool rational_equal(const struct rational *a, const struct rational *b)
{
    if (a->is_negative != b->is_negative)
        return false;
    struct big num, den, left, right;
    big_set(&num, a->num, a->n_num, b->scale);
    big_set(&den, b->den, b->n_den, 0);
    big_mul(&left, &num, &den);
    big_set(&num, b->num, b->n_num, a->scale);
    big_set(&den, a->den, a->n_den, 0);
    big_mul(&right, &num, &den);
    return big_compare(&left, &right) == 0;
}

static bool big_is_even(const struct big *a)
{
    return a->n == 0 || a->limb[0] % 2 == 0;
}

static void big_halve(struct big *a)
{
    uint32_t rest = 0;
    for (int32_t i = a->n - 1; i >= 0; i--) {
        const uint32_t v = a->limb[i] + rest * LIMB_BASE; /* below 2e9: fits */
        a->limb[i] = v / 2;
        rest = v % 2;
    }
    big_trim(a);
}

/* a -= b, a >= b */
static void big_sub(struct big *a, const struct big *b)
{
    uint32_t borrow = 0;
    for (int32_t i = 0; i < a->n; i++) {
        const uint32_t take = borrow + (i < b->n ? b->limb[i] : 0);
        borrow = a->limb[i] < take;
        a->limb[i] += borrow * LIMB_BASE - take;
    }
    big_trim(a);
}

/* Quotient of an exact division, one decimal digit at a time from the top. */
static void big_divide(struct big *q, const struct big *a, const struct big *b)
{
    struct big rest = {0};
    *q = (struct big){.n = a->n};
    for (int32_t i = a->n * LIMB_DIGITS - 1; i >= 0; i--) {
        static const uint32_t power[LIMB_DIGITS] = {
            1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
        const uint32_t unit = power[i % LIMB_DIGITS];
        uint64_t carry = a->limb[i / LIMB_DIGITS] / unit % 10;
        for (int32_t j = 0; j < rest.n; j++) {
            carry += (uint64_t)rest.limb[j] * 10;
            rest.limb[j] = (uint32_t)(carry % LIMB_BASE);
            carry /= LIMB_BASE;
        }
        if (carry > 0)
            rest.limb[rest.n++] = (uint32_t)carry;
        for (; big_compare(&rest, b) >= 0; q->limb[i / LIMB_DIGITS] += unit)
            big_sub(&rest, b);
    }
    big_trim(q);
}

/* gcd(a, b) with b > 0; a and b are used up. */
static void big_gcd(struct big *g, struct big *a, struct big *b)
{
    int32_t twos = 0;
    for (; a->n > 0 && big_is_even(a) && big_is_even(b); twos++) {
        big_halve(a);
        big_halve(b);
    }
    while (a->n > 0) {
        while (a->n > 0 && big_is_even(a))
            big_halve(a);
        while (big_is_even(b))
            big_halve(b);
        if (big_compare(a, b) < 0) {
            const struct big t = *a;
            *a = *b;
            *b = t;
        }
        if (a->n > 0)
            big_sub(a, b);
    }
    struct big two;
    big_set(&two, "2", 1, 0);
    *g = *b;
    for (; twos > 0; twos--) {
        const struct big t = *g;
        big_mul(g, &t, &two);
    }
}

static void big_print(const struct big *a, struct buf *out)
{
    if (a->n == 0)
        buf_puts(out, "0");
    for (int32_t i = a->n - 1; i >= 0; i--)
        buf_printf(out, i == a->n - 1 ? "%u" : "%09u", (unsigned)a->limb[i]);
}

void rational_print(const struct rational *r, struct buf *out)
{
    if (r->n_num == 0) {
        buf_puts(out, "0");
        return;
    }
    struct big num, den, g, a, b;
    big_set(&num, r->num, r->n_num, 0);
    big_set(&den, r->den, r->n_den, r->scale);
    a = num;
    b = den;
    big_gcd(&g, &a, &b);
    big_divide(&a, &num, &g);
    big_divide(&b, &den, &g);
    if (r->is_negative)
        buf_puts(out, "-");
    big_print(&a, out);
    if (b.n != 1 || b.limb[0] != 1) {
        buf_puts(out, "/");
        big_print(&b, out);
    }
}
