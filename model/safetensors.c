/*
 * Reading safetensors: u64 little-endian length n, n bytes of JSON header, data to the
 * end of the file. All sizes are checked against the file before anything is allocated
 * for them, and nothing of the data is touched. Stricter than the reference reader in
 * three points: duplicate names (also after unescaping) are refused, and names, ranks
 * and tensor counts are limited. As there, unknown fields of an entry are tolerated and
 * blanks may surround the header.
 */
#include "model/safetensors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "model/safetensors_dtype.h"

enum {
    MAX_HEADER_BYTES = 100000000,
    MAX_TENSORS = 100000,
    MAX_NAME_BYTES = 512,
    /* Commas bound the number of JSON values, hence the parser's memory. A tensor
     * needs at most 12. */
    MAX_COMMAS = 4000000
};

static const struct {
    const char *name;
    int bits;
} dtypes[] = {
#define X(id, bits_) [ST_##id] = {#id, bits_},
    ST_DTYPE_LIST(X)
#undef X
};

const char *st_dtype_name(enum st_dtype d) { return dtypes[d].name; }

bool st_n_bytes(enum st_dtype dtype, int rank, const int64_t *shape, int64_t *bytes_out)
{
    int64_t bits = dtypes[dtype].bits;
    for (int i = 0; i < rank; i++)
        if (!checked_mul(bits, shape[i], &bits))
            return false;
    if (bits % 8 != 0)
        return false;
    *bytes_out = bits / 8;
    return true;
}

static int parse_dtype(struct st_tensor *t, const json_t *entry, const char *where)
{
    const char *name = NULL;
    size_t len = 0;
    TRY(json_get_string(entry, "dtype", &name, &len, where));
    if (name == NULL)
        return ERR(ERR_INPUT, "%s: no \"dtype\"", where);
    for (int i = 0; i < ARRAY_LEN(dtypes); i++)
        if (strcmp(name, dtypes[i].name) == 0 && strlen(name) == len) {
            t->dtype = (enum st_dtype)i;
            return STATUS_OK;
        }
    return ERR(ERR_INPUT, "%s: unknown dtype \"%s\"", where, name);
}

/* An array of `min` to `max` non-negative integers. */
static int parse_sizes(int64_t *out, int *n_out, const json_t *entry, const char *key,
                       const int limits[2], const char *where)
{
    const json_t *const a = json_object_get(entry, key);
    if (!json_is_array(a))
        return ERR(ERR_INPUT, "%s: \"%s\" is %s, expected an array", where, key,
                   json_type_name(a));
    const size_t n = json_array_size(a);
    if (n < (size_t)limits[0] || n > (size_t)limits[1])
        return ERR(ERR_INPUT, "%s: \"%s\" has %zu entries, expected %d to %d", where,
                   key, n, limits[0], limits[1]);
    for (size_t i = 0; i < n; i++) {
        const json_t *const v = json_array_get(a, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return ERR(ERR_INPUT, "%s: \"%s\"[%zu] is not a non-negative integer (%s)",
                       where, key, i, json_type_name(v));
        out[i] = json_integer_value(v);
    }
    *n_out = (int)n;
    return STATUS_OK;
}

static int parse_tensor(struct st_tensor *t, const json_t *entry, size_t data_off,
                        size_t data_bytes, const char *where)
{
    static const int shape_limits[2] = {0, ST_MAX_RANK}, offset_limits[2] = {2, 2};
    int64_t range[2], bytes;
    int n_offsets;
    if (!json_is_object(entry))
        return ERR(ERR_INPUT, "%s: entry is %s, expected an object", where,
                   json_type_name(entry));
    TRY(parse_dtype(t, entry, where));
    TRY(parse_sizes(t->shape, &t->rank, entry, "shape", shape_limits, where));
    TRY(parse_sizes(range, &n_offsets, entry, "data_offsets", offset_limits, where));
    if (!st_n_bytes(t->dtype, t->rank, t->shape, &bytes))
        return ERR(ERR_INPUT,
                   "%s: size overflows or is not whole bytes (%s, %d dimensions)",
                   where, st_dtype_name(t->dtype), t->rank);
    if (range[0] > range[1] || (size_t)range[1] > data_bytes)
        return ERR(ERR_INPUT,
                   "%s: data_offsets [%lld, %lld] do not lie in the %zu bytes of data",
                   where, (long long)range[0], (long long)range[1], data_bytes);
    if (range[1] - range[0] != bytes)
        return ERR(ERR_INPUT,
                   "%s: data_offsets span %lld bytes, shape and dtype need %lld", where,
                   (long long)(range[1] - range[0]), (long long)bytes);
    t->off = data_off + (size_t)range[0];
    t->bytes = (size_t)bytes;
    return STATUS_OK;
}

static int check_metadata(const json_t *meta, const char *path)
{
    if (!json_is_object(meta))
        return ERR(ERR_INPUT, "%s: __metadata__ is %s, expected an object", path,
                   json_type_name(meta));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)meta, key, value)
    {
        if (!json_is_string(value))
            return ERR(ERR_INPUT, "%s: __metadata__ \"%s\" is %s, expected a string",
                       path, key, json_type_name(value));
    }
    return STATUS_OK;
}

