/*
 * Between checkpoint.c (contents), checkpoint_dirs.c (names, order, deletion) and
 * checkpoint_manifest.c (integrity).
 */
#ifndef MODEL_CHECKPOINT_PRIVATE_H
#define MODEL_CHECKPOINT_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "model/checkpoint.h"

/* Directories below run_dir/checkpoints, told apart by their ending. */
enum step_kind {
    STEP_DONE, /* step_N */
    STEP_OLD,  /* step_N.old: moved aside while step_N is replaced */
    STEP_TMP,  /* step_N.tmp: being written or being deleted */
};

/* run_dir/checkpoints/step_N<ending> (mem_free) */
char *step_path(const char *run_dir, int64_t step, enum step_kind kind);
/* Finish or undo what a crash left: *.tmp are deleted, *.old deleted or moved back. */
int steps_recover(const char *run_dir) WARN_UNUSED;
/* step_N.tmp becomes step_N, durably; an older step_N disappears. Updates LATEST. */
int step_publish(const char *run_dir, int64_t step) WARN_UNUSED;
/* Delete all but the newest `keep_last`, multiples of keep_every (> 0) and `step`. */
int steps_prune(const char *run_dir, int64_t step, int64_t keep_last,
                int64_t keep_every) WARN_UNUSED;

int manifest_write(const char *dir) WARN_UNUSED;
/* `v` with sorted keys as a text file, atomically */
int checkpoint_write_json(const char *path, const json_t *v) WARN_UNUSED;

#endif
