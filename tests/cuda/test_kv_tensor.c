/*
 * Pages as the tensor-core attention keeps them: every value that kv_write rounds lies
 * where cuda/attention_tensor.cuh says, in all of a row's slots, and nothing else has
 * changed.
 */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "core/dtype_bits.h"
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/kv_case.h"

static void run(struct backend *b, void *arg)
{
    const struct kv_case *const p = arg;
    b->kv_write(b, p->cache, p->kv, p->dst_off, p->dst, p->g, p->d, p->ld, true, p->m);
}

/* A page of a kv head: keys (slots, d), then values, in the first half of its memory */
static void put_row(uint16_t *cache, const struct kv_case *p, int64_t r, int32_t slot)
{
    for (int64_t i = 0; i < 2 * p->g * p->d; i++) {
        const int64_t g = i / p->d % p->g, d = i % p->d;
        const int64_t head = (slot / KV_BLOCK * p->g + g) * 4 * p->d * KV_BLOCK;
        const int64_t line = slot % KV_BLOCK + (i < p->g * p->d ? 0 : KV_BLOCK);
        int32_t bits;
        memcpy(&bits, &p->kv[r * p->ld + i], sizeof(bits));
        cache[head + line * p->d + d] = bf16_from_bits(bits);
    }
}

static void test_write(void **state)
{
    (void)state;
    static const int64_t rows[] = {0, 1, 2, 80},
                         dims[][2] = {{1, 32}, {3, 64}, {2, 128}};
    static const int64_t gaps[] = {0, 3, 4};
    for (int i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(dims) * ARRAY_LEN(gaps); i++) {
        struct kv_case p;
        const int64_t *const dim = dims[i / 4 % 3];
        kv_init(&p, rows[i % 4], dim[0], dim[1], gaps[i / 12]);
        const int64_t n = kv_floats(&p);
        float *const want = op_floats(n);
        memcpy(want, p.cache, (size_t)n * sizeof(float));
        for (int64_t r = 0; r < p.m; r++)
            for (int64_t j = p.dst_off[r]; j < p.dst_off[r + 1]; j++)
                put_row((uint16_t *)(void *)want, &p, r, p.dst[j]);
        op_run_best(run, &p);
        assert_true(op_is_same(p.cache, want, (size_t)n * sizeof(float)));
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
