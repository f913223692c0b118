/*
 * mov (with packing and unpacking), selp, slct, cvta, isspacep, and logic of
 * predicates.
 *
 * Executors work on all 32 lanes in loops of fixed length, which the compiler turns
 * into vector code, and keep the lanes outside the mask by a select.
 */
#include "emulator/move.h"

#include <string.h>

/* Register bytes of a width: narrow ones live in 4. */
static int32_t slot_bytes(int32_t bytes) { return bytes < 4 ? 4 : bytes; }

/* The bytes of the mnemonic's last part, the type of most of these instructions. */
static int32_t last_type_bytes(const struct ptx_insn *i)
{
    return ptx_type_bytes(i->part[i->n_parts - 1]);
}

static bool is_type(const struct ptx_insn *i, const char *type)
{
    return strcmp(i->part[i->n_parts - 1], type) == 0;
}

/* --- mov --- */

static enum machine_next run_mov_b32(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask)
{
    move_put_u32(machine_u32(w, i->o[0].slot), machine_u32(w, i->o[1].slot), mask);
    return MACHINE_NEXT;
}

static enum machine_next run_mov_b64(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask)
{
    move_put_u64(machine_u64(w, i->o[0].slot), machine_u64(w, i->o[1].slot), mask);
    return MACHINE_NEXT;
}

static enum machine_next run_mov_b128(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    for (int32_t half = 0; half < 2; half++)
        move_put_u64(machine_u64(w, i->o[0].slot) + half * PTX_LANES,
                     machine_u64(w, i->o[1].slot) + half * PTX_LANES, mask);
    return MACHINE_NEXT;
}

static enum machine_next run_mov_pred(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    move_put_pred(w, &i->o[0], move_pred(w, &i->o[1]), mask);
    return MACHINE_NEXT;
}

/* {a, b} of 32 bits each to 64 and back */
static enum machine_next run_pack_2x32(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    const uint32_t *lo = machine_u32(w, i->o[1].items[0].slot);
    const uint32_t *hi = machine_u32(w, i->o[1].items[1].slot);
    uint64_t v[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = (uint64_t)hi[l] << 32 | lo[l];
    move_put_u64(machine_u64(w, i->o[0].slot), v, mask);
    return MACHINE_NEXT;
}

static enum machine_next run_unpack_2x32(struct machine_warp *w,
                                         const struct ptx_insn *i, uint32_t mask)
{
    const uint64_t *a = machine_u64(w, i->o[1].slot);
    for (int32_t k = 0; k < 2; k++) {
        const struct ptx_operand *d = &i->o[0].items[k];
        uint32_t v[PTX_LANES];
        for (int32_t l = 0; l < PTX_LANES; l++)
            v[l] = (uint32_t)(a[l] >> 32 * k);
        if (d->kind == PTX_REG)
            move_put_u32(machine_u32(w, d->slot), v, mask);
    }
    return MACHINE_NEXT;
}

/* {a, b} of 16 bits each to 32; narrow registers are zero-extended */
static enum machine_next run_pack_2x16(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    const uint32_t *lo = machine_u32(w, i->o[1].items[0].slot);
    const uint32_t *hi = machine_u32(w, i->o[1].items[1].slot);
    uint32_t v[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = hi[l] << 16 | (lo[l] & 0xffff);
    move_put_u32(machine_u32(w, i->o[0].slot), v, mask);
    return MACHINE_NEXT;
}

/* The bytes of a register of up to 16 bytes, of one lane, little-endian. */
static void lane_load(const struct machine_warp *w, const struct ptx_operand *o,
                      int32_t lane, uint8_t bytes[16])
{
    memset(bytes, 0, 16);
    if (o->bytes == 4) {
        memcpy(bytes, machine_u32(w, o->slot) + lane, sizeof(uint32_t));
        return;
    }
    memcpy(bytes, machine_u64(w, o->slot) + lane, sizeof(uint64_t));
    if (o->bytes == 16)
        memcpy(bytes + 8, machine_u64(w, o->slot) + PTX_LANES + lane, sizeof(uint64_t));
}

static void lane_store(const struct machine_warp *w, const struct ptx_operand *o,
                       int32_t lane, const uint8_t bytes[16])
{
    if (o->bytes == 4) {
        memcpy(machine_u32(w, o->slot) + lane, bytes, sizeof(uint32_t));
        return;
    }
    memcpy(machine_u64(w, o->slot) + lane, bytes, sizeof(uint64_t));
    if (o->bytes == 16)
        memcpy(machine_u64(w, o->slot) + PTX_LANES + lane, bytes + 8, sizeof(uint64_t));
}

/* Any other split; option[0]: bytes of an item */
static enum machine_next run_pack(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    const int32_t size = i->option[0];
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        const int32_t lane = __builtin_ctz(rest);
        uint8_t whole[16] = {0}, item[16];
        for (int32_t k = 0; k < i->o[1].n_items; k++) {
            lane_load(w, &i->o[1].items[k], lane, item);
            memcpy(whole + (ptrdiff_t)k * size, item, (size_t)size);
        }
        lane_store(w, &i->o[0], lane, whole);
    }
    return MACHINE_NEXT;
}

static enum machine_next run_unpack(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    const int32_t size = i->option[0];
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        const int32_t lane = __builtin_ctz(rest);
        uint8_t whole[16], item[16];
        lane_load(w, &i->o[1], lane, whole);
        for (int32_t k = 0; k < i->o[0].n_items; k++) {
            memset(item, 0, sizeof item);
            memcpy(item, whole + (ptrdiff_t)k * size, (size_t)size);
            if (i->o[0].items[k].kind == PTX_REG)
                lane_store(w, &i->o[0].items[k], lane, item);
        }
    }
    return MACHINE_NEXT;
}

