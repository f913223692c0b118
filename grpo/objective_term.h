/*
 * One token's, or one sequence's, policy term: what the kinds of grpo/objective.h are.
 */
#ifndef GRPO_OBJECTIVE_TERM_H
#define GRPO_OBJECTIVE_TERM_H

#include <stdbool.h>
#include <stdint.h>

#include "grpo/objective.h"

struct objective_token {
    double logp, logp_old;
    double exponent; /* of the ratio */
    double adv;
    double gate; /* the kind's weight of the whole sequence, detached; else 1 */
    bool is_top; /* in kl_cov's share */
};

/* x and its derivatives: by logp with the exponent held, and by the exponent */
struct objective_term {
    double x, dlogp, dexponent;
    bool is_low, is_high; /* clipped below, above */
};

typedef struct objective_term (*objective_token_fn)(const struct objective_token *in,
                                                    const struct objective_options *o);
/* x of the sequence; dlogp (n) = dx/dlogp, set where the policy mask is */
typedef double (*objective_sequence_fn)(double *dlogp, struct objective_sums *sums,
                                        const struct objective_sample *in,
                                        const struct objective_options *o);
/* A detached weight of all of a sequence's tokens */
typedef double (*objective_gate_fn)(const struct objective_sample *in,
                                    const struct objective_options *o);

/* Either token or sequence is set. */
struct objective_kind {
    const char *name;
    objective_token_fn token;
    objective_sequence_fn sequence;
    objective_gate_fn gate;
    bool is_weight_inside; /* importance weights enter through gate, not as factors */
    bool needs_covariance, ignores_weights;
};

/* grpo/objective_token.c */
struct objective_term objective_ppo_clip(const struct objective_token *in,
                                         const struct objective_options *o);
struct objective_term objective_cispo(const struct objective_token *in,
                                      const struct objective_options *o);
struct objective_term objective_sapo(const struct objective_token *in,
                                     const struct objective_options *o);
struct objective_term objective_vespo(const struct objective_token *in,
                                      const struct objective_options *o);
struct objective_term objective_gpg(const struct objective_token *in,
                                    const struct objective_options *o);
struct objective_term objective_dppo_tv(const struct objective_token *in,
                                        const struct objective_options *o);
struct objective_term objective_dppo_kl(const struct objective_token *in,
                                        const struct objective_options *o);
struct objective_term objective_dro(const struct objective_token *in,
                                    const struct objective_options *o);
struct objective_term objective_kl_cov(const struct objective_token *in,
                                       const struct objective_options *o);

/* grpo/objective_sequence.c */
double objective_gmpo(double *dlogp, struct objective_sums *sums,
                      const struct objective_sample *in,
                      const struct objective_options *o);
double objective_geo_mean(double *dlogp, struct objective_sums *sums,
                          const struct objective_sample *in,
                          const struct objective_options *o);
double objective_rloo(double *dlogp, struct objective_sums *sums,
                      const struct objective_sample *in,
                      const struct objective_options *o);
double objective_vespo_gate(const struct objective_sample *in,
                            const struct objective_options *o);

#endif
