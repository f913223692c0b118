/*
 * Log-probabilities: the sums' order bit for bit through uniform rows, values against
 * double, gradients against slopes, -inf logits, padding columns, row invariance.
 */
#include "cpu/vmath.h"
#include "tests/cpu/op_check.h"

struct head {
    float *logp, *lse, *entropy, *grad;
    void *narrow; /* gradients in bf16 */
    const float *logits, *dlogp, *dent;
    int32_t *target;
    float inv_temp;
    int64_t v, ld, m;
};

static void run_fwd(struct backend *b, void *arg)
{
    const struct head *const p = arg;
    b->logprob_fwd(b, p->logp, p->lse, p->entropy, p->logits, p->target, p->inv_temp,
                   p->v, p->ld, p->m);
}

static void run_bwd(struct backend *b, void *arg)
{
    const struct head *const p = arg;
    b->logprob_bwd(b, p->grad, DTYPE_F32, p->grad, p->lse, p->entropy, p->target,
                   p->dlogp, p->dent, p->inv_temp, p->v, p->ld, p->m);
}

static float random_logit(void) { return 4 * op_random(); }

static void head_init(struct head *p, int64_t m, int64_t v, int64_t ld)
{
    op_seed((uint64_t)(m * 1000 + v));
    *p = (struct head){.logp = op_floats(m),
                       .lse = op_floats(m),
                       .entropy = op_floats(m),
                       .grad = op_floats(m * ld),
                       .logits = op_filled(m * ld, random_logit),
                       .dlogp = op_filled(m, op_random),
                       .dent = op_filled(m, op_random),
                       .target = op_ints(m),
                       .inv_temp = 1.25f,
                       .v = v,
                       .ld = ld,
                       .m = m};
    for (int64_t r = 0; r < m; r++)
        p->target[r] = (int32_t)op_below(v);
    memcpy(p->grad, p->logits, (size_t)(m * ld) * sizeof(float));
}

struct row {
    const struct head *p;
    double *logits;
    int64_t target;
    double dlogp, dent;
    double lse, logp, entropy;
};

static void row_stats(struct row *s)
{
    double max = -INFINITY, sum = 0, weighted = 0;
    const double scale = (double)s->p->inv_temp;
    for (int64_t i = 0; i < s->p->v; i++)
        max = fmax(max, s->logits[i] * scale);
    for (int64_t i = 0; i < s->p->v; i++) {
        const double t = s->logits[i] * scale - max;
        sum += exp(t);
        weighted += exp(t) > 0 ? exp(t) * t : 0;
    }
    s->lse = max + log(sum);
    s->entropy = log(sum) - weighted / sum;
    s->logp = s->logits[s->target] * scale - s->lse;
}

static double row_loss(void *arg)
{
    struct row *const s = arg;
    row_stats(s);
    return s->dlogp * s->logp + s->dent * s->entropy;
}

static void load_row(struct row *s, const struct head *p, int64_t r)
{
    s->p = p;
    s->target = p->target[r];
    s->dlogp = (double)p->dlogp[r];
    s->dent = p->dent != NULL ? (double)p->dent[r] : 0;
    for (int64_t i = 0; i < p->v; i++)
        s->logits[i] = (double)p->logits[r * p->ld + i];
}

static const int64_t shapes[][3] = {{0, 10, 10},   {1, 1, 1},     {2, 2, 5},
                                    {3, 16, 16},   {5, 100, 128}, {2, 257, 257},
                                    {2, 999, 1024}};

static void test_fwd(void **state)
{
    (void)state;
    double logits[5000];
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        struct head p;
        head_init(&p, shapes[i][0], shapes[i][1], shapes[i][2]);
        const struct op_out outs[] = {op_out(p.logp, p.m), op_out(p.lse, p.m),
                                      op_out(p.entropy, p.m)};
        op_all(run_fwd, &p, outs, 3);
        struct row s = {.logits = logits};
        for (int64_t r = 0; r < p.m; r++) {
            load_row(&s, &p, r);
            row_stats(&s);
            /* |z| <= 10: z is off by 10 u; sum relative; the last additions */
            const double rel = tol_softmax(p.v, 10 * tol_unit, 20);
            op_assert_close((double)p.lse[r], s.lse, rel + 30 * tol_unit, "lse", r);
            op_assert_close((double)p.logp[r], s.logp, rel + 60 * tol_unit, "logp", r);
            op_assert_close((double)p.entropy[r], s.entropy, 22 * rel, "entropy", r);
        }
        op_release(NULL);
    }
}

