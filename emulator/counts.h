/*
 * Counters of what kernels do, to guide optimisation where no GPU is at hand: written
 * as a table when the program ends, if EMULATOR_COUNTS names a file.
 *
 * Sectors are the 32-byte pieces that a warp's access touches in global memory; ideal
 * is the fewest that could hold the bytes it moves. A shared-memory access takes one
 * wavefront per 128 bytes of distinct words at best, more where lanes meet in a bank.
 * What bulk and tensor copies move and what wgmma reads from descriptors is not
 * counted.
 */
#ifndef EMULATOR_COUNTS_H
#define EMULATOR_COUNTS_H

#include <stdint.h>

#include "emulator/machine.h"

enum counts_kind {
    COUNTS_LAUNCHES,
    COUNTS_INSTRUCTIONS, /* of warps */
    COUNTS_LOADS,        /* warp-level accesses to global memory, and their sectors */
    COUNTS_LOAD_SECTORS,
    COUNTS_LOAD_IDEAL,
    COUNTS_STORES,
    COUNTS_STORE_SECTORS,
    COUNTS_STORE_IDEAL,
    COUNTS_SHARED, /* accesses to shared memory, and their wavefronts */
    COUNTS_WAVEFRONTS,
    COUNTS_WAVEFRONT_IDEAL,
    COUNTS_N
};

/* A launch of the kernel begins. NULL if counters are off. Thread-safe. */
struct counts_kernel *counts_launch(const char *name);
void counts_add(struct counts_kernel *c, enum counts_kind kind, int64_t n);
int64_t counts_of(const char *name, enum counts_kind kind); /* so far, of a kernel */

/* An access of `bytes` bytes of each lane in mask; at: addresses, of shared memory
 * relative to it. */
void counts_access(struct counts_kernel *c, enum machine_space space,
                   enum machine_access access, uint32_t mask, const uint64_t *at,
                   int32_t bytes);

#endif
