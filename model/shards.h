/*
 * The tensors of a checkpoint directory, whether it holds model.safetensors or an index
 * and shards, under one sorted list of names.
 */
#ifndef MODEL_SHARDS_H
#define MODEL_SHARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/safetensors.h"

struct shard_tensor {
    const struct st_tensor *tensor; /* owned by its file */
    const struct st_file *file;
    bool is_used; /* for the reader: set when a parameter was found in it */
};
struct shards {
    struct st_file *files;
    int64_t n_files;
    struct shard_tensor *items; /* sorted by name, each name once */
    int64_t n;
};
/* dir/model.safetensors, or the files of dir/model.safetensors.index.json, whose map
 * must agree with their headers. Files must lie in dir, or be links into the blobs of a
 * Hugging Face cache. */
int shards_open(struct shards *s, const char *dir) WARN_UNUSED;
int shards_open_file(struct shards *s, const char *path) WARN_UNUSED;
void shards_close(struct shards *s);
struct shard_tensor *shards_find(const struct shards *s, const char *name);

#endif
