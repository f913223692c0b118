/*
 * Advantages: from the rewards of a whole step to A of every token. One table of kinds;
 * std, eps, whitening and the fate of lone samples are data. Double throughout, sums in
 * sequence order: the same input gives the same bits on every rank.
 *
 * They are computed once per step, over all of its groups, before its first update:
 * batch_std, gpg and whitening need the rewards, lengths and masks of every sequence,
 * so every rank must hold all of them (groups.info does). A reward of NaN is "not
 * scored": it is left out of means and stds, and its advantage is 0.
 *
 * Kinds, with r the rewards of one group of n scored samples (sources: docs/
 * objectives.md):
 *   group          (r - mean) / (std + eps)         DeepSeekMath 2402.03300; verl, TRL
 *   batch_std      (r - mean) / (std of all rewards of the step + eps)         TRL
 *   mean_only      r - mean                                 Dr. GRPO 2503.20783
 *   leave_one_out  mean and std of the other n - 1; divided only if std > 0    NeMo-RL
 *   rloo           n / (n - 1) (r - mean)                                 2402.14740
 *   reinforce_pp   discounted return of the tokens' rewards, whitened     2501.03262
 *   reinforce_pp_baseline   r - mean, whitened over tokens
 *   opo            r - sum L r / sum L, L the lengths                     2505.23585
 *   gpg            N / max(non-zero rewards, 1) (r - mean)                2504.02546
 *   pass_at_k      the best alone: (best - second) [/ (std + eps)]       2503.19595
 *   gdpo           `group` for each reward function, summed, then whitened 2601.05242
 */
#ifndef GRPO_ADVANTAGE_H
#define GRPO_ADVANTAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

enum advantage_std { ADVANTAGE_STD_UNBIASED, ADVANTAGE_STD_POPULATION };
/* of sequences: (A - mean) / (std + eps); of tokens: (A - mean) / sqrt(var + 1e-8) */
enum advantage_whiten { WHITEN_NONE, WHITEN_BATCH, WHITEN_TOKEN };
/* A of a group with one scored sample: 0, or from mean 0 and std 1 as verl has it */
enum advantage_single { SINGLE_ZERO, SINGLE_REWARD };

enum { ADVANTAGE_MAX_REWARDS = 16, ADVANTAGE_WORK = 5 };

struct advantage_kind;

struct advantage_options {
    const struct advantage_kind *kind;
    enum advantage_std std;
    enum advantage_whiten whiten;
    enum advantage_single single;
    double eps;       /* added to the std */
    double gamma;     /* discount of reinforce_pp */
    double count_eps; /* added to token counts; verl: 1e-8 */
    bool has_std;     /* pass_at_k, gdpo: divide by the std */
    /* the weighted reward is clipped to this range */
    double reward_low, reward_high;
    int64_t n_weights; /* of reward functions; 0: all ones */
    double weights[ADVANTAGE_MAX_REWARDS];
};

/* The sequences of a step, in order. The arrays are borrowed. */
struct advantage_batch {
    int64_t n_seqs, n_groups, n_rewards;
    const int64_t *group; /* (n_seqs) 0 .. n_groups - 1; any order */
    const double *reward; /* (n_seqs, n_rewards); NaN: not scored */
    const int64_t *off;   /* (n_seqs + 1): sequence i has tokens off[i] .. off[i+1]-1 */
    const uint8_t *mask;  /* (off[n_seqs]) 1: the token counts */
    /* (off[n_seqs]) taken off the tokens' rewards (KL in the reward), or NULL */
    const double *penalty;
};

/* seq_out (n_seqs): A of each sequence, mask aside; of reinforce_pp, whose tokens
 * differ, that of the first token. token_out (off[n_seqs]): A times the mask, or NULL.
 * work: ADVANTAGE_WORK n_seqs doubles. ERR_INPUT where a group cannot be compared. */
int advantage_compute(double *seq_out, double *token_out,
                      const struct advantage_batch *b,
                      const struct advantage_options *o, double *work) WARN_UNUSED;

/* All rewards equal: such a group teaches nothing (DAPO 2503.14476 drops it). Its
 * advantages are exactly 0 for the kinds that compare within a group. */
bool advantage_is_flat(const double *reward, int64_t n);

/* In the order of grpo.advantage. NULL: no such kind. */
const struct advantage_kind *advantage_kind_at(int64_t i);
const char *advantage_kind_name(const struct advantage_kind *k);
/* The std that the kind divides by, for people; NULL: none */
const char *advantage_std_name(const struct advantage_options *o);
bool advantage_whitens_tokens(const struct advantage_options *o);
/* Whether tokens of one sequence differ, so that token_out is needed. */
bool advantage_is_per_token(const struct advantage_options *o);

#endif
