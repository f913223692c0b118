/*
 * Attention backward on wgmma: gradients of keys and values. See
 * attention_tensor_bwd_wgmma.cuh and _steps.cuh.
 *
 * The two multiplying warpgroups work on units (pages) of their own; a warp loads for
 * each. While one has exponentials, or its sums' way to memory, the other has the
 * tensor cores.
 */
#include "cuda/attention_tensor_bwd_steps.cuh"

enum { DKDV_STAGES = 2 };

/* n_tiles 0: no more work */
struct dkdv_info {
    int32_t page, g, block, n_tiles;
};

/* One per multiplying warpgroup; images lie on 1024 bytes */
template <int D> struct __align__(1024) dkdv_shared
{
    struct page_image<D> page;
    struct bwd_record<D> stages[DKDV_STAGES];
    uint64_t full[DKDV_STAGES], empty[DKDV_STAGES], page_full, page_empty;
    struct dkdv_info info[2]; /* by turns: one is read while the next is written */
};

/* The tiles of sequence s that see the unit's block, as records first .. end - 1 of a
 * kv head; none if it has another page there */
struct tile_run {
    int32_t first, end;
};

static __device__ __forceinline__ struct tile_run
tile_run(const struct attn_batch *a, const struct bwd_unit *unit, int32_t s)
{
    struct tile_run r = {};
    if (!holds_page(a, s, unit->at, unit->page))
        return r;
    const struct attn_lines lines = attn_lines(a, s, 0);
    int64_t first, end;
    seeing_lines(&lines, unit->at, &first, &end);
    if (first >= end)
        return r;
    const int32_t base = (int32_t)bwd_tile_base(lines.row0 * lines.per_kv, s, BWD_TILE);
    r.first = base + (int32_t)first / BWD_TILE;
    r.end = base + ((int32_t)end - 1) / BWD_TILE + 1;
    return r;
}

/* One warp: a run's records of a kv head, one after another */
template <int D>
static __device__ __forceinline__ void
load_run(struct dkdv_shared<D> *m, struct ring_at *at,
         const struct bwd_record<D> *records, int32_t n_kv, int32_t first, int32_t end)
{
    enum { BYTES = offsetof(struct bwd_record<D>, pad) };
    for (int32_t t = first; t < end; t++) {
        await(&m->empty[at->stage], at->parity ^ 1);
        if (threadIdx.x % WARP == 0) {
            barrier_expect(&m->full[at->stage], BYTES);
            bulk_load(&m->stages[at->stage], records + (int64_t)t * n_kv, BYTES,
                      &m->full[at->stage]);
        }
        __syncwarp();
        step<DKDV_STAGES>(at);
    }
}

/* One warp: the records of all tiles that see the unit's page */
template <int D>
static __device__ __forceinline__ void
load_records(struct dkdv_shared<D> *m, struct ring_at *at, const struct bwd_job *f,
             const struct bwd_unit *unit, int32_t g)
{
    const struct attn_batch *const a = &f->a;
    const int64_t group = segment_of(a->group_off, a->n_groups, unit->seq);
    const int32_t end = a->group_off[group + 1], n_kv = (int32_t)a->n_kv_heads;
    const struct bwd_record<D> *const records =
        (const struct bwd_record<D> *)f->records + g;
    for (int32_t s0 = unit->seq; s0 < end; s0 += WARP) {
        const int32_t s = s0 + threadIdx.x % WARP;
        struct tile_run run = {};
        if (s < end)
            run = tile_run(a, unit, s);
        unsigned some = __ballot_sync(FULL_WARP, run.first < run.end);
        for (; some != 0; some &= some - 1) {
            const int lane = __ffs(some) - 1;
            load_run<D>(m, at, records, n_kv, __shfl_sync(FULL_WARP, run.first, lane),
                        __shfl_sync(FULL_WARP, run.end, lane));
        }
    }
}

/* Asks for the page's gradients, which are added to when the unit is done */
template <int D>
static __device__ __forceinline__ void prefetch_cells(const float *cells, int lane)
{
    for (int i = lane; i < 2 * D * KV_BLOCK / 32; i += WARP)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(cells + i * 32));
}

