/*
 * Attention backward on wgmma: gradients of queries. See attention_tensor_bwd_wgmma.cuh
 * and _steps.cuh. The two multiplying warpgroups have a tile of a unit each, their
 * operands in registers, and share its pages, which all of the loading warpgroup
 * brings.
 */
#include "cuda/attention_tensor_bwd_steps.cuh"

enum { DQ_STAGES = 4 };

/* A unit of dq: a pair of tiles, the second maybe empty, and their pages */
struct dq_info {
    int32_t n_lines;             /* 0: no more work */
    int32_t record;              /* of the first tile */
    int32_t seq, g, first_line;  /* of the sequence */
    int32_t page_list;           /* where its pages begin in the lists */
    int32_t key_begin, key_last; /* that some line sees */
};

template <int D> struct __align__(1024) dq_shared
{
    struct page_image<D> stages[DQ_STAGES];
    struct bwd_record<D> tiles[WORKERS];
    uint64_t full[DQ_STAGES], empty[DQ_STAGES], tiles_full, tiles_empty;
    struct dq_info info;
};

static __device__ __forceinline__ void read_info(struct dq_info *info,
                                                 const struct attn_batch *a,
                                                 const struct bwd_unit *unit, int32_t g)
{
    const int32_t per_kv = (int32_t)a->n_heads / (int32_t)a->n_kv_heads;
    const int32_t row0 = a->row_off[unit->seq], row_end = a->row_off[unit->seq + 1];
    const int32_t first = unit->at * WORKERS * BWD_TILE;
    const int32_t n = min((row_end - row0) * per_kv - first, WORKERS * BWD_TILE);
    const int32_t tile = row0 * per_kv / BWD_TILE + unit->seq + first / BWD_TILE;
    const int32_t pos = a->first_pos[unit->seq];
    info->n_lines = n;
    info->record = tile * (int32_t)a->n_kv_heads + g;
    info->first_line = first;
    info->seq = unit->seq;
    info->g = g;
    info->key_begin = max(pos + first / per_kv - window_of(a) + 1, 0);
    info->key_last = pos + (first + n - 1) / per_kv;
    info->page_list = a->page_off[unit->seq];
}

/* One thread: the records of the unit's tiles */
template <int D>
static __device__ __forceinline__ void
load_tiles(struct dq_shared<D> *m, const struct bwd_job *f, const struct dq_info *info)
{
    enum { BYTES = offsetof(struct bwd_record<D>, pad) };
    const struct bwd_record<D> *const records =
        (const struct bwd_record<D> *)f->records;
    const int n = info->n_lines > BWD_TILE ? 2 : 1;
    barrier_expect(&m->tiles_full, n * BYTES);
    for (int i = 0; i < n; i++)
        bulk_load(&m->tiles[i], records + info->record + i * f->a.n_kv_heads, BYTES,
                  &m->tiles_full);
}

/* The loading warpgroup: the pages of the unit. What it needs of the unit is read again
 * for each: registers are few. */
template <int D>
static __device__ __forceinline__ void
load_pages(struct dq_shared<D> *m, struct ring_at *at, const struct bwd_job *f)
{
    const struct dq_info *const info = &m->info;
    for (int32_t b = info->key_begin / KV_BLOCK; b <= info->key_last / KV_BLOCK; b++) {
        const int32_t page = f->a.pages[info->page_list + b];
        await(&m->empty[at->stage], at->parity ^ 1);
        struct slot_range range;
        range.begin = max(info->key_begin - b * KV_BLOCK, 0);
        range.end = min(info->key_last + 1 - b * KV_BLOCK, (int)KV_BLOCK);
        load_page<D>(&m->stages[at->stage],
                     f->cache + attn_page_at(&f->a, page, info->g), &range, threadIdx.x,
                     WARPGROUP);
        barrier_arrive_copies(&m->full[at->stage]);
        step<DQ_STAGES>(at);
    }
}

/* The loading warpgroup: takes units until there are no more */
template <int D>
static __device__ void load_dq(struct dq_shared<D> *m, const struct bwd_job *f)
{
    const struct attn_batch *const a = &f->a;
    struct ring_at at = {};
    for (uint32_t turn = 0;; turn ^= 1) {
        await(&m->tiles_empty, turn ^ 1);
        if (threadIdx.x == 0) {
            const int32_t n_kv = (int32_t)a->n_kv_heads;
            const int32_t taken = atomicAdd(&f->next[BWD_DQ], 1);
            if (taken < f->n_units[BWD_DQ] * n_kv) {
                const struct bwd_unit unit = f->units[BWD_DQ][taken / n_kv];
                read_info(&m->info, a, &unit, taken % n_kv);
                load_tiles<D>(m, f, &m->info);
            } else {
                m->info.n_lines = 0;
                barrier_arrive(&m->tiles_full);
            }
        }
        named_barrier(1, WARPGROUP);
        if (m->info.n_lines == 0)
            break;
        load_pages<D>(m, &at, f);
        named_barrier(1, WARPGROUP); /* all have read the unit */
    }
    asm volatile("cp.async.wait_all;" ::: "memory"); /* no copy outlives its thread */
}

