/*
 * The matrix products, exact: out(i, j) = one fma chain over s of A(i, s) B(j, s),
 * plain and grouped.
 *
 *        i      j      s      A             B
 *   fwd  row    output input  x[i, s]       W[j, s]
 *   dx   row    input  output dy[i, s]      W[s, j]
 *   dw   output input  row    dy[s, i]      x[s, j]     chain continues from memory
 *
 * A block has a tile of the output in registers. STEPS values of s at a time come into
 * shared memory as (s, i) and (s, j): the next ones are fetched into registers while
 * the present ones are multiplied. Weights are PLAIN, widened as they are fetched.
 */
#include "cuda/backend.cuh"
#include "cuda/gemm_route.cuh"
#include "cuda/simt_plan.h"

enum { STEPS = 16 };

struct product {
    float *out;
    const float *a, *x; /* x: B of dw */
    struct weight w;    /* B of fwd and dx */
    const int32_t *off;
    int64_t m;
};

/* Values of an operand that a thread carries from memory to the tile: SIDE elements
 * along i or j by STEPS along s */
template <int SIDE, int THREADS> struct carried {
    static const int N = SIDE * STEPS / THREADS;
    float v[N];
};

/* Reads operand(side, s) = p[side * ld + s] (BY_STEPS: s is adjacent in memory) or
 * p[s * ld + side]. Neighbouring threads read neighbouring addresses. */
template <bool BY_STEPS, int SIDE, int THREADS>
static __device__ __forceinline__ void fetch(carried<SIDE, THREADS> *c, const void *p,
                                             enum dtype dtype, int64_t ld,
                                             int64_t n_side, int64_t n_steps)
{
#pragma unroll
    for (int i = 0; i < carried<SIDE, THREADS>::N; i++) {
        const int at = (int)threadIdx.x + i * THREADS;
        const int side = BY_STEPS ? at / STEPS : at % SIDE;
        const int s = BY_STEPS ? at % STEPS : at / SIDE;
        const bool is_in = side < n_side && s < n_steps;
        const int64_t where = BY_STEPS ? side * ld + s : s * ld + side;
        c->v[i] = is_in ? load_as(p, dtype, where) : 0.0f;
    }
}

template <bool BY_STEPS, int SIDE, int PITCH, int THREADS>
static __device__ __forceinline__ void put(float *tile, const carried<SIDE, THREADS> *c)
{
#pragma unroll
    for (int i = 0; i < carried<SIDE, THREADS>::N; i++) {
        const int at = (int)threadIdx.x + i * THREADS;
        const int side = BY_STEPS ? at / STEPS : at % SIDE;
        const int s = BY_STEPS ? at % STEPS : at / SIDE;
        tile[s * PITCH + side] = c->v[i];
    }
}

/* One block's share: where its rows, columns and steps begin */
struct share {
    const float *a;
    const void *b;
    enum dtype b_dtype;
    int64_t ld_a, ld_b, n_rows, n_cols, n_steps;
    float *out;
    int64_t ld_out;
};

static __device__ __forceinline__ const void *elem_at(const void *p, enum dtype dtype,
                                                      int64_t i)
{
    return (const char *)p + i * (dtype == DTYPE_F32 ? 4 : 2);
}

template <int FORM, int ROWS, int COLS>
static __device__ __forceinline__ bool find_share(struct share *h,
                                                  const struct product *p)
{
    __shared__ struct tile_at found;
    const int64_t n = p->w.n, k = p->w.k, col = (int64_t)blockIdx.x * COLS;
    struct tile_at t = {};
    if (FORM == SIMT_DW) {
        t.segment = (int)blockIdx.z;
        t.begin = p->off != NULL ? p->off[t.segment] : 0;
        t.length = (p->off != NULL ? p->off[t.segment + 1] : p->m) - t.begin;
        t.first = (int64_t)blockIdx.y * ROWS;
        h->a = p->a + t.begin * n + t.first;
        h->b = p->x + t.begin * k + col;
        h->b_dtype = DTYPE_F32;
        h->ld_a = n;
        h->ld_b = h->ld_out = k;
        h->n_rows = n - t.first;
        h->n_cols = k - col;
        h->n_steps = t.length;
        h->out = p->out + (t.segment * n + t.first) * k + col;
        return t.length > 0;
    }
    if (p->off != NULL) {
        t = find_tile(&found, p->off, p->w.n_mats, 1, ROWS, blockIdx.y);
    } else {
        t.first = (int64_t)blockIdx.y * ROWS;
        t.length = p->m;
    }
    if (t.segment < 0)
        return false;
    const int64_t row = t.begin + t.first, mat = t.segment * n * k;
    h->b_dtype = p->w.dtype;
    h->n_rows = t.length - t.first;
    h->ld_b = k;
    h->n_steps = h->ld_a = FORM == SIMT_FWD ? k : n;
    h->ld_out = FORM == SIMT_FWD ? n : k;
    h->n_cols = h->ld_out - col;
    h->a = p->a + row * h->ld_a;
    h->b = elem_at(p->w.data, p->w.dtype, mat + (FORM == SIMT_FWD ? col * k : col));
    h->out = p->out + row * h->ld_out + col;
    return true;
}

