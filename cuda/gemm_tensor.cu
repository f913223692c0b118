/*
 * Entry points of the tensor-core products: device limits, the choice of a plan, and
 * the hand-over to one of the two kernels.
 */
#include "cuda/gemm_tensor.h"

#include <cuda_runtime.h>
#include <stdlib.h>

#include "cuda/gemm_tensor_job.cuh"

struct gemm_tensor {
    struct gemm_device device;
    void *encode_tiled; /* cuTensorMapEncodeTiled; NULL: no wgmma here */
    bool only_mma;
};

static int cuda_status(cudaError_t e, const char *what)
{
    return e == cudaSuccess ? 0
                            : ERR(ERR_DEVICE, "%s: %s", what, cudaGetErrorString(e));
}

static int read_device(struct gemm_device *d)
{
    int id = 0, bytes = 0;
    TRY(cuda_status(cudaGetDevice(&id), "current device"));
    TRY(cuda_status(
        cudaDeviceGetAttribute(&d->cc_major, cudaDevAttrComputeCapabilityMajor, id),
        "compute capability"));
    TRY(cuda_status(
        cudaDeviceGetAttribute(&d->cc_minor, cudaDevAttrComputeCapabilityMinor, id),
        "compute capability"));
    TRY(cuda_status(
        cudaDeviceGetAttribute(&d->n_sms, cudaDevAttrMultiProcessorCount, id),
        "multiprocessor count"));
    TRY(cuda_status(
        cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, id),
        "shared memory"));
    d->smem_bytes = bytes;
    if (d->cc_major < 8)
        return ERR(
            ERR_DEVICE,
            "the GPU has compute capability %d.%d; bf16 tensor cores need 8.0 or "
            "later",
            d->cc_major, d->cc_minor);
    return 0;
}

/* The driver's encoder, found at run time: nothing links against libcuda. */
static int find_encoder(struct gemm_tensor *t)
{
    if (t->device.cc_major != 9 || t->device.cc_minor != 0)
        return 0;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    TRY(cuda_status(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled",
                                                     &t->encode_tiled, 12000,
                                                     cudaEnableDefault, &found),
                    "cuTensorMapEncodeTiled"));
    if (found != cudaDriverEntryPointSuccess)
        t->encode_tiled = NULL;
    return 0;
}

int gemm_tensor_create(struct gemm_tensor **out)
{
    struct gemm_tensor t = {};
    TRY(read_device(&t.device));
    TRY(find_encoder(&t));
    TRY(gemm_tensor_prepare_mma(&t.device));
    if (t.encode_tiled != NULL)
        TRY(gemm_tensor_prepare_wgmma(&t.device));
    struct gemm_tensor *const p = (struct gemm_tensor *)malloc(sizeof(*p));
    if (p == NULL)
        return ERR(ERR_MEMORY, "%zu bytes", sizeof(*p));
    *p = t;
    *out = p;
    return 0;
}

void gemm_tensor_free(struct gemm_tensor *t) { free(t); }

int gemm_tensor_force(struct gemm_tensor *t, enum gemm_kernel kernel)
{
    if (kernel == GEMM_KERNEL_WGMMA && t->encode_tiled == NULL)
        return ERR(ERR_CONFIG, "wgmma needs compute capability 9.0, this GPU has %d.%d",
                   t->device.cc_major, t->device.cc_minor);
    t->only_mma = kernel == GEMM_KERNEL_MMA;
    return 0;
}

const struct gemm_device *gemm_tensor_device(const struct gemm_tensor *t)
{
    return &t->device;
}

void *gemm_tensor_encoder(const struct gemm_tensor *t)
{
    return t->only_mma ? NULL : t->encode_tiled;
}

static bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

int gemm_tensor_run(const struct gemm_tensor *t, cudaStream_t stream,
                    const struct gemm_plan *plan, float *out, const uint16_t *a,
                    const uint16_t *b, const struct gemm_groups *g)
{
    CHECK(g->off != NULL || g->n_mats == 1, "%lld matrices without offsets",
          (long long)g->n_mats);
    if (plan->grid == 0)
        return 0;
    const int64_t ld_dy = g->ld_dy == 0 ? g->n : g->ld_dy;
    CHECK(ld_dy >= g->n && ld_dy < INT32_MAX, "rows of %lld, pitch %lld",
          (long long)g->n, (long long)ld_dy);
    const int64_t a_pitch = plan->form == GEMM_FORM_FWD ? g->k : ld_dy;
    struct gemm_job job = {};
    job.space = {plan->form,    (int32_t)g->n_mats, plan->tile_m,
                 plan->tile_n,  plan->tile_k,       (int32_t)g->n,
                 (int32_t)g->k, (int32_t)g->m,      (int32_t)ld_dy};
    job.out = out;
    job.a = a;
    job.b = b;
    job.off = g->off;
    job.n_stages = plan->n_stages;
    job.a_aligned = is_aligned(a) && a_pitch % 8 == 0;
    job.b_aligned = is_aligned(b) && g->k % 8 == 0;
    return plan->kernel == GEMM_KERNEL_MMA
               ? gemm_tensor_launch_mma(stream, plan, &job)
               : gemm_tensor_launch_wgmma(stream, plan, &job, t->encode_tiled);
}

static int run_form(const struct gemm_tensor *t, cudaStream_t stream,
                    enum gemm_form form, float *out, const uint16_t *a,
                    const uint16_t *b, const struct gemm_groups *g)
{
    const struct gemm_shape s = {g->n_mats, g->n, g->k, g->m, g->ld_dy};
    if (s.n_mats < 1 || s.n_mats > GEMM_MAX_MATS)
        return ERR(ERR_CONFIG, "%lld matrices in a product, expected 1 to %d",
                   (long long)s.n_mats, (int)GEMM_MAX_MATS);
    const bool aligned = is_aligned(out) && is_aligned(a) && is_aligned(b);
    struct gemm_plan plan;
    if (t->only_mma || t->encode_tiled == NULL)
        gemm_plan_mma(&plan, form, &s, &t->device);
    else
        gemm_plan_choose(&plan, form, &s, &t->device, aligned);
    return gemm_tensor_run(t, stream, &plan, out, a, b, g);
}

int gemm_tensor_fwd(const struct gemm_tensor *t, cudaStream_t stream, float *y,
                    const uint16_t *x, const uint16_t *w, const struct gemm_groups *g)
{
    return run_form(t, stream, GEMM_FORM_FWD, y, x, w, g);
}

int gemm_tensor_dx(const struct gemm_tensor *t, cudaStream_t stream, float *dx,
                   const uint16_t *dy, const uint16_t *w, const struct gemm_groups *g)
{
    return run_form(t, stream, GEMM_FORM_DX, dx, dy, w, g);
}

int gemm_tensor_dw(const struct gemm_tensor *t, cudaStream_t stream, float *dw,
                   const uint16_t *dy, const uint16_t *x, const struct gemm_groups *g)
{
    return run_form(t, stream, GEMM_FORM_DW, dw, dy, x, g);
}
