/*
 * Rows of keys and values into the pages, and the pages' gradients back into rows. In a
 * page the keys lie transposed (core/ops.h), so a row's key touches head_dim cache
 * lines; rows go in order, hence neighbours share them. Threads split the kv heads: a
 * line of a page has one writer.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

/* Where head g of a slot lies: key dim 0 (its dims KV_BLOCK apart) and value dim 0 */
static int64_t key_at(int32_t slot, int64_t g, int64_t n_kv_heads, int64_t head_dim)
{
    const int64_t page = slot / KV_BLOCK;
    return (page * n_kv_heads + g) * 2 * head_dim * KV_BLOCK + slot % KV_BLOCK;
}

static int64_t value_at(int32_t slot, int64_t g, int64_t n_kv_heads, int64_t head_dim)
{
    const int64_t page = slot / KV_BLOCK, index = slot % KV_BLOCK;
    return ((page * n_kv_heads + g) * 2 + 1) * head_dim * KV_BLOCK + index * head_dim;
}

void CPU_NAME(kv_write)(struct backend *b, float *cache, const float *kv,
                        const int32_t *dst_off, const int32_t *dst, int64_t n_kv_heads,
                        int64_t head_dim, int64_t ld, bool is_narrow, int64_t m)
{
    (void)is_narrow; /* exact whatever may be rounded */
#pragma omp parallel for num_threads(cpu_team(b, 2 * m * n_kv_heads * head_dim))       \
    schedule(static)
    for (int64_t g = 0; g < n_kv_heads; g++)
        for (int64_t r = 0; r < m; r++)
            for (int64_t i = dst_off[r]; i < dst_off[r + 1]; i++) {
                const float *const k = kv + r * ld + g * head_dim;
                const float *const v = k + n_kv_heads * head_dim;
                float *const to_k = cache + key_at(dst[i], g, n_kv_heads, head_dim);
                float *const to_v = cache + value_at(dst[i], g, n_kv_heads, head_dim);
                for (int64_t d = 0; d < head_dim; d++)
                    to_k[d * KV_BLOCK] = k[d];
                memcpy(to_v, v, (size_t)head_dim * sizeof(float));
            }
}

void CPU_NAME(rope_kv_write)(struct backend *b, float *cache, float *qkv,
                             const struct rope_kv *a, int64_t m)
{
    CPU_NAME(rope)
    (b, qkv, a->table, a->pos, a->n_heads + a->n_kv_heads, a->head_dim, a->ld, 1.0f, m);
    CPU_NAME(kv_write)
    (b, cache, qkv + a->n_heads * a->head_dim, a->dst_off, a->dst, a->n_kv_heads,
     a->head_dim, a->ld, a->is_narrow, m);
}

void CPU_NAME(kv_read_bwd)(struct backend *b, float *dkv, const float *dcache,
                           const int32_t *dst_off, const int32_t *dst,
                           int64_t n_kv_heads, int64_t head_dim, int64_t ld, int64_t m)
{
#pragma omp parallel for num_threads(cpu_team(b, 2 * m * n_kv_heads * head_dim))       \
    schedule(static)
    for (int64_t g = 0; g < n_kv_heads; g++)
        for (int64_t r = 0; r < m; r++) {
            float *const dk = dkv + r * ld + g * head_dim;
            float *const dv = dk + n_kv_heads * head_dim;
            memset(dk, 0, (size_t)head_dim * sizeof(float));
            memset(dv, 0, (size_t)head_dim * sizeof(float));
            for (int64_t i = dst_off[r]; i < dst_off[r + 1]; i++) {
                const float *const k = dcache + key_at(dst[i], g, n_kv_heads, head_dim);
                const float *const v = dcache +
                                       value_at(dst[i], g, n_kv_heads, head_dim);
                for (int64_t d = 0; d < head_dim; d++)
                    dk[d] += k[d * KV_BLOCK];
                for (int64_t d = 0; d < head_dim; d++)
                    dv[d] += v[d];
            }
        }
}
