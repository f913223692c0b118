/*
 * The matrix products of the CPU backend: every result is compared bit for bit with one
 * scalar fma chain per element, over instruction sets, thread counts, row counts,
 * groupings and weight dtypes; exact integers and a double reference guard the oracle
 * itself. All buffers lie between guard bands.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "cpu/cpu.h"

enum { GUARD = 64, MAX_MATS = 70, SEED = 20240607 };
static const float guard_value = -123456.75f;

/* One product in three forms: y = x W^T, dx = dy W, dw += dy^T x. */
struct problem {
    int64_t n_mats, n, k, m;
    int32_t off[MAX_MATS + 1];
    struct weight w;
    void *data;      /* of w */
    float *plain;    /* (E, n, k), the same values */
    float *x, *dy;   /* (m, k), (m, n) */
    float *dw_start; /* packed */
};

/* Outputs, each after GUARD floats and followed by as many. */
struct result {
    float *y, *dx, *dw;
    int64_t n_y, n_dx, n_dw;
};

static uint64_t rng_state;

static uint32_t random_bits(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng_state >> 33);
}

static float random_float(void)
{
    return (float)((int32_t)(random_bits() & 0xffffff) - 0x800000) * 0x1p-22f;
}

static float random_small_int(void)
{
    return (float)((int32_t)(random_bits() % 9) - 4);
}

