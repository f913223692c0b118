/*
 * Drawing a token per row. top_k and top_p each become a cut: the smallest kept logit,
 * and how many of its equals, lowest ids first. A cut is found by radix selection on
 * the logits' sortable bits (11, 11 and 10 bits): a histogram of counts (top_k) or of
 * probability mass (top_p), walked from the largest bucket until the wanted amount is
 * reached; three passes over the row, no sort, no memory that grows with it.
 *
 * The draw walks the kept ids in order: chunk sums in floats by the row rule, added in
 * double; inside the chunk that passes u * mass, one by one. Rounding may leave u *
 * mass at the very end unreached; then the last id of non-zero mass is taken. A row
 * with NaN gives some valid id and a NaN log-probability.
 */
#include "cpu/head.h"

#include <omp.h>
#include <stdbool.h>

#include "core/rng.h"

enum { CHUNK = 512, RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };
/* Neighbours often fall into one bucket: four sums each, so that an addition need not
 * wait for the one before. */
enum { WAYS = 4 };

struct cut {
    uint32_t key;   /* of the smallest kept logit */
    int64_t n_ties; /* kept among those with just this key */
};

struct row {
    const float *logits;
    int64_t v;
    float inv_temp;
    struct head_stats stats;
    struct cut cut;
};

static const struct cut keep_all = {.key = 0, .n_ties = INT64_MAX};

static bool is_cut(const struct row *row) { return row->cut.n_ties != INT64_MAX; }

/* Orders as the floats do; -0 as +0 */
static uint32_t key_of(float z)
{
    const float x = z + 0.0f;
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u >> 31 ? ~u : u | UINT32_C(0x80000000);
}

