/*
 * The routers' product and their choice at once, for a decode step's rows in tensor
 * mode: a block has 16 rows, a warp some tiles of 8 experts over the whole reduction,
 * operands straight from memory (the weights are a few KB and stay in the caches); then
 * a warp takes a row's logits. mma.sync m16n8k16, steps ascending, as
 * gemm_tensor_mma.cu has them, which makes the product of so few columns elsewhere
 * (gemm_plan.h): the bits are the same however many rows there are.
 */
#include "cuda/gemm_plan.h"
#include "cuda/router.cuh"

enum { ROUTE_THREADS = 256, ROUTE_WARPS = ROUTE_THREADS / WARP, ROUTE_ROWS = 16 };
enum { MAX_ROWS = 1024, N_TILE = 8, MAX_TILES = 4, STEP = 16, AHEAD = 4 };

struct route_job {
    int32_t *experts;
    float *weights, *logits;
    const uint16_t *x, *w;
    int32_t n_experts, k, top_k, m;
};

/* Two adjacent values of a row, 0 past the last row */
static __device__ __forceinline__ uint32_t pair_of(const uint16_t *p, int32_t row,
                                                   int32_t n_rows, int32_t ld,
                                                   int32_t col)
{
    return row < n_rows ? *(const uint32_t *)(p + (int64_t)row * ld + col) : 0u;
}

/* A warp's operands of one step: 16 rows of x, N_TILE experts of each tile */
template <int TILES> struct step {
    uint32_t a[4], b[TILES][2];
};

template <int TILES>
static __device__ __forceinline__ void fetch(step<TILES> *s, const struct route_job *p,
                                             int32_t row0, int32_t col0, int32_t k0)
{
    const int g = threadIdx.x % WARP / 4, c = threadIdx.x % 4 * 2;
    s->a[0] = pair_of(p->x, row0 + g, p->m, p->k, k0 + c);
    s->a[1] = pair_of(p->x, row0 + g + 8, p->m, p->k, k0 + c);
    s->a[2] = pair_of(p->x, row0 + g, p->m, p->k, k0 + c + 8);
    s->a[3] = pair_of(p->x, row0 + g + 8, p->m, p->k, k0 + c + 8);
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        const int32_t expert = col0 + t * ROUTE_WARPS * N_TILE + g;
        s->b[t][0] = pair_of(p->w, expert, p->n_experts, p->k, k0 + c);
        s->b[t][1] = pair_of(p->w, expert, p->n_experts, p->k, k0 + c + 8);
    }
}

template <int TILES>
static __device__ __forceinline__ void multiply(float acc[TILES][4],
                                                const step<TILES> *s)
{
#pragma unroll
    for (int t = 0; t < TILES; t++)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
            "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(acc[t][0]), "+f"(acc[t][1]), "+f"(acc[t][2]), "+f"(acc[t][3])
            : "r"(s->a[0]), "r"(s->a[1]), "r"(s->a[2]), "r"(s->a[3]), "r"(s->b[t][0]),
              "r"(s->b[t][1]));
}

/* Logits of the block's rows by one warp, to memory and shared memory */
template <int TILES>
static __device__ __forceinline__ void product(const struct route_job *p, float *logits,
                                               int32_t row0, int32_t col0)
{
    const int g = threadIdx.x % WARP / 4, c = threadIdx.x % 4 * 2;
    float acc[TILES][4] = {};
    step<TILES> s[AHEAD];
    for (int32_t k0 = 0; k0 < p->k; k0 += AHEAD * STEP) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (k0 + i * STEP < p->k)
                fetch<TILES>(&s[i], p, row0, col0, k0 + i * STEP);
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (k0 + i * STEP < p->k)
                multiply<TILES>(acc, &s[i]);
    }
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int32_t row = g + i / 2 * 8;
            const int32_t e = col0 + t * ROUTE_WARPS * N_TILE + c + i % 2;
            if (e >= p->n_experts)
                continue;
            logits[row * p->n_experts + e] = acc[t][i];
            if (row0 + row < p->m)
                p->logits[(int64_t)(row0 + row) * p->n_experts + e] = acc[t][i];
        }
}

template <int TILES>
static __global__ void __launch_bounds__(ROUTE_THREADS) k_route(struct route_job p)
{
    extern __shared__ float logits[]; /* (ROUTE_ROWS, n_experts) */
    const int32_t row0 = (int32_t)blockIdx.x * ROUTE_ROWS;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (warp * N_TILE < p.n_experts)
        product<TILES>(&p, logits, row0, warp * N_TILE);
    __syncthreads();
    for (int r = warp; r < ROUTE_ROWS && row0 + r < p.m; r += ROUTE_WARPS) {
        const int64_t at = (int64_t)(row0 + r) * p.top_k;
        route_row(p.experts + at, p.weights + at, logits + r * p.n_experts, p.n_experts,
                  p.top_k, lane);
    }
}

static void launch(struct backend *b, const struct route_job *p)
{
    const unsigned grid = cuda_blocks(p->m, ROUTE_ROWS);
    const size_t bytes = ROUTE_ROWS * (size_t)p->n_experts * sizeof(float);
    const cudaStream_t stream = cuda_stream(b);
    const int32_t per_tile = ROUTE_WARPS * N_TILE;
    const int32_t tiles = (p->n_experts + per_tile - 1) / per_tile;
    if (tiles == 1)
        k_route<1><<<grid, ROUTE_THREADS, bytes, stream>>>(*p);
    else if (tiles == 2)
        k_route<2><<<grid, ROUTE_THREADS, bytes, stream>>>(*p);
    else
        k_route<MAX_TILES><<<grid, ROUTE_THREADS, bytes, stream>>>(*p);
    cuda_launched(b, "route_fwd");
}

static bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

void cuda_route_fwd(struct backend *b, int32_t *experts, float *weights, float *logits,
                    struct rows x, const struct weight *w, int64_t top_k, int64_t m)
{
    const bool fits = cuda_backend_uses_tensor(b, w->dtype) && x.dtype == DTYPE_BF16 &&
                      m <= MAX_ROWS && w->n <= GEMM_NARROW_N && w->k % STEP == 0 &&
                      w->k <= INT32_MAX / ROUTE_ROWS && is_aligned(x.data) &&
                      is_aligned(w->data);
    CHECK(top_k >= 1 && top_k <= w->n && w->n_mats == 1, "top_k %lld of %lld experts",
          (long long)top_k, (long long)w->n);
    if (m == 0)
        return;
    if (!fits) {
        cuda_gemm_fwd(b, logits, x, w, NULL, m);
        cuda_router_fwd(b, experts, weights, logits, w->n, top_k, m);
        return;
    }
    const struct route_job p = {experts,
                                weights,
                                logits,
                                (const uint16_t *)x.data,
                                (const uint16_t *)w->data,
                                (int32_t)w->n,
                                (int32_t)w->k,
                                (int32_t)top_k,
                                (int32_t)m};
    launch(b, &p);
}
