/*
 * Embedding rows out of the table and gradients back into it. The backward sorts the
 * rows by id, keeping their order, so that one block adds all rows of an id in order.
 */
#include "cuda/sort.cuh"

enum { EMBED_THREADS = 128, DIGIT_BITS = 8, DIGIT_BINS = 1 << DIGIT_BITS };

/* Where value i of id's row lies */
static __device__ __forceinline__ int64_t table_at(const struct weight *t, int32_t id,
                                                   int64_t i)
{
    return t->layout == WEIGHT_PLAIN
               ? id * t->k + i
               : (id / WEIGHT_PANEL * t->k + i) * WEIGHT_PANEL + id % WEIGHT_PANEL;
}

static __global__ void k_embed_fwd(float *y, struct weight t, const int32_t *ids)
{
    const int64_t r = blockIdx.x;
    const int32_t id = ids[r];
    device_check(id >= 0 && id < t.n);
    for (int64_t i = threadIdx.x; i < t.k; i += EMBED_THREADS)
        y[r * t.k + i] = load_as(t.data, t.dtype, table_at(&t, id, i));
}

void cuda_embed_fwd(struct backend *b, float *y, const struct weight *table,
                    const int32_t *ids, int64_t m)
{
    if (m == 0)
        return;
    k_embed_fwd<<<cuda_blocks(m, 1), EMBED_THREADS, 0, cuda_stream(b)>>>(y, *table,
                                                                         ids);
    cuda_launched(b, "embed_fwd");
}

/* Place p of the sorted rows: the first one of an id adds them all. */
static __global__ void k_embed_bwd(float *dtable, struct weight t, const float *dy,
                                   const int32_t *ids, const int32_t *order, int64_t m)
{
    const int64_t p = blockIdx.x;
    const int32_t id = ids[order[p]];
    device_check(id >= 0 && id < t.n);
    if (p > 0 && ids[order[p - 1]] == id)
        return;
    for (int64_t i = threadIdx.x; i < t.k; i += EMBED_THREADS) {
        float *const to = dtable + table_at(&t, id, i);
        float sum = *to;
        for (int64_t q = p; q < m && ids[order[q]] == id; q++)
            sum = sum + dy[order[q] * t.k + i];
        *to = sum;
    }
}

void cuda_embed_bwd(struct backend *b, float *dtable, const struct weight *table,
                    const float *dy, const int32_t *ids, int64_t m)
{
    if (m == 0)
        return;
    const size_t list = ((size_t)m * sizeof(int32_t) + 255) / 256 * 256;
    const size_t off_bytes = 2048;
    char *const scratch = (char *)cuda_scratch(
        b, 2 * list + off_bytes + sort_scratch_bytes(m, DIGIT_BINS));
    int32_t *const lists[2] = {(int32_t *)scratch, (int32_t *)(scratch + list)};
    const int32_t *order = NULL;
    int pass = 0;
    for (int shift = 0; shift == 0 || (table->n - 1) >> shift > 0;
         shift += DIGIT_BITS, pass++) {
        struct sort_args a = {};
        a.keys = ids;
        a.order = order;
        a.n = m;
        a.n_bins = DIGIT_BINS;
        a.shift = shift;
        a.mask = DIGIT_BINS - 1;
        a.off = (int32_t *)(scratch + 2 * list);
        a.src = lists[pass % 2];
        sort_by_bin(b, &a, scratch + 2 * list + off_bytes);
        order = a.src;
    }
    k_embed_bwd<<<cuda_blocks(m, 1), EMBED_THREADS, 0, cuda_stream(b)>>>(
        dtable, *table, dy, ids, order, m);
    cuda_launched(b, "embed_bwd");
}
