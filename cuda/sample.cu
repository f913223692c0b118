/*
 * Drawing a token per row; the algorithm is cpu/sample.c's, and so is the order of
 * every sum that decides. Three kernels: the rows' softmax (head.cu); sums of chunks of
 * the rows that draw from all their ids; the draw, in which a block is a row and goes
 * on with another when done. Sums of doubles in the order of ids are one thread's,
 * eight terms at a time.
 *
 * A cut keeps the logits above `smallest`, and of its equals those up to id last_tie.
 * Histograms of probability mass keep the CPU's four ways: a warp each, whose lanes add
 * in the order of ids where they meet in a bucket.
 */
#include "cuda/head.cuh"

#include "core/philox.h"

enum { CHUNK = 512, RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, WAYS = 4 };
enum { BLOCKS_PER_SM = 4, HALF_WARPS = HEAD_THREADS / LANES };

struct cut {
    bool is_on;
    uint32_t key;
    int64_t n_ties, last_tie;
};

struct row {
    const float *logits;
    int64_t v;
    float inv_temp, max;
    struct cut cut;
};

struct sample_shared {
    struct head_stats stats;
    float e[CHUNK];
    double value;
    int64_t id, list[HEAD_THREADS];
    struct cut cut;
};

/* Orders as the floats do; -0 as +0 */
static __device__ __forceinline__ uint32_t key_of(float z)
{
    const uint32_t u = (uint32_t)bits_of(z + 0.0f);
    return u >> 31 ? ~u : u | UINT32_C(0x80000000);
}

static __device__ __forceinline__ float float_of_key(uint32_t key)
{
    return float_of((int32_t)(key >> 31 ? key & UINT32_C(0x7fffffff) : ~key));
}

static __device__ __forceinline__ float z_at(const struct row *row, int64_t i)
{
    return row->logits[i] * row->inv_temp;
}

/* exp(z - max), 0 for ids that the cut drops */
static __device__ __forceinline__ float e_at(const struct row *row, int64_t i)
{
    const float z = z_at(row, i);
    const float e = f_exp(z - row->max);
    if (!row->cut.is_on)
        return e;
    const float smallest = float_of_key(row->cut.key);
    return z > smallest || (z == smallest && i <= row->cut.last_tie) ? e : 0.0f;
}

/* The sum of chunk c by the row rule, in all lanes of a half warp */
static __device__ __forceinline__ float chunk_sum(const struct row *row, int64_t c)
{
    const int64_t end = min((c + 1) * CHUNK, row->v);
    float acc = 0;
#pragma unroll 8
    for (int64_t i = c * CHUNK + threadIdx.x % LANES; i < end; i += LANES)
        acc = acc + e_at(row, i);
    return fold_sum(acc);
}

/* sums[c] of every chunk of 512; a half warp a chunk */
static __device__ void chunk_sums(float *sums, const struct row *row)
{
    const int64_t n_chunks = (row->v + CHUNK - 1) / CHUNK;
    for (int64_t c0 = 0; c0 < n_chunks; c0 += HALF_WARPS) {
        const int64_t c = c0 + threadIdx.x / LANES;
        const float sum = chunk_sum(row, c);
        if (threadIdx.x % LANES == 0 && c < n_chunks)
            sums[c] = sum;
    }
    __syncthreads();
}

/* exp(z - max) of all that is kept. With a cut, leaves the chunks' sums in `sums`. */
static __device__ double kept_mass(struct sample_shared *s, float *sums,
                                   const struct row *row, float sum)
{
    const int64_t n_chunks = (row->v + CHUNK - 1) / CHUNK;
    if (!row->cut.is_on)
        return (double)sum;
    chunk_sums(sums, row);
    if (threadIdx.x == 0) {
        double mass = 0;
#pragma unroll 8
        for (int64_t c = 0; c < n_chunks; c++)
            mass += (double)sums[c];
        s->value = mass;
    }
    __syncthreads();
    const double mass = s->value;
    __syncthreads();
    return mass;
}

/* The keys from `prefix` to `prefix` with all lower bits set */
struct key_range {
    uint32_t prefix, mask;
};