static float *random_array(int64_t n, float (*value)(void))
{
    float *const p = mem_alloc((size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        p[i] = value();
    return p;
}

static void problem_init(struct problem *p, int64_t n_mats, int64_t n, int64_t k,
                         int64_t m, enum dtype dtype, float (*value)(void))
{
    const int64_t n_w = weight_n_elems(WEIGHT_PACKED, n_mats, n, k);
    rng_state = SEED + (uint64_t)(n * 1000003 + k * 1009 + m);
    *p = (struct problem){.n_mats = n_mats, .n = n, .k = k, .m = m};
    p->data = mem_alloc((size_t)n_w * dtype_bytes(dtype));
    p->plain = mem_alloc((size_t)(n_mats * n * k) * sizeof(float));
    p->dw_start = mem_alloc((size_t)n_w * sizeof(float));
    p->w = (struct weight){p->data, dtype, WEIGHT_PACKED, n_mats, n, k};
    for (int64_t i = 0; i < n_mats * n * k; i++) {
        const int64_t e = i / (n * k), j = i / k % n;
        const int64_t at = weight_index(WEIGHT_PACKED, n, k, e, j, i % k);
        dtype_put(p->data, dtype, at, value());
        p->plain[i] = dtype_get(p->data, dtype, at);
        p->dw_start[at] = value();
    }
    p->x = random_array(m * k, value);
    p->dy = random_array(m * n, value);
    p->off[n_mats] = (int32_t)m;
}

static void problem_release(struct problem *p)
{
    mem_free(p->data);
    mem_free(p->plain);
    mem_free(p->x);
    mem_free(p->dy);
    mem_free(p->dw_start);
}

static float *guarded(int64_t n)
{
    float *const p = mem_alloc((size_t)(n + 2 * GUARD) * sizeof(float));
    for (int64_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = guard_value;
    return p + GUARD;
}

static void assert_guards(const float *p, int64_t n)
{
    for (int64_t i = 0; i < GUARD; i++) {
        assert_true(p[-1 - i] == guard_value);
        assert_true(p[n + i] == guard_value);
    }
}

static void result_init(struct result *r, const struct problem *p)
{
    r->n_y = p->m * p->n;
    r->n_dx = p->m * p->k;
    r->n_dw = weight_n_elems(WEIGHT_PACKED, p->n_mats, p->n, p->k);
    r->y = guarded(r->n_y);
    r->dx = guarded(r->n_dx);
    r->dw = guarded(r->n_dw);
    memcpy(r->dw, p->dw_start, (size_t)r->n_dw * sizeof(float));
}

static void result_release(struct result *r)
{
    mem_free(r->y - GUARD);
    mem_free(r->dx - GUARD);
    mem_free(r->dw - GUARD);
}

static void solve(struct result *r, struct backend *b, const struct problem *p)
{
    const int32_t *const off = p->n_mats == 1 ? NULL : p->off;
    b->gemm_fwd(b, r->y, rows_f32(p->x), &p->w, off, p->m);
    b->gemm_dx(b, r->dx, rows_f32(p->dy), &p->w, off, p->m);
    b->gemm_dw(b, r->dw, rows_f32(p->dy), rows_f32(p->x), &p->w, off, p->m);
    assert_guards(r->y, r->n_y);
    assert_guards(r->dx, r->n_dx);
    assert_guards(r->dw, r->n_dw);
}

static void solve_by_chains(struct result *r, const struct problem *p)
{
    for (int64_t e = 0; e < p->n_mats; e++) {
        const float *const w = p->plain + e * p->n * p->k;
        const int64_t r0 = p->off[e], r1 = p->off[e + 1];
        for (int64_t row = r0; row < r1; row++) {
            const float *const x = p->x + row * p->k, *const dy = p->dy + row * p->n;
            float *const y = r->y + row * p->n, *const dx = r->dx + row * p->k;
            for (int64_t j = 0; j < p->n; j++)
                y[j] = 0;
            for (int64_t i = 0; i < p->k; i++)
                dx[i] = 0;
            for (int64_t j = 0; j < p->n; j++)
                for (int64_t i = 0; i < p->k; i++) {
                    float *const dw = r->dw +
                                      weight_index(WEIGHT_PACKED, p->n, p->k, e, j, i);
                    y[j] = fmaf(x[i], w[j * p->k + i], y[j]);
                    dx[i] = fmaf(dy[j], w[j * p->k + i], dx[i]);
                    *dw = fmaf(dy[j], x[i], *dw);
                }
        }
    }
}

static void assert_same_bits(const struct result *a, const struct result *b)
{
    assert_memory_equal(a->y, b->y, (size_t)a->n_y * sizeof(float));
    assert_memory_equal(a->dx, b->dx, (size_t)a->n_dx * sizeof(float));
    assert_memory_equal(a->dw, b->dw, (size_t)a->n_dw * sizeof(float));
}

/* false (and counted by the caller) where the machine lacks it */
static bool backend_open(struct backend *b, enum cpu_isa isa, int n_threads)
{
    if (isa > cpu_isa_best())
        return false;
    assert_int_equal(cpu_backend_init(b, isa, n_threads), 0);
    return true;
}

static void release_all(struct result *r, struct backend *b, struct problem *p)
{
    result_release(r);
    cpu_backend_release(b);
    problem_release(p);
}

/* The problem on every instruction set the machine has, against the scalar chains. */
static void check_all_isas(const struct problem *p, int n_threads)
{
    struct result want;
    result_init(&want, p);
    solve_by_chains(&want, p);
    for (int isa = CPU_ISA_PORTABLE; isa <= CPU_ISA_AVX512; isa++) {
        struct backend b;
        struct result got;
        if (!backend_open(&b, (enum cpu_isa)isa, n_threads)) {
            print_message("skipped: no %s\n", cpu_isa_name((enum cpu_isa)isa));
            continue;
        }
        result_init(&got, p);
        solve(&got, &b, p);
        assert_same_bits(&got, &want);
        result_release(&got);
        cpu_backend_release(&b);
    }
    result_release(&want);
}

static const int64_t odd_shapes[][2] = {{1, 1},    {1, 40},  {40, 1},   {8, 5},
                                        {31, 33},  {33, 31}, {64, 256}, {70, 300},
                                        {300, 70}, {130, 17}};

static void test_equals_scalar_chains(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 5, 7, 12, 13, 25, 61};
    for (int64_t i = 0; i < ARRAY_LEN(odd_shapes); i++)
        for (int64_t j = 0; j < ARRAY_LEN(rows); j++) {
            struct problem p;
            const enum dtype dtype = (enum dtype)((i + j) % 3);
            problem_init(&p, 1, odd_shapes[i][0], odd_shapes[i][1], rows[j], dtype,
                         random_float);
            check_all_isas(&p, 1 + (int)(j % 2));
            problem_release(&p);
        }
}

/* Rows beyond one block of steps (dw), outputs beyond one (dx), inputs (fwd). */
static void test_many_steps(void **state)
{
    (void)state;
    static const int64_t cases[][3] = {{20, 600, 9}, {600, 20, 9}, {40, 24, 530}};
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct problem p;
        problem_init(&p, 1, cases[i][0], cases[i][1], cases[i][2], DTYPE_F32,
                     random_float);
        check_all_isas(&p, 2);
        problem_release(&p);
    }
}

static void test_exact_integers(void **state)
{
    (void)state;
    struct problem p;
    struct backend b;
    struct result r;
    problem_init(&p, 1, 77, 301, 50, DTYPE_BF16, random_small_int);
    assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
    result_init(&r, &p);
    solve(&r, &b, &p);
    for (int64_t row = 0; row < p.m; row++)
        for (int64_t j = 0; j < p.n; j++) {
            int64_t sum = 0;
            for (int64_t i = 0; i < p.k; i++)
                sum += (int64_t)p.x[row * p.k + i] * (int64_t)p.plain[j * p.k + i];
            assert_true(r.y[row * p.n + j] == (float)sum);
        }
    for (int64_t row = 0; row < p.m; row++)
        for (int64_t i = 0; i < p.k; i++) {
            int64_t sum = 0;
            for (int64_t j = 0; j < p.n; j++)
                sum += (int64_t)p.dy[row * p.n + j] * (int64_t)p.plain[j * p.k + i];
            assert_true(r.dx[row * p.k + i] == (float)sum);
        }
    for (int64_t j = 0; j < p.n; j++)
        for (int64_t i = 0; i < p.k; i++) {
            const int64_t at = weight_index(WEIGHT_PACKED, p.n, p.k, 0, j, i);
            int64_t sum = (int64_t)p.dw_start[at];
            for (int64_t row = 0; row < p.m; row++)
                sum += (int64_t)p.dy[row * p.n + j] * (int64_t)p.x[row * p.k + i];
            assert_true(r.dw[at] == (float)sum);
        }
    release_all(&r, &b, &p);
}

/* A chain of n fmas is off by at most n u / (1 - n u) times the sum of magnitudes. */
static void test_close_to_double(void **state)
{
    (void)state;
    struct problem p;
    struct backend b;
    struct result r;
    problem_init(&p, 1, 100, 700, 40, DTYPE_F32, random_float);
    assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
    result_init(&r, &p);
    solve(&r, &b, &p);
    const double nu = (double)p.k * 0x1p-24, bound = nu / (1 - nu);
    for (int64_t row = 0; row < p.m; row++)
        for (int64_t j = 0; j < p.n; j++) {
            double sum = 0, magnitude = 0;
            for (int64_t i = 0; i < p.k; i++) {
                const double v = (double)p.x[row * p.k + i] *
                                 (double)p.plain[j * p.k + i];
                sum += v;
                magnitude += fabs(v);
            }
            assert_true(fabs((double)r.y[row * p.n + j] - sum) <= bound * magnitude);
        }
    release_all(&r, &b, &p);
}

static void test_threads_do_not_matter(void **state)
{
    (void)state;
    static const int64_t cases[][3] = {
        {256, 256, 1}, {96, 320, 4}, {320, 288, 130}, {64, 64, 1100}, {8, 256, 300}};
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct problem p;
        struct result r[4];
        problem_init(&p, 1, cases[i][0], cases[i][1], cases[i][2], DTYPE_F32,
                     random_float);
        for (int t = 0; t < 4; t++) {
            struct backend b;
            assert_true(backend_open(&b, CPU_ISA_AUTO, t == 3 ? 7 : t + 1));
            result_init(&r[t], &p);
            solve(&r[t], &b, &p);
            cpu_backend_release(&b);
            assert_same_bits(&r[t], &r[0]);
        }
        for (int t = 0; t < 4; t++)
            result_release(&r[t]);
        problem_release(&p);
    }
}

