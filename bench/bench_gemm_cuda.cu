/*
 * The grouped tensor-core products on the shapes of the sparse models that this engine
 * trains (d 1024, expert ffn 2048, 24000 tokens to 2 of E experts, uneven loads) and
 * on their dense ones: TFLOP/s, share of the dense bf16 rate that cublasLt reaches at
 * 8192^3 in the same run, and a loop of cublasLt calls over the experts on the same
 * data (loaded at run time where the machine has it; its heuristics' first choice).
 * Medians of event-timed calls on random data, two buffer sets in turn.
 * Usage: bench_gemm_cuda [plan|mma|tiles] [n_reps]: the chosen plan alone, the portable
 * kernel too, or every tile of the wgmma kernel too.
 */
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "cuda/gemm_tensor.h"

namespace
{

enum { MAX_MATS = 256, N_SETS = 2, MAX_REPS = 64, N_FORMS = 3 };
const size_t workspace_bytes = 64u << 20;
const char *const form_names[N_FORMS] = {"fwd", "dx", "dw"};

struct lt {
    cublasLtHandle_t handle; /* NULL: not found */
    void *workspace;
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtMatmul) matmul;
    decltype(&cublasLtMatmulDescCreate) desc_create;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy;
    decltype(&cublasLtMatrixLayoutCreate) layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) pref_create;
    decltype(&cublasLtMatmulPreferenceSetAttribute) pref_set;
    decltype(&cublasLtMatmulPreferenceDestroy) pref_destroy;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
};

struct lt_call {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algo;
    int64_t a_at, b_at, d_at; /* first elements */
};

struct shape {
    const char *name;
    int64_t n_mats, n, k, m, ld_dy;
};

struct bench {
    struct gemm_tensor *gemm;
    struct lt lt;
    double peak; /* FLOP/s; 0: unknown */
    int n_reps, choice;
    int32_t off[MAX_MATS + 1];
    int32_t *dev_off;
    uint16_t *x[N_SETS], *dy[N_SETS], *w[N_SETS];
    float *out[N_SETS];
    struct lt_call calls[MAX_MATS];
    int64_t n_calls;
};

void check(cudaError_t e, const char *what)
{
    if (e != cudaSuccess) {
        fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(e));
        exit(1);
    }
}

void check_status(int status)
{
    if (status != 0) {
        fprintf(stderr, "%s\n", status_message());
        exit(1);
    }
}

void check_lt(cublasStatus_t s, const char *what)
{
    if (s != CUBLAS_STATUS_SUCCESS) {
        fprintf(stderr, "cublasLt, %s: status %d\n", what, (int)s);
        exit(1);
    }
}

/* bf16 in (-1, 1) from a hash of the index: no zeros in bulk, full toggling */
__global__ void k_fill(uint16_t *p, int64_t n, uint32_t seed)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        uint32_t h = (uint32_t)i * 2654435761u + seed;
        h ^= h >> 16;
        h *= 2246822519u;
        h ^= h >> 13;
        h *= 3266489917u;
        const float v = (float)(int32_t)h * 0x1p-31f;
        p[i] = (uint16_t)(__float_as_uint(v) >> 16);
    }
}

uint16_t *random_bf16(int64_t n, uint32_t seed)
{
    uint16_t *p = NULL;
    check(cudaMalloc((void **)&p, (size_t)n * 2), "cudaMalloc");
    k_fill<<<1024, 256>>>(p, n, seed);
    check(cudaGetLastError(), "fill");
    return p;
}

template <class F> void resolve(void *lib, const char *name, F *out)
{
    void *const p = dlsym(lib, name);
    if (p == NULL) {
        fprintf(stderr, "%s: %s\n", name, dlerror());
        exit(1);
    }
    memcpy((void *)out, (void *)&p, sizeof(p));
}

void open_lt(struct lt *lt)
{
    void *lib = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL)
        lib = dlopen("libcublasLt.so", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL) {
        printf("cublasLt not found: %s\n", dlerror());
        return;
    }
    resolve(lib, "cublasLtCreate", &lt->create);
    resolve(lib, "cublasLtMatmul", &lt->matmul);
    resolve(lib, "cublasLtMatmulDescCreate", &lt->desc_create);
    resolve(lib, "cublasLtMatmulDescSetAttribute", &lt->desc_set);
    resolve(lib, "cublasLtMatmulDescDestroy", &lt->desc_destroy);
    resolve(lib, "cublasLtMatrixLayoutCreate", &lt->layout_create);
    resolve(lib, "cublasLtMatrixLayoutDestroy", &lt->layout_destroy);
    resolve(lib, "cublasLtMatmulPreferenceCreate", &lt->pref_create);
    resolve(lib, "cublasLtMatmulPreferenceSetAttribute", &lt->pref_set);
    resolve(lib, "cublasLtMatmulPreferenceDestroy", &lt->pref_destroy);
    resolve(lib, "cublasLtMatmulAlgoGetHeuristic", &lt->heuristic);
    check_lt(lt->create(&lt->handle), "create");
    check(cudaMalloc(&lt->workspace, workspace_bytes), "workspace");
}

