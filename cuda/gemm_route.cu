/*
 * fp32 operands narrowed into scratch, then the kernels of gemm_tensor.h.
 */
#include "cuda/gemm_route.cuh"

#include "cuda/gemm_tensor.h"

enum { NARROW_THREADS = 256, NARROW_EACH = 4 };

/* A thread has NARROW_EACH adjacent values; both arrays are 16-byte aligned. */
static __global__ void k_narrow(uint16_t *y, const float *x, int64_t n)
{
    const int64_t i = ((int64_t)blockIdx.x * NARROW_THREADS + threadIdx.x) *
                      NARROW_EACH;
    if (i + NARROW_EACH <= n) {
        const float4 v = *(const float4 *)(x + i);
        ushort4 h;
        h.x = bf16_from_bits(bits_of(v.x));
        h.y = bf16_from_bits(bits_of(v.y));
        h.z = bf16_from_bits(bits_of(v.z));
        h.w = bf16_from_bits(bits_of(v.w));
        *(ushort4 *)(y + i) = h;
        return;
    }
    for (int64_t j = i; j < n; j++)
        y[j] = bf16_from_bits(bits_of(x[j]));
}

/* Rows of n values to rows of ld; what lies between is not written */
static __global__ void k_narrow_rows(uint16_t *y, int64_t ld, const float *x, int64_t n)
{
    const int64_t r = blockIdx.y,
                  i = (int64_t)blockIdx.x * NARROW_THREADS + threadIdx.x;
    if (i < n)
        y[r * ld + i] = bf16_from_bits(bits_of(x[r * n + i]));
}

/* bf16 rows start on 16 bytes, as the fast kernels want it */
static int64_t pitch_of(int64_t n) { return (n + 7) / 8 * 8; }

/* (m, n) to (m, pitch_of(n)) */
static void narrow(struct backend *b, uint16_t *y, const float *x, int64_t m, int64_t n)
{
    enum { MAX_ROWS = 65535 };
    const cudaStream_t stream = cuda_stream(b);
    const int64_t ld = pitch_of(n);
    if (ld == n && (uintptr_t)x % 16 == 0) {
        k_narrow<<<cuda_blocks(m * n, NARROW_THREADS * NARROW_EACH), NARROW_THREADS, 0,
                   stream>>>(y, x, m * n);
        cuda_launched(b, "narrow");
        return;
    }
    for (int64_t r = 0; r < m; r += MAX_ROWS) {
        const dim3 grid(cuda_blocks(n, NARROW_THREADS),
                        (unsigned)(m - r < MAX_ROWS ? m - r : (int64_t)MAX_ROWS));
        k_narrow_rows<<<grid, NARROW_THREADS, 0, stream>>>(y + r * ld, ld, x + r * n,
                                                           n);
        cuda_launched(b, "narrow");
    }
}

/* Elements of a narrowed operand in scratch; a multiple of 256 bytes */
static int64_t narrow_elems(int64_t m, int64_t n)
{
    return (m * pitch_of(n) + 127) / 128 * 128;
}

/* In scratch, with room for n_more elements after it */
static uint16_t *narrowed(struct backend *b, const float *x, int64_t m, int64_t n,
                          int64_t n_more)
{
    const int64_t all = narrow_elems(m, n) + n_more;
    uint16_t *const y = (uint16_t *)cuda_scratch(b, (size_t)all * sizeof(uint16_t));
    narrow(b, y, x, m, n);
    return y;
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

bool gemm_route_fwd(struct backend *b, float *y, const float *x, const struct weight *w,
                    const int32_t *off, int64_t m)
{
    if (!cuda_backend_uses_tensor(b, w->dtype))
        return false;
    const struct gemm_groups g = groups(w, off, m);
    const uint16_t *const half = narrowed(b, x, m, w->k, 0);
    must(gemm_tensor_fwd(cuda_state(b)->tensor, cuda_stream(b), y, half,
                         (const uint16_t *)w->data, &g));
    return true;
}

bool gemm_route_dx(struct backend *b, float *dx, const float *dy,
                   const struct weight *w, const int32_t *off, int64_t m)
{
    if (!cuda_backend_uses_tensor(b, w->dtype))
        return false;
    const struct gemm_groups g = groups(w, off, m);
    const uint16_t *const half = narrowed(b, dy, m, w->n, 0);
    must(gemm_tensor_dx(cuda_state(b)->tensor, cuda_stream(b), dx, half,
                        (const uint16_t *)w->data, &g));
    return true;
}

bool gemm_route_dw(struct backend *b, float *dw, const float *dy, const float *x,
                   const struct weight *w, const int32_t *off, int64_t m)
{
    if (!cuda_backend_uses_tensor(b, w->dtype))
        return false;
    const struct gemm_groups g = groups(w, off, m);
    const int64_t n_dy = narrow_elems(m, w->n);
    uint16_t *const half = narrowed(b, dy, m, w->n, narrow_elems(m, w->k));
    narrow(b, half + n_dy, x, m, w->k);
    must(gemm_tensor_dw(cuda_state(b)->tensor, cuda_stream(b), dw, half, half + n_dy,
                        &g));
    return true;
}
