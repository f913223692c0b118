/*
 * The GRPO run, shared by grpo/train.c (the loop), grpo/train_state.c (checkpoints,
 * resume) and grpo/train_record.c (metrics, samples, summary).
 */
#ifndef GRPO_TRAINER_H
#define GRPO_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "grpo/collect.h"
#include "grpo/dataset.h"
#include "grpo/evaluate.h"
#include "grpo/events.h"
#include "grpo/learner.h"
#include "grpo/metrics.h"
#include "grpo/progress.h"
#include "grpo/session.h"
#include "grpo/world.h"

/* What one step was, for the record; filled on every rank, complete on rank 0. */
struct step_stats {
    struct learner_report learn; /* sums over the step's updates */
    double behaviour_diff_max;   /* of the first update: 0 when that is on-policy */
    int64_t n_route_diffs;       /* of the first update, likewise */
    int64_t n_updates;
    double lr;
    struct collect_stats collect;
    double learn_s, sync_s, step_s;
    struct eval_result eval;
    bool has_eval;
};

struct trainer {
    struct session s;
    struct world world;
    struct weights ref_weights;
    struct model ref;
    bool has_ref;
    struct dataset *train, *eval;
    struct collector *collector;
    struct evaluator evaluator;
    bool has_evaluator;
    struct learner *learner; /* NULL on ranks that do not learn */
    struct groups g;
    int64_t *problem;      /* (P) of the step */
    int32_t *owner;        /* (P) */
    int64_t *expert_load;  /* (L, E) of the step, all ranks */
    int64_t *load_scratch; /* (size, L, E) */
    int64_t step;          /* done */
    int64_t n_updates_per_step;
    struct eval_result eval_start; /* before training */
    bool has_eval_start;
    struct eval_result eval_last;
    bool has_eval_last;
    /* rank 0 */
    struct metrics metrics, samples;
    struct events events;
    struct progress progress;
    struct buf text;
    double start_s;
};

/* grpo/train_state.c. Resume: where is the newest checkpoint? *dir_out (mem_free) NULL:
 * none. */
int trainer_find_checkpoint(struct trainer *t, char **dir_out,
                            int64_t *step_out) WARN_UNUSED;
int trainer_restore(struct trainer *t, const char *dir) WARN_UNUSED;
int trainer_save(struct trainer *t) WARN_UNUSED;

/* grpo/train_record.c; rank 0 only. */
int record_open(struct trainer *t) WARN_UNUSED;
int record_step(struct trainer *t, const struct step_stats *st) WARN_UNUSED;
int record_close(struct trainer *t) WARN_UNUSED;
/* summary.json and report.html; peak_rss: of all ranks */
int record_summary(struct trainer *t, int64_t peak_rss_bytes) WARN_UNUSED;

#endif