/* ways[bucket * WAYS + way]; a warp a way, the others idle */
static __device__ void fill_histogram(double *ways, const struct row *row, bool by_mass,
                                      const struct key_range *range, int shift)
{
    const int way = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const uint32_t index_mask = (RADIX - 1) & ~(range->mask >> shift);
    for (int i = threadIdx.x; i < RADIX * WAYS; i += HEAD_THREADS)
        ways[i] = 0;
    __syncthreads();
    for (int64_t first = way; first < row->v && way < WAYS; first += WAYS * WARP) {
        const int64_t i = first + (int64_t)lane * WAYS;
        const bool is_in = i < row->v;
        const uint32_t key = is_in ? key_of(z_at(row, i)) : 0;
        const double weight = !is_in ? 0.0 : by_mass ? (double)e_at(row, i) : 1.0;
        const bool adds = is_in && (key & range->mask) == range->prefix &&
                          weight != 0.0;
        const int bucket = adds ? (int)(key >> shift & index_mask) : -1 - lane;
        const unsigned peers = __match_any_sync(FULL_WARP, bucket);
        const int rank = __popc(peers & ((1u << lane) - 1));
        int n_turns = __popc(peers);
        for (int step = WARP / 2; step >= 1; step /= 2)
            n_turns = max(n_turns, __shfl_xor_sync(FULL_WARP, n_turns, step));
        for (int turn = 0; turn < n_turns; turn++) {
            if (adds && rank == turn)
                ways[bucket * WAYS + way] += weight;
            __syncwarp();
        }
    }
    __syncthreads();
}

/* The bucket in which the sums from the top reach `want`; what is left of it. */
static __device__ int walk_buckets(const double *ways, double *want, double *reached)
{
    int found = -1;
    double last = 0;
    for (int i = RADIX - 1; i >= 0; i--) {
        const double *const w = ways + i * WAYS;
        const double sum = (w[0] + w[1]) + (w[2] + w[3]);
        if (!(sum > 0))
            continue;
        *want -= found >= 0 ? last : 0.0;
        found = i;
        last = sum;
        if (sum >= *want)
            break;
    }
    *reached = last;
    return found;
}

/* last_tie: the id of equal number n_ties (from 1), or the last of all. Each thread
 * counts in a run of ids. */
static __device__ void find_last_tie(struct sample_shared *s, const struct row *row,
                                     struct cut *cut)
{
    const float smallest = float_of_key(cut->key);
    const int64_t run = (row->v + HEAD_THREADS - 1) / HEAD_THREADS;
    const int64_t first = run * threadIdx.x;
    const int64_t end = first + run < row->v ? first + run : row->v;
    int64_t n = 0;
    for (int64_t i = first; i < end; i++)
        n += z_at(row, i) == smallest;
    s->list[threadIdx.x] = n;
    if (threadIdx.x == 0)
        s->id = row->v;
    __syncthreads();
    int64_t before = 0;
    for (int t = 0; t < (int)threadIdx.x; t++)
        before += s->list[t];
    if (before < cut->n_ties && before + n >= cut->n_ties)
        for (int64_t i = first; i < end; i++)
            if (z_at(row, i) == smallest && ++before == cut->n_ties)
                s->id = i;
    __syncthreads();
    cut->last_tie = s->id;
    __syncthreads();
}

/* Thread 0: one level of the selection. false: no bucket holds anything. */
static __device__ bool take_bucket(struct key_range *range, double *want,
                                   const double *ways, int shift)
{
    double reached = 0;
    const int found = walk_buckets(ways, want, &reached);
    if (found < 0)
        return false;
    if (reached < *want) /* out of reach by rounding: the last bucket, whole */
        *want = reached;
    range->prefix |= (uint32_t)found << shift;
    range->mask = ~UINT32_C(0) << shift;
    return true;
}

/* The cut that keeps the largest logits until their weights reach `want`. Every thread
 * walks the buckets, so that all agree without a broadcast. */
