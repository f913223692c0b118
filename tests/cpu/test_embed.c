/*
 * Embedding rows of plain and packed tables in all dtypes, and their gradients, bit for
 * bit against weight_index.
 */
#include "tests/cpu/op_check.h"

struct embed {
    float *y, *dtable;
    struct weight table;
    const float *dy;
    int32_t *ids;
    int64_t m;
};

static void run_fwd(struct backend *b, void *arg)
{
    const struct embed *const p = arg;
    b->embed_fwd(b, p->y, &p->table, p->ids, p->m);
}

static void run_bwd(struct backend *b, void *arg)
{
    const struct embed *const p = arg;
    b->embed_bwd(b, p->dtable, &p->table, p->dy, p->ids, p->m);
}

static int64_t table_elems(const struct embed *p)
{
    return weight_n_elems(p->table.layout, 1, p->table.n, p->table.k);
}

static int64_t at(const struct embed *p, int64_t id, int64_t d)
{
    return weight_index(p->table.layout, p->table.n, p->table.k, 0, id, d);
}

static void embed_init(struct embed *p, enum weight_layout layout, enum dtype dtype,
                       int64_t v, int64_t d, int64_t m)
{
    op_seed((uint64_t)(v * 100 + d + m));
    *p = (struct embed){.table = {NULL, dtype, layout, 1, v, d}, .m = m};
    const int64_t n = table_elems(p);
    char *const data = op_bytes((size_t)n * dtype_bytes(dtype));
    for (int64_t i = 0; i < n; i++)
        dtype_put(data, dtype, i, op_random());
    p->table.data = data;
    p->y = op_floats(m * d);
    p->dtable = op_filled(n, op_random);
    p->dy = op_filled(m * d, op_random);
    p->ids = op_ints(m);
    for (int64_t i = 0; i < m; i++) /* the ends, and many repeats */
        p->ids[i] = (int32_t)(i == 0 ? v - 1 : op_below(v < 5 ? v : 5));
}

static const int64_t shapes[][3] = {{1, 1, 1}, {40, 16, 0}, {33, 77, 9}, {70, 130, 90}};

static void test_embed(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    for (int i = 0; i < 6 * ARRAY_LEN(shapes); i++) {
        const int64_t *const s = shapes[i / 6];
        struct embed p;
        embed_init(&p, i % 2 ? WEIGHT_PACKED : WEIGHT_PLAIN, dtypes[i / 2 % 3], s[0],
                   s[1], s[2]);
        const int64_t n = table_elems(&p), d = s[1];
        float *const y = op_floats(p.m * d), *const grad = op_floats(n);
        memcpy(grad, p.dtable, (size_t)n * sizeof(float));
        for (int64_t j = 0; j < p.m * d; j++) {
            const int64_t from = at(&p, p.ids[j / d], j % d);
            y[j] = dtype_get(p.table.data, p.table.dtype, from);
            grad[from] += p.dy[j];
        }
        const struct op_out out = op_out(p.y, p.m * d), gout = op_out(p.dtable, n);
        op_all(run_fwd, &p, &out, 1);
        op_all(run_bwd, &p, &gout, 1);
        op_assert_bits(p.y, y, p.m * d, "y");
        op_assert_bits(p.dtable, grad, n, "dtable");
        op_release(NULL);
    }
}

/* Two calls add what one does. */
static void test_split(void **state)
{
    (void)state;
    struct embed p;
    embed_init(&p, WEIGHT_PACKED, DTYPE_BF16, 50, 40, 60);
    const int64_t n = table_elems(&p);
    float *const twice = op_floats(n);
    memcpy(twice, p.dtable, (size_t)n * sizeof(float));
    op_run_best(run_bwd, &p);
    struct embed part = p;
    part.dtable = twice;
    part.m = 23;
    op_run_best(run_bwd, &part);
    part.m = 60 - 23;
    part.ids += 23;
    part.dy += 23 * 40;
    op_run_best(run_bwd, &part);
    op_assert_bits(twice, p.dtable, n, "dtable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_embed), OP_TEST(test_split)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
