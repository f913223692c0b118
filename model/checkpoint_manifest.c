/*
 * Integrity of a directory: MANIFEST.json, {"version": 1, "files": {"<relative path>":
 * {"size": bytes, "xxh3_128": "<32 hex digits>"}}}, and the hash of a whole directory.
 * Files that the manifest does not name are none of its business: people put a README
 * into a checkpoint.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/io.h"
#include "model/checkpoint_private.h"

enum { VERSION = 1 };
static const char manifest_name[] = "MANIFEST.json";

/* Paths relative to the directory, in byte order. */
struct file_list {
    char **paths;
    int64_t n, cap;
};

static void file_list_release(struct file_list *f)
{
    io_list_free(f->paths, f->n);
    *f = (struct file_list){0};
}

static void file_list_take(struct file_list *f, char *path)
{
    if (f->n == f->cap) {
        const int64_t cap = f->cap == 0 ? 16 : 2 * f->cap;
        f->paths = mem_realloc(f->paths, (size_t)f->cap * sizeof(char *),
                               (size_t)cap * sizeof(char *));
        f->cap = cap;
    }
    f->paths[f->n++] = path;
}

static int collect(struct file_list *f, const char *dir, const char *below);

/* Links to files count as files (Hugging Face's cache is made of them); links to
 * directories are left out, so that the walk ends. */
static int collect_entry(struct file_list *f, const char *dir, char *relative)
{
    struct stat st, target;
    char *const path = io_join(dir, relative);
    int status = STATUS_OK;
    const bool is_there = lstat(path, &st) == 0 && stat(path, &target) == 0;
    if (!is_there)
        status = ERR(ERR_IO, "%s: stat: %s", path, strerror(errno));
    mem_free(path);
    if (is_there && S_ISREG(target.st_mode)) {
        file_list_take(f, relative);
        return STATUS_OK;
    }
    if (is_there && S_ISDIR(st.st_mode))
        status = collect(f, dir, relative);
    mem_free(relative);
    return status;
}

