/*
 * Integer arithmetic: add sub mul mad div rem min max neg abs sad, with carries, of 16,
 * 32 and 64 bits, packed 16-bit pairs, and the dot products dp4a and dp2a. Bitwise
 * operations are ops_bits.c's.
 *
 * Sums and low products are the same for signed and unsigned numbers and are computed
 * unsigned. 16-bit values are zero-extended in their lanes: s16() reads one. A quotient
 * or remainder by zero, unspecified in the ISA, is all ones as on hardware.
 */
#include "emulator/ops.h"

OPS_INLINE int32_t s16(uint32_t a) { return (int16_t)a; }
OPS_INLINE uint64_t wide_s(int32_t a, int32_t b)
{
    return (uint64_t)((int64_t)a * (int64_t)b);
}
OPS_INLINE uint64_t wide_u(uint32_t a, uint32_t b) { return (uint64_t)a * b; }
OPS_INLINE uint64_t high_u64(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}
OPS_INLINE uint64_t high_s64(int64_t a, int64_t b)
{
    return (uint64_t)((__int128)a * b >> 64);
}

/* --- sums --- */
OPS_2(add_b16, u32, u32, u32, (a + b) & 0xffff)
OPS_2(add_b32, u32, u32, u32, a + b)
OPS_2(add_b64, u64, u64, u64, a + b)
OPS_2(sub_b16, u32, u32, u32, (a - b) & 0xffff)
OPS_2(sub_b32, u32, u32, u32, a - b)
OPS_2(sub_b64, u64, u64, u64, a - b)
OPS_1(neg_b16, u32, u32, -a & 0xffff)
OPS_1(neg_b32, u32, u32, -a)
OPS_1(neg_b64, u64, u64, -a)
OPS_1(abs_s16, u32, u32, s16(a) < 0 ? -a & 0xffff : a)
OPS_1(abs_s32, u32, u32, (int32_t)a < 0 ? -a : a)
OPS_1(abs_s64, u64, u64, (int64_t)a < 0 ? -a : a)

OPS_INLINE int32_t clamp_s32(int64_t v)
{
    return (int32_t)(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v);
}
OPS_2(add_sat_s32, s32, s32, s32, clamp_s32((int64_t)a + b))
OPS_2(sub_sat_s32, s32, s32, s32, clamp_s32((int64_t)a - b))

/* --- products --- */
#define PRODUCT(a, b) ((a) * (b))
OPS_2(mul_lo_b16, u32, u32, u32, (a * b) & 0xffff)
OPS_2(mul_lo_b32, u32, u32, u32, PRODUCT(a, b))
OPS_2(mul_lo_b64, u64, u64, u64, PRODUCT(a, b))
OPS_2(mul_hi_u16, u32, u32, u32, (a * b) >> 16)
OPS_2(mul_hi_s16, u32, u32, u32, (uint32_t)(s16(a) * s16(b)) >> 16)
OPS_2(mul_hi_u32, u32, u32, u32, wide_u(a, b) >> 32)
OPS_2(mul_hi_s32, u32, s32, s32, wide_s(a, b) >> 32)
OPS_2(mul_hi_u64, u64, u64, u64, high_u64(a, b))
OPS_2(mul_hi_s64, u64, s64, s64, high_s64(a, b))
OPS_2(mul_wide_u16, u32, u32, u32, PRODUCT(a, b))
OPS_2(mul_wide_s16, u32, u32, u32, s16(a) * s16(b))
OPS_2(mul_wide_u32, u64, u32, u32, wide_u(a, b))
OPS_2(mul_wide_s32, u64, s32, s32, wide_s(a, b))

OPS_3(mad_lo_b16, u32, u32, u32, u32, (a * b + c) & 0xffff)
OPS_3(mad_lo_b32, u32, u32, u32, u32, PRODUCT(a, b) + c)
OPS_3(mad_lo_b64, u64, u64, u64, u64, PRODUCT(a, b) + c)
OPS_3(mad_hi_u16, u32, u32, u32, u32, ((a * b >> 16) + c) & 0xffff)
OPS_3(mad_hi_s16, u32, u32, u32, u32,
      (((uint32_t)(s16(a) * s16(b)) >> 16) + c) & 0xffff)
