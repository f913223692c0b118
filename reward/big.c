/*
 * Limbs of 32 bits. Division is Knuth's algorithm D (TAOCP volume 2, 4.3.1); the others
 * are the school's, which is fast enough below BIG_MAX_BITS.
 */
#include "reward/big.h"

#include <string.h>

void pool_init(struct pool *p)
{
    *p = (struct pool){.limb = mem_alloc(BIG_POOL_LIMBS * sizeof(*p->limb)),
                       .cap = BIG_POOL_LIMBS,
                       .max_steps = BIG_MAX_STEPS};
}

void pool_release(struct pool *p) { mem_free(p->limb); }

void pool_reset(struct pool *p)
{
    p->n_steps = 0;
    pool_clear(p);
}

void pool_clear(struct pool *p)
{
    p->n = 0;
    p->is_over = p->n_steps > p->max_steps;
}

void pool_work(struct pool *p, int64_t n_steps)
{
    p->n_steps += n_steps;
    p->n_total += n_steps;
    if (p->n_steps > p->max_steps)
        p->is_over = true;
}

uint32_t *pool_take(struct pool *p, int64_t n)
{
    if (n > p->cap - p->n)
        p->is_over = true;
    if (p->is_over)
        return NULL;
    uint32_t *const limb = p->limb + p->n;
    memset(limb, 0, (size_t)n * sizeof(*limb));
    p->n += n;
    return limb;
}

static struct big trimmed(const uint32_t *limb, int64_t n)
{
    while (n > 0 && limb[n - 1] == 0)
        n--;
    return (struct big){(int32_t)n, limb};
}

/* Room for a result of at most n limbs; NULL when it would be too large. */
static uint32_t *room(struct pool *p, int64_t n)
{
    if (n > BIG_MAX_BITS / 32 + 2)
        p->is_over = true;
    pool_work(p, n);
    return pool_take(p, n);
}

static const struct big zero = {0, NULL};

