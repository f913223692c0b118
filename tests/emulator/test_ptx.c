/*
 * The parser: every syntactic form in a small text of its own, and what it makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "emulator/machine.h"
#include "tests/emulator/ptx_text.h"

/* --- the head of a module and of a kernel --- */

static void test_targets(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_module("");
    assert_int_equal(m->target, 90);
    assert_true(m->is_specific);
    assert_int_equal(m->n_kernels, 0);
    ptx_module_free(m);
    const char old[] = "// by hand\n.version 7.8\n.target sm_80, debug\n"
                       ".address_size 64\n/* two\nlines */ .file 1 \"a;b.cu\"\n";
    assert_int_equal(ptx_module_parse(old, strlen(old), "old", &m), 0);
    assert_int_equal(m->target, 80);
    assert_false(m->is_specific);
    ptx_module_free(m);
    ptx_module_free(NULL);
    assert_int_equal(ptx_module_parse("", 0, "empty", &m), ERR_INPUT);
    assert_string_equal(status_message(), "empty:1:1: no .target");
}

static void test_kernel_head(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_module(
        ".visible .entry first(\n\t.param .u64 first_param_0,\n"
        ".param .u32 n, .param .align 8 .b8 s[20],\n"
        ".param .u64 .ptr .global .align 16 p,\n"
        ".param .u8 flag, .param .f64 d[2][3])\n"
        ".maxntid 128, 2, 1\n.minnctapersm 1\n.pragma \"a\";\n{ ret; }\n"
        ".weak .entry second .reqntid 32 { ret; }\n"
        ".entry third() { exit; }\n");
    assert_int_equal(m->n_kernels, 3);
    const struct ptx_kernel *k = ptx_module_kernel(m, "first");
    assert_non_null(k);
    static const int32_t expected[][2] = {{0, 8},  {8, 4},  {16, 20},
                                          {40, 8}, {48, 1}, {56, 48}};
    assert_int_equal(k->n_params, 6);
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(k->params[i].off, expected[i][0]);
        assert_int_equal(k->params[i].bytes, expected[i][1]);
    }
    assert_int_equal(k->param_bytes, 104);
    assert_int_equal(k->max_threads, 256);
    assert_int_equal(ptx_module_kernel(m, "second")->max_threads, 32);
    assert_int_equal(ptx_module_kernel(m, "third")->max_threads, 0);
    assert_null(ptx_module_kernel(m, "fourth"));
    ptx_module_free(m);
}

/* --- registers and scopes --- */

static void test_registers(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(
        ".reg .b32 %r<12>, single;\n.reg .pred %p<3>;\n"
        ".reg .f64 %fd<2>; .reg .b16 %rs<2>;\n"
        "mov.b32 single, %r11;\n"
        "mov.f64 %fd1, %fd0;\n"
        "mov.b16 %rs1, %rs0;\n"
        "mov.pred %p2, %p1;\n"
        "@%p1 mov.b32 %r0, %r10;\n"
        "@!%p2 mov.b32 %r0, %r1; ret;\n");
    const struct ptx_kernel *k = &m->kernels[0];
    const struct ptx_insn *i = k->insns;
    assert_int_equal(k->n_insns, 7);
    const int32_t r0 = i[4].o[0].slot;
    assert_int_equal(i[0].o[1].slot, r0 + 11 * 128);
    assert_int_equal(i[4].o[1].slot, r0 + 10 * 128);
    assert_int_equal(i[0].o[0].slot, r0 + 12 * 128);
    assert_int_equal(i[0].o[0].bytes, 4);
    assert_int_equal(i[1].o[0].bytes, 8);
    assert_int_equal(i[1].o[0].slot - i[1].o[1].slot, 256);
    assert_int_equal(i[2].o[0].bytes, 4);
    assert_int_equal(i[3].o[0].kind, PTX_PRED);
    assert_int_equal(i[3].o[0].slot - i[3].o[1].slot, 4);
    assert_int_equal(i[0].guard, -1);
    assert_int_equal(i[4].guard, i[3].o[1].slot);
    assert_false(i[4].guard_not);
    assert_int_equal(i[5].guard, i[3].o[0].slot);
    assert_true(i[5].guard_not);
    assert_int_equal(i[0].line, 6);
    assert_int_equal(i[5].line, 11);
    for (int32_t n = 0; n < k->n_insns; n++)
        for (int32_t o = 0; o < i[n].n_operands; o++)
            assert_true((size_t)i[n].o[o].slot < k->file_bytes);
    assert_int_equal(k->file_bytes % 64, 0);
    ptx_module_free(m);
}

