/*
 * Private to async*.c, ops_async.c, ops_matrix.c, tensor_map.c and wgmma*.c: what is
 * pending beside the instruction stream, and how these files read operands.
 *
 * Four kinds of pending work:
 *   copies  cp.async, by lane and group; done when a wait_group needs them
 *   loads   bulk and tensor copies to shared memory, and cp.async's arrivals: each ends
 *           on an mbarrier and is done when a wait on that mbarrier fails
 *   stores  bulk and tensor copies out of shared memory, by lane and group: read from
 *           shared memory at wait_group.read, written at wait_group or the block's end
 *   products of warpgroups (wgmma.c)
 * In early mode each is done where it is issued, and the queues stay empty.
 */
#ifndef EMULATOR_ASYNC_STATE_H
#define EMULATOR_ASYNC_STATE_H

#include <string.h>

#include "emulator/async.h"
#include "emulator/machine.h"

enum {
    ASYNC_MAX_COORDS = 5,        /* dimensions of a tensor map */
    ASYNC_TENSOR_ALIGN = 128,    /* of a box in shared memory */
    ASYNC_BULK_ALIGN = 16,       /* of both sides and the size of a bulk copy */
    ASYNC_BARRIER_MAX = 0xfffff, /* an mbarrier's largest count, and |tx-count| */
    ASYNC_TYPE_FLOAT16 = 6, /* of CUtensorMapDataType; integers before, floats after */
    ASYNC_TYPE_FLOAT32 = 7
};

/* A warp's cp.async. */
struct async_copy {
    const struct ptx_insn *insn;
    uint32_t mask; /* lanes whose copy is still to be done */
    uint64_t dst[PTX_LANES], src[PTX_LANES];
    uint32_t n_src[PTX_LANES]; /* bytes read; the rest of insn's size is zeros */
    uint64_t group[PTX_LANES]; /* the lane's commits before it */
    uint64_t number;           /* of the warp's copies, ascending */
};

/* A box of a tensor, or a run of bytes when `rank` is 0. */
struct async_box {
    struct async_tensor_map map;
    int32_t coord[ASYNC_MAX_COORDS];
    uint32_t shared; /* offset */
    uint32_t bytes;  /* in shared memory */
    uint64_t global; /* of a run of bytes; in shared memory if `from` says so */
    enum machine_space from;
    bool is_tensor;
};

/* Ends on an mbarrier. */
struct async_load {
    const struct ptx_insn *insn;
    struct machine_warp *warp;
    int32_t lane;
    uint32_t barrier; /* offset */
    struct async_box box;
    bool is_arrival;   /* of lane's cp.async up to now; box is unused */
    uint64_t n_copies; /* is_arrival: the warp's copies with smaller numbers */
};

/* Out of shared memory, by lane and group. */
struct async_store {
    const struct ptx_insn *insn;
    int32_t lane;
    uint64_t group;
    struct async_box box;
    bool is_add;   /* cp.reduce.async: += instead of = */
    uint8_t *data; /* what shared memory held; NULL until read */
};

struct async_barrier {
    uint32_t off;
    int32_t expected, pending; /* arrivals of a phase; still missing */
    int64_t tx;                /* bytes expected - arrived */
    uint64_t phase;
    uint64_t image;              /* what the 8 bytes in shared memory must hold */
    const struct ptx_insn *insn; /* the last expect_tx, for messages */
    struct machine_warp *warp;
};

struct async_warp {
    struct async_copy *copies;
    int32_t n_copies, cap_copies;
    uint64_t next_copy;             /* number */
    uint64_t copy_group[PTX_LANES]; /* cp.async groups committed */
    struct async_store *stores;
    int32_t n_stores, cap_stores;
    uint64_t store_group[PTX_LANES];
    uint64_t n_products;     /* issued */
    uint64_t *product_group; /* n_products at each commit */
    int32_t n_product_groups, cap_product_groups;
    bool has_fence; /* a wgmma.fence has been executed */
};

struct async_products; /* wgmma.c's queue of a warpgroup */

struct async_block {
    struct async_barrier *barriers;
    int32_t n_barriers, cap_barriers;
    struct async_load *loads;
    int32_t n_loads, cap_loads;
    struct async_products *products[MACHINE_MAX_WARPS / 4];
};

/* Grows an array by one; exits through CHECK when memory is out (a test machine). */
void *async_grow(void *array, int32_t n, int32_t *cap, size_t element_bytes);

bool async_is_early(void);

/* --- operands --- */
static inline uint64_t async_value(const struct machine_warp *w,
                                   const struct ptx_operand *o, int32_t lane)
{
    return o->kind == PTX_IMM ? (uint64_t)o->bits
           : o->bytes == 8    ? machine_u64(w, o->slot)[lane]
                              : machine_u32(w, o->slot)[lane];
}

static inline bool async_predicate(const struct machine_warp *w,
                                   const struct ptx_operand *o, int32_t lane)
{
    if (o->kind == PTX_IMM)
        return o->bits != 0;
    return (*machine_pred(w, o->slot) >> lane & 1) != (o->negated ? 1u : 0u);
}

static inline uint64_t async_address(const struct machine_warp *w,
                                     const struct ptx_operand *o, int32_t lane)
{
    if (o->slot < 0)
        return (uint64_t)o->bits;
    if (o->bytes == 8)
        return machine_u64(w, o->slot)[lane] + (uint64_t)o->bits;
    return (uint32_t)(machine_u32(w, o->slot)[lane] + (uint32_t)o->bits);
}

