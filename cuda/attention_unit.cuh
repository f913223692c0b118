/*
 * Private to attention_tensor*.cu: what a block of threads of the forward pass works
 * on: a tile of lines and the pages they go through. Found by the whole block together,
 * kept in its shared memory. The lines are those of one sequence, or, over shared
 * pages, of all sequences that begin with the same page, wherever in the batch they
 * stand.
 */
#ifndef CUDA_ATTENTION_UNIT_CUH
#define CUDA_ATTENTION_UNIT_CUH

#include "cuda/attention_plan.h"
#include "cuda/attention_tensor.cuh"

/* What pages brought a line, beside D values of o */
struct attn_state {
    float max, sum;
};

struct attn_job {
    float *y, *lse;
    const float *q, *cache;
    struct attn_batch a; /* at most ATTN_MAX_SEQS sequences */
    enum attn_part part;
    bool has_pairs; /* rows of q begin at even floats */
    /* SHARED writes, OWN reads: states (rows, n_heads), their o (.., D). DEALT writes,
     * MERGE reads: what pages bring, (rows, n_heads, n_slots), o (.., D) */
    struct attn_state *state;
    float *state_o;
    int32_t *n_shared; /* (n_seqs) pages done by SHARED */
    int32_t n_dealt;   /* blocks to a sequence's pages */
    int32_t n_slots;
    int32_t *next; /* the learner's count of tiles taken */
};

struct attn_line {
    int32_t row, head, first, last; /* keys it sees; first > last: no such line */
};

template <int LINES> struct attn_tile {
    struct attn_line line[LINES];
    int32_t kv_head, seq;        /* seq: whose page list it is; -1: nothing to do */
    int32_t n_lines, first_line; /* of the sequence, or of all sharing ones */
    int32_t begin, end, step;    /* pages */
    int32_t page0;               /* DEALT, MERGE: the page of slot 0 */
    int32_t n_common;            /* pages that SHARED does */
    int32_t key_first, key_last; /* that any line sees */
    int32_t group_first[LINES / ATTN_GROUP_LINES], group_last[LINES / ATTN_GROUP_LINES];
    bool is_dealt;
};

/* What a block of threads knows of all sequences */
struct attn_seqs {
    int32_t list[ATTN_MAX_SEQS + 1]; /* row offsets; SHARED: every one's first page */
    int32_t n_members, n_common; /* SHARED: sequences that share, and what they do */
    int32_t first_pos, last_pos; /* among their rows */
    int16_t member[ATTN_MAX_SEQS];
};

/* Of a line as an index into (rows, n_heads) */
static __device__ __forceinline__ int64_t attn_line_at(const struct attn_batch *a,
                                                       const struct attn_line *line)
{
    return (int64_t)line->row * a->n_heads + line->head;
}

static __device__ __forceinline__ struct attn_line
line_of(const struct attn_job *job, int32_t row, int32_t head, int32_t pos)
{
    const int64_t first = pos - job->a.window + 1;
    struct attn_line l;
    l.row = row;
    l.head = head;
    l.first = job->a.window > 0 && first > 0 ? (int32_t)first : 0;
    l.last = pos;
    return l;
}

static __device__ __forceinline__ struct attn_line no_line(void)
{
    const struct attn_line l = {0, 0, INT32_MAX, -1};
    return l;
}

static __device__ __forceinline__ const int32_t *pages_of(const struct attn_batch *a,
                                                          int32_t seq)
{
    return a->pages + a->page_off[seq];
}

/* The functions below are called by one whole warp, but for those that say "by all
 * threads". */

/* Over the lanes up to this one */
static __device__ __forceinline__ int32_t sum_up_to(int32_t sum)
{
    for (int step = 1; step < WARP; step *= 2) {
        const int32_t other = __shfl_up_sync(FULL_WARP, sum, step);
        sum += (int32_t)threadIdx.x % WARP >= step ? other : 0;
    }
    return sum;
}

