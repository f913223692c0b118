/*
 * A double is num / den, den a power of two, and a decimal is digits * 10^e: both are
 * ratios of wide integers, and every conversion is one correctly rounded division.
 *
 * Printing: of 15 digits, rounded to nearest, the zeros at the end dropped give the
 * shortest text whenever 15 suffice, since doubles keep any 15 digits; subnormals have
 * fewer and are tried from one digit on. With 16 and 17 digits both neighbours of x are
 * tried, as the nearest need not read back at a power of two.
 */
#include "reward/code_float.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EXPONENT = 400 + FLOAT_LITERAL_MAX };

/* Integers and powers of ten that are doubles: one rounding, by the hardware. */
static bool is_quick(double *out, const struct wide *digits, int64_t exponent)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int64_t i;
    const int64_t n = llabs(exponent);
    if (n >= ARRAY_LEN(powers) || !wide_get(digits, &i) || llabs(i) >> 53 != 0)
        return false;
    *out = exponent < 0 ? (double)i / powers[n] : (double)i * powers[n];
    return true;
}

double float_from_decimal(const struct wide *digits, int64_t exponent)
{
    struct wide scale, num;
    double x;
    if (is_quick(&x, digits, exponent))
        return x;
    if (digits->n == 0 || exponent < -MAX_EXPONENT)
        return digits->is_negative ? -0.0 : 0.0;
    if (exponent > MAX_EXPONENT)
        return digits->is_negative ? -HUGE_VAL : HUGE_VAL;
    wide_pow10(&scale, llabs(exponent));
    wide_copy(&num, digits);
    if (exponent >= 0) {
        wide_mul(&num, digits, &scale);
        wide_set(&scale, 1);
    }
    if (!wide_ratio(&x, &num, &scale))
        return digits->is_negative ? -HUGE_VAL : HUGE_VAL;
    return x;
}

/* exponent digits, saturated */
static int64_t parse_exponent(const char *text, size_t len)
{
    size_t i = 0;
    const bool is_negative = len > 0 && text[0] == '-';
    if (len > 0 && (text[0] == '-' || text[0] == '+'))
        i++;
    int64_t e = 0;
    for (; i < len; i++)
        if (text[i] != '_' && e < 1000000)
            e = 10 * e + (text[i] - '0');
    return is_negative ? -e : e;
}

bool float_parse(double *out, const char *text, size_t len)
{
    char digits[FLOAT_LITERAL_MAX];
    size_t n = 0, i = 0;
    int64_t exponent = 0;
    bool has_point = false;
    for (; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.') {
            has_point = true;
        } else if (text[i] != '_') {
            if (n == sizeof(digits))
                return false;
            /* zeros in front do not count */
            if (n > 0 || text[i] != '0')
                digits[n++] = text[i];
            exponent -= has_point;
        }
    }
    if (i < len)
        exponent += parse_exponent(text + i + 1, len - i - 1);
    struct wide w;
    wide_parse(&w, digits, n);
    *out = float_from_decimal(&w, exponent);
    return true;
}

/* num / den as an integer of n digits, towards zero */
struct leading {
    int64_t digits;
    int64_t exponent; /* the power of ten of the last one */
    int half;         /* what is left against half a unit: <0, 0, >0 */
};

/* exponent10: of the first digit. num > 0. */
static struct leading leading_digits(const struct wide *num, const struct wide *den,
                                     int64_t n, int64_t exponent10)
{
    struct wide scale, a, b, q, r;
    const int64_t shift = n - 1 - exponent10;
    wide_pow10(&scale, llabs(shift));
    wide_copy(&a, num);
    wide_copy(&b, den);
    if (shift >= 0)
        wide_mul(&a, &a, &scale);
    else
        wide_mul(&b, &b, &scale);
    wide_divmod(&q, &r, &a, &b);
    wide_shift_left(&r, &r, 1);
    struct leading out = {.exponent = -shift};
    CHECK(wide_get(&q, &out.digits), "%d words, 10^%d", num->n, (int)exponent10);
    out.half = wide_cmp(&r, &b);
    return out;
}

/* floor(log10(x)) for a finite x > 0 */
static int64_t decimal_exponent(const struct wide *num, const struct wide *den,
                                double x)
{
    int64_t guess = (int64_t)floor(log10(x)) + 1;
    while (leading_digits(num, den, 1, guess).digits == 0)
        guess--;
    return guess;
}

static double from_digits(int64_t digits, int64_t exponent)
{
    struct wide w;
    wide_set(&w, digits);
    return float_from_decimal(&w, exponent);
}

