/*
 * The sm_90a instructions of the wgmma kernels, one thin function each: mbarriers, TMA
 * tile loads, fences, register reallocation, matrix descriptors and the product itself.
 * Facts: PTX ISA, "Parallel Synchronization: mbarrier", "cp.async.bulk.tensor",
 * "Asynchronous Warpgroup Level Matrix Instructions".
 */
#ifndef CUDA_GEMM_TENSOR_WGMMA_CUH
#define CUDA_GEMM_TENSOR_WGMMA_CUH

#include <cuda.h>
#include <stdint.h>

/* Polls of a barrier before the kernel traps. One takes some 20 ns if the hardware does
 * not suspend it, a microsecond or more if it does: seconds to minutes in all, where
 * the longest wait, a loader's for a page that all lines of a long batch see, is tens
 * of milliseconds. */
enum { WATCHDOG_POLLS = 1 << 28 };

static __device__ __forceinline__ uint32_t smem_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t n)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(barrier)),
                 "r"(n)
                 : "memory");
}

/* The initialised barriers become visible to the asynchronous proxy (TMA). */
static __device__ __forceinline__ void barrier_init_fence(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

static __device__ __forceinline__ void barrier_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_address(barrier))
                 : "memory");
}

static __device__ __forceinline__ void barrier_expect(uint64_t *barrier, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     smem_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

static __device__ __forceinline__ bool barrier_try(uint64_t *barrier, uint32_t parity)
{
    uint32_t done;
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                 "selp.u32 %0, 1, 0, p;\n"
                 "}\n"
                 : "=r"(done)
                 : "r"(smem_address(barrier)), "r"(parity)
                 : "memory");
    return done != 0;
}

/* A barrier that never comes would hang the device: trap instead. */
static __device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity)
{
    for (int32_t i = 0; !barrier_try(barrier, parity); i++)
        if (i > WATCHDOG_POLLS)
            __trap();
}

/* TMA: the box of the map at these coordinates (innermost first) into shared memory;
 * its bytes count on the barrier. Elements outside the tensor arrive as zeros. */
static __device__ __forceinline__ void tma_load(void *dst, const CUtensorMap *map,
                                                uint64_t *barrier, int32_t x, int32_t y)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::"
        "bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(smem_address(dst)),
        "l"(map), "r"(smem_address(barrier)), "r"(x), "r"(y)
        : "memory");
}

static __device__ __forceinline__ void tma_load(void *dst, const CUtensorMap *map,
                                                uint64_t *barrier, int32_t x, int32_t y,
                                                int32_t z)
{
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::"
        "bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(smem_address(dst)),
        "l"(map), "r"(smem_address(barrier)), "r"(x), "r"(y), "r"(z)
        : "memory");
}

/* TMA the other way: a box of shared memory to the tensor; what lies outside is left
 * out. The calling thread's stores form groups; bulk_wait_read: all but N have been
 * read from shared memory. */
static __device__ __forceinline__ void tma_store(const CUtensorMap *map,
                                                 const void *src, int32_t x, int32_t y)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], "
        "[%1];" ::"l"(map),
        "r"(smem_address(src)), "r"(x), "r"(y)
        : "memory");
}

static __device__ __forceinline__ void bulk_commit(void)
{
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void bulk_wait_read(void)
{
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

/* Ask the level-2 cache for a box. */
static __device__ __forceinline__ void tma_prefetch(const CUtensorMap *map, int32_t x,
                                                    int32_t y)
{
    asm volatile(
        "cp.async.bulk.prefetch.tensor.2d.L2.global [%0, {%1, %2}];" ::"l"(map), "r"(x),
        "r"(y)
        : "memory");
}

static __device__ __forceinline__ void tma_prefetch_map(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* Shared memory written by ordinary stores becomes visible to wgmma and TMA. */
static __device__ __forceinline__ void fence_async_proxy(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* A barrier among `n_threads` threads; 0 is __syncthreads'. */
static __device__ __forceinline__ void named_barrier(int32_t id, int32_t n_threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n_threads) : "memory");
}

template <int N_REGS> static __device__ __forceinline__ void registers_give(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N_REGS));
}

template <int N_REGS> static __device__ __forceinline__ void registers_take(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N_REGS));
}

static __device__ __forceinline__ void wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N_PENDING> static __device__ __forceinline__ void wgmma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N_PENDING) : "memory");
}

/* All products are complete. wgmma_wait alone does not name registers: the compiler
 * might read d before it. */
template <int N> static __device__ __forceinline__ void wgmma_settle(float (&d)[N])
{
    wgmma_wait<0>();
#pragma unroll
    for (int32_t i = 0; i < N; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

/* Where in a ring of stages a role stands; parity flips at each turn. */
struct ring_cursor {
    int32_t stage;
    uint32_t parity;
};

static __device__ __forceinline__ void ring_advance(struct ring_cursor &c,
                                                    int32_t n_stages)
{
    if (++c.stage == n_stages) {
        c.stage = 0;
        c.parity ^= 1;
    }
}

/* d[i0 .. i0 + 7] as operands */
#define ACC_8(i0)                                                                      \
    "+f"(d[i0]), "+f"(d[i0 + 1]), "+f"(d[i0 + 2]), "+f"(d[i0 + 3]), "+f"(d[i0 + 4]),   \
        "+f"(d[i0 + 5]), "+f"(d[i0 + 6]), "+f"(d[i0 + 7])
#define ACC_32(i0) ACC_8(i0), ACC_8(i0 + 8), ACC_8(i0 + 16), ACC_8(i0 + 24)

/* d (64, N) = a (64, 16) b (16, N) + (keep ? d : 0). MN_A, MN_B: the operand is
 * MN-major. Asynchronous: d belongs to the tensor core until wgmma_wait. */
template <bool MN_A, bool MN_B>
static __device__ __forceinline__ void wgmma_product(float (&d)[32], uint64_t a,
                                                     uint64_t b, int32_t keep)
{
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, "
        "%30, %31}, %32, %33, p, 1, 1, %35, %36;\n"
        "}\n"
        : ACC_32(0)
        : "l"(a), "l"(b), "r"(keep), "n"((int)MN_A), "n"((int)MN_B));
}

template <bool MN_A, bool MN_B>
static __device__ __forceinline__ void wgmma_product(float (&d)[128], uint64_t a,
                                                     uint64_t b, int32_t keep)
{
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, "
        "%30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, "
        "%44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, "
        "%58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
        "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, "
        "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, "
        "%100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, "
        "%124, %125, %126, %127}, %128, %129, p, 1, 1, %131, %132;\n"
        "}\n"
        : ACC_32(0), ACC_32(32), ACC_32(64), ACC_32(96)
        : "l"(a), "l"(b), "r"(keep), "n"((int)MN_A), "n"((int)MN_B));
}

/* d (64, N) = a (64, 16) b (16, N) + (keep ? d : 0), a in registers: the fragment of
 * mma.sync. MN_B: b is MN-major. Asynchronous, a too. */
template <bool MN_B>
static __device__ __forceinline__ void wgmma_rows(float (&d)[32], const uint32_t *a,
                                                  uint64_t b, int32_t keep)
{
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, "
        "%30, %31}, {%32, %33, %34, %35}, %36, p, 1, 1, %38;\n"
        "}\n"
        : ACC_32(0)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep),
          "n"((int)MN_B));
}

#endif
