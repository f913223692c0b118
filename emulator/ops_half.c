/*
 * Arithmetic of f16 and bf16, alone and in pairs (f16x2: two in 32 bits). Results are
 * those of exact arithmetic rounded once: operands are widened to double, where
 * products are exact and sums are rounded to odd (emulator/ops_float.h).
 */
#include <math.h>

#include "emulator/ops_float.h"

/* f_<kind>(a, b, c, m) on bits: expr of the values x, y, z by modifiers m */
#define VALUES(kind, f, ...)                                                           \
    OPS_INLINE uint32_t f##_##kind(uint32_t a, uint32_t b, uint32_t c, int32_t m)      \
    {                                                                                  \
        const double x = kind##_in(a & 0xffff, m), y = kind##_in(b & 0xffff, m);       \
        const double z = kind##_in(c & 0xffff, m);                                     \
        (void)y, (void)z;                                                              \
        return kind##_out(__VA_ARGS__, m);                                             \
    }
/* run_<f>_<kind> and run_<f>_<kind>x2 of n sources */
#define BOTH(call, f, kind, b, c)                                                      \
    (call(f##_##kind, a, b, c) | call(f##_##kind, a >> 16, b >> 16, c >> 16) << 16)
#define CALL(f, a, b, c) f(a, b, c, i->option[0])
#define RUN_1(f, kind)                                                                 \
    OPS_1(f##_##kind, u32, u32, CALL(f##_##kind, a, 0, 0))                             \
    OPS_1(f##_##kind##x2, u32, u32, BOTH(CALL, f, kind, 0, 0))
#define RUN_2(f, kind)                                                                 \
    OPS_2(f##_##kind, u32, u32, u32, CALL(f##_##kind, a, b, 0))                        \
    OPS_2(f##_##kind##x2, u32, u32, u32, BOTH(CALL, f, kind, b, 0))
#define RUN_3(f, kind)                                                                 \
    OPS_3(f##_##kind, u32, u32, u32, u32, CALL(f##_##kind, a, b, c))                   \
    OPS_3(f##_##kind##x2, u32, u32, u32, u32, BOTH(CALL, f, kind, b, c))
#define HALF(run, f, ...)                                                              \
    VALUES(f16, f, __VA_ARGS__)                                                        \
    VALUES(bf16, f, __VA_ARGS__)                                                       \
    run(f, f16) run(f, bf16)

HALF(RUN_2, add, sum_odd(x, y))
HALF(RUN_2, sub, sum_odd(x, -y))
HALF(RUN_2, mul, x * 1 * y)
HALF(RUN_3, fma, sum_odd(x * 1 * y, z))
HALF(RUN_2, min, min_max(x, y, m, false))
HALF(RUN_2, max, min_max(x, y, m, true))
HALF(RUN_1, ex2, ops_exp2(x))
HALF(RUN_1, tanh, tanh(x))

/* signs are bits, also of NaNs; with .ftz a subnormal f16 is a zero first */
OPS_INLINE uint32_t flush_f16(uint32_t h, int32_t m)
{
    return m & OPS_FTZ && !(h & 0x7c00) ? h & 0x8000 : h;
}
OPS_INLINE uint32_t flush_f16x2(uint32_t a, int32_t m)
{
    return flush_f16(a & 0xffff, m) | flush_f16(a >> 16, m) << 16;
}
OPS_1(neg_16, u32, u32, flush_f16(a, i->option[0]) ^ 0x8000)
OPS_1(abs_16, u32, u32, flush_f16(a, i->option[0]) & 0x7fff)
OPS_1(neg_16x2, u32, u32, flush_f16x2(a, i->option[0]) ^ 0x80008000)
OPS_1(abs_16x2, u32, u32, flush_f16x2(a, i->option[0]) & 0x7fff7fff)

#define FORM(name, f, bytes, allowed)                                                  \
    {                                                                                  \
        name, run_##f, run_##f, bytes, allowed                                         \
    }
#define ALONE_AND_PAIR(op, f, kind, b, bx2, allowed)                                   \
    FORM(op "." #kind, f##_##kind, b, allowed),                                        \
        FORM(op "." #kind "x2", f##_##kind##x2, bx2, allowed)

enum {
    SUM_F16 = OPS_MODE_RN | OPS_FTZ | OPS_SAT,
    FMA_F16 = SUM_F16 | OPS_MODE_MUST | OPS_RELU,
    FMA_BF16 = OPS_MODE_RN | OPS_MODE_MUST | OPS_RELU,
    ORDER_BF16 = OPS_NAN | OPS_XORSIGN,
    ORDER_F16 = ORDER_BF16 | OPS_FTZ
};

static const struct ops_float_form FORMS[] = {
    ALONE_AND_PAIR("add", add, f16, "222", "444", SUM_F16),
    ALONE_AND_PAIR("sub", sub, f16, "222", "444", SUM_F16),
    ALONE_AND_PAIR("mul", mul, f16, "222", "444", SUM_F16),
    ALONE_AND_PAIR("fma", fma, f16, "2222", "4444", FMA_F16),
    ALONE_AND_PAIR("min", min, f16, "222", "444", ORDER_F16),
    ALONE_AND_PAIR("max", max, f16, "222", "444", ORDER_F16),
    ALONE_AND_PAIR("ex2.approx", ex2, f16, "22", "44", OPS_FTZ),
    ALONE_AND_PAIR("tanh.approx", tanh, f16, "22", "44", 0),
    ALONE_AND_PAIR("add", add, bf16, "222", "444", OPS_MODE_RN),
    ALONE_AND_PAIR("sub", sub, bf16, "222", "444", OPS_MODE_RN),
    ALONE_AND_PAIR("mul", mul, bf16, "222", "444", OPS_MODE_RN),
    ALONE_AND_PAIR("fma", fma, bf16, "2222", "4444", FMA_BF16),
    ALONE_AND_PAIR("min", min, bf16, "222", "444", ORDER_BF16),
    ALONE_AND_PAIR("max", max, bf16, "222", "444", ORDER_BF16),
    ALONE_AND_PAIR("ex2.approx", ex2, bf16, "22", "44", OPS_FTZ),
    ALONE_AND_PAIR("tanh.approx", tanh, bf16, "22", "44", 0),
    FORM("neg.f16", neg_16, "22", OPS_FTZ),
    FORM("abs.f16", abs_16, "22", OPS_FTZ),
    FORM("neg.f16x2", neg_16x2, "44", OPS_FTZ),
    FORM("abs.f16x2", abs_16x2, "44", OPS_FTZ),
    FORM("neg.bf16", neg_16, "22", 0),
    FORM("abs.bf16", abs_16, "22", 0),
    FORM("neg.bf16x2", neg_16x2, "44", 0),
    FORM("abs.bf16x2", abs_16x2, "44", 0),
};

ptx_run_fn ops_bind_half(struct ptx_insn *i)
{
    return ops_float_bind(i, FORMS, ARRAY_LEN(FORMS));
}
