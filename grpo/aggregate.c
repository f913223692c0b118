/*
 * One line per aggregation. A NaN count stays NaN.
 */
#include "grpo/aggregate.h"

#include <stddef.h>

#include "core/status.h"

static double count(double n) { return n < 1.0 ? 1.0 : n; }

static double token_mean(const struct aggregate_counts *c)
{
    return 1.0 / count(c->n_tokens);
}

static double token_sum(const struct aggregate_counts *c)
{
    (void)c;
    return 1.0;
}

static double sequence_sum(const struct aggregate_counts *c)
{
    return 1.0 / count(c->n_seqs);
}

static double sequence_mean(const struct aggregate_counts *c)
{
    const double len = c->eps > 0.0 ? c->seq_tokens + c->eps : count(c->seq_tokens);
    return sequence_sum(c) / len;
}

static double constant(const struct aggregate_counts *c)
{
    return sequence_sum(c) / c->constant;
}

static double padded(const struct aggregate_counts *c)
{
    return sequence_sum(c) / count(c->width);
}

static double micro_token_mean(const struct aggregate_counts *c)
{
    return c->micro_seqs * sequence_sum(c) / count(c->micro_tokens);
}

const struct aggregate_kind *aggregate_kind_at(int64_t i)
{
    static const struct aggregate_kind kinds[] = {
        {"token_mean", token_mean},
        {"sequence_mean", sequence_mean},
        {"token_sum", token_sum},
        {"sequence_sum", sequence_sum},
        {"constant", constant},
        {"padded", padded},
        {"micro_token_mean", micro_token_mean},
    };
    return i >= 0 && i < ARRAY_LEN(kinds) ? &kinds[i] : NULL;
}
