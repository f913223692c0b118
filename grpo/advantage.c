/*
 * A group at a time: the scored rewards of its members lie side by side, a kind fills
 * their advantages, and they go back to their sequences. What needs the whole step
 * (std of the batch, share of non-zero rewards, whitening) is computed around that.
 */
#include "grpo/advantage.h"

#include <math.h>
#include <stddef.h>

/* One group's scored members, and what a kind may want of the step. */
struct group {
    const double *r;   /* (n) rewards */
    const double *len; /* (n) tokens that count */
    int64_t n;
    bool is_lone;         /* a single sample that keeps its reward: mean 0, std 1 */
    double batch_std;     /* of all scored rewards */
    double nonzero_scale; /* sequences / those whose reward is not 0 */
    const struct advantage_options *o;
};

/* Which std divides: none, that of grpo.adv_std, always the unbiased one */
enum divisor { BY_NOTHING, BY_CHOSEN, BY_UNBIASED };

struct advantage_kind {
    const char *name;
    enum divisor by;
    void (*fn)(double *adv, const struct group *g); /* NULL: by tokens or by columns */
    bool whitens_tokens, is_by_token, is_by_column, is_flat_zero;
};

static double sum_of(const double *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* sum (x - mean)^2 / (n - less), rooted; n > less */
static double std_of(const double *x, int64_t n, double mean, int64_t less)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)(n - less));
}

static double group_mean(const struct group *g)
{
    return g->is_lone ? 0.0 : sum_of(g->r, g->n) / (double)g->n;
}

static double group_std(const struct group *g)
{
    if (g->is_lone)
        return 1.0;
    return std_of(g->r, g->n, group_mean(g), g->o->std == ADVANTAGE_STD_UNBIASED);
}

bool advantage_is_flat(const double *reward, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (reward[i] != reward[0])
            return false;
    return true;
}

static void kind_mean_only(double *adv, const struct group *g)
{
    const double mean = group_mean(g);
    for (int64_t i = 0; i < g->n; i++)
        adv[i] = g->r[i] - mean;
}

static void kind_group(double *adv, const struct group *g)
{
    const double std = group_std(g);
    kind_mean_only(adv, g);
    for (int64_t i = 0; i < g->n; i++)
        adv[i] /= std + g->o->eps;
}

static void kind_batch_std(double *adv, const struct group *g)
{
    kind_mean_only(adv, g);
    for (int64_t i = 0; i < g->n; i++)
        adv[i] = isnan(g->batch_std) ? 0.0 : adv[i] / (g->batch_std + g->o->eps);
}

/* Mean and unbiased std of all but one. Equal others have std 0 exactly, although the
 * mean of equal doubles may round: then the difference stays undivided. */
static void kind_leave_one_out(double *adv, const struct group *g)
{
    const double sum = sum_of(g->r, g->n);
    const int64_t m = g->n - 1;
    for (int64_t i = 0; i < g->n; i++) {
        const double mean = m == 0 ? 0.0 : (sum - g->r[i]) / (double)m;
        const double first = g->r[i == 0 && m > 0 ? 1 : 0];
        double sum_sq = 0.0;
        bool is_flat = true;
        for (int64_t j = 0; j < g->n; j++) {
            sum_sq += j == i ? 0.0 : (g->r[j] - mean) * (g->r[j] - mean);
            is_flat = is_flat && (j == i || g->r[j] == first);
        }
        const double std = is_flat || m < 2 ? 0.0 : sqrt(sum_sq / (double)(m - 1));
        adv[i] = g->r[i] - mean;
        if (std > 0.0)
            adv[i] /= std + g->o->eps;
    }
}

static void kind_rloo(double *adv, const struct group *g)
{
    const double n = (double)g->n;
    kind_mean_only(adv, g);
    for (int64_t i = 0; i < g->n && !g->is_lone; i++)
        adv[i] *= n / (n - 1.0);
}

static void kind_opo(double *adv, const struct group *g)
{
    double sum = 0.0;
    for (int64_t i = 0; i < g->n; i++)
        sum += g->len[i] * g->r[i];
    const double baseline = g->is_lone ? 0.0 : sum / sum_of(g->len, g->n);
    for (int64_t i = 0; i < g->n; i++)
        adv[i] = g->r[i] - baseline;
}

