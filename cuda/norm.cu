/*
 * RMSNorm and its backward; formulas in cpu/norm.c. A half warp is a row. The
 * backward keeps r = 1 / rms of every row in scratch; then a thread is a column and
 * adds the rows in order.
 */
#include "cuda/backend.cuh"

enum { DW_COLS = 8, DW_ROWS = 256, DW_THREADS = 256 };

static __device__ __forceinline__ float row_rsqrt(const float *x, float eps, int64_t k,
                                                  int lane)
{
    float acc = 0;
#pragma unroll 16
    for (int64_t i = lane; i < k; i += LANES)
        acc = fmaf(x[i], x[i], acc);
    return f_rsqrt(fold_sum(acc) / (float)k + eps);
}

static __global__ void k_norm_fwd(float *y, const float *x, struct weight w, float eps,
                                  int64_t m)
{
    const int64_t r = (int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / LANES;
    const int lane = threadIdx.x % LANES;
    const float *const row = x + (r < m ? r : m - 1) * w.k;
    const float scale = row_rsqrt(row, eps, w.k, lane);
#pragma unroll 16
    for (int64_t i = lane; i < w.k && r < m; i += LANES)
        y[r * w.k + i] = row[i] * scale * load_as(w.data, w.dtype, i);
}

void cuda_rmsnorm_fwd(struct backend *b, float *y, const float *x,
                      const struct weight *w, float eps, int64_t m)
{
    if (m == 0)
        return;
    k_norm_fwd<<<cuda_blocks(m, ROWS_PER_BLOCK), ROW_THREADS, 0, cuda_stream(b)>>>(
        y, x, *w, eps, m);
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

/* A block is DW_COLS columns; all threads bring DW_ROWS rows into shared memory, a
 * thread per column adds them. */
static __global__ void k_norm_dw(float *dw, const float *dy, const float *x,
                                 const float *scales, int64_t k, int64_t m)
{
    __shared__ float dy_tile[2][DW_ROWS][DW_COLS], xh_tile[2][DW_ROWS][DW_COLS];
    const int col = threadIdx.x % DW_COLS, row = threadIdx.x / DW_COLS;
    const int64_t j = (int64_t)blockIdx.x * DW_COLS + col;
    const bool adds = row == 0 && j < k;
    float acc = adds ? dw[j] : 0.0f;
    for (int64_t r0 = 0, turn = 0; r0 < m; r0 += DW_ROWS, turn ^= 1) {
        for (int i = row; i < DW_ROWS; i += DW_THREADS / DW_COLS) {
            const bool is_in = r0 + i < m && j < k;
            dy_tile[turn][i][col] = is_in ? dy[(r0 + i) * k + j] : 0.0f;
            xh_tile[turn][i][col] = is_in ? x[(r0 + i) * k + j] * scales[r0 + i] : 0.0f;
        }
        __syncthreads();
        const int n = m - r0 < DW_ROWS ? (int)(m - r0) : DW_ROWS;
#pragma unroll 8
        for (int i = 0; i < n && adds; i++)
            acc = fmaf(dy_tile[turn][i][col], xh_tile[turn][i][col], acc);
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