OPS_3(mad_hi_u32, u32, u32, u32, u32, (wide_u(a, b) >> 32) + c)
OPS_3(mad_hi_s32, u32, s32, s32, u32, (wide_s(a, b) >> 32) + c)
OPS_3(mad_hi_sat_s32, s32, s32, s32, s32, clamp_s32(((int64_t)a * b >> 32) + c))
OPS_3(mad_hi_u64, u64, u64, u64, u64, high_u64(a, b) + c)
OPS_3(mad_hi_s64, u64, s64, s64, u64, high_s64(a, b) + c)
OPS_3(mad_wide_u16, u32, u32, u32, u32, PRODUCT(a, b) + c)
OPS_3(mad_wide_s16, u32, u32, u32, u32, (uint32_t)(s16(a) * s16(b)) + c)
OPS_3(mad_wide_u32, u64, u32, u32, u64, wide_u(a, b) + c)
OPS_3(mad_wide_s32, u64, s32, s32, u64, wide_s(a, b) + c)

/* the low 24 bits as numbers; hi: bits 16 .. 47 of the product */
OPS_INLINE int32_t low24(uint32_t a) { return (int32_t)(a << 8) >> 8; }
OPS_INLINE uint64_t wide24(uint32_t a, uint32_t b)
{
    return wide_u(a & 0xffffff, b & 0xffffff);
}
OPS_2(mul24_lo_u32, u32, u32, u32, wide24(a, b))
OPS_2(mul24_lo_s32, u32, u32, u32, wide_s(low24(a), low24(b)))
OPS_2(mul24_hi_u32, u32, u32, u32, wide24(a, b) >> 16)
OPS_2(mul24_hi_s32, u32, u32, u32, wide_s(low24(a), low24(b)) >> 16)
OPS_3(mad24_lo_u32, u32, u32, u32, u32, wide24(a, b) + c)
OPS_3(mad24_lo_s32, u32, u32, u32, u32, wide_s(low24(a), low24(b)) + c)
OPS_3(mad24_hi_u32, u32, u32, u32, u32, (wide24(a, b) >> 16) + c)
OPS_3(mad24_hi_s32, u32, u32, u32, u32, (wide_s(low24(a), low24(b)) >> 16) + c)

/* --- quotients --- */
/* Of 32-bit integers in double, which vectorises and is exact: a quotient that is no
 * integer is at least 2^-32 away from one, more than its rounding. The most negative
 * number by -1 wraps round to itself. */
OPS_INLINE uint32_t quotient(double a, double b) { return (uint32_t)(int64_t)(a / b); }
OPS_INLINE uint32_t div_s32(int32_t a, int32_t b)
{
    const uint32_t q = quotient(a, b + (b == 0));
    return b == 0 ? UINT32_MAX : q;
}
OPS_INLINE uint32_t div_u32(uint32_t a, uint32_t b)
{
    const uint32_t q = quotient(a, b + (b == 0));
    return b == 0 ? UINT32_MAX : q;
}
OPS_INLINE uint64_t div_u64(uint64_t a, uint64_t b)
{
    return b == 0 ? UINT64_MAX : a / b;
}
OPS_INLINE uint64_t div_s64(int64_t a, int64_t b)
{
    if (b == 0)
        return UINT64_MAX;
    return b == -1 ? -(uint64_t)a : (uint64_t)(a / b);
}
OPS_INLINE uint32_t rem_u32(uint32_t a, uint32_t b)
{
    return b == 0 ? UINT32_MAX : a - div_u32(a, b) * b;
}
OPS_INLINE uint32_t rem_s32(int32_t a, int32_t b)
{
    return b == 0 ? UINT32_MAX : (uint32_t)a - div_s32(a, b) * (uint32_t)b;
}
OPS_INLINE uint64_t rem_u64(uint64_t a, uint64_t b)
{
    return b == 0 ? UINT64_MAX : a - div_u64(a, b) * b;
}
OPS_INLINE uint64_t rem_s64(int64_t a, int64_t b)
{
    return b == 0 ? UINT64_MAX : (uint64_t)a - div_s64(a, b) * (uint64_t)b;
}
OPS_2(div_u16, u32, u32, u32, div_u32(a, b) & 0xffff)
OPS_2(div_s16, u32, u32, u32, div_s32(s16(a), s16(b)) & 0xffff)
OPS_2(div_u32, u32, u32, u32, div_u32(a, b))
OPS_2(div_s32, u32, s32, s32, div_s32(a, b))
OPS_2(div_u64, u64, u64, u64, div_u64(a, b))
OPS_2(div_s64, u64, s64, s64, div_s64(a, b))
OPS_2(rem_u16, u32, u32, u32, rem_u32(a, b) & 0xffff)
OPS_2(rem_s16, u32, u32, u32, rem_s32(s16(a), s16(b)) & 0xffff)
OPS_2(rem_u32, u32, u32, u32, rem_u32(a, b))
OPS_2(rem_s32, u32, s32, s32, rem_s32(a, b))
OPS_2(rem_u64, u64, u64, u64, rem_u64(a, b))
OPS_2(rem_s64, u64, s64, s64, rem_s64(a, b))

