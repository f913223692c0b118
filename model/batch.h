/*
 * A batch: the rows of one forward pass and where their keys and values live.
 *
 * Rows are tokens. Sequences are runs of adjacent rows with ascending positions;
 * several sequences of one group may share pages: a group is a prompt and its
 * completions, the prompt computed once. A completion attends to the prompt's full
 * pages and to private pages, the first of which starts with a copy of the prompt's
 * last, partly filled page (so that key blocks start at the same positions as in a
 * sequence of its own: same bits).
 *
 * Two ways to fill one: batch_add_prompt / batch_add_completion allocate pages 0, 1, 2
 * ... themselves (learner, evaluation of given tokens); batch_add_rows takes the
 * caller's pages (rollout, whose cache outlives the batch).
 */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops.h"
#include "core/status.h"

struct batch_limits {
    int64_t n_rows, n_seqs, n_groups, n_pages; /* n_pages: entries of the page lists */
    int64_t n_dst;                             /* slots written: rows + copies */
};

struct batch_arrays {
    int32_t *ids, *pos;        /* (n_rows) */
    int32_t *dst_off, *dst;    /* (n_rows + 1), (n_dst): see kv_write */
    int32_t *row_off;          /* (n_seqs + 1) */
    int32_t *first_pos;        /* (n_seqs) */
    int32_t *page_off, *pages; /* (n_seqs + 1), (n_pages) */
    int32_t *group_off;        /* (n_groups + 1) */
};

struct batch {
    struct backend *b;
    struct batch_limits max;
    int64_t n_rows, n_seqs, n_groups, n_pages, n_dst;
    int64_t n_own_pages; /* pages handed out by batch_add_prompt / _completion */
    int64_t prompt_seq;  /* of the open group */
    struct batch_arrays host, dev; /* dev: set by batch_upload, see there */
    void *host_block, *dev_block;
    char *packed; /* host: what batch_upload sends at once */
    size_t block_bytes;
};

int batch_init(struct batch *t, struct backend *b,
               const struct batch_limits *max) WARN_UNUSED;
void batch_release(struct batch *t);
void batch_reset(struct batch *t);

/* What a prompt of n_prompt tokens with completions of n_rows[i] rows adds to each
 * limit. */
struct batch_limits batch_group_cost(int64_t n_prompt, const int64_t *n_rows,
                                     int64_t n);
bool batch_fits(const struct batch *t, const struct batch_limits *cost);

/* Opens a group with its prompt (n >= 1 tokens, positions from 0); returns its first
 * row. */
int64_t batch_add_prompt(struct batch *t, const int32_t *ids, int64_t n);
/* Appends a completion's n >= 0 rows to the open group; returns its first row. All of a
 * group's completions are added before the next prompt. */
int64_t batch_add_completion(struct batch *t, const int32_t *ids, int64_t n);
/* A sequence of n rows from position `pos` with the caller's page list covering
 * positions 0 .. pos + n - 1; its own group. */
int64_t batch_add_rows(struct batch *t, const int32_t *ids, int64_t n, int64_t pos,
                       const int32_t *pages);
/* Sends the arrays to the backend, in one copy; call when complete. The addresses in
 * `dev` depend on the numbers of rows, sequences, groups and slots only. */
void batch_upload(struct batch *t);
/* The attention description over the uploaded arrays. */
struct attn_batch batch_attention(const struct batch *t);

#endif
