/*
 * RMSNorm and its backward; formulas in cpu/norm.c. A row's sums are made by a half
 * warp, out of shared memory, which all threads of a block fill and empty.
 *
 * The backward's blocks have NORM_CHUNK rows each. dw in exact mode: they leave r =
 * 1 / rms of every row in scratch; then a thread is a column and adds the rows in
 * order. In tensor mode, of BF16 weights: they add up their rows' terms while they have
 * them, and the chunks' sums are added in a fixed order.
 */
#include "cuda/norm.cuh"

enum { NORM_THREADS = 256, NORM_CHUNK = 16, NORM_MAX_AT_ONCE = 4 };
enum { DW_COLS = 8, DW_ROWS = 128, DW_STAGES = 4, DW_THREADS = 256 };
enum { SUM_COLS = WARP, SUM_WAYS = 32 };

/* A block is a row, kept in shared memory: one trip to memory however few rows */
static __global__ void k_norm_fwd(float *y, const float *x, struct weight w, float eps)
{
    extern __shared__ float row[]; /* (k) */
    __shared__ float scale;
    const int64_t at = (int64_t)blockIdx.x * w.k;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < w.k; i += ROW_THREADS)
        row[i] = x[at + i];
    __syncthreads();
    if (threadIdx.x < WARP) { /* the second half warp repeats the first */
        const float r = row_rsqrt(row, eps, w.k, threadIdx.x % LANES);
        if (threadIdx.x == 0)
            scale = r;
    }
    __syncthreads();
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < w.k; i += ROW_THREADS)
        y[at + i] = row[i] * scale * load_as(w.data, w.dtype, i);
}

/* Rows too long for shared memory: a half warp is a row */
static __global__ void k_norm_fwd_long(float *y, const float *x, struct weight w,
                                       float eps, int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const float *const row = x + (r < m ? r : m - 1) * w.k;
    const float scale = row_rsqrt(row, eps, w.k, lane);
    for (int64_t i = lane; i < w.k && r < m; i += LANES)
        y[r * w.k + i] = row[i] * scale * load_as(w.data, w.dtype, i);
}

void cuda_rmsnorm_fwd(struct backend *b, float *y, const float *x,
                      const struct weight *w, float eps, int64_t m)
{
    const size_t bytes = (size_t)w->k * sizeof(float);
    if (m == 0)
        return;
    if (bytes <= 32 * 1024)
        k_norm_fwd<<<cuda_blocks(m, 1), ROW_THREADS, bytes, cuda_stream(b)>>>(y, x, *w,
                                                                              eps);
    else
        k_norm_fwd_long<<<cuda_blocks(m, ROWS_PER_BLOCK), ROW_THREADS, 0,
                          cuda_stream(b)>>>(y, x, *w, eps, m);
    cuda_launched(b, "rmsnorm_fwd");
}

struct norm_bwd {
    float *dx;
    float *scales; /* (m) = 1 / rms, or NULL */
    float *sums;   /* (chunks, k) = a chunk's part of dw, or NULL */
    const float *dy, *x;
    struct weight w;
    float eps;
    int64_t m;
    int32_t k, pitch, at_once; /* columns; of a row in shared memory; rows */
    bool is_aligned;           /* rows begin on 16 bytes */
};

/* Adjacent rows a half warp each do not meet in the banks */
CORE_FN int64_t norm_pitch(int64_t k) { return (k + WARP - 1) / WARP * WARP + LANES; }

/* n rows into shared memory */
static __device__ __forceinline__ void load_rows(float *to, const float *from, int n,
                                                 const struct norm_bwd *f)
{
    if (f->is_aligned) {
        const int per_row = f->k / 4;
#pragma unroll 4
        for (int i = threadIdx.x; i < n * per_row; i += NORM_THREADS)
            *(float4 *)&to[i / per_row * f->pitch + i % per_row * 4] =
                ((const float4 *)from)[i];
        return;
    }
    for (int i = threadIdx.x; i < n * f->k; i += NORM_THREADS)
        to[i / f->k * f->pitch + i % f->k] = from[i];
}

