/*
 * Attention on tensor cores: near the exact one within limits derived from bf16's
 * rounding, the same bits twice and for a row in a batch and alone, however sequences
 * share pages, and nothing from slots that no row may see (NaN).
 */
#define ON_CUDA_MATMUL CUDA_MATMUL_TENSOR
#include "tests/cuda/on_cuda.h"

#include "tests/cpu/attn_case.h"

static const double bf16_unit = 0x1p-9; /* of a rounding */

static const struct attn_spec specs[] = {
    {1, 1, 32, 0, 1, 1, 0, 1, 0, false},     /* at most one row */
    {2, 2, 128, 0, 1, 2, 0, 90, 400, false}, /* alone, a row's pages are dealt out */
    {3, 3, 128, 0, 3, 8, 2, 1, 40, false},   /* decode, shared prompts */
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

/* Decode batches: sequences, not all with a row, over prompts of several lengths */
static const struct attn_spec decodes[] = {
    {3, 3, 128, 0, 3, 8, 2, 1, 40, false},  /* many enough to share pages */
    {6, 3, 64, 0, 2, 12, 1, 1, 90, false},  /* grouped heads, own pages of two sizes */
    {4, 4, 32, 0, 2, 9, 3, 1, 1, false},    /* the other products */
    {3, 3, 64, 100, 3, 8, 3, 1, 60, false}, /* window into the shared pages */
    {3, 3, 128, 20, 3, 8, 2, 1, 60, false}, /* window past them */
    {16, 4, 64, 0, 2, 9, 1, 4, 50, false},  /* several rows and heads to a sequence */
    {2, 1, 128, 0, 2, 3, 4, 1, 90, false},  /* few enough to be dealt out */
    {2, 2, 32, 0, 1, 2, 5, 1, 60, false},   /* likewise */
    {2, 2, 64, 300, 1, 3, 6, 1, 60, false}, /* likewise, through a window */
};

static void write_case(struct backend *b, void *arg) { write_pages(b, arg); }

/* The sequence of s's group that reaches furthest */
static int64_t furthest_of(const struct attn_batch *a, int64_t s)
{
    int64_t g = 0, best = s;
    while (a->group_off[g + 1] <= s)
        g++;
    for (int64_t t = a->group_off[g]; t < a->group_off[g + 1]; t++)
        if (a->first_pos[t] + a->row_off[t + 1] - a->row_off[t] >
            a->first_pos[best] + a->row_off[best + 1] - a->row_off[best])
            best = t;
    return best;
}

/* The sequences in another order, so that groups are not adjacent. is_same: all of a
 * group have the list of the one that reaches furthest, and see as much of it as their
 * positions say. */
static void relist(struct attn_case *c, bool is_same)
{
    const struct attn_batch old = c->a;
    const int64_t n = old.n_seqs;
    int32_t *const row_off = op_ints(n + 1), *const first_pos = op_ints(n);
    int32_t *const page_off = op_ints(n + 1), *const list = op_ints(n * CASE_PAGES);
    row_off[0] = page_off[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t s = (i * 7 + 3) % n; /* n is no multiple of 7 */
        const int64_t from = is_same ? furthest_of(&old, s) : s;
        const int32_t n_pages = old.page_off[from + 1] - old.page_off[from];
        memcpy(list + page_off[i], old.pages + old.page_off[from],
               (size_t)n_pages * sizeof(int32_t));
        row_off[i + 1] = row_off[i] + old.row_off[s + 1] - old.row_off[s];
        first_pos[i] = old.first_pos[s];
        page_off[i + 1] = page_off[i] + n_pages;
    }
    c->a.row_off = row_off;
    c->a.first_pos = first_pos;
    c->a.page_off = page_off;
    c->a.pages = list;
    for (int64_t s = 0; s < n; s++)
        case_fill(c, s, op_random);
}

/* Every row of the batch has the bits that it has alone. */
static void check_alone(const struct attn_case *c)
{
    const int64_t n = c->a.n_heads * c->a.head_dim;
    float *const y = op_floats(n), *const lse = op_floats(c->a.n_heads);
    for (int64_t row = 0; row < c->a.n_rows; row++) {
        const int64_t s = case_seq_of(&c->a, row);
        struct attn_case one = *c;
        case_alone(&one.a, c, 1, case_pos(&c->a, row), c->a.pages + c->a.page_off[s]);
        one.y = y;
        one.lse = lse;
        one.q = c->q + row * c->a.ld_q;
        op_run_best(case_fwd, &one);
        op_assert_bits(y, c->y + row * n, n, "y alone");
        op_assert_bits(lse, c->lse + row * c->a.n_heads, c->a.n_heads, "lse alone");
    }
}

static void test_sharing(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * ARRAY_LEN(decodes); i++) {
        struct attn_case c;
        tensor_case(&c, &decodes[i / 2]);
        relist(&c, i % 2 == 1);
        op_run_best(write_case, &c);
        op_run_best(case_fwd, &c);
        check_alone(&c);
        op_release(NULL);
    }
}