/* The sequence that has block `index` of all blocks, or -1 */
template <int LINES>
static __device__ __forceinline__ int32_t find_seq(struct attn_tile<LINES> *t,
                                                   const struct attn_seqs *seqs,
                                                   const struct attn_job *job,
                                                   int32_t index)
{
    const int32_t lane = (int32_t)threadIdx.x % WARP, n = (int32_t)job->a.n_seqs;
    const int32_t n_kv = (int32_t)job->a.n_kv_heads;
    const int32_t per_kv = (int32_t)job->a.n_heads / n_kv;
    int32_t before = 0;
    if (lane == 0)
        t->seq = -1;
    __syncwarp();
    for (int32_t base = 0; base < n; base += WARP) {
        const int32_t s = base + lane;
        const int32_t rows = s < n ? seqs->list[s + 1] - seqs->list[s] : 0;
        const int32_t n_tiles = attn_n_tiles(rows * per_kv, LINES);
        const int32_t sum = sum_up_to(n_tiles * n_kv);
        const int32_t place = index - (before + sum - n_tiles * n_kv);
        const bool is_here = place >= 0 && place < n_tiles * n_kv;
        if (is_here) {
            const struct attn_place p = attn_place_of(place, n_tiles);
            t->seq = s;
            t->kv_head = p.head;
            t->first_line = p.tile * LINES;
            t->n_lines = rows * per_kv;
        }
        before += __shfl_sync(FULL_WARP, sum, WARP - 1);
        if (__any_sync(FULL_WARP, is_here))
            break;
    }
    __syncwarp();
    return t->seq;
}

/* DEALT, MERGE, one thread: this block's share of the pages */
template <int LINES>
static __device__ __forceinline__ void deal_pages(struct attn_tile<LINES> *t,
                                                  const struct attn_job *job)
{
    const int32_t share = job->part == ATTN_PART_DEALT
                              ? (int32_t)blockIdx.x % job->n_dealt
                              : 0;
    t->page0 = t->begin;
    t->is_dealt = attn_is_dealt(t->end - t->begin, job->n_slots);
    if (t->is_dealt && job->part == ATTN_PART_DEALT) {
        t->begin += share;
        t->step = job->n_dealt;
    } else if (!t->is_dealt && (share > 0 || job->part == ATTN_PART_MERGE)) {
        t->seq = -1;
    }
}

/* One thread: pages from the keys that the lines see */
template <int LINES>
static __device__ __forceinline__ void span_pages(struct attn_tile<LINES> *t,
                                                  const struct attn_job *job)
{
    int32_t first = INT32_MAX, last = -1;
    for (int32_t i = 0; i < LINES / ATTN_GROUP_LINES; i++) {
        first = min(first, t->group_first[i]);
        last = max(last, t->group_last[i]);
    }
    t->key_first = first;
    t->key_last = last;
    t->begin = first / KV_BLOCK;
    t->end = last / KV_BLOCK + 1;
    t->step = 1;
    t->is_dealt = false;
    if (job->part == ATTN_PART_SHARED)
        t->end = min(t->end, t->n_common);
    else if (job->part == ATTN_PART_OWN)
        t->begin = max(t->begin, t->n_common);
    else if (job->part != ATTN_PART_ALL)
        deal_pages(t, job);
}

/* Once the lines are known */
template <int LINES>
static __device__ __forceinline__ void span_lines(struct attn_tile<LINES> *t,
                                                  const struct attn_job *job)
{
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    for (int32_t i = 0; i < LINES / ATTN_GROUP_LINES; i++) {
        const struct attn_line *const line = &t->line[i * ATTN_GROUP_LINES];
        int32_t first = INT32_MAX, last = -1;
        for (int32_t k = lane; k < ATTN_GROUP_LINES; k += WARP) {
            first = min(first, line[k].first);
            last = max(last, line[k].last);
        }
        for (int step = 1; step < WARP; step *= 2) {
            first = min(first, __shfl_xor_sync(FULL_WARP, first, step));
            last = max(last, __shfl_xor_sync(FULL_WARP, last, step));
        }
        if (lane == 0) {
            t->group_first[i] = first;
            t->group_last[i] = last;
        }
    }
    if (lane == 0)
        span_pages(t, job);
    __syncwarp();
}

/* The tile of block `index`: one sequence's lines. seq is -1 if there is none. */
template <int LINES>
static __device__ __forceinline__ void
place_tile(struct attn_tile<LINES> *t, const struct attn_seqs *seqs,
           const struct attn_job *job, int32_t index)
{
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    const int32_t per_kv = (int32_t)(job->a.n_heads / job->a.n_kv_heads);
    const int32_t seq = find_seq(t, seqs, job, index);
    if (seq < 0)
        return;
    const int32_t row0 = seqs->list[seq], pos0 = job->a.first_pos[seq];
    for (int32_t i = lane; i < LINES; i += WARP) {
        const int32_t line = t->first_line + i, row = line / per_kv;
        t->line[i] = line < t->n_lines
                         ? line_of(job, row0 + row, t->kv_head * per_kv + line % per_kv,
                                   pos0 + row)
                         : no_line();
    }
    if (lane == 0)
        t->n_common = job->part == ATTN_PART_OWN ? job->n_shared[seq] : 0;
    __syncwarp();
    span_lines(t, job);
}

