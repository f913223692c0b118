/*
 * atom and red: lane by lane in ascending order, each an atomic operation of the host,
 * since blocks run on several cores.
 *
 * atom.add.f32 on global memory flushes subnormal inputs and results to zero of their
 * sign, as the ISA says; on shared memory it does not. Sums of f16 and bf16 are made in
 * fp32 and rounded once: exact, as fp32 has more than twice their digits.
 */
#include <math.h>
#include <string.h>

#include "emulator/access.h"
#include "emulator/scheduler.h"

enum op { ADD, MIN, MAX, AND, OR, XOR, EXCH, CAS, INC, DEC };
enum type { UNSIGNED, SIGNED, F32, F64, F16, BF16 };
enum { F_HAS_RESULT = 8, F_TYPE = 8, F_OP = 16 }; /* bits and shifts of option[3] */

static float flushed(float v)
{
    return fpclassify(v) == FP_SUBNORMAL ? copysignf(0.0f, v) : v;
}

static float from_bf16(uint32_t bits)
{
    const uint32_t wide = bits << 16;
    float v;
    memcpy(&v, &wide, sizeof(v));
    return v;
}

/* nearest, ties to even; a NaN becomes the canonical one */
static uint32_t to_bf16(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof(bits));
    if (v != v)
        return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static float from_f16(uint32_t bits)
{
    const uint16_t narrow = (uint16_t)bits;
    _Float16 v;
    memcpy(&v, &narrow, sizeof(v));
    return (float)v;
}

static uint32_t to_f16(float v)
{
    const _Float16 narrow = (_Float16)v;
    uint16_t bits;
    memcpy(&bits, &narrow, sizeof(bits));
    return v != v ? 0x7fff : bits;
}

static float pick(enum op op, float a, float b)
{
    if (op == MIN)
        return fminf(a, b);
    return op == MAX ? fmaxf(a, b) : a + b;
}

/* Each half of a word, or the one of a 16-bit value. */
static uint64_t on_halves(enum op op, enum type type, uint64_t a, uint64_t b,
                          int32_t bytes)
{
    uint64_t out = 0;
    for (int32_t k = 0; k < bytes / 2; k++) {
        const uint32_t x = (uint32_t)(a >> 16 * k) & 0xffff;
        const uint32_t y = (uint32_t)(b >> 16 * k) & 0xffff;
        const uint32_t sum = type == BF16
                                 ? to_bf16(pick(op, from_bf16(x), from_bf16(y)))
                                 : to_f16(pick(op, from_f16(x), from_f16(y)));
        out |= (uint64_t)sum << 16 * k;
    }
    return out;
}

static uint64_t add_f32(uint64_t a, uint64_t b, bool flushes)
{
    const uint32_t bits[2] = {(uint32_t)a, (uint32_t)b};
    float v[2];
    memcpy(v, bits, sizeof(v));
    const float sum = flushes ? flushed(flushed(v[0]) + flushed(v[1])) : v[0] + v[1];
    uint32_t out;
    memcpy(&out, &sum, sizeof(out));
    return out;
}

static uint64_t add_f64(uint64_t a, uint64_t b)
{
    double v[2];
    memcpy(&v[0], &a, sizeof(a));
    memcpy(&v[1], &b, sizeof(b));
    const double sum = v[0] + v[1];
    uint64_t out;
    memcpy(&out, &sum, sizeof(out));
    return out;
}

struct operation {
    enum op op;
    enum type type;
    int32_t bytes;
    bool flushes;
};

static bool is_less(const struct operation *o, uint64_t a, uint64_t b)
{
    if (o->type != SIGNED)
        return a < b;
    return o->bytes == 4 ? (int32_t)a < (int32_t)b : (int64_t)a < (int64_t)b;
}

