/*
 * The grouped product on Hopper's tensor cores (sm_90a): TMA into a ring of stages,
 * wgmma out of them, TMA from shared memory to the result.
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
#include "cuda/gemm_tensor_result.cuh"
#include "cuda/gemm_tensor_wgmma.cuh"

namespace
{

enum {
    WARPGROUP = 128,
    STEP = 64,              /* reduction steps per stage: one swizzled line */
    BLOCK_BYTES = 64 * 128, /* 64 rows by 64 steps, in either order */
    MAX_STAGES = 8,
    REGS_PRODUCER = 40, /* (40 + 2 * 232) * 128 <= 65536 registers */
    REGS_CONSUMER = 232
};

/* The three tensor maps: both operands, and the result as one matrix. */
struct maps {
    CUtensorMap a, b, out;
};

/* Shared memory, from a base that is a multiple of 1024 bytes. */
struct ring {
    char *stages, *boxes;
    uint64_t *full, *empty;
    uint64_t *landed; /* dw: for each warp's boxes */
    int32_t *base, *row_off;
    int32_t n_stages, stage_bytes;
};

/* Consumers of this tile that have rows: the last tile of a group may need one only. */
template <int N_CONSUMERS>
__device__ __forceinline__ int32_t n_busy(const struct gemm_tile &tile)
{
    return tile.row_end - tile.row0 > 64 ? N_CONSUMERS : 1;
}

template <int FORM, int N_CONSUMERS, int TILE_N>
__device__ __forceinline__ void load_step(const struct gemm_tile &tile, int32_t red,
                                          char *a, uint64_t *full,
                                          const struct maps &maps)
{
    const int32_t row = tile.row0, col = tile.col0;
    char *const b = a + N_CONSUMERS * BLOCK_BYTES;
    for (int32_t i = 0; i < n_busy<N_CONSUMERS>(tile); i++) {
        const int32_t x = FORM == GEMM_FORM_DW ? row + 64 * i : red;
        const int32_t y = FORM == GEMM_FORM_DW ? red : row + 64 * i;
        tma_load(a + i * BLOCK_BYTES, &maps.a, full, x, y);
    }
    if constexpr (FORM == GEMM_FORM_FWD) {
        tma_load(b, &maps.b, full, red, col, tile.mat);
    } else {
#pragma unroll
        for (int32_t j = 0; j < TILE_N / 64; j++) {
            char *const block = b + j * BLOCK_BYTES;
            if (FORM == GEMM_FORM_DX)
                tma_load(block, &maps.b, full, col + 64 * j, red, tile.mat);
            else
                tma_load(block, &maps.b, full, col + 64 * j, red);
        }
    }
}

