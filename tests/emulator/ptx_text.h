/*
 * PTX written in tests: modules around a kernel's body, and the message of an error.
 */
#ifndef TESTS_EMULATOR_PTX_TEXT_H
#define TESTS_EMULATOR_PTX_TEXT_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "emulator/ptx.h"

/* line 1, so that what follows begins on line 2 */
#define PTX_HEAD ".version 9.0 .target sm_90a .address_size 64\n"

/* Parses the text behind PTX_HEAD; the parser's status. */
static inline int ptx_text_parse(const char *text, struct ptx_module **out)
{
    struct buf b = {0};
    buf_puts(&b, PTX_HEAD);
    buf_puts(&b, text);
    const int status = ptx_module_parse(b.data, b.len, "test", out);
    buf_release(&b);
    return status;
}

/* The module of the text; the test fails where it does not parse. */
static inline struct ptx_module *ptx_text_module(const char *text)
{
    struct ptx_module *m = NULL;
    if (ptx_text_parse(text, &m) != 0)
        fail_msg("%s", status_message());
    return m;
}

/* A kernel k (no parameters) with these lines as its body, which begins on line 3. */
static inline struct ptx_module *ptx_text_body(const char *body)
{
    struct buf b = {0};
    buf_printf(&b, ".entry k() {\n%s}\n", body);
    struct ptx_module *m = ptx_text_module(b.data);
    buf_release(&b);
    return m;
}

/* The error of the text is exactly "test:" and this. */
static inline void ptx_text_fails(const char *text, const char *expected)
{
    struct ptx_module *m = NULL;
    const int status = ptx_text_parse(text, &m);
    if (status == 0)
        fail_msg("parsed, expected the error %s", expected);
    assert_int_equal(status, ERR_INPUT);
    assert_memory_equal(status_message(), "test:", 5);
    assert_string_equal(status_message() + 5, expected);
}

static inline void ptx_text_body_fails(const char *body, const char *expected)
{
    struct buf b = {0};
    buf_printf(&b, ".entry k() {\n%s}\n", body);
    ptx_text_fails(b.data, expected);
    buf_release(&b);
}

#endif
