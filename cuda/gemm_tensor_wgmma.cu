/*
 * The grouped product on Hopper's tensor cores (sm_90a): TMA into a ring of stages,
 * wgmma out of them.
 *
 * A block is one producer warpgroup and N_CONSUMERS consumer warpgroups; consumer c
 * owns rows 64 c .. 64 c + 63 of the block's output tile, TILE_N columns wide, in its
 * registers. Producer and consumers walk the same tiles (gemm_tensor_tile.h) and the
 * same steps of 64 along the reduction. Stage s of the ring: full[s] completes when the
 * bytes of both operands have landed, empty[s] when all consumers have read them.
 *
 * Operands: fwd x K-major, W K-major; dx dy K-major, W MN-major; dw dy and x MN-major.
 * TMA fills with zeros what lies outside a tensor: past the reduction's end in fwd and
 * dx, past a matrix's last row or column. It cannot know where a group of rows ends:
 *  - fwd, dx: rows of the next group go into accumulators that are not stored;
 *  - dw: the last step of a group may hold rows of the next one. Consumers overwrite
 *    them with zeros in both operands (0 * NaN would be NaN) before they multiply.
 */
#include <cuda.h>
#include <cuda_runtime.h>

#include "core/status.h"
#include "cuda/gemm_tensor_job.cuh"
#include "cuda/gemm_tensor_wgmma.cuh"

#ifndef GEMM_STAGED
#define GEMM_STAGED 1
#endif

