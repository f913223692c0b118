/*
 * AdamW over the parameter table, with fp32 master weights (Loshchilov & Hutter 2019),
 * global-norm clipping, and schedules. Arenas are backend memory in the packed layout.
 */
#ifndef MODEL_OPTIM_H
#define MODEL_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops.h"
#include "core/status.h"
#include "model/params.h"

/* Where a device keeps the state: beside the weights, or, step by step more of it, in
 * host memory that the update reads and writes across the bus (two moments: 16 bytes of
 * traffic per parameter and update; with the master 24). Bits do not depend on it. */
enum optim_place { OPTIM_ON_DEVICE, OPTIM_MOMENTS_ON_HOST, OPTIM_ON_HOST };

struct optim {
    struct backend *b;
    const struct param_table *table; /* borrowed */
    float *master; /* the compute weights themselves when those are F32 */
    float *m, *v;
    void *copy; /* compute weights of another dtype; NULL when F32 */
    enum dtype copy_dtype;
    int64_t n_updates;
    void *block, *host_block;
    size_t block_bytes, host_bytes;
};

struct optim_args {
    double lr, beta1, beta2, eps, weight_decay;
    double clip_l2; /* scale = min(1, clip / (norm + 1e-6)); 0: off */
    double clip_l1; /* then the same on the L1 norm of the scaled gradient; 0: off */
    bool is_router_frozen; /* routers keep weight, master and moments as they are */
};

struct optim_report {
    double grad_l2, grad_l1; /* before clipping */
    double scale;            /* applied to the gradient */
};

/* data: the model's weights in backend memory, updated in place. Master starts as their
 * value. */
int optim_init(struct optim *o, struct backend *b, const struct param_table *t,
               void *data, enum dtype dtype, enum optim_place place) WARN_UNUSED;
void optim_release(struct optim *o);
/* The state's bytes on the device and on the host. */
struct optim_bytes {
    size_t device, host;
};
struct optim_bytes optim_bytes(const struct param_table *t, enum dtype dtype,
                               enum optim_place place);
/* The first place, from `first` to `last`, that needs at most `room` bytes of the
 * device; `last` if none does. */
enum optim_place optim_place_fit(const struct param_table *t, enum dtype dtype,
                                 enum optim_place first, enum optim_place last,
                                 size_t room);
/* A gradient that is not finite is ERR_NUMERIC; nothing is changed then. */
int optim_step(struct optim *o, const float *grad, const struct optim_args *args,
               struct optim_report *report_out) WARN_UNUSED;

/* Learning rate of update u = 0 .. n - 1: linear warm-up to `peak` (update u of the
 * warm-up has (u + 1) / (warmup + 1)), then constant, or linear or cosine to `last` at
 * the n-th. */
enum optim_schedule { OPTIM_CONSTANT, OPTIM_LINEAR, OPTIM_COSINE };
double optim_lr(enum optim_schedule s, double peak, double last, int64_t warmup,
                int64_t n, int64_t u);

#endif
