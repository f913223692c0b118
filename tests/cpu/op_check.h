/*
 * What the tests of the ops share: buffers between guard bands that start as NaN, small
 * random numbers, comparison of bits and within limits, slopes of a double reference,
 * and op_all: one op call on every instruction set and on 1, 2 and 3 threads, all
 * equal in bits.
 */
#ifndef TESTS_CPU_OP_CHECK_H
#define TESTS_CPU_OP_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/ops.h"
#include "core/tensor.h"
#include "cpu/cpu.h"
#include "tests/tol.h"

#define OP_FN static inline __attribute__((unused))

enum { OP_GUARD = 64, OP_MAX_BUFFERS = 4096 };

struct op_buffer {
    unsigned char *base;
    size_t bytes; /* between the guards */
};
static struct op_buffer op_buffers[OP_MAX_BUFFERS];
static int64_t op_n_buffers;
static uint64_t op_rng = 1;

OP_FN void op_seed(uint64_t seed) { op_rng = seed * 2654435761u + 1; }

OP_FN uint32_t op_bits(void)
{
    op_rng = op_rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(op_rng >> 33);
}

OP_FN int64_t op_below(int64_t n) { return (int64_t)(op_bits() % (uint32_t)n); }
/* in [-2, 2), 23 bits */
OP_FN float op_random(void)
{
    return (float)((int32_t)(op_bits() & 0xffffff) - 0x800000) * 0x1p-22f;
}
OP_FN float op_small_int(void) { return (float)(op_below(9) - 4); }

/* Filled with 0xff: NaN as floats, -1 as integers */
OP_FN void *op_bytes(size_t bytes)
{
    assert_true(op_n_buffers < OP_MAX_BUFFERS);
    unsigned char *const base = mem_alloc(bytes + 2 * OP_GUARD);
    memset(base, 0xa5, bytes + 2 * OP_GUARD);
    memset(base + OP_GUARD, 0xff, bytes);
    op_buffers[op_n_buffers++] = (struct op_buffer){.base = base, .bytes = bytes};
    return base + OP_GUARD;
}

OP_FN float *op_floats(int64_t n) { return op_bytes((size_t)n * sizeof(float)); }
OP_FN int32_t *op_ints(int64_t n) { return op_bytes((size_t)n * sizeof(int32_t)); }
OP_FN double *op_doubles(int64_t n) { return op_bytes((size_t)n * sizeof(double)); }

OP_FN float *op_filled(int64_t n, float (*value)(void))
{
    float *const p = op_floats(n);
    for (int64_t i = 0; i < n; i++)
        p[i] = value();
    return p;
}

OP_FN float *op_constant(int64_t n, float value)
{
    float *const p = op_floats(n);
    for (int64_t i = 0; i < n; i++)
        p[i] = value;
    return p;
}

OP_FN void op_check_guards(void)
{
    for (int64_t i = 0; i < op_n_buffers; i++)
        for (int64_t j = 0; j < OP_GUARD; j++) {
            const struct op_buffer *const b = &op_buffers[i];
            assert_int_equal(b->base[j], 0xa5);
            assert_int_equal(b->base[OP_GUARD + b->bytes + (size_t)j], 0xa5);
        }
}

/* The teardown of every test */
OP_FN int op_release(void **state)
{
    (void)state;
    op_check_guards();
    for (int64_t i = 0; i < op_n_buffers; i++)
        mem_free(op_buffers[i].base);
    op_n_buffers = 0;
    return 0;
}
#define OP_TEST(f) cmocka_unit_test_teardown(f, op_release)

OP_FN uint32_t op_float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

OP_FN void op_assert_bits(const float *got, const float *want, int64_t n,
                          const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (op_float_bits(got[i]) != op_float_bits(want[i]))
            fail_msg("%s[%lld]: %a, expected %a", what, (long long)i, (double)got[i],
                     (double)want[i]);
}

OP_FN void op_assert_close(double got, double want, double limit, const char *what,
                           int64_t i)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%s[%lld]: %.9g, expected %.9g +- %.3g", what, (long long)i, got, want,
                 limit);
}

/* d f / d *x by central differences */
OP_FN double op_slope(double (*f)(void *), void *arg, double *x)
{
    const double at = *x;
    *x = at + tol_slope_step;
    const double above = f(arg);
    *x = at - tol_slope_step;
    const double below = f(arg);
    *x = at;
    return (above - below) / (2 * tol_slope_step);
}

/* One memory region that the op writes (or adds to). */
struct op_out {
    void *data;
    size_t bytes;
};

typedef void (*op_run_fn)(struct backend *b, void *arg);

OP_FN struct op_out op_out(float *p, int64_t n)
{
    return (struct op_out){.data = p, .bytes = (size_t)n * sizeof(float)};
}

/* The backend that single runs use: the best instruction set */
OP_FN void op_run_best(op_run_fn run, void *arg)
{
    struct backend b;
    assert_int_equal(cpu_backend_init(&b, CPU_ISA_AUTO, 2), 0);
    run(&b, arg);
    cpu_backend_release(&b);
    op_check_guards();
}

/* Runs on all instruction sets and 1, 2, 3 threads from the same start; checks that
 * the outputs are equal in bits and the guards whole. Leaves the outputs written. */
OP_FN void op_all(op_run_fn run, void *arg, const struct op_out *outs, int n_outs)
{
    enum { MAX_OUTS = 8 };
    char *start[MAX_OUTS], *first[MAX_OUTS];
    assert_true(n_outs <= MAX_OUTS);
    for (int i = 0; i < n_outs; i++) {
        start[i] = mem_alloc(outs[i].bytes);
        first[i] = mem_alloc(outs[i].bytes);
        memcpy(start[i], outs[i].data, outs[i].bytes);
    }
    bool is_first = true;
    for (enum cpu_isa isa = CPU_ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
        for (int threads = 1; threads <= 3; threads++) {
            struct backend b;
            assert_int_equal(cpu_backend_init(&b, isa, threads), 0);
            for (int i = 0; i < n_outs; i++)
                memcpy(outs[i].data, start[i], outs[i].bytes);
            run(&b, arg);
            for (int i = 0; i < n_outs; i++) {
                if (is_first)
                    memcpy(first[i], outs[i].data, outs[i].bytes);
                else if (memcmp(first[i], outs[i].data, outs[i].bytes) != 0)
                    fail_msg("output %d differs: %s, %d threads", i, cpu_isa_name(isa),
                             threads);
            }
            is_first = false;
            cpu_backend_release(&b);
        }
    op_check_guards();
    for (int i = 0; i < n_outs; i++) {
        mem_free(start[i]);
        mem_free(first[i]);
    }
}

/* The row rule of core/ops.h, plainly: 16 lanes, then halves folded */
OP_FN float op_row_sum(const float *a, const float *b, int64_t n)
{
    float lanes[16] = {0};
    for (int64_t i = 0; i < n; i++)
        lanes[i % 16] = b != NULL ? fmaf(a[i], b[i], lanes[i % 16])
                                  : lanes[i % 16] + a[i];
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}

#endif
