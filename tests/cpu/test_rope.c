/*
 * Rotary positions: quarter turns exactly, a plain loop bit for bit, the way back, and
 * that nothing but the first rot dims of the named heads changes.
 */
#include "tests/cpu/op_check.h"

enum { N_POS = 50 };

struct rope {
    float *x;
    struct rope_table t;
    int32_t *pos;
    int64_t n_heads, head_dim, ld, m;
    float sign;
};

static void run(struct backend *b, void *arg)
{
    const struct rope *const p = arg;
    b->rope(b, p->x, &p->t, p->pos, p->n_heads, p->head_dim, p->ld, p->sign, p->m);
}

static void rope_init(struct rope *p, int64_t m, int64_t n_heads, int64_t head_dim,
                      int64_t rot)
{
    op_seed((uint64_t)(m + 7 * rot));
    const int64_t ld = n_heads * head_dim + 5, n = N_POS * (rot / 2);
    float *const c = op_floats(n), *const s = op_floats(n);
    for (int64_t i = 0; i < n; i++) {
        c[i] = cosf((float)i);
        s[i] = sinf((float)i);
    }
    *p = (struct rope){.x = op_filled(m * ld, op_random),
                       .t = {.cos = c, .sin = s, .n_pos = N_POS, .rot = rot},
                       .pos = op_ints(m),
                       .n_heads = n_heads,
                       .head_dim = head_dim,
                       .ld = ld,
                       .m = m,
                       .sign = 1};
    for (int64_t i = 0; i < m; i++)
        p->pos[i] = (int32_t)op_below(N_POS);
}

static void plain(float *y, const struct rope *p)
{
    const int64_t half = p->t.rot / 2;
    memcpy(y, p->x, (size_t)(p->m * p->ld) * sizeof(float));
    for (int64_t r = 0; r < p->m; r++)
        for (int64_t h = 0; h < p->n_heads; h++)
            for (int64_t j = 0; j < half; j++) {
                float *const a = y + r * p->ld + h * p->head_dim + j;
                const float c = p->t.cos[p->pos[r] * half + j];
                const float s = p->t.sin[p->pos[r] * half + j] * p->sign;
                const float x1 = a[0], x2 = a[half];
                a[0] = fmaf(x2, -s, x1 * c);
                a[half] = fmaf(x1, s, x2 * c);
            }
}

static void test_plain(void **state)
{
    (void)state;
    static const int64_t rots[] = {2, 8, 30, 32, 64, 80};
    static const int64_t rows[] = {0, 1, 3, 40};
    for (int i = 0; i < ARRAY_LEN(rots); i++)
        for (int j = 0; j < ARRAY_LEN(rows); j++) {
            struct rope p;
            rope_init(&p, rows[j], 3, 80, rots[i]);
            float *const want = op_floats(p.m * p.ld);
            plain(want, &p);
            const struct op_out out = op_out(p.x, p.m * p.ld);
            op_all(run, &p, &out, 1);
            op_assert_bits(p.x, want, p.m * p.ld, "x");
            op_release(NULL);
        }
}

/* A quarter turn: (x1, x2) -> (-x2, x1), exactly, and back. */
static void test_quarter(void **state)
{
    (void)state;
    struct rope p;
    rope_init(&p, 4, 2, 16, 16);
    float *const c = op_constant(N_POS * 8, 0), *const s = op_constant(N_POS * 8, 1);
    p.t.cos = c;
    p.t.sin = s;
    float start[4 * 37];
    assert_int_equal(p.ld, 37);
    memcpy(start, p.x, sizeof(start));
    op_run_best(run, &p);
    for (int64_t r = 0; r < 4; r++)
        for (int64_t j = 0; j < 8; j++) {
            assert_true(p.x[r * 37 + j] == -start[r * 37 + 8 + j]);
            assert_true(p.x[r * 37 + 8 + j] == start[r * 37 + j]);
        }
    p.sign = -1;
    op_run_best(run, &p);
    for (int64_t i = 0; i < 4 * 37; i++)
        assert_true(p.x[i] == start[i]);
}

/* The backward is the transpose: <a, R b> = <R^T a, b>. */
static void test_transpose(void **state)
{
    (void)state;
    struct rope p;
    rope_init(&p, 6, 2, 24, 18);
    const int64_t n = p.m * p.ld;
    float *const a = op_filled(n, op_random), *const x = p.x;
    float *const start = op_floats(n);
    memcpy(start, x, (size_t)n * sizeof(float));
    op_run_best(run, &p);
    double left = 0, right = 0, magnitude = 0;
    for (int64_t i = 0; i < n; i++)
        left += (double)a[i] * (double)x[i];
    p.x = a;
    p.sign = -1;
    op_run_best(run, &p);
    for (int64_t i = 0; i < n; i++) {
        right += (double)a[i] * (double)start[i];
        magnitude += fabs((double)a[i] * (double)start[i]) + 8;
    }
    op_assert_close(left, right, tol_steps(4, magnitude), "product", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_plain), OP_TEST(test_quarter),
                                       OP_TEST(test_transpose)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
