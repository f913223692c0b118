/*
 * From the tensors of a checkpoint to the pieces of a model: where each piece lies on
 * disk (resolve), and moving all of them into an arena (fill).
 */
#ifndef MODEL_WEIGHTS_READ_H
#define MODEL_WEIGHTS_READ_H

#include "model/params.h"
#include "model/shards.h"

/* Where a piece's rows lie: bytes from `off` of a file's mapping, plain rows. */
struct source {
    const struct shard_tensor *from;
    size_t off, bytes;
    enum dtype dtype;
    int64_t piece;
};

/* One source per piece, in piece order. Missing, doubly present, misshapen and
 * left-over tensors are errors. Free with mem_free. */
int sources_resolve(struct source **out, struct shards *s, const struct hparams *hp,
                    const struct param_table *t) WARN_UNUSED;
/* Packs every source into `arena`; values that are not finite in `dtype` are errors. */
int sources_fill(void *arena, enum dtype dtype, struct source *sources,
                 const struct hparams *hp, const struct param_table *t) WARN_UNUSED;

#endif