/* Rows row0 .. row0 + m - 1 alone give the bits they have in `all`. */
static void assert_rows_alone(const struct problem *p, struct backend *b,
                              const struct result *all, int64_t row0, int64_t m)
{
    struct problem part = *p;
    struct result r;
    part.m = m;
    result_init(&r, &part);
    b->gemm_fwd(b, r.y, rows_f32(p->x + row0 * p->k), &p->w, NULL, m);
    b->gemm_dx(b, r.dx, rows_f32(p->dy + row0 * p->n), &p->w, NULL, m);
    assert_guards(r.y, r.n_y);
    assert_guards(r.dx, r.n_dx);
    assert_memory_equal(r.y, all->y + row0 * p->n, (size_t)r.n_y * sizeof(float));
    assert_memory_equal(r.dx, all->dx + row0 * p->k, (size_t)r.n_dx * sizeof(float));
    result_release(&r);
}

static void check_rows_alone(const struct problem *p, struct backend *b)
{
    static const int64_t rows[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,   10,  11, 12,
                                   13, 14, 15, 16, 17, 31, 33, 64, 127, 129, 257};
    struct result all;
    result_init(&all, p);
    solve(&all, b, p);
    for (int64_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_rows_alone(p, b, &all, 0, rows[i]);
    for (int64_t row = 0; row < p->m; row += 37) /* one row, wherever it stood */
        assert_rows_alone(p, b, &all, row, 1);
    result_release(&all);
}

static void test_rows_are_independent(void **state)
{
    (void)state;
    for (int dtype = DTYPE_F32; dtype <= DTYPE_F16; dtype++) {
        struct problem p;
        problem_init(&p, 1, 150, 290, 257, (enum dtype)dtype, random_float);
        for (int isa = CPU_ISA_AVX2; isa <= CPU_ISA_AVX512; isa++) {
            struct backend b;
            if (!backend_open(&b, (enum cpu_isa)isa, 2))
                continue;
            check_rows_alone(&p, &b);
            cpu_backend_release(&b);
        }
        problem_release(&p);
    }
}

static void check_groups(struct problem *p, struct backend *b)
{
    struct result grouped, parts;
    result_init(&grouped, p);
    result_init(&parts, p);
    solve(&grouped, b, p);
    for (int64_t e = 0; e < p->n_mats; e++) {
        const int64_t r0 = p->off[e], m = p->off[e + 1] - r0;
        const int64_t at = e * weight_n_elems(WEIGHT_PACKED, 1, p->n, p->k);
        const float *const x = p->x + r0 * p->k, *const dy = p->dy + r0 * p->n;
        struct weight w = p->w;
        w.n_mats = 1;
        w.data = (const char *)p->w.data + (size_t)at * dtype_bytes(w.dtype);
        b->gemm_fwd(b, parts.y + r0 * p->n, rows_f32(x), &w, NULL, m);
        b->gemm_dx(b, parts.dx + r0 * p->k, rows_f32(dy), &w, NULL, m);
        b->gemm_dw(b, parts.dw + at, rows_f32(dy), rows_f32(x), &w, NULL, m);
    }
    assert_same_bits(&grouped, &parts);
    result_release(&grouped);
    result_release(&parts);
}

enum grouping { GROUPS_RANDOM, GROUPS_FIRST, GROUPS_LAST, GROUPS_SPARSE, N_GROUPINGS };

static void set_groups(struct problem *p, enum grouping how)
{
    int32_t rows[MAX_MATS] = {0};
    const uint32_t n = (uint32_t)p->n_mats;
    for (int64_t r = 0; r < p->m; r++)
        switch (how) {
        case GROUPS_RANDOM:
            rows[random_bits() % n]++;
            break;
        case GROUPS_FIRST:
            rows[0]++;
            break;
        case GROUPS_SPARSE: /* two of three stay empty, the last among them */
            rows[random_bits() % (n / 3) * 3]++;
            break;
        case GROUPS_LAST:
        case N_GROUPINGS:
            rows[n - 1]++;
            break;
        }
    for (int64_t e = 0; e < p->n_mats; e++)
        p->off[e + 1] = p->off[e] + rows[e];
}

static void test_groups_equal_separate_calls(void **state)
{
    (void)state;
    static const int64_t cases[][4] = {
        {3, 40, 70, 20}, {8, 96, 64, 200}, {64, 33, 48, 300}, {64, 64, 40, 10}};
    for (int64_t i = 0; i < ARRAY_LEN(cases) * N_GROUPINGS; i++) {
        const int64_t *const c = cases[i / N_GROUPINGS];
        struct problem p;
        struct backend b;
        problem_init(&p, c[0], c[1], c[2], c[3], (enum dtype)(i % 3), random_float);
        set_groups(&p, (enum grouping)(i % N_GROUPINGS));
        assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
        check_groups(&p, &b);
        cpu_backend_release(&b);
        problem_release(&p);
    }
}

static void test_groups_equal_scalar_chains(void **state)
{
    (void)state;
    for (int how = 0; how < N_GROUPINGS; how++) {
        struct problem p;
        problem_init(&p, 9, 37, 41, 60, (enum dtype)(how % 3), random_float);
        set_groups(&p, (enum grouping)how);
        check_all_isas(&p, 3);
        problem_release(&p);
    }
}

static void test_dw_continues_over_calls(void **state)
{
    (void)state;
    static const int64_t cuts[] = {0, 1, 2, 7, 20, 21, 150, 300, 555};
    struct problem p;
    struct backend b;
    struct result whole, split;
    problem_init(&p, 1, 70, 90, 555, DTYPE_F32, random_float);
    assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
    result_init(&whole, &p);
    result_init(&split, &p);
    b.gemm_dw(&b, whole.dw, rows_f32(p.dy), rows_f32(p.x), &p.w, NULL, p.m);
    for (int64_t i = 0; i + 1 < ARRAY_LEN(cuts); i++)
        b.gemm_dw(&b, split.dw, rows_f32(p.dy + cuts[i] * p.n),
                  rows_f32(p.x + cuts[i] * p.k), &p.w, NULL, cuts[i + 1] - cuts[i]);
    assert_same_bits(&whole, &split);
    result_release(&whole);
    result_release(&split);
    cpu_backend_release(&b);
    problem_release(&p);
}

static void test_narrow_weights_equal_wide_ones(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 4, 9, 40};
    struct backend b;
    assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
    for (int64_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
        const enum dtype dtype = i % 2 ? DTYPE_BF16 : DTYPE_F16;
        const int64_t n_w = weight_n_elems(WEIGHT_PACKED, 1, 200, 300);
        struct problem p;
        struct result narrow, wide;
        problem_init(&p, 1, 200, 300, rows[i / 2], dtype, random_float);
        result_init(&narrow, &p);
        result_init(&wide, &p);
        solve(&narrow, &b, &p);
        float *const widened = mem_alloc((size_t)n_w * sizeof(float));
        dtype_widen(widened, p.data, dtype, n_w);
        p.w.data = widened;
        p.w.dtype = DTYPE_F32;
        solve(&wide, &b, &p);
        assert_same_bits(&narrow, &wide);
        result_release(&narrow);
        result_release(&wide);
        mem_free(widened);
        problem_release(&p);
    }
    cpu_backend_release(&b);
}

