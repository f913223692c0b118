/*
 * Statistics by their textbook formulas; nothing here is on a hot path.
 */
#include "grpo/stats.h"

#include <math.h>

#include "core/status.h"

/* The 97.5 % quantile of the standard normal. */
static const double z_95 = 1.959963984540054;

struct stats_interval stats_wilson(int64_t k, int64_t n)
{
    CHECK(k >= 0 && k <= n, "%lld successes in %lld trials", (long long)k,
          (long long)n);
    if (n == 0)
        return (struct stats_interval){0.0, 1.0};
    const double p = (double)k / (double)n, z2n = z_95 * z_95 / (double)n;
    const double centre = (p + z2n / 2) / (1 + z2n);
    const double half = z_95 * sqrt(p * (1 - p) / (double)n + z2n / (4 * (double)n)) /
                        (1 + z2n);
    /* the ends are exact where rounding could leave the unit interval */
    return (struct stats_interval){.lo = k == 0 ? 0.0 : centre - half,
                                   .hi = k == n ? 1.0 : centre + half};
}

struct stats_summary stats_summarise(const double *x, int64_t n)
{
    struct stats_summary s = {0};
    if (n == 0)
        return s;
    s.min = s.max = x[0];
    for (int64_t i = 0; i < n; i++) {
        s.mean += x[i];
        s.min = x[i] < s.min ? x[i] : s.min;
        s.max = x[i] > s.max ? x[i] : s.max;
    }
    s.mean /= (double)n;
    double sum = 0; /* second pass: no cancellation */
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - s.mean) * (x[i] - s.mean);
    s.std = sqrt(sum / (double)n);
    return s;
}

double stats_cv(const int64_t *count, int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)count[i];
    if (sum == 0)
        return 0;
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += ((double)count[i] - mean) * ((double)count[i] - mean);
    return sqrt(squares / (double)n) / mean;
}

double stats_pass_at_k(int64_t n, int64_t c, int64_t k)
{
    CHECK(c >= 0 && c <= n && k >= 1 && k <= n, "pass@%lld of %lld correct in %lld",
          (long long)k, (long long)c, (long long)n);
    double none = 1; /* C(n-c, k) / C(n, k) as a product, 0 once n-c < k */
    for (int64_t i = n - c + 1; i <= n; i++)
        none *= i <= k ? 0.0 : 1 - (double)k / (double)i;
    return 1 - none;
}
