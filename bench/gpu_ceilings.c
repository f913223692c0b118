/*
 * What this card reaches: copy, read-only stream, dense bf16 products (cuBLAS, and the
 * project's own). Measured in every run, since all shares below refer to them.
 */
#include "bench/gpu_bench.h"
#include "bench/gpu_model.h"

enum { CUBE = 8192 };

struct copy {
    struct backend *b;
    char *to, *from;
    size_t bytes;
};

static void run_copy(void *arg)
{
    struct copy *const c = arg;
    c->b->copy(c->b, c->to, c->from, c->bytes);
}

static int memory_rates(struct gpu_bench *g)
{
    struct backend *const b = &g->exact;
    const size_t bytes = (size_t)2 << 30;
    struct copy c = {.b = b, .bytes = bytes};
    void *p = NULL;
    TRY(b->reserve(b, &p, 2 * bytes, "copy"));
    c.from = p;
    c.to = c.from + bytes;
    gpu_fill(p, DTYPE_F32, (int64_t)(2 * bytes / 4), 1.0f, 1);
    g->copy_bytes = 2e3 * (double)bytes / gpu_time_ms(b, run_copy, &c, 11, 0.2);
    g->read_bytes = gpu_read_rate(p, 2 * bytes, 7);
    b->release(b, p, 2 * bytes);
    gpu_report(g, &(struct gpu_result){.name = "copy",
                                       .value = 1e-9 * g->copy_bytes,
                                       .unit = "GB/s",
                                       .detail = "2 GiB, bytes read + bytes written"});
    gpu_report(g, &(struct gpu_result){.name = "read",
                                       .value = 1e-9 * g->read_bytes,
                                       .unit = "GB/s",
                                       .share = g->read_bytes / g->copy_bytes,
                                       .of = "copy",
                                       .detail = "4 GiB, best pass"});
    return STATUS_OK;
}

struct cube {
    struct backend *b;
    struct weight w;
    float *x, *y;
};

static void run_cube(void *arg)
{
    struct cube *const c = arg;
    c->b->gemm_fwd(c->b, c->y, rows_f32(c->x), &c->w, NULL, CUBE);
}

/* fp32 rows as the model has them: the rounding of x to bf16 is in the time */
static int own_product(struct gpu_bench *g, struct backend *b, double *rate_out)
{
    const size_t n = (size_t)CUBE * CUBE;
    void *p = NULL;
    TRY(b->reserve(b, &p, n * 10, "product"));
    struct cube c = {.b = b, .x = p, .y = (float *)p + n};
    void *const w = c.y + n;
    gpu_fill(c.x, DTYPE_F32, (int64_t)n, 1.0f, 2);
    gpu_fill(w, DTYPE_BF16, (int64_t)n, 1.0f, 3);
    c.w = (struct weight){w, DTYPE_BF16, WEIGHT_PLAIN, 1, CUBE, CUBE};
    const double ms = gpu_time_ms(b, run_cube, &c, 11, g->is_quick ? 0.3 : 1.0);
    b->release(b, p, n * 10);
    *rate_out = 2e3 * (double)n * CUBE / ms;
    return STATUS_OK;
}

int gpu_part_ceilings(struct gpu_bench *g)
{
    const char *why = NULL;
    double own = 0;
    TRY(memory_rates(g));
    const double cublas = gpu_cublas_rate(CUBE, g->is_quick ? 11 : 31, &why);
    if (g->has_tensor)
        TRY(own_product(g, &g->tensor, &own));
    g->peak_flops = cublas > own ? cublas : own;
    if (cublas > 0)
        gpu_report(g, &(struct gpu_result){.name = "product 8192^3 cuBLAS",
                                           .value = 1e-12 * cublas,
                                           .unit = "TFLOP/s",
                                           .detail = "bf16, fp32 sums and results"});
    else
        gpu_skip(g, "product 8192^3 cuBLAS", why);
    if (own > 0)
        gpu_report(g, &(struct gpu_result){.name = "product 8192^3 own",
                                           .value = 1e-12 * own,
                                           .unit = "TFLOP/s",
                                           .share = own / g->peak_flops,
                                           .of = "bf16 peak",
                                           .detail = "rounding of fp32 rows included"});
    else
        gpu_skip(g, "product 8192^3 own", "no tensor-core products in this build");
    return STATUS_OK;
}
