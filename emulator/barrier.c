/*
 * bar and barrier: a block's sixteen named barriers, and the one of a cluster of one
 * block.
 *
 * Per barrier and warp a mask tells which lanes have arrived in the phase under way,
 * and which belong to a finished phase but have not been run since: an arrival answers
 * MACHINE_WAIT and is tried again. Arrivals count by whole warps, as the ISA says: a
 * warp counts when all its lanes that have not exited have arrived. Without a thread
 * count the barrier is of all warps that have not exited.
 */
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "emulator/race.h"
#include "emulator/scheduler.h"

enum kind { SYNC, ARRIVE, RED };
enum reduction { POPC, AND, OR };
enum { CLUSTER = MACHINE_MAX_BARRIERS };

struct barrier {
    uint32_t arrived[MACHINE_MAX_WARPS]; /* lanes, in this phase */
    uint32_t waiting[MACHINE_MAX_WARPS]; /* those of them that wait, or will */
    uint32_t passed[MACHINE_MAX_WARPS];  /* lanes let go by a finished phase */
    uint32_t result[MACHINE_MAX_WARPS];  /* and what it reduced to for them */
    bool is_open; /* someone has arrived: the fields below count */
    bool is_reduction;
    bool is_of_all;    /* no thread count */
    int32_t n_threads; /* expected */
    int32_t n_true, n_voted;
};

struct barrier_state {
    struct barrier b[MACHINE_MAX_BARRIERS + 1];
};

struct barrier_state *barrier_create(void)
{
    struct barrier_state *const s = calloc(1, sizeof(*s));
    CHECK(s != NULL, "no memory for barriers");
    return s;
}

void barrier_reset(struct barrier_state *s) { memset(s, 0, sizeof(*s)); }

/* Whether the phase is complete: enough warps have all their lanes here. */
static bool is_complete(const struct machine_block *blk, const struct barrier *b)
{
    int32_t n = 0;
    for (int32_t k = 0; k < blk->n_warps; k++) {
        const uint32_t alive = blk->warps[k].alive;
        const bool is_here = b->arrived[k] != 0 && (alive & ~b->arrived[k]) == 0;
        if (is_here || (b->is_of_all && alive == 0))
            n += PTX_LANES;
        else if (b->is_of_all)
            return false;
    }
    return b->is_of_all || n >= b->n_threads;
}

static uint32_t reduced(const struct barrier *b, enum reduction how)
{
    switch (how) {
    case POPC:
        return (uint32_t)b->n_true;
    case AND:
        return b->n_true == b->n_voted;
    case OR:
        return b->n_true > 0;
    }
    return 0;
}

static void finish(struct machine_block *blk, struct barrier *b, enum reduction how)
{
    uint32_t warps = 0;
    for (int32_t k = 0; k < blk->n_warps; k++) {
        if (b->arrived[k] != 0)
            warps |= (uint32_t)1 << k;
        if (b->waiting[k] != 0)
            b->result[k] = reduced(b, how);
        b->passed[k] |= b->waiting[k];
        b->arrived[k] = b->waiting[k] = 0;
    }
    b->is_open = false;
    if (blk->race != NULL)
        race_barrier(blk, warps);
}

/* What an instruction asks of a barrier. */
struct request {
    enum kind kind;
    int32_t id, n_threads; /* 0: all */
    enum reduction how;
};

static enum machine_next open_phase(struct machine_warp *w, const struct ptx_insn *i,
                                    struct barrier *b, struct request r)
{
    const int32_t all = w->block->n_warps * PTX_LANES;
    const int32_t n = r.n_threads == 0 ? all : r.n_threads;
    if (!b->is_open) {
        b->is_open = true;
        b->is_reduction = r.kind == RED;
        b->is_of_all = r.n_threads == 0;
        b->n_threads = n;
        b->n_true = b->n_voted = 0;
        return MACHINE_NEXT;
    }
    if (b->n_threads != n)
        return machine_fault(w, i, -1,
                             "barrier %d is waited for by %d threads, and here by %d",
                             r.id, b->n_threads, n);
    if (b->is_reduction != (r.kind == RED))
        return machine_fault(w, i, -1, "barrier %d is used by red and other arrivals",
                             r.id);
    b->is_of_all |= r.n_threads == 0;
    return MACHINE_NEXT;
}

/* The lanes that have passed leave, with their result; the others of mask stay. */
static enum machine_next leave(struct machine_warp *w, const struct ptx_insn *i,
                               struct barrier *b, uint32_t mask)
{
    const uint32_t done = mask & b->passed[w->id];
    b->passed[w->id] &= ~done;
    if (ptx_has(i, "red")) {
        const uint32_t result = b->result[w->id];
        if (i->o[0].kind == PTX_PRED) {
            uint32_t *const p = machine_pred(w, i->o[0].slot);
            *p = result != 0 ? *p | done : *p & ~done;
        } else {
            for (uint32_t left = done; left != 0; left &= left - 1)
                machine_u32(w, i->o[0].slot)[__builtin_ctz(left)] = result;
        }
    }
    return machine_ready_done(w, i, mask, done);
}

static uint32_t voted(const struct machine_warp *w, const struct ptx_insn *i,
                      enum kind kind)
{
    if (kind != RED)
        return 0;
    const struct ptx_operand *const o = &i->o[i->n_operands - 1];
    return *machine_pred(w, o->slot) ^ (uint32_t) - (int32_t)o->negated;
}

