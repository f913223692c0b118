/*
 * cvt between integers and floating-point formats. The conversions that kernels run all
 * the time have an executor each; all others go lane by lane through two functions:
 * read the source as an integer or a double (every format but 64-bit integers is exact
 * in one), round and bound it, write the destination's bits.
 *
 * Integers are cut to the destination's width, with .sat bounded; a floating-point
 * number that becomes an integer is always bounded, and a NaN is 0, or the most
 * negative number (as bits) if either side has 64 bits. A narrow signed result is
 * sign-extended to the width of its register's lane, a 16-bit one (whose lanes are
 * zero-extended) to 16 bits.
 */
#include <fenv.h>
#include <math.h>

#include "emulator/ops_float.h"

/* X(name, is a float, bits) */
#define KINDS(X)                                                                       \
    X(u8, 0, 8)                                                                        \
    X(s8, 0, 8)                                                                        \
    X(u16, 0, 16)                                                                      \
    X(s16, 0, 16)                                                                      \
    X(u32, 0, 32)                                                                      \
    X(s32, 0, 32)                                                                      \
    X(u64, 0, 64)                                                                      \
    X(s64, 0, 64)                                                                      \
    X(f16, 1, 16)                                                                      \
    X(bf16, 1, 16)                                                                     \
    X(tf32, 1, 32)                                                                     \
    X(f32, 1, 32)                                                                      \
    X(f64, 1, 64)
enum kind {
#define X(name, is_float, bits) KIND_##name,
    KINDS(X)
#undef X
        N_KINDS
};
static const struct kind_info {
    const char *name;
    bool is_float, is_signed;
    int32_t bits;
} KIND[] = {
#define X(name, is_float, bits) {#name, is_float, #name[0] == 's', bits},
    KINDS(X)
#undef X
};

/* option[0]: OPS_ROUND and other modifiers, and this for what .rni .rzi .rmi .rpi say
 */
enum { CVT_INTEGRAL = 1 << 12 };
/* which option[] holds the kinds, and whether the destination is a 16-bit register */
enum { DST = 1, SRC, LANE_MASK };

/* --- floats --- */
static double round_integral(double d, int32_t mode)
{
    switch (mode) {
    case OPS_RZ:
        return trunc(d);
    case OPS_RM:
        return floor(d);
    case OPS_RP:
        return ceil(d);
    default:
        return rint(d);
    }
}

/* The value of bits of a format as a double, and back to nearest even. */
static double float_value(enum kind kind, uint64_t u)
{
    switch ((int32_t)kind) {
    case KIND_f16:
        return f16_value((uint32_t)u);
    case KIND_bf16:
        return bf16_value((uint32_t)u);
    case KIND_f64:
        return f64_of(u);
    default:
        return (double)float_of((int32_t)u);
    }
}
enum { TF32_DROPPED = 0x1fff }; /* tf32 is fp32 without the last 13 bits */
static uint64_t float_nearest(enum kind kind, double d)
{
    switch ((int32_t)kind) {
    case KIND_f16:
        return f16_from_bits(f32_odd(d));
    case KIND_bf16:
        return bf16_from_bits(f32_odd(d));
    case KIND_f64:
        return f64_bits(d);
    case KIND_f32:
        return (uint32_t)bits_of((float)d);
    default: {
        const uint32_t u = (uint32_t)f32_odd(d);
        return (u + TF32_DROPPED / 2 + (u >> 13 & 1)) & ~(uint32_t)TF32_DROPPED;
    }
    }
}
static uint64_t float_nan(enum kind kind)
{
    if (kind == KIND_f64)
        return OPS_NAN_F64;
    return KIND[kind].bits == 16 ? OPS_NAN_16 : OPS_NAN_F32;
}
/* the distance of neighbours as bits */
static uint64_t float_step(enum kind kind) { return kind == KIND_tf32 ? 0x2000 : 1; }

/* d (no NaN) in a rounding mode: to nearest, then one step back if that went the wrong
 * way. Bits of one sign are ordered as sizes are, up to and with infinity. */
static uint64_t float_round(enum kind kind, double d, int32_t mode)
{
    uint64_t u = float_nearest(kind, d);
    const double r = float_value(kind, u);
    const bool is_negative = signbit(d);
    const double over = fabs(r) - fabs(d); /* inf - inf: NaN, as exact as 0 */
    const bool shrink = over > 0 &&
                        (mode == OPS_RZ || mode == (is_negative ? OPS_RP : OPS_RM));
    const bool grow = over < 0 && mode == (is_negative ? OPS_RM : OPS_RP);
    /* a tie that went to even, towards zero */
    const double next = float_value(kind, u + float_step(kind));
    const bool tie = mode == OPS_RNA && over < 0 && fabs(next) - fabs(d) == -over;
    if (shrink)
        u -= float_step(kind);
    return grow || tie ? u + float_step(kind) : u;
}

