/*
 * The instructions of cp.async, of mbarriers, and the proxies' fences. What they start
 * is in async.c; bulk and tensor copies are in async_bulk.c.
 *
 * An mbarrier's opaque state: phase << 20 | arrivals still missing before the one that
 * returned it.
 */
#include <string.h>

#include "emulator/async_state.h"

/* Lanes of a mask, ascending. */
#define FOR_LANES(lane, mask)                                                          \
    for (uint32_t left_ = (mask), lane = 0;                                            \
         left_ != 0 && (lane = (uint32_t)__builtin_ctz(left_), true);                  \
         left_ &= left_ - 1)

/* --- cp.async --- */

enum { COPY_WHOLE, COPY_SRC_SIZE, COPY_IGNORE_SRC }; /* option[1] */

static enum machine_next run_copy(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    struct async_copy c = {.insn = i, .mask = mask};
    const uint32_t size = (uint32_t)i->option[0];
    FOR_LANES(lane, mask)
    {
        c.dst[lane] = async_address(w, &i->o[0], (int32_t)lane);
        c.src[lane] = async_address(w, &i->o[1], (int32_t)lane);
        uint64_t n = size;
        if (i->option[1] == COPY_SRC_SIZE)
            n = async_value(w, &i->o[3], (int32_t)lane);
        else if (i->option[1] == COPY_IGNORE_SRC)
            n = async_predicate(w, &i->o[3], (int32_t)lane) ? 0 : size;
        if (n > size)
            return machine_fault(w, i, (int32_t)lane,
                                 "src-size %llu is more than cp-size %u",
                                 (unsigned long long)n, size);
        c.n_src[lane] = (uint32_t)n;
    }
    return async_copy_issue(w, &c);
}

static enum machine_next run_copy_commit(struct machine_warp *w,
                                         const struct ptx_insn *i, uint32_t mask)
{
    (void)i;
    async_copy_commit(w, mask);
    return MACHINE_NEXT;
}

static enum machine_next run_copy_wait(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    return async_copy_wait(w, mask, (uint64_t)i->o[0].bits);
}

static enum machine_next run_copy_wait_all(struct machine_warp *w,
                                           const struct ptx_insn *i, uint32_t mask)
{
    (void)i;
    async_copy_commit(w, mask);
    return async_copy_wait(w, mask, 0);
}

/* The copies of each lane up to now arrive on an mbarrier when they have landed. */
static enum machine_next run_copy_arrive(struct machine_warp *w,
                                         const struct ptx_insn *i, uint32_t mask)
{
    FOR_LANES(lane, mask)
    {
        struct async_barrier *const b = async_barrier_find(
            w, i, (int32_t)lane, async_address(w, &i->o[0], (int32_t)lane));
        if (b == NULL)
            return MACHINE_FAULT;
        const bool is_counted = i->option[0] != 0;
        if (is_counted && async_barrier_expect(w, i, (int32_t)lane, b) != MACHINE_NEXT)
            return MACHINE_FAULT;
        const struct async_load l = {.insn = i,
                                     .warp = w,
                                     .lane = (int32_t)lane,
                                     .barrier = b->off,
                                     .is_arrival = true,
                                     .n_copies = w->async->next_copy};
        if (async_load_issue(w, &l) != MACHINE_NEXT)
            return MACHINE_FAULT;
    }
    return MACHINE_NEXT;
}

static ptx_run_fn bind_copy(struct ptx_insn *i)
{
    const bool is_cg = ptx_has(i, "cg");
    const int32_t n = i->n_operands - (ptx_has(i, "L2::cache_hint") ? 1 : 0);
    if ((!is_cg && !ptx_has(i, "ca")) || n < 3 || n > 4 || i->o[2].kind != PTX_IMM)
        return NULL;
    const int64_t size = i->o[2].bits;
    if (size != 16 && (is_cg || (size != 4 && size != 8)))
        return NULL;
    i->option[0] = (int32_t)size;
    i->option[1] = n == 3                     ? COPY_WHOLE
                   : i->o[3].kind == PTX_PRED ? COPY_IGNORE_SRC
                                              : COPY_SRC_SIZE;
    return run_copy;
}

static ptx_run_fn bind_cp_async(struct ptx_insn *i)
{
    async_bind_space(i);
    if (ptx_has(i, "commit_group"))
        return i->n_operands == 0 ? run_copy_commit : NULL;
    if (ptx_has(i, "wait_all"))
        return i->n_operands == 0 ? run_copy_wait_all : NULL;
    if (ptx_has(i, "wait_group"))
        return i->n_operands == 1 && i->o[0].kind == PTX_IMM ? run_copy_wait : NULL;
    if (ptx_has(i, "mbarrier")) {
        i->option[0] = ptx_has(i, "noinc") ? 0 : 1;
        return i->n_operands == 1 && ptx_has(i, "arrive") ? run_copy_arrive : NULL;
    }
    return bind_copy(i);
}

/* --- mbarrier --- */

