/*
 * setp and set: every comparison of every type, combined and with two results, on edges
 * (zeros, subnormals, infinities, NaNs, extremes) and random bits, against a table of
 * which relations each comparison accepts; and every pair that the ISA has not,
 * refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "emulator/machine.h"
#include "tests/emulator/rig.h"

/* --- comparisons --- */

enum relation { LESS, EQUAL, GREATER, UNORDERED };

static const struct {
    const char *name;
    bool holds[4]; /* by relation */
    bool of_float, of_int, of_unsigned, of_bits;
} comparisons[] = {
    {"eq", {0, 1, 0, 0}, 1, 1, 1, 1},  {"ne", {1, 0, 1, 0}, 1, 1, 1, 1},
    {"lt", {1, 0, 0, 0}, 1, 1, 1, 0},  {"le", {1, 1, 0, 0}, 1, 1, 1, 0},
    {"gt", {0, 0, 1, 0}, 1, 1, 1, 0},  {"ge", {0, 1, 1, 0}, 1, 1, 1, 0},
    {"lo", {1, 0, 0, 0}, 0, 0, 1, 0},  {"ls", {1, 1, 0, 0}, 0, 0, 1, 0},
    {"hi", {0, 0, 1, 0}, 0, 0, 1, 0},  {"hs", {0, 1, 1, 0}, 0, 0, 1, 0},
    {"equ", {0, 1, 0, 1}, 1, 0, 0, 0}, {"neu", {1, 0, 1, 1}, 1, 0, 0, 0},
    {"ltu", {1, 0, 0, 1}, 1, 0, 0, 0}, {"leu", {1, 1, 0, 1}, 1, 0, 0, 0},
    {"gtu", {0, 0, 1, 1}, 1, 0, 0, 0}, {"geu", {0, 1, 1, 1}, 1, 0, 0, 0},
    {"num", {1, 1, 1, 0}, 1, 0, 0, 0}, {"nan", {0, 0, 0, 1}, 1, 0, 0, 0},
};

static const struct value_type {
    const char *name;
    char kind; /* u s f b */
    int32_t bits, mantissa;
    const char *registers;
} value_types[] = {
    {"u16", 'u', 16, 0, "h"},  {"s16", 's', 16, 0, "h"},  {"b16", 'b', 16, 0, "h"},
    {"u32", 'u', 32, 0, "r"},  {"s32", 's', 32, 0, "r"},  {"b32", 'b', 32, 0, "r"},
    {"u64", 'u', 64, 0, "d"},  {"s64", 's', 64, 0, "d"},  {"b64", 'b', 64, 0, "d"},
    {"f16", 'f', 16, 10, "h"}, {"bf16", 'f', 16, 7, "h"}, {"f32", 'f', 32, 23, "r"},
    {"f64", 'f', 64, 52, "d"},
};

/* The value of a binary floating-point pattern; NaN: NAN. */
static double decode(uint64_t v, int32_t bits, int32_t mantissa)
{
    const int32_t n_exponent = bits - 1 - mantissa;
    const int32_t all = (1 << n_exponent) - 1, bias = all / 2;
    const int32_t exponent = (int32_t)(v >> mantissa) & all;
    const uint64_t fraction = v & (((uint64_t)1 << mantissa) - 1);
    const double sign = v >> (bits - 1) & 1 ? -1.0 : 1.0;
    if (exponent == all)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp((double)fraction, 1 - bias - mantissa);
    return sign * ldexp((double)(fraction | (uint64_t)1 << mantissa),
                        exponent - bias - mantissa);
}

static enum relation relate(const struct value_type *t, uint64_t a, uint64_t b)
{
    if (t->kind == 'f') {
        const double x = decode(a, t->bits, t->mantissa);
        const double y = decode(b, t->bits, t->mantissa);
        return isnan(x) || isnan(y) ? UNORDERED
               : x < y              ? LESS
               : x > y              ? GREATER
                                    : EQUAL;
    }
    if (t->kind == 's') { /* offset binary keeps the order */
        a = (a ^ (uint64_t)1 << (t->bits - 1)) << (64 - t->bits);
        b = (b ^ (uint64_t)1 << (t->bits - 1)) << (64 - t->bits);
    }
    return a < b ? LESS : a > b ? GREATER : EQUAL;
}

/* Edges of the type (zeros, infinities, NaNs, extremes) or any bits. */
static uint64_t pick(const struct value_type *t, uint64_t *rng)
{
    const uint64_t sign = (uint64_t)1 << (t->bits - 1);
    const uint64_t all = sign | (sign - 1);
    const uint64_t one_ulp = (uint64_t)1 << t->mantissa;
    const uint64_t infinity = t->mantissa ? (sign - 1) & ~(one_ulp - 1) : 1;
    const uint64_t edges[] = {0,
                              sign,
                              1,
                              sign | 1,
                              all,
                              sign - 1,
                              infinity,
                              infinity | sign,
                              infinity + 1,
                              infinity - 1,
                              one_ulp,
                              one_ulp - 1};
    const uint64_t r = rig_draw(rng);
    if (r % 4 == 0)
        return rig_draw(rng) & all;
    return edges[(r >> 8) % (uint64_t)ARRAY_LEN(edges)] & all;
}