/* Scopes as inline assembly makes them: names and labels again and again. */
static void test_scopes(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(
        ".reg .pred p; .reg .b32 %r<3>;\n"
        "mov.pred p, 1;\n"
        "{\n.reg .pred p;\n.reg .b32 %r<2>;\nagain:\nmov.pred p, 0;\n"
        "mov.b32 %r1, %r2;\n@p bra again;\nbra done;\n}\n"
        "{ .reg .pred p; again: mov.pred p, 0; { @p bra again; } bra.uni done; }\n"
        "mov.pred p, 1;\nmov.b32 %r1, 0;\n"
        "done: ret;\n");
    const struct ptx_insn *i = m->kernels[0].insns;
    assert_int_equal(m->kernels[0].n_insns, 11);
    const int32_t outer = i[0].o[0].slot, first = i[1].o[0].slot,
                  second = i[5].o[0].slot;
    assert_int_equal(i[8].o[0].slot, outer);
    assert_true(outer != first && outer != second && first != second);
    assert_int_equal(i[3].guard, first);
    assert_int_equal(i[6].guard, second);
    /* %r1 is the scope's, %r2 only the kernel has; %r1 is the kernel's again behind */
    assert_true(i[2].o[0].slot > i[2].o[1].slot);
    assert_int_equal(i[9].o[0].slot + 128, i[2].o[1].slot);
    assert_int_equal(i[3].o[0].kind, PTX_LABEL);
    assert_int_equal(i[3].o[0].bits, 1);
    assert_int_equal(i[4].o[0].bits, 10);
    assert_int_equal(i[6].o[0].bits, 5);
    assert_int_equal(i[7].o[0].bits, 10);
    ptx_module_free(m);
}

/* The last instruction ends the kernel, whatever the text does. */
static void test_end(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int32_t n;
    } cases[] = {
        {"", 1},
        {"ret;\n", 1},
        {"exit;\n", 1},
        {".reg .pred p; @p ret;\n", 2},
        {".reg .pred p; @p bra end; ret;\nend:\n", 3},
        {"back: bra back;\n", 2},
    };
    for (int64_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct ptx_module *m = ptx_text_body(cases[c].body);
        const struct ptx_kernel *k = &m->kernels[0];
        assert_int_equal(k->n_insns, cases[c].n);
        assert_int_equal(k->insns[k->n_insns - 1].guard, -1);
        assert_non_null(k->insns[k->n_insns - 1].run);
        ptx_module_free(m);
    }
}

/* --- operands --- */

/* The constant in an immediate's slot. */
static uint64_t lane_value(const struct ptx_kernel *k, const struct ptx_operand *o)
{
    for (int32_t c = 0; c < k->n_consts; c++) {
        if (k->consts[c].slot != o->slot)
            continue;
        assert_int_equal(k->consts[c].kind, PTX_CONST_BITS);
        assert_int_equal(k->consts[c].bytes, o->bytes);
        return k->consts[c].bits;
    }
    fail_msg("no constant has the slot %d", o->slot);
    return 0;
}

