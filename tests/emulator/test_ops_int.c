/* emulator/ops_int.c: every operation and type against scalar arithmetic of 128 bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/status.h"
#include "tests/emulator/ops_fixture.h"

typedef __int128 wide;

/* An operation on numbers of any width; results are cut to the destination's. */
enum op {
    ADD,
    SUB,
    MUL_LO,
    MUL_HI,
    MUL_WIDE,
    MAD_LO,
    MAD_HI,
    MAD_WIDE,
    DIV,
    REM,
    MIN,
    MAX,
    SAD,
    NEG,
    ABS
};
static wide number(uint64_t u, int32_t bits, bool is_signed)
{
    if (bits < 64)
        u &= (1ull << bits) - 1;
    return is_signed && u >> (bits - 1) ? (wide)u - ((wide)1 << bits) : (wide)u;
}
static wide compute(enum op op, wide a, wide b, wide c, int32_t bits)
{
    switch (op) {
    case ADD:
        return a + b;
    case SUB:
        return a - b;
    case MUL_LO:
    case MUL_WIDE:
        return (wide)((unsigned __int128)a * (unsigned __int128)b);
    case MAD_LO:
    case MAD_WIDE:
        return (wide)((unsigned __int128)a * (unsigned __int128)b +
                      (unsigned __int128)c);
    case DIV:
        return b == 0 ? -1 : a / b;
    case REM:
        return b == 0 ? -1 : a % b;
    case MIN:
        return a < b ? a : b;
    case MAX:
        return a > b ? a : b;
    case SAD:
        return c + (a > b ? a - b : b - a);
    case NEG:
        return -a;
    case ABS:
        return a < 0 ? -a : a;
    case MUL_HI:
    case MAD_HI:
        break;
    }
    /* the upper half by schoolbook in 64-bit halves is exact for unsigned; signed
     * operands take away what their wrapping added */
    const unsigned __int128 mask = ((unsigned __int128)1 << bits) - 1;
    const uint64_t x = (uint64_t)((unsigned __int128)a & mask);
    const uint64_t y = (uint64_t)((unsigned __int128)b & mask);
    wide high = (wide)((unsigned __int128)x * y >> bits);
    high -= a < 0 ? (wide)y : 0;
    high -= b < 0 ? (wide)x : 0;
    return op == MUL_HI ? high : high + c;
}

#define TYPES(X, ...)                                                                  \
    X(u16, 16, false, __VA_ARGS__)                                                     \
    X(s16, 16, true, __VA_ARGS__)                                                      \
    X(u32, 32, false, __VA_ARGS__)                                                     \
    X(s32, 32, true, __VA_ARGS__)                                                      \
    X(u64, 64, false, __VA_ARGS__) X(s64, 64, true, __VA_ARGS__)
#define NARROW(X, ...)                                                                 \
    X(u16, 16, false, __VA_ARGS__)                                                     \
    X(s16, 16, true, __VA_ARGS__)                                                      \
    X(u32, 32, false, __VA_ARGS__) X(s32, 32, true, __VA_ARGS__)
/* the addend of a wide product and the result have twice the width */
#define REF(type, bits, is_signed, op, factor)                                         \
    static uint64_t op##_##type(uint64_t a, uint64_t b, uint64_t c, uint64_t e)        \
    {                                                                                  \
        (void)e;                                                                       \
        const wide r = compute(op, number(a, bits, is_signed),                         \
                               number(b, bits, is_signed),                             \
                               number(c, bits * factor, is_signed), bits);             \
        return (uint64_t)number((uint64_t)r, bits * factor, false);                    \
    }