static void test_no_rows(void **state)
{
    (void)state;
    for (int64_t n_mats = 1; n_mats <= 5; n_mats += 4) {
        struct problem p;
        struct backend b;
        struct result r;
        problem_init(&p, n_mats, 40, 50, 0, DTYPE_F32, random_float);
        assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
        result_init(&r, &p);
        solve(&r, &b, &p);
        assert_memory_equal(r.dw, p.dw_start, (size_t)r.n_dw * sizeof(float));
        release_all(&r, &b, &p);
    }
}

/* Optimisers run over whole panels: what a NaN or infinite input does to the outputs
 * must not reach the padding lanes. */
static void test_padding_stays_zero(void **state)
{
    (void)state;
    struct problem p;
    struct backend b;
    struct result r;
    problem_init(&p, 2, 41, 30, 20, DTYPE_F32, random_float);
    set_groups(&p, GROUPS_RANDOM);
    p.x[5] = NAN;
    p.x[70] = INFINITY;
    assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
    result_init(&r, &p);
    solve(&r, &b, &p);
    for (int64_t i = 0; i < r.n_dw; i++) {
        const int64_t panel = i / WEIGHT_PANEL / p.k % 2;
        if (panel * WEIGHT_PANEL + i % WEIGHT_PANEL >= p.n)
            assert_true(r.dw[i] == 0 && !signbit(r.dw[i]));
    }
    release_all(&r, &b, &p);
}