namespace
{

enum {
    WARPGROUP = 128,
    STEP = 64,              /* reduction steps per stage: one swizzled line */
    BLOCK_BYTES = 64 * 128, /* 64 rows by 64 steps, in either order */
    MAX_STAGES = 8,
    /* of a warp: two buffers */
    STAGING_FLOATS = 2 * GEMM_STAGING_LINES * (GEMM_STAGING_WIDTH + GEMM_STAGING_PAD),
    REGS_PRODUCER = 40, /* (40 + 2 * 232) * 128 <= 65536 registers */
    REGS_CONSUMER = 232
};

/* Shared memory, from a base that is a multiple of 1024 bytes. */
struct ring {
    char *stages;
    uint64_t *full, *empty;
    float *staging;
    int32_t *base, *row_off;
    int32_t n_stages, stage_bytes;
};

/* Where in the ring a role stands; parity flips at each turn. */
struct cursor {
    int32_t stage;
    uint32_t parity;
};

__device__ __forceinline__ void advance(struct cursor &c, int32_t n_stages)
{
    if (++c.stage == n_stages) {
        c.stage = 0;
        c.parity ^= 1;
    }
}

/* Operand B of one step. The blocks of a cluster have it in common: each loads its
 * share and sends it to all. */
template <int FORM, int TILE_N, int CLUSTER>
__device__ __forceinline__ void load_b(char *b, const CUtensorMap *map, uint64_t *full,
                                       const struct gemm_tile &tile, int32_t red,
                                       int32_t rank)
{
    const int32_t col = tile.col0;
    constexpr int32_t share = TILE_N / CLUSTER;
    constexpr uint16_t all = (1 << CLUSTER) - 1;
    if constexpr (FORM == GEMM_FORM_FWD) {
        char *const dst = b + rank * share * 128;
        if constexpr (CLUSTER == 1)
            tma_load(dst, map, full, red, col, tile.mat);
        else
            tma_load_all(dst, map, full, red, col + rank * share, tile.mat, all);
    } else {
#pragma unroll
        for (int32_t i = 0; i < share / 64; i++) {
            const int32_t j = rank * (share / 64) + i, x = col + 64 * j;
            char *const dst = b + j * BLOCK_BYTES;
            if constexpr (FORM == GEMM_FORM_DX && CLUSTER == 1)
                tma_load(dst, map, full, x, red, tile.mat);
            else if constexpr (FORM == GEMM_FORM_DX)
                tma_load_all(dst, map, full, x, red, tile.mat, all);
            else if constexpr (CLUSTER == 1)
                tma_load(dst, map, full, x, red);
            else
                tma_load_all(dst, map, full, x, red, all);
        }
    }
}

template <int FORM, int N_CONSUMERS>
__device__ __forceinline__ void load_a(char *a, const CUtensorMap *map, uint64_t *full,
                                       const struct gemm_tile &tile, int32_t red)
{
    const int32_t row = tile.row0;
    if constexpr (FORM == GEMM_FORM_DW) {
#pragma unroll
        for (int32_t i = 0; i < N_CONSUMERS; i++)
            tma_load(a + i * BLOCK_BYTES, map, full, row + 64 * i, red);
    } else {
        tma_load(a, map, full, red, row);
    }
}

/* Tile number t of this block: tile numbers count the tiles of whole clusters, whose
 * blocks lie below each other. Rows past the end are computed and not stored. */
template <int CLUSTER>
__device__ __forceinline__ struct gemm_tile own_tile(const struct gemm_space &space,
                                                     const struct ring &ring, int32_t t)
{
    struct gemm_tile tile = gemm_tile_at(&space, ring.base, ring.row_off, t);
    if (CLUSTER > 1)
        tile.row0 += (int32_t)cluster_rank() * (space.tile_m / CLUSTER);
    return tile;
}

template <int FORM, int N_CONSUMERS, int TILE_N, int CLUSTER>
__device__ __forceinline__ void
produce(const struct gemm_space &space, const struct ring &ring,
        const CUtensorMap *map_a, const CUtensorMap *map_b)
{
    const int32_t n_tiles = ring.base[space.n_mats];
    const int32_t turn = (int32_t)gridDim.x / CLUSTER;
    const int32_t rank = CLUSTER > 1 ? (int32_t)cluster_rank() : 0;
    struct cursor at = {0, 0};
    for (int32_t t = (int32_t)blockIdx.x / CLUSTER; t < n_tiles; t += turn) {
        const struct gemm_tile tile = own_tile<CLUSTER>(space, ring, t);
        const int32_t n_steps = gemm_steps(&space, &tile);
        for (int32_t i = 0; i < n_steps; i++) {
            char *const a = ring.stages + at.stage * ring.stage_bytes;
            uint64_t *const full = ring.full + at.stage;
            const int32_t red = tile.red0 + i * STEP;
            /* the first turn finds every stage free: the parity before the first */
            barrier_wait(ring.empty + at.stage, at.parity ^ 1);
            barrier_expect(full, (uint32_t)ring.stage_bytes);
            load_a<FORM, N_CONSUMERS>(a, map_a, full, tile, red);
            load_b<FORM, TILE_N, CLUSTER>(a + N_CONSUMERS * BLOCK_BYTES, map_b, full,
                                          tile, red, rank);
            advance(at, ring.n_stages);
        }
    }
}

/* This warp has read the stage: tell every block that fills it. */
template <int CLUSTER>
__device__ __forceinline__ void release_stage(const struct ring &ring, int32_t stage)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
    if (CLUSTER == 1 && lane == 0)
        barrier_arrive(ring.empty + stage);
    if (CLUSTER > 1 && lane < CLUSTER)
        barrier_arrive_at(ring.empty + stage, (uint32_t)lane);
}

/* dw: zero steps n_valid .. 63 of all blocks of a stage, lines of 128 bytes (swizzling
 * permutes bytes within a line only). All consumers take part. */
template <int N_CONSUMERS, int TILE_N>
__device__ __forceinline__ void zero_tail(char *stage, int32_t n_valid)
{
    const int32_t n_blocks = N_CONSUMERS + TILE_N / 64, n_lines = 64 - n_valid;
    for (int32_t i = (int32_t)threadIdx.x - WARPGROUP; i < n_blocks * n_lines * 8;
         i += N_CONSUMERS * WARPGROUP) {
        const int32_t line = i / 8 % n_lines, block = i / 8 / n_lines;
        *(uint4 *)(stage + block * BLOCK_BYTES + (n_valid + line) * 128 +
                   i % 8 * 16) = make_uint4(0, 0, 0, 0);
    }
    fence_async_proxy();
    named_barrier(1, N_CONSUMERS * WARPGROUP);
}

