/*
 * What executors of moves and comparisons share: writes of the lanes of a mask, and
 * predicates. A source may be the destination itself, never a part of it.
 */
#ifndef EMULATOR_MOVE_H
#define EMULATOR_MOVE_H

#include <stdint.h>

#include "emulator/machine.h"

static inline void move_put_u32(uint32_t *d, const uint32_t *v, uint32_t mask)
{
    if (mask == UINT32_MAX) {
#pragma GCC ivdep
        for (int32_t l = 0; l < PTX_LANES; l++)
            d[l] = v[l];
        return;
    }
#pragma GCC ivdep
    for (int32_t l = 0; l < PTX_LANES; l++)
        d[l] = mask >> l & 1 ? v[l] : d[l];
}

static inline void move_put_u64(uint64_t *d, const uint64_t *v, uint32_t mask)
{
    if (mask == UINT32_MAX) {
#pragma GCC ivdep
        for (int32_t l = 0; l < PTX_LANES; l++)
            d[l] = v[l];
        return;
    }
#pragma GCC ivdep
    for (int32_t l = 0; l < PTX_LANES; l++)
        d[l] = mask >> l & 1 ? v[l] : d[l];
}

/* Bit l: the operand in lane l. */
static inline uint32_t move_pred(const struct machine_warp *w,
                                 const struct ptx_operand *o)
{
    return *machine_pred(w, o->slot) ^ (o->negated ? UINT32_MAX : 0);
}

/* Nothing where the destination is a sink. */
static inline void move_put_pred(const struct machine_warp *w,
                                 const struct ptx_operand *d, uint32_t value,
                                 uint32_t mask)
{
    if (d->kind == PTX_SINK)
        return;
    uint32_t *p = machine_pred(w, d->slot);
    *p = (*p & ~mask) | (value & mask);
}

/* emulator/ops_compare.c */
ptx_run_fn move_bind_setp(struct ptx_insn *i);
ptx_run_fn move_bind_set(struct ptx_insn *i);

#endif