/* the largest finite number as bits, without sign */
static uint64_t float_largest(enum kind kind)
{
    static const uint32_t LARGEST[N_KINDS] = {[KIND_f16] = 0x7bff,
                                              [KIND_bf16] = 0x7f7f,
                                              [KIND_tf32] = 0x7f7fe000,
                                              [KIND_f32] = 0x7f7fffff};
    return LARGEST[kind];
}

/* A double, exact or rounded to odd, as bits of a float kind by modifiers m. */
static uint64_t float_write(enum kind kind, double d, int32_t m)
{
    if (m & OPS_SAT)
        d = d > 0 ? fmin(d, 1) : 0;
    if (m & OPS_RELU && d <= 0)
        d = 0;
    if (d != d)
        return float_nan(kind);
    uint64_t u = float_round(kind, d, m & OPS_ROUND);
    if (m & OPS_SATFINITE && isinf(float_value(kind, u)))
        u = float_largest(kind) | (uint64_t)signbit(d) << (KIND[kind].bits - 1);
    const bool is_small = fabs(float_value(kind, u)) < (double)0x1p-126f;
    if (m & OPS_FTZ && kind == KIND_f32 && is_small)
        u &= 0x80000000;
    return u;
}

/* --- integers --- */
/* the low bits of u as a number of this kind, in 64 bits */
static uint64_t int_value(enum kind kind, uint64_t u)
{
    const int32_t unused = 64 - KIND[kind].bits;
    return KIND[kind].is_signed ? (uint64_t)((int64_t)(u << unused) >> unused)
                                : u << unused >> unused;
}
static int64_t int_min(enum kind kind)
{
    return KIND[kind].is_signed ? -1 - (INT64_MAX >> (64 - KIND[kind].bits)) : 0;
}
static uint64_t int_max(enum kind kind)
{
    return UINT64_MAX >> (64 - KIND[kind].bits + KIND[kind].is_signed);
}
/* .sat: u, a number of kind src, bounded to dst */
static uint64_t int_saturate(enum kind dst, enum kind src, uint64_t u)
{
    const bool is_negative = KIND[src].is_signed && (int64_t)u < 0;
    if (is_negative)
        return (int64_t)u < int_min(dst) ? (uint64_t)int_min(dst) : u;
    return u > int_max(dst) ? int_max(dst) : u;
}
static uint64_t int_of_float(enum kind dst, enum kind src, double d, int32_t m)
{
    if (d != d)
        return KIND[dst].bits == 64 || src == KIND_f64
                   ? (uint64_t)1 << (KIND[dst].bits - 1)
                   : 0;
    const double r = round_integral(d, m & OPS_ROUND);
    if (r <= (double)int_min(dst))
        return (uint64_t)int_min(dst);
    if (r >= (double)int_max(dst)) /* 64 bits: the double is the next power of two */
        return int_max(dst);
    return r < 0 ? (uint64_t)(int64_t)r : (uint64_t)r;
}
/* A 64-bit integer as a double: rounded to odd, which serves any smaller format; or in
 * a rounding mode, for f64 itself. The halves are exact. */
static double float_of_int(enum kind dst, enum kind src, uint64_t u, int32_t mode)
{
    static const int CPU_MODE[] = {[OPS_RN] = FE_TONEAREST,
                                   [OPS_RZ] = FE_TOWARDZERO,
                                   [OPS_RM] = FE_DOWNWARD,
                                   [OPS_RP] = FE_UPWARD};
    const bool is_signed = KIND[src].is_signed;
    const double high = is_signed ? (double)((int64_t)u >> 32) : (double)(u >> 32);
    const volatile double big = high * 0x1p32, small = (double)(uint32_t)u;
    if (dst != KIND_f64)
        return sum_odd(big, small);
    fesetround(CPU_MODE[mode]);
    const volatile double sum = big + small;
    fesetround(FE_TONEAREST);
    return sum;
}

/* --- executors --- */
static uint64_t convert(enum kind dst, enum kind src, uint64_t u, int32_t m)
{
    if (!KIND[src].is_float) {
        const uint64_t v = int_value(src, u);
        if (!KIND[dst].is_float)
            return m & OPS_SAT ? int_saturate(dst, src, v) : v;
        return float_write(dst, float_of_int(dst, src, v, m & OPS_ROUND), m);
    }
    double d = float_value(src, u);
    if (m & OPS_FTZ && src == KIND_f32)
        d = (double)flush_f32(float_of((int32_t)u));
    if (!KIND[dst].is_float)
        return int_of_float(dst, src, d, m);
    return float_write(dst, m & CVT_INTEGRAL ? round_integral(d, m & OPS_ROUND) : d, m);
}