static void kind_gpg(double *adv, const struct group *g)
{
    kind_mean_only(adv, g);
    for (int64_t i = 0; i < g->n; i++)
        adv[i] *= g->nonzero_scale;
}

static void kind_pass_at_k(double *adv, const struct group *g)
{
    int64_t best = 0;
    double second = -INFINITY;
    for (int64_t i = 1; i < g->n; i++)
        best = g->r[i] > g->r[best] ? i : best;
    for (int64_t i = 0; i < g->n; i++) {
        adv[i] = 0.0;
        if (i != best && g->r[i] > second)
            second = g->r[i];
    }
    adv[best] = (g->r[best] - second) /
                (g->o->has_std ? group_std(g) + g->o->eps : 1.0);
}

static const struct advantage_kind kinds[] = {
    {.name = "group", .by = BY_CHOSEN, .fn = kind_group, .is_flat_zero = true},
    {.name = "mean_only", .fn = kind_mean_only, .is_flat_zero = true},
    {.name = "batch_std",
     .by = BY_UNBIASED,
     .fn = kind_batch_std,
     .is_flat_zero = true},
    {.name = "leave_one_out",
     .by = BY_UNBIASED,
     .fn = kind_leave_one_out,
     .is_flat_zero = true},
    {.name = "rloo", .fn = kind_rloo, .is_flat_zero = true},
    {.name = "reinforce_pp", .whitens_tokens = true, .is_by_token = true},
    {.name = "reinforce_pp_baseline",
     .fn = kind_mean_only,
     .is_flat_zero = true,
     .whitens_tokens = true},
    {.name = "opo", .fn = kind_opo},
    {.name = "gpg", .fn = kind_gpg, .is_flat_zero = true},
    {.name = "pass_at_k", .by = BY_CHOSEN, .fn = kind_pass_at_k},
    {.name = "gdpo", .by = BY_CHOSEN, .is_by_column = true},
};

const struct advantage_kind *advantage_kind_at(int64_t i)
{
    return i >= 0 && i < ARRAY_LEN(kinds) ? &kinds[i] : NULL;
}

const char *advantage_kind_name(const struct advantage_kind *k) { return k->name; }

const char *advantage_std_name(const struct advantage_options *o)
{
    const bool is_optional = o->kind->fn == kind_pass_at_k || o->kind->is_by_column;
    if (o->kind->by == BY_NOTHING || (is_optional && !o->has_std))
        return NULL;
    return o->kind->by == BY_CHOSEN && o->std == ADVANTAGE_STD_POPULATION
               ? "population (n)"
               : "unbiased (n - 1)";
}

bool advantage_whitens_tokens(const struct advantage_options *o)
{
    return o->whiten == WHITEN_TOKEN || o->kind->whitens_tokens;
}

bool advantage_is_per_token(const struct advantage_options *o)
{
    return o->kind->is_by_token;
}

static double weight_of(const struct advantage_options *o, int64_t k)
{
    return o->n_weights == 0 ? 1.0 : o->weights[k];
}

/* The weighted sum of the scored rewards of sequence i, clipped; NaN if none is. */
static double combined_reward(const struct advantage_batch *b,
                              const struct advantage_options *o, int64_t i)
{
    double sum = 0.0;
    int64_t n_scored = 0;
    for (int64_t k = 0; k < b->n_rewards; k++) {
        const double r = b->reward[i * b->n_rewards + k];
        if (isnan(r))
            continue;
        sum += weight_of(o, k) * r;
        n_scored++;
    }
    if (n_scored == 0)
        return NAN;
    return sum < o->reward_low    ? o->reward_low
           : sum > o->reward_high ? o->reward_high
                                  : sum;
}

static double length_of(const struct advantage_batch *b, int64_t i)
{
    double n = 0.0;
    for (int64_t t = b->off[i]; t < b->off[i + 1]; t++)
        n += b->mask[t];
    return n;
}

/* The unbiased std of what is not NaN; NaN of fewer than two. */
static double known_std(const double *x, int64_t n, double *mean_out)
{
    double sum = 0.0, sum_sq = 0.0;
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i])) {
            sum += x[i];
            m++;
        }
    const double mean = m > 0 ? sum / (double)m : 0.0;
    for (int64_t i = 0; i < n; i++)
        sum_sq += isnan(x[i]) ? 0.0 : (x[i] - mean) * (x[i] - mean);
    *mean_out = mean;
    return m > 1 ? sqrt(sum_sq / (double)(m - 1)) : (double)NAN;
}

