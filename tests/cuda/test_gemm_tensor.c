/*
 * The tensor-core products on a GPU: fwd, dx and dw of both kernels over one case
 * table. exact   small integers: every element equal to integer arithmetic close random
 * bf16 against double precision, within tol_tensor same    bits: two runs, all tiles of
 * the wgmma kernel, a row alone and among others, a batch cut in two (dw) poison  NaN
 * in one group's rows reaches no other group Outputs lie between guard bands and are
 * poisoned before each run. A failing case prints its first wrong element, the tile it
 * lies in, and how many are wrong. Without a GPU every test is skipped. Argument: a
 * name pattern ("wgmma_*").
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/status.h"
#include "tests/cuda/gemm_case.h"
#include "tests/tol.h"

static const struct gemm_case cases[] = {
    {1, 64, 64, 64, GROUPS_EVEN},
    {1, 256, 64, 128, GROUPS_EVEN},
    {1, 256, 256, 128, GROUPS_EVEN},
    {1, 8, 8, 1, GROUPS_EVEN},
    {1, 8, 64, 3, GROUPS_EVEN},
    {1, 264, 72, 129, GROUPS_EVEN},
    {1, 512, 1024, 300, GROUPS_EVEN},
    {1, 1000, 1024, 17, GROUPS_EVEN},
    {1, 40, 2048, 257, GROUPS_EVEN},
    {4, 256, 128, 512, GROUPS_EVEN},
    {4, 264, 200, 777, GROUPS_RANDOM},
    {8, 512, 256, 1000, GROUPS_RANDOM},
    {16, 128, 64, 3000, GROUPS_LAST},
    {16, 64, 320, 1500, GROUPS_FIRST},
    {64, 256, 256, 3001, GROUPS_RANDOM},
    {256, 64, 128, 700, GROUPS_RANDOM},
    {256, 72, 136, 3333, GROUPS_RAMP},
    {8, 320, 192, 1200, GROUPS_TIES},
    {16, 64, 64, 16, GROUPS_EVEN},
    {4, 64, 64, 0, GROUPS_EVEN},
    {3, 1536, 512, 3000, GROUPS_EVEN},
    {5, 64, 64, 2, GROUPS_LAST},
    {16, 1024, 2048, 64, GROUPS_RANDOM},
    {2, 4096, 1024, 515, GROUPS_RAMP},
    {3, 100, 64, 300, GROUPS_RANDOM, 104},
    {1, 1027, 136, 200, GROUPS_EVEN, 1032},
    {2, 6, 72, 70, GROUPS_EVEN, 8},
    {1, 264, 200, 1300, GROUPS_EVEN},
    {1, 1030, 64, 1100, GROUPS_EVEN, 1032},
};
/* widths that TMA cannot take: always the portable kernel */
static const struct gemm_case odd_cases[] = {
    {1, 1, 1, 1, GROUPS_EVEN},        {1, 7, 5, 3, GROUPS_EVEN},
    {4, 33, 17, 100, GROUPS_RANDOM},  {8, 100, 99, 500, GROUPS_RANDOM},
    {2, 130, 2, 257, GROUPS_EVEN},    {3, 8, 300, 260, GROUPS_RAMP},
    {1, 129, 1030, 130, GROUPS_EVEN},
};

/* Tiles first .. last - 1 of the wgmma kernel; the mma kernel has one. */
static bool exact_case(const struct gemm_tensor *t, const struct gemm_case *c,
                       enum gemm_kernel kernel, enum gemm_form form, int first,
                       int last)
{
    struct gemm_problem p;
    bool ok = true;
    gemm_problem_init(&p, c, gemm_random_int);
    int32_t *const want = gemm_int_result(&p, form);
    const int64_t n = gemm_out_elems(&p, form);
    for (int tile = first; tile < last; tile++) {
        struct gemm_plan plan;
        struct gemm_mismatch bad = {0};
        gemm_case_plan(&plan, t, &p, form, kernel, tile);
        float *const got = gemm_case_run(t, &p, &plan);
        float *const again = gemm_case_run(t, &p, &plan);
        for (int64_t i = 0; i < n; i++)
            if (got[GEMM_GUARD + i] != (float)want[i])
                gemm_note(&bad, i, (double)got[GEMM_GUARD + i], want[i]);
        if (bad.n_wrong > 0)
            gemm_report(&p, &plan, "exact", &bad);
        ok = bad.n_wrong == 0 && gemm_guards_intact(got, n) &&
             gemm_same_bits(&p, &plan, "again", again, got) && ok;
        free(got);
        free(again);
    }
    free(want);
    gemm_problem_release(&p);
    return ok;
}

