#include "emulator/race_clock.h"

#include <stdlib.h>
#include <string.h>

static uint32_t *vector_create(const struct race_clocks *c)
{
    uint32_t *const v = calloc((size_t)c->n, sizeof(*v));
    CHECK(v != NULL, "a clock of %d threads", c->n);
    return v;
}

static void raise_to(uint32_t *v, const uint32_t *by, int32_t n)
{
    for (int32_t k = 0; k < n; k++)
        v[k] = v[k] > by[k] ? v[k] : by[k];
}

int race_clocks_init(struct race_clocks *c, int32_t n_warps)
{
    c->n_warps = n_warps;
    c->n = n_warps * PTX_LANES + RACE_COPIES;
    c->all = calloc((size_t)c->n, sizeof(*c->all));
    c->warps = calloc((size_t)n_warps, sizeof(*c->warps));
    if (c->all == NULL || c->warps == NULL)
        return ERR(ERR_MEMORY, "clocks of %d warps", n_warps);
    for (int32_t k = 0; k < n_warps; k++) {
        c->warps[k].now = 1;
        c->warps[k].vectors[0] = vector_create(c);
    }
    return STATUS_OK;
}

void race_clocks_release(struct race_clocks *c)
{
    for (int32_t k = 0; k < c->n_warps && c->warps != NULL; k++) {
        for (int32_t v = 0; v < RACE_VECTORS; v++)
            free(c->warps[k].vectors[v]);
    }
    for (int32_t k = 0; k < c->n_places; k++)
        free(c->places[k].clock);
    free(c->places);
    free(c->warps);
    free(c->all);
    *c = (struct race_clocks){0};
}

uint32_t race_known(const struct race_clocks *c, int32_t warp, int32_t lane,
                    int32_t who, int32_t other)
{
    const struct race_warp *const w = &c->warps[warp];
    const int32_t k = race_index(c, who, other);
    const uint32_t own = who == warp ? w->lanes[lane][other]
                                     : w->vectors[w->vector[lane]][k];
    return own > c->all[k] ? own : c->all[k];
}

/* A vector that no lane uses; there is one more than there are lanes. */
static int32_t take_vector(const struct race_clocks *c, struct race_warp *w)
{
    uint64_t used = 0;
    for (int32_t l = 0; l < PTX_LANES; l++)
        used |= (uint64_t)1 << w->vector[l];
    const int32_t v = __builtin_ctzll(~used);
    if (w->vectors[v] == NULL)
        w->vectors[v] = vector_create(c);
    return v;
}

/* --- barriers --- */
static void join_all(struct race_clocks *c)
{
    const int32_t n_threads = c->n - RACE_COPIES;
    for (int32_t k = 0; k < c->n_warps; k++) {
        struct race_warp *const w = &c->warps[k];
        for (int32_t l = 0; l < PTX_LANES; l++)
            c->all[k * PTX_LANES + l] = w->now;
        for (int32_t l = 0; l < PTX_LANES; l++) {
            if (l == 0 || w->vector[l] != w->vector[l - 1])
                raise_to(c->all + n_threads, w->vectors[w->vector[l]] + n_threads,
                         RACE_COPIES);
        }
        w->now++;
    }
}

void race_join_warps(struct race_clocks *c, uint32_t warps, bool is_all)
{
    if (is_all) {
        join_all(c);
        return;
    }
    uint32_t *const joint = vector_create(c);
    for (uint32_t left = warps; left != 0; left &= left - 1) {
        const int32_t k = __builtin_ctz(left);
        const struct race_warp *const w = &c->warps[k];
        for (int32_t l = 0; l < PTX_LANES; l++) {
            if (l == 0 || w->vector[l] != w->vector[l - 1])
                raise_to(joint, w->vectors[w->vector[l]], c->n);
        }
        for (int32_t l = 0; l < PTX_LANES; l++)
            joint[k * PTX_LANES + l] = w->now;
    }
    for (uint32_t left = warps; left != 0; left &= left - 1) {
        struct race_warp *const w = &c->warps[__builtin_ctz(left)];
        memcpy(w->vectors[0], joint, (size_t)c->n * sizeof(*joint));
        for (int32_t l = 0; l < PTX_LANES; l++) {
            w->vector[l] = 0;
            for (int32_t m = 0; m < PTX_LANES; m++)
                w->lanes[l][m] = w->now;
        }
        w->now++;
    }
    free(joint);
}

