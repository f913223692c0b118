/* Problems, runs and references of the products' tests. */
#include "tests/cuda/gemm_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <cuda_runtime_api.h>

static const char *const group_names[] = {"even", "random", "first",
                                          "last", "ramp",   "ties"};
static const char *const form_names[] = {"fwd", "dx", "dw"};
static const char *const kernel_names[] = {"mma", "wgmma"};

static uint64_t rng_state;

static uint32_t random_bits(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng_state >> 33);
}

float gemm_random_int(void) { return (float)((int32_t)(random_bits() % 9) - 4); }

float gemm_random_real(void)
{
    return (float)((int32_t)(random_bits() & 0xffffff) - 0x800000) * 0x1p-22f;
}

static uint16_t to_bf16(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof(u));
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float gemm_from_bf16(uint16_t v)
{
    const uint32_t u = (uint32_t)v << 16;
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

static void *host_alloc(size_t n_bytes)
{
    void *const p = malloc(n_bytes + 1);
    assert_non_null(p);
    return p;
}

/* Every CUDA call passes here; a fault in a kernel shows at the next one. */
void gemm_check_cuda(int e, const char *what)
{
    if (e != (int)cudaSuccess) {
        print_message("CUDA, %s: %s\n", what, cudaGetErrorString((cudaError_t)e));
        fail();
    }
}

static void *dev_alloc(size_t n_bytes)
{
    void *p = NULL;
    gemm_check_cuda(cudaMalloc(&p, n_bytes + 16), "cudaMalloc");
    return p;
}

static void *dev_copy(const void *src, size_t n_bytes)
{
    void *const p = dev_alloc(n_bytes);
    gemm_check_cuda(cudaMemcpy(p, src, n_bytes, cudaMemcpyHostToDevice),
                    "to the device");
    return p;
}

static int64_t max3(int64_t a, int64_t b, int64_t c)
{
    const int64_t ab = a > b ? a : b;
    return ab > c ? ab : c;
}

static void set_groups(struct gemm_problem *p)
{
    const int64_t n_mats = p->shape.n_mats, m = p->shape.m;
    static const int64_t ties[] = {64, 128, 0, 192, 256, 65, 127, 1};
    int64_t at = 0;
    for (int64_t e = 0; e < n_mats; e++) {
        p->off[e] = (int32_t)at;
        const int64_t left = m - at;
        int64_t rows = 0;
        switch (p->shape.groups) {
        case GROUPS_EVEN:
            rows = m * (e + 1) / n_mats - at;
            break;
        case GROUPS_RANDOM:
            rows = random_bits() % 3 == 0 ? 0 : random_bits() % (3 * m / n_mats + 1);
            break;
        case GROUPS_FIRST:
            rows = left;
            break;
        case GROUPS_LAST:
            rows = 0;
            break;
        case GROUPS_RAMP:
            rows = m * (e + 1) / n_mats * (e + 1) / n_mats - at;
            break;
        case GROUPS_TIES:
            rows = ties[e % 8];
            break;
        }
        at += e == n_mats - 1 || rows > left ? left : rows;
    }
    p->off[n_mats] = (int32_t)m;
}

static uint16_t *random_bf16(int64_t n, float (*value)(void))
{
    uint16_t *const p = host_alloc((size_t)n * 2);
    for (int64_t i = 0; i < n; i++)
        p[i] = to_bf16(value());
    return p;
}

void gemm_problem_init(struct gemm_problem *p, const struct gemm_case *c,
                       float (*value)(void))
{
    *p = (struct gemm_problem){.shape = *c};
    rng_state = GEMM_SEED + (uint64_t)(c->n * 1000003 + c->k * 1009 + c->m);
    p->n_x = c->m * c->k;
    if (c->ld_dy == 0)
        p->shape.ld_dy = c->n;
    const int64_t ld = p->shape.ld_dy;
    p->n_y = c->m * c->n;
    p->n_dy = c->m * ld;
    p->n_w = c->n_mats * c->n * c->k;
    p->x = random_bf16(p->n_x, value);
    p->dy = random_bf16(p->n_dy, value);
    for (int64_t i = 0; i < p->n_dy; i++)
        p->dy[i] = i % ld < c->n ? p->dy[i] : 0x7fff;
    p->w = random_bf16(p->n_w, value);
    p->dw_start = host_alloc((size_t)p->n_w * 4);
    for (int64_t i = 0; i < p->n_w; i++)
        p->dw_start[i] = value();
    set_groups(p);
    gemm_problem_upload(p);
    p->dev_out = dev_alloc((size_t)(max3(p->n_x, p->n_y, p->n_w) + 2 * GEMM_GUARD) * 4);
}

void gemm_problem_release(struct gemm_problem *p)
{
    free(p->x);
    free(p->dy);
    free(p->w);
    free(p->dw_start);
    cudaFree(p->dev_x);
    cudaFree(p->dev_dy);
    cudaFree(p->dev_w);
    cudaFree(p->dev_off);
    cudaFree(p->dev_out);
}

int64_t gemm_out_elems(const struct gemm_problem *p, enum gemm_form form)
{
    return form == GEMM_FORM_FWD ? p->n_y : form == GEMM_FORM_DX ? p->n_x : p->n_w;
}

struct gemm_case gemm_case_fit(const struct gemm_case *c)
{
    static const int64_t most = 120000000;
    struct cudaDeviceProp prop;
    struct gemm_case fit = *c;
    if (cudaGetDeviceProperties(&prop, 0) == cudaSuccess &&
        strncmp(prop.name, "PTX emulator", 12) == 0 && c->m > most / (c->n * c->k))
        fit.m = most / (c->n * c->k);
    return fit;
}

/* NULL where the machine has no usable GPU */
struct gemm_tensor *gemm_open_gpu(enum gemm_kernel kernel)
{
    struct gemm_tensor *t = NULL;
    int n = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess || n == 0)
        return NULL;
    if (gemm_tensor_create(&t) != 0 || gemm_tensor_force(t, kernel) != 0) {
        print_message("%s\n", status_message());
        gemm_tensor_free(t);
        return NULL;
    }
    return t;
}