/* acc += one stage: four products of 16 steps, left in flight. */
template <int FORM, int TILE_N>
__device__ __forceinline__ void multiply_step(float (&acc)[TILE_N / 2], const char *a,
                                              const char *b, bool from_zero)
{
    constexpr bool mn_a = FORM == GEMM_FORM_DW, mn_b = FORM != GEMM_FORM_FWD;
    const uint64_t at_a = gemm_descriptor(smem_address(a), mn_a);
    const uint64_t at_b = gemm_descriptor(smem_address(b), mn_b);
    wgmma_fence();
#pragma unroll
    for (int32_t i = 0; i < STEP / 16; i++)
        wgmma_product<mn_a, mn_b>(acc, at_a + i * gemm_descriptor_step(mn_a),
                                  at_b + i * gemm_descriptor_step(mn_b),
                                  i > 0 || !from_zero);
    wgmma_commit();
}

/* Where a warp's 16 rows of a tile lie in the output. */
struct place {
    float *p;                      /* its first element */
    int32_t n_rows, n_cols, pitch; /* those that exist, from there on (<= 0: none) */
};

template <int FORM>
__device__ __forceinline__ struct place
place_of(const struct gemm_job &job, const struct gemm_tile &tile, int32_t first_row)
{
    const struct gemm_space &space = job.space;
    const int32_t row = tile.row0 + first_row, n_cols = gemm_cols(&space);
    const int64_t origin = FORM == GEMM_FORM_DW ? (int64_t)tile.mat * space.n : 0;
    return {job.out + (origin + row) * n_cols + tile.col0, tile.row_end - row,
            n_cols - tile.col0, n_cols};
}

/* Registers to memory or back: a thread has pairs of columns of rows r and r + 8. */
template <bool LOAD, int WIDTH>
__device__ __forceinline__ void move_tile(float (&acc)[WIDTH / 2],
                                          const struct place &at)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const int32_t row = gemm_acc_row(lane, 0), col = gemm_acc_col(lane, 0);
#pragma unroll
    for (int32_t h = 0; h < 2; h++) {
        float *const line = at.p + (int64_t)(row + 8 * h) * at.pitch + col;
        const int32_t n_valid = row + 8 * h < at.n_rows ? at.n_cols : 0;
#pragma unroll
        for (int32_t j = 0; j < WIDTH / 8; j++) {
            const bool valid = 8 * j < n_valid;
            float2 *const pair = (float2 *)(line + 8 * j);
            if (LOAD) {
                const float2 v = valid ? *pair : make_float2(0, 0);
                acc[4 * j + 2 * h] = v.x;
                acc[4 * j + 2 * h + 1] = v.y;
            } else if (valid) {
                *pair = make_float2(acc[4 * j + 2 * h], acc[4 * j + 2 * h + 1]);
            }
        }
    }
}

/* To memory element by element: for rows that do not start on 16 bytes. */
template <int WIDTH>
__device__ __forceinline__ void store_tile(const float (&acc)[WIDTH / 2],
                                           const struct place &at)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
#pragma unroll
    for (int32_t i = 0; i < WIDTH / 2; i++) {
        const int32_t row = gemm_acc_row(lane, i), col = gemm_acc_col(lane, i);
        if (row < at.n_rows && col < at.n_cols)
            at.p[(int64_t)row * at.pitch + col] = acc[i];
    }
}

/* The same to memory by way of shared memory: the warp lays 8 rows by 128 columns down
 * in padded lines (no two of a half-warp's 8-byte stores meet in a bank) and eight of
 * its threads send a line each, asynchronously; two such buffers take turns. */