/* Element (r, c) of a thread's part: groups of 4 adjacent ones lie a quarter or half of
 * the tile apart, so that a warp reads shared memory without conflicts. */
template <int PER_THREAD, int SPAN>
static __device__ __forceinline__ int part_at(int thread, int i)
{
    return PER_THREAD <= 4 ? thread * PER_THREAD + i
                           : (i / 4) * (SPAN / (PER_THREAD / 4)) + thread * 4 + i % 4;
}

template <int ROWS, int COLS, int TR, int TC>
static __device__ __forceinline__ void multiply_step(float acc[TR][TC], const float *a,
                                                     const float *b, int tr, int tc)
{
    float x[TR], y[TC];
#pragma unroll
    for (int r = 0; r < TR; r++)
        x[r] = a[part_at<TR, ROWS>(tr, r)];
#pragma unroll
    for (int c = 0; c < TC; c++)
        y[c] = b[part_at<TC, COLS>(tc, c)];
#pragma unroll
    for (int r = 0; r < TR; r++)
#pragma unroll
        for (int c = 0; c < TC; c++)
            acc[r][c] = fmaf(x[r], y[c], acc[r][c]);
}

/* Zeros past the last step would turn a sum of -0 into +0, so there are none. */
template <int ROWS, int COLS, int TR, int TC>
static __device__ __forceinline__ void multiply(float acc[TR][TC], const float *a,
                                                const float *b, int64_t n_steps, int tr,
                                                int tc)
{
    if (n_steps >= STEPS) {
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            multiply_step<ROWS, COLS, TR, TC>(acc, a + s * (ROWS + 4),
                                              b + s * (COLS + 4), tr, tc);
    } else {
#pragma unroll 1
        for (int s = 0; s < n_steps; s++)
            multiply_step<ROWS, COLS, TR, TC>(acc, a + s * (ROWS + 4),
                                              b + s * (COLS + 4), tr, tc);
    }
}

template <int FORM, int ROWS, int COLS, int TR, int TC>
static __global__ void __launch_bounds__((ROWS / TR) * (COLS / TC))
    k_gemm(struct product p)
{
    const int THREADS = (ROWS / TR) * (COLS / TC);
    const bool a_by_steps = FORM != SIMT_DW, b_by_steps = FORM == SIMT_FWD;
    __shared__ __align__(16) float a_tile[2][STEPS * (ROWS + 4)];
    __shared__ __align__(16) float b_tile[2][STEPS * (COLS + 4)];
    const int tc = threadIdx.x % (COLS / TC), tr = threadIdx.x / (COLS / TC);
    struct share h;
    if (!find_share<FORM, ROWS, COLS>(&h, &p))
        return;
    float acc[TR][TC];
#pragma unroll
    for (int r = 0; r < TR; r++)
#pragma unroll
        for (int c = 0; c < TC; c++) {
            const int i = part_at<TR, ROWS>(tr, r), j = part_at<TC, COLS>(tc, c);
            const bool is_in = FORM == SIMT_DW && i < h.n_rows && j < h.n_cols;
            acc[r][c] = is_in ? h.out[i * h.ld_out + j] : 0.0f;
        }
    carried<ROWS, THREADS> ca;
    carried<COLS, THREADS> cb;
    int turn = 0;
    fetch<a_by_steps>(&ca, h.a, DTYPE_F32, h.ld_a, h.n_rows, h.n_steps);
    fetch<b_by_steps>(&cb, h.b, h.b_dtype, h.ld_b, h.n_cols, h.n_steps);
    for (int64_t s = 0; s < h.n_steps; s += STEPS, turn ^= 1) {
        put<a_by_steps, ROWS, ROWS + 4, THREADS>(a_tile[turn], &ca);
        put<b_by_steps, COLS, COLS + 4, THREADS>(b_tile[turn], &cb);
        __syncthreads();
        const int64_t next = s + STEPS, left = h.n_steps - next;
        if (left > 0) {
            fetch<a_by_steps>(&ca, h.a + (a_by_steps ? next : next * h.ld_a), DTYPE_F32,
                              h.ld_a, h.n_rows, left);
            fetch<b_by_steps>(
                &cb, elem_at(h.b, h.b_dtype, b_by_steps ? next : next * h.ld_b),
                h.b_dtype, h.ld_b, h.n_cols, left);
        }
        multiply<ROWS, COLS, TR, TC>(acc, a_tile[turn], b_tile[turn], h.n_steps - s, tr,
                                     tc);
    }
#pragma unroll
    for (int r = 0; r < TR; r++)
#pragma unroll
        for (int c = 0; c < TC; c++) {
            const int i = part_at<TR, ROWS>(tr, r), j = part_at<TC, COLS>(tc, c);
            if (i < h.n_rows && j < h.n_cols)
                h.out[i * h.ld_out + j] = acc[r][c];
        }
}

