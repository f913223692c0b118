/*
 * What the scheduler (machine_warp.c), the launch (machine.c) and the instructions that
 * move lanes about (control.c, barrier.c, ops_warp.c) share. Other instructions need
 * machine.h alone.
 */
#ifndef EMULATOR_SCHEDULER_H
#define EMULATOR_SCHEDULER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "emulator/machine.h"

enum { MACHINE_TEXT = 4096 };

/* A launch under way, shared by its blocks. */
struct machine_state {
    const struct machine_launch *launch;
    pthread_mutex_t lock;   /* of text */
    atomic_bool is_stopped; /* after a fault */
    char text[MACHINE_TEXT];
};

/* --- machine_warp.c --- */

/* Takes turns until all warps of the block have exited, or a fault. */
void machine_run_warps(struct machine_block *b);

/* Of the lanes at i, `lanes` go to instruction `pc` and the others to the next one.
 * Returns MACHINE_JUMP. With i's own pc, the lanes stay and will try again. */
enum machine_next machine_jump(struct machine_warp *w, const struct ptx_insn *i,
                               uint32_t lanes, int32_t pc);

/* The lanes end; the others at i go on. Returns MACHINE_JUMP. */
enum machine_next machine_exit(struct machine_warp *w, const struct ptx_insn *i,
                               uint32_t lanes);

/* The lanes at the instruction being run, those whose guard fails among them. */
static inline uint32_t machine_active(const struct machine_warp *w)
{
    return w->split[w->current].mask;
}

static inline int32_t machine_pc(const struct machine_warp *w, const struct ptx_insn *i)
{
    return (int32_t)(i - w->block->launch->kernel->insns);
}

/* For instructions that are .aligned: MACHINE_NEXT when all lanes of the warp that have
 * not exited are at i, MACHINE_WAIT before. */
static inline enum machine_next machine_aligned(const struct machine_warp *w,
                                                uint32_t mask)
{
    return mask == w->alive ? MACHINE_NEXT : MACHINE_WAIT;
}

/* For instructions with a member mask (a 32-bit operand's slot): which lanes of mask
 * may run now? MACHINE_NEXT and *ready (never 0), MACHINE_WAIT, or a fault where a lane
 * is not a member of its own mask, the mask names an exited lane, or lanes that meet at
 * i give different masks that overlap. When *ready is not all of mask the executor does
 * its work for *ready and ends with machine_jump(w, i, mask & ~*ready, its own pc);
 * machine_ready_done does this. */
enum machine_next machine_ready(struct machine_warp *w, const struct ptx_insn *i,
                                uint32_t mask, int32_t member_slot, uint32_t *ready);
enum machine_next machine_ready_done(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask, uint32_t ready);

/* --- barrier.c --- */
struct barrier_state *barrier_create(void); /* of one block */
void barrier_reset(struct barrier_state *s);
ptx_run_fn barrier_bind(struct ptx_insn *i);         /* bar and barrier, .cta */
ptx_run_fn barrier_cluster_bind(struct ptx_insn *i); /* barrier.cluster of one block */

/* --- ops_atomic.c --- */
ptx_run_fn atomic_bind_atom(struct ptx_insn *i);
ptx_run_fn atomic_bind_red(struct ptx_insn *i);

#endif
