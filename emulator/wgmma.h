/*
 * Private to wgmma*.c: operands of a warpgroup's product in shared memory.
 * Source: PTX ISA, "Asynchronous Warpgroup Level Matrix Shared Memory Layout".
 */
#ifndef EMULATOR_WGMMA_H
#define EMULATOR_WGMMA_H

#include "emulator/matrix.h"

enum { WGMMA_ROWS = 64, WGMMA_MAX_N = 256, WGMMA_MAX_K = 16, WGMMA_K_BYTES = 32 };

/* An operand: n_mn rows (of A) or columns (of B) by WGMMA_K_BYTES of the reduction. */
struct wgmma_operand {
    uint64_t descriptor;
    int32_t n_mn;
    bool is_mn_major;
    enum matrix_type type;
    int32_t step_mn, step_k; /* of the result: element (mn, k) is at both times these */
};

/* Whether the fields make sense; false after a fault. */
bool wgmma_descriptor_check(struct machine_warp *w, const struct ptx_insn *i,
                            uint64_t descriptor);
/* As fp32; false after a fault. */
bool wgmma_operand_load(struct machine_warp *w, const struct ptx_insn *i,
                        const struct wgmma_operand *o, float *out);

/* d (n / 8, 16, 8) += a (16, k) b (k, n): see matrix.h on the order of sums. */
void wgmma_multiply(float *d, const float *a, const float *b, int32_t n, int32_t k);

#endif