static enum machine_next run_init(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    FOR_LANES(lane, mask)
    {
        const int32_t l = (int32_t)lane;
        if (async_barrier_init(w, i, l, async_address(w, &i->o[0], l),
                               async_value(w, &i->o[1], l)) != MACHINE_NEXT)
            return MACHINE_FAULT;
    }
    return MACHINE_NEXT;
}

static enum machine_next run_inval(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    FOR_LANES(lane, mask)
    {
        const int32_t l = (int32_t)lane;
        if (async_barrier_inval(w, i, l, async_address(w, &i->o[0], l)) != MACHINE_NEXT)
            return MACHINE_FAULT;
    }
    return MACHINE_NEXT;
}

/* expect_tx (option[0] 1) and complete_tx (-1) */
static enum machine_next run_tx(struct machine_warp *w, const struct ptx_insn *i,
                                uint32_t mask)
{
    FOR_LANES(lane, mask)
    {
        const int32_t l = (int32_t)lane;
        struct async_barrier *const b = async_barrier_find(
            w, i, l, async_address(w, &i->o[0], l));
        const int64_t bytes = (int64_t)(uint32_t)async_value(w, &i->o[1], l);
        if (b == NULL ||
            async_barrier_tx(w, i, l, b, i->option[0] * bytes) != MACHINE_NEXT)
            return MACHINE_FAULT;
    }
    return MACHINE_NEXT;
}

enum { ARRIVE_EXPECT = 1, ARRIVE_DROP = 2, ARRIVE_NO_COMPLETE = 4 }; /* option[0] */

static enum machine_next arrive_lane(struct machine_warp *w, const struct ptx_insn *i,
                                     int32_t lane)
{
    struct async_barrier *const b = async_barrier_find(
        w, i, lane, async_address(w, &i->o[1], lane));
    if (b == NULL)
        return MACHINE_FAULT;
    const bool is_expect = (i->option[0] & ARRIVE_EXPECT) != 0;
    const uint64_t operand = i->n_operands > 2
                                 ? (uint32_t)async_value(w, &i->o[2], lane)
                                 : 1;
    const uint64_t count = is_expect ? 1 : operand;
    if (i->o[0].kind == PTX_REG)
        machine_u64(w, i->o[0].slot)[lane] = b->phase << 20 | (uint64_t)b->pending;
    if (is_expect && async_barrier_tx(w, i, lane, b, (int64_t)operand) != MACHINE_NEXT)
        return MACHINE_FAULT;
    if ((i->option[0] & ARRIVE_NO_COMPLETE) != 0 && count >= (uint64_t)b->pending)
        return machine_fault(w, i, lane, "this arrival would end the phase");
    return async_barrier_arrive(w, i, lane, b, count,
                                (i->option[0] & ARRIVE_DROP) != 0);
}

static enum machine_next run_arrive(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    FOR_LANES(lane, mask)
    if (arrive_lane(w, i, (int32_t)lane) != MACHINE_NEXT)
        return MACHINE_FAULT;
    return MACHINE_NEXT;
}

enum { WAIT_PARITY = 1, WAIT_TRY = 2 }; /* option[0] */

/* Has the phase that the lane names ended? The ISA lets it name the current phase or
 * the one before. */
static enum machine_next wait_lane(struct machine_warp *w, const struct ptx_insn *i,
                                   int32_t lane, bool *passed_out)
{
    struct async_barrier *const b = async_barrier_find(
        w, i, lane, async_address(w, &i->o[1], lane));
    if (b == NULL)
        return MACHINE_FAULT;
    const uint64_t v = async_value(w, &i->o[2], lane);
    uint64_t phase = v >> 20;
    if ((i->option[0] & WAIT_PARITY) != 0) {
        if (v > 1)
            return machine_fault(w, i, lane, "parity %llu", (unsigned long long)v);
        phase = (b->phase & 1) == v ? b->phase : b->phase - 1;
    } else if (phase != b->phase && phase + 1 != b->phase) {
        return machine_fault(w, i, lane,
                             "a state of phase %llu; the mbarrier is in phase %llu",
                             (unsigned long long)phase, (unsigned long long)b->phase);
    }
    /* phase - 1 of the first phase wraps: it has always passed */
    *passed_out = phase == UINT64_MAX || async_barrier_passed(w, lane, b, phase);
    return w->block->has_fault ? MACHINE_FAULT : MACHINE_NEXT;
}

/* try_wait sleeps until a lane passes: its time limit is the scheduler's. */
static enum machine_next run_wait(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    uint32_t passed = 0;
    FOR_LANES(lane, mask)
    {
        bool has_passed = false;
        if (wait_lane(w, i, (int32_t)lane, &has_passed) != MACHINE_NEXT)
            return MACHINE_FAULT;
        passed |= (has_passed ? 1u : 0u) << lane;
    }
    if (passed == 0 && (i->option[0] & WAIT_TRY) != 0)
        return MACHINE_WAIT;
    uint32_t *const p = machine_pred(w, i->o[0].slot);
    *p = (*p & ~mask) | passed;
    return MACHINE_NEXT;
}

static enum machine_next run_pending(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask)
{
    FOR_LANES(lane, mask)
    machine_u32(w, i->o[0].slot)[lane] =
        (uint32_t)async_value(w, &i->o[1], (int32_t)lane) & ASYNC_BARRIER_MAX;
    return MACHINE_NEXT;
}