/* First pass: check names and find the size of their storage. */
static int measure_names(const json_t *root, int64_t *n_out, size_t *bytes_out,
                         const char *path)
{
    int64_t n = 0;
    size_t bytes = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            TRY(check_metadata(value, path));
            continue;
        }
        const size_t len = strlen(key);
        if (len > MAX_NAME_BYTES)
            return ERR(ERR_INPUT, "%s: tensor name of %zu bytes, the limit is %d", path,
                       len, MAX_NAME_BYTES);
        bytes += len + 1;
        n++;
    }
    if (n > MAX_TENSORS)
        return ERR(ERR_INPUT, "%s: %lld tensors, the limit is %d", path, (long long)n,
                   MAX_TENSORS);
    *n_out = n;
    *bytes_out = bytes;
    return STATUS_OK;
}

static int parse_entries(struct st_file *f, const json_t *root, size_t data_off)
{
    size_t name_bytes = 0;
    TRY(measure_names(root, &f->n, &name_bytes, f->path));
    f->tensors = mem_alloc((size_t)f->n * sizeof(*f->tensors));
    f->names = mem_alloc(name_bytes);
    char *name = f->names;
    struct st_tensor *t = f->tensors;
    struct buf where = {0};
    int status = STATUS_OK;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        const size_t len = strlen(key) + 1;
        memcpy(name, key, len);
        t->name = name;
        name += len;
        buf_reset(&where);
        buf_printf(&where, "%s: tensor %s", f->path, key);
        TRY_OUT(parse_tensor(t, value, data_off, f->map.size - data_off, where.data));
        t++;
    }
out:
    buf_release(&where);
    return status;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct st_tensor *const x = *(const struct st_tensor *const *)a;
    const struct st_tensor *const y = *(const struct st_tensor *const *)b;
    if (x->off != y->off)
        return x->off < y->off ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct st_tensor *)a)->name,
                  ((const struct st_tensor *)b)->name);
}

/* In order of their offsets the tensors must follow each other without a gap. */
static int check_tiling(const struct st_file *f, size_t data_off)
{
    const struct st_tensor **order = mem_alloc((size_t)f->n * sizeof(*order));
    for (int64_t i = 0; i < f->n; i++)
        order[i] = &f->tensors[i];
    if (f->n > 1)
        qsort(order, (size_t)f->n, sizeof(*order), compare_offsets);
    size_t end = data_off;
    int status = STATUS_OK;
    for (int64_t i = 0; i < f->n; i++) {
        const struct st_tensor *const t = order[i];
        if (t->off != end) {
            status = ERR(ERR_INPUT,
                         "%s: tensor %s begins at byte %zu of the data, the tensor "
                         "before it ends at %zu: %s",
                         f->path, t->name, t->off - data_off, end - data_off,
                         t->off < end ? "they overlap" : "there is a hole");
            goto out;
        }
        end = t->off + t->bytes;
    }
    if (end != f->map.size)
        status = ERR(ERR_INPUT, "%s: %zu bytes after the last tensor", f->path,
                     f->map.size - end);
out:
    mem_free(order);
    return status;
}

static int check_header_bytes(const struct st_file *f, size_t *n_out)
{
    if (f->map.size < 8)
        return ERR(ERR_INPUT, "%s: %zu bytes are too short for a safetensors file",
                   f->path, f->map.size);
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)f->map.data[i] << (8 * i);
    if (n > MAX_HEADER_BYTES)
        return ERR(ERR_INPUT, "%s: header of %llu bytes, the limit is %d", f->path,
                   (unsigned long long)n, MAX_HEADER_BYTES);
    if (n > f->map.size - 8)
        return ERR(ERR_INPUT, "%s: header of %llu bytes in a file of %zu", f->path,
                   (unsigned long long)n, f->map.size);
    int64_t commas = 0;
    for (size_t i = 8; i < 8 + (size_t)n; i++)
        commas += f->map.data[i] == ',';
    if (commas > MAX_COMMAS)
        return ERR(ERR_INPUT, "%s: header has too many entries (%lld commas)", f->path,
                   (long long)commas);
    *n_out = (size_t)n;
    return STATUS_OK;
}

static int parse_file(struct st_file *f)
{
    size_t header_bytes = 0;
    TRY(check_header_bytes(f, &header_bytes));
    json_t *root = NULL;
    struct buf where = {0};
    buf_printf(&where, "%s: header", f->path);
    int status = json_parse(&root, (const char *)f->map.data + 8, header_bytes,
                            where.data);
    if (status == STATUS_OK && !json_is_object(root))
        status = ERR(ERR_INPUT, "%s: header is %s, expected an object", f->path,
                     json_type_name(root));
    if (status == STATUS_OK)
        status = parse_entries(f, root, 8 + header_bytes);
    if (status == STATUS_OK)
        status = check_tiling(f, 8 + header_bytes);
    if (status == STATUS_OK && f->n > 1)
        qsort(f->tensors, (size_t)f->n, sizeof(*f->tensors), compare_names);
    io_map_done(&f->map, 0, 8 + header_bytes);
    buf_release(&where);
    json_decref(root);
    return status;
}

int st_open(struct st_file *f, const char *path)
{
    struct st_file opened = {0};
    TRY(io_map_open(&opened.map, path));
    opened.path = mem_strdup(path);
    const int status = parse_file(&opened);
    if (status != STATUS_OK) {
        st_close(&opened);
        return status;
    }
    *f = opened;
    return STATUS_OK;
}

void st_close(struct st_file *f)
{
    if (f == NULL)
        return;
    io_map_close(&f->map);
    mem_free(f->tensors);
    mem_free(f->names);
    mem_free(f->path);
    *f = (struct st_file){0};
}

const struct st_tensor *st_find(const struct st_file *f, const char *name)
{
    if (f->n == 0)
        return NULL;
    const struct st_tensor key = {.name = name};
    return bsearch(&key, f->tensors, (size_t)f->n, sizeof(*f->tensors), compare_names);
}
