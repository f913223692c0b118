/*
 * AdamW against its formulas in double over several steps, with the rounded copy in all
 * dtypes; the norms against a plain loop in the stated order, bit for bit.
 */
#include "tests/cpu/op_check.h"

enum { STEPS = 5 };

struct adam {
    float *w, *m, *v;
    void *copy;
    enum dtype dtype;
    const float *g;
    struct adamw_args args;
    int64_t n;
};

static void run_adamw(struct backend *b, void *arg)
{
    const struct adam *const p = arg;
    b->adamw(b, p->w, p->copy, p->dtype, p->m, p->v, p->g, &p->args, p->n);
}

static struct adamw_args args_at(int step)
{
    return (struct adamw_args){.lr = 1e-2f,
                               .beta1 = 0.9f,
                               .beta2 = 0.95f,
                               .eps = 1e-8f,
                               .decay = 0.1f,
                               .bias1 = (float)(1 - pow(0.9, step)),
                               .bias2 = (float)(1 - pow(0.95, step)),
                               .grad_scale = 0.5f};
}

static void adam_init(struct adam *p, int64_t n, enum dtype dtype)
{
    op_seed((uint64_t)n);
    *p = (struct adam){.w = op_filled(n, op_random),
                       .m = op_constant(n, 0),
                       .v = op_constant(n, 0),
                       .copy = op_bytes((size_t)n * dtype_bytes(dtype)),
                       .dtype = dtype,
                       .g = op_filled(n, op_random),
                       .args = args_at(1),
                       .n = n};
}

struct state {
    double w, m, v;
};

static void adam_step(struct state *s, double g, const struct adamw_args *a)
{
    g *= (double)a->grad_scale;
    s->m = (double)a->beta1 * s->m + (1 - (double)a->beta1) * g;
    s->v = (double)a->beta2 * s->v + (1 - (double)a->beta2) * g * g;
    s->w *= 1 - (double)a->lr * (double)a->decay;
    s->w -= (double)a->lr * (s->m / (double)a->bias1) /
            (sqrt(s->v / (double)a->bias2) + (double)a->eps);
}

static const int64_t counts[] = {0, 1, 15, 16, 33, 4096, 4097, 9000};

static void test_adamw(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};
    for (int i = 0; i < ARRAY_LEN(counts); i++) {
        struct adam p;
        adam_init(&p, counts[i], dtypes[i % 3]);
        struct state *const s = op_bytes((size_t)p.n * sizeof(*s));
        for (int64_t j = 0; j < p.n; j++)
            s[j] = (struct state){.w = (double)p.w[j]};
        const struct op_out outs[] = {
            op_out(p.w, p.n),
            op_out(p.m, p.n),
            op_out(p.v, p.n),
            {p.copy, (size_t)p.n * dtype_bytes(p.dtype)},
        };
        for (int step = 1; step <= STEPS; step++) {
            p.args = args_at(step);
            op_all(run_adamw, &p, outs, 4);
            for (int64_t j = 0; j < p.n; j++)
                adam_step(&s[j], (double)p.g[j], &p.args);
        }
        for (int64_t j = 0; j < p.n; j++) {
            /* per step 3 roundings of w, and 10 of a step of lr */
            const double limit = STEPS * (tol_steps(3, 2.1) + tol_steps(10, 0.011));
            op_assert_close((double)p.w[j], s[j].w, limit, "w", j);
            op_assert_close((double)p.m[j], s[j].m, tol_steps(4 * STEPS, 1), "m", j);
            op_assert_close((double)p.v[j], s[j].v, tol_steps(5 * STEPS, 1), "v", j);
            char want[4];
            dtype_put(want, p.dtype, 0, p.w[j]);
            const size_t size = dtype_bytes(p.dtype);
            assert_memory_equal((char *)p.copy + (size_t)j * size, want, size);
        }
        op_release(NULL);
    }
}

/* bias 1, no decay, beta 0: one step of lr against the sign of g, exactly. */
static void test_sign(void **state)
{
    (void)state;
    struct adam p;
    adam_init(&p, 100, DTYPE_F32);
    p.args = (struct adamw_args){.lr = 0.25f, .bias1 = 1, .bias2 = 1, .grad_scale = 1};
    float *const g = op_floats(100), *const start = op_floats(100);
    for (int i = 0; i < 100; i++)
        g[i] = (op_bits() & 1 ? 1.0f : -1.0f) * (float)(1 << (i % 8));
    memcpy(start, p.w, 100 * sizeof(float));
    p.g = g;
    p.copy = NULL;
    op_run_best(run_adamw, &p);
    for (int i = 0; i < 100; i++)
        assert_true(p.w[i] == start[i] - (g[i] > 0 ? 0.25f : -0.25f));
}

struct norm {
    double *out; /* sum of squares, of magnitudes */
    const float *x;
    int64_t n;
};

static void run_norms(struct backend *b, void *arg)
{
    const struct norm *const p = arg;
    b->norms(b, &p->out[0], &p->out[1], p->x, p->n);
}

static double plain_norm(const float *x, int64_t n, bool is_square)
{
    double total = 0;
    for (int64_t block = 0; block < n; block += 4096) {
        double lanes[16] = {0};
        for (int64_t i = block; i < n && i < block + 4096; i++) {
            const double a = fabs((double)x[i]);
            lanes[(i - block) % 16] += is_square ? a * a : a;
        }
        for (int half = 8; half >= 1; half /= 2)
            for (int l = 0; l < half; l++)
                lanes[l] += lanes[l + half];
        total += lanes[0];
    }
    return total;
}

static void test_norms(void **state)
{
    (void)state;
    static const int64_t more[] = {0, 1, 17, 4095, 4096, 4097, 70001, 256 * 4096 + 5};
    for (int i = 0; i < ARRAY_LEN(more); i++) {
        struct norm p = {
            .out = op_doubles(2), .x = op_filled(more[i], op_random), .n = more[i]};
        const struct op_out out = {p.out, 2 * sizeof(double)};
        op_all(run_norms, &p, &out, 1);
        assert_true(p.out[0] == plain_norm(p.x, p.n, true));
        assert_true(p.out[1] == plain_norm(p.x, p.n, false));
        op_release(NULL);
    }
}

/* Beyond fp32's range, and NaN and Inf reach the sum. */
static void test_norms_range(void **state)
{
    (void)state;
    float *const x = op_constant(100, 0x1p100f);
    struct norm p = {.out = op_doubles(2), .x = x, .n = 100};
    op_run_best(run_norms, &p);
    assert_true(p.out[0] == 100 * 0x1p200 && p.out[1] == 100 * 0x1p100);
    x[99] = -INFINITY;
    op_run_best(run_norms, &p);
    assert_true(isinf(p.out[0]) && isinf(p.out[1]));
    x[3] = NAN;
    op_run_best(run_norms, &p);
    assert_true(isnan(p.out[0]) && isnan(p.out[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_adamw), OP_TEST(test_sign),
                                       OP_TEST(test_norms), OP_TEST(test_norms_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