/* Advantages of the members of one group with rewards in `seq`, in place; NaN stays. A
 * lone sample has none (NaN) unless it keeps its reward. */
static int one_group(double *seq, const struct advantage_batch *b,
                     const struct advantage_kind *kind, int64_t group, struct group *g,
                     double *work)
{
    double *const r = work, *const len = work + b->n_seqs, *const a = len + b->n_seqs;
    int64_t n = 0;
    for (int64_t i = 0; i < b->n_seqs; i++)
        if (b->group[i] == group && !isnan(seq[i])) {
            r[n] = seq[i];
            len[n++] = length_of(b, i);
        }
    if (n == 0)
        return STATUS_OK;
    g->r = r;
    g->len = len;
    g->n = n;
    g->is_lone = n == 1 && g->o->single == SINGLE_REWARD;
    if (kind->fn == kind_pass_at_k && n == 1)
        return ERR(ERR_INPUT,
                   "pass_at_k compares the best of a group with the second; group %lld "
                   "has one scored sample",
                   (long long)group);
    kind->fn(a, g);
    const bool is_zero = n > 1 && kind->is_flat_zero && advantage_is_flat(r, n);
    const bool is_undefined = n == 1 && !g->is_lone;
    n = 0;
    for (int64_t i = 0; i < b->n_seqs; i++)
        if (b->group[i] == group && !isnan(seq[i])) {
            seq[i] = is_undefined ? (double)NAN : is_zero ? 0.0 : a[n];
            n++;
        }
    return STATUS_OK;
}

static int all_groups(double *seq, const struct advantage_batch *b,
                      const struct advantage_options *o,
                      const struct advantage_kind *kind, double *work)
{
    double mean, n_nonzero = 0.0;
    struct group g = {.o = o, .batch_std = known_std(seq, b->n_seqs, &mean)};
    for (int64_t i = 0; i < b->n_seqs; i++)
        n_nonzero += seq[i] != 0.0;
    g.nonzero_scale = (double)b->n_seqs / (n_nonzero > 1.0 ? n_nonzero : 1.0);
    for (int64_t k = 0; k < b->n_groups; k++)
        TRY(one_group(seq, b, kind, k, &g, work));
    return STATUS_OK;
}

/* GDPO: the weighted sum of the advantages of each reward function. A group with one
 * scored sample of a function has none for it. */
static int by_columns(double *seq, const struct advantage_batch *b,
                      const struct advantage_options *o, double *work)
{
    double *const column = work;
    for (int64_t i = 0; i < b->n_seqs; i++)
        seq[i] = isnan(combined_reward(b, o, i)) ? (double)NAN : 0.0;
    for (int64_t k = 0; k < b->n_rewards; k++) {
        for (int64_t i = 0; i < b->n_seqs; i++)
            column[i] = b->reward[i * b->n_rewards + k];
        TRY(all_groups(column, b, o, o->has_std ? &kinds[0] : &kinds[1],
                       work + b->n_seqs));
        for (int64_t i = 0; i < b->n_seqs; i++)
            seq[i] += isnan(column[i]) ? 0.0 : weight_of(o, k) * column[i];
    }
    return STATUS_OK;
}

/* The return from each token that counts to the end; the reward is the last token's. */
static void discounted_returns(double *token, const double *seq,
                               const struct advantage_batch *b, double gamma)
{
    for (int64_t i = 0; i < b->n_seqs; i++) {
        const double reward = isnan(seq[i]) ? 0.0 : seq[i];
        double run = 0.0;
        for (int64_t t = b->off[i + 1] - 1; t >= b->off[i]; t--) {
            const double penalty = b->penalty == NULL ? 0.0 : b->penalty[t];
            const double own = (t == b->off[i + 1] - 1 ? reward : 0.0) - penalty;
            run = b->mask[t] ? own + gamma * run : run;
            token[t] = b->mask[t] ? run : 0.0;
        }
    }
}

