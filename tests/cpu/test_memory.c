/*
 * Sums, zeroing and copies, around the sizes at which they are cut for threads.
 */
#include "tests/cpu/op_check.h"

struct memory {
    float *y;
    const float *a, *c;
    size_t bytes;
    int64_t n;
};

static void run_add(struct backend *b, void *arg)
{
    const struct memory *const p = arg;
    b->add(b, p->y, p->a, p->c, p->n);
}

static void run_zero(struct backend *b, void *arg)
{
    const struct memory *const p = arg;
    b->zero(b, p->y, p->bytes);
}

static void run_copy(struct backend *b, void *arg)
{
    const struct memory *const p = arg;
    b->copy(b, p->y, p->a, p->bytes);
}

static void run_upload(struct backend *b, void *arg)
{
    const struct memory *const p = arg;
    b->upload(b, p->y, p->a, p->bytes);
}

static void run_download(struct backend *b, void *arg)
{
    const struct memory *const p = arg;
    b->download(b, p->y, p->a, p->bytes);
}

static const int64_t counts[] = {0, 1, 15, 17, 65536, 65537, 400001};

static void test_add(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(counts); i++) {
        const int64_t n = counts[i];
        struct memory p = {.y = op_floats(n),
                           .a = op_filled(n, op_random),
                           .c = op_filled(n, op_random),
                           .n = n};
        const struct op_out out = op_out(p.y, n);
        op_all(run_add, &p, &out, 1);
        for (int64_t j = 0; j < n; j++)
            assert_true(p.y[j] == p.a[j] + p.c[j]);
        const float *const want = p.y;
        p.y = op_floats(n);
        memcpy(p.y, p.a, (size_t)n * sizeof(float));
        p.a = p.y; /* in place */
        op_run_best(run_add, &p);
        op_assert_bits(p.y, want, n, "in place");
        op_release(NULL);
    }
}

static void test_move(void **state)
{
    (void)state;
    static const op_run_fn runs[] = {run_copy, run_upload, run_download};
    for (int i = 0; i < ARRAY_LEN(counts); i++) {
        const int64_t n = counts[i];
        struct memory p = {.y = op_floats(n),
                           .a = op_filled(n, op_random),
                           .bytes = (size_t)n * sizeof(float) - (n > 0 ? 1 : 0)};
        const struct op_out out = op_out(p.y, n);
        for (int k = 0; k < 3; k++) {
            memset(p.y, 0xff, (size_t)n * sizeof(float));
            op_all(runs[k], &p, &out, 1);
            assert_memory_equal(p.y, p.a, p.bytes);
            if (n > 0) /* the last byte was not asked for */
                assert_int_equal(((unsigned char *)p.y)[p.bytes], 0xff);
        }
        op_all(run_zero, &p, &out, 1);
        for (size_t j = 0; j < p.bytes; j++)
            assert_int_equal(((unsigned char *)p.y)[j], 0);
        if (n > 0)
            assert_int_equal(((unsigned char *)p.y)[p.bytes], 0xff);
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_add), OP_TEST(test_move)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
