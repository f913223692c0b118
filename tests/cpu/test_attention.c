/*
 * Attention forward: bit for bit against a scalar reading of the contract, within
 * derived limits of double, and the same bits for a row in a batch (prefill, learner)
 * and alone (decode), with NaN in every slot that the row may not see.
 */
#include "cpu/vmath.h"
#include "tests/cpu/attn_case.h"

/* One row and head as core/ops.h writes it */
static float plain_head(float *y, const struct attn_case *c, int64_t row, int64_t h)
{
    const struct attn_batch *const a = &c->a;
    const int64_t s = case_seq_of(a, row), pos = case_pos(a, row), d = a->head_dim;
    const int64_t g = h / (a->n_heads / a->n_kv_heads);
    const int64_t first = case_first_key(a, pos);
    const float *const q = c->q + row * a->ld_q + h * d;
    float max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < d; i++)
        y[i] = 0;
    for (int64_t b = first / KV_BLOCK; b <= pos / KV_BLOCK; b++) {
        float p[KV_BLOCK], old = max;
        for (int64_t j = 0; j < KV_BLOCK; j++) {
            const int64_t t = b * KV_BLOCK + j;
            p[j] = -INFINITY;
            if (t < first || t > pos)
                continue;
            float score = 0;
            for (int64_t i = 0; i < d; i++)
                score = fmaf(q[i], c->cache[case_at(a, s, t, g, false, i)], score);
            p[j] = score * a->scale;
            max = p[j] > max ? p[j] : max;
        }
        for (int64_t j = 0; j < KV_BLOCK; j++)
            p[j] = vm_exp(p[j] - max);
        const float shrink = vm_exp(old - max);
        sum = sum * shrink + op_row_sum(p, NULL, KV_BLOCK);
        for (int64_t i = 0; i < d; i++)
            y[i] *= shrink;
        for (int64_t t = b * KV_BLOCK; t < (b + 1) * KV_BLOCK; t++)
            for (int64_t i = 0; i < d && t >= first && t <= pos; i++)
                y[i] = fmaf(p[t % KV_BLOCK], c->cache[case_at(a, s, t, g, true, i)],
                            y[i]);
    }
    for (int64_t i = 0; i < d; i++)
        y[i] /= sum;
    return max + vm_log(sum);
}

static void check_plain(const struct attn_case *c)
{
    const int64_t h_all = c->a.n_heads, d = c->a.head_dim;
    float y[512];
    for (int64_t i = 0; i < c->a.n_rows * h_all; i++) {
        const float lse = plain_head(y, c, i / h_all, i % h_all);
        op_assert_bits(c->y + i * d, y, d, "y");
        op_assert_bits(c->lse + i, &lse, 1, "lse");
    }
}

static void test_plain(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(attn_specs); i++) {
        struct attn_case c;
        case_init(&c, &attn_specs[i], op_random);
        const struct op_out outs[] = {op_out(c.y, case_y_floats(&c)),
                                      op_out(c.lse, c.a.n_rows * c.a.n_heads)};
        op_all(case_fwd, &c, outs, 2);
        check_plain(&c);
        op_release(NULL);
    }
}

/* The formula in double: no blocks, no running maximum */
static void check_double(const struct attn_case *c, int64_t row, int64_t h)
{
    const struct attn_batch *const a = &c->a;
    const int64_t s = case_seq_of(a, row), pos = case_pos(a, row), d = a->head_dim;
    const int64_t g = h / (a->n_heads / a->n_kv_heads), at = row * a->n_heads + h;
    const int64_t first = case_first_key(a, pos), n = pos - first + 1;
    double score[2048], max = -INFINITY, min = INFINITY, sum = 0, ds = 0;
    for (int64_t t = first; t <= pos; t++) {
        double dot = 0, magnitude = 0;
        for (int64_t i = 0; i < d; i++) {
            const double x = (double)c->q[row * a->ld_q + h * d + i] *
                             (double)c->cache[case_at(a, s, t, g, false, i)];
            dot += x;
            magnitude += fabs(x);
        }
        score[t - first] = dot * (double)a->scale;
        ds = fmax(ds, tol_sum(d, magnitude * (double)a->scale));
        max = fmax(max, score[t - first]);
        min = fmin(min, score[t - first]);
    }
    for (int64_t j = 0; j < n; j++)
        sum += exp(score[j] - max);
    const double rel = tol_softmax(n + 4, ds, max - min);
    op_assert_close((double)c->lse[at], max + log(sum),
                    rel + 3 * tol_unit * (fabs(max) + log(sum)), "lse", at);
    for (int64_t i = 0; i < d; i++) {
        double want = 0, magnitude = 0;
        for (int64_t j = 0; j < n; j++) {
            const double p = exp(score[j] - max) / sum;
            const double v = (double)c->cache[case_at(a, s, first + j, g, true, i)];
            want += p * v;
            magnitude += fabs(p * v);
        }
        op_assert_close((double)c->y[at * d + i], want,
                        rel * magnitude + tol_sum(2 * n, magnitude), "y", i);
    }
}

