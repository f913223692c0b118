/*
 * One grouped product in three forms, on the device and in exact integers on the host:
 * shared by the tests of the tensor-core products. Host arrays of results carry
 * GEMM_GUARD floats before and after; everything is poisoned before a run. A wrong
 * result is reported with its first wrong element and the tile it lies in, for a reader
 * who cannot run it again.
 */
#ifndef TESTS_CUDA_GEMM_CASE_H
#define TESTS_CUDA_GEMM_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "cuda/gemm_tensor.h"

enum {
    GEMM_GUARD = 64,
    GEMM_CASE_MATS = 256,
    GEMM_SEED = 20240607,
    GEMM_POISON = 0xff
};
enum gemm_groups_kind {
    GROUPS_EVEN,
    GROUPS_RANDOM, /* some empty */
    GROUPS_FIRST,  /* all rows to the first matrix */
    GROUPS_LAST,
    GROUPS_RAMP, /* the first ones get few or none */
    GROUPS_TIES  /* 64, 128, 0, 192, ... rows: the tiles' heights */
};

struct gemm_case {
    int64_t n_mats, n, k, m;
    enum gemm_groups_kind groups;
    int64_t ld_dy; /* pitch of dy, the rest of a row is NaN; 0: n */
};

struct gemm_problem {
    struct gemm_case shape;
    int32_t off[GEMM_CASE_MATS + 1];
    int64_t n_x, n_y, n_dy, n_w; /* dy with its padding */
    uint16_t *x, *dy, *w;        /* host, bf16 */
    float *dw_start;
    uint16_t *dev_x, *dev_dy, *dev_w;
    int32_t *dev_off;
    float *dev_out; /* the largest output and its guards */
};

typedef float (*gemm_value_fn)(void);
float gemm_random_int(void);  /* -4 .. 4 */
float gemm_random_real(void); /* (-2, 2) */
float gemm_from_bf16(uint16_t v);

void gemm_problem_init(struct gemm_problem *p, const struct gemm_case *c,
                       gemm_value_fn value);
void gemm_problem_release(struct gemm_problem *p);
void gemm_problem_upload(struct gemm_problem *p); /* x, dy, w and off once more */
int64_t gemm_out_elems(const struct gemm_problem *p, enum gemm_form form);

/* The case; on the emulator, if it is of more than 1.2e8 products, with fewer rows.
 * Grids of more tiles than blocks, cut tiles and every kind of groups are in the
 * smaller ones.
 */
struct gemm_case gemm_case_fit(const struct gemm_case *c);

/* NULL where the machine has no usable GPU or it lacks the kernel */
struct gemm_tensor *gemm_open_gpu(enum gemm_kernel kernel);
/* fails the running test with CUDA's text; `e` is a cudaError_t */
void gemm_check_cuda(int e, const char *what);
void gemm_case_plan(struct gemm_plan *plan, const struct gemm_tensor *t,
                    const struct gemm_problem *p, enum gemm_form form,
                    enum gemm_kernel kernel, int tile);
/* The poisoned output after the product, guards included, in a new host array. */
float *gemm_case_run(const struct gemm_tensor *t, const struct gemm_problem *p,
                     const struct gemm_plan *plan);
/* Rows r0 .. r0 + m - 1 alone with matrix `mat`, through the public entry points. */
float *gemm_case_run_rows(const struct gemm_tensor *t, const struct gemm_problem *p,
                          enum gemm_form form, int64_t mat, int64_t r0, int64_t m);
int32_t *gemm_int_result(const struct gemm_problem *p, enum gemm_form form);

struct gemm_mismatch {
    int64_t n_wrong, first, n_nan;
    double got, want;
};
void gemm_note(struct gemm_mismatch *bad, int64_t i, double got, double want);
void gemm_report(const struct gemm_problem *p, const struct gemm_plan *plan,
                 const char *what, const struct gemm_mismatch *bad);
bool gemm_guards_intact(const float *got, int64_t n);
/* of whole outputs with guards */
bool gemm_same_bits(const struct gemm_problem *p, const struct gemm_plan *plan,
                    const char *what, const float *got, const float *want);

#endif
