/*
 * Member masks: which lanes of a .sync instruction may run.
 */
#include "emulator/race.h"
#include "emulator/scheduler.h"

/* One group: the lanes of `mask` that gave `members`. Whether all of it has come. */
static enum machine_next check_group(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask, uint32_t group, uint32_t members)
{
    const int32_t lane = __builtin_ctz(group);
    const uint32_t outside = group & ~members;
    const uint32_t gone = members & w->exist & ~w->alive;
    const uint32_t differ = members & mask & ~group;
    if (outside != 0)
        return machine_fault(w, i, __builtin_ctz(outside),
                             "is not in its own member mask 0x%08x", members);
    if (gone != 0)
        return machine_fault(w, i, lane,
                             "the member mask 0x%08x names lanes 0x%08x, which have "
                             "exited",
                             members, gone);
    if (differ != 0)
        return machine_fault(
            w, i, lane,
            "the member mask 0x%08x names lanes 0x%08x, which are here "
            "with another mask",
            members, differ);
    return (members & w->alive & ~group) != 0 ? MACHINE_WAIT : MACHINE_NEXT;
}

enum machine_next machine_ready(struct machine_warp *w, const struct ptx_insn *i,
                                uint32_t mask, int32_t member_slot, uint32_t *ready)
{
    const uint32_t *const members = machine_u32(w, member_slot);
    uint32_t done = 0;
    for (uint32_t left = mask; left != 0;) {
        const uint32_t wanted = members[__builtin_ctz(left)];
        uint32_t group = 0;
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            group |= (uint32_t)(members[lane] == wanted) << lane;
        group &= mask;
        left &= ~group;
        const enum machine_next next = check_group(w, i, mask, group, wanted);
        if (next == MACHINE_FAULT)
            return next;
        if (next != MACHINE_NEXT)
            continue;
        done |= group;
        if (w->block->race != NULL)
            race_warp_sync(w, group);
    }
    *ready = done;
    return done != 0 ? MACHINE_NEXT : MACHINE_WAIT;
}

enum machine_next machine_ready_done(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask, uint32_t ready)
{
    if (ready == mask)
        return MACHINE_NEXT;
    return machine_jump(w, i, mask & ~ready, machine_pc(w, i));
}