/* The first warp: takes units until there are no more */
template <int D>
static __device__ void load_dkdv(struct dkdv_shared<D> *m, const struct bwd_job *f)
{
    const struct attn_batch *const a = &f->a;
    const struct slot_range all = {0, KV_BLOCK};
    const int lane = threadIdx.x % WARP;
    const int32_t n_kv = (int32_t)a->n_kv_heads;
    const int32_t n = f->n_units[BWD_DKDV] * n_kv;
    struct ring_at at = {};
    for (uint32_t turn = 0;; turn ^= 1) {
        int32_t taken = 0;
        if (lane == 0)
            taken = atomicAdd(&f->next[BWD_DKDV], 1);
        taken = __shfl_sync(FULL_WARP, taken, 0);
        const bool is_end = taken >= n;
        const int32_t g = taken % n_kv;
        struct bwd_unit unit = {};
        if (!is_end)
            unit = f->units[BWD_DKDV][taken / n_kv];
        await(&m->page_empty, turn ^ 1);
        if (lane == 0) {
            m->info[turn].page = unit.page;
            m->info[turn].g = g;
            m->info[turn].block = unit.at;
            m->info[turn].n_tiles = unit.cost;
            barrier_arrive(&m->page_full);
        }
        const int64_t cells = attn_page_at(a, unit.page, g);
        if (!is_end)
            load_page<D>(&m->page, f->cache + cells, &all, lane, WARP);
        barrier_arrive_copies(&m->page_full);
        if (is_end)
            return;
        prefetch_cells<D>(f->dcache + cells, lane);
        load_records<D>(m, &at, f, &unit, g);
    }
}

/* A thread's sums: rows (slots) g and g + 8 of its warp's 16 */
template <int D> struct dkdv_sums {
    float dk[D / 2], dv[D / 2];
};

/* s becomes P^T; key: of the thread's first row */
static __device__ __forceinline__ void to_probs(float (&s)[32],
                                                const struct bwd_stats *t, float scale,
                                                int32_t window, int32_t key,
                                                bool some_hidden)
{
    const int run = threadIdx.x % 4 * BWD_STAT_RUN;
#pragma unroll
    for (int j = 0; j < 4; j++) { /* lines 16 j .. 16 j + 15: four of a thread's */
        float lse[4];
        *(float4 *)lse = *(const float4 *)&t->neg_lse[run + 4 * j];
#pragma unroll
        for (int i = 0; i < 8; i++)
            s[8 * j + i] = exp2_fast(fmaf(s[8 * j + i], scale, lse[i / 4 * 2 + i % 2]));
    }
    if (!some_hidden)
        return;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        int32_t last[4];
        *(int4 *)last = *(const int4 *)&t->last_key[run + 4 * j];
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (!sees(last[i / 4 * 2 + i % 2], window, key + i / 2 % 2 * 8))
                s[8 * j + i] = 0;
    }
}

/* dp becomes dS^T, not scaled */
static __device__ __forceinline__ void to_grads(float (&dp)[32], const float (&p)[32],
                                                const struct bwd_stats *t,
                                                bool some_hidden)
{
    const int run = threadIdx.x % 4 * BWD_STAT_RUN;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float dot[4];
        *(float4 *)dot = *(const float4 *)&t->dot[run + 4 * j];
#pragma unroll
        for (int i = 0; i < 8; i++)
            dp[8 * j + i] = score_grad(p[8 * j + i], dp[8 * j + i],
                                       dot[i / 4 * 2 + i % 2], some_hidden);
    }
}

/* The page's gradients in memory += the sums */
template <int D>
static __device__ __forceinline__ void
add_cells(float *dkeys, const struct dkdv_sums<D> *sums, float scale, int slot)
{
    enum { AT_ONCE = 32 };
    float *const dvalues = dkeys + D * KV_BLOCK;
    const int c = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i0 = 0; i0 < D / 2; i0 += AT_ONCE) {
        float old[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const int d = (i0 + i) / 4 * 8 + c + i % 2;
            old[i] = dkeys[d * KV_BLOCK + slot + i / 2 % 2 * 8];
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const int d = (i0 + i) / 4 * 8 + c + i % 2;
            dkeys[d * KV_BLOCK + slot + i / 2 % 2 * 8] = fmaf(scale, sums->dk[i0 + i],
                                                              old[i]);
        }
    }
#pragma unroll
    for (int i0 = 0; i0 < D / 2; i0 += AT_ONCE) {
        float2 old[AT_ONCE / 2];
#pragma unroll
        for (int i = 0; i < AT_ONCE / 2; i++)
            old[i] = *(const float2 *)&dvalues[(slot + i % 2 * 8) * D +
                                               (i0 / 2 + i) / 2 * 8 + c];
#pragma unroll
        for (int i = 0; i < AT_ONCE / 2; i++)
            *(float2 *)&dvalues[(slot + i % 2 * 8) * D + (i0 / 2 + i) / 2 * 8 + c] =
                make_float2(old[i].x + sums->dv[i0 + 2 * i],
                            old[i].y + sums->dv[i0 + 2 * i + 1]);
    }
}

/* The sums of a unit. Per tile: scores and dP, dV, dK; dP runs under the exponentials,
 * dV under dS. There are no registers to begin the next tile under dK. */
