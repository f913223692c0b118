/*
 * safetensors, with every rule of the reference reader (specs "architectures" 11,
 * "reliability" 6): sizes are checked before anything is allocated or read; no tensor
 * may overlap, leave a hole, or end past the file.
 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/io.h"
#include "core/status.h"

enum { ST_MAX_RANK = 8 };
enum st_dtype {
    ST_BOOL,
    ST_F4,
    ST_F6_E2M3,
    ST_F6_E3M2,
    ST_U8,
    ST_I8,
    ST_F8_E5M2,
    ST_F8_E4M3,
    ST_F8_E8M0,
    ST_F8_E4M3FNUZ,
    ST_F8_E5M2FNUZ,
    ST_I16,
    ST_U16,
    ST_F16,
    ST_BF16,
    ST_I32,
    ST_U32,
    ST_F32,
    ST_C64,
    ST_F64,
    ST_I64,
    ST_U64
};
const char *st_dtype_name(enum st_dtype d);

struct st_tensor {
    const char *name; /* owned by the file */
    enum st_dtype dtype;
    int rank;
    int64_t shape[ST_MAX_RANK];
    size_t off, bytes; /* in the mapping, absolute; NOT aligned in general */
};
struct st_file {
    struct io_map map;
    struct st_tensor *tensors; /* sorted by name */
    int64_t n;
    char *path;
    void *names; /* owned storage */
};
int st_open(struct st_file *f, const char *path) WARN_UNUSED;
void st_close(struct st_file *f);
const struct st_tensor *st_find(const struct st_file *f,
                                const char *name); /* NULL if absent */

/* Writing: declare all tensors, then give each one's data in the declared order (pieces
 * of any size); the file appears under its name only after st_finish. Layout as the
 * current reference writer makes it: by dtype alignment, then name; header padded to 8;
 * __metadata__ {"format":"pt"}. */
struct st_writer;
int st_create(struct st_writer **out, const char *path) WARN_UNUSED;
int st_declare(struct st_writer *w, const char *name, enum st_dtype dtype, int rank,
               const int64_t *shape) WARN_UNUSED;
/* i-th tensor in file order after all are declared: its name, so that the caller can
 * produce the data in that order. */
int64_t st_n_declared(const struct st_writer *w);
const struct st_tensor *st_order(struct st_writer *w, int64_t i);
int st_write(struct st_writer *w, const void *data, size_t bytes) WARN_UNUSED;
int st_finish(struct st_writer *w)
    WARN_UNUSED; /* checks the byte count, fsync, rename; frees w */
void st_abandon(struct st_writer *w); /* removes the temporary file; accepts NULL */

#endif
