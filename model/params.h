/*
 * The parameter table: every parameter's name, dims, layout, decay and initialisation,
 * once. It sizes the arenas, names tensors on disk, loads, saves, and tests.
 *
 * A parameter is one `struct weight` (core/tensor.h); all of a model's parameters
 * follow each other in one arena of n_elems elements (64-byte aligned each), and the
 * arenas of master weights, gradients and moments have the same offsets. On disk a
 * parameter may be several tensors ("pieces"): q, k and v are row ranges of `qkv`; w1
 * and w3 of expert e are row ranges of `gate_up`'s matrix e; w2 is `down`'s.
 */
#ifndef MODEL_PARAMS_H
#define MODEL_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops.h"
#include "core/tensor.h"
#include "model/hparams.h"

enum param_role {
    PARAM_EMBED,   /* (V, D) PLAIN; as products when tied */
    PARAM_NORM1,   /* (D) */
    PARAM_QKV,     /* ((H + 2 G) head_dim, D): q heads, k heads, v heads */
    PARAM_O,       /* (D, H head_dim) */
    PARAM_NORM2,   /* (D) */
    PARAM_ROUTER,  /* (E, D) */
    PARAM_GATE_UP, /* E x (2F, D): gate rows, then up rows */
    PARAM_DOWN,    /* E x (D, F) */
    PARAM_NORM_F,  /* (D) */
    PARAM_HEAD,    /* (V, D); absent when tied: model code uses PARAM_EMBED */
};

struct param {
    enum param_role role;
    int64_t layer; /* -1 outside the layers */
    enum weight_layout layout;
    int64_t n_mats, n, k;
    /* outputs of a matrix in memory: n, but for PLAIN logits a multiple of 8; those
     * past n are 0 and stay it, and no piece has them */
    int64_t n_held;
    int64_t off, n_elems; /* in the arena; n_elems with all padding */
    bool is_decayed;      /* false for norms */
    float init_std;       /* 0: all ones (norms) */
};

struct param_table {
    struct param *items;       /* owned */
    int64_t n, n_elems;        /* n_elems: arena length */
    enum weight_layout layout; /* of all weights of matrix products */
};
/* For PACKED products, or for those of a backend's product_layout */
int param_table_create(struct param_table *t, const struct hparams *hp) WARN_UNUSED;
int param_table_create_in(struct param_table *t, const struct hparams *hp,
                          enum weight_layout layout) WARN_UNUSED;
void param_table_release(struct param_table *t);
const struct param *param_find(const struct param_table *t, enum param_role role,
                               int64_t layer);

/* One tensor on disk: rows row0 .. row0 + n_rows - 1 of matrix `mat` of `param`. */
struct piece {
    char name[160];
    const struct param *param;
    int64_t mat, row0, n_rows;
    int64_t shape[2];
    int rank; /* 1 for norms: shape[0] = k */
};
/* Piece i of the per-expert (hub, version 4) names; 0 <= i < pieces_count. Order:
 * embedding, layers ascending, final norm, head. */
int64_t pieces_count(const struct param_table *t, const struct hparams *hp);
void piece_get(struct piece *out, const struct param_table *t, const struct hparams *hp,
               int64_t i);
/* Plain row-major values (n_rows, k) of a piece out of / into an arena. `arena` is host
 * memory. */
void piece_unpack(void *dst, const void *arena, enum dtype dtype,
                  const struct piece *p);
void piece_pack(void *arena, enum dtype dtype, const void *src, enum dtype src_dtype,
                const struct piece *p);

/* The arena of a model's weights. */
struct weights {
    struct hparams hp;
    struct param_table table;
    enum dtype dtype;  /* in memory, as on disk unless asked otherwise */
    void *data;        /* n_elems of dtype */
    struct backend *b; /* whose memory data is; NULL: host memory */
};
/* Loads a Hugging Face directory (single file or sharded; per-expert or fused names;
 * F32, BF16, F16; a mix is widened to the widest). dtype -1: as on disk. Each tensor is
 * packed straight from the mapping, whose pages are given back: peak memory is one
 * copy. Missing, misshapen, extra or doubly present tensors are errors naming file and
 * tensor. */
int weights_load(struct weights *w, const char *dir, int dtype) WARN_UNUSED;
/* Normal(0, init_std) by RNG_INIT keyed by (element of the plain tensor, parameter);
 * norms 1. */
int weights_init(struct weights *w, const struct hparams *hp, enum dtype dtype,
                 uint64_t seed) WARN_UNUSED;
/* The same into the memory and layout of a backend; it must outlive *w. */
int weights_load_to(struct weights *w, struct backend *b, const char *dir,
                    int dtype) WARN_UNUSED;
int weights_init_to(struct weights *w, struct backend *b, const struct hparams *hp,
                    enum dtype dtype, uint64_t seed) WARN_UNUSED;
/* In host memory, laid out for any table (checkpoint_load_trainer) */
int weights_load_in(struct weights *w, enum weight_layout layout, const char *dir,
                    int dtype) WARN_UNUSED;
void weights_release(struct weights *w);
/* Writes config.json, model*.safetensors (shards of at most max_shard_bytes; 0: 5 GB),
 * generation_config.json into an existing directory; tokenizer files are copied from
 * tokenizer_dir if not NULL. `data` is a host arena of `dtype`. Per-expert names, as
 * transformers 5 itself saves. */
int weights_save(const char *dir, const struct hparams *hp, const struct param_table *t,
                 const void *data, enum dtype dtype, const char *tokenizer_dir,
                 int64_t max_shard_bytes) WARN_UNUSED;
/* The same from an arena in b's memory (NULL: host memory), some MiB at a time */
int weights_save_from(struct backend *b, const char *dir, const struct hparams *hp,
                      const struct param_table *t, const void *data, enum dtype dtype,
                      const char *tokenizer_dir, int64_t max_shard_bytes) WARN_UNUSED;
/* A piece's plain rows out of an arena in b's memory (NULL: host memory) */
void piece_fetch(void *dst, struct backend *b, const void *arena, enum dtype dtype,
                 const struct piece *p);
/* An arena of fp32 (master, moment) as one safetensors file with the pieces' names, and
 * back; _from and _to: an arena in b's memory (NULL: host memory). */
int arena_save(const char *path, const struct hparams *hp, const struct param_table *t,
               const float *data) WARN_UNUSED;
int arena_save_from(struct backend *b, const char *path, const struct hparams *hp,
                    const struct param_table *t, const float *data) WARN_UNUSED;
int arena_load(const char *path, const struct hparams *hp, const struct param_table *t,
               float *data) WARN_UNUSED;
int arena_load_to(struct backend *b, const char *path, const struct hparams *hp,
                  const struct param_table *t, float *data) WARN_UNUSED;

#endif
