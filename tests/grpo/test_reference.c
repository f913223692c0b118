/*
 * The moving reference against the formula, share by share; what a checkpoint keeps of
 * it; small steps that the model's dtype alone would lose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>

#include "core/io.h"
#include "grpo/reference.h"
#include "tests/model/small_model.h"

static void assert_no_error(int status)
{
    if (status != STATUS_OK)
        fail_msg("%s", status_message());
}

struct fixture {
    struct small_model s;
    struct optim o;
    struct reference r;
    char *dir;
    int64_t n;
};

/* The reference starts as the model on disk, which is the policy before any update. */
static void start(struct fixture *f, enum dtype dtype)
{
    assert_int_equal(small_model_init(&f->s, &small_shapes[1], dtype, 3), 0);
    f->dir = mem_strdup("/tmp/moe_grpo_reference_XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->n = f->s.w.table.n_elems;
    assert_no_error(
        weights_save(f->dir, &f->s.w.hp, &f->s.w.table, f->s.w.data, dtype, NULL, 0));
    assert_no_error(
        optim_init(&f->o, &f->s.b, &f->s.w.table, f->s.w.data, dtype, OPTIM_ON_DEVICE));
    assert_no_error(reference_init(&f->r, f->dir, -1, &f->s.m));
    assert_memory_equal(f->r.weights.data, f->s.w.data,
                        (size_t)f->n * dtype_bytes(dtype));
    assert_false(f->r.is_moved);
}

static void stop(struct fixture *f)
{
    reference_release(&f->r);
    optim_release(&f->o);
    small_model_release(&f->s);
    assert_no_error(io_remove_tree(f->dir));
    mem_free(f->dir);
}

/* The policy moves away: element i by (i % 5 - 2) size */
static void move_policy(struct fixture *f, float size)
{
    for (int64_t i = 0; i < f->n; i++)
        f->o.master[i] += (float)(i % 5 - 2) * size;
}

static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};

static void test_move(void **state)
{
    (void)state;
    static const double shares[] = {0.6, 0.0, 0.01, 1.0};
    for (int64_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        struct fixture f;
        start(&f, dtypes[d]);
        double *const want = mem_alloc((size_t)f.n * sizeof(*want));
        for (int64_t i = 0; i < f.n; i++)
            want[i] = (double)dtype_get(f.s.w.data, dtypes[d], i);
        for (int64_t k = 0; k < ARRAY_LEN(shares); k++) {
            move_policy(&f, 0.125f);
            assert_no_error(reference_move(&f.r, &f.o, shares[k]));
            const float *const got = f.r.master != NULL ? f.r.master : f.r.weights.data;
            for (int64_t i = 0; i < f.n; i++) {
                want[i] = shares[k] * (double)f.o.master[i] +
                          (1.0 - shares[k]) * want[i];
                want[i] = (double)(float)want[i];
                assert_true(want[i] == (double)got[i]);
                float rounded = 0.0f;
                dtype_put(&rounded, dtypes[d], 0, got[i]);
                assert_true(dtype_get(f.r.weights.data, dtypes[d], i) ==
                            dtype_get(&rounded, dtypes[d], 0));
            }
        }
        assert_true(f.r.is_moved);
        mem_free(want);
        stop(&f);
    }
}

/* A thousand steps of 1/1000 of the way each arrive, in bf16 too. */
static void test_small_steps(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, DTYPE_BF16);
    const double from = (double)dtype_get(f.r.weights.data, DTYPE_BF16, 0);
    f.o.master[0] += 0.25f;
    for (int i = 0; i < 1000; i++)
        assert_no_error(reference_move(&f.r, &f.o, 1e-3));
    const double moved = (double)f.r.master[0] - from;
    assert_true(fabs(moved - 0.25 * (1.0 - pow(0.999, 1000))) <= 1e-4);
    stop(&f);
}

static void assert_same_values(const struct reference *a, const struct reference *b,
                               const char *dir)
{
    struct buf x = {0}, y = {0};
    char *const path = io_join(dir, "compared.safetensors");
    assert_no_error(reference_save(a, path));
    assert_no_error(io_read_file(&x, path, 1 << 24));
    assert_no_error(reference_save(b, path));
    assert_no_error(io_read_file(&y, path, 1 << 24));
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_release(&x);
    buf_release(&y);
    mem_free(path);
}

static void test_save(void **state)
{
    (void)state;
    for (int64_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        struct fixture f;
        struct reference again;
        start(&f, dtypes[d]);
        char *const path = io_join(f.dir, "ref.safetensors");
        move_policy(&f, 0.1f);
        assert_no_error(reference_move(&f.r, &f.o, 0.3));
        assert_no_error(reference_save(&f.r, path));
        char *const first = io_join(f.dir, "model");
        assert_no_error(io_mkdirs(first));
        assert_no_error(weights_save(first, &f.s.w.hp, &f.s.w.table, f.s.w.data,
                                     dtypes[d], NULL, 0));
        assert_no_error(reference_init(&again, first, -1, &f.s.m));
        assert_no_error(reference_load(&again, path));
        assert_true(again.is_moved);
        move_policy(&f, 0.1f);
        assert_no_error(reference_move(&f.r, &f.o, 0.3));
        assert_no_error(reference_move(&again, &f.o, 0.3));
        assert_same_values(&f.r, &again, f.dir); /* the arenas' padding is not kept */
        reference_release(&again);
        mem_free(first);
        mem_free(path);
        stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_small_steps),
        cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
