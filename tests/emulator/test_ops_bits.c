/* emulator/ops_bits.c: every operation against loops over single bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/status.h"
#include "tests/emulator/ops_fixture.h"

#define REF(name, expr)                                                                \
    static uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t e)               \
    {                                                                                  \
        (void)a, (void)b, (void)c, (void)e;                                            \
        return expr;                                                                   \
    }

static uint64_t cut(uint64_t a, int32_t bits)
{
    return bits == 64 ? a : a & ((1ull << bits) - 1);
}
static uint64_t bit(uint64_t a, int64_t k) { return k >= 0 && k < 64 ? a >> k & 1 : 0; }

REF(and_bits, a &b)
REF(or_bits, a | b)
REF(xor_bits, a ^ b)
REF(not16, cut(~a, 16))
REF(not32, cut(~a, 32))
REF(not64, ~a)
REF(cnot, a == 0)

/* bit k of the result is bit k + by of a, outside it `fill` */
static uint64_t shifted(uint64_t a, int64_t by, int32_t bits, uint64_t fill)
{
    uint64_t r = 0;
    for (int32_t k = 0; k < bits; k++)
        r |= (k + by < bits && k + by >= 0 ? bit(a, k + by) : fill) << k;
    return r;
}
REF(shl16, shifted(a, -(int64_t)b, 16, 0))
REF(shl32, shifted(a, -(int64_t)b, 32, 0))
REF(shl64, shifted(a, -(int64_t)b, 64, 0))
REF(shr_u16, shifted(a, (int64_t)b, 16, 0))
REF(shr_u32, shifted(a, (int64_t)b, 32, 0))
REF(shr_u64, shifted(a, (int64_t)b, 64, 0))
REF(shr_s16, shifted(a, (int64_t)b, 16, bit(a, 15)))
REF(shr_s32, shifted(a, (int64_t)b, 32, bit(a, 31)))
REF(shr_s64, shifted(a, (int64_t)b, 64, bit(a, 63)))
/* of b:a, the upper 32 bits after a shift to the left, the lower after one to the right
 */
static uint64_t funnel(uint64_t a, uint64_t b, int64_t by, int32_t from)
{
    uint64_t r = 0;
    for (int32_t k = 0; k < 32; k++)
        r |= bit(b << 32 | a, from + k + by) << k;
    return r;
}
REF(shf_l_wrap, funnel(a, b, -(int64_t)(c % 32), 32))
REF(shf_r_wrap, funnel(a, b, (int64_t)(c % 32), 0))
REF(shf_l_clamp, funnel(a, b, -(int64_t)(c < 32 ? c : 32), 32))
REF(shf_r_clamp, funnel(a, b, (int64_t)(c < 32 ? c : 32), 0))

static uint64_t count(uint64_t a)
{
    uint64_t n = 0;
    for (int32_t k = 0; k < 64; k++)
        n += bit(a, k);
    return n;
}
/* the highest bit of a that is not `sign`, or -1 */
static int64_t highest(uint64_t a, int32_t bits, uint64_t sign)
{
    int64_t k = bits - 1;
    while (k >= 0 && bit(a, k) == sign)
        k--;
    return k;
}
static uint64_t reversed(uint64_t a, int32_t bits)
{
    uint64_t r = 0;
    for (int32_t k = 0; k < bits; k++)
        r |= bit(a, k) << (bits - 1 - k);
    return r;
}
static uint64_t amount(int64_t k, int32_t bits)
{
    return k < 0 ? 0xffffffff : (uint64_t)(bits - 1 - k);
}
REF(popc, count(a))
REF(clz32, (uint64_t)(31 - highest(a, 32, 0)))
REF(clz64, (uint64_t)(63 - highest(a, 64, 0)))
REF(brev32, reversed(a, 32))
REF(brev64, reversed(a, 64))
REF(bfind_u32, (uint32_t)highest(a, 32, 0))
REF(bfind_s32, (uint32_t)highest(a, 32, bit(a, 31)))
REF(bfind_u64, (uint32_t)highest(a, 64, 0))
REF(bfind_s64, (uint32_t)highest(a, 64, bit(a, 63)))
REF(shiftamt_u32, amount(highest(a, 32, 0), 32))
REF(shiftamt_s32, amount(highest(a, 32, bit(a, 31)), 32))
REF(shiftamt_u64, amount(highest(a, 64, 0), 64))
REF(shiftamt_s64, amount(highest(a, 64, bit(a, 63)), 64))

