/*
 * Bulk copies: cp.async.bulk and cp.async.bulk.tensor in both directions, the adding
 * forms out of shared memory, prefetches, and the groups that stores end in. Each
 * active lane issues a copy of its own. A cluster has one block here: multicast goes to
 * that block alone, and a mask naming another is a fault.
 */
#include <string.h>

#include "emulator/async_state.h"

/* option[]: how an instruction's copy goes */
enum { BULK_RANK, BULK_FLAGS }; /* rank 0: bytes */
enum {
    BULK_TO_SHARED = 1,
    BULK_FROM_SHARED = 2, /* with BULK_TO_SHARED: both sides are */
    BULK_ADD = 4,
    BULK_MULTICAST = 8,
    BULK_READ = 16 /* wait_group.read */
};

static bool has_flag(const struct ptx_insn *i, int32_t flag)
{
    return (i->option[BULK_FLAGS] & flag) != 0;
}

static bool is_aligned(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                       const char *what, uint64_t value, uint64_t align)
{
    if (value % align == 0)
        return true;
    machine_fault(w, i, lane, "%s 0x%llx is not a multiple of %llu", what,
                  (unsigned long long)value, (unsigned long long)align);
    return false;
}

/* The operand's address in shared memory as an offset. */
static bool shared_side(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                        const struct ptx_operand *o, struct async_box *box)
{
    uint64_t at = async_address(w, o, lane);
    if ((at & MACHINE_WINDOW_MASK) == MACHINE_SHARED_WINDOW)
        at -= MACHINE_SHARED_WINDOW;
    const uint64_t align = box->is_tensor ? ASYNC_TENSOR_ALIGN : ASYNC_BULK_ALIGN;
    if (!is_aligned(w, i, lane, "shared address", at, align))
        return false;
    if (at > w->block->shared_bytes || box->bytes > w->block->shared_bytes - at) {
        machine_fault(w, i, lane,
                      "%u bytes at shared offset %llu go beyond the block's %zu",
                      box->bytes, (unsigned long long)at, w->block->shared_bytes);
        return false;
    }
    box->shared = (uint32_t)at;
    return true;
}

/* [map, {x, y, ...}] */
static bool tensor_side(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                        const struct ptx_operand *o, struct async_box *box)
{
    box->is_tensor = true;
    if (!async_tensor_map_read(w, i, lane, async_address(w, o, lane),
                               i->option[BULK_RANK], &box->map))
        return false;
    for (int32_t k = 0; k < i->option[BULK_RANK]; k++)
        box->coord[k] = (int32_t)async_value(w, &o->items[k], lane);
    box->bytes = async_tensor_box_bytes(&box->map);
    if (has_flag(i, BULK_ADD) && box->map.data_type != ASYNC_TYPE_FLOAT32) {
        machine_fault(w, i, lane, "adding to tensors of type %d is not supported",
                      (int)box->map.data_type);
        return false;
    }
    return true;
}

static bool run_of_bytes(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                         const struct ptx_operand *global,
                         const struct ptx_operand *size, struct async_box *box)
{
    box->bytes = (uint32_t)async_value(w, size, lane);
    box->global = async_address(w, global, lane);
    box->from = has_flag(i, BULK_FROM_SHARED) ? MACHINE_SHARED : MACHINE_GLOBAL;
    return is_aligned(w, i, lane, "size", box->bytes, ASYNC_BULK_ALIGN) &&
           is_aligned(w, i, lane, "address", box->global, ASYNC_BULK_ALIGN);
}

