/*
 * Rotary positions, half-split: a thread turns one pair (j, j + rot / 2) of one head.
 */
#include "cuda/rope.cuh"

enum { ROPE_THREADS = 256 };

/* A block is a row */
static __global__ void k_rope(float *x, struct rope_table t, const int32_t *pos,
                              int n_heads, int head_dim, int64_t ld, float sign)
{
    const int64_t r = blockIdx.x;
    const int half = (int)(t.rot / 2);
    device_check(pos[r] >= 0 && pos[r] < t.n_pos);
    const int64_t angles = (int64_t)pos[r] * half;
    for (int i = threadIdx.x; i < n_heads * half; i += ROPE_THREADS) {
        const int j = i % half, h = i / half;
        const float c = t.cos[angles + j];
        const float s = t.sin[angles + j] * sign;
        float *const at = x + r * ld + h * head_dim + j;
        rope_turn(&at[0], &at[half], c, s);
    }
}

void cuda_rope(struct backend *b, float *x, const struct rope_table *t,
               const int32_t *pos, int64_t n_heads, int64_t head_dim, int64_t ld,
               float sign, int64_t m)
{
    CHECK(t->rot <= head_dim && t->rot % 2 == 0, "rot %lld of head_dim %lld",
          (long long)t->rot, (long long)head_dim);
    CHECK(n_heads * head_dim <= INT32_MAX, "%lld heads of %lld", (long long)n_heads,
          (long long)head_dim);
    if (m == 0)
        return;
    k_rope<<<cuda_blocks(m, 1), ROPE_THREADS, 0, cuda_stream(b)>>>(
        x, *t, pos, (int)n_heads, (int)head_dim, ld, sign);
    cuda_launched(b, "rope");
}
