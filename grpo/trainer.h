/*
 * The GRPO run, shared by grpo/train.c (the loop), grpo/train_draw.c (a step's
 * samples), grpo/train_state.c (checkpoints, resume) and grpo/train_record.c (metrics,
 * samples, summary).
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
#include "grpo/reference.h"
#include "grpo/session.h"
#include "grpo/trajectories.h"
#include "grpo/world.h"

/* How a step's groups were found; the same on every rank. Sums are over all samples
 * drawn for the step, those that gave way to others included. */
struct draw {
    int64_t cursor; /* place in the data's order after this step's prompts */
    int64_t n_prompts, n_rounds, n_samples, n_correct;
    double reward;
};

/* The samples of one step, from their generation to the update. */
struct step_batch {
    struct groups g;
    int64_t step;         /* counted from 0; -1: holds none */
    bool is_on_policy;    /* sampled by the weights that the update starts from */
    int64_t *expert_load; /* (L, E), all ranks */
    struct draw draw;
    struct collect_stats collect; /* of this rank */
};

/* What one step was, for the record; filled on every rank, complete on rank 0. */
struct step_stats {
    struct learner_report learn; /* sums over the step's updates */
    double behaviour_diff_max;   /* of the first update: 0 when that is on-policy */
    int64_t n_route_diffs;       /* of the first update, likewise */
    int64_t n_updates;
    double lr;
    double generate_s, learn_s; /* this rank's work in this step */
    double exchange_s, sync_s, step_s;
    /* rank 0: means over the ranks of a role of what they worked, and waited; ranks
     * with both roles: see idle */
    struct role_times {
        double generate_s, learn_s, idle_rollout_s, idle_learn_s, overlap_s;
    } roles;
    struct eval_result eval;
    bool has_eval;
};

struct trainer {
    struct session s;
    struct world world;
    struct reference ref;
    bool has_ref;
    /* with grpo.check_stale: the weights that sampled the batch of step behaviour_step
     */
    struct model behaviour;
    void *behaviour_data;
    size_t behaviour_bytes;
    int64_t behaviour_step;
    struct dataset *train, *eval; /* train NULL with given trajectories */
    struct trajectories *given;   /* NULL: generate */
    struct prompter *prompter;    /* of given trajectories' questions */
    struct collector *collector;
    struct evaluator evaluator;
    bool has_evaluator;
    struct learner *learner; /* NULL on ranks that do not learn */
    struct learner_plan plan;
    struct step_batch batches[2];   /* the second with grpo.staleness = 1 only */
    struct step_batch *now, *ahead; /* learned from; being generated meanwhile */
    int64_t *problem, *slots;       /* (P) of a round of generation */
    int32_t *owner, *writer;        /* (P) learner of each group; all 0 */
    int64_t *load_scratch;          /* (size, L, E), at least 2 doubles a rank */
    struct world_scratch exchange;
    int64_t step;   /* done */
    int64_t cursor; /* next place in the data's order */
    int64_t n_updates_per_step;
    struct eval_result eval_start; /* before training */
    bool has_eval_start;
    struct eval_result eval_last;
    bool has_eval_last;
    /* rank 0 */
    struct metrics metrics, samples, trajectories;
    struct events events;
    struct progress progress;
    struct buf text;
    double start_s;
};

/* --- grpo/train_setup.c. What does not go together is ERR_CONFIG. */
int trainer_check(const struct config *c) WARN_UNUSED;
/* Collective, after session and world are open: everything else, from the newest
 * checkpoint if there is one. */
int trainer_start(struct trainer *t) WARN_UNUSED;
void trainer_release(struct trainer *t);

/* --- grpo/train_draw.c. The samples of `step` into b, with the weights as they are:
 * _generate is collective over the ranks that generate and does nothing on others;
 * _finish is collective over all. */
int draw_generate(struct trainer *t, struct step_batch *b, int64_t step) WARN_UNUSED;
int draw_finish(struct trainer *t, struct step_batch *b) WARN_UNUSED;
/* The samples of `step` from given trajectories, whole on every rank: file order, from
 * the first line again after the last. Collective. */
int draw_given(struct trainer *t, struct step_batch *b, int64_t step) WARN_UNUSED;
/* Collective: expert choices of the batch's samples, from who holds them. */
int draw_count_load(struct trainer *t, struct step_batch *b) WARN_UNUSED;
/* Collective: rank 0 gets every group of the batch. */
int draw_gather(struct trainer *t, struct step_batch *b) WARN_UNUSED;

/* --- grpo/train_state.c. Resume: where is the newest checkpoint? *dir_out (mem_free)
 * NULL: none. */
int trainer_find_checkpoint(struct trainer *t, char **dir_out,
                            int64_t *step_out) WARN_UNUSED;
int trainer_restore(struct trainer *t, const char *dir) WARN_UNUSED;
int trainer_save(struct trainer *t) WARN_UNUSED;

/* --- grpo/train_record.c; rank 0 only. */
int record_open(struct trainer *t) WARN_UNUSED;
int record_step(struct trainer *t, const struct step_stats *st) WARN_UNUSED;
int record_close(struct trainer *t) WARN_UNUSED;
/* summary.json and report.html; peak_rss: of all ranks */
int record_summary(struct trainer *t, int64_t peak_rss_bytes) WARN_UNUSED;

/* --- grpo/train_samples.c; rank 0 only. */
/* Completions of the first groups, as lines of samples.jsonl. split: "train" or "eval";
 * data: where the groups' problems are from, NULL for given trajectories. */
int record_samples(struct trainer *t, const char *split, const struct dataset *data,
                   const struct groups *g) WARN_UNUSED;
/* Every group of the step, as lines of trajectories.jsonl. */
int record_trajectories(struct trainer *t) WARN_UNUSED;

#endif
