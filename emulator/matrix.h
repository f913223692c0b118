/*
 * Private to ops_matrix.c and wgmma*.c: element types of matrix instructions, and sums
 * of products.
 *
 * Elements become fp32, in which a product of two is exact (but for bf16 products
 * beyond fp32's range, rounded once); a sum is the accumulator plus the products in the
 * order of ascending k, one rounding per addition.
 */
#ifndef EMULATOR_MATRIX_H
#define EMULATOR_MATRIX_H

#include <string.h>

#include "core/dtype_bits.h"
#include "emulator/machine.h"

enum matrix_type { MATRIX_BF16, MATRIX_F16, MATRIX_TF32, MATRIX_F32, MATRIX_NONE };

typedef float matrix_f8 __attribute__((vector_size(32)));

static inline enum matrix_type matrix_type_of(const char *part)
{
    static const char *const names[] = {"bf16", "f16", "tf32", "f32"};
    for (int32_t k = 0; k < MATRIX_NONE; k++)
        if (strcmp(part, names[k]) == 0)
            return (enum matrix_type)k;
    return MATRIX_NONE;
}

static inline int32_t matrix_type_bytes(enum matrix_type t)
{
    return t == MATRIX_BF16 || t == MATRIX_F16 ? 2 : 4;
}

/* tf32 ignores the low 13 bits of its 32. */
static inline float matrix_element(enum matrix_type t, uint32_t bits)
{
    return float_of(t == MATRIX_BF16  ? bf16_to_bits((uint16_t)bits)
                    : t == MATRIX_F16 ? f16_to_bits((uint16_t)bits)
                                      : (int32_t)(bits & 0xffffe000u));
}

/* by pointer: vectors as arguments and results need AVX */
static inline void matrix_load(matrix_f8 *v, const float *p)
{
    memcpy(v, p, sizeof(*v));
}
static inline void matrix_store(float *p, const matrix_f8 *v)
{
    memcpy(p, v, sizeof(*v));
}

/* The instruction needs its whole warp in step: MACHINE_NEXT when it is, MACHINE_WAIT
 * while lanes are elsewhere, a fault when some have exited or never existed. */
enum machine_next matrix_aligned(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask);

/* Fragments shared by mma and wgmma, 16 rows by up to 16 columns of 16-bit elements:
 * out (16, n_cols) from n_cols / 4 registers (8 rows by 8 columns each, rows first);
 * lane 4 g + c has row g and columns 2 c, 2 c + 1. */
void matrix_get_rows(const struct machine_warp *w, const struct ptx_operand *regs,
                     int32_t n_cols, enum matrix_type t, float *out);
/* Accumulators, 16 rows by 8 n_tiles columns: (n_tiles, 16, 8). fp32: 4 registers a
 * tile, f16: 2. */
void matrix_get_tiles(const struct machine_warp *w, const struct ptx_operand *regs,
                      int32_t n_tiles, enum matrix_type t, float *out);
void matrix_put_tiles(struct machine_warp *w, const struct ptx_operand *regs,
                      int32_t n_tiles, enum matrix_type t, const float *in);

#endif