static const char *const combinations[] = {"", ".and", ".or", ".xor"};

static bool combined(int32_t how, bool a, bool c)
{
    return how == 0 ? a : how == 1 ? (a && c) : how == 2 ? (a || c) : a != c;
}

/* setp.<cmp><combination>.<type>, with one result or two */
static void check_setp(int64_t c, const struct value_type *t, int32_t how, bool has_q)
{
    char text[128];
    snprintf(text, sizeof text, "setp.%s%s.%s p0%s, %s1, %s2%s", comparisons[c].name,
             combinations[how], t->name, has_q ? "|p1" : "", t->registers, t->registers,
             how ? ", !p2" : "");
    struct rig r;
    rig_open(&r, text);
    const int32_t first_source = has_q ? 2 : 1;
    uint64_t rng = (uint64_t)c * 31 + (uint64_t)how;
    for (int64_t m = 0; m < 8; m++) {
        const uint32_t mask = m < ARRAY_LEN(rig_masks) ? rig_masks[m] : UINT32_MAX;
        bool p[PTX_LANES], q[PTX_LANES];
        for (int32_t l = 0; l < PTX_LANES; l++) {
            const uint64_t a = pick(t, &rng),
                           b = rig_draw(&rng) % 4 ? pick(t, &rng) : a;
            const bool before = rig_draw(&rng) & 1, other = rig_draw(&rng) & 1;
            rig_put(&r, &r.i->o[first_source], l, a);
            rig_put(&r, &r.i->o[first_source + 1], l, b);
            rig_put(&r, &r.i->o[0], l, before);
            if (has_q)
                rig_put(&r, &r.i->o[1], l, before);
            if (how)
                rig_put(&r, &r.i->o[first_source + 2], l, !other);
            const bool holds = comparisons[c].holds[relate(t, a, b)];
            const bool is_on = mask >> l & 1;
            p[l] = is_on ? combined(how, holds, other) : before;
            q[l] = is_on ? combined(how, !holds, other) : before;
        }
        rig_run(&r, mask);
        for (int32_t l = 0; l < PTX_LANES; l++)
            if (rig_get(&r, &r.i->o[0], l) != p[l] ||
                (has_q && rig_get(&r, &r.i->o[1], l) != q[l]))
                fail_msg("%s of 0x%llx, 0x%llx", text,
                         (unsigned long long)rig_get(&r, &r.i->o[first_source], l),
                         (unsigned long long)rig_get(&r, &r.i->o[first_source + 1], l));
    }
    rig_close(&r);
}

static bool is_allowed(int64_t c, const struct value_type *t)
{
    switch (t->kind) {
    case 'u':
        return comparisons[c].of_unsigned;
    case 's':
        return comparisons[c].of_int;
    case 'b':
        return comparisons[c].of_bits;
    default:
        return comparisons[c].of_float;
    }
}

static void test_setp(void **state)
{
    (void)state;
    int32_t n = 0;
    for (int64_t c = 0; c < ARRAY_LEN(comparisons); c++) {
        for (int64_t t = 0; t < ARRAY_LEN(value_types); t++) {
            if (!is_allowed(c, &value_types[t])) {
                char text[64];
                const char *reg = value_types[t].registers;
                snprintf(text, sizeof text, "setp.%s.%s p1, %s1, %s2",
                         comparisons[c].name, value_types[t].name, reg, reg);
                rig_refuse(text);
                continue;
            }
            for (int32_t how = 0; how < 4; how++) {
                check_setp(c, &value_types[t], how, false);
                check_setp(c, &value_types[t], how, true);
                n += 2;
            }
        }
    }
    print_message("%d forms of setp\n", n);
}

/* The predicate of lane 9 where all lanes hold a and b. */
static bool setp_lane(const char *instruction, uint64_t a, uint64_t b)
{
    struct rig r;
    rig_open(&r, instruction);
    const int32_t n = r.i->n_operands;
    for (int32_t l = 0; l < PTX_LANES; l++) {
        if (r.i->o[n - 2].kind == PTX_REG)
            rig_put(&r, &r.i->o[n - 2], l, a);
        if (r.i->o[n - 1].kind == PTX_REG)
            rig_put(&r, &r.i->o[n - 1], l, b);
    }
    rig_run(&r, UINT32_MAX);
    const bool p = rig_get(&r, &r.i->o[0], 9);
    rig_close(&r);
    return p;
}