/* to shared memory: [dst], [src], size, [mbar] or [dst], [map, {}], [mbar] */
static enum machine_next load_lane(struct machine_warp *w, const struct ptx_insn *i,
                                   int32_t lane)
{
    const bool is_tensor = i->option[BULK_RANK] != 0;
    const int32_t at = is_tensor ? 2 : 3; /* of the mbarrier's operand */
    struct async_load l = {.insn = i, .warp = w, .lane = lane};
    const bool ok = is_tensor ? tensor_side(w, i, lane, &i->o[1], &l.box)
                              : run_of_bytes(w, i, lane, &i->o[1], &i->o[2], &l.box);
    if (!ok || !shared_side(w, i, lane, &i->o[0], &l.box))
        return MACHINE_FAULT;
    if (has_flag(i, BULK_MULTICAST) && async_value(w, &i->o[at + 1], lane) != 1)
        return machine_fault(w, i, lane, "multicast to blocks that do not exist");
    const struct async_barrier *const b = async_barrier_find(
        w, i, lane, async_address(w, &i->o[at], lane));
    if (b == NULL)
        return MACHINE_FAULT;
    l.barrier = b->off;
    return async_load_issue(w, &l);
}

static enum machine_next run_load(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    for (uint32_t left = mask; left != 0; left &= left - 1)
        if (load_lane(w, i, __builtin_ctz(left)) != MACHINE_NEXT)
            return MACHINE_FAULT;
    return MACHINE_NEXT;
}

/* out of shared memory: [dst], [src], size or [map, {}], [src] */
static enum machine_next store_lane(struct machine_warp *w, const struct ptx_insn *i,
                                    int32_t lane)
{
    struct async_store s = {.insn = i, .lane = lane, .is_add = has_flag(i, BULK_ADD)};
    const bool ok = i->option[BULK_RANK] != 0
                        ? tensor_side(w, i, lane, &i->o[0], &s.box)
                        : run_of_bytes(w, i, lane, &i->o[0], &i->o[2], &s.box);
    if (!ok || !shared_side(w, i, lane, &i->o[1], &s.box))
        return MACHINE_FAULT;
    return async_store_issue(w, &s);
}

static enum machine_next run_store(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    for (uint32_t left = mask; left != 0; left &= left - 1)
        if (store_lane(w, i, __builtin_ctz(left)) != MACHINE_NEXT)
            return MACHINE_FAULT;
    return MACHINE_NEXT;
}

/* A prefetch moves nothing; its map must be one. */
static enum machine_next run_prefetch(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    struct async_box box = {0};
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const bool ok = i->option[BULK_RANK] != 0
                            ? tensor_side(w, i, lane, &i->o[0], &box)
                            : run_of_bytes(w, i, lane, &i->o[0], &i->o[1], &box);
        if (!ok)
            return MACHINE_FAULT;
    }
    return MACHINE_NEXT;
}

static enum machine_next run_commit(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    (void)i;
    async_store_commit(w, mask);
    return MACHINE_NEXT;
}

static enum machine_next run_wait(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    return async_store_wait(w, mask, (uint64_t)i->o[0].bits, has_flag(i, BULK_READ));
}

/* --- bind --- */

/* Directions: the first space named is the destination's. */
static bool bind_spaces(struct ptx_insn *i, int32_t flags)
{
    async_bind_space(i);
    int32_t n = 0;
    bool is_shared[2] = {false, false};
    for (int32_t k = 0; k < i->n_parts; k++) {
        const bool shared = strncmp(i->part[k], "shared", 6) == 0;
        if ((shared || strcmp(i->part[k], "global") == 0) && n < 2)
            is_shared[n++] = shared;
    }
    i->option[BULK_FLAGS] = flags | (is_shared[0] ? BULK_TO_SHARED : 0) |
                            (is_shared[1] ? BULK_FROM_SHARED : 0) |
                            (ptx_has(i, "multicast::cluster") ? BULK_MULTICAST : 0);
    return n == 2 && (is_shared[0] || is_shared[1]);
}

/* "3d" -> 3; 0 if there is no such part */
static int32_t rank_of(const struct ptx_insn *i)
{
    static const char *const ranks[] = {"1d", "2d", "3d", "4d", "5d", NULL};
    return ptx_which(i, ranks) + 1;
}

/* Operands besides cache policy and multicast mask. */
static int32_t n_plain(const struct ptx_insn *i)
{
    return i->n_operands - (ptx_has(i, "L2::cache_hint") ? 1 : 0) -
           (ptx_has(i, "multicast::cluster") ? 1 : 0);
}