template <int WIDTH>
__device__ __forceinline__ void send_tile(const float (&acc)[WIDTH / 2],
                                          const struct place &at, float *staging)
{
    constexpr int32_t width = WIDTH < GEMM_STAGING_WIDTH ? WIDTH : GEMM_STAGING_WIDTH;
    constexpr int32_t pitch = width + GEMM_STAGING_PAD;
    const int32_t lane = (int32_t)threadIdx.x % 32;
    float *const own = staging + gemm_acc_row(lane, 0) * pitch + gemm_acc_col(lane, 0);
#pragma unroll
    for (int32_t part = 0; part < 2 * WIDTH / width; part++) {
        const int32_t h = part % 2, j0 = part / 2 * (width / 8);
        if (lane < 8)
            bulk_wait_read<1>();
        __syncwarp();
#pragma unroll
        for (int32_t j = 0; j < width / 8; j++)
            *(float2 *)(own + h * 8 * pitch + 8 * j) = make_float2(
                acc[4 * (j0 + j) + 2 * h], acc[4 * (j0 + j) + 2 * h + 1]);
        fence_async_proxy();
        __syncwarp();
        if (lane < 8) {
            const int32_t row = 8 * h + lane, left = at.n_cols - 8 * j0;
            if (row < at.n_rows && left > 0)
                bulk_store(at.p + (int64_t)row * at.pitch + 8 * j0,
                           staging + row * pitch,
                           (uint32_t)(left < width ? left : width) * 4);
            bulk_commit();
        }
    }
}

/* Widths of dx and dw are multiples of 8, that of y need not be. */
template <int FORM, int WIDTH>
__device__ __forceinline__ void put_tile(float (&acc)[WIDTH / 2],
                                         const struct place &at, float *staging)
{
    if (FORM == GEMM_FORM_FWD && at.pitch % 4 != 0)
        store_tile<WIDTH>(acc, at);
    else if (GEMM_STAGED)
        send_tile<WIDTH>(acc, at, staging);
    else
        move_tile<false, WIDTH>(acc, at);
}

template <int FORM, int N_CONSUMERS, int TILE_N, int CLUSTER>
__device__ __forceinline__ void consume(const struct gemm_job &job,
                                        const struct ring &ring, int32_t consumer)
{
    const struct gemm_space &space = job.space;
    const int32_t n_tiles = ring.base[space.n_mats];
    const int32_t turn = (int32_t)gridDim.x / CLUSTER;
    const int32_t first = (int32_t)blockIdx.x / CLUSTER;
    const int32_t warp = (int32_t)threadIdx.x % WARPGROUP / 32;
    const int32_t first_row = 64 * consumer + 16 * warp;
    float *const staging = ring.staging + (consumer * 4 + warp) * STAGING_FLOATS;
    struct cursor at = {0, 0};
    struct gemm_tile next = {};
    if (first < n_tiles)
        next = own_tile<CLUSTER>(space, ring, first);
    float acc[TILE_N / 2];
    for (int32_t t = first; t < n_tiles; t += turn) {
        const struct gemm_tile tile = next;
        const int32_t n_steps = gemm_steps(&space, &tile);
        const struct place out = place_of<FORM>(job, tile, first_row);
        if (FORM == GEMM_FORM_DW)
            move_tile<true, TILE_N>(acc, out);
        int32_t previous = -1;
        for (int32_t i = 0; i < n_steps; i++) {
            char *const stage = ring.stages + at.stage * ring.stage_bytes;
            barrier_wait(ring.full + at.stage, at.parity);
            if (FORM == GEMM_FORM_DW && i == n_steps - 1) {
                const int32_t left = tile.red_end - tile.red0 - i * STEP;
                if (left < STEP)
                    zero_tail<N_CONSUMERS, TILE_N>(stage, left);
            }
            multiply_step<FORM, TILE_N>(acc, stage + consumer * BLOCK_BYTES,
                                        stage + N_CONSUMERS * BLOCK_BYTES,
                                        FORM != GEMM_FORM_DW && i == 0);
            wgmma_wait<1>(); /* the step before this one has been read */
            if (previous >= 0)
                release_stage<CLUSTER>(ring, previous);
            previous = at.stage;
            advance(at, ring.n_stages);
        }
        if (t + turn < n_tiles) /* found while the tensor core works */
            next = own_tile<CLUSTER>(space, ring, t + turn);
        wgmma_wait<0>();
        release_stage<CLUSTER>(ring, previous);
        put_tile<FORM, TILE_N>(acc, out, staging);
    }
}