static uint64_t add(const struct operation *o, uint64_t old, uint64_t b)
{
    switch (o->type) {
    case UNSIGNED:
    case SIGNED:
        return old + b;
    case F32:
        return add_f32(old, b, o->flushes);
    case F64:
        return add_f64(old, b);
    case F16:
    case BF16:
        return on_halves(ADD, o->type, old, b, o->bytes);
    }
    return 0;
}

/* The value that replaces old; c: what cas stores. */
static uint64_t apply(const struct operation *o, uint64_t old, uint64_t b, uint64_t c)
{
    const bool is_half = o->type == F16 || o->type == BF16;
    switch (o->op) {
    case ADD:
        return add(o, old, b);
    case MIN:
        return is_half              ? on_halves(MIN, o->type, old, b, o->bytes)
               : is_less(o, b, old) ? b
                                    : old;
    case MAX:
        return is_half              ? on_halves(MAX, o->type, old, b, o->bytes)
               : is_less(o, old, b) ? b
                                    : old;
    case AND:
        return old & b;
    case OR:
        return old | b;
    case XOR:
        return old ^ b;
    case EXCH:
        return b;
    case CAS:
        return old == b ? c : old;
    case INC:
        return old >= b ? 0 : old + 1;
    case DEC:
        return old == 0 || old > b ? b : old - 1;
    }
    return old;
}

#define UPDATE(type)                                                                   \
    do {                                                                               \
        type *const at = (type *)(void *)p;                                            \
        type old = __atomic_load_n(at, __ATOMIC_RELAXED);                              \
        while (!__atomic_compare_exchange_n(at, &old, (type)apply(o, old, b, c), true, \
                                            __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))       \
            continue;                                                                  \
        return old;                                                                    \
    } while (0)

static uint64_t update(uint8_t *p, const struct operation *o, uint64_t b, uint64_t c)
{
    if (o->bytes == 8)
        UPDATE(uint64_t);
    if (o->bytes == 4)
        UPDATE(uint32_t);
    UPDATE(uint16_t);
}

static uint64_t value_of(const struct machine_warp *w, const struct ptx_operand *o,
                         int32_t bytes, int32_t lane)
{
    if (o->bytes == 8)
        return machine_u64(w, o->slot)[lane];
    const uint32_t v = machine_u32(w, o->slot)[lane];
    return bytes == 2 ? v & 0xffff : v;
}

static const struct ptx_operand *item(const struct ptx_operand *o, int32_t k)
{
    return o->kind == PTX_VECTOR ? &o->items[k] : o;
}

/* option[0..2] as access.h says; option[3]: its flags, F_HAS_RESULT, type and op. */
static enum machine_next run_atomic(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    const bool has_result = (i->option[3] & F_HAS_RESULT) != 0;
    const struct ptx_operand *const o = &i->o[has_result ? 1 : 0];
    const int32_t n = i->option[1], bytes = i->option[2];
    struct operation what = {.op = (enum op)(i->option[3] >> F_OP & 0xff),
                             .type = (enum type)(i->option[3] >> F_TYPE & 0xff),
                             .bytes = bytes};
    struct access_lanes lanes;
    if (!access_locate(w, i, mask, o, n * bytes, MACHINE_ATOMIC, &lanes))
        return MACHINE_FAULT;
    const uint64_t shared = (uint64_t)(uintptr_t)w->block->shared;
    access_order(w, i, mask, &lanes, true);
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint64_t host = lanes.at[lane] + lanes.delta;
        what.flushes = host - shared >= w->block->shared_bytes;
        for (int32_t k = 0; k < n; k++) {
            uint8_t *const p = (uint8_t *)(uintptr_t)host + k * bytes;
            const uint64_t b = value_of(w, item(&o[1], k), bytes, lane);
            const uint64_t c = what.op == CAS ? value_of(w, &o[2], bytes, lane) : 0;
            const uint64_t old = update(p, &what, b, c);
            const struct ptx_operand *const d = item(&i->o[0], k);
            if (!has_result || d->kind != PTX_REG)
                continue;
            if (d->bytes == 8)
                machine_u64(w, d->slot)[lane] = old;
            else
                machine_u32(w, d->slot)[lane] = (uint32_t)old;
        }
    }
    access_order(w, i, mask, &lanes, false);
    return MACHINE_NEXT;
}

