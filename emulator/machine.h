/*
 * A machine that executes PTX on the CPU, for tests of the CUDA backend on machines
 * without a GPU. It computes what the ISA defines, not what a chip does in some time:
 * warps run in lock step lane for lane, diverged lanes are run lowest pc first and meet
 * again where their pcs do; warps of a block take turns (in an order drawn from a
 * seed), blocks run in any order on all cores.
 *
 * It is stricter than a GPU: an access outside an allocation, a misaligned one, a
 * descriptor or tensor map the ISA forbids, a wait that nothing can end, a barrier that
 * exited threads leave open, an unknown instruction: each is a fault that names kernel,
 * PTX line, block and thread. Asynchronous copies and products can be made to happen as
 * early or as late as the ISA allows (EMULATOR_ASYNC=early|late), so that a missing
 * wait and a buffer overwritten too soon both show in the result.
 *
 * Floating point: .rn operations and fma are exact IEEE; approximate ones (ex2.approx)
 * are the correctly rounded value, so tests must not expect a chip's bits of them; sums
 * inside mma and wgmma are made in fp32, ascending k, one rounding per addition.
 *
 * Address spaces (generic addresses): global memory is host addresses; the windows
 * below hold the others. Space-relative .shared addresses are the low 32 bits.
 */
#ifndef EMULATOR_MACHINE_H
#define EMULATOR_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "emulator/ptx.h"

#define MACHINE_SHARED_WINDOW 0xe000000000000000u
#define MACHINE_LOCAL_WINDOW 0xd000000000000000u
#define MACHINE_PARAM_WINDOW 0xc000000000000000u
#define MACHINE_WINDOW_MASK 0xff00000000000000u

enum {
    MACHINE_MAX_WARPS = 32,
    MACHINE_MAX_BARRIERS = 16,
    MACHINE_SEEN = 4,                  /* allocations that a warp remembers */
    MACHINE_SHARED_LIMIT = 227 * 1024, /* of a block, as on compute capability 9.0 */
    MACHINE_SHARED_STATIC = 48 * 1024  /* more needs the function attribute */
};

struct machine_dim {
    int32_t x, y, z;
};

struct machine_launch {
    const struct ptx_kernel *kernel;
    struct machine_dim grid, block;
    size_t dynamic_bytes;  /* of shared memory */
    const uint8_t *params; /* kernel->param_bytes */
};

/* Diverged lanes: each split runs from its own pc. A warp in step has one split. */
struct machine_split {
    int32_t pc;
    uint32_t mask;
};

struct machine_block;
struct machine_state;
struct counts_kernel;

/* Part of an allocation's record, see machine_alloc. */
struct machine_range {
    uintptr_t begin;
    size_t bytes; /* 0: none */
};

struct machine_warp {
    uint8_t *file; /* the register file: slots of ptx.h */
    struct machine_block *block;
    int32_t id;     /* in the block */
    uint32_t alive; /* lanes that exist and have not exited */
    struct machine_split split[PTX_LANES];
    int32_t n_splits;
    int32_t current;  /* the split being run */
    uint8_t *local;   /* (lane, kernel->local_bytes) */
    bool is_waiting;  /* all its splits answered MACHINE_WAIT */
    uint32_t waiting; /* bit s: split s did in this turn */
    uint32_t exist;   /* lanes that the block's size gives it */
    int32_t patience; /* turns that ended diverged, see emulator/machine_warp.c */
    uint64_t n_done;  /* instructions */
    uint32_t carry;   /* the lanes' condition code CC.CF, of add.cc and the like */
    struct machine_range seen[MACHINE_SEEN]; /* last hits of emulator/memory.c */
    uint64_t seen_version;
    struct async_warp *async; /* emulator/async.h's, per warp */
};

struct machine_block {
    const struct machine_launch *launch;
    struct machine_dim id;
    uint8_t *shared;
    size_t shared_bytes; /* declared + dynamic */
    struct machine_warp *warps;
    int32_t n_warps;
    uint64_t
        progress; /* grows with every instruction done: a round without is deadlock */
    bool has_fault;
    struct barrier_state *barriers; /* emulator/barrier.c's */
    struct async_block *async;      /* emulator/async.h's */
    struct race_block *race;        /* the race checker's, NULL if off */
    struct counts_kernel *counts;   /* emulator/counts.h's, NULL if off */
    struct machine_state *state;    /* of the launch; NULL in a test's own block */
};

/* Runs all blocks. 0, or ERR_DEVICE after a fault, whose text is in the status message
 * and on stderr. Blocks run side by side on all cores. */
WARN_UNUSED int machine_run(const struct machine_launch *launch);

/* Reports a fault of a lane at an instruction, once per launch; lane -1: the warp.
 * Returns MACHINE_FAULT. */