template <int FORM, int N_CONSUMERS, int TILE_N, int CLUSTER>
__global__ void __launch_bounds__(WARPGROUP *(1 + N_CONSUMERS), 1)
    k_gemm_wgmma(const __grid_constant__ CUtensorMap map_a,
                 const __grid_constant__ CUtensorMap map_b,
                 const __grid_constant__ struct gemm_job job)
{
    extern __shared__ __align__(1024) char smem[];
    struct ring ring;
    ring.n_stages = job.n_stages;
    ring.stage_bytes = (N_CONSUMERS + TILE_N / 64) * BLOCK_BYTES;
    ring.stages = smem;
    ring.staging = (float *)(smem + ring.n_stages * ring.stage_bytes);
    ring.full = (uint64_t *)(ring.staging +
                             (GEMM_STAGED ? N_CONSUMERS * 4 * STAGING_FLOATS : 0));
    ring.empty = ring.full + MAX_STAGES;
    ring.base = (int32_t *)(ring.empty + MAX_STAGES);
    ring.row_off = ring.base + job.space.n_mats + 1;
    gemm_build_lists(job, ring.base, ring.row_off);
    if (threadIdx.x == 0) {
        tma_prefetch_map(&map_a);
        tma_prefetch_map(&map_b);
        for (int32_t s = 0; s < ring.n_stages; s++) {
            barrier_init(ring.full + s, 1);
            barrier_init(ring.empty + s, CLUSTER * N_CONSUMERS * WARPGROUP / 32);
        }
        barrier_init_fence();
    }
    __syncthreads();
    if (CLUSTER > 1)
        cluster_sync(); /* the other block's barriers are initialised too */
    const int32_t warpgroup = (int32_t)threadIdx.x / WARPGROUP;
    if (warpgroup == 0) {
        if (N_CONSUMERS > 1)
            registers_give<REGS_PRODUCER>();
        if (threadIdx.x == 0)
            produce<FORM, N_CONSUMERS, TILE_N, CLUSTER>(job.space, ring, &map_a,
                                                        &map_b);
        __syncwarp();
    } else {
        if (N_CONSUMERS > 1)
            registers_take<REGS_CONSUMER>();
        consume<FORM, N_CONSUMERS, TILE_N, CLUSTER>(job, ring, warpgroup - 1);
        if (GEMM_STAGED)
            bulk_wait_read<0>(); /* shared memory outlives the last copy */
    }
    if (CLUSTER > 1)
        cluster_sync(); /* no block leaves while another may still signal it */
}

typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                              const cuuint64_t *, const cuuint64_t *,
                              const cuuint32_t *, const cuuint32_t *,
                              CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* A bf16 tensor (n_mats, height, width), or (height, width) if n_mats is 0, of rows
 * `pitch` apart; boxes of 64 columns and box_rows rows. */