/* Column-major d (rows, cols) (+)= op(a) op(b) over `inner`; our row-major matrices
 * read as their transposes. */
struct lt_dims {
    int64_t rows, cols, inner, ld_b;
    bool trans_a, trans_b;
};

void plan_lt(const struct lt *lt, struct lt_call *c, const struct lt_dims *s)
{
    const cublasOperation_t op_a = s->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t op_b = s->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int64_t a_rows = s->trans_a ? s->inner : s->rows;
    const int64_t a_cols = s->trans_a ? s->rows : s->inner;
    const int64_t b_rows = s->trans_b ? s->cols : s->inner;
    const int64_t b_cols = s->trans_b ? s->inner : s->cols;
    cublasLtMatmulPreference_t pref;
    cublasLtMatmulHeuristicResult_t found;
    int n_found = 0;
    check_lt(lt->desc_create(&c->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "desc");
    lt->desc_set(c->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof(op_a));
    lt->desc_set(c->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof(op_b));
    check_lt(lt->layout_create(&c->a, CUDA_R_16BF, a_rows, a_cols, a_rows), "a");
    check_lt(lt->layout_create(&c->b, CUDA_R_16BF, b_rows, b_cols, s->ld_b), "b");
    check_lt(lt->layout_create(&c->d, CUDA_R_32F, s->rows, s->cols, s->rows), "d");
    check_lt(lt->pref_create(&pref), "preference");
    lt->pref_set(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                 sizeof(workspace_bytes));
    check_lt(lt->heuristic(lt->handle, c->desc, c->a, c->b, c->d, c->d, pref, 1, &found,
                           &n_found),
             "heuristic");
    lt->pref_destroy(pref);
    c->algo = found.algo;
}

void drop_lt(struct bench *s)
{
    for (int64_t i = 0; i < s->n_calls; i++) {
        s->lt.desc_destroy(s->calls[i].desc);
        s->lt.layout_destroy(s->calls[i].a);
        s->lt.layout_destroy(s->calls[i].b);
        s->lt.layout_destroy(s->calls[i].d);
    }
    s->n_calls = 0;
}

void prepare_lt(struct bench *s, const struct shape *p, enum gemm_form form)
{
    for (int64_t e = 0; e < p->n_mats; e++) {
        const int64_t r0 = s->off[e], rows = s->off[e + 1] - r0;
        if (rows == 0)
            continue;
        struct lt_call *const c = &s->calls[s->n_calls++];
        const int64_t x = r0 * p->k, dy = r0 * p->ld_dy, w = e * p->n * p->k;
        const struct lt_dims dims =
            form == GEMM_FORM_FWD  ? lt_dims{p->n, rows, p->k, p->k, true, false}
            : form == GEMM_FORM_DX ? lt_dims{p->k, rows, p->n, p->ld_dy, false, false}
                                   : lt_dims{p->k, p->n, rows, p->ld_dy, false, true};
        plan_lt(&s->lt, c, &dims);
        c->a_at = form == GEMM_FORM_DW ? x : w;
        c->b_at = form == GEMM_FORM_FWD ? x : dy;
        c->d_at = form == GEMM_FORM_FWD ? r0 * p->n : form == GEMM_FORM_DX ? x : w;
    }
}

void run_lt(struct bench *s, const struct shape *p, enum gemm_form form, int set)
{
    (void)p;
    const float one = 1, beta = form == GEMM_FORM_DW ? 1.0f : 0.0f;
    const uint16_t *const a = form == GEMM_FORM_DW ? s->x[set] : s->w[set];
    const uint16_t *const b = form == GEMM_FORM_FWD ? s->x[set] : s->dy[set];
    for (int64_t i = 0; i < s->n_calls; i++) {
        const struct lt_call *const c = &s->calls[i];
        float *const d = s->out[set] + c->d_at;
        check_lt(s->lt.matmul(s->lt.handle, c->desc, &one, a + c->a_at, c->a,
                              b + c->b_at, c->b, &beta, d, c->d, d, c->d, &c->algo,
                              s->lt.workspace, workspace_bytes, NULL),
                 "matmul");
    }
}

typedef void (*run_fn)(struct bench *, const struct shape *, enum gemm_form, int set);

int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* median seconds of a call */
double measure(struct bench *s, run_fn run, const struct shape *p, enum gemm_form form)
{
    cudaEvent_t from[MAX_REPS], to[MAX_REPS];
    float ms[MAX_REPS];
    for (int i = 0; i < 3; i++)
        run(s, p, form, i % N_SETS);
    for (int i = 0; i < s->n_reps; i++) {
        check(cudaEventCreate(&from[i]), "event");
        check(cudaEventCreate(&to[i]), "event");
        check(cudaEventRecord(from[i], NULL), "event");
        run(s, p, form, i % N_SETS);
        check(cudaEventRecord(to[i], NULL), "event");
    }
    check(cudaDeviceSynchronize(), "the kernel");
    for (int i = 0; i < s->n_reps; i++) {
        check(cudaEventElapsedTime(&ms[i], from[i], to[i]), "event");
        cudaEventDestroy(from[i]);
        cudaEventDestroy(to[i]);
    }
    qsort(ms, (size_t)s->n_reps, sizeof(ms[0]), compare_floats);
    return (double)ms[s->n_reps / 2] * 1e-3;
}

/* loads between about 0.5 and 1.5 of the mean, in no order */
void set_loads(struct bench *s, const struct shape *p)
{
    int64_t weights[MAX_MATS], sum = 0, before = 0;
    for (int64_t e = 0; e < p->n_mats; e++) {
        weights[e] = 50 + e * 37 % 101;
        sum += weights[e];
    }
    for (int64_t e = 0; e < p->n_mats; e++) {
        s->off[e] = (int32_t)(p->m * before / sum);
        before += weights[e];
    }
    s->off[p->n_mats] = (int32_t)p->m;
    check(cudaMemcpy(s->dev_off, s->off, sizeof(s->off), cudaMemcpyHostToDevice),
          "offsets");
}

void allocate(struct bench *s, const struct shape *p)
{
    const int64_t n_x = p->m * p->k, n_dy = p->m * p->ld_dy,
                  n_w = p->n_mats * p->n * p->k;
    const int64_t xy = n_x > n_dy ? n_x : n_dy, n_out = xy > n_w ? xy : n_w;
    for (int i = 0; i < N_SETS; i++) {
        s->x[i] = random_bf16(n_x, 1u + (uint32_t)i);
        s->dy[i] = random_bf16(n_dy, 11u + (uint32_t)i);
        s->w[i] = random_bf16(n_w, 21u + (uint32_t)i);
        check(cudaMalloc((void **)&s->out[i], (size_t)n_out * 4), "cudaMalloc");
        check(cudaMemset(s->out[i], 0, (size_t)n_out * 4), "cudaMemset");
    }
}

void release(struct bench *s)
{
    for (int i = 0; i < N_SETS; i++) {
        cudaFree(s->x[i]);
        cudaFree(s->dy[i]);
        cudaFree(s->w[i]);
        cudaFree(s->out[i]);
    }
}

/* Which of the plan's choices to take. */
enum choice { CHOICE_PLAN, CHOICE_MMA, CHOICE_TILES /* + enum gemm_wgmma_tile */ };
const char *const choice_names[] = {"plan", "mma", "128x256", "64x256", "64x64"};

void run_own(struct bench *s, const struct shape *p, enum gemm_form form, int set)
{
    const struct gemm_groups g = {
        p->n_mats, p->n, p->k, p->n_mats == 1 ? NULL : s->dev_off, p->m, p->ld_dy};
    const struct gemm_shape shape = {p->n_mats, p->n, p->k, p->m, p->ld_dy};
    const struct gemm_device *const device = gemm_tensor_device(s->gemm);
    struct gemm_plan plan;
    if (s->choice == CHOICE_PLAN)
        gemm_plan_choose(&plan, form, &shape, device, true);
    else if (s->choice == CHOICE_MMA)
        gemm_plan_mma(&plan, form, &shape, device);
    else
        gemm_plan_wgmma(&plan, form, &shape, device,
                        (enum gemm_wgmma_tile)(s->choice - CHOICE_TILES));
    check_status(gemm_tensor_run(s->gemm, NULL, &plan, s->out[set],
                                 form == GEMM_FORM_FWD ? s->x[set] : s->dy[set],
                                 form == GEMM_FORM_DW ? s->x[set] : s->w[set], &g));
}

void print_line(struct bench *s, const struct shape *p, enum gemm_form form, int choice,
                double lt_s)
{
    const double flops = 2.0 * (double)p->m * (double)p->n * (double)p->k;
    s->choice = choice;
    const double own = measure(s, run_own, p, form);
    printf("%-18s %4lld %5lld %-3s %-12s %8.1f us %6.1f TFLOP/s", p->name,
           (long long)p->n_mats, (long long)(p->m / p->n_mats), form_names[form],
           choice_names[choice], own * 1e6, flops / own * 1e-12);
    if (s->peak > 0)
        printf(" %5.3f of peak", flops / own / s->peak);
    if (lt_s > 0)
        printf(" cublasLt %6.1f ratio %5.2f", flops / lt_s * 1e-12, lt_s / own);
    if (p->m / p->n_mats < 64)
        printf(" weights %6.1f GB/s",
               2e-9 * (double)p->n_mats * (double)p->n * (double)p->k / own);
    printf("\n");
    fflush(stdout);
}

void run_shape(struct bench *s, const struct shape *p, const char *what)
{
    const bool is_hopper = gemm_tensor_device(s->gemm)->cc_major == 9;
    set_loads(s, p);
    allocate(s, p);
    for (int f = GEMM_FORM_FWD; f < N_FORMS; f++) {
        const enum gemm_form form = (enum gemm_form)f;
        const int n_tiles = GEMM_N_TILES; /* of the wgmma kernel */
        double lt_s = 0;
        if (s->lt.handle != NULL) {
            prepare_lt(s, p, form);
            lt_s = measure(s, run_lt, p, form);
            drop_lt(s);
        }
        print_line(s, p, form, CHOICE_PLAN, lt_s);
        if (strcmp(what, "mma") == 0)
            print_line(s, p, form, CHOICE_MMA, lt_s);
        for (int i = 0; is_hopper && strcmp(what, "tiles") == 0 && i < n_tiles; i++)
            print_line(s, p, form, CHOICE_TILES + i, lt_s);
    }
    release(s);
}

void measure_peak(struct bench *s)
{
    const struct shape cube = {"8192^3", 1, 8192, 8192, 8192, 8192};
    set_loads(s, &cube);
    allocate(s, &cube);
    if (s->lt.handle != NULL) {
        prepare_lt(s, &cube, GEMM_FORM_FWD);
        s->peak = 2.0 * 8192.0 * 8192.0 * 8192.0 /
                  measure(s, run_lt, &cube, GEMM_FORM_FWD);
        drop_lt(s);
        printf("peak: cublasLt 8192^3, fp32 output: %.1f TFLOP/s\n", s->peak * 1e-12);
    }
    for (int f = GEMM_FORM_FWD; f < N_FORMS; f++)
        print_line(s, &cube, (enum gemm_form)f, CHOICE_PLAN, 0);
    release(s);
}

} // namespace

