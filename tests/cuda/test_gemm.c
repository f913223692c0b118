/*
 * The exact matrix products on the GPU against the CPU's, bit for bit: PLAIN weights
 * here, the same values PACKED there; plain and grouped, all dtypes, every tile; twice
 * the same; a row alone and in any batch.
 */
#include "tests/cuda/on_cuda.h"

enum { MAX_MATS = 70 };

struct problem {
    int64_t n_mats, n, k, m;
    int32_t *off; /* (n_mats + 1) */
    struct weight plain, packed;
    float *x, *dy, *dw;                /* (m, k), (m, n); like plain: where dw starts */
    float *y, *dx, *dw_out;            /* results, poisoned */
    float *want_y, *want_dx, *want_dw; /* the last like packed */
};

enum grouping { GROUPS_RANDOM, GROUPS_FIRST, GROUPS_LAST, GROUPS_SPARSE, N_GROUPINGS };

static void set_groups(struct problem *p, enum grouping how)
{
    int64_t rows[MAX_MATS] = {0};
    for (int64_t r = 0; r < p->m; r++)
        switch (how) {
        case GROUPS_RANDOM:
            rows[op_below(p->n_mats)]++;
            break;
        case GROUPS_FIRST:
            rows[0]++;
            break;
        case GROUPS_SPARSE: /* two of three stay empty */
            rows[op_below((p->n_mats + 2) / 3) * 3 % p->n_mats]++;
            break;
        case GROUPS_LAST:
        case N_GROUPINGS:
            rows[p->n_mats - 1]++;
            break;
        }
    p->off[0] = 0;
    for (int64_t e = 0; e < p->n_mats; e++)
        p->off[e + 1] = p->off[e] + (int32_t)rows[e];
}

static void problem_init(struct problem *p, const int64_t *dims, enum dtype dtype,
                         enum grouping how)
{
    const int64_t n_mats = dims[0], n = dims[1], k = dims[2], m = dims[3];
    const int64_t n_plain = n_mats * n * k;
    const int64_t n_packed = weight_n_elems(WEIGHT_PACKED, n_mats, n, k);
    op_seed((uint64_t)(n * 1000003 + k * 1009 + m));
    *p = (struct problem){.n_mats = n_mats, .n = n, .k = k, .m = m};
    char *const plain = op_bytes((size_t)n_plain * dtype_bytes(dtype));
    char *const packed = op_bytes((size_t)n_packed * dtype_bytes(dtype));
    memset(packed, 0, (size_t)n_packed * dtype_bytes(dtype));
    p->plain = (struct weight){plain, dtype, WEIGHT_PLAIN, n_mats, n, k};
    p->packed = (struct weight){packed, dtype, WEIGHT_PACKED, n_mats, n, k};
    p->off = op_ints(n_mats + 1);
    set_groups(p, how);
    p->x = op_filled(m * k, op_random);
    p->dy = op_filled(m * n, op_random);
    p->dw = op_filled(n_plain, op_random);
    p->y = op_floats(m * n);
    p->dx = op_floats(m * k);
    p->dw_out = op_floats(n_plain);
    p->want_y = op_floats(m * n);
    p->want_dx = op_floats(m * k);
    p->want_dw = op_constant(n_packed, 0);
    for (int64_t i = 0; i < n_plain; i++) {
        const int64_t at = weight_index(WEIGHT_PACKED, n, k, i / (n * k), i / k % n,
                                        i % k);
        dtype_put(plain, dtype, i, op_random());
        dtype_put(packed, dtype, at, dtype_get(plain, dtype, i));
        p->want_dw[at] = p->dw[i];
    }
    memcpy(p->dw_out, p->dw, (size_t)n_plain * sizeof(float));
}

static void solve_on_cpu(struct problem *p)
{
    struct backend b;
    const int32_t *const off = p->n_mats > 1 ? p->off : NULL;
    assert_int_equal(cpu_backend_init(&b, CPU_ISA_AUTO, 2), 0);
    b.gemm_fwd(&b, p->want_y, rows_f32(p->x), &p->packed, off, p->m);
    b.gemm_dx(&b, p->want_dx, rows_f32(p->dy), &p->packed, off, p->m);
    b.gemm_dw(&b, p->want_dw, rows_f32(p->dy), rows_f32(p->x), &p->packed, off, p->m);
    cpu_backend_release(&b);
}