static enum machine_next arrive(struct machine_warp *w, const struct ptx_insn *i,
                                uint32_t mask, struct request r)
{
    struct barrier *const b = &w->block->barriers->b[r.id];
    if (r.kind != ARRIVE && (mask & b->passed[w->id]) != 0)
        return leave(w, i, b, mask);
    const uint32_t seen = r.id == CLUSTER ? b->passed[w->id] : 0;
    const uint32_t tried = r.kind == ARRIVE ? 0 : b->waiting[w->id];
    const uint32_t again = mask & (seen | (b->arrived[w->id] & ~tried));
    const uint32_t fresh = mask & ~b->arrived[w->id];
    if (again != 0)
        return machine_fault(w, i, __builtin_ctz(again),
                             "arrives at barrier %d again before its phase is complete",
                             r.id);
    if (fresh != 0) {
        const enum machine_next next = open_phase(w, i, b, r);
        if (next != MACHINE_NEXT)
            return next;
    }
    b->arrived[w->id] |= fresh;
    b->n_voted += __builtin_popcount(fresh);
    b->n_true += __builtin_popcount(fresh & voted(w, i, r.kind));
    if (r.kind != ARRIVE || r.id == CLUSTER)
        b->waiting[w->id] |= mask;
    if (is_complete(w->block, b))
        finish(w->block, b, r.how);
    if (r.kind == ARRIVE)
        return MACHINE_NEXT;
    return (b->passed[w->id] & mask) != 0 ? leave(w, i, b, mask) : MACHINE_WAIT;
}

/* The same value in all lanes of mask, or a fault. */
static bool uniform(struct machine_warp *w, const struct ptx_insn *i, int32_t operand,
                    uint32_t mask, int32_t *out)
{
    const uint32_t *const v = machine_u32(w, i->o[operand].slot);
    *out = (int32_t)v[__builtin_ctz(mask)];
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        if ((int32_t)v[lane] == *out)
            continue;
        (void)machine_fault(w, i, lane, "lanes of a warp name different barriers");
        return false;
    }
    return true;
}

/* option: kind, operand of the id, operand of the count or -1, reduction | aligned << 8
 */
static enum machine_next run_barrier(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask)
{
    struct request r = {.kind = (enum kind)i->option[0],
                        .how = (enum reduction)(i->option[3] & 0xff)};
    /* .aligned: all lanes of the warp come together */
    if (i->option[3] >> 8 != 0 && mask != w->alive)
        return MACHINE_WAIT;
    if (!uniform(w, i, i->option[1], mask, &r.id))
        return MACHINE_FAULT;
    if (r.id < 0 || r.id >= MACHINE_MAX_BARRIERS)
        return machine_fault(w, i, -1, "barrier %d, there are %d", r.id,
                             MACHINE_MAX_BARRIERS);
    if (i->option[2] >= 0) {
        if (!uniform(w, i, i->option[2], mask, &r.n_threads))
            return MACHINE_FAULT;
        if (r.n_threads <= 0 || r.n_threads % PTX_LANES != 0 ||
            r.n_threads > w->block->n_warps * PTX_LANES)
            return machine_fault(w, i, -1,
                                 "barrier %d of %d threads in a block of %d warps: "
                                 "expected a positive multiple of 32 that it has",
                                 r.id, r.n_threads, w->block->n_warps);
    }
    return arrive(w, i, mask, r);
}

ptx_run_fn barrier_bind(struct ptx_insn *i)
{
    static const char *const kinds[] = {"sync", "arrive", "red", NULL};
    static const char *const reductions[] = {"popc", "and", "or", NULL};
    const int32_t kind = ptx_which(i, kinds);
    const int32_t how = ptx_which(i, reductions);
    const int32_t first = kind == (int32_t)RED ? 1 : 0;
    const int32_t n_ids = i->n_operands - 2 * first;
    const bool is_aligned = strcmp(i->part[0], "bar") == 0 || ptx_has(i, "aligned");
    if (kind < 0 || (kind == (int32_t)RED) != (how >= 0) || n_ids < 1 || n_ids > 2 ||
        (kind == (int32_t)ARRIVE && n_ids != 2))
        return NULL;
    for (int32_t k = 0; k < n_ids; k++) {
        if (!ptx_want(i, first + k, 4))
            return NULL;
    }
    if (kind == (int32_t)RED &&
        (!ptx_want_pred(i, i->n_operands - 1) ||
         i->o[0].kind != (how == (int32_t)POPC ? PTX_REG : PTX_PRED)))
        return NULL;
    i->option[0] = kind;
    i->option[1] = first;
    i->option[2] = n_ids == 2 ? first + 1 : -1;
    i->option[3] = (how < 0 ? 0 : how) | (int32_t)is_aligned << 8;
    return run_barrier;
}

/* option: whether it waits, whether it is aligned */
static enum machine_next run_cluster(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask)
{
    struct barrier *const b = &w->block->barriers->b[CLUSTER];
    const struct request r = {.kind = ARRIVE, .id = CLUSTER};
    if (i->option[1] != 0 && mask != w->alive)
        return MACHINE_WAIT;
    if (i->option[0] == 0)
        return arrive(w, i, mask, r);
    /* what has arrived waits from now on; others have nothing to wait for */
    const uint32_t known = b->arrived[w->id] | b->passed[w->id];
    if ((mask & ~known) != 0)
        return machine_fault(w, i, __builtin_ctz(mask & ~known),
                             "waits for a barrier at which it has not arrived");
    if (b->is_open && is_complete(w->block, b))
        finish(w->block, b, r.how);
    return (b->passed[w->id] & mask) != 0 ? leave(w, i, b, mask) : MACHINE_WAIT;
}

ptx_run_fn barrier_cluster_bind(struct ptx_insn *i)
{
    const bool is_wait = ptx_has(i, "wait");
    if (i->n_operands != 0 || is_wait == ptx_has(i, "arrive"))
        return NULL;
    i->option[0] = is_wait;
    i->option[1] = ptx_has(i, "aligned");
    return run_cluster;
}
