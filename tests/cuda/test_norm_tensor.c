/*
 * RMSNorm's backward in tensor mode: dx has the CPU's bits; dw of BF16 weights is the
 * rows' sum within fp32's rounding, the same bits twice; other weights as in exact
 * mode.
 */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "tests/cuda/on_cuda.h"

struct norm {
    float *dx, *dw;
    const float *x, *dy;
    struct weight w;
    int64_t m;
};

static void run(struct backend *b, void *arg)
{
    const struct norm *const p = arg;
    b->rmsnorm_bwd(b, p->dx, p->dw, p->dy, p->x, &p->w, 1e-5f, p->m);
}

static void norm_init(struct norm *p, int64_t m, int64_t k, enum dtype dtype)
{
    op_seed((uint64_t)(m * 1000 + k));
    char *const w = op_bytes((size_t)k * dtype_bytes(dtype));
    for (int64_t i = 0; i < k; i++)
        dtype_put(w, dtype, i, op_random());
    *p = (struct norm){.dx = op_floats(m * k),
                       .dw = op_filled(k, op_small_int),
                       .x = op_filled(m * k, op_random),
                       .dy = op_filled(m * k, op_random),
                       .w = {w, dtype, WEIGHT_PLAIN, 1, 1, k},
                       .m = m};
}

/* |dw| of the terms: the rows' |dy x| / rms, in double */
static double magnitude(const struct norm *p, int64_t j)
{
    double sum = 0;
    for (int64_t r = 0; r < p->m; r++) {
        double square = 0;
        for (int64_t i = 0; i < p->w.k; i++)
            square += (double)p->x[r * p->w.k + i] * (double)p->x[r * p->w.k + i];
        sum += fabs((double)p->dy[r * p->w.k + j] * (double)p->x[r * p->w.k + j]) /
               sqrt(square / (double)p->w.k);
    }
    return sum;
}

static void check(int64_t m, int64_t k, enum dtype dtype)
{
    struct norm p, want;
    struct backend cpu;
    norm_init(&p, m, k, dtype);
    want = p;
    want.dx = op_floats(m * k);
    want.dw = op_floats(k);
    float *const start = op_floats(k), *const first = op_floats(k);
    memcpy(start, p.dw, (size_t)k * sizeof(float));
    memcpy(want.dw, p.dw, (size_t)k * sizeof(float));
    assert_int_equal(cpu_backend_init(&cpu, CPU_ISA_AUTO, 2), 0);
    run(&cpu, &want);
    cpu_backend_release(&cpu);
    op_run_best(run, &p);
    op_assert_bits(p.dx, want.dx, m * k, "dx");
    memcpy(first, p.dw, (size_t)k * sizeof(float));
    if (dtype != DTYPE_BF16)
        op_assert_bits(p.dw, want.dw, k, "dw");
    for (int64_t j = 0; j<k; j += k> 200 ? 31 : 1) /* two orders, each off by it */
        op_assert_close((double)p.dw[j], (double)want.dw[j],
                        2 * tol_sum(m + 40, magnitude(&p, j) + fabs((double)start[j])),
                        "dw", j);
    memcpy(p.dw, start, (size_t)k * sizeof(float));
    op_run_best(run, &p);
    op_assert_bits(p.dw, first, k, "dw again");
    op_release(NULL);
}

static void test_bwd(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 15, 16, 17, 600}, widths[] = {5, 64, 77, 1024};
    for (int i = 0; i < ARRAY_LEN(rows); i++)
        for (int j = 0; j < ARRAY_LEN(widths); j++) {
            check(rows[i], widths[j], DTYPE_BF16);
            check(rows[i], widths[j], DTYPE_F32);
        }
}

/* Fewer rows at a time fit, then none */
static void test_wide(void **state)
{
    (void)state;
    static const int64_t widths[] = {2600, 4608, 7000};
    for (int j = 0; j < ARRAY_LEN(widths); j++)
        check(19, widths[j], DTYPE_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_bwd), OP_TEST(test_wide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