static bool is_value(const struct ptx_operand *o)
{
    return o->kind == PTX_REG || o->kind == PTX_IMM;
}

/* Items are registers, of a destination also sinks, of a source also immediates. */
static bool are_items(const struct ptx_operand *v, bool is_destination)
{
    for (int32_t k = 0; k < v->n_items; k++) {
        const enum ptx_operand_kind kind = v->items[k].kind;
        if (kind != PTX_REG && kind != (is_destination ? PTX_SINK : PTX_IMM))
            return false;
    }
    return true;
}

/* One of the operands is a vector whose items make up the type. */
static ptx_run_fn bind_packing(struct ptx_insn *i, int32_t bytes)
{
    const int32_t which = i->o[0].kind == PTX_VECTOR ? 0 : 1;
    const struct ptx_operand *v = &i->o[which], *other = &i->o[1 - which];
    if (v->n_items < 2 || bytes % v->n_items != 0 || !are_items(v, which == 0))
        return NULL;
    const int32_t item = bytes / v->n_items;
    const bool is_pair = v->n_items == 2 && bytes == 8;
    const bool is_short_pair = v->n_items == 2 && bytes == 4;
    if (!ptx_want(i, which, item) || !ptx_want(i, 1 - which, bytes))
        return NULL;
    i->option[0] = item;
    if (which == 0)
        return !is_value(other) ? NULL : is_pair ? run_unpack_2x32 : run_unpack;
    if (other->kind != PTX_REG)
        return NULL;
    return is_pair ? run_pack_2x32 : is_short_pair ? run_pack_2x16 : run_pack;
}

static ptx_run_fn bind_mov(struct ptx_insn *i)
{
    const int32_t bytes = last_type_bytes(i);
    if (i->n_parts != 2 || i->n_operands != 2 || bytes == 0)
        return NULL;
    if (is_type(i, "pred"))
        return i->o[0].kind == PTX_PRED && !i->o[0].negated && ptx_want_pred(i, 1)
                   ? run_mov_pred
                   : NULL;
    if (i->o[0].kind == PTX_VECTOR || i->o[1].kind == PTX_VECTOR)
        return bind_packing(i, bytes);
    if (i->o[0].kind != PTX_REG || !is_value(&i->o[1]) || bytes < 2 ||
        !ptx_want(i, 0, bytes) || !ptx_want(i, 1, bytes))
        return NULL;
    return slot_bytes(bytes) == 4 ? run_mov_b32
           : bytes == 8           ? run_mov_b64
                                  : run_mov_b128;
}

/* --- selp, slct --- */