/* --- order --- */
OPS_INLINE uint32_t max0(int32_t a) { return a < 0 ? 0 : (uint32_t)a; }
OPS_INLINE uint32_t pair(uint32_t low, uint32_t high)
{
    return (low & 0xffff) | high << 16;
}
/* f of both halves of packed pairs */
#define PAIR_U(f, a, b) pair(f((a)&0xffff, (b)&0xffff), f((a) >> 16, (b) >> 16))
#define PAIR_S(f, a, b) pair(f(s16(a), s16(b)), f(s16((a) >> 16), s16((b) >> 16)))
#define ADD(a, b) ((uint32_t)(a) + (uint32_t)(b))
#define MIN(a, b) ((uint32_t)((a) < (b) ? (a) : (b)))
#define MAX(a, b) ((uint32_t)((a) > (b) ? (a) : (b)))
#define MIN_RELU(a, b) max0((a) < (b) ? (a) : (b))
#define MAX_RELU(a, b) max0((a) > (b) ? (a) : (b))
OPS_2(add_u16x2, u32, u32, u32, PAIR_U(ADD, a, b))
OPS_2(min_u16x2, u32, u32, u32, PAIR_U(MIN, a, b))
OPS_2(max_u16x2, u32, u32, u32, PAIR_U(MAX, a, b))
OPS_2(min_s16x2, u32, u32, u32, PAIR_S(MIN, a, b))
OPS_2(max_s16x2, u32, u32, u32, PAIR_S(MAX, a, b))
OPS_2(min_relu_s16x2, u32, u32, u32, PAIR_S(MIN_RELU, a, b))
OPS_2(max_relu_s16x2, u32, u32, u32, PAIR_S(MAX_RELU, a, b))
OPS_2(min_u32, u32, u32, u32, a < b ? a : b)
OPS_2(max_u32, u32, u32, u32, a > b ? a : b)
OPS_2(min_s16, u32, u32, u32, s16(a) < s16(b) ? a : b)
OPS_2(max_s16, u32, u32, u32, s16(a) > s16(b) ? a : b)
OPS_2(min_s32, s32, s32, s32, a < b ? a : b)
OPS_2(max_s32, s32, s32, s32, a > b ? a : b)
OPS_2(min_relu_s32, u32, s32, s32, max0(a < b ? a : b))
OPS_2(max_relu_s32, u32, s32, s32, max0(a > b ? a : b))
OPS_2(min_u64, u64, u64, u64, a < b ? a : b)
OPS_2(max_u64, u64, u64, u64, a > b ? a : b)
OPS_2(min_s64, s64, s64, s64, a < b ? a : b)
OPS_2(max_s64, s64, s64, s64, a > b ? a : b)

OPS_3(sad_u32, u32, u32, u32, u32, c + (a > b ? a - b : b - a))
OPS_3(sad_s32, u32, s32, s32, u32,
      c + (a > b ? (uint32_t)a - (uint32_t)b : (uint32_t)b - (uint32_t)a))
OPS_3(sad_u16, u32, u32, u32, u32, (c + (a > b ? a - b : b - a)) & 0xffff)
OPS_3(sad_s16, u32, u32, u32, u32, (c + (s16(a) > s16(b) ? a - b : b - a)) & 0xffff)
OPS_3(sad_u64, u64, u64, u64, u64, c + (a > b ? a - b : b - a))
OPS_3(sad_s64, u64, s64, s64, u64,
      c + (a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a))

