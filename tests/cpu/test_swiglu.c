/*
 * The experts' activation and its backward against double and slopes; the weights'
 * gradient and the weighted rows bit for bit; rows rounded to bf16; in place.
 */
#include "tests/cpu/op_check.h"

struct act {
    void *h, *hw, *dgu;
    enum dtype dtype; /* of those */
    float *dweights;
    struct moe_act a;
    float *weights;
    int64_t m; /* rows; pairs: m top_k */
};

static void run_fwd(struct backend *b, void *arg)
{
    const struct act *const p = arg;
    b->swiglu_fwd(b, p->h, p->dtype, p->a.gu, p->a.f, p->m * p->a.top_k);
}

static void run_bwd(struct backend *b, void *arg)
{
    const struct act *const p = arg;
    b->moe_act_bwd(b, p->dweights, p->hw, p->dgu, p->dtype, &p->a, p->m);
}

static size_t bytes_of(const struct act *p, int64_t per_pair)
{
    return (size_t)(p->m * p->a.top_k * per_pair) * dtype_bytes(p->dtype);
}

/* shape: m, top_k, f. gu up to +-2 scale */
static void act_init(struct act *p, const int64_t *shape, enum dtype dtype, float scale)
{
    const int64_t n = shape[0] * shape[1], f = shape[2];
    op_seed((uint64_t)(n * 100 + f));
    float *const gu = op_filled(2 * n * f, op_random);
    int32_t *const place = op_ints(n);
    for (int64_t i = 0; i < 2 * n * f; i++)
        gu[i] *= scale;
    for (int64_t i = 0; i < n; i++) { /* a permutation */
        const int64_t j = op_below(i + 1);
        place[i] = place[j];
        place[j] = (int32_t)i;
    }
    *p = (struct act){.dtype = dtype, .m = shape[0]};
    p->weights = op_filled(n, op_random);
    p->a = (struct moe_act){.dh = op_filled(n * f, op_random),
                            .gu = gu,
                            .place = place,
                            .weights = p->weights,
                            .top_k = shape[1],
                            .f = f};
    p->h = op_bytes(bytes_of(p, f));
    p->hw = op_bytes(bytes_of(p, f));
    p->dgu = op_bytes(bytes_of(p, 2 * f));
    p->dweights = op_floats(n);
}

static const int64_t shapes[][3] = {{0, 2, 4},  {1, 1, 1},    {2, 3, 17},  {5, 1, 64},
                                    {7, 2, 36}, {3, 2, 1000}, {2, 2, 2052}};

static double silu(double x) { return x / (1 + exp(-x)); }

/* Where exp(-g) is inf, sigmoid is 0 instead of at most 3e-39: times 100^2. */
static const double tiny = 1e-34;

static void check_pair(const struct act *p, int64_t i)
{
    const int64_t f = p->a.f, at = p->a.place[i];
    const float *const h = p->h, *const hw = p->hw, *const dgu = p->dgu;
    op_assert_bits(&p->dweights[i],
                   (const float[]){op_row_sum(p->a.dh + at * f, h + at * f, f)}, 1,
                   "dweights");
    for (int64_t j = at * f; j < (at + 1) * f; j++) {
        const int64_t to = at * f + j; /* row at of 2 f */
        const double g = (double)p->a.gu[to], u = (double)p->a.gu[to + f];
        const double d = (double)(p->a.dh[j] * p->weights[i]), s = 1 / (1 + exp(-g));
        op_assert_close((double)h[j], silu(g) * u,
                        tol_steps(8, fabs(silu(g) * u)) + tiny, "h", j);
        assert_true(hw[j] == h[j] * p->weights[i]);
        /* s (1 + g (1 - s)): 1 - s keeps an absolute error of 4 u */
        op_assert_close((double)dgu[to], d * u * s * (1 + g * (1 - s)),
                        tol_steps(12, fabs(d * u) * s * (1 + fabs(g))) + tiny, "dg", j);
        op_assert_close((double)dgu[to + f], d * silu(g),
                        tol_steps(8, fabs(d * silu(g))) + tiny, "du", j);
    }
}

