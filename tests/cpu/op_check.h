/*
 * What the tests of the ops share: buffers between guard bands that start as NaN, small
 * random numbers, comparison of bits and within limits, slopes of a double reference,
 * and op_all: one op call on every instruction set and on 1, 2 and 3 threads, all
 * equal in bits. tests/cuda includes the same tests with a device in place of the CPU
 * (OP_DEVICE and its companions, tests/cuda/on_cuda.h): it has to give the CPU's bits.
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

#ifndef OP_DEVICE
#define OP_MEMORY(bytes) mem_alloc(bytes)
#define OP_MEMORY_FREE(p) mem_free(p)
#define OP_DEVICE NULL /* struct backend * */
#define OP_WAIT(b) ((void)(b))
#endif

enum { OP_GUARD = 64, OP_MAX_BUFFERS = 4096, OP_MAX_OUTS = 8 };

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
    unsigned char *const base = OP_MEMORY(bytes + 2 * OP_GUARD);
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
        OP_MEMORY_FREE(op_buffers[i].base);
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

/* Single runs: on the device, or the best instruction set */
OP_FN void op_run_best(op_run_fn run, void *arg)
{
    struct backend *const device = OP_DEVICE;
    struct backend cpu;
    if (device != NULL) {
        run(device, arg);
        OP_WAIT(device);
        op_check_guards();
        return;
    }
    assert_int_equal(cpu_backend_init(&cpu, CPU_ISA_AUTO, 2), 0);
    run(&cpu, arg);
    cpu_backend_release(&cpu);
    op_check_guards();
}

/* The bits of `got`, taken as 4-byte words, are those of `want`; any NaN is a NaN. */
OP_FN bool op_is_same(const void *got, const void *want, size_t bytes)
{
    if (memcmp(got, want, bytes) == 0)
        return true;
    for (size_t i = 0; i < bytes; i += sizeof(float)) {
        float a, b;
        const size_t n = bytes - i < sizeof(float) ? bytes - i : sizeof(float);
        if (memcmp((const char *)got + i, (const char *)want + i, n) == 0)
            continue;
        if (n < sizeof(float))
            return false;
        memcpy(&a, (const char *)got + i, n);
        memcpy(&b, (const char *)want + i, n);
        if (!isnan(a) || !isnan(b))
            return false;
    }
    return true;
}

struct op_all_run {
    const struct op_out *outs;
    int n_outs;
    char *start[OP_MAX_OUTS], *first[OP_MAX_OUTS];
    bool has_first;
};

/* From the same start; checks the outputs against those of the first run. */
OP_FN void op_run_again(struct op_all_run *a, op_run_fn run, void *arg,
                        struct backend *b)
{
    for (int i = 0; i < a->n_outs; i++)
        memcpy(a->outs[i].data, a->start[i], a->outs[i].bytes);
    run(b, arg);
    OP_WAIT(b);
    for (int i = 0; i < a->n_outs; i++) {
        if (!a->has_first)
            memcpy(a->first[i], a->outs[i].data, a->outs[i].bytes);
        else if (!op_is_same(a->outs[i].data, a->first[i], a->outs[i].bytes))
            fail_msg("output %d differs: %s", i, b->name);
    }
    a->has_first = true;
    op_check_guards();
}

/* Runs on all instruction sets and 1, 2, 3 threads from the same start (with a device:
 * on the best one, then twice there); checks that the outputs are equal in bits and the
 * guards whole. Leaves the outputs written. */
OP_FN void op_all(op_run_fn run, void *arg, const struct op_out *outs, int n_outs)
{
    struct backend *const device = OP_DEVICE;
    struct op_all_run a = {.outs = outs, .n_outs = n_outs};
    const enum cpu_isa lowest = device == NULL ? CPU_ISA_PORTABLE : cpu_isa_best();
    assert_true(n_outs <= OP_MAX_OUTS);
    for (int i = 0; i < n_outs; i++) {
        a.start[i] = mem_alloc(outs[i].bytes);
        a.first[i] = mem_alloc(outs[i].bytes);
        memcpy(a.start[i], outs[i].data, outs[i].bytes);
    }
    for (enum cpu_isa isa = lowest; isa <= cpu_isa_best(); isa++)
        for (int threads = device == NULL ? 1 : 3; threads <= 3; threads++) {
            struct backend b;
            assert_int_equal(cpu_backend_init(&b, isa, threads), 0);
            op_run_again(&a, run, arg, &b);
            cpu_backend_release(&b);
        }
    for (int i = 0; i < 2 && device != NULL; i++)
        op_run_again(&a, run, arg, device);
    for (int i = 0; i < n_outs; i++) {
        mem_free(a.start[i]);
        mem_free(a.first[i]);
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