static void whiten_batch(double *seq, int64_t n, double eps)
{
    double mean;
    const double std = known_std(seq, n, &mean);
    for (int64_t i = 0; i < n; i++)
        seq[i] = isnan(std) ? (double)NAN : (seq[i] - mean) / (std + eps);
}

/* What (A - shift) scale makes of the tokens that count: mean 0, variance 1. The 1e-8
 * below the root is verl's. */
struct whitening {
    double shift, scale;
};

static struct whitening token_whitening(const struct advantage_batch *b,
                                        const double *seq, const double *token,
                                        double count_eps)
{
    double n = 0.0, sum = 0.0, sum_sq = 0.0;
    for (int64_t i = 0; i < b->n_seqs; i++)
        for (int64_t t = b->off[i]; t < b->off[i + 1]; t++) {
            const double a = token == NULL ? seq[i] : token[t];
            sum += b->mask[t] ? a : 0.0;
            n += b->mask[t];
        }
    const double count = n + count_eps > 0.0 ? n + count_eps : 1.0;
    const double mean = sum / count;
    for (int64_t i = 0; i < b->n_seqs; i++)
        for (int64_t t = b->off[i]; t < b->off[i + 1]; t++) {
            const double a = token == NULL ? seq[i] : token[t];
            sum_sq += b->mask[t] ? (a - mean) * (a - mean) : 0.0;
        }
    const double var = n > 1.0 ? sum_sq / count * n / (n - 1.0) : 0.0;
    return (struct whitening){.shift = mean, .scale = 1.0 / sqrt(var + 1e-8)};
}

static void whiten_tokens(double *seq, double *token, const struct advantage_batch *b,
                          const struct advantage_options *o)
{
    const double *const by_token = o->kind->is_by_token ? token : NULL;
    const struct whitening w = token_whitening(b, seq, by_token, o->count_eps);
    for (int64_t i = 0; i < b->n_seqs; i++) {
        seq[i] = (seq[i] - w.shift) * w.scale;
        for (int64_t t = b->off[i]; by_token != NULL && t < b->off[i + 1]; t++)
            token[t] = b->mask[t] ? (token[t] - w.shift) * w.scale : 0.0;
    }
}

/* The sum of the tokens' rewards: the last token has the sequence's, each loses its
 * penalty. By token they stay where they are. */
static void rewards_of(double *seq, const struct advantage_batch *b,
                       const struct advantage_options *o)
{
    for (int64_t i = 0; i < b->n_seqs; i++) {
        const double reward = combined_reward(b, o, i);
        double sum = 0.0;
        seq[i] = reward;
        if (b->penalty == NULL || o->kind->is_by_token)
            continue;
        for (int64_t t = b->off[i]; t < b->off[i + 1]; t++)
            sum += (t == b->off[i + 1] - 1 ? reward : 0.0) - b->penalty[t];
        seq[i] = sum;
    }
}

int advantage_compute(double *seq_out, double *token_out,
                      const struct advantage_batch *b,
                      const struct advantage_options *o, double *work)
{
    double *const seq = seq_out;
    rewards_of(seq, b, o);
    if (o->kind->is_by_token) {
        CHECK(token_out != NULL, "%s needs token_out", o->kind->name);
        discounted_returns(token_out, seq, b, o->gamma);
    } else if (o->kind->is_by_column) {
        TRY(by_columns(seq, b, o, work));
    } else {
        TRY(all_groups(seq, b, o, o->kind, work));
    }
    if (o->whiten == WHITEN_BATCH)
        whiten_batch(seq, b->n_seqs, o->eps);
    for (int64_t i = 0; i < b->n_seqs; i++)
        if (isnan(seq[i]) && o->kind->fn != kind_opo)
            seq[i] = 0.0; /* not scored, or nothing to compare with */
    if (advantage_whitens_tokens(o))
        whiten_tokens(seq, token_out, b, o);
    for (int64_t i = 0; i < b->n_seqs; i++) {
        const int64_t first = b->off[i];
        if (o->kind->is_by_token)
            seq[i] = first < b->off[i + 1] ? token_out[first] : 0.0;
        for (int64_t t = first;
             token_out != NULL && !o->kind->is_by_token && t < b->off[i + 1]; t++)
            token_out[t] = seq[i] * (double)b->mask[t];
    }
    return STATUS_OK;
}
