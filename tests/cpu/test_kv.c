/*
 * Rows into pages and gradients out of them, against the layout of core/ops.h computed
 * plainly: every float of the cache is either a written value or untouched.
 */
#include "tests/cpu/kv_case.h"

static void run_write(struct backend *b, void *arg)
{
    const struct kv_case *const p = arg;
    b->kv_write(b, p->cache, p->kv, p->dst_off, p->dst, p->g, p->d, p->ld, false, p->m);
}

static void run_read(struct backend *b, void *arg)
{
    const struct kv_case *const p = arg;
    b->kv_read_bwd(b, p->kv, p->cache, p->dst_off, p->dst, p->g, p->d, p->ld, p->m);
}

static int64_t at(const struct kv_case *p, int32_t slot, int64_t g, bool is_v,
                  int64_t d)
{
    const int64_t page = slot / 64, i = slot % 64;
    const int64_t head = (page * p->g + g) * 2 * p->d * 64;
    return is_v ? head + p->d * 64 + i * p->d + d : head + d * 64 + i;
}

static const int64_t dims[][2] = {{1, 4}, {2, 16}, {3, 17}, {2, 64}};
static const int64_t rows[] = {0, 1, 5, 80};

static void test_write(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(dims) * ARRAY_LEN(rows); i++) {
        struct kv_case p;
        kv_init(&p, rows[i % 4], dims[i / 4][0], dims[i / 4][1], 3);
        const int64_t n = kv_floats(&p);
        float *const want = op_floats(n);
        memcpy(want, p.cache, (size_t)n * sizeof(float));
        for (int64_t r = 0; r < p.m; r++)
            for (int64_t j = p.dst_off[r]; j < p.dst_off[r + 1]; j++)
                for (int64_t e = 0; e < 2 * p.g * p.d; e++)
                    want[at(&p, p.dst[j], e / p.d % p.g, e >= p.g * p.d, e % p.d)] =
                        p.kv[r * p.ld + e];
        const struct op_out out = op_out(p.cache, n);
        op_all(run_write, &p, &out, 1);
        op_assert_bits(p.cache, want, n, "cache");
        op_release(NULL);
    }
}

static void test_read(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(dims) * ARRAY_LEN(rows); i++) {
        struct kv_case p;
        kv_init(&p, rows[i % 4], dims[i / 4][0], dims[i / 4][1], 3);
        float *const want = op_floats(p.m * p.ld);
        memcpy(want, p.kv, (size_t)(p.m * p.ld) * sizeof(float));
        for (int64_t r = 0; r < p.m; r++)
            for (int64_t e = 0; e < 2 * p.g * p.d; e++) {
                float sum = 0;
                for (int64_t j = p.dst_off[r]; j < p.dst_off[r + 1]; j++)
                    sum += p.cache[at(&p, p.dst[j], e / p.d % p.g, e >= p.g * p.d,
                                      e % p.d)];
                want[r * p.ld + e] = sum;
            }
        const struct op_out out = op_out(p.kv, p.m * p.ld);
        op_all(run_read, &p, &out, 1);
        op_assert_bits(p.kv, want, p.m * p.ld, "dkv");
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_write), OP_TEST(test_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
