/*
 * Addresses of a warp's accesses. The common cases (all lanes in one allocation, or in
 * one space) take one check of the lowest and highest address; the others, and those
 * that will fault, take machine_at lane by lane.
 */
#include "emulator/access.h"

#include <string.h>

#include "emulator/counts.h"
#include "emulator/race.h"

enum { FEW_LANES = 4 };

static bool is_one_of(const char *part, const char *const *list)
{
    for (; list != NULL && *list != NULL; list++) {
        if (strcmp(part, *list) == 0)
            return true;
    }
    return false;
}

static bool parse_space(const char *part, struct access_form *f)
{
    static const struct {
        const char *name;
        enum machine_space space;
    } spaces[] = {{"global", MACHINE_GLOBAL},      {"shared", MACHINE_SHARED},
                  {"shared::cta", MACHINE_SHARED}, {"shared::cluster", MACHINE_SHARED},
                  {"local", MACHINE_LOCAL},        {"param", MACHINE_PARAM},
                  {"param::entry", MACHINE_PARAM}, {"const", MACHINE_CONST}};
    for (int64_t k = 0; k < ARRAY_LEN(spaces); k++) {
        if (strcmp(part, spaces[k].name) != 0)
            continue;
        f->space = spaces[k].space;
        return true;
    }
    return false;
}

/* Orders, scopes, caches and hints: accepted, since one memory serves all. */
static bool parse_manner(const char *part, struct access_form *f)
{
    static const char *const manners[] = {"weak",
                                          "volatile",
                                          "relaxed",
                                          "mmio",
                                          "cta",
                                          "cluster",
                                          "gpu",
                                          "sys",
                                          "ca",
                                          "cg",
                                          "cs",
                                          "lu",
                                          "cv",
                                          "wb",
                                          "wt",
                                          "nc",
                                          "unified",
                                          "noftz",
                                          "acquire",
                                          "release",
                                          "acq_rel",
                                          "L1::evict_normal",
                                          "L1::evict_unchanged",
                                          "L1::evict_first",
                                          "L1::evict_last",
                                          "L1::no_allocate",
                                          "L2::evict_last",
                                          "L2::evict_normal",
                                          "L2::evict_first",
                                          "L2::64B",
                                          "L2::128B",
                                          "L2::256B",
                                          "L2::cache_hint",
                                          NULL};
    if (!is_one_of(part, manners))
        return false;
    const bool is_both = strcmp(part, "acq_rel") == 0;
    f->acquires |= is_both || strcmp(part, "acquire") == 0;
    f->releases |= is_both || strcmp(part, "release") == 0;
    f->has_hint |= strcmp(part, "L2::cache_hint") == 0;
    return true;
}

static bool parse_vector(const char *part, struct access_form *f)
{
    const bool is_vector = part[0] == 'v' && part[1] != 0 && part[2] == 0;
    if (!is_vector || (part[1] != '2' && part[1] != '4' && part[1] != '8'))
        return false;
    f->n = part[1] - '0';
    return true;
}

bool access_parse(const struct ptx_insn *i, const char *const *operation,
                  struct access_form *out)
{
    struct access_form f = {.space = MACHINE_GENERIC, .n = 1};
    for (int32_t k = 1; k < i->n_parts; k++) {
        const char *const part = i->part[k];
        const int32_t bytes = ptx_type_bytes(part);
        if (is_one_of(part, operation))
            continue;
        if (bytes > 0) {
            f.bytes = bytes;
            f.is_signed = part[0] == 's';
        } else if (!parse_space(part, &f) && !parse_manner(part, &f) &&
                   !parse_vector(part, &f)) {
            return false;
        }
    }
    *out = f;
    return f.bytes > 0;
}

void access_store(struct ptx_insn *i, const struct access_form *f)
{
    i->option[0] = (int32_t)f->space;
    i->option[1] = f->n;
    i->option[2] = f->bytes;
    i->option[3] = (f->is_signed ? ACCESS_SIGNED : 0) |
                   (f->acquires ? ACCESS_ACQUIRE : 0) |
                   (f->releases ? ACCESS_RELEASE : 0);
}

