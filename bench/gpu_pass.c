/*
 * All rows are predicted from, with the next row's token as the target (the last row of
 * a sequence: the next sequence's first token; no matter here).
 */
#include "bench/gpu_pass.h"

#include "core/mem.h"
#include "cuda/cuda.h"

static struct batch_limits limits_of(int64_t n_seqs, int64_t t)
{
    const int64_t n = n_seqs * t;
    return (struct batch_limits){.n_rows = n,
                                 .n_seqs = n_seqs,
                                 .n_groups = n_seqs,
                                 .n_pages = n_seqs * ((t + KV_BLOCK - 1) / KV_BLOCK),
                                 .n_dst = n};
}

static struct acts_limits acts_limits_of(int64_t n_seqs, int64_t t, int64_t head_rows)
{
    const struct batch_limits bl = limits_of(n_seqs, t);
    return (struct acts_limits){.mode = ACTS_KEEP,
                                .n_rows = bl.n_rows,
                                .n_pages = bl.n_pages,
                                .n_head_rows = head_rows};
}

int64_t gpu_pass_bytes(const struct model *m, int64_t n_seqs, int64_t t,
                       int64_t head_rows)
{
    const struct acts_limits al = acts_limits_of(n_seqs, t, head_rows);
    return (int64_t)acts_bytes(m, &al) + m->table.n_elems * (int64_t)sizeof(float);
}

static void set_tokens(struct gpu_pass *p, int64_t t)
{
    const int64_t n_vocab = p->m->hp.n_vocab;
    p->ids = mem_alloc((size_t)(p->n + 1) * sizeof(*p->ids));
    p->rows = mem_alloc((size_t)p->n * sizeof(*p->rows));
    p->logp = mem_alloc((size_t)p->n * sizeof(*p->logp));
    p->dlogp = mem_alloc((size_t)p->n * sizeof(*p->dlogp));
    for (int64_t i = 0; i < p->n; i++) {
        p->ids[i] = gpu_token(i, n_vocab);
        p->rows[i] = (int32_t)i;
        p->dlogp[i] = -1.0f / (float)p->n; /* the mean negative log-probability */
    }
    p->ids[p->n] = p->ids[0];
    for (int64_t s = 0; s < p->n_seqs; s++)
        batch_add_prompt(&p->batch, p->ids + s * t, t);
    batch_upload(&p->batch);
}

int gpu_pass_init(struct gpu_pass *p, const struct model *m, int64_t n_seqs, int64_t t,
                  int64_t head_rows)
{
    const struct batch_limits bl = limits_of(n_seqs, t);
    const struct acts_limits al = acts_limits_of(n_seqs, t, head_rows);
    int status;
    *p = (struct gpu_pass){.m = m, .n = n_seqs * t, .n_seqs = n_seqs};
    p->grad_bytes = (size_t)m->table.n_elems * sizeof(float);
    TRY_OUT(batch_init(&p->batch, m->b, &bl));
    TRY_OUT(acts_init(&p->acts, m, &al));
    TRY_OUT(m->b->reserve(m->b, &p->grad, p->grad_bytes, "gradients"));
    set_tokens(p, t);
    return STATUS_OK;
out:
    gpu_pass_release(p);
    return status;
}

void gpu_pass_release(struct gpu_pass *p)
{
    if (p->m == NULL)
        return;
    batch_release(&p->batch);
    acts_release(&p->acts);
    if (p->grad != NULL)
        p->m->b->release(p->m->b, p->grad, p->grad_bytes);
    mem_free(p->ids);
    mem_free(p->rows);
    mem_free(p->logp);
    mem_free(p->dlogp);
    *p = (struct gpu_pass){0};
}

void gpu_pass_forward(struct gpu_pass *p)
{
    model_forward(p->m, &p->acts, &p->batch);
    cuda_backend_sync(p->m->b);
}

void gpu_pass_logprobs(struct gpu_pass *p)
{
    model_logprobs(p->m, &p->acts, p->acts.x_last, p->rows, p->ids + 1, p->n, 1.0f,
                   p->logp, NULL);
    cuda_backend_sync(p->m->b);
}

void gpu_pass_backward(struct gpu_pass *p)
{
    const struct model_grads g = {.data = p->grad};
    const struct model_loss loss = {.rows = p->rows,
                                    .target = p->ids + 1,
                                    .dlogp = p->dlogp,
                                    .n = p->n,
                                    .inv_temp = 1.0f};
    model_backward(p->m, &p->acts, &p->batch, &loss, &g);
    cuda_backend_sync(p->m->b);
}
