/*
 * The communicator: one rank alone (dist_self.c) or MPI (dist_mpi.c), behind one
 * interface. Blocking calls; waiting sleeps instead of spinning, so that idle ranks
 * leave their core to others. All ranks of a communicator make the same calls in the
 * same order. Byte counts may pass 2 GiB. Buffers are host memory. A failed call
 * returns ERR_COMM; a dead or stuck peer ends the whole job (crash-only):
 * the watchdog aborts when no progress was reported for its deadline.
 */
#ifndef DIST_COMM_H
#define DIST_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"

struct backend;
struct comm;

/* "self" when built without MPI or when not launched by mpirun/srun and only one rank
 * exists. Call once, from main; argc/argv as MPI_Init wants them. */
int comm_world_create(struct comm **out, int *argc, char ***argv) WARN_UNUSED;
/* Ranks with the same color >= 0 form a new communicator ordered by `key`; color < 0:
 * *out = NULL. Collective. */
int comm_split(struct comm **out, struct comm *parent, int color, int key) WARN_UNUSED;
void comm_free(struct comm *c); /* the world's also finalises MPI; accepts NULL */
int comm_rank(const struct comm *c);
int comm_size(const struct comm *c);
const char *comm_transport(const struct comm *c); /* "self", "mpi (Open MPI v4.1.4)" */

int comm_barrier(struct comm *c) WARN_UNUSED;
int comm_bcast(struct comm *c, void *data, size_t bytes, int root) WARN_UNUSED;
/* Never to oneself; tags 0 to 16383. */
int comm_send(struct comm *c, const void *data, size_t bytes, int to,
              int tag) WARN_UNUSED;
int comm_recv(struct comm *c, void *data, size_t bytes, int from, int tag) WARN_UNUSED;
/* Rank r's bytes out[r] go to rank r; in[r] (appended to a reset buffer) is what r sent
 * here. */
int comm_exchange(struct comm *c, const struct buf *out, struct buf *in) WARN_UNUSED;
/* Everyone's `bytes` bytes in rank order into all (size * bytes); mine may lie in its
 * place there already. */
int comm_allgather(struct comm *c, const void *mine, size_t bytes,
                   void *all) WARN_UNUSED;
/* The smallest status code of all ranks (0 when all are fine): every rank learns that
 * one failed; the failing rank's message is put into the others' (with its rank). Call
 * after fallible phases that are followed by collectives. */
int comm_agree(struct comm *c, int status) WARN_UNUSED;
void comm_abort(struct comm *c, int exit_status); /* does not return */

/*
 * The gradient tree. `leaf(user, l, dst)` is called on the leaf's
 * owner, leaves ascending, and must overwrite dst (n floats). Leaves are added pairwise
 * in a fixed binary tree over n_leaves (padded to a power of two; an absent right child
 * leaves the left as is): node = left + right. The root's value ends in out[0 .. n-1]
 * on every rank. Leaf l belongs to rank l * size / n_leaves. scratch holds
 * tree_depth(n_leaves) more arrays of n floats. add(user, y, x, n): y += x.
 */
struct comm_tree {
    int64_t n_leaves, n;
    int (*leaf)(void *user, int64_t l, float *dst);
    void (*add)(void *user, float *y, const float *x, int64_t n);
    void *user;
    /* Where out and scratch are not host memory: the backend whose memory they are, and
     * 1 + tree_depth(n_leaves) arrays of n floats of host memory through which values
     * travel (one rank needs none). Else NULL. */
    struct backend *b;
    float *host;
};
int64_t comm_tree_depth(int64_t n_leaves); /* ceil(log2(n_leaves)) */
int comm_leaf_owner(int64_t l, int64_t n_leaves, int size);
int comm_tree_sum(struct comm *c, const struct comm_tree *t, float *out,
                  float *scratch) WARN_UNUSED;

/* Watchdog: one thread per process; aborts the job with status 70 and a message when
 * `phase` has lasted longer than its deadline without watchdog_beat. seconds 0: off. */
int watchdog_start(struct comm *world, double seconds) WARN_UNUSED;
void watchdog_beat(const char *phase);
void watchdog_stop(void);

/* Call first in main: unless the user has set OpenMP's waiting policy, starts the
 * program again (execv) with a short spin. libgomp's default spins so long at every
 * barrier that ranks sharing cores, or any other load on the machine, slow small
 * operations a hundredfold. */
void launch_tame_openmp(char **argv);

#endif
