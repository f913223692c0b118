/*
 * Moves, selections, predicates' logic and address spaces, one instruction at a time,
 * against what the ISA says of each lane; lanes outside the mask must keep their bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "emulator/machine.h"
#include "tests/emulator/rig.h"

/* --- mov --- */

typedef uint64_t (*lane_fn)(const uint64_t *v);

/* Sources are operands 1 .. n of registers; expected(values of the sources). */
static void check_lanes(const char *instruction, int32_t n, lane_fn expected)
{
    uint64_t rng = 7;
    for (int64_t m = 0; m < ARRAY_LEN(rig_masks); m++) {
        struct rig r;
        rig_open(&r, instruction);
        uint64_t v[PTX_LANES][4] = {{0}}, before[PTX_LANES];
        for (int32_t l = 0; l < PTX_LANES; l++) {
            for (int32_t k = 0; k < n; k++) {
                rig_put(&r, &r.i->o[k + 1], l, rig_draw(&rng));
                v[l][k] = rig_get(&r, &r.i->o[k + 1], l);
            }
            before[l] = rig_get(&r, &r.i->o[0], l);
        }
        rig_run(&r, rig_masks[m]);
        for (int32_t l = 0; l < PTX_LANES; l++) {
            const uint64_t want = rig_masks[m] >> l & 1 ? expected(v[l]) : before[l];
            if (rig_get(&r, &r.i->o[0], l) != want)
                fail_msg("%s, lane %d of mask 0x%x: 0x%llx, expected 0x%llx",
                         instruction, l, rig_masks[m],
                         (unsigned long long)rig_get(&r, &r.i->o[0], l),
                         (unsigned long long)want);
        }
        rig_close(&r);
    }
}

static uint64_t first(const uint64_t *v) { return v[0]; }
static uint64_t minus_two_16(const uint64_t *v)
{
    (void)v;
    return 0xfffe;
}
static uint64_t one_f64(const uint64_t *v)
{
    (void)v;
    return 0x3ff0000000000000;
}
static uint64_t yes(const uint64_t *v)
{
    (void)v;
    return 1;
}
static uint64_t not_first(const uint64_t *v) { return !v[0]; }
static uint64_t and_not(const uint64_t *v) { return v[0] & !v[1]; }
static uint64_t either(const uint64_t *v) { return v[0] | v[1]; }
static uint64_t differ(const uint64_t *v) { return v[0] ^ v[1]; }

static void test_mov(void **state)
{
    (void)state;
    check_lanes("mov.u32 r1, r2", 1, first);
    check_lanes("mov.f32 r1, r1", 1, first);
    check_lanes("mov.b64 d1, d2", 1, first);
    check_lanes("mov.s16 h1, h2", 1, first);
    check_lanes("mov.u16 h1, -2", 0, minus_two_16);
    check_lanes("mov.f64 d1, 1.0", 0, one_f64);
    check_lanes("mov.pred p1, p2", 1, first);
    check_lanes("mov.pred p1, !p2", 1, not_first);
    check_lanes("mov.pred p1, 2", 0, yes);
    check_lanes("not.pred p1, p2", 1, not_first);
    check_lanes("and.pred p1, p2, !p3", 2, and_not);
    check_lanes("or.pred p1, p2, p3", 2, either);
    check_lanes("xor.pred p1, p1, p3", 2, differ);
    rig_refuse("mov.u32 r1, d1");
    rig_refuse("mov.u64 r1, r2");
    rig_refuse("mov.u32 r1, p1");
    rig_refuse("mov.pred p1, r1");
    rig_refuse("mov.pred p1, 1.0");
    rig_refuse("mov.u8 r1, r2");
    rig_refuse("mov.u32 5, r2");
    rig_refuse("mov.u32 r1, r2, r3");
    rig_refuse("mov.x32 r1, r2");
    rig_refuse("and.pred p1, p2, r1");
}

