/*
 * Error limits of the tests, each with its derivation. u = 2^-24 is fp32's unit
 * roundoff: a rounded operation has relative error <= u. "Reference" is the same
 * formula in double, whose own error (2^-53 relative) is nothing beside these. A limit
 * is a bound, not a measurement: where a test passes with much room, that is how
 * rounding errors average out.
 */
#ifndef TESTS_TOL_H
#define TESTS_TOL_H

#include <stdint.h>

static const double tol_unit = 0x1p-24;

/* exp and log against libm in double, in ulps of the result: 0.5 for the last rounding,
 * 0.05 and 0.01 for the polynomials, and up to 0.4 for the step before the last where
 * the result lies below the power of two that it was reduced to (measured: 0.97 and
 * 0.77, printed by tests/cpu/test_vmath.c). */
static const double tol_exp_ulp = 1.0;
static const double tol_log_ulp = 1.0;

/* A sum of n products of magnitude `sum_abs` = sum |a_i b_i| in any order, one fma
 * each: n u sum_abs (first order); 2 more roundings for what is done to it afterwards.
 */
static inline double tol_sum(int64_t n, double sum_abs)
{
    return (double)(n + 2) * tol_unit * sum_abs;
}

/* The same on tensor cores: an instruction adds 16 exact products and the accumulator
 * by aligning these 17 terms to the largest and cutting each below 2^-23 of it, so it
 * errs by at most 17 2^-23 of the sum of magnitudes so far; n / 16 instructions, the
 * last of them perhaps partly empty. */
static inline double tol_tensor(int64_t n, double sum_abs)
{
    return (double)(n / 16 + 1) * 17 * 2 * tol_unit * sum_abs;
}

/* exp(s - max) / sum over n terms, relative: the error `ds` of s counts fully in exp
 * and again in the sum; s - max rounds once relative to |s - max| <= `spread`; exp 2 u,
 * the sum n u, the division u. */
static inline double tol_softmax(int64_t n, double ds, double spread)
{
    return 2 * (ds + spread * tol_unit) + (double)(n + 8) * tol_unit;
}

/* Elementwise formulas of n roundings on a result of this magnitude */
static inline double tol_steps(int64_t n, double magnitude)
{
    return (double)n * tol_unit * magnitude;
}

/* Gradients by central differences of a double reference, step 1e-5: truncation
 * h^2 / 6 f''' is about 1e-10 of the scale, cancellation 2^-53 f / h about 1e-11 f. The
 * fp32 gradient under test is worse: its own limit comes on top of this. */
static const double tol_slope_step = 1e-5;
static const double tol_slope = 1e-8;

#endif