/* The decimal of n digits nearest to x among those that read back as x; 0: none */
static int64_t try_digits(int64_t *exponent_out, const struct wide *num,
                          const struct wide *den, int64_t n, int64_t exponent10,
                          double x)
{
    const struct leading low = leading_digits(num, den, n, exponent10);
    const bool is_low = from_digits(low.digits, low.exponent) == x;
    const bool is_high = from_digits(low.digits + 1, low.exponent) == x;
    *exponent_out = low.exponent;
    if (!is_low || !is_high)
        return is_low ? low.digits : is_high ? low.digits + 1 : 0;
    return low.digits + (low.half > 0 || (low.half == 0 && low.digits % 2 != 0));
}

static int64_t shortest(int64_t *exponent_out, double x)
{
    struct wide num, den;
    wide_from_double(&num, &den, x);
    const int64_t exponent10 = decimal_exponent(&num, &den, x);
    int64_t digits = 0;
    for (int64_t n = x < DBL_MIN ? 1 : 15; n <= 17 && digits == 0; n++)
        digits = try_digits(exponent_out, &num, &den, n, exponent10, x);
    CHECK(digits > 0, "%a", x);
    while (digits % 10 == 0) {
        digits /= 10;
        ++*exponent_out;
    }
    return digits;
}

static size_t put(char *out, size_t len, const char *text)
{
    const size_t n = strlen(text);
    memcpy(out + len, text, n + 1);
    return len + n;
}

static size_t put_exponent(char *out, size_t len, int64_t e)
{
    len = put(out, len, e < 0 ? "e-" : "e+");
    e = llabs(e);
    if (e >= 100)
        out[len++] = (char)('0' + e / 100);
    out[len++] = (char)('0' + e / 10 % 10);
    out[len++] = (char)('0' + e % 10);
    out[len] = 0;
    return len;
}

/* digits of the number with the point after the first `point` of them */
static size_t put_digits(char *out, size_t len, const char *digits, int64_t n,
                         int64_t point)
{
    for (int64_t i = point < 1 ? point - 1 : 0; i < n || i < point; i++) {
        if (i == point)
            out[len++] = '.';
        out[len++] = i >= 0 && i < n ? digits[i] : '0';
    }
    out[len] = 0;
    return len;
}

size_t float_print(char out[FLOAT_TEXT_MAX], double x)
{
    size_t len = 0;
    if (isnan(x))
        return put(out, 0, "nan");
    if (signbit(x))
        out[len++] = '-';
    if (isinf(x))
        return put(out, len, "inf");
    if (x == 0)
        return put(out, len, "0.0");
    int64_t exponent;
    struct wide w;
    char digits[WIDE_DIGITS + 2];
    wide_set(&w, shortest(&exponent, fabs(x)));
    const int64_t n = (int64_t)wide_print(digits, &w);
    const int64_t point = n + exponent;
    if (point > -4 && point <= 16) {
        len = put_digits(out, len, digits, n, point);
        return point >= n ? put(out, len, ".0") : len;
    }
    len = put_digits(out, len, digits, n, n == 1 ? n : 1);
    return put_exponent(out, len, point - 1);
}

/* Beyond these every double keeps all its digits, or loses them all. */
enum { ROUND_KEEPS_ALL = 323, ROUND_KEEPS_NONE = -308 };

bool float_round(double *out, double x, int64_t n_digits)
{
    *out = x;
    if (x == 0 || n_digits > ROUND_KEEPS_ALL)
        return true;
    *out = copysign(0.0, x);
    if (n_digits < ROUND_KEEPS_NONE)
        return true;
    struct wide num, den, scale, rounded;
    wide_from_double(&num, &den, fabs(x));
    wide_pow10(&scale, llabs(n_digits));
    if (n_digits >= 0)
        wide_mul(&num, &num, &scale);
    else
        wide_mul(&den, &den, &scale);
    wide_div_round(&rounded, &num, &den);
    const double y = float_from_decimal(&rounded, -n_digits);
    *out = copysign(y, x);
    return !isinf(y);
}

void float_divmod(double *q, double *r, double x, double y)
{
    double rest = fmod(x, y), quotient = (x - rest) / y;
    if (rest == 0) {
        rest = copysign(0.0, y);
    } else if ((y < 0) != (rest < 0)) {
        rest += y;
        quotient -= 1;
    }
    if (quotient == 0) {
        *q = copysign(0.0, x / y);
    } else {
        const double whole = floor(quotient);
        *q = quotient - whole > 0.5 ? whole + 1 : whole;
    }
    *r = rest;
}