/* --- dot products --- */
/* byte k of a, signed where bit 1 of `kinds` is set; of b bit 0 */
OPS_INLINE int32_t byte_of(uint32_t a, int32_t k, int32_t is_signed)
{
    const uint32_t u = a >> 8 * k & 0xff;
    return is_signed ? (int8_t)u : (int32_t)u;
}
OPS_INLINE int32_t half_of(uint32_t a, int32_t k, int32_t is_signed)
{
    const uint32_t u = a >> 16 * k & 0xffff;
    return is_signed ? (int16_t)u : (int32_t)u;
}
OPS_INLINE uint32_t dp4a(uint32_t a, uint32_t b, uint32_t c, int32_t kinds)
{
    for (int32_t k = 0; k < 4; k++)
        c += (uint32_t)(byte_of(a, k, kinds & 2) * byte_of(b, k, kinds & 1));
    return c;
}
/* kinds & 4: with the high bytes of b */
OPS_INLINE uint32_t dp2a(uint32_t a, uint32_t b, uint32_t c, int32_t kinds)
{
    for (int32_t k = 0; k < 2; k++)
        c += (uint32_t)half_of(a, k, kinds & 2) *
             (uint32_t)byte_of(b, k + (kinds & 4 ? 2 : 0), kinds & 1);
    return c;
}
OPS_3(dp4a, u32, u32, u32, u32, dp4a(a, b, c, i->option[0]))
OPS_3(dp2a, u32, u32, u32, u32, dp2a(a, b, c, i->option[0]))

/* --- with carry --- */
/* Each lane's carry flag is a bit of w->carry; subtraction borrows. These are rare: one
 * executor, lane by lane. option[0]: carry_op | CARRY_IN | CARRY_OUT. */
enum carry_op { CARRY_ADD, CARRY_SUB, CARRY_LO, CARRY_HI_U, CARRY_HI_S, CARRY_OPS = 7 };
enum { CARRY_IN = 8, CARRY_OUT = 16 };

OPS_INLINE uint64_t carry_product(int32_t op, uint64_t a, uint64_t b, bool is_64)
{
    if (op == CARRY_LO)
        return is_64 ? a * b : (uint32_t)(a * b);
    if (op == CARRY_HI_U)
        return is_64 ? high_u64(a, b) : a * b >> 32;
    return is_64 ? high_s64((int64_t)a, (int64_t)b)
                 : (uint32_t)(wide_s((int32_t)a, (int32_t)b) >> 32);
}

OPS_INLINE uint64_t lane_get(const struct machine_warp *w, const struct ptx_insn *i,
                             int32_t k, int32_t l)
{
    const int32_t slot = i->o[k].slot;
    return i->o[0].bytes == 8 ? machine_u64(w, slot)[l] : machine_u32(w, slot)[l];
}

OPS_RUN(carry)
{
    const int32_t op = i->option[0] & CARRY_OPS;
    const bool is_64 = i->o[0].bytes == 8;
    for (int32_t l = 0; l < PTX_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        const uint64_t a = lane_get(w, i, 1, l), b = lane_get(w, i, 2, l);
        const uint64_t in = i->option[0] & CARRY_IN ? w->carry >> l & 1 : 0;
        unsigned __int128 sum = 0; /* its bit 32 or 64 is the carry or borrow */
        if (op == CARRY_SUB)
            sum = (unsigned __int128)a - b - in;
        else if (op == CARRY_ADD)
            sum = (unsigned __int128)a + b + in;
        else
            sum = (unsigned __int128)carry_product(op, a, b, is_64) +
                  lane_get(w, i, 3, l) + in;
        if (is_64)
            machine_u64(w, i->o[0].slot)[l] = (uint64_t)sum;
        else
            machine_u32(w, i->o[0].slot)[l] = (uint32_t)sum;
        const uint32_t out = (uint32_t)(sum >> (is_64 ? 64 : 32)) & 1;
        if (i->option[0] & CARRY_OUT)
            w->carry = (w->carry & ~(1u << l)) | out << l;
    }
    return MACHINE_NEXT;
}