static const char *const op_names[] = {"add",  "min", "max", "and", "or", "xor",
                                       "exch", "cas", "inc", "dec", NULL};

static enum type type_of(const struct ptx_insn *i)
{
    static const struct {
        const char *name;
        enum type type;
    } types[] = {{"s32", SIGNED}, {"s64", SIGNED}, {"f32", F32},   {"f64", F64},
                 {"f16", F16},    {"f16x2", F16},  {"bf16", BF16}, {"bf16x2", BF16}};
    for (int64_t k = 0; k < ARRAY_LEN(types); k++) {
        if (ptx_has(i, types[k].name))
            return types[k].type;
    }
    return UNSIGNED;
}

/* Which operations the ISA has for which types. */
static bool is_defined(enum op op, enum type type, const struct access_form *f,
                       const char *name)
{
    const bool is_float = type != UNSIGNED && type != SIGNED;
    const bool is_bits = name[0] == 'b' && !is_float;
    if (f->n > 1 && (f->space == MACHINE_SHARED || (type != F32 && type < F16)))
        return false;
    switch (op) {
    case ADD:
        return !is_bits && (f->bytes >= 4 || is_float);
    case MIN:
    case MAX:
        return !is_bits && type != F32 && type != F64 && (f->bytes >= 4 || is_float);
    case AND:
    case OR:
    case XOR:
        return is_bits && f->bytes >= 4;
    case EXCH:
        return is_bits && f->bytes >= 4;
    case CAS:
        return is_bits && f->bytes >= 2;
    case INC:
    case DEC:
        return type == UNSIGNED && !is_bits && f->bytes == 4;
    }
    return false;
}

static bool is_value(struct ptx_insn *i, int32_t k, const struct access_form *f)
{
    const struct ptx_operand *const o = &i->o[k];
    const int32_t n = o->kind == PTX_VECTOR ? o->n_items : 1;
    const bool is_kind = o->kind == PTX_REG || o->kind == PTX_IMM ||
                         o->kind == PTX_VECTOR;
    return is_kind && n == f->n && ptx_want(i, k, f->bytes);
}

static ptx_run_fn bind(struct ptx_insn *i, bool has_result)
{
    struct access_form f;
    const int32_t op = ptx_which(i, op_names);
    const enum type type = type_of(i);
    const int32_t at = has_result ? 1 : 0;
    if (op < 0 || !access_parse(i, op_names, &f) || f.bytes > 8 || f.n * f.bytes > 16 ||
        (f.space != MACHINE_GENERIC && f.space != MACHINE_GLOBAL &&
         f.space != MACHINE_SHARED) ||
        !is_defined((enum op)op, type, &f, i->part[i->n_parts - 1]))
        return NULL;
    const int32_t n_values = op == (int32_t)CAS ? 2 : 1;
    if (i->n_operands != at + 1 + n_values + (int32_t)f.has_hint ||
        i->o[at].kind != PTX_ADDRESS ||
        (!has_result && op >= (int32_t)EXCH && op <= CAS))
        return NULL;
    for (int32_t k = 0; k < n_values; k++) {
        if (!is_value(i, at + 1 + k, &f))
            return NULL;
    }
    if (has_result && i->o[0].kind != PTX_SINK && !is_value(i, 0, &f))
        return NULL;
    access_store(i, &f);
    i->option[3] |= (has_result ? F_HAS_RESULT : 0) | (int32_t)type << F_TYPE |
                    op << F_OP;
    return run_atomic;
}

ptx_run_fn atomic_bind_atom(struct ptx_insn *i) { return bind(i, true); }

ptx_run_fn atomic_bind_red(struct ptx_insn *i) { return bind(i, false); }
