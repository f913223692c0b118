/*
 * RMSNorm and its backward; formulas in cpu/norm.c. A half warp is a row. The
 * backward keeps r = 1 / rms of every row in scratch; then a thread is a column and
 * adds the rows in order.
 */
#include "cuda/norm.cuh"

enum { DW_COLS = 8, DW_ROWS = 256, DW_THREADS = 256 };

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

static __global__ void k_norm_dx(float *dx, float *scales, const float *dy,
                                 const float *x, struct weight w, float eps, int64_t m)
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

/* acc += sum of the pairs' products over n rows, in order; the loads run ahead */
static __device__ __forceinline__ float add_pairs(float acc, const float2 *pairs, int n)
{
    enum { AHEAD = 16 };
    int i = 0;
    for (; i + AHEAD <= n; i += AHEAD) {
        float2 p[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            p[j] = pairs[(i + j) * DW_COLS];
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            acc = fmaf(p[j].x, p[j].y, acc);
    }
    for (; i < n; i++)
        acc = fmaf(pairs[i * DW_COLS].x, pairs[i * DW_COLS].y, acc);
    return acc;
}

/* A block is DW_COLS columns; all threads bring DW_ROWS rows of (dy, xh) into shared
 * memory, a thread per column adds them. */
static __global__ void k_norm_dw(float *dw, const float *dy, const float *x,
                                 const float *scales, int64_t k, int64_t m)
{
    __shared__ float2 tile[2][DW_ROWS * DW_COLS];
    const int col = threadIdx.x % DW_COLS, row = threadIdx.x / DW_COLS;
    const int64_t j = (int64_t)blockIdx.x * DW_COLS + col;
    const bool adds = row == 0 && j < k;
    float acc = adds ? dw[j] : 0.0f;
    for (int64_t r0 = 0, turn = 0; r0 < m; r0 += DW_ROWS, turn ^= 1) {
#pragma unroll
        for (int t = 0; t < DW_ROWS / (DW_THREADS / DW_COLS); t++) {
            const int i = row + t * (DW_THREADS / DW_COLS);
            const int64_t r = r0 + i, at = r * k + j;
            const bool is_in = r < m && j < k;
            float2 pair = make_float2(0, 0);
            if (is_in)
                pair = make_float2(dy[at], x[at] * scales[r]);
            tile[turn][i * DW_COLS + col] = pair;
        }
        __syncthreads();
        const int n = m - r0 < DW_ROWS ? (int)(m - r0) : DW_ROWS;
        if (adds)
            acc = add_pairs(acc, tile[turn] + col, n);
    }
    if (adds)
        dw[j] = acc;
}

void cuda_rmsnorm_bwd(struct backend *b, float *dx, float *dw, const float *dy,
                      const float *x, const struct weight *w, float eps, int64_t m)
{
    if (m == 0)
        return;
    float *const scales = (float *)cuda_scratch(b, (size_t)m * sizeof(float));
    k_norm_dx<<<cuda_blocks(m, ROWS_PER_BLOCK), ROW_THREADS, 0, cuda_stream(b)>>>(
        dx, scales, dy, x, *w, eps, m);
    cuda_launched(b, "rmsnorm_bwd: dx");
    k_norm_dw<<<cuda_blocks(w->k, DW_COLS), DW_THREADS, 0, cuda_stream(b)>>>(
        dw, dy, x, scales, w->k, m);
    cuda_launched(b, "rmsnorm_bwd: dw");
}
