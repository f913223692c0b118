/*
 * setp and set. Every comparison is one of a few orders of a type, perhaps with its
 * sides swapped, perhaps complemented: a >= b is b <= a, and with integers not a < b;
 * "geu" is not a < b with floats too, since it is true where either is NaN, and "ge"
 * false. 16-bit values are widened first, exactly.
 */
#include "emulator/move.h"

#include <string.h>

#include "core/dtype_bits.h"

/* Bit l of the result: lane l of a and b. */
typedef uint32_t (*order_fn)(const void *a, const void *b);

/* X(name, type, order) */
#define ORDER_LIST(X)                                                                  \
    X(eq_b32, uint32_t, ==)                                                            \
    X(lt_u32, uint32_t, <)                                                             \
    X(lt_s32, int32_t, <)                                                              \
    X(eq_b64, uint64_t, ==)                                                            \
    X(lt_u64, uint64_t, <)                                                             \
    X(lt_s64, int64_t, <)                                                              \
    X(eq_f32, float, ==)                                                               \
    X(lt_f32, float, <)                                                                \
    X(le_f32, float, <=)                                                               \
    X(eq_f64, double, ==)                                                              \
    X(lt_f64, double, <)                                                               \
    X(le_f64, double, <=)

#define X(name, type, order)                                                           \
    static uint32_t name(const void *a, const void *b)                                 \
    {                                                                                  \
        uint32_t bits = 0;                                                             \
        for (int32_t l = 0; l < PTX_LANES; l++)                                        \
            bits |= (uint32_t)(((const type *)a)[l] order((const type *)b)[l]) << l;   \
        return bits;                                                                   \
    }
ORDER_LIST(X)
#undef X

/* Both are numbers, and they differ. */
static uint32_t ne_f32(const void *a, const void *b)
{
    return lt_f32(a, b) | lt_f32(b, a);
}
static uint32_t ne_f64(const void *a, const void *b)
{
    return lt_f64(a, b) | lt_f64(b, a);
}
/* Both are numbers. */
static uint32_t num_f32(const void *a, const void *b)
{
    return eq_f32(a, a) & eq_f32(b, b);
}
static uint32_t num_f64(const void *a, const void *b)
{
    return eq_f64(a, a) & eq_f64(b, b);
}

enum order { ORDER_EQ, ORDER_LT, ORDER_LE, ORDER_NE, ORDER_NUM, N_ORDERS };

enum widening { AS_IS, FROM_S16, FROM_F16, FROM_BF16 };

static const struct source_type {
    const char *name;
    int32_t bytes;
    enum widening widening;
    bool is_float;
    order_fn order[N_ORDERS];
} source_types[] = {
    {"b16", 2, AS_IS, false, {eq_b32}},
    {"u16", 2, AS_IS, false, {eq_b32, lt_u32}},
    {"s16", 2, FROM_S16, false, {eq_b32, lt_s32}},
    {"b32", 4, AS_IS, false, {eq_b32}},
    {"u32", 4, AS_IS, false, {eq_b32, lt_u32}},
    {"s32", 4, AS_IS, false, {eq_b32, lt_s32}},
    {"b64", 8, AS_IS, false, {eq_b64}},
    {"u64", 8, AS_IS, false, {eq_b64, lt_u64}},
    {"s64", 8, AS_IS, false, {eq_b64, lt_s64}},
    {"f32", 4, AS_IS, true, {eq_f32, lt_f32, le_f32, ne_f32, num_f32}},
    {"f64", 8, AS_IS, true, {eq_f64, lt_f64, le_f64, ne_f64, num_f64}},
    {"f16", 2, FROM_F16, true, {eq_f32, lt_f32, le_f32, ne_f32, num_f32}},
    {"bf16", 2, FROM_BF16, true, {eq_f32, lt_f32, le_f32, ne_f32, num_f32}},
    {"f16x2", 4, FROM_F16, true, {eq_f32, lt_f32, le_f32, ne_f32, num_f32}},
    {"bf16x2", 4, FROM_BF16, true, {eq_f32, lt_f32, le_f32, ne_f32, num_f32}},
};

