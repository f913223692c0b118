/*
 * The scratch directory, made with the C library alone: core's file functions are what
 * the tests are about.
 */
#include "tests/core/tmp_dir.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/status.h"

static char directory[] = "/tmp/moe-grpo-test-XXXXXX";

int tmp_dir_make(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

int tmp_dir_remove(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *tmp_path(const char *name)
{
    static char paths[8][PATH_MAX];
    static int next;
    char *const path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return path;
}

const char *tmp_file(const char *name, const void *data, size_t len)
{
    const char *const path = tmp_path(name);
    unlink(path); /* truncating instead makes ext4 flush the new content */
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return path;
}

const char *tmp_text(const char *name, const char *text)
{
    return tmp_file(name, text, strlen(text));
}

void assert_message(const char *part, ...)
{
    va_list parts;
    va_start(parts, part);
    for (; part != NULL; part = va_arg(parts, const char *))
        if (strstr(status_message(), part) == NULL) {
            va_end(parts);
            fail_msg("\"%s\" is not in the message \"%s\"", part, status_message());
        }
    va_end(parts);
}
