/*
 * What is added to the residual stream, and the norm of the result, in one pass: a
 * block is a row, which waits in shared memory for its sum of squares. Threads have
 * four adjacent columns where the row allows it.
 */
#include "cuda/norm.cuh"
#include "cuda/rows.cuh"

enum { MAX_ROW_BYTES = 32 * 1024 };

struct residual_job {
    void *y;
    float *sum;
    struct residual r;
    struct weight w;
    float eps;
};

/* A column's sum: the chains of add and moe_combine */
static __device__ __forceinline__ float stream_at(const struct residual_job *p,
                                                  int64_t row, int64_t i)
{
    const struct residual *const r = &p->r;
    float acc = r->x[row * p->w.k + i];
    if (r->o == NULL)
        return acc;
    if (r->place == NULL)
        return acc + r->o[row * p->w.k + i];
#pragma unroll 4
    for (int64_t s = row * r->top_k; s < (row + 1) * r->top_k; s++) {
        const float from = r->o[r->place[s] * p->w.k + i];
        acc = r->weights != NULL ? fmaf(r->weights[s], from, acc) : acc + from;
    }
    return acc;
}

static __device__ __forceinline__ float4 add_four(float4 a, float4 c)
{
    return make_float4(a.x + c.x, a.y + c.y, a.z + c.z, a.w + c.w);
}

static __device__ __forceinline__ float4 fma_four(float by, float4 a, float4 c)
{
    return make_float4(fmaf(by, a.x, c.x), fmaf(by, a.y, c.y), fmaf(by, a.z, c.z),
                       fmaf(by, a.w, c.w));
}

/* The same of columns i .. i + 3 */
static __device__ __forceinline__ float4 stream_four(const struct residual_job *p,
                                                     int64_t row, int64_t i)
{
    const struct residual *const r = &p->r;
    float4 acc = load_four(r->x + row * p->w.k + i);
    if (r->o == NULL)
        return acc;
    if (r->place == NULL)
        return add_four(acc, load_four(r->o + row * p->w.k + i));
#pragma unroll 4
    for (int64_t s = row * r->top_k; s < (row + 1) * r->top_k; s++) {
        const float4 from = load_four(r->o + r->place[s] * p->w.k + i);
        acc = r->weights != NULL ? fma_four(r->weights[s], from, acc)
                                 : add_four(acc, from);
    }
    return acc;
}

static __device__ __forceinline__ float4 normed_four(float4 v, float scale,
                                                     const struct weight *w, int64_t i)
{
    return make_float4(v.x * scale * load_as(w->data, w->dtype, i),
                       v.y * scale * load_as(w->data, w->dtype, i + 1),
                       v.z * scale * load_as(w->data, w->dtype, i + 2),
                       v.w * scale * load_as(w->data, w->dtype, i + 3));
}

template <typename Y, bool BY_FOUR>
static __global__ void __launch_bounds__(ROW_THREADS)
    k_residual_norm(struct residual_job p)
{
    extern __shared__ __align__(16) float row[]; /* (k) */
    __shared__ float shared_scale;
    enum { EACH = BY_FOUR ? 4 : 1 };
    const int64_t r = blockIdx.x, k = p.w.k;
    for (int64_t i = threadIdx.x * EACH; i < k; i += ROW_THREADS * EACH)
        if (BY_FOUR) {
            const float4 v = stream_four(&p, r, i);
            store_four(row + i, v);
            if (p.r.o != NULL)
                store_four(p.sum + r * k + i, v);
        } else {
            row[i] = stream_at(&p, r, i);
            if (p.r.o != NULL)
                p.sum[r * k + i] = row[i];
        }
    __syncthreads();
    if (threadIdx.x < WARP) { /* the second half warp repeats the first */
        const float s = row_rsqrt(row, p.eps, k, threadIdx.x % LANES);
        if (threadIdx.x == 0)
            shared_scale = s;
    }
    __syncthreads();
    const float scale = shared_scale;
    Y *const y = (Y *)p.y + r * k;
    for (int64_t i = threadIdx.x * EACH; i < k; i += ROW_THREADS * EACH)
        if (BY_FOUR)
            store_four(y + i, normed_four(load_four(row + i), scale, &p.w, i));
        else
            store_one(y + i, row[i] * scale * load_as(p.w.data, p.w.dtype, i));
}

/* Rows too long for shared memory: op by op */
static void run_long(struct backend *b, const struct residual_job *p,
                     enum dtype y_dtype, int64_t m)
{
    const struct residual *const r = &p->r;
    const int64_t d = p->w.k;
    const float *const from = r->o != NULL ? p->sum : r->x;
    if (r->o != NULL && r->place != NULL)
        cuda_moe_combine(b, p->sum, r->x, r->o, r->place, r->weights, r->top_k, d, m);
    else if (r->o != NULL)
        cuda_add(b, p->sum, r->x, r->o, m * d);
    if (y_dtype == DTYPE_F32) {
        cuda_rmsnorm_fwd(b, (float *)p->y, from, &p->w, p->eps, m);
        return;
    }
    float *const wide = (float *)cuda_scratch(b, (size_t)(m * d) * sizeof(float));
    cuda_rmsnorm_fwd(b, wide, from, &p->w, p->eps, m);
    cuda_rows_gather(b, p->y, y_dtype, rows_f32(wide), NULL, 1, d, m);
}

template <typename Y>
static void launch(struct backend *b, const struct residual_job *p, bool by_four,
                   int64_t m)
{
    const size_t bytes = (size_t)p->w.k * sizeof(float);
    const cudaStream_t stream = cuda_stream(b);
    if (by_four)
        k_residual_norm<Y, true><<<cuda_blocks(m, 1), ROW_THREADS, bytes, stream>>>(*p);
    else
        k_residual_norm<Y, false>
            <<<cuda_blocks(m, 1), ROW_THREADS, bytes, stream>>>(*p);
    cuda_launched(b, "residual_norm");
}

void cuda_residual_norm(struct backend *b, void *y, enum dtype y_dtype, float *sum,
                        const struct residual *r, const struct weight *w, float eps,
                        int64_t m)
{
    const struct residual_job p = {y, sum, *r, *w, eps};
    const bool by_four = is_by_four(y, w->k) && is_by_four(sum, w->k) &&
                         is_by_four(r->x, w->k) && is_by_four(r->o, w->k);
    CHECK(y_dtype != DTYPE_F16, "rows of F16");
    if (m == 0)
        return;
    if (w->k * (int64_t)sizeof(float) > MAX_ROW_BYTES) {
        run_long(b, &p, y_dtype, m);
        return;
    }
    if (y_dtype == DTYPE_F32)
        launch<float>(b, &p, by_four, m);
    else
        launch<uint16_t>(b, &p, by_four, m);
}
