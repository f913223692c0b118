/*
 * fp32 operands narrowed into scratch, then the kernels of gemm_tensor.h. Rows past
 * off[n_mats] do not exist (core/ops.h), so all m rows are narrowed.
 */
#include "cuda/gemm_route.cuh"

bool gemm_route_fwd(struct backend *b, float *y, const float *x, const struct weight *w,
                    const int32_t *off, int64_t m)
{
    (void)y, (void)x, (void)off, (void)m;
    CHECK(!cuda_backend_uses_tensor(b, w->dtype), "no tensor-core products yet");
    return false;
}

bool gemm_route_dx(struct backend *b, float *dx, const float *dy,
                   const struct weight *w, const int32_t *off, int64_t m)
{
    (void)dx, (void)dy, (void)off, (void)m;
    CHECK(!cuda_backend_uses_tensor(b, w->dtype), "no tensor-core products yet");
    return false;
}

bool gemm_route_dw(struct backend *b, float *dw, const float *dy, const float *x,
                   const struct weight *w, const int32_t *off, int64_t m)
{
    (void)dw, (void)dy, (void)x, (void)off, (void)m;
    CHECK(!cuda_backend_uses_tensor(b, w->dtype), "no tensor-core products yet");
    return false;
}
