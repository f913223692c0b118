/*
 * Opens the safetensors files of a checkpoint. The index is checked against the files'
 * own headers in both directions, because a silent disagreement leaves experts unread.
 * Pickles (*.bin, *.pt) are never opened.
 */
#include "model/shards.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

enum { MAX_INDEX_BYTES = 256 << 20, MAX_FILES = 10000 };
static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";
static const char suffix[] = ".safetensors";

static bool has_suffix(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* A plain name in the directory itself. */
static int check_file_name(const char *name, const char *tensor, const char *where)
{
    if (strpbrk(name, "/\\") != NULL || name[0] == '.' || name[0] == 0)
        return ERR(
            ERR_INPUT,
            "%s: %s is mapped to \"%s\", expected the name of a file in the same "
            "directory",
            where, tensor, name);
    if (!has_suffix(name, suffix))
        return ERR(
            ERR_INPUT,
            "%s: %s is mapped to \"%s\", which is not a .safetensors file; other "
            "formats are never opened, convert the checkpoint",
            where, tensor, name);
    return STATUS_OK;
}

static bool is_below(const char *path, const char *dir)
{
    const size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* A cache of the hub keeps snapshots/REVISION/name -> ../../blobs/HASH. */
static int check_no_escape(const char *path, const char *dir)
{
    char real[PATH_MAX], real_dir[PATH_MAX], real_blobs[PATH_MAX];
    char *const blobs = io_join(dir, "../../blobs");
    const bool has_blobs = realpath(blobs, real_blobs) != NULL;
    mem_free(blobs);
    if (realpath(path, real) == NULL || realpath(dir, real_dir) == NULL)
        return ERR(ERR_INPUT, "%s: no such file; the checkpoint is incomplete", path);
    if (!is_below(real, real_dir) && !(has_blobs && is_below(real, real_blobs)))
        return ERR(ERR_INPUT, "%s: a link out of the checkpoint, to %s", path, real);
    return STATUS_OK;
}

static int open_in_dir(struct shards *s, const char *dir, const char *name)
{
    char *const path = io_join(dir, name);
    int status = check_no_escape(path, dir);
    if (status == STATUS_OK)
        status = st_open(&s->files[s->n_files], path);
    if (status == STATUS_OK)
        s->n_files++;
    mem_free(path);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    const struct shard_tensor *const x = a, *const y = b;
    return strcmp(x->tensor->name, y->tensor->name);
}

/* One sorted list over all files. */
static int merge(struct shards *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_files; i++)
        n += s->files[i].n;
    s->items = mem_alloc((size_t)n * sizeof(*s->items));
    for (int64_t i = 0; i < s->n_files; i++)
        for (int64_t j = 0; j < s->files[i].n; j++)
            s->items[s->n++] = (struct shard_tensor){&s->files[i].tensors[j],
                                                     &s->files[i], false};
    if (n > 1)
        qsort(s->items, (size_t)n, sizeof(*s->items), compare_names);
    for (int64_t i = 1; i < n; i++)
        if (compare_names(&s->items[i - 1], &s->items[i]) == 0)
            return ERR(ERR_INPUT, "%s: tensor %s is in %s as well",
                       s->items[i].file->path, s->items[i].tensor->name,
                       s->items[i - 1].file->path);
    return STATUS_OK;
}

static const char *base_name(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of the map, sorted; names stay owned by it. */
static int list_files(const char **names, int64_t *n_out, const json_t *map,
                      const char *where)
{
    int64_t n = 0, n_kept = 0;
    const char *tensor;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        if (!json_is_string(value))
            return ERR(ERR_INPUT, "%s: %s is mapped to %s, expected a file name", where,
                       tensor, json_type_name(value));
        if (strlen(json_string_value(value)) != json_string_length(value))
            return ERR(ERR_INPUT, "%s: %s is mapped to a name with a NUL in it", where,
                       tensor);
        TRY(check_file_name(json_string_value(value), tensor, where));
        names[n++] = json_string_value(value);
    }
    if (n > 1)
        qsort(names, (size_t)n, sizeof(*names), compare_strings);
    for (int64_t i = 0; i < n; i++)
        if (n_kept == 0 || strcmp(names[n_kept - 1], names[i]) != 0)
            names[n_kept++] = names[i];
    if (n_kept == 0 || n_kept > MAX_FILES)
        return ERR(ERR_INPUT, "%s: weight_map names %lld files, expected 1 to %d",
                   where, (long long)n_kept, MAX_FILES);
    *n_out = n_kept;
    return STATUS_OK;
}

static int open_files(struct shards *s, const json_t *map, const char *dir,
                      const char *where)
{
    const char **const names = mem_alloc(json_object_size(map) * sizeof(*names));
    int64_t n = 0;
    int status = list_files(names, &n, map, where);
    if (status == STATUS_OK)
        s->files = mem_alloc((size_t)n * sizeof(*s->files));
    for (int64_t i = 0; i < n && status == STATUS_OK; i++)
        status = open_in_dir(s, dir, names[i]);
    mem_free(names);
    return status;
}

/* Every tensor of the map is in its file, and every tensor of a file in the map. */
static int check_map(const struct shards *s, const json_t *map, const char *where)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        const struct shard_tensor *const t = shards_find(s, name);
        const char *const file = json_string_value(value);
        if (t == NULL || strcmp(base_name(t->file->path), file) != 0)
            return ERR(ERR_INPUT, "%s: tensor %s is not in %s, where the index puts it",
                       where, name, file);
    }
    for (int64_t i = 0; i < s->n; i++)
        if (json_object_get(map, s->items[i].tensor->name) == NULL)
            return ERR(ERR_INPUT, "%s: tensor %s is not in the index",
                       s->items[i].file->path, s->items[i].tensor->name);
    return STATUS_OK;
}

