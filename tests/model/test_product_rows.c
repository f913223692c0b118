/*
 * Rows kept in the dtype that products round to: on a backend whose products of BF16
 * weights round their rows, log-probs, entropies and gradients have the same bits
 * whether the model keeps those rows as bf16 or as fp32, kept or recomputed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/model/small_model.h"

static struct backend cpu; /* the products behind those that round */

/* n values to bf16, if they are not yet; freed by the caller */
static struct rows rounded(struct rows x, int64_t n)
{
    void *const half = mem_alloc((size_t)n * 2 + 1);
    if (x.dtype == DTYPE_F32)
        dtype_narrow(half, DTYPE_BF16, x.data, n);
    else
        memcpy(half, x.data, (size_t)n * 2);
    return (struct rows){half, DTYPE_BF16};
}

static void release(struct rows x)
{
    union {
        const void *c;
        void *p;
    } data = {.c = x.data};
    mem_free(data.p);
}

static void rounding_fwd(struct backend *b, float *y, struct rows x,
                         const struct weight *w, const int32_t *off, int64_t m)
{
    const struct rows half = rounded(x, m * w->k);
    cpu.gemm_fwd(b, y, half, w, off, m);
    release(half);
}

static void rounding_dx(struct backend *b, float *dx, struct rows dy,
                        const struct weight *w, const int32_t *off, int64_t m)
{
    const struct rows half = rounded(dy, m * w->n);
    cpu.gemm_dx(b, dx, half, w, off, m);
    release(half);
}

static void rounding_dw(struct backend *b, float *dw, struct rows dy, struct rows x,
                        const struct weight *w, const int32_t *off, int64_t m)
{
    const struct rows half_dy = rounded(dy, m * w->n), half_x = rounded(x, m * w->k);
    cpu.gemm_dw(b, dw, half_dy, half_x, w, off, m);
    release(half_dy);
    release(half_x);
}

static void rounding_route(struct backend *b, int32_t *experts, float *weights,
                           float *logits, struct rows x, const struct weight *w,
                           int64_t top_k, int64_t m)
{
    rounding_fwd(b, logits, x, w, NULL, m);
    b->router_fwd(b, experts, weights, logits, w->n, top_k, m);
}

static void run(struct small_run *r, struct small_model *s, enum acts_mode mode,
                enum dtype product_rows)
{
    static const float aux[] = {0.5f, -0.25f, 1.0f, 0.125f, 0.75f, -1.0f, 2.0f, 0.0f};
    struct small_group g = {.n_prompt = 70, .n_samples = 3, .n_new = {3, 61, 20}};
    small_group_fill(&g, &s->m.hp, 50);
    s->b.product_rows = product_rows;
    assert_int_equal(small_run_init(r, &s->m, mode, 64), 0);
    assert_true(r->a.product_rows == product_rows);
    r->has_dent = true;
    r->aux_f = aux;
    r->z_coef = 0.01f;
    r->inv_temp = 1.5f;
    small_add_group(r, &g);
    small_step(r);
    model_grads_finish(r->m, &r->g);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int64_t k = 0; k < 2 * ARRAY_LEN(small_shapes); k++) {
        const enum acts_mode mode = k % 2 ? ACTS_RECOMPUTE : ACTS_KEEP;
        struct small_model s;
        struct small_run wide, half;
        assert_int_equal(small_model_init(&s, &small_shapes[k / 2], DTYPE_BF16, 11), 0);
        cpu = s.b;
        s.b.gemm_fwd = rounding_fwd;
        s.b.route_fwd = rounding_route;
        s.b.gemm_dx = rounding_dx;
        s.b.gemm_dw = rounding_dw;
        run(&wide, &s, mode, DTYPE_F32);
        run(&half, &s, mode, DTYPE_BF16);
        assert_memory_equal(wide.logp, half.logp, (size_t)wide.n * sizeof(float));
        assert_memory_equal(wide.entropy, half.entropy, (size_t)wide.n * sizeof(float));
        assert_memory_equal(wide.g.data, half.g.data,
                            (size_t)s.m.table.n_elems * sizeof(float));
        small_run_release(&wide);
        small_run_release(&half);
        small_model_release(&s);
    }
}

/* Weights of another dtype are multiplied exactly, and so are their rows. */
static void test_only_bf16(void **state)
{
    (void)state;
    struct small_model s;
    struct small_run r;
    assert_int_equal(small_model_init(&s, &small_shapes[0], DTYPE_F32, 11), 0);
    s.b.product_rows = DTYPE_BF16;
    assert_int_equal(small_run_init(&r, &s.m, ACTS_KEEP, 64), 0);
    assert_true(r.a.product_rows == DTYPE_F32);
    small_run_release(&r);
    small_model_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_only_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