static bool is_address(const struct ptx_operand *o) { return o->kind == PTX_ADDRESS; }

static bool is_tensor_address(const struct ptx_insn *i, const struct ptx_operand *o)
{
    return is_address(o) && o->n_items == i->option[BULK_RANK] && o->n_items > 0;
}

static bool is_tile_mode(const struct ptx_insn *i)
{
    for (int32_t k = 0; k < i->n_parts; k++)
        if (strncmp(i->part[k], "im2col", 6) == 0 ||
            strncmp(i->part[k], "tile::", 6) == 0 ||
            strncmp(i->part[k], "cta_group", 9) == 0)
            return false;
    return true;
}

ptx_run_fn async_bulk_bind(struct ptx_insn *i)
{
    if (!bind_spaces(i, 0) || ptx_has(i, "cp_mask") || n_plain(i) < 3 ||
        !is_address(&i->o[0]) || !is_address(&i->o[1]))
        return NULL;
    i->option[BULK_RANK] = 0;
    if (has_flag(i, BULK_TO_SHARED))
        return ptx_has(i, "mbarrier::complete_tx::bytes") && n_plain(i) == 4 &&
                       is_address(&i->o[3])
                   ? run_load
                   : NULL;
    return ptx_has(i, "bulk_group") && n_plain(i) == 3 ? run_store : NULL;
}

ptx_run_fn async_bulk_tensor_bind(struct ptx_insn *i)
{
    i->option[BULK_RANK] = rank_of(i);
    if (!bind_spaces(i, 0) || i->option[BULK_RANK] == 0 || !is_tile_mode(i))
        return NULL;
    if (has_flag(i, BULK_TO_SHARED))
        return ptx_has(i, "mbarrier::complete_tx::bytes") && n_plain(i) == 3 &&
                       is_address(&i->o[0]) && is_tensor_address(i, &i->o[1]) &&
                       is_address(&i->o[2])
                   ? run_load
                   : NULL;
    return ptx_has(i, "bulk_group") && n_plain(i) == 2 &&
                   is_tensor_address(i, &i->o[0]) && is_address(&i->o[1])
               ? run_store
               : NULL;
}

ptx_run_fn async_bulk_reduce_bind(struct ptx_insn *i)
{
    i->option[BULK_RANK] = rank_of(i);
    const bool is_tensor = ptx_has(i, "tensor");
    if (!bind_spaces(i, BULK_ADD) || has_flag(i, BULK_TO_SHARED) ||
        !ptx_has(i, "add") || !ptx_has(i, "bulk_group") ||
        is_tensor != (i->option[BULK_RANK] != 0))
        return NULL;
    if (is_tensor)
        return is_tile_mode(i) && n_plain(i) == 2 && is_tensor_address(i, &i->o[0]) &&
                       is_address(&i->o[1])
                   ? run_store
                   : NULL;
    return ptx_has(i, "f32") && n_plain(i) == 3 && is_address(&i->o[0]) &&
                   is_address(&i->o[1])
               ? run_store
               : NULL;
}

ptx_run_fn async_bulk_prefetch_bind(struct ptx_insn *i)
{
    i->option[BULK_RANK] = rank_of(i);
    i->option[BULK_FLAGS] = 0;
    if (i->option[BULK_RANK] != 0)
        return is_tile_mode(i) && n_plain(i) == 1 && is_tensor_address(i, &i->o[0])
                   ? run_prefetch
                   : NULL;
    return n_plain(i) == 2 && is_address(&i->o[0]) ? run_prefetch : NULL;
}

ptx_run_fn async_bulk_group_bind(struct ptx_insn *i)
{
    if (ptx_has(i, "commit_group"))
        return i->n_operands == 0 ? run_commit : NULL;
    i->option[BULK_FLAGS] = ptx_has(i, "read") ? BULK_READ : 0;
    return i->n_operands == 1 && i->o[0].kind == PTX_IMM ? run_wait : NULL;
}
