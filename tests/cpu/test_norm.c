/*
 * RMSNorm forward and backward: exact powers of two, a double reference, slopes of that
 * reference, split batches, row invariance, weights of all dtypes.
 */
#include "tests/cpu/op_check.h"

struct norm {
    float *y, *dx, *dw;
    const float *x, *dy;
    struct weight w;
    float eps;
    int64_t m;
};

static void run_fwd(struct backend *b, void *arg)
{
    const struct norm *const p = arg;
    b->rmsnorm_fwd(b, p->y, p->x, &p->w, p->eps, p->m);
}

static void run_bwd(struct backend *b, void *arg)
{
    const struct norm *const p = arg;
    b->rmsnorm_bwd(b, p->dx, p->dw, p->dy, p->x, &p->w, p->eps, p->m);
}

static void norm_init(struct norm *p, int64_t m, int64_t k, enum dtype dtype)
{
    op_seed((uint64_t)(m * 1000 + k));
    char *const w = op_bytes((size_t)k * dtype_bytes(dtype));
    for (int64_t i = 0; i < k; i++)
        dtype_put(w, dtype, i, op_random());
    *p = (struct norm){.y = op_floats(m * k),
                       .dx = op_floats(m * k),
                       .dw = op_filled(k, op_small_int),
                       .x = op_filled(m * k, op_random),
                       .dy = op_filled(m * k, op_random),
                       .w = {w, dtype, WEIGHT_PLAIN, 1, 1, k},
                       .eps = 1e-5f,
                       .m = m};
}

static double mean_square(const float *x, int64_t k)
{
    double s = 0;
    for (int64_t i = 0; i < k; i++)
        s += (double)x[i] * (double)x[i];
    return s / (double)k;
}

static const int64_t row_counts[] = {0, 1, 2, 7, 300};
static const int64_t widths[] = {1, 15, 16, 64, 77, 130};

static void check_fwd(const struct norm *p)
{
    const int64_t k = p->w.k;
    for (int64_t i = 0; i < p->m * k; i++) {
        const double r = 1 / sqrt(mean_square(p->x + i / k * k, k) + (double)p->eps);
        const double w = (double)dtype_get(p->w.data, p->w.dtype, i % k);
        const double want = (double)p->x[i] * r * w;
        /* half the relative error of the sum of squares, then six roundings */
        const double limit = tol_sum(k, fabs(want)) / 2 + tol_steps(6, fabs(want));
        op_assert_close((double)p->y[i], want, limit, "y", i);
    }
}

static void test_fwd(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    struct norm p;
    for (int i = 0; i < ARRAY_LEN(row_counts); i++)
        for (int j = 0; j < ARRAY_LEN(widths); j++) {
            norm_init(&p, row_counts[i], widths[j], dtypes[(i + j) % 3]);
            const struct op_out out = op_out(p.y, p.m * p.w.k);
            op_all(run_fwd, &p, &out, 1);
            check_fwd(&p);
            op_release(NULL);
        }
}

/* Rows of +-2 with mean square 4 and eps 0: y = w x / 2 exactly. */
static void test_exact(void **state)
{
    (void)state;
    struct norm p;
    norm_init(&p, 5, 48, DTYPE_F32);
    p.eps = 0;
    float *const x = op_floats(5 * 48);
    for (int64_t i = 0; i < 5 * 48; i++)
        x[i] = op_bits() & 1 ? 2.0f : -2.0f;
    p.x = x;
    op_run_best(run_fwd, &p);
    const float *const w = p.w.data;
    for (int64_t i = 0; i < 5 * 48; i++)
        assert_true(p.y[i] == w[i % 48] * x[i] / 2);
}

/* The plain form of the contract, bit for bit */
static void test_order(void **state)
{
    (void)state;
    struct norm p;
    norm_init(&p, 9, 77, DTYPE_F32);
    op_run_best(run_fwd, &p);
    const float *const w = p.w.data;
    for (int64_t r = 0; r < 9; r++) {
        const float *const x = p.x + r * 77;
        const float s = 1.0f / sqrtf(op_row_sum(x, x, 77) / 77.0f + p.eps);
        for (int64_t i = 0; i < 77; i++)
            assert_true(p.y[r * 77 + i] == x[i] * s * w[i]);
    }
}

struct slope {
    const struct norm *p;
    double *x, *w;
};

