/*
 * A scratch directory for one test program, removed at its end, and files in it.
 * Group set-up and tear-down of cmocka: tmp_dir_make, tmp_dir_remove.
 */
#ifndef TESTS_CORE_TMP_DIR_H
#define TESTS_CORE_TMP_DIR_H

/* clang-format off: cmocka.h needs what stands before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

int tmp_dir_make(void **state);
int tmp_dir_remove(void **state);
/* path of `name` in the directory; the text lives until the 8th call after this one */
const char *tmp_path(const char *name);
/* a file of these bytes; returns its path */
const char *tmp_file(const char *name, const void *data, size_t len);
const char *tmp_text(const char *name, const char *text);
/* the stored message contains every one of these, NULL at the end */
void assert_message(const char *part, ...) __attribute__((sentinel));

#endif