static void test_allocates_nothing(void **state)
{
    (void)state;
    struct problem p;
    struct backend b;
    struct result r;
    problem_init(&p, 8, 96, 300, 500, DTYPE_BF16, random_float);
    set_groups(&p, GROUPS_RANDOM);
    assert_true(backend_open(&b, CPU_ISA_AUTO, 2));
    result_init(&r, &p);
    const int64_t before = mem_count();
    solve(&r, &b, &p);
    assert_int_equal(mem_count(), before);
    release_all(&r, &b, &p);
}

static void test_backend_frame(void **state)
{
    (void)state;
    struct backend b = {0};
    void *p = NULL;
    cpu_backend_release(NULL);
    cpu_backend_release(&b);
    assert_int_equal(cpu_backend_init(&b, CPU_ISA_AUTO, -1), ERR_CONFIG);
    if (cpu_isa_best() < CPU_ISA_AVX512)
        assert_int_equal(cpu_backend_init(&b, CPU_ISA_AVX512, 1), ERR_CONFIG);
    assert_int_equal(cpu_backend_init(&b, CPU_ISA_PORTABLE, 3), 0);
    assert_string_equal(b.name, "cpu (portable, 3 threads)");
    assert_int_equal(b.reserve(&b, &p, 4096, "a test"), 0);
    assert_int_equal(((const char *)p)[4095], 0);
    b.release(&b, p, 4096);
    cpu_backend_release(&b);
    assert_null(b.state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backend_frame),
        cmocka_unit_test(test_exact_integers),
        cmocka_unit_test(test_close_to_double),
        cmocka_unit_test(test_equals_scalar_chains),
        cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_groups_equal_separate_calls),
        cmocka_unit_test(test_groups_equal_scalar_chains),
        cmocka_unit_test(test_dw_continues_over_calls),
        cmocka_unit_test(test_narrow_weights_equal_wide_ones),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_padding_stays_zero),
        cmocka_unit_test(test_allocates_nothing),
    };
    print_message("seed %d\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
