/*
 * Floating point: modifiers of instructions, and rounding of a double, or of an exact
 * sum of doubles, to the smaller formats with one rounding.
 *
 * "Odd" rounding makes that possible: an inexact result gets a last bit of 1, which any
 * later rounding to at least two bits less sees as "not exact, not a tie". Source:
 * Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved
 * algorithms using rounding to odd", IEEE TC 2008.
 *
 * NaN results are the canonical ones of the hardware; payloads are not kept.
 */
#ifndef EMULATOR_OPS_FLOAT_H
#define EMULATOR_OPS_FLOAT_H

#include "core/dtype_bits.h"
#include "emulator/ops.h"

/* Modifiers, in option[0]; the rounding modes are numbers in OPS_ROUND's bits. */
enum ops_modifier {
    OPS_RN, /* to nearest, ties to even */
    OPS_RZ,
    OPS_RM,  /* down */
    OPS_RP,  /* up */
    OPS_RNA, /* to nearest, ties away from zero */
    OPS_ROUND = 7,
    OPS_FTZ = 1 << 3,
    OPS_SAT = 1 << 4, /* to [0, 1], NaN to 0 */
    OPS_RELU = 1 << 5,
    OPS_NAN = 1 << 6, /* min and max: NaN if any is */
    OPS_XORSIGN = 1 << 7,
    OPS_SATFINITE = 1 << 8
};
enum { OPS_NAN_F32 = 0x7fffffff, OPS_NAN_16 = 0x7fff };
#define OPS_NAN_F64 0xfff8000000000000u

/* The modifier a mnemonic's part stands for, or -1. */
int32_t ops_modifier(const char *part);

/* A row of a table: the mnemonic without modifiers, the executors without and with any,
 * the modifiers it may have. */
enum {
    OPS_MODES = 1 << 9,      /* any rounding mode but .rna may be named */
    OPS_MODE_RN = 1 << 10,   /* .rn may */
    OPS_MODE_MUST = 1 << 11, /* one must */
};
struct ops_float_form {
    const char *name;
    ptx_run_fn run, run_modified;
    const char *bytes;
    int32_t allowed;
};
ptx_run_fn ops_float_bind(struct ptx_insn *i, const struct ops_float_form *forms,
                          int64_t n);

OPS_INLINE double f64_of(uint64_t u)
{
    double v;
    memcpy(&v, &u, sizeof(v));
    return v;
}
OPS_INLINE uint64_t f64_bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}
OPS_INLINE float canon_f32(float r) { return r != r ? float_of(OPS_NAN_F32) : r; }
OPS_INLINE double canon_f64(double r) { return r != r ? f64_of(OPS_NAN_F64) : r; }

/* fp32 is f16 with a bias of 112 more, or bf16 with 16 bits more */
OPS_INLINE double f16_value(uint32_t h)
{
    return (double)float_of(f16_to_bits((uint16_t)h));
}
OPS_INLINE double bf16_value(uint32_t h)
{
    return (double)float_of(bf16_to_bits((uint16_t)h));
}

/* d rounded to fp32's bits, to odd */
OPS_INLINE int32_t f32_odd(double d)
{
    const float f = (float)d;
    const int32_t u = bits_of(f);
    const double up = f64_of(f64_bits((double)f) & INT64_MAX);
    const double size = f64_of(f64_bits(d) & INT64_MAX);
    const int32_t step = up > size ? -1 : up < size ? 1 : 0;
    return u & 1 ? u : u + step;
}
/* a + b rounded to double, to odd; neither sum nor parts may overflow */
OPS_INLINE double sum_odd(double a, double b)
{
    const double s = a + b;
    const double t = s - a;
    const double e = (a - (s - t)) + (b - t); /* what s lacks, exactly (Knuth) */
    const int64_t away = (e > 0) - (e < 0);   /* 0 also for NaN: infinite parts */
    const int64_t step = f64_bits(s) >> 63 ? -away : away;
    return f64_of(f64_bits(s) + (uint64_t)(f64_bits(s) & 1 ? 0 : step));
}

