/*
 * Branches, ends, and the small instructions about a warp's state.
 */
#include <string.h>
#include <time.h>

#include "emulator/scheduler.h"

static enum machine_next run_bra(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask)
{
    return machine_jump(w, i, mask, (int32_t)i->o[0].bits);
}

static ptx_run_fn bind_bra(struct ptx_insn *i)
{
    return i->n_operands == 1 && i->o[0].kind == PTX_LABEL ? run_bra : NULL;
}

/* The lanes that a computed branch sends to one target. */
static uint32_t same_index(const uint32_t *index, uint32_t lanes, uint32_t wanted)
{
    uint32_t same = 0;
    for (int32_t lane = 0; lane < PTX_LANES; lane++)
        same |= (uint32_t)(index[lane] == wanted) << lane;
    return same & lanes;
}

static enum machine_next run_brx(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask)
{
    const uint32_t *const index = machine_u32(w, i->o[0].slot);
    const struct ptx_operand *const list = &i->o[1];
    for (uint32_t left = mask; left != 0;) {
        const int32_t lane = __builtin_ctz(left);
        const uint32_t target = index[lane];
        if (target >= (uint32_t)list->n_items)
            return machine_fault(w, i, lane, "branches to target %u of %d", target,
                                 list->n_items);
        const uint32_t same = same_index(index, left, target);
        left &= ~same;
        const int32_t pc = (int32_t)list->items[target].bits;
        if (same == machine_active(w))
            return machine_jump(w, i, same, pc);
        (void)machine_jump(w, i, same, pc);
    }
    return MACHINE_JUMP;
}

static ptx_run_fn bind_brx(struct ptx_insn *i)
{
    if (i->n_operands != 2 || i->o[1].kind != PTX_VECTOR || !ptx_want(i, 0, 4))
        return NULL;
    for (int32_t k = 0; k < i->o[1].n_items; k++) {
        if (i->o[1].items[k].kind != PTX_LABEL)
            return NULL;
    }
    return run_brx;
}

static enum machine_next run_exit(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    return machine_exit(w, i, mask);
}

static ptx_run_fn bind_exit(struct ptx_insn *i)
{
    return i->n_operands == 0 ? run_exit : NULL;
}

static enum machine_next run_trap(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    return machine_fault(w, i, __builtin_ctz(mask), "the kernel executed %s",
                         i->part[0]);
}

static ptx_run_fn bind_trap(struct ptx_insn *i)
{
    return i->n_operands == 0 ? run_trap : NULL;
}

enum machine_next machine_nothing(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    (void)w;
    (void)i;
    (void)mask;
    return MACHINE_NEXT;
}

static ptx_run_fn bind_nothing(struct ptx_insn *i)
{
    (void)i;
    return machine_nothing;
}

static enum machine_next run_setmaxnreg(struct machine_warp *w,
                                        const struct ptx_insn *i, uint32_t mask)
{
    (void)i;
    return machine_aligned(w, mask);
}

static ptx_run_fn bind_setmaxnreg(struct ptx_insn *i)
{
    const int64_t n = i->o[0].bits;
    const bool is_valid = i->n_operands == 1 && i->o[0].kind == PTX_IMM &&
                          ptx_has(i, "sync") && ptx_has(i, "aligned") &&
                          (ptx_has(i, "inc") || ptx_has(i, "dec"));
    return is_valid && n >= 24 && n <= 256 && n % 8 == 0 ? run_setmaxnreg : NULL;
}

static ptx_run_fn bind_griddepcontrol(struct ptx_insn *i)
{
    return ptx_has(i, "launch_dependents") || ptx_has(i, "wait") ? machine_nothing
                                                                 : NULL;
}

static void store_lanes(uint32_t *d, uint32_t value, uint32_t mask)
{
    for (uint32_t left = mask; left != 0; left &= left - 1)
        d[__builtin_ctz(left)] = value;
}

static enum machine_next run_activemask(struct machine_warp *w,
                                        const struct ptx_insn *i, uint32_t mask)
{
    store_lanes(machine_u32(w, i->o[0].slot), mask, mask);
    return MACHINE_NEXT;
}

static ptx_run_fn bind_activemask(struct ptx_insn *i)
{
    return i->o[0].kind == PTX_REG && ptx_want(i, 0, 4) ? run_activemask : NULL;
}

