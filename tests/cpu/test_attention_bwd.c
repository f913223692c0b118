/*
 * Attention backward: bit for bit against a scalar reading of the contract's order,
 * against slopes of the forward in double, batches in several calls, sequences that
 * share pages, and slots that nobody sees (NaN) left as they were.
 */
#include "cpu/vmath.h"
#include "tests/cpu/attn_case.h"

/* One line: its dq, and its terms of the keys' and values' gradients */
static void plain_line(float *dq, float *dcache, const struct attn_case *c, int64_t row,
                       int64_t h)
{
    const struct attn_batch *const a = &c->a;
    const int64_t s = case_seq_of(a, row), pos = case_pos(a, row), d = a->head_dim;
    const int64_t g = h / (a->n_heads / a->n_kv_heads), at = row * a->n_heads + h;
    const float *const q = c->q + row * a->ld_q + h * d, *const dy = c->dy + at * d;
    const float sum = op_row_sum(dy, c->y + at * d, d);
    float *const dq_line = dq + row * a->ld_q + h * d;
    for (int64_t i = 0; i < d; i++)
        dq_line[i] = 0;
    for (int64_t t = case_first_key(a, pos); t <= pos; t++) {
        float score = 0, dp = 0;
        for (int64_t i = 0; i < d; i++) {
            score = fmaf(q[i], c->cache[case_at(a, s, t, g, false, i)], score);
            dp = fmaf(dy[i], c->cache[case_at(a, s, t, g, true, i)], dp);
        }
        const float p = vm_exp(score * a->scale - c->lse[at]);
        const float ds = p * (dp - sum) * a->scale;
        for (int64_t i = 0; i < d; i++) {
            const int64_t k = case_at(a, s, t, g, false, i);
            const int64_t v = case_at(a, s, t, g, true, i);
            dq_line[i] = fmaf(ds, c->cache[k], dq_line[i]);
            dcache[k] = fmaf(ds, q[i], dcache[k]);
            dcache[v] = fmaf(p, dy[i], dcache[v]);
        }
    }
}

static void copy_floats(float *to, const float *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof(float));
}

static void test_plain(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(attn_specs); i++) {
        struct attn_case c;
        case_init(&c, &attn_specs[i], op_random);
        op_run_best(case_fwd, &c);
        const int64_t n_q = c.a.n_rows * c.a.ld_q;
        float *const dq = op_floats(n_q), *const dcache = op_floats(c.cache_floats);
        copy_floats(dq, c.dq, n_q); /* what lies between the heads stays */
        copy_floats(dcache, c.dcache, c.cache_floats);
        for (int64_t j = 0; j < c.a.n_rows * c.a.n_heads; j++)
            plain_line(dq, dcache, &c, j / c.a.n_heads, j % c.a.n_heads);
        const struct op_out outs[] = {op_out(c.dq, n_q),
                                      op_out(c.dcache, c.cache_floats)};
        op_all(case_bwd, &c, outs, 2);
        op_assert_bits(c.dq, dq, n_q, "dq");
        op_assert_bits(c.dcache, dcache, c.cache_floats, "dcache");
        op_release(NULL);
    }
}

/* The loss sum of dy y in double, over copies of q and the cache */
struct loss {
    const struct attn_case *c;
    double *q, *cache;
};

static double line_loss(const struct loss *l, int64_t row, int64_t h)
{
    const struct attn_batch *const a = &l->c->a;
    const int64_t s = case_seq_of(a, row), pos = case_pos(a, row), d = a->head_dim;
    const int64_t g = h / (a->n_heads / a->n_kv_heads);
    double sum = 0, total = 0;
    for (int64_t t = case_first_key(a, pos); t <= pos; t++) {
        double score = 0, dp = 0;
        for (int64_t i = 0; i < d; i++) {
            score += l->q[row * a->ld_q + h * d + i] *
                     l->cache[case_at(a, s, t, g, false, i)];
            dp += (double)l->c->dy[(row * a->n_heads + h) * d + i] *
                  l->cache[case_at(a, s, t, g, true, i)];
        }
        sum += exp(score * (double)a->scale);
        total += exp(score * (double)a->scale) * dp;
    }
    return total / sum;
}

static double batch_loss(void *arg)
{
    const struct loss *const l = arg;
    double total = 0;
    for (int64_t i = 0; i < l->c->a.n_rows * l->c->a.n_heads; i++)
        total += line_loss(l, i / l->c->a.n_heads, i % l->c->a.n_heads);
    return total;
}

