/*
 * The grouped product with mma.sync (compute capability 8.0 and later): any n and k.
 *
 * A block of 8 warps computes a 128 x 128 tile, a warp 64 x 32 of it; steps of 32 along
 * the reduction pass through a ring of stages filled by cp.async, 16 bytes a thread.
 * What lies outside a tensor or past the end of a group is never read: those bytes of
 * shared memory are set to zero. Where a line of an operand need not start on 16 bytes
 * the same loop copies element by element (slow, for odd widths only).
 *
 * Shared memory holds an operand as it lies in memory, in padded lines (gemm_padded):
 * K-major 128 lines of 32 steps, MN-major 32 lines of 128 rows; ldmatrix transposes the
 * latter. Fragments of m16n8k16: PTX ISA, "Matrix Fragments for mma.m16n8k16".
 */
#include <cuda_runtime.h>

#include "core/status.h"
#include "cuda/gemm_tensor_job.cuh"

namespace
{

enum { TILE = 128, STEP = 32, N_THREADS = 256, WARP_M = 64, WARP_N = 32 };
enum { FRAGS_M = WARP_M / 16, FRAGS_N = WARP_N / 8 };

/* Elements of one operand's tile in shared memory. */
template <bool MN> __host__ __device__ constexpr int32_t operand_elems(void)
{
    return MN ? STEP * (TILE + 8) : TILE * (STEP + 8);
}

/* Eight bf16 from src, the first n_valid of which exist, to shared memory. */
__device__ __forceinline__ void copy_chunk(uint16_t *dst, const uint16_t *src,
                                           int32_t n_valid, bool aligned)
{
    const int32_t n = n_valid <= 0 ? 0 : n_valid >= 8 ? 8 : n_valid;
    if (aligned) {
        const uint32_t to = (uint32_t)__cvta_generic_to_shared(dst);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to),
                     "l"(src), "r"(2 * n)
                     : "memory");
        return;
    }
    uint16_t v[8];
#pragma unroll
    for (int32_t i = 0; i < 8; i++)
        v[i] = i < n ? src[i] : (uint16_t)0;
    *(uint4 *)dst = make_uint4(v[0] | (uint32_t)v[1] << 16, v[2] | (uint32_t)v[3] << 16,
                               v[4] | (uint32_t)v[5] << 16,
                               v[6] | (uint32_t)v[7] << 16);
}

/* An operand in memory: lines of `width` elements, `pitch` apart. */
struct matrix {
    const uint16_t *p;
    int32_t width, pitch;
    bool aligned;
};

/* One step's tile of an operand: lines line0 .. of which those below line_end count,
 * elements i0 .. of a line. K-major: line = row; MN-major: line = reduction step. */
template <bool MN>
__device__ __forceinline__ void load_operand(uint16_t *dst, const struct matrix &from,
                                             int32_t line0, int32_t line_end,
                                             int32_t i0)
{
    constexpr int32_t line_elems = MN ? TILE : STEP, n_lines = MN ? STEP : TILE;
    constexpr int32_t chunks = line_elems / 8;
#pragma unroll
    for (int32_t c = (int32_t)threadIdx.x; c < n_lines * chunks; c += N_THREADS) {
        const int32_t line = c / chunks, i = c % chunks * 8;
        const bool exists = line0 + line < line_end && i0 + i < from.width;
        const int64_t at = (int64_t)(line0 + line) * from.pitch + i0 + i;
        copy_chunk(dst + gemm_padded(line_elems, line, i), from.p + (exists ? at : 0),
                   exists ? from.width - i0 - i : 0, from.aligned);
    }
}

struct stage {
    uint16_t *a, *b;
};

