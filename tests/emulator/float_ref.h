/*
 * Rounding as IEEE 754 defines it, without arithmetic of the format: the codes around
 * the exact value are found by bisection and compared with it. For f16, bf16, tf32,
 * f32.
 */
#ifndef TESTS_EMULATOR_FLOAT_REF_H
#define TESTS_EMULATOR_FLOAT_REF_H

#include <stdbool.h>
#include <stdint.h>

enum float_ref { REF_F16, REF_BF16, REF_TF32, REF_F32 };
enum ref_mode { REF_RN, REF_RZ, REF_RM, REF_RP, REF_RNA };

/* An exact value s + e, |e| at most half an ulp of s (or only its sign known to be
 * right and its size to be less); e is 0 where s is not finite. */
struct exact {
    double s, e;
};
struct exact exact_sum(double a, double b);
struct exact exact_quotient(float a, float b);
struct exact exact_root(float a);

/* The value of a code (NaN, infinity and sign included). */
double ref_value(enum float_ref format, uint32_t code);
/* The code of v; a NaN's is the canonical one. The sign of a zero is s's. */
uint32_t ref_round(enum float_ref format, struct exact v, enum ref_mode mode);
uint32_t ref_nan(enum float_ref format);

#endif
