/*
 * Texts that are no PTX: errors and their places, damaged texts; and whole modules: set
 * EMULATOR_PTX_DIR to a folder of .ptx files (nvcc -ptx), without it that test is
 * skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "emulator/machine.h"
#include "tests/emulator/rig.h"

static void test_module_errors(void **state)
{
    (void)state;
    ptx_text_fails("\n  .wrong x;\n", "3:10: '.wrong' is not supported here");
    ptx_text_fails("/* open", "2:1: a comment without end");
    ptx_text_fails("\x01", "2:1: the byte 0x01 is not part of PTX");
    ptx_text_fails(".entry k() { ret; } .entry k() { ret; }",
                   "2:28: the kernel 'k' is defined twice");
    ptx_text_fails(".entry k() {\n ret;\n", "2:12: braces without end");
    ptx_text_fails(".global .u32 x; .global .u32 x;", "2:30: 'x' is declared twice");
    ptx_text_fails(".global .u32 x[];", "2:14: 'x' has no length");
    ptx_text_fails(".global .b8 x[2] = {1,2,3};", "2:25: more values than 'x' holds");
    ptx_text_fails(".global .b8 x = 300;", "2:17: the value does not fit 1 bytes");
    ptx_text_fails(".global .u64 x = y;", "2:18: 'y' is no variable declared before");
    ptx_text_fails(".global .b8 x[2000000000];",
                   "2:15: expected a number of 0 to 1073741824");
    ptx_text_fails(".entry k() .reqnctapercluster 2 { ret; }",
                   "2:13: clusters of 2 blocks, only 1 is supported");
    ptx_text_fails(".entry k(.param .u64 a, .param .u64 a) { ret; }",
                   "2:37: 'a' is declared twice");
}

static void test_body_errors(void **state)
{
    (void)state;
    ptx_text_body_fails("bra nowhere;\n",
                        "3:5: 'nowhere' is neither declared nor a label");
    ptx_text_body_fails("{ inner: ret; }\nbra inner;\n",
                        "4:5: 'inner' is neither declared nor a label");
    ptx_text_body_fails("a: ret;\na: ret;\n", "4:1: 'a' is declared twice");
    ptx_text_body_fails(".reg .b32 %r<3>;\nmov.b32 %r1, %r3;\n",
                        "4:14: '%r3' is no register that is declared or known");
    ptx_text_body_fails(".reg .b32 %r<3>;\nmov.b32 %r1, %tid;\n",
                        "4:14: '%tid' is no register that is declared or known");
    ptx_text_body_fails(".reg .b32 %r<3>;\n\nadd.s32 %r1, %clock, 1;\n",
                        "6:1: %clock can be read by mov alone");
    ptx_text_body_fails(".reg .b32 %r<99999999>;\n",
                        "3:23: more than 64 MiB of registers");
    ptx_text_body_fails(".reg .b32 r;\nld.shared.u32 r, [x];\n",
                        "4:19: 'x' is not declared");
    ptx_text_body_fails(".reg .b32 r;\n@r ret;\n", "4:2: expected a predicate");
    ptx_text_body_fails(".reg .b32 r;\nmov.b32 r r;\n",
                        "4:11: found 'r', expected ','");
    ptx_text_body_fails(".reg .b32 r;\nmov.b32 r, 12x;\n", "4:14: 'x' in a number");
    ptx_text_body_fails(".reg .b32 r;\nmov.b32 r, 99999999999999999999;\n",
                        "4:12: a number of more than 64 bits");
    ptx_text_body_fails(".reg .f32 r;\nmov.f32 r, 0f3F80;\n",
                        "4:12: a number with 4 digits of base 16, expected 8");
    ptx_text_body_fails(".reg .b32 r;\nmov.b32 r, 4294967296;\n",
                        "4:1: 4294967296 does not fit 4 bytes");
    ptx_text_body_fails(".reg .b32 r;\nst.shared.u16 [r], 1.0;\n",
                        "4:1: a float where an integer belongs");
    ptx_text_body_fails("call.uni f, (x);\n", "3:1: calls of functions are not "
                                              "supported: have them inlined");
    ptx_text_body_fails("{ .param .b64 x;\n}\n", "3:4: calls of functions are not "
                                                 "supported: have them inlined");
}

static void test_bind_errors(void **state)
{
    (void)state;
    ptx_text_body_fails(".reg .b32 r;\n\n  frob.u32 r, 1;\n",
                        "5:3: the instruction frob.u32 is not known: 'frob.u32 r, 1'");
    ptx_text_body_fails(".reg .b64 r;\nmov.u32 r, 1;\n",
                        "4:1: this form of mov.u32, or its operands, is not supported: "
                        "'mov.u32 r, 1'");
    ptx_text_body_fails(".reg .pred p; .reg .f32 f;\nsetp.lo.f32 p, f, f;\n",
                        "4:1: this form of setp.lo.f32, or its operands, is not "
                        "supported: 'setp.lo.f32 p, f, f'");
}

/* --- hostile and whole texts --- */