void gemm_case_plan(struct gemm_plan *plan, const struct gemm_tensor *t,
                    const struct gemm_problem *p, enum gemm_form form,
                    enum gemm_kernel kernel, int tile)
{
    const struct gemm_shape s = {p->shape.n_mats, p->shape.n, p->shape.k, p->shape.m,
                                 p->shape.ld_dy};
    if (kernel == GEMM_KERNEL_MMA)
        gemm_plan_mma(plan, form, &s, gemm_tensor_device(t));
    else
        gemm_plan_wgmma(plan, form, &s, gemm_tensor_device(t),
                        (enum gemm_wgmma_tile)tile);
}

float *gemm_case_run(const struct gemm_tensor *t, const struct gemm_problem *p,
                     const struct gemm_plan *plan)
{
    const int64_t n = gemm_out_elems(p, plan->form), n_all = n + 2 * GEMM_GUARD;
    float *const got = host_alloc((size_t)n_all * 4);
    const struct gemm_groups g = {
        p->shape.n_mats, p->shape.n,
        p->shape.k,      p->shape.n_mats == 1 ? NULL : p->dev_off,
        p->shape.m,      p->shape.ld_dy};
    float *const out = p->dev_out + GEMM_GUARD;
    gemm_check_cuda(cudaMemset(p->dev_out, GEMM_POISON, (size_t)n_all * 4), "poison");
    if (plan->form == GEMM_FORM_DW)
        gemm_check_cuda(
            cudaMemcpy(out, p->dw_start, (size_t)n * 4, cudaMemcpyHostToDevice),
            "dw's start");
    const bool is_dw = plan->form == GEMM_FORM_DW;
    const int status = gemm_tensor_run(
        t, NULL, plan, out, plan->form == GEMM_FORM_FWD ? p->dev_x : p->dev_dy,
        is_dw ? p->dev_x : p->dev_w, &g);
    if (status != 0)
        print_message("%s\n", status_message());
    assert_int_equal(status, 0);
    gemm_check_cuda(cudaDeviceSynchronize(), "the kernel");
    gemm_check_cuda(
        cudaMemcpy(got, p->dev_out, (size_t)n_all * 4, cudaMemcpyDeviceToHost),
        "the result");
    return got;
}