/* The addresses as the instruction gives them, of all lanes. */
static void addresses(const struct machine_warp *w, const struct ptx_operand *a,
                      uint64_t *restrict at)
{
    if (a->slot < 0) {
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            at[lane] = (uint64_t)a->bits;
    } else if (a->bytes == 8) {
        const uint64_t *const restrict base = machine_u64(w, a->slot);
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            at[lane] = base[lane] + (uint64_t)a->bits;
    } else {
        const uint32_t *const restrict base = machine_u32(w, a->slot);
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            at[lane] = (uint32_t)(base[lane] + (uint32_t)a->bits);
    }
}

struct extent {
    uint64_t low, high; /* addresses */
    uint64_t bits;      /* what may break their alignment */
};

/* Whether at[] is at[0] + lane * step. */
static bool is_progression(const uint64_t at[PTX_LANES], uint64_t step)
{
    uint64_t differ = 0;
    for (int32_t lane = 0; lane < PTX_LANES; lane++)
        differ |= at[lane] ^ (at[0] + (uint64_t)lane * step);
    return differ == 0;
}

/* Gives lanes outside of mask an address of one inside; finds the pattern and the
 * extent of all. */
static struct extent settle(struct access_lanes *l, uint32_t mask, uint64_t bytes)
{
    uint64_t *const at = l->at;
    const uint64_t some = at[__builtin_ctz(mask)];
    if (mask != ~(uint32_t)0) {
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            at[lane] = (mask >> lane & 1) != 0 ? at[lane] : some;
    }
    const uint64_t span = at[PTX_LANES - 1] - at[0];
    struct extent e = {.low = at[0], .high = at[PTX_LANES - 1], .bits = at[0]};
    if (span == 0 && is_progression(at, 0)) {
        l->pattern = ACCESS_SAME;
        return e;
    }
    if (span == (PTX_LANES - 1) * bytes && mask == ~(uint32_t)0 &&
        is_progression(at, bytes)) {
        l->pattern = ACCESS_ROW;
        return e;
    }
    l->pattern = ACCESS_MIXED;
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        e.low = at[lane] < e.low ? at[lane] : e.low;
        e.high = at[lane] > e.high ? at[lane] : e.high;
        e.bits |= at[lane];
    }
    return e;
}

/* Each lane of mask by machine_at. */
static bool one_by_one(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                       int32_t bytes, enum machine_access access,
                       struct access_lanes *l)
{
    const enum machine_space space = (enum machine_space)i->option[0];
    const size_t n = (size_t)bytes;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint8_t *const p = machine_at(w, i, lane, space, l->at[lane], n, n,
                                            access);
        if (p == NULL)
            return false;
        l->at[lane] = (uint64_t)(uintptr_t)p;
    }
    l->delta = 0;
    return true;
}

static bool slowly(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                   int32_t bytes, enum machine_access access, struct access_lanes *l)
{
    if (!one_by_one(w, i, mask, bytes, access, l))
        return false;
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        if ((mask >> lane & 1) == 0)
            l->at[lane] = l->at[__builtin_ctz(mask)];
    }
    l->pattern = ACCESS_MIXED;
    return true;
}

/* Addresses relative to `from` become host addresses behind base, if all bytes lie
 * within `size`. */
static bool rebase(struct access_lanes *l, const struct extent *e, uint64_t from,
                   const uint8_t *base, uint64_t size, uint64_t bytes)
{
    if (size < bytes || e->high - from > size - bytes)
        return false;
    l->delta = (uint64_t)(uintptr_t)base - from;
    return true;
}

/* Of local memory each lane has its own. */
static void spread(struct access_lanes *l, uint64_t stride, uint32_t mask)
{
    for (int32_t lane = 0; lane < PTX_LANES; lane++)
        l->at[lane] += (uint64_t)lane * stride;
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        if ((mask >> lane & 1) == 0)
            l->at[lane] = l->at[__builtin_ctz(mask)];
    }
    l->pattern = ACCESS_MIXED;
}

static enum machine_space space_of(uint64_t address)
{
    switch (address & MACHINE_WINDOW_MASK) {
    case MACHINE_SHARED_WINDOW:
        return MACHINE_SHARED;
    case MACHINE_LOCAL_WINDOW:
        return MACHINE_LOCAL;
    case MACHINE_PARAM_WINDOW:
        return MACHINE_PARAM;
    default:
        return MACHINE_GLOBAL;
    }
}