template <int FORM> static void launch(struct backend *b, const struct product *p)
{
    const struct simt_shape s = {(enum simt_form)FORM, p->w.n_mats, p->w.n, p->w.k,
                                 p->m};
    const enum simt_tile t = simt_choose(&s, cuda_state(b)->n_sms);
    const dim3 grid(cuda_blocks(simt_col_blocks(&s, t), 1),
                    cuda_blocks(simt_row_blocks(&s, t), 1),
                    FORM == SIMT_DW ? (unsigned)p->w.n_mats : 1);
    CHECK(grid.y <= 65535 && grid.z <= 65535, "a grid of %u x %u", grid.y, grid.z);
    const cudaStream_t stream = cuda_stream(b);
    switch (t) {
    case SIMT_128X128:
        k_gemm<FORM, 128, 128, 8, 8><<<grid, 256, 0, stream>>>(*p);
        break;
    case SIMT_64X64:
        k_gemm<FORM, 64, 64, 4, 4><<<grid, 256, 0, stream>>>(*p);
        break;
    case SIMT_16X32:
        k_gemm<FORM, 16, 32, 4, 1><<<grid, 128, 0, stream>>>(*p);
        break;
    }
    cuda_launched(b, "matrix product");
}

static void check_weight(const struct weight *w, const int32_t *off)
{
    CHECK(w->layout == WEIGHT_PLAIN && w->n > 0 && w->k > 0,
          "layout %d, n %lld, k %lld", (int)w->layout, (long long)w->n,
          (long long)w->k);
    CHECK(w->n_mats == 1 || off != NULL, "%lld matrices without offsets",
          (long long)w->n_mats);
}

/* Elements of scratch that fp32 copies of bf16 rows take; a multiple of 256 bytes */
static int64_t wide_elems(struct rows x, int64_t n)
{
    return x.dtype == DTYPE_F32 ? 0 : (n + 63) / 64 * 64;
}

static float *wide_scratch(struct backend *b, int64_t n_elems)
{
    return n_elems == 0 ? NULL
                        : (float *)cuda_scratch(b, (size_t)n_elems * sizeof(float));
}

/* m rows of n values: as they are, or widened into scratch */
static const float *to_wide(struct backend *b, struct rows x, int64_t n, int64_t m,
                            float *scratch)
{
    if (x.dtype == DTYPE_F32)
        return (const float *)x.data;
    cuda_rows_gather(b, scratch, DTYPE_F32, x, NULL, 1, n, m);
    return scratch;
}

void cuda_gemm_fwd(struct backend *b, float *y, struct rows x, const struct weight *w,
                   const int32_t *off, int64_t m)
{
    check_weight(w, off);
    if (m == 0 || gemm_route_fwd(b, y, x, w, off, m))
        return;
    float *const scratch = wide_scratch(b, wide_elems(x, m * w->k));
    const struct product p = {y, to_wide(b, x, w->k, m, scratch), NULL, *w, off, m};
    launch<SIMT_FWD>(b, &p);
}

void cuda_gemm_dx(struct backend *b, float *dx, struct rows dy, const struct weight *w,
                  const int32_t *off, int64_t m)
{
    check_weight(w, off);
    if (m == 0 || gemm_route_dx(b, dx, dy, w, off, m))
        return;
    float *const scratch = wide_scratch(b, wide_elems(dy, m * w->n));
    const struct product p = {dx, to_wide(b, dy, w->n, m, scratch), NULL, *w, off, m};
    launch<SIMT_DX>(b, &p);
}

void cuda_gemm_dw(struct backend *b, float *dw, struct rows dy, struct rows x,
                  const struct weight *w, const int32_t *off, int64_t m)
{
    check_weight(w, off);
    if (m == 0 || gemm_route_dw(b, dw, dy, x, w, off, m))
        return;
    const int64_t n_dy = wide_elems(dy, m * w->n);
    float *const scratch = wide_scratch(b, n_dy + wide_elems(x, m * w->k));
    const float *const wide_dy = to_wide(b, dy, w->n, m, scratch);
    const float *const wide_x = to_wide(b, x, w->k, m, scratch + n_dy);
    const struct product p = {dw, wide_dy, wide_x, *w, off, m};
    launch<SIMT_DW>(b, &p);
}
