/*
 * Embedding rows out of the table and gradients back into it. The table is PLAIN, or
 * PACKED when it is tied to the output head; a row of a packed table is one column of a
 * panel, its elements WEIGHT_PANEL apart. The backward splits the columns between
 * threads, so an element adds its rows in order.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

enum { COL_CHUNK = 64 };

struct table_row {
    int64_t at, step; /* of element 0; between elements */
};

static struct table_row find_row(const struct weight *t, int32_t id)
{
    CHECK(id >= 0 && id < t->n, "token %d of %lld", id, (long long)t->n);
    if (t->layout == WEIGHT_PLAIN)
        return (struct table_row){.at = id * t->k, .step = 1};
    return (struct table_row){.at = id / WEIGHT_PANEL * t->k * WEIGHT_PANEL +
                                    id % WEIGHT_PANEL,
                              .step = WEIGHT_PANEL};
}

void CPU_NAME(embed_fwd)(struct backend *b, float *y, const struct weight *table,
                         const int32_t *ids, int64_t m)
{
    const int64_t d = table->k;
    const size_t size = dtype_bytes(table->dtype);
#pragma omp parallel for num_threads(cpu_team(b, 2 * m * d)) schedule(static)
    for (int64_t r = 0; r < m; r++) {
        const struct table_row row = find_row(table, ids[r]);
        const char *const from = (const char *)table->data + (size_t)row.at * size;
        if (row.step == 1) {
            dtype_widen(y + r * d, from, table->dtype, d);
            continue;
        }
        for (int64_t i = 0; i < d; i++)
            y[r * d + i] = dtype_get(from, table->dtype, i * row.step);
    }
}

void CPU_NAME(embed_bwd)(struct backend *b, float *dtable, const struct weight *table,
                         const float *dy, const int32_t *ids, int64_t m)
{
    const int64_t d = table->k;
#pragma omp parallel for num_threads(cpu_team(b, 2 * m * d)) schedule(static)
    for (int64_t c = 0; c < d; c += COL_CHUNK) {
        const int64_t end = d - c < COL_CHUNK ? d : c + COL_CHUNK;
        for (int64_t r = 0; r < m; r++) {
            const struct table_row row = find_row(table, ids[r]);
            float *const to = dtable + row.at;
            for (int64_t i = c; i < end; i++)
                to[i * row.step] += dy[r * d + i];
        }
    }
}