static uint64_t get_lane(const struct machine_warp *w, const struct ptx_operand *o,
                         int32_t l)
{
    return o->bytes == 8 ? machine_u64(w, o->slot)[l] : machine_u32(w, o->slot)[l];
}

OPS_RUN(any)
{
    const enum kind dst = (enum kind)i->option[DST], src = (enum kind)i->option[SRC];
    for (int32_t l = 0; l < PTX_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        const uint64_t u = get_lane(w, &i->o[1], l);
        const uint64_t r = convert(dst, src, u, i->option[0]);
        const uint64_t wide = KIND[dst].is_float ? r : int_value(dst, r);
        if (i->o[0].bytes == 8)
            machine_u64(w, i->o[0].slot)[l] = wide;
        else
            machine_u32(w, i->o[0].slot)[l] =
                (uint32_t)(i->option[LANE_MASK] ? wide & 0xffff : wide);
    }
    return MACHINE_NEXT;
}

/* d = {a, b} in two 16-bit floats, a the high one */
OPS_RUN(any_pair)
{
    const enum kind dst = (enum kind)i->option[DST];
    const ops_f32 *const a = ops_slot(w, i, 1), *const b = ops_slot(w, i, 2);
    uint32_t *const d = machine_u32(w, i->o[0].slot);
    for (int32_t l = 0; l < PTX_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        const uint64_t high = float_write(dst, (double)a[l], i->option[0]);
        const uint64_t low = float_write(dst, (double)b[l], i->option[0]);
        d[l] = (uint32_t)(high << 16 | low);
    }
    return MACHINE_NEXT;
}

/* Integers to integers without .sat. The low bits of u (those of mask) as a number
 * whose sign bit is `sign`, 0 if unsigned: what lies below the sign counts up from
 * -sign. */
