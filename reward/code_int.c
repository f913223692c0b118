/*
 * School-book arithmetic on 32-bit words; division is Knuth's algorithm D (The Art of
 * Computer Programming, volume 2, 4.3.1). Numbers have at most some hundred words,
 * where nothing faster pays.
 */
#include "reward/code_int.h"

#include <math.h>
#include <string.h>

static void trim(struct wide *a)
{
    while (a->n > 0 && a->w[a->n - 1] == 0)
        a->n--;
    if (a->n == 0)
        a->is_negative = false;
}

static void set_over(struct wide *out)
{
    out->is_negative = false;
    out->is_over = true;
    out->n = 0;
}

void wide_set(struct wide *out, int64_t v)
{
    const uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    out->is_negative = v < 0;
    out->is_over = false;
    out->w[0] = (uint32_t)u;
    out->w[1] = (uint32_t)(u >> 32);
    out->n = 2;
    trim(out);
}

void wide_copy(struct wide *out, const struct wide *a)
{
    out->is_negative = a->is_negative;
    out->is_over = a->is_over;
    out->n = a->n;
    memmove(out->w, a->w, (size_t)a->n * sizeof(a->w[0]));
}

bool wide_get(const struct wide *a, int64_t *out)
{
    if (a->n > 2)
        return false;
    uint64_t u = a->n > 0 ? a->w[0] : 0;
    u |= a->n > 1 ? (uint64_t)a->w[1] << 32 : 0;
    if (u > (uint64_t)INT64_MAX + (a->is_negative ? 1 : 0))
        return false;
    *out = a->is_negative ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

int64_t wide_bits(const struct wide *a)
{
    return a->n == 0 ? 0 : 32 * (int64_t)a->n - __builtin_clz(a->w[a->n - 1]);
}

static int cmp_magnitude(const struct wide *a, const struct wide *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (int32_t i = a->n - 1; i >= 0; i--)
        if (a->w[i] != b->w[i])
            return a->w[i] < b->w[i] ? -1 : 1;
    return 0;
}

int wide_cmp(const struct wide *a, const struct wide *b)
{
    if (a->is_negative != b->is_negative)
        return a->is_negative ? -1 : 1;
    const int c = cmp_magnitude(a, b);
    return a->is_negative ? -c : c;
}

/* |a| + |b| */
static void add_magnitude(struct wide *out, const struct wide *a, const struct wide *b)
{
    const struct wide *const big = a->n >= b->n ? a : b;
    const struct wide *const small = a->n >= b->n ? b : a;
    const int32_t n = big->n, n_small = small->n;
    uint64_t carry = 0;
    for (int32_t i = 0; i < n; i++) {
        carry += (uint64_t)big->w[i] + (i < n_small ? small->w[i] : 0);
        out->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    out->n = n;
    if (carry == 0)
        return;
    if (n < WIDE_WORDS)
        out->w[out->n++] = (uint32_t)carry;
    else
        set_over(out);
}

/* |a| - |b| for |a| >= |b| */
static void sub_magnitude(struct wide *out, const struct wide *a, const struct wide *b)
{
    const int32_t n = a->n, n_b = b->n;
    uint64_t borrow = 0;
    for (int32_t i = 0; i < n; i++) {
        const uint64_t d = (uint64_t)a->w[i] - (i < n_b ? b->w[i] : 0) - borrow;
        out->w[i] = (uint32_t)d;
        borrow = d >> 63;
    }
    out->n = n;
}

/* a + (-1)^flip b */
static void add_signed(struct wide *out, const struct wide *a, const struct wide *b,
                       bool flip)
{
    const bool a_neg = a->is_negative, b_neg = b->is_negative != flip;
    out->is_over = a->is_over | b->is_over;
    if (a_neg == b_neg) {
        add_magnitude(out, a, b);
        out->is_negative = a_neg;
    } else if (cmp_magnitude(a, b) >= 0) {
        sub_magnitude(out, a, b);
        out->is_negative = a_neg;
    } else {
        sub_magnitude(out, b, a);
        out->is_negative = b_neg;
    }
    trim(out);
}

void wide_add(struct wide *out, const struct wide *a, const struct wide *b)
{
    add_signed(out, a, b, false);
}

void wide_sub(struct wide *out, const struct wide *a, const struct wide *b)
{
    add_signed(out, a, b, true);
}

void wide_mul(struct wide *out, const struct wide *a, const struct wide *b)
{
    struct wide t;
    t.n = a->n + b->n;
    t.is_over = a->is_over | b->is_over;
    if (t.n > WIDE_WORDS) {
        set_over(out);
        return;
    }
    t.is_negative = a->is_negative != b->is_negative;
    memset(t.w, 0, (size_t)t.n * sizeof(t.w[0]));
    for (int32_t i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (int32_t j = 0; j < b->n; j++) {
            carry += (uint64_t)a->w[i] * b->w[j] + t.w[i + j];
            t.w[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        t.w[i + b->n] = (uint32_t)carry;
    }
    trim(&t);
    wide_copy(out, &t);
}

void wide_shift_left(struct wide *out, const struct wide *a, int64_t bits)
{
    if (a->n == 0) {
        wide_copy(out, a);
        return;
    }
    if (bits > 32 * (int64_t)WIDE_WORDS - wide_bits(a)) {
        set_over(out);
        return;
    }
    const int32_t words = (int32_t)(bits / 32), rest = (int32_t)(bits % 32);
    const int32_t n = a->n;
    uint32_t high = 0;
    if (rest > 0)
        high = a->w[n - 1] >> (32 - rest);
    /* from the top, so that out may be a */
    for (int32_t i = n - 1; i >= 0; i--) {
        const uint32_t low = rest > 0 && i > 0 ? a->w[i - 1] >> (32 - rest) : 0;
        out->w[i + words] = (a->w[i] << rest) | low;
    }
    memset(out->w, 0, (size_t)words * sizeof(out->w[0]));
    out->is_negative = a->is_negative;
    out->is_over = a->is_over;
    out->n = n + words;
    if (high != 0)
        out->w[out->n++] = high;
}

/* a /= d in place; the remainder */
static uint32_t div_word(struct wide *a, uint32_t d)
{
    uint64_t rest = 0;
    for (int32_t i = a->n - 1; i >= 0; i--) {
        rest = (rest << 32) | a->w[i];
        a->w[i] = (uint32_t)(rest / d);
        rest %= d;
    }
    trim(a);
    return (uint32_t)rest;
}

/* u -= q * v at word j, adding v back once if q was one too large; the true q */
static uint32_t take_multiple(struct wide *u, const struct wide *v, int32_t j,
                              uint64_t q)
{
    uint64_t borrow = 0;
    for (int32_t i = 0; i < v->n; i++) {
        const uint64_t product = q * v->w[i] + borrow;
        const uint32_t low = (uint32_t)product;
        borrow = (product >> 32) + (u->w[i + j] < low);
        u->w[i + j] -= low;
    }
    const bool is_over = u->w[j + v->n] < borrow;
    u->w[j + v->n] -= (uint32_t)borrow;
    if (!is_over)
        return (uint32_t)q;
    uint64_t carry = 0;
    for (int32_t i = 0; i < v->n; i++) {
        carry += (uint64_t)u->w[i + j] + v->w[i];
        u->w[i + j] = (uint32_t)carry;
        carry >>= 32;
    }
    u->w[j + v->n] += (uint32_t)carry;
    return (uint32_t)(q - 1);
}

/* q = floor(|a| / |b|), u = the remainder; |b| has at least two words and |a| >= |b| */
static void div_long(struct wide *q, struct wide *u, const struct wide *a,
                     const struct wide *b)
{
    struct wide v;
    const int64_t shift = __builtin_clz(b->w[b->n - 1]);
    wide_shift_left(&v, b, shift);
    wide_shift_left(u, a, shift);
    const int32_t n = v.n, m = a->n - n;
    if (u->n == a->n)
        u->w[u->n++] = 0;
    for (int32_t j = m; j >= 0; j--) {
        const uint64_t top = ((uint64_t)u->w[j + n] << 32) | u->w[j + n - 1];
        uint64_t guess = top / v.w[n - 1], rest = top % v.w[n - 1];
        while (guess >> 32 != 0 ||
               guess * v.w[n - 2] > ((rest << 32) | u->w[j + n - 2])) {
            guess--;
            rest += v.w[n - 1];
            if (rest >> 32 != 0)
                break;
        }
        q->w[j] = take_multiple(u, &v, j, guess);
    }
    q->n = m + 1;
    trim(q);
    trim(u);
    /* the remainder was shifted with the operands */
    for (int32_t i = 0; i < u->n && shift > 0; i++) {
        const uint32_t high = i + 1 < u->n ? u->w[i + 1] << (32 - shift) : 0;
        u->w[i] = (u->w[i] >> shift) | high;
    }
    trim(u);
}

void wide_divmod(struct wide *q, struct wide *r, const struct wide *a,
                 const struct wide *b)
{
    struct wide quotient, rest, divisor;
    wide_copy(&divisor, b);
    const bool is_mixed = a->is_negative != b->is_negative;
    /* a shift by less than a word, and a word more, must fit */
    if (a->is_over || b->is_over || a->n + 1 >= WIDE_WORDS) {
        set_over(q);
        set_over(r);
        return;
    }
    if (cmp_magnitude(a, b) < 0) {
        wide_set(&quotient, 0);
        wide_copy(&rest, a);
    } else if (b->n == 1) {
        wide_copy(&quotient, a);
        wide_set(&rest, div_word(&quotient, b->w[0]));
    } else {
        quotient.is_over = false;
        div_long(&quotient, &rest, a, b);
    }
    rest.is_negative = false;
    quotient.is_negative = false;
    if (is_mixed && rest.n > 0) { /* floor, not truncation */
        struct wide one;
        wide_set(&one, 1);
        sub_magnitude(&rest, &divisor, &rest);
        add_magnitude(&quotient, &quotient, &one);
    }
    quotient.is_negative = is_mixed;
    rest.is_negative = divisor.is_negative;
    trim(&quotient);
    trim(&rest);
    wide_copy(q, &quotient);
    wide_copy(r, &rest);
}

void wide_div_round(struct wide *out, const struct wide *a, const struct wide *b)
{
    struct wide q, r;
    wide_divmod(&q, &r, a, b);
    wide_shift_left(&r, &r, 1);
    const int c = wide_cmp(&r, b);
    const bool is_odd = q.n > 0 && (q.w[0] & 1) != 0;
    struct wide one;
    wide_set(&one, c > 0 || (c == 0 && is_odd));
    wide_add(out, &q, &one);
}

/* a = a * factor + term */
static void mul_add_word(struct wide *a, uint32_t factor, uint32_t term)
{
    uint64_t carry = term;
    for (int32_t i = 0; i < a->n; i++) {
        carry += (uint64_t)a->w[i] * factor;
        a->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry == 0)
        return;
    if (a->n < WIDE_WORDS)
        a->w[a->n++] = (uint32_t)carry;
    else
        set_over(a);
}

void wide_pow10(struct wide *out, int64_t n)
{
    wide_set(out, 1);
    for (; n >= 9 && !out->is_over; n -= 9)
        mul_add_word(out, 1000000000, 0);
    for (; n > 0 && !out->is_over; n--)
        mul_add_word(out, 10, 0);
}

void wide_parse(struct wide *out, const char *digits, size_t len)
{
    uint32_t group = 0, scale = 1; /* up to nine digits at a time */
    wide_set(out, 0);
    for (size_t i = 0; i < len && !out->is_over; i++) {
        if (digits[i] == '_')
            continue;
        group = 10 * group + (uint32_t)(digits[i] - '0');
        scale *= 10;
        if (scale < 1000000000)
            continue;
        mul_add_word(out, scale, group);
        group = 0;
        scale = 1;
    }
    mul_add_word(out, scale, group);
}

size_t wide_print(char *out, const struct wide *a)
{
    char digits[WIDE_DIGITS];
    size_t n = 0, len = 0;
    struct wide rest;
    wide_copy(&rest, a);
    while (rest.n > 0) {
        uint32_t group = div_word(&rest, 1000000000);
        for (int i = 0; i < 9 && (rest.n > 0 || group > 0); i++) {
            digits[n++] = (char)('0' + group % 10);
            group /= 10;
        }
    }
    if (n == 0)
        digits[n++] = '0';
    if (a->is_negative)
        out[len++] = '-';
    while (n > 0)
        out[len++] = digits[--n];
    out[len] = 0;
    return len;
}

/* The 56 or 57 leading bits of |a| / |b|, the last one sticky, and in *exponent_out the
 * power of two of the last one; 0: over */
static uint64_t leading_bits(int64_t *exponent_out, const struct wide *a,
                             const struct wide *b)
{
    struct wide num, den, q, r;
    const int64_t shift = 55 - (wide_bits(a) - wide_bits(b));
    wide_shift_left(&num, a, shift > 0 ? shift : 0);
    wide_shift_left(&den, b, shift < 0 ? -shift : 0);
    num.is_negative = den.is_negative = false;
    wide_divmod(&q, &r, &num, &den);
    *exponent_out = -shift - 1;
    int64_t bits = 0;
    (void)wide_get(&q, &bits); /* 0 when over, else at most 56 bits */
    if (bits == 0)
        return 0;
    return ((uint64_t)bits << 1) | (r.n > 0);
}

bool wide_ratio(double *out, const struct wide *a, const struct wide *b)
{
    *out = 0;
    if (a->n == 0)
        return !a->is_over;
    int64_t exponent;
    const uint64_t bits = leading_bits(&exponent, a, b);
    if (bits == 0)
        return false;
    const int64_t n_bits = 64 - __builtin_clzll(bits);
    /* the last bit a double has at this size: 53 bits, fewer when subnormal */
    int64_t last = exponent + n_bits - 53;
    last = last < -1074 ? -1074 : last;
    const int64_t drop = last - exponent;
    if (drop > n_bits) /* below half of the smallest double */
        return true;
    const uint64_t half = (uint64_t)1 << (drop - 1);
    const uint64_t rest = bits & (2 * half - 1);
    uint64_t m = bits >> drop;
    m += rest > half || (rest == half && (m & 1) != 0);
    const double x = ldexp((double)m, (int)last);
    if (isinf(x))
        return false;
    *out = a->is_negative != b->is_negative ? -x : x;
    return true;
}

void wide_from_double(struct wide *num, struct wide *den, double x)
{
    int exponent;
    const double m = frexp(x, &exponent);
    wide_set(num, (int64_t)ldexp(m, 53));
    wide_set(den, 1);
    exponent -= 53;
    /* at most 1074 bits: always fits */
    wide_shift_left(num, num, exponent > 0 ? exponent : 0);
    wide_shift_left(den, den, exponent < 0 ? -exponent : 0);
}