/* More sequences than a launch takes, all over the same two pages: the bits of the
 * rows of one sequence over them. */
static void test_many(void **state)
{
    (void)state;
    enum { MANY = 1100, ROWS = 2 * KV_BLOCK };
    static const int64_t head_dims[] = {32, 64};
    for (int k = 0; k < ARRAY_LEN(head_dims); k++) {
        const int64_t d = head_dims[k];
        const struct attn_spec spec = {1, 1, d, 0, 1, 1, 2, 0, 0, true};
        struct attn_case c;
        tensor_case(&c, &spec);
        op_run_best(run_fwd, &c);
        c.cache = pages;
        struct attn_case many = c;
        int32_t *const off = op_ints(MANY + 1), *const page_off = op_ints(MANY + 1);
        int32_t *const first = op_ints(MANY), *const list = op_ints(2 * MANY);
        float *const q = op_floats(MANY * c.a.ld_q);
        off[0] = page_off[0] = 0;
        for (int32_t i = 0; i < MANY; i++) {
            first[i] = i % ROWS;
            off[i + 1] = i + 1;
            page_off[i + 1] = page_off[i] + first[i] / KV_BLOCK + 1;
            for (int32_t b = page_off[i]; b < page_off[i + 1]; b++)
                list[b] = c.a.pages[b - page_off[i]];
            memcpy(q + i * c.a.ld_q, c.q + first[i] * c.a.ld_q,
                   (size_t)c.a.ld_q * sizeof(float));
        }
        many.a.n_rows = many.a.n_seqs = many.a.n_groups = MANY;
        many.a.row_off = many.a.group_off = off;
        many.a.first_pos = first;
        many.a.page_off = page_off;
        many.a.pages = list;
        many.q = q;
        many.y = op_floats(MANY * d);
        many.lse = op_floats(MANY);
        op_run_best(case_fwd, &many);
        for (int64_t i = 0; i < MANY; i++) {
            op_assert_bits(many.y + i * d, c.y + i % ROWS * d, d, "y of many");
            op_assert_bits(many.lse + i, c.lse + i % ROWS, 1, "lse of many");
        }
        op_release(NULL);
    }
}

/* Without lse; a NaN in a row's query stays in that row; a negative scale is that of
 * negated queries. */
static void test_rows_apart(void **state)
{
    (void)state;
    static const int at[] = {1, 2, 4};
    for (int i = 0; i < ARRAY_LEN(at); i++) {
        struct attn_case c;
        tensor_case(&c, &specs[at[i]]);
        op_run_best(run_fwd, &c);
        c.cache = pages;
        const int64_t n = c.a.n_heads * c.a.head_dim, bad = c.a.n_rows / 2;
        float *const y = copy_of(c.y, c.a.n_rows * n);
        for (int64_t j = 0; j < c.a.n_rows * c.a.ld_q; j++)
            c.q[j] = -c.q[j];
        c.a.scale = -c.a.scale;
        c.q[bad * c.a.ld_q] = NAN;
        c.lse = NULL;
        op_run_best(case_fwd, &c);
        op_assert_bits(c.y, y, bad * n, "y before");
        op_assert_bits(c.y + (bad + 1) * n, y + (bad + 1) * n,
                       (c.a.n_rows - bad - 1) * n, "y behind");
        assert_true(isnan(c.y[bad * n]));
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_forward), OP_TEST(test_backward),
                                       OP_TEST(test_decode),  OP_TEST(test_sharing),
                                       OP_TEST(test_many),    OP_TEST(test_rows_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