/* By all threads: what place_tile needs */
static __device__ __forceinline__ void list_rows(struct attn_seqs *seqs,
                                                 const struct attn_job *job)
{
    for (int32_t i = (int32_t)threadIdx.x; i <= job->a.n_seqs; i += (int32_t)blockDim.x)
        seqs->list[i] = job->a.row_off[i];
    __syncthreads();
}

/* By all threads: the block's tile of one sequence's lines; false: there is none */
template <int LINES>
static __device__ __forceinline__ bool start_seq_tile(struct attn_tile<LINES> *t,
                                                      struct attn_seqs *seqs,
                                                      const struct attn_job *job)
{
    const int32_t per_tile = job->part == ATTN_PART_DEALT ? job->n_dealt : 1;
    list_rows(seqs, job);
    if (threadIdx.x < WARP)
        place_tile(t, seqs, job, (int32_t)blockIdx.x / per_tile);
    __syncthreads();
    return t->seq >= 0;
}

/* By all threads: the first page of every sequence with rows, -1 without */
static __device__ __forceinline__ void list_first_pages(struct attn_seqs *seqs,
                                                        const struct attn_job *job)
{
    const struct attn_batch *const a = &job->a;
    for (int32_t i = (int32_t)threadIdx.x; i < a->n_seqs; i += (int32_t)blockDim.x)
        seqs->list[i] = a->row_off[i + 1] > a->row_off[i] ? *pages_of(a, i) : -1;
    __syncthreads();
}

/* The sequences from `seq` on that begin with its page */
static __device__ __forceinline__ void
list_members(struct attn_seqs *seqs, const struct attn_job *job, int32_t seq)
{
    const int32_t lane = (int32_t)threadIdx.x % WARP, n = (int32_t)job->a.n_seqs;
    const int32_t page = seqs->list[seq];
    int32_t n_members = 0;
    for (int32_t base = seq; base < n; base += WARP) {
        const int32_t s = base + lane;
        const bool is_member = s < n && seqs->list[s] == page;
        const uint32_t all = __ballot_sync(FULL_WARP, is_member);
        if (is_member)
            seqs->member[n_members + __popc(all & ((1u << lane) - 1))] = (int16_t)s;
        n_members += __popc(all);
    }
    if (lane == 0) {
        seqs->n_members = n_members;
        seqs->n_common = seqs->first_pos = INT32_MAX;
        seqs->last_pos = -1;
    }
}

/* Member i: what the members have in common, and how far apart they are */
static __device__ __forceinline__ void add_member(struct attn_seqs *seqs,
                                                  const struct attn_batch *a, int32_t i)
{
    const int32_t leader = seqs->member[0], s = seqs->member[i];
    const int32_t pos = a->first_pos[s], n_rows = a->row_off[s + 1] - a->row_off[s];
    const int32_t n = min(a->page_off[leader + 1] - a->page_off[leader],
                          a->page_off[s + 1] - a->page_off[s]);
    if (i > 0)
        atomicMin(&seqs->n_common,
                  attn_common_pages(pages_of(a, leader), pages_of(a, s), n));
    atomicMin(&seqs->first_pos, pos);
    atomicMax(&seqs->last_pos, pos + n_rows - 1);
}

/* By all threads: the sequences that share pages with `seq`, if it is the first of
 * them; true if there are others. n_shared of all of them becomes known. Windows so far
 * apart that no key is in both are left alone: between them may lie slots that nobody
 * sees. */
static __device__ __forceinline__ bool start_sharing(struct attn_seqs *seqs,
                                                     const struct attn_job *job,
                                                     int32_t seq, int32_t kv_head)
{
    const struct attn_batch *const a = &job->a;
    const int32_t thread = (int32_t)threadIdx.x, n_threads = (int32_t)blockDim.x;
    const int32_t page = seqs->list[seq];
    bool is_later = page < 0;
    for (int32_t s = thread; s < seq; s += n_threads)
        is_later = is_later || seqs->list[s] == page;
    if (__syncthreads_or(is_later))
        return false;
    if (thread < WARP)
        list_members(seqs, job, seq);
    __syncthreads();
    const int32_t n = seqs->n_members;
    if (n == 1) {
        if (thread == 0 && kv_head == 0)
            job->n_shared[seq] = 0;
        return false;
    }
    for (int32_t i = thread; i < n; i += n_threads)
        add_member(seqs, a, i);
    __syncthreads();
    const bool is_near = a->window <= 0 ||
                         seqs->last_pos - seqs->first_pos <= a->window;
    for (int32_t i = thread; i < n && kv_head == 0; i += n_threads)
        job->n_shared[seqs->member[i]] = is_near ? seqs->n_common : 0;
    return is_near;
}

