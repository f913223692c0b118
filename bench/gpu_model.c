/*
 * Random weights have the standard deviations of the parameter table, so activations,
 * logits and routes behave as in a fresh model.
 */
#include "bench/gpu_model.h"

#include <math.h>

#include "core/rng.h"
#include "cuda/cuda.h"

struct hparams gpu_paper_shape(int64_t n_experts, int64_t n_layers, int64_t n_vocab)
{
    return (struct hparams){.n_vocab = n_vocab,
                            .d_model = 1024,
                            .d_ff = 2048,
                            .n_layers = n_layers,
                            .n_heads = 8,
                            .n_kv_heads = 8,
                            .head_dim = 128,
                            .n_experts = n_experts,
                            .top_k = 2,
                            .max_pos = 4096,
                            .rms_eps = 1e-5,
                            .init_std = 0.02,
                            .bos_id = -1,
                            .pad_id = -1,
                            .rope = {.theta = 1e4, .rot = 128}};
}

static void fill_weights(const struct gpu_model *g)
{
    const struct param_table *const t = &g->m.table;
    const float uniform = 1.7320508f; /* half width of a uniform of unit variance */
    const size_t size = dtype_bytes(g->m.dtype);
    for (int64_t i = 0; i < t->n; i++) {
        const struct param *const p = &t->items[i];
        char *const at = (char *)g->data + (size_t)p->off * size;
        if (p->is_decayed) {
            gpu_fill(at, g->m.dtype, p->n_elems, p->init_std * uniform,
                     1000u + (uint32_t)i);
            continue;
        }
        char ones[8192 * sizeof(float)];
        CHECK(p->n_elems <= 8192, "a norm of %lld", (long long)p->n_elems);
        for (int64_t j = 0; j < p->n_elems; j++)
            dtype_put(ones, g->m.dtype, j, 1.0f);
        g->m.b->upload(g->m.b, at, ones, (size_t)p->n_elems * size);
    }
}

int gpu_model_init(struct gpu_model *g, struct backend *b, const struct hparams *hp,
                   enum dtype dtype, int64_t n_pos, void *data)
{
    *g = (struct gpu_model){0};
    TRY(model_init(&g->m, b, hp, data, dtype, n_pos, hp->n_vocab));
    if (data != NULL)
        return STATUS_OK;
    g->bytes = (size_t)g->m.table.n_elems * dtype_bytes(dtype);
    const int status = b->reserve(b, &g->data, g->bytes, "weights");
    if (status != STATUS_OK) {
        gpu_model_release(g);
        return status;
    }
    g->m.data = g->data;
    fill_weights(g);
    return STATUS_OK;
}

void gpu_model_release(struct gpu_model *g)
{
    struct backend *const b = g->m.b;
    if (b == NULL)
        return;
    if (g->data != NULL)
        b->release(b, g->data, g->bytes);
    model_release(&g->m);
    *g = (struct gpu_model){0};
}

double gpu_model_flops(const struct hparams *hp, double n_ctx)
{
    const int64_t q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    const int64_t layer = hp->d_model * (2 * q + 2 * kv + hp->n_experts) +
                          hp->top_k * 3 * hp->d_model * hp->d_ff;
    const double products = (double)(hp->n_layers * layer + hp->n_vocab * hp->d_model);
    return 2.0 * products + 4.0 * (double)(hp->n_layers * q) * n_ctx;
}

double gpu_model_decode_bytes(const struct hparams *hp, double n_seqs, double n_ctx)
{
    const double e = (double)hp->n_experts, k = (double)hp->top_k;
    const double used = e * (1.0 - pow(1.0 - k / e, n_seqs));
    const int64_t q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    const double shared = (double)(hp->n_layers * hp->d_model * (2 * q + 2 * kv) +
                                   hp->n_vocab * hp->d_model);
    const double experts = (double)hp->n_layers * used * 3.0 *
                           (double)(hp->d_model * hp->d_ff);
    return 2.0 *
           (shared + experts + n_seqs * n_ctx * 2.0 * (double)(hp->n_layers * kv));
}

int32_t gpu_token(int64_t i, int64_t n_vocab)
{
    return (int32_t)rng_below(7, RNG_TEST, (uint32_t)n_vocab, (uint32_t)i, 0, 0, 0);
}

int64_t gpu_free_bytes(const struct backend *b)
{
    size_t n_free = 0, n_total = 0;
    cuda_backend_memory(b, &n_free, &n_total);
    return (int64_t)n_free;
}
