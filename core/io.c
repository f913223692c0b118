/*
 * Files: mapped, read whole, written through a buffer, replaced atomically, read line
 * by line. Directories are in io_dir.c.
 */
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

static int open_retry(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* A file that the user named and that is not there is bad input, not a bad disk. */
static int open_error(const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return ERR(ERR_INPUT, "%s: no such file; check the path", path);
    return ERR(ERR_IO, "%s: open: %s", path, strerror(errno));
}

static int open_read(int *fd_out, struct stat *st, const char *path)
{
    const int fd = open_retry(path, O_RDONLY);
    if (fd < 0)
        return open_error(path);
    int status = STATUS_OK;
    if (fstat(fd, st) != 0)
        status = ERR(ERR_IO, "%s: stat: %s", path, strerror(errno));
    else if (S_ISDIR(st->st_mode))
        status = ERR(ERR_INPUT, "%s: is a directory, expected a file", path);
    if (status == STATUS_OK)
        *fd_out = fd;
    else
        close(fd);
    return status;
}

int io_map_open(struct io_map *m, const char *path)
{
    int fd, status = STATUS_OK;
    struct stat st;
    TRY(open_read(&fd, &st, path));
    void *p = NULL;
    if (!S_ISREG(st.st_mode))
        status = ERR(ERR_INPUT, "%s: not a regular file, cannot be mapped", path);
    else if (st.st_size > 0)
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        status = ERR(ERR_IO, "%s: mmap of %lld bytes: %s", path, (long long)st.st_size,
                     strerror(errno));
    close(fd); /* the mapping stays */
    if (status == STATUS_OK)
        *m = p == NULL ? (struct io_map){(const unsigned char *)"", 0}
                       : (struct io_map){p, (size_t)st.st_size};
    return status;
}

void io_map_close(struct io_map *m)
{
    if (m == NULL)
        return;
    /* munmap takes a plain pointer; the bytes themselves were never writable */
    if (m->size > 0)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (struct io_map){0};
}

void io_map_done(const struct io_map *m, size_t off, size_t bytes)
{
    if (off >= m->size)
        return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t last = bytes > m->size - off ? m->size : off + bytes;
    /* Whole pages below `last`; the page it cuts goes with the next range. The first
     * page may be shared with an earlier range: if read again, it comes back. */
    const size_t from = off & ~(page - 1);
    const size_t to = last == m->size ? last : last & ~(page - 1);
    if (to > from)
        (void)madvise((void *)(uintptr_t)(m->data + from), to - from, MADV_DONTNEED);
}

static int read_fd(struct buf *b, int fd, const char *path, size_t max_bytes)
{
    char chunk[1 << 16];
    for (;;) {
        const ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR(ERR_IO, "%s: read: %s", path, strerror(errno));
        if (n == 0)
            return STATUS_OK;
        if ((size_t)n > max_bytes - b->len)
            return ERR(ERR_INPUT, "%s: larger than the limit of %zu bytes", path,
                       max_bytes);
        buf_append(b, chunk, (size_t)n);
    }
}

int io_read_file(struct buf *out, const char *path, size_t max_bytes)
{
    int fd;
    struct stat st;
    TRY(open_read(&fd, &st, path));
    struct buf b = {0};
    buf_append(&b, "", 0); /* an empty file still has its NUL */
    const int status = read_fd(&b, fd, path, max_bytes);
    close(fd);
    if (status != STATUS_OK) {
        buf_release(&b);
        return status;
    }
    buf_release(out);
    *out = b;
    return STATUS_OK;
}

static int write_fd(int fd, const char *data, size_t len, const char *path)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR(ERR_IO, "%s: write: %s", path, strerror(errno));
        data += n;
        len -= (size_t)n;
    }
    return STATUS_OK;
}

