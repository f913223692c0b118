/*
 * Attention on tensor cores: near the exact one within limits derived from bf16's
 * rounding, the same bits twice and for a row in a batch and alone, and nothing from
 * slots that no row may see (NaN).
 */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/attn_case.h"

static const double bf16_unit = 0x1p-9; /* of a rounding */

static const struct attn_spec specs[] = {
    {1, 1, 32, 0, 1, 1, 0, 1, 0, false},     /* at most one row */
    {2, 2, 64, 0, 1, 3, 0, 150, 0, false},   /* from 0, over pages and tiles */
    {4, 2, 64, 0, 2, 3, 1, 90, 30, true},    /* grouped heads, shared prompt */
    {6, 1, 128, 0, 1, 2, 2, 60, 70, false},  /* one kv head, long prefix */
    {2, 1, 32, 10, 2, 2, 1, 150, 70, false}, /* window inside a block */
    {3, 3, 64, 100, 1, 3, 0, 200, 9, true},  /* window over blocks */
    {2, 2, 128, 1, 1, 2, 0, 70, 5, false},   /* sees itself only */
    {8, 8, 64, 0, 4, 4, 0, 1, 200, false},   /* decode */
    {2, 2, 128, 0, 1, 3, 0, 600, 0, false},  /* more pages and tiles than stages */
    {3, 1, 64, 0, 1, 40, 1, 9, 40, true},    /* a page of more sequences than lanes */
    {4, 2, 128, 90, 2, 3, 2, 130, 60, true}, /* all at once */
};

/* Of the running case: its cache as rows, as pages of the device, and every slot */
static float *rows, *pages;
static int32_t *dst_off, *dst;

static int64_t n_slots(const struct attn_case *c) { return c->n_pages * KV_BLOCK; }

/* Value i of a slot's row (heads of k, then of v) in the case's cache */
static float slot_value(const struct attn_case *c, int64_t r, int64_t i)
{
    const int64_t g_all = c->a.n_kv_heads, d = c->a.head_dim, slot = r % KV_BLOCK;
    const int64_t head = (r / KV_BLOCK * g_all + i / d % g_all) * 2 * d * KV_BLOCK;
    return c->cache[i < g_all * d ? head + i % d * KV_BLOCK + slot
                                  : head + (KV_BLOCK + slot) * d + i % d];
}

/* The case's cache as the device keeps it: every slot written by kv_write. */
static void write_pages(struct backend *b, struct attn_case *c)
{
    const int64_t width = 2 * c->a.n_kv_heads * c->a.head_dim, n = n_slots(c);
    for (int64_t i = 0; i < n * width; i++)
        rows[i] = slot_value(c, i / width, i % width);
    b->kv_write(b, pages, rows, dst_off, dst, c->a.n_kv_heads, c->a.head_dim, width,
                true, n);
    c->cache = pages;
}

static void run_fwd(struct backend *b, void *arg)
{
    struct attn_case c = *(const struct attn_case *)arg;
    write_pages(b, &c);
    case_fwd(b, &c);
}

static void run_bwd(struct backend *b, void *arg)
{
    struct attn_case c = *(const struct attn_case *)arg;
    write_pages(b, &c);
    case_bwd(b, &c);
}

/* Rows of half of the cases begin on 16 bytes */
static void tensor_case(struct attn_case *c, const struct attn_spec *spec)
{
    case_init(c, spec, op_random);
    if (spec->max_rows % 20 == 10)
        c->a.ld_q -= 3;
    c->a.scale = 1.0f / sqrtf((float)spec->head_dim);
    c->a.is_narrow = true;
    rows = op_floats(n_slots(c) * 2 * spec->n_kv_heads * spec->head_dim);
    pages = op_floats(c->cache_floats);
    dst_off = op_ints(n_slots(c) + 1);
    dst = op_ints(n_slots(c));
    for (int32_t r = 0; r <= n_slots(c); r++) {
        dst_off[r] = r;
        if (r < n_slots(c))
            dst[r] = r;
    }
}

/* What the CPU computes, into y, lse, dq, dcache of a copy */
static void run_on_cpu(struct attn_case *c, bool is_backward)
{
    struct backend b;
    assert_int_equal(cpu_backend_init(&b, CPU_ISA_AUTO, 2), 0);
    case_fwd(&b, c);
    if (is_backward)
        case_bwd(&b, c);
    cpu_backend_release(&b);
}

/* The largest error of a score of this line, from roundings of q and k (and fp32) */
static double score_error(const struct attn_case *c, int64_t row, int64_t h)
{
    const struct attn_batch *const a = &c->a;
    const int64_t s = case_seq_of(a, row), pos = case_pos(a, row), d = a->head_dim;
    const int64_t g = h / (a->n_heads / a->n_kv_heads);
    double worst = 0;
    for (int64_t t = case_first_key(a, pos); t <= pos; t++) {
        double magnitude = 0;
        for (int64_t i = 0; i < d; i++)
            magnitude += fabs((double)c->q[row * a->ld_q + h * d + i] *
                              (double)c->cache[case_at(a, s, t, g, false, i)]);
        worst = fmax(worst, magnitude);
    }
    return worst * (double)a->scale * (2 * bf16_unit + (double)d * tol_unit);
}