OPS_INLINE uint64_t cut(uint64_t u, uint64_t low, uint64_t sign)
{
    return ((u & low) ^ sign) - sign;
}
static uint64_t low_bits(enum kind kind)
{
    return UINT64_MAX >> (64 - KIND[kind].bits);
}
static uint64_t sign_bit(enum kind kind)
{
    return KIND[kind].is_signed ? (uint64_t)1 << (KIND[kind].bits - 1) : 0;
}
#define INT_RUN(D, A)                                                                  \
    OPS_RUN(D##_##A)                                                                   \
    {                                                                                  \
        const enum kind to = (enum kind)i->option[DST];                                \
        const enum kind from = (enum kind)i->option[SRC];                              \
        const uint64_t low_s = low_bits(from), sign_s = sign_bit(from);                \
        const uint64_t low_d = low_bits(to), sign_d = sign_bit(to);                    \
        const uint64_t keep = i->option[LANE_MASK] ? 0xffff : UINT64_MAX;              \
        OPS_FROM(A, a, 1);                                                             \
        OPS_TO(D, , cut(cut(a_[l], low_s, sign_s), low_d, sign_d) & keep)              \
        return MACHINE_NEXT;                                                           \
    }
INT_RUN(u32, u32)
INT_RUN(u32, u64)
INT_RUN(u64, u32)
INT_RUN(u64, u64)

OPS_1(low32, u32, u64, a)
OPS_1(zero_extend, u64, u32, a)
OPS_1(sign_extend, s64, s32, a)

OPS_1(f32_of_u32, f32, u32, (float)a)
OPS_1(f32_of_s32, f32, s32, (float)a)
OPS_1(f32_of_s64, f32, s64, (float)a)
OPS_1(f32_of_u16, f32, u32, (float)(int32_t)(a & 0xffff))
OPS_1(f32_of_s16, f32, u32, (float)(int16_t)a)
OPS_1(f64_of_u32, f64, u32, (double)a)
OPS_1(f64_of_s32, f64, s32, (double)a)
OPS_1(f64_of_f32, f64, f32, canon_f64((double)a))
OPS_1(f32_of_f64, f32, f64, canon_f32((float)a))
OPS_1(f32_of_f16, f32, u32, canon_f32(float_of(f16_to_bits((uint16_t)a))))
OPS_1(f32_of_bf16, f32, u32, canon_f32(float_of(bf16_to_bits((uint16_t)a))))

/* NaNs are canonical: what dtype_bits.h keeps of their payload goes */
OPS_INLINE uint32_t f16_of(int32_t u)
{
    return (u & INT32_MAX) > 0x7f800000 ? OPS_NAN_16 : f16_from_bits(u);
}
OPS_INLINE uint32_t bf16_of(int32_t u)
{
    return (u & INT32_MAX) > 0x7f800000 ? OPS_NAN_16 : bf16_from_bits(u);
}
/* ties away from zero: half of what is dropped is added, whatever the sign */
OPS_INLINE uint32_t tf32_of(int32_t u)
{
    const uint32_t r = ((uint32_t)u + TF32_DROPPED / 2 + 1) & ~(uint32_t)TF32_DROPPED;
    return (u & INT32_MAX) > 0x7f800000 ? OPS_NAN_F32 : r;
}
OPS_1(tf32_of_f32, u32, s32, tf32_of(a))
OPS_1(f16_of_f32, u32, s32, f16_of(a))
OPS_1(bf16_of_f32, u32, s32, bf16_of(a))
OPS_2(f16x2_of_f32, u32, s32, s32, f16_of(a) << 16 | f16_of(b))
OPS_2(bf16x2_of_f32, u32, s32, s32, bf16_of(a) << 16 | bf16_of(b))

/* trunc of an fp32, bounded in double, where both bounds are exact */
OPS_INLINE int32_t s32_of(float v)
{
    const double d = v == v ? (double)v : 0;
    const double low = d > INT32_MIN ? d : INT32_MIN;
    return (int32_t)(low < INT32_MAX ? low : INT32_MAX);
}
OPS_1(s32_of_f32, s32, f32, s32_of(a))

/* --- binding --- */
static const struct fast {
    enum kind dst, src;
    int32_t modifiers;
    ptx_run_fn run;
} FAST[] = {
    {KIND_u32, KIND_u64, 0, run_low32},
    {KIND_u32, KIND_s64, 0, run_low32},
    {KIND_s32, KIND_u64, 0, run_low32},
    {KIND_s32, KIND_s64, 0, run_low32},
    {KIND_u64, KIND_u32, 0, run_zero_extend},
    {KIND_s64, KIND_u32, 0, run_zero_extend},
    {KIND_u64, KIND_s32, 0, run_sign_extend},
    {KIND_s64, KIND_s32, 0, run_sign_extend},
    {KIND_f32, KIND_u32, OPS_RN, run_f32_of_u32},
    {KIND_f32, KIND_s32, OPS_RN, run_f32_of_s32},
    {KIND_f32, KIND_s64, OPS_RN, run_f32_of_s64},
    {KIND_f32, KIND_u16, OPS_RN, run_f32_of_u16},
    {KIND_f32, KIND_s16, OPS_RN, run_f32_of_s16},
    {KIND_f64, KIND_u32, OPS_RN, run_f64_of_u32},
    {KIND_f64, KIND_s32, OPS_RN, run_f64_of_s32},
    {KIND_f64, KIND_f32, 0, run_f64_of_f32},
    {KIND_f32, KIND_f64, OPS_RN, run_f32_of_f64},
    {KIND_f32, KIND_f16, 0, run_f32_of_f16},
    {KIND_f32, KIND_bf16, 0, run_f32_of_bf16},
    {KIND_f16, KIND_f32, OPS_RN, run_f16_of_f32},
    {KIND_bf16, KIND_f32, OPS_RN, run_bf16_of_f32},
    {KIND_tf32, KIND_f32, OPS_RNA, run_tf32_of_f32},
    {KIND_s32, KIND_f32, CVT_INTEGRAL | OPS_RZ, run_s32_of_f32},
};

static ptx_run_fn fast_run(const struct ptx_insn *i, enum kind dst, enum kind src)
{
    const bool wide_d = i->o[0].bytes == 8, wide_s = i->o[1].bytes == 8;
    const bool is_usual = wide_d == (KIND[dst].bits == 64) &&
                          wide_s == (KIND[src].bits == 64);
    for (int64_t k = 0; k < ARRAY_LEN(FAST) && is_usual; k++) {
        const struct fast *const f = &FAST[k];
        if (f->dst == dst && f->src == src && f->modifiers == i->option[0])
            return f->run;
    }
    if (KIND[dst].is_float || KIND[src].is_float || i->option[0] != 0)
        return run_any;
    if (wide_d)
        return wide_s ? run_u64_u64 : run_u64_u32;
    return wide_s ? run_u32_u64 : run_u32_u32;
}

/* -1: no kind */
static int32_t kind_of(const char *part)
{
    for (int32_t k = 0; k < N_KINDS; k++) {
        if (strcmp(part, KIND[k].name) == 0)
            return k;
    }
    return -1;
}

/* What stands between "cvt" and the types. */
struct modes {
    bool is_float, is_integral; /* .rn, .rni and their like */
    int32_t flags;
};
static bool parse_modes(const struct ptx_insn *i, struct modes *out)
{
    static const char *const INTEGRAL[] = {"rni", "rzi", "rmi", "rpi"};
    *out = (struct modes){0};
    for (int32_t k = 1; k < i->n_parts - 2; k++) {
        const int32_t bits = ops_modifier(i->part[k]);
        int32_t mode = 0;
        while (mode < ARRAY_LEN(INTEGRAL) && strcmp(i->part[k], INTEGRAL[mode]) != 0)
            mode++;
        if (mode < ARRAY_LEN(INTEGRAL)) {
            out->is_integral = true;
            out->flags |= CVT_INTEGRAL | mode;
        } else if (bits < 0 || bits & (OPS_NAN | OPS_XORSIGN)) {
            return false;
        } else {
            out->is_float |= bits <= OPS_ROUND;
            out->flags |= bits;
        }
    }
    return !(out->is_float && out->is_integral);
}

/* Which of the rounding modes the two kinds need. */
static bool modes_fit(const struct modes *m, enum kind dst, enum kind src)
{
    const bool is_half = KIND[dst].is_float && dst != KIND_f32 && dst != KIND_f64;
    if (m->flags & (OPS_RELU | OPS_SATFINITE) && !is_half)
        return false;
    if ((m->flags & OPS_ROUND) == OPS_RNA && dst != KIND_tf32)
        return false;
    if (m->flags & OPS_FTZ && dst != KIND_f32 && src != KIND_f32)
        return false;
    if (src == KIND_tf32 || (dst == KIND_tf32 && src != KIND_f32))
        return false;
    if (!KIND[src].is_float)
        return KIND[dst].is_float ? m->is_float : !m->is_float && !m->is_integral;
    if (!KIND[dst].is_float)
        return m->is_integral;
    if (dst == src)
        return !m->is_float;
    const bool is_wider = dst == KIND_f64 || (dst == KIND_f32 && src != KIND_f64);
    return is_wider ? !m->is_float && !m->is_integral : m->is_float;
}

static ptx_run_fn bind_pair(struct ptx_insn *i, const struct modes *m)
{
    const bool is_bf16 = strcmp(i->part[i->n_parts - 2], "bf16x2") == 0;
    const enum kind dst = is_bf16 ? KIND_bf16 : KIND_f16;
    if (strcmp(i->part[i->n_parts - 1], "f32") != 0 || !modes_fit(m, dst, KIND_f32) ||
        !ops_fit(i, "444"))
        return NULL;
    i->option[DST] = dst;
    if (m->flags == OPS_RN)
        return is_bf16 ? run_bf16x2_of_f32 : run_f16x2_of_f32;
    return run_any_pair;
}

/* Registers may be wider than the type, the lane of a 64-bit one too. */
static bool wide_enough(struct ptx_insn *i, int32_t k, enum kind kind)
{
    const struct ptx_operand *const o = &i->o[k];
    if (o->kind == PTX_IMM && k > 0)
        return ptx_want(i, k, KIND[kind].bits / 8);
    return o->kind == PTX_REG && o->bytes * 8 >= KIND[kind].bits && o->bytes <= 8 &&
           (!KIND[kind].is_float || o->bytes == (KIND[kind].bits == 64 ? 8 : 4));
}

ptx_run_fn ops_bind_cvt(struct ptx_insn *i)
{
    struct modes m;
    if (i->n_parts < 3 || !parse_modes(i, &m))
        return NULL;
    i->option[0] = m.flags;
    const char *const to = i->part[i->n_parts - 2];
    if (strcmp(to, "f16x2") == 0 || strcmp(to, "bf16x2") == 0)
        return bind_pair(i, &m);
    const int32_t dst = kind_of(to), src = kind_of(i->part[i->n_parts - 1]);
    if (dst < 0 || src < 0 || i->n_operands != 2)
        return NULL;
    if (!modes_fit(&m, (enum kind)dst, (enum kind)src) ||
        !wide_enough(i, 0, (enum kind)dst) || !wide_enough(i, 1, (enum kind)src))
        return NULL;
    i->option[DST] = dst;
    i->option[SRC] = src;
    i->option[LANE_MASK] = i->o[0].width != 0 && i->o[0].width <= 2;
    return fast_run(i, (enum kind)dst, (enum kind)src);
}
