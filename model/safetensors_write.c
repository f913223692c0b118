/*
 * Writing safetensors: declarations are collected, sorted by dtype (largest alignment
 * first) and then by name, and become the header; then the data streams through. The
 * bytes are those of the reference writer. A name declared twice is found when the
 * order is made, and reported by the first fallible call after it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "model/safetensors.h"
#include "model/safetensors_dtype.h"

struct st_writer {
    char *path, *temporary;
    struct io_file file;
    struct st_tensor *tensors; /* names owned; off, bytes: relative to the data */
    int64_t n, cap;
    bool is_sorted, has_header;
    size_t data_bytes, written_bytes;
};

int st_create(struct st_writer **out, const char *path)
{
    struct buf name = {0};
    struct io_file file;
    buf_printf(&name, "%s.tmp.%ld", path, (long)getpid());
    const int status = io_create(&file, name.data);
    if (status != STATUS_OK) {
        buf_release(&name);
        return status;
    }
    struct st_writer *const w = mem_alloc(sizeof(*w));
    w->path = mem_strdup(path);
    w->temporary = name.data;
    w->file = file;
    *out = w;
    return STATUS_OK;
}

int st_declare(struct st_writer *w, const char *name, enum st_dtype dtype, int rank,
               const int64_t *shape)
{
    CHECK(!w->is_sorted, "%s: %s declared after the order was asked for", w->path,
          name);
    struct st_tensor t = {.dtype = dtype, .rank = rank};
    int64_t bytes;
    if (rank < 0 || rank > ST_MAX_RANK || !st_n_bytes(dtype, rank, shape, &bytes))
        return ERR(ERR_INTERNAL, "%s: tensor %s: rank %d or size out of range", w->path,
                   name, rank);
    for (int i = 0; i < rank; i++)
        t.shape[i] = shape[i];
    t.bytes = (size_t)bytes;
    t.name = mem_strdup(name);
    if (w->n == w->cap) {
        const int64_t cap = w->cap == 0 ? 64 : 2 * w->cap;
        w->tensors = mem_realloc(w->tensors, (size_t)w->cap * sizeof(t),
                                 (size_t)cap * sizeof(t));
        w->cap = cap;
    }
    w->tensors[w->n++] = t;
    return STATUS_OK;
}

static int compare_order(const void *a, const void *b)
{
    const struct st_tensor *const x = a, *const y = b;
    if (x->dtype != y->dtype)
        return x->dtype > y->dtype ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void sort(struct st_writer *w)
{
    if (w->is_sorted)
        return;
    w->is_sorted = true;
    if (w->n > 1)
        qsort(w->tensors, (size_t)w->n, sizeof(*w->tensors), compare_order);
    for (int64_t i = 0; i < w->n; i++) {
        w->tensors[i].off = w->data_bytes;
        w->data_bytes += w->tensors[i].bytes;
    }
}

int64_t st_n_declared(const struct st_writer *w) { return w->n; }

const struct st_tensor *st_order(struct st_writer *w, int64_t i)
{
    CHECK(i >= 0 && i < w->n, "tensor %lld of %lld", (long long)i, (long long)w->n);
    sort(w);
    return &w->tensors[i];
}

static void put_tensor(struct buf *b, const struct st_tensor *t)
{
    buf_puts(b, ",");
    buf_put_json_string(b, t->name, strlen(t->name));
    buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", st_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        buf_printf(b, "%s%lld", i > 0 ? "," : "", (long long)t->shape[i]);
    buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", t->off, t->off + t->bytes);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two dtypes may hold one name, so the file order does not show every repetition. */
static int check_names(const struct st_writer *w)
{
    const char **names = mem_alloc((size_t)w->n * sizeof(*names));
    for (int64_t i = 0; i < w->n; i++)
        names[i] = w->tensors[i].name;
    if (w->n > 1)
        qsort(names, (size_t)w->n, sizeof(*names), compare_names);
    int status = STATUS_OK;
    for (int64_t i = 1; i < w->n && status == STATUS_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = ERR(ERR_INTERNAL, "%s: tensor %s declared twice", w->path,
                         names[i]);
    mem_free(names);
    return status;
}

static int write_header(struct st_writer *w)
{
    if (w->has_header)
        return STATUS_OK;
    sort(w);
    TRY(check_names(w));
    struct buf b = {0};
    buf_puts(&b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int64_t i = 0; i < w->n; i++)
        put_tensor(&b, &w->tensors[i]);
    buf_puts(&b, "}");
    while (b.len % 8 != 0)
        buf_puts(&b, " ");
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)b.len >> (8 * i));
    int status = io_write(&w->file, length, sizeof(length));
    if (status == STATUS_OK)
        status = io_write(&w->file, b.data, b.len);
    buf_release(&b);
    w->has_header = status == STATUS_OK;
    return status;
}

int st_write(struct st_writer *w, const void *data, size_t bytes)
{
    TRY(write_header(w));
    if (bytes > w->data_bytes - w->written_bytes)
        return ERR(ERR_INTERNAL, "%s: %zu bytes more than the %zu declared", w->path,
                   bytes - (w->data_bytes - w->written_bytes), w->data_bytes);
    TRY(io_write(&w->file, data, bytes));
    w->written_bytes += bytes;
    return STATUS_OK;
}

static void release(struct st_writer *w)
{
    for (int64_t i = 0; i < w->n; i++)
        mem_free((char *)(uintptr_t)w->tensors[i].name);
    mem_free(w->tensors);
    mem_free(w->path);
    mem_free(w->temporary);
    mem_free(w);
}

static int finish(struct st_writer *w)
{
    TRY(write_header(w));
    if (w->written_bytes != w->data_bytes)
        return ERR(ERR_INTERNAL, "%s: %zu bytes written, %zu declared", w->path,
                   w->written_bytes, w->data_bytes);
    TRY(io_close(&w->file, false));
    /* it syncs and renames a plain file as well */
    return io_rename_dir(w->temporary, w->path);
}

int st_finish(struct st_writer *w)
{
    const int status = finish(w);
    if (status == STATUS_OK)
        release(w);
    else
        st_abandon(w);
    return status;
}

void st_abandon(struct st_writer *w)
{
    if (w == NULL)
        return;
    io_abandon(&w->file);
    unlink(w->temporary);
    release(w);
}