/* Those of the sharing sequences' lines that belong to the tile */
template <int LINES>
static __device__ __forceinline__ void list_lines(struct attn_tile<LINES> *t,
                                                  const struct attn_seqs *seqs,
                                                  const struct attn_job *job)
{
    const struct attn_batch *const a = &job->a;
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    const int32_t per_kv = (int32_t)(a->n_heads / a->n_kv_heads);
    int32_t before = 0;
    for (int32_t base = 0; base < seqs->n_members; base += WARP) {
        const int32_t i = base + lane;
        const bool is_in = i < seqs->n_members;
        const int32_t s = is_in ? seqs->member[i] : 0, row0 = a->row_off[s];
        const int32_t n = is_in ? (a->row_off[s + 1] - row0) * per_kv : 0;
        const int32_t sum = sum_up_to(n);
        const int32_t start = before + sum - n - t->first_line; /* in the tile */
        for (int32_t k = max(0, -start); k < n && start + k < LINES; k++)
            t->line[start + k] = line_of(job, row0 + k / per_kv,
                                         t->kv_head * per_kv + k % per_kv,
                                         a->first_pos[s] + k / per_kv);
        before += __shfl_sync(FULL_WARP, sum, WARP - 1);
    }
    if (lane == 0)
        t->n_lines = before;
    for (int32_t i = max(0, before - t->first_line) + lane; i < LINES; i += WARP)
        t->line[i] = no_line();
    __syncwarp();
}

/* By all threads, after start_sharing: the tile of their lines from first_line on */
template <int LINES>
static __device__ __forceinline__ void
start_shared_tile(struct attn_tile<LINES> *t, const struct attn_seqs *seqs,
                  const struct attn_job *job, int32_t kv_head, int32_t first_line)
{
    __syncthreads(); /* the tile before is done with */
    if (threadIdx.x == 0) {
        t->seq = seqs->member[0];
        t->kv_head = kv_head;
        t->first_line = first_line;
        t->n_common = seqs->n_common;
    }
    __syncwarp();
    if (threadIdx.x < WARP) {
        list_lines(t, seqs, job);
        span_lines(t, job);
    }
    __syncthreads();
}

/* SHARED: how far a block is with its sequences, and with the lines of the last one */
struct attn_turn {
    int32_t n_seqs, next_line; /* next_line 0: a sequence is to be found first */
};

template <int LINES>
static __device__ __forceinline__ bool
next_shared_tile(struct attn_tile<LINES> *t, struct attn_seqs *seqs,
                 const struct attn_job *job, struct attn_turn *turn)
{
    const int32_t kv_head = (int32_t)blockIdx.y;
    bool is_found = turn->next_line > 0 && turn->next_line < t->n_lines;
    if (!is_found)
        turn->next_line = 0;
    for (; !is_found && turn->n_seqs < ATTN_SEQS_PER_BLOCK; turn->n_seqs++) {
        const int32_t seq = (int32_t)blockIdx.x * ATTN_SEQS_PER_BLOCK + turn->n_seqs;
        is_found = seq < job->a.n_seqs && start_sharing(seqs, job, seq, kv_head);
    }
    if (!is_found)
        return false;
    start_shared_tile(t, seqs, job, kv_head, turn->next_line);
    turn->next_line += LINES;
    return true;
}

/* By all threads: the block's first tile, and the next one; false: there is none. */
template <int LINES>
static __device__ __forceinline__ bool
first_tile(struct attn_tile<LINES> *t, struct attn_seqs *seqs,
           const struct attn_job *job, struct attn_turn *turn)
{
    *turn = {0, 0};
    if (job->part != ATTN_PART_SHARED)
        return start_seq_tile(t, seqs, job);
    list_first_pages(seqs, job);
    return next_shared_tile(t, seqs, job, turn);
}

template <int LINES>
static __device__ __forceinline__ bool
next_tile(struct attn_tile<LINES> *t, struct attn_seqs *seqs,
          const struct attn_job *job, struct attn_turn *turn)
{
    return job->part == ATTN_PART_SHARED && next_shared_tile(t, seqs, job, turn);
}

#endif