static void run_all(struct act *p)
{
    const struct op_out h = {p->h, bytes_of(p, p->a.f)};
    const struct op_out grads[] = {op_out(p->dweights, p->m * p->a.top_k),
                                   {p->hw, bytes_of(p, p->a.f)},
                                   {p->dgu, bytes_of(p, 2 * p->a.f)}};
    op_all(run_fwd, p, &h, 1);
    op_all(run_bwd, p, grads, 3);
}

static void test_values(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        struct act p; /* with 50: -100 .. 100, all of exp's range, on every build */
        act_init(&p, shapes[i], DTYPE_F32, i == 5 ? 50.0f : 1.0f);
        run_all(&p);
        for (int64_t j = 0; j < p.m * p.a.top_k; j++)
            check_pair(&p, j);
        op_release(NULL);
    }
}

static void assert_rounded(const void *half, const float *wide, int64_t n)
{
    uint16_t *const want = op_bytes((size_t)n * 2);
    dtype_narrow(want, DTYPE_BF16, wide, n);
    assert_memory_equal(half, want, (size_t)n * 2);
}

static void test_rounded(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        struct act wide, half;
        act_init(&wide, shapes[i], DTYPE_F32, 1.0f);
        const int64_t n = wide.m * wide.a.top_k, f = wide.a.f;
        run_all(&wide);
        half = wide;
        half.dtype = DTYPE_BF16;
        half.h = op_bytes((size_t)(n * f) * 2);
        half.hw = op_bytes((size_t)(n * f) * 2);
        half.dgu = op_bytes((size_t)(2 * n * f) * 2);
        half.dweights = op_floats(n);
        run_all(&half);
        assert_rounded(half.h, wide.h, n * f);
        assert_rounded(half.hw, wide.hw, n * f);
        assert_rounded(half.dgu, wide.dgu, 2 * n * f);
        op_assert_bits(half.dweights, wide.dweights, n, "dweights");
        op_release(NULL);
    }
}

static void test_in_place(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        struct act p, apart;
        act_init(&apart, shapes[i], DTYPE_F32, 1.0f);
        op_run_best(run_bwd, &apart);
        act_init(&p, shapes[i], DTYPE_F32, 1.0f);
        const int64_t n = p.m * p.a.top_k;
        p.hw = memcpy(p.hw, p.a.dh, bytes_of(&p, p.a.f));
        p.dgu = memcpy(p.dgu, p.a.gu, bytes_of(&p, 2 * p.a.f));
        p.a.dh = p.hw;
        p.a.gu = p.dgu;
        op_run_best(run_bwd, &p);
        op_assert_bits(p.hw, apart.hw, n * p.a.f, "hw");
        op_assert_bits(p.dgu, apart.dgu, 2 * n * p.a.f, "dgu");
        op_assert_bits(p.dweights, apart.dweights, n, "dweights");
        op_release(NULL);
    }
}

static double loss(void *arg)
{
    const double *const gu = arg;
    return silu(gu[0]) * gu[1];
}

/* The formulas of the double check above against slopes */
static void test_slope(void **state)
{
    (void)state;
    static const int64_t shape[] = {1, 1, 40};
    struct act p;
    act_init(&p, shape, DTYPE_F32, 1.0f);
    p.weights[0] = 1.0f;
    op_run_best(run_bwd, &p);
    const float *const dgu = p.dgu;
    for (int64_t i = 0; i < 40; i++) {
        double gu[2] = {(double)p.a.gu[i], (double)p.a.gu[40 + i]};
        const double dh = (double)p.a.dh[i];
        op_assert_close((double)dgu[i], dh * op_slope(loss, gu, &gu[0]), 1e-5, "dg", i);
        op_assert_close((double)dgu[40 + i], dh * op_slope(loss, gu, &gu[1]), 1e-5,
                        "du", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_values), OP_TEST(test_rounded),
                                       OP_TEST(test_in_place), OP_TEST(test_slope)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