/* sum over one row of dy * y, in double */
static double row_loss(void *arg)
{
    const struct slope *const s = arg;
    double square = 0, loss = 0;
    const int64_t k = s->p->w.k;
    for (int64_t i = 0; i < k; i++)
        square += s->x[i] * s->x[i];
    for (int64_t i = 0; i < k; i++)
        loss += (double)s->p->dy[i] * s->x[i] * s->w[i];
    return loss / sqrt(square / (double)k + (double)s->p->eps);
}

static void check_bwd(const struct norm *p, const float *dw_start)
{
    const int64_t k = p->w.k;
    double x[256], w[256], dw[256], dw_abs[256];
    for (int64_t i = 0; i < k; i++) {
        dw[i] = (double)dw_start[i];
        dw_abs[i] = fabs(dw[i]);
        w[i] = (double)dtype_get(p->w.data, p->w.dtype, i);
    }
    for (int64_t r = 0; r < p->m; r++) {
        struct norm row = *p;
        row.dy = p->dy + r * k;
        struct slope s = {.p = &row, .x = x, .w = w};
        const double rsqrt = 1 / sqrt(mean_square(p->x + r * k, k) + (double)p->eps);
        double scale = 0; /* of the terms that cancel in dx */
        for (int64_t i = 0; i < k; i++) {
            x[i] = (double)p->x[r * k + i];
            scale += fabs((double)row.dy[i] * w[i]) * rsqrt;
            dw[i] += (double)row.dy[i] * x[i] * rsqrt;
            dw_abs[i] += fabs((double)row.dy[i] * x[i] * rsqrt);
        }
        for (int64_t i = 0; i < k; i++)
            op_assert_close((double)p->dx[r * k + i], op_slope(row_loss, &s, &x[i]),
                            tol_sum(k + 10, scale) + tol_slope * (1 + scale), "dx", i);
    }
    for (int64_t i = 0; i < k; i++)
        op_assert_close((double)p->dw[i], dw[i], tol_sum(p->m + k + 6, dw_abs[i]), "dw",
                        i);
}

static void test_bwd(void **state)
{
    (void)state;
    struct norm p;
    for (int i = 0; i < ARRAY_LEN(row_counts); i++)
        for (int j = 1; j < ARRAY_LEN(widths); j++) {
            norm_init(&p, row_counts[i], widths[j], j % 2 ? DTYPE_BF16 : DTYPE_F32);
            float start[256];
            memcpy(start, p.dw, (size_t)p.w.k * sizeof(float));
            const struct op_out outs[] = {op_out(p.dx, p.m * p.w.k),
                                          op_out(p.dw, p.w.k)};
            op_all(run_bwd, &p, outs, 2);
            check_bwd(&p, start);
            op_release(NULL);
        }
}

/* Rows too long for what a GPU's block keeps of them, in part and at all */
static void test_wide(void **state)
{
    (void)state;
    static const int64_t wide[] = {2600, 4608, 7000};
    for (int j = 0; j < ARRAY_LEN(wide); j++) {
        struct norm p;
        norm_init(&p, 19, wide[j], DTYPE_BF16);
        const struct op_out outs[] = {op_out(p.dx, p.m * p.w.k), op_out(p.dw, p.w.k)};
        op_all(run_bwd, &p, outs, 2);
        op_release(NULL);
    }
}

/* Any row alone has the bits that it has in the batch; rows in two calls give the same
 * dw as in one. */
static void test_split(void **state)
{
    (void)state;
    enum { M = 600, K = 77 };
    struct norm p, part;
    norm_init(&p, M, K, DTYPE_F32);
    float *const dw = op_floats(K), *const alone = op_floats(M * K);
    memcpy(dw, p.dw, K * sizeof(float));
    op_run_best(run_fwd, &p);
    op_run_best(run_bwd, &p);
    static const int64_t cuts[] = {0, 1, 256, 300, 599, 600};
    float *const dx = op_floats(M * K);
    for (int i = 0; i + 1 < ARRAY_LEN(cuts); i++) {
        part = p;
        part.x += cuts[i] * K;
        part.dy += cuts[i] * K;
        part.y = alone + cuts[i] * K;
        part.dx = dx + cuts[i] * K;
        part.dw = dw;
        part.m = cuts[i + 1] - cuts[i];
        op_run_best(run_fwd, &part);
        op_run_best(run_bwd, &part);
    }
    op_assert_bits(alone, p.y, M * K, "y");
    op_assert_bits(dx, p.dx, M * K, "dx");
    op_assert_bits(dw, p.dw, K, "dw");
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_fwd),   OP_TEST(test_exact),
                                       OP_TEST(test_order), OP_TEST(test_bwd),
                                       OP_TEST(test_split), OP_TEST(test_wide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