static __device__ struct cut find_cut(double *ways, const struct row *row, bool by_mass,
                                      double want)
{
    struct key_range range = {0, 0};
    struct cut cut = {};
    for (int shift = 21, level = 0; level < 3; shift = level == 0 ? 10 : 0, level++) {
        fill_histogram(ways, row, by_mass, &range, shift);
        const bool is_found = take_bucket(&range, &want, ways, shift);
        __syncthreads();
        if (!is_found) /* all NaN */
            return cut;
    }
    const float e = by_mass ? f_exp(float_of_key(range.prefix) - row->max) : 1.0f;
    const double n_ties = ceil(want / (double)e);
    cut.is_on = true;
    cut.key = range.prefix;
    cut.n_ties = n_ties < 1 ? 1 : n_ties < 1e9 ? (int64_t)n_ties : 1000000000;
    return cut;
}

/* Where the running sum of x passes `want`, else the last above 0, else 0; *before: the
 * sum before it, if passed. x is not negative, so that the sum of eight tells whether
 * one of them passes. */
static __device__ int64_t walk(const float *x, int64_t n, double want, double *before)
{
    enum { AHEAD = 8 };
    double sum = 0;
    int64_t last = 0, i = 0;
    for (; i + AHEAD <= n; i += AHEAD) {
        double after = sum;
        int64_t positive = last;
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            after += (double)x[i + j];
            positive = x[i + j] > 0 ? i + j : positive;
        }
        if (after > want)
            break;
        sum = after;
        last = positive;
    }
    for (; i < n; i++) {
        const double after = sum + (double)x[i];
        if (after > want) {
            *before = sum;
            return i;
        }
        last = x[i] > 0 ? i : last;
        sum = after;
    }
    return last;
}

static __device__ int64_t draw(struct sample_shared *s, const float *sums,
                               const struct row *row, double want)
{
    const int64_t n_chunks = (row->v + CHUNK - 1) / CHUNK;
    if (threadIdx.x == 0) {
        double before = -INFINITY; /* not passed: all of the chunk is walked */
        s->id = walk(sums, n_chunks, want, &before) * CHUNK;
        s->value = want - before;
    }
    __syncthreads();
    const int64_t first = s->id;
    const int64_t n = row->v - first < CHUNK ? row->v - first : CHUNK;
    for (int64_t i = threadIdx.x; i < n; i += HEAD_THREADS) {
        const float e = e_at(row, first + i);
        s->e[i] = e > 0 ? e : 0; /* NaN has no mass */
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        double before;
        s->id = first + walk(s->e, n, s->value, &before);
    }
    __syncthreads();
    return s->id;
}

/* Whether a row draws from all its ids */
static __device__ __forceinline__ bool takes_all(const struct sample_row *how,
                                                 int64_t v)
{
    return how->temperature != 0 && (how->top_k <= 0 || how->top_k >= v) &&
           !(how->top_p < 1);
}

/* sums: of the chunks if the row takes all */
static __device__ int64_t sample_id(struct sample_shared *s, double *ways, float *sums,
                                    struct row *row, const struct sample_row *how,
                                    float sum)
{
    if (how->top_k > 0 && how->top_k < row->v) {
        row->cut = find_cut(ways, row, false, (double)how->top_k);
        find_last_tie(s, row, &row->cut);
    }
    if (how->top_p < 1) {
        const struct cut by_k = row->cut;
        const double want = (double)how->top_p * kept_mass(s, sums, row, sum);
        struct cut by_p = find_cut(ways, row, true, want);
        if (by_k.is_on && by_p.key == by_k.key && by_p.n_ties > by_k.n_ties)
            by_p = by_k;
        find_last_tie(s, row, &by_p);
        row->cut = by_p;
    }
    if (!row->cut.is_on && !takes_all(how, row->v))
        chunk_sums(sums, row); /* nothing to cut: all NaN */
    const float u = philox_uniform(how->seed, (uint32_t)how->stream, how->counter);
    const double mass = kept_mass(s, sums, row, sum);
    return draw(s, sums, row, (double)u * mass);
}

struct sample_job {
    int32_t *token;
    float *logp;
    const float *logits;
    const struct sample_row *rows;
    const struct head_slice *slices; /* (m, head_n_slices(v)) */
    float *sums;                     /* (m, chunks) of rows that take all */
    double *ways;                    /* (blocks, RADIX, WAYS) */
    int64_t v, ld, m, n_chunks, n_slices;
};