/* d = bit of `choose` ? a : b, of registers of 4 or 8 bytes */
static void choose_put(struct machine_warp *w, const struct ptx_insn *i,
                       uint32_t choose, uint32_t mask)
{
    if (i->o[0].bytes == 4) {
        const uint32_t *a = machine_u32(w, i->o[1].slot);
        const uint32_t *b = machine_u32(w, i->o[2].slot);
        uint32_t v[PTX_LANES];
        for (int32_t l = 0; l < PTX_LANES; l++)
            v[l] = choose >> l & 1 ? a[l] : b[l];
        move_put_u32(machine_u32(w, i->o[0].slot), v, mask);
        return;
    }
    const uint64_t *a = machine_u64(w, i->o[1].slot);
    const uint64_t *b = machine_u64(w, i->o[2].slot);
    uint64_t v[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = choose >> l & 1 ? a[l] : b[l];
    move_put_u64(machine_u64(w, i->o[0].slot), v, mask);
}

static enum machine_next run_selp(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    choose_put(w, i, move_pred(w, &i->o[3]), mask);
    return MACHINE_NEXT;
}

/* d, a and b of one width */
static bool want_choice(struct ptx_insn *i, int32_t bytes)
{
    return i->n_operands == 4 && (bytes == 2 || bytes == 4 || bytes == 8) &&
           i->o[0].kind == PTX_REG && is_value(&i->o[1]) && is_value(&i->o[2]) &&
           ptx_want(i, 0, bytes) && ptx_want(i, 1, bytes) && ptx_want(i, 2, bytes);
}

static ptx_run_fn bind_selp(struct ptx_insn *i)
{
    const bool is_ok = i->n_parts == 2 && want_choice(i, last_type_bytes(i));
    return is_ok && ptx_want_pred(i, 3) ? run_selp : NULL;
}

static enum machine_next run_slct_s32(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    const uint32_t *c = machine_u32(w, i->o[3].slot);
    uint32_t choose = 0;
    for (int32_t l = 0; l < PTX_LANES; l++)
        choose |= (uint32_t)((int32_t)c[l] >= 0) << l;
    choose_put(w, i, choose, mask);
    return MACHINE_NEXT;
}

/* NaN chooses b, -0 a; option[0]: ftz, which makes negative subnormals -0 */
static enum machine_next run_slct_f32(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    const float *c = machine_f32(w, i->o[3].slot);
    const float least = i->option[0] ? -0x1p-126f : -0x1p-149f;
    uint32_t choose = 0;
    for (int32_t l = 0; l < PTX_LANES; l++)
        choose |= (uint32_t)(c[l] > least) << l;
    choose_put(w, i, choose, mask);
    return MACHINE_NEXT;
}

/* slct.<type of d, a, b>.<s32 or f32> */
static ptx_run_fn bind_slct(struct ptx_insn *i)
{
    i->option[0] = ptx_has(i, "ftz");
    if (i->n_parts != 3 + i->option[0] ||
        !want_choice(i, ptx_type_bytes(i->part[i->n_parts - 2])) ||
        !is_value(&i->o[3]) || !ptx_want(i, 3, 4))
        return NULL;
    if (is_type(i, "s32") && !i->option[0])
        return run_slct_s32;
    return is_type(i, "f32") ? run_slct_f32 : NULL;
}

/* --- addresses --- */

/* option[0]: to generic (1) or from it; the windows are 2^56 apart, so the difference
 * is an addition of the window either way */
static enum machine_next run_cvta(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    static const uint64_t windows[] = {0, 0, MACHINE_SHARED_WINDOW,
                                       MACHINE_LOCAL_WINDOW, MACHINE_PARAM_WINDOW};
    const uint64_t window = windows[i->option[1]];
    const uint64_t add = i->option[0] ? window : -window;
    const uint64_t *a = machine_u64(w, i->o[1].slot);
    uint64_t v[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = a[l] + add;
    move_put_u64(machine_u64(w, i->o[0].slot), v, mask);
    return MACHINE_NEXT;
}

static const char *const space_names[] = {
    "global",      "const",           "shared",       "local", "param",
    "shared::cta", "shared::cluster", "param::entry", NULL};

/* The space's place among the first five names; clusters are single blocks. -1: none */
static int32_t which_space(const struct ptx_insn *i)
{
    static const int32_t plain[] = {0, 1, 2, 3, 4, 2, 2, 4};
    const int32_t space = ptx_which(i, space_names);
    return space < 0 ? -1 : plain[space];
}

static ptx_run_fn bind_cvta(struct ptx_insn *i)
{
    i->option[0] = !ptx_has(i, "to");
    i->option[1] = which_space(i);
    if (i->n_parts != (i->option[0] ? 3 : 4) || !is_type(i, "u64") ||
        i->option[1] < 0 || i->n_operands != 2 || i->o[0].kind != PTX_REG ||
        !is_value(&i->o[1]) || !ptx_want(i, 0, 8) || !ptx_want(i, 1, 8))
        return NULL;
    return run_cvta;
}

/* option[0]: the space's window; 0: global, which is outside all of them */
static enum machine_next run_isspacep(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    static const uint64_t windows[] = {MACHINE_SHARED_WINDOW, MACHINE_LOCAL_WINDOW,
                                       MACHINE_PARAM_WINDOW};
    const uint64_t *a = machine_u64(w, i->o[1].slot);
    uint32_t in[3] = {0};
    for (int32_t s = 0; s < 3; s++)
        for (int32_t l = 0; l < PTX_LANES; l++)
            in[s] |= (uint32_t)((a[l] & MACHINE_WINDOW_MASK) == windows[s]) << l;
    const bool is_global = i->option[0] == 0;
    const uint32_t value = is_global ? ~(in[0] | in[1] | in[2]) : in[i->option[0] - 2];
    move_put_pred(w, &i->o[0], value, mask);
    return MACHINE_NEXT;
}

/* .const is not told from .global: both are host memory here */
static ptx_run_fn bind_isspacep(struct ptx_insn *i)
{
    i->option[0] = which_space(i);
    if (i->n_parts != 2 || i->n_operands != 2 || i->o[0].kind != PTX_PRED ||
        i->o[0].negated || !is_value(&i->o[1]) || !ptx_want(i, 1, 8) ||
        i->option[0] < 0 || i->option[0] == 1)
        return NULL;
    return run_isspacep;
}

/* --- logic of predicates --- */

static enum machine_next run_and_pred(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    move_put_pred(w, &i->o[0], move_pred(w, &i->o[1]) & move_pred(w, &i->o[2]), mask);
    return MACHINE_NEXT;
}

static enum machine_next run_or_pred(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask)
{
    move_put_pred(w, &i->o[0], move_pred(w, &i->o[1]) | move_pred(w, &i->o[2]), mask);
    return MACHINE_NEXT;
}

static enum machine_next run_xor_pred(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    move_put_pred(w, &i->o[0], move_pred(w, &i->o[1]) ^ move_pred(w, &i->o[2]), mask);
    return MACHINE_NEXT;
}

static enum machine_next run_not_pred(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    move_put_pred(w, &i->o[0], ~move_pred(w, &i->o[1]), mask);
    return MACHINE_NEXT;
}

static ptx_run_fn bind_logic(struct ptx_insn *i)
{
    const bool is_not = strcmp(i->part[0], "not") == 0;
    if (i->n_parts != 2 || i->n_operands != (is_not ? 2 : 3) ||
        i->o[0].kind != PTX_PRED || i->o[0].negated || !ptx_want_pred(i, 1) ||
        (!is_not && !ptx_want_pred(i, 2)))
        return NULL;
    switch (i->part[0][0]) {
    case 'a':
        return run_and_pred;
    case 'o':
        return run_or_pred;
    case 'x':
        return run_xor_pred;
    default:
        return run_not_pred;
    }
}

const struct machine_op machine_ops_move[] = {
    {"mov", bind_mov},           {"selp", bind_selp},      {"slct", bind_slct},
    {"setp", move_bind_setp},    {"set", move_bind_set},   {"cvta", bind_cvta},
    {"isspacep", bind_isspacep}, {"and.pred", bind_logic}, {"or.pred", bind_logic},
    {"xor.pred", bind_logic},    {"not.pred", bind_logic}, {NULL, NULL},
};
