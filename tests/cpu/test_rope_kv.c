/*
 * rope_kv_write against the two ops that it is made of, bit for bit in qkv and cache:
 * pages of both kinds, rows in none to two slots, heads that are turned in part.
 */
#include "tests/cpu/op_check.h"

enum { N_POS = 50, PAGES = 4 };

struct shape {
    int64_t n_heads, n_kv_heads, head_dim, rot, pad;
};

struct rope_kv_case {
    float *cache, *qkv;
    struct rope_table table;
    struct rope_kv a;
    int64_t m;
};

static void run_fused(struct backend *b, void *arg)
{
    const struct rope_kv_case *const p = arg;
    b->rope_kv_write(b, p->cache, p->qkv, &p->a, p->m);
}

static void run_ops(struct backend *b, void *arg)
{
    const struct rope_kv_case *const p = arg;
    const struct rope_kv *const a = &p->a;
    b->rope(b, p->qkv, a->table, a->pos, a->n_heads + a->n_kv_heads, a->head_dim, a->ld,
            1.0f, p->m);
    b->kv_write(b, p->cache, p->qkv + a->n_heads * a->head_dim, a->dst_off, a->dst,
                a->n_kv_heads, a->head_dim, a->ld, a->is_narrow, p->m);
}

static int64_t cache_floats(const struct rope_kv_case *p)
{
    return PAGES * 2 * p->a.n_kv_heads * p->a.head_dim * KV_BLOCK;
}

/* Row r goes to r % 3 slots, all different. */
static void set_slots(int32_t *dst_off, int32_t *dst, int64_t m)
{
    int32_t slots[PAGES * KV_BLOCK];
    for (int32_t i = 0; i < PAGES * KV_BLOCK; i++) {
        const int64_t j = op_below(i + 1);
        slots[i] = slots[j];
        slots[j] = i;
    }
    dst_off[0] = 0;
    for (int64_t r = 0; r < m; r++) {
        dst_off[r + 1] = dst_off[r] + (int32_t)((r + 1) % 3);
        for (int32_t i = dst_off[r]; i < dst_off[r + 1]; i++)
            dst[i] = slots[i];
    }
}

static void case_init(struct rope_kv_case *p, const struct shape *s, int64_t m,
                      bool is_narrow)
{
    const int64_t n = N_POS * (s->rot / 2);
    op_seed((uint64_t)(m * 100 + s->head_dim + s->rot));
    int32_t *const pos = op_ints(m), *const dst_off = op_ints(m + 1),
                   *const dst = op_ints(2 * m);
    for (int64_t r = 0; r < m; r++)
        pos[r] = (int32_t)op_below(N_POS);
    set_slots(dst_off, dst, m);
    p->m = m;
    p->table = (struct rope_table){.cos = op_filled(n, op_random),
                                   .sin = op_filled(n, op_random),
                                   .n_pos = N_POS,
                                   .rot = s->rot};
    p->a = (struct rope_kv){.table = &p->table,
                            .pos = pos,
                            .dst_off = dst_off,
                            .dst = dst,
                            .n_heads = s->n_heads,
                            .n_kv_heads = s->n_kv_heads,
                            .head_dim = s->head_dim,
                            .is_narrow = is_narrow};
    p->a.ld = (s->n_heads + 2 * s->n_kv_heads) * s->head_dim + s->pad;
    p->qkv = op_filled(m * p->a.ld, op_random);
    p->cache = op_filled(cache_floats(p), op_random);
}

static const struct shape shapes[] = {
    {1, 1, 4, 4, 0},   {3, 1, 17, 16, 0}, {2, 2, 32, 32, 0},  {4, 2, 64, 64, 4},
    {4, 2, 64, 64, 3}, {2, 1, 64, 32, 0}, {8, 8, 128, 128, 0}};

static void test_equals_ops(void **state)
{
    (void)state;
    static const int64_t rows[] = {0, 1, 2, 37};
    for (int i = 0; i < 8 * ARRAY_LEN(shapes); i++) {
        struct rope_kv_case fused, ops;
        case_init(&fused, &shapes[i / 8], rows[i % 4], i % 8 >= 4);
        case_init(&ops, &shapes[i / 8], rows[i % 4], i % 8 >= 4);
        op_run_best(run_ops, &ops);
        op_run_best(run_fused, &fused);
        op_assert_bits(fused.qkv, ops.qkv, ops.m * ops.a.ld, "qkv");
        assert_memory_equal(fused.cache, ops.cache,
                            (size_t)cache_floats(&ops) * sizeof(float));
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_equals_ops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