static double *widened(const float *x, int64_t n)
{
    double *const y = op_doubles(n);
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

static void check_slopes(const struct attn_spec *spec)
{
    struct attn_case c;
    case_init(&c, spec, op_random);
    float *const start = op_floats(c.cache_floats);
    copy_floats(start, c.dcache, c.cache_floats);
    op_run_best(case_fwd, &c);
    op_run_best(case_bwd, &c);
    struct loss l = {.c = &c,
                     .q = widened(c.q, c.a.n_rows * c.a.ld_q),
                     .cache = widened(c.cache, c.cache_floats)};
    /* |<q, k>| <= 4 d, so p is off by tol_softmax of such scores; |dp - D| <= 8 d and
     * |k|, |q| <= 2. The p of a line sum to 1: dq is one such term, dk and dv up to one
     * per line. */
    const double d = (double)c.a.head_dim, n = (double)(c.a.n_rows * c.a.n_heads);
    const double scale = (double)c.a.scale;
    const double rel = tol_softmax(70, tol_sum(c.a.head_dim, 4 * d * scale),
                                   4 * d * scale);
    const double limit = rel * 8 * d * 2 * scale + 10 * tol_slope * n * d;
    for (int64_t i = 0; i < c.a.n_rows * c.a.n_heads * c.a.head_dim; i++) {
        const int64_t width = c.a.n_heads * c.a.head_dim;
        const int64_t at = i / width * c.a.ld_q + i % width;
        op_assert_close((double)c.dq[at], op_slope(batch_loss, &l, &l.q[at]), limit,
                        "dq", at);
    }
    int64_t n_seen = 0;
    for (int64_t i = 0; i < c.cache_floats; i++) {
        if (isnan(c.cache[i]))
            continue;
        n_seen++;
        op_assert_close((double)c.dcache[i] - (double)start[i],
                        op_slope(batch_loss, &l, &l.cache[i]),
                        n * limit + tol_steps(2, fabs((double)c.dcache[i])), "dkv", i);
    }
    assert_true(n_seen > 0);
}

static void test_slopes(void **state)
{
    (void)state;
    static const struct attn_spec specs[] = {
        {2, 1, 4, 0, 1, 2, 0, 5, 62, false},
        {2, 2, 3, 4, 1, 3, 0, 6, 62, false},
        {1, 1, 5, 70, 1, 2, 1, 4, 8, false},
        {2, 1, 20, 0, 1, 2, 0, 6, 30, false},
    };
    for (int i = 0; i < ARRAY_LEN(specs); i++) {
        check_slopes(&specs[i]);
        op_release(NULL);
    }
}

/* Rows first .. first + n - 1 of a batch of one sequence */
static void run_part(const struct attn_case *c, int64_t first, int64_t n, float *dq,
                     float *dcache)
{
    const int64_t width = c->a.n_heads * c->a.head_dim;
    struct attn_case part = *c;
    case_alone(&part.a, c, n, c->first_pos[0] + first, c->pages);
    part.q += first * c->a.ld_q;
    part.dq = dq + first * c->a.ld_q;
    part.dy += first * width;
    part.y += first * width;
    part.lse += first * c->a.n_heads;
    part.dcache = dcache;
    op_run_best(case_bwd, &part);
}

/* A sequence's rows in several calls give the bits of one call. */
static void test_split(void **state)
{
    (void)state;
    static const struct attn_spec spec = {4, 2, 24, 50, 1, 1, 3, 0, 0, true};
    static const int64_t cuts[] = {0, 1, 30, 100, 191, 192};
    struct attn_case c;
    case_init(&c, &spec, op_random);
    assert_int_equal(c.a.n_rows, 192);
    op_run_best(case_fwd, &c);
    const int64_t n_q = c.a.n_rows * c.a.ld_q;
    float *const dq = op_floats(n_q), *const dcache = op_floats(c.cache_floats);
    copy_floats(dq, c.dq, n_q);
    copy_floats(dcache, c.dcache, c.cache_floats);
    for (int i = 0; i + 1 < ARRAY_LEN(cuts); i++)
        run_part(&c, cuts[i], cuts[i + 1] - cuts[i], dq, dcache);
    op_run_best(case_bwd, &c);
    op_assert_bits(c.dq, dq, n_q, "dq");
    op_assert_bits(c.dcache, dcache, c.cache_floats, "dcache");
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_plain), OP_TEST(test_slopes),
                                       OP_TEST(test_split)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
