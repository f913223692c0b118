/*
 * Models with random weights made on the device, and the paper's shapes (arXiv
 * 2508.18672: 16 layers, d 1024, expert ffn 2048, 8 heads of 128, top-2 of E experts).
 */
#ifndef BENCH_GPU_MODEL_H
#define BENCH_GPU_MODEL_H

#include "bench/gpu_bench.h"
#include "model/model.h"

struct gpu_model {
    struct model m;
    void *data; /* weights of m, backend memory */
    size_t bytes;
};
struct hparams gpu_paper_shape(int64_t n_experts, int64_t n_layers, int64_t n_vocab);
/* `data` NULL: weights are made; else those of another model of this shape are used. */
int gpu_model_init(struct gpu_model *g, struct backend *b, const struct hparams *hp,
                   enum dtype dtype, int64_t n_pos, void *data) WARN_UNUSED;
void gpu_model_release(struct gpu_model *g);

/* FLOPs of a forward pass per token: products (the head too) and attention over a mean
 * context of n_ctx keys. */
double gpu_model_flops(const struct hparams *hp, double n_ctx);
/* The fewest bytes of a decode step, bf16 weights and keys: what n_seqs tokens use of
 * the weights when routing is uniform, and every sequence's own context. */
double gpu_model_decode_bytes(const struct hparams *hp, double n_seqs, double n_ctx);

int32_t gpu_token(int64_t i, int64_t n_vocab); /* a random id */
int64_t gpu_free_bytes(const struct backend *b);

#endif