static int32_t mat_of_row(const struct gemm_problem *p, int64_t row)
{
    int32_t e = 0;
    while (p->off[e + 1] <= row)
        e++;
    return e;
}

/* out (n_rows, n_cols) += a b^T in integers, a (n_rows, n), b (n_cols, n) */
static void int_product(int32_t *out, const int16_t *a, const int16_t *b,
                        int64_t n_rows, int64_t n_cols, int64_t n)
{
#pragma omp parallel for schedule(dynamic)
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t c = 0; c < n_cols; c++) {
            int32_t sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += a[r * n + i] * b[c * n + i];
            out[r * n_cols + c] += sum;
        }
}

/* values of a (height, width) bf16 matrix of this pitch as integers, transposed if
 * asked
 */
static int16_t *to_ints(const uint16_t *p, int64_t height, int64_t width, int64_t pitch,
                        bool transpose)
{
    int16_t *const out = host_alloc((size_t)(height * width) * 2);
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++)
            out[transpose ? j * height + i : i * width + j] = (int16_t)gemm_from_bf16(
                p[i * pitch + j]);
    return out;
}

/* The result in integers: one group at a time as a product of two K-major matrices. */
int32_t *gemm_int_result(const struct gemm_problem *p, enum gemm_form form)
{
    const int64_t n = p->shape.n, k = p->shape.k, ld = p->shape.ld_dy;
    const int64_t n_out = gemm_out_elems(p, form);
    int32_t *const out = host_alloc((size_t)n_out * 4);
    for (int64_t i = 0; i < n_out; i++)
        out[i] = form == GEMM_FORM_DW ? (int32_t)p->dw_start[i] : 0;
    for (int64_t e = 0; e < p->shape.n_mats; e++) {
        const int64_t r0 = p->off[e], rows = p->off[e + 1] - r0;
        const bool is_dw = form == GEMM_FORM_DW, is_fwd = form == GEMM_FORM_FWD;
        if (rows == 0)
            continue;
        int16_t *const a = is_fwd ? to_ints(p->x + r0 * k, rows, k, k, false)
                                  : to_ints(p->dy + r0 * ld, rows, n, ld, is_dw);
        int16_t *const b = is_dw ? to_ints(p->x + r0 * k, rows, k, k, true)
                                 : to_ints(p->w + e * n * k, n, k, k, !is_fwd);
        if (is_dw)
            int_product(out + e * n * k, a, b, n, k, rows);
        else if (is_fwd)
            int_product(out + r0 * n, a, b, rows, n, k);
        else
            int_product(out + r0 * k, a, b, rows, k, n);
        free(a);
        free(b);
    }
    return out;
}

/* Where a wrong element lies, for a reader without the machine. */
void gemm_report(const struct gemm_problem *p, const struct gemm_plan *plan,
                 const char *what, const struct gemm_mismatch *bad)
{
    const int64_t cols = plan->form == GEMM_FORM_FWD ? p->shape.n : p->shape.k;
    const int64_t row = bad->first / cols, col = bad->first % cols;
    const bool is_dw = plan->form == GEMM_FORM_DW;
    const int64_t mat = is_dw ? row / p->shape.n : mat_of_row(p, row);
    const int64_t in_mat = row - (is_dw ? mat * p->shape.n : p->off[mat]);
    print_message("FAILED %s: %s %s tile %dx%d, E %lld n %lld k %lld m %lld "
                  "%s: %lld of "
                  "%lld wrong (%lld NaN); first at matrix %lld (%d rows) row %lld col "
                  "%lld (in tile: %lld, %lld): got %.9g, expected %.9g\n",
                  what, kernel_names[plan->kernel], form_names[plan->form],
                  (int)plan->tile_m, (int)plan->tile_n, (long long)p->shape.n_mats,
                  (long long)p->shape.n, (long long)p->shape.k, (long long)p->shape.m,
                  group_names[p->shape.groups], (long long)bad->n_wrong,
                  (long long)gemm_out_elems(p, plan->form), (long long)bad->n_nan,
                  (long long)mat, (int)(p->off[mat + 1] - p->off[mat]),
                  (long long)in_mat, (long long)col, (long long)(in_mat % plan->tile_m),
                  (long long)(col % plan->tile_n), bad->got, bad->want);
}

