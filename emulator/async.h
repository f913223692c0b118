/*
 * What happens beside the instruction stream: cp.async groups, bulk and tensor copies
 * (TMA), mbarriers, wgmma groups. Each is a pending operation of a warp or block that
 * is done early (when issued) or late (when something waits for it), see machine.h.
 * async.c implements; machine.c calls these at the right times.
 */
#ifndef EMULATOR_ASYNC_H
#define EMULATOR_ASYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

struct machine_block;
struct machine_warp;

WARN_UNUSED int async_block_start(struct machine_block *b);
/* All threads have exited: what is pending is finished (a bulk store may outlive its
 * issuer; a load that lands after exit is a fault). */
WARN_UNUSED int async_block_end(struct machine_block *b);
WARN_UNUSED int async_warp_start(struct machine_warp *w);
void async_warp_end(struct machine_warp *w);

/* Every warp waits and none made progress: finish one pending operation. false: none is
 * left, so the block is deadlocked. */
bool async_push(struct machine_block *b);

/* A tensor map as cuTensorMapEncodeTiled makes it and kernels carry it: 128 bytes. The
 * layout is ours; both sides are in this folder. */
struct async_tensor_map {
    uint64_t magic;
    uint64_t base;
    uint64_t dim[5];          /* innermost first, elements */
    uint64_t stride_bytes[4]; /* of dimensions 1 .. rank - 1 */
    uint16_t box[5];
    uint8_t rank, element_bytes, data_type, oob_nan;
    uint8_t swizzle_span;      /* bytes: 0, 32, 64, 128 */
    uint8_t element_stride[5]; /* [0] is 1 */
    uint8_t pad[20];
};

/* The arguments of cuTensorMapEncodeTiled; ERR_USAGE where the driver API's
 * documentation forbids them (alignment, strides, box sizes, swizzle span). */
struct async_tensor_args {
    int32_t data_type; /* CUtensorMapDataType */
    uint32_t rank;
    void *base;
    const uint64_t *dim;
    const uint64_t *stride_bytes;
    const uint32_t *box;
    const uint32_t *element_stride;
    int32_t interleave, swizzle, l2_promotion, oob_fill;
};
WARN_UNUSED int async_tensor_map_encode(const struct async_tensor_args *a,
                                        void *map_out);

#endif