static void test_setp_forms(void **state)
{
    (void)state;
    assert_true(setp_lane("setp.lt.s16 p1, h1, -1", 0xfffe, 0));
    assert_false(setp_lane("setp.lt.u16 p1, h1, 2", 0xfffe, 0));
    assert_true(setp_lane("setp.gt.s64 p1, d1, -5000000000", 0, 0));
    assert_true(setp_lane("setp.lt.s32 p1|_, -1, r1", 0, 0));
    assert_true(setp_lane("setp.eq.f32 p1, r1, 0f80000000", 0, 0));
    assert_false(setp_lane("setp.eq.f32 p1, r1, 0f00000000", 1, 0));
    assert_true(setp_lane("setp.eq.ftz.f32 p1, r1, 0f00000000", 1, 0));
    assert_true(setp_lane("setp.eq.ftz.f32 p1, r1, r2", 0x807fffff, 0x1));
    assert_false(setp_lane("setp.eq.ftz.f32 p1, r1, r2", 0x00800000, 0));
    assert_true(setp_lane("setp.equ.ftz.f32 p1, r1, r2", 0x7f800001, 0));
    assert_true(setp_lane("setp.eq.ftz.f16 p1, h1, h2", 0x83ff, 0));
    assert_false(setp_lane("setp.eq.ftz.f16 p1, h1, h2", 0x0400, 0));
    assert_false(setp_lane("setp.eq.f16 p1, h1, h2", 1, 0));
    rig_refuse("setp.lt.f32 p1, r1, d1");
    rig_refuse("setp.lt.f32 r1, r2, r3");
    rig_refuse("setp.lt.and.f32 p1, r2, r3");
    rig_refuse("setp.lt.f32 p1, r2, r3, p2");
    rig_refuse("setp.lt.f32 !p1, r2, r3");
    rig_refuse("setp.xx.f32 p1, r2, r3");
    rig_refuse("setp.lt.ftz.f64 p1, d2, d3");
    rig_refuse("setp.lt.f16x2 p1, r2, r3");
    rig_refuse("setp.lt.frob.f32 p1, r2, r3");
    rig_refuse("setp.f32 p1, r2, r3");
}

static void test_setp_pairs(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, "setp.lt.and.f16x2 p0|p1, r1, r2, p2");
    for (int32_t l = 0; l < PTX_LANES; l++) {
        rig_put(&r, &r.i->o[2], l, 0x3c00bc00); /* 1, -1 */
        rig_put(&r, &r.i->o[3], l, 0x40007e00); /* 2, NaN */
        rig_put(&r, &r.i->o[4], l, l % 2);
    }
    rig_run(&r, UINT32_MAX);
    assert_int_equal(*machine_pred(&r.w, r.i->o[0].slot), 0);
    assert_int_equal(*machine_pred(&r.w, r.i->o[1].slot), 0xaaaaaaaa);
    rig_close(&r);
    rig_open(&r, "set.leu.bf16x2.bf16x2 r1, r2, r3");
    for (int32_t l = 0; l < PTX_LANES; l++) {
        rig_put(&r, &r.i->o[1], l, 0x40007fc0); /* 2, NaN */
        rig_put(&r, &r.i->o[2], l, 0x3f803f80); /* 1, 1 */
    }
    rig_run(&r, 0xff);
    assert_int_equal(rig_get(&r, &r.i->o[0], 7), 0x00003f80);
    assert_int_equal(rig_get(&r, &r.i->o[0], 8), 0xa5a5a5a5);
    rig_close(&r);
}

static void test_set(void **state)
{
    (void)state;
    static const struct {
        const char *instruction;
        uint64_t yes;
    } cases[] = {
        {"set.lt.u32.s32 r0, r1, r2", 0xffffffff},
        {"set.lt.s32.u32 r0, r1, r2", 0xffffffff},
        {"set.lt.f32.s32 r0, r1, r2", 0x3f800000},
        {"set.lt.u32.f32 r0, r1, r2", 0xffffffff},
        {"set.lt.u16.s32 h0, r1, r2", 0xffff},
        {"set.lt.f16.s32 h0, r1, r2", 0x3c00},
        {"set.lt.bf16.s32 h0, r1, r2", 0x3f80},
        {"set.lt.f32.s64 r0, d1, d2", 0x3f800000},
        {"set.lt.u32.s16 r0, h1, h2", 0xffffffff},
        {"set.lt.or.u32.s32 r0, r1, r2, 0", 0xffffffff},
    };
    for (int64_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct rig r;
        rig_open(&r, cases[c].instruction);
        for (int32_t l = 0; l < PTX_LANES; l++) {
            rig_put(&r, &r.i->o[1], l, 1);
            rig_put(&r, &r.i->o[2], l, l % 2 ? 2 : 0);
        }
        rig_run(&r, UINT32_MAX);
        for (int32_t l = 0; l < PTX_LANES; l++)
            assert_int_equal(rig_get(&r, &r.i->o[0], l), l % 2 ? cases[c].yes : 0);
        rig_close(&r);
    }
    rig_refuse("set.lt.u64.s32 d0, r1, r2");
    rig_refuse("set.lt.u32.s32 p0, r1, r2");
    rig_refuse("set.lt.u32 r0, r1, r2");
    rig_refuse("set.lt.f32.f16x2 r0, r1, r2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setp),
        cmocka_unit_test(test_setp_forms),
        cmocka_unit_test(test_setp_pairs),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
