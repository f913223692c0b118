/*
 * Rows that are not bf16 yet are rounded into scratch, then the kernels of
 * gemm_tensor.h.
 */
#include "cuda/gemm_route.cuh"

#include "cuda/gemm_tensor.h"
#include "cuda/rows.cuh"

/* dy's bf16 rows start on 16 bytes, as the fast kernels want it; x's are dense */
static int64_t pitch_of(int64_t n) { return (n + 7) / 8 * 8; }

/* Rows of n values as the kernels read them: ld apart, bf16 */
struct half_rows {
    struct rows from;
    int64_t n, ld, m;
};

/* Whether they are so already */
static bool is_half(const struct half_rows *h)
{
    return h->from.dtype == DTYPE_BF16 && h->ld == h->n &&
           (uintptr_t)h->from.data % 16 == 0;
}

/* Elements that they take in scratch; a multiple of 256 bytes */
static int64_t half_elems(const struct half_rows *h)
{
    return is_half(h) ? 0 : (h->m * h->ld + 127) / 128 * 128;
}

/* As they are, or brought into scratch */
static const uint16_t *to_half(struct backend *b, const struct half_rows *h,
                               uint16_t *scratch)
{
    if (is_half(h))
        return (const uint16_t *)h->from.data;
    const struct rows_move a = {scratch, DTYPE_BF16, h->from, NULL, NULL,
                                1,       h->n,       h->ld,   h->m};
    rows_move(b, &a);
    return scratch;
}

static uint16_t *half_scratch(struct backend *b, int64_t n_elems)
{
    return (uint16_t *)cuda_scratch(b, (size_t)n_elems * sizeof(uint16_t));
}

static void must(int status)
{
    if (status != STATUS_OK)
        cuda_fault(status_message(), cudaPeekAtLastError());
}

static struct gemm_groups groups(const struct weight *w, const int32_t *off, int64_t m)
{
    const struct gemm_groups g = {w->n_mats, w->n, w->k, off, m, pitch_of(w->n)};
    return g;
}

bool gemm_route_fwd(struct backend *b, float *y, struct rows x, const struct weight *w,
                    const int32_t *off, int64_t m)
{
    if (!cuda_backend_uses_tensor(b, w->dtype))
        return false;
    const struct gemm_groups g = groups(w, off, m);
    const struct half_rows from = {x, w->k, w->k, m};
    const uint16_t *const half = to_half(b, &from, half_scratch(b, half_elems(&from)));
    must(gemm_tensor_fwd(cuda_state(b)->tensor, cuda_stream(b), y, half,
                         (const uint16_t *)w->data, &g));
    return true;
}

bool gemm_route_dx(struct backend *b, float *dx, struct rows dy, const struct weight *w,
                   const int32_t *off, int64_t m)
{
    if (!cuda_backend_uses_tensor(b, w->dtype))
        return false;
    const struct gemm_groups g = groups(w, off, m);
    const struct half_rows from = {dy, w->n, g.ld_dy, m};
    const uint16_t *const half = to_half(b, &from, half_scratch(b, half_elems(&from)));
    must(gemm_tensor_dx(cuda_state(b)->tensor, cuda_stream(b), dx, half,
                        (const uint16_t *)w->data, &g));
    return true;
}

bool gemm_route_dw(struct backend *b, float *dw, struct rows dy, struct rows x,
                   const struct weight *w, const int32_t *off, int64_t m)
{
    if (!cuda_backend_uses_tensor(b, w->dtype))
        return false;
    const struct gemm_groups g = groups(w, off, m);
    const struct half_rows of_dy = {dy, w->n, g.ld_dy, m}, of_x = {x, w->k, w->k, m};
    const int64_t n_dy = half_elems(&of_dy);
    uint16_t *const scratch = half_scratch(b, n_dy + half_elems(&of_x));
    const uint16_t *const half_dy = to_half(b, &of_dy, scratch);
    const uint16_t *const half_x = to_half(b, &of_x, scratch + n_dy);
    must(
        gemm_tensor_dw(cuda_state(b)->tensor, cuda_stream(b), dw, half_dy, half_x, &g));
    return true;
}