/* By a half warp: -mean of g xh, g = dy w, xh = x r; r = 1 / rms into *scale */
static __device__ __forceinline__ float row_mean(float *scale, const float *x,
                                                 const float *dy, const float *w,
                                                 float eps, int k, int lane)
{
    const float r = row_rsqrt(x, eps, k, lane);
    float acc = 0;
#pragma unroll 8
    for (int i = lane; i < k; i += LANES)
        acc = fmaf(dy[i] * w[i], x[i] * r, acc);
    *scale = r;
    return -(fold_sum(acc) / (float)k);
}

/* Shared memory: x and dy (at_once, pitch), w (pitch), sums (pitch) */
static __global__ void __launch_bounds__(NORM_THREADS) k_norm_bwd(struct norm_bwd f)
{
    extern __shared__ __align__(16) float memory[];
    __shared__ float scale[NORM_MAX_AT_ONCE], mean[NORM_MAX_AT_ONCE];
    float *const x = memory, *const dy = x + f.at_once * f.pitch;
    float *const w = dy + f.at_once * f.pitch, *const sums = w + f.pitch;
    const int64_t first = (int64_t)blockIdx.x * NORM_CHUNK;
    const int64_t end = min(first + NORM_CHUNK, f.m);
    for (int j = threadIdx.x; j < f.k; j += NORM_THREADS) {
        w[j] = load_as(f.w.data, f.w.dtype, j);
        sums[j] = 0;
    }
    for (int64_t r0 = first; r0 < end; r0 += f.at_once) {
        const int n = (int)min(end - r0, (int64_t)f.at_once);
        load_rows(x, f.x + r0 * f.k, n, &f);
        load_rows(dy, f.dy + r0 * f.k, n, &f);
        __syncthreads();
        const int row = threadIdx.x / LANES;
        if (threadIdx.x / WARP * 2 < n) { /* whole warps; the last half may repeat */
            const int i = min(row, n - 1);
            float r;
            const float mu = row_mean(&r, x + i * f.pitch, dy + i * f.pitch, w, f.eps,
                                      f.k, threadIdx.x % LANES);
            if (threadIdx.x % LANES == 0 && row < n) {
                scale[row] = r;
                mean[row] = mu;
                if (f.scales != NULL)
                    f.scales[r0 + row] = r;
            }
        }
        __syncthreads();
#pragma unroll 2
        for (int j = threadIdx.x; j < f.k; j += NORM_THREADS) {
            float sum = sums[j];
            for (int i = 0; i < n; i++) {
                const float xh = x[i * f.pitch + j] * scale[i];
                const float d = dy[i * f.pitch + j];
                f.dx[(r0 + i) * f.k + j] = scale[i] * fmaf(xh, mean[i], d * w[j]);
                sum = fmaf(d, xh, sum);
            }
            sums[j] = sum;
        }
        __syncthreads();
    }
    for (int j = threadIdx.x; j < f.k && f.sums != NULL; j += NORM_THREADS)
        f.sums[blockIdx.x * (int64_t)f.k + j] = sums[j];
}

/* Rows too long for shared memory */
static __global__ void k_norm_dx_long(float *dx, float *scales, const float *dy,
                                      const float *x, struct weight w, float eps,
                                      int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const int64_t at = (r < m ? r : m - 1) * w.k;
    const float scale = row_rsqrt(x + at, eps, w.k, lane);
    float acc = 0;
#pragma unroll 8
    for (int64_t i = lane; i < w.k; i += LANES)
        acc = fmaf(dy[at + i] * load_as(w.data, w.dtype, i), x[at + i] * scale, acc);
    const float mean = -(fold_sum(acc) / (float)w.k);
    if (r >= m)
        return;
#pragma unroll 8
    for (int64_t i = lane; i < w.k; i += LANES) {
        const float g = dy[at + i] * load_as(w.data, w.dtype, i);
        dx[at + i] = scale * fmaf(x[at + i] * scale, mean, g);
    }
    if (lane == 0)
        scales[r] = scale;
}