void race_join_lanes(struct race_clocks *c, int32_t warp, uint32_t lanes)
{
    struct race_warp *const w = &c->warps[warp];
    uint32_t joint[PTX_LANES] = {0};
    const int32_t first = w->vector[__builtin_ctz(lanes)];
    bool is_shared = true;
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        const int32_t l = __builtin_ctz(left);
        raise_to(joint, w->lanes[l], PTX_LANES);
        joint[l] = w->now;
        is_shared = is_shared && w->vector[l] == first;
    }
    const int32_t v = is_shared ? first : take_vector(c, w);
    if (!is_shared)
        memset(w->vectors[v], 0, (size_t)c->n * sizeof(*w->vectors[v]));
    for (uint32_t left = lanes; left != 0 && !is_shared; left &= left - 1)
        raise_to(w->vectors[v], w->vectors[w->vector[__builtin_ctz(left)]], c->n);
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        const int32_t l = __builtin_ctz(left);
        memcpy(w->lanes[l], joint, sizeof(joint));
        w->vector[l] = v;
    }
    w->now++;
}

/* --- mbarriers and flags --- */
static struct race_place *find_place(const struct race_clocks *c, uint32_t off)
{
    for (int32_t k = 0; k < c->n_places; k++) {
        if (c->places[k].off == off)
            return &c->places[k];
    }
    return NULL;
}

static struct race_place *make_place(struct race_clocks *c, uint32_t off)
{
    struct race_place *const known = find_place(c, off);
    if (known != NULL)
        return known;
    if (c->n_places == c->cap_places) {
        c->cap_places = c->cap_places == 0 ? 8 : 2 * c->cap_places;
        c->places = realloc(c->places, (size_t)c->cap_places * sizeof(*c->places));
        CHECK(c->places != NULL, "clocks of %d mbarriers", c->cap_places);
    }
    struct race_place *const p = &c->places[c->n_places++];
    *p = (struct race_place){.off = off, .clock = vector_create(c)};
    return p;
}

/* of the copies that end there */
static int32_t copy_of(const struct race_clocks *c, const struct race_place *p)
{
    const int32_t k = (int32_t)(p - c->places);
    return k < RACE_COPIES ? k : RACE_COPIES - 1;
}

void race_give(struct race_clocks *c, int32_t warp, int32_t lane, uint32_t off)
{
    struct race_warp *const w = &c->warps[warp];
    struct race_place *const p = make_place(c, off);
    uint32_t *const own = p->clock + warp * PTX_LANES;
    raise_to(p->clock, w->vectors[w->vector[lane]], c->n);
    raise_to(own, w->lanes[lane], PTX_LANES);
    own[lane] = w->now++;
}

/* Is v what old becomes by taking `of`? */
static bool is_join(const uint32_t *v, const uint32_t *old, const uint32_t *of,
                    int32_t n)
{
    bool is_all = true;
    for (int32_t k = 0; k < n; k++)
        is_all &= v[k] == (old[k] > of[k] ? old[k] : of[k]);
    return is_all;
}

void race_take(struct race_clocks *c, int32_t warp, int32_t lane, uint32_t off)
{
    struct race_warp *const w = &c->warps[warp];
    struct race_place *const p = find_place(c, off);
    if (p == NULL)
        return;
    const int32_t copy = copy_of(c, p);
    /* the phase has ended: its copies are known */
    p->clock[c->n - RACE_COPIES + copy] = c->copy_now[copy];
    raise_to(w->lanes[lane], p->clock + warp * PTX_LANES, PTX_LANES);
    const uint32_t *const old = w->vectors[w->vector[lane]];
    /* the lane, or one before it that has taken the same, may know as much already */
    for (int32_t l = 0; l < PTX_LANES; l++) {
        const int32_t v = w->vector[(lane + l) % PTX_LANES];
        if (is_join(w->vectors[v], old, p->clock, c->n)) {
            w->vector[lane] = v;
            return;
        }
    }
    const int32_t fresh = take_vector(c, w);
    memcpy(w->vectors[fresh], old, (size_t)c->n * sizeof(*old));
    raise_to(w->vectors[fresh], p->clock, c->n);
    w->vector[lane] = fresh;
}

int32_t race_copy_begin(struct race_clocks *c, uint32_t off, uint32_t *time_out)
{
    struct race_place *const p = make_place(c, off);
    const int32_t copy = copy_of(c, p);
    *time_out = ++c->copy_now[copy];
    return RACE_FIRST_COPY + copy;
}