/* The bytes of a lane of a register or vector, in order. */
static void bytes_of(const struct rig *r, const struct ptx_operand *o, int32_t l,
                     int32_t item_bytes, uint8_t *out)
{
    for (int32_t k = 0; k < o->n_items; k++)
        bytes_of(r, &o->items[k], l, item_bytes, out + (ptrdiff_t)k * item_bytes);
    if (o->kind == PTX_VECTOR || o->kind == PTX_SINK)
        return;
    const uint64_t low = rig_get(r, o, l);
    memcpy(out, &low, (size_t)(item_bytes < 8 ? item_bytes : 8));
    if (o->bytes == 16)
        memcpy(out + 8, machine_u64(&r->w, o->slot) + PTX_LANES + l, 8);
}

static void fill(struct rig *r, const struct ptx_operand *o, uint64_t *rng,
                 int32_t width)
{
    for (int32_t k = 0; k < o->n_items; k++)
        fill(r, &o->items[k], rng, width / o->n_items);
    for (int32_t l = 0; l < PTX_LANES && o->kind == PTX_REG; l++) {
        const uint64_t v = rig_draw(rng);
        rig_put(r, o, l, width < 4 ? v & ((1u << width * 8) - 1) : v);
        if (o->bytes == 16)
            machine_u64(&r->w, o->slot)[PTX_LANES + l] = rig_draw(rng);
    }
}

/* bytes: of the whole; a packed register's bytes are those of the items in order */
static void check_packing(const char *instruction, int32_t bytes)
{
    uint64_t rng = 11;
    for (int64_t m = 0; m < ARRAY_LEN(rig_masks); m++) {
        struct rig r;
        rig_open(&r, instruction);
        const struct ptx_operand *d = &r.i->o[0], *s = &r.i->o[1];
        fill(&r, s, &rng, bytes);
        fill(&r, d, &rng, bytes);
        const int32_t d_item = d->n_items ? bytes / d->n_items : bytes;
        const int32_t s_item = s->n_items ? bytes / s->n_items : bytes;
        uint8_t before[PTX_LANES][16] = {{0}};
        for (int32_t l = 0; l < PTX_LANES; l++)
            bytes_of(&r, rig_masks[m] >> l & 1 ? s : d, l,
                     rig_masks[m] >> l & 1 ? s_item : d_item, before[l]);
        rig_run(&r, rig_masks[m]);
        for (int32_t l = 0; l < PTX_LANES; l++) {
            uint8_t after[16] = {0};
            bytes_of(&r, d, l, d_item, after);
            for (int32_t k = 0; k < d->n_items; k++) {
                if (d->items[k].kind == PTX_SINK)
                    memset(before[l] + (ptrdiff_t)k * d_item, 0, (size_t)d_item);
                else if (d_item < 4) /* narrow registers are zero-extended */
                    assert_int_equal(rig_get(&r, &d->items[k], l) >> 8 * d_item, 0);
            }
            assert_memory_equal(after, before[l], (size_t)bytes);
        }
        rig_close(&r);
    }
}

static void test_packing(void **state)
{
    (void)state;
    check_packing("mov.b64 d1, {r1, r2}", 8);
    check_packing("mov.b64 d1, {r1, 0x12345678}", 8);
    check_packing("mov.b64 d1, {-1, r1}", 8);
    check_packing("mov.b64 {r1, r2}, d1", 8);
    check_packing("mov.b64 {_, r2}, d1", 8);
    check_packing("mov.b64 {r1, _}, d1", 8);
    check_packing("mov.b32 r1, {h1, h2}", 4);
    check_packing("mov.b32 r1, {h1, 0x8001}", 4);
    check_packing("mov.b32 {h1, h2}, r1", 4);
    check_packing("mov.b32 {h1, h2}, 0x89abcdef", 4);
    check_packing("mov.b32 {_, h2}, r1", 4);
    check_packing("mov.b64 d1, {h1, h2, h3, h4}", 8);
    check_packing("mov.b64 {h1, h2, h3, h4}, d1", 8);
    check_packing("mov.b32 r1, {h1, h2, h3, h4}", 4);
    check_packing("mov.b32 {h1, h2, h3, h4}, r1", 4);
    check_packing("mov.b128 q1, {d1, d2}", 16);
    check_packing("mov.b128 {d1, d2}, q1", 16);
    check_packing("mov.b128 q1, {r1, r2, r3, r4}", 16);
    check_packing("mov.b128 q1, q2", 16);
    rig_refuse("mov.b64 d1, {r1, d2}");
    rig_refuse("mov.b64 d1, {r1}");
    rig_refuse("mov.b64 d1, {r1, _}");
    rig_refuse("mov.b64 {r1, 5}, d1");
    rig_refuse("mov.b64 {r1, r2, r3}, d1");
    rig_refuse("mov.b32 {h1, h2}, d1");
    rig_refuse("mov.b32 {p1, p2}, r1");
    rig_refuse("mov.b64 {r1, r2}, {r3, r4}");
}