void gemm_note(struct gemm_mismatch *bad, int64_t i, double got, double want)
{
    if (bad->n_wrong == 0) {
        bad->first = i;
        bad->got = got;
        bad->want = want;
    }
    bad->n_wrong++;
    bad->n_nan += isnan(got) ? 1 : 0;
}

/* Nothing outside the output was written; poison stays where no result belongs. */
bool gemm_guards_intact(const float *got, int64_t n)
{
    const uint8_t *const p = (const uint8_t *)got;
    const int64_t end = (GEMM_GUARD + n) * 4;
    bool intact = true;
    for (int64_t i = 0; i < GEMM_GUARD * 4; i++)
        intact = intact && p[i] == GEMM_POISON && p[end + i] == GEMM_POISON;
    if (!intact)
        print_message("FAILED: written outside the output\n");
    return intact;
}

bool gemm_same_bits(const struct gemm_problem *p, const struct gemm_plan *plan,
                    const char *what, const float *got, const float *want)
{
    const int64_t n = gemm_out_elems(p, plan->form);
    struct gemm_mismatch bad = {0};
    for (int64_t i = 0; i < n; i++)
        if (memcmp(got + GEMM_GUARD + i, want + GEMM_GUARD + i, 4) != 0)
            gemm_note(&bad, i, (double)got[GEMM_GUARD + i],
                      (double)want[GEMM_GUARD + i]);
    if (bad.n_wrong > 0)
        gemm_report(p, plan, what, &bad);
    return bad.n_wrong == 0;
}

void gemm_problem_upload(struct gemm_problem *p)
{
    cudaFree(p->dev_x);
    cudaFree(p->dev_dy);
    cudaFree(p->dev_w);
    cudaFree(p->dev_off);
    p->dev_x = dev_copy(p->x, (size_t)p->n_x * 2);
    p->dev_dy = dev_copy(p->dy, (size_t)p->n_dy * 2);
    p->dev_w = dev_copy(p->w, (size_t)p->n_w * 2);
    p->dev_off = dev_copy(p->off, (size_t)(p->shape.n_mats + 1) * 4);
}

float *gemm_case_run_rows(const struct gemm_tensor *t, const struct gemm_problem *p,
                          enum gemm_form form, int64_t mat, int64_t r0, int64_t m)
{
    const int64_t n = p->shape.n, k = p->shape.k;
    const int64_t n_out = form == GEMM_FORM_FWD  ? m * n
                          : form == GEMM_FORM_DX ? m * k
                                                 : n * k;
    const int64_t n_all = n_out + 2 * GEMM_GUARD;
    const struct gemm_groups g = {1, n, k, NULL, m, p->shape.ld_dy};
    const uint16_t *const x = p->dev_x + r0 * k, *const dy = p->dev_dy +
                                                             r0 * p->shape.ld_dy;
    const uint16_t *const w = p->dev_w + mat * n * k;
    float *const out = p->dev_out + GEMM_GUARD;
    float *const got = host_alloc((size_t)n_all * 4);
    gemm_check_cuda(cudaMemset(p->dev_out, GEMM_POISON, (size_t)n_all * 4), "poison");
    int status = 0;
    switch (form) {
    case GEMM_FORM_FWD:
        status = gemm_tensor_fwd(t, NULL, out, x, w, &g);
        break;
    case GEMM_FORM_DX:
        status = gemm_tensor_dx(t, NULL, out, dy, w, &g);
        break;
    case GEMM_FORM_DW:
        gemm_check_cuda(cudaMemcpy(out, p->dw_start + mat * n * k, (size_t)n_out * 4,
                                   cudaMemcpyHostToDevice),
                        "dw's start");
        status = gemm_tensor_dw(t, NULL, out, dy, x, &g);
        break;
    }
    assert_int_equal(status, 0);
    gemm_check_cuda(cudaDeviceSynchronize(), "the kernel");
    gemm_check_cuda(
        cudaMemcpy(got, p->dev_out, (size_t)n_all * 4, cudaMemcpyDeviceToHost),
        "the result");
    return got;
}
