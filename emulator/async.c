/*
 * The queues of what is pending (async_state.h) and when their entries are done. Within
 * a queue entries are done in the order of their issue; the ISA promises less.
 */
#include "emulator/async.h"

#include <stdlib.h>
#include <string.h>

#include "emulator/async_state.h"
#include "emulator/counts.h"
#include "emulator/race.h"
#include "emulator/settings.h"

bool async_is_early(void) { return emulator_settings()->is_async_early; }

void *async_grow(void *array, int32_t n, int32_t *cap, size_t element_bytes)
{
    if (n < *cap)
        return array;
    const int32_t wanted = *cap == 0 ? 8 : 2 * *cap;
    void *const grown = realloc(array, (size_t)wanted * element_bytes);
    CHECK(grown != NULL, "%d entries of %zu bytes", (int)wanted, element_bytes);
    *cap = wanted;
    return grown;
}

bool async_shared_at(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                     const struct async_place *p, uint32_t *off_out)
{
    const uint8_t *const at = machine_at(w, i, lane, p->space, p->address, p->bytes,
                                         p->align, p->access);
    if (at == NULL)
        return false;
    const struct machine_block *const b = w->block;
    const uintptr_t off = (uintptr_t)at - (uintptr_t)b->shared;
    if (off > b->shared_bytes || p->bytes > b->shared_bytes - off) {
        machine_fault(w, i, lane, "address 0x%llx is not in shared memory",
                      (unsigned long long)p->address);
        return false;
    }
    *off_out = (uint32_t)off;
    return true;
}

/* --- cp.async --- */

static bool copy_land_lane(struct machine_warp *w, const struct async_copy *c,
                           int32_t lane)
{
    const size_t n = (size_t)c->insn->option[0], n_src = c->n_src[lane];
    uint8_t *const dst = machine_at(w, c->insn, lane, MACHINE_SHARED, c->dst[lane], n,
                                    n, MACHINE_WRITE);
    if (dst == NULL)
        return false;
    if (n_src > 0) {
        const uint8_t *const src = machine_at(w, c->insn, lane, MACHINE_GLOBAL,
                                              c->src[lane], n_src, n, MACHINE_READ);
        if (src == NULL)
            return false;
        memcpy(dst, src, n_src);
    }
    memset(dst + n_src, 0, n - n_src);
    return true;
}

/* For the race checker a copy writes at its issue and when it lands. */
static bool copy_announce(struct machine_warp *w, const struct async_copy *c)
{
    const size_t n = (size_t)c->insn->option[0];
    for (uint32_t left = c->mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        if (machine_at(w, c->insn, lane, MACHINE_SHARED, c->dst[lane], n, n,
                       MACHINE_WRITE) == NULL)
            return false;
    }
    return true;
}

static bool copy_land(struct machine_warp *w, struct async_copy *c, uint32_t lanes)
{
    for (uint32_t left = lanes & c->mask; left != 0; left &= left - 1)
        if (!copy_land_lane(w, c, __builtin_ctz(left)))
            return false;
    c->mask &= ~lanes;
    return true;
}

/* Forgets copies without lanes. */
static void copies_compact(struct async_warp *a)
{
    int32_t n = 0;
    for (int32_t k = 0; k < a->n_copies; k++)
        if (a->copies[k].mask != 0)
            a->copies[n++] = a->copies[k];
    a->n_copies = n;
}

static void copy_count(const struct machine_warp *w, const struct async_copy *c)
{
    const int32_t n = c->insn->option[0];
    uint32_t reads = 0; /* others only fill with zeros */
    for (int32_t lane = 0; lane < PTX_LANES; lane++)
        reads |= (uint32_t)(c->n_src[lane] > 0) << lane;
    counts_access(w->block->counts, MACHINE_GLOBAL, MACHINE_READ, c->mask & reads,
                  c->src, n);
    counts_access(w->block->counts, MACHINE_SHARED, MACHINE_WRITE, c->mask, c->dst, n);
}

enum machine_next async_copy_issue(struct machine_warp *w, const struct async_copy *c)
{
    struct async_warp *const a = w->async;
    if (w->block->counts != NULL)
        copy_count(w, c);
    a->copies = async_grow(a->copies, a->n_copies, &a->cap_copies, sizeof(*a->copies));
    struct async_copy *const own = &a->copies[a->n_copies];
    *own = *c;
    own->number = a->next_copy++;
    memcpy(own->group, a->copy_group, sizeof(own->group));
    if (async_is_early())
        return copy_land(w, own, c->mask) ? MACHINE_NEXT : MACHINE_FAULT;
    if (w->block->race != NULL && !copy_announce(w, own))
        return MACHINE_FAULT;
    a->n_copies++;
    return MACHINE_NEXT;
}

