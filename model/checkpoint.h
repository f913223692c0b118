/*
 * Checkpoints of a run: run_dir/checkpoints/step_N is a Hugging Face directory
 * (weights_save) with trainer/ beside the weights (fp32 master, Adam's moments,
 * state.json) and MANIFEST.json (size and XXH3-128 of every file), written last.
 *
 * A save builds step_N.tmp, syncs it, renames it, then points run_dir/LATEST at it
 * (text "checkpoints/step_N\n": for people and scripts; the loader trusts manifests
 * only) and deletes what is no longer kept. A crash at any instruction leaves the
 * checkpoints from before or the new one, complete. The same contents give the same
 * bytes: no times, hosts, paths or rank counts. One process saves at a time.
 */
#ifndef MODEL_CHECKPOINT_H
#define MODEL_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/status.h"
#include "model/params.h"

struct checkpoint {
    const struct hparams *hp;
    const struct param_table *table;
    struct backend *b;   /* whose memory the arenas are; NULL: host memory */
    const void *weights; /* arena of `dtype` */
    enum dtype dtype;
    const float *master;          /* fp32 arenas; NULL: no such file. */
    const float *adam_m, *adam_v; /* master NULL with dtype F32: weights are it */
    const char *state_json;       /* text of a JSON object: optimiser steps, seed, data
                                     cursor; "schema" and "step" are put in. NULL:
                                     weights alone, no trainer/ */
    /* Adds files to trainer/ (the directory's path is given) before the manifest is
     * written; NULL: none. extra_bytes: theirs, about, for the check of the space */
    int (*extra)(const char *trainer_dir, void *user);
    void *user;
    int64_t extra_bytes;
    const char *tokenizer_dir;     /* NULL: no tokenizer files. Not a checkpoint of this
                                      run: pruning would take it away */
    int64_t max_shard_bytes;       /* 0: 5 GB */
    int64_t keep_last, keep_every; /* 0: 3 newest; 0: no multiples kept for ever */
};

/* ERR_IO when the file system has less than twice the checkpoint's bytes free. A step
 * that exists already is replaced. */
int checkpoint_save(const char *run_dir, int64_t step,
                    const struct checkpoint *what) WARN_UNUSED;

/* Every file in the manifest is there with its size and hash (else ERR_INPUT). */
int checkpoint_verify(const char *dir) WARN_UNUSED;

/* The newest checkpoint that verifies; each damaged one on the way is warned about.
 * *dir_out (mem_free) is NULL and *step_out -1 when the run has none at all; ERR_INPUT
 * when it has some and all are damaged, since starting afresh must be the user's word.
 */
int checkpoint_find_latest(const char *run_dir, char **dir_out,
                           int64_t *step_out) WARN_UNUSED;

/* Fills the fp32 arenas that are not NULL and *state_out (new reference to state.json's
 * object, `schema` and `step` included; NULL: not wanted). A checkpoint without a
 * master file gives its weights, which must be F32 on disk. Does not verify hashes. */
int checkpoint_load_trainer(const char *dir, const struct hparams *hp,
                            const struct param_table *t, float *master, float *adam_m,
                            float *adam_v, json_t **state_out) WARN_UNUSED;
/* Path of a file in trainer/ of a checkpoint; mem_free */
char *checkpoint_trainer_path(const char *dir, const char *name);
/* The same into arenas of b's memory (NULL: host memory) */
int checkpoint_load_trainer_to(struct backend *b, const char *dir,
                               const struct hparams *hp, const struct param_table *t,
                               float *master, float *adam_m, float *adam_v,
                               json_t **state_out) WARN_UNUSED;
/* true if `dir` holds trainer state (a resume is possible), not only weights */
bool checkpoint_has_trainer(const char *dir);

/* One XXH3-128 for a whole directory (any Hugging Face directory), MANIFEST.json left
 * out: that of the lines "<hash>  <relative path>\n" of all files below, sorted by path
 * bytes; `xxh128sum` prints such lines. */
int checkpoint_hash(const char *dir, char hex[HASH_HEX_LEN + 1]) WARN_UNUSED;

#endif