/* --- selections --- */

static uint64_t choose_3(const uint64_t *v) { return v[2] ? v[0] : v[1]; }
static uint64_t choose_not_3(const uint64_t *v) { return v[2] ? v[1] : v[0]; }
static uint64_t one_or_first(const uint64_t *v) { return v[1] ? 0xffff : v[0]; }
static uint64_t sign_of_32(const uint64_t *v)
{
    return (int32_t)(uint32_t)v[2] >= 0 ? v[0] : v[1];
}
static uint64_t sign_of_f32(const uint64_t *v)
{
    const uint32_t bits = (uint32_t)v[2];
    float c;
    memcpy(&c, &bits, sizeof c);
    return c >= 0.0f ? v[0] : v[1];
}

static uint32_t slct_lane(const char *instruction, uint32_t c)
{
    struct rig r;
    rig_open(&r, instruction);
    for (int32_t l = 0; l < PTX_LANES; l++) {
        rig_put(&r, &r.i->o[1], l, 1);
        rig_put(&r, &r.i->o[2], l, 2);
        rig_put(&r, &r.i->o[3], l, c);
    }
    rig_run(&r, UINT32_MAX);
    const uint32_t chosen = (uint32_t)rig_get(&r, &r.i->o[0], 5);
    rig_close(&r);
    return chosen;
}

static void test_selections(void **state)
{
    (void)state;
    check_lanes("selp.b32 r1, r2, r3, p1", 3, choose_3);
    check_lanes("selp.f32 r1, r1, r3, p1", 3, choose_3);
    check_lanes("selp.u64 d1, d2, d1, p1", 3, choose_3);
    check_lanes("selp.f64 d1, d2, d3, !p1", 3, choose_not_3);
    check_lanes("selp.s16 h1, h2, h3, p1", 3, choose_3);
    check_lanes("slct.f32.s32 r1, r2, r3, r4", 3, sign_of_32);
    check_lanes("slct.u64.s32 d1, d2, d3, r4", 3, sign_of_32);
    check_lanes("slct.u16.s32 h1, h2, h3, r4", 3, sign_of_32);
    check_lanes("slct.b64.f32 d1, d2, d3, r4", 3, sign_of_f32);
    static const char plain[] = "slct.b32.f32 r1, r2, r3, r4";
    static const char flushing[] = "slct.ftz.b32.f32 r1, r2, r3, r4";
    assert_int_equal(slct_lane(plain, 0x80000000), 1);
    assert_int_equal(slct_lane(plain, 0x80000001), 2);
    assert_int_equal(slct_lane(plain, 0x7fc00000), 2);
    assert_int_equal(slct_lane(plain, 0xff800000), 2);
    assert_int_equal(slct_lane(flushing, 0x80000001), 1);
    assert_int_equal(slct_lane(flushing, 0x807fffff), 1);
    assert_int_equal(slct_lane(flushing, 0x80800000), 2);
    assert_int_equal(slct_lane(flushing, 0xffc00000), 2);
    struct rig r;
    rig_open(&r, "slct.f64.s32 d1, 0d3FF0000000000001, 2.0, r1");
    for (int32_t l = 0; l < PTX_LANES; l++)
        rig_put(&r, &r.i->o[3], l, l % 2 ? UINT32_MAX : 0);
    rig_run(&r, UINT32_MAX);
    assert_int_equal(rig_get(&r, &r.i->o[0], 0), 0x3ff0000000000001);
    assert_int_equal(rig_get(&r, &r.i->o[0], 1), 0x4000000000000000);
    rig_close(&r);
    rig_refuse("selp.b32 r1, r2, r3, r4");
    rig_refuse("selp.b32 d1, r2, r3, p1");
    rig_refuse("selp.pred p1, p2, p3, p4");
    rig_refuse("slct.b32.u32 r1, r2, r3, r4");
    rig_refuse("slct.ftz.b32.s32 r1, r2, r3, r4");
}