static void check_exact(enum gemm_kernel kernel, enum gemm_form form, int first,
                        int last, const struct gemm_case *table, int64_t n_cases)
{
    struct gemm_tensor *const t = gemm_open_gpu(kernel);
    if (t == NULL)
        skip();
    int64_t n_failed = 0;
    for (int64_t i = 0; i < n_cases; i++) {
        const struct gemm_case c = gemm_case_fit(&table[i]);
        n_failed += exact_case(t, &c, kernel, form, first, last) ? 0 : 1;
    }
    gemm_tensor_free(t);
    assert_int_equal(n_failed, 0);
}

static void check_mma(enum gemm_form form)
{
    check_exact(GEMM_KERNEL_MMA, form, 0, 1, cases, ARRAY_LEN(cases));
    check_exact(GEMM_KERNEL_MMA, form, 0, 1, odd_cases, ARRAY_LEN(odd_cases));
}

static void check_wgmma(enum gemm_form form)
{
    check_exact(GEMM_KERNEL_WGMMA, form, 0, GEMM_N_TILES, cases, ARRAY_LEN(cases));
}

static void test_mma_fwd(void **state)
{
    (void)state;
    check_mma(GEMM_FORM_FWD);
}

static void test_mma_dx(void **state)
{
    (void)state;
    check_mma(GEMM_FORM_DX);
}

static void test_mma_dw(void **state)
{
    (void)state;
    check_mma(GEMM_FORM_DW);
}

static void test_wgmma_fwd(void **state)
{
    (void)state;
    check_wgmma(GEMM_FORM_FWD);
}

static void test_wgmma_dx(void **state)
{
    (void)state;
    check_wgmma(GEMM_FORM_DX);
}

static void test_wgmma_dw(void **state)
{
    (void)state;
    check_wgmma(GEMM_FORM_DW);
}

/* element (row, col) in double, and the sum of its terms' magnitudes */
static double dot(const struct gemm_problem *p, enum gemm_form form, int64_t row,
                  int64_t col, double *sum_abs)
{
    const int64_t n = p->shape.n, k = p->shape.k, ld = p->shape.ld_dy;
    const bool is_dw = form == GEMM_FORM_DW, is_fwd = form == GEMM_FORM_FWD;
    int64_t e = is_dw ? row / n : 0;
    while (!is_dw && p->off[e + 1] <= row)
        e++;
    const int64_t first = is_dw ? p->off[e] : 0;
    const int64_t end = is_dw ? p->off[e + 1] : is_fwd ? k : n;
    double sum = is_dw ? (double)p->dw_start[row * k + col] : 0;
    *sum_abs = fabs(sum);
    for (int64_t i = first; i < end; i++) {
        const uint16_t a = is_fwd  ? p->x[row * k + i]
                           : is_dw ? p->dy[i * ld + row % n]
                                   : p->dy[row * ld + i];
        const uint16_t b = is_fwd  ? p->w[(e * n + col) * k + i]
                           : is_dw ? p->x[i * k + col]
                                   : p->w[(e * n + i) * k + col];
        const double term = (double)gemm_from_bf16(a) * (double)gemm_from_bf16(b);
        sum += term;
        *sum_abs += fabs(term);
    }
    return sum;
}

