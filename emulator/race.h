/*
 * Finds accesses of one block's threads to shared memory that nothing orders: two of
 * different threads, one a write, on one byte, without a barrier, a warp-level sync, an
 * mbarrier phase or an asynchronous wait between them. On with EMULATOR_RACES=1.
 *
 * Happens-before by vector clocks of warps: a barrier joins the clocks of its warps, an
 * mbarrier releases at arrive and acquires at a successful wait; within a warp, lanes are
 * ordered by warp-level synchronisation (bar.warp.sync, shfl.sync and the like, for the
 * lanes of their mask). Asynchronous copies write as threads of their own, released by
 * the mbarrier or group that completes them. Global memory is checked between blocks of
 * a launch only for writes against writes and reads of different blocks, atomics apart.
 */
#ifndef EMULATOR_RACE_H
#define EMULATOR_RACE_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/machine.h"

struct race_block;

WARN_UNUSED int race_block_start(struct machine_block *b);
void race_block_end(struct machine_block *b);
/* An access of a lane (-1: the asynchronous proxy, as `agent` returned by
 * race_async_begin) to shared bytes [off, off + bytes). false after a fault. */
bool race_shared(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                 uint32_t off, size_t bytes, enum machine_access access);
/* All warps in `warps` (bit = id) passed one barrier together. */
void race_barrier(struct machine_block *b, uint32_t warps);
/* The lanes of a warp synchronised among themselves. */
void race_warp_sync(struct machine_warp *w, uint32_t lanes);
/* An mbarrier at shared offset off: arrive releases, a successful wait acquires. */
void race_release(struct machine_warp *w, uint32_t off);
void race_acquire(struct machine_warp *w, uint32_t off);

#endif
