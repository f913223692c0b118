/*
 * Finds accesses of one block's threads to shared memory that nothing orders: two of
 * different threads, one a write, on one byte, without a barrier, a warp-level sync or
 * an mbarrier phase between them. On with EMULATOR_RACES=1. What runs first in the
 * emulator does not matter: a race is found although this run's order made it harmless.
 *
 * Happens-before by vector clocks: a barrier joins the clocks of its warps; an
 * mbarrier, or a word written by st.release, takes a lane's clock at arrive and gives
 * it to a lane whose wait succeeds; within a warp, lanes are ordered by warp-level
 * synchronisation (bar.warp.sync, shfl.sync and the like, for the lanes of their mask)
 * and by nothing else, also where they run in step. Bulk copies write as threads of
 * their own, which begin with what their issuer knows and are known to who has waited
 * for their mbarrier.
 *
 * Not a race: atomics and accesses that are volatile, relaxed or stronger among each
 * other; lanes that store equal values in one instruction.
 *
 * Not found: what a warp that only arrives at a barrier does before the others have
 * come; copies that end on one mbarrier in different phases count as one thread; wgmma
 * reads as the first lane of its warp; proxy fences are not asked for. Global memory is
 * not checked.
 */
#ifndef EMULATOR_RACE_H
#define EMULATOR_RACE_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/machine.h"

struct race_block;

/* Sets b->race; ERR_MEMORY. */
WARN_UNUSED int race_block_start(struct machine_block *b);
void race_block_end(struct machine_block *b);
/* An access of a lane to shared bytes [off, off + bytes), which exist. false after a
 * fault, which names the other access. Lane -1: the asynchronous proxy reads for the
 * warp; its writes have been checked by race_async_write. */
bool race_shared(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                 uint32_t off, size_t bytes, enum machine_access access);
/* A bulk copy is issued by a lane and will write these bytes, and end on the mbarrier
 * at shared offset `barrier`. */
bool race_async_write(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                      uint32_t off, size_t bytes, uint32_t barrier);
/* All warps in `warps` (bit = id) passed one barrier together. */
void race_barrier(struct machine_block *b, uint32_t warps);
/* The lanes of a warp synchronised among themselves. */
void race_warp_sync(struct machine_warp *w, uint32_t lanes);
/* The mbarrier or flag at shared offset off: a lane arrives, or its wait succeeds. */
void race_release(struct machine_warp *w, int32_t lane, uint32_t off);
void race_acquire(struct machine_warp *w, int32_t lane, uint32_t off);

#endif