static int open_index(struct shards *s, const char *dir, const char *path)
{
    struct buf text = {0};
    json_t *root = NULL;
    TRY(io_read_file(&text, path, MAX_INDEX_BYTES));
    int status = json_parse(&root, text.data, text.len, path);
    buf_release(&text);
    TRY(status);
    const json_t *const map = json_object_get(root, "weight_map");
    if (json_is_object(map))
        status = open_files(s, map, dir, path);
    else
        status = ERR(ERR_INPUT, "%s: \"weight_map\" is %s, expected an object", path,
                     json_type_name(map));
    if (status == STATUS_OK)
        status = merge(s);
    if (status == STATUS_OK)
        status = check_map(s, map, path);
    json_decref(root);
    return status;
}

static int report_nothing(const char *dir)
{
    static const char *const pickles[] = {".bin", ".pt", ".pth"};
    char **names;
    int64_t n;
    TRY(io_list(dir, &names, &n));
    int status = ERR(ERR_INPUT, "%s: holds neither %s nor %s", dir, single_name,
                     index_name);
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < ARRAY_LEN(pickles); j++)
            if (has_suffix(names[i], pickles[j]))
                status = ERR(ERR_INPUT,
                             "%s/%s: a pickle, which is never opened; convert the "
                             "checkpoint to safetensors",
                             dir, names[i]);
    io_list_free(names, n);
    return status;
}

int shards_open(struct shards *s, const char *dir)
{
    char *const single = io_join(dir, single_name), *const index = io_join(dir,
                                                                           index_name);
    struct shards opened = {0};
    int status;
    if (io_exists(single)) {
        opened.files = mem_alloc(sizeof(*opened.files));
        status = open_in_dir(&opened, dir, single_name);
        if (status == STATUS_OK)
            status = merge(&opened);
    } else if (io_exists(index)) {
        status = open_index(&opened, dir, index);
    } else {
        status = report_nothing(dir);
    }
    if (status == STATUS_OK)
        *s = opened;
    else
        shards_close(&opened);
    mem_free(single);
    mem_free(index);
    return status;
}

int shards_open_file(struct shards *s, const char *path)
{
    struct shards opened = {.files = mem_alloc(sizeof(*opened.files))};
    int status = st_open(&opened.files[0], path);
    if (status == STATUS_OK) {
        opened.n_files = 1;
        status = merge(&opened);
    }
    if (status == STATUS_OK)
        *s = opened;
    else
        shards_close(&opened);
    return status;
}

void shards_close(struct shards *s)
{
    if (s == NULL)
        return;
    for (int64_t i = 0; i < s->n_files; i++)
        st_close(&s->files[i]);
    mem_free(s->files);
    mem_free(s->items);
    *s = (struct shards){0};
}

struct shard_tensor *shards_find(const struct shards *s, const char *name)
{
    if (s->n == 0)
        return NULL;
    const struct st_tensor key = {.name = name};
    const struct shard_tensor item = {.tensor = &key};
    return bsearch(&item, s->items, (size_t)s->n, sizeof(*s->items), compare_names);
}