/* d, exact or rounded to odd, to nearest even */
OPS_INLINE uint32_t f16_round(double d)
{
    const uint32_t h = f16_from_bits(f32_odd(d));
    return d != d ? OPS_NAN_16 : h;
}
OPS_INLINE uint32_t bf16_round(double d)
{
    const uint32_t h = bf16_from_bits(f32_odd(d));
    return d != d ? OPS_NAN_16 : h;
}

/* Operands in, results out, by modifiers m; f16_in and the like take and give bits. */
OPS_INLINE float flush_f32(float v)
{
    const int32_t u = bits_of(v);
    return float_of(u & 0x7f800000 ? u : u & INT32_MIN);
}
OPS_INLINE float f32_in(float v, int32_t m) { return m & OPS_FTZ ? flush_f32(v) : v; }
OPS_INLINE float f32_out(float v, int32_t m)
{
    const float flushed = canon_f32(f32_in(v, m));
    const float bounded = v > 0 ? (v < 1 ? flushed : 1) : 0;
    return m & OPS_SAT ? bounded : flushed;
}
OPS_INLINE double f64_in(double v, int32_t m)
{
    (void)m;
    return v;
}
OPS_INLINE double f64_out(double v, int32_t m)
{
    (void)m;
    return canon_f64(v);
}
OPS_INLINE double f16_in(uint32_t h, int32_t m)
{
    return f16_value(m & OPS_FTZ && !(h & 0x7c00) ? h & 0x8000 : h);
}
OPS_INLINE double bf16_in(uint32_t h, int32_t m)
{
    return bf16_value(m & OPS_FTZ && !(h & 0x7f80) ? h & 0x8000 : h);
}
OPS_INLINE double bound(double d, int32_t m)
{
    const double relu = m & OPS_RELU && d <= 0 ? 0 : d;
    const double sat = d > 0 ? (d < 1 ? d : 1) : 0;
    return m & OPS_SAT ? sat : relu;
}
OPS_INLINE uint32_t f16_out(double d, int32_t m)
{
    const uint32_t h = f16_round(bound(d, m));
    return m & OPS_FTZ && !(h & 0x7c00) ? h & 0x8000 : h;
}
OPS_INLINE uint32_t bf16_out(double d, int32_t m)
{
    const uint32_t h = bf16_round(bound(d, m));
    return m & OPS_FTZ && !(h & 0x7f80) ? h & 0x8000 : h;
}

/* IEEE minNum and maxNum with -0 < +0, and .NaN and .xorsign.abs; exact for any format
 * whose values are given as doubles. */
OPS_INLINE double sign_xor(double r, double a, double b, int32_t m)
{
    const uint64_t sign = (f64_bits(a) ^ f64_bits(b)) & ~(uint64_t)INT64_MAX;
    const uint64_t size = f64_bits(r) & INT64_MAX;
    return m & OPS_XORSIGN ? f64_of(size | sign) : r;
}
OPS_INLINE double min_max(double a, double b, int32_t m, bool is_max)
{
    const uint64_t keep = m & OPS_XORSIGN ? INT64_MAX : UINT64_MAX;
    const uint64_t ua = f64_bits(a) & keep, ub = f64_bits(b) & keep;
    const double x = f64_of(ua), y = f64_of(ub);
    const double equal = f64_of(is_max ? ua & ub : ua | ub); /* zeros of both signs */
    double r = (is_max ? x > y : x < y) ? x : y;
    r = x == y ? equal : r;
    r = x != x ? y : r;
    r = y != y ? (m & OPS_NAN ? y : x) : r;
    r = x != x && m & OPS_NAN ? x : r;
    return sign_xor(r, a, b, m);
}

/* 2^x, within an ulp of double */
double ops_exp2(double x);

#endif