TYPES(REF, ADD, 1)
TYPES(REF, SUB, 1)
TYPES(REF, MUL_LO, 1)
TYPES(REF, MUL_HI, 1)
NARROW(REF, MUL_WIDE, 2)
TYPES(REF, MAD_LO, 1)
TYPES(REF, MAD_HI, 1)
NARROW(REF, MAD_WIDE, 2)
TYPES(REF, DIV, 1)
TYPES(REF, REM, 1)
TYPES(REF, MIN, 1)
TYPES(REF, MAX, 1)
TYPES(REF, SAD, 1)
TYPES(REF, NEG, 1)
TYPES(REF, ABS, 1)

#define SIG(bits, two, four, eight)                                                    \
    ((bits) == 16 ? (two) : (bits) == 32 ? (four) : (eight))
#define CHECK_1(type, bits, is_signed, name, op)                                       \
    if (is_signed)                                                                     \
        ops_check(name "." #type, SIG(bits, "22", "44", "88"), op##_##type);
#define CHECK_2(type, bits, is_signed, name, op)                                       \
    ops_check(name "." #type, SIG(bits, "222", "444", "888"), op##_##type);
#define CHECK_3(type, bits, is_signed, name, op)                                       \
    ops_check(name "." #type, SIG(bits, "2222", "4444", "8888"), op##_##type);
#define CHECK_WIDE_2(type, bits, is_signed, name, op)                                  \
    ops_check(name "." #type, SIG(bits, "422", "844", ""), op##_##type);
#define CHECK_WIDE_3(type, bits, is_signed, name, op)                                  \
    ops_check(name "." #type, SIG(bits, "4224", "8448", ""), op##_##type);

static void test_arithmetic(void **state)
{
    (void)state;
    TYPES(CHECK_2, "add", ADD)
    TYPES(CHECK_2, "sub", SUB)
    TYPES(CHECK_2, "mul.lo", MUL_LO)
    TYPES(CHECK_2, "mul.hi", MUL_HI)
    NARROW(CHECK_WIDE_2, "mul.wide", MUL_WIDE)
    TYPES(CHECK_3, "mad.lo", MAD_LO)
    TYPES(CHECK_3, "mad.hi", MAD_HI)
    NARROW(CHECK_WIDE_3, "mad.wide", MAD_WIDE)
    TYPES(CHECK_2, "div", DIV)
    TYPES(CHECK_2, "rem", REM)
    TYPES(CHECK_2, "min", MIN)
    TYPES(CHECK_2, "max", MAX)
    TYPES(CHECK_3, "sad", SAD)
    TYPES(CHECK_1, "neg", NEG)
    TYPES(CHECK_1, "abs", ABS)
}

/* numbers worked out by hand */
static void test_edges(void **state)
{
    (void)state;
    const uint64_t min32 = 0x80000000, min64 = 1ull << 63;
    assert_true(ops_one("div.s32", "444", min32, 0xffffffff, 0) == min32);
    assert_true(ops_one("rem.s32", "444", min32, 0xffffffff, 0) == 0);
    assert_true(ops_one("div.s64", "888", min64, UINT64_MAX, 0) == min64);
    assert_true(ops_one("rem.s64", "888", min64, UINT64_MAX, 0) == 0);
    assert_true(ops_one("div.u32", "444", 7, 0, 0) == 0xffffffff);
    assert_true(ops_one("div.s64", "888", 7, 0, 0) == UINT64_MAX);
    assert_true(ops_one("rem.u16", "222", 7, 0, 0) == 0xffff);
    assert_true(ops_one("div.s32", "444", (uint32_t)-7, 2, 0) == (uint32_t)-3);
    assert_true(ops_one("rem.s32", "444", (uint32_t)-7, 2, 0) == (uint32_t)-1);
    assert_true(ops_one("mul.hi.s32", "444", (uint32_t)-1, 1, 0) == 0xffffffff);
    assert_true(ops_one("mul.wide.s32", "844", (uint32_t)-3, 5, 0) == (uint64_t)-15);
    assert_true(ops_one("mul.hi.u64", "888", UINT64_MAX, UINT64_MAX, 0) ==
                UINT64_MAX - 1);
    assert_true(ops_one("add.sat.s32", "444", 0x7fffffff, 1, 0) == 0x7fffffff);
    assert_true(ops_one("sub.sat.s32", "444", min32, 1, 0) == min32);
    assert_true(ops_one("add.sat.s32", "444", 5, (uint32_t)-9, 0) == (uint32_t)-4);
    /* 2^30 * 8 >> 32 = 2, and 2 + (2^31 - 1) is too large */
    assert_true(ops_one("mad.hi.sat.s32", "4444", 1 << 30, 8, 0x7fffffff) ==
                0x7fffffff);
    assert_true(ops_one("min.relu.s32", "444", (uint32_t)-5, 3, 0) == 0);
    assert_true(ops_one("max.relu.s32", "444", (uint32_t)-5, 3, 0) == 3);
    assert_true(ops_one("mul24.lo.s32", "444", 0xffffff, 0x123002, 0) ==
                (uint32_t)-0x123002);
    assert_true(ops_one("mul24.hi.u32", "444", 0xffffff, 0xffffff, 0) == 0xfffffe00);
    assert_true(ops_one("mad24.lo.u32", "4444", 0xff000003, 5, 100) == 115);
}

static void test_packed(void **state)
{
    (void)state;
    assert_true(ops_one("add.u16x2", "444", 0xffff0001, 0x0001ffff, 0) == 0);
    assert_true(ops_one("min.s16x2", "444", 0xfffe0001, 0x0001fffd, 0) == 0xfffefffd);
    assert_true(ops_one("max.u16x2", "444", 0xfffe0001, 0x0001fffd, 0) == 0xfffefffd);
    assert_true(ops_one("max.relu.s16x2", "444", 0x8000ffff, 0xfffe0002, 0) == 2);
    /* bytes 1 2 3 -4 by 5 6 7 8 */
    assert_true(ops_one("dp4a.s32.s32", "4444", 0xfc030201, 0x08070605, 100) == 106);
    assert_true(ops_one("dp4a.u32.u32", "4444", 0xfc030201, 0x08070605, 100) == 2154);
    /* halves 3 -2 by bytes 5 6 (low), 7 8 (high) */
    assert_true(ops_one("dp2a.lo.s32.u32", "4444", 0xfffe0003, 0x08070605, 10) == 13);
    assert_true(ops_one("dp2a.hi.s32.u32", "4444", 0xfffe0003, 0x08070605, 10) == 15);
}

/* Instructions run one after another share the warp's carry. */
static uint64_t with_carry(uint32_t *carry, const char *mnemonic, const char *sig,
                           uint64_t a, uint64_t b, uint64_t c)
{
    struct ops_case op = {0};
    assert_true(ops_open(&op, mnemonic, sig, NULL));
    uint64_t in[5][PTX_LANES] = {{0}}, out[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++) {
        in[1][l] = a;
        in[2][l] = b;
        in[3][l] = c;
    }
    op.warp.carry = *carry;
    ops_call(&op, in, 0x0000ffff, out);
    assert_true(op.warp.carry >> 16 == *carry >> 16); /* inactive lanes keep theirs */
    *carry = op.warp.carry;
    ops_close(&op);
    return out[3];
}

static void test_carry(void **state)
{
    (void)state;
    /* 128-bit sums, differences and products by 64- and 32-bit limbs */
    const uint64_t X[] = {0, 1, UINT64_MAX, 1ull << 63, 0x123456789abcdef0};
    for (int32_t k = 0; k < 625; k++) {
        const uint64_t a0 = X[k % 5], a1 = X[k / 5 % 5], b0 = X[k / 25 % 5],
                       b1 = X[k / 125];
        const unsigned __int128 a = (unsigned __int128)a1 << 64 | a0;
        const unsigned __int128 b = (unsigned __int128)b1 << 64 | b0;
        uint32_t carry = 0xaaaaaaaa;
        uint64_t low = with_carry(&carry, "add.cc.u64", "888", a0, b0, 0);
        uint64_t high = with_carry(&carry, "addc.u64", "888", a1, b1, 0);
        assert_true(((unsigned __int128)high << 64 | low) == a + b);
        low = with_carry(&carry, "sub.cc.s64", "888", a0, b0, 0);
        high = with_carry(&carry, "subc.cc.s64", "888", a1, b1, 0);
        assert_true(((unsigned __int128)high << 64 | low) == a - b);
        assert_true((carry & 0xffff) == (a < b ? 0xffff : 0));
        low = with_carry(&carry, "mad.lo.cc.u64", "8888", a0, b0, a1);
        high = with_carry(&carry, "madc.hi.u64", "8888", a0, b0, 0);
        assert_true(((unsigned __int128)high << 64 | low) ==
                    (unsigned __int128)a0 * b0 + a1);
        const uint32_t s = (uint32_t)a0, t = (uint32_t)b0, u = (uint32_t)a1;
        low = with_carry(&carry, "mad.lo.cc.u32", "4444", s, t, u);
        high = with_carry(&carry, "madc.hi.cc.u32", "4444", s, t, 0);
        assert_true((high << 32 | low) == (uint64_t)s * t + u && !(carry & 0xffff));
        low = with_carry(&carry, "add.cc.u32", "444", s, t, 0);
        high = with_carry(&carry, "addc.cc.u32", "444", u, u, 0);
        assert_true((high << 32 | low) ==
                    (uint64_t)(((uint64_t)u << 33) + (uint64_t)s + t));
    }
    uint32_t carry = 0;
    assert_true(with_carry(&carry, "mad.hi.cc.s32", "4444", (uint32_t)-2, 3, 1) == 0);
    assert_true((carry & 0xffff) == 0xffff); /* -1 + 1 */
}

static void test_immediates(void **state)
{
    (void)state;
    struct {
        const char *mnemonic, *sig, *operands;
        uint64_t a, expected;
    } const CASES[] = {
        {"add.s32", "44", "%r0, %r1, -5", 3, 0xfffffffe},
        {"add.s64", "88", "%rd0, %rd1, -5", 3, (uint64_t)-2},
        {"add.s16", "22", "%rs0, %rs1, -5", 3, 0xfffe},
        {"mul.wide.s32", "84", "%rd0, %r1, -8", 3, (uint64_t)-24},
        {"mad.wide.s32", "84", "%rd0, %r1, 8, -1", 3, 23},
        {"mad.lo.s32", "44", "%r0, %r1, -2, 100", 3, 94},
    };
    for (int64_t k = 0; k < ARRAY_LEN(CASES); k++) {
        struct ops_case op = {0};
        assert_true(ops_open(&op, CASES[k].mnemonic, CASES[k].sig, CASES[k].operands));
        uint64_t in[5][PTX_LANES] = {{0}}, out[PTX_LANES];
        for (int32_t l = 0; l < PTX_LANES; l++)
            in[1][l] = CASES[k].a;
        ops_call(&op, in, ~0u, out);
        ops_close(&op);
        if (out[31] != CASES[k].expected)
            fail_msg("%s %s", CASES[k].mnemonic, CASES[k].operands);
    }
}

static void test_refused(void **state)
{
    (void)state;
    ops_check_refused("add.u8", "444");
    ops_check_refused("add.s32", "448");
    ops_check_refused("add.s32", "4444");
    ops_check_refused("add.sat.u32", "444");
    ops_check_refused("mul.s32", "444");
    ops_check_refused("mul.wide.s64", "888");
    ops_check_refused("mul.wide.s32", "444");
    ops_check_refused("neg.u32", "44");
    ops_check_refused("div.rn.s32", "444");
    ops_check_refused("add.cc.u16", "222");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_edges),
        cmocka_unit_test(test_packed),     cmocka_unit_test(test_carry),
        cmocka_unit_test(test_immediates), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