template <int FORM, int N_CONSUMERS, int TILE_N>
__device__ __forceinline__ void produce(const struct gemm_space &space,
                                        const struct ring &ring,
                                        const struct maps &maps)
{
    const int32_t n_tiles = ring.base[space.n_mats];
    struct ring_cursor at = {0, 0};
    for (int32_t t = (int32_t)blockIdx.x; t < n_tiles; t += (int32_t)gridDim.x) {
        const struct gemm_tile tile = gemm_tile_at(&space, ring.base, ring.row_off, t);
        const int32_t n_steps = gemm_steps(&space, &tile);
        const int32_t n_bytes = (n_busy<N_CONSUMERS>(tile) + TILE_N / 64) * BLOCK_BYTES;
        for (int32_t i = 0; i < n_steps; i++) {
            uint64_t *const full = ring.full + at.stage;
            /* the first turn finds every stage free: the parity before the first */
            barrier_wait(ring.empty + at.stage, at.parity ^ 1);
            barrier_expect(full, (uint32_t)n_bytes);
            load_step<FORM, N_CONSUMERS, TILE_N>(
                tile, tile.red0 + i * STEP, ring.stages + at.stage * ring.stage_bytes,
                full, maps);
            ring_advance(at, ring.n_stages);
        }
    }
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

/* This warp has read the stage. */
__device__ __forceinline__ void release_stage(const struct ring &ring, int32_t stage)
{
    if (threadIdx.x % 32 == 0)
        barrier_arrive(ring.empty + stage);
}

/* dw: the last step may hold rows of the next group. */
template <int FORM, int N_CONSUMERS, int TILE_N>
__device__ __forceinline__ void cut_tail(char *stage, const struct gemm_tile &tile,
                                         int32_t step)
{
    const int32_t left = tile.red_end - tile.red0 - step * STEP;
    if (FORM == GEMM_FORM_DW && left < STEP)
        zero_tail<N_CONSUMERS, TILE_N>(stage, left);
}

/* A tile without rows for this consumer: let its stages pass. */
__device__ __forceinline__ void pass_tile(const struct ring &ring, int32_t n_steps,
                                          struct ring_cursor &at)
{
    for (int32_t i = 0; i < n_steps; i++) {
        barrier_wait(ring.full + at.stage, at.parity);
        release_stage(ring, at.stage);
        ring_advance(at, ring.n_stages);
    }
}

/* Tile number t, and this warp's place in it. */
__device__ __forceinline__ struct gemm_tile tile_at(const struct gemm_job &job,
                                                    const struct ring &ring, int32_t t)
{
    return gemm_tile_at(&job.space, ring.base, ring.row_off, t);
}

template <int FORM>
__device__ __forceinline__ struct place place_at(const struct gemm_job &job,
                                                 const struct ring &ring, int32_t t,
                                                 int32_t first_row)
{
    return place_of<FORM>(job, tile_at(job, ring, t), first_row);
}

template <int FORM, int N_CONSUMERS, int TILE_N>
__device__ __forceinline__ void consume(const struct gemm_job &job,
                                        const struct ring &ring,
                                        const CUtensorMap *map_out, int32_t consumer)
{
    const int32_t n_tiles = ring.base[job.space.n_mats], turn = (int32_t)gridDim.x;
    const int32_t warp = __shfl_sync(0xffffffffu, (int32_t)threadIdx.x % WARPGROUP / 32,
                                     0);
    const int32_t first_row = 64 * consumer + 16 * warp;
    char *const boxes = ring.boxes +
                        (consumer * 4 + warp) * GEMM_N_BOXES * GEMM_BOX_BYTES;
    struct ring_cursor at = {0, 0};
    struct gemm_tile next = {};
    if ((int32_t)blockIdx.x < n_tiles)
        next = tile_at(job, ring, (int32_t)blockIdx.x);
    constexpr bool is_dw = FORM == GEMM_FORM_DW;
    struct boxes own = {boxes, ring.landed + (consumer * 4 + warp) * GEMM_N_BOXES,
                        map_out, 0};
    float acc[TILE_N / 2];
    if (is_dw && (int32_t)blockIdx.x < n_tiles) {
        const struct place in = place_of<FORM>(job, next, first_row);
        expect_tile<TILE_N>(own, in);
        turn_tile<TILE_N>(acc, own, place{}, in);
    }
    for (int32_t t = (int32_t)blockIdx.x; t < n_tiles; t += turn) {
        const struct gemm_tile tile = next;
        const int32_t n_steps = gemm_steps(&job.space, &tile);
        const bool is_last = t + turn >= n_tiles;
        if (!is_dw && N_CONSUMERS > 1 && consumer >= n_busy<N_CONSUMERS>(tile)) {
            pass_tile(ring, n_steps, at);
            if (!is_last)
                next = tile_at(job, ring, t + turn);
            continue;
        }
        int32_t previous = -1;
        for (int32_t i = 0; i < n_steps; i++) {
            char *const stage = ring.stages + at.stage * ring.stage_bytes;
            barrier_wait(ring.full + at.stage, at.parity);
            cut_tail<FORM, N_CONSUMERS, TILE_N>(stage, tile, i);
            multiply_step<FORM, TILE_N>(acc, stage + consumer * BLOCK_BYTES,
                                        stage + N_CONSUMERS * BLOCK_BYTES,
                                        !is_dw && i == 0);
            if (is_dw && i == 0 && !is_last)
                expect_tile<TILE_N>(own,
                                    place_at<FORM>(job, ring, t + turn, first_row));
            wgmma_wait<1>(); /* the step before this one has been read */
            if (previous >= 0)
                release_stage(ring, previous);
            previous = at.stage;
            ring_advance(at, ring.n_stages);
        }
        if (!is_last) /* found while the tensor core works */
            next = tile_at(job, ring, t + turn);
        wgmma_settle(acc);
        release_stage(ring, previous);
        const struct place out = place_of<FORM>(job, tile, first_row);
        if (is_dw)
            turn_tile<TILE_N>(acc, own, out,
                              is_last ? place{} : place_of<FORM>(job, next, first_row));
        else
            put_tile<FORM, TILE_N>(acc, out, map_out, boxes);
    }
    bulk_wait_read<0>(); /* shared memory outlives the last store */
}

template <int FORM, int N_CONSUMERS, int TILE_N>
__global__ void __launch_bounds__(WARPGROUP *(1 + N_CONSUMERS), TILE_N == 64 ? 2 : 1)
    k_gemm_wgmma(const __grid_constant__ struct maps maps,
                 const __grid_constant__ struct gemm_job job)
{
    extern __shared__ __align__(1024) char smem[];
    struct ring ring;
    ring.n_stages = job.n_stages;
    ring.stage_bytes = (N_CONSUMERS + TILE_N / 64) * BLOCK_BYTES;
    ring.stages = smem;
    ring.boxes = smem + ring.n_stages * ring.stage_bytes;
    ring.full = (uint64_t *)(ring.boxes +
                             N_CONSUMERS * 4 * GEMM_N_BOXES * GEMM_BOX_BYTES);
    ring.empty = ring.full + MAX_STAGES;
    ring.landed = ring.empty + MAX_STAGES;
    ring.base = (int32_t *)(ring.landed + 2 * 4 * GEMM_N_BOXES);
    ring.row_off = ring.base + job.space.n_mats + 1;
    gemm_build_lists(job, ring.base, ring.row_off);
    if (threadIdx.x == 0) {
        tma_prefetch_map(&maps.a);
        tma_prefetch_map(&maps.b);
        tma_prefetch_map(&maps.out);
        for (int32_t s = 0; s < ring.n_stages; s++) {
            barrier_init(ring.full + s, 1);
            barrier_init(ring.empty + s, N_CONSUMERS * WARPGROUP / 32);
        }
        for (int32_t i = 0; i < N_CONSUMERS * 4 * GEMM_N_BOXES; i++)
            barrier_init(ring.landed + i, 1);
        barrier_init_fence();
    }
    __syncthreads();
    /* from one lane: the compiler then knows that a warp does not diverge here */
    const int32_t warpgroup = __shfl_sync(0xffffffffu, (int32_t)threadIdx.x / WARPGROUP,
                                          0);
    if (warpgroup == 0) {
        if (N_CONSUMERS > 1)
            registers_give<REGS_PRODUCER>();
        if (threadIdx.x == 0)
            produce<FORM, N_CONSUMERS, TILE_N>(job.space, ring, maps);
    } else {
        if (N_CONSUMERS > 1)
            registers_take<REGS_CONSUMER>();
        consume<FORM, N_CONSUMERS, TILE_N>(job, ring, &maps.out, warpgroup - 1);
    }
}

typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                              const cuuint64_t *, const cuuint64_t *,
                              const cuuint32_t *, const cuuint32_t *,
                              CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* A tensor (n_mats, height, width), or (height, width) if n_mats is 0, of rows `pitch`
 * elements apart, cut into boxes of box_rows rows and 128 bytes of columns. */
struct tensor {
    const void *p;
    int64_t n_mats, height, width, pitch;
    int32_t box_rows;
    bool is_float; /* else bf16 */
};

int encode(void *encode_tiled, CUtensorMap *map, const struct tensor *t)
{
    const encode_fn call = (encode_fn)encode_tiled;
    const int64_t elem = t->is_float ? 4 : 2;
    const cuuint64_t dims[3] = {(cuuint64_t)t->width, (cuuint64_t)t->height,
                                (cuuint64_t)t->n_mats};
    const cuuint64_t strides[2] = {(cuuint64_t)(t->pitch * elem),
                                   (cuuint64_t)(t->height * t->pitch * elem)};
    const cuuint32_t box[3] = {(cuuint32_t)(128 / elem), (cuuint32_t)t->box_rows, 1};
    const cuuint32_t step[3] = {1, 1, 1};
    const CUresult r = call(
        map,
        t->is_float ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                    : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        t->n_mats == 0 ? 2 : 3, (void *)t->p, dims, strides, box, step,
        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (r != CUDA_SUCCESS)
        return ERR(ERR_DEVICE, "tensor map of (%lld, %lld, %lld): driver error %d",
                   (long long)t->n_mats, (long long)t->height, (long long)t->width,
                   (int)r);
    return 0;
}

int encode_maps(struct maps *maps, void *encode_tiled, const struct gemm_plan *plan,
                const struct gemm_job *job)
{
    const struct gemm_space *const s = &job->space;
    const bool is_fwd = plan->form == GEMM_FORM_FWD, is_dw = plan->form == GEMM_FORM_DW;
    const int64_t cols = gemm_cols(s);
    const struct tensor a = {
        job->a, 0, s->m, is_fwd ? s->k : s->n, is_fwd ? s->k : s->ld_dy, 64, false};
    const struct tensor b = {job->b,
                             is_dw ? 0 : s->n_mats,
                             is_dw ? s->m : s->n,
                             s->k,
                             s->k,
                             is_fwd ? plan->tile_n : STEP,
                             false};
    const struct tensor out = {job->out, 0,    is_dw ? (int64_t)s->n_mats * s->n : s->m,
                               cols,     cols, GEMM_BOX_ROWS,
                               true};
    TRY(encode(encode_tiled, &maps->a, &a));
    TRY(encode(encode_tiled, &maps->b, &b));
    if (cols % 4 == 0)
        TRY(encode(encode_tiled, &maps->out, &out));
    return 0;
}

typedef void (*kernel_fn)(const struct maps, const struct gemm_job);

template <int FORM> kernel_fn kernel_of_form(const struct gemm_plan *p)
{
    if (p->n_consumers == 2)
        return k_gemm_wgmma<FORM, 2, 256>;
    return p->tile_n == 64 ? k_gemm_wgmma<FORM, 1, 64> : k_gemm_wgmma<FORM, 1, 256>;
}

kernel_fn kernel_of(const struct gemm_plan *p)
{
    return p->form == GEMM_FORM_FWD  ? kernel_of_form<GEMM_FORM_FWD>(p)
           : p->form == GEMM_FORM_DX ? kernel_of_form<GEMM_FORM_DX>(p)
                                     : kernel_of_form<GEMM_FORM_DW>(p);
}

} // namespace

int gemm_tensor_prepare_wgmma(const struct gemm_device *device)
{
    static const struct gemm_shape any = {1, 64, 64, 64, 64};
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
    struct maps maps = {};
    TRY(encode_maps(&maps, encode_tiled, plan, job));
    kernel_of(plan)<<<(unsigned)plan->grid, (unsigned)plan->n_threads,
                      (size_t)plan->smem_bytes, stream>>>(maps, *job);
    const cudaError_t e = cudaGetLastError();
    if (e != cudaSuccess)
        return ERR(ERR_DEVICE, "wgmma kernel: %s", cudaGetErrorString(e));
    return 0;
}