int encode(void *encode_tiled, CUtensorMap *map, const uint16_t *p, int64_t n_mats,
           int64_t height, int64_t width, int64_t pitch, int32_t box_rows)
{
    const encode_fn call = (encode_fn)encode_tiled;
    const cuuint64_t dims[3] = {(cuuint64_t)width, (cuuint64_t)height,
                                (cuuint64_t)n_mats};
    const cuuint64_t strides[2] = {(cuuint64_t)pitch * 2,
                                   (cuuint64_t)(height * pitch) * 2};
    const cuuint32_t box[3] = {64, (cuuint32_t)box_rows, 1};
    const cuuint32_t step[3] = {1, 1, 1};
    const CUresult r = call(
        map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, n_mats == 0 ? 2 : 3, (void *)p, dims,
        strides, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (r != CUDA_SUCCESS)
        return ERR(ERR_DEVICE, "tensor map of (%lld, %lld, %lld): driver error %d",
                   (long long)n_mats, (long long)height, (long long)width, (int)r);
    return 0;
}

typedef void (*kernel_fn)(const CUtensorMap, const CUtensorMap, const struct gemm_job);

template <int FORM> kernel_fn kernel_of_form(const struct gemm_plan *p)
{
    if (p->cluster == 2)
        return k_gemm_wgmma<FORM, 2, 256, 2>;
    if (p->n_consumers == 2)
        return k_gemm_wgmma<FORM, 2, 256, 1>;
    return p->tile_n == 64 ? k_gemm_wgmma<FORM, 1, 64, 1>
                           : k_gemm_wgmma<FORM, 1, 256, 1>;
}

kernel_fn kernel_of(const struct gemm_plan *p)
{
    if (p->form == GEMM_FORM_DW)
        return p->cluster == 2 ? k_gemm_wgmma<GEMM_FORM_DW, 2, 256, 2>
                               : k_gemm_wgmma<GEMM_FORM_DW, 2, 256, 1>;
    return p->form == GEMM_FORM_FWD ? kernel_of_form<GEMM_FORM_FWD>(p)
                                    : kernel_of_form<GEMM_FORM_DX>(p);
}

} // namespace

int gemm_tensor_prepare_wgmma(const struct gemm_device *device)
{
    static const struct gemm_shape any = {1, 64, 64, 64};
    for (int form = GEMM_FORM_FWD; form <= GEMM_FORM_DW; form++)
        for (int tile = 0; tile < GEMM_N_TILES; tile++) {
            struct gemm_plan plan;
            gemm_plan_wgmma(&plan, (enum gemm_form)form, &any, device,
                            (enum gemm_wgmma_tile)tile);
            const cudaError_t e = cudaFuncSetAttribute(
                (const void *)kernel_of(&plan),
                cudaFuncAttributeMaxDynamicSharedMemorySize, (int)device->smem_bytes);
            if (e != cudaSuccess)
                return ERR(ERR_DEVICE, "wgmma kernel: %s", cudaGetErrorString(e));
        }
    return 0;
}

int gemm_tensor_launch_wgmma(cudaStream_t stream, const struct gemm_plan *plan,
                             const struct gemm_job *job, void *encode_tiled)
{
    const struct gemm_space *const s = &job->space;
    CUtensorMap map_a, map_b;
    const bool is_fwd = plan->form == GEMM_FORM_FWD, is_dw = plan->form == GEMM_FORM_DW;
    TRY(encode(encode_tiled, &map_a, job->a, 0, s->m, is_fwd ? s->k : s->n,
               is_fwd ? s->k : s->ld_dy, is_dw ? STEP : plan->tile_m));
    TRY(encode(encode_tiled, &map_b, job->b, is_dw ? 0 : s->n_mats, is_dw ? s->m : s->n,
               s->k, s->k, is_fwd ? plan->tile_n / plan->cluster : STEP));
    struct cudaLaunchConfig_st config = {};
    struct cudaLaunchAttribute_st cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {(unsigned)plan->cluster, 1, 1};
    config.gridDim = dim3((unsigned)plan->grid);
    config.blockDim = dim3((unsigned)plan->n_threads);
    config.dynamicSmemBytes = (size_t)plan->smem_bytes;
    config.stream = stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    const cudaError_t e = cudaLaunchKernelEx(&config, kernel_of(plan), map_a, map_b,
                                             *job);
    if (e != cudaSuccess)
        return ERR(ERR_DEVICE, "wgmma kernel: %s", cudaGetErrorString(e));
    return 0;
}
