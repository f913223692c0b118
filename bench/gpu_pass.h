/*
 * One forward and backward pass over sequences of random tokens, as the learner runs
 * it, with its arrays. For bench_gpu's parts.
 */
#ifndef BENCH_GPU_PASS_H
#define BENCH_GPU_PASS_H

#include "bench/gpu_model.h"

struct gpu_pass {
    const struct model *m;
    struct batch batch;
    struct acts acts;
    void *grad;
    size_t grad_bytes;
    int32_t *ids, *rows; /* (n) */
    float *logp, *dlogp; /* (n) */
    int64_t n, n_seqs;
};
/* Bytes of device memory of a pass over n_seqs sequences of t tokens. */
int64_t gpu_pass_bytes(const struct model *m, int64_t n_seqs, int64_t t,
                       int64_t head_rows);
int gpu_pass_init(struct gpu_pass *p, const struct model *m, int64_t n_seqs, int64_t t,
                  int64_t head_rows) WARN_UNUSED;
void gpu_pass_release(struct gpu_pass *p);

/* All return when the device is done. */
void gpu_pass_forward(struct gpu_pass *p);
void gpu_pass_logprobs(struct gpu_pass *p); /* of every token given those before */
void gpu_pass_backward(struct gpu_pass *p); /* adds to grad */

#endif
