/*
 * The reference policy of the KL: the model that training started from, frozen, or
 * moved towards the policy every grpo.ref_every steps (TR-DPO, arXiv 2404.09656, "soft"
 * update as TRL's TR-DPO; every step with a small share: an exponential moving
 * average): ref <- a policy + (1 - a) ref element by element on fp32 values (the
 * policy's master weights; the reference keeps its own once it moves), in double,
 * rounded once; then rounded to the model's dtype. So every learner rank holds the same
 * bits without any exchange.
 */
#ifndef GRPO_REFERENCE_H
#define GRPO_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/model.h"
#include "model/optim.h"

struct reference {
    struct weights weights;
    struct model model; /* what the learner runs */
    float *master;      /* backend, fp32; NULL until it moves, and for F32 weights */
    bool is_moved;      /* differs from the start: belongs into checkpoints */
};
/* Loads `dir`; policy: whose backend, positions and softmax the reference shares. */
int reference_init(struct reference *r, const char *dir, int dtype,
                   const struct model *policy) WARN_UNUSED;
void reference_release(struct reference *r);
/* share: a */
int reference_move(struct reference *r, const struct optim *policy,
                   double share) WARN_UNUSED;
/* fp32 values as one safetensors file, and back */
int reference_save(const struct reference *r, const char *path) WARN_UNUSED;
int reference_load(struct reference *r, const char *path) WARN_UNUSED;

#endif
