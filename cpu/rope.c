/*
 * Rotary positions, half-split: dims j and j + rot/2 of a head turn by the angle of
 * (pos, j). Rows are independent.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

static void rotate_head(float *x, const float *cos, const float *sin, float sign,
                        int64_t half)
{
    for (int64_t j = 0; j < half; j += V16) {
        const int n = v16_left(half, j);
        const v16 c = v16_load_n(cos + j, n);
        const v16 s = v16_mul(v16_load_n(sin + j, n), v16_set1(sign));
        const v16 x1 = v16_load_n(x + j, n), x2 = v16_load_n(x + half + j, n);
        const v16 minus_s = v16_sub(v16_zero(), s);
        v16_store_n(x + j, v16_fma(x2, minus_s, v16_mul(x1, c)), n);
        v16_store_n(x + half + j, v16_fma(x1, s, v16_mul(x2, c)), n);
    }
}

void CPU_NAME(rope)(struct backend *b, float *x, const struct rope_table *t,
                    const int32_t *pos, int64_t n_heads, int64_t head_dim, int64_t ld,
                    float sign, int64_t m)
{
    const int64_t half = t->rot / 2;
    CHECK(t->rot <= head_dim && t->rot % 2 == 0, "rot %lld of head_dim %lld",
          (long long)t->rot, (long long)head_dim);
#pragma omp parallel for num_threads(cpu_team(b, 6 * m * n_heads * half))              \
    schedule(static)
    for (int64_t r = 0; r < m; r++) {
        CHECK(pos[r] >= 0 && pos[r] < t->n_pos, "position %d of %lld", pos[r],
              (long long)t->n_pos);
        for (int64_t h = 0; h < n_heads; h++)
            rotate_head(x + r * ld + h * head_dim, t->cos + pos[r] * half,
                        t->sin + pos[r] * half, sign, half);
    }
}
