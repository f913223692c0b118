/*
 * The exponents and their gradients. Tokens outside the mask have no part in what is
 * summed over a sequence.
 */
#include "grpo/ratio.h"

#include <math.h>
#include <stddef.h>

#include "core/status.h"

/* of sequence_token, as verl: exp(10) is far outside any clip range */
static const double sequence_token_max = 10.0;

static void token_fwd(double *y, const double *d, const uint8_t *mask, int64_t n,
                      double clamp)
{
    (void)mask;
    for (int64_t t = 0; t < n; t++)
        y[t] = d[t] < -clamp ? -clamp : d[t] > clamp ? clamp : d[t];
}

static void token_bwd(double *dd, const double *dy, const double *d,
                      const uint8_t *mask, int64_t n, double clamp)
{
    (void)mask;
    for (int64_t t = 0; t < n; t++)
        dd[t] += fabs(d[t]) >= clamp ? 0.0 : dy[t];
}

static double masked_sum(const double *x, const uint8_t *mask, int64_t n)
{
    double sum = 0.0;
    for (int64_t t = 0; t < n; t++)
        sum += mask[t] ? x[t] : 0.0;
    return sum;
}

/* at least 1: an empty sequence has mean 0 */
static double masked_count(const uint8_t *mask, int64_t n)
{
    double count = 0.0;
    for (int64_t t = 0; t < n; t++)
        count += mask[t];
    return count < 1.0 ? 1.0 : count;
}

static void fill(double *y, int64_t n, double value)
{
    for (int64_t t = 0; t < n; t++)
        y[t] = value;
}

/* Every token of the mask gets `share` of the gradients' sum. */
static void spread(double *dd, const double *dy, const uint8_t *mask, int64_t n,
                   double share)
{
    double sum = 0.0;
    for (int64_t t = 0; t < n; t++)
        sum += dy[t];
    for (int64_t t = 0; t < n; t++)
        dd[t] += mask[t] ? sum * share : 0.0;
}

static void sequence_fwd(double *y, const double *d, const uint8_t *mask, int64_t n,
                         double clamp)
{
    (void)clamp;
    fill(y, n, masked_sum(d, mask, n) / masked_count(mask, n));
}

static void sequence_bwd(double *dd, const double *dy, const double *d,
                         const uint8_t *mask, int64_t n, double clamp)
{
    (void)d;
    (void)clamp;
    spread(dd, dy, mask, n, 1.0 / masked_count(mask, n));
}

static void sequence_token_fwd(double *y, const double *d, const uint8_t *mask,
                               int64_t n, double clamp)
{
    (void)clamp;
    const double mean = masked_sum(d, mask, n) / masked_count(mask, n);
    fill(y, n, mean > sequence_token_max ? sequence_token_max : mean);
}

static void sequence_token_bwd(double *dd, const double *dy, const double *d,
                               const uint8_t *mask, int64_t n, double clamp)
{
    (void)clamp;
    const double mean = masked_sum(d, mask, n) / masked_count(mask, n);
    for (int64_t t = 0; t < n; t++)
        dd[t] += mean >= sequence_token_max ? 0.0 : dy[t];
}

static void product_fwd(double *y, const double *d, const uint8_t *mask, int64_t n,
                        double clamp)
{
    (void)clamp;
    fill(y, n, masked_sum(d, mask, n));
}

static void product_bwd(double *dd, const double *dy, const double *d,
                        const uint8_t *mask, int64_t n, double clamp)
{
    (void)d;
    (void)clamp;
    spread(dd, dy, mask, n, 1.0);
}

const struct ratio_kind *ratio_kind_at(int64_t i)
{
    static const struct ratio_kind kinds[] = {
        {"token", token_fwd, token_bwd},
        {"sequence", sequence_fwd, sequence_bwd},
        {"sequence_token", sequence_token_fwd, sequence_token_bwd},
        {"product", product_fwd, product_bwd},
    };
    return i >= 0 && i < ARRAY_LEN(kinds) ? &kinds[i] : NULL;
}