/* Random values: every element of small results, every 37th of large ones. */
static bool close_case(const struct gemm_tensor *t, const struct gemm_case *c,
                       enum gemm_kernel kernel, enum gemm_form form)
{
    struct gemm_problem p;
    struct gemm_plan plan;
    struct gemm_mismatch bad = {0};
    gemm_problem_init(&p, c, gemm_random_real);
    gemm_case_plan(&plan, t, &p, form, kernel, GEMM_TILE_128_256);
    float *const got = gemm_case_run(t, &p, &plan);
    const int64_t n = gemm_out_elems(&p, form);
    const int64_t cols = form == GEMM_FORM_FWD ? c->n : c->k;
    const int64_t n_terms = form == GEMM_FORM_FWD  ? c->k
                            : form == GEMM_FORM_DX ? c->n
                                                   : c->m;
    double err2 = 0, want2 = 0, worst = 0;
    for (int64_t i = 0; i<n; i += n> 100000 ? 37 : 1) {
        double sum_abs;
        const double want = dot(&p, form, i / cols, i % cols, &sum_abs);
        const double err = fabs((double)got[GEMM_GUARD + i] - want);
        const double limit = tol_tensor(n_terms, sum_abs);
        if (!(err <= limit))
            gemm_note(&bad, i, (double)got[GEMM_GUARD + i], want);
        worst = sum_abs > 0 && err / sum_abs > worst ? err / sum_abs : worst;
        err2 += err * err;
        want2 += want * want;
    }
    if (bad.n_wrong > 0)
        gemm_report(&p, &plan, "close", &bad);
    print_message("  %lld terms: error / sum of magnitudes <= %.2e, rms %.2e\n",
                  (long long)n_terms, worst, sqrt(err2 / (want2 + 1e-300)));
    free(got);
    gemm_problem_release(&p);
    return bad.n_wrong == 0;
}

static void check_close(enum gemm_kernel kernel)
{
    static const struct gemm_case table[] = {{1, 512, 1024, 300, GROUPS_EVEN},
                                             {1, 40, 2048, 257, GROUPS_EVEN},
                                             {8, 512, 256, 1000, GROUPS_RANDOM},
                                             {2, 4096, 1024, 515, GROUPS_RAMP}};
    struct gemm_tensor *const t = gemm_open_gpu(kernel);
    if (t == NULL)
        skip();
    int64_t n_failed = 0;
    for (int64_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct gemm_case c = gemm_case_fit(&table[i]);
        for (int form = GEMM_FORM_FWD; form <= GEMM_FORM_DW; form++)
            n_failed += close_case(t, &c, kernel, (enum gemm_form)form) ? 0 : 1;
    }
    gemm_tensor_free(t);
    assert_int_equal(n_failed, 0);
}

static void test_mma_close(void **state)
{
    (void)state;
    check_close(GEMM_KERNEL_MMA);
}

static void test_wgmma_close(void **state)
{
    (void)state;
    check_close(GEMM_KERNEL_WGMMA);
}

/* Part of `whole` from element `at` on equals `part`, bit for bit. */
static int part_differs(const float *whole, int64_t at, const float *part, int64_t n,
                        const char *what, int64_t m)
{
    if (memcmp(whole + GEMM_GUARD + at, part + GEMM_GUARD, (size_t)n * 4) == 0 &&
        gemm_guards_intact(part, n))
        return 0;
    int64_t i = 0;
    while (i < n && memcmp(whole + GEMM_GUARD + at + i, part + GEMM_GUARD + i, 4) == 0)
        i++;
    print_message("FAILED %s, %lld rows: differs from element %lld on\n", what,
                  (long long)m, (long long)i);
    return 1;
}

/* Rows alone, whatever plan their number leads to, against the same rows among 3000. */
static void check_rows(enum gemm_kernel kernel)
{
    static const struct gemm_case whole = {1, 320, 1024, 3000, GROUPS_EVEN};
    static const int64_t rows[] = {1,   2,   3,   4,   5,   7,    8,   9,   15,
                                   16,  17,  31,  33,  63,  64,   65,  127, 128,
                                   129, 192, 193, 255, 257, 1000, 2999};
    struct gemm_tensor *const t = gemm_open_gpu(kernel);
    if (t == NULL)
        skip();
    const struct gemm_case c = gemm_case_fit(&whole);
    struct gemm_problem p;
    int n_failed = 0;
    gemm_problem_init(&p, &c, gemm_random_real);
    for (int form = GEMM_FORM_FWD; form <= GEMM_FORM_DX; form++) {
        const int64_t cols = form == GEMM_FORM_FWD ? c.n : c.k;
        float *const all = gemm_case_run_rows(t, &p, (enum gemm_form)form, 0, 0, c.m);
        for (int64_t i = 0; i < ARRAY_LEN(rows) * 3 && rows[i / 3] < c.m; i++) {
            const int64_t m = rows[i / 3], at = (c.m - m) * (i % 3) / 2;
            float *const part = gemm_case_run_rows(t, &p, (enum gemm_form)form, 0, at,
                                                   m);
            n_failed += part_differs(all, at * cols, part, m * cols,
                                     form == GEMM_FORM_FWD ? "fwd" : "dx", m);
            free(part);
        }
        free(all);
    }
    gemm_problem_release(&p);
    gemm_tensor_free(t);
    assert_int_equal(n_failed, 0);
}