static void solve(struct backend *b, void *arg)
{
    const struct problem *const p = arg;
    const int32_t *const off = p->n_mats > 1 ? p->off : NULL;
    b->gemm_fwd(b, p->y, rows_f32(p->x), &p->plain, off, p->m);
    b->gemm_dx(b, p->dx, rows_f32(p->dy), &p->plain, off, p->m);
    b->gemm_dw(b, p->dw_out, rows_f32(p->dy), rows_f32(p->x), &p->plain, off, p->m);
}

static void check(const struct problem *p)
{
    op_assert_bits(p->y, p->want_y, p->m * p->n, "y");
    op_assert_bits(p->dx, p->want_dx, p->m * p->k, "dx");
    for (int64_t i = 0; i < p->n_mats * p->n * p->k; i++) {
        const int64_t at = weight_index(WEIGHT_PACKED, p->n, p->k, i / (p->n * p->k),
                                        i / p->k % p->n, i % p->k);
        op_assert_bits(&p->dw_out[i], &p->want_dw[at], 1, "dw");
    }
}

/* Shapes for each tile of the plan, ends inside a tile, and the smallest */
static void test_equals_cpu(void **state)
{
    (void)state;
    static const int64_t cases[][4] = {
        {1, 1, 1, 1},     {1, 33, 17, 3},     {1, 32, 16, 16},     {1, 65, 130, 64},
        {1, 300, 77, 17}, {1, 128, 128, 200}, {1, 1024, 96, 3000}, {1, 96, 1100, 2900},
        {1, 50, 301, 77}, {1, 31, 40, 0},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        struct problem p;
        problem_init(&p, cases[i], (enum dtype)(i % 3), GROUPS_FIRST);
        solve_on_cpu(&p);
        op_run_best(solve, &p);
        check(&p);
        op_release(NULL);
    }
}

static void test_groups(void **state)
{
    (void)state;
    static const int64_t cases[][4] = {
        {3, 40, 70, 20},    {8, 96, 64, 200},   {64, 33, 48, 300}, {64, 64, 40, 10},
        {16, 256, 640, 60}, {4, 160, 48, 2000}, {9, 37, 41, 0}};
    for (int i = 0; i < ARRAY_LEN(cases) * N_GROUPINGS; i++) {
        struct problem p;
        problem_init(&p, cases[i / N_GROUPINGS], (enum dtype)(i % 3),
                     (enum grouping)(i % N_GROUPINGS));
        solve_on_cpu(&p);
        op_run_best(solve, &p);
        check(&p);
        op_release(NULL);
    }
}

/* Rows 0 .. m - 1 and the last m rows of a large batch, alone, for every m */
static void test_rows_are_independent(void **state)
{
    (void)state;
    static const int64_t dims[] = {1, 200, 90, 3000};
    static const int64_t rows[] = {1,  2,  3,   4,   5,   6,   7,    8,   9,
                                   10, 11, 12,  13,  14,  15,  16,   17,  31,
                                   33, 64, 127, 129, 255, 257, 1000, 3000};
    struct problem all;
    problem_init(&all, dims, DTYPE_BF16, GROUPS_FIRST);
    op_run_best(solve, &all);
    float *const y = op_floats(all.m * all.n), *const dx = op_floats(all.m * all.k);
    for (int i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        struct problem part = all;
        const int64_t m = rows[i / 2], row0 = i % 2 ? all.m - m : 0;
        part.m = m;
        part.x += row0 * all.k;
        part.dy += row0 * all.n;
        part.y = y;
        part.dx = dx;
        op_run_best(solve, &part);
        op_assert_bits(y, all.y + row0 * all.n, m * all.n, "y");
        op_assert_bits(dx, all.dx + row0 * all.k, m * all.k, "dx");
    }
}

/* Two calls on parts of the rows give the bits of one. */
static void test_dw_continues(void **state)
{
    (void)state;
    static const int64_t dims[] = {1, 70, 90, 555};
    static const int64_t cuts[] = {0, 1, 2, 7, 20, 21, 150, 300, 555};
    struct problem p;
    problem_init(&p, dims, DTYPE_F32, GROUPS_FIRST);
    solve_on_cpu(&p);
    for (int i = 0; i + 1 < ARRAY_LEN(cuts); i++) {
        struct problem part = p;
        part.m = cuts[i + 1] - cuts[i];
        part.x += cuts[i] * p.k;
        part.dy += cuts[i] * p.n;
        part.y += cuts[i] * p.n;
        part.dx += cuts[i] * p.k;
        op_run_best(solve, &part);
    }
    check(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_equals_cpu),
        OP_TEST(test_groups),
        OP_TEST(test_rows_are_independent),
        OP_TEST(test_dw_continues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