static int fsync_parent(const char *path)
{
    const char *const slash = strrchr(path, '/');
    char *const dir = slash == NULL ? mem_strdup(".")
                                    : mem_strndup(path, (size_t)(slash - path) + 1);
    const int fd = open_retry(dir, O_RDONLY | O_DIRECTORY);
    int status = STATUS_OK;
    /* some network file systems refuse to sync a directory: EINVAL, nothing to do */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        status = ERR(ERR_IO, "%s: fsync of the directory: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    mem_free(dir);
    return status;
}

/* A fresh file beside path; O_EXCL settles races between threads and processes. */
static int create_temporary(struct buf *name, const char *path)
{
    for (int i = 0; i < 1000; i++) {
        buf_reset(name);
        buf_printf(name, "%s.tmp.%ld.%d", path, (long)getpid(), i);
        const int fd = open_retry(name->data, O_WRONLY | O_CREAT | O_EXCL);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

int io_write_atomic(const char *path, const void *data, size_t len)
{
    struct buf name = {0};
    int status = STATUS_OK;
    const int fd = create_temporary(&name, path);
    if (fd < 0) {
        status = ERR(ERR_IO, "%s: create: %s", name.data, strerror(errno));
        goto out;
    }
    status = write_fd(fd, data, len, path);
    if (status == STATUS_OK && fsync(fd) != 0)
        status = ERR(ERR_IO, "%s: fsync: %s", path, strerror(errno));
    if (close(fd) != 0 && status == STATUS_OK && errno != EINTR)
        status = ERR(ERR_IO, "%s: close: %s", path, strerror(errno));
    if (status == STATUS_OK && rename(name.data, path) != 0)
        status = ERR(ERR_IO, "%s: rename to %s: %s", name.data, path, strerror(errno));
    if (status != STATUS_OK) {
        unlink(name.data);
        goto out;
    }
    status = fsync_parent(path);
out:
    buf_release(&name);
    return status;
}

static int open_write(struct io_file *f, const char *path, int flags)
{
    const int fd = open_retry(path, O_WRONLY | O_CREAT | flags);
    if (fd < 0)
        return ERR(ERR_IO, "%s: open for writing: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        const int status = ERR(ERR_IO, "%s: stat: %s", path, strerror(errno));
        close(fd);
        return status;
    }
    *f = (struct io_file){.fd = fd,
                          .size = st.st_size,
                          .path = mem_strdup(path),
                          .buffer = mem_alloc(BUFFER_BYTES)};
    return STATUS_OK;
}

int io_create(struct io_file *f, const char *path)
{
    return open_write(f, path, O_TRUNC);
}

int io_append(struct io_file *f, const char *path)
{
    return open_write(f, path, O_APPEND);
}

int io_write(struct io_file *f, const void *data, size_t len)
{
    if (len == 0)
        return STATUS_OK;
    if (len > BUFFER_BYTES - f->n_buffered)
        TRY(io_flush(f));
    if (len >= BUFFER_BYTES) {
        TRY(write_fd(f->fd, data, len, f->path));
    } else {
        memcpy(f->buffer + f->n_buffered, data, len);
        f->n_buffered += len;
    }
    f->size += (int64_t)len;
    return STATUS_OK;
}

int io_flush(struct io_file *f)
{
    /* Emptied even on failure: part of it may be out, so a retry would repeat bytes. */
    const size_t len = f->n_buffered;
    f->n_buffered = 0;
    return write_fd(f->fd, f->buffer, len, f->path);
}

int io_close(struct io_file *f, bool is_synced)
{
    int status = io_flush(f);
    if (status == STATUS_OK && is_synced && fsync(f->fd) != 0 && errno != EINVAL)
        status = ERR(ERR_IO, "%s: fsync: %s", f->path, strerror(errno));
    /* Linux frees the descriptor on EINTR too */
    if (close(f->fd) != 0 && status == STATUS_OK && errno != EINTR)
        status = ERR(ERR_IO, "%s: close: %s", f->path, strerror(errno));
    mem_free(f->path);
    mem_free(f->buffer);
    *f = (struct io_file){0};
    return status;
}

void io_abandon(struct io_file *f)
{
    if (f == NULL || f->path == NULL)
        return;
    close(f->fd);
    mem_free(f->path);
    mem_free(f->buffer);
    *f = (struct io_file){0};
}

int io_truncate(const char *path, int64_t size)
{
    const int fd = open_retry(path, O_WRONLY);
    if (fd < 0)
        return open_error(path);
    struct stat st;
    int status = STATUS_OK;
    if (fstat(fd, &st) != 0)
        status = ERR(ERR_IO, "%s: stat: %s", path, strerror(errno));
    else if (size < 0 || st.st_size < size)
        status = ERR(ERR_INPUT, "%s: has %lld bytes, expected at least %lld", path,
                     (long long)st.st_size, (long long)size);
    else if (ftruncate(fd, size) != 0 || fsync(fd) != 0)
        status = ERR(ERR_IO, "%s: truncate to %lld bytes: %s", path, (long long)size,
                     strerror(errno));
    close(fd);
    return status;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

bool io_is_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

static int copy_fd(struct io_file *to, int fd, const char *from, char *chunk)
{
    for (;;) {
        const ssize_t n = read(fd, chunk, BUFFER_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR(ERR_IO, "%s: read: %s", from, strerror(errno));
        if (n == 0)
            return STATUS_OK;
        TRY(io_write(to, chunk, (size_t)n));
    }
}

int io_copy_file(const char *to, const char *from)
{
    int fd, status;
    struct stat st;
    struct io_file f = {0};
    TRY(open_read(&fd, &st, from));
    char *const chunk = mem_alloc(BUFFER_BYTES);
    if (is_same_file(fd, to)) {
        status = ERR(ERR_INPUT, "%s and %s are the same file", to, from);
        goto out;
    }
    TRY_OUT(io_create(&f, to));
    TRY_OUT(copy_fd(&f, fd, from, chunk));
    status = io_close(&f, false);
out:
    io_abandon(&f);
    mem_free(chunk);
    close(fd);
    return status;
}

int io_lines_open(struct io_lines *r, const char *path)
{
    struct io_map map;
    TRY(io_map_open(&map, path));
    *r = (struct io_lines){.map = map};
    return STATUS_OK;
}

bool io_lines_next(struct io_lines *r, const char **line, size_t *len)
{
    const size_t left = r->map.size - r->off;
    if (left == 0) {
        *line = NULL;
        if (len != NULL)
            *len = 0;
        return false;
    }
    const unsigned char *const start = r->map.data + r->off;
    const unsigned char *const end = memchr(start, '\n', left);
    size_t n = end == NULL ? left : (size_t)(end - start);
    r->off += end == NULL ? n : n + 1;
    if (n > 0 && start[n - 1] == '\r')
        n--;
    buf_reset(&r->line);
    buf_append(&r->line, start, n);
    r->number++;
    *line = r->line.data;
    if (len != NULL)
        *len = n;
    return true;
}

void io_lines_close(struct io_lines *r)
{
    if (r == NULL)
        return;
    io_map_close(&r->map);
    buf_release(&r->line);
    *r = (struct io_lines){0};
}