template <int D>
static __device__ __forceinline__ void
add_tiles(struct dkdv_sums<D> *sums, struct dkdv_shared<D> *m, struct ring_at *at,
          const struct dkdv_info *info, float scale, int32_t window, int slot)
{
    const int32_t key = info->block * KV_BLOCK;
    float s[32], dp[32];
    uint32_t p[4][4], ds[4][4];
#pragma unroll
    for (int i = 0; i < D / 2; i++)
        sums->dk[i] = sums->dv[i] = 0;
    for (int32_t left = info->n_tiles; left > 0; left--) {
        const struct bwd_record<D> *const r = &m->stages[at->stage];
        uint64_t *const empty = &m->empty[at->stage];
        await(&m->full[at->stage], at->parity);
        const bool some_hidden = is_partial(&r->stats, window, key);
        wgmma_fence();
        multiply_rows<D>(s, m->page.k, r->q);
        multiply_rows<D>(dp, m->page.v, r->dy);
        wgmma_wait<1>(); /* the scores */
        settle(s);
        to_probs(s, &r->stats, scale, window, key + slot, some_hidden);
        to_operand(p, s);
        wgmma_fence();
        add_product<D>(sums->dv, p, r->dy);
        wgmma_wait<1>(); /* dP */
        settle(dp);
        if (left == 1)
            release(&m->page_empty);
        to_grads(dp, s, &r->stats, some_hidden);
        to_operand(ds, dp);
        wgmma_fence();
        add_product<D>(sums->dk, ds, r->q);
        wgmma_wait<0>();
        settle(sums->dv);
        settle(sums->dk);
        release(empty);
        step<DKDV_STAGES>(at);
    }
}

template <int D>
static __device__ void consume_dkdv(struct dkdv_shared<D> *m, const struct bwd_job *f)
{
    const int warp = __shfl_sync(FULL_WARP, (int)threadIdx.x % WARPGROUP / WARP, 0);
    const int slot = warp * 16 + threadIdx.x % WARP / 4;
    struct ring_at at = {};
    for (uint32_t turn = 0;; turn ^= 1) {
        await(&m->page_full, turn);
        fence_async_proxy(); /* the page came by ordinary copies */
        const struct dkdv_info *const info = &m->info[turn];
        if (info->n_tiles == 0)
            return;
        struct dkdv_sums<D> sums;
        add_tiles<D>(&sums, m, &at, info, f->a.scale * LOG2E, window_of(&f->a), slot);
        add_cells<D>(f->dcache + attn_page_at(&f->a, info->page, info->g), &sums,
                     f->a.scale, slot);
    }
}

template <int D>
static __global__ void __launch_bounds__(THREADS, 1)
    k_attn_dkdv_wgmma(const __grid_constant__ struct bwd_job f)
{
    extern __shared__ __align__(1024) char memory[];
    struct dkdv_shared<D> *const all = (struct dkdv_shared<D> *)memory;
    if (threadIdx.x < WORKERS) {
        struct dkdv_shared<D> *const m = &all[threadIdx.x];
        for (int s = 0; s < DKDV_STAGES; s++) {
            barrier_init(&m->full[s], 1);
            barrier_init(&m->empty[s], WARPGROUP / WARP);
        }
        barrier_init(&m->page_full, WARP + 1);
        barrier_init(&m->page_empty, WARPGROUP / WARP);
        barrier_init_fence();
    }
    __syncthreads();
    /* from one lane: the compiler then knows that a warp does not diverge here */
    const int warp = __shfl_sync(FULL_WARP, (int)threadIdx.x / WARP, 0);
    if (warp < WARPGROUP / WARP) {
        registers_give<LOADER_REGS>();
        if (warp < WORKERS)
            load_dkdv<D>(&all[warp], &f);
    } else {
        registers_take<WORKER_REGS>();
        consume_dkdv<D>(&all[warp / (WARPGROUP / WARP) - 1], &f);
    }
}

void attn_bwd_launch_dkdv(struct backend *b, const struct bwd_job *f)
{
    const bool is_64 = f->a.head_dim == 64;
    const size_t bytes = is_64 ? WORKERS * sizeof(struct dkdv_shared<64>)
                               : WORKERS * sizeof(struct dkdv_shared<128>);
    void (*const kernel)(const struct bwd_job) = is_64 ? k_attn_dkdv_wgmma<64>
                                                       : k_attn_dkdv_wgmma<128>;
    cuda_must(cudaFuncSetAttribute((const void *)kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_bwd: shared memory");
    kernel<<<(unsigned)cuda_state(b)->n_sms, THREADS, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_bwd on wgmma: dk, dv");
}