template <int FORM>
__device__ __forceinline__ void load_step(const struct gemm_job &job,
                                          const struct gemm_tile &tile,
                                          const struct stage &to, int32_t step)
{
    const int32_t n = job.space.n, k = job.space.k;
    const int32_t red = tile.red0 + step * STEP;
    const int64_t w_at = FORM == GEMM_FORM_DW ? 0 : (int64_t)tile.mat * n * k;
    const bool is_fwd = FORM == GEMM_FORM_FWD;
    const struct matrix a = {job.a, is_fwd ? k : n, is_fwd ? k : job.space.ld_dy,
                             job.a_aligned};
    const struct matrix b = {job.b + w_at, k, k, job.b_aligned};
    if constexpr (FORM == GEMM_FORM_DW) {
        load_operand<true>(to.a, a, red, tile.red_end, tile.row0);
        load_operand<true>(to.b, b, red, tile.red_end, tile.col0);
    } else if constexpr (FORM == GEMM_FORM_FWD) {
        load_operand<false>(to.a, a, tile.row0, tile.row_end, red);
        load_operand<false>(to.b, b, tile.col0, n, red);
    } else {
        load_operand<false>(to.a, a, tile.row0, tile.row_end, red);
        load_operand<true>(to.b, b, red, n, tile.col0);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <bool TRANS>
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const uint16_t *p)
{
    const uint32_t from = (uint32_t)__cvta_generic_to_shared(p);
    if (TRANS)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 "
                     "{%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(from)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(from)
                     : "memory");
}

__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* The 16 x 16 block at (row, step) of an operand as four 8 x 8 matrices: rows 0-7 and
 * 8-15 of steps 0-7, then of steps 8-15. */
template <bool MN>
__device__ __forceinline__ void load_block(uint32_t (&r)[4], const uint16_t *operand,
                                           int32_t row, int32_t step)
{
    const int32_t lane = (int32_t)threadIdx.x % 32, matrix = lane / 8;
    const int32_t row8 = row + matrix % 2 * 8, step8 = step + matrix / 2 * 8;
    if (MN)
        load_matrices<true>(r, operand + gemm_padded(TILE, step8 + lane % 8, row8));
    else
        load_matrices<false>(r, operand + gemm_padded(STEP, row8 + lane % 8, step8));
}

template <int FORM>
__device__ __forceinline__ void multiply_step(float (&acc)[FRAGS_M][FRAGS_N][4],
                                              const struct stage &from)
{
    constexpr bool mn_a = FORM == GEMM_FORM_DW, mn_b = FORM != GEMM_FORM_FWD;
    const int32_t warp = (int32_t)threadIdx.x / 32;
    const int32_t row = warp / 4 * WARP_M, col = warp % 4 * WARP_N;
#pragma unroll
    for (int32_t step = 0; step < STEP; step += 16) {
        uint32_t a[FRAGS_M][4], b[FRAGS_N / 2][4];
#pragma unroll
        for (int32_t i = 0; i < FRAGS_M; i++)
            load_block<mn_a>(a[i], from.a, row + 16 * i, step);
#pragma unroll
        for (int32_t j = 0; j < FRAGS_N / 2; j++)
            load_block<mn_b>(b[j], from.b, col + 16 * j, step);
#pragma unroll
        for (int32_t i = 0; i < FRAGS_M; i++)
#pragma unroll
            for (int32_t j = 0; j < FRAGS_N; j++)
                mma(acc[i][j], a[i], b[j / 2][j % 2], b[j / 2][j % 2 + 2]);
    }
}

/* Registers from memory (dw continues the sum there) or from zero; and to memory. */
template <bool LOAD>
__device__ __forceinline__ void move_tile(float (&acc)[FRAGS_M][FRAGS_N][4], float *out,
                                          int64_t n_cols, const struct gemm_tile &tile)
{
    const int32_t warp = (int32_t)threadIdx.x / 32, lane = (int32_t)threadIdx.x % 32;
    const int64_t row0 = tile.row0 + warp / 4 * WARP_M + lane / 4;
    const int64_t col0 = tile.col0 + warp % 4 * WARP_N + lane % 4 * 2;
#pragma unroll
    for (int32_t i = 0; i < FRAGS_M; i++)
#pragma unroll
        for (int32_t j = 0; j < FRAGS_N; j++)
#pragma unroll
            for (int32_t v = 0; v < 4; v++) {
                const int64_t row = row0 + 16 * i + v / 2 * 8,
                              col = col0 + 8 * j + v % 2;
                const bool valid = row < tile.row_end && col < n_cols;
                if (LOAD)
                    acc[i][j][v] = valid ? out[row * n_cols + col] : 0.0f;
                else if (valid)
                    out[row * n_cols + col] = acc[i][j][v];
            }
}