/* p off by exp(2 ds) - 1 at most, then rounded, as is v; |v| < 2 bounds the mean */
static void check_forward(const struct attn_case *got, const struct attn_case *want)
{
    const int64_t n_heads = got->a.n_heads, d = got->a.head_dim;
    for (int64_t i = 0; i < got->a.n_rows * n_heads; i++) {
        const double ds = score_error(got, i / n_heads, i % n_heads);
        const double limit = 2 * (expm1(2 * ds) + 2 * bf16_unit + 1e-5);
        op_assert_close((double)got->lse[i], (double)want->lse[i], ds + 1e-5, "lse", i);
        for (int64_t j = i * d; j < (i + 1) * d; j++)
            op_assert_close((double)got->y[j], (double)want->y[j], limit, "y", j);
    }
}

static void test_forward(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(specs); i++) {
        struct attn_case c;
        tensor_case(&c, &specs[i]);
        struct attn_case want = c;
        want.y = op_floats(case_y_floats(&c));
        want.lse = op_floats(c.a.n_rows * c.a.n_heads);
        run_on_cpu(&want, false);
        op_run_best(run_fwd, &c);
        check_forward(&c, &want);
        op_release(NULL);
    }
}

/* || got - want || / || want || over what is no NaN in `want`; NaN must agree */
static double distance(const float *got, const float *want, int64_t n)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(isnan(got[i]), isnan(want[i]));
        if (isnan(want[i]))
            continue;
        error += ((double)got[i] - (double)want[i]) *
                 ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    return size > 0 ? sqrt(error / size) : 0;
}

static float *copy_of(const float *x, int64_t n)
{
    float *const y = op_floats(n);
    memcpy(y, x, (size_t)n * sizeof(float));
    return y;
}

/* Errors of the terms add like their roundings: p by exp(2 ds), and five operands each
 * rounded once; random signs, so norms see less than the sum of these. */
static void test_backward(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(specs); i++) {
        struct attn_case c;
        tensor_case(&c, &specs[i]);
        const int64_t n_q = c.a.n_rows * c.a.ld_q;
        struct attn_case want = c;
        want.dq = copy_of(c.dq, n_q);
        want.dcache = copy_of(c.dcache, c.cache_floats);
        run_on_cpu(&want, true); /* y and lse too, which both then share */
        double ds = 0;
        for (int64_t j = 0; j < c.a.n_rows * c.a.n_heads; j++)
            ds = fmax(ds, score_error(&c, j / c.a.n_heads, j % c.a.n_heads));
        const double limit = expm1(2 * ds) + 5 * bf16_unit;
        float *const dq = copy_of(c.dq, n_q);
        float *const dcache = copy_of(c.dcache, c.cache_floats);
        op_run_best(run_bwd, &c);
        assert_true(distance(c.dq, want.dq, n_q) <= limit);
        assert_true(distance(c.dcache, want.dcache, c.cache_floats) <= limit);
        float *const first_dq = copy_of(c.dq, n_q);
        float *const first = copy_of(c.dcache, c.cache_floats);
        memcpy(c.dq, dq, (size_t)n_q * sizeof(float)); /* again: the same bits */
        memcpy(c.dcache, dcache, (size_t)c.cache_floats * sizeof(float));
        op_run_best(run_bwd, &c);
        assert_true(op_is_same(c.dq, first_dq, (size_t)n_q * sizeof(float)));
        assert_true(
            op_is_same(c.dcache, first, (size_t)c.cache_floats * sizeof(float)));
        op_release(NULL);
    }
}

/* A row in the batch and alone, later keys gone: the same bits */
static void test_decode(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(specs); i++) {
        struct attn_case c;
        struct attn_spec spec = specs[i];
        spec.per_group = 1; /* nothing shared: keys may go */
        tensor_case(&c, &spec);
        op_run_best(run_fwd, &c);
        const int64_t n = c.a.n_heads * c.a.head_dim;
        float *const y = op_floats(n), *const lse = op_floats(c.a.n_heads);
        for (int64_t row = c.a.n_rows - 1; row >= 0; row -= row > 20 ? 7 : 1) {
            const int64_t s = case_seq_of(&c.a, row), pos = case_pos(&c.a, row);
            struct attn_case one = c;
            case_alone(&one.a, &c, 1, pos, c.pages + c.page_off[s]);
            one.y = y;
            one.lse = lse;
            one.q = c.q + row * c.a.ld_q;
            op_run_best(run_fwd, &one);
            op_assert_bits(y, c.y + row * n, n, "y alone");
            op_assert_bits(lse, c.lse + row * c.a.n_heads, c.a.n_heads, "lse alone");
            for (int64_t j = 0; j < c.a.n_kv_heads * c.a.head_dim; j++) {
                const int64_t g = j / c.a.head_dim, d = j % c.a.head_dim;
                c.cache[case_at(&c.a, s, pos, g, false, d)] = NAN;
                c.cache[case_at(&c.a, s, pos, g, true, d)] = NAN;
            }
        }
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_forward), OP_TEST(test_backward),
                                       OP_TEST(test_decode)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