/* below: "" or a directory relative to dir */
static int collect(struct file_list *f, const char *dir, const char *below)
{
    char **names;
    int64_t n;
    char *const path = io_join(dir, below);
    int status = io_list(path, &names, &n);
    mem_free(path);
    TRY(status);
    for (int64_t i = 0; i < n && status == STATUS_OK; i++)
        status = collect_entry(
            f, dir, below[0] == 0 ? mem_strdup(names[i]) : io_join(below, names[i]));
    io_list_free(names, n);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_files(struct file_list *f, const char *dir)
{
    const int status = collect(f, dir, "");
    if (status != STATUS_OK)
        file_list_release(f);
    else if (f->n > 0)
        qsort(f->paths, (size_t)f->n, sizeof(char *), compare_paths);
    return status;
}

static int file_size(int64_t *out, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return ERR(ERR_INPUT, "%s: %s", path, strerror(errno));
    *out = st.st_size;
    return STATUS_OK;
}

int checkpoint_hash(const char *dir, char hex[HASH_HEX_LEN + 1])
{
    struct file_list f = {0};
    TRY(list_files(&f, dir));
    struct buf lines = {0};
    int status = STATUS_OK;
    int64_t n_hashed = 0;
    for (int64_t i = 0; i < f.n && status == STATUS_OK; i++) {
        if (strcmp(f.paths[i], manifest_name) == 0)
            continue;
        char file_hex[HASH_HEX_LEN + 1];
        char *const path = io_join(dir, f.paths[i]);
        status = hash_file(file_hex, path);
        mem_free(path);
        if (status == STATUS_OK)
            buf_printf(&lines, "%s  %s\n", file_hex, f.paths[i]);
        n_hashed++;
    }
    if (status == STATUS_OK && n_hashed == 0)
        status = ERR(ERR_INPUT, "%s: no files to hash", dir);
    if (status == STATUS_OK)
        hash_bytes(hex, lines.data, lines.len);
    buf_release(&lines);
    file_list_release(&f);
    return status;
}

int checkpoint_write_json(const char *path, const json_t *v)
{
    char *const text = json_dumps(v, JSON_SORT_KEYS | JSON_INDENT(1));
    if (text == NULL)
        return ERR(ERR_INTERNAL, "%s: a value that JSON cannot hold", path);
    struct buf b = {0};
    buf_puts(&b, text);
    buf_puts(&b, "\n");
    free(text);
    const int status = io_write_atomic(path, b.data, b.len);
    buf_release(&b);
    return status;
}

static int manifest_add(json_t *files, const char *dir, const char *relative)
{
    char hex[HASH_HEX_LEN + 1];
    int64_t size = 0;
    char *const path = io_join(dir, relative);
    int status = hash_file(hex, path);
    if (status == STATUS_OK)
        status = file_size(&size, path);
    mem_free(path);
    TRY(status);
    json_t *const entry = json_pack("{sI ss}", "size", (json_int_t)size, "xxh3_128",
                                    hex);
    if (json_object_set_new(files, relative, entry) != 0)
        return ERR(ERR_INPUT, "%s/%s: a file name that is not UTF-8", dir, relative);
    return STATUS_OK;
}

int manifest_write(const char *dir)
{
    struct file_list f = {0};
    TRY(list_files(&f, dir));
    json_t *const files = json_object();
    json_t *const root = json_pack("{si so}", "version", VERSION, "files", files);
    CHECK(root != NULL, "no memory for a manifest");
    int status = STATUS_OK;
    for (int64_t i = 0; i < f.n && status == STATUS_OK; i++)
        if (strcmp(f.paths[i], manifest_name) != 0)
            status = manifest_add(files, dir, f.paths[i]);
    char *const path = io_join(dir, manifest_name);
    if (status == STATUS_OK)
        status = checkpoint_write_json(path, root);
    mem_free(path);
    json_decref(root);
    file_list_release(&f);
    return status;
}

/* A manifest is outside data: its names must stay below the directory. */
static bool is_below(const char *relative)
{
    const char *part = relative;
    for (;;) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || (n == 2 && memcmp(part, "..", 2) == 0))
            return false;
        if (part[n] == 0)
            return true;
        part += n + 1;
    }
}

static int verify_file(const char *path, const json_t *entry)
{
    int64_t want_size = -1, size = 0;
    const char *want_hex = "";
    char hex[HASH_HEX_LEN + 1];
    TRY(json_get_int(entry, "size", 0, INT64_MAX, &want_size, NULL, path));
    TRY(json_get_string(entry, "xxh3_128", &want_hex, NULL, path));
    TRY(file_size(&size, path));
    if (size != want_size)
        return ERR(ERR_INPUT, "%s: %lld bytes, its manifest says %lld", path,
                   (long long)size, (long long)want_size);
    TRY(hash_file(hex, path));
    if (strcmp(hex, want_hex) != 0)
        return ERR(ERR_INPUT, "%s: hash %s, its manifest says %s", path, hex, want_hex);
    return STATUS_OK;
}

static int verify_files(const char *dir, json_t *files, const char *where)
{
    const char *name;
    json_t *entry;
    json_object_foreach(files, name, entry)
    {
        if (!is_below(name))
            return ERR(ERR_INPUT, "%s: \"%s\" is not a path below the directory", where,
                       name);
        char *const path = io_join(dir, name);
        const int status = verify_file(path, entry);
        mem_free(path);
        TRY(status);
    }
    return STATUS_OK;
}

int checkpoint_verify(const char *dir)
{
    json_t *root = NULL;
    int64_t version = 0;
    char *const path = io_join(dir, manifest_name);
    int status;
    TRY_OUT(json_parse_file(&root, path));
    TRY_OUT(json_get_int(root, "version", VERSION, VERSION, &version, NULL, path));
    json_t *const files = json_object_get(root, "files");
    if (version != VERSION || json_object_get(files, "config.json") == NULL)
        status = ERR(ERR_INPUT, "%s: not the manifest of a checkpoint", path);
    else
        status = verify_files(dir, files, path);
out:
    json_decref(root);
    mem_free(path);
    return status;
}
