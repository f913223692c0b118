/*
 * mbarrier objects. Their state is kept beside shared memory; the 8 bytes there hold an
 * image of it, so that an ordinary store over a live mbarrier is found at its next use.
 *
 * A phase ends when no arrival is missing and the tx-count is 0; the pending count then
 * starts again from the expected count. Source: PTX ISA, "Parallel Synchronization and
 * Communication Instructions: mbarrier".
 */
#include <string.h>

#include "emulator/async_state.h"
#include "emulator/race.h"

static void image_write(const struct machine_block *block, struct async_barrier *b)
{
    b->image = (uint64_t)0x6d62 << 48 | (b->phase & 0xfff) << 36 |
               (uint64_t)(b->pending & ASYNC_BARRIER_MAX) << 16 |
               ((uint64_t)b->tx & 0xffff);
    memcpy(block->shared + b->off, &b->image, sizeof(b->image));
}

struct async_barrier *async_barrier_known(struct machine_block *b, uint32_t off)
{
    struct async_block *const a = b->async;
    for (int32_t k = 0; k < a->n_barriers; k++)
        if (a->barriers[k].off == off)
            return &a->barriers[k];
    return NULL;
}

static bool barrier_offset(struct machine_warp *w, const struct ptx_insn *i,
                           int32_t lane, uint64_t address, uint32_t *off_out)
{
    const struct async_place place = {async_space(i), address, 8, 8, MACHINE_ATOMIC};
    return async_shared_at(w, i, lane, &place, off_out);
}

struct async_barrier *async_barrier_find(struct machine_warp *w,
                                         const struct ptx_insn *i, int32_t lane,
                                         uint64_t address)
{
    uint32_t off = 0;
    if (!barrier_offset(w, i, lane, address, &off))
        return NULL;
    struct async_barrier *const b = async_barrier_known(w->block, off);
    if (b == NULL) {
        machine_fault(w, i, lane,
                      "no mbarrier has been initialised at shared offset %u", off);
        return NULL;
    }
    if (memcmp(w->block->shared + off, &b->image, sizeof(b->image)) != 0) {
        machine_fault(w, i, lane, "the mbarrier at shared offset %u was overwritten",
                      off);
        return NULL;
    }
    return b;
}

enum machine_next async_barrier_init(struct machine_warp *w, const struct ptx_insn *i,
                                     int32_t lane, uint64_t address, uint64_t count)
{
    uint32_t off = 0;
    if (!barrier_offset(w, i, lane, address, &off))
        return MACHINE_FAULT;
    if (async_barrier_known(w->block, off) != NULL)
        return machine_fault(
            w, i, lane,
            "the mbarrier at shared offset %u is in use: mbarrier.inval "
            "comes first",
            off);
    if (count < 1 || count > ASYNC_BARRIER_MAX)
        return machine_fault(w, i, lane, "count %llu is not in 1 .. %d",
                             (unsigned long long)count, ASYNC_BARRIER_MAX);
    struct async_block *const a = w->block->async;
    a->barriers = async_grow(a->barriers, a->n_barriers, &a->cap_barriers,
                             sizeof(*a->barriers));
    struct async_barrier *const b = &a->barriers[a->n_barriers++];
    *b = (struct async_barrier){.off = off,
                                .expected = (int32_t)count,
                                .pending = (int32_t)count,
                                .insn = i,
                                .warp = w};
    image_write(w->block, b);
    return MACHINE_NEXT;
}

enum machine_next async_barrier_inval(struct machine_warp *w, const struct ptx_insn *i,
                                      int32_t lane, uint64_t address)
{
    struct async_barrier *const b = async_barrier_find(w, i, lane, address);
    if (b == NULL)
        return MACHINE_FAULT;
    struct async_block *const a = w->block->async;
    for (int32_t k = 0; k < a->n_loads; k++)
        if (a->loads[k].barrier == b->off)
            return machine_fault(
                w, i, lane,
                "a copy is on its way to the mbarrier at shared offset "
                "%u (line %d)",
                b->off, (int)a->loads[k].insn->line);
    memset(w->block->shared + b->off, 0xff, sizeof(b->image));
    *b = a->barriers[--a->n_barriers];
    return MACHINE_NEXT;
}

static void end_phase_if_due(const struct machine_block *block, struct async_barrier *b)
{
    if (b->pending == 0 && b->tx == 0) {
        b->phase++;
        b->pending = b->expected;
    }
    image_write(block, b);
}

enum machine_next async_barrier_tx(struct machine_warp *w, const struct ptx_insn *i,
                                   int32_t lane, struct async_barrier *b, int64_t bytes)
{
    const int64_t tx = b->tx + bytes;
    if (tx > ASYNC_BARRIER_MAX || tx < -ASYNC_BARRIER_MAX)
        return machine_fault(w, i, lane,
                             "tx-count %lld of the mbarrier at shared offset %u is "
                             "beyond +-%d",
                             (long long)tx, b->off, ASYNC_BARRIER_MAX);
    b->tx = tx;
    b->insn = i;
    b->warp = w;
    end_phase_if_due(w->block, b);
    return MACHINE_NEXT;
}

enum machine_next async_barrier_arrive(struct machine_warp *w, const struct ptx_insn *i,
                                       int32_t lane, struct async_barrier *b,
                                       uint64_t count, bool is_drop)
{
    if (count < 1 || count > (uint64_t)b->pending)
        return machine_fault(w, i, lane,
                             "%llu arrivals at the mbarrier at shared offset %u, which "
                             "waits for %d of %d",
                             (unsigned long long)count, b->off, (int)b->pending,
                             (int)b->expected);
    if (is_drop)
        b->expected -= (int32_t)count;
    b->pending -= (int32_t)count;
    if (w->block->race != NULL)
        race_release(w, lane, b->off);
    end_phase_if_due(w->block, b);
    return MACHINE_NEXT;
}

enum machine_next async_barrier_expect(struct machine_warp *w, const struct ptx_insn *i,
                                       int32_t lane, struct async_barrier *b)
{
    if (b->pending == ASYNC_BARRIER_MAX)
        return machine_fault(w, i, lane, "the mbarrier at shared offset %u is full",
                             b->off);
    b->pending++;
    image_write(w->block, b);
    return MACHINE_NEXT;
}

bool async_barrier_passed(struct machine_warp *w, int32_t lane, struct async_barrier *b,
                          uint64_t phase)
{
    if (b->phase <= phase && !async_loads_land(w->block, b->off))
        return false;
    if (b->phase <= phase)
        return false;
    if (w->block->race != NULL)
        race_acquire(w, lane, b->off);
    return true;
}