static __device__ __forceinline__ struct row row_of(const struct sample_job *f,
                                                    int64_t r)
{
    struct row row = {};
    row.logits = f->logits + r * f->ld;
    row.v = f->v;
    row.inv_temp = head_inv_temp(f->rows[r].temperature);
    return row;
}

/* blockIdx: row, HALF_WARPS chunks of it */
static __global__ void __launch_bounds__(HEAD_THREADS) k_chunk_sums(struct sample_job f)
{
    const int64_t r = blockIdx.x;
    const int64_t c = (int64_t)blockIdx.y * HALF_WARPS + threadIdx.x / LANES;
    if (!takes_all(&f.rows[r], f.v))
        return;
    struct row row = row_of(&f, r);
    row.max = -INFINITY;
#pragma unroll 8
    for (int64_t i = 0; i < f.n_slices; i++)
        row.max = larger(row.max, f.slices[r * f.n_slices + i].max);
    const float sum = chunk_sum(&row, c);
    if (threadIdx.x % LANES == 0 && c < f.n_chunks)
        f.sums[r * f.n_chunks + c] = sum;
}

static __global__ void __launch_bounds__(HEAD_THREADS) k_sample(struct sample_job f)
{
    __shared__ struct sample_shared s;
    extern __shared__ float sums[]; /* (chunks) */
    double *const ways = f.ways + (int64_t)blockIdx.x * RADIX * WAYS;
    for (int64_t r = blockIdx.x; r < f.m; r += gridDim.x) {
        const struct sample_row *const how = &f.rows[r];
        struct row row = row_of(&f, r);
        if (threadIdx.x == 0)
            s.stats = head_combine(f.slices + r * f.n_slices, f.n_slices);
        if (takes_all(how, f.v))
            for (int64_t c = threadIdx.x; c < f.n_chunks; c += HEAD_THREADS)
                sums[c] = f.sums[r * f.n_chunks + c];
        __syncthreads();
        row.max = s.stats.max;
        const int64_t id = how->temperature == 0
                               ? s.stats.first
                               : sample_id(&s, ways, sums, &row, how, s.stats.sum);
        if (threadIdx.x == 0) {
            f.token[r] = (int32_t)id;
            f.logp[r] = z_at(&row, id) - s.stats.lse;
        }
        __syncthreads();
    }
}

void cuda_sample_fwd(struct backend *b, int32_t *token, float *logp,
                     const float *logits, const struct sample_row *rows, int64_t v,
                     int64_t ld, int64_t m)
{
    struct sample_job f = {token, logp, logits, rows, NULL, NULL, NULL, v, ld, m, 0, 0};
    const int64_t most = (int64_t)cuda_state(b)->n_sms * BLOCKS_PER_SM;
    const int64_t n_blocks = m < most ? m : most;
    f.n_chunks = (v + CHUNK - 1) / CHUNK;
    f.n_slices = head_n_slices(v);
    /* whole vectors and one more: the compiler reads ahead of the loops */
    const size_t bytes = (size_t)(f.n_chunks + 7) / 4 * 4 * sizeof(float);
    CHECK(v >= 1 && bytes <= 16384, "%lld columns", (long long)v);
    if (m == 0)
        return;
    const size_t n_ways = (size_t)(n_blocks * RADIX * WAYS);
    const size_t n_slices = (size_t)(m * f.n_slices);
    f.ways = (double *)cuda_scratch(b, n_ways * sizeof(double) +
                                           n_slices * sizeof(struct head_slice) +
                                           (size_t)(m * f.n_chunks) * sizeof(float));
    struct head_slice *const slices = (struct head_slice *)(f.ways + n_ways);
    f.slices = slices;
    f.sums = (float *)(slices + n_slices);
    head_slices(b, slices, logits, 0, rows, v, ld, m);
    const dim3 grid(cuda_blocks(m, 1), cuda_blocks(f.n_chunks, HALF_WARPS));
    k_chunk_sums<<<grid, HEAD_THREADS, 0, cuda_stream(b)>>>(f);
    cuda_launched(b, "sample_fwd: chunks");
    k_sample<<<(unsigned)n_blocks, HEAD_THREADS, bytes, cuda_stream(b)>>>(f);
    cuda_launched(b, "sample_fwd");
}