/* false: not all lanes lie in one place, or not within it */
static bool quickly(struct machine_warp *w, uint32_t mask, enum machine_space space,
                    const struct extent *e, int32_t bytes, enum machine_access access,
                    struct access_lanes *l)
{
    const struct machine_block *const b = w->block;
    const struct ptx_kernel *const k = b->launch->kernel;
    const uint64_t n = (uint64_t)bytes;
    uint64_t from = 0;
    if (space == MACHINE_GENERIC) {
        if (((e->low ^ e->high) & MACHINE_WINDOW_MASK) != 0)
            return false;
        space = space_of(e->low);
        from = space == MACHINE_GLOBAL ? 0 : e->low & MACHINE_WINDOW_MASK;
    }
    if (access != MACHINE_READ && (space == MACHINE_PARAM || space == MACHINE_CONST))
        return false;
    switch (space) {
    case MACHINE_GENERIC:
        return false;
    case MACHINE_GLOBAL:
    case MACHINE_CONST:
        l->delta = 0;
        return machine_reaches(w, e->low, e->high - e->low + n);
    case MACHINE_SHARED:
        return b->race == NULL && rebase(l, e, from, b->shared, b->shared_bytes, n);
    case MACHINE_PARAM:
        return rebase(l, e, from, b->launch->params, (uint64_t)k->param_bytes, n);
    case MACHINE_LOCAL:
        if (!rebase(l, e, from, w->local, (uint64_t)k->local_bytes, n))
            return false;
        spread(l, (uint64_t)k->local_bytes, mask);
        return true;
    }
    return false;
}

static void count(const struct machine_block *b, enum machine_space space,
                  enum machine_access access, uint32_t mask,
                  const uint64_t at[PTX_LANES], int32_t bytes)
{
    const enum machine_space real = space == MACHINE_GENERIC
                                        ? space_of(at[__builtin_ctz(mask)])
                                        : space;
    counts_access(b->counts, real, access, mask, at, bytes);
}

/* Few lanes, as where one thread of a warp does the work: one by one. */
static bool locate_few(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                       const struct ptx_operand *a, int32_t bytes,
                       enum machine_access access, struct access_lanes *l)
{
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        if (a->slot < 0)
            l->at[lane] = (uint64_t)a->bits;
        else if (a->bytes == 8)
            l->at[lane] = machine_u64(w, a->slot)[lane] + (uint64_t)a->bits;
        else
            l->at[lane] = (uint32_t)(machine_u32(w, a->slot)[lane] + (uint32_t)a->bits);
    }
    l->pattern = ACCESS_SPARSE;
    if (w->block->counts != NULL)
        count(w->block, (enum machine_space)i->option[0], access, mask, l->at, bytes);
    return one_by_one(w, i, mask, bytes, access, l);
}

bool access_locate(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                   const struct ptx_operand *address, int32_t bytes,
                   enum machine_access access, struct access_lanes *out)
{
    const enum machine_space space = (enum machine_space)i->option[0];
    if (__builtin_popcount(mask) <= FEW_LANES)
        return locate_few(w, i, mask, address, bytes, access, out);
    addresses(w, address, out->at);
    const struct extent e = settle(out, mask, (uint64_t)bytes);
    if (w->block->counts != NULL)
        count(w->block, space, access, mask, out->at, bytes);
    return ((e.bits & ((uint64_t)bytes - 1)) == 0 &&
            quickly(w, mask, space, &e, bytes, access, out)) ||
           slowly(w, i, mask, bytes, access, out);
}

void access_order(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                  const struct access_lanes *lanes, bool is_release)
{
    const struct machine_block *const b = w->block;
    const int32_t wanted = is_release ? ACCESS_RELEASE : ACCESS_ACQUIRE;
    if (b->race == NULL || (i->option[3] & wanted) == 0)
        return;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint64_t off = lanes->at[lane] + lanes->delta -
                             (uint64_t)(uintptr_t)b->shared;
        if (off >= b->shared_bytes)
            continue;
        if (is_release)
            race_release(w, lane, (uint32_t)off);
        else
            race_acquire(w, lane, (uint32_t)off);
    }
}
