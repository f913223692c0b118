/*
 * Between comm.c, the transports and the tree: the table of operations that a transport
 * fills in, and what a launcher left in the environment. Callers have checked ranks,
 * tags and sizes; transports see no call for a communicator of their own rank alone
 * except those that make sense there (send and recv never).
 */
#ifndef DIST_DIST_PRIVATE_H
#define DIST_DIST_PRIVATE_H

#include "dist/comm.h"

enum {
    COMM_MAX_SENDS = 64,      /* sends in flight, each in a slot of its own */
    COMM_USER_TAGS = 1 << 14, /* tags below are the callers', the rest ours */
    COMM_TAG_TREE = COMM_USER_TAGS,
    COMM_TAG_EXCHANGE,
};

struct comm_ops {
    int (*split)(struct comm **out, struct comm *c, int color, int key);
    void (*free)(struct comm *c);
    void (*abort)(struct comm *c, int exit_status);
    int (*barrier)(struct comm *c);
    int (*bcast)(struct comm *c, void *data, size_t bytes, int root);
    /* `data` stays untouched until send_finish of the same slot */
    int (*send_start)(struct comm *c, int slot, const void *data, size_t bytes, int to,
                      int tag);
    int (*send_finish)(struct comm *c, int slot);
    int (*recv)(struct comm *c, void *data, size_t bytes, int from, int tag);
    int (*exchange)(struct comm *c, const struct buf *out, struct buf *in);
    int (*allgather)(struct comm *c, const void *mine, size_t bytes, void *all);
    int (*min)(struct comm *c, int64_t *value); /* of all ranks, in place */
};

struct comm {
    const struct comm_ops *ops;
    int rank, size;
    size_t chunk_bytes; /* longest single message; tests lower it */
    char transport[64];
};

int self_create(struct comm **out) WARN_UNUSED;

/* Ranks that the launcher announced (1 if it did not say how many); 0: not launched. */
int launch_size(void);

/* Make `in` hold `len` bytes, their values unset. */
void comm_buf_resize(struct buf *in, size_t len);

#endif
