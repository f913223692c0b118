/*
 * Instructions among the lanes of a warp: shfl, vote, match, redux, bar.warp.sync.
 *
 * Each waits for the lanes of its member mask, see members.c; what follows sees the
 * lanes that are ready, each with its mask. A value taken from a lane that is not a
 * member is undefined in the ISA: it is all ones here, so that its use shows.
 */
#include <string.h>

#include "emulator/scheduler.h"

static const uint32_t undefined = 0xffffffffu;

/* --- shfl.sync.mode.b32 d{|p}, a, b, c, members --- */

enum shuffle { UP, DOWN, BFLY, IDX };

/* The lane that is read, and whether it lies in the segment. */
static int32_t shuffle_source(enum shuffle mode, int32_t lane, uint32_t b, uint32_t c,
                              bool *is_inside)
{
    const int32_t segment = (int32_t)(c >> 8 & 31), clamp = (int32_t)(c & 31);
    const int32_t highest = (lane & segment) | (clamp & ~segment);
    const int32_t by = (int32_t)(b & 31);
    int32_t from = lane;
    switch (mode) {
    case UP:
        from = lane - by;
        break;
    case DOWN:
        from = lane + by;
        break;
    case BFLY:
        from = lane ^ by;
        break;
    case IDX:
        from = (lane & segment) | (by & ~segment);
        break;
    }
    *is_inside = mode == UP ? from >= highest : from <= highest;
    return *is_inside ? from : lane;
}

/* option: mode, the operand of a, whether there is a predicate */
static enum machine_next run_shfl(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    const struct ptx_operand *const o = &i->o[i->option[1]];
    uint32_t ready = 0;
    const enum machine_next next = machine_ready(w, i, mask, o[3].slot, &ready);
    if (next != MACHINE_NEXT)
        return next;
    const uint32_t *const b = machine_u32(w, o[1].slot);
    const uint32_t *const c = machine_u32(w, o[2].slot);
    const uint32_t *const members = machine_u32(w, o[3].slot);
    uint32_t source[PTX_LANES], inside = 0;
    memcpy(source, machine_u32(w, o[0].slot), sizeof(source)); /* d may be a */
    uint32_t result[PTX_LANES];
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        bool is_inside = false;
        const int32_t from = shuffle_source((enum shuffle)i->option[0], lane, b[lane],
                                            c[lane], &is_inside);
        const bool is_member = (members[lane] & ready) >> from & 1;
        inside |= (uint32_t)is_inside << lane;
        result[lane] = is_member ? source[from] : undefined;
    }
    if (i->option[2] != 0 && i->o[1].kind == PTX_PRED) {
        uint32_t *const p = machine_pred(w, i->o[1].slot);
        *p = (*p & ~ready) | (inside & ready);
    }
    if (i->o[0].kind == PTX_REG) {
        uint32_t *const d = machine_u32(w, i->o[0].slot);
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            d[lane] = (ready >> lane & 1) != 0 ? result[lane] : d[lane];
    }
    return machine_ready_done(w, i, mask, ready);
}

static bool is_target(const struct ptx_operand *o, enum ptx_operand_kind kind)
{
    return o->kind == kind || o->kind == PTX_SINK;
}

static ptx_run_fn bind_shfl(struct ptx_insn *i)
{
    static const char *const modes[] = {"up", "down", "bfly", "idx", NULL};
    const int32_t mode = ptx_which(i, modes);
    const int32_t first = i->n_operands == 6 ? 2 : 1;
    if (mode < 0 || !ptx_has(i, "b32") || i->n_operands != first + 4 ||
        !is_target(&i->o[0], PTX_REG) || (first == 2 && !is_target(&i->o[1], PTX_PRED)))
        return NULL;
    for (int32_t k = first; k < i->n_operands; k++) {
        if (!ptx_want(i, k, 4))
            return NULL;
    }
    i->option[0] = mode;
    i->option[1] = first;
    i->option[2] = first == 2;
    return run_shfl;
}

/* --- vote.sync.mode d, {!}a, members --- */

enum vote { ALL, ANY, UNI, BALLOT };

