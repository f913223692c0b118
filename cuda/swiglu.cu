/*
 * The experts' activation and its backward; formulas in cpu/swiglu.c. A block is a row,
 * threads have four adjacent columns where rows allow it. The backward's dot product
 * follows the row rule: the factors of CHUNK columns go to shared memory, where the
 * first half warp adds them while the others are at the next columns.
 */
#include "cuda/rows.cuh"

enum { ACT_THREADS = 256, ACT_EACH = 4, CHUNK = ACT_THREADS * ACT_EACH };

static __device__ __forceinline__ float swiglu(float g, float u)
{
    return g * f_sigmoid(g) * u;
}

template <typename H, bool BY_FOUR>
static __global__ void __launch_bounds__(ACT_THREADS)
    k_swiglu_fwd(H *__restrict__ h, const float *__restrict__ gu, int64_t f)
{
    const float *const g = gu + (int64_t)blockIdx.x * 2 * f, *const u = g + f;
    H *const to = h + (int64_t)blockIdx.x * f;
    if (BY_FOUR) {
#pragma unroll 2
        for (int64_t i = threadIdx.x * 4; i < f; i += CHUNK) {
            const float4 a = load_four(g + i), c = load_four(u + i);
            store_four(to + i, make_float4(swiglu(a.x, c.x), swiglu(a.y, c.y),
                                           swiglu(a.z, c.z), swiglu(a.w, c.w)));
        }
    } else {
#pragma unroll 4
        for (int64_t i = threadIdx.x; i < f; i += ACT_THREADS)
            store_one(to + i, swiglu(g[i], u[i]));
    }
}

template <typename H>
static void launch_fwd(struct backend *b, H *h, const float *gu, int64_t f, int64_t m)
{
    const unsigned grid = cuda_blocks(m, 1);
    const cudaStream_t stream = cuda_stream(b);
    if (is_by_four(gu, f) && is_by_four(h, f))
        k_swiglu_fwd<H, true><<<grid, ACT_THREADS, 0, stream>>>(h, gu, f);
    else
        k_swiglu_fwd<H, false><<<grid, ACT_THREADS, 0, stream>>>(h, gu, f);
    cuda_launched(b, "swiglu_fwd");
}

void cuda_swiglu_fwd(struct backend *b, void *h, enum dtype h_dtype, const float *gu,
                     int64_t f, int64_t m)
{
    CHECK(h_dtype != DTYPE_F16, "rows of F16");
    if (m == 0)
        return;
    if (h_dtype == DTYPE_F32)
        launch_fwd(b, (float *)h, gu, f, m);
    else
        launch_fwd(b, (uint16_t *)h, gu, f, m);
}

/* A column of a pair */
struct act {
    float dh, g, u;
};
struct act_grad {
    float h, hw, dg, du;
};

static __device__ __forceinline__ struct act_grad act_bwd(const struct act *a, float w)
{
    struct act_grad r;
    const float d = a->dh * w, s = f_sigmoid(a->g), silu = a->g * s;
    r.h = silu * a->u;
    r.hw = r.h * w;
    r.dg = d * a->u * (s * fmaf(a->g, 1.0f - s, 1.0f));
    r.du = d * silu;
    return r;
}

/* Where a pair's rows begin */
template <typename T> struct act_rows {
    const float *dh, *g, *u;
    T *hw, *dg, *du;
};

