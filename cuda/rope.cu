/*
 * Rotary positions, half-split: a thread turns one pair (j, j + rot / 2) of one head.
 */
#include "cuda/backend.cuh"

enum { ROPE_THREADS = 256 };

static __global__ void k_rope(float *x, struct rope_table t, const int32_t *pos,
                              int64_t n_heads, int64_t head_dim, int64_t ld, float sign,
                              int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * ROPE_THREADS + threadIdx.x;
    const int64_t half = t.rot / 2;
    if (i >= n)
        return;
    const int64_t j = i % half, h = i / half % n_heads, r = i / half / n_heads;
    device_check(pos[r] >= 0 && pos[r] < t.n_pos);
    const float c = t.cos[pos[r] * half + j];
    const float s = t.sin[pos[r] * half + j] * sign;
    float *const at = x + r * ld + h * head_dim + j;
    const float x1 = at[0], x2 = at[half];
    at[0] = fmaf(x2, 0.0f - s, x1 * c);
    at[half] = fmaf(x1, s, x2 * c);
}

void cuda_rope(struct backend *b, float *x, const struct rope_table *t,
               const int32_t *pos, int64_t n_heads, int64_t head_dim, int64_t ld,
               float sign, int64_t m)
{
    const int64_t n = m * n_heads * (t->rot / 2);
    CHECK(t->rot <= head_dim && t->rot % 2 == 0, "rot %lld of head_dim %lld",
          (long long)t->rot, (long long)head_dim);
    if (n == 0)
        return;
    k_rope<<<cuda_blocks(n, ROPE_THREADS), ROPE_THREADS, 0, cuda_stream(b)>>>(
        x, *t, pos, n_heads, head_dim, ld, sign, n);
    cuda_launched(b, "rope");
}