static bool decide(enum vote mode, uint32_t yes, uint32_t group)
{
    switch (mode) {
    case ALL:
        return yes == group;
    case ANY:
        return yes != 0;
    case UNI:
        return yes == group || yes == 0;
    case BALLOT:
        break;
    }
    return false;
}

static enum machine_next run_vote(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    const enum vote mode = (enum vote)i->option[0];
    uint32_t ready = 0, decided = 0;
    const enum machine_next next = machine_ready(w, i, mask, i->o[2].slot, &ready);
    if (next != MACHINE_NEXT)
        return next;
    const uint32_t *const members = machine_u32(w, i->o[2].slot);
    const uint32_t votes = *machine_pred(w, i->o[1].slot) ^
                           (uint32_t) - (int32_t)i->o[1].negated;
    for (uint32_t left = ready; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint32_t group = members[lane] & ready;
        if (mode == BALLOT && i->o[0].kind == PTX_REG)
            machine_u32(w, i->o[0].slot)[lane] = votes & group;
        decided |= (uint32_t)decide(mode, votes & group, group) << lane;
    }
    if (mode != BALLOT && i->o[0].kind == PTX_PRED) {
        uint32_t *const p = machine_pred(w, i->o[0].slot);
        *p = (*p & ~ready) | decided;
    }
    return machine_ready_done(w, i, mask, ready);
}

static ptx_run_fn bind_vote(struct ptx_insn *i)
{
    static const char *const modes[] = {"all", "any", "uni", "ballot", NULL};
    const int32_t mode = ptx_which(i, modes);
    const bool is_ballot = mode == (int32_t)BALLOT;
    if (mode < 0 || i->n_operands != 3 ||
        !is_target(&i->o[0], is_ballot ? PTX_REG : PTX_PRED) || !ptx_want_pred(i, 1) ||
        !ptx_want(i, 2, 4))
        return NULL;
    i->option[0] = mode;
    return run_vote;
}

/* --- match.any d, a, members and match.all d{|p}, a, members --- */

static uint64_t value_at(const struct machine_warp *w, int32_t slot, int32_t bytes,
                         int32_t lane)
{
    return bytes == 8 ? machine_u64(w, slot)[lane] : machine_u32(w, slot)[lane];
}

/* The lanes of group that hold lane's value. */
static uint32_t alike(const struct machine_warp *w, int32_t slot, int32_t bytes,
                      uint32_t group, int32_t lane)
{
    const uint64_t wanted = value_at(w, slot, bytes, lane);
    uint32_t same = 0;
    for (uint32_t left = group; left != 0; left &= left - 1) {
        const int32_t k = __builtin_ctz(left);
        same |= (uint32_t)(value_at(w, slot, bytes, k) == wanted) << k;
    }
    return same;
}

/* option: bytes of the type, the operand of a, whether it is match.all */
static enum machine_next run_match(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    const struct ptx_operand *const o = &i->o[i->option[1]];
    uint32_t ready = 0, agreed = 0, result[PTX_LANES];
    const enum machine_next next = machine_ready(w, i, mask, o[1].slot, &ready);
    if (next != MACHINE_NEXT)
        return next;
    const uint32_t *const members = machine_u32(w, o[1].slot);
    for (uint32_t left = ready; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint32_t group = members[lane] & ready;
        const uint32_t same = alike(w, o[0].slot, i->option[0], group, lane);
        agreed |= (uint32_t)(same == group) << lane;
        result[lane] = i->option[2] == 0 ? same : same == group ? group : 0;
    }
    if (i->o[0].kind == PTX_REG) {
        uint32_t *const d = machine_u32(w, i->o[0].slot); /* may be a */
        for (uint32_t left = ready; left != 0; left &= left - 1)
            d[__builtin_ctz(left)] = result[__builtin_ctz(left)];
    }
    if (i->option[1] == 2 && i->o[1].kind == PTX_PRED) {
        uint32_t *const p = machine_pred(w, i->o[1].slot);
        *p = (*p & ~ready) | agreed;
    }
    return machine_ready_done(w, i, mask, ready);
}

