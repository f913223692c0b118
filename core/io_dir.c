/*
 * Directories: made, listed, synced, renamed, removed. Walks never follow symbolic
 * links, so a link in a run directory cannot lead a removal outside it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/io.h"

static int make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0)
        return STATUS_OK;
    const int code = errno;
    if (code == EEXIST && io_is_dir(path))
        return STATUS_OK; /* also when another rank was faster */
    return ERR(ERR_IO, "%s: mkdir: %s", path,
               code == EEXIST ? "a file is in the way" : strerror(code));
}

int io_mkdirs(const char *path)
{
    char *const copy = mem_strdup(path);
    int status = STATUS_OK;
    for (char *p = copy; *p != 0 && status == STATUS_OK; p++)
        if (*p == '/' && p > copy && p[-1] != '/') {
            *p = 0;
            status = make_dir(copy);
            *p = '/';
        }
    mem_free(copy);
    TRY(status);
    return make_dir(path);
}

bool io_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool io_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t io_free_bytes(const char *path)
{
    struct statvfs st;
    int64_t bytes;
    if (statvfs(path, &st) != 0 ||
        !checked_mul((int64_t)st.f_bavail, (int64_t)st.f_frsize, &bytes))
        return -1;
    return bytes;
}

char *io_join(const char *dir, const char *name)
{
    const size_t n_dir = strlen(dir), n_name = strlen(name);
    char *const path = mem_alloc(n_dir + n_name + 2);
    memcpy(path, dir, n_dir);
    path[n_dir] = '/';
    memcpy(path + n_dir + 1, name, n_name);
    return path;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items;
    int64_t n, cap;
};

static void names_add(struct names *names, const char *name)
{
    if (names->n == names->cap) {
        const int64_t cap = names->cap == 0 ? 16 : 2 * names->cap;
        names->items = mem_realloc(names->items, (size_t)names->cap * sizeof(char *),
                                   (size_t)cap * sizeof(char *));
        names->cap = cap;
    }
    names->items[names->n++] = mem_strdup(name);
}

int io_list(const char *path, char ***names_out, int64_t *n_out)
{
    DIR *const dir = opendir(path);
    if (dir == NULL)
        return ERR(errno == ENOENT || errno == ENOTDIR ? ERR_INPUT : ERR_IO,
                   "%s: open directory: %s", path, strerror(errno));
    struct names names = {0};
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            names_add(&names, entry->d_name);
    const int code = errno;
    closedir(dir);
    if (code != 0) {
        io_list_free(names.items, names.n);
        return ERR(ERR_IO, "%s: read directory: %s", path, strerror(code));
    }
    if (names.n > 0)
        qsort(names.items, (size_t)names.n, sizeof(char *), compare_names);
    *names_out = names.items;
    *n_out = names.n;
    return STATUS_OK;
}

void io_list_free(char **names, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        mem_free(names[i]);
    mem_free(names);
}

/* 1 directory, 0 anything else, negative status; links are not followed */
static int walk_kind(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 1 : 0;
    return ERR(ERR_IO, "%s: stat: %s", path, strerror(errno));
}

typedef int (*visit_fn)(const char *path, bool is_dir);

/* visit each file, then its directory */
static int walk(const char *path, visit_fn visit)
{
    const int kind = walk_kind(path);
    if (kind < 0)
        return kind;
    if (kind == 0)
        return visit(path, false);
    char **names;
    int64_t n;
    TRY(io_list(path, &names, &n));
    int status = STATUS_OK;
    for (int64_t i = 0; i < n && status == STATUS_OK; i++) {
        char *const child = io_join(path, names[i]);
        status = walk(child, visit);
        mem_free(child);
    }
    io_list_free(names, n);
    TRY(status);
    return visit(path, true);
}

static int visit_fsync(const char *path, bool is_dir)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP)
        return STATUS_OK; /* a link holds no data of its own */
    int status = STATUS_OK;
    /* network file systems may refuse directories, pipes have nothing: EINVAL */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        status = ERR(ERR_IO, "%s: fsync%s: %s", path, is_dir ? " of the directory" : "",
                     strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

static int visit_remove(const char *path, bool is_dir)
{
    if ((is_dir ? rmdir(path) : unlink(path)) == 0 || errno == ENOENT)
        return STATUS_OK;
    return ERR(ERR_IO, "%s: remove: %s", path, strerror(errno));
}

int io_rename_dir(const char *from, const char *to)
{
    TRY(walk(from, visit_fsync));
    if (rename(from, to) != 0)
        return ERR(ERR_IO, "%s: rename to %s: %s", from, to, strerror(errno));
    const char *const slash = strrchr(to, '/');
    char *const parent = slash == NULL ? mem_strdup(".")
                                       : mem_strndup(to, (size_t)(slash - to) + 1);
    const int status = visit_fsync(parent, true);
    mem_free(parent);
    return status;
}

int io_remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return STATUS_OK;
    return walk(path, visit_remove);
}