template <int FORM>
__device__ __forceinline__ struct stage stage_at(char *smem, int32_t i)
{
    constexpr int32_t a_elems = operand_elems<FORM == GEMM_FORM_DW>();
    constexpr int32_t b_elems = operand_elems<FORM != GEMM_FORM_FWD>();
    uint16_t *const a = (uint16_t *)smem + i * (a_elems + b_elems);
    return {a, a + a_elems};
}

template <int FORM>
__device__ __forceinline__ void compute_tile(const struct gemm_job &job, char *smem,
                                             const struct gemm_tile &tile)
{
    const int64_t n_cols = gemm_cols(&job.space);
    const int32_t n_steps = gemm_steps(&job.space, &tile), n_stages = job.n_stages;
    float *const out = job.out + (FORM == GEMM_FORM_DW
                                      ? (int64_t)tile.mat * job.space.n * job.space.k
                                      : 0);
    float acc[FRAGS_M][FRAGS_N][4] = {};
    if (FORM == GEMM_FORM_DW)
        move_tile<true>(acc, out, n_cols, tile);
    __syncthreads(); /* all warps are done with the tile before */
    for (int32_t i = 0; i < n_stages - 1; i++)
        if (i < n_steps)
            load_step<FORM>(job, tile, stage_at<FORM>(smem, i), i);
        else
            asm volatile("cp.async.commit_group;" ::: "memory");
    for (int32_t i = 0; i < n_steps; i++) {
        /* one group is committed per step, so group i is complete when at most
         * GEMM_MMA_STAGES - 2 later ones are not */
        asm volatile("cp.async.wait_group %0;" ::"n"(GEMM_MMA_STAGES - 2) : "memory");
        __syncthreads(); /* stage i is there; stage i - 1 has been read by all */
        const int32_t next = i + n_stages - 1;
        if (next < n_steps)
            load_step<FORM>(job, tile, stage_at<FORM>(smem, next % n_stages), next);
        else
            asm volatile("cp.async.commit_group;" ::: "memory");
        multiply_step<FORM>(acc, stage_at<FORM>(smem, i % n_stages));
    }
    move_tile<false>(acc, out, n_cols, tile);
}

template <int FORM>
__global__ void __launch_bounds__(N_THREADS, 2)
    k_gemm_mma(const __grid_constant__ struct gemm_job job)
{
    extern __shared__ __align__(16) char smem[];
    const struct stage end = stage_at<FORM>(smem, job.n_stages);
    int32_t *const base = (int32_t *)end.a;
    int32_t *const row_off = base + job.space.n_mats + 1;
    gemm_build_lists(job, base, row_off);
    __syncthreads();
    const int32_t n_tiles = base[job.space.n_mats];
    for (int32_t t = (int32_t)blockIdx.x; t < n_tiles; t += (int32_t)gridDim.x)
        compute_tile<FORM>(job, smem, gemm_tile_at(&job.space, base, row_off, t));
}

typedef void (*kernel_fn)(const struct gemm_job);

kernel_fn kernel_of(enum gemm_form form)
{
    static const kernel_fn kernels[] = {
        k_gemm_mma<GEMM_FORM_FWD>, k_gemm_mma<GEMM_FORM_DX>, k_gemm_mma<GEMM_FORM_DW>};
    return kernels[form];
}

} // namespace

int gemm_tensor_prepare_mma(const struct gemm_device *device)
{
    for (int form = GEMM_FORM_FWD; form <= GEMM_FORM_DW; form++) {
        const cudaError_t e = cudaFuncSetAttribute(
            (const void *)kernel_of((enum gemm_form)form),
            cudaFuncAttributeMaxDynamicSharedMemorySize, (int)device->smem_bytes);
        if (e != cudaSuccess)
            return ERR(ERR_DEVICE, "mma kernel: %s", cudaGetErrorString(e));
    }
    return 0;
}

int gemm_tensor_launch_mma(cudaStream_t stream, const struct gemm_plan *plan,
                           const struct gemm_job *job)
{
    kernel_of(plan->form)<<<(unsigned)plan->grid, (unsigned)plan->n_threads,
                            (size_t)plan->smem_bytes, stream>>>(*job);
    const cudaError_t e = cudaGetLastError();
    if (e != cudaSuccess)
        return ERR(ERR_DEVICE, "mma kernel: %s", cudaGetErrorString(e));
    return 0;
}
