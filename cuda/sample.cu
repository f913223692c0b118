/*
 * Drawing a token per row; the algorithm is cpu/sample.c's, and so is the order of
 * every sum that decides. A block is a row and goes on with another when done.
 *
 * A cut keeps the logits above `smallest`, and of its equals those up to id last_tie.
 * Histograms of probability mass keep the CPU's four ways: a warp each, whose lanes add
 * in the order of ids where they meet in a bucket.
 */
#include "cuda/head.cuh"

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
    struct head_shared head;
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

/* sums[c] of every chunk of 512 by the row rule; a half warp a chunk */
static __device__ void chunk_sums(float *sums, const struct row *row)
{
    const int64_t n_chunks = (row->v + CHUNK - 1) / CHUNK;
    const int lane = threadIdx.x % LANES;
    for (int64_t c0 = 0; c0 < n_chunks; c0 += HALF_WARPS) {
        const int64_t c = c0 + threadIdx.x / LANES;
        float acc = 0;
#pragma unroll 8
        for (int64_t i = c * CHUNK + lane; i < (c + 1) * CHUNK && i < row->v;
             i += LANES)
            acc = acc + e_at(row, i);
        acc = fold_sum(acc);
        if (lane == 0 && c < n_chunks)
            sums[c] = acc;
    }
    __syncthreads();
}

/* Leaves the chunks' sums in `sums` */
static __device__ double kept_mass(struct sample_shared *s, float *sums,
                                   const struct row *row, float sum)
{
    const int64_t n_chunks = (row->v + CHUNK - 1) / CHUNK;
    chunk_sums(sums, row);
    if (!row->cut.is_on)
        return (double)sum;
    if (threadIdx.x == 0) {
        double mass = 0;
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
static __device__ struct cut find_cut(struct sample_shared *s, double *ways,
                                      const struct row *row, bool by_mass, double want)
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

/* Thread 0: where in the chunk's e the running sum passes `want`, else the last of
 * non-zero mass, else 0. */
static __device__ int64_t scan_chunk(const float *e, int64_t n, double want)
{
    double sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(e[i] > 0))
            continue;
        last = i;
        sum += (double)e[i];
        if (sum > want)
            break;
    }
    return last;
}

static __device__ int64_t draw(struct sample_shared *s, const float *sums,
                               const struct row *row, double want)
{
    const int64_t n_chunks = (row->v + CHUNK - 1) / CHUNK;
    if (threadIdx.x == 0) {
        double sum = 0, left = INFINITY;
        int64_t chunk = 0;
        for (int64_t c = 0; c < n_chunks; c++) {
            const double here = (double)sums[c];
            const bool is_passed = sum + here > want;
            if (is_passed || here > 0)
                chunk = c;
            if (is_passed) {
                left = want - sum;
                break;
            }
            sum += here;
        }
        s->id = chunk * CHUNK;
        s->value = left;
    }
    __syncthreads();
    const int64_t first = s->id;
    const int64_t n = row->v - first < CHUNK ? row->v - first : CHUNK;
    for (int64_t i = threadIdx.x; i < n; i += HEAD_THREADS)
        s->e[i] = e_at(row, first + i);
    __syncthreads();
    if (threadIdx.x == 0)
        s->id = first + scan_chunk(s->e, n, s->value);
    __syncthreads();
    return s->id;
}

static __device__ int64_t first_max(struct sample_shared *s, const struct row *row)
{
    int64_t best = row->v;
    for (int64_t i = threadIdx.x; i < row->v && best == row->v; i += HEAD_THREADS)
        if (z_at(row, i) == row->max)
            best = i;
    s->list[threadIdx.x] = best;
    __syncthreads();
    for (int t = 0; t < HEAD_THREADS; t++)
        best = s->list[t] < best ? s->list[t] : best;
    return best < row->v ? best : 0;
}

static __device__ int64_t sample_id(struct sample_shared *s, double *ways, float *sums,
                                    struct row *row, const struct sample_row *how,
                                    float sum)
{
    if (how->temperature == 0)
        return first_max(s, row);
    if (how->top_k > 0 && how->top_k < row->v) {
        row->cut = find_cut(s, ways, row, false, (double)how->top_k);
        find_last_tie(s, row, &row->cut);
    }
    if (how->top_p < 1) {
        const struct cut by_k = row->cut;
        const double want = (double)how->top_p * kept_mass(s, sums, row, sum);
        struct cut by_p = find_cut(s, ways, row, true, want);
        if (by_k.is_on && by_p.key == by_k.key && by_p.n_ties > by_k.n_ties)
            by_p = by_k;
        find_last_tie(s, row, &by_p);
        row->cut = by_p;
    }
    const float u = philox_uniform(how->seed, (uint32_t)how->stream, how->counter);
    const double mass = kept_mass(s, sums, row, sum);
    return draw(s, sums, row, (double)u * mass);
}

/* scratch: (gridDim.x, RADIX, WAYS) doubles */
static __global__ void k_sample(int32_t *token, float *logp, const float *logits,
                                const struct sample_row *rows, double *scratch,
                                int64_t v, int64_t ld, int64_t m)
{
    __shared__ struct sample_shared s;
    extern __shared__ float sums[]; /* (chunks of a row) */
    double *const ways = scratch + (int64_t)blockIdx.x * RADIX * WAYS;
    for (int64_t r = blockIdx.x; r < m; r += gridDim.x) {
        const float t = rows[r].temperature;
        struct row row = {};
        row.logits = logits + r * ld;
        row.v = v;
        row.inv_temp = t == 0 ? 1.0f : 1.0f / t;
        const struct head_stats stats = head_row(&s.head, row.logits, row.inv_temp, v);
        row.max = stats.max;
        const int64_t id = sample_id(&s, ways, sums, &row, &rows[r], stats.sum);
        if (threadIdx.x == 0) {
            token[r] = (int32_t)id;
            logp[r] = z_at(&row, id) - stats.lse;
        }
        __syncthreads();
    }
}

void cuda_sample_fwd(struct backend *b, int32_t *token, float *logp,
                     const float *logits, const struct sample_row *rows, int64_t v,
                     int64_t ld, int64_t m)
{
    const int64_t most = (int64_t)cuda_state(b)->n_sms * BLOCKS_PER_SM;
    const int64_t n_blocks = m < most ? m : most;
    /* whole vectors and one more: the compiler reads ahead of the loops */
    const size_t bytes = (size_t)((v + CHUNK - 1) / CHUNK + 7) / 4 * 4 * sizeof(float);
    CHECK(v >= 1 && bytes <= 16384, "%lld columns", (long long)v);
    if (m == 0)
        return;
    double *const scratch = (double *)cuda_scratch(
        b, (size_t)(n_blocks * RADIX * WAYS) * sizeof(double));
    k_sample<<<(unsigned)n_blocks, HEAD_THREADS, bytes, cuda_stream(b)>>>(
        token, logp, logits, rows, scratch, v, ld, m);
    cuda_launched(b, "sample_fwd");
}