/* Where an instruction's shared address counts from: a .shared one, whatever its
 * sub-qualifier (clusters have one block), or a generic one. Every bind function here
 * leaves it in option[ASYNC_SPACE]. */
enum { ASYNC_SPACE = 3 };
static inline void async_bind_space(struct ptx_insn *i)
{
    i->option[ASYNC_SPACE] = MACHINE_GENERIC;
    for (int32_t k = 0; k < i->n_parts; k++)
        if (strncmp(i->part[k], "shared", 6) == 0)
            i->option[ASYNC_SPACE] = MACHINE_SHARED;
}

static inline enum machine_space async_space(const struct ptx_insn *i)
{
    return (enum machine_space)i->option[ASYNC_SPACE];
}

/* --- async.c --- */
struct async_place {
    enum machine_space space; /* MACHINE_SHARED or MACHINE_GENERIC */
    uint64_t address;
    size_t bytes, align;
    enum machine_access access;
};
/* The offset of an access to shared memory; false after a fault. */
bool async_shared_at(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                     const struct async_place *p, uint32_t *off_out);
enum machine_next async_copy_issue(struct machine_warp *w, const struct async_copy *c);
void async_copy_commit(struct machine_warp *w, uint32_t mask);
/* Does all but the last n groups of the lanes. */
enum machine_next async_copy_wait(struct machine_warp *w, uint32_t mask, uint64_t n);
enum machine_next async_load_issue(struct machine_warp *w, const struct async_load *l);
/* What is pending on the mbarrier at this offset; false after a fault. */
bool async_loads_land(struct machine_block *b, uint32_t barrier);
enum machine_next async_store_issue(struct machine_warp *w,
                                    const struct async_store *s);
void async_store_commit(struct machine_warp *w, uint32_t mask);
enum machine_next async_store_wait(struct machine_warp *w, uint32_t mask, uint64_t n,
                                   bool read_only);

/* --- async_mbarrier.c: NULL or MACHINE_FAULT after a fault. Addresses are in
 * async_space() of the instruction. --- */
struct async_barrier *async_barrier_find(struct machine_warp *w,
                                         const struct ptx_insn *i, int32_t lane,
                                         uint64_t address);
/* The barrier at an offset that has been checked before; NULL if it is no more. */
struct async_barrier *async_barrier_known(struct machine_block *b, uint32_t off);
enum machine_next async_barrier_init(struct machine_warp *w, const struct ptx_insn *i,
                                     int32_t lane, uint64_t address, uint64_t count);
enum machine_next async_barrier_inval(struct machine_warp *w, const struct ptx_insn *i,
                                      int32_t lane, uint64_t address);
/* tx-count += bytes: expect-tx, or complete-tx with bytes negative */
enum machine_next async_barrier_tx(struct machine_warp *w, const struct ptx_insn *i,
                                   int32_t lane, struct async_barrier *b,
                                   int64_t bytes);
enum machine_next async_barrier_arrive(struct machine_warp *w, const struct ptx_insn *i,
                                       int32_t lane, struct async_barrier *b,
                                       uint64_t count, bool is_drop);
/* One arrival more in this phase. */
enum machine_next async_barrier_expect(struct machine_warp *w, const struct ptx_insn *i,
                                       int32_t lane, struct async_barrier *b);
/* The phase has ended; in late mode after what is pending on it has been done. A fault
 * sets the block's has_fault. */
bool async_barrier_passed(struct machine_warp *w, int32_t lane, struct async_barrier *b,
                          uint64_t phase);

/* --- tensor_map.c --- */
/* A map out of memory, checked; its box at these coordinates must fit `shared`. */
bool async_tensor_map_read(struct machine_warp *w, const struct ptx_insn *i,
                           int32_t lane, uint64_t address, int32_t rank,
                           struct async_tensor_map *out);
uint32_t async_tensor_box_bytes(const struct async_tensor_map *m);
/* Global -> shared, zeros outside; and shared (data: what it held) -> global. */
bool async_box_load(struct machine_warp *w, const struct ptx_insn *i,
                    const struct async_box *box);
bool async_box_store(struct machine_warp *w, const struct ptx_insn *i,
                     const struct async_box *box, uint8_t *data, bool is_add);
/* Where byte `at` of shared memory lies under a swizzle of lines of `span` bytes (0: no
 * swizzle): 16-byte chunk number ^= line number modulo the chunks of a line. */
static inline uint32_t async_swizzle(uint32_t at, uint32_t span)
{
    return span == 0 ? at : at ^ ((at >> 7 & (span / 16 - 1)) << 4);
}

/* --- async_bulk.c and wgmma.c: bind functions for the tables --- */
ptx_run_fn async_bulk_bind(struct ptx_insn *i);
ptx_run_fn async_bulk_tensor_bind(struct ptx_insn *i);
ptx_run_fn async_bulk_reduce_bind(struct ptx_insn *i);
ptx_run_fn async_bulk_prefetch_bind(struct ptx_insn *i);
ptx_run_fn async_bulk_group_bind(struct ptx_insn *i);
ptx_run_fn wgmma_mma_bind(struct ptx_insn *i);
ptx_run_fn wgmma_group_bind(struct ptx_insn *i);
/* At the block's end: products that a warp has issued alone are a fault. */
bool wgmma_block_end(struct machine_block *b);
void wgmma_release(struct async_products *p);

#endif