enum machine_next machine_fault(struct machine_warp *w, const struct ptx_insn *i,
                                int32_t lane, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* --- slots --- */
static inline uint32_t *machine_u32(const struct machine_warp *w, int32_t slot)
{
    return (uint32_t *)(void *)(w->file + slot);
}
static inline uint64_t *machine_u64(const struct machine_warp *w, int32_t slot)
{
    return (uint64_t *)(void *)(w->file + slot);
}
static inline float *machine_f32(const struct machine_warp *w, int32_t slot)
{
    return (float *)(void *)(w->file + slot);
}
static inline double *machine_f64(const struct machine_warp *w, int32_t slot)
{
    return (double *)(void *)(w->file + slot);
}
static inline uint32_t *machine_pred(const struct machine_warp *w, int32_t slot)
{
    return (uint32_t *)(void *)(w->file + slot);
}

/* --- memory --- */
enum machine_access { MACHINE_READ, MACHINE_WRITE, MACHINE_ATOMIC };
enum machine_space {
    MACHINE_GENERIC,
    MACHINE_GLOBAL,
    MACHINE_SHARED,
    MACHINE_LOCAL,
    MACHINE_PARAM,
    MACHINE_CONST
};

/* The host bytes of an access of one lane (lane -1: made by the asynchronous proxy on
 * behalf of the warp), checked for bounds, alignment to `align`, and write permission;
 * reported to the race checker if it is on. NULL after a fault. */
uint8_t *machine_at(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                    enum machine_space space, uint64_t address, size_t bytes,
                    size_t align, enum machine_access access);

/* Allocations that kernels may reach, each between guard bands of 256 poisoned bytes
 * that are not part of it; poisoned with 0xff (NaNs). Thread-safe. */
WARN_UNUSED int machine_alloc(size_t bytes, bool is_host, void **out);
/* ERR_USAGE if p is not the start of an allocation; a damaged guard band is a fault
 * (cannot happen through machine_at; host code can). */
WARN_UNUSED int machine_free(void *p);
/* true if [p, p + bytes) lies in one allocation */
bool machine_holds(const void *p, size_t bytes);
/* of device memory: those with is_host are not counted */
size_t machine_bytes_in_use(void);
/* machine_holds for a warp, which remembers its last hits: the fast check of ranges */
bool machine_reaches(struct machine_warp *w, uint64_t address, size_t bytes);

/* --- the instruction tables --- */
/* A family of instructions. `name` is the mnemonic's first part ("fma"), or several
 * joined ("bar.sync"): the longest match wins. bind checks parts, operand kinds and
 * types, fills option[] and returns the executor; NULL: not supported (the parser then
 * reports the instruction's text and line). */
struct machine_op {
    const char *name;
    ptx_run_fn (*bind)(struct ptx_insn *i);
};
/* Each table ends with a NULL name. */

/* The executor of what changes nothing here: hints, fences, nanosleep. */
enum machine_next machine_nothing(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask);

/* 16, 32 and 64 bits: add sub mul mad div rem min max neg abs not and or xor shl shr
 * popc clz brev bfe bfi bfind prmt lop3 sad */
extern const struct machine_op machine_ops_int[];
/* f32 f64 f16 bf16(x2): add sub mul fma div rcp sqrt rsqrt ex2 lg2 sin cos tanh min max
 * neg abs; cvt, testp, copysign */
extern const struct machine_op machine_ops_float[];
/* on every type: mov (with packing and unpacking), selp, setp (with .and/.or/.xor and
 * two results), set, slct, cvta, isspacep; and or xor not .pred */
extern const struct machine_op machine_ops_move[];
/* ld st ldu atom red (all spaces, vectors, widths; cache operators and eviction hints
 * accepted), prefetch, membar, fence */
extern const struct machine_op machine_ops_memory[];
/* bra brx exit ret trap brkpt, bar barrier (named, counts, red, arrive; of a cluster of
 * one block), nanosleep, setmaxnreg, griddepcontrol, activemask, elect.sync, mov of
 * %clock-like registers */
extern const struct machine_op machine_ops_control[];
/* shfl vote match redux bar.warp.sync */
extern const struct machine_op machine_ops_warp[];
/* mma ldmatrix stmatrix movmatrix wgmma.* */
extern const struct machine_op machine_ops_matrix[];
/* cp.async* (also bulk and tensor), mbarrier.*, fence.proxy.async, fence.mbarrier_init,
 * tensormap prefetch */
extern const struct machine_op machine_ops_async[];

/* Finds the family of i's mnemonic and binds it. ERR_INPUT naming it otherwise. */
WARN_UNUSED int machine_bind(struct ptx_insn *i);

#endif