static void test_literals(void **state)
{
    (void)state;
    static const struct {
        const char *type, *text;
        uint64_t lane;
    } cases[] = {
        {"u32", "0", 0},
        {"u32", "4294967295", 0xffffffff},
        {"s32", "-1", 0xffffffff},
        {"s32", "+7", 7},
        {"b32", "~0", 0xffffffff},
        {"u32", "0x1F", 31},
        {"u32", "0Xffffffff", 0xffffffff},
        {"u32", "017", 15},
        {"u32", "0b1011", 11},
        {"u32", "12U", 12},
        {"u32", "0x10U", 16},
        {"u32", "WARP_SZ", 32},
        {"s32", "-2147483648", 0x80000000},
        {"s64", "-1", UINT64_MAX},
        {"u64", "18446744073709551615", UINT64_MAX},
        {"u64", "-9223372036854775808", (uint64_t)1 << 63},
        {"u64", "-9223372036854775807", ((uint64_t)1 << 63) + 1},
        {"u64", "0xFFFFFFFF", 0xffffffff},
        {"s16", "-1", 0xffff},
        {"b16", "0x8000", 0x8000},
        {"u16", "65535", 65535},
        {"f32", "0f3F800000", 0x3f800000},
        {"f32", "0F7FA00001", 0x7fa00001},
        {"f32", "-0f3F800000", 0xbf800000},
        {"f32", "1.5", 0x3fc00000},
        {"f32", "25e-1", 0x40200000},
        {"f32", "0d3FF8000000000000", 0x3fc00000},
        {"b32", "0f3F800000", 0x3f800000},
        {"f64", "0d3FF8000000000000", 0x3ff8000000000000},
        {"f64", "0D7FF4000000000001", 0x7ff4000000000001},
        {"f64", "1.5", 0x3ff8000000000000},
        {"f64", "-1.5e0", 0xbff8000000000000},
        {"f64", "0f3FC00000", 0x3ff8000000000000},
        {"b64", "0d3FF8000000000000", 0x3ff8000000000000},
    };
    for (int64_t c = 0; c < ARRAY_LEN(cases); c++) {
        char body[256];
        const char *bits = cases[c].type + 1;
        snprintf(body, sizeof body, ".reg .b%s r;\nmov.%s r, %s;\nret;\n", bits,
                 cases[c].type, cases[c].text);
        struct ptx_module *m = ptx_text_body(body);
        const struct ptx_operand *o = &m->kernels[0].insns[0].o[1];
        assert_int_equal(o->kind, PTX_IMM);
        const uint64_t lane = lane_value(&m->kernels[0], o);
        if (lane != cases[c].lane)
            fail_msg("%s %s is 0x%llx, expected 0x%llx", cases[c].type, cases[c].text,
                     (unsigned long long)lane, (unsigned long long)cases[c].lane);
        ptx_module_free(m);
    }
}

/* Equal immediates of one layout share a slot; those of unlike layouts do not. */
static void test_immediate_slots(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(
        ".reg .b32 r; .reg .b64 d; .reg .b16 h; .reg .pred p;\n"
        "mov.u32 r, 65535;\nmov.u32 r, 0xffff;\nmov.u64 d, 65535;\n"
        "mov.u16 h, -1;\nmov.b64 d, {65535, r};\nmov.pred p, 65535;\n"
        "setp.eq.and.s64 p, d, 65535, 1;\nret;\n");
    const struct ptx_kernel *k = &m->kernels[0];
    const struct ptx_insn *i = k->insns;
    const int32_t narrow = i[0].o[1].slot, wide = i[2].o[1].slot;
    assert_int_equal(i[1].o[1].slot, narrow);
    assert_int_equal(i[3].o[1].slot, narrow);
    assert_true(wide != narrow);
    assert_int_equal(i[2].o[1].bytes, 8);
    assert_int_equal(i[4].o[1].items[0].slot, narrow);
    assert_int_equal(i[4].o[1].items[0].bytes, 4);
    assert_int_equal(i[5].o[1].bytes, 1);
    assert_int_equal(lane_value(k, &i[5].o[1]), 1);
    assert_int_equal(i[6].o[2].slot, wide);
    assert_int_equal(i[6].o[3].slot, i[5].o[1].slot);
    assert_int_equal(k->n_consts, 3);
    ptx_module_free(m);
}

