/*
 * Results of the wgmma kernel between registers and memory. A warp owns 16 rows of its
 * block's tile and moves them in boxes of 32 columns (gemm_tensor_tile.h) through
 * GEMM_N_BOXES buffers of shared memory; TMA carries the boxes while the next tile is
 * computed. Ordinary stores remain for what TMA cannot do.
 *
 * dw adds to memory: its registers start from what is there. While a tile is computed,
 * the first boxes of the next tile's old sums wait in the buffers; when it is done, new
 * sums and old ones change places in each box, and the box goes out.
 */
#ifndef CUDA_GEMM_TENSOR_RESULT_CUH
#define CUDA_GEMM_TENSOR_RESULT_CUH

#include "cuda/gemm_tensor_job.cuh"
#include "cuda/gemm_tensor_wgmma.cuh"

namespace
{

/* Where a warp's 16 rows of a tile lie in the output. */
struct place {
    float *p;               /* their first element */
    int32_t row, col;       /* of that one, in the output as one matrix */
    int32_t n_rows, n_cols; /* those that exist, from there on (<= 0: none) */
    int32_t pitch;
};

template <int FORM>
__device__ __forceinline__ struct place
place_of(const struct gemm_job &job, const struct gemm_tile &tile, int32_t first_row)
{
    const int32_t pitch = gemm_cols(&job.space), in_mat = tile.row0 + first_row;
    const int32_t row = in_mat + (FORM == GEMM_FORM_DW ? tile.mat * job.space.n : 0);
    return {job.out + (int64_t)row * pitch + tile.col0,
            row,
            tile.col0,
            tile.row_end - in_mat,
            pitch - tile.col0,
            pitch};
}

/* To memory by ordinary stores: where a group ends within the 16 rows, or rows do not
 * start on 16 bytes. PAIRS: they start on 8. */
template <int WIDTH, bool PAIRS>
__device__ __forceinline__ void store_tile(const float (&acc)[WIDTH / 2],
                                           const struct place &at)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const int32_t row = gemm_acc_row(lane, 0), col = gemm_acc_col(lane, 0);
#pragma unroll
    for (int32_t h = 0; h < 2; h++) {
        float *const line = at.p + (int64_t)(row + 8 * h) * at.pitch + col;
        const int32_t n_valid = row + 8 * h < at.n_rows ? at.n_cols - col : 0;
#pragma unroll
        for (int32_t j = 0; j < WIDTH / 8; j++) {
            const float x = acc[4 * j + 2 * h], y = acc[4 * j + 2 * h + 1];
            if (PAIRS && 8 * j < n_valid)
                *(float2 *)(line + 8 * j) = make_float2(x, y);
            if (!PAIRS && 8 * j < n_valid)
                line[8 * j] = x;
            if (!PAIRS && 8 * j + 1 < n_valid)
                line[8 * j + 1] = y;
        }
    }
}

/* To memory by TMA: boxes of 32 columns, laid down in shared memory in N_BOXES buffers
 * in turn; the stores run on while the next tile is computed. */
template <int WIDTH>
__device__ __forceinline__ void send_tile(const float (&acc)[WIDTH / 2],
                                          const struct place &at,
                                          const CUtensorMap *map, char *boxes)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const bool is_odd = gemm_staging_pair(lane, 0) != 0;
    constexpr int32_t n_boxes = WIDTH / GEMM_BOX_COLS;
    constexpr int32_t n_buffers = n_boxes < GEMM_N_BOXES ? n_boxes : GEMM_N_BOXES;
#pragma unroll
    for (int32_t i = 0; i < n_boxes; i++) {
        char *const box = boxes + i % n_buffers * GEMM_BOX_BYTES;
        if (lane == 0)
            bulk_wait_read<n_buffers - 1>(); /* the buffer's last store is over */
        __syncwarp();
#pragma unroll
        for (int32_t k = 0; k < 8; k++) {
            const int32_t slot = k / 2, h = k % 2;
            const int32_t even = 4 * (4 * i + slot) + 2 * h;
            const int32_t odd = 4 * (4 * i + (slot ^ 2)) + 2 * h;
            *(float2 *)(box + gemm_staging_at(lane, slot, h)) = make_float2(
                is_odd ? acc[odd] : acc[even], is_odd ? acc[odd + 1] : acc[even + 1]);
        }
        fence_async_proxy();
        __syncwarp();
        if (lane == 0) {
            if (i * GEMM_BOX_COLS < at.n_cols)
                tma_store(map, box, at.col + i * GEMM_BOX_COLS, at.row);
            bulk_commit();
        }
    }
}

/* Widths of dx and dw are multiples of 8; that of y may be any. */
template <int FORM, int WIDTH>
__device__ __forceinline__ void put_tile(const float (&acc)[WIDTH / 2],
                                         const struct place &at, const CUtensorMap *map,
                                         char *boxes)
{
    if (at.n_rows >= GEMM_BOX_ROWS && (FORM != GEMM_FORM_FWD || at.pitch % 4 == 0))
        send_tile<WIDTH>(acc, at, map, boxes);
    else if (FORM != GEMM_FORM_FWD || at.pitch % 2 == 0)
        store_tile<WIDTH, true>(acc, at);
    else
        store_tile<WIDTH, false>(acc, at);
}