static float logit_of(uint32_t key)
{
    const uint32_t u = key >> 31 ? key & UINT32_C(0x7fffffff) : ~key;
    float x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

/* 1 in the lanes where low < z <= high, else 0 */
static v16 is_between(v16 z, float low, float high)
{
    const v16 one = v16_set1(1.0f), zero = v16_zero();
    const v16 above = v16_select_gt(z, v16_set1(low), one, zero);
    return v16_select_gt(z, v16_set1(high), zero, above);
}

/* The largest float below z */
static float below(float z) { return nextafterf(z, -INFINITY); }

/* Drops what lies below the cut, and its equals after the first n_ties. */
static void apply_cut(const struct cut *cut, const float *z, float *e, int64_t n,
                      int64_t *n_ties)
{
    const float smallest = logit_of(cut->key), low = below(smallest);
    v16 equal = v16_zero();
    for (int64_t i = 0; i < n; i += V16) {
        const v16 a = v16_load(z + i);
        equal = v16_add(equal, is_between(a, low, smallest));
        v16_store(e + i, v16_select_gt(a, v16_set1(low), v16_load(e + i), v16_zero()));
    }
    const int64_t n_equal = (int64_t)v16_sum(equal);
    const bool is_over = *n_ties + n_equal > cut->n_ties;
    for (int64_t i = 0; is_over && i < n; i++)
        if (z[i] == smallest && (*n_ties)++ >= cut->n_ties)
            e[i] = 0;
    if (!is_over)
        *n_ties += n_equal;
}

/* z and e = exp(z - max) of the chunk at `first`, e = 0 for ids that the cut drops.
 * *n_ties counts the cut's equals met so far. Returns the chunk's length. */
static int64_t read_chunk(const struct row *row, float *z, float *e, int64_t first,
                          int64_t *n_ties)
{
    const v16 scale = v16_set1(row->inv_temp), max = v16_set1(row->stats.max);
    const int64_t n = row->v - first < CHUNK ? row->v - first : CHUNK;
    for (int64_t i = 0; i < n; i += V16) {
        const v16 a = head_z(row->logits + first + i, scale, v16_left(n, i));
        v16_store(z + i, a);
        v16_store(e + i, v16_exp(v16_sub(a, max)));
    }
    if (is_cut(row))
        apply_cut(&row->cut, z, e, n, n_ties);
    return n;
}

static float chunk_sum(const float *e, int64_t n)
{
    v16 acc = v16_zero();
    for (int64_t i = 0; i < n; i += V16)
        acc = v16_add(acc, v16_load_n(e + i, v16_left(n, i)));
    return v16_sum(acc);
}

static double kept_mass(const struct row *row)
{
    if (!is_cut(row))
        return (double)row->stats.sum;
    float z[CHUNK], e[CHUNK];
    int64_t n_ties = 0;
    double mass = 0;
    for (int64_t first = 0; first < row->v; first += CHUNK) {
        const int64_t n = read_chunk(row, z, e, first, &n_ties);
        mass += (double)chunk_sum(e, n);
    }
    return mass;
}

/* The keys from `prefix` to `prefix` with all lower bits set */
struct key_range {
    uint32_t prefix, mask; /* mask: the bits that prefix fixes */
};

static bool has_in_range(const float *z, int64_t n, const struct key_range *range)
{
    const float low = below(logit_of(range->prefix));
    const float high = logit_of(range->prefix | ~range->mask);
    v16 count = v16_zero();
    for (int64_t i = 0; i < n; i += V16)
        count = v16_add(count, is_between(v16_load(z + i), low, high));
    return v16_sum(count) > 0;
}

/* Sums of weights (1, or e of the kept) by the bits from `shift` up that the range
 * leaves open */
static void fill_histogram(double *sum, const struct row *row, bool by_mass,
                           const struct key_range *range, int shift)
{
    float z[CHUNK], e[CHUNK];
    double ways[RADIX][WAYS];
    const uint32_t prefix = range->prefix, mask = range->mask;
    const uint32_t index_mask = (RADIX - 1) & ~(mask >> shift);
    int64_t n_ties = 0;
    memset(ways, 0, sizeof(ways));
    for (int64_t first = 0; first < row->v; first += CHUNK) {
        const int64_t n = read_chunk(row, z, e, first, &n_ties);
        if (mask != 0 && !has_in_range(z, n, range))
            continue;
        for (int64_t i = 0; i < n; i++) {
            const uint32_t key = key_of(z[i]);
            if ((key & mask) == prefix)
                ways[key >> shift & index_mask][i % WAYS] += by_mass ? (double)e[i]
                                                                     : 1.0;
        }
    }
    for (int64_t i = 0; i < RADIX; i++)
        sum[i] = (ways[i][0] + ways[i][1]) + (ways[i][2] + ways[i][3]);
}

/* The cut that keeps the largest logits until their weights reach `want`. */
static struct cut find_cut(const struct row *row, bool by_mass, double want)
{
    static const int shifts[] = {21, 10, 0};
    double sum[RADIX];
    struct key_range range = {0};
    for (int level = 0; level < 3; level++) {
        fill_histogram(sum, row, by_mass, &range, shifts[level]);
        int found = -1;
        for (int i = RADIX - 1; i >= 0; i--) {
            if (!(sum[i] > 0))
                continue;
            want -= found >= 0 ? sum[found] : 0.0;
            found = i;
            if (sum[i] >= want)
                break;
        }
        if (found < 0) /* all NaN */
            return keep_all;
        if (sum[found] < want) /* out of reach by rounding: the last bucket, whole */
            want = sum[found];
        range.prefix |= (uint32_t)found << shifts[level];
        range.mask = ~UINT32_C(0) << shifts[level];
    }
    const float e = by_mass ? vm_exp(logit_of(range.prefix) - row->stats.max) : 1.0f;
    const double n_ties = ceil(want / (double)e);
    return (struct cut){.key = range.prefix,
                        .n_ties = n_ties < 1     ? 1
                                  : n_ties < 1e9 ? (int64_t)n_ties
                                                 : 1000000000};
}

/* The id in the chunk at which the running sum passes `want`, else its last id of
 * non-zero mass, else 0. */
static int64_t scan_chunk(const float *e, int64_t n, double want)
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

static int64_t draw(const struct row *row, double want)
{
    float z[CHUNK], e[CHUNK];
    int64_t n_ties = 0, last_first = 0, last_ties = 0;
    double sum = 0;
    for (int64_t first = 0; first < row->v; first += CHUNK) {
        const int64_t ties_before = n_ties;
        const int64_t n = read_chunk(row, z, e, first, &n_ties);
        const double here = (double)chunk_sum(e, n);
        if (sum + here > want)
            return first + scan_chunk(e, n, want - sum);
        if (here > 0) {
            last_first = first;
            last_ties = ties_before;
        }
        sum += here;
    }
    const int64_t n = read_chunk(row, z, e, last_first, &last_ties);
    return last_first + scan_chunk(e, n, INFINITY);
}

static int64_t first_max(const struct row *row)
{
    for (int64_t i = 0; i < row->v; i++)
        if (row->logits[i] * row->inv_temp == row->stats.max)
            return i;
    return 0;
}

static int64_t sample_row(struct row *row, const struct sample_row *s)
{
    if (s->temperature == 0)
        return first_max(row);
    if (s->top_k > 0 && s->top_k < row->v)
        row->cut = find_cut(row, false, (double)s->top_k);
    if (s->top_p < 1) {
        const struct cut by_k = row->cut;
        struct cut by_p = find_cut(row, true, (double)s->top_p * kept_mass(row));
        if (by_p.key == by_k.key && by_p.n_ties > by_k.n_ties)
            by_p = by_k;
        row->cut = by_p;
    }
    const uint32_t *const c = s->counter;
    const float u = rng_uniform(s->seed, (enum rng_stream)s->stream, c[0], c[1], c[2],
                                c[3]);
    return draw(row, (double)u * kept_mass(row));
}

void CPU_NAME(sample_fwd)(struct backend *b, int32_t *token, float *logp,
                          const float *logits, const struct sample_row *rows, int64_t v,
                          int64_t ld, int64_t m)
{
    CHECK(v >= 1, "%lld columns", (long long)v);
#pragma omp parallel for num_threads(cpu_team(b, 50 * m * v)) schedule(dynamic, 1)
    for (int64_t r = 0; r < m; r++) {
        const float t = rows[r].temperature;
        struct row row = {.logits = logits + r * ld,
                          .v = v,
                          .inv_temp = t == 0 ? 1.0f : 1.0f / t,
                          .cut = keep_all};
        row.stats = CPU_NAME(head_row)(row.logits, row.inv_temp, v);
        const int64_t id = sample_row(&row, &rows[r]);
        token[r] = (int32_t)id;
        logp[r] = row.logits[id] * row.inv_temp - row.stats.lse;
    }
}