/* The contract's order, read plainly */
static void plain_row(float *lse, float *entropy, const struct head *p, int64_t r)
{
    float e[HEAD_SLICE], t[HEAD_SLICE], max = -INFINITY, sum = 0, weighted = 0;
    const float *const row = p->logits + r * p->ld;
    for (int64_t i = 0; i < p->v; i++)
        max = fmaxf(max, row[i] * p->inv_temp);
    for (int64_t first = 0; first < p->v; first += HEAD_SLICE) {
        const int64_t n = p->v - first < HEAD_SLICE ? p->v - first : HEAD_SLICE;
        float top = -INFINITY;
        for (int64_t i = 0; i < n; i++)
            top = fmaxf(top, row[first + i] * p->inv_temp);
        for (int64_t i = 0; i < n; i++) {
            t[i] = row[first + i] * p->inv_temp - (top > -INFINITY ? top : 0);
            e[i] = vm_exp(t[i]);
            t[i] = fmaxf(t[i], -200);
        }
        const float own = op_row_sum(e, NULL, n), by = vm_exp(top - max);
        sum = fmaf(own, by, sum);
        weighted = fmaf(fmaf(fmaxf(top - max, -200), own, op_row_sum(e, t, n)), by,
                        weighted);
    }
    *lse = max + vm_log(sum);
    *entropy = vm_log(sum) - weighted / sum;
}

/* Several slices, the last one short or a single column, one of them without mass: the
 * plain order's bits, and near the values in double */
static void test_slices(void **state)
{
    (void)state;
    static const int64_t widths[] = {HEAD_SLICE, HEAD_SLICE + 1, 3 * HEAD_SLICE + 333};
    for (int i = 0; i < ARRAY_LEN(widths); i++) {
        static double logits[4 * HEAD_SLICE];
        struct head p;
        head_init(&p, 3, widths[i], widths[i] + i);
        float *const x = op_floats(3 * p.ld);
        memcpy(x, p.logits, (size_t)(3 * p.ld) * sizeof(float));
        for (int64_t j = 0; j < HEAD_SLICE && i == 2; j++)
            x[p.ld + HEAD_SLICE + j] = j % 2 ? -INFINITY : -800;
        for (int64_t j = 0; j < HEAD_SLICE && i == 2; j++)
            x[2 * p.ld + HEAD_SLICE + j] = -INFINITY;
        p.logits = x;
        p.target[1] = p.target[2] = 0;
        const struct op_out outs[] = {op_out(p.logp, p.m), op_out(p.lse, p.m),
                                      op_out(p.entropy, p.m)};
        op_all(run_fwd, &p, outs, 3);
        struct row s = {.logits = logits};
        for (int64_t r = 0; r < p.m; r++) {
            float lse, entropy;
            plain_row(&lse, &entropy, &p, r);
            op_assert_bits(p.lse + r, &lse, 1, "lse");
            op_assert_bits(p.entropy + r, &entropy, 1, "entropy");
            load_row(&s, &p, r);
            for (int64_t j = 0; j < p.v; j++) /* 0 times -inf is no number */
                s.logits[j] = fmax(s.logits[j], -1000);
            row_stats(&s);
            const double rel = tol_softmax(p.v, 10 * tol_unit, 20);
            op_assert_close((double)p.lse[r], s.lse, rel + 30 * tol_unit, "lse", r);
            op_assert_close((double)p.entropy[r], s.entropy, 22 * rel, "entropy", r);
        }
        op_release(NULL);
    }
}

/* 2^n equal logits: p = 2^-n exactly, whatever they are. */
static void test_exact(void **state)
{
    (void)state;
    for (int64_t v = 1; v <= 4096; v *= 2) {
        struct head p;
        head_init(&p, 2, v, v);
        p.logits = op_constant(2 * v, 3.5f);
        p.inv_temp = 2;
        op_run_best(run_fwd, &p);
        const double want = log((double)v);
        for (int r = 0; r < 2; r++) {
            op_assert_close((double)p.entropy[r], want, tol_steps(2, want), "H", r);
            op_assert_close((double)p.logp[r], -want, tol_steps(4, 7 + want), "lp", r);
        }
        op_release(NULL);
    }
}

/* -inf logits have no mass; the target may be the only one left. */
static void test_minus_inf(void **state)
{
    (void)state;
    struct head p;
    head_init(&p, 2, 40, 48);
    float *const x = op_constant(2 * 48, -INFINITY);
    x[7] = 3;
    x[48 + 7] = x[48 + 30] = -1;
    p.logits = x;
    p.target[0] = p.target[1] = 7;
    memcpy(p.grad, x, 96 * sizeof(float));
    op_run_best(run_fwd, &p);
    assert_true(p.logp[0] == 0 && p.entropy[0] == 0);
    op_assert_close((double)p.logp[1], -log(2.0), 4e-7, "logp", 1);
    op_assert_close((double)p.entropy[1], log(2.0), 1e-7, "entropy", 1);
    op_run_best(run_bwd, &p);
    for (int i = 0; i < 96; i++) {
        const double half = 0.5 * (double)p.inv_temp * (double)p.dlogp[1];
        const double want = i == 48 + 7 ? half : i == 48 + 30 ? -half : 0;
        op_assert_close((double)p.grad[i], want, 1e-6, "grad", i);
    }
}

