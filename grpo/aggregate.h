/*
 * Aggregations: the weight of one token of a sequence in the loss of its mini-batch,
 * from counts. The loss is the sum over sequences of weight x sum of its tokens' terms.
 *   token_mean        1 / N                  DAPO 2503.14476; verl token-mean, TRL dapo
 *   token_sum         1                                               verl token-sum
 *   sequence_mean     1 / (S L)    GRPO; verl seq-mean-token-mean, TRL grpo
 *   sequence_sum      1 / S                  verl seq-mean-token-sum, TRL luspo
 *   constant          1 / (S C)              Dr. GRPO 2503.20783; TRL dr_grpo
 *   padded            1 / (S W)              verl seq-mean-token-sum-norm
 *   micro_token_mean  s / (S n)     the paper's (2508.18672) and TRL bnpo: token means
 *                     of micro-batches, weighted by their shares of the sequences
 * A count of no tokens is taken as 1: then there is nothing to weigh.
 */
#ifndef GRPO_AGGREGATE_H
#define GRPO_AGGREGATE_H

#include <stdint.h>

struct aggregate_counts {
    double n_tokens;     /* N: mask of the mini-batch */
    double n_seqs;       /* S: sequences of the mini-batch, fully masked ones too */
    double seq_tokens;   /* L: mask of this sequence */
    double micro_tokens; /* n: mask of its micro-batch */
    double micro_seqs;   /* s: sequences of its micro-batch */
    double constant;     /* C: grpo.norm_tokens */
    double width;        /* W: longest sequence */
    double eps;          /* added to L; verl: 1e-8 */
};
typedef double (*aggregate_fn)(const struct aggregate_counts *c);

struct aggregate_kind {
    const char *name;
    aggregate_fn fn;
};
/* order of grpo.aggregation; NULL at the end */
const struct aggregate_kind *aggregate_kind_at(int64_t i);

#endif