int main(int argc, char **argv)
{
    static const struct shape shapes[] = {
        {"E16 gate_up", 16, 4096, 1024, 48000, 4096},
        {"E16 down", 16, 1024, 2048, 48000, 1024},
        {"E64 gate_up", 64, 4096, 1024, 48000, 4096},
        {"E64 down", 64, 1024, 2048, 48000, 1024},
        {"E16 gate_up 1024", 16, 4096, 1024, 16384, 4096},
        {"E16 down 1024", 16, 1024, 2048, 16384, 1024},
        {"E256 gate_up", 256, 4096, 1024, 48000, 4096},
        {"E256 down", 256, 1024, 2048, 48000, 1024},
        {"E128 gate_up", 128, 4096, 1024, 48000, 4096},
        {"dense qkv", 1, 3072, 1024, 24000, 3072},
        {"dense o", 1, 1024, 1024, 24000, 1024},
        {"head", 1, 99584, 1024, 2048, 99584},
        {"head 99574", 1, 99574, 1024, 2048, 99576},
        {"decode E16 gate_up", 16, 4096, 1024, 128, 4096},
        {"decode E64 gate_up", 64, 4096, 1024, 128, 4096},
        {"decode E64 down", 64, 1024, 2048, 128, 1024},
        {"decode qkv", 1, 3072, 1024, 64, 3072},
    };
    static struct bench s;
    const char *const what = argc > 1 ? argv[1] : "plan";
    s.n_reps = argc > 2 ? atoi(argv[2]) : 15;
    s.n_reps = s.n_reps < 1 ? 1 : s.n_reps > MAX_REPS ? MAX_REPS : s.n_reps;
    int n_devices = 0;
    if (cudaGetDeviceCount(&n_devices) != cudaSuccess || n_devices == 0) {
        printf("skipped: no GPU\n");
        return 77;
    }
    struct cudaDeviceProp prop;
    check(cudaGetDeviceProperties(&prop, 0), "device");
    printf("%s, %d SMs, compute capability %d.%d\n", prop.name,
           prop.multiProcessorCount, prop.major, prop.minor);
    if (gemm_tensor_create(&s.gemm) != 0) {
        printf("skipped: %s\n", status_message());
        return 77;
    }
    check(cudaMalloc((void **)&s.dev_off, sizeof(s.off)), "offsets");
    open_lt(&s.lt);
    measure_peak(&s);
    printf("%-18s %4s %5s op  kernel\n", "shape", "E", "rows");
    for (const struct shape &p : shapes)
        run_shape(&s, &p, what);
    gemm_tensor_free(s.gemm);
    return 0;
}
