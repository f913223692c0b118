/*
 * Around the expert products: sorting the (row, slot) pairs by expert, moving rows into
 * that order, the weighted sum back into the rows.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

/* Serial: two passes over m K small integers. off[e] first counts, then runs through
 * e's places, and ends as the start of e + 1: shifted back at the end. */
void CPU_NAME(moe_sort)(struct backend *b, int32_t *off, int32_t *src, int32_t *place,
                        const int32_t *experts, int64_t n_experts, int64_t top_k,
                        int64_t m)
{
    (void)b;
    const int64_t n = m * top_k;
    CHECK(n <= INT32_MAX, "%lld pairs", (long long)n);
    memset(off, 0, (size_t)(n_experts + 1) * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++) {
        CHECK(experts[i] >= 0 && experts[i] < n_experts, "expert %d of %lld",
              experts[i], (long long)n_experts);
        off[experts[i] + 1]++;
    }
    for (int64_t e = 0; e < n_experts; e++)
        off[e + 1] += off[e];
    for (int64_t i = 0; i < n; i++) {
        const int32_t p = off[experts[i]]++;
        src[p] = (int32_t)i;
        place[i] = p;
    }
    for (int64_t e = n_experts; e > 0; e--)
        off[e] = off[e - 1];
    off[0] = 0;
}

void CPU_NAME(rows_gather)(struct backend *b, void *y, enum dtype y_dtype,
                           struct rows x, const int32_t *idx, int64_t div, int64_t d,
                           int64_t m)
{
    const int64_t to_bytes = d * (int64_t)dtype_bytes(y_dtype);
    const int64_t from_bytes = d * (int64_t)dtype_bytes(x.dtype);
#pragma omp parallel for num_threads(cpu_team(b, m *d)) schedule(static)
    for (int64_t r = 0; r < m; r++) {
        const int64_t source = idx != NULL ? idx[r] / div : r;
        const char *const from = (const char *)x.data + source * from_bytes;
        char *const to = (char *)y + r * to_bytes;
        if (y_dtype == x.dtype)
            memcpy(to, from, (size_t)to_bytes);
        else if (y_dtype == DTYPE_F32)
            dtype_widen((float *)to, from, x.dtype, d);
        else
            dtype_narrow(to, y_dtype, (const float *)from, d);
    }
}

void CPU_NAME(rows_scatter)(struct backend *b, float *y, const float *x,
                            const int32_t *idx, int64_t d, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, m *d)) schedule(static)
    for (int64_t r = 0; r < m; r++)
        memcpy(y + idx[r] * d, x + r * d, (size_t)d * sizeof(float));
}

static void combine_row(float *y, const float *x, const float *o, const int32_t *place,
                        const float *weights, int64_t top_k, int64_t d)
{
    for (int64_t i = 0; i < d; i += V16) {
        const int n = v16_left(d, i);
        v16 acc = v16_load_n(x + i, n);
        for (int64_t s = 0; s < top_k; s++) {
            const v16 from = v16_load_n(o + place[s] * d + i, n);
            acc = weights != NULL ? v16_fma(v16_set1(weights[s]), from, acc)
                                  : v16_add(acc, from);
        }
        v16_store_n(y + i, acc, n);
    }
}

void CPU_NAME(moe_combine)(struct backend *b, float *y, const float *x, const float *o,
                           const int32_t *place, const float *weights, int64_t top_k,
                           int64_t d, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, 2 * m * top_k * d)) schedule(static)
    for (int64_t r = 0; r < m; r++)
        combine_row(y + r * d, x + r * d, o, place + r * top_k,
                    weights != NULL ? weights + r * top_k : NULL, top_k, d);
}

void CPU_NAME(moe_dispatch)(struct backend *b, void *y, const struct moe_order *o,
                            const int32_t *experts, struct rows x, int64_t d, int64_t m)
{
    CPU_NAME(moe_sort)(b, o->off, o->src, o->place, experts, o->n_experts, o->top_k, m);
    CPU_NAME(rows_gather)(b, y, x.dtype, x, o->src, o->top_k, d, m * o->top_k);
}
