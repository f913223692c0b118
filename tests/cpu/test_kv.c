/*
 * Rows into pages and gradients out of them, against the layout of core/ops.h computed
 * plainly: every float of the cache is either a written value or untouched.
 */
#include "tests/cpu/op_check.h"

enum { PAGES = 5, MAX_ROWS = 80 };

struct kv {
    float *cache, *kv;
    int32_t *dst_off, *dst;
    int64_t g, d, ld, m;
};

static void run_write(struct backend *b, void *arg)
{
    const struct kv *const p = arg;
    b->kv_write(b, p->cache, p->kv, p->dst_off, p->dst, p->g, p->d, p->ld, false, p->m);
}

static void run_read(struct backend *b, void *arg)
{
    const struct kv *const p = arg;
    b->kv_read_bwd(b, p->kv, p->cache, p->dst_off, p->dst, p->g, p->d, p->ld, p->m);
}

static int64_t cache_floats(const struct kv *p) { return PAGES * 2 * p->g * p->d * 64; }

static int64_t at(const struct kv *p, int32_t slot, int64_t g, bool is_v, int64_t d)
{
    const int64_t page = slot / 64, i = slot % 64;
    const int64_t head = (page * p->g + g) * 2 * p->d * 64;
    return is_v ? head + p->d * 64 + i * p->d + d : head + d * 64 + i;
}

/* Row r goes to r % 3 slots (0, 1 or 2), all different. */
static void kv_init(struct kv *p, int64_t m, int64_t g, int64_t d)
{
    op_seed((uint64_t)(m * 31 + d));
    *p = (struct kv){.g = g, .d = d, .ld = 2 * g * d + 3, .m = m};
    p->cache = op_filled(cache_floats(p), op_random);
    p->kv = op_filled(m * p->ld, op_random);
    p->dst_off = op_ints(m + 1);
    p->dst = op_ints(2 * m);
    int32_t slots[PAGES * 64];
    for (int32_t i = 0; i < PAGES * 64; i++) {
        const int64_t j = op_below(i + 1);
        slots[i] = slots[j];
        slots[j] = i;
    }
    p->dst_off[0] = 0;
    for (int64_t r = 0; r < m; r++) {
        p->dst_off[r + 1] = p->dst_off[r] + (int32_t)(r % 3);
        for (int32_t i = p->dst_off[r]; i < p->dst_off[r + 1]; i++)
            p->dst[i] = slots[i];
    }
}

static const int64_t dims[][2] = {{1, 4}, {2, 16}, {3, 17}, {2, 64}};
static const int64_t rows[] = {0, 1, 5, 80};

static void test_write(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(dims) * ARRAY_LEN(rows); i++) {
        struct kv p;
        kv_init(&p, rows[i % 4], dims[i / 4][0], dims[i / 4][1]);
        const int64_t n = cache_floats(&p);
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
        struct kv p;
        kv_init(&p, rows[i % 4], dims[i / 4][0], dims[i / 4][1]);
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