static void test_double(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(attn_specs); i++) {
        struct attn_case c;
        case_init(&c, &attn_specs[i], op_random);
        op_run_best(case_fwd, &c);
        for (int64_t j = 0; j < c.a.n_rows * c.a.n_heads; j++)
            check_double(&c, j / c.a.n_heads, j % c.a.n_heads);
        op_release(NULL);
    }
}

static float zero(void) { return 0; }

/* Zero queries: the mean of the values, exact where the count is a power of two. */
static void test_mean(void **state)
{
    (void)state;
    static const struct attn_spec spec = {1, 1, 24, 0, 1, 1, 4, 0, 0, true};
    struct attn_case c;
    case_init(&c, &spec, op_small_int);
    for (int64_t i = 0; i < c.a.n_rows * c.a.ld_q; i++)
        c.q[i] = zero();
    op_run_best(case_fwd, &c);
    for (int64_t row = 0; row < 256; row = row * 2 + 1) /* sees row + 1 keys */
        for (int64_t i = 0; i < 24; i++) {
            float sum = 0;
            for (int64_t t = 0; t <= row; t++)
                sum += c.cache[case_at(&c.a, 0, t, 0, true, i)];
            assert_true(c.y[row * 24 + i] == sum / (float)(row + 1));
        }
}

/* A batch of this one row, all keys above its position gone */
static void run_alone(const struct attn_case *c, int64_t row, float *y, float *lse)
{
    const int64_t s = case_seq_of(&c->a, row);
    struct attn_case one = *c;
    case_alone(&one.a, c, 1, case_pos(&c->a, row), c->pages + c->page_off[s]);
    one.y = y;
    one.lse = lse;
    one.q = c->q + row * c->a.ld_q;
    op_run_best(case_fwd, &one);
}

/* Rows last to first, the row's own key turned into NaN after its turn: what a row gets
 * in the batch, it gets in decode, where later positions were never written. */
static void test_decode(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(attn_specs); i++) {
        struct attn_case c;
        struct attn_spec spec = attn_specs[i];
        spec.per_group = 1; /* nothing shared: keys may go */
        case_init(&c, &spec, op_random);
        c.a.n_heads = spec.n_heads;
        op_run_best(case_fwd, &c);
        const int64_t n = c.a.n_heads * c.a.head_dim;
        float *const y = op_floats(n), *const lse = op_floats(c.a.n_heads);
        for (int64_t row = c.a.n_rows - 1; row >= 0; row--) {
            run_alone(&c, row, y, lse);
            op_assert_bits(y, c.y + row * n, n, "y alone");
            op_assert_bits(lse, c.lse + row * c.a.n_heads, c.a.n_heads, "lse alone");
            const int64_t s = case_seq_of(&c.a, row), pos = case_pos(&c.a, row);
            for (int64_t j = 0; j < c.a.n_kv_heads * c.a.head_dim; j++) {
                const int64_t g = j / c.a.head_dim, d = j % c.a.head_dim;
                c.cache[case_at(&c.a, s, pos, g, false, d)] = NAN;
                c.cache[case_at(&c.a, s, pos, g, true, d)] = NAN;
            }
        }
        op_release(NULL);
    }
}

/* lse is optional, and a NaN in one row's query stays in that row. */
static void test_rows_apart(void **state)
{
    (void)state;
    struct attn_case c;
    case_init(&c, &attn_specs[2], op_random);
    op_run_best(case_fwd, &c);
    const int64_t n = c.a.n_heads * c.a.head_dim, bad = c.a.n_rows / 2;
    float *const y = op_floats(c.a.n_rows * n);
    memcpy(y, c.y, (size_t)(c.a.n_rows * n) * sizeof(float));
    c.lse = NULL;
    c.q[bad * c.a.ld_q] = NAN;
    op_run_best(case_fwd, &c);
    op_assert_bits(c.y, y, bad * n, "before");
    op_assert_bits(c.y + (bad + 1) * n, y + (bad + 1) * n, (c.a.n_rows - bad - 1) * n,
                   "after");
    assert_true(isnan(c.y[bad * n]));
}

static void test_empty(void **state)
{
    (void)state;
    static const struct attn_spec spec = {2, 1, 16, 0, 2, 2, 0, 0, 9, false};
    struct attn_case c;
    case_init(&c, &spec, op_random);
    assert_int_equal(c.a.n_rows, 0);
    op_run_best(case_fwd, &c);
    op_run_best(case_bwd, &c);
    c.a.n_seqs = c.a.n_groups = 0;
    op_run_best(case_fwd, &c);
    op_run_best(case_bwd, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_plain),  OP_TEST(test_double),     OP_TEST(test_mean),
        OP_TEST(test_decode), OP_TEST(test_rows_apart), OP_TEST(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
