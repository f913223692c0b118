/*
 * Private to attention_tensor_bwd_dkdv.cu and _dq.cu: loads, products and the steps
 * from scores to gradients that both share; for sm_90a alone.
 *
 * A block of threads stays for the whole call and takes units from a list. Its first
 * warpgroup loads: what stays for a unit, and a ring of stages with what is walked
 * over; it runs ahead, into the next unit too. The WORKERS others multiply.
 *
 * Accumulators are gemm_acc_row by gemm_acc_col; converted to bf16 they are the left
 * operand of the next product as they are. Registers are what decides the shape: ptxas
 * must not report that it serialises wgmma (C7512).
 */
#ifndef CUDA_ATTENTION_TENSOR_BWD_STEPS_CUH
#define CUDA_ATTENTION_TENSOR_BWD_STEPS_CUH

#include "cuda/attention_tensor_bwd_wgmma.cuh"
#include "cuda/gemm_tensor_wgmma.cuh"

enum { WARPGROUP = 128, WORKERS = 2, THREADS = (1 + WORKERS) * WARPGROUP };
/* Of an SM's 65536 registers all are used. */
enum { LOADER_REGS = 24, WORKER_REGS = 240 };

#define ACC_64(i0) ACC_32(i0), ACC_32((i0) + 32)

/* For 128 columns */
template <bool MN_B>
static __device__ __forceinline__ void wgmma_rows(float (&d)[64], const uint32_t *a,
                                                  uint64_t b, int32_t keep)
{
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, "
        "%30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, "
        "%44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, "
        "%58, %59, %60, %61, %62, %63}, {%64, %65, %66, %67}, %68, p, 1, 1, %70;\n"
        "}\n"
        : ACC_64(0)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep),
          "n"((int)MN_B));
}

/* 2^x, off by two units in the last place; 0 below 2^-126 */
static __device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* As barrier_wait, which traps when nothing comes. A trap joins the ways of loading and
 * multiplying warps: ptxas then gives both the registers of the poorer, and takes turns
 * with the products. A store to nowhere ends the kernel as well. */
static __device__ __forceinline__ void await(uint64_t *barrier, uint32_t parity)
{
    for (int32_t i = 0; !barrier_try(barrier, parity); i++)
        if (i > WATCHDOG_POLLS)
            asm volatile("st.global.u32 [%0], %1;" ::"l"(0ll), "r"(0) : "memory");
}

/* Contiguous memory into shared memory by the copy engine; its bytes count on the
 * barrier. Both on 16 bytes. */
static __device__ __forceinline__ void bulk_load(void *dst, const void *src,
                                                 uint32_t bytes, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(smem_address(dst)),
                 "l"(src), "r"(bytes), "r"(smem_address(barrier))
                 : "memory");
}

/* The calling thread's cp.async so far arrive on the barrier when they are done; the
 * barrier counts one arrival per thread. */
static __device__ __forceinline__ void barrier_arrive_copies(uint64_t *barrier)
{
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(
                     smem_address(barrier))
                 : "memory");
}

/* 16 bytes of a row, or zeros */
static __device__ __forceinline__ void copy_16_or_zero(char *to, const uint16_t *from,
                                                       bool is_in)
{
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_address(to)),
        "l"(from), "r"(is_in ? 16 : 0)
        : "memory");
}

/* A page of one kv head: images of bwd_image_at */
template <int D> struct page_image {
    uint16_t k[KV_BLOCK * D], v[KV_BLOCK * D];
};

/* By `n_threads` threads: the slots of `range`, zeros for the others */
template <int D>
static __device__ __forceinline__ void
load_page(struct page_image<D> *to, const float *page, const struct slot_range *range,
          int thread, int n_threads)
{
    enum { CHUNKS = D / 8 };
    const uint16_t *const keys = (const uint16_t *)page;
#pragma unroll 1
    for (int i = thread; i < KV_BLOCK * CHUNKS; i += n_threads) {
        const int row = i / CHUNKS, dim = i % CHUNKS * 8, at = bwd_image_at(row, dim);
        const bool is_in = is_within(row, range);
        copy_16_or_zero((char *)to->k + at, keys + row * D + dim, is_in);
        copy_16_or_zero((char *)to->v + at, keys + (KV_BLOCK + row) * D + dim, is_in);
    }
}