static const char sample_text[] = PTX_HEAD
    ".extern .shared .align 16 .b8 row[];\n.const .f32 t[2] = {0f3F800000, 1.5};\n"
    ".global .u64 at[2] = {t, generic(t)};\n"
    ".entry k(.param .u64 a, .param .align 8 .b8 b[12]) .maxntid 32, 1, 1\n{\n"
    ".reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %rd<4>; .reg .f32 %f<4>;\n"
    ".local .align 8 .b8 __local_depot0[16];\n"
    "ld.param.u64 %rd1, [a]; mov.u32 %r1, %tid.x; mov.u32 %r2, row;\n"
    "mov.b64 %rd2, {%r1, 7}; mov.b64 {%r3, _}, %rd2;\n"
    "setp.lt.and.s32 %p1|%p2, %r1, -3, %p1;\n@!%p1 bra $L1;\n"
    "{ .reg .pred q; w: setp.eq.u32 q, %r1, 0x1F; @q bra w; }\n"
    "ld.global.v2.f32 {%f1, %f2}, [%rd1+-8]; selp.f32 %f1, %f2, 0f00000000, %p2;\n"
    "l: .branchtargets $L1, $L2; brx.idx %r1, l;\n$L1: st.shared.f32 [row+4], %f1;\n"
    "$L2: ret;\n}\n";

/* Damaged texts parse or are errors; the sanitizers watch. */
static void test_damaged(void **state)
{
    (void)state;
    const size_t n = strlen(sample_text);
    struct ptx_module *m;
    assert_int_equal(ptx_module_parse(sample_text, n, "whole", &m), 0);
    ptx_module_free(m);
    for (size_t cut = 0; cut < n; cut++)
        if (ptx_module_parse(sample_text, cut, "cut", &m) == 0)
            ptx_module_free(m);
    static const char bytes[] = "{}[]();,.@%<>|!\"0f9xRr_ \n\\/*=-+$";
    uint64_t rng = 20240101;
    int32_t n_parsed = 0;
    for (int32_t round = 0; round < 4000; round++) {
        char *text = mem_alloc(n);
        memcpy(text, sample_text, n);
        const uint64_t n_changes = 1 + rig_draw(&rng) % 4;
        for (uint64_t c = 0; c < n_changes; c++) {
            const uint64_t at = rig_draw(&rng) % n;
            text[at] = bytes[rig_draw(&rng) % (sizeof bytes - 1)];
        }
        if (ptx_module_parse(text, n, "damaged", &m) == 0) {
            ptx_module_free(m);
            n_parsed++;
        }
        mem_free(text);
    }
    print_message("%d of 4000 damaged texts parse\n", n_parsed);
    assert_true(n_parsed < 2000);
}

static void parse_file(const char *path)
{
    struct buf text = {0};
    if (io_read_file(&text, path, 64 << 20) != 0)
        fail_msg("%s", status_message());
    struct ptx_module *m = NULL;
    if (ptx_module_parse(text.data, text.len, path, &m) != 0)
        fail_msg("%s", status_message());
    int64_t n_insns = 0;
    for (int32_t k = 0; k < m->n_kernels; k++) {
        n_insns += m->kernels[k].n_insns;
        for (int32_t i = 0; i < m->kernels[k].n_insns; i++)
            assert_non_null(m->kernels[k].insns[i].run);
    }
    print_message("%s: %d kernels, %lld instructions\n", path, m->n_kernels,
                  (long long)n_insns);
    ptx_module_free(m);
    buf_release(&text);
}

static void test_folder(void **state)
{
    (void)state;
    const char *const path = getenv("EMULATOR_PTX_DIR");
    if (!path)
        skip();
    DIR *dir = opendir(path);
    if (!dir)
        fail_msg("EMULATOR_PTX_DIR: cannot open %s", path);
    int32_t n = 0;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        const size_t len = strlen(e->d_name);
        if (len < 4 || strcmp(e->d_name + len - 4, ".ptx") != 0)
            continue;
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        parse_file(file);
        n++;
    }
    closedir(dir);
    assert_true(n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module_errors), cmocka_unit_test(test_body_errors),
        cmocka_unit_test(test_bind_errors),   cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