/* A thread's two lines, rows g and g + 8 of its warp's 16 */
template <int D> struct dq_lines {
    uint32_t q[D / 16][4], dy[D / 16][4]; /* as operands */
    float neg_lse[2], dot[2];
    int32_t last_key[2];
};

/* The warp's 16 rows of an image as operands */
template <int D>
static __device__ __forceinline__ void load_operand(uint32_t (&x)[D / 16][4],
                                                    const uint16_t *image, int row0)
{
    const int lane = threadIdx.x % WARP, row = row0 + lane % 16;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        const int at = bwd_image_at(row, k * 16 + lane / 16 * 8);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(x[k][0]), "=r"(x[k][1]), "=r"(x[k][2]), "=r"(x[k][3])
                     : "r"(smem_address(image) + at)
                     : "memory");
    }
}

template <int D>
static __device__ __forceinline__ void
load_lines(struct dq_lines<D> *t, const struct bwd_record<D> *r, int row0)
{
    load_operand<D>(t->q, r->q, row0);
    load_operand<D>(t->dy, r->dy, row0);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = bwd_stat_at(row0 + threadIdx.x % WARP / 4 + 8 * i);
        t->neg_lse[i] = r->stats.neg_lse[row];
        t->dot[i] = r->stats.dot[row];
        t->last_key[i] = r->stats.last_key[row];
    }
}

/* s becomes P; key: of slot 0 */
template <int D>
static __device__ __forceinline__ void
to_probs(float (&s)[32], const struct dq_lines<D> *t, float scale, int32_t window,
         int32_t key, bool is_partial)
{
    const int c = threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < 32; i++) {
        const int row = i / 2 % 2, slot = i / 4 * 8 + c + i % 2;
        s[i] = exp2_fast(fmaf(s[i], scale, t->neg_lse[row]));
        if (is_partial)
            s[i] = sees(t->last_key[row], window, key + slot) ? s[i] : 0;
    }
}

/* What a tile sees of its unit's pages begin .. end - 1, and needs of the lines */
struct dq_span {
    int32_t begin, end;         /* pages of the unit */
    int32_t own_begin, own_end; /* of the tile; none: own_begin >= own_end */
    int32_t key_full, key_low;  /* all lines see keys key_low .. key_full */
};

static __device__ __forceinline__ struct dq_span
dq_span(const struct dq_info *info, const struct bwd_stats *t, int tile, int32_t window)
{
    struct dq_span s;
    const int32_t n = min(info->n_lines - tile * BWD_TILE, (int32_t)BWD_TILE);
    s.begin = info->key_begin / KV_BLOCK;
    s.end = info->key_last / KV_BLOCK + 1;
    s.own_begin = s.own_end = s.key_full = s.key_low = 0;
    if (n <= 0)
        return s;
    const int32_t first = t->last_key[bwd_stat_at(0)];
    const int32_t last = t->last_key[bwd_stat_at(n - 1)];
    s.own_begin = max(first - window + 1, 0) / KV_BLOCK;
    s.own_end = last / KV_BLOCK + 1;
    s.key_full = first;
    s.key_low = last - window + 1;
    return s;
}

/* The sums of one tile; the stages pass in any case */
template <int D>
static __device__ __forceinline__ void
add_pages(float (&dq)[D / 2], struct dq_shared<D> *m, struct ring_at *at,
          const struct dq_lines<D> *t, const struct dq_span *span, float scale,
          int32_t window)
{
    float s[32], dp[32];
    uint32_t ds[4][4];
    int32_t previous = -1;
#pragma unroll
    for (int i = 0; i < D / 2; i++)
        dq[i] = 0;
    for (int32_t b = span->begin; b < span->end; b++) {
        await(&m->full[at->stage], at->parity);
        const int32_t stage = at->stage, key = b * KV_BLOCK;
        step<DQ_STAGES>(at);
        if (b < span->own_begin || b >= span->own_end) {
            release(&m->empty[stage]);
            continue;
        }
        fence_async_proxy(); /* the page came by ordinary copies */
        const struct page_image<D> *const page = &m->stages[stage];
        const bool some_hidden = key + KV_BLOCK - 1 > span->key_full ||
                                 key < span->key_low;
        wgmma_fence();
        multiply_held<D>(s, t->q, page->k);
        multiply_held<D>(dp, t->dy, page->v);
        wgmma_wait<1>(); /* the scores; the page before has been read */
        settle(s);
        if (previous >= 0)
            release(&m->empty[previous]);
        to_probs<D>(s, t, scale, window, key, some_hidden);
        wgmma_wait<0>();
        settle(dp);
#pragma unroll
        for (int i = 0; i < 32; i++)
            dp[i] = score_grad(s[i], dp[i], t->dot[i / 2 % 2], some_hidden);
        to_operand(ds, dp);
        wgmma_fence();
        add_product<D>(dq, ds, page->k);
        previous = stage;
    }
    wgmma_wait<0>();
    settle(dq);
    if (previous >= 0)
        release(&m->empty[previous]);
}