/* the ISA's loops */
static uint64_t extract(uint64_t a, uint64_t b, uint64_t c, int32_t bits,
                        bool is_signed)
{
    const int64_t pos = b & 0xff, len = c & 0xff, msb = bits - 1;
    const int64_t last = pos + len - 1 < msb ? pos + len - 1 : msb;
    const uint64_t sign = is_signed && len > 0 ? bit(a, last) : 0;
    uint64_t r = 0;
    for (int64_t k = 0; k < bits; k++)
        r |= (k < len && pos + k <= msb ? bit(a, pos + k) : sign) << k;
    return r;
}
static uint64_t insert(uint64_t a, uint64_t b, uint64_t c, uint64_t e, int32_t bits)
{
    const int64_t pos = c & 0xff, len = e & 0xff;
    for (int64_t k = 0; k < len && pos + k < bits; k++)
        b = (b & ~(1ull << (pos + k))) | bit(a, k) << (pos + k);
    return b;
}
REF(bfe_u32, extract(a, b, c, 32, false))
REF(bfe_s32, extract(a, b, c, 32, true))
REF(bfe_u64, extract(a, b, c, 64, false))
REF(bfe_s64, extract(a, b, c, 64, true))
REF(bfi32, insert(a, b, c, e, 32))
REF(bfi64, insert(a, b, c, e, 64))

static uint64_t permuted(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t r = 0;
    for (int32_t k = 0; k < 4; k++) {
        const uint64_t s = c >> 4 * k & 15;
        const uint64_t byte = (b << 32 | a) >> 8 * (s & 7) & 0xff;
        r |= (s < 8 ? byte : byte >= 0x80 ? 0xff : 0) << 8 * k;
    }
    return r;
}
REF(prmt, permuted(a, b, c))

static const struct {
    const char *mnemonic, *sig;
    ops_ref_fn ref;
} BITS[] = {
    {"and.b16", "222", and_bits},
    {"and.b32", "444", and_bits},
    {"and.b64", "888", and_bits},
    {"or.b16", "222", or_bits},
    {"or.b32", "444", or_bits},
    {"or.b64", "888", or_bits},
    {"xor.b16", "222", xor_bits},
    {"xor.b32", "444", xor_bits},
    {"xor.b64", "888", xor_bits},
    {"not.b16", "22", not16},
    {"not.b32", "44", not32},
    {"not.b64", "88", not64},
    {"cnot.b16", "22", cnot},
    {"cnot.b32", "44", cnot},
    {"cnot.b64", "88", cnot},
    {"shl.b16", "224", shl16},
    {"shl.b32", "444", shl32},
    {"shl.b64", "884", shl64},
    {"shr.b16", "224", shr_u16},
    {"shr.b32", "444", shr_u32},
    {"shr.b64", "884", shr_u64},
    {"shr.u16", "224", shr_u16},
    {"shr.u32", "444", shr_u32},
    {"shr.u64", "884", shr_u64},
    {"shr.s16", "224", shr_s16},
    {"shr.s32", "444", shr_s32},
    {"shr.s64", "884", shr_s64},
    {"shf.l.wrap.b32", "4444", shf_l_wrap},
    {"shf.r.wrap.b32", "4444", shf_r_wrap},
    {"shf.l.clamp.b32", "4444", shf_l_clamp},
    {"shf.r.clamp.b32", "4444", shf_r_clamp},
    {"popc.b32", "44", popc},
    {"popc.b64", "48", popc},
    {"clz.b32", "44", clz32},
    {"clz.b64", "48", clz64},
    {"brev.b32", "44", brev32},
    {"brev.b64", "88", brev64},
    {"bfind.u32", "44", bfind_u32},
    {"bfind.s32", "44", bfind_s32},
    {"bfind.u64", "48", bfind_u64},
    {"bfind.s64", "48", bfind_s64},
    {"bfind.shiftamt.u32", "44", shiftamt_u32},
    {"bfind.shiftamt.s32", "44", shiftamt_s32},
    {"bfind.shiftamt.u64", "48", shiftamt_u64},
    {"bfind.shiftamt.s64", "48", shiftamt_s64},
    {"bfe.u32", "4444", bfe_u32},
    {"bfe.s32", "4444", bfe_s32},
    {"bfe.u64", "8844", bfe_u64},
    {"bfe.s64", "8844", bfe_s64},
    {"bfi.b32", "44444", bfi32},
    {"bfi.b64", "88844", bfi64},
    {"prmt.b32", "4444", prmt},
};