static bool is_count(const struct ptx_operand *o)
{
    return o->kind == PTX_REG || o->kind == PTX_IMM;
}

static ptx_run_fn bind_init(struct ptx_insn *i)
{
    async_bind_space(i);
    return i->n_operands == 2 && i->o[0].kind == PTX_ADDRESS && is_count(&i->o[1])
               ? run_init
               : NULL;
}

static ptx_run_fn bind_inval(struct ptx_insn *i)
{
    async_bind_space(i);
    return i->n_operands == 1 && i->o[0].kind == PTX_ADDRESS ? run_inval : NULL;
}

static ptx_run_fn bind_tx(struct ptx_insn *i)
{
    async_bind_space(i);
    i->option[0] = ptx_has(i, "expect_tx") ? 1 : -1;
    return i->n_operands == 2 && i->o[0].kind == PTX_ADDRESS && is_count(&i->o[1])
               ? run_tx
               : NULL;
}

static ptx_run_fn bind_arrive(struct ptx_insn *i)
{
    async_bind_space(i);
    const bool is_expect = ptx_has(i, "expect_tx");
    i->option[0] = (is_expect ? ARRIVE_EXPECT : 0) |
                   (ptx_has(i, "arrive_drop") ? ARRIVE_DROP : 0) |
                   (ptx_has(i, "noComplete") ? ARRIVE_NO_COMPLETE : 0);
    const bool has_result = i->n_operands > 0 &&
                            (i->o[0].kind == PTX_SINK ||
                             (i->o[0].kind == PTX_REG && i->o[0].bytes == 8));
    if (!has_result || i->n_operands < (is_expect ? 3 : 2) || i->n_operands > 3 ||
        i->o[1].kind != PTX_ADDRESS || (i->n_operands == 3 && !is_count(&i->o[2])))
        return NULL;
    return run_arrive;
}

static ptx_run_fn bind_wait(struct ptx_insn *i)
{
    async_bind_space(i);
    i->option[0] = (ptx_has(i, "parity") ? WAIT_PARITY : 0) |
                   (ptx_has(i, "try_wait") ? WAIT_TRY : 0);
    const int32_t most = ptx_has(i, "try_wait") ? 4 : 3;
    return i->n_operands >= 3 && i->n_operands <= most && i->o[0].kind == PTX_PRED &&
                   i->o[1].kind == PTX_ADDRESS && is_count(&i->o[2])
               ? run_wait
               : NULL;
}

static ptx_run_fn bind_pending(struct ptx_insn *i)
{
    return i->n_operands == 2 && i->o[0].kind == PTX_REG && i->o[0].bytes == 4 &&
                   i->o[1].kind == PTX_REG
               ? run_pending
               : NULL;
}

/* --- fences between proxies, hints --- */

/* Whatever these order has happened already, or waits for its own completion. */
static ptx_run_fn bind_fence(struct ptx_insn *i)
{
    (void)i;
    return machine_nothing;
}

/* A hint: kernels may give it for maps that they then do not use, so the 128 bytes must
 * exist but not be a map. */
static enum machine_next run_prefetch_map(struct machine_warp *w,
                                          const struct ptx_insn *i, uint32_t mask)
{
    FOR_LANES(lane, mask)
    {
        const uint64_t at = async_address(w, &i->o[0], (int32_t)lane);
        if (machine_at(w, i, (int32_t)lane, MACHINE_GENERIC, at,
                       sizeof(struct async_tensor_map), 64, MACHINE_READ) == NULL)
            return MACHINE_FAULT;
    }
    return MACHINE_NEXT;
}

static ptx_run_fn bind_prefetch_map(struct ptx_insn *i)
{
    return i->n_operands == 1 && i->o[0].kind == PTX_ADDRESS ? run_prefetch_map : NULL;
}

const struct machine_op machine_ops_async[] = {
    {"cp.async", bind_cp_async},
    {"cp.async.bulk", async_bulk_bind},
    {"cp.async.bulk.commit_group", async_bulk_group_bind},
    {"cp.async.bulk.wait_group", async_bulk_group_bind},
    {"cp.async.bulk.prefetch", async_bulk_prefetch_bind},
    {"cp.async.bulk.tensor", async_bulk_tensor_bind},
    {"cp.reduce.async.bulk", async_bulk_reduce_bind},
    {"mbarrier.init", bind_init},
    {"mbarrier.inval", bind_inval},
    {"mbarrier.expect_tx", bind_tx},
    {"mbarrier.complete_tx", bind_tx},
    {"mbarrier.arrive", bind_arrive},
    {"mbarrier.arrive_drop", bind_arrive},
    {"mbarrier.test_wait", bind_wait},
    {"mbarrier.try_wait", bind_wait},
    {"mbarrier.pending_count", bind_pending},
    {"fence.proxy", bind_fence},
    {"fence.mbarrier_init", bind_fence},
    {"prefetch.tensormap", bind_prefetch_map},
    {NULL, NULL},
};