/* dw: a warp's boxes between memory and registers. */
struct boxes {
    char *p;
    uint64_t *landed;
    const CUtensorMap *map;
    int32_t phase; /* turns of the buffers so far */
};

__device__ __forceinline__ void fetch_box(const struct boxes &boxes,
                                          const struct place &at, int32_t i)
{
    uint64_t *const landed = boxes.landed + i % GEMM_N_BOXES;
    barrier_expect(landed, GEMM_BOX_BYTES);
    tma_load(boxes.p + i % GEMM_N_BOXES * GEMM_BOX_BYTES, boxes.map, landed,
             at.col + i * GEMM_BOX_COLS, at.row);
}

/* What the next tile's sums start from: the first boxes into their buffers, the others
 * into the level-2 cache. */
template <int WIDTH>
__device__ __forceinline__ void expect_tile(const struct boxes &boxes,
                                            const struct place &at)
{
    if (threadIdx.x % 32 != 0)
        return;
    bulk_wait_read<0>(); /* the last tile's stores have left the buffers */
#pragma unroll
    for (int32_t i = 0; i < WIDTH / GEMM_BOX_COLS; i++)
        if (i < GEMM_N_BOXES)
            fetch_box(boxes, at, i);
        else
            tma_prefetch(boxes.map, at.col + i * GEMM_BOX_COLS, at.row);
}

/* Old sums out of the registers and new ones in, through the same places of a box. */
template <int WIDTH>
__device__ __forceinline__ void swap_box(float (&acc)[WIDTH / 2], char *box, int32_t i)
{
    const int32_t lane = (int32_t)threadIdx.x % 32;
    const bool is_odd = gemm_staging_pair(lane, 0) != 0;
#pragma unroll
    for (int32_t k = 0; k < 4; k++) {
        const int32_t slot = k / 2, h = k % 2;
        const int32_t a = 4 * (4 * i + slot) + 2 * h, b = a + 8;
        float2 *const at_a = (float2 *)(box + gemm_staging_at(lane, slot, h));
        float2 *const at_b = (float2 *)(box + gemm_staging_at(lane, slot + 2, h));
        const float2 x = make_float2(acc[a], acc[a + 1]);
        const float2 y = make_float2(acc[b], acc[b + 1]);
        const float2 u = *at_a, v = *at_b;
        *at_a = make_float2(is_odd ? y.x : x.x, is_odd ? y.y : x.y);
        *at_b = make_float2(is_odd ? x.x : y.x, is_odd ? x.y : y.y);
        acc[a] = is_odd ? v.x : u.x;
        acc[a + 1] = is_odd ? v.y : u.y;
        acc[b] = is_odd ? u.x : v.x;
        acc[b + 1] = is_odd ? u.y : v.y;
    }
}

/* From one tile's sums to the next one's start. Without a next tile (`in` has no
 * columns) the registers end up undefined; so do rows that the tile does not have. */
template <int WIDTH>
__device__ __forceinline__ void turn_tile(float (&acc)[WIDTH / 2], struct boxes &boxes,
                                          const struct place &out,
                                          const struct place &in)
{
    const bool is_leader = threadIdx.x % 32 == 0, has_in = in.pitch > 0;
    const bool is_whole = out.n_rows >= GEMM_BOX_ROWS;
    if (!is_whole)
        store_tile<WIDTH, true>(acc, out);
#pragma unroll
    for (int32_t i = 0; i < WIDTH / GEMM_BOX_COLS; i++) {
        char *const box = boxes.p + i % GEMM_N_BOXES * GEMM_BOX_BYTES;
        /* second turn of the buffers; or the last tile, for which expect_tile has not
         * waited until the stores of the one before have left them */
        if ((i == GEMM_N_BOXES || (i == 0 && !has_in)) && is_leader) {
            bulk_wait_read<0>();
            for (int32_t j = GEMM_N_BOXES; has_in && j < 2 * GEMM_N_BOXES; j++)
                fetch_box(boxes, in, j);
        }
        __syncwarp();
        if (has_in)
            barrier_wait(boxes.landed + i % GEMM_N_BOXES,
                         (uint32_t)(boxes.phase + i / GEMM_N_BOXES) & 1);
        swap_box<WIDTH>(acc, box, i);
        fence_async_proxy();
        __syncwarp();
        if (is_leader && is_whole && i * GEMM_BOX_COLS < out.n_cols) {
            tma_store(boxes.map, box, out.col + i * GEMM_BOX_COLS, out.row);
            bulk_commit();
        }
    }
    boxes.phase += WIDTH / GEMM_BOX_COLS > GEMM_N_BOXES ? 2 : 1;
}

} // namespace

#endif
