/*
 * residual_norm against the ops that it is made of, bit for bit: nothing added, rows
 * added, experts combined with and without weights, in place, rounded.
 */
#include "tests/cpu/op_check.h"

enum what { ADD_NOTHING, ADD_ROWS, ADD_EXPERTS, ADD_PLAIN, N_WHAT };

struct norm {
    void *y;
    enum dtype y_dtype;
    float *sum;
    struct residual r;
    struct weight w;
    int64_t m;
    float *want_y, *want_sum;
};

static void run_fused(struct backend *b, void *arg)
{
    const struct norm *const p = arg;
    b->residual_norm(b, p->y, p->y_dtype, p->sum, &p->r, &p->w, 1e-5f, p->m);
}

static void run_ops(struct backend *b, void *arg)
{
    const struct norm *const p = arg;
    const struct residual *const r = &p->r;
    const int64_t d = p->w.k;
    if (r->place != NULL)
        b->moe_combine(b, p->want_sum, r->x, r->o, r->place, r->weights, r->top_k, d,
                       p->m);
    else if (r->o != NULL)
        b->add(b, p->want_sum, r->x, r->o, p->m * d);
    b->rmsnorm_fwd(b, p->want_y, r->o != NULL ? p->want_sum : r->x, &p->w, 1e-5f, p->m);
}

static void norm_init(struct norm *p, enum what what, int64_t k, int64_t m,
                      enum dtype y_dtype, enum dtype w_dtype)
{
    const int64_t top_k = what < ADD_EXPERTS ? 1 : 3;
    op_seed((uint64_t)(m * 1000 + k));
    *p = (struct norm){.y_dtype = y_dtype, .m = m};
    p->r.x = op_filled(m * k, op_random);
    p->r.o = what == ADD_NOTHING ? NULL : op_filled(m * top_k * k, op_random);
    int32_t *const place = op_ints(m * top_k);
    for (int64_t i = 0; i < m * top_k; i++) { /* a permutation */
        const int64_t j = op_below(i + 1);
        place[i] = place[j];
        place[j] = (int32_t)i;
    }
    p->r.place = what >= ADD_EXPERTS ? place : NULL;
    p->r.weights = what == ADD_EXPERTS ? op_filled(m * top_k, op_random) : NULL;
    p->r.top_k = top_k;
    char *const w = op_bytes((size_t)k * dtype_bytes(w_dtype));
    for (int64_t i = 0; i < k; i++)
        dtype_put(w, w_dtype, i, op_random());
    p->w = (struct weight){w, w_dtype, WEIGHT_PLAIN, 1, 1, k};
    p->y = op_bytes((size_t)(m * k) * dtype_bytes(y_dtype));
    p->sum = what == ADD_NOTHING ? NULL : op_floats(m * k);
    p->want_y = op_floats(m * k);
    p->want_sum = op_floats(m * k);
}

static void check(const struct norm *p, const char *how)
{
    const int64_t n = p->m * p->w.k;
    const size_t bytes = dtype_bytes(p->y_dtype);
    char *const want = op_bytes((size_t)n * bytes);
    dtype_narrow(want, p->y_dtype, p->want_y, n);
    if (!op_is_same(p->y, want, (size_t)n * bytes))
        fail_msg("y, %s, of %lld columns", how, (long long)p->w.k);
    if (p->r.o != NULL)
        op_assert_bits(p->sum, p->want_sum, n, how);
}

/* 8193: longer than a block's shared memory on the GPU */
static const int64_t widths[] = {1, 15, 16, 33, 64, 1024, 1028, 8193};
static const int64_t row_counts[] = {0, 1, 2, 7};

static void test_equals_ops(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    for (int i = 0; i < N_WHAT * ARRAY_LEN(widths) * ARRAY_LEN(row_counts); i++) {
        struct norm p;
        norm_init(&p, (enum what)(i % N_WHAT), widths[i / N_WHAT % ARRAY_LEN(widths)],
                  row_counts[i / N_WHAT / ARRAY_LEN(widths)], dtypes[(i / 3) % 2],
                  dtypes[i % 3]);
        const size_t y_bytes = (size_t)(p.m * p.w.k) * dtype_bytes(p.y_dtype);
        const struct op_out outs[] = {{p.y, y_bytes}, op_out(p.sum, p.m * p.w.k)};
        op_all(run_fused, &p, outs, p.sum == NULL ? 1 : 2);
        op_run_best(run_ops, &p);
        check(&p, "apart");
        if (p.r.o != NULL) {
            memcpy(p.sum, p.r.x, (size_t)(p.m * p.w.k) * sizeof(float));
            p.r.x = p.sum;
            op_run_best(run_fused, &p);
            check(&p, "in place");
        }
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_equals_ops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