static void test_selection_of_immediates(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, "selp.u16 h1, -1, h2, p1");
    for (int32_t l = 0; l < PTX_LANES; l++) {
        rig_put(&r, &r.i->o[2], l, (uint64_t)l);
        rig_put(&r, &r.i->o[3], l, l % 3 == 0);
    }
    rig_run(&r, UINT32_MAX);
    for (int32_t l = 0; l < PTX_LANES; l++) {
        const uint64_t v[2] = {(uint64_t)l, l % 3 == 0};
        assert_int_equal(rig_get(&r, &r.i->o[0], l), one_or_first(v));
    }
    rig_close(&r);
}

/* --- address spaces --- */

static uint64_t to_shared_window(const uint64_t *v)
{
    return v[0] + MACHINE_SHARED_WINDOW;
}
static uint64_t from_local_window(const uint64_t *v)
{
    return v[0] - MACHINE_LOCAL_WINDOW;
}
static uint64_t to_param_window(const uint64_t *v)
{
    return v[0] + MACHINE_PARAM_WINDOW;
}

static void check_isspacep(const char *space, uint64_t inside, const char *others)
{
    static const struct {
        char letter;
        uint64_t address;
    } places[] = {{'g', 0x00007f1234567890},
                  {'s', MACHINE_SHARED_WINDOW + 227 * 1024},
                  {'l', MACHINE_LOCAL_WINDOW + 16},
                  {'p', MACHINE_PARAM_WINDOW}};
    char text[64];
    snprintf(text, sizeof text, "isspacep.%s p1, d1", space);
    struct rig r;
    rig_open(&r, text);
    for (int32_t l = 0; l < PTX_LANES; l++)
        rig_put(&r, &r.i->o[1], l, l < 4 ? places[l].address : inside);
    rig_run(&r, UINT32_MAX);
    for (int32_t l = 0; l < 4; l++)
        assert_int_equal(rig_get(&r, &r.i->o[0], l), !strchr(others, places[l].letter));
    assert_int_equal(rig_get(&r, &r.i->o[0], 31), 1);
    rig_close(&r);
}

static void test_address_spaces(void **state)
{
    (void)state;
    check_lanes("cvta.global.u64 d1, d2", 1, first);
    check_lanes("cvta.to.global.u64 d1, d2", 1, first);
    check_lanes("cvta.const.u64 d1, d2", 1, first);
    check_lanes("cvta.shared.u64 d1, d1", 1, to_shared_window);
    check_lanes("cvta.shared::cta.u64 d1, d2", 1, to_shared_window);
    check_lanes("cvta.to.local.u64 d1, d2", 1, from_local_window);
    check_lanes("cvta.param.u64 d1, d2", 1, to_param_window);
    check_isspacep("global", 0, "slp");
    check_isspacep("shared", MACHINE_SHARED_WINDOW, "glp");
    check_isspacep("shared::cluster", MACHINE_SHARED_WINDOW, "glp");
    check_isspacep("local", MACHINE_LOCAL_WINDOW, "gsp");
    check_isspacep("param", MACHINE_PARAM_WINDOW + 8, "gsl");
    rig_refuse("cvta.shared.u32 r1, r2");
    rig_refuse("cvta.frob.u64 d1, d2");
    rig_refuse("cvta.shared.u64 d1, r2");
    rig_refuse("isspacep.const p1, d1");
    rig_refuse("isspacep.shared r1, d1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mov),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_selections),
        cmocka_unit_test(test_selection_of_immediates),
        cmocka_unit_test(test_address_spaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