/* DW_ROWS rows of DW_COLS columns on their way to the thread that adds them */
struct dw_stage {
    float dy[DW_ROWS * DW_COLS], x[DW_ROWS * DW_COLS], scale[DW_ROWS];
};

struct norm_dw {
    float *dw;
    const float *dy, *x, *scales;
    int64_t k, m;
};

static __device__ __forceinline__ void copy_float(float *to, const float *from)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from)
                 : "memory");
}

/* Starts the copies of rows r0 .. (those that exist) of the block's columns; one group
 */
static __device__ __forceinline__ void start_stage(struct dw_stage *t,
                                                   const struct norm_dw *f, int64_t r0)
{
    const int64_t j0 = (int64_t)blockIdx.x * DW_COLS;
#pragma unroll
    for (int i = threadIdx.x; i < DW_ROWS * DW_COLS; i += DW_THREADS) {
        const int64_t r = r0 + i / DW_COLS, j = j0 + i % DW_COLS;
        if (r < f->m && j < f->k) {
            copy_float(&t->dy[i], f->dy + r * f->k + j);
            copy_float(&t->x[i], f->x + r * f->k + j);
        }
    }
    if (threadIdx.x < DW_ROWS && r0 + threadIdx.x < f->m)
        copy_float(&t->scale[threadIdx.x], f->scales + r0 + threadIdx.x);
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* acc += the terms of n rows of a column, in order; the loads run ahead */
static __device__ __forceinline__ float add_rows(float acc, const struct dw_stage *t,
                                                 int col, int n)
{
    enum { AHEAD = 16 };
    int i = 0;
    for (; i + AHEAD <= n; i += AHEAD) {
        float dy[AHEAD], x[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            dy[j] = t->dy[(i + j) * DW_COLS + col];
            x[j] = t->x[(i + j) * DW_COLS + col] * t->scale[i + j];
        }
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            acc = fmaf(dy[j], x[j], acc);
    }
    for (; i < n; i++)
        acc = fmaf(t->dy[i * DW_COLS + col], t->x[i * DW_COLS + col] * t->scale[i],
                   acc);
    return acc;
}

/* A block is DW_COLS columns; all threads keep DW_STAGES - 1 stages under way, a thread
 * per column adds. */
static __global__ void __launch_bounds__(DW_THREADS) k_norm_dw(struct norm_dw f)
{
    __shared__ struct dw_stage stages[DW_STAGES];
    const int64_t j = (int64_t)blockIdx.x * DW_COLS + threadIdx.x;
    const bool adds = threadIdx.x < DW_COLS && j < f.k;
    float acc = adds ? f.dw[j] : 0.0f;
    for (int s = 0; s < DW_STAGES - 1; s++)
        start_stage(&stages[s], &f, (int64_t)s * DW_ROWS);
    int turn = 0;
    for (int64_t r0 = 0; r0 < f.m; r0 += DW_ROWS, turn = (turn + 1) % DW_STAGES) {
        asm volatile("cp.async.wait_group %0;" ::"n"(DW_STAGES - 2) : "memory");
        __syncthreads(); /* and the stage before this one has been read */
        start_stage(&stages[(turn + DW_STAGES - 1) % DW_STAGES], &f,
                    r0 + (DW_STAGES - 1) * DW_ROWS);
        if (adds)
            acc = add_rows(acc, &stages[turn], threadIdx.x,
                           (int)min(f.m - r0, (int64_t)DW_ROWS));
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    if (adds)
        f.dw[j] = acc;
}

/* dw += the chunks' sums: SUM_WAYS ways, each every SUM_WAYS-th chunk ascending; then
 * the ways in order. A warp is a way of WARP columns. */
static __global__ void __launch_bounds__(SUM_WAYS *WARP)
    k_norm_sums(float *dw, const float *sums, int64_t n_chunks, int64_t k)
{
    __shared__ float ways[SUM_WAYS][SUM_COLS];
    const int lane = threadIdx.x % WARP, way = threadIdx.x / WARP;
    const int64_t j = (int64_t)blockIdx.x * SUM_COLS + lane;
    float acc = 0;
#pragma unroll 8
    for (int64_t c = way; c < n_chunks; c += SUM_WAYS)
        acc = acc + (j < k ? sums[c * k + j] : 0.0f);
    ways[way][lane] = acc;
    __syncthreads();
    if (way > 0 || j >= k)
        return;
    acc = ways[0][lane];
    for (int i = 1; i < SUM_WAYS; i++)
        acc = acc + ways[i][lane];
    dw[j] = dw[j] + acc;
}

/* dx and what dw needs; false: rows too long for shared memory, of which every GPU has
 * `most` */
static bool run_rows(struct backend *b, struct norm_bwd *f)
{
    const size_t most = 100000, row = (size_t)norm_pitch(f->w.k) * sizeof(float);
    for (f->at_once = NORM_MAX_AT_ONCE; f->at_once > 0; f->at_once /= 2)
        if ((size_t)(2 * f->at_once + 2) * row <= most)
            break;
    if (f->at_once == 0)
        return false;
    const uintptr_t all = (uintptr_t)f->x | (uintptr_t)f->dy;
    f->k = (int32_t)f->w.k;
    f->pitch = (int32_t)norm_pitch(f->w.k);
    f->is_aligned = all % 16 == 0 && f->k % 4 == 0;
    cuda_must(cudaFuncSetAttribute(
                  k_norm_bwd, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)most),
              "rmsnorm_bwd: shared memory");
    k_norm_bwd<<<cuda_blocks(f->m, NORM_CHUNK), NORM_THREADS,
                 (size_t)(2 * f->at_once + 2) * row, cuda_stream(b)>>>(*f);
    cuda_launched(b, "rmsnorm_bwd");
    return true;
}

/* dw by chunks; false: dw has to be the chain over the rows */
static bool run_chunks(struct backend *b, struct norm_bwd *f, float *dw)
{
    const int64_t n_chunks = (f->m + NORM_CHUNK - 1) / NORM_CHUNK;
    if (!cuda_backend_uses_tensor(b, f->w.dtype))
        return false;
    f->sums = (float *)cuda_scratch(b, (size_t)(n_chunks * f->w.k) * sizeof(float));
    if (!run_rows(b, f)) {
        f->sums = NULL;
        return false;
    }
    k_norm_sums<<<cuda_blocks(f->w.k, SUM_COLS), SUM_WAYS * WARP, 0, cuda_stream(b)>>>(
        dw, f->sums, n_chunks, f->w.k);
    cuda_launched(b, "rmsnorm_bwd: dw");
    return true;
}

void cuda_rmsnorm_bwd(struct backend *b, float *dx, float *dw, const float *dy,
                      const float *x, const struct weight *w, float eps, int64_t m)
{
    struct norm_bwd f = {};
    f.dx = dx;
    f.dy = dy;
    f.x = x;
    f.w = *w;
    f.eps = eps;
    f.m = m;
    if (m == 0 || run_chunks(b, &f, dw))
        return;
    f.scales = (float *)cuda_scratch(b, (size_t)m * sizeof(float));
    if (!run_rows(b, &f)) {
        k_norm_dx_long<<<cuda_blocks(m, ROWS_PER_BLOCK), ROW_THREADS, 0,
                         cuda_stream(b)>>>(dx, f.scales, dy, x, *w, eps, m);
        cuda_launched(b, "rmsnorm_bwd: dx");
    }
    const struct norm_dw rest = {dw, dy, x, f.scales, w->k, m};
    k_norm_dw<<<cuda_blocks(w->k, DW_COLS), DW_THREADS, 0, cuda_stream(b)>>>(rest);
    cuda_launched(b, "rmsnorm_bwd: dw");
}