static void test_operand_kinds(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(
        ".reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<9>; .reg .f32 %f<9>;\n"
        "ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%rd1+-16];\n"
        "ld.shared.u32 %r1, [%r2];\n"
        "st.shared.u32 [%r2+0x10], %r3;\n"
        "shfl.sync.up.b32 %r1|%p1, %r2, 1, 0, -1;\n"
        "setp.lt.and.s32 %p1|%p2, %r1, %r2, !%p3;\n"
        "mov.b64 {%r1, _}, %rd1;\n"
        "ld.shared.u32 %r1, [64];\n"
        "ret;\n");
    const struct ptx_insn *i = m->kernels[0].insns;
    assert_string_equal(i[0].part[0], "ld");
    assert_string_equal(i[0].part[3], "f32");
    assert_int_equal(i[0].n_parts, 4);
    assert_int_equal(i[0].o[0].kind, PTX_VECTOR);
    assert_int_equal(i[0].o[0].n_items, 4);
    assert_int_equal(i[0].o[0].items[3].slot - i[0].o[0].items[0].slot, 3 * 128);
    assert_int_equal(i[0].o[1].kind, PTX_ADDRESS);
    assert_int_equal(i[0].o[1].bits, -16);
    assert_int_equal(i[0].o[1].bytes, 8);
    assert_int_equal(i[1].o[1].bits, 0);
    assert_int_equal(i[1].o[1].bytes, 4);
    assert_int_equal(i[2].o[0].bits, 16);
    assert_int_equal(i[2].o[0].slot, i[1].o[1].slot);
    assert_int_equal(i[3].n_operands, 6);
    assert_int_equal(i[3].o[1].kind, PTX_PRED);
    assert_int_equal(i[4].n_operands, 5);
    assert_true(i[4].o[4].negated);
    assert_false(i[4].o[1].negated);
    assert_int_equal(i[5].o[0].items[1].kind, PTX_SINK);
    assert_int_equal(i[6].o[1].kind, PTX_ADDRESS);
    assert_true(i[6].o[1].slot < 0);
    assert_int_equal(i[6].o[1].bits, 64);
    ptx_module_free(m);
}

static void test_tensor_address(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(
        ".reg .b32 %r<9>; .reg .b64 %rd<9>;\n"
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%r1], [%rd2, {%r3, 7}], [%r4];\nret;\n");
    const struct ptx_insn *i = m->kernels[0].insns;
    char text[128];
    assert_int_equal(i->n_parts, 8);
    assert_string_equal(i->part[4], "2d");
    assert_string_equal(i->part[5], "shared::cluster");
    assert_string_equal(ptx_mnemonic(i, text, sizeof text),
                        "cp.async.bulk.tensor.2d.shared::cluster.global."
                        "mbarrier::complete_tx::bytes");
    assert_string_equal(ptx_mnemonic(i, text, 9), "cp.async");
    assert_true(ptx_has(i, "bulk"));
    assert_false(ptx_has(i, "bul"));
    static const char *const names[] = {"1d", "2d", "cp", NULL};
    assert_int_equal(ptx_which(i, names), 1);
    assert_int_equal(i->n_operands, 3);
    assert_int_equal(i->o[1].kind, PTX_ADDRESS);
    assert_int_equal(i->o[1].n_items, 2);
    assert_int_equal(i->o[1].items[0].kind, PTX_REG);
    assert_int_equal(lane_value(&m->kernels[0], &i->o[1].items[1]), 7);
    assert_int_equal(i->o[2].n_items, 0);
    ptx_module_free(m);
}

static void test_special_registers(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(
        ".reg .b32 r; .reg .b64 d;\n"
        "mov.u32 r, %tid.x;\nmov.u32 r, %ntid.y;\nadd.s32 r, %tid.x, %ctaid.z;\n"
        "mov.u32 r, %lanemask_lt;\nmov.u64 d, %clock64;\nmov.u32 r, %cluster_ctarank;\n"
        "mov.u32 r, %cluster_nctaid.x;\nret;\n");
    const struct ptx_kernel *k = &m->kernels[0];
    const struct ptx_insn *i = k->insns;
    static const struct {
        int32_t insn, operand;
        enum ptx_const_kind kind;
    } expected[] = {
        {0, 1, PTX_TID_X},
        {1, 1, PTX_NTID_Y},
        {2, 2, PTX_CTAID_Z},
        {3, 1, PTX_LANEMASK_LT},
    };
    for (int64_t e = 0; e < ARRAY_LEN(expected); e++) {
        const struct ptx_operand *o = &i[expected[e].insn].o[expected[e].operand];
        assert_int_equal(o->kind, PTX_REG);
        int32_t n = 0;
        for (int32_t c = 0; c < k->n_consts; c++)
            n += k->consts[c].slot == o->slot &&
                 k->consts[c].kind == expected[e].kind && k->consts[c].bytes == 4;
        assert_int_equal(n, 1);
    }
    assert_int_equal(i[2].o[1].slot, i[0].o[1].slot);
    assert_int_equal(i[4].n_operands, 1);
    assert_int_equal(i[4].n_parts, 3);
    assert_string_equal(i[4].part[1], "%clock64");
    assert_string_equal(i[4].part[2], "u64");
    assert_int_equal(lane_value(k, &i[5].o[1]), 0);
    assert_int_equal(lane_value(k, &i[6].o[1]), 1);
    ptx_module_free(m);
}