/* The comparison as an order, for floats and for integers. */
struct rule {
    int8_t order; /* -1: not for these types */
    bool is_swapped, is_not;
};
static const struct comparison {
    const char *name;
    struct rule of_float, of_int;
    bool is_unsigned; /* lo, ls, hi, hs: of u types alone */
} comparisons[] = {
    {"eq", {ORDER_EQ, false, false}, {ORDER_EQ, false, false}, false},
    {"ne", {ORDER_NE, false, false}, {ORDER_EQ, false, true}, false},
    {"lt", {ORDER_LT, false, false}, {ORDER_LT, false, false}, false},
    {"le", {ORDER_LE, false, false}, {ORDER_LT, true, true}, false},
    {"gt", {ORDER_LT, true, false}, {ORDER_LT, true, false}, false},
    {"ge", {ORDER_LE, true, false}, {ORDER_LT, false, true}, false},
    {"lo", {-1, false, false}, {ORDER_LT, false, false}, true},
    {"ls", {-1, false, false}, {ORDER_LT, true, true}, true},
    {"hi", {-1, false, false}, {ORDER_LT, true, false}, true},
    {"hs", {-1, false, false}, {ORDER_LT, false, true}, true},
    {"equ", {ORDER_NE, false, true}, {-1, false, false}, false},
    {"neu", {ORDER_EQ, false, true}, {-1, false, false}, false},
    {"ltu", {ORDER_LE, true, true}, {-1, false, false}, false},
    {"leu", {ORDER_LT, true, true}, {-1, false, false}, false},
    {"gtu", {ORDER_LE, false, true}, {-1, false, false}, false},
    {"geu", {ORDER_LT, false, true}, {-1, false, false}, false},
    {"num", {ORDER_NUM, false, false}, {-1, false, false}, false},
    {"nan", {ORDER_NUM, false, true}, {-1, false, false}, false},
};

/* option[0]: index into source_types; option[1]: of the comparison's order, and flags;
 * option[2]: the combination with a predicate; option[3]: operand a's number, and what
 * set gives for true */
enum { FLAG_SWAP = 8, FLAG_NOT = 16, FLAG_FTZ = 32, ORDER_MASK = 7 };
enum combination { WITH_NONE, WITH_AND, WITH_OR, WITH_XOR };

/* --- lanes --- */

/* ftz: magnitudes below the least normal one are zeros, whose sign no order sees */
static void flush(float *v, float least)
{
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = __builtin_fabsf(v[l]) < least ? 0.0f : v[l];
}

/* The operand's lanes as the orders take them; of pairs the high halves if is_high. */
static const void *lanes(const struct machine_warp *w, const struct ptx_insn *i,
                         int32_t k, bool is_high, void *space)
{
    const uint32_t *in = machine_u32(w, i->o[k].slot);
    const int32_t shift = is_high ? 16 : 0;
    int32_t *ints = space;
    float *floats = space;
    const bool is_ftz = i->option[1] & FLAG_FTZ;
    switch (source_types[i->option[0]].widening) {
    case AS_IS:
        if (!is_ftz)
            return in;
        memcpy(floats, in, PTX_LANES * sizeof *floats);
        flush(floats, 0x1p-126f);
        break;
    case FROM_S16:
        for (int32_t l = 0; l < PTX_LANES; l++)
            ints[l] = (int16_t)in[l];
        break;
    case FROM_F16:
        for (int32_t l = 0; l < PTX_LANES; l++)
            floats[l] = float_of(f16_to_bits((uint16_t)(in[l] >> shift)));
        if (is_ftz)
            flush(floats, 0x1p-14f);
        break;
    case FROM_BF16:
        for (int32_t l = 0; l < PTX_LANES; l++)
            floats[l] = float_of(bf16_to_bits((uint16_t)(in[l] >> shift)));
        break;
    }
    return space;
}