/* d|p, members: the lowest lane of each group is its leader. */
static enum machine_next run_elect(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    uint32_t ready = 0;
    const int32_t members = i->o[i->n_operands - 1].slot;
    const enum machine_next next = machine_ready(w, i, mask, members, &ready);
    if (next != MACHINE_NEXT)
        return next;
    uint32_t leaders = 0;
    for (uint32_t left = ready; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint32_t group = machine_u32(w, members)[lane] & ready;
        const int32_t leader = __builtin_ctz(group);
        leaders |= (uint32_t)(leader == lane) << lane;
        if (i->o[0].kind == PTX_REG)
            machine_u32(w, i->o[0].slot)[lane] = (uint32_t)leader;
    }
    uint32_t *const p = machine_pred(w, i->o[1].slot);
    *p = (*p & ~ready) | leaders;
    return machine_ready_done(w, i, mask, ready);
}

static ptx_run_fn bind_elect(struct ptx_insn *i)
{
    const bool has_d = i->o[0].kind == PTX_SINK || i->o[0].kind == PTX_REG;
    return i->n_operands == 3 && has_d && i->o[1].kind == PTX_PRED && ptx_want(i, 2, 4)
               ? run_elect
               : NULL;
}

/* Special registers that change, and those of the launch: mov.u64 d, %clock64. */
enum moving { CLOCK, CLOCK_HI, TIMER, TIMER_HI, DYNAMIC_BYTES, TOTAL_BYTES };

static uint64_t read_moving(const struct machine_warp *w, enum moving what)
{
    struct timespec now;
    switch (what) {
    case CLOCK:
        return w->block->progress + w->n_done;
    case CLOCK_HI:
        return (w->block->progress + w->n_done) >> 32;
    case TIMER:
    case TIMER_HI:
        clock_gettime(CLOCK_REALTIME, &now);
        const uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        return what == TIMER ? ns : ns >> 32;
    case DYNAMIC_BYTES:
        return w->block->launch->dynamic_bytes;
    case TOTAL_BYTES:
        return w->block->shared_bytes;
    }
    return 0;
}

static enum machine_next run_moving(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    const uint64_t value = read_moving(w, (enum moving)i->option[0]);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        if (i->o[0].bytes == 8)
            machine_u64(w, i->o[0].slot)[lane] = value;
        else
            machine_u32(w, i->o[0].slot)[lane] = (uint32_t)value;
    }
    return MACHINE_NEXT;
}

static ptx_run_fn bind_moving(struct ptx_insn *i)
{
    static const struct {
        const char *name;
        enum moving what;
    } names[] = {{"%clock", CLOCK},
                 {"%clock64", CLOCK},
                 {"%clock_hi", CLOCK_HI},
                 {"%globaltimer", TIMER},
                 {"%globaltimer_lo", TIMER},
                 {"%globaltimer_hi", TIMER_HI},
                 {"%dynamic_smem_size", DYNAMIC_BYTES},
                 {"%total_smem_size", TOTAL_BYTES}};
    if (i->n_operands != 1 || i->o[0].kind != PTX_REG)
        return NULL;
    for (int64_t k = 0; k < ARRAY_LEN(names); k++) {
        if (strcmp(i->part[1], names[k].name) != 0)
            continue;
        i->option[0] = (int32_t)names[k].what;
        return run_moving;
    }
    return NULL;
}

const struct machine_op machine_ops_control[] = {
    {"bra", bind_bra},
    {"brx.idx", bind_brx},
    {"exit", bind_exit},
    {"ret", bind_exit},
    {"trap", bind_trap},
    {"brkpt", bind_trap},
    {"bar", barrier_bind},
    {"barrier", barrier_bind},
    {"barrier.cluster", barrier_cluster_bind},
    {"nanosleep", bind_nothing},
    {"pmevent", bind_nothing},
    {"setmaxnreg", bind_setmaxnreg},
    {"griddepcontrol", bind_griddepcontrol},
    {"activemask", bind_activemask},
    {"elect.sync", bind_elect},
    {"mov.%clock", bind_moving},
    {"mov.%clock64", bind_moving},
    {"mov.%clock_hi", bind_moving},
    {"mov.%globaltimer", bind_moving},
    {"mov.%globaltimer_lo", bind_moving},
    {"mov.%globaltimer_hi", bind_moving},
    {"mov.%dynamic_smem_size", bind_moving},
    {"mov.%total_smem_size", bind_moving},
    {NULL, NULL},
};