/* Columns i .. i + 3, and their factors of the dot product */
template <typename T>
static __device__ __forceinline__ void act_four(const struct act_rows<T> *r, int64_t i,
                                                float w, float2 *factors)
{
    const float4 dh = load_four(r->dh + i), g = load_four(r->g + i),
                 u = load_four(r->u + i);
    const struct act a[4] = {
        {dh.x, g.x, u.x}, {dh.y, g.y, u.y}, {dh.z, g.z, u.z}, {dh.w, g.w, u.w}};
    struct act_grad d[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
        d[j] = act_bwd(&a[j], w);
    store_four((float *)factors, make_float4(a[0].dh, d[0].h, a[1].dh, d[1].h));
    store_four((float *)(factors + 2), make_float4(a[2].dh, d[2].h, a[3].dh, d[3].h));
    store_four(r->hw + i, make_float4(d[0].hw, d[1].hw, d[2].hw, d[3].hw));
    store_four(r->dg + i, make_float4(d[0].dg, d[1].dg, d[2].dg, d[3].dg));
    store_four(r->du + i, make_float4(d[0].du, d[1].du, d[2].du, d[3].du));
}

template <typename T>
static __device__ __forceinline__ void act_one(const struct act_rows<T> *r, int64_t i,
                                               float w, float2 *factors)
{
    const struct act a = {r->dh[i], r->g[i], r->u[i]};
    const struct act_grad d = act_bwd(&a, w);
    *factors = make_float2(a.dh, d.h);
    store_one(r->hw + i, d.hw);
    store_one(r->dg + i, d.dg);
    store_one(r->du + i, d.du);
}

/* hw may be dh, dgu may be gu: a thread reads a column before it writes there */
template <typename T, bool BY_FOUR>
static __global__ void __launch_bounds__(ACT_THREADS)
    k_act_bwd(float *dweights, T *hw, T *dgu, struct moe_act p)
{
    __shared__ __align__(16) float2 factors[2][CHUNK];
    const int64_t f = p.f, at = p.place[blockIdx.x];
    const float w = p.weights[blockIdx.x];
    const struct act_rows<T> r = {
        p.dh + at *f, p.gu + at * 2 * f, p.gu + at * 2 * f + f, hw + at *f,
            dgu + at * 2 * f, dgu + at * 2 * f + f
    };
    const int lane = threadIdx.x % LANES;
    float acc = 0;
    for (int64_t first = 0, turn = 0; first < f; first += CHUNK, turn ^= 1) {
        const int n = f - first < CHUNK ? (int)(f - first) : (int)CHUNK;
        if (BY_FOUR) {
            const int i = threadIdx.x * 4;
            if (i < n)
                act_four(&r, first + i, w, factors[turn] + i);
        } else {
            for (int i = threadIdx.x; i < n; i += ACT_THREADS)
                act_one(&r, first + i, w, factors[turn] + i);
        }
        __syncthreads();
        if (threadIdx.x < WARP) { /* the second half warp repeats the first */
#pragma unroll 8
            for (int i = lane; i < n; i += LANES)
                acc = fmaf(factors[turn][i].x, factors[turn][i].y, acc);
        }
    }
    if (threadIdx.x >= WARP)
        return;
    acc = fold_sum(acc);
    if (threadIdx.x == 0)
        dweights[blockIdx.x] = acc;
}

template <typename T>
static void launch_bwd(struct backend *b, float *dweights, T *hw, T *dgu,
                       const struct moe_act *a, int64_t n)
{
    const unsigned grid = cuda_blocks(n, 1);
    const cudaStream_t stream = cuda_stream(b);
    if (is_by_four(a->dh, a->f) && is_by_four(a->gu, a->f) && is_by_four(hw, a->f) &&
        is_by_four(dgu, a->f))
        k_act_bwd<T, true><<<grid, ACT_THREADS, 0, stream>>>(dweights, hw, dgu, *a);
    else
        k_act_bwd<T, false><<<grid, ACT_THREADS, 0, stream>>>(dweights, hw, dgu, *a);
    cuda_launched(b, "moe_act_bwd");
}

void cuda_moe_act_bwd(struct backend *b, float *dweights, void *hw, void *dgu,
                      enum dtype dtype, const struct moe_act *a, int64_t m)
{
    const int64_t n = m * a->top_k;
    CHECK(dtype != DTYPE_F16, "rows of F16");
    if (n == 0)
        return;
    if (dtype == DTYPE_F32)
        launch_bwd(b, dweights, (float *)hw, (float *)dgu, a, n);
    else
        launch_bwd(b, dweights, (uint16_t *)hw, (uint16_t *)dgu, a, n);
}
