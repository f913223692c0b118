/*
 * Checked file I/O. Every call names its path in the error (ERR_IO; ERR_INPUT for a
 * missing or malformed file that the user named). Writes that must survive a crash go
 * through io_write_atomic: temporary name in the same directory, fsync, rename, fsync
 * of the directory.
 */
#ifndef CORE_IO_H
#define CORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/mem.h"
#include "core/status.h"

/* A read-only mapping. size 0 gives data == "" */
struct io_map {
    const unsigned char *data;
    size_t size;
};
int io_map_open(struct io_map *m, const char *path) WARN_UNUSED;
void io_map_close(struct io_map *m);
/* Tell the kernel that a range was read for the last time, so that it leaves the RSS.
 */
void io_map_done(const struct io_map *m, size_t off, size_t bytes);

int io_read_file(struct buf *out, const char *path, size_t max_bytes) WARN_UNUSED;
int io_write_atomic(const char *path, const void *data, size_t len) WARN_UNUSED;
/* An open file that is appended to and checked; close reports what the kernel held
 * back. */
struct io_file {
    int fd;
    int64_t size; /* bytes written so far (append: the size at open included) */
    char *path;
    char *buffer; /* 1 MiB, flushed when full */
    size_t n_buffered;
};
int io_create(struct io_file *f, const char *path) WARN_UNUSED; /* truncates */
int io_append(struct io_file *f, const char *path) WARN_UNUSED; /* creates if missing */
int io_write(struct io_file *f, const void *data, size_t len) WARN_UNUSED;
int io_flush(struct io_file *f) WARN_UNUSED;
int io_close(struct io_file *f,
             bool is_synced) WARN_UNUSED; /* is_synced: fsync before close */
void io_abandon(
    struct io_file *f); /* close without a word, after an error; accepts zeroed */
/* Cuts to `size`; a file that is shorter already is an error (ERR_INPUT) */
int io_truncate(const char *path, int64_t size) WARN_UNUSED;

int io_mkdirs(const char *path) WARN_UNUSED;                     /* as mkdir -p */
int io_rename_dir(const char *from, const char *to) WARN_UNUSED; /* fsyncs files below
                                         `from`, renames, fsyncs the parent */
int io_remove_tree(const char *path) WARN_UNUSED; /* a missing path is fine */
int io_copy_file(const char *to, const char *from) WARN_UNUSED;
bool io_exists(const char *path);
bool io_is_dir(const char *path);
bool io_is_same(const char *a, const char *b); /* one file, by whatever names */
int64_t io_free_bytes(const char *path);       /* -1 if unknown */
/* Sorted names in a directory (without . and ..). Free with io_list_free. */
int io_list(const char *path, char ***names_out, int64_t *n_out) WARN_UNUSED;
void io_list_free(char **names, int64_t n);
/* dir + "/" + name into a fresh string (mem_free) */
char *io_join(const char *dir, const char *name);

/* Lines of a text file, one at a time; *line without its end, NUL-terminated, owned by
 * r. NULs inside are kept: use *len. *line = NULL at the end. */
struct io_lines {
    struct io_map map;
    size_t off;
    int64_t number; /* of the line just returned, from 1 */
    struct buf line;
};
int io_lines_open(struct io_lines *r, const char *path) WARN_UNUSED;
bool io_lines_next(struct io_lines *r, const char **line, size_t *len);
void io_lines_close(struct io_lines *r);

#endif