static void test_branch_targets(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_body(".reg .b32 r;\nfirst: mov.u32 r, 1;\n"
                                         "list: .branchtargets\n\tfirst,\n\tlast;\n"
                                         "brx.idx.uni r, list;\nlast: ret;\n");
    const struct ptx_operand *o = &m->kernels[0].insns[1].o[1];
    assert_int_equal(o->kind, PTX_VECTOR);
    assert_int_equal(o->n_items, 2);
    assert_int_equal(o->items[0].kind, PTX_LABEL);
    assert_int_equal(o->items[0].bits, 0);
    assert_int_equal(o->items[1].bits, 2);
    ptx_module_free(m);
}

/* --- variables --- */

static void test_shared_and_local(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_module(
        ".extern .shared .align 16 .b8 row[];\n.shared .align 8 .b8 other[8];\n"
        ".shared .align 4 .b8 common_[12];\n"
        ".entry a() {\n.reg .b32 r; .reg .b64 %SP, %SPL, d;\n"
        ".local .align 16 .b8 __local_depot0[24];\n.local .b32 x;\n"
        ".shared .align 2 .b8 odd[3]; .shared .align 8 .f64 two[2];\n"
        "mov.u64 %SPL, __local_depot0;\ncvta.local.u64 %SP, %SPL;\n"
        "mov.u32 r, two;\nmov.u32 r, row;\nld.shared.u32 r, [common_+4];\n"
        "st.shared.u32 [row+8], r;\nld.local.u32 r, [x];\nmov.u64 d, x+2;\nret;\n}\n"
        ".entry b(.param .b8 p[4], .param .u64 q) {\n.reg .b32 r; .reg .b64 d;\n"
        "ld.shared.u32 r, [common_];\nld.shared.u32 r, [common_+8];\n"
        "ld.param.u64 d, [q];\nmov.u64 d, q;\nret;\n}\n");
    const struct ptx_kernel *a = ptx_module_kernel(m, "a");
    const struct ptx_kernel *b = ptx_module_kernel(m, "b");
    assert_int_equal(a->local_bytes, 32);    /* 24 + 4, rounded */
    assert_int_equal(a->shared_bytes, 1024); /* 3, 8 + 16, 12, then dynamic */
    assert_int_equal(a->insns[2].o[1].bits, 8);
    assert_int_equal(a->insns[3].o[1].bits, 1024);
    assert_int_equal(lane_value(a, &a->insns[3].o[1]), 1024);
    assert_int_equal(a->insns[4].o[1].bits, 24 + 4);
    assert_int_equal(a->insns[5].o[0].bits, 1024 + 8);
    assert_true(a->insns[5].o[0].slot < 0);
    assert_int_equal(a->insns[6].o[1].bits, 24);
    assert_int_equal(a->insns[7].o[1].bits, 26);
    assert_int_equal(b->shared_bytes, 12); /* without dynamic memory as declared */
    assert_int_equal(b->insns[0].o[1].bits, 0);
    assert_int_equal(b->insns[1].o[1].bits, 8);
    assert_int_equal(b->insns[2].o[1].bits, 8);
    assert_int_equal(b->insns[3].o[1].bits, 8);
    assert_int_equal(b->param_bytes, 16);
    ptx_module_free(m);
}

static void check_variable(const struct ptx_module *m, const char *name,
                           const void *expected, size_t bytes, bool is_const)
{
    for (int32_t i = 0; i < m->n_variables; i++) {
        const struct ptx_variable *v = &m->variables[i];
        if (strcmp(v->name, name) != 0)
            continue;
        assert_int_equal(v->bytes, bytes);
        assert_int_equal(v->is_const, is_const);
        assert_memory_equal(v->data, expected, bytes);
        return;
    }
    fail_msg("no variable %s", name);
}

