#include "tests/emulator/float_ref.h"

#include <math.h>

/* codes in steps of `step`, mantissas of m bits, and the sign's bit */
static const struct {
    int32_t m, exponent_bits;
    uint32_t step, sign, nan;
} FORMATS[] = {
    [REF_F16] = {10, 5, 1, 0x8000, 0x7fff},
    [REF_BF16] = {7, 8, 1, 0x8000, 0x7fff},
    [REF_TF32] = {10, 8, 0x2000, 0x80000000, 0x7fffffff},
    [REF_F32] = {23, 8, 1, 0x80000000, 0x7fffffff},
};

uint32_t ref_nan(enum float_ref format) { return FORMATS[format].nan; }

/* k-th number from zero up; past the largest finite one as if the exponents went on */
static double nth(enum float_ref format, uint32_t k)
{
    const int32_t m = FORMATS[format].m;
    const int32_t bias = (1 << (FORMATS[format].exponent_bits - 1)) - 1;
    const int32_t exponent = (int32_t)(k >> m);
    const double fraction = (double)(k & ((1u << m) - 1));
    if (exponent == 0)
        return ldexp(fraction, 1 - bias - m);
    return ldexp(fraction + (double)(1u << m), exponent - bias - m);
}
static uint32_t infinity(enum float_ref format)
{
    return ((1u << FORMATS[format].exponent_bits) - 1) << FORMATS[format].m;
}

double ref_value(enum float_ref format, uint32_t code)
{
    const uint32_t k = (code & ~FORMATS[format].sign) / FORMATS[format].step;
    const double size = k < infinity(format)    ? nth(format, k)
                        : k == infinity(format) ? (double)INFINITY
                                                : (double)NAN;
    return code & FORMATS[format].sign ? -size : size;
}

struct exact exact_sum(double a, double b)
{
    const volatile double s = a + b;
    if (!isfinite(s))
        return (struct exact){s, 0};
    const volatile double larger = fabs(a) > fabs(b) ? a : b;
    const volatile double smaller = fabs(a) > fabs(b) ? b : a;
    const volatile double took = s - larger;
    return (struct exact){s, smaller - took};
}
struct exact exact_quotient(float a, float b)
{
    const double q = (double)a / (double)b;
    if (!isfinite(q) || isinf(b))
        return (struct exact){q, 0};
    return (struct exact){q, fma(-q, (double)b, (double)a) / (double)b};
}
struct exact exact_root(float a)
{
    const double q = sqrt((double)a);
    if (!isfinite(q) || q <= 0)
        return (struct exact){q, 0};
    return (struct exact){q, fma(-q, q, (double)a) / (2 * q)};
}

/* the sign of x - v */
static int compare(double x, struct exact v)
{
    const double d = x - v.s;
    return (d > v.e) - (d < v.e);
}

uint32_t ref_round(enum float_ref format, struct exact v, enum ref_mode mode)
{
    if (isnan(v.s))
        return ref_nan(format);
    const bool negative = signbit(v.s);
    const uint32_t sign = negative ? FORMATS[format].sign : 0;
    const uint32_t step = FORMATS[format].step, top = infinity(format);
    if (isinf(v.s))
        return top * step | sign;
    const struct exact size = {fabs(v.s), negative ? -v.e : v.e};
    uint32_t low = 0, high = top; /* nth(low) <= size; high: more, or infinity */
    while (high - low > 1) {
        const uint32_t k = low + (high - low) / 2;
        if (compare(nth(format, k), size) <= 0)
            low = k;
        else
            high = k;
    }
    if (compare(nth(format, low), size) == 0)
        return low * step | sign;
    bool up = mode == (negative ? REF_RM : REF_RP);
    if (mode == REF_RN || mode == REF_RNA) {
        const double middle = (nth(format, low) + nth(format, high)) / 2;
        const int side = compare(middle, size);
        up = side < 0 || (side == 0 && (mode == REF_RNA || low & 1));
    }
    return (up ? high : low) * step | sign;
}