/* --- tables --- */
/* rows of an operation that is the same for signed and unsigned, or is not */
#define U_AND_S(op, f, b16, b32, b64)                                                  \
    {op ".u16", run_##f##_b16, b16}, {op ".s16", run_##f##_b16, b16},                  \
        {op ".u32", run_##f##_b32, b32}, {op ".s32", run_##f##_b32, b32},              \
        {op ".u64", run_##f##_b64, b64},                                               \
    {                                                                                  \
        op ".s64", run_##f##_b64, b64                                                  \
    }
#define BY_TYPE(op, f, b16, b32, b64)                                                  \
    {op ".u16", run_##f##_u16, b16}, {op ".s16", run_##f##_s16, b16},                  \
        {op ".u32", run_##f##_u32, b32}, {op ".s32", run_##f##_s32, b32},              \
        {op ".u64", run_##f##_u64, b64},                                               \
    {                                                                                  \
        op ".s64", run_##f##_s64, b64                                                  \
    }
#define CARRY(op, bytes32, bytes64, option)                                            \
    {op ".u32", run_carry, bytes32, option}, {op ".s32", run_carry, bytes32, option},  \
        {op ".u64", run_carry, bytes64, option},                                       \
    {                                                                                  \
        op ".s64", run_carry, bytes64, option                                          \
    }
#define CARRY_MAD(op, cc, kinds)                                                       \
    CARRY(op ".lo" cc, "4444", "8888", CARRY_LO | (kinds)),                            \
        {op ".hi" cc ".u32", run_carry, "4444", CARRY_HI_U | (kinds)},                 \
        {op ".hi" cc ".s32", run_carry, "4444", CARRY_HI_S | (kinds)},                 \
        {op ".hi" cc ".u64", run_carry, "8888", CARRY_HI_U | (kinds)},                 \
    {                                                                                  \
        op ".hi" cc ".s64", run_carry, "8888", CARRY_HI_S | (kinds)                    \
    }

#define run_min_u16 run_min_u32 /* zero-extended: ordered as 32-bit numbers */
#define run_max_u16 run_max_u32

static const struct ops_form FORMS[] = {
    U_AND_S("add", add, "222", "444", "888"),
    U_AND_S("sub", sub, "222", "444", "888"),
    U_AND_S("mul.lo", mul_lo, "222", "444", "888"),
    BY_TYPE("mul.hi", mul_hi, "222", "444", "888"),
    U_AND_S("mad.lo", mad_lo, "2222", "4444", "8888"),
    BY_TYPE("mad.hi", mad_hi, "2222", "4444", "8888"),
    BY_TYPE("div", div, "222", "444", "888"),
    BY_TYPE("rem", rem, "222", "444", "888"),
    BY_TYPE("min", min, "222", "444", "888"),
    BY_TYPE("max", max, "222", "444", "888"),
    BY_TYPE("sad", sad, "2222", "4444", "8888"),
    {"mul.wide.u16", run_mul_wide_u16, "422"},
    {"mul.wide.s16", run_mul_wide_s16, "422"},
    {"mul.wide.u32", run_mul_wide_u32, "844"},
    {"mul.wide.s32", run_mul_wide_s32, "844"},
    {"mad.wide.u16", run_mad_wide_u16, "4224"},
    {"mad.wide.s16", run_mad_wide_s16, "4224"},
    {"mad.wide.u32", run_mad_wide_u32, "8448"},
    {"mad.wide.s32", run_mad_wide_s32, "8448"},
    {"add.sat.s32", run_add_sat_s32, "444"},
    {"sub.sat.s32", run_sub_sat_s32, "444"},
    {"mad.hi.sat.s32", run_mad_hi_sat_s32, "4444"},
    {"mul24.lo.u32", run_mul24_lo_u32, "444"},
    {"mul24.lo.s32", run_mul24_lo_s32, "444"},
    {"mul24.hi.u32", run_mul24_hi_u32, "444"},
    {"mul24.hi.s32", run_mul24_hi_s32, "444"},
    {"mad24.lo.u32", run_mad24_lo_u32, "4444"},
    {"mad24.lo.s32", run_mad24_lo_s32, "4444"},
    {"mad24.hi.u32", run_mad24_hi_u32, "4444"},
    {"mad24.hi.s32", run_mad24_hi_s32, "4444"},
    {"neg.s16", run_neg_b16, "22"},
    {"neg.s32", run_neg_b32, "44"},
    {"neg.s64", run_neg_b64, "88"},
    {"abs.s16", run_abs_s16, "22"},
    {"abs.s32", run_abs_s32, "44"},
    {"abs.s64", run_abs_s64, "88"},
    {"min.relu.s32", run_min_relu_s32, "444"},
    {"max.relu.s32", run_max_relu_s32, "444"},
    {"add.u16x2", run_add_u16x2, "444"},
    {"add.s16x2", run_add_u16x2, "444"},
    {"min.u16x2", run_min_u16x2, "444"},
    {"max.u16x2", run_max_u16x2, "444"},
    {"min.s16x2", run_min_s16x2, "444"},
    {"max.s16x2", run_max_s16x2, "444"},
    {"min.relu.s16x2", run_min_relu_s16x2, "444"},
    {"max.relu.s16x2", run_max_relu_s16x2, "444"},
    {"dp4a.u32.u32", run_dp4a, "4444", 0},
    {"dp4a.u32.s32", run_dp4a, "4444", 1},
    {"dp4a.s32.u32", run_dp4a, "4444", 2},
    {"dp4a.s32.s32", run_dp4a, "4444", 3},
    {"dp2a.lo.u32.u32", run_dp2a, "4444", 0},
    {"dp2a.lo.u32.s32", run_dp2a, "4444", 1},
    {"dp2a.lo.s32.u32", run_dp2a, "4444", 2},
    {"dp2a.lo.s32.s32", run_dp2a, "4444", 3},
    {"dp2a.hi.u32.u32", run_dp2a, "4444", 4},
    {"dp2a.hi.u32.s32", run_dp2a, "4444", 5},
    {"dp2a.hi.s32.u32", run_dp2a, "4444", 6},
    {"dp2a.hi.s32.s32", run_dp2a, "4444", 7},
    CARRY("add.cc", "444", "888", CARRY_ADD | CARRY_OUT),
    CARRY("addc", "444", "888", CARRY_ADD | CARRY_IN),
    CARRY("addc.cc", "444", "888", CARRY_ADD | CARRY_IN | CARRY_OUT),
    CARRY("sub.cc", "444", "888", CARRY_SUB | CARRY_OUT),
    CARRY("subc", "444", "888", CARRY_SUB | CARRY_IN),
    CARRY("subc.cc", "444", "888", CARRY_SUB | CARRY_IN | CARRY_OUT),
    CARRY_MAD("mad", ".cc", CARRY_OUT),
    CARRY_MAD("madc", "", CARRY_IN),
    CARRY_MAD("madc", ".cc", CARRY_IN | CARRY_OUT),
};

static ptx_run_fn bind(struct ptx_insn *i)
{
    return ops_bind(i, FORMS, ARRAY_LEN(FORMS));
}

const struct machine_op machine_ops_int[] = {
    {"add", bind},
    {"addc", bind},
    {"sub", bind},
    {"subc", bind},
    {"mul", bind},
    {"mul24", bind},
    {"mad", bind},
    {"mad24", bind},
    {"madc", bind},
    {"div", bind},
    {"rem", bind},
    {"min", bind},
    {"max", bind},
    {"neg", bind},
    {"abs", bind},
    {"sad", bind},
    {"dp4a", bind},
    {"dp2a", bind},
    {"and", ops_bind_bits},
    {"or", ops_bind_bits},
    {"xor", ops_bind_bits},
    {"not", ops_bind_bits},
    {"cnot", ops_bind_bits},
    {"shl", ops_bind_bits},
    {"shr", ops_bind_bits},
    {"shf", ops_bind_bits},
    {"popc", ops_bind_bits},
    {"clz", ops_bind_bits},
    {"brev", ops_bind_bits},
    {"bfe", ops_bind_bits},
    {"bfi", ops_bind_bits},
    {"bfind", ops_bind_bits},
    {"prmt", ops_bind_bits},
    {"lop3", ops_bind_bits},
    {NULL, NULL},
};