/* line: of the thread's first row, in its sequence */
template <int D>
static __device__ __forceinline__ void store_lines(const struct bwd_job *f,
                                                   const float (&dq)[D / 2],
                                                   int32_t seq, int32_t g, int64_t line)
{
    const struct attn_lines lines = attn_lines(&f->a, seq, g);
    const int c = threadIdx.x % 4 * 2;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (line + 8 * r >= lines.n)
            continue;
        float *const to = f->dq + attn_q_at(&lines, &f->a, line + 8 * r) + c;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            const float x = f->a.scale * dq[4 * n + 2 * r];
            const float y = f->a.scale * dq[4 * n + 2 * r + 1];
            if (f->is_aligned) {
                *(float2 *)&to[8 * n] = make_float2(x, y);
            } else {
                to[8 * n] = x;
                to[8 * n + 1] = y;
            }
        }
    }
}

template <int D>
static __device__ void consume_dq(struct dq_shared<D> *m, const struct bwd_job *f,
                                  int tile)
{
    const int warp = __shfl_sync(FULL_WARP, (int)threadIdx.x % WARPGROUP / WARP, 0);
    const int row0 = warp * 16;
    const int32_t window = window_of(&f->a);
    struct ring_at at = {};
    for (uint32_t turn = 0;; turn ^= 1) {
        await(&m->tiles_full, turn);
        if (m->info.n_lines == 0)
            return;
        const struct dq_span span = dq_span(&m->info, &m->tiles[tile].stats, tile,
                                            window);
        const int32_t seq = m->info.seq, g = m->info.g;
        const int32_t line = m->info.first_line + tile * BWD_TILE;
        struct dq_lines<D> lines;
        float dq[D / 2];
        load_lines<D>(&lines, &m->tiles[tile], row0);
        release(&m->tiles_empty);
        add_pages<D>(dq, m, &at, &lines, &span, f->a.scale * LOG2E, window);
        store_lines<D>(f, dq, seq, g, line + row0 + threadIdx.x % WARP / 4);
    }
}

template <int D>
static __global__ void __launch_bounds__(THREADS, 1)
    k_attn_dq_wgmma(const __grid_constant__ struct bwd_job f)
{
    extern __shared__ __align__(1024) char memory[];
    struct dq_shared<D> *const m = (struct dq_shared<D> *)memory;
    if (threadIdx.x == 0) {
        for (int s = 0; s < DQ_STAGES; s++) {
            barrier_init(&m->full[s], WARPGROUP);
            barrier_init(&m->empty[s], WORKERS * WARPGROUP / WARP);
        }
        barrier_init(&m->tiles_full, 1);
        barrier_init(&m->tiles_empty, WORKERS * WARPGROUP / WARP);
        barrier_init_fence();
    }
    __syncthreads();
    const int warpgroup = __shfl_sync(FULL_WARP, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == 0) {
        registers_give<LOADER_REGS>();
        load_dq<D>(m, &f);
    } else {
        registers_take<WORKER_REGS>();
        consume_dq<D>(m, &f, warpgroup - 1);
    }
}

void attn_bwd_launch_dq(struct backend *b, const struct bwd_job *f)
{
    const bool is_64 = f->a.head_dim == 64;
    const size_t bytes = is_64 ? sizeof(struct dq_shared<64>)
                               : sizeof(struct dq_shared<128>);
    void (*const kernel)(const struct bwd_job) = is_64 ? k_attn_dq_wgmma<64>
                                                       : k_attn_dq_wgmma<128>;
    cuda_must(cudaFuncSetAttribute((const void *)kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)bytes),
              "attn_bwd: shared memory");
    kernel<<<(unsigned)cuda_state(b)->n_sms, THREADS, bytes, cuda_stream(b)>>>(*f);
    cuda_launched(b, "attn_bwd on wgmma: dq");
}