struct ring_at {
    int32_t stage;
    uint32_t parity;
};

template <int N_STAGES> static __device__ __forceinline__ void step(struct ring_at *at)
{
    if (++at->stage == N_STAGES) {
        at->stage = 0;
        at->parity ^= 1;
    }
}

/* The warp has read what the barrier guards; one lane arrives. */
static __device__ __forceinline__ void release(uint64_t *barrier)
{
    __syncwarp();
    if (threadIdx.x % WARP == 0)
        barrier_arrive(barrier);
}

/* After wgmma_wait: reads of what the products left in d stay behind it. The wait alone
 * does not name d to the compiler. */
template <int N> static __device__ __forceinline__ void settle(float (&d)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

/* acc (64, 64) = rows of one image times rows of another, over D dims; asynchronous */
template <int D>
static __device__ __forceinline__ void
multiply_rows(float (&acc)[32], const uint16_t *a, const uint16_t *b)
{
    const uint64_t at_a = gemm_descriptor(smem_address(a), false);
    const uint64_t at_b = gemm_descriptor(smem_address(b), false);
#pragma unroll
    for (int k = 0; k < D / 16; k++)
        wgmma_product<false, false>(acc, at_a + (bwd_image_dims(k) >> 4),
                                    at_b + (bwd_image_dims(k) >> 4), k > 0);
    wgmma_commit();
}

/* The same, the left rows in registers */
template <int D>
static __device__ __forceinline__ void
multiply_held(float (&acc)[32], const uint32_t (&a)[D / 16][4], const uint16_t *b)
{
    const uint64_t at_b = gemm_descriptor(smem_address(b), false);
#pragma unroll
    for (int k = 0; k < D / 16; k++)
        wgmma_rows<false>(acc, a[k], at_b + (bwd_image_dims(k) >> 4), k > 0);
    wgmma_commit();
}

/* sum (64, D) += x (64, 64), as operands, times the rows of an image */
template <int D>
static __device__ __forceinline__ void
add_product(float (&sum)[D / 2], const uint32_t (&x)[4][4], const uint16_t *image)
{
    const uint64_t at = gemm_descriptor(smem_address(image), true);
#pragma unroll
    for (int k = 0; k < BWD_TILE / 16; k++)
        wgmma_rows<true>(sum, x[k], at + (bwd_image_rows(k) >> 4), 1);
    wgmma_commit();
}

static __device__ __forceinline__ void to_operand(uint32_t (&x)[4][4],
                                                  const float (&acc)[32])
{
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[k][i] = pack_bf16(acc[8 * k + 2 * i], acc[8 * k + 2 * i + 1]);
}

/* A line sees keys last - window + 1 .. last */
static __device__ __forceinline__ bool sees(int32_t last, int32_t window, int32_t key)
{
    return key <= last && key > last - window;
}

/* Wide enough where there is none */
static __device__ __forceinline__ int32_t window_of(const struct attn_batch *a)
{
    return a->window > 0 && a->window < (1 << 30) ? (int32_t)a->window : 1 << 30;
}

/* Whether some line of the tile may not see some slot of the block whose first key is
 * `key` */
static __device__ __forceinline__ bool is_partial(const struct bwd_stats *t,
                                                  int32_t window, int32_t key)
{
    const int32_t first = t->last_key[bwd_stat_at(0)];
    const int32_t last = t->last_key[bwd_stat_at(BWD_TILE - 1)];
    return last < 0 || first < key + KV_BLOCK - 1 || last - window >= key;
}

/* p (dp - dot) of one score; what is not seen is 0 whatever dp is */
static __device__ __forceinline__ float score_grad(float p, float dp, float dot,
                                                   bool some_hidden)
{
    const float ds = p * (dp - dot);
    return some_hidden && p == 0 ? 0.0f : ds;
}

#endif
