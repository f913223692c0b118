/*
 * Vector clocks of a block's threads, for race.c.
 *
 * Time is counted by warp: it advances whenever one of its lanes gives its clock away,
 * so an access and the lane that made it are told apart from later ones. What a lane
 * knows is, for each other thread, the time up to which that thread's accesses came
 * before: of its own warp's lanes in a matrix, of all others in a vector, which lanes
 * of a warp share as long as they know the same; and of every thread what all know.
 * Copies are threads too, one by mbarrier.
 */
#ifndef EMULATOR_RACE_CLOCK_H
#define EMULATOR_RACE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/machine.h"

enum {
    RACE_FIRST_COPY = MACHINE_MAX_WARPS,
    RACE_COPIES = 64, /* mbarriers beyond share the last one's */
    RACE_VECTORS = PTX_LANES + 1
};

struct race_warp {
    uint32_t now;
    uint32_t lanes[PTX_LANES][PTX_LANES]; /* known to [lane] of [lane] */
    int32_t vector[PTX_LANES];            /* which of the vectors is a lane's */
    uint32_t *vectors[RACE_VECTORS]; /* (threads + RACE_COPIES), NULL: unused yet */
};

/* An mbarrier or flag. */
struct race_place {
    uint32_t off;
    uint32_t *clock; /* (threads + RACE_COPIES), given by arrivals */
};

struct race_clocks {
    int32_t n_warps, n; /* n: threads + RACE_COPIES */
    uint32_t *all;      /* (n) known to everyone */
    struct race_warp *warps;
    struct race_place *places;
    uint32_t copy_now[RACE_COPIES]; /* copies begun */
    int32_t n_places, cap_places;
};

WARN_UNUSED int race_clocks_init(struct race_clocks *c, int32_t n_warps);
void race_clocks_release(struct race_clocks *c);

static inline uint32_t race_now(const struct race_clocks *c, int32_t warp)
{
    return c->warps[warp].now;
}
/* Of a warp's lane, or of a copy (who >= RACE_FIRST_COPY, lane 0). */
static inline int32_t race_index(const struct race_clocks *c, int32_t who, int32_t lane)
{
    return who >= RACE_FIRST_COPY ? c->n - RACE_COPIES + who - RACE_FIRST_COPY
                                  : who * PTX_LANES + lane;
}
/* Up to which time a lane, or everyone, knows of another thread. */
static inline uint32_t race_known_to_all(const struct race_clocks *c, int32_t who)
{
    return c->all[race_index(c, who, 0)]; /* the same for all lanes of a warp */
}
uint32_t race_known(const struct race_clocks *c, int32_t warp, int32_t lane,
                    int32_t who, int32_t other);

/* A barrier of these warps; is_all: of all that are left. */
void race_join_warps(struct race_clocks *c, uint32_t warps, bool is_all);
void race_join_lanes(struct race_clocks *c, int32_t warp, uint32_t lanes);
void race_give(struct race_clocks *c, int32_t warp, int32_t lane, uint32_t off);
void race_take(struct race_clocks *c, int32_t warp, int32_t lane, uint32_t off);
/* A copy that ends on the mbarrier at `off`: who it is, and its time. */
int32_t race_copy_begin(struct race_clocks *c, uint32_t off, uint32_t *time_out);

#endif
