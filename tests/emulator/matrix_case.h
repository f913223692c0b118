/*
 * What the tests of matrix instructions share: element types and their draws, and the
 * place of an element in a fragment, written down from the figures of the PTX ISA. They
 * go from element to place; the emulator goes from place to element.
 */
#ifndef TESTS_EMULATOR_MATRIX_CASE_H
#define TESTS_EMULATOR_MATRIX_CASE_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_K = 16, LANE_WORDS = 160 };

struct element_type {
    const char *name;
    int32_t bytes;
    bool is_f16, is_tf32;
};
extern const struct element_type bf16, f16, tf32;

/* A number of few bits and its representation. tf32's low bits are noise that must be
 * ignored. */
float draw_element(uint64_t *random, const struct element_type *t, uint32_t *bits_out);

/* lane, register, and bit of the register */
struct seat {
    int32_t lane, reg, shift;
};

/* A (16, k): "groupID = lane / 4, threadID_in_group = lane % 4" */
struct seat seat_a(const struct element_type *t, int32_t row, int32_t col);
/* B (k, 8) */
struct seat seat_b(const struct element_type *t, int32_t row, int32_t col);
/* C and D (16, 8) of 32 or of 16 bits */
struct seat seat_c(bool is_half, int32_t row, int32_t col);

/* words: (lane, LANE_WORDS), zeroed before; register `first` is the fragment's first */
void put_element(uint32_t *words, int32_t first, struct seat s, uint32_t bits);

#endif
