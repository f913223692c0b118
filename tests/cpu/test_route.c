/*
 * The routers' product with their choice, and the sort with the gather, against the ops
 * that they are made of, bit for bit: no row, one, many; one expert, all to one, more
 * pairs than a block sorts; rows of both dtypes.
 */
#include "tests/cpu/op_check.h"

struct route {
    int32_t *experts;
    float *weights, *logits;
    struct rows x;
    struct weight plain, packed;
    struct moe_order o;
    void *y;
    int64_t d, m;
};

static const struct weight *weight_for(const struct backend *b, const struct route *p)
{
    return b->product_layout == WEIGHT_PLAIN ? &p->plain : &p->packed;
}

static void run_route(struct backend *b, void *arg)
{
    const struct route *const p = arg;
    b->route_fwd(b, p->experts, p->weights, p->logits, p->x, weight_for(b, p),
                 p->o.top_k, p->m);
}

static void run_route_ops(struct backend *b, void *arg)
{
    const struct route *const p = arg;
    b->gemm_fwd(b, p->logits, p->x, weight_for(b, p), NULL, p->m);
    b->router_fwd(b, p->experts, p->weights, p->logits, p->o.n_experts, p->o.top_k,
                  p->m);
}

static void run_dispatch(struct backend *b, void *arg)
{
    const struct route *const p = arg;
    b->moe_dispatch(b, p->y, &p->o, p->experts, p->x, p->d, p->m);
}

static void run_dispatch_ops(struct backend *b, void *arg)
{
    const struct route *const p = arg;
    const struct moe_order *const o = &p->o;
    b->moe_sort(b, o->off, o->src, o->place, p->experts, o->n_experts, o->top_k, p->m);
    b->rows_gather(b, p->y, p->x.dtype, p->x, o->src, o->top_k, p->d, p->m * o->top_k);
}

static void outputs_init(struct route *p)
{
    const int64_t n = p->m * p->o.top_k;
    p->experts = op_ints(n);
    p->weights = op_floats(n);
    p->logits = op_floats(p->m * p->o.n_experts);
    p->o.off = op_ints(p->o.n_experts + 1);
    p->o.src = op_ints(n);
    p->o.place = op_ints(n);
    p->y = op_bytes((size_t)(n * p->d) * dtype_bytes(p->x.dtype));
}

/* shape: E, K, D, m */
static void route_init(struct route *p, const int64_t *shape, enum dtype x_dtype)
{
    const int64_t e = shape[0], d = shape[2], m = shape[3];
    const int64_t n_packed = weight_n_elems(WEIGHT_PACKED, 1, e, d);
    op_seed((uint64_t)(e * 1000 + d + m));
    *p = (struct route){.d = d, .m = m};
    p->o.n_experts = e;
    p->o.top_k = shape[1];
    void *const x = op_bytes((size_t)(m * d) * dtype_bytes(x_dtype));
    for (int64_t i = 0; i < m * d; i++)
        dtype_put(x, x_dtype, i, op_random());
    p->x = (struct rows){x, x_dtype};
    void *const plain = op_bytes((size_t)(e * d) * 2);
    void *const packed = op_bytes((size_t)n_packed * 2);
    memset(packed, 0, (size_t)n_packed * 2);
    for (int64_t i = 0; i < e * d; i++) {
        const float v = op_random();
        dtype_put(plain, DTYPE_BF16, i, v);
        dtype_put(packed, DTYPE_BF16,
                  weight_index(WEIGHT_PACKED, e, d, 0, i / d, i % d), v);
    }
    p->plain = (struct weight){plain, DTYPE_BF16, WEIGHT_PLAIN, 1, e, d};
    p->packed = (struct weight){packed, DTYPE_BF16, WEIGHT_PACKED, 1, e, d};
    outputs_init(p);
}

static const int64_t shapes[][4] = {
    {1, 1, 16, 1},   {4, 2, 33, 0},    {4, 2, 33, 5},     {8, 8, 64, 17},
    {16, 2, 80, 64}, {100, 3, 48, 33}, {256, 2, 1024, 3}, {300, 1, 32, 40},
    {5, 3, 24, 341}, {5, 3, 24, 342},  {6, 2, 20, 700}};

static void test_route(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * ARRAY_LEN(shapes); i++) {
        struct route fused, ops;
        route_init(&fused, shapes[i / 2], i % 2 ? DTYPE_BF16 : DTYPE_F32);
        ops = fused;
        outputs_init(&ops);
        op_run_best(run_route, &fused);
        op_run_best(run_route_ops, &ops);
        const int64_t n = ops.m * ops.o.top_k;
        op_assert_bits(fused.logits, ops.logits, ops.m * ops.o.n_experts, "logits");
        op_assert_bits(fused.weights, ops.weights, n, "weights");
        assert_memory_equal(fused.experts, ops.experts, (size_t)n * sizeof(int32_t));
        op_release(NULL);
    }
}

static void check_dispatch(const struct route *fused, const struct route *ops)
{
    const int64_t n = ops->m * ops->o.top_k;
    const size_t bytes = (size_t)n * sizeof(int32_t);
    assert_memory_equal(fused->o.off, ops->o.off,
                        (size_t)(ops->o.n_experts + 1) * sizeof(int32_t));
    assert_memory_equal(fused->o.src, ops->o.src, bytes);
    assert_memory_equal(fused->o.place, ops->o.place, bytes);
    assert_memory_equal(fused->y, ops->y,
                        (size_t)(n * ops->d) * dtype_bytes(ops->x.dtype));
}

static void test_dispatch(void **state)
{
    (void)state;
    for (int i = 0; i < 6 * ARRAY_LEN(shapes); i++) {
        struct route fused, ops;
        route_init(&fused, shapes[i / 6], i % 2 ? DTYPE_BF16 : DTYPE_F32);
        const int64_t n = fused.m * fused.o.top_k, e = fused.o.n_experts;
        for (int64_t j = 0; j < n; j++) /* any, all to the first, all to the last */
            fused.experts[j] = (int32_t)(i / 2 % 3 == 0   ? op_below(e)
                                         : i / 2 % 3 == 1 ? 0
                                                          : e - 1);
        ops = fused;
        outputs_init(&ops);
        memcpy(ops.experts, fused.experts, (size_t)n * sizeof(int32_t));
        op_run_best(run_dispatch, &fused);
        op_run_best(run_dispatch_ops, &ops);
        check_dispatch(&fused, &ops);
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_route), OP_TEST(test_dispatch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