static void test_mma_rows(void **state)
{
    (void)state;
    check_rows(GEMM_KERNEL_MMA);
}

static void test_wgmma_rows(void **state)
{
    (void)state;
    check_rows(GEMM_KERNEL_WGMMA);
}

/* Random values: each group alone, and all tiles, give the bits of the grouped call. */
static void check_groups(enum gemm_kernel kernel)
{
    static const struct gemm_case c = {8, 512, 256, 1300, GROUPS_RANDOM};
    struct gemm_tensor *const t = gemm_open_gpu(kernel);
    if (t == NULL)
        skip();
    struct gemm_problem p;
    int n_failed = 0;
    gemm_problem_init(&p, &c, gemm_random_real);
    for (int f = GEMM_FORM_FWD; f <= GEMM_FORM_DW; f++) {
        const enum gemm_form form = (enum gemm_form)f;
        const int64_t cols = form == GEMM_FORM_FWD ? c.n : c.k;
        struct gemm_plan plan;
        gemm_case_plan(&plan, t, &p, form, kernel, GEMM_TILE_128_256);
        float *const all = gemm_case_run(t, &p, &plan);
        for (int64_t e = 0; e < c.n_mats; e++) {
            const int64_t r0 = p.off[e], m = p.off[e + 1] - r0;
            const bool is_dw = form == GEMM_FORM_DW;
            float *const part = gemm_case_run_rows(t, &p, form, e, r0, m);
            n_failed += part_differs(all, is_dw ? e * c.n * c.k : r0 * cols, part,
                                     is_dw ? c.n * c.k : m * cols, "a group alone", m);
            free(part);
        }
        for (int tile = GEMM_N_TILES - 1; tile >= 0; tile--) {
            gemm_case_plan(&plan, t, &p, form, kernel, tile);
            float *const other = gemm_case_run(t, &p, &plan);
            n_failed += gemm_same_bits(&p, &plan, "tiles", other, all) ? 0 : 1;
            free(other);
        }
        free(all);
    }
    gemm_problem_release(&p);
    gemm_tensor_free(t);
    assert_int_equal(n_failed, 0);
}

static void test_mma_groups(void **state)
{
    (void)state;
    check_groups(GEMM_KERNEL_MMA);
}

static void test_wgmma_groups(void **state)
{
    (void)state;
    check_groups(GEMM_KERNEL_WGMMA);
}

/* NaN in the rows of group `bad` and in those that belong to no group (the last 37):
 * the other groups' results keep their bits, rows of no group stay unwritten. */
static int poison_form(const struct gemm_tensor *t, struct gemm_problem *p,
                       struct gemm_problem *clean, int bad,
                       const struct gemm_plan *plan)
{
    const bool is_dw = plan->form == GEMM_FORM_DW;
    const int64_t n = p->shape.n, k = p->shape.k;
    const int64_t cols = plan->form == GEMM_FORM_FWD ? n : k;
    float *const got = gemm_case_run(t, p, plan);
    float *const want = gemm_case_run(t, clean, plan);
    int n_failed = 0;
    for (int64_t e = 0; e < p->shape.n_mats; e++) {
        const int64_t at = is_dw ? e * n * k : p->off[e] * cols;
        const int64_t len = is_dw ? n * k : (p->off[e + 1] - p->off[e]) * cols;
        if (e != bad && memcmp(got + GEMM_GUARD + at, want + GEMM_GUARD + at,
                               (size_t)len * 4) != 0) {
            print_message("FAILED poison: form %d, group %lld differs\n",
                          (int)plan->form, (long long)e);
            n_failed++;
        }
    }
    const uint8_t *const after = (const uint8_t *)(got + GEMM_GUARD +
                                                   p->off[p->shape.n_mats] * cols);
    for (int64_t i = 0; !is_dw && i < 37 * cols * 4; i++)
        if (after[i] != GEMM_POISON) {
            print_message("FAILED: a row of no group was written\n");
            n_failed++;
            break;
        }
    free(got);
    free(want);
    return n_failed;
}

