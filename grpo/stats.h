/*
 * Small statistics of evaluations and of expert loads. Doubles; sums run in index
 * order, so the same input gives the same bits.
 */
#ifndef GRPO_STATS_H
#define GRPO_STATS_H

#include <stdint.h>

struct stats_interval {
    double lo, hi;
};

/* Wilson score interval, 95 %, of `k` successes in `n` trials (E. B. Wilson, JASA 22,
 * 1927): within [0, 1] and sensible at k = 0 and k = n. n = 0: [0, 1]. */
struct stats_interval stats_wilson(int64_t k, int64_t n);

/* Mean, standard deviation (population: divided by n), least and greatest; all zero
 * for n = 0. */
struct stats_summary {
    double mean, std, min, max;
};
struct stats_summary stats_summarise(const double *x /* (n) */, int64_t n);

/* Coefficient of variation std / mean of expert counts: 0 is an even load, and
 * sqrt(E - 1) all on one expert. 0 when the mean is 0. */
double stats_cv(const int64_t *count /* (n) */, int64_t n);

/* Probability that k draws without replacement from n samples, c of them correct,
 * hold a correct one: 1 - C(n-c, k) / C(n, k) (Chen et al., arXiv 2107.03374, eq. 1).
 * 0 <= c <= n, 1 <= k <= n. */
double stats_pass_at_k(int64_t n, int64_t c, int64_t k);

#endif
