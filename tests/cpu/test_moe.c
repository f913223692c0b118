/*
 * Sorting, moving and combining the experts' rows: integers exactly, sums bit for bit
 * against a plain chain.
 */
#include "tests/cpu/op_check.h"

struct moe {
    int32_t *off, *src, *place, *experts;
    float *y;
    const float *x, *o, *weights;
    int64_t e, k, m, d, div;
};

static void run_sort(struct backend *b, void *arg)
{
    const struct moe *const p = arg;
    b->moe_sort(b, p->off, p->src, p->place, p->experts, p->e, p->k, p->m);
}

static void moe_init(struct moe *p, int64_t e, int64_t k, int64_t m, int64_t d)
{
    op_seed((uint64_t)(e * 100 + k * 10 + m + d));
    *p = (struct moe){.off = op_ints(e + 1),
                      .src = op_ints(m * k),
                      .place = op_ints(m * k),
                      .experts = op_ints(m * k),
                      .y = op_floats(m * d),
                      .x = op_filled(m * d, op_random),
                      .o = op_filled(m * k * d, op_random),
                      .weights = op_filled(m * k, op_random),
                      .e = e,
                      .k = k,
                      .m = m,
                      .d = d,
                      .div = 1};
    for (int64_t i = 0; i < m * k; i++)
        p->experts[i] = (int32_t)op_below(e);
}

static void check_sort(const struct moe *p)
{
    const int64_t n = p->m * p->k;
    assert_int_equal(p->off[0], 0);
    assert_int_equal(p->off[p->e], n);
    for (int64_t e = 0; e < p->e; e++) {
        assert_true(p->off[e] <= p->off[e + 1]);
        for (int32_t i = p->off[e]; i < p->off[e + 1]; i++) {
            assert_int_equal(p->experts[p->src[i]], e);
            assert_int_equal(p->place[p->src[i]], i);
            if (i > p->off[e]) /* stable */
                assert_true(p->src[i - 1] < p->src[i]);
        }
    }
}

static void test_sort(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 0}, {4, 2, 0},  {1, 1, 5},
                                        {8, 2, 1}, {64, 4, 9}, {7, 3, 200}};
    for (int i = 0; i < ARRAY_LEN(shapes); i++)
        for (int kind = 0; kind < 3; kind++) {
            struct moe p;
            moe_init(&p, shapes[i][0], shapes[i][1], shapes[i][2], 1);
            for (int64_t j = 0; kind > 0 && j < p.m * p.k; j++)
                p.experts[j] = kind == 1 ? (int32_t)(p.e - 1) : 0; /* all to one */
            const size_t bytes = (size_t)(p.m * p.k) * sizeof(int32_t);
            const struct op_out outs[] = {{p.off, (size_t)(p.e + 1) * sizeof(int32_t)},
                                          {p.src, bytes},
                                          {p.place, bytes}};
            op_all(run_sort, &p, outs, 3);
            check_sort(&p);
            op_release(NULL);
        }
}

static void run_gather(struct backend *b, void *arg)
{
    const struct moe *const p = arg;
    b->rows_gather(b, p->y, DTYPE_F32, rows_f32(p->x), p->src, p->div, p->d, p->m);
}

static void run_scatter(struct backend *b, void *arg)
{
    const struct moe *const p = arg;
    b->rows_scatter(b, p->y, p->x, p->src, p->d, p->m);
}

static void test_rows(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{0, 4}, {1, 1}, {5, 33}, {300, 128}};
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        struct moe p;
        moe_init(&p, 1, 1, shapes[i][0], shapes[i][1]);
        const struct op_out out = op_out(p.y, p.m * p.d);
        for (p.div = 1; p.div <= 3; p.div += 2) {
            for (int64_t r = 0; r < p.m; r++)
                p.src[r] = (int32_t)op_below(p.m * p.div);
            op_all(run_gather, &p, &out, 1);
            for (int64_t r = 0; r < p.m; r++)
                op_assert_bits(p.y + r * p.d, p.x + p.src[r] / p.div * p.d, p.d, "y");
        }
        for (int64_t r = 0; r < p.m; r++)
            p.src[r] = (int32_t)(p.m - 1 - r);
        op_all(run_scatter, &p, &out, 1);
        for (int64_t r = 0; r < p.m; r++)
            op_assert_bits(p.y + (p.m - 1 - r) * p.d, p.x + r * p.d, p.d, "y");
        op_release(NULL);
    }
}

static void run_combine(struct backend *b, void *arg)
{
    const struct moe *const p = arg;
    b->moe_combine(b, p->y, p->x, p->o, p->place, p->weights, p->k, p->d, p->m);
}

static const int64_t combine_shapes[][3] = {
    {1, 0, 4}, {1, 1, 1}, {2, 3, 17}, {8, 50, 96}};

static void test_combine(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * ARRAY_LEN(combine_shapes); i++) {
        const int64_t *const s = combine_shapes[i / 2];
        struct moe p;
        moe_init(&p, 5, s[0], s[1], s[2]);
        op_run_best(run_sort, &p);
        if (i % 2)
            p.weights = NULL;
        float *const want = op_floats(p.m * p.d);
        for (int64_t j = 0; j < p.m * p.d; j++) {
            const int64_t r = j / p.d;
            want[j] = p.x[j];
            for (int64_t slot = 0; slot < p.k; slot++) {
                const float o = p.o[p.place[r * p.k + slot] * p.d + j % p.d];
                const float w = p.weights != NULL ? p.weights[r * p.k + slot] : 1.0f;
                want[j] = fmaf(w, o, want[j]);
            }
        }
        const struct op_out out = op_out(p.y, p.m * p.d);
        op_all(run_combine, &p, &out, 1);
        op_assert_bits(p.y, want, p.m * p.d, "y");
        memcpy(p.y, p.x, (size_t)(p.m * p.d) * sizeof(float));
        p.x = p.y; /* in place */
        op_run_best(run_combine, &p);
        op_assert_bits(p.y, want, p.m * p.d, "in place");
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_sort),
        OP_TEST(test_rows),
        OP_TEST(test_combine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