static void check_poison(enum gemm_kernel kernel)
{
    static const struct gemm_case c = {6, 264, 192, 700, GROUPS_EVEN};
    enum { BAD = 3, LOST = 37 };
    struct gemm_tensor *const t = gemm_open_gpu(kernel);
    if (t == NULL)
        skip();
    struct gemm_problem p, clean;
    gemm_problem_init(&p, &c, gemm_random_real);
    gemm_problem_init(&clean, &c, gemm_random_real);
    p.off[c.n_mats] = clean.off[c.n_mats] = (int32_t)c.m - LOST;
    const int64_t bad0 = p.off[BAD], n_bad = p.off[BAD + 1] - bad0;
    memset(p.x + bad0 * c.k, GEMM_POISON, (size_t)(n_bad * c.k) * 2);
    memset(p.dy + bad0 * c.n, GEMM_POISON, (size_t)(n_bad * c.n) * 2);
    memset(p.x + (c.m - LOST) * c.k, GEMM_POISON, (size_t)(LOST * c.k) * 2);
    memset(p.dy + (c.m - LOST) * c.n, GEMM_POISON, (size_t)(LOST * c.n) * 2);
    gemm_problem_upload(&p);
    gemm_problem_upload(&clean);
    int n_failed = 0;
    for (int form = GEMM_FORM_FWD; form <= GEMM_FORM_DW; form++)
        for (int tile = GEMM_N_TILES - 1; tile >= 0; tile--) {
            struct gemm_plan plan;
            gemm_case_plan(&plan, t, &p, (enum gemm_form)form, kernel, tile);
            n_failed += poison_form(t, &p, &clean, BAD, &plan);
        }
    gemm_problem_release(&p);
    gemm_problem_release(&clean);
    gemm_tensor_free(t);
    assert_int_equal(n_failed, 0);
}

static void test_mma_poison(void **state)
{
    (void)state;
    check_poison(GEMM_KERNEL_MMA);
}

static void test_wgmma_poison(void **state)
{
    (void)state;
    check_poison(GEMM_KERNEL_WGMMA);
}

/* dw of rows 0 .. cut - 1, then of the others on top, against one call: equal bits for
 * a cut at a multiple of 16. */
static void check_cut(enum gemm_kernel kernel)
{
    static const struct gemm_case c = {1, 264, 320, 515, GROUPS_EVEN};
    static const int64_t cuts[] = {16, 64, 208, 512};
    struct gemm_tensor *const t = gemm_open_gpu(kernel);
    if (t == NULL)
        skip();
    struct gemm_problem p;
    int n_failed = 0;
    gemm_problem_init(&p, &c, gemm_random_real);
    float *const whole = gemm_case_run_rows(t, &p, GEMM_FORM_DW, 0, 0, c.m);
    float *const start = p.dw_start;
    for (int64_t i = 0; i < ARRAY_LEN(cuts); i++) {
        float *const first = gemm_case_run_rows(t, &p, GEMM_FORM_DW, 0, 0, cuts[i]);
        p.dw_start = first + GEMM_GUARD;
        float *const both = gemm_case_run_rows(t, &p, GEMM_FORM_DW, 0, cuts[i],
                                               c.m - cuts[i]);
        p.dw_start = start;
        n_failed += part_differs(whole, 0, both, c.n * c.k, "dw in two", cuts[i]);
        free(first);
        free(both);
    }
    free(whole);
    gemm_problem_release(&p);
    gemm_tensor_free(t);
    assert_int_equal(n_failed, 0);
}

static void test_mma_cut(void **state)
{
    (void)state;
    check_cut(GEMM_KERNEL_MMA);
}

static void test_wgmma_cut(void **state)
{
    (void)state;
    check_cut(GEMM_KERNEL_WGMMA);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mma_fwd),      cmocka_unit_test(test_mma_dx),
        cmocka_unit_test(test_mma_dw),       cmocka_unit_test(test_mma_close),
        cmocka_unit_test(test_mma_rows),     cmocka_unit_test(test_mma_groups),
        cmocka_unit_test(test_mma_poison),   cmocka_unit_test(test_mma_cut),
        cmocka_unit_test(test_wgmma_fwd),    cmocka_unit_test(test_wgmma_dx),
        cmocka_unit_test(test_wgmma_dw),     cmocka_unit_test(test_wgmma_close),
        cmocka_unit_test(test_wgmma_rows),   cmocka_unit_test(test_wgmma_groups),
        cmocka_unit_test(test_wgmma_poison), cmocka_unit_test(test_wgmma_cut),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    print_message("seed %d\n", (int)GEMM_SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