static uint32_t compare(const struct machine_warp *w, const struct ptx_insn *i,
                        int32_t first, bool is_high)
{
    float space_a[PTX_LANES], space_b[PTX_LANES];
    const void *a = lanes(w, i, first, is_high, space_a);
    const void *b = lanes(w, i, first + 1, is_high, space_b);
    const int32_t how = i->option[1];
    const order_fn order = source_types[i->option[0]].order[how & ORDER_MASK];
    const uint32_t bits = how & FLAG_SWAP ? order(b, a) : order(a, b);
    return how & FLAG_NOT ? ~bits : bits;
}

static uint32_t combine(const struct machine_warp *w, const struct ptx_insn *i,
                        int32_t k, uint32_t bits)
{
    switch ((enum combination)i->option[2]) {
    case WITH_NONE:
        break;
    case WITH_AND:
        return bits & move_pred(w, &i->o[k]);
    case WITH_OR:
        return bits | move_pred(w, &i->o[k]);
    case WITH_XOR:
        return bits ^ move_pred(w, &i->o[k]);
    }
    return bits;
}

/* --- setp --- */

static enum machine_next run_setp(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    move_put_pred(w, &i->o[0], combine(w, i, 3, compare(w, i, 1, false)), mask);
    return MACHINE_NEXT;
}

/* p|q: the complement of the comparison, before it is combined, goes to q */
static enum machine_next run_setp_both(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    const uint32_t bits = compare(w, i, 2, false);
    const uint32_t p = combine(w, i, 4, bits), q = combine(w, i, 4, ~bits);
    move_put_pred(w, &i->o[0], p, mask);
    move_put_pred(w, &i->o[1], q, mask);
    return MACHINE_NEXT;
}

/* p|q of pairs: low halves, high halves */
static enum machine_next run_setp_pair(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    const uint32_t p = combine(w, i, 4, compare(w, i, 2, false));
    const uint32_t q = combine(w, i, 4, compare(w, i, 2, true));
    move_put_pred(w, &i->o[0], p, mask);
    move_put_pred(w, &i->o[1], q, mask);
    return MACHINE_NEXT;
}

/* --- set --- */