void async_copy_commit(struct machine_warp *w, uint32_t mask)
{
    for (uint32_t left = mask; left != 0; left &= left - 1)
        w->async->copy_group[__builtin_ctz(left)]++;
}

enum machine_next async_copy_wait(struct machine_warp *w, uint32_t mask, uint64_t n)
{
    struct async_warp *const a = w->async;
    for (int32_t k = 0; k < a->n_copies; k++) {
        struct async_copy *const c = &a->copies[k];
        uint32_t lanes = 0;
        for (uint32_t left = c->mask & mask; left != 0; left &= left - 1) {
            const int32_t lane = __builtin_ctz(left);
            if (c->group[lane] + n < a->copy_group[lane])
                lanes |= 1u << lane;
        }
        if (!copy_land(w, c, lanes))
            return MACHINE_FAULT;
    }
    copies_compact(a);
    return MACHINE_NEXT;
}

/* The lane's copies before number `end`: an arrival on an mbarrier waits for them. */
static bool copies_land_before(struct machine_warp *w, int32_t lane, uint64_t end)
{
    struct async_warp *const a = w->async;
    for (int32_t k = 0; k < a->n_copies; k++)
        if (a->copies[k].number < end && !copy_land(w, &a->copies[k], 1u << lane))
            return false;
    copies_compact(a);
    return true;
}

/* --- loads: what ends on an mbarrier --- */

static bool load_land(const struct async_load *l)
{
    struct machine_warp *const w = l->warp;
    struct async_barrier *const b = async_barrier_known(w->block, l->barrier);
    if (b == NULL) {
        machine_fault(w, l->insn, l->lane,
                      "the mbarrier at shared offset %u is gone before it ends",
                      l->barrier);
        return false;
    }
    if (l->is_arrival)
        return copies_land_before(w, l->lane, l->n_copies) &&
               async_barrier_arrive(w, l->insn, l->lane, b, 1, false) == MACHINE_NEXT;
    return async_box_load(w, l->insn, &l->box) &&
           async_barrier_tx(w, l->insn, l->lane, b, -(int64_t)l->box.bytes) ==
               MACHINE_NEXT;
}

enum machine_next async_load_issue(struct machine_warp *w, const struct async_load *l)
{
    if (w->block->race != NULL && !l->is_arrival &&
        !race_async_write(w, l->insn, l->lane, l->box.shared, l->box.bytes, l->barrier))
        return MACHINE_FAULT;
    if (async_is_early())
        return load_land(l) ? MACHINE_NEXT : MACHINE_FAULT;
    struct async_block *const a = w->block->async;
    a->loads = async_grow(a->loads, a->n_loads, &a->cap_loads, sizeof(*a->loads));
    a->loads[a->n_loads++] = *l;
    return MACHINE_NEXT;
}

bool async_loads_land(struct machine_block *b, uint32_t barrier)
{
    struct async_block *const a = b->async;
    int32_t n = 0;
    bool ok = true;
    for (int32_t k = 0; k < a->n_loads; k++) {
        const struct async_load l = a->loads[k];
        if (ok && l.barrier == barrier)
            ok = load_land(&l);
        else
            a->loads[n++] = l;
    }
    a->n_loads = n;
    return ok;
}

bool async_push(struct machine_block *b)
{
    struct async_block *const a = b->async;
    if (a->n_loads == 0)
        return false;
    const struct async_load l = a->loads[0];
    a->n_loads--;
    memmove(a->loads, a->loads + 1, (size_t)a->n_loads * sizeof(*a->loads));
    return load_land(&l);
}

/* --- stores: out of shared memory --- */

static bool store_read(struct machine_warp *w, struct async_store *s)
{
    const uint8_t *const from = machine_at(w, s->insn, s->lane, MACHINE_SHARED,
                                           s->box.shared, s->box.bytes,
                                           ASYNC_BULK_ALIGN, MACHINE_READ);
    if (from == NULL)
        return false;
    s->data = malloc(s->box.bytes);
    CHECK(s->data != NULL, "%u bytes", s->box.bytes);
    memcpy(s->data, from, s->box.bytes);
    return true;
}

static bool store_write(struct machine_warp *w, struct async_store *s)
{
    const bool ok = async_box_store(w, s->insn, &s->box, s->data, s->is_add);
    free(s->data);
    s->data = NULL;
    return ok;
}

