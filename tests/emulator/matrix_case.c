#include "tests/emulator/matrix_case.h"

#include "core/dtype_bits.h"

const struct element_type bf16 = {"bf16", 2, false, false};
const struct element_type f16 = {"f16", 2, true, false};
const struct element_type tf32 = {"tf32", 4, false, true};

/* splitmix64's upper half */
static uint32_t draw_u32(uint64_t *r)
{
    uint64_t z = (*r += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

float draw_element(uint64_t *random, const struct element_type *t, uint32_t *bits_out)
{
    const float v = (float)((int32_t)(draw_u32(random) % 64) - 32) * 0.125f;
    *bits_out = t->is_tf32  ? (uint32_t)bits_of(v) | (draw_u32(random) & 0x1fff)
                : t->is_f16 ? f16_from_bits(bits_of(v))
                            : bf16_from_bits(bits_of(v));
    return v;
}

struct seat seat_a(const struct element_type *t, int32_t row, int32_t col)
{
    const int32_t group = row % 8, low_rows = row / 8;
    if (t->is_tf32)
        return (struct seat){group * 4 + col % 4, low_rows + 2 * (col / 4), 0};
    return (struct seat){group * 4 + col % 8 / 2, low_rows + 2 * (col / 8),
                         col % 2 * 16};
}

struct seat seat_b(const struct element_type *t, int32_t row, int32_t col)
{
    if (t->is_tf32)
        return (struct seat){col * 4 + row % 4, row / 4, 0};
    return (struct seat){col * 4 + row % 8 / 2, row / 8, row % 2 * 16};
}

struct seat seat_c(bool is_half, int32_t row, int32_t col)
{
    const int32_t lane = row % 8 * 4 + col / 2;
    if (is_half)
        return (struct seat){lane, row / 8, col % 2 * 16};
    return (struct seat){lane, row / 8 * 2 + col % 2, 0};
}

void put_element(uint32_t *words, int32_t first, struct seat s, uint32_t bits)
{
    words[s.lane * LANE_WORDS + first + s.reg] |= bits << s.shift;
}