static void test_bwd(void **state)
{
    (void)state;
    double logits[5000];
    for (int i = 0; i < 2 * ARRAY_LEN(shapes); i++) {
        const int64_t *const shape = shapes[i / 2];
        struct head p;
        head_init(&p, shape[0], shape[1], shape[2]);
        op_run_best(run_fwd, &p);
        if (i % 2) {
            p.dent = NULL;
            p.entropy = NULL;
        }
        const struct op_out out = op_out(p.grad, p.m * p.ld);
        op_all(run_bwd, &p, &out, 1);
        struct row s = {.logits = logits};
        for (int64_t r = 0; r < p.m; r++) {
            load_row(&s, &p, r);
            /* p from an lse that is off by `rel`, times terms below 2 + 2 * 30 */
            const double rel = tol_softmax(p.v, 10 * tol_unit, 20) + 60 * tol_unit;
            for (int64_t j = 0; j < p.v; j++)
                op_assert_close((double)p.grad[r * p.ld + j],
                                op_slope(row_loss, &s, &logits[j]),
                                1.25 * 62 * rel + 100 * tol_slope, "dlogits", j);
            for (int64_t j = p.v; j < p.ld; j++)
                assert_true(p.grad[r * p.ld + j] == 0);
        }
        op_release(NULL);
    }
}

static void run_narrow(struct backend *b, void *arg)
{
    const struct head *const p = arg;
    b->logprob_bwd(b, p->narrow, DTYPE_BF16, p->logits, p->lse, p->entropy, p->target,
                   p->dlogp, p->dent, p->inv_temp, p->v, p->ld, p->m);
}

/* bf16 gradients are the fp32 ones rounded; logits stay */
static void test_narrow(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        struct head p;
        head_init(&p, shapes[i][0], shapes[i][1], shapes[i][2]);
        const int64_t n = p.m * p.ld;
        float *const before = op_floats(n), *const want = op_floats((n + 1) / 2);
        float *const got = op_floats((n + 1) / 2); /* two to a float */
        memcpy(before, p.logits, (size_t)n * sizeof(float));
        p.narrow = got;
        op_run_best(run_fwd, &p);
        const struct op_out out = op_out(got, (n + 1) / 2);
        op_all(run_narrow, &p, &out, 1);
        op_assert_bits(p.logits, before, n, "logits");
        op_run_best(run_bwd, &p);
        dtype_narrow(want, DTYPE_BF16, p.grad, n);
        op_assert_bits(got, want, n / 2, "bf16 gradients");
        op_release(NULL);
    }
}

static void test_alone(void **state)
{
    (void)state;
    struct head p;
    head_init(&p, 9, 1000, 1008);
    op_run_best(run_fwd, &p);
    op_run_best(run_bwd, &p);
    for (int64_t r = 0; r < 9; r++) {
        struct head one = p;
        one.m = 1;
        one.logits += r * 1008;
        one.target += r;
        one.dlogp += r;
        one.dent += r;
        one.logp = op_floats(1);
        one.lse = op_floats(1);
        one.entropy = op_floats(1);
        one.grad = op_floats(1008);
        memcpy(one.grad, one.logits, 1008 * sizeof(float));
        op_run_best(run_fwd, &one);
        op_run_best(run_bwd, &one);
        op_assert_bits(one.logp, p.logp + r, 1, "logp");
        op_assert_bits(one.lse, p.lse + r, 1, "lse");
        op_assert_bits(one.entropy, p.entropy + r, 1, "entropy");
        op_assert_bits(one.grad, p.grad + r * 1008, 1008, "grad");
        one.entropy = NULL; /* an output that is not asked for changes nothing */
        one.lse = NULL;
        one.logp[0] = 0;
        op_run_best(run_fwd, &one);
        op_assert_bits(one.logp, p.logp + r, 1, "logp alone");
    }
}

static void test_nan(void **state)
{
    (void)state;
    for (int64_t at = 0; at < 40; at++) {
        struct head p;
        head_init(&p, 1, 40, 40);
        float *const x = op_filled(40, op_random);
        x[at] = NAN;
        p.logits = x;
        p.target[0] = 0;
        op_run_best(run_fwd, &p);
        assert_true(isnan(p.logp[0]) && isnan(p.lse[0]) && isnan(p.entropy[0]));
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_fwd),    OP_TEST(test_exact),  OP_TEST(test_minus_inf),
        OP_TEST(test_bwd),    OP_TEST(test_alone),  OP_TEST(test_nan),
        OP_TEST(test_slices), OP_TEST(test_narrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
