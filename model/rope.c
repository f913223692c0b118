/*
 * Rotary tables. Logarithms and powers run in double-double (a pair hi + lo, about 106
 * bits), whose sums and products are exact enough that the result rounded to double is
 * the nearest one in practice. Angles are reduced by n pi/2 with pi/2 in three doubles
 * and products split exactly (Dekker), then sin and cos are short Taylor polynomials.
 *
 * rope types (specs "architectures" 0.3): default inv_j = theta^(-2j/rot); linear
 * divides by factor; llama3 blends by wavelength; yarn blends along a ramp over j and
 * scales cos and sin.
 */
#include "model/rope.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

struct dd {
    double hi, lo;
};

static const double ln2_hi = 0x1.62e42fefa39efp-1, ln2_lo = 0x1.abc9e3b39803fp-56;
/* pi/2 = p1 + p2 + p3 */
static const double pio2_1 = 0x1.921fb54442d18p+0, pio2_2 = 0x1.1a62633145c07p-54,
                    pio2_3 = -0x1.f1976b7ed8fbcp-110;

static struct dd two_sum(double a, double b)
{
    const double s = a + b, bb = s - a;
    return (struct dd){s, (a - (s - bb)) + (b - bb)};
}

/* Dekker: both factors split into halves of 26 bits */
static struct dd two_prod(double a, double b)
{
    const double split = 134217729.0; /* 2^27 + 1 */
    const double ca = split * a, cb = split * b;
    const double ah = ca - (ca - a), bh = cb - (cb - b);
    const double al = a - ah, bl = b - bh, p = a * b;
    return (struct dd){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

static struct dd dd_add(struct dd a, struct dd b)
{
    const struct dd s = two_sum(a.hi, b.hi), t = two_sum(a.lo, b.lo);
    const struct dd u = two_sum(s.hi, s.lo + t.hi);
    return two_sum(u.hi, u.lo + t.lo);
}

static struct dd dd_mul(struct dd a, struct dd b)
{
    const struct dd p = two_prod(a.hi, b.hi);
    return two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static struct dd dd_neg(struct dd a) { return (struct dd){-a.hi, -a.lo}; }

/* Three quotient digits: the third makes up for the rounding of the first two. */
static struct dd dd_div(struct dd a, struct dd b)
{
    const double q1 = a.hi / b.hi;
    const struct dd r1 = dd_add(a, dd_neg(dd_mul(b, (struct dd){q1, 0.0})));
    const double q2 = r1.hi / b.hi;
    const struct dd r2 = dd_add(r1, dd_neg(dd_mul(b, (struct dd){q2, 0.0})));
    return dd_add(two_sum(q1, q2), (struct dd){r2.hi / b.hi, 0.0});
}

static double power_of_two(int e)
{
    const uint64_t bits = (uint64_t)(e + 1023) << 52;
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* ln x = e ln 2 + 2 atanh((m - 1) / (m + 1)), m in [1/sqrt 2, sqrt 2): the argument is
 * below 0.172, so that 22 odd terms reach 2^-110. */
static struct dd dd_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    int e = (int)(bits >> 52) - 1023;
    double m = x * power_of_two(-e);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    const struct dd s = dd_div(two_sum(m, -1.0), two_sum(m, 1.0)), s2 = dd_mul(s, s);
    struct dd sum = {0.0, 0.0};
    for (int k = 43; k >= 1; k -= 2)
        sum = dd_add(dd_mul(sum, s2),
                     dd_div((struct dd){1.0, 0.0}, (struct dd){(double)k, 0.0}));
    sum = dd_mul(dd_mul(sum, s), (struct dd){2.0, 0.0});
    return dd_add(dd_mul((struct dd){ln2_hi, ln2_lo}, (struct dd){(double)e, 0.0}),
                  sum);
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2: 28 Taylor terms reach 2^-110. |x| < 700. */
static struct dd dd_exp(struct dd x)
{
    const double n = floor(x.hi / ln2_hi + 0.5);
    const struct dd r = dd_add(
        x, dd_mul((struct dd){ln2_hi, ln2_lo}, (struct dd){-n, 0.0}));
    struct dd sum = {1.0, 0.0};
    for (int k = 28; k >= 1; k--)
        sum = dd_add((struct dd){1.0, 0.0},
                     dd_div(dd_mul(sum, r), (struct dd){(double)k, 0.0}));
    const double scale = power_of_two((int)n);
    return (struct dd){sum.hi * scale, sum.lo * scale};
}

double rope_log(double x) { return dd_log(x).hi; }

double rope_pow(double base, double exponent)
{
    return dd_exp(dd_mul(dd_log(base), (struct dd){exponent, 0.0})).hi;
}

/* On |r| <= pi/4, r + lo: Taylor to r^17 (next term 2^-63); the low part enters by its
 * derivative. */
static double sin_kernel(double r, double lo)
{
    static const double c[] = {-1.0 / 6.0,
                               1.0 / 120.0,
                               -1.0 / 5040.0,
                               1.0 / 362880.0,
                               -1.0 / 39916800.0,
                               1.0 / 6227020800.0,
                               -1.0 / 1307674368000.0,
                               1.0 / 355687428096000.0};
    const double z = r * r;
    double p = 0.0;
    for (int i = 7; i >= 0; i--)
        p = p * z + c[i];
    return r + (r * z * p + lo * (1.0 - 0.5 * z));
}

/* To r^18 (next term 2^-69). 1 - z/2 is rounded first and its error carried. */
static double cos_kernel(double r, double lo)
{
    static const double c[] = {1.0 / 24.0,
                               -1.0 / 720.0,
                               1.0 / 40320.0,
                               -1.0 / 3628800.0,
                               1.0 / 479001600.0,
                               -1.0 / 87178291200.0,
                               1.0 / 20922789888000.0,
                               -1.0 / 6402373705728000.0};
    const double z = r * r, half = 0.5 * z, w = 1.0 - half;
    double p = 0.0;
    for (int i = 7; i >= 0; i--)
        p = p * z + c[i];
    return w + (((1.0 - w) - half) + (z * z * p - r * lo));
}

void rope_sincos(double x, double *sin_out, double *cos_out)
{
    const double n = floor(x / pio2_1 + 0.5);
    const struct dd t1 = two_prod(n, pio2_1), t2 = two_prod(n, pio2_2);
    /* x and t1.hi are close, so the first difference is exact */
    struct dd r = dd_add((struct dd){x - t1.hi, 0.0}, (struct dd){-t1.lo, 0.0});
    r = dd_add(dd_add(r, dd_neg(t2)), (struct dd){-n * pio2_3, 0.0});
    const double s = sin_kernel(r.hi, r.lo), c = cos_kernel(r.hi, r.lo);
    switch ((int64_t)n & 3) {
    case 0:
        *sin_out = s;
        *cos_out = c;
        return;
    case 1:
        *sin_out = c;
        *cos_out = -s;
        return;
    case 2:
        *sin_out = -s;
        *cos_out = -c;
        return;
    default:
        *sin_out = -c;
        *cos_out = s;
    }
}

static const double two_pi = 6.283185307179586476925286766559;

/* Which frequency turns r times over the original context. */
static double yarn_dim(const struct rope_params *rope, double r)
{
    return (double)rope->rot * rope_log((double)rope->original_max_pos / (r * two_pi)) /
           (2.0 * rope_log(rope->theta));
}

static double yarn_mscale(double factor, double coefficient)
{
    return factor <= 1.0 ? 1.0 : 0.1 * coefficient * rope_log(factor) + 1.0;
}

static double yarn_scale(const struct rope_params *rope)
{
    const double factor = rope->factor;
    if (rope->attention_factor != 0.0)
        return rope->attention_factor;
    if (rope->mscale != 0.0 && rope->mscale_all_dim != 0.0)
        return yarn_mscale(factor, rope->mscale) /
               yarn_mscale(factor, rope->mscale_all_dim);
    return yarn_mscale(factor, 1.0);
}

static double apply_yarn(const struct rope_params *rope, double *inv)
{
    double low = yarn_dim(rope, rope->beta_fast);
    double high = yarn_dim(rope, rope->beta_slow);
    if (rope->is_truncated) {
        low = floor(low);
        high = ceil(high);
    }
    low = low < 0.0 ? 0.0 : low;
    high = high > (double)(rope->rot - 1) ? (double)(rope->rot - 1) : high;
    if (low == high)
        high += 1e-3; /* the reference's guard against 0 / 0 */
    for (int64_t j = 0; j < rope->rot / 2; j++) {
        double ramp = ((double)j - low) / (high - low);
        ramp = ramp < 0.0 ? 0.0 : ramp > 1.0 ? 1.0 : ramp;
        inv[j] = ramp * (inv[j] / rope->factor) + (1.0 - ramp) * inv[j];
    }
    return yarn_scale(rope);
}

static void apply_llama3(const struct rope_params *rope, double *inv)
{
    const double old = (double)rope->original_max_pos;
    const double low = rope->low_freq_factor, high = rope->high_freq_factor;
    for (int64_t j = 0; j < rope->rot / 2; j++) {
        const double length = two_pi / inv[j], scaled = inv[j] / rope->factor;
        const double smooth = (old / length - low) / (high - low);
        if (length > old / low)
            inv[j] = scaled;
        else if (length >= old / high)
            inv[j] = (1.0 - smooth) * scaled + smooth * inv[j];
    }
}

void rope_frequencies(const struct rope_params *rope, double *inv_freq_out,
                      double *scale_out)
{
    const struct dd log_theta = dd_log(rope->theta);
    for (int64_t j = 0; j < rope->rot / 2; j++) {
        const struct dd exponent = dd_div((struct dd){(double)(-2 * j), 0.0},
                                          (struct dd){(double)rope->rot, 0.0});
        inv_freq_out[j] = dd_exp(dd_mul(log_theta, exponent)).hi;
    }
    *scale_out = 1.0;
    switch (rope->type) {
    case ROPE_DEFAULT:
        return;
    case ROPE_LINEAR:
        for (int64_t j = 0; j < rope->rot / 2; j++)
            inv_freq_out[j] /= rope->factor;
        return;
    case ROPE_LLAMA3:
        apply_llama3(rope, inv_freq_out);
        return;
    case ROPE_YARN:
        *scale_out = apply_yarn(rope, inv_freq_out);
        return;
    }
}

void hparams_rope_table(const struct hparams *hp, float *cos_out, float *sin_out,
                        int64_t n_pos)
{
    const int64_t n = hp->rope.rot / 2;
    double *const inv = mem_alloc((size_t)n * sizeof(*inv));
    double scale = 1.0;
    rope_frequencies(&hp->rope, inv, &scale);
#pragma omp parallel for schedule(static)
    for (int64_t pos = 0; pos < n_pos; pos++)
        for (int64_t j = 0; j < n; j++) {
            double s, c;
            rope_sincos((double)pos * inv[j], &s, &c);
            cos_out[pos * n + j] = (float)(c * scale);
            sin_out[pos * n + j] = (float)(s * scale);
        }
    mem_free(inv);
}
