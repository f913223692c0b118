/*
 * Bitwise operations: logic, shifts, bit fields, counting, permutation of bytes. 16-bit
 * values are zero-extended in their lanes. Shift counts are 32-bit numbers whatever the
 * type, and counts from the width on give what shifting by the width would.
 */
#include "emulator/ops.h"

/* --- logic --- */
OPS_2(and_b32, u32, u32, u32, (a & b))
OPS_2(or_b32, u32, u32, u32, a | b)
OPS_2(xor_b32, u32, u32, u32, a ^ b)
OPS_2(and_b64, u64, u64, u64, (a & b))
OPS_2(or_b64, u64, u64, u64, a | b)
OPS_2(xor_b64, u64, u64, u64, a ^ b)
OPS_1(not_b16, u32, u32, ~a & 0xffff)
OPS_1(not_b32, u32, u32, ~a)
OPS_1(not_b64, u64, u64, ~a)
OPS_1(cnot_b32, u32, u32, a == 0)
OPS_1(cnot_b64, u64, u64, a == 0)

OPS_INLINE uint32_t mux(uint32_t select, uint32_t if_1, uint32_t if_0)
{
    return (select & if_1) | (~select & if_0);
}
/* entry k of the truth table for all bits */
OPS_INLINE uint32_t lut_bit(int32_t lut, int32_t k)
{
    return -((uint32_t)lut >> k & 1);
}
OPS_INLINE uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, int32_t lut)
{
    const uint32_t b1_a1 = mux(c, lut_bit(lut, 7), lut_bit(lut, 6));
    const uint32_t b0_a1 = mux(c, lut_bit(lut, 5), lut_bit(lut, 4));
    const uint32_t b1_a0 = mux(c, lut_bit(lut, 3), lut_bit(lut, 2));
    const uint32_t b0_a0 = mux(c, lut_bit(lut, 1), lut_bit(lut, 0));
    return mux(a, mux(b, b1_a1, b0_a1), mux(b, b1_a0, b0_a0));
}
OPS_3(lop3, u32, u32, u32, u32, lop3(a, b, c, i->option[0]))

/* --- shifts --- */
OPS_2(shl_b16, u32, u32, u32, b > 15 ? 0 : a << (b & 15) & 0xffff)
OPS_2(shl_b32, u32, u32, u32, b > 31 ? 0 : a << (b & 31))
OPS_2(shl_b64, u64, u64, u32, b > 63 ? 0 : a << (b & 63))
OPS_2(shr_u16, u32, u32, u32, b > 15 ? 0 : a >> (b & 15))
OPS_2(shr_u32, u32, u32, u32, b > 31 ? 0 : a >> (b & 31))
OPS_2(shr_u64, u64, u64, u32, b > 63 ? 0 : a >> (b & 63))
OPS_2(shr_s16, u32, u32, u32, (uint32_t)((int16_t)a >> (b > 15 ? 15 : b)) & 0xffff)
OPS_2(shr_s32, s32, s32, u32, a >> (b > 31 ? 31 : b))
OPS_2(shr_s64, s64, s64, u32, a >> (b > 63 ? 63 : b))

/* funnel shifts of b:a; counts are taken modulo 32, or clamped to 32 */
OPS_INLINE uint64_t funnel(uint32_t a, uint32_t b) { return (uint64_t)b << 32 | a; }
OPS_INLINE uint32_t clamp32(uint32_t n) { return n > 32 ? 32 : n; }
OPS_3(shf_l_wrap, u32, u32, u32, u32, funnel(a, b) << (c & 31) >> 32)
OPS_3(shf_r_wrap, u32, u32, u32, u32, funnel(a, b) >> (c & 31))
OPS_3(shf_l_clamp, u32, u32, u32, u32, funnel(a, b) << clamp32(c) >> 32)
OPS_3(shf_r_clamp, u32, u32, u32, u32, funnel(a, b) >> clamp32(c))

/* --- counting --- */
OPS_INLINE uint32_t popc64(uint64_t a) { return (uint32_t)__builtin_popcountll(a); }
OPS_INLINE uint32_t clz32(uint32_t a)
{
    return a == 0 ? 32 : (uint32_t)__builtin_clz(a);
}
OPS_INLINE uint32_t clz64(uint64_t a)
{
    return a == 0 ? 64 : (uint32_t)__builtin_clzll(a);
}
OPS_INLINE uint32_t brev32(uint32_t a)
{
    a = (a >> 1 & 0x55555555) | (a & 0x55555555) << 1;
    a = (a >> 2 & 0x33333333) | (a & 0x33333333) << 2;
    a = (a >> 4 & 0x0f0f0f0f) | (a & 0x0f0f0f0f) << 4;
    a = (a >> 8 & 0x00ff00ff) | (a & 0x00ff00ff) << 8;
    return a >> 16 | a << 16;
}
OPS_1(popc_b32, u32, u32, popc64(a))
OPS_1(popc_b64, u32, u64, popc64(a))
OPS_1(clz_b32, u32, u32, clz32(a))
OPS_1(clz_b64, u32, u64, clz64(a))
OPS_1(brev_b32, u32, u32, brev32(a))
OPS_1(brev_b64, u64, u64,
      (uint64_t)brev32((uint32_t)a) << 32 | brev32((uint32_t)(a >> 32)))

