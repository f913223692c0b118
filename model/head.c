/*
 * The log-prob head, in chunks of n_head_rows rows: final norm, logits,
 * log-probabilities and entropies, and their backward. The N x V logits never exist:
 * the backward computes a chunk's logits again, turns them into their gradient in
 * place, and goes on.
 */
#include "model/head.h"

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

void model_logits_first(const struct model *m, struct acts *a, const float *x,
                        int64_t n)
{
    struct backend *const b = m->b;
    CHECK(n <= a->max.n_head_rows, "%lld rows of logits, %lld reserved", (long long)n,
          (long long)a->max.n_head_rows);
    const struct weight norm = model_weight(m, PARAM_NORM_F, -1);
    const struct weight head = model_weight(m, PARAM_HEAD, -1);
    const struct residual r = {.x = x};
    b->residual_norm(b, a->head_xn, a->product_rows, NULL, &r, &norm,
                     (float)m->hp.rms_eps, n);
    b->gemm_fwd(b, a->logits, acts_rows(a, a->head_xn), &head, NULL, n);
}

void model_logits(const struct model *m, struct acts *a, const float *x,
                  const int32_t *rows_host, int64_t n)
{
    struct backend *const b = m->b;
    CHECK(n <= a->max.n_head_rows, "%lld rows of logits, %lld reserved", (long long)n,
          (long long)a->max.n_head_rows);
    b->upload(b, a->head_rows, rows_host, (size_t)n * sizeof(int32_t));
    b->rows_gather(b, a->head_x, DTYPE_F32, rows_f32(x), a->head_rows, 1, m->hp.d_model,
                   n);
    model_logits_first(m, a, a->head_x, n);
}

void model_logprobs(const struct model *m, struct acts *a, const float *x,
                    const int32_t *rows, const int32_t *target, int64_t n,
                    float inv_temp, float *logp_out, float *entropy_out)
{
    struct backend *const b = m->b;
    for (int64_t i = 0; i < n; i += a->max.n_head_rows) {
        const int64_t c = min64(n - i, a->max.n_head_rows);
        const size_t bytes = (size_t)c * sizeof(float);
        model_logits(m, a, x, rows + i, c);
        b->upload(b, a->head_target, target + i, (size_t)c * sizeof(int32_t));
        b->logprob_fwd(b, a->head_logp, NULL,
                       entropy_out == NULL ? NULL : a->head_entropy, a->logits,
                       a->head_target, inv_temp, m->n_softmax, a->ld_logits, c);
        b->download(b, logp_out + i, a->head_logp, bytes);
        if (entropy_out != NULL)
            b->download(b, entropy_out + i, a->head_entropy, bytes);
    }
}

/* One chunk: gradient of the head and final norm += , and of x_last += into a->dx. */
static void head_chunk_bwd(const struct model *m, struct acts *a,
                           const struct model_loss *loss, const struct head_grads *g,
                           int64_t i, int64_t c, int64_t n_rows)
{
    struct backend *const b = m->b;
    const size_t bytes = (size_t)c * sizeof(float);
    const struct weight norm = model_weight(m, PARAM_NORM_F, -1);
    const struct weight head = model_weight(m, PARAM_HEAD, -1);
    const float *const dent = loss->dent == NULL ? NULL : a->head_dent;
    model_logits(m, a, a->x_last, loss->rows + i, c);
    b->upload(b, a->head_target, loss->target + i, (size_t)c * sizeof(int32_t));
    b->upload(b, a->head_dlogp, loss->dlogp + i, bytes);
    if (dent != NULL)
        b->upload(b, a->head_dent, loss->dent + i, bytes);
    b->logprob_fwd(b, NULL, a->head_lse, a->head_entropy, a->logits, a->head_target,
                   loss->inv_temp, m->n_softmax, a->ld_logits, c);
    b->logprob_bwd(b, a->logits, a->head_lse, a->head_entropy, a->head_target,
                   a->head_dlogp, dent, loss->inv_temp, m->n_softmax, a->ld_logits, c);
    b->gemm_dw(b, g->head, rows_f32(a->logits), acts_rows(a, a->head_xn), &head, NULL,
               c);
    b->gemm_dx(b, a->dhead_xn, rows_f32(a->logits), &head, NULL, c);
    b->rmsnorm_bwd(b, a->dhead_x, g->norm, a->dhead_xn, a->head_x, &norm,
                   (float)m->hp.rms_eps, c);
    /* several completions may follow one row (a prompt's last): a sum, rows ascending
     */
    const struct weight as_table = {
        .layout = WEIGHT_PLAIN, .n_mats = 1, .n = n_rows, .k = m->hp.d_model};
    b->embed_bwd(b, a->dx, &as_table, a->dhead_x, a->head_rows, c);
}

void head_bwd(const struct model *m, struct acts *a, const struct model_loss *loss,
              const struct head_grads *g, int64_t n_rows)
{
    m->b->zero(m->b, a->dx, (size_t)(n_rows * m->hp.d_model) * sizeof(float));
    for (int64_t i = 0; i < loss->n; i += a->max.n_head_rows)
        head_chunk_bwd(m, a, loss, g, i, min64(loss->n - i, a->max.n_head_rows),
                       n_rows);
}
