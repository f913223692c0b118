/*
 * Runs a kernel given as the body of its PTX, for tests of the machine.
 *
 * The body finds registers %r, %rd, %f, %fd, %rs and %p (64 of each), and in them: %r0
 * the thread's number in the grid, %r1 in the block, %rd0 .. %rd3 the launch's four
 * 64-bit arguments, %rd4 the address of element %r0 of the words at argument 0.
 */
#ifndef TESTS_EMULATOR_RUN_PTX_H
#define TESTS_EMULATOR_RUN_PTX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "emulator/machine.h"

struct ptx_case {
    const char *body;
    int32_t blocks, threads; /* of a one-dimensional launch */
    size_t dynamic_bytes;
    uint64_t arg[4];
};

static inline struct ptx_module *build_ptx(const char *body)
{
    struct buf text = {0};
    struct ptx_module *m = NULL;
    buf_puts(&text, ".version 8.8\n.target sm_90a\n.address_size 64\n"
                    ".extern .shared .align 16 .b8 dynamic[];\n"
                    ".visible .entry k(.param .u64 a0, .param .u64 a1,\n"
                    "    .param .u64 a2, .param .u64 a3)\n{\n"
                    ".reg .b32 %r<64>;\n.reg .b64 %rd<64>;\n.reg .f32 %f<64>;\n"
                    ".reg .f64 %fd<64>;\n.reg .b16 %rs<64>;\n.reg .pred %p<64>;\n"
                    "mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ntid.x;\n"
                    "mov.u32 %r3, %ctaid.x;\nmad.lo.s32 %r0, %r2, %r3, %r1;\n"
                    "ld.param.u64 %rd0, [a0];\nld.param.u64 %rd1, [a1];\n"
                    "ld.param.u64 %rd2, [a2];\nld.param.u64 %rd3, [a3];\n"
                    "mul.wide.u32 %rd4, %r0, 4;\nadd.s64 %rd4, %rd4, %rd0;\n");
    buf_puts(&text, body);
    buf_puts(&text, "\nret;\n}\n");
    const int status = ptx_module_parse(text.data, text.len, "test", &m);
    if (status != STATUS_OK)
        fail_msg("%s", status_message());
    buf_release(&text);
    return m;
}

static inline int run_ptx(const struct ptx_case *c)
{
    struct ptx_module *const m = build_ptx(c->body);
    const struct machine_launch launch = {
        .kernel = ptx_module_kernel(m, "k"),
        .grid = {c->blocks, 1, 1},
        .block = {c->threads, 1, 1},
        .dynamic_bytes = c->dynamic_bytes,
        .params = (const uint8_t *)c->arg,
    };
    assert_non_null(launch.kernel);
    const int status = machine_run(&launch);
    ptx_module_free(m);
    return status;
}

/* Zeroed words that kernels may reach. */
static inline uint32_t *device_words(size_t n)
{
    void *p = NULL;
    assert_int_equal(machine_alloc(n * sizeof(uint32_t), false, &p), STATUS_OK);
    memset(p, 0, n * sizeof(uint32_t));
    return p;
}

static inline void must_run(const struct ptx_case *c)
{
    const int status = run_ptx(c);
    if (status != STATUS_OK)
        fail_msg("%s", status_message());
}

/* Runs with words of output as argument 0, which stay valid until machine_free. */
static inline uint32_t *words_of(const char *body, int32_t blocks, int32_t threads)
{
    uint32_t *const out = device_words((size_t)blocks * (size_t)threads);
    must_run(&(struct ptx_case){.body = body,
                                .blocks = blocks,
                                .threads = threads,
                                .arg = {(uint64_t)(uintptr_t)out}});
    return out;
}

/* The kernel must end in a fault whose text has these words, up to a NULL. */
static inline void must_fault(const char *body, int32_t blocks, int32_t threads,
                              uint64_t argument, ...) __attribute__((sentinel));
static inline void must_fault(const char *body, int32_t blocks, int32_t threads,
                              uint64_t argument, ...)
{
    const enum log_level level = log_get_level();
    log_set_level(LOG_OFF);
    const int status = run_ptx(&(struct ptx_case){
        .body = body, .blocks = blocks, .threads = threads, .arg = {argument}});
    log_set_level(level);
    assert_int_equal(status, ERR_DEVICE);
    va_list words;
    va_start(words, argument);
    for (const char *word; (word = va_arg(words, const char *)) != NULL;) {
        if (strstr(status_message(), word) == NULL)
            fail_msg("'%s' is not in: %s", word, status_message());
    }
    va_end(words);
}

#endif