/* The place of the leading bit that differs from the sign (0 for unsigned), or with
 * .shiftamt (option 1) how far it is from the top; all ones where there is none. */
OPS_INLINE uint32_t bfind(uint32_t clz, int32_t width, int32_t is_shift)
{
    if (clz == (uint32_t)width)
        return UINT32_MAX;
    return is_shift ? clz : (uint32_t)width - 1 - clz;
}
OPS_1(bfind_u32, u32, u32, bfind(clz32(a), 32, i->option[0]))
OPS_1(bfind_s32, u32, s32, bfind(clz32((uint32_t)(a < 0 ? ~a : a)), 32, i->option[0]))
OPS_1(bfind_u64, u32, u64, bfind(clz64(a), 64, i->option[0]))
OPS_1(bfind_s64, u32, s64, bfind(clz64((uint64_t)(a < 0 ? ~a : a)), 64, i->option[0]))

/* --- bit fields --- */
/* the low n bits; n >= width: all */
OPS_INLINE uint32_t low32(uint32_t n)
{
    return n > 31 ? UINT32_MAX : (1u << (n & 31)) - 1;
}
OPS_INLINE uint64_t low64(uint32_t n)
{
    return n > 63 ? UINT64_MAX : ((uint64_t)1 << (n & 63)) - 1;
}

/* Bits pos .. pos + len - 1 of a, above them the sign: the field's last bit or, if the
 * field runs past the top, a's. */
OPS_INLINE uint32_t bfe32(uint32_t a, uint32_t pos, uint32_t len, bool is_signed)
{
    pos &= 0xff;
    len &= 0xff;
    const uint32_t top = pos + len - 1 > 31 ? 31 : pos + len - 1;
    const uint32_t sign = is_signed && len > 0 ? a >> (top & 31) & 1 : 0;
    const uint32_t here = low32(len) & (pos > 31 ? 0 : UINT32_MAX >> (pos & 31));
    return (a >> (pos & 31) & here) | (-sign & ~here);
}
OPS_INLINE uint64_t bfe64(uint64_t a, uint32_t pos, uint32_t len, bool is_signed)
{
    pos &= 0xff;
    len &= 0xff;
    const uint32_t top = pos + len - 1 > 63 ? 63 : pos + len - 1;
    const uint64_t sign = is_signed && len > 0 ? a >> (top & 63) & 1 : 0;
    const uint64_t here = low64(len) & (pos > 63 ? 0 : UINT64_MAX >> (pos & 63));
    return (a >> (pos & 63) & here) | (-sign & ~here);
}
OPS_3(bfe_u32, u32, u32, u32, u32, bfe32(a, b, c, false))
OPS_3(bfe_s32, u32, u32, u32, u32, bfe32(a, b, c, true))
OPS_3(bfe_u64, u64, u64, u32, u32, bfe64(a, b, c, false))
OPS_3(bfe_s64, u64, u64, u32, u32, bfe64(a, b, c, true))

/* b with bits pos .. pos + len - 1 from a; bits past the top are lost */
OPS_INLINE uint32_t bfi32(uint32_t a, uint32_t b, uint32_t pos, uint32_t len)
{
    pos &= 0xff;
    const uint32_t here = pos > 31 ? 0 : low32(len & 0xff) << (pos & 31);
    return mux(here, a << (pos & 31), b);
}
OPS_INLINE uint64_t bfi64(uint64_t a, uint64_t b, uint32_t pos, uint32_t len)
{
    pos &= 0xff;
    const uint64_t here = pos > 63 ? 0 : low64(len & 0xff) << (pos & 63);
    return (a << (pos & 63) & here) | (b & ~here);
}
OPS_4(bfi_b32, u32, u32, u32, u32, u32, bfi32(a, b, c, e))
OPS_4(bfi_b64, u64, u64, u64, u32, u32, bfi64(a, b, c, e))

/* --- bytes --- */
/* selectors of the modes but the default, by the low two bits of c; entry k: byte k */
enum prmt_mode {
    PRMT_INDEX,
    PRMT_F4E,
    PRMT_B4E,
    PRMT_RC8,
    PRMT_ECL,
    PRMT_ECR,
    PRMT_RC16
};
static const uint16_t PRMT_SELECTORS[][4] = {
    [PRMT_F4E] = {0x3210, 0x4321, 0x5432, 0x6543},
    [PRMT_B4E] = {0x5670, 0x6701, 0x7012, 0x0123},
    [PRMT_RC8] = {0x0000, 0x1111, 0x2222, 0x3333},
    [PRMT_ECL] = {0x3210, 0x3211, 0x3222, 0x3333},
    [PRMT_ECR] = {0x0000, 0x1110, 0x2210, 0x3210},
    [PRMT_RC16] = {0x1010, 0x3232, 0x1010, 0x3232},
};