enum machine_next async_store_issue(struct machine_warp *w, const struct async_store *s)
{
    struct async_warp *const a = w->async;
    struct async_store own = *s;
    own.group = a->store_group[s->lane];
    own.data = NULL;
    if (async_is_early())
        return store_read(w, &own) && store_write(w, &own) ? MACHINE_NEXT
                                                           : MACHINE_FAULT;
    a->stores = async_grow(a->stores, a->n_stores, &a->cap_stores, sizeof(*a->stores));
    a->stores[a->n_stores++] = own;
    return MACHINE_NEXT;
}

void async_store_commit(struct machine_warp *w, uint32_t mask)
{
    for (uint32_t left = mask; left != 0; left &= left - 1)
        w->async->store_group[__builtin_ctz(left)]++;
}

enum machine_next async_store_wait(struct machine_warp *w, uint32_t mask, uint64_t n,
                                   bool read_only)
{
    struct async_warp *const a = w->async;
    bool ok = true;
    int32_t kept = 0;
    for (int32_t k = 0; k < a->n_stores; k++) {
        struct async_store *const s = &a->stores[k];
        const bool is_due = (mask >> s->lane & 1) != 0 &&
                            s->group + n < a->store_group[s->lane];
        if (ok && is_due && s->data == NULL)
            ok = store_read(w, s);
        if (ok && is_due && !read_only)
            ok = store_write(w, s);
        else
            a->stores[kept++] = *s;
    }
    a->n_stores = kept;
    return ok ? MACHINE_NEXT : MACHINE_FAULT;
}

/* --- the lives of blocks and warps --- */

int async_block_start(struct machine_block *b)
{
    b->async = calloc(1, sizeof(*b->async));
    return b->async == NULL ? ERR(ERR_MEMORY, "state of a block") : 0;
}

int async_warp_start(struct machine_warp *w)
{
    w->async = calloc(1, sizeof(*w->async));
    return w->async == NULL ? ERR(ERR_MEMORY, "state of a warp") : 0;
}

void async_warp_end(struct machine_warp *w)
{
    struct async_warp *const a = w->async;
    if (a == NULL)
        return;
    for (int32_t k = 0; k < a->n_stores; k++)
        free(a->stores[k].data);
    free(a->stores);
    free(a->copies);
    free(a->product_group);
    free(a);
    w->async = NULL;
}

/* Writes of stores may come after their block; nothing else may. */
static bool warp_finish(struct machine_warp *w)
{
    struct async_warp *const a = w->async;
    if (a == NULL)
        return true;
    if (a->n_copies > 0) {
        const struct async_copy *const c = &a->copies[0];
        machine_fault(w, c->insn, __builtin_ctz(c->mask),
                      "the block ends and nobody waited for this copy");
        return false;
    }
    bool ok = true;
    for (int32_t k = 0; k < a->n_stores && ok; k++) {
        struct async_store *const s = &a->stores[k];
        if (s->data != NULL) {
            ok = store_write(w, s);
            continue;
        }
        machine_fault(w, s->insn, s->lane,
                      "the block ends and nobody waited until this store had read "
                      "shared memory");
        ok = false;
    }
    return ok;
}

static bool block_finish(struct machine_block *b)
{
    const struct async_block *const a = b->async;
    if (a->n_loads > 0) {
        const struct async_load *const l = &a->loads[0];
        machine_fault(l->warp, l->insn, l->lane,
                      "the block ends and nobody waited for this to land");
        return false;
    }
    for (int32_t k = 0; k < a->n_barriers; k++) {
        const struct async_barrier *const m = &a->barriers[k];
        if (m->tx == 0)
            continue;
        machine_fault(m->warp, m->insn, -1,
                      "the block ends and the mbarrier at shared offset %u still "
                      "expects %lld bytes",
                      m->off, (long long)m->tx);
        return false;
    }
    for (int32_t k = 0; k < b->n_warps; k++)
        if (!warp_finish(&b->warps[k]))
            return false;
    return wgmma_block_end(b);
}

int async_block_end(struct machine_block *b)
{
    struct async_block *const a = b->async;
    if (a == NULL)
        return 0;
    const bool ok = b->has_fault || block_finish(b);
    for (int32_t k = 0; k < MACHINE_MAX_WARPS / 4; k++)
        wgmma_release(a->products[k]);
    free(a->barriers);
    free(a->loads);
    free(a);
    b->async = NULL;
    return ok ? 0 : ERR_DEVICE;
}