struct big big_small(struct pool *p, uint64_t v)
{
    uint32_t *const limb = room(p, 2);
    if (limb == NULL)
        return zero;
    limb[0] = (uint32_t)v;
    limb[1] = (uint32_t)(v >> 32);
    return trimmed(limb, 2);
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

struct big big_digits(struct pool *p, const char *text, size_t len, int base)
{
    if (len > 2 * BIG_MAX_DIGITS)
        p->is_over = true;
    /* 6 bits hold a digit of the largest base, 36 */
    uint32_t *const limb = room(p, p->is_over ? 1 : (int64_t)len * 6 / 32 + 1);
    if (limb == NULL)
        return zero;
    /* as many digits at a time as a limb holds */
    int64_t n = 0;
    uint64_t chunk = 0, scale = 1;
    for (size_t i = 0; i <= len; i++) {
        const int digit = i < len ? digit_value(text[i]) : base;
        if (digit < base) {
            chunk = chunk * (uint64_t)base + (uint64_t)digit;
            scale *= (uint64_t)base;
        }
        if (i < len && scale * (uint64_t)base <= UINT32_MAX)
            continue;
        for (int64_t k = 0; k < n; k++) {
            chunk += (uint64_t)limb[k] * scale;
            limb[k] = (uint32_t)chunk;
            chunk >>= 32;
        }
        if (chunk > 0)
            limb[n++] = (uint32_t)chunk;
        pool_work(p, n);
        chunk = 0;
        scale = 1;
    }
    return trimmed(limb, n);
}

struct big big_add(struct pool *p, struct big a, struct big b)
{
    const int64_t n = (a.n > b.n ? a.n : b.n) + 1;
    uint32_t *const limb = room(p, n);
    if (limb == NULL)
        return zero;
    uint64_t carry = 0;
    for (int64_t i = 0; i < n; i++) {
        carry += (i < a.n ? (uint64_t)a.limb[i] : 0) + (i < b.n ? b.limb[i] : 0);
        limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return trimmed(limb, n);
}

struct big big_sub(struct pool *p, struct big a, struct big b)
{
    uint32_t *const limb = room(p, a.n);
    if (limb == NULL)
        return zero;
    int64_t borrow = 0;
    for (int64_t i = 0; i < a.n; i++) {
        const int64_t v = (int64_t)a.limb[i] - (i < b.n ? (int64_t)b.limb[i] : 0) +
                          borrow;
        limb[i] = (uint32_t)v;
        borrow = v < 0 ? -1 : 0;
    }
    return trimmed(limb, a.n);
}

struct big big_mul(struct pool *p, struct big a, struct big b)
{
    if (a.n == 0 || b.n == 0)
        return zero;
    const int64_t n = (int64_t)a.n + b.n;
    uint32_t *const limb = room(p, n);
    if (limb == NULL)
        return zero;
    pool_work(p, (int64_t)a.n * b.n);
    for (int64_t i = 0; i < a.n; i++) {
        uint64_t carry = 0;
        for (int64_t j = 0; j < b.n; j++) {
            carry += (uint64_t)a.limb[i] * b.limb[j] + limb[i + j];
            limb[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        limb[i + b.n] = (uint32_t)carry;
    }
    return trimmed(limb, n);
}

struct big big_pow(struct pool *p, struct big a, uint64_t e)
{
    struct big y = big_small(p, 1);
    if (big_bits(a) > 1 && e > BIG_MAX_BITS)
        p->is_over = true;
    if (e > 1 && big_compare(a, y) == 0)
        e = 1; /* 1^e */
    for (int bit = 63; bit >= 0 && !p->is_over; bit--) {
        if (y.n > 1 || y.limb[0] > 1)
            y = big_mul(p, y, y);
        if (e >> bit & 1)
            y = big_mul(p, y, a);
        if (y.n == 0)
            return zero;
    }
    return p->is_over ? zero : y;
}

/* limb[0..n) *= v, in place; the new n */
static int64_t multiply_small(uint32_t *limb, int64_t n, uint32_t v)
{
    uint64_t carry = 0;
    for (int64_t i = 0; i < n; i++) {
        carry += (uint64_t)limb[i] * v;
        limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry > 0)
        limb[n++] = (uint32_t)carry;
    return n;
}

struct big big_falling(struct pool *p, uint32_t n, uint32_t k)
{
    int64_t bits = 32;
    for (uint32_t v = n; v > 0; v >>= 1)
        bits += k;
    uint32_t *const limb = room(p, bits / 32 + 1);
    if (limb == NULL)
        return zero;
    int64_t size = 1;
    limb[0] = 1;
    for (uint32_t i = 0; i < k; pool_work(p, size)) {
        uint64_t factor = n - i++; /* and as many more as a limb holds */
        while (i < k && factor * (n - i) <= UINT32_MAX)
            factor *= n - i++;
        size = multiply_small(limb, size, (uint32_t)factor);
    }
    return trimmed(limb, size);
}

int64_t big_bits(struct big a)
{
    return a.n == 0 ? 0 : (int64_t)a.n * 32 - __builtin_clz(a.limb[a.n - 1]);
}

int big_compare(struct big a, struct big b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    for (int64_t i = a.n - 1; i >= 0; i--)
        if (a.limb[i] != b.limb[i])
            return a.limb[i] < b.limb[i] ? -1 : 1;
    return 0;
}

bool big_get(struct big a, uint64_t *out)
{
    if (a.n > 2)
        return false;
    *out = (a.n > 0 ? a.limb[0] : 0) | (a.n > 1 ? (uint64_t)a.limb[1] << 32 : 0);
    return true;
}

static uint32_t divide_small(uint32_t *q, struct big a, uint32_t b)
{
    uint64_t rest = 0;
    for (int64_t i = a.n - 1; i >= 0; i--) {
        rest = rest << 32 | a.limb[i];
        q[i] = (uint32_t)(rest / b);
        rest %= b;
    }
    return (uint32_t)rest;
}

static void shift_left(uint32_t *to, struct big a, int s)
{
    uint64_t carry = 0;
    for (int64_t i = 0; i < a.n; i++) {
        carry |= (uint64_t)a.limb[i] << s;
        to[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry > 0)
        to[a.n] = (uint32_t)carry;
}

/* u[0..n] -= q v[0..n-1]; true when it went below zero */
static bool multiply_subtract(uint32_t *u, const uint32_t *v, int64_t n, uint64_t q)
{
    uint64_t carry = 0;
    int64_t borrow = 0;
    for (int64_t i = 0; i <= n; i++) {
        carry += i < n ? q * v[i] : 0;
        const int64_t t = (int64_t)u[i] - (int64_t)(uint32_t)carry + borrow;
        u[i] = (uint32_t)t;
        borrow = t < 0 ? -1 : 0;
        carry >>= 32;
    }
    return borrow < 0;
}

static void add_back(uint32_t *u, const uint32_t *v, int64_t n)
{
    uint64_t carry = 0;
    for (int64_t i = 0; i <= n; i++) {
        carry += (uint64_t)u[i] + (i < n ? v[i] : 0);
        u[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* Algorithm D: u (m + n + 1 limbs) becomes the remainder, v (n >= 2) has its top bit.
 */
static void divide_long(uint32_t *q, uint32_t *u, const uint32_t *v, int64_t m,
                        int64_t n)
{
    const uint64_t base = (uint64_t)1 << 32;
    for (int64_t j = m; j >= 0; j--) {
        const uint64_t top = (uint64_t)u[j + n] << 32 | u[j + n - 1];
        uint64_t guess = top / v[n - 1], rest = top % v[n - 1];
        while (guess >= base || guess * v[n - 2] > (rest << 32 | u[j + n - 2])) {
            guess--;
            rest += v[n - 1];
            if (rest >= base)
                break;
        }
        if (multiply_subtract(u + j, v, n, guess)) {
            guess--;
            add_back(u + j, v, n);
        }
        q[j] = (uint32_t)guess;
    }
}

void big_divide(struct pool *p, struct big a, struct big b, struct big *q,
                struct big *r)
{
    const int64_t m = b.n == 0 ? -1 : a.n - b.n, n = b.n; /* b = 0: the pool is over */
    struct big quotient = zero, rest = a;
    if (m >= 0 && n == 1) {
        uint32_t *const limb = pool_take(p, a.n);
        pool_work(p, a.n);
        if (limb != NULL) {
            rest = big_small(p, divide_small(limb, a, b.limb[0]));
            quotient = trimmed(limb, a.n);
        }
    } else if (m >= 0) {
        uint32_t *const limb = pool_take(p, m + 1), *const u = pool_take(p, a.n + 1),
                        *const v = pool_take(p, n);
        pool_work(p, (m + 1) * n);
        if (v != NULL) {
            const int s = __builtin_clz(b.limb[n - 1]);
            shift_left(u, a, s);
            shift_left(v, b, s);
            divide_long(limb, u, v, m, n);
            quotient = trimmed(limb, m + 1);
            for (int64_t i = 0; i < n; i++) /* back by s bits */
                u[i] = (uint32_t)(((uint64_t)u[i + 1] << 32 | u[i]) >> s);
            rest = trimmed(u, n);
        }
    }
    if (q != NULL)
        *q = quotient;
    if (r != NULL)
        *r = rest;
}