/* byte k of the result; selector bit 3: the byte's sign eight times */
OPS_INLINE uint32_t prmt_byte(uint64_t ba, uint32_t selectors, int32_t k)
{
    const uint32_t s = selectors >> 4 * k;
    const uint32_t byte = (uint32_t)(ba >> 8 * (s & 7)) & 0xff;
    return (s & 8 ? -(byte >> 7) & 0xff : byte) << 8 * k;
}
OPS_INLINE uint32_t prmt(uint64_t ba, uint32_t s)
{
    return prmt_byte(ba, s, 0) | prmt_byte(ba, s, 1) | prmt_byte(ba, s, 2) |
           prmt_byte(ba, s, 3);
}
OPS_3(prmt, u32, u32, u32, u32, prmt(funnel(a, b), c))
OPS_3(prmt_mode, u32, u32, u32, u32,
      prmt(funnel(a, b), PRMT_SELECTORS[i->option[0]][c & 3]))

/* 16-bit values are zero-extended, so these act on them as they are */
#define BITS(op, f, b16, b32, b64)                                                     \
    {op ".b16", run_##f##_b32, b16}, {op ".b32", run_##f##_b32, b32},                  \
    {                                                                                  \
        op ".b64", run_##f##_b64, b64                                                  \
    }
#define BY_SIGN(op, f, b32, b64, option)                                               \
    {op ".u32", run_##f##_u32, b32, option}, {op ".s32", run_##f##_s32, b32, option},  \
        {op ".u64", run_##f##_u64, b64, option},                                       \
    {                                                                                  \
        op ".s64", run_##f##_s64, b64, option                                          \
    }

static const struct ops_form FORMS[] = {
    BITS("and", and, "222", "444", "888"),
    BITS("or", or, "222", "444", "888"),
    BITS("xor", xor, "222", "444", "888"),
    BITS("cnot", cnot, "22", "44", "88"),
    {"not.b16", run_not_b16, "22"},
    {"not.b32", run_not_b32, "44"},
    {"not.b64", run_not_b64, "88"},
    {"shl.b16", run_shl_b16, "224"},
    {"shl.b32", run_shl_b32, "444"},
    {"shl.b64", run_shl_b64, "884"},
    {"shr.b16", run_shr_u16, "224"},
    {"shr.b32", run_shr_u32, "444"},
    {"shr.b64", run_shr_u64, "884"},
    {"shr.u16", run_shr_u16, "224"},
    {"shr.s16", run_shr_s16, "224"},
    BY_SIGN("shr", shr, "444", "884", 0),
    {"shf.l.wrap.b32", run_shf_l_wrap, "4444"},
    {"shf.r.wrap.b32", run_shf_r_wrap, "4444"},
    {"shf.l.clamp.b32", run_shf_l_clamp, "4444"},
    {"shf.r.clamp.b32", run_shf_r_clamp, "4444"},
    {"popc.b32", run_popc_b32, "44"},
    {"popc.b64", run_popc_b64, "48"},
    {"clz.b32", run_clz_b32, "44"},
    {"clz.b64", run_clz_b64, "48"},
    {"brev.b32", run_brev_b32, "44"},
    {"brev.b64", run_brev_b64, "88"},
    BY_SIGN("bfind", bfind, "44", "48", 0),
    BY_SIGN("bfind.shiftamt", bfind, "44", "48", 1),
    BY_SIGN("bfe", bfe, "4444", "8844", 0),
    {"bfi.b32", run_bfi_b32, "44444"},
    {"bfi.b64", run_bfi_b64, "88844"},
    {"prmt.b32", run_prmt, "4444"},
    {"prmt.b32.f4e", run_prmt_mode, "4444", PRMT_F4E},
    {"prmt.b32.b4e", run_prmt_mode, "4444", PRMT_B4E},
    {"prmt.b32.rc8", run_prmt_mode, "4444", PRMT_RC8},
    {"prmt.b32.ecl", run_prmt_mode, "4444", PRMT_ECL},
    {"prmt.b32.ecr", run_prmt_mode, "4444", PRMT_ECR},
    {"prmt.b32.rc16", run_prmt_mode, "4444", PRMT_RC16},
    {"lop3.b32", run_lop3, "44444"},
};

ptx_run_fn ops_bind_bits(struct ptx_insn *i)
{
    const ptx_run_fn run = ops_bind(i, FORMS, ARRAY_LEN(FORMS));
    if (run != run_lop3)
        return run;
    const struct ptx_operand *const lut = &i->o[4];
    if (lut->kind != PTX_IMM || lut->bits < 0 || lut->bits > 255)
        return NULL;
    i->option[0] = (int32_t)lut->bits;
    return run;
}