static ptx_run_fn bind_match(struct ptx_insn *i)
{
    const bool is_all = ptx_has(i, "all");
    const int32_t bytes = ptx_has(i, "b64") ? 8 : 4;
    const int32_t first = i->n_operands - 2;
    if (is_all == ptx_has(i, "any") || (bytes == 4 && !ptx_has(i, "b32")) ||
        first < 1 || first > (is_all ? 2 : 1) || !is_target(&i->o[0], PTX_REG) ||
        (first == 2 && !is_target(&i->o[1], PTX_PRED)) || !ptx_want(i, first, bytes) ||
        !ptx_want(i, first + 1, 4))
        return NULL;
    i->option[0] = bytes;
    i->option[1] = first;
    i->option[2] = is_all;
    return run_match;
}

/* --- redux.sync.op.type d, a, members --- */

enum redux { R_ADD, R_AND, R_OR, R_XOR, R_MIN_U, R_MAX_U, R_MIN_S, R_MAX_S };

static uint32_t combine(enum redux op, uint32_t a, uint32_t b)
{
    switch (op) {
    case R_ADD:
        return a + b;
    case R_AND:
        return a & b;
    case R_OR:
        return a | b;
    case R_XOR:
        return a ^ b;
    case R_MIN_U:
        return a < b ? a : b;
    case R_MAX_U:
        return a > b ? a : b;
    case R_MIN_S:
        return (int32_t)a < (int32_t)b ? a : b;
    case R_MAX_S:
        return (int32_t)a > (int32_t)b ? a : b;
    }
    return 0;
}

static enum machine_next run_redux(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    uint32_t ready = 0, result[PTX_LANES];
    const enum machine_next next = machine_ready(w, i, mask, i->o[2].slot, &ready);
    if (next != MACHINE_NEXT)
        return next;
    const uint32_t *const a = machine_u32(w, i->o[1].slot);
    const uint32_t *const members = machine_u32(w, i->o[2].slot);
    for (uint32_t left = ready; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        uint32_t group = members[lane] & ready;
        uint32_t sum = a[__builtin_ctz(group)];
        for (group &= group - 1; group != 0; group &= group - 1)
            sum = combine((enum redux)i->option[0], sum, a[__builtin_ctz(group)]);
        result[lane] = sum;
    }
    uint32_t *const d = machine_u32(w, i->o[0].slot); /* may be a */
    for (uint32_t left = ready; left != 0; left &= left - 1)
        d[__builtin_ctz(left)] = result[__builtin_ctz(left)];
    return machine_ready_done(w, i, mask, ready);
}

static ptx_run_fn bind_redux(struct ptx_insn *i)
{
    static const char *const bits[] = {"and", "or", "xor", NULL};
    static const char *const numbers[] = {"min", "max", NULL};
    const bool is_signed = ptx_has(i, "s32"), is_unsigned = ptx_has(i, "u32");
    const int32_t bit = ptx_which(i, bits), number = ptx_which(i, numbers);
    if (i->n_operands != 3 || i->o[0].kind != PTX_REG || !ptx_want(i, 0, 4) ||
        !ptx_want(i, 1, 4) || !ptx_want(i, 2, 4))
        return NULL;
    if (bit >= 0 && ptx_has(i, "b32"))
        i->option[0] = (int32_t)R_AND + bit;
    else if (number >= 0 && (is_signed || is_unsigned))
        i->option[0] = (int32_t)(is_signed ? R_MIN_S : R_MIN_U) + number;
    else if (ptx_has(i, "add") && (is_signed || is_unsigned))
        i->option[0] = (int32_t)R_ADD;
    else
        return NULL;
    return run_redux;
}

/* --- bar.warp.sync members --- */

static enum machine_next run_warp_sync(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    uint32_t ready = 0;
    const enum machine_next next = machine_ready(w, i, mask, i->o[0].slot, &ready);
    return next == MACHINE_NEXT ? machine_ready_done(w, i, mask, ready) : next;
}

static ptx_run_fn bind_warp_sync(struct ptx_insn *i)
{
    return i->n_operands == 1 && ptx_want(i, 0, 4) ? run_warp_sync : NULL;
}

const struct machine_op machine_ops_warp[] = {
    {"shfl.sync", bind_shfl},
    {"vote.sync", bind_vote},
    {"match.any", bind_match},
    {"match.all", bind_match},
    {"redux.sync", bind_redux},
    {"bar.warp.sync", bind_warp_sync},
    {NULL, NULL},
};