static void test_bits(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(BITS); k++)
        ops_check(BITS[k].mnemonic, BITS[k].sig, BITS[k].ref);
}

/* a = 0x33221100 and b = 0x77665544: byte k of b:a is 0x11 * k */
static void test_prmt_modes(void **state)
{
    (void)state;
    const struct {
        const char *mnemonic;
        uint32_t d[4]; /* for c = 0 .. 3 */
    } CASES[] = {
        {"prmt.b32.f4e", {0x33221100, 0x44332211, 0x55443322, 0x66554433}},
        {"prmt.b32.b4e", {0x55667700, 0x66770011, 0x77001122, 0x00112233}},
        {"prmt.b32.rc8", {0x00000000, 0x11111111, 0x22222222, 0x33333333}},
        {"prmt.b32.ecl", {0x33221100, 0x33221111, 0x33222222, 0x33333333}},
        {"prmt.b32.ecr", {0x00000000, 0x11111100, 0x22221100, 0x33221100}},
        {"prmt.b32.rc16", {0x11001100, 0x33223322, 0x11001100, 0x33223322}},
    };
    for (int64_t k = 0; k < ARRAY_LEN(CASES); k++) {
        for (uint32_t c = 0; c < 4; c++)
            assert_int_equal(
                ops_one(CASES[k].mnemonic, "4444", 0x33221100, 0x77665544, c | 0xf0),
                CASES[k].d[c]);
    }
}

static uint64_t run_text(const char *mnemonic, const char *sig, const char *operands,
                         uint64_t a, uint64_t b, uint64_t c)
{
    struct ops_case op = {0};
    if (!ops_open(&op, mnemonic, sig, operands))
        fail_msg("%s %s: %s", mnemonic, operands, status_message());
    uint64_t in[5][PTX_LANES] = {{0}}, out[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++) {
        in[1][l] = a;
        in[2][l] = b;
        in[3][l] = c;
    }
    ops_call(&op, in, ~0u, out);
    ops_close(&op);
    return out[PTX_LANES - 1];
}

/* the table of every function, from its definition: lut = f(0xf0, 0xcc, 0xaa) */
static void test_lop3(void **state)
{
    (void)state;
    const uint32_t a = 0x0f0f3355, b = 0x00ff1234, c = 0xdeadbeef;
    for (int32_t lut = 0; lut < 256; lut++) {
        char operands[64];
        (void)snprintf(operands, sizeof(operands), "%%r0, %%r1, %%r2, %%r3, %d", lut);
        uint32_t expected = 0;
        for (int32_t k = 0; k < 32; k++) {
            const uint64_t row = bit(a, k) << 2 | bit(b, k) << 1 | bit(c, k);
            expected |= (uint32_t)bit((uint64_t)lut, (int64_t)row) << k;
        }
        assert_int_equal(run_text("lop3.b32", "4444", operands, a, b, c), expected);
    }
    ops_check_refused("lop3.b32", "44444"); /* the table must be a constant */
}

static void test_immediates(void **state)
{
    (void)state;
    assert_true(run_text("shl.b64", "88", "%rd0, %rd1, 40", 3, 0, 0) == 3ull << 40);
    assert_true(run_text("shr.s64", "88", "%rd0, %rd1, 4", (uint64_t)-64, 0, 0) ==
                (uint64_t)-4);
    assert_true(run_text("and.b64", "88", "%rd0, %rd1, -8", 0xffffffffffu, 0, 0) ==
                0xfffffffff8u);
    assert_true(run_text("bfe.u64", "88", "%rd0, %rd1, 8, 16", 0x12345678, 0, 0) ==
                0x3456);
    assert_true(run_text("bfi.b32", "444", "%r0, %r1, %r2, 8, 4", 0xff, 0, 0) == 0xf00);
    assert_true(run_text("shl.b16", "22", "%rs0, %rs1, 9", 0xff, 0, 0) == 0xfe00);
}

static void test_refused(void **state)
{
    (void)state;
    ops_check_refused("shl.b64", "888");
    ops_check_refused("shl.u32", "444");
    ops_check_refused("and.s32", "444");
    ops_check_refused("popc.b64", "88");
    ops_check_refused("shf.l.b32", "4444");
    ops_check_refused("bfe.b32", "4444");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),    cmocka_unit_test(test_prmt_modes),
        cmocka_unit_test(test_lop3),    cmocka_unit_test(test_immediates),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