static void test_variables(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_module(
        ".visible .global .align 4 .u32 count;\n"
        ".const .align 4 .f32 table[4] = {0f3F800000, -2.5, 0d3FF8000000000000};\n"
        ".global .align 1 .b8 $str[6] = {72, 0x65, 108, 0154, 111};\n"
        ".global .align 1 .b8 open[] = {1, 2, 3};\n"
        ".global .b8 text[] = \"ab\";\n"
        ".global .s16 grid[2][3] = {{1, -2}, {3, 4, 5}};\n"
        ".const .u64 one = 0xFFFFFFFFFFFFFFFF, two = 2;\n"
        ".global .v2 .f32 pair = {1.0, 2.0};\n"
        ".global .u64 at[3] = {count, generic(table)+4, open+2};\n"
        ".global .b8 low[2] = {0xFF(count), 0xFF00(count)};\n"
        ".entry k() { .reg .b64 d; .reg .f32 f; mov.u64 d, table;\n"
        "ld.const.f32 f, [table+4]; ret; }\n");
    static const float table[4] = {1.0f, -2.5f, 1.5f, 0.0f};
    static const int16_t grid[2][3] = {{1, -2, 0}, {3, 4, 5}};
    static const float pair[2] = {1.0f, 2.0f};
    check_variable(m, "count", "\0\0\0", 4, false);
    check_variable(m, "table", table, sizeof table, true);
    check_variable(m, "$str", "Hello", 6, false);
    check_variable(m, "open", "\1\2\3", 3, false);
    check_variable(m, "text", "ab", 3, false);
    check_variable(m, "grid", grid, sizeof grid, false);
    check_variable(m, "one", "\377\377\377\377\377\377\377\377", 8, true);
    check_variable(m, "two", "\2\0\0\0\0\0\0\0", 8, true);
    check_variable(m, "pair", pair, sizeof pair, false);
    const uint64_t count = (uintptr_t)m->variables[0].data;
    const uint64_t table_at = (uintptr_t)m->variables[1].data;
    const uint64_t at[3] = {count, table_at + 4, (uintptr_t)m->variables[3].data + 2};
    check_variable(m, "at", at, sizeof at, false);
    check_variable(m, "low", &count, 2, false);
    assert_true(machine_holds(m->variables[1].data, sizeof table));
    const struct ptx_insn *i = m->kernels[0].insns;
    assert_int_equal((uint64_t)i[0].o[1].bits, table_at);
    assert_int_equal((uint64_t)i[1].o[1].bits, table_at + 4);
    ptx_module_free(m);
}

/* --- what is passed over --- */

static void test_remarks(void **state)
{
    (void)state;
    struct ptx_module *m = ptx_text_module(
        ".file 1 \"/a/b.cu\", 1700000000, 33\n"
        ".extern .func (.param .b32 out) vprintf (.param .b64 a, .param .b64 b);\n"
        ".func (.reg .b32 r) twice (.reg .b32 a) { { add.s32 r, a, a; } ret; }\n"
        ".entry k() {\n.reg .b32 r;\n.loc 1 12 3\n.pragma \"nounroll\";\n"
        ".loc 1 9 1, function_name $L__info_string0, inlined_at 1 12 3\n"
        "mov.u32 r, 1; // the end; {\n/* } */ $L__tmp0:\n;\nret;\n$L__func_end0:\n}\n"
        ".section .debug_str\n{\n$L__info_string0:\n.b8 95,90,0\n\n}\n"
        ".section .debug_info { .b32 $L_a-$L_b+4 }\n");
    assert_int_equal(m->n_kernels, 1);
    assert_int_equal(m->kernels[0].n_insns, 2);
    assert_int_equal(m->kernels[0].insns[0].line, 10);
    ptx_module_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_kernel_head),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_immediate_slots),
        cmocka_unit_test(test_operand_kinds),
        cmocka_unit_test(test_tensor_address),
        cmocka_unit_test(test_special_registers),
        cmocka_unit_test(test_branch_targets),
        cmocka_unit_test(test_shared_and_local),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_remarks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