static enum machine_next run_set(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask)
{
    const uint32_t bits = combine(w, i, 3, compare(w, i, 1, false));
    const uint32_t yes = (uint32_t)i->option[3];
    uint32_t v[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = bits >> l & 1 ? yes : 0;
    move_put_u32(machine_u32(w, i->o[0].slot), v, mask);
    return MACHINE_NEXT;
}

static enum machine_next run_set_pair(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    const uint32_t low = combine(w, i, 3, compare(w, i, 1, false));
    const uint32_t high = combine(w, i, 3, compare(w, i, 1, true));
    const uint32_t yes = (uint32_t)i->option[3];
    uint32_t v[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++)
        v[l] = (low >> l & 1 ? yes & 0xffff : 0) | (high >> l & 1 ? yes & ~0xffffu : 0);
    move_put_u32(machine_u32(w, i->o[0].slot), v, mask);
    return MACHINE_NEXT;
}

/* --- binding --- */

static bool is_pair(const struct ptx_insn *i)
{
    const struct source_type *t = &source_types[i->option[0]];
    return t->bytes == 4 && (t->widening == FROM_F16 || t->widening == FROM_BF16);
}

/* The comparison (part 1) in the source type. */
static bool find_order(struct ptx_insn *i)
{
    const struct source_type *t = &source_types[i->option[0]];
    for (int64_t c = 0; c < ARRAY_LEN(comparisons); c++) {
        if (strcmp(comparisons[c].name, i->part[1]) != 0)
            continue;
        const struct rule *r = t->is_float ? &comparisons[c].of_float
                                           : &comparisons[c].of_int;
        if (r->order < 0 || !t->order[r->order] ||
            (comparisons[c].is_unsigned && t->name[0] != 'u'))
            return false;
        i->option[1] = r->order | (r->is_swapped ? FLAG_SWAP : 0) |
                       (r->is_not ? FLAG_NOT : 0);
        return true;
    }
    return false;
}

/* Fills the options from "<op>.cmp{.bool}{.ftz}<n_types types>". */
static bool read_mnemonic(struct ptx_insn *i, int32_t n_types)
{
    static const char *const combinations[] = {"and", "or", "xor", NULL};
    const char *last = i->part[i->n_parts - 1];
    i->option[0] = -1;
    for (int32_t t = 0; t < ARRAY_LEN(source_types); t++)
        if (strcmp(source_types[t].name, last) == 0)
            i->option[0] = t;
    if (i->option[0] < 0 || i->n_parts < 2 + n_types || !find_order(i))
        return false;
    i->option[2] = ptx_which(i, combinations) + 1;
    const bool is_ftz = ptx_has(i, "ftz");
    if (is_ftz && strcmp(last, "f32") != 0 && strcmp(last, "f16") != 0 &&
        strcmp(last, "f16x2") != 0)
        return false;
    i->option[1] |= is_ftz ? FLAG_FTZ : 0;
    return i->n_parts == 2 + n_types + (i->option[2] != WITH_NONE) + is_ftz;
}

/* Operands a and b from `first` on, and the predicate to combine with. */
static bool want_sources(struct ptx_insn *i, int32_t first)
{
    const int32_t n = first + 2 + (i->option[2] != WITH_NONE);
    if (i->n_operands != n || (i->option[2] != WITH_NONE && !ptx_want_pred(i, n - 1)))
        return false;
    for (int32_t k = first; k < first + 2; k++)
        if ((i->o[k].kind != PTX_REG && i->o[k].kind != PTX_IMM) ||
            !ptx_want(i, k, source_types[i->option[0]].bytes))
            return false;
    return true;
}

static bool is_destination(const struct ptx_operand *o)
{
    return o->kind == PTX_SINK || (o->kind == PTX_PRED && !o->negated);
}

ptx_run_fn move_bind_setp(struct ptx_insn *i)
{
    if (!read_mnemonic(i, 1))
        return NULL;
    const int32_t n_results = i->n_operands - 2 - (i->option[2] != WITH_NONE);
    if (n_results < 1 || n_results > 2 || !is_destination(&i->o[0]) ||
        !want_sources(i, n_results))
        return NULL;
    if (n_results == 1)
        return is_pair(i) ? NULL : run_setp;
    if (!is_destination(&i->o[1]))
        return NULL;
    return is_pair(i) ? run_setp_pair : run_setp_both;
}

/* What set writes for true; of pairs in each half. */
static const struct {
    const char *type;
    uint32_t bits;
    int32_t bytes;
    bool is_of_pair, is_of_single;
} set_results[] = {
    {"u32", 0xffffffff, 4, true, true},     {"s32", 0xffffffff, 4, true, true},
    {"f32", 0x3f800000, 4, false, true},    {"u16", 0xffff, 2, false, true},
    {"s16", 0xffff, 2, false, true},        {"f16", 0x3c00, 2, false, true},
    {"bf16", 0x3f80, 2, false, true},       {"f16x2", 0x3c003c00, 4, true, false},
    {"bf16x2", 0x3f803f80, 4, true, false},
};

ptx_run_fn move_bind_set(struct ptx_insn *i)
{
    if (!read_mnemonic(i, 2) || !want_sources(i, 1) || i->o[0].kind != PTX_REG)
        return NULL;
    const char *type = i->part[i->n_parts - 2];
    for (int64_t r = 0; r < ARRAY_LEN(set_results); r++) {
        const bool is_right = is_pair(i) ? set_results[r].is_of_pair
                                         : set_results[r].is_of_single;
        if (!is_right || strcmp(set_results[r].type, type) != 0 ||
            !ptx_want(i, 0, set_results[r].bytes))
            continue;
        i->option[3] = (int32_t)set_results[r].bits;
        return is_pair(i) ? run_set_pair : run_set;
    }
    return NULL;
}
